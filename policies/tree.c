/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policy files as a tree with lines; in the bottle command. The file is the
 * user's own, but may have been written by anybody: every size is bounded.
 *
 * JSON: jansson decides what is JSON (strict, no duplicate keys, no trailing
 * bytes) and decodes it; it keeps no positions, so a cursor then follows the
 * text, which is known to be well-formed by now, beside jansson's values, whose
 * members come in the file's order. libyaml could give positions for most JSON
 * too, but refuses surrogate pairs and long keys, and accepts far more than JSON.
 * YAML: libyaml's events. No anchors, aliases, tags or second documents: a
 * policy means what it shows. Plain scalars as YAML 1.2's core schema has them.
 */
#include "policies/tree.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <yaml.h>

#include "base/mem.h"
#include "base/str.h"

const char *node_kind_name(enum node_kind kind)
{
	static const char *const names[NODE_KIND_NUM] = {
		[NODE_NULL] = "null",       [NODE_BOOL] = "true or false", [NODE_INT] = "a whole number",
		[NODE_REAL] = "a fraction", [NODE_STRING] = "a string",    [NODE_LIST] = "a list",
		[NODE_MAP] = "an object",
	};

	return names[kind];
}

const struct node *node_get(const struct node *n, const char *key)
{
	if (!n || n->kind != NODE_MAP)
		return NULL;
	for (size_t i = 0; i < n->n; i++)
		if (str_eq(n->items[i]->key, key))
			return n->items[i];
	return NULL;
}

void node_free(struct node *n)
{
	if (!n)
		return;
	for (size_t i = 0; i < n->n; i++)
		node_free(n->items[i]);
	free(n->items);
	free(n->key);
	free(n->text);
	free(n);
}

static void node_push(struct node *list, struct node *item)
{
	if ((list->n & (list->n - 1)) == 0)
		list->items = xrealloc(list->items, list->n ? 2 * list->n : 1, sizeof(struct node *));
	list->items[list->n++] = item;
}

/* What both readers share: where they are, how much they made. */
struct reader {
	const char *p, *end; /* JSON's cursor */
	yaml_parser_t yaml;
	unsigned int line;
	size_t n_nodes;
	struct err *e;
};

static struct node *new_node(struct reader *r, enum node_kind kind)
{
	struct node *n;

	if (++r->n_nodes > TREE_NODES_MAX) {
		err_set(r->e, ERR_LIMIT, EFBIG, "more than %d values", TREE_NODES_MAX);
		return NULL;
	}
	n = xcalloc(1, sizeof(*n));
	n->kind = kind;
	n->line = r->line;
	return n;
}

static int too_long(struct reader *r)
{
	return err_set(r->e, ERR_LIMIT, EFBIG, "a text longer than %d bytes", TREE_TEXT_MAX);
}

static int too_many(struct reader *r)
{
	return err_set(r->e, ERR_LIMIT, EFBIG, "an object with more than %d keys", TREE_KEYS_MAX);
}

static int too_deep(struct reader *r)
{
	return err_set(r->e, ERR_LIMIT, EFBIG, "nested deeper than %d levels", TREE_DEPTH_MAX);
}

/* ---- JSON ---- */

static void json_blanks(struct reader *r)
{
	for (; r->p < r->end && strchr(" \t\r\n,:", *r->p); r->p++)
		r->line += *r->p == '\n';
}

/* Moves behind a string, whose first quote is under the cursor. */
static void json_string_end(struct reader *r)
{
	for (r->p++; r->p < r->end && *r->p != '"'; r->p++)
		r->p += *r->p == '\\' && r->p + 1 < r->end;
	r->p += r->p < r->end;
}

static void json_scalar_end(struct reader *r)
{
	if (r->p < r->end && *r->p == '"')
		json_string_end(r);
	else
		while (r->p < r->end && !strchr(" \t\r\n,:]}", *r->p))
			r->p++;
}

static struct node *json_node(struct reader *r, json_t *v, unsigned int depth);

static int json_members(struct reader *r, json_t *v, struct node *n, unsigned int depth)
{
	struct node *child;
	unsigned int line;
	const char *key;
	json_t *item;

	if (json_object_size(v) > TREE_KEYS_MAX)
		return too_many(r);
	json_object_foreach(v, key, item) {
		if (strlen(key) > TREE_TEXT_MAX)
			return too_long(r);
		json_blanks(r);
		line = r->line;
		json_scalar_end(r);
		child = json_node(r, item, depth + 1);
		if (!child)
			return -EBADMSG;
		child->key = xstrdup(key);
		child->line = line;
		node_push(n, child);
	}
	return 0;
}

static int json_items(struct reader *r, json_t *v, struct node *n, unsigned int depth)
{
	struct node *child;
	json_t *item;
	size_t i;

	json_array_foreach(v, i, item) {
		child = json_node(r, item, depth + 1);
		if (!child)
			return -EBADMSG;
		node_push(n, child);
	}
	return 0;
}

