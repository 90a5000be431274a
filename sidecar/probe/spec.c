/* SPDX-License-Identifier: Apache-2.0 */
/* What goes into and out of sidecar-probe, as JSON. The spec is the bottle command's: trusted, but checked. */
#include "sidecar/probe/probe.h"

#include <arpa/inet.h>
#include <errno.h>

#include "base/str.h"

static int parse_addr(const json_t *value, const char *what, uint32_t *ret, struct err *e)
{
	const char *text = json_string_value(value);
	struct in_addr in;

	if (!text || inet_pton(AF_INET, text, &in) != 1)
		return err_set(e, ERR_INVALID, EINVAL, "%s: '%.40s' is no IPv4 address", what, text ? text : "-");
	*ret = in.s_addr;
	return 0;
}

static int parse_list(const json_t *root, const char *key, uint32_t *ret, size_t max, size_t *ret_n, struct err *e)
{
	const json_t *list = json_object_get(root, key);
	json_t *item;
	size_t i;

	if (json_array_size(list) > max)
		return err_set(e, ERR_LIMIT, E2BIG, "%s: more than %zu addresses", key, max);
	json_array_foreach(list, i, item) {
		int r = parse_addr(item, key, &ret[i], e);

		if (r < 0)
			return r;
	}
	*ret_n = json_array_size(list);
	return 0;
}

static int parse_ports(const json_t *root, struct spec *s, struct err *e)
{
	const json_t *list = json_object_get(root, "ports");
	json_t *item;
	size_t i;

	if (json_array_size(list) > PORTS_MAX)
		return err_set(e, ERR_LIMIT, E2BIG, "ports: more than %d", PORTS_MAX);
	json_array_foreach(list, i, item) {
		json_int_t port = json_integer_value(json_array_get(item, 1));
		int r = parse_addr(json_array_get(item, 0), "ports", &s->ports[i].addr, e);

		if (r < 0)
			return r;
		if (port < 1 || port > 65535)
			return err_set(e, ERR_INVALID, EINVAL, "ports: %lld is no port", (long long)port);
		s->ports[i].port = (uint16_t)port;
	}
	s->n_ports = json_array_size(list);
	return 0;
}

static int parse_root(const json_t *root, struct spec *s, struct err *e)
{
	int r = parse_addr(json_object_get(root, "self"), "self", &s->net.self, e);

	if (r == 0)
		r = parse_addr(json_object_get(root, "gateway"), "gateway", &s->net.gateway, e);
	if (r == 0)
		r = parse_list(root, "own", s->net.own, OWN_MAX, &s->net.n_own, e);
	if (r == 0)
		r = parse_list(root, "hosts", s->hosts, HOSTS_MAX, &s->n_hosts, e);
	if (r == 0)
		r = parse_list(root, "dns", s->dns, DNS_MAX, &s->n_dns, e);
	return r < 0 ? r : parse_ports(root, s, e);
}

int spec_parse(const char *text, size_t n, struct spec *ret, struct err *e)
{
	json_error_t bad;
	json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &bad);
	int r;

	*ret = (struct spec){ 0 };
	if (!root)
		return err_set(e, ERR_INVALID, EBADMSG, "the targets are not JSON: %s", bad.text);
	r = parse_root(root, ret, e);
	json_decref(root);
	return r;
}

void report_add(struct report *r, const struct finding *f)
{
	for (size_t i = 0; i < r->n_leaks; i++)
		if (str_eq(r->leaks[i].what, f->what) && str_eq(r->leaks[i].target, f->target))
			return;
	if (r->n_leaks < LEAKS_MAX)
		r->leaks[r->n_leaks++] = *f;
}

json_t *report_json(const struct report *r)
{
	json_t *leaks = json_array();

	for (size_t i = 0; i < r->n_leaks; i++)
		json_array_append_new(leaks, json_pack("{s:s, s:s, s:s}", "what", r->leaks[i].what, "target",
						       r->leaks[i].target, "answer", r->leaks[i].answer));
	return json_pack("{s:b, s:o, s:I}", "ok", r->n_leaks == 0, "leaks", leaks, "checked", (json_int_t)r->checked);
}
