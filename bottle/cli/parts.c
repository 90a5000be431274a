/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan of a bottle: from a policy and a name to the bodies that the Engine
 * API takes; in the bottle command. Pure: it asks nobody, so that the same
 * policy, name and networks give the same bottle.
 */
#include "cli/parts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

void plan_init(struct plan *p, const struct policy *policy, const char *name, const char *compiled, const char *hash)
{
	*p = (struct plan){ .policy = policy };
	p->name = xstrdup(name);
	p->compiled = xstrdup(compiled);
	p->hash = xstrdup(hash);
	p->internal = xasprintf("%s-internal", name);
	p->egress = xasprintf("%s-egress", name);
	p->sidecar = xasprintf("%s-sidecar", name);
	p->probe = xasprintf("%s-probe", name);
	p->agent = xasprintf("%s-agent", name);
}

void plan_done(struct plan *p)
{
	free(p->name);
	free(p->compiled);
	free(p->hash);
	free(p->internal);
	free(p->egress);
	free(p->sidecar);
	free(p->probe);
	free(p->agent);
}

/* ---- addresses ---- */

/* FNV-1a: only to spread names over the pool; collisions move on to the next subnet. */
uint32_t subnet_first(const char *name)
{
	uint32_t h = 2166136261U;

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 16777619U;
	return (h ^ (h >> 16)) % SUBNET_COUNT;
}

static bool parse_subnet(const char *text, uint32_t *ret_net, unsigned int *ret_prefix)
{
	char addr[INET_ADDRSTRLEN] = "";
	const char *slash = text ? strchr(text, '/') : NULL;
	struct in_addr in;
	uint64_t prefix;

	if (!slash || (size_t)(slash - text) >= sizeof(addr) || str_u64(slash + 1, 32, &prefix) < 0)
		return false;
	memcpy(addr, text, (size_t)(slash - text));
	if (inet_pton(AF_INET, addr, &in) != 1)
		return false;
	*ret_net = ntohl(in.s_addr);
	*ret_prefix = (unsigned int)prefix;
	return true;
}

static void mark_used(bool *used, const char *text)
{
	unsigned int prefix;
	uint32_t net, mask;

	if (!parse_subnet(text, &net, &prefix))
		return;
	for (uint32_t i = 0; i < SUBNET_COUNT; i++) {
		uint32_t ours = POOL_NETWORK + (i << (32 - SUBNET_PREFIX));

		mask = prefix > SUBNET_PREFIX ? SUBNET_PREFIX : prefix;
		mask = mask ? ~0U << (32 - mask) : 0;
		used[i] = used[i] || (ours & mask) == (net & mask);
	}
}

static void text_of(char out[INET_ADDRSTRLEN], uint32_t addr)
{
	struct in_addr in = { .s_addr = htonl(addr) };

	inet_ntop(AF_INET, &in, out, INET_ADDRSTRLEN);
}

int plan_place(struct plan *p, const json_t *networks, struct err *e)
{
	_cleanup_free_ bool *used = xcalloc(SUBNET_COUNT, sizeof(*used));
	uint32_t first = subnet_first(p->name);
	json_t *network, *config;
	size_t i, k;

	json_array_foreach(networks, i, network) {
		json_array_foreach(json_object_get(json_object_get(network, "IPAM"), "Config"), k, config)
			mark_used(used, json_string_value(json_object_get(config, "Subnet")));
	}
	for (uint32_t n = 0; n < SUBNET_COUNT; n++) {
		uint32_t at = (first + n) % SUBNET_COUNT;

		if (used[at])
			continue;
		p->subnet = POOL_NETWORK + (at << (32 - SUBNET_PREFIX));
		text_of(p->sidecar_addr, p->subnet + 1);
		text_of(p->agent_addr, p->subnet + 2);
		return 0;
	}
	return err_set(e, ERR_LIMIT, EADDRNOTAVAIL,
		       "all %u internal subnets of 10.88.0.0/16 are in use; take a bottle down", SUBNET_COUNT);
}

/* ---- bodies ---- */

