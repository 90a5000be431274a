/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a container's description and its endpoints to the TLV bodies that
 * bottle-init gets (proto/guest.h). Runs in bottled; pure but for sysconf.
 * The texts in it are the user's own and go to the user's own guest.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <sys/capability.h>

#include "api/container.h"
#include "api/json.h"
#include "base/mem.h"

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* What a container that may change its own network needs; the guest loads modules only while it is configured. */
static const char *const net_admin_modules[] = { "nf_tables", "nft_chain_nat", "nft_redir", "nft_ct",
						 "nft_reject_inet" };

static void put_list(struct tlv *t, uint16_t tag, const json_t *list)
{
	json_t *v;
	size_t i;

	json_array_foreach(list, i, v)
		tlv_str(t, tag, json_string_value(v));
}

static void put_hex(struct tlv *t, uint16_t tag, const json_t *ep, const char *key)
{
	unsigned int b[6];
	uint8_t mac[6];

	if (sscanf(member_text(ep, key), "%2x:%2x:%2x:%2x:%2x:%2x", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5]) != 6)
		return;
	for (size_t i = 0; i < 6; i++)
		mac[i] = (uint8_t)b[i];
	tlv_bytes(t, tag, mac, sizeof(mac));
}

/*
 * The endpoint that carries the default route: the first one of a network that
 * reaches outside; else an only one, whose network names a gateway that is not the container itself.
 */
static const json_t *route_endpoint(const json_t *endpoints)
{
	const json_t *only = json_array_get(endpoints, 0);
	json_t *ep;
	size_t i;

	json_array_foreach(endpoints, i, ep)
		if (!member_flag(ep, "internal") && *member_text(ep, "gateway"))
			return ep;
	if (json_array_size(endpoints) == 1 && *member_text(only, "gateway") &&
	    !str_eq(member_text(only, "gateway"), member_text(only, "addr")))
		return only;
	return NULL;
}

static void put_nics(struct tlv *t, const json_t *endpoints)
{
	const json_t *route = route_endpoint(endpoints);
	json_t *ep;
	size_t i;

	json_array_foreach(endpoints, i, ep) {
		uint8_t addr[4], gateway[4];
		char name[32];

		snprintf(name, sizeof(name), "eth%zu", i);
		tlv_u32(t, GUEST_TAG_NIC, (uint32_t)i);
		tlv_str(t, GUEST_TAG_NIC_NAME, name);
		put_hex(t, GUEST_TAG_NIC_MAC, ep, "mac");
		if (spec_ipv4(member_text(ep, "addr"), addr)) {
			tlv_bytes(t, GUEST_TAG_NIC_ADDR, addr, 4);
			tlv_u32(t, GUEST_TAG_NIC_PREFIX, (uint32_t)member_int(ep, "prefix"));
		}
		if (!spec_ipv4(member_text(ep, "gateway"), gateway))
			continue;
		if (ep == route)
			tlv_bytes(t, GUEST_TAG_NIC_GATEWAY, gateway, 4);
		if (*member_text(ep, "gateway_mac")) {
			tlv_bytes(t, GUEST_TAG_NEIGH_ADDR, gateway, 4);
			put_hex(t, GUEST_TAG_NEIGH_MAC, ep, "gateway_mac");
		}
	}
}

static void put_dns(struct tlv *t, const json_t *host, const json_t *endpoints, const struct resolvers *resolvers)
{
	const json_t *dns = json_object_get(host, "Dns");
	bool outside = false;
	uint8_t addr[4];
	json_t *v;
	size_t i;

	json_array_foreach(endpoints, i, v)
		outside |= !member_flag(v, "internal");
	json_array_foreach(dns, i, v)
		if (spec_ipv4(json_string_value(v), addr))
			tlv_bytes(t, GUEST_TAG_DNS, addr, 4);
	if (json_array_size(dns) == 0 && outside)
		for (i = 0; i < resolvers->n; i++)
			tlv_bytes(t, GUEST_TAG_DNS, resolvers->addr[i], 4);
	put_list(t, GUEST_TAG_DNS_SEARCH, json_object_get(host, "DnsSearch"));
	put_list(t, GUEST_TAG_DNS_OPTION, json_object_get(host, "DnsOptions"));
}

