/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The requests of netpolicyd's clients, each of whom may be any user of the
 * machine. A handler gets the uid that the kernel vouches for and numbers that
 * msg.c has typed; it decides here, from the model, and only then calls state.c.
 * Ids are looked up together with the uid, so another user's do not exist.
 */
#include "netpolicy/dispatch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netconf.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "netpolicy/msg.h"
#include "netpolicy/nft.h"

/* The longest answer, to LIST: heads of 8 bytes, then the values. */
#define LIST_NETWORK  (5 * 8 + 8 + 4 * 4)
#define LIST_ENDPOINT (5 * 8 + 8 + 8 + 4 + 6 + 4)
#define LIST_PUBLISH  (5 * 8 + 8 + 4 * 4)
_Static_assert(NET_NETWORKS_MAX *LIST_NETWORK + NET_ENDPOINTS_MAX * LIST_ENDPOINT + NET_PUBLISHES_MAX * LIST_PUBLISH <=
		       IPC_BODY_MAX,
	       "a uid's whole list is one message");

struct request {
	struct dispatch *d;
	struct state *s;
	uid_t uid;
	struct msg_args a;
	struct ipc_msg *m;
	struct tlv reply;
	int fd; /* goes with the answer */
};

static void put_addr(struct tlv *t, enum net_tag tag, uint32_t addr)
{
	uint32_t net = htonl(addr);

	tlv_bytes(t, (uint16_t)tag, &net, sizeof(net));
}

static void put_mac(struct tlv *t, enum net_tag tag, const uint8_t mac[MAC_LEN])
{
	tlv_bytes(t, (uint16_t)tag, mac, MAC_LEN);
}

/* ---- slices ---- */

static bool slice_held(const struct dispatch *d, unsigned slice, uid_t *ret_uid)
{
	const struct network *n;

	LIST_FOREACH(n, &d->state->model.networks, link)
		if (n->slice == slice) {
			*ret_uid = n->uid;
			return true;
		}
	*ret_uid = d->reserved_uid[slice];
	return d->reserved[slice];
}

/* The uid's own, or a free one that is its from now on; NO_SLICE when all are taken. */
static uint32_t slice_get(struct dispatch *d, uid_t uid)
{
	uint32_t unused = NO_SLICE;

	for (unsigned i = 0; i < POOL_SLICES; i++) {
		uid_t holder;

		if (!slice_held(d, i, &holder)) {
			if (unused == NO_SLICE)
				unused = i;
		} else if (holder == uid) {
			return i;
		}
	}
	if (unused != NO_SLICE) {
		d->reserved[unused] = true;
		d->reserved_uid[unused] = uid;
	}
	return unused;
}

void dispatch_left(struct dispatch *d, uid_t uid)
{
	for (unsigned i = 0; i < POOL_SLICES; i++)
		if (d->reserved[i] && d->reserved_uid[i] == uid)
			d->reserved[i] = false;
}

/* ---- handlers ---- */

/* Safe: gives numbers only; a slice without objects is taken back when the caller leaves. */
static int on_hello(struct request *q, struct err *e)
{
	uint32_t slice;

	if (q->a.version != NET_PROTO_VERSION)
		return err_set(e, ERR_INVALID, EPROTO,
			       "netpolicyd speaks version %d, not %u; install both from one release", NET_PROTO_VERSION,
			       q->a.version);
	tlv_u32(&q->reply, NET_TAG_VERSION, NET_PROTO_VERSION);
	slice = slice_get(q->d, q->uid);
	if (slice != NO_SLICE) {
		put_addr(&q->reply, NET_TAG_SLICE, pool_slice(q->s->pool, slice));
		tlv_u32(&q->reply, NET_TAG_PREFIX, SLICE_PREFIX);
	}
	tlv_u32(&q->reply, NET_TAG_QUOTA_NETWORKS, NET_NETWORKS_MAX);
	tlv_u32(&q->reply, NET_TAG_QUOTA_ENDPOINTS, NET_ENDPOINTS_MAX);
	tlv_u32(&q->reply, NET_TAG_QUOTA_PUBLISHES, NET_PUBLISHES_MAX);
	return 0;
}

static void put_network(struct tlv *t, const struct network *n)
{
	put_addr(t, NET_TAG_SUBNET, n->subnet);
	tlv_u32(t, NET_TAG_PREFIX, n->prefix);
	if (n->gateway)
		put_addr(t, NET_TAG_GATEWAY, n->gateway);
}

