/* SPDX-License-Identifier: Apache-2.0 */
/* Lines, tables, errors and JSON of the bottle command. What comes from a bottle is distrusted: terminals obey bytes. */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/cli.h"

void cli_print_safe(FILE *out, const char *text)
{
	for (; *text; text++)
		fputc(iscntrl((unsigned char)*text) && *text != '\n' && *text != '\t' ? '?' : *text, out);
}

void cli_error(const char *fmt, ...)
{
	char text[2 * ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fprintf(stderr, "bottle: ");
	cli_print_safe(stderr, text);
	fputc('\n', stderr);
}

int cli_fail(const struct err *e)
{
	cli_error("%s", e->text);
	return e->cls == ERR_NOTFOUND ? EXIT_NO_OBJECT : EXIT_FAILED;
}

int cli_parse(const struct opt_usage *u, int argc, char **argv, int min, int max, int *ret_first)
{
	struct err e = { 0 };
	int r = opt_parse(u, argc, argv, ret_first, &e), n;

	if (r == 1)
		return EXIT_DONE;
	n = r < 0 ? 0 : argc - *ret_first;
	if (r == 0 && n < min)
		r = err_set(&e, ERR_INVALID, EINVAL, "too few arguments");
	else if (r == 0 && max >= 0 && n > max)
		r = err_set(&e, ERR_INVALID, EINVAL, "too many arguments: '%.60s'", argv[*ret_first + max]);
	if (r == 0)
		return -1;
	cli_error("%s; usage: %s", e.text, u->synopsis);
	return EXIT_USAGE;
}

void cli_print_json(json_t *json)
{
	char *text = json_dumps(json, JSON_COMPACT | JSON_ENSURE_ASCII);

	puts(text ? text : "null");
	free(text);
	json_decref(json);
}

void cli_table_cell(struct cli_table *t, const char *text)
{
	strv_push(&t->cells, text && *text ? text : "-");
}

void cli_table_print(struct cli_table *t)
{
	_cleanup_free_ size_t *widths = xcalloc(t->columns, sizeof(*widths));

	for (size_t i = 0; t->cells && t->cells[i]; i++)
		if (strlen(t->cells[i]) > widths[i % t->columns])
			widths[i % t->columns] = strlen(t->cells[i]);
	for (size_t i = 0; t->cells && t->cells[i]; i++) {
		bool last = i % t->columns == t->columns - 1;

		cli_print_safe(stdout, t->cells[i]);
		printf("%*s", last ? 0 : (int)(widths[i % t->columns] - strlen(t->cells[i]) + 3), "");
		if (last)
			putchar('\n');
	}
	strv_free(t->cells);
	t->cells = NULL;
}
