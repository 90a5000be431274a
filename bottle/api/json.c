/* SPDX-License-Identifier: Apache-2.0 */
/* Reading JSON bodies; in bottled. The values are a client's: each type is checked where it is read. */
#include "api/json.h"

#include <errno.h>
#include <strings.h>

#include "base/mem.h"

json_t *json_get(const json_t *obj, const char *key)
{
	json_t *v = json_object_get(obj, key), *map = (json_t *)(uintptr_t)obj;
	const char *k;
	json_t *other;

	if (!v && json_is_object(obj)) {
		json_object_foreach(map, k, other) {
			if (strcasecmp(k, key) == 0)
				v = other;
		}
	}
	return json_is_null(v) ? NULL : v;
}

static int wrong_type(const char *key, const char *wanted, struct err *e)
{
	return err_set(e, ERR_INVALID, EINVAL, "invalid JSON: %s must be %s", key, wanted);
}

int json_get_str(const json_t *obj, const char *key, const char **ret, struct err *e)
{
	json_t *v = json_get(obj, key);

	if (v && !json_is_string(v))
		return wrong_type(key, "a string", e);
	if (v)
		*ret = json_string_value(v);
	return 0;
}

int json_get_int(const json_t *obj, const char *key, int64_t *ret, struct err *e)
{
	json_t *v = json_get(obj, key);

	if (v && !json_is_integer(v))
		return wrong_type(key, "a whole number", e);
	if (v)
		*ret = json_integer_value(v);
	return 0;
}

int json_get_bool(const json_t *obj, const char *key, bool *ret, struct err *e)
{
	json_t *v = json_get(obj, key);

	if (v && !json_is_boolean(v))
		return wrong_type(key, "true or false", e);
	if (v)
		*ret = json_is_true(v);
	return 0;
}

int json_get_object(const json_t *obj, const char *key, json_t **ret, struct err *e)
{
	json_t *v = json_get(obj, key);

	if (v && !json_is_object(v))
		return wrong_type(key, "an object", e);
	if (v)
		*ret = v;
	return 0;
}

int json_get_array(const json_t *obj, const char *key, json_t **ret, struct err *e)
{
	json_t *v = json_get(obj, key);

	if (v && !json_is_array(v))
		return wrong_type(key, "an array", e);
	if (v)
		*ret = v;
	return 0;
}

int json_get_strv(const json_t *obj, const char *key, char ***ret, struct err *e)
{
	json_t *v = json_get(obj, key), *item;
	_cleanup_strv_ char **out = NULL;
	size_t i;

	if (!v)
		return 0;
	if (json_is_string(v)) {
		strv_push(&out, json_string_value(v));
	} else if (!json_is_array(v)) {
		return wrong_type(key, "an array of strings", e);
	}
	json_array_foreach(v, i, item) {
		if (!json_is_string(item))
			return wrong_type(key, "an array of strings", e);
		strv_push(&out, json_string_value(item));
	}
	if (!out)
		out = xcalloc(1, sizeof(*out));
	strv_free(*ret);
	*ret = TAKE_PTR(out);
	return 0;
}

int json_get_strings(const json_t *obj, const char *key, json_t **ret, struct err *e)
{
	json_t *v = NULL, *item;
	const char *k;
	int r = json_get_object(obj, key, &v, e);

	if (r < 0 || !v)
		return r;
	json_object_foreach(v, k, item) {
		if (!json_is_string(item))
			return wrong_type(key, "an object of strings", e);
	}
	*ret = v;
	return 0;
}

const char *json_str_or(const json_t *obj, const char *key, const char *otherwise)
{
	json_t *v = json_get(obj, key);

	return json_is_string(v) ? json_string_value(v) : otherwise;
}

char *json_text(const json_t *v)
{
	return v ? json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
}

json_t *json_parse(const char *text, size_t n, struct err *e)
{
	json_error_t why;
	json_t *v = json_loadb(text, n, JSON_DECODE_ANY, &why);

	if (!v)
		err_set(e, ERR_INVALID, EINVAL, "invalid JSON: line %d, column %d: %.160s", why.line, why.column,
			why.text);
	return v;
}