static int plan_internal(const struct msg_args *a, struct network *n, struct err *e)
{
	if (!msg_has(a, NET_TAG_SUBNET) || !msg_has(a, NET_TAG_PREFIX) || msg_has(a, NET_TAG_INDEX))
		return err_set(e, ERR_INVALID, EINVAL, "an internal network needs its subnet and prefix, and no index");
	if (!addr_private_subnet(a->subnet, a->prefix))
		return err_set(
			e, ERR_DENIED, EACCES,
			"the subnet of an internal network must be private (RFC 1918), /8 to /29, without host bits");
	if (msg_has(a, NET_TAG_GATEWAY) && !addr_inside(a->gateway, a->subnet, a->prefix))
		return err_set(e, ERR_DENIED, EACCES, "the gateway is not an address of the network");
	n->subnet = a->subnet;
	n->prefix = a->prefix;
	n->gateway = a->gateway;
	n->slice = NO_SLICE;
	return 0;
}

static bool subnet_used(const struct model *m, uint32_t subnet)
{
	const struct network *n;

	LIST_FOREACH(n, &m->networks, link)
		if (n->kind == NET_KIND_BRIDGE && n->subnet == subnet)
			return true;
	return false;
}

static int plan_bridge(struct request *q, struct network *n, struct err *e)
{
	uint32_t i = q->a.index;

	if (msg_has(&q->a, NET_TAG_INDEX)) {
		if (i >= NET_BRIDGES_MAX)
			return err_set(e, ERR_DENIED, EACCES, "index %u is outside your slice: 0 to %d", i,
				       NET_BRIDGES_MAX - 1);
		if (subnet_used(&q->s->model, pool_bridge(q->s->pool, n->slice, i)))
			return err_set(e, ERR_CONFLICT, EEXIST, "another network of yours has index %u", i);
	} else {
		for (i = 0; i < NET_BRIDGES_MAX && subnet_used(&q->s->model, pool_bridge(q->s->pool, n->slice, i)); i++)
			;
		if (i == NET_BRIDGES_MAX)
			return err_set(e, ERR_LIMIT, EDQUOT, "all %d bridge networks of a user are taken; delete one",
				       NET_BRIDGES_MAX);
	}
	n->subnet = pool_bridge(q->s->pool, n->slice, i);
	return 0;
}

/* BRIDGE and EGRESS: the addresses are of the caller's slice and of no one's choosing. */
static int plan_pooled(struct request *q, struct network *n, struct err *e)
{
	int r = 0;

	if (q->a.seen & (1U << NET_TAG_SUBNET | 1U << NET_TAG_PREFIX | 1U << NET_TAG_GATEWAY) ||
	    (n->kind == NET_KIND_EGRESS && msg_has(&q->a, NET_TAG_INDEX)))
		return err_set(e, ERR_INVALID, EINVAL,
			       "the addresses of this kind of network are not the caller's to choose");
	n->slice = slice_get(q->d, q->uid);
	if (n->slice == NO_SLICE)
		return err_set(e, ERR_LIMIT, EDQUOT, "all %d users' address slices are taken", POOL_SLICES);
	n->subnet = pool_egress(q->s->pool, n->slice);
	n->prefix = 24;
	if (n->kind == NET_KIND_BRIDGE)
		r = plan_bridge(q, n, e);
	n->gateway = n->subnet + 1;
	return r;
}

static bool same_network(const struct network *n, const struct msg_args *a, uint32_t pool)
{
	return n->kind == (enum net_kind)a->kind && (!msg_has(a, NET_TAG_SUBNET) || n->subnet == a->subnet) &&
	       (!msg_has(a, NET_TAG_PREFIX) || n->prefix == a->prefix) &&
	       (!msg_has(a, NET_TAG_GATEWAY) || n->gateway == a->gateway) &&
	       (!msg_has(a, NET_TAG_INDEX) || (a->index < NET_BRIDGES_MAX && n->slice < POOL_SLICES &&
					       n->subnet == pool_bridge(pool, n->slice, a->index)));
}

static uint32_t count_networks(const struct model *m, uid_t uid)
{
	const struct network *n;
	uint32_t count = 0;

	LIST_FOREACH(n, &m->networks, link)
		count += n->uid == uid;
	return count;
}

