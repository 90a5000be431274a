/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UNPACK_JAIL_H
#define UNPACK_JAIL_H

#include "base/err.h"

/* The one phase: everything that image-unpack reads, it reads inside. */
int jail_enter(struct err *e) _must_use_;

#endif
