/* SPDX-License-Identifier: Apache-2.0 */
/* One netlink socket, one request at a time: send, and read until its acknowledgement or the end of its dump. */
#ifndef NETPOLICY_NL_H
#define NETPOLICY_NL_H

#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define NL_MSG_MAX 8192

struct nl {
	struct mnl_socket *sock;
	uint32_t seq;
	char out[NL_MSG_MAX];
};

/* bus: NETLINK_ROUTE, NETLINK_NETFILTER; of the network namespace that the process is in now. groups: see the bus. */
int nl_open(struct nl *n, int bus, unsigned groups, struct err *e);
void nl_close(struct nl *n);
int nl_fd(const struct nl *n);

/* Starts a message in n->out; NLM_F_REQUEST and a fresh seq are set. */
struct nlmsghdr *nl_start(struct nl *n, uint16_t type, uint16_t flags);
/* 0 or -errno. cb (may be NULL) sees each answer that is not an acknowledgement. */
int nl_run(struct nl *n, const struct nlmsghdr *h, mnl_cb_t cb, void *arg);

/* A row of messages that the kernel takes as one (nfnetlink batches): answers of [first, last] are read; the first error counts. */
int nl_run_batch(struct nl *n, const void *data, size_t len, uint32_t last);

/* Reads what a group sent, without waiting: cb for each. -ENOBUFS: some were lost, read everything anew. 0 when drained. */
int nl_events(struct nl *n, mnl_cb_t cb, void *arg);

#endif
