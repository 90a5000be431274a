/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taps and addresses of containers that start; in bottled. Networks are made in
 * netpolicyd when their first endpoint needs them and again before each, since
 * its kernel state does not survive a reboot and ours does.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>

#include "api/json.h"
#include "api/networks.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"

#define INTERNAL_HOSTS_MAX 65534 /* addresses looked through for a free one */

struct attach {
	struct engine *g;
	struct network n;
	struct endpoint *ep;
	char *container;
	bool has_addr;
	uint32_t addr;
	void (*done)(void *arg, struct endpoint *ep, const struct err *e);
	void *arg;
};

void endpoint_done(struct endpoint *ep)
{
	free(ep->network_id);
	free(ep->network_name);
	if (ep->tap_fd >= 0)
		close(ep->tap_fd);
	*ep = (struct endpoint){ .tap_fd = -1 };
}

static void put4(uint8_t out[4], uint32_t addr)
{
	addr = htonl(addr);
	memcpy(out, &addr, 4);
}

static uint32_t get4(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* ---- networks in netpolicyd ---- */

struct ensure {
	struct engine *g;
	char *id;
	net_fn fn;
	void *arg;
	bool again; /* asked without its former place */
};

static void ensure_send(struct ensure *u, const struct network *n, bool place);

/* The subnet that netpolicyd picked becomes part of the record. */
static void keep_subnet(struct ensure *u, struct ipc_msg *m)
{
	uint32_t addr = 0, gateway = 0, prefix = 0;
	_cleanup_network_ struct network n = { 0 };
	struct tlv_field f;
	struct tlv_iter it;

	if (network_load(u->g, u->id, &n, NULL) < 0 || n.kind == NET_KIND_INTERNAL)
		return;
	tlv_iter_init(&it, m->body, m->len);
	while (tlv_next(&it, &f) > 0) {
		if (f.tag == NET_TAG_SUBNET && f.len == 4)
			addr = get4(f.data);
		else if (f.tag == NET_TAG_GATEWAY && f.len == 4)
			gateway = get4(f.data);
		else if (f.tag == NET_TAG_PREFIX)
			tlv_get_u32(&f, &prefix);
	}
	if (addr && prefix)
		network_set_subnet(u->g, &n, addr, prefix, gateway);
}

static void on_ensured(void *arg, struct ipc_msg *m, const struct err *e)
{
	struct ensure *u = arg;
	_cleanup_network_ struct network n = { 0 };

	/* Its former place is another network's by now. */
	if (!m && e->cls == ERR_CONFLICT && !u->again && network_load(u->g, u->id, &n, NULL) == 0 &&
	    n.kind == NET_KIND_BRIDGE) {
		u->again = true;
		ensure_send(u, &n, false);
		return;
	}
	if (m)
		keep_subnet(u, m);
	u->fn(u->arg, m, e);
	free(u->id);
	free(u);
}

static void ensure_send(struct ensure *u, const struct network *n, bool place)
{
	unsigned char space[256];
	uint32_t subnet, gateway;
	unsigned int prefix;
	uint8_t addr[4];
	struct tlv t;

	tlv_init(&t, space, sizeof(space));
	tlv_u64(&t, NET_TAG_NETWORK, n->net_id);
	tlv_u32(&t, NET_TAG_KIND, (uint32_t)n->kind);
	if (place && network_subnet(n, &subnet, &prefix)) {
		put4(addr, subnet);
		if (n->kind == NET_KIND_INTERNAL) {
			tlv_bytes(&t, NET_TAG_SUBNET, addr, 4);
			tlv_u32(&t, NET_TAG_PREFIX, prefix);
			if (network_gateway(n, &gateway)) {
				put4(addr, gateway);
				tlv_bytes(&t, NET_TAG_GATEWAY, addr, 4);
			}
		} else if (n->kind == NET_KIND_BRIDGE && addr[2] % 16) {
			/* A slice is a /20: its /24s are numbered by the low half of the third byte, bridges from 1. */
			tlv_u32(&t, NET_TAG_INDEX, addr[2] % 16 - 1U);
		}
	}
	netclient_call(u->g->networks->net, NET_NETWORK_ADD, &t, -1, on_ensured, u);
}

void network_ensure(struct engine *g, const struct network *n, net_fn fn, void *arg)
{
	struct ensure *u = xcalloc(1, sizeof(*u));

	u->g = g;
	u->id = xstrdup(n->id);
	u->fn = fn;
	u->arg = arg;
	ensure_send(u, n, true);
}

void network_forget(struct engine *g, const struct network *n)
{
	unsigned char space[64];
	struct tlv t;

	tlv_init(&t, space, sizeof(space));
	tlv_u64(&t, NET_TAG_NETWORK, n->net_id);
	netclient_call(g->networks->net, NET_NETWORK_DEL, &t, -1, NULL, NULL);
}

/* ---- what netpolicyd still has of containers that are gone ---- */

static void endpoint_del(struct engine *g, uint64_t id, net_fn fn, void *arg)
{
	unsigned char space[64];
	struct tlv t;

	tlv_init(&t, space, sizeof(space));
	tlv_u64(&t, NET_TAG_ENDPOINT, id);
	netclient_call(g->networks->net, NET_ENDPOINT_DEL, &t, -1, fn, arg);
}

static bool endpoint_known(struct engine *g, uint64_t id)
{
	sqlite3_stmt *st = state_query(g, NULL, "SELECT 1 FROM endpoints WHERE id = ?", "i", (int64_t)id);
	bool known = !st || sqlite3_step(st) == SQLITE_ROW;

	sqlite3_finalize(st);
	return known;
}

/*
 * A tap that lives belongs to a running VM, of this engine or of another state
 * directory of the same user: only dead ones that we do not know are removed.
 */
static void on_list(void *arg, struct ipc_msg *m, const struct err *e)
{
	struct engine *g = arg;
	uint64_t endpoint = 0;
	struct tlv_field f;
	struct tlv_iter it;

	if (!m) {
		log_warn("what netpolicyd has could not be compared: %s", e->text);
		return;
	}
	tlv_iter_init(&it, m->body, m->len);
	while (tlv_next(&it, &f) > 0) {
		uint32_t alive = 1;

		if (f.tag == NET_TAG_ENDPOINT)
			tlv_get_u64(&f, &endpoint);
		else if (f.tag == NET_TAG_ALIVE && tlv_get_u32(&f, &alive) && !alive && !endpoint_known(g, endpoint))
			endpoint_del(g, endpoint, NULL, NULL);
	}
}

static void reconcile(struct engine *g)
{
	if (netclient_is_new(g->networks->net))
		netclient_call(g->networks->net, NET_LIST, NULL, -1, on_list, g);
}

/* ---- addresses of internal networks ---- */

static bool addr_taken(struct engine *g, const struct network *n, uint32_t addr)
{
	char text[SUBNET_TEXT];
	sqlite3_stmt *st = state_query(g, NULL, "SELECT 1 FROM endpoints WHERE network = ? AND addr = ?", "tt", n->id,
				       ipv4_text(text, addr));
	bool taken = !st || sqlite3_step(st) == SQLITE_ROW;

	sqlite3_finalize(st);
	return taken;
}

static int check_fixed(struct attach *a, uint32_t subnet, unsigned int prefix, struct err *e)
{
	uint32_t size = 1U << (32 - prefix);
	char text[SUBNET_TEXT];

	ipv4_text(text, a->addr);
	if (a->addr <= subnet || a->addr - subnet >= size - 1)
		return err_set(e, ERR_INVALID, EINVAL,
			       "invalid address %s: it does not belong to any of the subnets of network %s", text,
			       a->n.name);
	if (addr_taken(a->g, &a->n, a->addr))
		return err_set(e, ERR_DENIED, EADDRINUSE, "Address already in use: %s on network %s", text, a->n.name);
	return 0;
}

/* INTERNAL: we number; the gateway is given only to whom it was fixed for. Others: netpolicyd picks. */
static int choose_addr(struct attach *a, struct err *e)
{
	uint32_t subnet, gateway = 0;
	unsigned int prefix;

	if (!network_subnet(&a->n, &subnet, &prefix)) {
		if (a->n.kind == NET_KIND_INTERNAL)
			return err_set(e, ERR_INTERNAL, EINVAL, "network %s has no subnet", a->n.name);
		return 0;
	}
	if (a->has_addr && a->n.kind != NET_KIND_EGRESS)
		return check_fixed(a, subnet, prefix, e);
	a->has_addr = false;
	if (a->n.kind != NET_KIND_INTERNAL)
		return 0;
	if (!network_gateway(&a->n, &gateway))
		gateway = subnet + 1;
	for (uint32_t i = 1; i < (1U << (32 - prefix)) - 1 && i < INTERNAL_HOSTS_MAX; i++) {
		if (subnet + i == gateway || addr_taken(a->g, &a->n, subnet + i))
			continue;
		a->addr = subnet + i;
		a->has_addr = true;
		return 0;
	}
	return err_set(e, ERR_CONFLICT, EADDRNOTAVAIL, "network %s has no free address left", a->n.name);
}

/* ---- attaching ---- */

static void attach_free(struct attach *a)
{
	engine_idle(a->g);
	network_done(&a->n);
	free(a->container);
	free(a);
}

static void attach_fail(struct attach *a, const struct err *e)
{
	state_exec(a->g, NULL, "DELETE FROM endpoints WHERE id = ?", "i", (int64_t)a->ep->id);
	endpoint_done(a->ep);
	free(TAKE_PTR(a->ep));
	a->done(a->arg, NULL, e);
	attach_free(a);
}

static void read_endpoint(struct endpoint *ep, const struct ipc_msg *m)
{
	static const uint8_t no_mac[6];
	struct tlv_field f;
	struct tlv_iter it;
	uint32_t prefix;

	tlv_iter_init(&it, m->body, m->len);
	while (tlv_next(&it, &f) > 0) {
		if (f.tag == NET_TAG_ADDR && f.len == 4)
			memcpy(ep->addr, f.data, 4);
		else if (f.tag == NET_TAG_GATEWAY && f.len == 4)
			memcpy(ep->gateway, f.data, 4);
		else if (f.tag == NET_TAG_MAC && f.len == 6)
			memcpy(ep->mac, f.data, 6);
		else if (f.tag == NET_TAG_GATEWAY_MAC && f.len == 6)
			memcpy(ep->gateway_mac, f.data, 6);
		else if (f.tag == NET_TAG_PREFIX && tlv_get_u32(&f, &prefix) && prefix <= 32)
			ep->prefix = (uint8_t)prefix;
	}
	ep->has_gateway = get4(ep->gateway) != 0;
	ep->has_gateway_mac = memcmp(ep->gateway_mac, no_mac, 6) != 0;
}

/* On an internal network the way out, if there is one, is what the user said, and never oneself. */
static void internal_gateway(struct attach *a)
{
	struct endpoint *ep = a->ep;
	uint32_t gateway;

	ep->has_gateway = network_gateway(&a->n, &gateway) && gateway != get4(ep->addr);
	ep->has_gateway_mac &= ep->has_gateway;
	put4(ep->gateway, ep->has_gateway ? gateway : 0);
}

static void on_endpoint(void *arg, struct ipc_msg *m, const struct err *e)
{
	struct attach *a = arg;
	struct endpoint *ep = a->ep;
	char text[SUBNET_TEXT];
	struct err mine = { 0 };
	int r;

	if (!m) {
		attach_fail(a, e);
		return;
	}
	read_endpoint(ep, m);
	ep->tap_fd = ipc_take_fd(m, 0);
	if (ep->tap_fd < 0 || !get4(ep->addr)) {
		err_set(&mine, ERR_INTERNAL, EPROTO, "netpolicyd answered without a tap or an address for network %s",
			a->n.name);
		attach_fail(a, &mine);
		return;
	}
	if (a->n.kind == NET_KIND_INTERNAL)
		internal_gateway(a);
	r = state_exec(a->g, &mine, "UPDATE endpoints SET addr = ? WHERE id = ?", "ti", ipv4_text(text, get4(ep->addr)),
		       (int64_t)ep->id);
	if (r < 0) {
		attach_fail(a, &mine);
		return;
	}
	a->done(a->arg, TAKE_PTR(a->ep), NULL);
	attach_free(a);
}

static void on_network(void *arg, struct ipc_msg *m, const struct err *e)
{
	struct attach *a = arg;
	unsigned char space[256];
	struct err mine = { 0 };
	uint32_t subnet;
	unsigned int prefix;
	uint8_t addr[4];
	struct tlv t;

	if (!m) {
		attach_fail(a, e);
		return;
	}
	reconcile(a->g);
	network_done(&a->n);
	if (network_load(a->g, a->ep->network_id, &a->n, &mine) < 0) {
		attach_fail(a, &mine);
		return;
	}
	tlv_init(&t, space, sizeof(space));
	tlv_u64(&t, NET_TAG_NETWORK, a->n.net_id);
	tlv_u64(&t, NET_TAG_ENDPOINT, a->ep->id);
	/* A former start's address of a bridge that has moved since is not asked for. */
	if (a->has_addr && network_subnet(&a->n, &subnet, &prefix) && (a->addr ^ subnet) >> (32 - prefix) == 0) {
		put4(addr, a->addr);
		tlv_bytes(&t, NET_TAG_ADDR, addr, 4);
	}
	netclient_call(a->g->networks->net, NET_ENDPOINT_ADD, &t, -1, on_endpoint, a);
}

static struct endpoint *endpoint_new(const struct network *n)
{
	struct endpoint *ep = xcalloc(1, sizeof(*ep));

	ep->network_id = xstrdup(n->id);
	ep->network_name = xstrdup(n->name);
	ep->net_id = n->net_id;
	random_bytes(&ep->id, sizeof(ep->id));
	ep->id >>= 1;
	random_id(ep->endpoint_id);
	ep->internal = n->kind == NET_KIND_INTERNAL;
	ep->egress = n->kind == NET_KIND_EGRESS;
	ep->tap_fd = -1;
	return ep;
}

static int attach_prepare(struct attach *a, struct err *e)
{
	char text[SUBNET_TEXT];
	int r;

	if (a->n.kind == NETWORK_HOST || a->n.kind == NETWORK_NONE)
		return err_set(
			e, ERR_INVALID, EINVAL,
			"network %s gives no interface: a microVM has no host network; use a bridge network, or none",
			a->n.name);
	r = choose_addr(a, e);
	if (r < 0)
		return r;
	return state_exec(a->g, e,
			  "INSERT INTO endpoints (id, endpoint_id, network, container, addr) VALUES (?, ?, ?, ?, ?)",
			  "itttt", (int64_t)a->ep->id, a->ep->endpoint_id, a->n.id, a->container,
			  a->has_addr ? ipv4_text(text, a->addr) : NULL);
}

struct failed_attach {
	struct attach *a;
	struct err e;
};

static void attach_fail_later(void *arg)
{
	struct failed_attach *f = arg;

	attach_fail(f->a, &f->e);
	free(f);
}

void network_attach(struct engine *g, const char *network_id, const char *container_id, const uint8_t *addr,
		    void (*done)(void *arg, struct endpoint *ep, const struct err *e), void *arg)
{
	struct attach *a = xcalloc(1, sizeof(*a));
	struct failed_attach *f;
	struct err e = { 0 };
	int r;

	a->g = g;
	a->container = xstrdup(container_id);
	a->has_addr = addr != NULL;
	a->addr = addr ? get4(addr) : 0;
	a->done = done;
	a->arg = arg;
	engine_busy(g);
	r = network_load(g, network_id, &a->n, &e);
	if (r < 0)
		a->n = (struct network){ .name = xstrdup(network_id) };
	a->ep = endpoint_new(&a->n);
	if (r == 0)
		r = attach_prepare(a, &e);
	if (r == 0) {
		network_ensure(g, &a->n, on_network, a);
		return;
	}
	f = xcalloc(1, sizeof(*f));
	*f = (struct failed_attach){ a, e };
	loop_defer(g->loop, attach_fail_later, f);
}

void network_detach(struct engine *g, uint64_t endpoint)
{
	struct err e = { 0 };

	if (state_exec(g, &e, "DELETE FROM endpoints WHERE id = ?", "i", (int64_t)endpoint) < 0)
		log_error("endpoint %llu: %s", (unsigned long long)endpoint, e.text);
	endpoint_del(g, endpoint, NULL, NULL);
}

/* ---- publishing ---- */

struct publish {
	void (*done)(void *arg, const struct err *e);
	void *arg;
};

static void on_published(void *arg, struct ipc_msg *m, const struct err *e)
{
	struct publish *p = arg;

	p->done(p->arg, m ? NULL : e);
	free(p);
}

void network_publish(struct engine *g, uint64_t endpoint, int proto, uint16_t port, int bound_fd,
		     void (*done)(void *arg, const struct err *e), void *arg)
{
	struct publish *p = xcalloc(1, sizeof(*p));
	unsigned char space[64];
	struct tlv t;

	(void)proto; /* the socket's own */
	*p = (struct publish){ done, arg };
	tlv_init(&t, space, sizeof(space));
	tlv_u64(&t, NET_TAG_ENDPOINT, endpoint);
	tlv_u32(&t, NET_TAG_PORT, port);
	netclient_call(g->networks->net, NET_PUBLISH, &t, bound_fd, on_published, p);
}

/* ---- the host's nameservers ---- */

static size_t read_resolvers(const char *path, uint8_t ret[3][4])
{
	_cleanup_free_ char *text = NULL;
	char *line, *save = NULL;
	size_t n = 0;

	if (file_read_at(AT_FDCWD, path, 65536, &text, NULL) < 0)
		return 0;
	for (line = strtok_r(text, "\n", &save); line && n < 3; line = strtok_r(NULL, "\n", &save)) {
		uint32_t addr;

		if (!str_prefix(line, "nameserver"))
			continue;
		line += strlen("nameserver");
		line += strspn(line, " \t");
		line[strcspn(line, " \t\r#")] = '\0';
		/* A stub on the host's loopback is out of a guest's reach. */
		if (ipv4_parse(line, &addr) && addr >> 24 != 127 && addr)
			put4(ret[n++], addr);
	}
	return n;
}

size_t network_resolvers(uint8_t ret[3][4])
{
	size_t n = read_resolvers("/etc/resolv.conf", ret);

	return n ? n : read_resolvers("/run/systemd/resolve/resolv.conf", ret);
}