static json_t *labels(const struct plan *p, const char *role)
{
	json_t *o = json_pack("{s:s, s:s}", LABEL_NAME, p->name, LABEL_POLICY, p->hash);

	if (role)
		json_object_set_new(o, LABEL_ROLE, json_string(role));
	return o;
}

json_t *plan_network(const struct plan *p, bool internal)
{
	json_t *o = json_pack("{s:s, s:s, s:b, s:b, s:o}", "Name", internal ? p->internal : p->egress, "Driver",
			      "bridge", "CheckDuplicate", 1, "Internal", internal, "Labels", labels(p, NULL));
	_cleanup_free_ char *subnet = NULL;
	char net[INET_ADDRSTRLEN];

	if (!internal) {
		json_object_set_new(o, "Options", json_pack("{s:s}", "bottle.kind", "egress"));
		return o;
	}
	text_of(net, p->subnet);
	subnet = xasprintf("%s/%d", net, SUBNET_PREFIX);
	json_object_set_new(o, "IPAM",
			    json_pack("{s:s, s:[{s:s, s:s}]}", "Driver", "default", "Config", "Subnet", subnet,
				      "Gateway", p->sidecar_addr));
	return o;
}

static void add_env(json_t *list, const char *name, const char *value)
{
	json_array_append_new(list, json_sprintf("%s=%s", name, value));
}

static json_t *sidecar_env(const struct plan *p)
{
	json_t *list = json_array();
	char port[8];

	add_env(list, "BOTTLE_INTERNAL", p->sidecar_addr);
	if (p->policy->n_publish) {
		snprintf(port, sizeof(port), "%u", p->policy->publish[0].port);
		add_env(list, "BOTTLE_STATUS_PORT", port);
	}
	return list;
}

static void add_publishes(const struct plan *p, json_t *body, json_t *host)
{
	json_t *exposed = json_object(), *bindings = json_object();

	for (size_t i = 0; i < p->policy->n_publish; i++) {
		const struct policy_publish *pub = &p->policy->publish[i];
		char port[16], host_port[8];
		json_t *list;

		snprintf(port, sizeof(port), "%u/tcp", pub->port);
		snprintf(host_port, sizeof(host_port), "%u", pub->host_port);
		list = json_object_get(bindings, port);
		if (!list) {
			list = json_array();
			json_object_set_new(bindings, port, list);
		}
		json_array_append_new(list, json_pack("{s:s, s:s}", "HostIp", pub->host_ip, "HostPort", host_port));
		json_object_set_new(exposed, port, json_object());
	}
	json_object_set_new(body, "ExposedPorts", exposed);
	json_object_set_new(host, "PortBindings", bindings);
}

/* What sidecar/main/route.c insists on: nothing is forwarded, and the agent learns no other address of the sidecar's. */
static json_t *sidecar_sysctls(void)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "net.ipv4.ip_forward", "0", "net.ipv4.icmp_echo_ignore_all",
			 "1", "net.ipv4.conf.all.accept_redirects", "0", "net.ipv4.conf.all.accept_source_route", "0",
			 "net.ipv4.conf.all.route_localnet", "0", "net.ipv4.conf.all.arp_ignore", "1");
}

json_t *plan_sidecar(const struct plan *p)
{
	json_t *host = json_pack("{s:s, s:[s], s:o, s:i}", "NetworkMode", p->egress, "CapAdd", "NET_ADMIN", "Sysctls",
				 sidecar_sysctls(), "Memory", SIDECAR_MEMORY);
	json_t *networks =
		json_pack("{s:{}, s:{s:{s:s}}}", p->egress, p->internal, "IPAMConfig", "IPv4Address", p->sidecar_addr);
	json_t *body = json_pack("{s:s, s:s, s:o, s:o, s:{s:o}}", "Image", SIDECAR_IMAGE, "Hostname", "sidecar", "Env",
				 sidecar_env(p), "Labels", labels(p, "sidecar"), "NetworkingConfig", "EndpointsConfig",
				 networks);

	add_publishes(p, body, host);
	json_object_set_new(body, "HostConfig", host);
	return body;
}

