/* SPDX-License-Identifier: Apache-2.0 */
/* The capture of the agent's packets: two routing objects in the sidecar's kernel (rtnetlink). */
#ifndef SIDECAR_MAIN_ROUTE_H
#define SIDECAR_MAIN_ROUTE_H

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>

#include "base/err.h"

struct links {
	char internal[IF_NAMESIZE], egress[IF_NAMESIZE];
	struct in_addr internal_addr, internal_mask, egress_addr;
};

/* Which interface has internal_addr, and which one the default route leaves by. */
int links_find(struct in_addr internal_addr, struct links *ret, struct err *e);
/* Sets the sysctls, the rule and the route, and checks them. */
int route_capture(const struct links *l, struct err *e);
/* 0 while the kernel would keep the agent's packets here: asked of the kernel, not remembered. */
int route_check(const struct links *l, struct err *e);
/* A socket that becomes readable when rules, routes, links or addresses change. fd or -errno. */
int route_watch(void);

#endif
