/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Networks as clients see them; in bottled. A network is a row here and comes
 * to netpolicyd with its first endpoint. Internal:true is a bridge without
 * host or way out, the option bottle.kind=egress a set of routed taps, anything
 * else a NATed bridge.
 */
#include "api/networks.h"

#include <arpa/inet.h>
#include <errno.h>

#include "api/json.h"
#include "api/system.h"
#include "base/mem.h"

#define COLUMNS "id, name, created_ns, kind, net_id, config"
/* Internal networks without a subnet of the user's: 10.200.0.0/24, 10.200.1.0/24, … */
#define INTERNAL_BASE  0x0ac80000U
#define INTERNAL_COUNT 256
#define PREFIX_MIN     8
#define PREFIX_MAX     29

/* ---- addresses ---- */

bool ipv4_parse(const char *text, uint32_t *ret)
{
	struct in_addr a;

	if (inet_pton(AF_INET, text, &a) != 1)
		return false;
	*ret = ntohl(a.s_addr);
	return true;
}

const char *ipv4_text(char out[SUBNET_TEXT], uint32_t addr)
{
	snprintf(out, SUBNET_TEXT, "%u.%u.%u.%u", addr >> 24, addr >> 16 & 255, addr >> 8 & 255, addr & 255);
	return out;
}

bool ipv4_private(uint32_t addr, unsigned int prefix)
{
	static const struct {
		uint32_t addr;
		unsigned int prefix;
	} ranges[] = { { 0x0a000000, 8 }, { 0xac100000, 12 }, { 0xc0a80000, 16 } };

	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
		if (prefix >= ranges[i].prefix && (addr ^ ranges[i].addr) >> (32 - ranges[i].prefix) == 0)
			return true;
	return false;
}

/* "10.1.2.0/24", without host bits. */
static bool subnet_parse(const char *text, uint32_t *ret_addr, unsigned int *ret_prefix)
{
	const char *slash = strchr(text, '/');
	_cleanup_free_ char *addr = slash ? xstrndup(text, (size_t)(slash - text)) : NULL;
	uint64_t prefix;

	if (!slash || !ipv4_parse(addr, ret_addr) || str_u64(slash + 1, 32, &prefix) < 0 || prefix < PREFIX_MIN)
		return false;
	*ret_prefix = (unsigned int)prefix;
	return prefix == 32 || (*ret_addr & (UINT32_MAX >> prefix)) == 0;
}

/* ---- records ---- */

void network_done(struct network *n)
{
	free(n->name);
	json_decref(n->config);
	*n = (struct network){ 0 };
}

bool network_subnet(const struct network *n, uint32_t *ret_addr, unsigned int *ret_prefix)
{
	const char *text = json_str_or(n->config, "Subnet", NULL);

	return text && subnet_parse(text, ret_addr, ret_prefix);
}

bool network_gateway(const struct network *n, uint32_t *ret)
{
	const char *text = json_str_or(n->config, "Gateway", NULL);

	return text && ipv4_parse(text, ret);
}

static void read_row(sqlite3_stmt *st, struct network *ret)
{
	const char *config = (const char *)sqlite3_column_text(st, 5);

	*ret = (struct network){ 0 };
	snprintf(ret->id, sizeof(ret->id), "%s", (const char *)sqlite3_column_text(st, 0));
	ret->name = xstrdup((const char *)sqlite3_column_text(st, 1));
	ret->created_ns = sqlite3_column_int64(st, 2);
	ret->kind = sqlite3_column_int(st, 3);
	ret->net_id = (uint64_t)sqlite3_column_int64(st, 4);
	ret->config = json_parse(config, strlen(config), NULL);
	if (!ret->config)
		ret->config = json_object();
}

/* 1 found, 0 none, -errno. */
static int load_by(struct engine *g, const char *where, const char *text, struct network *ret, struct err *e)
{
	_cleanup_free_ char *sql = xasprintf("SELECT " COLUMNS " FROM networks WHERE %s LIMIT 2", where);
	sqlite3_stmt *st = state_query(g, e, sql, "t", text);
	int n = 0;

	if (!st)
		return -EIO;
	while (sqlite3_step(st) == SQLITE_ROW)
		if (n++ == 0)
			read_row(st, ret);
	sqlite3_finalize(st);
	if (n < 2)
		return n;
	network_done(ret);
	return err_set(e, ERR_INVALID, EINVAL, "multiple IDs found with provided prefix: %.80s", text);
}

