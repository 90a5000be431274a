/* SPDX-License-Identifier: Apache-2.0 */
/* The query's "filters" in both forms, {"k":{"v":true}} and {"k":["v"]}; in bottled. The text is a client's. */
#include <errno.h>

#include "api/engine.h"
#include "api/json.h"
#include "base/mem.h"

static bool is_allowed(const char *key, const char *const *allowed)
{
	for (; *allowed; allowed++)
		if (str_eq(*allowed, key))
			return true;
	return false;
}

/* The values of one key as an array of strings, NULL when they are something else. New. */
static json_t *values_of(json_t *v)
{
	json_t *list = json_array(), *item;
	const char *k;
	bool fine = json_is_object(v) || json_is_array(v);
	size_t i;

	json_object_foreach(v, k, item) {
		if (json_is_true(item))
			json_array_append_new(list, json_string(k));
		fine &= json_is_boolean(item);
	}
	json_array_foreach(v, i, item) {
		fine &= json_is_string(item);
		json_array_append(list, item);
	}
	if (fine)
		return list;
	json_decref(list);
	return NULL;
}

int filters_parse(struct filters *f, const char *text, const char *const *allowed, struct err *e)
{
	_cleanup_json_ json_t *in = NULL, *map = json_object();
	const char *key;
	json_t *v;

	f->map = NULL;
	in = text && *text ? json_parse(text, strlen(text), NULL) : json_object();
	if (!json_is_object(in))
		return err_set(e, ERR_INVALID, EINVAL, "invalid filter");
	json_object_foreach(in, key, v) {
		json_t *list = values_of(v);

		if (!list)
			return err_set(e, ERR_INVALID, EINVAL, "invalid filter");
		json_object_set_new(map, key, list);
		if (!is_allowed(key, allowed))
			return err_set(e, ERR_INVALID, EINVAL, "invalid filter '%.100s'", key);
	}
	f->map = TAKE_PTR(map);
	return 0;
}

void filters_done(struct filters *f)
{
	json_decref(f->map);
	f->map = NULL;
}

const json_t *filters_values(const struct filters *f, const char *key)
{
	return json_object_get(f->map, key);
}

bool filters_has(const struct filters *f, const char *key)
{
	return json_array_size(filters_values(f, key)) > 0;
}

bool filters_match(const struct filters *f, const char *key, const char *v)
{
	const json_t *list = filters_values(f, key);

	if (!json_array_size(list))
		return true;
	for (size_t i = 0; i < json_array_size(list); i++)
		if (str_eq(json_string_value(json_array_get(list, i)), v))
			return true;
	return false;
}

static bool label_holds(const char *want, const json_t *labels)
{
	const char *eq = strchr(want, '=');
	_cleanup_free_ char *key = eq ? xstrndup(want, (size_t)(eq - want)) : xstrdup(want);
	const json_t *v = json_object_get(labels, key);

	return v && (!eq || str_eq(json_string_value(v), eq + 1));
}

bool filters_match_labels(const struct filters *f, const char *key, const json_t *labels)
{
	const json_t *list = filters_values(f, key);

	for (size_t i = 0; i < json_array_size(list); i++)
		if (!label_holds(json_string_value(json_array_get(list, i)), labels))
			return false;
	return true;
}
