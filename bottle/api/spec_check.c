/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the values of a create body must be beyond their type: ports, limits,
 * capabilities, modes. Runs in bottled, on JSON that any client of the user's sent.
 */
#include "api/spec_parts.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/capability.h>

#include "api/container.h"
#include "api/json.h"
#include "base/mem.h"
#include "proto/guest.h"
#include "proto/monitor.h"

#define MEMORY_MAX (1ULL << 42)
#define CPU_PERIOD 100000

int spec_check_ports(json_t *config, struct err *e)
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

		if (!json_is_object(b) || (ip && !json_is_null(ip) && !spec_text_ok(ip)) ||
		    (port && !json_is_null(port) && !spec_text_ok(port))) {
			spec_wrong_type(e, "PortBindings", "an object of lists of {HostIp, HostPort}");
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

int spec_check_env(const json_t *config, struct err *e)
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
		return spec_unsupported(e, "Healthcheck");
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

		if (!spec_text_ok(name) ||
		    strspn(json_string_value(name), "abcdefghijklmnopqrstuvwxyz") != json_string_length(name) ||
		    !json_string_length(name) || json_string_length(name) > 16 || !json_is_integer(soft) ||
		    (hard && !json_is_integer(hard))) {
			json_decref(out);
			return spec_wrong_type(e, "Ulimits", "a list of {Name, Soft, Hard}");
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
		if (!spec_text_ok(target) || *json_string_value(target) != '/')
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

int spec_check(struct spec *s, struct err *e)
{
	uint64_t caps;
	int r;

	if ((r = spec_check_ports(s->config, e)) < 0 || (r = spec_check_env(s->config, e)) < 0 ||
	    (r = check_names(s->config, e)) < 0 || (r = check_config_rest(s->config, e)) < 0 ||
	    (r = check_modes(s->host_config, e)) < 0 || (r = check_bindings(s->host_config, s->config, e)) < 0 ||
	    (r = check_security(s->host_config, e)) < 0 || (r = check_resources(s->host_config, s->warnings, e)) < 0 ||
	    (r = check_policies(s->host_config, e)) < 0 || (r = check_ulimits(s->host_config, e)) < 0 ||
	    (r = check_mounts(s->host_config, e)) < 0 || (r = check_storage(s->host_config, e)) < 0 ||
	    (r = check_hosts(s->host_config, e)) < 0)
		return r;
	return spec_caps(s->host_config, &caps, e);
}
