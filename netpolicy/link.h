/* SPDX-License-Identifier: Apache-2.0 */
/* Links, addresses, routes and neighbours, by rtnetlink. Each function is one request: 0 or -errno. Addresses in host order. */
#ifndef NETPOLICY_LINK_H
#define NETPOLICY_LINK_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "netpolicy/model.h"
#include "netpolicy/nl.h"

/* A per-interface IPv4 setting: IPV4_DEVCONF_* and its value; index 0 ends a table. */
struct link_conf {
	uint32_t index, value;
};

struct link_info {
	int ifindex;
	int peer_ifindex;
	bool carrier, up;
	char name[IFNAMSIZ];
	char alias[ALIAS_MAX];
};

int link_add_bridge(struct nl *rt, const char *name, const uint8_t mac[MAC_LEN]);
/* The peer's end is made in the namespace of peer_ns_fd. */
int link_add_veth(struct nl *rt, const char *name, const char *peer, int peer_ns_fd);
int link_del(struct nl *rt, int ifindex);
/* What is NULL stays. master 0: none. */
int link_set(struct nl *rt, int ifindex, const char *alias, const uint8_t *mac, int master,
	     const struct link_conf *conf);
int link_up(struct nl *rt, int ifindex);
/* A port that learns and floods nothing; the guest's address is entered by link_fdb. */
int link_port(struct nl *rt, int ifindex);
int link_fdb(struct nl *rt, int ifindex, const uint8_t mac[MAC_LEN]);
int link_addr(struct nl *rt, int ifindex, uint32_t addr, unsigned prefix);
/* via 0: on the link; ifindex 0: unreachable. */
int link_route(struct nl *rt, int ifindex, uint32_t dst, unsigned prefix, uint32_t via);
int link_neigh(struct nl *rt, int ifindex, uint32_t addr, const uint8_t mac[MAC_LEN]);
int link_neigh_del(struct nl *rt, int ifindex, uint32_t addr);

/* The link of a name, or 0. */
int link_index(struct nl *rt, const char *name);

typedef void (*link_fn)(const struct link_info *l, void *arg);
/* Reads one link message; false when it is none. */
bool link_parse(const struct nlmsghdr *h, struct link_info *ret);
int link_list(struct nl *rt, link_fn fn, void *arg);
typedef void (*link_addr_fn)(uint32_t addr, void *arg);
int link_addr_list(struct nl *rt, link_addr_fn fn, void *arg);
/* 1 or 0: IPv4 forwarding; ifindex NETCONFA_IFINDEX_ALL for the namespace. -errno */
int link_forwarding(struct nl *rt, int ifindex);

#endif