int network_load(struct engine *g, const char *name_or_id, struct network *ret, struct err *e)
{
	_cleanup_free_ char *pattern = xasprintf("%s*", name_or_id);
	size_t n = strlen(name_or_id);
	int r;

	r = load_by(g, "id = ?", name_or_id, ret, e);
	if (r == 0)
		r = load_by(g, "name = ?", name_or_id, ret, e);
	if (r == 0 && n && n < ID_LEN && strspn(name_or_id, "0123456789abcdef") == n)
		r = load_by(g, "id GLOB ?", pattern, ret, e);
	if (r == 0)
		r = err_set(e, ERR_NOTFOUND, ENOENT, "network %.128s not found", name_or_id);
	return r < 0 ? r : 0;
}

int network_resolve(struct engine *g, const char *name_or_id, char **ret_id, char **ret_name, struct err *e)
{
	_cleanup_network_ struct network n = { 0 };
	int r = network_load(g, name_or_id, &n, e);

	if (r < 0)
		return r;
	*ret_id = xstrdup(n.id);
	*ret_name = TAKE_PTR(n.name);
	return 0;
}

static int network_insert(struct engine *g, const struct network *n, struct err *e)
{
	_cleanup_free_ char *config = json_text(n->config);

	return state_exec(g, e, "INSERT INTO networks (" COLUMNS ") VALUES (?, ?, ?, ?, ?, ?)", "ttiiit", n->id,
			  n->name, n->created_ns, (int64_t)n->kind, (int64_t)n->net_id, config);
}

int network_set_subnet(struct engine *g, struct network *n, uint32_t addr, unsigned int prefix, uint32_t gateway)
{
	_cleanup_free_ char *config = NULL, *subnet = NULL;
	char text[SUBNET_TEXT];

	subnet = xasprintf("%s/%u", ipv4_text(text, addr), prefix);
	if (str_eq(subnet, json_str_or(n->config, "Subnet", NULL)))
		return 0;
	json_object_set_new(n->config, "Subnet", json_string(subnet));
	if (gateway)
		json_object_set_new(n->config, "Gateway", json_string(ipv4_text(text, gateway)));
	config = json_text(n->config);
	return state_exec(g, NULL, "UPDATE networks SET config = ? WHERE id = ?", "tt", config, n->id);
}

static void network_init(struct network *n, const char *name, int kind)
{
	*n = (struct network){ .name = xstrdup(name), .kind = kind, .created_ns = now_real_ns() };
	n->config = json_pack("{s:{}, s:{}}", "Labels", "Options");
	random_id(n->id);
	random_bytes(&n->net_id, sizeof(n->net_id));
	n->net_id >>= 1;
}

static const struct {
	const char *name, *driver;
	int kind;
} built_in[] = { { "bridge", "bridge", NET_KIND_BRIDGE },
		 { "host", "host", NETWORK_HOST },
		 { "none", "null", NETWORK_NONE } };

static bool is_built_in(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(built_in); i++)
		if (str_eq(built_in[i].name, name))
			return true;
	return false;
}

int networks_open(struct engine *g, struct err *e)
{
	int r = 0;

	g->networks = xcalloc(1, sizeof(*g->networks));
	g->networks->net = netclient_new(g, g->netpolicy_socket ? g->netpolicy_socket : NET_SOCKET);
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(built_in); i++) {
		_cleanup_network_ struct network n = { 0 };

		r = load_by(g, "name = ?", built_in[i].name, &n, e);
		if (r != 0)
			continue;
		network_init(&n, built_in[i].name, built_in[i].kind);
		r = network_insert(g, &n, e);
	}
	return r < 0 ? r : 0;
}

void networks_close(struct engine *g)
{
	if (!g->networks)
		return;
	netclient_free(g->networks->net);
	free(g->networks);
	g->networks = NULL;
}

/* ---- as JSON ---- */

static json_t *ipam_json(const struct network *n)
{
	const char *subnet = json_str_or(n->config, "Subnet", NULL), *gateway = json_str_or(n->config, "Gateway", NULL);
	json_t *config = json_array();

	if (subnet && gateway)
		json_array_append_new(config, json_pack("{s:s, s:s}", "Subnet", subnet, "Gateway", gateway));
	else if (subnet)
		json_array_append_new(config, json_pack("{s:s}", "Subnet", subnet));
	return json_pack("{s:s, s:n, s:o}", "Driver", "default", "Options", "Config", config);
}

