/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeping kernel and model together, in netpolicyd. The order of steps is what
 * makes it safe: a tap is up only after its pins are in force, N is opened before
 * H leads anything there, and H stops leading before N closes. When a change of
 * elements fails, all tables are put anew from the model in one transaction each,
 * which also repairs tables that somebody flushed.
 */
#include "netpolicy/state.h"

#include <errno.h>
#include <linux/ip.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "netpolicy/ct.h"
#include "netpolicy/nft.h"
#include "netpolicy/pool.h"
#include "netpolicy/worker.h"

#define DUMP_TRIES 5

struct rs_host state_host(const struct state *s)
{
	return (struct rs_host){ .pool = s->pool,
				 .resolvers = s->resolvers,
				 .n_resolvers = s->n_resolvers,
				 .addrs = s->host_addrs,
				 .n_addrs = s->n_host_addrs,
				 .root_may_connect = s->root_may_connect };
}

/* Both tables as the model has it. */
static int put_all(struct state *s, struct err *e)
{
	struct rs_elems elems = { 0 };
	struct rs_host h = state_host(s);
	int r;

	rs_all(&elems, &h, &s->model);
	r = nft_replace(&s->ns_nf, false, &elems);
	if (r < 0) {
		errno = -r;
		err_errno(e, "put the firewall's tables in the bottles' namespace");
	} else {
		r = nft_replace(&s->host_nf, true, &elems);
		if (r < 0) {
			errno = -r;
			err_errno(e, "put the firewall's table '%s' of the host", RS_TABLE);
		}
	}
	rs_elems_done(&elems);
	return r;
}

/* N first when opening, H first when closing. The model is already as it shall be. Consumes elems. */
static int change(struct state *s, struct rs_elems *elems, bool del, struct err *e)
{
	int r = nft_change(del ? &s->host_nf : &s->ns_nf, del, elems, del);

	if (r == 0)
		r = nft_change(del ? &s->ns_nf : &s->host_nf, !del, elems, del);
	rs_elems_done(elems);
	if (r < 0) {
		log_warn("the firewall was changed by others (%s): its tables are put anew", strerror(-r));
		r = put_all(s, e);
	}
	return r;
}

/* ---- reading back ---- */

struct loading {
	struct state *s;
	int *dead;
	size_t n_dead;
	bool endpoints; /* second pass */
};

static void mark_dead(struct loading *l, int ifindex)
{
	l->dead = xrealloc(l->dead, l->n_dead + 1, sizeof(*l->dead));
	l->dead[l->n_dead++] = ifindex;
}

/* A number behind b or t; what follows the greatest is free. */
static void note_name(struct state *s, const char *name)
{
	uint64_t n;

	if (str_u64(name + 1, UINT32_MAX - 1, &n) == 0 && n >= s->next_link)
		s->next_link = (uint32_t)n + 1;
}

static void load_network(struct loading *l, const struct link_info *link)
{
	struct network n;

	if (!alias_parse_network(link->alias, &n) || model_network(&l->s->model, n.uid, n.id)) {
		mark_dead(l, link->ifindex);
		return;
	}
	n.ifindex = link->ifindex;
	memcpy(n.name, link->name, sizeof(n.name));
	model_add_network(&l->s->model, &n);
}

/* A tap without carrier has no descriptor any more: its holder made it persistent and went. */
static void load_endpoint(struct loading *l, const struct link_info *link)
{
	struct endpoint ep;
	uint64_t net;

	if (!alias_parse_endpoint(link->alias, &ep, &net) || !(ep.net = model_network(&l->s->model, ep.uid, net)) ||
	    model_endpoint(&l->s->model, ep.uid, ep.id) || !link->carrier || !link->up) {
		mark_dead(l, link->ifindex);
		return;
	}
	ep.ifindex = link->ifindex;
	memcpy(ep.name, link->name, sizeof(ep.name));
	model_add_endpoint(&l->s->model, &ep);
}

static void load_link(const struct link_info *link, void *arg)
{
	struct loading *l = arg;
	char kind = link->name[0];

	if (str_eq(link->name, "lo") || str_eq(link->name, RS_LINK_NS) || (kind != 'b' && kind != 't'))
		return;
	note_name(l->s, link->name);
	if (!l->endpoints && kind == 'b')
		load_network(l, link);
	else if (l->endpoints && kind == 't')
		load_endpoint(l, link);
}

