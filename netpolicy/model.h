/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What exists, as read from the kernel: networks (bridges in N), endpoints (taps
 * in N) and publishes (elements of the ledger map). Each carries its owner's uid.
 * The model is a copy and dies with the process; the kernel's is the truth.
 *
 * A link's owner stands in its alias:
 *	bottle:uid=1000:net=00000000000000a1:kind=2:sub=10.77.1.0/24:gw=10.77.1.1:slice=0
 *	bottle:uid=1000:net=00000000000000a1:ep=00000000000000e1:addr=10.77.1.2
 */
#ifndef NETPOLICY_MODEL_H
#define NETPOLICY_MODEL_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "proto/netpolicy.h"

#define ALIAS_MAX 256
#define MAC_LEN   6
#define NO_SLICE  UINT32_MAX

struct network {
	LIST_ENTRY(network) link;
	uint64_t id;
	uid_t uid;
	enum net_kind kind;
	uint32_t subnet, prefix;
	uint32_t gateway; /* 0: none */
	uint32_t slice;   /* NO_SLICE for INTERNAL */
	uint32_t n_endpoints;
	int ifindex;
	char name[IFNAMSIZ];
};

struct endpoint {
	LIST_ENTRY(endpoint) link;
	struct network *net;
	uint64_t id;
	uid_t uid;
	uint32_t addr;
	int ifindex;
	bool gone; /* its tap is no more; only what refers to it has to go */
	char name[IFNAMSIZ];
};

struct publish {
	LIST_ENTRY(publish) link;
	struct endpoint *ep;
	uint8_t proto;
	uint32_t host_addr; /* 0: every address of the host */
	uint16_t host_port, port;
};

LIST_HEAD(network_list, network);
LIST_HEAD(endpoint_list, endpoint);
LIST_HEAD(publish_list, publish);

struct model {
	struct network_list networks;
	struct endpoint_list endpoints;
	struct publish_list publishes;
};

void model_clear(struct model *m);

/* Only the uid's own: another's id is not found. */
struct network *model_network(const struct model *m, uid_t uid, uint64_t id);
struct endpoint *model_endpoint(const struct model *m, uid_t uid, uint64_t id);
struct endpoint *model_endpoint_by_index(const struct model *m, int ifindex);
/* Whoever's: a host address and port are given once, a wildcard collides with each. */
struct publish *model_publish(const struct model *m, uint8_t proto, uint32_t host_addr, uint16_t host_port, bool exact);
/* Another publish than p leads to the same port of the same endpoint. */
bool model_publish_shared(const struct model *m, const struct publish *p);

struct network *model_add_network(struct model *m, const struct network *n);
struct endpoint *model_add_endpoint(struct model *m, const struct endpoint *ep);
struct publish *model_add_publish(struct model *m, const struct publish *p);
void model_del_network(struct network *n);
void model_del_endpoint(struct endpoint *ep);
void model_del_publish(struct publish *p);

bool model_addr_used(const struct model *m, const struct network *n, uint32_t addr);

/* The guest's address card and N's side of it: fixed by owner and id. */
void mac_guest(uint8_t ret[MAC_LEN], uid_t uid, uint64_t id);
void mac_gateway(uint8_t ret[MAC_LEN], uid_t uid, uint64_t id);

void alias_network(char out[ALIAS_MAX], const struct network *n);
void alias_endpoint(char out[ALIAS_MAX], const struct endpoint *ep);
bool alias_parse_network(const char *text, struct network *ret);
bool alias_parse_endpoint(const char *text, struct endpoint *ret, uint64_t *ret_network);

/* "uid=1000 ep=00000000000000e1", the comment of every element. */
#define COMMENT_MAX 64
void comment_endpoint(char out[COMMENT_MAX], const struct endpoint *ep);
bool comment_parse(const char *text, uid_t *ret_uid, uint64_t *ret_endpoint);

static inline bool publish_is_loopback(const struct publish *p)
{
	return p->host_addr >> 24 == 127;
}

#endif