static const char *driver_of(const struct network *n)
{
	return n->kind == NETWORK_HOST ? "host" : n->kind == NETWORK_NONE ? "null" : "bridge";
}

/* containers is taken. */
static json_t *network_json(const struct network *n, json_t *containers)
{
	char created[RFC3339_MAX];
	json_t *j;

	rfc3339nano(created, n->created_ns);
	j = json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:o, s:b, s:b, s:b, s:{s:s}, s:b}", "Name", n->name, "Id",
		      n->id, "Created", created, "Scope", "local", "Driver", driver_of(n), "EnableIPv4", 1,
		      "EnableIPv6", 0, "IPAM", ipam_json(n), "Internal", n->kind == NET_KIND_INTERNAL, "Attachable",
		      json_is_true(json_get(n->config, "Attachable")), "Ingress", 0, "ConfigFrom", "Network", "",
		      "ConfigOnly", 0);
	json_object_set_new(j, "Containers", containers);
	json_object_set(j, "Options", json_get(n->config, "Options"));
	json_object_set(j, "Labels", json_get(n->config, "Labels"));
	return j;
}

/* ---- GET ---- */

static const char *const list_filters[] = { "dangling", "driver", "id", "label", "name", "scope", "type", NULL };
static const char *const prune_filters[] = { "label", "label!", "until", NULL };

/* One of the values is a part of text. */
static bool match_part(const struct filters *f, const char *key, const char *text, bool prefix)
{
	const json_t *list = filters_values(f, key);

	if (!filters_has(f, key))
		return true;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *want = json_string_value(json_array_get(list, i));

		if (prefix ? str_prefix(text, want) : strstr(text, want) != NULL)
			return true;
	}
	return false;
}

static bool match_dangling(struct engine *g, const struct filters *f, const struct network *n)
{
	_cleanup_free_ char *user = NULL;
	bool dangling;

	if (!filters_has(f, "dangling"))
		return true;
	dangling = !is_built_in(n->name) && !containers_use_network(g, n->id, &user);
	return filters_match(f, "dangling", dangling ? "true" : "false") ||
	       filters_match(f, "dangling", dangling ? "1" : "0");
}

static bool matches(struct engine *g, const struct filters *f, const struct network *n)
{
	return match_part(f, "name", n->name, false) && match_part(f, "id", n->id, true) &&
	       filters_match(f, "driver", driver_of(n)) && filters_match(f, "scope", "local") &&
	       filters_match(f, "type", is_built_in(n->name) ? "builtin" : "custom") &&
	       filters_match_labels(f, "label", json_get(n->config, "Labels")) && match_dangling(g, f, n);
}

static struct network *load_all(struct engine *g, size_t *ret_n, struct err *e)
{
	sqlite3_stmt *st = state_query(g, e, "SELECT " COLUMNS " FROM networks ORDER BY created_ns DESC", "");
	struct network *all = xcalloc(1, sizeof(*all));
	size_t n = 0;

	while (st && sqlite3_step(st) == SQLITE_ROW) {
		all = xrealloc(all, n + 1, sizeof(*all));
		read_row(st, &all[n++]);
	}
	sqlite3_finalize(st);
	*ret_n = n;
	return all;
}

static void free_all(struct network *all, size_t n)
{
	while (n)
		network_done(&all[--n]);
	free(all);
}

void networks_list(struct request *r)
{
	struct engine *g = r->engine;
	struct filters f = { 0 };
	struct network *all;
	struct err e = { 0 };
	json_t *out;
	size_t n;

	if (filters_parse(&f, query_get(&r->query, "filters"), list_filters, &e) < 0) {
		reply_err(r, &e);
		return;
	}
	out = json_array();
	all = load_all(g, &n, &e);
	for (size_t i = 0; i < n; i++)
		if (matches(g, &f, &all[i]))
			json_array_append_new(out, network_json(&all[i], json_object()));
	free_all(all, n);
	filters_done(&f);
	if (e.code) {
		json_decref(out);
		reply_err(r, &e);
		return;
	}
	reply_json(r, 200, out);
}

static void reply_network(struct request *r)
{
	_cleanup_network_ struct network n = { 0 };
	struct err e = { 0 };

	if (network_load(r->engine, r->args[0], &n, &e) < 0)
		reply_err(r, &e);
	else
		reply_json(r, 200, network_json(&n, containers_on_network(r->engine, n.id)));
}