static void load_publish(const uint8_t *key, size_t key_len, const uint8_t *data, size_t data_len, const char *comment,
			 void *arg)
{
	struct state *s = arg;
	uint32_t uid, addr;
	uint64_t id;
	struct publish p;
	uid_t owner;

	if (!rs_ledger_parse(key, key_len, data, data_len, &p, &uid, &addr) || !comment_parse(comment, &owner, &id) ||
	    owner != uid || !(p.ep = model_endpoint(&s->model, uid, id)) || p.ep->addr != addr ||
	    model_publish(&s->model, p.proto, p.host_addr, p.host_port, true))
		return;
	model_add_publish(&s->model, &p);
}

static int load_links(struct loading *l, struct err *e)
{
	int r = -EINTR;

	for (int i = 0; i < DUMP_TRIES && r == -EINTR; i++) {
		model_clear(&l->s->model);
		l->n_dead = 0;
		l->endpoints = false;
		r = link_list(&l->s->ns_rt, load_link, l);
		l->endpoints = true;
		if (r == 0)
			r = link_list(&l->s->ns_rt, load_link, l);
	}
	errno = -r;
	return r < 0 ? err_errno(e, "read the links of the bottles' namespace") : 0;
}

static void keep_addr(uint32_t addr, void *arg)
{
	struct state *s = arg;

	if (s->n_host_addrs < HOST_ADDRS_MAX)
		s->host_addrs[s->n_host_addrs++] = addr;
}

static void load_addrs(struct state *s)
{
	int r = -EINTR;

	for (int i = 0; i < DUMP_TRIES && r == -EINTR; i++) {
		s->n_host_addrs = 0;
		r = link_addr_list(&s->host_rt, keep_addr, s);
	}
}

int state_look(struct state *s, struct err *e)
{
	struct loading l = { .s = s };
	int r = load_links(&l, e);

	free(l.dead);
	return r;
}

int state_load(struct state *s, struct err *e)
{
	struct loading l = { .s = s };
	int r = load_links(&l, e);

	for (size_t i = 0; r == 0 && i < l.n_dead; i++)
		link_del(&s->ns_rt, l.dead[i]);
	free(l.dead);
	if (r < 0)
		return r;
	/* N's record is the truth; H's copy is of use only when N's is lost. */
	if (nft_elements(&s->ns_nf, RS_NS, "ledger", load_publish, s) < 0)
		nft_elements(&s->host_nf, RS_HOST, "pub", load_publish, s);
	load_addrs(s);
	return put_all(s, e);
}

/* ---- networks ---- */

static const struct link_conf conf_internal[] = {
	{ IPV4_DEVCONF_FORWARDING, 0 },
	{ IPV4_DEVCONF_ARP_IGNORE, 8 },
	{ 0, 0 },
};
static const struct link_conf conf_routed[] = {
	{ IPV4_DEVCONF_FORWARDING, 1 },
	{ IPV4_DEVCONF_RP_FILTER, 1 },
	{ IPV4_DEVCONF_ARP_IGNORE, 1 },
	{ IPV4_DEVCONF_ARP_ANNOUNCE, 2 },
	{ IPV4_DEVCONF_SEND_REDIRECTS, 0 },
	{ IPV4_DEVCONF_ACCEPT_REDIRECTS, 0 },
	{ 0, 0 },
};

static int make_bridge(struct state *s, struct network *n)
{
	bool routed = n->kind == NET_KIND_BRIDGE;
	uint8_t mac[MAC_LEN];
	char alias[ALIAS_MAX];
	int r;

	mac_gateway(mac, n->uid, n->id);
	alias_network(alias, n);
	r = link_add_bridge(&s->ns_rt, n->name, mac);
	if (r < 0)
		return r;
	n->ifindex = link_index(&s->ns_rt, n->name);
	r = n->ifindex ? link_set(&s->ns_rt, n->ifindex, alias, NULL, 0, routed ? conf_routed : conf_internal)
		       : -ENODEV;
	if (r == 0 && routed)
		r = link_addr(&s->ns_rt, n->ifindex, n->gateway, n->prefix);
	return r;
}

int state_add_network(struct state *s, const struct network *want, struct network **ret, struct err *e)
{
	struct rs_elems elems = { 0 };
	struct network *n = model_add_network(&s->model, want);
	int r;

	snprintf(n->name, sizeof(n->name), "b%u", s->next_link++);
	r = make_bridge(s, n);
	errno = -r;
	if (r < 0) {
		err_errno(e, "make the bridge %s", n->name);
	} else {
		rs_network(&elems, n);
		r = change(s, &elems, false, e);
	}
	/* A network of routed taps has no port: its bridge only stands for it. */
	if (r == 0 && n->kind != NET_KIND_EGRESS) {
		r = link_up(&s->ns_rt, n->ifindex);
		errno = -r;
		if (r < 0)
			err_errno(e, "bring up the bridge %s", n->name);
	}
	if (r < 0) {
		state_del_network(s, n, NULL);
		return r;
	}
	*ret = n;
	return 0;
}

