/* SPDX-License-Identifier: Apache-2.0 */
/* The body of a request, checked against its type's table row. Pure; fuzzed. */
#ifndef NETPOLICY_MSG_H
#define NETPOLICY_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/netpolicy.h"

struct msg_args {
	uint32_t seen; /* 1 << NET_TAG_* */
	uint64_t network, endpoint;
	uint32_t version, kind, prefix, index, proto, port, host_port;
	uint32_t subnet, gateway, addr, host_addr; /* host byte order */
};

static inline bool msg_has(const struct msg_args *a, enum net_tag tag)
{
	return a->seen >> tag & 1;
}

/* 0, or -EBADMSG: an unknown type, a tag that is unknown, twice, not permitted or missing, a wrong length or count of descriptors. */
int msg_parse(uint16_t type, const void *body, size_t len, size_t n_fds, struct msg_args *ret);

#endif