static void on_placed(void *arg, struct ipc_msg *m, const struct err *e)
{
	(void)m;
	(void)e;
	reply_network(arg);
}

/* A bridge's subnet is netpolicyd's choice: it is asked when somebody wants to know (testcontainers reads the gateway). */
void network_inspect(struct request *r)
{
	_cleanup_network_ struct network n = { 0 };

	if (network_load(r->engine, r->args[0], &n, NULL) == 0 && n.kind == NET_KIND_BRIDGE &&
	    !json_get(n.config, "Subnet"))
		network_ensure(r->engine, &n, on_placed, r);
	else
		reply_network(r);
}

/* ---- POST /networks/create ---- */

static bool name_is_valid(const char *name)
{
	size_t n = strlen(name);

	return n && n <= NETWORK_NAME_MAX && strchr("_.-", name[0]) == NULL &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == n;
}

/* Another internal network with an address of it in common. */
static bool subnet_in_use(struct engine *g, uint32_t addr, unsigned int prefix)
{
	struct network *all;
	bool used = false;
	size_t n;

	all = load_all(g, &n, NULL);
	for (size_t i = 0; i < n; i++) {
		unsigned int other_prefix, least;
		uint32_t other;

		if (!network_subnet(&all[i], &other, &other_prefix))
			continue;
		least = prefix < other_prefix ? prefix : other_prefix;
		used |= (addr ^ other) >> (32 - least) == 0;
	}
	free_all(all, n);
	return used;
}

static int default_subnet(struct engine *g, struct network *n, struct err *e)
{
	char text[SUBNET_TEXT];

	for (uint32_t i = 0; i < INTERNAL_COUNT; i++) {
		_cleanup_free_ char *subnet = NULL;

		if (subnet_in_use(g, INTERNAL_BASE + (i << 8), 24))
			continue;
		subnet = xasprintf("%s/24", ipv4_text(text, INTERNAL_BASE + (i << 8)));
		json_object_set_new(n->config, "Subnet", json_string(subnet));
		return 0;
	}
	return err_set(e, ERR_CONFLICT, EADDRNOTAVAIL, "no subnet is left for another internal network: remove one");
}

static int check_gateway(const char *gateway, uint32_t addr, unsigned int prefix, struct err *e)
{
	uint32_t gw;

	if (!gateway || (ipv4_parse(gateway, &gw) && gw > addr && gw - addr < (1U << (32 - prefix)) - 1))
		return 0;
	return err_set(e, ERR_INVALID, EINVAL, "invalid gateway %.40s: it is no host address of the subnet", gateway);
}

static int user_subnet(struct engine *g, struct network *n, const json_t *config, struct err *e)
{
	const char *subnet = NULL, *gateway = NULL;
	unsigned int prefix;
	uint32_t addr;
	int r = json_get_str(config, "Subnet", &subnet, e);

	if (r == 0)
		r = json_get_str(config, "Gateway", &gateway, e);
	if (r < 0)
		return r;
	if (!subnet || !*subnet)
		return n->kind == NET_KIND_INTERNAL ? default_subnet(g, n, e) : 0;
	if (n->kind != NET_KIND_INTERNAL)
		return err_set(e, ERR_UNSUPPORTED, ENOTSUP,
			       "a subnet of one's own (%.40s) is offered for internal networks only: leave it out, "
			       "or create the network with --internal",
			       subnet);
	if (!subnet_parse(subnet, &addr, &prefix) || prefix > PREFIX_MAX || !ipv4_private(addr, prefix))
		return err_set(e, ERR_INVALID, EINVAL,
			       "invalid subnet %.40s: a private IPv4 range from /%d to /%d without host bits is needed",
			       subnet, PREFIX_MIN, PREFIX_MAX);
	if (subnet_in_use(g, addr, prefix))
		return err_set(e, ERR_DENIED, EADDRINUSE,
			       "invalid pool request: Pool overlaps with other one on this address space: %.40s",
			       subnet);
	r = check_gateway(gateway && *gateway ? gateway : NULL, addr, prefix, e);
	if (r < 0)
		return r;
	json_object_set_new(n->config, "Subnet", json_string(subnet));
	if (gateway && *gateway)
		json_object_set_new(n->config, "Gateway", json_string(gateway));
	return 0;
}

