/* SPDX-License-Identifier: Apache-2.0 */
/* Containers as JSON: the list and the inspection, as docker's clients read them. Runs in bottled; reads records only. */
#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <sys/stat.h>

#include "api/container.h"
#include "api/containers.h"
#include "api/json.h"
#include "base/mem.h"

/* ---- texts ---- */

static char *status_of(const struct container *c)
{
	const char *since = container_running(c) ? "started" : "finished";

	return status_text(c->state, (int)member_int(c->runtime, "code"), member_int(c->runtime, since), now_real_ns());
}

/* All words of a command in one line. */
static json_t *command_line(const json_t *config)
{
	const char *const keys[] = { "Entrypoint", "Cmd" };
	_cleanup_buf_ struct buf b = { 0 };
	json_t *v;
	size_t i;

	for (size_t k = 0; k < ARRAY_SIZE(keys); k++)
		json_array_foreach(json_object_get(config, keys[k]), i, v) {
			bool blank = strpbrk(json_string_value(v), " \t\n'\"") != NULL;

			if (buf_len(&b))
				buf_puts(&b, " ");
			if (blank)
				buf_puts(&b, "'");
			buf_puts(&b, json_string_value(v));
			if (blank)
				buf_puts(&b, "'");
		}
	return json_string(buf_cstr(&b));
}

/* ---- networks and ports ---- */

static const json_t *endpoint_on(const struct container *c, const char *network_id)
{
	json_t *ep;
	size_t i;

	json_array_foreach(json_object_get(c->runtime, "endpoints"), i, ep)
		if (str_eq(member_text(ep, "network"), network_id))
			return ep;
	return NULL;
}

static json_t *dns_names(const struct container *c, const json_t *aliases)
{
	json_t *names = json_pack("[s]", c->name), *v;
	size_t i;

	json_array_foreach(aliases, i, v)
		json_array_append(names, v);
	json_array_append_new(names, json_stringn(c->id, 12));
	return names;
}

static json_t *network_json(const struct container *c, const json_t *config)
{
	const json_t *ep = endpoint_on(c, member_text(config, "NetworkID")),
		     *aliases = json_object_get(config, "Aliases");
	json_t *ipam = json_object_get(config, "IPAMConfig");

	return json_pack("{s:O?, s:n, s:o, s:s, s:n, s:i, s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:i, s:o}", "IPAMConfig",
			 ipam, "Links", "Aliases", json_array_size(aliases) ? json_deep_copy(aliases) : json_null(),
			 "MacAddress", member_text(ep, "mac"), "DriverOpts", "GwPriority", 0, "NetworkID",
			 member_text(config, "NetworkID"), "EndpointID", member_text(ep, "endpoint_id"), "Gateway",
			 member_text(ep, "gateway"), "IPAddress", member_text(ep, "addr"), "IPPrefixLen",
			 (int)member_int(ep, "prefix"), "IPv6Gateway", "", "GlobalIPv6Address", "",
			 "GlobalIPv6PrefixLen", 0, "DNSNames", dns_names(c, aliases));
}

static json_t *networks_json(const struct container *c)
{
	json_t *out = json_object(), *v;
	const char *k;

	json_object_foreach(json_object_get(c->config, "Networks"), k, v)
		json_object_set_new(out, k, network_json(c, v));
	return out;
}

static json_t *ports_json(const struct container *c)
{
	json_t *ports = json_object_get(c->runtime, "ports");

	return container_running(c) && ports ? json_deep_copy(ports) : json_object();
}

/* The number that a "80/tcp" or "80" begins with: both are ours, 0 where one is damaged. */
static int port_number(const char *text)
{
	_cleanup_free_ char *digits = xstrndup(text, strcspn(text, "/"));
	uint64_t port = 0;

	str_u64(digits, UINT16_MAX, &port);
	return (int)port;
}

json_t *container_ports_list(const struct container *c)
{
	json_t *out = json_array(), *list, *b;
	const char *port;
	size_t i;

	if (!container_running(c))
		return out;
	json_object_foreach(json_object_get(c->runtime, "ports"), port, list) {
		const char *type = strchr(port, '/') + 1;
		int private = port_number(port);

		if (!json_is_array(list))
			json_array_append_new(out, json_pack("{s:i, s:s}", "PrivatePort", private, "Type", type));
		json_array_foreach(list, i, b)
			json_array_append_new(out, json_pack("{s:s, s:i, s:i, s:s}", "IP", member_text(b, "HostIp"),
							     "PrivatePort", private, "PublicPort",
							     port_number(member_text(b, "HostPort")), "Type", type));
	}
	return out;
}

