/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Create bodies. Runs in bottled, on JSON that any client of the user's sent.
 * Two tables say for every field of docker's Config and HostConfig what it
 * must be, what it is when absent, and whether a microVM can honour it: a
 * field that it cannot is refused by name, never dropped.
 */
#include "api/spec.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <strings.h>
#include <sys/capability.h>

#include "api/container.h"
#include "api/json.h"
#include "base/mem.h"
#include "proto/guest.h"
#include "proto/monitor.h"

#define MEMORY_MAX     (1ULL << 42)
#define DEFAULT_SHM    (64ULL << 20)
#define CPU_PERIOD     100000
#define SIGRTMIN_GUEST 34
#define NETWORKS_MAX   GUEST_NICS_MAX

enum kind { K_BOOL, K_INT, K_TEXT, K_LIST, K_WORDS, K_MAP, K_SET, K_OBJECT, K_OBJECTS, K_INTS };
enum rule {
	R_USE,
	R_ECHO,   /* moot in a VM: kept and shown */
	R_REFUSE, /* anything but nothing is refused */
};

struct field {
	const char *key;
	enum kind kind;
	enum rule rule;
	bool null; /* absent is null rather than the kind's empty value */
};

static const struct field config_fields[] = {
	{ "Hostname", K_TEXT, R_USE, false },
	{ "Domainname", K_TEXT, R_USE, false },
	{ "User", K_TEXT, R_USE, false },
	{ "AttachStdin", K_BOOL, R_USE, false },
	{ "AttachStdout", K_BOOL, R_USE, false },
	{ "AttachStderr", K_BOOL, R_USE, false },
	{ "ExposedPorts", K_SET, R_USE, false },
	{ "Tty", K_BOOL, R_USE, false },
	{ "OpenStdin", K_BOOL, R_USE, false },
	{ "StdinOnce", K_BOOL, R_USE, false },
	{ "Env", K_LIST, R_USE, false },
	{ "Cmd", K_WORDS, R_USE, true },
	{ "Image", K_TEXT, R_USE, false },
	{ "Volumes", K_SET, R_REFUSE, true },
	{ "WorkingDir", K_TEXT, R_USE, false },
	{ "Entrypoint", K_WORDS, R_USE, true },
	{ "NetworkDisabled", K_BOOL, R_USE, false },
	{ "MacAddress", K_TEXT, R_REFUSE, false },
	{ "OnBuild", K_LIST, R_ECHO, true },
	{ "Labels", K_MAP, R_USE, false },
	{ "StopSignal", K_TEXT, R_USE, false },
	{ "StopTimeout", K_INT, R_USE, true },
	{ "Healthcheck", K_OBJECT, R_USE, true },
	{ "Shell", K_WORDS, R_ECHO, true },
};

static const struct field host_fields[] = {
	{ "Binds", K_LIST, R_REFUSE, true },
	{ "ContainerIDFile", K_TEXT, R_ECHO, false },
	{ "LogConfig", K_OBJECT, R_USE, true },
	{ "NetworkMode", K_TEXT, R_USE, false },
	{ "PortBindings", K_OBJECT, R_USE, false },
	{ "RestartPolicy", K_OBJECT, R_USE, true },
	{ "AutoRemove", K_BOOL, R_USE, false },
	{ "VolumeDriver", K_TEXT, R_ECHO, false },
	{ "VolumesFrom", K_LIST, R_REFUSE, true },
	{ "ConsoleSize", K_INTS, R_ECHO, true },
	{ "Annotations", K_MAP, R_ECHO, true },
	{ "CapAdd", K_LIST, R_USE, true },
	{ "CapDrop", K_LIST, R_USE, true },
	{ "CgroupnsMode", K_TEXT, R_ECHO, false },
	{ "Dns", K_LIST, R_USE, false },
	{ "DnsOptions", K_LIST, R_USE, false },
	{ "DnsSearch", K_LIST, R_USE, false },
	{ "ExtraHosts", K_LIST, R_USE, true },
	{ "GroupAdd", K_LIST, R_USE, true },
	{ "IpcMode", K_TEXT, R_USE, false },
	{ "Cgroup", K_TEXT, R_ECHO, false },
	{ "Links", K_LIST, R_REFUSE, true },
	{ "OomScoreAdj", K_INT, R_ECHO, false },
	{ "PidMode", K_TEXT, R_USE, false },
	{ "Privileged", K_BOOL, R_REFUSE, false },
	{ "PublishAllPorts", K_BOOL, R_USE, false },
	{ "ReadonlyRootfs", K_BOOL, R_USE, false },
	{ "SecurityOpt", K_LIST, R_USE, true },
	{ "StorageOpt", K_MAP, R_USE, true },
	{ "Tmpfs", K_MAP, R_USE, true },
	{ "UTSMode", K_TEXT, R_USE, false },
	{ "UsernsMode", K_TEXT, R_ECHO, false },
	{ "ShmSize", K_INT, R_USE, false },
	{ "Sysctls", K_MAP, R_USE, true },
	{ "Runtime", K_TEXT, R_ECHO, false },
	{ "Isolation", K_TEXT, R_ECHO, false },
	{ "CpuShares", K_INT, R_ECHO, false },
	{ "Memory", K_INT, R_USE, false },
	{ "NanoCpus", K_INT, R_USE, false },
	{ "CgroupParent", K_TEXT, R_ECHO, false },
	{ "BlkioWeight", K_INT, R_ECHO, false },
	{ "BlkioWeightDevice", K_OBJECTS, R_REFUSE, false },
	{ "BlkioDeviceReadBps", K_OBJECTS, R_REFUSE, false },
	{ "BlkioDeviceWriteBps", K_OBJECTS, R_REFUSE, false },
	{ "BlkioDeviceReadIOps", K_OBJECTS, R_REFUSE, false },
	{ "BlkioDeviceWriteIOps", K_OBJECTS, R_REFUSE, false },
	{ "CpuPeriod", K_INT, R_USE, false },
	{ "CpuQuota", K_INT, R_USE, false },
	{ "CpuRealtimePeriod", K_INT, R_REFUSE, false },
	{ "CpuRealtimeRuntime", K_INT, R_REFUSE, false },
	{ "CpusetCpus", K_TEXT, R_REFUSE, false },
	{ "CpusetMems", K_TEXT, R_REFUSE, false },
	{ "Devices", K_OBJECTS, R_REFUSE, false },
	{ "DeviceCgroupRules", K_LIST, R_REFUSE, true },
	{ "DeviceRequests", K_OBJECTS, R_REFUSE, true },
	{ "MemoryReservation", K_INT, R_ECHO, false },
	{ "MemorySwap", K_INT, R_ECHO, false },
	{ "MemorySwappiness", K_INT, R_ECHO, true },
	{ "OomKillDisable", K_BOOL, R_ECHO, true },
	{ "PidsLimit", K_INT, R_USE, true },
	{ "Ulimits", K_OBJECTS, R_USE, false },
	{ "CpuCount", K_INT, R_ECHO, false },
	{ "CpuPercent", K_INT, R_ECHO, false },
	{ "IOMaximumIOps", K_INT, R_ECHO, false },
	{ "IOMaximumBandwidth", K_INT, R_ECHO, false },
	{ "Mounts", K_OBJECTS, R_USE, true },
	{ "MaskedPaths", K_LIST, R_ECHO, true },
	{ "ReadonlyPaths", K_LIST, R_ECHO, true },
	{ "Init", K_BOOL, R_USE, true },
};

