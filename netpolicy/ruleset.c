/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of netpolicyd, as tables. Theory of operation: a guest's frame is
 * checked where it enters N (its MAC, IPv4 address and ARP must be the tap's
 * own), then by where it may go: internal bridges end at layer 2, everything
 * else is forwarded to the host only when its target is a public address or a
 * resolver. H translates addresses and lets nothing of N reach the host itself.
 * Guests are hostile; host users may reach a loopback publish only when it is theirs.
 *
 * Two rules of the craft, each from a frame that got through: at layer 2 match
 * positively and end with a drop (a lookup that reads past a short frame breaks
 * the rule, it doesn't match), and take the EtherType from the frame, not from
 * "meta protocol", which looks behind a VLAN tag.
 */
#include "netpolicy/ruleset.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter_arp.h>
#include <linux/netfilter_bridge.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <string.h>

#include "base/mem.h"
#include "netpolicy/pool.h"

/* nft's data type numbers. */
enum { T_ADDR = 7, T_ETHER = 9, T_PROTO = 12, T_PORT = 13, T_UID = 24, T_IFNAME = 41 };
#define T2(a, b)       ((a) << 6 | (b))
#define T3(a, b, c)    (T2(a, b) << 6 | (c))
#define T4(a, b, c, d) (T3(a, b, c) << 6 | (d))

/* Steps; several may make one match. Registers are 4 bytes wide; a key's parts follow each other. */
/* clang-format off */
#define LOAD_META(k, r)       { .kind = RS_META, .a = NFT_META_##k, .reg = (r) }
#define LOAD_NET(off, n, r)   { .kind = RS_PAYLOAD, .a = NFT_PAYLOAD_NETWORK_HEADER, .b = (off), .c = (n), .reg = (r) }
#define LOAD_TH(off, n, r)    { .kind = RS_PAYLOAD, .a = NFT_PAYLOAD_TRANSPORT_HEADER, .b = (off), .c = (n), .reg = (r) }
#define LOAD_LL(off, n, r)    { .kind = RS_PAYLOAD, .a = NFT_PAYLOAD_LL_HEADER, .b = (off), .c = (n), .reg = (r) }
#define CMP(o, n, ...)        { .kind = RS_CMP, .a = NFT_CMP_##o, .len = (n), .data = { __VA_ARGS__ } }
#define CMP_NAME(o, s)        { .kind = RS_CMP, .a = NFT_CMP_##o, .len = 16, .name = (s) }
#define CMP_HOST32(o, v)      { .kind = RS_CMP, .a = NFT_CMP_##o, .len = 4, .b = (v), .c = 1 }
#define MASK_HOST32(v)        { .kind = RS_MASK, .len = 4, .b = (v), .c = 1 }
#define MASK(n, ...)          { .kind = RS_MASK, .len = (n), .data = { __VA_ARGS__ } }
#define IN(s)                 { .kind = RS_LOOKUP, .name = (s) }
#define NOT_IN(s)             { .kind = RS_LOOKUP, .name = (s), .a = 1 }
#define DNAT_BY(s)            { .kind = RS_LOOKUP, .name = (s), .b = 1 }, { .kind = RS_DNAT }
#define MASQUERADE            { .kind = RS_MASQ }
#define COUNT                 { .kind = RS_COUNTER }
#define ACCEPT                { .kind = RS_VERDICT, .a = NF_ACCEPT }
#define DROP                  { .kind = RS_VERDICT, .a = NF_DROP }
#define JUMP(ch)              { .kind = RS_VERDICT, .a = (uint32_t)NFT_JUMP, .name = (ch) }
#define GOTO(ch)              { .kind = RS_VERDICT, .a = (uint32_t)NFT_GOTO, .name = (ch) }

#define IIF(o, s)     LOAD_META(IIFNAME, 0), CMP_NAME(o, s)
#define OIF(o, s)     LOAD_META(OIFNAME, 0), CMP_NAME(o, s)
#define IIF_IN(s)     LOAD_META(IIFNAME, 0), IN(s)
#define OIF_IN(s)     LOAD_META(OIFNAME, 0), IN(s)
#define IPV4          LOAD_META(NFPROTO, 0), CMP(EQ, 1, NFPROTO_IPV4)
#define IPV6          LOAD_META(NFPROTO, 0), CMP(EQ, 1, NFPROTO_IPV6)
#define L4(p)         LOAD_META(L4PROTO, 0), CMP(EQ, 1, p)
#define SADDR(r)      LOAD_NET(12, 4, r)
#define DADDR(r)      LOAD_NET(16, 4, r)
#define PROTO(r)      LOAD_META(L4PROTO, r)
#define DPORT(r)      LOAD_TH(2, 2, r)
#define TO_LOOPBACK   IPV4, LOAD_NET(16, 1, 0), CMP(EQ, 1, 127)
#define FROM_LOOPBACK IPV4, LOAD_NET(12, 1, 0), CMP(EQ, 1, 127)
#define CT_STATE(m)   { .kind = RS_CT, .a = NFT_CT_STATE }, MASK_HOST32(m), CMP_HOST32(NEQ, 0)
#define CT_DNAT       { .kind = RS_CT, .a = NFT_CT_STATUS }, MASK_HOST32(IPS_DST_NAT), CMP_HOST32(NEQ, 0)
#define CT_ORIG_DADDR { .kind = RS_CT, .a = NFT_CT_DST_IP, .b = 1 }
#define CT_LIVE       CT_STATE(NF_CT_STATE_BIT(IP_CT_ESTABLISHED) | NF_CT_STATE_BIT(IP_CT_RELATED))
#define CT_INVALID    CT_STATE(NF_CT_STATE_INVALID_BIT)
#define NOT_LOCAL     { .kind = RS_FIB, .a = NFTA_FIB_F_DADDR, .b = NFT_FIB_RESULT_ADDRTYPE }, CMP_HOST32(NEQ, RTN_LOCAL)
#define NO_WAY_BACK   { .kind = RS_FIB, .a = NFTA_FIB_F_SADDR | NFTA_FIB_F_IIF, .b = NFT_FIB_RESULT_OIF }, CMP_HOST32(EQ, 0)
#define TO_PORT       DADDR(0), PROTO(1), DPORT(2)

#define ICMP_UNREACHABLE 3
#define ICMP_EXCEEDED    11

/* ---- H ---- */

static const struct rs_set host_sets[] = {
	{ "pub", T4(T_UID, T_ADDR, T_PROTO, T_PORT), 16, T2(T_ADDR, T_PORT), 8, false },
	{ "pubext", T3(T_ADDR, T_PROTO, T_PORT), 12, T2(T_ADDR, T_PORT), 8, false },
	{ "pubany", T2(T_PROTO, T_PORT), 8, T2(T_ADDR, T_PORT), 8, false },
	{ "openlo", T4(T_UID, T_ADDR, T_PROTO, T_PORT), 16, 0, 0, false },
	{ "natnet", T_ADDR, 4, 0, 0, true },
};

/* Priorities: raw before conntrack; NAT before anyone else's at -100; ours of filter before 0. */
static const struct rs_chain host_chains[] = {
	{ "raw", "filter", NF_INET_PRE_ROUTING, -310, false },
	{ "natpre", "nat", NF_INET_PRE_ROUTING, -105, false },
	{ "natout", "nat", NF_INET_LOCAL_OUT, -105, false },
	{ "natpost", "nat", NF_INET_POST_ROUTING, 95, false },
	{ "input", "filter", NF_INET_LOCAL_IN, -5, false },
	{ "output", "filter", NF_INET_LOCAL_OUT, -5, false },
	{ "lopub", "filter", NF_INET_POST_ROUTING, -5, false },
	{ "forward", "filter", NF_INET_FORWARD, -5, false },
};

static const struct rs_rule host_rules[] = {
	{ "raw", { IIF(EQ, "lo"), ACCEPT } },
	/* route_localnet on bn0 must not open the loopback to a neighbour on any link (CVE-2020-8558). */
	{ "raw", { TO_LOOPBACK, COUNT, DROP } },
	{ "raw", { FROM_LOOPBACK, COUNT, DROP } },
	{ "raw", { IIF(EQ, RS_LINK_HOST), IPV4, SADDR(0), NOT_IN("natnet"), COUNT, DROP } },
	{ "raw", { IIF(EQ, RS_LINK_HOST), IPV6, DROP } },

	{ "natpre", { IIF(EQ, RS_LINK_HOST), ACCEPT } },
	{ "natpre", { NOT_LOCAL, ACCEPT } },
	{ "natpre", { IPV4, TO_PORT, DNAT_BY("pubext") } },
	{ "natpre", { IPV4, PROTO(0), DPORT(1), DNAT_BY("pubany") } },

	{ "natout", { NOT_LOCAL, ACCEPT } },
	{ "natout", { IPV4, LOAD_META(SKUID, 0), DADDR(1), PROTO(2), DPORT(3), DNAT_BY("pub") } },
	{ "natout", { IPV4, TO_PORT, DNAT_BY("pubext") } },
	{ "natout", { IPV4, PROTO(0), DPORT(1), DNAT_BY("pubany") } },

	/* A loopback source has no meaning in a guest. */
	{ "natpost", { OIF(EQ, RS_LINK_HOST), FROM_LOOPBACK, MASQUERADE } },
	{ "natpost", { OIF(NEQ, RS_LINK_HOST), IPV4, SADDR(0), IN("natnet"), MASQUERADE } },

	{ "input", { IIF(NEQ, RS_LINK_HOST), ACCEPT } },
	{ "input", { CT_LIVE, ACCEPT } },
	{ "input", { COUNT, DROP } },

	/* Here only what was sent to a guest's own address: a translated packet still has its first route's device. */
	{ "output", { OIF(NEQ, RS_LINK_HOST), ACCEPT } },
	{ "output", { CT_LIVE, ACCEPT } },
	{ "output", { COUNT, DROP } },

	/* Each datagram to a loopback publish, not only a flow's first: its port can pass to another user meanwhile. */
	{ "lopub", { OIF(NEQ, RS_LINK_HOST), ACCEPT } },
	{ "lopub", { IPV4, CT_ORIG_DADDR, MASK(4, 255), CMP(NEQ, 4, 127), ACCEPT } },
	{ "lopub", { IPV4, LOAD_META(SKUID, 0), DADDR(1), PROTO(2), DPORT(3), IN("openlo"), ACCEPT } },
	{ "lopub", { L4(IPPROTO_UDP), COUNT, DROP } },
	{ "lopub", { CT_LIVE, ACCEPT } },
	{ "lopub", { COUNT, DROP } },

	{ "forward", { IIF(NEQ, RS_LINK_HOST), OIF(NEQ, RS_LINK_HOST), ACCEPT } },
	{ "forward", { CT_LIVE, ACCEPT } },
	{ "forward", { CT_INVALID, DROP } },
	{ "forward", { IIF(EQ, RS_LINK_HOST), OIF(EQ, RS_LINK_HOST), COUNT, DROP } },
	{ "forward", { CT_DNAT, ACCEPT } },
	{ "forward", { OIF(EQ, RS_LINK_HOST), COUNT, DROP } },
};

/* ---- N, layer 3 ---- */

static const struct rs_set ns_sets[] = {
	{ "egtap", T_IFNAME, 16, 0, 0, false },  /* routed taps */
	{ "natbr", T_IFNAME, 16, 0, 0, false },  /* NATed bridges */
	{ "pinr", T3(T_IFNAME, T_ETHER, T_ADDR), 28, 0, 0, false },
	{ "hostip", T_ADDR, 4, 0, 0, false },
	{ "veth4", T_ADDR, 4, 0, 0, false },
	{ "deny4", T_ADDR, 4, 0, 0, true },
	{ "resolvers", T3(T_ADDR, T_PROTO, T_PORT), 12, 0, 0, false },
	{ "openlo", T3(T_ADDR, T_PROTO, T_PORT), 12, 0, 0, false },
	{ "openext", T3(T_ADDR, T_PROTO, T_PORT), 12, 0, 0, false },
	/* Not looked up by any rule: it is where publishes are kept. */
	{ "ledger", T4(T_UID, T_ADDR, T_PROTO, T_PORT), 16, T2(T_ADDR, T_PORT), 8, false },
};

static const struct rs_chain ns_chains[] = {
	{ "raw", "filter", NF_INET_PRE_ROUTING, -310, false },
	{ "input", "filter", NF_INET_LOCAL_IN, -5, true },
	{ "output", "filter", NF_INET_LOCAL_OUT, -5, true },
	{ "forward", "filter", NF_INET_FORWARD, -5, true },
	{ "outward", NULL, 0, 0, false },
};

static const struct rs_rule ns_rules[] = {
	{ "raw", { TO_LOOPBACK, COUNT, DROP } },
	{ "raw", { FROM_LOOPBACK, COUNT, DROP } },
	{ "raw", { IPV6, DROP } },
	{ "raw", { IIF_IN("egtap"), IPV4, LOAD_META(IIFNAME, 0), LOAD_LL(6, 6, 4), SADDR(6), NOT_IN("pinr"), COUNT, DROP } },
	{ "raw", { NO_WAY_BACK, COUNT, DROP } },

	{ "output", { IPV4, L4(IPPROTO_ICMP), LOAD_TH(0, 1, 0), CMP(EQ, 1, ICMP_UNREACHABLE), ACCEPT } },
	{ "output", { IPV4, L4(IPPROTO_ICMP), LOAD_TH(0, 1, 0), CMP(EQ, 1, ICMP_EXCEEDED), ACCEPT } },

	{ "forward", { CT_LIVE, ACCEPT } },
	{ "forward", { CT_INVALID, DROP } },
	{ "forward", { IIF(EQ, RS_LINK_NS), IPV4, SADDR(0), IN("veth4"), TO_PORT, IN("openlo"), ACCEPT } },
	{ "forward", { IIF(EQ, RS_LINK_NS), IPV4, TO_PORT, IN("openext"), ACCEPT } },
	{ "forward", { OIF(EQ, RS_LINK_NS), IIF_IN("egtap"), JUMP("outward") } },
	{ "forward", { OIF(EQ, RS_LINK_NS), IIF_IN("natbr"), JUMP("outward") } },

	{ "outward", { IPV4, TO_PORT, IN("resolvers"), ACCEPT } },
	{ "outward", { IPV4, DADDR(0), IN("hostip"), COUNT, DROP } },
	{ "outward", { IPV4, DADDR(0), IN("deny4"), COUNT, DROP } },
	{ "outward", { IPV4, ACCEPT } },
};

/* ---- N, ARP of routed taps ---- */

static const struct rs_set arp_sets[] = {
	{ "egtap", T_IFNAME, 16, 0, 0, false },
	{ "pinr", T3(T_IFNAME, T_ETHER, T_ADDR), 28, 0, 0, false },
};

static const struct rs_chain arp_chains[] = {
	{ "input", "filter", NF_ARP_IN, 0, false },
	{ "pin", NULL, 0, 0, false },
};

/* Ethernet and IPv4, six and four bytes; the sender's pair is the tap's own. */
#define ARP_HEAD  LOAD_NET(0, 6, 0), CMP(EQ, 6, 0, 1, 8, 0, 6, 4)
#define ARP_OP(n) LOAD_NET(6, 2, 0), CMP(EQ, 2, 0, n)
#define ARP_PIN   LOAD_META(IIFNAME, 0), LOAD_NET(8, 6, 4), LOAD_NET(14, 4, 6)

static const struct rs_rule arp_rules[] = {
	{ "input", { IIF_IN("egtap"), GOTO("pin") } },
	{ "pin", { ARP_HEAD, ARP_OP(1), ARP_PIN, IN("pinr"), ACCEPT } },
	{ "pin", { ARP_HEAD, ARP_OP(2), ARP_PIN, IN("pinr"), ACCEPT } },
	{ "pin", { COUNT, DROP } },
};

/* ---- N, bridges ---- */

static const struct rs_set bridge_sets[] = {
	{ "tap", T_IFNAME, 16, 0, 0, false },   /* every port */
	{ "inttap", T_IFNAME, 16, 0, 0, false }, /* those on internal bridges */
	{ "intbr", T_IFNAME, 16, 0, 0, false }, /* internal bridges themselves */
	{ "pin4", T3(T_IFNAME, T_ETHER, T_ADDR), 28, 0, 0, false },
	{ "gwpin", T2(T_IFNAME, T_ETHER), 24, 0, 0, false }, /* gateways of internal bridges: answer for public addresses */
	{ "deny4", T_ADDR, 4, 0, 0, true },
};

static const struct rs_chain bridge_chains[] = {
	{ "pre", "filter", NF_BR_PRE_ROUTING, -310, false }, { "input", "filter", NF_BR_LOCAL_IN, -200, false },
	{ "output", "filter", NF_BR_LOCAL_OUT, -200, false }, { "fromtap", NULL, 0, 0, false },
	{ "ipin", NULL, 0, 0, false }, { "arpin", NULL, 0, 0, false },
};

#define ETHER_TYPE(a, b) LOAD_LL(12, 2, 0), CMP(EQ, 2, a, b)
#define MULTICAST        LOAD_LL(0, 1, 0), MASK(1, 1), CMP(EQ, 1, 1)
#define UDP_PORT(off, p) L4(IPPROTO_UDP), LOAD_TH(off, 2, 0), CMP(EQ, 2, 0, p)
#define FRAME_PIN        LOAD_META(IIFNAME, 0), LOAD_LL(6, 6, 4)

static const struct rs_rule bridge_rules[] = {
	{ "pre", { IIF_IN("tap"), GOTO("fromtap") } },
	{ "fromtap", { ETHER_TYPE(8, 0), GOTO("ipin") } },
	{ "fromtap", { ETHER_TYPE(8, 6), GOTO("arpin") } },
	{ "fromtap", { COUNT, DROP } },

	{ "ipin", { MULTICAST, COUNT, DROP } },
	{ "ipin", { UDP_PORT(0, 67), COUNT, DROP } },
	{ "ipin", { UDP_PORT(0, 68), COUNT, DROP } },
	{ "ipin", { UDP_PORT(2, 67), COUNT, DROP } },
	{ "ipin", { UDP_PORT(2, 68), COUNT, DROP } },
	{ "ipin", { FRAME_PIN, SADDR(6), IN("pin4"), ACCEPT } },
	{ "ipin", { FRAME_PIN, IN("gwpin"), SADDR(0), NOT_IN("deny4"), ACCEPT } },
	{ "ipin", { COUNT, DROP } },

	{ "arpin", { ARP_HEAD, ARP_OP(1), ARP_PIN, IN("pin4"), FRAME_PIN, LOAD_NET(14, 4, 6), IN("pin4"), ACCEPT } },
	{ "arpin", { ARP_HEAD, ARP_OP(2), ARP_PIN, IN("pin4"), FRAME_PIN, LOAD_NET(14, 4, 6), IN("pin4"), ACCEPT } },
	{ "arpin", { COUNT, DROP } },

	{ "input", { IIF_IN("inttap"), COUNT, DROP } },
	{ "output", { OIF_IN("inttap"), COUNT, DROP } },
	{ "output", { OIF_IN("intbr"), COUNT, DROP } },
};

#define TABLE(fam, in_host, p) \
	{ .family = (fam), .host = (in_host), .sets = p##_sets, .n_sets = ARRAY_SIZE(p##_sets), .chains = p##_chains, \
	  .n_chains = ARRAY_SIZE(p##_chains), .rules = p##_rules, .n_rules = ARRAY_SIZE(p##_rules) }

const struct rs_table_def rs_tables[RS_TABLE_NUM] = {
	[RS_HOST] = TABLE(NFPROTO_INET, true, host),
	[RS_NS] = TABLE(NFPROTO_INET, false, ns),
	[RS_NS_ARP] = TABLE(NFPROTO_ARP, false, arp),
	[RS_NS_BRIDGE] = TABLE(NFPROTO_BRIDGE, false, bridge),
};

/* ---- elements ---- */

/* 203.0.113.0/24 is left out: it leads nowhere, and tests use it as a public network. */
static const struct {
	uint32_t base;
	unsigned prefix;
} denied[] = {
	{ 0x00000000, 8 },  { 0x0a000000, 8 },	{ 0x64400000, 10 }, { 0x7f000000, 8 },	{ 0xa9fe0000, 16 },
	{ 0xac100000, 12 }, { 0xc0000000, 24 }, { 0xc0000200, 24 }, { 0xc0586300, 24 }, { 0xc0a80000, 16 },
	{ 0xc6120000, 15 }, { 0xc6336400, 24 }, { 0xe0000000, 3 },
};
/* clang-format on */

void rs_elems_done(struct rs_elems *e)
{
	free(e->v);
	*e = (struct rs_elems){ 0 };
}

static struct rs_elem *add(struct rs_elems *e, enum rs_table table, const char *set)
{
	struct rs_elem *x;

	if (e->n == e->size) {
		e->size = e->size ? e->size * 2 : 16;
		e->v = xrealloc(e->v, e->size, sizeof(*e->v));
	}
	x = &e->v[e->n++];
	*x = (struct rs_elem){ .table = table, .set = set };
	return x;
}

/* Each part of a key takes whole 4-byte slots. */
static void put(uint8_t *at, uint32_t *len, const void *data, uint32_t n)
{
	memcpy(at + *len, data, n);
	*len += (n + 3) & ~3U;
}

static void key_bytes(struct rs_elem *x, const void *data, uint32_t n)
{
	put(x->key, &x->key_len, data, n);
}

static void key_addr(struct rs_elem *x, uint32_t addr)
{
	uint32_t net = htonl(addr);

	key_bytes(x, &net, sizeof(net));
}

static void key_service(struct rs_elem *x, uint8_t proto, uint16_t port)
{
	uint16_t net = htons(port);

	key_bytes(x, &proto, sizeof(proto));
	key_bytes(x, &net, sizeof(net));
}

static void key_name(struct rs_elem *x, const char *name)
{
	char padded[IFNAMSIZ] = "";

	memcpy(padded, name, strnlen(name, IFNAMSIZ - 1));
	key_bytes(x, padded, sizeof(padded));
}

static void range(struct rs_elems *e, enum rs_table table, const char *set, uint32_t base, unsigned prefix)
{
	uint32_t end = base + ~prefix_mask(prefix) + 1;
	struct rs_elem *x;

	key_addr(add(e, table, set), base);
	if (end) { /* up to the last address there is needs none */
		x = add(e, table, set);
		key_addr(x, end);
		x->interval_end = true;
	}
}

void rs_host_addrs(struct rs_elems *e, const struct rs_host *h)
{
	for (size_t i = 0; i < h->n_addrs; i++)
		key_addr(add(e, RS_NS, "hostip"), h->addrs[i]);
}

void rs_constant(struct rs_elems *e, const struct rs_host *h)
{
	for (size_t i = 0; i < ARRAY_SIZE(denied); i++) {
		range(e, RS_NS, "deny4", denied[i].base, denied[i].prefix);
		range(e, RS_NS_BRIDGE, "deny4", denied[i].base, denied[i].prefix);
	}
	range(e, RS_HOST, "natnet", h->pool, POOL_PREFIX);
	key_addr(add(e, RS_NS, "veth4"), pool_veth_host(h->pool));
	for (size_t i = 0; i < h->n_resolvers; i++)
		for (int udp = 0; udp < 2; udp++) {
			struct rs_elem *x = add(e, RS_NS, "resolvers");

			key_addr(x, h->resolvers[i]);
			key_service(x, udp ? IPPROTO_UDP : IPPROTO_TCP, 53);
		}
}

void rs_network(struct rs_elems *e, const struct network *n)
{
	if (n->kind == NET_KIND_INTERNAL)
		key_name(add(e, RS_NS_BRIDGE, "intbr"), n->name);
	else if (n->kind == NET_KIND_BRIDGE)
		key_name(add(e, RS_NS, "natbr"), n->name);
}

static struct rs_elem *add_of(struct rs_elems *e, enum rs_table table, const char *set, const struct endpoint *ep)
{
	struct rs_elem *x = add(e, table, set);

	comment_endpoint(x->comment, ep);
	return x;
}

static void pin(struct rs_elems *e, enum rs_table table, const char *set, const struct endpoint *ep, bool with_addr)
{
	struct rs_elem *x = add_of(e, table, set, ep);
	uint8_t mac[MAC_LEN];

	mac_guest(mac, ep->uid, ep->id);
	key_name(x, ep->name);
	key_bytes(x, mac, MAC_LEN);
	if (with_addr)
		key_addr(x, ep->addr);
}

void rs_endpoint(struct rs_elems *e, const struct endpoint *ep)
{
	const struct network *n = ep->net;

	if (n->kind == NET_KIND_EGRESS) {
		key_name(add_of(e, RS_NS, "egtap", ep), ep->name);
		key_name(add_of(e, RS_NS_ARP, "egtap", ep), ep->name);
		pin(e, RS_NS, "pinr", ep, true);
		pin(e, RS_NS_ARP, "pinr", ep, true);
		return;
	}
	key_name(add_of(e, RS_NS_BRIDGE, "tap", ep), ep->name);
	pin(e, RS_NS_BRIDGE, "pin4", ep, true);
	if (n->kind != NET_KIND_INTERNAL)
		return;
	key_name(add_of(e, RS_NS_BRIDGE, "inttap", ep), ep->name);
	if (n->gateway == ep->addr)
		pin(e, RS_NS_BRIDGE, "gwpin", ep, false);
}

static void to_guest(struct rs_elem *x, const struct publish *p)
{
	uint32_t addr = htonl(p->ep->addr);
	uint16_t port = htons(p->port);

	put(x->data, &x->data_len, &addr, sizeof(addr));
	put(x->data, &x->data_len, &port, sizeof(port));
}

static void by_uid(struct rs_elems *e, enum rs_table table, const char *set, const struct publish *p, uint32_t uid)
{
	struct rs_elem *x = add_of(e, table, set, p->ep);

	key_bytes(x, &uid, sizeof(uid));
	key_addr(x, p->host_addr);
	key_service(x, p->proto, p->host_port);
	to_guest(x, p);
}

static void open_local(struct rs_elems *e, const struct publish *p, uint32_t uid)
{
	struct rs_elem *x = add_of(e, RS_HOST, "openlo", p->ep);

	key_bytes(x, &uid, sizeof(uid));
	key_addr(x, p->ep->addr);
	key_service(x, p->proto, p->port);
}

static void open_port(struct rs_elems *e, const char *set, const struct publish *p)
{
	struct rs_elem *x = add_of(e, RS_NS, set, p->ep);

	key_addr(x, p->ep->addr);
	key_service(x, p->proto, p->port);
}

static void publish_external(struct rs_elems *e, const struct publish *p, bool shared)
{
	struct rs_elem *x = add_of(e, RS_HOST, p->host_addr ? "pubext" : "pubany", p->ep);

	if (p->host_addr)
		key_addr(x, p->host_addr);
	key_service(x, p->proto, p->host_port);
	to_guest(x, p);
	if (!shared)
		open_port(e, "openext", p);
}

void rs_publish(struct rs_elems *e, const struct rs_host *h, const struct publish *p, bool shared)
{
	bool root_too = h->root_may_connect && p->ep->uid != 0 && publish_is_loopback(p);

	by_uid(e, RS_NS, "ledger", p, p->ep->uid);
	by_uid(e, RS_HOST, "pub", p, p->ep->uid);
	if (root_too)
		by_uid(e, RS_HOST, "pub", p, 0);
	if (!publish_is_loopback(p)) {
		publish_external(e, p, shared);
		return;
	}
	if (shared)
		return;
	open_port(e, "openlo", p);
	open_local(e, p, p->ep->uid);
	if (root_too)
		open_local(e, p, 0);
}

void rs_all(struct rs_elems *e, const struct rs_host *h, const struct model *m)
{
	const struct endpoint *ep;
	const struct network *n;
	struct publish *p, *q;

	rs_constant(e, h);
	rs_host_addrs(e, h);
	LIST_FOREACH(n, &m->networks, link)
		rs_network(e, n);
	LIST_FOREACH(ep, &m->endpoints, link)
		rs_endpoint(e, ep);
	LIST_FOREACH(p, &m->publishes, link) {
		bool shared = false; /* with one that came before */

		for (q = LIST_FIRST(&m->publishes); q != p && !shared; q = LIST_NEXT(q, link))
			shared = q->ep == p->ep && q->proto == p->proto && q->port == p->port &&
				 publish_is_loopback(q) == publish_is_loopback(p);
		rs_publish(e, h, p, shared);
	}
}

bool rs_ledger_parse(const uint8_t *key, size_t key_len, const uint8_t *data, size_t data_len, struct publish *ret,
		     uint32_t *ret_uid, uint32_t *ret_addr)
{
	uint32_t host_addr, addr;
	uint16_t host_port, port;

	if (key_len != 16 || data_len < 6)
		return false;
	memcpy(ret_uid, key, 4);
	memcpy(&host_addr, key + 4, 4);
	memcpy(&host_port, key + 12, 2);
	memcpy(&addr, data, 4);
	memcpy(&port, data + 4, 2);
	*ret = (struct publish){
		.proto = key[8], .host_addr = ntohl(host_addr), .host_port = ntohs(host_port), .port = ntohs(port)
	};
	*ret_addr = ntohl(addr);
	return ret->host_port && ret->port && (ret->proto == IPPROTO_TCP || ret->proto == IPPROTO_UDP);
}
