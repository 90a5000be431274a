/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The copy of the kernel's state in netpolicyd, and the texts by which the
 * kernel keeps it. Only root can write an alias or a comment; they are parsed
 * strictly all the same, and what does not parse is not ours.
 */
#include "netpolicy/model.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "netpolicy/pool.h"

void model_clear(struct model *m)
{
	for (struct publish *p = LIST_FIRST(&m->publishes), *next; p; p = next) {
		next = LIST_NEXT(p, link);
		model_del_publish(p);
	}
	for (struct endpoint *ep = LIST_FIRST(&m->endpoints), *next; ep; ep = next) {
		next = LIST_NEXT(ep, link);
		model_del_endpoint(ep);
	}
	for (struct network *n = LIST_FIRST(&m->networks), *next; n; n = next) {
		next = LIST_NEXT(n, link);
		model_del_network(n);
	}
}

struct network *model_network(const struct model *m, uid_t uid, uint64_t id)
{
	struct network *n;

	LIST_FOREACH(n, &m->networks, link)
		if (n->uid == uid && n->id == id)
			return n;
	return NULL;
}

struct endpoint *model_endpoint(const struct model *m, uid_t uid, uint64_t id)
{
	struct endpoint *ep;

	LIST_FOREACH(ep, &m->endpoints, link)
		if (ep->uid == uid && ep->id == id)
			return ep;
	return NULL;
}

struct endpoint *model_endpoint_by_index(const struct model *m, int ifindex)
{
	struct endpoint *ep;

	LIST_FOREACH(ep, &m->endpoints, link)
		if (ep->ifindex == ifindex)
			return ep;
	return NULL;
}

struct publish *model_publish(const struct model *m, uint8_t proto, uint32_t host_addr, uint16_t host_port, bool exact)
{
	struct publish *p;

	LIST_FOREACH(p, &m->publishes, link)
		if (p->proto == proto && p->host_port == host_port &&
		    (p->host_addr == host_addr || (!exact && (!p->host_addr || !host_addr))))
			return p;
	return NULL;
}

bool model_publish_shared(const struct model *m, const struct publish *p)
{
	struct publish *q;

	LIST_FOREACH(q, &m->publishes, link)
		if (q != p && q->ep == p->ep && q->proto == p->proto && q->port == p->port &&
		    publish_is_loopback(q) == publish_is_loopback(p))
			return true;
	return false;
}

struct network *model_add_network(struct model *m, const struct network *n)
{
	struct network *copy = xmalloc(sizeof(*copy));

	*copy = *n;
	copy->n_endpoints = 0;
	LIST_INSERT_HEAD(&m->networks, copy, link);
	return copy;
}

struct endpoint *model_add_endpoint(struct model *m, const struct endpoint *ep)
{
	struct endpoint *copy = xmalloc(sizeof(*copy));

	*copy = *ep;
	copy->net->n_endpoints++;
	LIST_INSERT_HEAD(&m->endpoints, copy, link);
	return copy;
}

struct publish *model_add_publish(struct model *m, const struct publish *p)
{
	struct publish *copy = xmalloc(sizeof(*copy));

	*copy = *p;
	LIST_INSERT_HEAD(&m->publishes, copy, link);
	return copy;
}

void model_del_network(struct network *n)
{
	LIST_REMOVE(n, link);
	free(n);
}

void model_del_endpoint(struct endpoint *ep)
{
	ep->net->n_endpoints--;
	LIST_REMOVE(ep, link);
	free(ep);
}

void model_del_publish(struct publish *p)
{
	LIST_REMOVE(p, link);
	free(p);
}

/* Routed taps of one slice share their /24, whatever network they are of; a bridge's addresses are its own. */
bool model_addr_used(const struct model *m, const struct network *n, uint32_t addr)
{
	struct endpoint *ep;

	LIST_FOREACH(ep, &m->endpoints, link)
		if (ep->addr == addr && (ep->net == n || (n->kind == NET_KIND_EGRESS && ep->net->kind == n->kind)))
			return true;
	return false;
}