/*
 * Safe: an internal subnet is given by the caller, but N has no address on it and
 * routes nothing there, so it cannot hide or reach anything. All else is of the slice.
 */
static int on_network_add(struct request *q, struct err *e)
{
	struct network plan = { .id = q->a.network, .uid = q->uid, .kind = (enum net_kind)q->a.kind }, *n;
	int r;

	n = model_network(&q->s->model, q->uid, plan.id);
	if (n) {
		if (!same_network(n, &q->a, q->s->pool))
			return err_set(e, ERR_CONFLICT, EEXIST, "the network exists with other values");
		put_network(&q->reply, n);
		return 0;
	}
	if (q->a.kind < NET_KIND_INTERNAL || q->a.kind > NET_KIND_EGRESS)
		return err_set(e, ERR_INVALID, EINVAL, "there is no kind %u of network", q->a.kind);
	if (count_networks(&q->s->model, q->uid) >= NET_NETWORKS_MAX)
		return err_set(e, ERR_LIMIT, EDQUOT, "a user may have %d networks; delete one", NET_NETWORKS_MAX);
	r = plan.kind == NET_KIND_INTERNAL ? plan_internal(&q->a, &plan, e) : plan_pooled(q, &plan, e);
	if (r == 0)
		r = state_add_network(q->s, &plan, &n, e);
	if (r == 0)
		put_network(&q->reply, n);
	return r;
}

/* Safe: own and empty networks only. */
static int on_network_del(struct request *q, struct err *e)
{
	struct network *n = model_network(&q->s->model, q->uid, q->a.network);

	if (!n)
		return 0;
	if (n->n_endpoints)
		return err_set(e, ERR_CONFLICT, EBUSY, "the network has %u endpoints; delete them first",
			       n->n_endpoints);
	return state_del_network(q->s, n, e);
}

static int pick_addr(const struct model *m, const struct network *n, uint32_t *ret, struct err *e)
{
	for (uint32_t a = n->subnet + 2; addr_inside(a, n->subnet, n->prefix); a++)
		if (a != n->gateway && !model_addr_used(m, n, a)) {
			*ret = a;
			return 0;
		}
	return err_set(e, ERR_LIMIT, EDQUOT, "the network has no free address");
}

static int check_addr(const struct request *q, const struct network *n, struct err *e)
{
	if (n->kind == NET_KIND_EGRESS)
		return err_set(e, ERR_INVALID, EINVAL,
			       "the address of a routed endpoint is not the caller's to choose");
	if (!addr_inside(q->a.addr, n->subnet, n->prefix))
		return err_set(e, ERR_DENIED, EACCES, "the address is not one of the network's");
	if (n->kind == NET_KIND_BRIDGE && q->a.addr == n->gateway)
		return err_set(e, ERR_DENIED, EACCES, "the address is the gateway's");
	if (model_addr_used(&q->s->model, n, q->a.addr))
		return err_set(e, ERR_CONFLICT, EADDRINUSE, "another endpoint has the address");
	return 0;
}

static int check_endpoint_quota(const struct request *q, const struct network *n, struct err *e)
{
	uint32_t all = 0, routed = 0;
	const struct endpoint *ep;
	uint8_t mac[MAC_LEN], other[MAC_LEN];

	mac_guest(mac, q->uid, q->a.endpoint);
	LIST_FOREACH(ep, &q->s->model.endpoints, link) {
		if (ep->uid != q->uid)
			continue;
		all++;
		routed += ep->net->kind == NET_KIND_EGRESS;
		mac_guest(other, ep->uid, ep->id);
		if (ep->net == n && memcmp(mac, other, MAC_LEN) == 0)
			return err_set(e, ERR_CONFLICT, EADDRINUSE,
				       "another endpoint has the MAC of this id; choose another id");
	}
	if (all >= NET_ENDPOINTS_MAX)
		return err_set(e, ERR_LIMIT, EDQUOT, "a user may have %d endpoints; delete one", NET_ENDPOINTS_MAX);
	if (n->kind == NET_KIND_EGRESS && routed >= NET_EGRESS_MAX)
		return err_set(e, ERR_LIMIT, EDQUOT, "a user may have %d routed endpoints; delete one", NET_EGRESS_MAX);
	return 0;
}