/* ---- small parts ---- */

const char *member_text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

bool member_flag(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

json_int_t member_int(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

int signal_number(const char *s)
{
	uint64_t n;

	if (str_u64(s, 64, &n) == 0)
		return (int)n;
	if (strncasecmp(s, "SIG", 3) == 0)
		s += 3;
	if (strcasecmp(s, "RTMIN") == 0)
		return SIGRTMIN_GUEST;
	if (strncasecmp(s, "RTMIN+", 6) == 0 && str_u64(s + 6, 30, &n) == 0)
		return SIGRTMIN_GUEST + (int)n;
	for (int i = 1; i < 32; i++)
		if (sigabbrev_np(i) && strcasecmp(sigabbrev_np(i), s) == 0)
			return i;
	return 0;
}

/* A string of the client's that may travel on: bounded, without a NUL. */
static bool text_ok(const json_t *v)
{
	return json_is_string(v) && json_string_length(v) <= SPEC_TEXT_MAX &&
	       strlen(json_string_value(v)) == json_string_length(v);
}

static int wrong_type(struct err *e, const char *key, const char *want)
{
	return err_set(e, ERR_INVALID, EINVAL, "invalid create request: field %s must be %s", key, want);
}

static json_t *list_of_text(const char *key, const json_t *v, struct err *e)
{
	size_t i;
	json_t *item, *list;

	if (!json_is_array(v) || json_array_size(v) > SPEC_LIST_MAX) {
		wrong_type(e, key, "a list of at most 4096 strings");
		return NULL;
	}
	list = json_array();
	json_array_foreach(v, i, item) {
		if (!text_ok(item)) {
			wrong_type(e, key, "a list of strings");
			json_decref(list);
			return NULL;
		}
		json_array_append(list, item);
	}
	return list;
}

static json_t *words(const char *key, const json_t *v, struct err *e)
{
	if (!json_is_string(v))
		return list_of_text(key, v, e);
	if (!text_ok(v)) {
		wrong_type(e, key, "a string or a list of strings");
		return NULL;
	}
	return json_pack("[O]", v);
}

static json_t *map_of(const char *key, const json_t *v, bool set, struct err *e)
{
	json_t *map, *value;
	const char *k;

	if (set && json_is_array(v)) { /* docker-py's older form: ["80/tcp"] is refused by docker too */
		wrong_type(e, key, "an object");
		return NULL;
	}
	if (!json_is_object(v) || json_object_size(v) > SPEC_LIST_MAX) {
		wrong_type(e, key, "an object of at most 4096 fields");
		return NULL;
	}
	map = json_object();
	json_object_foreach((json_t *)(uintptr_t)v, k, value) {
		if (strlen(k) > SPEC_TEXT_MAX || (!set && !text_ok(value) && !json_is_null(value))) {
			wrong_type(e, key, "an object of strings");
			json_decref(map);
			return NULL;
		}
		if (set)
			json_object_set_new(map, k, json_object());
		else
			json_object_set_new(map, k, json_is_null(value) ? json_string("") : json_incref(value));
	}
	return map;
}

static json_t *list_of_kind(const char *key, const json_t *v, json_type type, struct err *e)
{
	json_t *item;
	size_t i;

	if (!json_is_array(v) || json_array_size(v) > SPEC_LIST_MAX) {
		wrong_type(e, key, "a list");
		return NULL;
	}
	json_array_foreach(v, i, item) {
		if (json_typeof(item) != type) {
			wrong_type(e, key, type == JSON_OBJECT ? "a list of objects" : "a list of numbers");
			return NULL;
		}
	}
	return json_deep_copy(v);
}

static json_t *keep(const char *key, const json_t *v, bool ok, const char *want, struct err *e)
{
	if (ok)
		return json_deep_copy(v);
	wrong_type(e, key, want);
	return NULL;
}

static json_t *convert(const struct field *f, const json_t *v, struct err *e)
{
	switch (f->kind) {
	case K_BOOL:
		return keep(f->key, v, json_is_boolean(v), "true or false", e);
	case K_INT:
		return keep(f->key, v, json_is_integer(v), "a whole number", e);
	case K_TEXT:
		return keep(f->key, v, text_ok(v), "a string", e);
	case K_LIST:
		return list_of_text(f->key, v, e);
	case K_WORDS:
		return words(f->key, v, e);
	case K_MAP:
		return map_of(f->key, v, false, e);
	case K_SET:
		return map_of(f->key, v, true, e);
	case K_OBJECT:
		return keep(f->key, v, json_is_object(v), "an object", e);
	case K_OBJECTS:
		return list_of_kind(f->key, v, JSON_OBJECT, e);
	case K_INTS:
		return list_of_kind(f->key, v, JSON_INTEGER, e);
	}
	return json_deep_copy(v);
}

static json_t *empty_value(const struct field *f)
{
	if (f->null)
		return json_null();
	switch (f->kind) {
	case K_BOOL:
		return json_false();
	case K_INT:
		return json_integer(0);
	case K_TEXT:
		return json_string("");
	case K_LIST:
	case K_WORDS:
	case K_OBJECTS:
	case K_INTS:
		return json_array();
	case K_MAP:
	case K_SET:
	case K_OBJECT:
		return json_object();
	}
	return json_null();
}

/* "Nothing" as clients write it: null, false, 0, "", [], {}. */
static bool is_nothing(const json_t *v)
{
	switch (v ? json_typeof(v) : JSON_NULL) {
	case JSON_NULL:
	case JSON_FALSE:
		return true;
	case JSON_INTEGER:
		return json_integer_value(v) == 0;
	case JSON_STRING:
		return !*json_string_value(v);
	case JSON_ARRAY:
		return json_array_size(v) == 0;
	case JSON_OBJECT:
		return json_object_size(v) == 0;
	default:
		return false;
	}
}

static int unsupported(struct err *e, const char *key)
{
	return err_set(e, ERR_UNSUPPORTED, ENOTSUP,
		       "%s is not supported: a container is a virtual machine here; leave %s out", key, key);
}

static json_t *take_fields(const struct field *fields, size_t n, const json_t *from, struct err *e)
{
	json_t *out = json_object();

	for (size_t i = 0; i < n; i++) {
		const struct field *f = &fields[i];
		json_t *v = json_get(from, f->key), *got;

		if (!v || json_is_null(v))
			got = empty_value(f);
		else
			got = convert(f, v, e);
		if (got && f->rule == R_REFUSE && !is_nothing(got)) {
			unsupported(e, f->key);
			json_decref(got);
			got = NULL;
		}
		if (!got) {
			json_decref(out);
			return NULL;
		}
		json_object_set_new(out, f->key, got);
	}
	return out;
}

bool spec_ipv4(const char *s, uint8_t ret[4])
{
	return s && inet_pton(AF_INET, s, ret) == 1;
}

char *spec_port(const char *s, struct err *e)
{
	const char *slash = strchr(s, '/');
	_cleanup_free_ char *num = xstrndup(s, slash ? (size_t)(slash - s) : strlen(s));
	static const char *const protos[] = { "tcp", "udp", "sctp" };
	const char *proto = slash ? slash + 1 : "tcp";
	uint64_t port;

	if (str_u64(num, 65535, &port) < 0 || port == 0) {
		err_set(e, ERR_INVALID, EINVAL, "invalid port specification: \"%.64s\"", s);
		return NULL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(protos); i++)
		if (strcasecmp(proto, protos[i]) == 0)
			return xasprintf("%u/%s", (unsigned int)port, protos[i]);
	err_set(e, ERR_INVALID, EINVAL, "invalid proto: %.64s", proto);
	return NULL;
}

/* ---- checks of single fields ---- */

static int check_ports(json_t *config, struct err *e)
{
	json_t *out = json_object(), *v;
	const char *k;

	json_object_foreach(json_object_get(config, "ExposedPorts"), k, v) {
		_cleanup_free_ char *port = spec_port(k, e);

		if (!port) {
			json_decref(out);
			return -EINVAL;
		}
		json_object_set_new(out, port, json_object());
	}
	return json_object_set_new(config, "ExposedPorts", out);
}

static int check_host_port(const char *ip, const char *port, struct err *e)
{
	const char *dash = strchr(port, '-');
	uint64_t first = 0, last = 0;
	uint8_t addr[4];

	if (*ip && !spec_ipv4(ip, addr))
		return strchr(ip, ':')
			       ? err_set(e, ERR_UNSUPPORTED, ENOTSUP,
					 "invalid IP address in PortBindings: %.64s: only IPv4 addresses can publish a "
					 "port",
					 ip)
			       : err_set(e, ERR_INVALID, EINVAL, "invalid IP address in PortBindings: %.64s", ip);
	if (dash) {
		_cleanup_free_ char *head = xstrndup(port, (size_t)(dash - port));

		if (str_u64(head, 65535, &first) < 0 || str_u64(dash + 1, 65535, &last) < 0 || last < first || !first)
			return err_set(e, ERR_INVALID, EINVAL, "invalid port specification: \"%.64s\"", port);
	} else if (*port && str_u64(port, 65535, &first) < 0) {
		return err_set(e, ERR_INVALID, EINVAL, "invalid port specification: \"%.64s\"", port);
	}
	return 0;
}

static json_t *check_binding_list(const json_t *list, struct err *e)
{
	json_t *out = json_array(), *b;
	size_t i;

	if (json_array_size(list) > PORTS_MAX) {
		err_set(e, ERR_INVALID, EINVAL, "PortBindings: more than %d bindings of one port", PORTS_MAX);
		goto fail;
	}
	json_array_foreach(list, i, b) {
		json_t *ip = json_get(b, "HostIp"), *port = json_get(b, "HostPort");

		if (!json_is_object(b) || (ip && !json_is_null(ip) && !text_ok(ip)) ||
		    (port && !json_is_null(port) && !text_ok(port))) {
			wrong_type(e, "PortBindings", "an object of lists of {HostIp, HostPort}");
			goto fail;
		}
		if (check_host_port(json_is_string(ip) ? json_string_value(ip) : "",
				    json_is_string(port) ? json_string_value(port) : "", e) < 0)
			goto fail;
		json_array_append_new(out,
				      json_pack("{s:s, s:s}", "HostIp", json_is_string(ip) ? json_string_value(ip) : "",
						"HostPort", json_is_string(port) ? json_string_value(port) : ""));
	}
	if (json_array_size(out) == 0)
		json_array_append_new(out, json_pack("{s:s, s:s}", "HostIp", "", "HostPort", ""));
	return out;
fail:
	json_decref(out);
	return NULL;
}

static int check_bindings(json_t *host, json_t *config, struct err *e)
{
	json_t *out = json_object(), *v, *list;
	size_t count = 0;
	const char *k;

	json_object_foreach(json_object_get(host, "PortBindings"), k, v) {
		_cleanup_free_ char *port = spec_port(k, e);

		if (!port)
			goto fail;
		if (str_suffix(port, "/sctp")) {
			err_set(e, ERR_UNSUPPORTED, ENOTSUP,
				"PortBindings: sctp ports cannot be published; use tcp or udp");
			goto fail;
		}
		list = check_binding_list(v, e);
		if (!list)
			goto fail;
		count += json_array_size(list);
		json_object_set_new(out, port, list);
		json_object_set_new(json_object_get(config, "ExposedPorts"), port, json_object());
		if (count > PORTS_MAX) {
			err_set(e, ERR_INVALID, EINVAL,
				"PortBindings: at most %d ports of one container can be published", PORTS_MAX);
			goto fail;
		}
	}
	return json_object_set_new(host, "PortBindings", out);
fail:
	json_decref(out);
	return -EINVAL;
}

static int check_env(const json_t *config, struct err *e)
{
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(config, "Env"), i, v) {
		const char *s = json_string_value(v);

		if (!*s || *s == '=')
			return err_set(e, ERR_INVALID, EINVAL, "invalid environment variable: %.128s", s);
	}
	return 0;
}

static int check_names(const json_t *config, struct err *e)
{
	static const char *const keys[] = { "Hostname", "Domainname" };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const char *s = member_text(config, keys[i]);

		if (strlen(s) > 63)
			return err_set(e, ERR_INVALID, EINVAL, "invalid %s: longer than 63 characters", keys[i]);
		for (const char *p = s; *p; p++)
			if (!isalnum((unsigned char)*p) && !strchr("-_.", *p))
				return err_set(e, ERR_INVALID, EINVAL, "invalid %s: %.64s", keys[i], s);
	}
	return 0;
}

