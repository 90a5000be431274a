/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the firewall says, as data: tables, sets, chains and rules never change
 * at run time; endpoints and publishes are elements of sets only, so adding one
 * costs the same whatever there is already. Pure: no kernel is spoken to here.
 */
#ifndef NETPOLICY_RULESET_H
#define NETPOLICY_RULESET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netpolicy/model.h"

#define RS_TABLE     "bottle" /* the name of each of our tables */
#define RS_LINK_HOST "bn0"
#define RS_LINK_NS   "up0"

enum rs_table { RS_HOST, RS_NS, RS_NS_ARP, RS_NS_BRIDGE, RS_TABLE_NUM };

enum rs_op_kind {
	RS_END,
	RS_META,
	RS_PAYLOAD,
	RS_CT,
	RS_FIB,
	RS_CMP,
	RS_MASK,
	RS_LOOKUP,
	RS_COUNTER,
	RS_VERDICT,
	RS_DNAT,
	RS_MASQ
};

/* One expression of the kernel's machine; nft.c hands it on as it is. */
struct rs_op {
	enum rs_op_kind kind;
	uint32_t a, b,
		c; /* META key; PAYLOAD base, offset, length; CT key, of the original direction; FIB flags, result; CMP op; VERDICT code; LOOKUP inverted */
	uint32_t reg;     /* NFT_REG32_* - NFT_REG32_00 */
	const char *name; /* LOOKUP set, VERDICT chain */
	uint32_t len;     /* of data */
	uint8_t data[16]; /* CMP, MASK */
};

#define RS_OPS_MAX 24
struct rs_rule {
	const char *chain;
	struct rs_op ops[RS_OPS_MAX];
};

struct rs_chain {
	const char *name;
	const char *type; /* NULL: not a base chain */
	uint32_t hook;
	int32_t prio;
	bool drop; /* policy */
};

struct rs_set {
	const char *name;
	uint32_t key_type, key_len;   /* nft's type numbers, six bits a part; 4-byte slots */
	uint32_t data_type, data_len; /* 0: a set, not a map */
	bool interval;
};

struct rs_table_def {
	uint32_t family; /* NFPROTO_* */
	bool host;       /* in H; else in N */
	const struct rs_set *sets;
	size_t n_sets;
	const struct rs_chain *chains;
	size_t n_chains;
	const struct rs_rule *rules;
	size_t n_rules;
};

extern const struct rs_table_def rs_tables[RS_TABLE_NUM];

#define RS_KEY_MAX 32
struct rs_elem {
	enum rs_table table;
	const char *set;
	uint8_t key[RS_KEY_MAX], data[8];
	uint32_t key_len, data_len;
	bool interval_end;
	char comment[COMMENT_MAX];
};

struct rs_elems {
	struct rs_elem *v;
	size_t n, size;
};
void rs_elems_done(struct rs_elems *e);

struct rs_host {
	uint32_t pool;
	const uint32_t *resolvers, *addrs; /* of the host */
	size_t n_resolvers, n_addrs;
	bool root_may_connect;
};

/* Each appends the elements that one thing has, in all tables. */
void rs_constant(struct rs_elems *e, const struct rs_host *h);
void rs_host_addrs(struct rs_elems *e, const struct rs_host *h);
void rs_network(struct rs_elems *e, const struct network *n);
void rs_endpoint(struct rs_elems *e, const struct endpoint *ep);
/* shared: another publish has the elements that name only the guest's side. */
void rs_publish(struct rs_elems *e, const struct rs_host *h, const struct publish *p, bool shared);
/* All of the model. */
void rs_all(struct rs_elems *e, const struct rs_host *h, const struct model *m);

/* The record of a publish, "ledger" in N and "pub" in H; false when the element is none of ours. */
bool rs_ledger_parse(const uint8_t *key, size_t key_len, const uint8_t *data, size_t data_len, struct publish *ret,
		     uint32_t *ret_uid, uint32_t *ret_addr);

#endif
