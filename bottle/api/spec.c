/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Create bodies as a whole: fields (spec_fields.c), their checks (spec_check.c),
 * the networks, and what the image says where the client said nothing. Runs in
 * bottled, on JSON that any client of the user's sent.
 */
#include "api/spec.h"

#include <errno.h>
#include <string.h>

#include "api/container.h"
#include "api/json.h"
#include "api/spec_parts.h"
#include "base/mem.h"
#include "proto/guest.h"

#define DEFAULT_SHM  (64ULL << 20)
#define NETWORKS_MAX GUEST_NICS_MAX

/* ---- networks ---- */

static json_t *endpoint_ipam(const char *network, const json_t *config, struct err *e)
{
	const json_t *ipam = json_get(config, "IPAMConfig"), *v4 = json_get(ipam, "IPv4Address");
	uint8_t addr[4];

	if (spec_is_nothing(ipam))
		return json_null();
	if (!json_is_object(ipam) || !spec_is_nothing(json_get(ipam, "IPv6Address")) ||
	    !spec_is_nothing(json_get(ipam, "LinkLocalIPs"))) {
		err_set(e, ERR_UNSUPPORTED, ENOTSUP, "IPAMConfig of network %.64s: only IPv4Address is supported",
			network);
		return NULL;
	}
	if (spec_is_nothing(v4))
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
		spec_wrong_type(e, "EndpointsConfig", "an object of objects");
		return NULL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		if (!spec_is_nothing(json_get(config, refused[i]))) {
			err_set(e, ERR_UNSUPPORTED, ENOTSUP,
				"%s in EndpointsConfig of network %.64s is not supported; leave it out", refused[i],
				network);
			return NULL;
		}
	}
	ipam = endpoint_ipam(network, config, e);
	if (!ipam)
		return NULL;
	list = spec_is_nothing(aliases) ? json_array() : spec_list_of_text("Aliases", aliases, e);
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
		return spec_wrong_type(e, "NetworkingConfig.EndpointsConfig", "an object");
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

int spec_parse(struct spec *ret, const json_t *body, struct err *e)
{
	const json_t *host = json_get(body, "HostConfig");

	*ret = (struct spec){ .warnings = json_array() };
	if (!json_is_object(body))
		return err_set(e, ERR_INVALID, EINVAL, "config cannot be empty in order to create a container");
	if (host && !json_is_object(host) && !json_is_null(host))
		return spec_wrong_type(e, "HostConfig", "an object");
	ret->config = spec_config_fields(body, e);
	if (!ret->config)
		return -EINVAL;
	ret->host_config = spec_host_fields(json_is_object(host) ? host : NULL, e);
	if (!ret->host_config || spec_check(ret, e) < 0)
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
		if (spec_text_ok(v) && !env_has(env, json_string_value(v)))
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

	if (!*member_text(config, key) && spec_text_ok(v))
		json_object_set(config, key, v);
}

/* docker's rule: an entry point of the client's also drops the image's command; [""] is "none at all". */
static int merge_command(json_t *config, const json_t *image, struct err *e)
{
	json_t *entry = json_object_get(config, "Entrypoint"), *cmd = json_object_get(config, "Cmd"), *v;

	if (json_array_size(entry) == 0) {
		if (json_array_size(cmd) == 0 && (v = json_object_get(image, "Cmd")) && !json_is_null(v)) {
			v = spec_words("Cmd", v, e);
			if (!v)
				return -EINVAL;
			json_object_set_new(config, "Cmd", v);
		}
		if (json_is_null(entry) && (v = json_object_get(image, "Entrypoint")) && !json_is_null(v)) {
			v = spec_words("Entrypoint", v, e);
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
	if (spec_check_ports(s->config, e) < 0)
		return -EINVAL;
	return merge_command(s->config, image, e);
}

json_t *spec_exec(const json_t *body, struct err *e)
{
	json_t *x = spec_exec_fields(body, e);
	const char *dir = member_text(x, "WorkingDir");

	if (!x)
		return NULL;
	if (json_array_size(json_object_get(x, "Cmd")) == 0)
		err_set(e, ERR_INVALID, EINVAL, "No exec command specified");
	else if (*dir && *dir != '/')
		err_set(e, ERR_INVALID, EINVAL,
			"the working directory '%.256s' is invalid, it needs to be an absolute path", dir);
	else if (spec_check_env(x, e) == 0)
		return x;
	json_decref(x);
	return NULL;
}
