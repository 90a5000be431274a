/* SPDX-License-Identifier: Apache-2.0 */
/* What networks.c (records, requests of clients) and endpoints.c (taps, addresses) share. */
#ifndef API_NETWORKS_H
#define API_NETWORKS_H

#include "api/netclient.h"

#define NETWORK_NAME_MAX 128
#define SUBNET_TEXT      32

/* Kinds in the records: enum net_kind, and the two that netpolicyd never hears of. */
#define NETWORK_HOST 100
#define NETWORK_NONE 101

struct networks {
	struct netclient *net;
};

/* A row of the table. */
struct network {
	char id[ID_LEN + 1];
	char *name;
	int64_t created_ns;
	int kind;
	uint64_t net_id;
	json_t *config; /* Labels, Options, Attachable, EnableIPv6, Subnet "a/n", Gateway "a" (INTERNAL: only the user's) */
};
void network_done(struct network *n);
#define _cleanup_network_ _cleanup_(network_done)

/* By id, name or unique prefix. */
int network_load(struct engine *g, const char *name_or_id, struct network *ret, struct err *e);
bool network_subnet(const struct network *n, uint32_t *ret_addr, unsigned int *ret_prefix);
bool network_gateway(const struct network *n, uint32_t *ret);
int network_set_subnet(struct engine *g, struct network *n, uint32_t addr, unsigned int prefix, uint32_t gateway);
/* Host order. */
bool ipv4_parse(const char *text, uint32_t *ret);
bool ipv4_private(uint32_t addr, unsigned int prefix);
const char *ipv4_text(char out[SUBNET_TEXT], uint32_t addr);

/* Makes the network in netpolicyd when it is not there; fn as net_fn: m is NULL on failure. */
void network_ensure(struct engine *g, const struct network *n, net_fn fn, void *arg);
/* Takes it out of netpolicyd, if that is running at all. */
void network_forget(struct engine *g, const struct network *n);

#endif
