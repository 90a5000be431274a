/* SPDX-License-Identifier: Apache-2.0 */
/* nf_tables requests of netpolicyd: ruleset.c's tables become messages here, unchanged. The peer is the kernel. */
#include "netpolicy/nft.h"

#include <errno.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/str.h"

#ifndef NFT_TABLE_F_PERSIST
#define NFT_TABLE_F_PERSIST 0x4
#endif
#define TABLE_OWNED (NFT_TABLE_F_OWNER | NFT_TABLE_F_PERSIST)

/* nft(8)'s own numbers. */
#define NFT_TYPE_IFNAME    41
#define NFT_BYTEORDER_HOST 1

#define MESSAGE_MAX       (64 * 1024)
#define ELEMS_PER_MESSAGE 200

struct batch {
	struct buf b;
	struct nl *nf;
	bool failed; /* libnftnl had no memory */
};

static struct nlmsghdr *batch_put(struct batch *b, uint16_t type, uint16_t family, uint16_t flags)
{
	return nftnl_nlmsg_build_hdr(buf_reserve(&b->b, MESSAGE_MAX), type, family, flags, ++b->nf->seq);
}

static void batch_commit(struct batch *b, const struct nlmsghdr *h)
{
	buf_commit(&b->b, h->nlmsg_len);
}

static void batch_start(struct batch *b, struct nl *nf)
{
	*b = (struct batch){ .nf = nf };
	batch_commit(b, nftnl_batch_begin(buf_reserve(&b->b, MESSAGE_MAX), ++nf->seq));
}

/* The last message asks for an acknowledgement: it comes when all is done, or after the errors. */
static int batch_run(struct batch *b)
{
	struct nl *nf = b->nf;
	uint32_t last = nf->seq;
	struct nlmsghdr *h;
	int r = -ENOMEM;

	for (char *at = buf_ptr(&b->b); at < buf_ptr(&b->b) + buf_len(&b->b); at += h->nlmsg_len) {
		h = (struct nlmsghdr *)at;
		if (h->nlmsg_seq == last)
			h->nlmsg_flags |= NLM_F_ACK;
	}
	batch_commit(b, nftnl_batch_end(buf_reserve(&b->b, MESSAGE_MAX), ++nf->seq));
	if (!b->failed)
		r = nl_run_batch(nf, buf_ptr(&b->b), buf_len(&b->b), last);
	buf_done(&b->b);
	return r;
}

static void put_table(struct batch *b, const struct rs_table_def *d, bool del, uint32_t flags)
{
	uint16_t type = del ? NFT_MSG_DELTABLE : NFT_MSG_NEWTABLE;
	struct nlmsghdr *h = batch_put(b, type, (uint16_t)d->family, del ? 0 : NLM_F_CREATE);
	struct nftnl_table *t = nftnl_table_alloc();

	if (!t) {
		b->failed = true;
		return;
	}
	nftnl_table_set_str(t, NFTNL_TABLE_NAME, RS_TABLE);
	if (!del)
		nftnl_table_set_u32(t, NFTNL_TABLE_FLAGS, flags);
	nftnl_table_nlmsg_build_payload(h, t);
	nftnl_table_free(t);
	batch_commit(b, h);
}

static void put_chain(struct batch *b, const struct rs_table_def *d, const struct rs_chain *def)
{
	struct nlmsghdr *h = batch_put(b, NFT_MSG_NEWCHAIN, (uint16_t)d->family, NLM_F_CREATE);
	struct nftnl_chain *c = nftnl_chain_alloc();

	if (!c) {
		b->failed = true;
		return;
	}
	nftnl_chain_set_str(c, NFTNL_CHAIN_TABLE, RS_TABLE);
	nftnl_chain_set_str(c, NFTNL_CHAIN_NAME, def->name);
	if (def->type) {
		nftnl_chain_set_str(c, NFTNL_CHAIN_TYPE, def->type);
		nftnl_chain_set_u32(c, NFTNL_CHAIN_HOOKNUM, def->hook);
		nftnl_chain_set_s32(c, NFTNL_CHAIN_PRIO, def->prio);
		nftnl_chain_set_u32(c, NFTNL_CHAIN_POLICY, def->drop ? NF_DROP : NF_ACCEPT);
	}
	nftnl_chain_nlmsg_build_payload(h, c);
	nftnl_chain_free(c);
	batch_commit(b, h);
}