/* splitmix64's finalizer: spreads ids that differ in few bits. */
static uint64_t mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9;
	x ^= x >> 27;
	x *= 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static void mac_make(uint8_t ret[MAC_LEN], uint8_t second, uid_t uid, uint64_t id)
{
	uint64_t h = mix(id + mix(uid));

	ret[0] = 0x02;
	ret[1] = second;
	for (int i = 2; i < MAC_LEN; i++, h >>= 8)
		ret[i] = (uint8_t)h;
}

void mac_guest(uint8_t ret[MAC_LEN], uid_t uid, uint64_t id)
{
	mac_make(ret, 0xb0, uid, id);
}

void mac_gateway(uint8_t ret[MAC_LEN], uid_t uid, uint64_t id)
{
	mac_make(ret, 0xb1, uid, id);
}

void alias_network(char out[ALIAS_MAX], const struct network *n)
{
	char subnet[ADDR_TEXT], gateway[ADDR_TEXT];

	snprintf(out, ALIAS_MAX, "bottle:uid=%u:net=%016" PRIx64 ":kind=%u:sub=%s/%u:gw=%s:slice=%d", n->uid, n->id,
		 n->kind, addr_text(subnet, n->subnet), n->prefix, addr_text(gateway, n->gateway), (int)n->slice);
}

void alias_endpoint(char out[ALIAS_MAX], const struct endpoint *ep)
{
	char addr[ADDR_TEXT];

	snprintf(out, ALIAS_MAX, "bottle:uid=%u:net=%016" PRIx64 ":ep=%016" PRIx64 ":addr=%s", ep->uid, ep->net->id,
		 ep->id, addr_text(addr, ep->addr));
}

/* Parsed loosely, printed again and compared: only what we would have written is taken. */
bool alias_parse_network(const char *text, struct network *ret)
{
	char subnet[ADDR_TEXT], gateway[ADDR_TEXT], again[ALIAS_MAX];
	unsigned kind, prefix, uid;
	struct network n = { 0 };
	int slice;

	if (sscanf(text, "bottle:uid=%10u:net=%16" SCNx64 ":kind=%1u:sub=%15[0-9.]/%2u:gw=%15[0-9.]:slice=%2d", &uid,
		   &n.id, &kind, subnet, &prefix, gateway, &slice) != 7 ||
	    !addr_parse(subnet, &n.subnet) || !addr_parse(gateway, &n.gateway))
		return false;
	n.uid = uid;
	n.kind = (enum net_kind)kind;
	n.prefix = prefix;
	n.slice = (uint32_t)slice;
	alias_network(again, &n);
	if (strcmp(again, text) != 0 || kind < NET_KIND_INTERNAL || kind > NET_KIND_EGRESS ||
	    !addr_private_subnet(n.subnet, prefix) || (n.slice >= POOL_SLICES) != (kind == NET_KIND_INTERNAL))
		return false;
	*ret = n;
	return true;
}

bool alias_parse_endpoint(const char *text, struct endpoint *ret, uint64_t *ret_network)
{
	struct network n = { 0 };
	struct endpoint ep = { .net = &n };
	char addr[ADDR_TEXT], again[ALIAS_MAX];
	unsigned uid;

	if (sscanf(text, "bottle:uid=%10u:net=%16" SCNx64 ":ep=%16" SCNx64 ":addr=%15[0-9.]", &uid, &n.id, &ep.id,
		   addr) != 4 ||
	    !addr_parse(addr, &ep.addr))
		return false;
	ep.uid = uid;
	alias_endpoint(again, &ep);
	if (strcmp(again, text) != 0)
		return false;
	*ret_network = n.id;
	ep.net = NULL;
	*ret = ep;
	return true;
}

void comment_endpoint(char out[COMMENT_MAX], const struct endpoint *ep)
{
	snprintf(out, COMMENT_MAX, "uid=%u ep=%016" PRIx64, ep->uid, ep->id);
}

bool comment_parse(const char *text, uid_t *ret_uid, uint64_t *ret_endpoint)
{
	struct endpoint ep = { 0 };
	char again[COMMENT_MAX];
	unsigned uid;

	if (sscanf(text, "uid=%10u ep=%16" SCNx64, &uid, &ep.id) != 2)
		return false;
	ep.uid = uid;
	comment_endpoint(again, &ep);
	if (strcmp(again, text) != 0)
		return false;
	*ret_uid = uid;
	*ret_endpoint = ep.id;
	return true;
}
