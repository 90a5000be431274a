/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>

#include "base/str.h"

static void test_size(void **state)
{
	static const struct {
		const char *text;
		int r;
		uint64_t v;
	} cases[] = {
		{ "0", 0, 0 },
		{ "512", 0, 512 },
		{ "64k", 0, 65536 },
		{ "1.5g", 0, 1610612736 },
		{ "10MiB", 0, 10 << 20 },
		{ "", -EINVAL, 0 },
		{ "k", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "1x", -EINVAL, 0 },
		{ "1.g", -EINVAL, 0 },
		{ "99999999999999999999", -ERANGE, 0 },
		{ "8192t", -ERANGE, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t v = 0;

		assert_int_equal(str_size(cases[i].text, 1ULL << 50, &v), cases[i].r);
		if (cases[i].r == 0)
			assert_int_equal(v, cases[i].v);
	}
}

static void test_duration(void **state)
{
	static const struct {
		const char *text;
		int r;
		uint64_t v;
	} cases[] = {
		{ "5s", 0, 5000 },   { "1m30s", 0, 90000 },   { "100ms", 0, 100 }, { "2h", 0, 7200000 },
		{ "7", 0, 7000 },    { "1.5s", 0, 1500 },     { "", -EINVAL, 0 },  { "5x", -EINVAL, 0 },
		{ "s", -EINVAL, 0 }, { "3000h", -ERANGE, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t v = 0;

		assert_int_equal(str_duration_ms(cases[i].text, 1ULL << 32, &v), cases[i].r);
		if (cases[i].r == 0)
			assert_int_equal(v, cases[i].v);
	}
}

static void test_time(void **state)
{
	static const int64_t times[] = { 1, 1700000000000000000, 1795321708688032065, 1700000000120000000 };
	char text[RFC3339_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		int64_t back;

		rfc3339nano(text, times[i]);
		assert_int_equal(rfc3339_parse(text, &back), 0);
		assert_true(back == times[i]);
	}
	rfc3339nano(text, 0);
	assert_string_equal(text, "0001-01-01T00:00:00Z");
	rfc3339nano(text, 1700000000120000000);
	assert_string_equal(text, "2023-11-14T22:13:20.12Z");
}

static void test_hex(void **state)
{
	unsigned char raw[3];
	char id[ID_LEN + 1], other[ID_LEN + 1];

	(void)state;
	assert_true(hex_decode(raw, 3, "00fFa0"));
	assert_memory_equal(raw, "\x00\xff\xa0", 3);
	assert_false(hex_decode(raw, 3, "00ff"));
	assert_false(hex_decode(raw, 3, "00ffa0b"));
	assert_false(hex_decode(raw, 3, "00fg00"));
	random_id(id);
	random_id(other);
	assert_true(str_is_hex(id, ID_LEN));
	assert_string_not_equal(id, other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_duration),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_hex),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