static struct node *json_scalar(struct reader *r, json_t *v)
{
	static const enum node_kind kinds[] = {
		[JSON_STRING] = NODE_STRING, [JSON_INTEGER] = NODE_INT, [JSON_REAL] = NODE_REAL,
		[JSON_TRUE] = NODE_BOOL,     [JSON_FALSE] = NODE_BOOL,  [JSON_NULL] = NODE_NULL,
	};
	struct node *n;

	if (json_is_string(v) && json_string_length(v) > TREE_TEXT_MAX) {
		too_long(r);
		return NULL;
	}
	n = new_node(r, kinds[json_typeof(v)]);
	if (!n)
		return NULL;
	n->number = json_is_integer(v) ? json_integer_value(v) : json_is_true(v);
	n->text = json_is_string(v) ? xstrdup(json_string_value(v)) : NULL;
	json_scalar_end(r);
	return n;
}

static struct node *json_node(struct reader *r, json_t *v, unsigned int depth)
{
	bool map = json_is_object(v);
	struct node *n;

	json_blanks(r);
	if (depth > TREE_DEPTH_MAX) {
		too_deep(r);
		return NULL;
	}
	if (!map && !json_is_array(v))
		return json_scalar(r, v);
	n = new_node(r, map ? NODE_MAP : NODE_LIST);
	if (!n)
		return NULL;
	r->p++;
	if ((map ? json_members(r, v, n, depth) : json_items(r, v, n, depth)) < 0) {
		node_free(n);
		return NULL;
	}
	json_blanks(r);
	r->p += r->p < r->end;
	return n;
}

int tree_from_json(const char *text, size_t n, struct node **ret, unsigned int *ret_line, struct err *e)
{
	struct reader r = { .p = text, .end = text + n, .line = 1, .e = e };
	json_error_t bad;
	json_t *v = json_loadb(text, n, JSON_REJECT_DUPLICATES, &bad);
	struct node *root;

	if (!v) {
		*ret_line = bad.line > 0 ? (unsigned int)bad.line : 1;
		return err_set(e, ERR_INVALID, EBADMSG, "this is not JSON: %s", bad.text);
	}
	root = json_node(&r, v, 1);
	json_decref(v);
	*ret_line = r.line;
	if (!root)
		return -EBADMSG;
	*ret = root;
	return 0;
}

/* ---- YAML ---- */

static bool is_one_of(const char *s, const char *const *words)
{
	for (; *words; words++)
		if (str_eq(s, *words))
			return true;
	return false;
}

static bool is_real(const char *s)
{
	char *end;

	if (s[strspn(s, "+-0123456789.eE")] || !strpbrk(s, "0123456789"))
		return false;
	strtod(s, &end);
	return *end == '\0';
}

/* A plain scalar's type: null, bool, int, float, else a string. */
static void yaml_resolve(struct node *n, char *text)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };
	static const char *const trues[] = { "true", "True", "TRUE", NULL };
	static const char *const falses[] = { "false", "False", "FALSE", NULL };

	if (is_one_of(text, nulls)) {
		n->kind = NODE_NULL;
	} else if (is_one_of(text, trues) || is_one_of(text, falses)) {
		n->kind = NODE_BOOL;
		n->number = is_one_of(text, trues);
	} else if (str_i64(text + (*text == '+'), INT64_MIN + 1, INT64_MAX, &n->number) == 0) {
		n->kind = NODE_INT;
	} else if (is_real(text)) {
		n->kind = NODE_REAL;
	} else {
		n->text = text;
		return;
	}
	free(text);
}

static int yaml_next(struct reader *r, yaml_event_t *ev)
{
	if (!yaml_parser_parse(&r->yaml, ev)) {
		r->line = (unsigned int)r->yaml.problem_mark.line + 1;
		return err_set(r->e, ERR_INVALID, EBADMSG, "this is not YAML: %s%s%s",
			       r->yaml.problem ? r->yaml.problem : "broken input", r->yaml.context ? " " : "",
			       r->yaml.context ? r->yaml.context : "");
	}
	r->line = (unsigned int)ev->start_mark.line + 1;
	return 0;
}

static struct node *yaml_scalar(struct reader *r, const yaml_event_t *ev)
{
	size_t len = ev->data.scalar.length;
	struct node *n;
	char *text;