/* For nft(8) only, which shows an interface's name as nothing without it. */
static bool set_byteorder(struct nftnl_set *s)
{
	struct nftnl_udata_buf *u = nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);

	if (!u)
		return false;
	if (nftnl_set_get_u32(s, NFTNL_SET_KEY_TYPE) == NFT_TYPE_IFNAME) {
		nftnl_udata_put_u32(u, NFTNL_UDATA_SET_KEYBYTEORDER, NFT_BYTEORDER_HOST);
		nftnl_set_set_data(s, NFTNL_SET_USERDATA, nftnl_udata_buf_data(u), nftnl_udata_buf_len(u));
	}
	nftnl_udata_buf_free(u);
	return true;
}

static void put_set(struct batch *b, const struct rs_table_def *d, size_t i)
{
	const struct rs_set *def = &d->sets[i];
	struct nlmsghdr *h = batch_put(b, NFT_MSG_NEWSET, (uint16_t)d->family, NLM_F_CREATE);
	struct nftnl_set *s = nftnl_set_alloc();

	if (!s) {
		b->failed = true;
		return;
	}
	nftnl_set_set_str(s, NFTNL_SET_TABLE, RS_TABLE);
	nftnl_set_set_str(s, NFTNL_SET_NAME, def->name);
	nftnl_set_set_u32(s, NFTNL_SET_ID, (uint32_t)i + 1);
	nftnl_set_set_u32(s, NFTNL_SET_FAMILY, d->family);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_TYPE, def->key_type);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_LEN, def->key_len);
	nftnl_set_set_u32(s, NFTNL_SET_FLAGS,
			  (def->interval ? NFT_SET_INTERVAL : 0) | (def->data_len ? NFT_SET_MAP : 0));
	if (def->data_len) {
		nftnl_set_set_u32(s, NFTNL_SET_DATA_TYPE, def->data_type);
		nftnl_set_set_u32(s, NFTNL_SET_DATA_LEN, def->data_len);
	}
	b->failed |= !set_byteorder(s);
	nftnl_set_nlmsg_build_payload(h, s);
	nftnl_set_free(s);
	batch_commit(b, h);
}

static uint32_t reg(const struct rs_op *op)
{
	return NFT_REG32_00 + op->reg;
}

static uint32_t set_id(const struct rs_table_def *d, const char *name)
{
	for (size_t i = 0; i < d->n_sets; i++)
		if (str_eq(d->sets[i].name, name))
			return (uint32_t)i + 1;
	return 0;
}

/* The bytes that a CMP or MASK holds: given, a host-order number, or a padded name. */
static void op_data(const struct rs_op *op, uint8_t ret[16])
{
	memset(ret, 0, 16);
	if (op->name)
		memcpy(ret, op->name, strnlen(op->name, IFNAMSIZ - 1));
	else if (op->c)
		memcpy(ret, &op->b, sizeof(op->b));
	else
		memcpy(ret, op->data, sizeof(op->data));
}

static void set_mask(struct nftnl_expr *x, const struct rs_op *op)
{
	static const uint8_t zero[16];
	uint8_t data[16];

	op_data(op, data);
	nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_SREG, reg(op));
	nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_DREG, reg(op));
	nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_LEN, op->len);
	nftnl_expr_set_data(x, NFTNL_EXPR_BITWISE_MASK, data, op->len);
	nftnl_expr_set_data(x, NFTNL_EXPR_BITWISE_XOR, zero, op->len);
}

static void set_cmp(struct nftnl_expr *x, const struct rs_op *op)
{
	uint8_t data[16];

	op_data(op, data);
	nftnl_expr_set_u32(x, NFTNL_EXPR_CMP_SREG, reg(op));
	nftnl_expr_set_u32(x, NFTNL_EXPR_CMP_OP, op->a);
	nftnl_expr_set_data(x, NFTNL_EXPR_CMP_DATA, data, op->len);
}

