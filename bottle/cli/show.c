/* SPDX-License-Identifier: Apache-2.0 */
/* bottle show: the parts of one bottle, with their addresses. */
#include "base/mem.h"
#include "base/str.h"
#include "cli/bottles.h"

static json_t *addresses(const json_t *container)
{
	json_t *all = json_object_get(json_object_get(container, "NetworkSettings"), "Networks"), *net,
	       *o = json_object();
	const char *name;

	json_object_foreach(all, name, net) {
		json_t *addr = json_object_get(net, "IPAddress");

		json_object_set(o, name, json_is_string(addr) ? addr : json_null());
	}
	return o;
}

static json_t *part_json(const json_t *c)
{
	json_t *ports = json_object_get(c, "Ports");

	return json_pack("{s:s*, s:s*, s:s*, s:s, s:s*, s:s*, s:o, s:o}", "role", object_label(c, LABEL_ROLE),
			 "container", object_name(c), "id", json_string_value(json_object_get(c, "Id")), "state",
			 part_state(c), "status", json_string_value(json_object_get(c, "Status")), "image",
			 json_string_value(json_object_get(c, "Image")), "addresses", addresses(c), "ports",
			 ports ? json_incref(ports) : json_array());
}

static json_t *bottle_json(const char *name, const struct bottle *b)
{
	json_t *parts = json_array(), *networks = json_array(), *o;
	const char *policy = NULL;
	size_t i;

	json_array_foreach(b->containers, i, o) {
		json_array_append_new(parts, part_json(o));
		policy = object_label(o, LABEL_POLICY);
	}
	json_array_foreach(b->networks, i, o) {
		json_t *config = json_array_get(json_object_get(json_object_get(o, "IPAM"), "Config"), 0);

		json_array_append_new(networks, json_pack("{s:s*, s:s*, s:s*}", "name", object_name(o), "id",
							  json_string_value(json_object_get(o, "Id")), "subnet",
							  json_string_value(json_object_get(config, "Subnet"))));
	}
	return json_pack("{s:s, s:s*, s:o, s:o}", "name", name, "policy", policy, "parts", parts, "networks", networks);
}

static void print_text(const json_t *o, const char *key, const char *label)
{
	const char *text = json_string_value(json_object_get(o, key));

	printf("%s", label);
	cli_print_safe(stdout, text ? text : "-");
}

static void print_part(const json_t *part)
{
	json_t *addr, *port;
	const char *net;
	size_t i;

	print_text(part, "role", "");
	print_text(part, "container", ": ");
	print_text(part, "status", ", ");
	print_text(part, "image", ", image ");
	printf("\n");
	json_object_foreach(json_object_get(part, "addresses"), net, addr) {
		printf("  ");
		cli_print_safe(stdout, net);
		printf(": %s\n", json_string_value(addr) ? json_string_value(addr) : "-");
	}
	json_array_foreach(json_object_get(part, "ports"), i, port) {
		if (!json_object_get(port, "PublicPort"))
			continue;
		print_text(port, "IP", "  published on ");
		printf(":%lld -> %lld\n", (long long)json_integer_value(json_object_get(port, "PublicPort")),
		       (long long)json_integer_value(json_object_get(port, "PrivatePort")));
	}
}

static void print_bottle(const json_t *o)
{
	json_t *item;
	size_t i;

	print_text(o, "name", "");
	print_text(o, "policy", ": policy ");
	printf("\n");
	json_array_foreach(json_object_get(o, "parts"), i, item) {
		print_part(item);
	}
	json_array_foreach(json_object_get(o, "networks"), i, item) {
		print_text(item, "name", "network ");
		print_text(item, "subnet", " ");
		printf("\n");
	}
}

int cmd_show(int argc, char **argv)
{
	_cleanup_bottle_ struct bottle b = { 0 };
	struct err e = { 0 };
	bool json = false;
	const struct opt opts[] = {
		{ 0, "json", OPT_FLAG, &json, NULL, "print a JSON object" },
		{ 0 },
	};
	const struct opt_usage usage = { .synopsis = "bottle show [OPTIONS] NAME",
					 .summary = "Shows a bottle's parts, addresses and policy.",
					 .opts = opts };
	int first, code = cli_parse(&usage, argc, argv, 1, 1, &first);
	json_t *o;

	if (code >= 0)
		return code;
	if (bottle_find(argv[first], &b, &e) < 0)
		return cli_fail(&e);
	o = bottle_json(argv[first], &b);
	if (json) {
		cli_print_json(o);
		return EXIT_DONE;
	}
	print_bottle(o);
	json_decref(o);
	return EXIT_DONE;
}