static int read_ipam(struct engine *g, struct network *n, const json_t *body, struct err *e)
{
	json_t *ipam = NULL, *configs = NULL;
	int r = json_get_object(body, "IPAM", &ipam, e);

	if (r == 0)
		r = json_get_array(ipam, "Config", &configs, e);
	if (r == 0 && json_array_size(configs) > 1)
		r = err_set(e, ERR_UNSUPPORTED, ENOTSUP, "more than one subnet per network is not offered");
	return r < 0 ? r : user_subnet(g, n, json_array_get(configs, 0), e);
}

static int read_kind(const json_t *body, struct network *n, struct err *e)
{
	json_t *options = NULL, *labels = NULL;
	const char *driver = "bridge", *kind;
	bool internal = false, attachable = false;
	int r = json_get_str(body, "Driver", &driver, e);

	if (r == 0)
		r = json_get_bool(body, "Internal", &internal, e);
	if (r == 0)
		r = json_get_bool(body, "Attachable", &attachable, e);
	if (r == 0)
		r = json_get_strings(body, "Options", &options, e);
	if (r == 0)
		r = json_get_strings(body, "Labels", &labels, e);
	if (r < 0)
		return r;
	if (*driver && !str_eq(driver, "bridge") && !str_eq(driver, "default"))
		return err_set(e, ERR_NOTFOUND, ENOENT,
			       "could not find plugin %.64s in v1 plugin registry: plugin not found", driver);
	kind = json_str_or(options, "bottle.kind", "");
	if (*kind && !str_eq(kind, "egress"))
		return err_set(e, ERR_INVALID, EINVAL, "invalid option bottle.kind=%.40s: \"egress\" is the only one",
			       kind);
	if (*kind && internal)
		return err_set(e, ERR_INVALID, EINVAL, "a network is either internal or bottle.kind=egress");
	n->kind = internal ? NET_KIND_INTERNAL : *kind ? NET_KIND_EGRESS : NET_KIND_BRIDGE;
	json_object_set(n->config, "Options", options ? options : json_object_get(n->config, "Options"));
	json_object_set(n->config, "Labels", labels ? labels : json_object_get(n->config, "Labels"));
	json_object_set_new(n->config, "Attachable", json_boolean(attachable));
	return 0;
}

static int check_name(struct engine *g, const char *name, struct err *e)
{
	_cleanup_network_ struct network other = { 0 };
	int r;

	if (!name_is_valid(name))
		return err_set(e, ERR_INVALID, EINVAL,
			       "invalid network name %.64s: letters, digits, '_', '.' and '-' are allowed", name);
	if (is_built_in(name))
		return err_set(e, ERR_DENIED, EPERM, "operation is not permitted on predefined %s network", name);
	r = load_by(g, "name = ?", name, &other, e);
	return r > 0 ? err_set(e, ERR_CONFLICT, EEXIST, "network with name %s already exists", name) : r;
}

static int network_make(struct engine *g, const json_t *body, struct network *ret, struct err *e)
{
	const char *name = "";
	int r = json_get_str(body, "Name", &name, e);

	if (r == 0)
		r = check_name(g, name, e);
	if (r < 0)
		return r;
	network_init(ret, name, NET_KIND_BRIDGE);
	r = read_kind(body, ret, e);
	if (r == 0)
		r = read_ipam(g, ret, body, e);
	return r < 0 ? r : network_insert(g, ret, e);
}

static void emit(struct engine *g, const struct network *n, const char *action, const char *container)
{
	json_t *a = json_pack("{s:s, s:s}", "name", n->name, "type", driver_of(n));

	if (container)
		json_object_set_new(a, "container", json_string(container));
	event_emit(g, "network", action, n->id, a);
}

void networks_create(struct request *r)
{
	_cleanup_network_ struct network n = { 0 };
	struct err e = { 0 };
	bool ipv6 = false;

	if (json_get_bool(r->body, "EnableIPv6", &ipv6, &e) < 0 || network_make(r->engine, r->body, &n, &e) < 0) {
		reply_err(r, &e);
		return;
	}
	emit(r->engine, &n, "create", NULL);
	reply_json(r, 201,
		   json_pack("{s:s, s:s}", "Id", n.id, "Warning",
			     ipv6 ? "IPv6 is not offered: the network has IPv4 only" : ""));
}

/* ---- DELETE, prune ---- */

