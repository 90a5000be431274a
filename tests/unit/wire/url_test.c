/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "wire/url.h"

static struct slice text(const char *s)
{
	return (struct slice){ s, strlen(s) };
}

static void test_decode(void **state)
{
	static const struct {
		const char *in;
		bool plus;
		const char *out;
	} cases[] = {
		{ "", false, "" },      { "a%2Fb", false, "a/b" }, { "a%2fb+c", false, "a/b+c" },
		{ "a+b", true, "a b" }, { "%2B", true, "+" },      { "%", false, NULL },
		{ "%2", false, NULL },  { "%2g", false, NULL },    { "%00", false, NULL },
		{ "a%", false, NULL },  { "%%41", false, NULL },   { "%C3%A9", false, "\xc3\xa9" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *out = url_decode(text(cases[i].in), cases[i].plus);

		assert_int_equal(out == NULL, cases[i].out == NULL);
		if (out)
			assert_string_equal(out, cases[i].out);
	}
	assert_null(url_decode((struct slice){ "a\0b", 3 }, false));
}

static void test_encode(void **state)
{
	_cleanup_buf_ struct buf out = { 0 };
	_cleanup_free_ char *back = NULL;
	char every[256];

	(void)state;
	for (int i = 1; i < 256; i++)
		every[i - 1] = (char)i;
	every[255] = '\0';
	url_encode(&out, every);
	back = url_decode((struct slice){ buf_ptr(&out), buf_len(&out) }, true);
	assert_string_equal(back, every);
	buf_clear(&out);
	url_encode(&out, "aZ0-._~/ +");
	assert_string_equal(buf_cstr(&out), "aZ0-._~%2F%20%2B");
}

static void test_query(void **state)
{
	struct query q;

	(void)state;
	assert_int_equal(query_parse(&q, text("a=1&b&a=%7B%7D&&c=x=y&d+e="), NULL), 0);
	assert_int_equal(q.n, 5);
	assert_string_equal(query_get(&q, "a"), "1");
	assert_string_equal(query_nth(&q, "a", 1), "{}");
	assert_null(query_nth(&q, "a", 2));
	assert_string_equal(query_get(&q, "b"), "");
	assert_string_equal(query_get(&q, "c"), "x=y");
	assert_string_equal(query_get(&q, "d e"), "");
	assert_null(query_get(&q, "A"));
	query_done(&q);
	assert_int_equal(query_parse(&q, text(""), NULL), 0);
	assert_int_equal(q.n, 0);
	assert_int_equal(query_parse(&q, text("a=b&c=%zz"), NULL), -EBADMSG);
	assert_int_equal(q.n, 0);
}

static void test_query_limit(void **state)
{
	_cleanup_buf_ struct buf b = { 0 };
	struct query q;

	(void)state;
	for (int i = 0; i < QUERY_PAIRS_MAX; i++)
		buf_puts(&b, "a=b&");
	assert_int_equal(query_parse(&q, text(buf_cstr(&b)), NULL), 0);
	assert_int_equal(q.n, QUERY_PAIRS_MAX);
	query_done(&q);
	buf_puts(&b, "a=b");
	assert_int_equal(query_parse(&q, text(buf_cstr(&b)), NULL), -EBADMSG);
}

static void test_bool(void **state)
{
	static const struct {
		const char *query;
		bool otherwise, want;
	} cases[] = {
		{ "", true, true },        { "", false, false },          { "v", true, false },
		{ "v=0", true, false },    { "v=False", true, false },    { "v=NO", true, false },
		{ "v=none", true, false }, { "v=+false+", true, false },  { "v=1", false, true },
		{ "v=True", false, true }, { "v=anything", false, true }, { "v=00", false, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct query q;

		assert_int_equal(query_parse(&q, text(cases[i].query), NULL), 0);
		assert_int_equal(query_bool(&q, "v", cases[i].otherwise), cases[i].want);
		query_done(&q);
	}
}

static void test_base64(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "", "" },
		{ "e30=", "{}" },
		{ "e30", "{}" },
		{ "Zm9v", "foo" },
		{ "Zm8=", "fo" },
		{ "Zg==", "f" },
		{ "Zg", "f" },
		{ "-_-_", "\xfb\xff\xbf" },
		{ "+/+/", "\xfb\xff\xbf" },
		{ "Z", NULL },
		{ "Zg=", NULL },
		{ "Zg===", NULL },
		{ "Zm9v=", NULL },
		{ "Zm 9v", NULL },
		{ "=", NULL },
		{ "Z=g=", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t n;
		_cleanup_free_ char *out = base64_decode(cases[i].in, &n);

		if ((out == NULL) != (cases[i].out == NULL))
			fail_msg("%s", cases[i].in);
		if (out)
			assert_memory_equal(out, cases[i].out, n + 1);
	}
	for (size_t n = 0; n < 100; n++) {
		unsigned char data[100];
		_cleanup_free_ char *coded = NULL, *back = NULL;
		size_t len;

		for (size_t i = 0; i < n; i++)
			data[i] = (unsigned char)(i * 37 + n);
		coded = base64_encode(data, n);
		back = base64_decode(coded, &len);
		assert_int_equal(len, n);
		assert_memory_equal(back, data, n);
	}
}

static void test_stdcopy(void **state)
{
	unsigned char head[STDCOPY_HEAD];
	uint32_t size;
	int stream;

	(void)state;
	stdcopy_head(head, 2, 0x01020304);
	assert_memory_equal(head, "\2\0\0\0\1\2\3\4", STDCOPY_HEAD);
	assert_true(stdcopy_parse(head, &stream, &size));
	assert_int_equal(stream, 2);
	assert_int_equal(size, 0x01020304);
	head[1] = 1;
	assert_false(stdcopy_parse(head, &stream, &size));
	assert_false(stdcopy_parse((const unsigned char *)"\4\0\0\0\0\0\0\0", &stream, &size));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decode),      cmocka_unit_test(test_encode), cmocka_unit_test(test_query),
		cmocka_unit_test(test_query_limit), cmocka_unit_test(test_bool),   cmocka_unit_test(test_base64),
		cmocka_unit_test(test_stdcopy),
	};

	return cmocka_run_group_tests_name("wire/url", tests, NULL, NULL);
}
