/* SPDX-License-Identifier: Apache-2.0 */
/* What netpolicyd and its tap opener keep: CAP_NET_ADMIN as nobody, and the system calls that jail.c lists. */
#ifndef NETPOLICY_JAIL_H
#define NETPOLICY_JAIL_H

#include "base/err.h"
#include "base/sandbox.h"

extern const struct sandbox_profile jail_profile_serve, jail_profile_tap;

/* Each: from root to its profile, for good. A failure is one to die from. */
int jail_serve(struct err *e) _must_use_;
int jail_worker(struct err *e) _must_use_;

#endif
