/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What netpolicyd holds while it runs: sockets into both namespaces, and the
 * model that it read through them. Every state_* function that changes something
 * leaves kernel and model in agreement, or undoes what it did.
 */
#ifndef NETPOLICY_STATE_H
#define NETPOLICY_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "netpolicy/link.h"
#include "netpolicy/model.h"
#include "netpolicy/nl.h"
#include "netpolicy/ruleset.h"

#define RESOLVERS_MAX  8
#define HOST_ADDRS_MAX 256

struct state {
	struct nl host_rt, host_nf, ns_rt, ns_nf; /* requests */
	struct nl host_events, ns_events;         /* groups: addresses of H, links of N */
	struct model model;
	uint32_t pool;
	uint32_t resolvers[RESOLVERS_MAX], host_addrs[HOST_ADDRS_MAX];
	size_t n_resolvers, n_host_addrs;
	bool loopback_resolver; /* the host asks itself: guests can't */
	bool root_may_connect, publish_any;
	uint64_t host_cookie; /* SO_NETNS_COOKIE of H */
	uint32_t next_link;   /* names are not used twice in one life */
	int host_link, ns_link, worker_fd;
};

struct rs_host state_host(const struct state *s);

/* Reads the model from N (publishes from H when N's tables are lost), clears what is dead, and puts all tables anew. */
int state_load(struct state *s, struct err *e);
/* Handles what the kernel reported meanwhile: taps that went, addresses that came. */
void state_events(struct state *s);

int state_add_network(struct state *s, const struct network *n, struct network **ret, struct err *e);
int state_del_network(struct state *s, struct network *n, struct err *e);
/* ret_fd: the tap. */
int state_add_endpoint(struct state *s, const struct endpoint *ep, struct endpoint **ret, int *ret_fd, struct err *e);
int state_del_endpoint(struct state *s, struct endpoint *ep, struct err *e);
int state_add_publish(struct state *s, const struct publish *p, struct err *e);
int state_del_publish(struct state *s, struct publish *p, struct err *e);

/* The model's networks and endpoints only, changing nothing (for --teardown). */
int state_look(struct state *s, struct err *e);
/* All of our links and tables, in both namespaces. */
int state_teardown(struct state *s, bool ns_there, struct err *e);

#endif