static void put_endpoint(struct request *q, const struct endpoint *ep)
{
	uint8_t mac[MAC_LEN];

	put_addr(&q->reply, NET_TAG_ADDR, ep->addr);
	tlv_u32(&q->reply, NET_TAG_PREFIX, ep->net->prefix);
	mac_guest(mac, ep->uid, ep->id);
	put_mac(&q->reply, NET_TAG_MAC, mac);
	if (ep->net->kind == NET_KIND_INTERNAL)
		return;
	put_addr(&q->reply, NET_TAG_GATEWAY, ep->net->gateway);
	if (ep->net->kind == NET_KIND_EGRESS)
		mac_gateway(mac, ep->uid, ep->id);
	else
		mac_gateway(mac, ep->net->uid, ep->net->id);
	put_mac(&q->reply, NET_TAG_GATEWAY_MAC, mac);
}

/*
 * Safe: the tap is attached to the caller's own network, pinned to a MAC made here
 * and an address that is the network's, before it is up; its holder can disturb
 * no bridge but their own. A tap is handed out once: who holds it holds the wire.
 */
static int on_endpoint_add(struct request *q, struct err *e)
{
	struct endpoint plan = { .id = q->a.endpoint, .uid = q->uid }, *ep;
	int r;

	plan.net = model_network(&q->s->model, q->uid, q->a.network);
	if (!plan.net)
		return err_set(e, ERR_NOTFOUND, ENOENT, "no such network");
	if (model_endpoint(&q->s->model, q->uid, plan.id))
		return err_set(e, ERR_CONFLICT, EEXIST, "the endpoint exists and its tap is held; delete it first");
	r = check_endpoint_quota(q, plan.net, e);
	if (r == 0 && msg_has(&q->a, NET_TAG_ADDR))
		r = check_addr(q, plan.net, e);
	plan.addr = q->a.addr;
	if (r == 0 && !msg_has(&q->a, NET_TAG_ADDR))
		r = pick_addr(&q->s->model, plan.net, &plan.addr, e);
	if (r == 0)
		r = state_add_endpoint(q->s, &plan, &ep, &q->fd, e);
	if (r == 0)
		put_endpoint(q, ep);
	return r;
}

/* Safe: own endpoints only. */
static int on_endpoint_del(struct request *q, struct err *e)
{
	struct endpoint *ep = model_endpoint(&q->s->model, q->uid, q->a.endpoint);

	return ep ? state_del_endpoint(q->s, ep, e) : 0;
}

static bool sock_int(int fd, int name, int *ret)
{
	socklen_t len = sizeof(*ret);

	return getsockopt(fd, SOL_SOCKET, name, ret, &len) == 0 && len == sizeof(*ret);
}

/* What a passed descriptor says of itself, all of it by the kernel: a reserved TCP or UDP address of the host. */
static int read_reservation(const struct state *s, int fd, struct publish *p, struct err *e)
{
	static const char bad[] =
		"the descriptor must be an IPv4 TCP or UDP socket of the host, bound and not listening";
	struct sockaddr_in in = { 0 };
	socklen_t in_len = sizeof(in), cookie_len;
	int domain, proto, listening;
	uint64_t cookie = 0;

	cookie_len = sizeof(cookie);
	if (!sock_int(fd, SO_DOMAIN, &domain) || domain != AF_INET || !sock_int(fd, SO_PROTOCOL, &proto) ||
	    (proto != IPPROTO_TCP && proto != IPPROTO_UDP) || !sock_int(fd, SO_ACCEPTCONN, &listening) || listening ||
	    getsockname(fd, (struct sockaddr *)&in, &in_len) < 0 || in_len != sizeof(in) || !in.sin_port)
		return err_set(e, ERR_INVALID, EBADF, "%s", bad);
	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &cookie_len) < 0 || cookie != s->host_cookie)
		return err_set(e, ERR_DENIED, EACCES, "the socket is not of the host's network namespace");
	p->proto = (uint8_t)proto;
	p->host_addr = ntohl(in.sin_addr.s_addr);
	p->host_port = ntohs(in.sin_port);
	return 0;
}

static uint32_t count_publishes(const struct model *m, uid_t uid)
{
	const struct publish *p;
	uint32_t count = 0;

	LIST_FOREACH(p, &m->publishes, link)
		count += p->ep->uid == uid;
	return count;
}