json_t *plan_probe(const struct plan *p)
{
	json_t *host = json_pack("{s:s, s:[s], s:[s], s:[s], s:i}", "NetworkMode", p->internal, "Dns", p->sidecar_addr,
				 "CapDrop", "ALL", "CapAdd", "NET_RAW", "Memory", PROBE_MEMORY);
	json_t *networks = json_pack("{s:{s:{s:s}}}", p->internal, "IPAMConfig", "IPv4Address", p->agent_addr);

	return json_pack("{s:s, s:s, s:[s], s:[s], s:o, s:o, s:{s:o}}", "Image", SIDECAR_IMAGE, "Hostname", p->name,
			 "Entrypoint", "/sidecar-probe", "Cmd", "hold", "Labels", labels(p, "probe"), "HostConfig",
			 host, "NetworkingConfig", "EndpointsConfig", networks);
}

static json_t *agent_env(const struct plan *p)
{
	static const char *const names[] = { "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY" };
	_cleanup_free_ char *proxy = xasprintf("http://%s:%d", p->sidecar_addr, SIDECAR_PROXY);
	json_t *list = json_array();

	for (char **v = p->policy->agent.env; v && *v; v++)
		json_array_append_new(list, json_string(*v));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		add_env(list, names[i], proxy);
	add_env(list, "no_proxy", "localhost,127.0.0.1");
	add_env(list, "NO_PROXY", "localhost,127.0.0.1");
	return list;
}

static json_t *agent_host(const struct plan *p)
{
	const struct policy_agent *a = &p->policy->agent;
	json_t *host = json_pack("{s:s, s:[s]}", "NetworkMode", p->internal, "Dns", p->sidecar_addr);

	if (a->cpus)
		json_object_set_new(host, "NanoCpus", json_integer((json_int_t)a->cpus * 1000000000));
	if (a->memory)
		json_object_set_new(host, "Memory", json_integer((json_int_t)a->memory));
	if (a->pids)
		json_object_set_new(host, "PidsLimit", json_integer((json_int_t)a->pids));
	if (a->disk)
		json_object_set_new(host, "StorageOpt",
				    json_pack("{s:o}", "size", json_sprintf("%llu", (unsigned long long)a->disk)));
	return host;
}

json_t *plan_agent(const struct plan *p, const struct agent_run *run)
{
	const struct policy_agent *a = &p->policy->agent;
	char *const *command = run->command ? run->command : a->command;
	json_t *networks = json_pack("{s:{s:{s:s}}}", p->internal, "IPAMConfig", "IPv4Address", p->agent_addr);
	json_t *body = json_pack("{s:s, s:s, s:b, s:b, s:b, s:o, s:o, s:o, s:{s:o}}", "Image", a->image, "Hostname",
				 p->name, "Tty", run->tty, "OpenStdin", 1, "StdinOnce", run->attached, "Env",
				 agent_env(p), "Labels", labels(p, "agent"), "HostConfig", agent_host(p),
				 "NetworkingConfig", "EndpointsConfig", networks);
	json_t *list = json_array();

	json_object_set_new(body, "AttachStdin", json_boolean(run->attached));
	json_object_set_new(body, "AttachStdout", json_boolean(run->attached));
	json_object_set_new(body, "AttachStderr", json_boolean(run->attached));
	for (; command && *command; command++)
		json_array_append_new(list, json_string(*command));
	if (json_array_size(list))
		json_object_set(body, "Cmd", list);
	json_decref(list);
	if (a->user)
		json_object_set_new(body, "User", json_string(a->user));
	if (a->workdir)
		json_object_set_new(body, "WorkingDir", json_string(a->workdir));
	return body;
}

const char *object_label(const json_t *object, const char *label)
{
	return json_string_value(json_object_get(json_object_get(object, "Labels"), label));
}

const char *object_name(const json_t *object)
{
	const char *name = json_string_value(json_array_get(json_object_get(object, "Names"), 0));

	if (!name)
		name = json_string_value(json_object_get(object, "Name"));
	return name ? name + (*name == '/') : NULL;
}