static int network_remove(struct engine *g, const struct network *n, struct err *e)
{
	_cleanup_free_ char *user = NULL;
	bool placed = json_get(n->config, "Subnet") || n->kind == NET_KIND_EGRESS;
	int r;

	if (is_built_in(n->name))
		return err_set(e, ERR_DENIED, EPERM, "%s is a pre-defined network and cannot be removed", n->name);
	if (containers_use_network(g, n->id, &user))
		return err_set(e, ERR_DENIED, EBUSY,
			       "error while removing network: network %s has active endpoints (name:\"%.64s\")",
			       n->name, user ? user : "");
	r = state_exec(g, e, "DELETE FROM networks WHERE id = ?", "t", n->id);
	if (r < 0)
		return r;
	if (placed)
		network_forget(g, n);
	emit(g, n, "destroy", NULL);
	return 0;
}

void network_delete(struct request *r)
{
	_cleanup_network_ struct network n = { 0 };
	struct err e = { 0 };

	if (network_load(r->engine, r->args[0], &n, &e) < 0 || network_remove(r->engine, &n, &e) < 0)
		reply_err(r, &e);
	else
		reply_empty(r, 204);
}

/* "label!": none of its values may hold. */
static bool prune_matches(const struct filters *f, const struct network *n, int64_t until)
{
	const json_t *labels = json_get(n->config, "Labels");

	if (filters_has(f, "label!") && filters_match_labels(f, "label!", labels))
		return false;
	return filters_match_labels(f, "label", labels) && (!until || n->created_ns < until);
}

static int prune_until(const struct filters *f, int64_t *ret, struct err *e)
{
	const char *text = json_string_value(json_array_get(filters_values(f, "until"), 0));
	uint64_t ms;

	*ret = 0;
	if (!text || rfc3339_parse(text, ret) == 0)
		return 0;
	if (str_duration_ms(text, INT64_MAX / 1000000, &ms) < 0)
		return err_set(e, ERR_INVALID, EINVAL, "invalid filter 'until=%.64s'", text);
	*ret = now_real_ns() - (int64_t)ms * 1000000;
	return 0;
}

void networks_prune(struct request *r)
{
	struct engine *g = r->engine;
	struct filters f = { 0 };
	struct network *all;
	struct err e = { 0 };
	json_t *deleted;
	int64_t until;
	size_t n;

	if (filters_parse(&f, query_get(&r->query, "filters"), prune_filters, &e) < 0 ||
	    prune_until(&f, &until, &e) < 0) {
		filters_done(&f);
		reply_err(r, &e);
		return;
	}
	deleted = json_array();
	all = load_all(g, &n, NULL);
	for (size_t i = 0; i < n; i++)
		if (!is_built_in(all[i].name) && prune_matches(&f, &all[i], until) &&
		    network_remove(g, &all[i], &e) == 0)
			json_array_append_new(deleted, json_string(all[i].name));
	free_all(all, n);
	filters_done(&f);
	reply_json(r, 200, json_pack("{s:o}", "NetworksDeleted", deleted));
}

/* ---- connect, disconnect ---- */

static int load_with_container(struct request *r, struct network *n, const char **ret_container, struct err *e)
{
	int ret = network_load(r->engine, r->args[0], n, e);

	*ret_container = "";
	if (ret == 0)
		ret = json_get_str(r->body, "Container", ret_container, e);
	if (ret == 0 && !**ret_container)
		ret = err_set(e, ERR_INVALID, EINVAL, "no container is named in the request");
	return ret;
}

void network_connect(struct request *r)
{
	_cleanup_network_ struct network n = { 0 };
	const char *container;
	struct err e = { 0 };
	json_t *config = NULL;

	if (load_with_container(r, &n, &container, &e) < 0 ||
	    json_get_object(r->body, "EndpointConfig", &config, &e) < 0 ||
	    container_connect(r->engine, container, n.id, n.name, config, &e) < 0) {
		reply_err(r, &e);
		return;
	}
	emit(r->engine, &n, "connect", container);
	reply_empty(r, 200);
}

void network_disconnect(struct request *r)
{
	_cleanup_network_ struct network n = { 0 };
	const char *container;
	struct err e = { 0 };
	bool force = false;

	if (load_with_container(r, &n, &container, &e) < 0 || json_get_bool(r->body, "Force", &force, &e) < 0 ||
	    container_disconnect(r->engine, container, n.id, force, &e) < 0) {
		reply_err(r, &e);
		return;
	}
	emit(r->engine, &n, "disconnect", container);
	reply_empty(r, 200);
}