static void set_lookup(struct nftnl_expr *x, const struct rs_table_def *d, const struct rs_op *op)
{
	nftnl_expr_set_u32(x, NFTNL_EXPR_LOOKUP_SREG, reg(op));
	nftnl_expr_set_str(x, NFTNL_EXPR_LOOKUP_SET, op->name);
	nftnl_expr_set_u32(x, NFTNL_EXPR_LOOKUP_SET_ID, set_id(d, op->name));
	if (op->a)
		nftnl_expr_set_u32(x, NFTNL_EXPR_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
	if (op->b)
		nftnl_expr_set_u32(x, NFTNL_EXPR_LOOKUP_DREG, reg(op));
}

/* Address and port as the map gave them: registers 0 and 1. */
static void set_dnat(struct nftnl_expr *x, const struct rs_op *op)
{
	nftnl_expr_set_u32(x, NFTNL_EXPR_NAT_TYPE, NFT_NAT_DNAT);
	nftnl_expr_set_u32(x, NFTNL_EXPR_NAT_FAMILY, NFPROTO_IPV4);
	nftnl_expr_set_u32(x, NFTNL_EXPR_NAT_REG_ADDR_MIN, reg(op));
	nftnl_expr_set_u32(x, NFTNL_EXPR_NAT_REG_PROTO_MIN, reg(op) + 1);
}

static void set_expr(struct nftnl_expr *x, const struct rs_table_def *d, const struct rs_op *op)
{
	switch (op->kind) {
	case RS_META:
		nftnl_expr_set_u32(x, NFTNL_EXPR_META_KEY, op->a);
		nftnl_expr_set_u32(x, NFTNL_EXPR_META_DREG, reg(op));
		break;
	case RS_PAYLOAD:
		nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_BASE, op->a);
		nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_OFFSET, op->b);
		nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_LEN, op->c);
		nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_DREG, reg(op));
		break;
	case RS_CT:
		nftnl_expr_set_u32(x, NFTNL_EXPR_CT_KEY, op->a);
		nftnl_expr_set_u32(x, NFTNL_EXPR_CT_DREG, reg(op));
		if (op->b)
			nftnl_expr_set_u8(x, NFTNL_EXPR_CT_DIR, 0);
		break;
	case RS_FIB:
		nftnl_expr_set_u32(x, NFTNL_EXPR_FIB_FLAGS, op->a);
		nftnl_expr_set_u32(x, NFTNL_EXPR_FIB_RESULT, op->b);
		nftnl_expr_set_u32(x, NFTNL_EXPR_FIB_DREG, reg(op));
		break;
	case RS_CMP:
		set_cmp(x, op);
		break;
	case RS_MASK:
		set_mask(x, op);
		break;
	case RS_LOOKUP:
		set_lookup(x, d, op);
		break;
	case RS_VERDICT:
		nftnl_expr_set_u32(x, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
		nftnl_expr_set_u32(x, NFTNL_EXPR_IMM_VERDICT, op->a);
		if (op->name)
			nftnl_expr_set_str(x, NFTNL_EXPR_IMM_CHAIN, op->name);
		break;
	case RS_DNAT:
		set_dnat(x, op);
		break;
	case RS_COUNTER:
	case RS_MASQ:
	case RS_END:
		break;
	}
}

static void put_rule(struct batch *b, const struct rs_table_def *d, const struct rs_rule *def)
{
	static const char *const names[] = {
		[RS_META] = "meta",     [RS_PAYLOAD] = "payload",   [RS_CT] = "ct",
		[RS_FIB] = "fib",       [RS_CMP] = "cmp",           [RS_MASK] = "bitwise",
		[RS_LOOKUP] = "lookup", [RS_COUNTER] = "counter",   [RS_DNAT] = "nat",
		[RS_MASQ] = "masq",     [RS_VERDICT] = "immediate",
	};
	struct nlmsghdr *h = batch_put(b, NFT_MSG_NEWRULE, (uint16_t)d->family, NLM_F_CREATE | NLM_F_APPEND);
	struct nftnl_rule *rule = nftnl_rule_alloc();

	if (!rule) {
		b->failed = true;
		return;
	}
	nftnl_rule_set_str(rule, NFTNL_RULE_TABLE, RS_TABLE);
	nftnl_rule_set_str(rule, NFTNL_RULE_CHAIN, def->chain);
	for (const struct rs_op *op = def->ops; op < def->ops + RS_OPS_MAX && op->kind != RS_END; op++) {
		struct nftnl_expr *x = nftnl_expr_alloc(names[op->kind]);

		if (!x) {
			b->failed = true;
			break;
		}
		set_expr(x, d, op);
		nftnl_rule_add_expr(rule, x);
	}
	nftnl_rule_nlmsg_build_payload(h, rule);
	nftnl_rule_free(rule);
	batch_commit(b, h);
}