static void put_hosts(struct tlv *t, const json_t *config, const json_t *host, const json_t *endpoints)
{
	const char *name = member_text(config, "Hostname"), *domain = member_text(config, "Domainname");
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(host, "ExtraHosts"), i, v) {
		const char *s = json_string_value(v), *sep = s + strcspn(s, ":=");
		_cleanup_free_ char *line = xasprintf("%s %.*s", sep + 1, (int)(sep - s), s);

		tlv_str(t, GUEST_TAG_HOST, line);
	}
	json_array_foreach(endpoints, i, v) {
		_cleanup_free_ char *line =
			*domain ? xasprintf("%s %s.%s %s", member_text(v, "addr"), name, domain, name)
				: xasprintf("%s %s", member_text(v, "addr"), name);

		tlv_str(t, GUEST_TAG_HOST, line);
	}
}

static void put_mounts(struct tlv *t, const json_t *host)
{
	const char *k;
	json_t *v;

	json_object_foreach(json_object_get(host, "Tmpfs"), k, v) {
		_cleanup_free_ char *line =
			*json_string_value(v) ? xasprintf("%s:%s", k, json_string_value(v)) : xstrdup(k);

		tlv_str(t, GUEST_TAG_TMPFS, line);
	}
	tlv_u64(t, GUEST_TAG_SHM_SIZE, (uint64_t)member_int(host, "ShmSize"));
	json_object_foreach(json_object_get(host, "Sysctls"), k, v) {
		_cleanup_free_ char *line = xasprintf("%s=%s", k, json_string_value(v));

		tlv_str(t, GUEST_TAG_SYSCTL, line);
	}
}

static int too_large(const struct tlv *t, const char *what, struct err *e)
{
	if (tlv_len(t) < 0)
		return err_set(e, ERR_INVALID, E2BIG,
			       "%s is larger than a container's start can carry (48 KiB); shorten it", what);
	return 0;
}

int guest_config_write(struct tlv *t, const struct container *c, const json_t *endpoints,
		       const struct resolvers *resolvers, size_t n_layers, struct err *e)
{
	const json_t *config = container_config(c), *host = container_host_config(c);
	uint64_t caps;

	if (spec_caps(host, &caps, e) < 0)
		return -EINVAL;
	tlv_str(t, GUEST_TAG_HOSTNAME, member_text(config, "Hostname"));
	if (*member_text(config, "Domainname"))
		tlv_str(t, GUEST_TAG_DOMAINNAME, member_text(config, "Domainname"));
	if (member_flag(host, "ReadonlyRootfs"))
		tlv_u32(t, GUEST_TAG_ROOT_RO, 1);
	for (size_t i = 0; i < n_layers; i++)
		tlv_u32(t, GUEST_TAG_LAYER, (uint32_t)i + 1);
	tlv_u32(t, GUEST_TAG_SCRATCH, 0);
	if (caps & (1ULL << CAP_NET_ADMIN))
		for (size_t i = 0; i < ARRAY_SIZE(net_admin_modules); i++)
			tlv_str(t, GUEST_TAG_MODULE, net_admin_modules[i]);
	put_nics(t, endpoints);
	put_dns(t, host, endpoints, resolvers);
	put_hosts(t, config, host, endpoints);
	put_mounts(t, host);
	return too_large(t, "the configuration (hosts, tmpfs, sysctls)", e);
}

static bool list_has_var(const json_t *list, const char *name)
{
	size_t i, n = strlen(name);
	json_t *v;

	json_array_foreach(list, i, v)
		if (strncmp(json_string_value(v), name, n) == 0 && json_string_value(v)[n] == '=')
			return true;
	return false;
}

/* env over base (may be NULL); an entry without '=' takes the variable away. */
static void put_env(struct tlv *t, const json_t *base, const json_t *env, const char *hostname, bool tty)
{
	_cleanup_free_ char *host = xasprintf("HOSTNAME=%s", hostname);
	const char *const defaults[][2] = { { "PATH", DEFAULT_PATH },
					    { "HOSTNAME", host },
					    { "TERM", tty ? "TERM=xterm" : NULL } };
	json_t *v;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(defaults); i++)
		if (defaults[i][1] && !list_has_var(env, defaults[i][0]) && !list_has_var(base, defaults[i][0]))
			tlv_str(t, GUEST_TAG_ENV, defaults[i][1]);
	json_array_foreach(base, i, v) {
		_cleanup_free_ char *name = xstrndup(json_string_value(v), strcspn(json_string_value(v), "="));

		if (strchr(json_string_value(v), '=') && !list_has_var(env, name))
			tlv_str(t, GUEST_TAG_ENV, json_string_value(v));
	}
	json_array_foreach(env, i, v)
		if (strchr(json_string_value(v), '='))
			tlv_str(t, GUEST_TAG_ENV, json_string_value(v));
}

