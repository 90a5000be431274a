/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fields of a create body. Runs in bottled, on JSON that any client of the
 * user's sent. Two tables say for every field of docker's Config and HostConfig
 * what it must be, what it is when absent, and whether a microVM can honour it:
 * a field that it cannot is refused by name, never dropped.
 */
#include "api/spec_parts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <strings.h>

#include "api/json.h"
#include "base/mem.h"
#include "base/str.h"

#define SIGRTMIN_GUEST 34

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

static const struct field exec_fields[] = {
	{ "User", K_TEXT, R_USE, false },         { "Privileged", K_BOOL, R_USE, false },
	{ "Tty", K_BOOL, R_USE, false },          { "ConsoleSize", K_INTS, R_USE, true },
	{ "AttachStdin", K_BOOL, R_USE, false },  { "AttachStderr", K_BOOL, R_USE, false },
	{ "AttachStdout", K_BOOL, R_USE, false }, { "DetachKeys", K_TEXT, R_USE, false },
	{ "Env", K_LIST, R_USE, false },          { "WorkingDir", K_TEXT, R_USE, false },
	{ "Cmd", K_WORDS, R_USE, false },
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
bool spec_text_ok(const json_t *v)
{
	return json_is_string(v) && json_string_length(v) <= SPEC_TEXT_MAX &&
	       strlen(json_string_value(v)) == json_string_length(v);
}

int spec_wrong_type(struct err *e, const char *key, const char *want)
{
	return err_set(e, ERR_INVALID, EINVAL, "invalid create request: field %s must be %s", key, want);
}

json_t *spec_list_of_text(const char *key, const json_t *v, struct err *e)
{
	size_t i;
	json_t *item, *list;

	if (!json_is_array(v) || json_array_size(v) > SPEC_LIST_MAX) {
		spec_wrong_type(e, key, "a list of at most 4096 strings");
		return NULL;
	}
	list = json_array();
	json_array_foreach(v, i, item) {
		if (!spec_text_ok(item)) {
			spec_wrong_type(e, key, "a list of strings");
			json_decref(list);
			return NULL;
		}
		json_array_append(list, item);
	}
	return list;
}

json_t *spec_words(const char *key, const json_t *v, struct err *e)
{
	if (!json_is_string(v))
		return spec_list_of_text(key, v, e);
	if (!spec_text_ok(v)) {
		spec_wrong_type(e, key, "a string or a list of strings");
		return NULL;
	}
	return json_pack("[O]", v);
}

json_t *spec_map_of(const char *key, const json_t *v, bool set, struct err *e)
{
	json_t *map, *value;
	const char *k;

	if (set && json_is_array(v)) { /* docker-py's older form: ["80/tcp"] is refused by docker too */
		spec_wrong_type(e, key, "an object");
		return NULL;
	}
	if (!json_is_object(v) || json_object_size(v) > SPEC_LIST_MAX) {
		spec_wrong_type(e, key, "an object of at most 4096 fields");
		return NULL;
	}
	map = json_object();
	json_object_foreach((json_t *)(uintptr_t)v, k, value) {
		if (strlen(k) > SPEC_TEXT_MAX || (!set && !spec_text_ok(value) && !json_is_null(value))) {
			spec_wrong_type(e, key, "an object of strings");
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
		spec_wrong_type(e, key, "a list");
		return NULL;
	}
	json_array_foreach(v, i, item) {
		if (json_typeof(item) != type) {
			spec_wrong_type(e, key, type == JSON_OBJECT ? "a list of objects" : "a list of numbers");
			return NULL;
		}
	}
	return json_deep_copy(v);
}

static json_t *keep(const char *key, const json_t *v, bool ok, const char *want, struct err *e)
{
	if (ok)
		return json_deep_copy(v);
	spec_wrong_type(e, key, want);
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
		return keep(f->key, v, spec_text_ok(v), "a string", e);
	case K_LIST:
		return spec_list_of_text(f->key, v, e);
	case K_WORDS:
		return spec_words(f->key, v, e);
	case K_MAP:
		return spec_map_of(f->key, v, false, e);
	case K_SET:
		return spec_map_of(f->key, v, true, e);
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
bool spec_is_nothing(const json_t *v)
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

int spec_unsupported(struct err *e, const char *key)
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
		if (got && f->rule == R_REFUSE && !spec_is_nothing(got)) {
			spec_unsupported(e, f->key);
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

json_t *spec_config_fields(const json_t *from, struct err *e)
{
	return take_fields(config_fields, ARRAY_SIZE(config_fields), from, e);
}

json_t *spec_host_fields(const json_t *from, struct err *e)
{
	return take_fields(host_fields, ARRAY_SIZE(host_fields), from, e);
}

json_t *spec_exec_fields(const json_t *from, struct err *e)
{
	return take_fields(exec_fields, ARRAY_SIZE(exec_fields), from, e);
}
