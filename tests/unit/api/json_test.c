/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "api/json.h"
#include "base/mem.h"

static json_t *parse(const char *text)
{
	json_t *j = json_parse(text, strlen(text), NULL);

	assert_non_null(j);
	return j;
}

static void test_keys(void **state)
{
	_cleanup_json_ json_t *j = parse("{\"image\":\"a\",\"CMD\":null,\"Env\":\"exact\",\"env\":\"other\"}");

	(void)state;
	assert_string_equal(json_string_value(json_get(j, "Image")), "a");
	assert_null(json_get(j, "Cmd"));
	assert_string_equal(json_string_value(json_get(j, "Env")), "exact");
	assert_null(json_get(j, "Missing"));
	assert_null(json_get(NULL, "Image"));
	assert_string_equal(json_str_or(j, "IMAGE", "x"), "a");
	assert_string_equal(json_str_or(j, "Cmd", "x"), "x");
}

static void test_types(void **state)
{
	_cleanup_json_ json_t *j =
		parse("{\"S\":\"s\",\"I\":-5,\"B\":true,\"O\":{\"a\":\"b\"},\"A\":[\"x\"],\"M\":{\"a\":1},\"R\":1.5}");
	const char *s = "old";
	int64_t i = 7;
	bool b = false;
	json_t *o = NULL;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(json_get_str(j, "s", &s, &e), 0);
	assert_string_equal(s, "s");
	assert_int_equal(json_get_str(j, "absent", &s, &e), 0);
	assert_string_equal(s, "s");
	assert_int_equal(json_get_str(j, "I", &s, &e), -EINVAL);
	assert_int_equal(e.cls, ERR_INVALID);
	assert_non_null(strstr(e.text, "I must be a string"));
	assert_int_equal(json_get_int(j, "I", &i, &e), 0);
	assert_int_equal(i, -5);
	assert_int_equal(json_get_int(j, "R", &i, &e), -EINVAL);
	assert_int_equal(json_get_bool(j, "B", &b, &e), 0);
	assert_true(b);
	assert_int_equal(json_get_bool(j, "S", &b, &e), -EINVAL);
	assert_int_equal(json_get_object(j, "A", &o, &e), -EINVAL);
	assert_int_equal(json_get_array(j, "A", &o, &e), 0);
	assert_int_equal(json_array_size(o), 1);
	assert_int_equal(json_get_strings(j, "O", &o, &e), 0);
	assert_int_equal(json_get_strings(j, "M", &o, &e), -EINVAL);
}

static void test_vectors(void **state)
{
	_cleanup_json_ json_t *j =
		parse("{\"list\":[\"a\",\"b\"],\"one\":\"c d\",\"none\":[],\"bad\":[1],\"worse\":{}}");
	_cleanup_strv_ char **v = NULL;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(json_get_strv(j, "List", &v, &e), 0);
	assert_int_equal(strv_len(v), 2);
	assert_string_equal(v[1], "b");
	assert_int_equal(json_get_strv(j, "bad", &v, &e), -EINVAL);
	assert_int_equal(json_get_strv(j, "worse", &v, &e), -EINVAL);
	assert_int_equal(strv_len(v), 2);
	assert_int_equal(json_get_strv(j, "one", &v, &e), 0);
	assert_int_equal(strv_len(v), 1);
	assert_int_equal(json_get_strv(j, "none", &v, &e), 0);
	assert_non_null(v);
	assert_int_equal(strv_len(v), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_vectors),
	};

	return cmocka_run_group_tests_name("api/json", tests, NULL, NULL);
}
