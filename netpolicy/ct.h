/* SPDX-License-Identifier: Apache-2.0 */
/* Conntrack: what was let through once goes on until its entry is deleted. */
#ifndef NETPOLICY_CT_H
#define NETPOLICY_CT_H

#include <stdint.h>

#include "netpolicy/nl.h"

/* Which flows: to or from a guest's address; with a proto, only those to that port of the guest. */
struct ct_match {
	uint32_t guest;
	uint8_t proto;
	uint16_t port;
	uint32_t host_addr; /* with host_port: as the caller addressed them; 0: any */
	uint16_t host_port; /* 0: any */
};

/* Deletes all that match: 0 or -errno. */
int ct_delete(struct nl *nf, const struct ct_match *m);

#endif