static int check_config_rest(json_t *config, struct err *e)
{
	const char *dir = member_text(config, "WorkingDir"), *sig = member_text(config, "StopSignal");
	json_t *timeout = json_object_get(config, "StopTimeout");
	const json_t *test = json_get(json_object_get(config, "Healthcheck"), "Test");
	const char *first = json_string_value(json_array_get(test, 0));

	if (*dir && *dir != '/')
		return err_set(e, ERR_INVALID, EINVAL,
			       "the working directory '%.256s' is invalid, it needs to be an absolute path", dir);
	if (*sig && !signal_number(sig))
		return err_set(e, ERR_INVALID, EINVAL, "invalid signal: %.64s", sig);
	if (json_is_integer(timeout) && (json_integer_value(timeout) < -1 || json_integer_value(timeout) > INT32_MAX))
		return err_set(e, ERR_INVALID, EINVAL, "invalid StopTimeout: it must be -1 or a number of seconds");
	if (first && !str_eq(first, "NONE"))
		return unsupported(e, "Healthcheck");
	return 0;
}

static int check_modes(json_t *host, struct err *e)
{
	static const char *const keys[] = { "PidMode", "IpcMode", "UTSMode" };
	const char *net = member_text(host, "NetworkMode");

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const char *mode = member_text(host, keys[i]);

		if (str_eq(mode, "host") || str_prefix(mode, "container:"))
			return err_set(e, ERR_UNSUPPORTED, ENOTSUP,
				       "%s \"%.64s\" is not supported: a container is a virtual machine with a kernel "
				       "of its own",
				       keys[i], mode);
		if (*mode &&
		    !(i == 1 && (str_eq(mode, "private") || str_eq(mode, "shareable") || str_eq(mode, "none"))))
			return err_set(e, ERR_INVALID, EINVAL, "invalid %s: %.64s", keys[i], mode);
	}
	if (str_eq(net, "host") || str_prefix(net, "container:"))
		return err_set(e, ERR_UNSUPPORTED, ENOTSUP,
			       "NetworkMode \"%.64s\" is not supported: a container is a virtual machine with a "
			       "network stack of its own; "
			       "publish ports or join a network instead",
			       net);
	if (!*net || str_eq(net, "default"))
		json_object_set_new(host, "NetworkMode", json_string("bridge"));
	return 0;
}