int state_del_network(struct state *s, struct network *n, struct err *e)
{
	struct rs_elems elems = { 0 };
	int ifindex = n->ifindex, r;

	rs_network(&elems, n);
	model_del_network(n);
	r = change(s, &elems, true, e);
	if (ifindex && link_del(&s->ns_rt, ifindex) < 0)
		log_warn("a bridge was gone already");
	return r;
}

/* ---- endpoints ---- */

static int attach_bridged(struct state *s, const struct endpoint *ep, const uint8_t mac[MAC_LEN])
{
	int r = link_port(&s->ns_rt, ep->ifindex);

	/* The fdb entry needs a port that is up; pins are in force by now. */
	if (r == 0)
		r = link_up(&s->ns_rt, ep->ifindex);
	if (r == 0)
		r = link_fdb(&s->ns_rt, ep->ifindex, mac);
	/* An address that passes to another guest must not be looked for at the former one's MAC. */
	if (r == 0 && ep->net->kind == NET_KIND_BRIDGE)
		r = link_neigh(&s->ns_rt, ep->net->ifindex, ep->addr, mac);
	return r;
}

static int attach_routed(struct state *s, const struct endpoint *ep, const uint8_t mac[MAC_LEN])
{
	int r = link_addr(&s->ns_rt, ep->ifindex, ep->net->gateway, 32);

	if (r == 0)
		r = link_up(&s->ns_rt, ep->ifindex);
	if (r == 0)
		r = link_neigh(&s->ns_rt, ep->ifindex, ep->addr, mac);
	return r < 0 ? r : link_route(&s->ns_rt, ep->ifindex, ep->addr, 32, 0);
}

static int attach(struct state *s, struct endpoint *ep, struct err *e)
{
	bool routed = ep->net->kind == NET_KIND_EGRESS;
	struct rs_elems elems = { 0 };
	uint8_t guest[MAC_LEN], own[MAC_LEN];
	char alias[ALIAS_MAX];
	int r;

	mac_guest(guest, ep->uid, ep->id);
	mac_gateway(own, ep->uid, ep->id);
	alias_endpoint(alias, ep);
	r = link_set(&s->ns_rt, ep->ifindex, alias, own, routed ? 0 : ep->net->ifindex,
		     routed ? conf_routed : conf_internal);
	errno = -r;
	if (r < 0)
		return err_errno(e, "set up the tap %s", ep->name);
	rs_endpoint(&elems, ep);
	r = change(s, &elems, false, e);
	if (r < 0)
		return r;
	r = routed ? attach_routed(s, ep, guest) : attach_bridged(s, ep, guest);
	errno = -r;
	return r < 0 ? err_errno(e, "attach the tap %s", ep->name) : 0;
}

int state_add_endpoint(struct state *s, const struct endpoint *want, struct endpoint **ret, int *ret_fd, struct err *e)
{
	struct endpoint *ep = model_add_endpoint(&s->model, want);
	int fd = -1, r;

	snprintf(ep->name, sizeof(ep->name), "t%u", s->next_link++);
	fd = worker_tap(s->worker_fd, ep->name);
	ep->ifindex = fd < 0 ? 0 : link_index(&s->ns_rt, ep->name);
	if (!ep->ifindex) {
		errno = fd < 0 ? -fd : ENODEV;
		r = err_errno(e, "make the tap %s", ep->name);
	} else {
		r = attach(s, ep, e);
	}
	if (r < 0) {
		if (fd >= 0)
			close(fd);
		state_del_endpoint(s, ep, NULL);
		return r;
	}
	*ret = ep;
	*ret_fd = fd;
	return 0;
}

static void cut(struct state *s, const struct ct_match *m)
{
	int host = ct_delete(&s->host_nf, m), ns = ct_delete(&s->ns_nf, m);

	if (host < 0 || ns < 0)
		log_error("live flows could not be cut: %s", strerror(-(host < 0 ? host : ns)));
}

