/* SPDX-License-Identifier: Apache-2.0 */
/* bottle ls: one line a bottle, from the labels of the engine's objects. */
#include "base/mem.h"
#include "base/str.h"
#include "cli/bottles.h"

static json_t *summary(const struct bottle *all, const char *name)
{
	struct bottle one = { json_array(), json_array() };
	const json_t *agent, *sidecar;
	json_t *c, *o;
	size_t i;

	json_array_foreach(all->containers, i, c) {
		if (str_eq(object_label(c, LABEL_NAME), name))
			json_array_append(one.containers, c);
	}
	agent = bottle_part(&one, "agent");
	sidecar = bottle_part(&one, "sidecar");
	o = json_pack("{s:s, s:s, s:s, s:s*, s:s*, s:s*}", "name", name, "agent", part_state(agent), "sidecar",
		      part_state(sidecar), "image", json_string_value(json_object_get(agent, "Image")), "status",
		      json_string_value(json_object_get(agent, "Status")), "policy",
		      object_label(agent ? agent : sidecar, LABEL_POLICY));
	bottle_done(&one);
	return o;
}

static void print_table(const json_t *rows)
{
	static const char *const columns[] = { "name", "agent", "sidecar", "image", "status", "policy" };
	struct cli_table t = { .columns = ARRAY_SIZE(columns) };
	static const char *const heads[] = { "NAME", "AGENT", "SIDECAR", "IMAGE", "STATUS", "POLICY" };
	json_t *row;
	size_t i;

	for (size_t k = 0; k < ARRAY_SIZE(heads); k++)
		cli_table_cell(&t, heads[k]);
	json_array_foreach(rows, i, row) {
		for (size_t k = 0; k < ARRAY_SIZE(columns); k++) {
			const char *text = json_string_value(json_object_get(row, columns[k]));
			_cleanup_free_ char *cell = text ? xstrndup(text, k == 5 ? 12 : 80) : NULL;

			cli_table_cell(&t, cell);
		}
	}
	cli_table_print(&t);
}

int cmd_ls(int argc, char **argv)
{
	_cleanup_bottle_ struct bottle all = { 0 };
	_cleanup_strv_ char **names = NULL;
	struct err e = { 0 };
	bool json = false;
	const struct opt opts[] = {
		{ 0, "json", OPT_FLAG, &json, NULL, "print a JSON list" },
		{ 0 },
	};
	const struct opt_usage usage = { .synopsis = "bottle ls [OPTIONS]",
					 .summary = "Lists the bottles.",
					 .opts = opts };
	int first, code = cli_parse(&usage, argc, argv, 0, 0, &first);
	json_t *rows;

	if (code >= 0)
		return code;
	if (bottle_find(NULL, &all, &e) < 0)
		return cli_fail(&e);
	names = bottle_names(&all);
	rows = json_array();
	for (char **name = names; name && *name; name++)
		json_array_append_new(rows, summary(&all, *name));
	if (json) {
		cli_print_json(rows);
		return EXIT_DONE;
	}
	print_table(rows);
	json_decref(rows);
	return EXIT_DONE;
}
