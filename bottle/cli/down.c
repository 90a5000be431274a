/* SPDX-License-Identifier: Apache-2.0 */
/* bottle down: removes bottles, asks the engine what is left of them, and prints what it checked. */
#include <errno.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/bottles.h"

static int take_down(const char *name, json_t *results)
{
	struct removal done = { 0 };
	struct err e = { 0 };
	int r = bottle_remove(name, &done, &e);

	json_array_append_new(results, json_pack("{s:s, s:i, s:i, s:b, s:s*}", "name", name, "containers_removed",
						 (int)done.containers, "networks_removed", (int)done.networks,
						 "verified_gone", done.verified, "error", r < 0 ? e.text : NULL));
	return r < 0 ? cli_fail(&e) : EXIT_DONE;
}

static void print_results(const json_t *results)
{
	json_t *o;
	size_t i;

	json_array_foreach(results, i, o) {
		if (!json_is_true(json_object_get(o, "verified_gone")))
			continue;
		printf("%s is down: %lld containers and %lld networks removed; checked: no container and no network "
		       "with its label is left\n",
		       json_string_value(json_object_get(o, "name")),
		       (long long)json_integer_value(json_object_get(o, "containers_removed")),
		       (long long)json_integer_value(json_object_get(o, "networks_removed")));
	}
}

static char **all_names(struct err *e, int *ret_code)
{
	_cleanup_bottle_ struct bottle b = { 0 };

	*ret_code = EXIT_DONE;
	if (bottle_find(NULL, &b, e) < 0) {
		*ret_code = cli_fail(e);
		return NULL;
	}
	return bottle_names(&b);
}

int cmd_down(int argc, char **argv)
{
	_cleanup_strv_ char **names = NULL;
	bool all = false, json = false;
	struct err e = { 0 };
	const struct opt opts[] = {
		{ 'a', "all", OPT_FLAG, &all, NULL, "every bottle" },
		{ 0, "json", OPT_FLAG, &json, NULL, "print a JSON list" },
		{ 0 },
	};
	const struct opt_usage usage = {
		.synopsis = "bottle down [OPTIONS] NAME|--all",
		.summary = "Removes a bottle's agent, sidecar and networks, and checks that nothing is left.",
		.opts = opts
	};
	int first, code = cli_parse(&usage, argc, argv, 0, 1, &first);
	json_t *results;

	if (code >= 0)
		return code;
	if (all == (argc > first)) {
		cli_error("name one bottle, or say --all; usage: %s", usage.synopsis);
		return EXIT_USAGE;
	}
	code = EXIT_DONE;
	if (all)
		names = all_names(&e, &code);
	else
		strv_push(&names, argv[first]);
	results = json_array();
	for (char **name = names; name && *name; name++) {
		int one = take_down(*name, results);

		code = one ? one : code;
	}
	if (!json)
		print_results(results);
	if (json)
		cli_print_json(results);
	else
		json_decref(results);
	return code;
}