static json_t *network_settings(const struct container *c)
{
	json_t *bridge = json_object_get(json_object_get(c->config, "Networks"), "bridge");
	const json_t *ep = bridge ? endpoint_on(c, member_text(bridge, "NetworkID")) : NULL;

	return json_pack("{s:s, s:s, s:s, s:o, s:b, s:s, s:i, s:n, s:n, s:s, s:s, s:s, s:i, s:s, s:i, s:s, s:s, s:o}",
			 "Bridge", "", "SandboxID", container_running(c) ? c->id : "", "SandboxKey", "", "Ports",
			 ports_json(c), "HairpinMode", 0, "LinkLocalIPv6Address", "", "LinkLocalIPv6PrefixLen", 0,
			 "SecondaryIPAddresses", "SecondaryIPv6Addresses", "EndpointID", member_text(ep, "endpoint_id"),
			 "Gateway", member_text(ep, "gateway"), "GlobalIPv6Address", "", "GlobalIPv6PrefixLen", 0,
			 "IPAddress", member_text(ep, "addr"), "IPPrefixLen", (int)member_int(ep, "prefix"),
			 "IPv6Gateway", "", "MacAddress", member_text(ep, "mac"), "Networks", networks_json(c));
}

/* ---- inspect ---- */

static json_t *time_json(int64_t ns)
{
	char text[RFC3339_MAX];

	rfc3339nano(text, ns);
	return json_string(text);
}

static json_t *state_json(const struct container *c)
{
	json_int_t pid = container_running(c) ? member_int(c->runtime, "pid") : 0;

	return json_pack("{s:s, s:b, s:b, s:b, s:b, s:b, s:I, s:I, s:s, s:o, s:o}", "Status",
			 container_state_name(c->state), "Running", container_running(c), "Paused",
			 c->state == STATE_PAUSED, "Restarting", 0, "OOMKilled", member_flag(c->runtime, "oom"), "Dead",
			 c->state == STATE_DEAD, "Pid", pid, "ExitCode", member_int(c->runtime, "code"), "Error",
			 member_text(c->runtime, "error"), "StartedAt", time_json(member_int(c->runtime, "started")),
			 "FinishedAt", time_json(member_int(c->runtime, "finished")));
}

static json_t *exec_ids(const struct container *c)
{
	json_t *out = json_array();

	for (struct exec *x = c->execs; x; x = x->next)
		if (x->running && !x->internal)
			json_array_append_new(out, json_string(x->id));
	if (json_array_size(out))
		return out;
	json_decref(out);
	return json_null();
}

static int64_t scratch_bytes(const struct container *c)
{
	_cleanup_free_ char *dir = container_dir(c), *path = xasprintf("%s/scratch.img", dir);
	struct stat st;

	return fstatat(c->g->data_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 ? (int64_t)st.st_blocks * 512 : 0;
}

static json_t *path_and_args(const json_t *config, json_t **ret_args)
{
	json_t *all = json_array(), *path;

	json_array_extend(all, json_object_get(config, "Entrypoint"));
	json_array_extend(all, json_object_get(config, "Cmd"));
	path = json_incref(json_array_get(all, 0));
	json_array_remove(all, 0);
	*ret_args = all;
	return path ? path : json_string("");
}

static json_t *container_json(const struct container *c, bool size)
{
	_cleanup_free_ char *slash = xasprintf("/%s", c->name);
	json_t *out, *args, *path = path_and_args(container_config(c), &args);

	out = json_pack("{s:s, s:o, s:o, s:o, s:o, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:s, s:s, s:s, s:o}",
			"Id", c->id, "Created", time_json(c->created_ns), "Path", path, "Args", args, "State",
			state_json(c), "Image", member_text(c->config, "ImageID"), "ResolvConfPath", "", "HostnamePath",
			"", "HostsPath", "", "LogPath", "", "Name", slash, "RestartCount", 0, "Driver", "bottle",
			"Platform", "linux", "MountLabel", "", "ProcessLabel", "", "AppArmorProfile", "", "ExecIDs",
			exec_ids(c));
	json_object_set(out, "HostConfig", container_host_config(c));
	json_object_set_new(out, "GraphDriver", json_pack("{s:s, s:{}}", "Name", "bottle", "Data"));
	if (size) {
		json_object_set_new(out, "SizeRw", json_integer(scratch_bytes(c)));
		json_object_set_new(out, "SizeRootFs", json_integer(scratch_bytes(c)));
	}
	json_object_set_new(out, "Mounts", json_array());
	json_object_set(out, "Config", container_config(c));
	json_object_set_new(out, "NetworkSettings", network_settings(c));
	return out;
}

void container_inspect(struct request *r)
{
	struct container *c = container_of_request(r);

	if (!c)
		return;
	if (c->mon)
		mon_drain(c->mon);
	c = container_of_request(r); /* what was read may have removed it */
	if (c)
		reply_json(r, 200, container_json(c, query_bool(&r->query, "size", false)));
}

/* ---- list ---- */

static json_t *list_item(const struct container *c, bool size)
{
	_cleanup_free_ char *slash = xasprintf("/%s", c->name), *status = status_of(c);
	const json_t *config = container_config(c);
	json_t *out, *labels = json_object_get(config, "Labels");

	out = json_pack("{s:s, s:[s], s:s, s:s, s:o, s:I, s:o, s:o, s:s, s:s, s:{s:s}, s:{s:o}, s:[]}", "Id", c->id,
			"Names", slash, "Image", member_text(config, "Image"), "ImageID",
			member_text(c->config, "ImageID"), "Command", command_line(config), "Created",
			(json_int_t)(c->created_ns / 1000000000), "Ports", container_ports_list(c), "Labels",
			labels ? json_deep_copy(labels) : json_object(), "State", container_state_name(c->state),
			"Status", status, "HostConfig", "NetworkMode",
			member_text(container_host_config(c), "NetworkMode"), "NetworkSettings", "Networks",
			networks_json(c), "Mounts");
	if (size) {
		json_object_set_new(out, "SizeRw", json_integer(scratch_bytes(c)));
		json_object_set_new(out, "SizeRootFs", json_integer(scratch_bytes(c)));
	}
	return out;
}

/* docker matches names as regular expressions, with and without the slash. */
static bool name_matches(const struct filters *f, const struct container *c)
{
	_cleanup_free_ char *slash = xasprintf("/%s", c->name);
	const json_t *values = filters_values(f, "name");
	bool found = false;
	json_t *v;
	size_t i;

	json_array_foreach(values, i, v) {
		const char *pattern = json_string_value(v);
		regex_t re;

		if (strlen(pattern) > 256 || regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB) != 0)
			continue;
		found |= regexec(&re, c->name, 0, NULL, 0) == 0 || regexec(&re, slash, 0, NULL, 0) == 0;
		regfree(&re);
	}
	return !values || found;
}