static int check_security(const json_t *host, struct err *e)
{
	static const char *const known[] = { "no-new-privileges",       "no-new-privileges:true",
					     "no-new-privileges=true",  "no-new-privileges:false",
					     "no-new-privileges=false", "seccomp=unconfined",
					     "seccomp:unconfined",      "apparmor=unconfined",
					     "apparmor:unconfined",     "label=disable",
					     "label:disable",           "systempaths=unconfined" };
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(host, "SecurityOpt"), i, v) {
		bool found = false;

		for (size_t k = 0; k < ARRAY_SIZE(known); k++)
			found |= str_eq(json_string_value(v), known[k]);
		if (!found)
			return err_set(e, ERR_UNSUPPORTED, ENOTSUP,
				       "SecurityOpt \"%.64s\" is not supported: only no-new-privileges can be set in "
				       "the virtual machine",
				       json_string_value(v));
	}
	return 0;
}

bool spec_no_new_privs(const json_t *host)
{
	bool on = false;
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(host, "SecurityOpt"), i, v)
		if (str_prefix(json_string_value(v), "no-new-privileges"))
			on = !str_suffix(json_string_value(v), "false");
	return on;
}

static int check_resources(const json_t *host, json_t *warnings, struct err *e)
{
	json_int_t memory = member_int(host, "Memory"), nano = member_int(host, "NanoCpus");
	json_int_t quota = member_int(host, "CpuQuota"), period = member_int(host, "CpuPeriod");
	json_int_t cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (memory < 0 || (memory && memory < (6 << 20)))
		return err_set(e, ERR_INVALID, EINVAL, "Minimum memory limit allowed is 6MB");
	if ((uint64_t)memory > MEMORY_MAX)
		return err_set(e, ERR_INVALID, EINVAL, "invalid Memory: more than 4 TiB");
	if (memory && (uint64_t)memory < MEMORY_VM_MIN)
		json_array_append_new(
			warnings, json_sprintf("Memory %lld is less than a virtual machine needs: it gets %llu MiB.",
					       (long long)memory, MEMORY_VM_MIN >> 20));
	if (nano && (quota > 0 || period > 0))
		return err_set(e, ERR_INVALID, EINVAL, "Conflicting options: Nano CPUs and CPU %s cannot both be set",
			       period > 0 ? "Period" : "Quota");
	if (nano < 0 || nano > cpus * 1000000000LL)
		return err_set(e, ERR_INVALID, EINVAL,
			       "range of CPUs is from 0.01 to %d.00, as there are only %d CPUs available", (int)cpus,
			       (int)cpus);
	if (period && (period < 1000 || period > 1000000))
		return err_set(e, ERR_INVALID, EINVAL,
			       "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
	if (quota > 0 && (quota < 1000 || quota > (1LL << 40)))
		return err_set(e, ERR_INVALID, EINVAL, "CPU cfs quota can not be less than 1ms (i.e. 1000)");
	if (member_int(host, "ShmSize") < 0)
		return err_set(e, ERR_INVALID, EINVAL, "SHM size can not be less than 0");
	return 0;
}

static int check_policies(json_t *host, struct err *e)
{
	json_t *restart = json_object_get(host, "RestartPolicy"), *log = json_object_get(host, "LogConfig");
	const json_t *name = json_get(restart, "Name"), *type = json_get(log, "Type"),
		     *options = json_get(log, "Config");
	const char *policy = json_is_string(name) ? json_string_value(name) : "";
	const char *driver = json_is_string(type) ? json_string_value(type) : "";
	const json_t *size = json_get(options, "max-size");
	uint64_t bytes;

	if (*policy && !str_eq(policy, "no"))
		return err_set(e, ERR_UNSUPPORTED, ENOTSUP, "RestartPolicy \"%.32s\" is not supported; only \"no\" is",
			       policy);
	if (*driver && !str_eq(driver, "json-file") && !str_eq(driver, "local"))
		return err_set(e, ERR_UNSUPPORTED, ENOTSUP,
			       "LogConfig: logging driver \"%.32s\" is not supported; use json-file", driver);
	if (size &&
	    (!json_is_string(size) || str_size(json_string_value(size), 1ULL << 40, &bytes) < 0 || bytes < 4096))
		return err_set(e, ERR_INVALID, EINVAL, "LogConfig: invalid max-size; it must be at least 4k");
	json_object_set_new(host, "RestartPolicy", json_pack("{s:s, s:i}", "Name", "no", "MaximumRetryCount", 0));
	json_object_set_new(host, "LogConfig",
			    json_pack("{s:s, s:o}", "Type", *driver ? driver : "json-file", "Config",
				      json_is_object(options) ? json_deep_copy(options) : json_object()));
	return 0;
}

static int check_ulimits(json_t *host, struct err *e)
{
	json_t *out = json_array(), *u;
	size_t i;

	json_array_foreach(json_object_get(host, "Ulimits"), i, u) {
		const json_t *name = json_get(u, "Name"), *soft = json_get(u, "Soft"), *hard = json_get(u, "Hard");

		if (!text_ok(name) ||
		    strspn(json_string_value(name), "abcdefghijklmnopqrstuvwxyz") != json_string_length(name) ||
		    !json_string_length(name) || json_string_length(name) > 16 || !json_is_integer(soft) ||
		    (hard && !json_is_integer(hard))) {
			json_decref(out);
			return wrong_type(e, "Ulimits", "a list of {Name, Soft, Hard}");
		}
		json_array_append_new(out, json_pack("{s:O, s:O, s:O}", "Name", name, "Hard", hard ? hard : soft,
						     "Soft", soft));
	}
	return json_object_set_new(host, "Ulimits", out);
}

/* --mount type=tmpfs is the same as --tmpfs; other types share host directories. */
static int check_mounts(json_t *host, struct err *e)
{
	json_t *m, *tmpfs = json_object_get(host, "Tmpfs");
	const char *k;
	size_t i;

	json_array_foreach(json_object_get(host, "Mounts"), i, m) {
		const json_t *type = json_get(m, "Type"), *target = json_get(m, "Target");
		const json_t *options = json_get(m, "TmpfsOptions"), *size = json_get(options, "SizeBytes");
		_cleanup_free_ char *text = NULL;

		if (!json_is_string(type) || !str_eq(json_string_value(type), "tmpfs"))
			return err_set(e, ERR_UNSUPPORTED, ENOTSUP,
				       "Mounts: type \"%.32s\" is not supported; only tmpfs is",
				       json_is_string(type) ? json_string_value(type) : "");
		if (!text_ok(target) || *json_string_value(target) != '/')
			return err_set(e, ERR_INVALID, EINVAL,
				       "invalid mount config for type \"tmpfs\": Target must be an absolute path");
		if (!json_is_object(tmpfs)) {
			json_object_set_new(host, "Tmpfs", json_object());
			tmpfs = json_object_get(host, "Tmpfs");
		}
		text = json_is_integer(size) && json_integer_value(size) > 0
			       ? xasprintf("size=%lld", (long long)json_integer_value(size))
			       : xstrdup("");
		json_object_set_new(tmpfs, json_string_value(target), json_string(text));
	}
	json_object_foreach(tmpfs, k, m)
		if (*k != '/')
			return err_set(e, ERR_INVALID, EINVAL,
				       "invalid mount path: '%.128s' mount path must be absolute", k);
	return 0;
}

static int check_storage(const json_t *host, struct err *e)
{
	const char *k;
	uint64_t size;
	json_t *v;

	json_object_foreach(json_object_get(host, "StorageOpt"), k, v) {
		if (strcmp(k, "size") != 0)
			return err_set(e, ERR_UNSUPPORTED, ENOTSUP,
				       "StorageOpt \"%.32s\" is not supported; only size is", k);
		if (str_size(json_string_value(v), 1ULL << 42, &size) < 0 || size < (64 << 20))
			return err_set(e, ERR_INVALID, EINVAL, "StorageOpt: invalid size; it must be 64m to 4096g");
	}
	return 0;
}

static int check_hosts(const json_t *host, struct err *e)
{
	uint8_t addr[4], addr6[16];
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(host, "ExtraHosts"), i, v) {
		const char *s = json_string_value(v), *sep = s + strcspn(s, ":=");

		if (sep == s || !*sep || strpbrk(s, " \t\r\n"))
			return err_set(e, ERR_INVALID, EINVAL, "bad format for add-host: \"%.128s\"", s);
		if (str_eq(sep + 1, "host-gateway"))
			return err_set(e, ERR_UNSUPPORTED, ENOTSUP,
				       "ExtraHosts: host-gateway is not supported: the host is closed to containers");
		if (!spec_ipv4(sep + 1, addr) && inet_pton(AF_INET6, sep + 1, addr6) != 1)
			return err_set(e, ERR_INVALID, EINVAL, "invalid IP address in add-host: \"%.64s\"", sep + 1);
	}
	json_array_foreach(json_object_get(host, "Dns"), i, v) {
		if (!spec_ipv4(json_string_value(v), addr))
			return err_set(e, ERR_INVALID, EINVAL,
				       "invalid Dns address: %.64s; only IPv4 addresses are supported",
				       json_string_value(v));
	}
	return 0;
}