static bool fill_elem(struct nftnl_set *s, const struct rs_elem *e)
{
	struct nftnl_set_elem *x = nftnl_set_elem_alloc();
	struct nftnl_udata_buf *u;

	if (!x)
		return false;
	nftnl_set_elem_set(x, NFTNL_SET_ELEM_KEY, e->key, e->key_len);
	if (e->data_len)
		nftnl_set_elem_set(x, NFTNL_SET_ELEM_DATA, e->data, e->data_len);
	if (e->interval_end)
		nftnl_set_elem_set_u32(x, NFTNL_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
	u = e->comment[0] ? nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN) : NULL;
	if (u) {
		nftnl_udata_put_strz(u, NFTNL_UDATA_SET_ELEM_COMMENT, e->comment);
		nftnl_set_elem_set(x, NFTNL_SET_ELEM_USERDATA, nftnl_udata_buf_data(u), nftnl_udata_buf_len(u));
		nftnl_udata_buf_free(u);
	}
	nftnl_set_elem_add(s, x);
	return true;
}

/* Elements [at, …) of one set, at most ELEMS_PER_MESSAGE; returns the index behind the last one looked at. */
static size_t put_elems(struct batch *b, enum rs_table table, const char *set, const struct rs_elems *e, size_t at,
			bool del)
{
	uint16_t family = (uint16_t)rs_tables[table].family, n = 0;
	struct nftnl_set *s = nftnl_set_alloc();
	struct nlmsghdr *h;

	if (!s) {
		b->failed = true;
		return e->n;
	}
	nftnl_set_set_str(s, NFTNL_SET_TABLE, RS_TABLE);
	nftnl_set_set_str(s, NFTNL_SET_NAME, set);
	for (; at < e->n && n < ELEMS_PER_MESSAGE; at++)
		if (e->v[at].table == table && str_eq(e->v[at].set, set)) {
			b->failed |= !fill_elem(s, &e->v[at]);
			n++;
		}
	if (n) {
		h = batch_put(b, del ? NFT_MSG_DELSETELEM : NFT_MSG_NEWSETELEM, family, del ? 0 : NLM_F_CREATE);
		nftnl_set_elems_nlmsg_build_payload(h, s);
		batch_commit(b, h);
	}
	nftnl_set_free(s);
	return at;
}

static void put_all_elems(struct batch *b, bool host, const struct rs_elems *e, bool del)
{
	for (int t = 0; t < RS_TABLE_NUM; t++)
		for (size_t i = 0; rs_tables[t].host == host && i < rs_tables[t].n_sets; i++)
			for (size_t at = 0; at < e->n;)
				at = put_elems(b, (enum rs_table)t, rs_tables[t].sets[i].name, e, at, del);
}

static int count_table(const struct nlmsghdr *h, void *arg)
{
	const struct nfgenmsg *nfg = mnl_nlmsg_get_payload(h);
	struct nftnl_table *t = nftnl_table_alloc();
	unsigned *families = arg;

	if (t && nftnl_table_nlmsg_parse(h, t) == 0 && str_eq(nftnl_table_get_str(t, NFTNL_TABLE_NAME), RS_TABLE) &&
	    nfg->nfgen_family < 32)
		*families |= 1U << nfg->nfgen_family;
	if (t)
		nftnl_table_free(t);
	return MNL_CB_OK;
}

