/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cutting flows in netpolicyd: lists the entries and deletes those that match by
 * their whole tuple, since kernels before 6.8 do not delete by a part of one.
 */
#include "netpolicy/ct.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <string.h>

#include "base/buf.h"

struct tuple {
	uint32_t src, dst;
	uint16_t sport, dport;
	uint8_t proto;
};

struct sweep {
	const struct ct_match *match;
	struct buf tuples; /* CTA_TUPLE_ORIG of each, with its head */
};

static struct nlmsghdr *start(struct nl *nf, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *h = nl_start(nf, (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type), flags);
	struct nfgenmsg *nfg = mnl_nlmsg_put_extra_header(h, sizeof(*nfg));

	nfg->nfgen_family = AF_INET;
	nfg->version = NFNETLINK_V0;
	return h;
}

static void parse_part(const struct nlattr *part, struct tuple *t)
{
	const struct nlattr *a;
	bool ip = mnl_attr_get_type(part) == CTA_TUPLE_IP;

	mnl_attr_for_each_nested(a, part)
	{
		uint16_t type = mnl_attr_get_type(a);

		if (ip && type == CTA_IP_V4_SRC)
			t->src = ntohl(mnl_attr_get_u32(a));
		else if (ip && type == CTA_IP_V4_DST)
			t->dst = ntohl(mnl_attr_get_u32(a));
		else if (!ip && type == CTA_PROTO_NUM)
			t->proto = mnl_attr_get_u8(a);
		else if (!ip && type == CTA_PROTO_SRC_PORT)
			t->sport = ntohs(mnl_attr_get_u16(a));
		else if (!ip && type == CTA_PROTO_DST_PORT)
			t->dport = ntohs(mnl_attr_get_u16(a));
	}
}

static void parse_tuple(const struct nlattr *nest, struct tuple *t)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, nest) if (mnl_attr_get_type(a) == CTA_TUPLE_IP ||
					      mnl_attr_get_type(a) == CTA_TUPLE_PROTO) parse_part(a, t);
}

/* An answer comes from where the request was led: reply.src is the guest behind an address translation. */
static bool matches(const struct ct_match *m, const struct tuple *orig, const struct tuple *reply)
{
	if (!m->proto)
		return orig->src == m->guest || orig->dst == m->guest || reply->src == m->guest ||
		       reply->dst == m->guest;
	return reply->src == m->guest && orig->proto == m->proto && reply->sport == m->port &&
	       (!m->host_port || orig->dport == m->host_port) && (!m->host_addr || orig->dst == m->host_addr);
}

static int on_entry(const struct nlmsghdr *h, void *arg)
{
	struct tuple orig = { 0 }, reply = { 0 };
	const struct nlattr *a, *key = NULL;
	struct sweep *s = arg;

	mnl_attr_for_each(a, h, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(a) == CTA_TUPLE_ORIG) {
			key = a;
			parse_tuple(a, &orig);
		} else if (mnl_attr_get_type(a) == CTA_TUPLE_REPLY) {
			parse_tuple(a, &reply);
		}
	}
	if (key && matches(s->match, &orig, &reply))
		buf_append(&s->tuples, key, MNL_ALIGN(mnl_attr_get_len(key)));
	return MNL_CB_OK;
}

int ct_delete(struct nl *nf, const struct ct_match *m)
{
	struct sweep s = { .match = m };
	int r = nl_run(nf, start(nf, IPCTNL_MSG_CT_GET, NLM_F_DUMP), on_entry, &s), one;

	while (buf_len(&s.tuples)) {
		const struct nlattr *a = (const struct nlattr *)buf_ptr(&s.tuples);
		struct nlmsghdr *h = start(nf, IPCTNL_MSG_CT_DELETE, NLM_F_ACK);

		mnl_attr_put(h, CTA_TUPLE_ORIG | NLA_F_NESTED, mnl_attr_get_payload_len(a), mnl_attr_get_payload(a));
		one = nl_run(nf, h, NULL, NULL);
		if (one < 0 && one != -ENOENT && r == 0) /* it may have ended meanwhile */
			r = one;
		buf_consume(&s.tuples, MNL_ALIGN(mnl_attr_get_len(a)));
	}
	buf_done(&s.tuples);
	return r;
}