static int check_publish(const struct request *q, const struct publish *p, struct err *e)
{
	char addr[ADDR_TEXT];

	if (!publish_is_loopback(p) && !q->s->publish_any)
		return err_set(e, ERR_DENIED, EACCES,
			       "publishing on %s is not permitted on this machine: use a 127.x.y.z address, or ask the "
			       "administrator to start netpolicyd with --publish-any",
			       addr_text(addr, p->host_addr));
	if (model_publish(&q->s->model, p->proto, p->host_addr, p->host_port, false))
		return err_set(e, ERR_CONFLICT, EADDRINUSE, "%s port %u is published already",
			       addr_text(addr, p->host_addr), p->host_port);
	if (count_publishes(&q->s->model, q->uid) >= NET_PUBLISHES_MAX)
		return err_set(e, ERR_LIMIT, EDQUOT, "a user may have %d publishes; delete one", NET_PUBLISHES_MAX);
	return 0;
}

/*
 * Safe: the host's side is what a socket is bound to, so the kernel has already
 * decided that the caller may have it; the guest's side is the caller's own. On
 * loopback only the caller's uid is led there, so it can catch nobody else's connections.
 */
static int on_publish(struct request *q, struct err *e)
{
	struct publish plan = { .ep = model_endpoint(&q->s->model, q->uid, q->a.endpoint),
				.port = (uint16_t)q->a.port },
		       *p;
	int r;

	if (!plan.ep)
		return err_set(e, ERR_NOTFOUND, ENOENT, "no such endpoint");
	if (plan.ep->net->kind == NET_KIND_INTERNAL)
		return err_set(e, ERR_DENIED, EACCES, "an endpoint of an internal network can't be published");
	if (!q->a.port || q->a.port > UINT16_MAX)
		return err_set(e, ERR_INVALID, EINVAL, "%u is not a port", q->a.port);
	r = read_reservation(q->s, q->m->fds[0], &plan, e);
	if (r < 0)
		return r;
	p = model_publish(&q->s->model, plan.proto, plan.host_addr, plan.host_port, true);
	if (!p || p->ep != plan.ep || p->port != plan.port) {
		r = check_publish(q, &plan, e);
		if (r == 0)
			r = state_add_publish(q->s, &plan, e);
	}
	tlv_u32(&q->reply, NET_TAG_PROTO, plan.proto);
	put_addr(&q->reply, NET_TAG_HOST_ADDR, plan.host_addr);
	tlv_u32(&q->reply, NET_TAG_HOST_PORT, plan.host_port);
	return r;
}

/* Safe: only when it leads to the named endpoint, which is the caller's. */
static int on_unpublish(struct request *q, struct err *e)
{
	struct endpoint *ep = model_endpoint(&q->s->model, q->uid, q->a.endpoint);
	struct publish *p;

	if (!ep || q->a.proto > UINT8_MAX || q->a.host_port > UINT16_MAX)
		return 0;
	p = model_publish(&q->s->model, (uint8_t)q->a.proto, q->a.host_addr, (uint16_t)q->a.host_port, true);
	return p && p->ep == ep ? state_del_publish(q->s, p, e) : 0;
}

static void list_endpoint(struct tlv *t, const struct endpoint *ep)
{
	uint8_t mac[MAC_LEN];

	mac_guest(mac, ep->uid, ep->id);
	tlv_u64(t, NET_TAG_ENDPOINT, ep->id);
	tlv_u64(t, NET_TAG_NETWORK, ep->net->id);
	put_addr(t, NET_TAG_ADDR, ep->addr);
	put_mac(t, NET_TAG_MAC, mac);
	tlv_u32(t, NET_TAG_ALIVE, !ep->gone);
}

static void list_publish(struct tlv *t, const struct publish *p)
{
	tlv_u64(t, NET_TAG_PUBLISHED, p->ep->id);
	tlv_u32(t, NET_TAG_PROTO, p->proto);
	put_addr(t, NET_TAG_HOST_ADDR, p->host_addr);
	tlv_u32(t, NET_TAG_HOST_PORT, p->host_port);
	tlv_u32(t, NET_TAG_PORT, p->port);
}