static bool id_matches(const struct filters *f, const struct container *c)
{
	const json_t *values = filters_values(f, "id");
	json_t *v;
	size_t i;

	json_array_foreach(values, i, v)
		if (str_prefix(c->id, json_string_value(v)))
			return true;
	return !values;
}

static bool image_matches(const struct filters *f, const struct container *c)
{
	const json_t *values = filters_values(f, "ancestor");
	const char *ref = member_text(container_config(c), "Image"), *id = member_text(c->config, "ImageID");
	json_t *v;
	size_t i;

	json_array_foreach(values, i, v) {
		struct image_use use = { 0 };
		bool same;

		if (str_eq(json_string_value(v), ref) || str_eq(json_string_value(v), id))
			return true;
		if (image_resolve(c->g, json_string_value(v), &use, NULL) < 0)
			continue;
		same = str_eq(use.id, id);
		image_use_done(&use);
		if (same)
			return true;
	}
	return !values;
}

static bool network_matches(const struct filters *f, const struct container *c)
{
	const json_t *values = filters_values(f, "network");
	json_t *v, *config;
	const char *k;
	size_t i;

	json_array_foreach(values, i, v)
		json_object_foreach(json_object_get(c->config, "Networks"), k, config)
			if (str_eq(json_string_value(v), k) ||
			    (strlen(json_string_value(v)) >= 12 &&
			     str_prefix(member_text(config, "NetworkID"), json_string_value(v))))
				return true;
	return !values;
}

static bool port_matches(const struct filters *f, const char *key, const json_t *ports)
{
	const json_t *values = filters_values(f, key);
	const char *port;
	json_t *v, *list;
	size_t i;

	json_array_foreach(values, i, v) {
		_cleanup_free_ char *want = spec_port(json_string_value(v), NULL);

		json_object_foreach((json_t *)(uintptr_t)ports, port, list)
			if (str_eq(want, port) && (str_eq(key, "expose") || json_array_size(list)))
				return true;
	}
	return !values;
}

static bool exit_matches(const struct filters *f, const struct container *c)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", (int)member_int(c->runtime, "code"));
	return !filters_has(f, "exited") || (c->state == STATE_EXITED && filters_match(f, "exited", text));
}

static bool matches(const struct filters *f, const struct container *c)
{
	return filters_match(f, "status", container_state_name(c->state)) && filters_match(f, "health", "none") &&
	       filters_match_labels(f, "label", json_object_get(container_config(c), "Labels")) && name_matches(f, c) &&
	       id_matches(f, c) && image_matches(f, c) && network_matches(f, c) && exit_matches(f, c) &&
	       port_matches(f, "publish", json_object_get(c->runtime, "ports")) &&
	       port_matches(f, "expose", json_object_get(container_config(c), "ExposedPorts")) &&
	       !filters_has(f, "volume");
}