static int table_families(struct nl *nf, unsigned *ret)
{
	struct nlmsghdr *h = nftnl_nlmsg_build_hdr(nf->out, NFT_MSG_GETTABLE, NFPROTO_UNSPEC, NLM_F_DUMP, ++nf->seq);

	*ret = 0;
	return nl_run(nf, h, count_table, ret);
}

int nft_count(struct nl *nf, bool host, unsigned *ret_have, unsigned *ret_want)
{
	unsigned families;
	int r = table_families(nf, &families);

	*ret_have = *ret_want = 0;
	for (int t = 0; t < RS_TABLE_NUM; t++)
		if (rs_tables[t].host == host) {
			++*ret_want;
			*ret_have += families >> rs_tables[t].family & 1;
		}
	return r;
}

static int replace_with(struct nl *nf, bool host, const struct rs_elems *e, unsigned families, uint32_t flags)
{
	struct batch b;

	batch_start(&b, nf);
	for (int t = 0; t < RS_TABLE_NUM; t++) {
		const struct rs_table_def *d = &rs_tables[t];

		if (d->host != host)
			continue;
		if (families >> d->family & 1)
			put_table(&b, d, true, 0);
		put_table(&b, d, false, flags);
		for (size_t i = 0; i < d->n_sets; i++)
			put_set(&b, d, i);
		for (size_t i = 0; i < d->n_chains; i++)
			put_chain(&b, d, &d->chains[i]);
		for (size_t i = 0; i < d->n_rules; i++)
			put_rule(&b, d, &d->rules[i]);
	}
	put_all_elems(&b, host, e, false);
	return batch_run(&b);
}

int nft_replace(struct nl *nf, bool host, const struct rs_elems *e)
{
	unsigned families;
	int r = table_families(nf, &families);

	if (r < 0)
		return r;
	r = replace_with(nf, host, e, families, TABLE_OWNED);
	/* Before 6.9 a table that stays without its owner is unknown, and one that goes with it of no use. */
	return r == -EOPNOTSUPP || r == -EINVAL ? replace_with(nf, host, e, families, 0) : r;
}

int nft_change(struct nl *nf, bool host, const struct rs_elems *e, bool del)
{
	struct batch b;
	size_t empty;

	batch_start(&b, nf);
	empty = buf_len(&b.b);
	put_all_elems(&b, host, e, del);
	if (buf_len(&b.b) == empty) {
		buf_done(&b.b);
		return 0;
	}
	return batch_run(&b);
}

int nft_refill(struct nl *nf, enum rs_table table, const char *set, const struct rs_elems *e)
{
	struct nftnl_set *s = nftnl_set_alloc();
	struct batch b;
	struct nlmsghdr *h;

	batch_start(&b, nf);
	b.failed = !s;
	if (s) {
		nftnl_set_set_str(s, NFTNL_SET_TABLE, RS_TABLE);
		nftnl_set_set_str(s, NFTNL_SET_NAME, set);
		h = batch_put(&b, NFT_MSG_DELSETELEM, (uint16_t)rs_tables[table].family, 0);
		nftnl_set_elems_nlmsg_build_payload(h, s);
		batch_commit(&b, h);
		nftnl_set_free(s);
	}
	for (size_t at = 0; at < e->n;)
		at = put_elems(&b, table, set, e, at, false);
	return batch_run(&b);
}

int nft_remove(struct nl *nf, bool host)
{
	unsigned families;
	int r = table_families(nf, &families);
	bool any = false;
	struct batch b;

	if (r < 0)
		return r;
	batch_start(&b, nf);
	for (int t = 0; t < RS_TABLE_NUM; t++)
		if (rs_tables[t].host == host && families >> rs_tables[t].family & 1) {
			put_table(&b, &rs_tables[t], true, 0);
			any = true;
		}
	if (any)
		return batch_run(&b);
	buf_done(&b.b);
	return 0;
}

struct visit {
	nft_elem_fn elem;
	nft_chain_fn chain;
	void *arg;
};

