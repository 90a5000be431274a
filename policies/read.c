/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Typed reading of a policy's tree, and the list of its errors; in the bottle
 * command. The file is distrusted: what is quoted from it into a message has its
 * control characters replaced, since messages go to terminals.
 */
#include "policies/read.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

void policy_errors_done(struct policy_errors *errors)
{
	for (size_t i = 0; i < errors->n; i++)
		free(errors->v[i].text);
	memset(errors, 0, sizeof(*errors));
}

static void print_at(struct buf *b, const struct at *at)
{
	if (!at)
		return;
	print_at(b, at->up);
	if (at->index >= 0)
		buf_printf(b, "[%d]", at->index);
	else
		buf_printf(b, "%s%.60s", at->up ? "." : "", at->name);
}

/* Keeps the list in order of rank and line; among equals, as found. */
static void insert(struct policy_errors *errors, int rank, unsigned int line, char *text)
{
	size_t i = errors->n;

	if (errors->n == POLICY_ERRORS_MAX) {
		errors->more++;
		free(text);
		return;
	}
	while (i > 0 &&
	       (errors->v[i - 1].rank > rank || (errors->v[i - 1].rank == rank && errors->v[i - 1].line > line))) {
		errors->v[i] = errors->v[i - 1];
		i--;
	}
	errors->v[i].rank = rank;
	errors->v[i].line = line;
	errors->v[i].text = text;
	errors->n++;
}

void check_error(struct check *c, int rank, unsigned int line, const struct at *at, const char *fmt, ...)
{
	struct buf b = { 0 };
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_printf(&b, "%s:%u: ", c->path, line);
	print_at(&b, at);
	buf_printf(&b, "%s%s", at ? ": " : "", text);
	for (char *p = buf_cstr(&b); *p; p++)
		if (iscntrl((unsigned char)*p))
			*p = '?';
	insert(c->errors, rank, line, TAKE_PTR(b.data));
}

/* ---- fields ---- */

/* Edit distance, for names of at most NAME_MAX_HINT bytes; a large number for others. */
#define NAME_MAX_HINT 24

static unsigned int distance(const char *a, const char *b)
{
	unsigned int row[NAME_MAX_HINT + 1];
	size_t n = strlen(a), m = strlen(b);

	if (n > NAME_MAX_HINT || m > NAME_MAX_HINT)
		return UINT32_MAX;
	for (size_t j = 0; j <= m; j++)
		row[j] = (unsigned int)j;
	for (size_t i = 1; i <= n; i++) {
		unsigned int diagonal = row[0];

		row[0] = (unsigned int)i;
		for (size_t j = 1; j <= m; j++) {
			unsigned int best = diagonal + (tolower((unsigned char)a[i - 1]) != b[j - 1]);

			diagonal = row[j];
			best = row[j] + 1 < best ? row[j] + 1 : best;
			row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
		}
	}
	return row[m];
}

static void unknown_field(struct check *c, const struct node *v, const struct at *at, const struct policy_field *fields)
{
	const char *near = NULL;
	unsigned int best = 3;
	struct buf names = { 0 };

	for (const struct policy_field *f = fields; f->name; f++) {
		unsigned int d = distance(v->key, f->name);

		if (f->read)
			buf_printf(&names, "%s%s", buf_len(&names) ? ", " : "", f->name);
		if (d < best && d < strlen(f->name)) {
			best = d;
			near = f->name;
		}
	}
	if (near)
		check_error(c, RANK_USUAL, v->line, at, "unknown field; did you mean '%s'?", near);
	else
		check_error(c, RANK_USUAL, v->line, at, "unknown field; known here: %s", buf_cstr(&names));
	buf_done(&names);
}

static void read_member(struct check *c, const struct node *v, const struct at *up, const struct policy_field *fields)
{
	const struct at *at = AT_MEMBER(up, v->key);

	for (const struct policy_field *f = fields; f->name; f++) {
		if (!str_eq(f->name, v->key))
			continue;
		if (f->read)
			f->read(c, v, at);
		else
			check_error(c, RANK_USUAL, v->line, at,
				    "is not enforced by this version; remove it, since it would protect nothing");
		return;
	}
	unknown_field(c, v, at, fields);
}

void read_fields(struct check *c, const struct node *v, const struct at *at, const struct policy_field *fields)
{
	if (!read_kind(c, v, at, NODE_MAP))
		return;
	for (size_t i = 0; i < v->n; i++)
		read_member(c, v->items[i], at, fields);
	for (const struct policy_field *f = fields; f->name; f++)
		if (f->required && !node_get(v, f->name))
			check_error(c, RANK_USUAL, v->line, AT_MEMBER(at, f->name),
				    "is missing, and has no default; add it");
}

/* ---- values ---- */

bool read_kind(struct check *c, const struct node *v, const struct at *at, enum node_kind kind)
{
	if (v->kind == kind)
		return true;
	if (kind == NODE_STRING && v->kind != NODE_MAP && v->kind != NODE_LIST)
		check_error(c, RANK_USUAL, v->line, at, "must be %s, not %s; put it in quotes", node_kind_name(kind),
			    node_kind_name(v->kind));
	else
		check_error(c, RANK_USUAL, v->line, at, "must be %s, not %s", node_kind_name(kind),
			    node_kind_name(v->kind));
	return false;
}

bool read_list(struct check *c, const struct node *v, const struct at *at, size_t max)
{
	if (!read_kind(c, v, at, NODE_LIST))
		return false;
	if (v->n <= max)
		return true;
	check_error(c, RANK_USUAL, v->line, at, "has %zu entries; at most %zu are taken", v->n, max);
	return false;
}

bool read_text(struct check *c, const struct node *v, const struct at *at, size_t max)
{
	if (!read_kind(c, v, at, NODE_STRING))
		return false;
	if (!*v->text || strlen(v->text) > max) {
		check_error(c, RANK_USUAL, v->line, at, "must have 1 to %zu characters", max);
		return false;
	}
	for (const char *p = v->text; *p; p++)
		if (iscntrl((unsigned char)*p)) {
			check_error(c, RANK_USUAL, v->line, at, "holds a control character");
			return false;
		}
	return true;
}

bool read_number(struct check *c, const struct node *v, const struct at *at, int64_t min, int64_t max, uint64_t *ret)
{
	if (!read_kind(c, v, at, NODE_INT))
		return false;
	if (v->number < min || v->number > max) {
		check_error(c, RANK_USUAL, v->line, at, "%" PRId64 " is out of range; %" PRId64 " to %" PRId64,
			    v->number, min, max);
		return false;
	}
	*ret = (uint64_t)v->number;
	return true;
}

bool read_size(struct check *c, const struct node *v, const struct at *at, uint64_t min, uint64_t max, uint64_t *ret)
{
	uint64_t size = 0;

	if (v->kind == NODE_INT && v->number >= 0) {
		size = (uint64_t)v->number;
	} else if (v->kind != NODE_STRING || str_size(v->text, INT64_MAX, &size) < 0) {
		check_error(c, RANK_USUAL, v->line, at, "must be a size such as \"512m\" or \"2g\"");
		return false;
	}
	if (size < min || size > max) {
		check_error(c, RANK_USUAL, v->line, at, "is out of range; %" PRIu64 "m to %" PRIu64 "g", min >> 20,
			    max >> 30);
		return false;
	}
	*ret = size;
	return true;
}