/* Safe: own things only. */
static int on_list(struct request *q, struct err *e)
{
	const struct endpoint *ep;
	const struct publish *p;
	const struct network *n;

	(void)e;
	LIST_FOREACH(n, &q->s->model.networks, link)
		if (n->uid == q->uid) {
			tlv_u64(&q->reply, NET_TAG_NETWORK, n->id);
			tlv_u32(&q->reply, NET_TAG_KIND, n->kind);
			put_network(&q->reply, n);
		}
	LIST_FOREACH(ep, &q->s->model.endpoints, link)
		if (ep->uid == q->uid)
			list_endpoint(&q->reply, ep);
	LIST_FOREACH(p, &q->s->model.publishes, link)
		if (p->ep->uid == q->uid)
			list_publish(&q->reply, p);
	return 0;
}

static void say_chain(const char *table, const char *chain, uint32_t family, void *arg)
{
	struct request *q = arg;
	char line[256];

	(void)family;
	snprintf(line, sizeof(line),
		 "chain '%s' of table '%s' drops forwarded packets by policy: let it accept iifname " RS_LINK_HOST
		 ", and oifname " RS_LINK_HOST " for ct state established",
		 chain, table);
	tlv_str(&q->reply, NET_TAG_TEXT, line);
}

static void check_tables(struct request *q, struct nl *nf, bool host)
{
	unsigned have, want;

	if (nft_count(nf, host, &have, &want) < 0 || have != want)
		tlv_str(&q->reply, NET_TAG_TEXT,
			host ? "the firewall's table of the host is lost: it is put anew when netpolicyd starts next"
			     : "a firewall table of the bottles' namespace is lost: it is put anew when netpolicyd "
			       "starts next");
}

/* Safe: tells of the machine's settings what any user may read of them. */
static int on_check(struct request *q, struct err *e)
{
	(void)e;
	if (link_forwarding(&q->s->host_rt, NETCONFA_IFINDEX_ALL) == 0)
		tlv_str(&q->reply, NET_TAG_TEXT,
			"the host does not forward IPv4 (net.ipv4.ip_forward is 0): nothing gets out");
	check_tables(q, &q->s->host_nf, true);
	check_tables(q, &q->s->ns_nf, false);
	nft_forward_drops(&q->s->host_nf, say_chain, q);
	if (!q->s->n_resolvers)
		tlv_str(&q->reply, NET_TAG_TEXT,
			q->s->loopback_resolver
				? "the host's resolver is on its loopback, which guests can't reach: name one in "
				  "/etc/resolv.conf that is not, or give each network its own"
				: "the host names no resolver with an IPv4 address: guests have none to ask");
	return 0;
}

/* ---- dispatch ---- */

static const struct {
	int (*handle)(struct request *q, struct err *e);
} handlers[] = {
	[NET_HELLO] = { on_hello },
	[NET_NETWORK_ADD] = { on_network_add },
	[NET_NETWORK_DEL] = { on_network_del },
	[NET_ENDPOINT_ADD] = { on_endpoint_add },
	[NET_ENDPOINT_DEL] = { on_endpoint_del },
	[NET_PUBLISH] = { on_publish },
	[NET_UNPUBLISH] = { on_unpublish },
	[NET_LIST] = { on_list },
	[NET_CHECK] = { on_check },
};

int dispatch_request(struct dispatch *d, int fd, uid_t uid, struct ipc_msg *m)
{
	static unsigned char space[IPC_BODY_MAX];
	struct request q = { .d = d, .s = d->state, .uid = uid, .m = m, .fd = -1 };
	struct err e = { 0 };
	int r = msg_parse(m->head.type, m->body, m->len, m->n_fds, &q.a);

	if (r == 0) {
		state_events(d->state);
		tlv_init(&q.reply, space, sizeof(space));
		if (handlers[m->head.type].handle(&q, &e) < 0) {
			tlv_init(&q.reply, space, sizeof(space));
			tlv_u32(&q.reply, NET_TAG_CODE, (uint32_t)e.code);
			tlv_u32(&q.reply, NET_TAG_CLASS, e.cls);
			tlv_str(&q.reply, NET_TAG_TEXT, e.text);
			r = ipc_send(fd, NET_ERR, m->head.seq, &q.reply, NULL, 0);
		} else {
			r = ipc_send(fd, NET_OK, m->head.seq, &q.reply, &q.fd, q.fd >= 0 ? 1 : 0);
		}
	}
	if (q.fd >= 0)
		close(q.fd); /* the client has its own, or, when the answer did not get there, nobody: the tap goes */
	ipc_close_fds(m);
	return r;
}
