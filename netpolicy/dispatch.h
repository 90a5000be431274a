/* SPDX-License-Identifier: Apache-2.0 */
/* Who may do what: one request of one client, known by its uid alone, checked against the model and carried out. */
#ifndef NETPOLICY_DISPATCH_H
#define NETPOLICY_DISPATCH_H

#include <sys/types.h>

#include "base/ipc.h"
#include "netpolicy/pool.h"
#include "netpolicy/state.h"

struct dispatch {
	struct state *state;
	/* Slices of those who are connected and have nothing yet; what exists carries its own. */
	bool reserved[POOL_SLICES];
	uid_t reserved_uid[POOL_SLICES];
};

/* Answers m on fd. < 0: the client broke the protocol, or doesn't take its answer; drop it. */
int dispatch_request(struct dispatch *d, int fd, uid_t uid, struct ipc_msg *m);
/* The last connection of the uid is gone. */
void dispatch_left(struct dispatch *d, uid_t uid);

#endif