static const cap_value_t default_caps[] = { CAP_CHOWN,   CAP_DAC_OVERRIDE, CAP_FSETID,           CAP_FOWNER,
					    CAP_MKNOD,   CAP_NET_RAW,      CAP_SETGID,           CAP_SETUID,
					    CAP_SETFCAP, CAP_SETPCAP,      CAP_NET_BIND_SERVICE, CAP_SYS_CHROOT,
					    CAP_KILL,    CAP_AUDIT_WRITE };

/* One name to its mask; ALL is all of them. */
static int cap_mask(const char *key, const char *name, uint64_t *ret, struct err *e)
{
	_cleanup_free_ char *full = NULL;
	cap_value_t cap;

	if (strcasecmp(name, "ALL") == 0) {
		*ret = (1ULL << (CAP_LAST_CAP + 1)) - 1;
		return 0;
	}
	full = strncasecmp(name, "CAP_", 4) == 0 ? xstrdup(name) : xasprintf("cap_%s", name);
	if (cap_from_name(full, &cap) < 0 || cap < 0 || cap > CAP_LAST_CAP)
		return err_set(e, ERR_INVALID, EINVAL, "invalid %s: unknown capability: \"%.64s\"", key, name);
	*ret = 1ULL << cap;
	return 0;
}

static int cap_list(const json_t *host, const char *key, uint64_t *ret, bool *ret_all, struct err *e)
{
	uint64_t mask = 0;
	json_t *v;
	size_t i;

	*ret = 0;
	*ret_all = false;
	json_array_foreach(json_object_get(host, key), i, v) {
		if (cap_mask(key, json_string_value(v), &mask, e) < 0)
			return -EINVAL;
		*ret_all |= strcasecmp(json_string_value(v), "ALL") == 0;
		*ret |= mask;
	}
	return 0;
}

