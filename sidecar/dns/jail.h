/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIDECAR_DNS_JAIL_H
#define SIDECAR_DNS_JAIL_H

#include "base/sandbox.h"

extern const struct sandbox_profile dns_profile;

#endif
