/* SPDX-License-Identifier: Apache-2.0 */
/* Option tables; in every program. */
#include "base/opt.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

void opt_print_help(const struct opt_usage *u, FILE *out)
{
	fprintf(out, "Usage: %s\n", u->synopsis);
	if (u->summary)
		fprintf(out, "\n%s\n", u->summary);
	fprintf(out, "\nOptions:\n");
	for (const struct opt *o = u->opts; o && o->name; o++) {
		char left[64];

		snprintf(left, sizeof(left), "--%s%s%s", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
		fprintf(out, "  %c%c%s %-28s %s\n", o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
			o->letter ? "," : " ", left, o->help);
	}
	fprintf(out, "      %-28s %s\n", "--help", "print this and exit");
}

static const struct opt *find_long(const struct opt *o, const char *name, size_t n)
{
	for (; o && o->name; o++)
		if (strlen(o->name) == n && strncmp(o->name, name, n) == 0)
			return o;
	return NULL;
}

static const struct opt *find_short(const struct opt *o, char letter)
{
	for (; o && o->name; o++)
		if (o->letter && o->letter == letter)
			return o;
	return NULL;
}

static int store(const struct opt *o, const char *value, struct err *e)
{
	int r = 0;

	switch (o->kind) {
	case OPT_FLAG:
		*(bool *)o->value = true;
		break;
	case OPT_STR:
		*(const char **)o->value = value;
		break;
	case OPT_STRV:
		strv_push(o->value, value);
		break;
	case OPT_U64:
		r = str_u64(value, UINT64_MAX / 2, o->value);
		break;
	case OPT_DURATION:
		r = str_duration_ms(value, UINT64_MAX / 2, o->value);
		break;
	}
	if (r < 0)
		return err_set(e, ERR_INVALID, EINVAL, "--%s: '%s' is not a %s", o->name, value, o->arg);
	return 0;
}

/* The value of an option that takes one: behind '=' or the next argument. */
static int need_value(const struct opt *o, const char *attached, int argc, char **argv, int *i, const char **ret,
		      struct err *e)
{
	*ret = attached;
	if (attached)
		return 0;
	if (*i + 1 >= argc)
		return err_set(e, ERR_INVALID, EINVAL, "--%s needs a value (%s)", o->name, o->arg);
	*ret = argv[++*i];
	return 0;
}

static int parse_long(const struct opt_usage *u, int argc, char **argv, int *i, struct err *e)
{
	const char *name = argv[*i] + 2, *eq = strchr(name, '='), *value = NULL;
	size_t n = eq ? (size_t)(eq - name) : strlen(name);
	const struct opt *o = find_long(u->opts, name, n);
	int r;

	if (!o)
		return err_set(e, ERR_INVALID, EINVAL, "unknown option --%.*s", (int)n, name);
	if (o->kind == OPT_FLAG && eq)
		return err_set(e, ERR_INVALID, EINVAL, "--%s takes no value", o->name);
	r = o->kind == OPT_FLAG ? 0 : need_value(o, eq ? eq + 1 : NULL, argc, argv, i, &value, e);
	return r < 0 ? r : store(o, value, e);
}

static int parse_short(const struct opt_usage *u, int argc, char **argv, int *i, struct err *e)
{
	for (const char *c = argv[*i] + 1; *c; c++) {
		const struct opt *o = find_short(u->opts, *c);
		const char *value = NULL;
		int r;

		if (!o)
			return err_set(e, ERR_INVALID, EINVAL, "unknown option -%c", *c);
		if (o->kind != OPT_FLAG) {
			r = need_value(o, c[1] ? c + 1 : NULL, argc, argv, i, &value, e);
			return r < 0 ? r : store(o, value, e);
		}
		r = store(o, NULL, e);
		if (r < 0)
			return r;
	}
	return 0;
}

int opt_parse(const struct opt_usage *u, int argc, char **argv, int *ret_first, struct err *e)
{
	_cleanup_free_ char **operands = xcalloc((size_t)argc + 1, sizeof(*operands));
	int n = 0, i;

	for (i = 1; i < argc; i++) {
		int r;

		if (str_eq(argv[i], "--")) {
			i++;
			break;
		}
		if (str_eq(argv[i], "--help")) {
			opt_print_help(u, stdout);
			return 1;
		}
		if (argv[i][0] != '-' || !argv[i][1]) {
			if (u->stop_at_operand)
				break;
			operands[n++] = argv[i];
			continue;
		}
		r = argv[i][1] == '-' ? parse_long(u, argc, argv, &i, e) : parse_short(u, argc, argv, &i, e);
		if (r < 0)
			return r;
	}
	while (i < argc)
		operands[n++] = argv[i++];
	*ret_first = argc - n;
	for (int k = 0; k < n; k++)
		argv[argc - n + k] = operands[k];
	return 0;
}