int spec_caps(const json_t *host, uint64_t *ret, struct err *e)
{
	uint64_t add, drop, base = 0;
	bool all_add, all_drop;
	int r;

	r = cap_list(host, "CapAdd", &add, &all_add, e);
	if (r >= 0)
		r = cap_list(host, "CapDrop", &drop, &all_drop, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(default_caps); i++)
		base |= 1ULL << default_caps[i];
	if (all_add)
		*ret = all_drop ? add : add & ~drop;
	else if (all_drop)
		*ret = add;
	else
		*ret = (base & ~drop) | add;
	return 0;
}

void spec_limits(const json_t *host, unsigned int host_cpus, uint32_t *ret_cpus, uint32_t *ret_quota,
		 uint64_t *ret_memory)
{
	uint64_t memory = (uint64_t)member_int(host, "Memory"), nano = (uint64_t)member_int(host, "NanoCpus");
	json_int_t quota = member_int(host, "CpuQuota"), period = member_int(host, "CpuPeriod");
	uint64_t milli = nano / 1000000;

	if (!nano && quota > 0)
		milli = (uint64_t)quota * 1000 / (uint64_t)(period > 0 ? period : CPU_PERIOD);
	if ((nano || quota > 0) && milli == 0)
		milli = 1;
	if (milli >= host_cpus * 1000ULL)
		milli = 0, *ret_cpus = host_cpus;
	else if (milli)
		*ret_cpus = (uint32_t)((milli + 999) / 1000);
	else
		*ret_cpus = host_cpus < CPUS_VM_DEFAULT ? host_cpus : CPUS_VM_DEFAULT;
	*ret_quota = milli % 1000 ? (uint32_t)milli : 0; /* whole CPUs are the VM's number of them */
	*ret_memory = memory ? (memory < MEMORY_VM_MIN ? MEMORY_VM_MIN : memory) : MEMORY_VM_DEFAULT;
}