	if (ev->data.scalar.anchor || ev->data.scalar.tag) {
		err_set(r->e, ERR_INVALID, EBADMSG, "YAML anchors and tags are not taken; write the value itself");
		return NULL;
	}
	if (len > TREE_TEXT_MAX || memchr(ev->data.scalar.value, 0, len)) {
		too_long(r);
		return NULL;
	}
	n = new_node(r, NODE_STRING);
	if (!n)
		return NULL;
	text = xstrndup((const char *)ev->data.scalar.value, len);
	if (ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		yaml_resolve(n, text);
	else
		n->text = text;
	return n;
}

static struct node *yaml_node(struct reader *r, yaml_event_t *ev, unsigned int depth);

/* A key was read into ev (and is deleted here); reads its value. */
static int yaml_member(struct reader *r, struct node *map, yaml_event_t *ev, unsigned int depth)
{
	_cleanup_free_ char *key = NULL;
	unsigned int line = r->line;
	struct node *child;
	yaml_event_t value;

	if (ev->type != YAML_SCALAR_EVENT || ev->data.scalar.anchor || ev->data.scalar.tag ||
	    ev->data.scalar.length > TREE_TEXT_MAX || memchr(ev->data.scalar.value, 0, ev->data.scalar.length)) {
		yaml_event_delete(ev);
		return err_set(r->e, ERR_INVALID, EBADMSG, "a key must be a plain short text");
	}
	key = xstrndup((const char *)ev->data.scalar.value, ev->data.scalar.length);
	yaml_event_delete(ev);
	if (map->n >= TREE_KEYS_MAX)
		return too_many(r);
	if (node_get(map, key))
		return err_set(r->e, ERR_INVALID, EBADMSG, "duplicate key '%.60s'; keep one of them", key);
	if (yaml_next(r, &value) < 0)
		return -EBADMSG;
	child = yaml_node(r, &value, depth + 1);
	if (!child)
		return -EBADMSG;
	child->key = TAKE_PTR(key);
	child->line = line;
	node_push(map, child);
	return 0;
}

static int yaml_children(struct reader *r, struct node *n, unsigned int depth)
{
	yaml_event_type_t end = n->kind == NODE_MAP ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT;
	struct node *child;
	yaml_event_t ev;

	for (;;) {
		if (yaml_next(r, &ev) < 0)
			return -EBADMSG;
		if (ev.type == end) {
			yaml_event_delete(&ev);
			return 0;
		}
		if (n->kind == NODE_MAP) {
			if (yaml_member(r, n, &ev, depth) < 0)
				return -EBADMSG;
			continue;
		}
		child = yaml_node(r, &ev, depth + 1);
		if (!child)
			return -EBADMSG;
		node_push(n, child);
	}
}

static bool yaml_decorated(const yaml_event_t *ev)
{
	if (ev->type == YAML_MAPPING_START_EVENT)
		return ev->data.mapping_start.anchor || ev->data.mapping_start.tag;
	return ev->data.sequence_start.anchor || ev->data.sequence_start.tag;
}

/* The node that ev begins; ev is deleted. */
static struct node *yaml_node(struct reader *r, yaml_event_t *ev, unsigned int depth)
{
	bool map = ev->type == YAML_MAPPING_START_EVENT, list = ev->type == YAML_SEQUENCE_START_EVENT;
	struct node *n = NULL;

	if (depth > TREE_DEPTH_MAX)
		too_deep(r);
	else if (ev->type == YAML_SCALAR_EVENT)
		n = yaml_scalar(r, ev);
	else if ((!map && !list) || yaml_decorated(ev))
		err_set(r->e, ERR_INVALID, EBADMSG,
			"YAML anchors, aliases and tags are not taken; write the value itself");
	else
		n = new_node(r, map ? NODE_MAP : NODE_LIST);
	yaml_event_delete(ev);
	if (n && (map || list) && yaml_children(r, n, depth) < 0) {
		node_free(n);
		return NULL;
	}
	return n;
}

/* Reads one event, which must be of that type. */
static int yaml_expect(struct reader *r, yaml_event_type_t type, const char *otherwise)
{
	yaml_event_t ev;
	bool good;

	if (yaml_next(r, &ev) < 0)
		return -EBADMSG;
	good = ev.type == type;
	yaml_event_delete(&ev);
	return good ? 0 : err_set(r->e, ERR_INVALID, EBADMSG, "%s", otherwise);
}

static int yaml_document(struct reader *r, struct node **ret)
{
	yaml_event_t ev;

	if (yaml_expect(r, YAML_STREAM_START_EVENT, "no YAML stream") < 0 ||
	    yaml_expect(r, YAML_DOCUMENT_START_EVENT, "the file is empty") < 0 || yaml_next(r, &ev) < 0)
		return -EBADMSG;
	*ret = yaml_node(r, &ev, 1);
	if (!*ret || yaml_expect(r, YAML_DOCUMENT_END_EVENT, "more than one value") < 0)
		return -EBADMSG;
	return yaml_expect(r, YAML_STREAM_END_EVENT, "a second document; a policy is one");
}

int tree_from_yaml(const char *text, size_t n, struct node **ret, unsigned int *ret_line, struct err *e)
{
	struct reader r = { .line = 1, .e = e };
	struct node *root = NULL;
	int rc;

	if (!yaml_parser_initialize(&r.yaml))
		return err_set(e, ERR_INTERNAL, ENOMEM, "libyaml: out of memory");
	yaml_parser_set_input_string(&r.yaml, (const unsigned char *)text, n);
	rc = yaml_document(&r, &root);
	yaml_parser_delete(&r.yaml);
	*ret_line = r.line;
	if (rc < 0) {
		node_free(root);
		return rc;
	}
	*ret = root;
	return 0;
}