/* The creation time of the container that before= or since= names. */
static int edge(struct request *r, const struct filters *f, const char *key, int64_t *ret, struct err *e)
{
	const char *ref = query_get(&r->query, key);
	struct container *c;

	if (!ref || !*ref)
		ref = json_string_value(json_array_get(filters_values(f, key), 0));
	if (!ref)
		return 0;
	c = container_find(r->engine, ref, e);
	if (!c)
		return -ENOENT;
	*ret = c->created_ns;
	return 0;
}

static json_t *collect(struct request *r, const struct filters *f, int64_t limit, struct err *e)
{
	bool all = query_bool(&r->query, "all", false) || limit > 0 || filters_has(f, "status") ||
		   filters_has(f, "exited");
	bool size = query_bool(&r->query, "size", false);
	int64_t before = INT64_MAX, since = INT64_MIN;
	json_t *out;

	if (edge(r, f, "before", &before, e) < 0 || edge(r, f, "since", &since, e) < 0)
		return NULL;
	out = json_array();
	for (struct container *c = r->engine->containers->list; c; c = c->next) {
		if ((!all && !container_running(c)) || c->created_ns >= before || c->created_ns <= since ||
		    !matches(f, c))
			continue;
		json_array_append_new(out, list_item(c, size));
		if (limit > 0 && (int64_t)json_array_size(out) >= limit)
			break;
	}
	return out;
}

void containers_list(struct request *r)
{
	static const char *const allowed[] = { "ancestor",  "before",  "exited", "expose", "health",  "id",
					       "isolation", "is-task", "label",  "name",   "network", "publish",
					       "since",     "status",  "volume", NULL };
	const char *text = query_get(&r->query, "limit");
	struct err e = { 0 };
	struct filters f;
	int64_t limit = 0;
	json_t *out;

	if (text && *text && str_i64(text, INT32_MIN, INT32_MAX, &limit) < 0) {
		reply_message(r, 400, "invalid limit: %.32s", text);
		return;
	}
	if (filters_parse(&f, query_get(&r->query, "filters"), allowed, &e) < 0) {
		reply_err(r, &e);
		return;
	}
	out = collect(r, &f, limit, &e);
	filters_done(&f);
	if (out)
		reply_json(r, 200, out);
	else
		reply_err(r, &e);
}

/* ---- prune ---- */

static bool prunable(const struct filters *f, const struct container *c, int64_t until)
{
	const json_t *labels = json_object_get(container_config(c), "Labels");

	return (c->state == STATE_CREATED || c->state == STATE_EXITED || c->state == STATE_DEAD) && !c->start &&
	       !c->removing && c->created_ns < until && filters_match_labels(f, "label", labels) &&
	       (!filters_has(f, "label!") || !filters_match_labels(f, "label!", labels));
}

static int prune_until(const struct filters *f, int64_t *ret, struct err *e)
{
	const char *text = json_string_value(json_array_get(filters_values(f, "until"), 0));
	uint64_t ms;

	*ret = INT64_MAX;
	if (!text || rfc3339_parse(text, ret) == 0)
		return 0;
	if (str_duration_ms(text, UINT32_MAX * 1000ULL, &ms) < 0)
		return err_set(e, ERR_INVALID, EINVAL, "invalid filter 'until': %.64s", text);
	*ret = now_real_ns() - (int64_t)ms * 1000000;
	return 0;
}

void containers_prune(struct request *r)
{
	static const char *const allowed[] = { "until", "label", "label!", NULL };
	json_t *deleted = json_array();
	struct container *c, *next;
	struct err e = { 0 };
	struct filters f;
	int64_t until, freed = 0;

	if (filters_parse(&f, query_get(&r->query, "filters"), allowed, &e) < 0) {
		json_decref(deleted);
		reply_err(r, &e);
		return;
	}
	if (prune_until(&f, &until, &e) < 0) {
		filters_done(&f);
		json_decref(deleted);
		reply_err(r, &e);
		return;
	}
	for (c = r->engine->containers->list; c; c = next) {
		int64_t bytes = scratch_bytes(c);
		json_t *id = json_string(c->id);

		next = c->next;
		if (prunable(&f, c, until) && container_delete(c, &e) == 0) {
			json_array_append(deleted, id);
			freed += bytes;
		}
		json_decref(id);
	}
	filters_done(&f);
	reply_json(r, 200, json_pack("{s:o, s:I}", "ContainersDeleted", deleted, "SpaceReclaimed", (json_int_t)freed));
}