uint64_t spec_scratch_size(const json_t *host)
{
	const json_t *v = json_object_get(json_object_get(host, "StorageOpt"), "size");
	uint64_t size;

	return v && str_size(json_string_value(v), 1ULL << 42, &size) == 0 ? size : SCRATCH_DEFAULT;
}

uint64_t spec_log_max(const json_t *host)
{
	const json_t *v = json_get(json_object_get(json_object_get(host, "LogConfig"), "Config"), "max-size");
	uint64_t size;

	return v && str_size(json_string_value(v), 1ULL << 40, &size) == 0 ? size : LOG_MAX_DEFAULT;
}

/* ---- networks ---- */

static json_t *endpoint_ipam(const char *network, const json_t *config, struct err *e)
{
	const json_t *ipam = json_get(config, "IPAMConfig"), *v4 = json_get(ipam, "IPv4Address");
	uint8_t addr[4];

	if (is_nothing(ipam))
		return json_null();
	if (!json_is_object(ipam) || !is_nothing(json_get(ipam, "IPv6Address")) ||
	    !is_nothing(json_get(ipam, "LinkLocalIPs"))) {
		err_set(e, ERR_UNSUPPORTED, ENOTSUP, "IPAMConfig of network %.64s: only IPv4Address is supported",
			network);
		return NULL;
	}
	if (is_nothing(v4))
		return json_object();
	if (!json_is_string(v4) || !spec_ipv4(json_string_value(v4), addr)) {
		err_set(e, ERR_INVALID, EINVAL,
			"invalid endpoint settings: invalid IPv4 address in IPAMConfig of network %.64s", network);
		return NULL;
	}
	return json_pack("{s:O}", "IPv4Address", v4);
}

json_t *spec_endpoint(const char *network, const json_t *config, struct err *e)
{
	static const char *const refused[] = { "Links", "MacAddress", "DriverOpts" };
	const json_t *aliases = json_get(config, "Aliases");
	json_t *list, *ipam;

	if (config && !json_is_object(config) && !json_is_null(config)) {
		wrong_type(e, "EndpointsConfig", "an object of objects");
		return NULL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		if (!is_nothing(json_get(config, refused[i]))) {
			err_set(e, ERR_UNSUPPORTED, ENOTSUP,
				"%s in EndpointsConfig of network %.64s is not supported; leave it out", refused[i],
				network);
			return NULL;
		}
	}
	ipam = endpoint_ipam(network, config, e);
	if (!ipam)
		return NULL;
	list = is_nothing(aliases) ? json_array() : list_of_text("Aliases", aliases, e);
	if (!list) {
		json_decref(ipam);
		return NULL;
	}
	return json_pack("{s:o, s:n, s:o, s:n}", "IPAMConfig", ipam, "Links", "Aliases", list, "DriverOpts");
}

static int add_network(json_t *networks, const char *name, const json_t *config, struct err *e)
{
	json_t *ep;

	if (strlen(name) > 255)
		return err_set(e, ERR_INVALID, EINVAL, "invalid network name in EndpointsConfig");
	ep = spec_endpoint(name, config, e);
	if (!ep)
		return -EINVAL;
	json_object_set_new(networks, name, ep);
	return 0;
}

static const char *plain_network(const char *name)
{
	return str_eq(name, "default") || !*name ? "bridge" : name;
}

static int take_networks(struct spec *s, const json_t *body, struct err *e)
{
	const json_t *networking = json_get(body, "NetworkingConfig");
	json_t *endpoints = json_get(networking, "EndpointsConfig"), *v, *own = NULL;
	const char *mode = member_text(s->host_config, "NetworkMode"), *k;

	s->networks = json_object();
	if ((networking && !json_is_object(networking) && !json_is_null(networking)) ||
	    (endpoints && !json_is_object(endpoints) && !json_is_null(endpoints)))
		return wrong_type(e, "NetworkingConfig.EndpointsConfig", "an object");
	if (member_flag(s->config, "NetworkDisabled"))
		mode = "none";
	json_object_foreach(endpoints, k, v)
		if (str_eq(plain_network(k), mode))
			own = v;
	if (!str_eq(mode, "none") && add_network(s->networks, mode, own, e) < 0)
		return -EINVAL;
	json_object_foreach(endpoints, k, v) {
		const char *name = plain_network(k);

		if (str_eq(name, mode))
			continue;
		if (str_eq(mode, "none") || str_eq(name, "none") || str_eq(name, "host"))
			return err_set(e, ERR_INVALID, EINVAL,
				       "conflicting options: cannot attach both user-defined and non-user-defined "
				       "network-modes");
		if (add_network(s->networks, name, v, e) < 0)
			return -EINVAL;
	}
	if (json_object_size(s->networks) > NETWORKS_MAX)
		return err_set(e, ERR_INVALID, EINVAL, "a container can join at most %d networks", NETWORKS_MAX);
	return 0;
}

/* ---- the whole ---- */

static int check_all(struct spec *s, struct err *e)
{
	uint64_t caps;
	int r;

	if ((r = check_ports(s->config, e)) < 0 || (r = check_env(s->config, e)) < 0 ||
	    (r = check_names(s->config, e)) < 0 || (r = check_config_rest(s->config, e)) < 0 ||
	    (r = check_modes(s->host_config, e)) < 0 || (r = check_bindings(s->host_config, s->config, e)) < 0 ||
	    (r = check_security(s->host_config, e)) < 0 || (r = check_resources(s->host_config, s->warnings, e)) < 0 ||
	    (r = check_policies(s->host_config, e)) < 0 || (r = check_ulimits(s->host_config, e)) < 0 ||
	    (r = check_mounts(s->host_config, e)) < 0 || (r = check_storage(s->host_config, e)) < 0 ||
	    (r = check_hosts(s->host_config, e)) < 0)
		return r;
	return spec_caps(s->host_config, &caps, e);
}