static int take_comment(const struct nftnl_udata *attr, void *data)
{
	const char **comment = data;
	const char *text = nftnl_udata_get(attr);
	uint8_t len = nftnl_udata_len(attr);

	if (nftnl_udata_type(attr) == NFTNL_UDATA_SET_ELEM_COMMENT && len && !text[len - 1])
		*comment = text;
	return 0;
}

static int on_elem(struct nftnl_set_elem *x, void *arg)
{
	uint32_t key_len = 0, data_len = 0, udata_len = 0;
	const void *key = nftnl_set_elem_get(x, NFTNL_SET_ELEM_KEY, &key_len), *data = NULL, *udata = NULL;
	const char *comment = "";
	struct visit *v = arg;

	if (nftnl_set_elem_is_set(x, NFTNL_SET_ELEM_DATA))
		data = nftnl_set_elem_get(x, NFTNL_SET_ELEM_DATA, &data_len);
	if (nftnl_set_elem_is_set(x, NFTNL_SET_ELEM_USERDATA))
		udata = nftnl_set_elem_get(x, NFTNL_SET_ELEM_USERDATA, &udata_len);
	if (udata && nftnl_udata_parse(udata, udata_len, take_comment, &comment) < 0)
		comment = "";
	if (key)
		v->elem(key, key_len, data, data_len, comment, v->arg);
	return 0;
}

static int on_elems(const struct nlmsghdr *h, void *arg)
{
	struct nftnl_set *s = nftnl_set_alloc();

	if (s && nftnl_set_elems_nlmsg_parse(h, s) == 0)
		nftnl_set_elem_foreach(s, on_elem, arg);
	if (s)
		nftnl_set_free(s);
	return s ? MNL_CB_OK : MNL_CB_ERROR;
}

int nft_elements(struct nl *nf, enum rs_table table, const char *set, nft_elem_fn fn, void *arg)
{
	struct nlmsghdr *h = nftnl_nlmsg_build_hdr(nf->out, NFT_MSG_GETSETELEM, (uint16_t)rs_tables[table].family,
						   NLM_F_DUMP, ++nf->seq);
	struct nftnl_set *s = nftnl_set_alloc();
	struct visit v = { .elem = fn, .arg = arg };

	if (!s)
		return -ENOMEM;
	nftnl_set_set_str(s, NFTNL_SET_TABLE, RS_TABLE);
	nftnl_set_set_str(s, NFTNL_SET_NAME, set);
	nftnl_set_elems_nlmsg_build_payload(h, s);
	nftnl_set_free(s);
	return nl_run(nf, h, on_elems, &v);
}

static int on_chain(const struct nlmsghdr *h, void *arg)
{
	const struct nfgenmsg *nfg = mnl_nlmsg_get_payload(h);
	struct nftnl_chain *c = nftnl_chain_alloc();
	struct visit *v = arg;

	if (c && nftnl_chain_nlmsg_parse(h, c) == 0 && nftnl_chain_is_set(c, NFTNL_CHAIN_HOOKNUM) &&
	    nftnl_chain_get_u32(c, NFTNL_CHAIN_HOOKNUM) == NF_INET_FORWARD &&
	    nftnl_chain_get_u32(c, NFTNL_CHAIN_POLICY) == NF_DROP &&
	    (nfg->nfgen_family == NFPROTO_IPV4 || nfg->nfgen_family == NFPROTO_INET) &&
	    !str_eq(nftnl_chain_get_str(c, NFTNL_CHAIN_TABLE), RS_TABLE))
		v->chain(nftnl_chain_get_str(c, NFTNL_CHAIN_TABLE), nftnl_chain_get_str(c, NFTNL_CHAIN_NAME),
			 nfg->nfgen_family, v->arg);
	if (c)
		nftnl_chain_free(c);
	return MNL_CB_OK;
}

int nft_forward_drops(struct nl *nf, nft_chain_fn fn, void *arg)
{
	struct nlmsghdr *h = nftnl_nlmsg_build_hdr(nf->out, NFT_MSG_GETCHAIN, NFPROTO_UNSPEC, NLM_F_DUMP, ++nf->seq);
	struct visit v = { .chain = fn, .arg = arg };

	return nl_run(nf, h, on_chain, &v);
}
