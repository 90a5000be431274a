/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>

#include "api/engine.h"
#include "api/json.h"

static const char *const allowed[] = { "label", "name", NULL };

static void test_parse(void **state)
{
	static const struct {
		const char *text, *error; /* error NULL: fine */
		size_t names;
	} cases[] = {
		{ NULL, NULL, 0 },
		{ "", NULL, 0 },
		{ "{}", NULL, 0 },
		{ "{\"name\":[\"a\",\"b\"]}", NULL, 2 },
		{ "{\"name\":{\"a\":true,\"b\":true}}", NULL, 2 },
		{ "{\"name\":{\"a\":true,\"b\":false}}", NULL, 1 },
		{ "{\"name\":[]}", NULL, 0 },
		{ "[]", "invalid filter", 0 },
		{ "\"name\"", "invalid filter", 0 },
		{ "{\"name\":\"a\"}", "invalid filter", 0 },
		{ "{\"name\":[1]}", "invalid filter", 0 },
		{ "{\"name\":{\"a\":1}}", "invalid filter", 0 },
		{ "{\"name\":", "invalid filter", 0 },
		{ "{\"nmae\":[\"a\"]}", "invalid filter 'nmae'", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct filters f = { 0 };
		struct err e = { 0 };
		int r = filters_parse(&f, cases[i].text, allowed, &e);

		if ((r < 0) != (cases[i].error != NULL))
			fail_msg("%s", cases[i].text);
		if (r < 0) {
			assert_string_equal(e.text, cases[i].error);
			assert_int_equal(e.cls, ERR_INVALID);
			assert_null(f.map);
		} else {
			assert_int_equal(json_array_size(filters_values(&f, "name")), cases[i].names);
			assert_int_equal(filters_has(&f, "name"), cases[i].names > 0);
		}
		filters_done(&f);
	}
}

static void test_match(void **state)
{
	struct filters f = { 0 };

	(void)state;
	assert_int_equal(filters_parse(&f, "{\"name\":[\"a\",\"b\"]}", allowed, NULL), 0);
	assert_true(filters_match(&f, "name", "a"));
	assert_true(filters_match(&f, "name", "b"));
	assert_false(filters_match(&f, "name", "c"));
	assert_false(filters_match(&f, "name", NULL));
	assert_true(filters_match(&f, "label", "anything"));
	filters_done(&f);
}

static void test_labels(void **state)
{
	static const struct {
		const char *filter;
		bool want;
	} cases[] = {
		{ "{}", true },
		{ "{\"label\":[\"a\"]}", true },
		{ "{\"label\":[\"a=1\"]}", true },
		{ "{\"label\":[\"a=2\"]}", false },
		{ "{\"label\":[\"c\"]}", false },
		{ "{\"label\":[\"a=1\",\"b\"]}", true },
		{ "{\"label\":[\"a=1\",\"c\"]}", false },
		{ "{\"label\":[\"b=\"]}", true },
		{ "{\"label\":[\"e=x=y\"]}", true },
	};
	_cleanup_json_ json_t *labels = json_pack("{s:s, s:s, s:s}", "a", "1", "b", "", "e", "x=y");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct filters f = { 0 };

		assert_int_equal(filters_parse(&f, cases[i].filter, allowed, NULL), 0);
		if (filters_match_labels(&f, "label", labels) != cases[i].want)
			fail_msg("%s", cases[i].filter);
		filters_done(&f);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_match),
		cmocka_unit_test(test_labels),
	};

	return cmocka_run_group_tests_name("api/filters", tests, NULL, NULL);
}