int state_del_endpoint(struct state *s, struct endpoint *ep, struct err *e)
{
	struct ct_match flows = { .guest = ep->addr };
	int bridge = ep->net->kind == NET_KIND_BRIDGE ? ep->net->ifindex : 0;
	bool reachable = ep->net->kind != NET_KIND_INTERNAL;
	int ifindex = ep->gone ? 0 : ep->ifindex, r;
	struct rs_host h = state_host(s);
	struct rs_elems elems = { 0 };
	struct publish *p, *next;

	for (p = LIST_FIRST(&s->model.publishes); p; p = next) {
		next = LIST_NEXT(p, link);
		if (p->ep != ep)
			continue;
		rs_publish(&elems, &h, p, model_publish_shared(&s->model, p));
		model_del_publish(p);
	}
	rs_endpoint(&elems, ep);
	model_del_endpoint(ep);
	r = change(s, &elems, true, e);
	if (reachable)
		cut(s, &flows);
	if (bridge)
		link_neigh_del(&s->ns_rt, bridge, flows.guest); /* may never have been made */
	/* Its descriptor, wherever it is, is dead from here on. */
	if (ifindex)
		link_del(&s->ns_rt, ifindex);
	return r;
}

/* ---- publishes ---- */

int state_add_publish(struct state *s, const struct publish *want, struct err *e)
{
	struct rs_host h = state_host(s);
	struct rs_elems elems = { 0 };
	struct publish *p = model_add_publish(&s->model, want);
	struct ct_match stale = { .guest = p->ep->addr, .proto = p->proto, .port = p->port };
	int r;

	rs_publish(&elems, &h, p, false);
	r = change(s, &elems, false, e);
	if (r < 0)
		model_del_publish(p);
	else
		ct_delete(&s->ns_nf, &stale);
	return r;
}

int state_del_publish(struct state *s, struct publish *p, struct err *e)
{
	struct ct_match flows = { .guest = p->ep->addr,
				  .proto = p->proto,
				  .port = p->port,
				  .host_addr = p->host_addr,
				  .host_port = p->host_port };
	bool shared = model_publish_shared(&s->model, p);
	struct rs_host h = state_host(s);
	struct rs_elems elems = { 0 };
	int r;

	rs_publish(&elems, &h, p, shared);
	model_del_publish(p);
	r = change(s, &elems, true, e);
	if (ct_delete(&s->host_nf, &flows) < 0)
		log_error("live flows could not be cut");
	flows.host_addr = flows.host_port = 0;
	if (!shared && ct_delete(&s->ns_nf, &flows) < 0)
		log_error("live flows could not be cut");
	return r;
}

/* ---- events ---- */

static int on_link_event(const struct nlmsghdr *h, void *arg)
{
	struct state *s = arg;
	struct endpoint *ep;
	struct link_info l;

	if (h->nlmsg_type == RTM_DELLINK && link_parse(h, &l) && (ep = model_endpoint_by_index(&s->model, l.ifindex)))
		ep->gone = true;
	return MNL_CB_OK;
}

static int on_addr_event(const struct nlmsghdr *h, void *arg)
{
	if (h->nlmsg_type == RTM_NEWADDR || h->nlmsg_type == RTM_DELADDR)
		*(bool *)arg = true;
	return MNL_CB_OK;
}

static void reap_gone(struct state *s)
{
	struct endpoint *ep, *next;
	struct err e = { 0 };

	for (ep = LIST_FIRST(&s->model.endpoints); ep; ep = next) {
		next = LIST_NEXT(ep, link);
		if (ep->gone && state_del_endpoint(s, ep, &e) < 0)
			log_error("%s", e.text);
	}
}

static void refresh_addrs(struct state *s)
{
	struct rs_elems elems = { 0 };
	struct rs_host h;

	load_addrs(s);
	h = state_host(s);
	rs_host_addrs(&elems, &h);
	if (nft_refill(&s->ns_nf, RS_NS, "hostip", &elems) < 0)
		put_all(s, NULL);
	rs_elems_done(&elems);
}

void state_events(struct state *s)
{
	bool addrs = false, lost;
	struct err e = { 0 };

	lost = nl_events(&s->ns_events, on_link_event, s) < 0;
	addrs |= nl_events(&s->host_events, on_addr_event, &addrs) < 0;
	if (lost && state_load(s, &e) < 0)
		fatal("%s", e.text);
	reap_gone(s);
	if (addrs)
		refresh_addrs(s);
}

/* ---- teardown ---- */

int state_teardown(struct state *s, bool ns_there, struct err *e)
{
	struct endpoint *ep;
	struct network *n;
	int r = nft_remove(&s->host_nf, true);

	if (s->host_link)
		link_del(&s->host_rt, s->host_link); /* and its peer in N */
	LIST_FOREACH(ep, &s->model.endpoints, link)
		link_del(&s->ns_rt, ep->ifindex);
	LIST_FOREACH(n, &s->model.networks, link)
		link_del(&s->ns_rt, n->ifindex);
	if (r == 0 && ns_there)
		r = nft_remove(&s->ns_nf, false);
	errno = -r;
	return r < 0 ? err_errno(e, "remove the firewall's tables") : 0;
}
