/* SPDX-License-Identifier: Apache-2.0 */
/* What netpolicyd does while it is root: N, its pin, the veth pair, sysctls, sockets into both namespaces, the tap opener. */
#ifndef NETPOLICY_SETUP_H
#define NETPOLICY_SETUP_H

#include <stdbool.h>

#include "netpolicy/state.h"

struct setup {
	const char *netns;       /* where N is pinned */
	const char *resolv_conf; /* the host's */
};

/* One netpolicyd at a time for one N: the lock's descriptor, held until exit. */
int setup_lock(const char *netns, struct err *e);
/* Everything up to the jail. */
int setup_open(const struct setup *c, struct state *s, struct err *e);
/* Only the sockets, when N is there: 1, or 0 when it is not. For --teardown. */
int setup_open_existing(const struct setup *c, struct state *s, struct err *e);
int setup_unpin(const char *netns, struct err *e);

#endif