int spec_parse(struct spec *ret, const json_t *body, struct err *e)
{
	const json_t *host = json_get(body, "HostConfig");

	*ret = (struct spec){ .warnings = json_array() };
	if (!json_is_object(body))
		return err_set(e, ERR_INVALID, EINVAL, "config cannot be empty in order to create a container");
	if (host && !json_is_object(host) && !json_is_null(host))
		return wrong_type(e, "HostConfig", "an object");
	ret->config = take_fields(config_fields, ARRAY_SIZE(config_fields), body, e);
	if (!ret->config)
		return -EINVAL;
	ret->host_config = take_fields(host_fields, ARRAY_SIZE(host_fields), json_is_object(host) ? host : NULL, e);
	if (!ret->host_config || check_all(ret, e) < 0)
		return -EINVAL;
	if (member_int(ret->host_config, "ShmSize") == 0)
		json_object_set_new(ret->host_config, "ShmSize", json_integer(DEFAULT_SHM));
	if (!*member_text(ret->host_config, "Runtime"))
		json_object_set_new(ret->host_config, "Runtime", json_string("bottle"));
	if (!*member_text(ret->host_config, "IpcMode"))
		json_object_set_new(ret->host_config, "IpcMode", json_string("private"));
	return take_networks(ret, body, e);
}

void spec_done(struct spec *s)
{
	json_decref(s->config);
	json_decref(s->host_config);
	json_decref(s->networks);
	json_decref(s->warnings);
	*s = (struct spec){ 0 };
}

static bool env_has(const json_t *env, const char *pair)
{
	size_t i, n = strcspn(pair, "=");
	json_t *v;

	json_array_foreach(env, i, v)
		if (strncmp(json_string_value(v), pair, n) == 0 &&
		    (json_string_value(v)[n] == '=' || !json_string_value(v)[n]))
			return true;
	return false;
}

static void merge_env(json_t *config, const json_t *image)
{
	json_t *env = json_object_get(config, "Env"), *merged = json_array(), *v;
	size_t i;

	json_array_extend(merged, env);
	json_array_foreach(json_object_get(image, "Env"), i, v)
		if (text_ok(v) && !env_has(env, json_string_value(v)))
			json_array_append(merged, v);
	json_object_set_new(config, "Env", merged);
}

static void merge_map(json_t *config, const json_t *image, const char *key)
{
	json_t *mine = json_object_get(config, key), *v;
	const char *k;

	json_object_foreach(json_object_get(image, key), k, v)
		if (!json_object_get(mine, k))
			json_object_set(mine, k, v);
}

static void merge_text(json_t *config, const json_t *image, const char *key)
{
	json_t *v = json_object_get(image, key);

	if (!*member_text(config, key) && text_ok(v))
		json_object_set(config, key, v);
}

/* docker's rule: an entry point of the client's also drops the image's command; [""] is "none at all". */
static int merge_command(json_t *config, const json_t *image, struct err *e)
{
	json_t *entry = json_object_get(config, "Entrypoint"), *cmd = json_object_get(config, "Cmd"), *v;

	if (json_array_size(entry) == 0) {
		if (json_array_size(cmd) == 0 && (v = json_object_get(image, "Cmd")) && !json_is_null(v)) {
			v = words("Cmd", v, e);
			if (!v)
				return -EINVAL;
			json_object_set_new(config, "Cmd", v);
		}
		if (json_is_null(entry) && (v = json_object_get(image, "Entrypoint")) && !json_is_null(v)) {
			v = words("Entrypoint", v, e);
			if (!v)
				return -EINVAL;
			json_object_set_new(config, "Entrypoint", v);
		}
	}
	entry = json_object_get(config, "Entrypoint");
	if (json_array_size(entry) == 1 && !*json_string_value(json_array_get(entry, 0)))
		json_object_set_new(config, "Entrypoint", json_null());
	if (json_array_size(json_object_get(config, "Entrypoint")) + json_array_size(json_object_get(config, "Cmd")) ==
	    0)
		return err_set(e, ERR_INVALID, EINVAL, "no command specified");
	return 0;
}

int spec_merge_image(struct spec *s, const json_t *image, struct err *e)
{
	static const char *const texts[] = { "User", "WorkingDir", "StopSignal" };

	merge_env(s->config, image);
	merge_map(s->config, image, "Labels");
	merge_map(s->config, image, "ExposedPorts");
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		merge_text(s->config, image, texts[i]);
	/* an image's VOLUME directories stay on the container's own disk */
	if (json_is_object(json_object_get(image, "Volumes")))
		json_object_set(s->config, "Volumes", json_object_get(image, "Volumes"));
	if (check_ports(s->config, e) < 0)
		return -EINVAL;
	return merge_command(s->config, image, e);
}

json_t *spec_exec(const json_t *body, struct err *e)
{
	static const struct field fields[] = {
		{ "User", K_TEXT, R_USE, false },         { "Privileged", K_BOOL, R_USE, false },
		{ "Tty", K_BOOL, R_USE, false },          { "ConsoleSize", K_INTS, R_USE, true },
		{ "AttachStdin", K_BOOL, R_USE, false },  { "AttachStderr", K_BOOL, R_USE, false },
		{ "AttachStdout", K_BOOL, R_USE, false }, { "DetachKeys", K_TEXT, R_USE, false },
		{ "Env", K_LIST, R_USE, false },          { "WorkingDir", K_TEXT, R_USE, false },
		{ "Cmd", K_WORDS, R_USE, false },
	};
	json_t *x = take_fields(fields, ARRAY_SIZE(fields), body, e);
	const char *dir = member_text(x, "WorkingDir");

	if (!x)
		return NULL;
	if (json_array_size(json_object_get(x, "Cmd")) == 0)
		err_set(e, ERR_INVALID, EINVAL, "No exec command specified");
	else if (*dir && *dir != '/')
		err_set(e, ERR_INVALID, EINVAL,
			"the working directory '%.256s' is invalid, it needs to be an absolute path", dir);
	else if (check_env(x, e) == 0)
		return x;
	json_decref(x);
	return NULL;
}