static void put_limit(struct tlv *t, const json_t *u)
{
	json_int_t soft = member_int(u, "Soft"), hard = member_int(u, "Hard");
	_cleanup_free_ char *a = soft < 0 ? xstrdup("unlimited") : xasprintf("%lld", (long long)soft);
	_cleanup_free_ char *b = hard < 0 ? xstrdup("unlimited") : xasprintf("%lld", (long long)hard);
	_cleanup_free_ char *line = xasprintf("%s=%s:%s", member_text(u, "Name"), a, b);

	tlv_str(t, GUEST_TAG_RLIMIT, line);
}

static int put_rights(struct tlv *t, const json_t *host, uint64_t extra, struct err *e)
{
	uint64_t caps;
	json_t *v;
	size_t i;

	if (spec_caps(host, &caps, e) < 0)
		return -EINVAL;
	tlv_u64(t, GUEST_TAG_CAPS, caps | extra);
	put_list(t, GUEST_TAG_GROUP_ADD, json_object_get(host, "GroupAdd"));
	if (spec_no_new_privs(host))
		tlv_u32(t, GUEST_TAG_NO_NEW_PRIVS, 1);
	json_array_foreach(json_object_get(host, "Ulimits"), i, v)
		put_limit(t, v);
	return 0;
}

static void put_terminal(struct tlv *t, const json_t *size)
{
	json_int_t rows = json_integer_value(json_array_get(size, 0)),
		   cols = json_integer_value(json_array_get(size, 1));

	tlv_u32(t, GUEST_TAG_TTY, 1);
	tlv_u32(t, GUEST_TAG_ROWS, rows > 0 && rows < 65536 ? (uint32_t)rows : 24);
	tlv_u32(t, GUEST_TAG_COLS, cols > 0 && cols < 65536 ? (uint32_t)cols : 80);
}

int guest_process_write(struct tlv *t, const struct container *c, struct err *e)
{
	const json_t *config = container_config(c), *host = container_host_config(c);
	bool tty = member_flag(config, "Tty");

	tlv_u32(t, GUEST_TAG_MAIN, 1);
	put_list(t, GUEST_TAG_ARG, json_object_get(config, "Entrypoint"));
	put_list(t, GUEST_TAG_ARG, json_object_get(config, "Cmd"));
	put_env(t, NULL, json_object_get(config, "Env"), member_text(config, "Hostname"), tty);
	tlv_str(t, GUEST_TAG_CWD, *member_text(config, "WorkingDir") ? member_text(config, "WorkingDir") : "/");
	tlv_str(t, GUEST_TAG_USER, member_text(config, "User"));
	if (tty)
		put_terminal(t, json_object_get(host, "ConsoleSize"));
	if (member_flag(config, "OpenStdin"))
		tlv_u32(t, GUEST_TAG_STDIN, 1);
	if (put_rights(t, host, 0, e) < 0)
		return -EINVAL;
	if (member_int(host, "PidsLimit") > 0)
		tlv_u64(t, GUEST_TAG_PIDS_MAX, (uint64_t)member_int(host, "PidsLimit"));
	if (member_flag(host, "Init"))
		tlv_u32(t, GUEST_TAG_INIT, 1);
	return too_large(t, "the command with its environment", e);
}

int guest_exec_write(struct tlv *t, const struct container *c, const json_t *x, struct err *e)
{
	const json_t *config = container_config(c);
	bool tty = member_flag(x, "Tty");
	const char *dir = member_text(x, "WorkingDir"), *user = member_text(x, "User");

	put_list(t, GUEST_TAG_ARG, json_object_get(x, "Cmd"));
	put_env(t, json_object_get(config, "Env"), json_object_get(x, "Env"), member_text(config, "Hostname"), tty);
	if (!*dir)
		dir = *member_text(config, "WorkingDir") ? member_text(config, "WorkingDir") : "/";
	tlv_str(t, GUEST_TAG_CWD, dir);
	tlv_str(t, GUEST_TAG_USER, *user ? user : member_text(config, "User"));
	if (tty)
		put_terminal(t, json_object_get(x, "ConsoleSize"));
	if (member_flag(x, "AttachStdin"))
		tlv_u32(t, GUEST_TAG_STDIN, 1);
	if (put_rights(t, container_host_config(c), member_flag(x, "Privileged") ? (1ULL << (CAP_LAST_CAP + 1)) - 1 : 0,
		       e) < 0)
		return -EINVAL;
	return too_large(t, "the command with its environment", e);
}
