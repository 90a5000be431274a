/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIDECAR_EGRESS_JAIL_H
#define SIDECAR_EGRESS_JAIL_H

#include "base/sandbox.h"

extern const struct sandbox_profile egress_profile;

#endif
