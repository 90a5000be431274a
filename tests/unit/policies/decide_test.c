/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "policies/decide.h"

static void test_normalize(void **state)
{
	static const struct {
		const char *in;
		int kind;
		const char *out;
	} cases[] = {
		{ "example.com", HOST_NAME, "example.com" },
		{ "EXAMPLE.Com.", HOST_NAME, "example.com" },
		{ "localhost", HOST_NAME, "localhost" },
		{ "_dmarc.example.com", HOST_NAME, "_dmarc.example.com" },
		{ "XN--BCHER-KVA.example", HOST_NAME, "xn--bcher-kva.example" },
		{ "1.2.3.4.example", HOST_NAME, "1.2.3.4.example" },
		{ "0x1.example", HOST_NAME, "0x1.example" },
		{ "a.b1", HOST_NAME, "a.b1" },
		{ "127.0.0.1", HOST_IPV4, "127.0.0.1" },
		{ "127.0.0.1.", HOST_IPV4, "127.0.0.1" },
		{ "127.1", HOST_IPV4, "127.1" },
		{ "2130706433", HOST_IPV4, "2130706433" },
		{ "0x7f000001", HOST_IPV4, "0x7f000001" },
		{ "0X7F.1", HOST_IPV4, "0x7f.1" },
		{ "0177.0.0.01", HOST_IPV4, "0177.0.0.01" },
		{ "0x", HOST_IPV4, "0x" },
		{ "[::1]", HOST_IPV6, "::1" },
		{ "::FFFF:1.2.3.4", HOST_IPV6, "::ffff:1.2.3.4" },
		{ "[fe80::1%eth0]", -EINVAL, NULL },
		{ "1.2.3.4.5", -EINVAL, NULL },
		{ "foo.1", -EINVAL, NULL },
		{ "", -EINVAL, NULL },
		{ ".", -EINVAL, NULL },
		{ "a..b", -EINVAL, NULL },
		{ "a.b..", -EINVAL, NULL },
		{ ".a", -EINVAL, NULL },
		{ "-a.example", -EINVAL, NULL },
		{ "a-.example", -EINVAL, NULL },
		{ "a b", -EINVAL, NULL },
		{ "a@b", -EINVAL, NULL },
		{ "a/b", -EINVAL, NULL },
		{ "*.example.com", -EINVAL, NULL },
		{ "b\xc3\xbc"
		  "cher.example",
		  -EINVAL, NULL },
		{ "example\xe3\x80\x82"
		  "com",
		  -EINVAL, NULL },
		{ "[", -EINVAL, NULL },
		{ "[::1", -EINVAL, NULL },
		{ "a:80", -EINVAL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char out[HOST_MAX + 1];
		int kind = host_normalize(cases[i].in, strlen(cases[i].in), out);

		if (kind != cases[i].kind)
			print_message("# '%s' is %d, wanted %d\n", cases[i].in, kind, cases[i].kind);
		assert_int_equal(kind, cases[i].kind);
		if (kind >= 0)
			assert_string_equal(out, cases[i].out);
	}
}

static void test_normalize_sizes(void **state)
{
	char host[512], out[HOST_MAX + 1];

	(void)state;
	memset(host, 'a', sizeof(host));
	for (size_t i = 63; i < sizeof(host); i += 64)
		host[i] = '.';
	assert_int_equal(host_normalize(host, 253, out), HOST_NAME);
	assert_int_equal(host_normalize(host, 254, out), -EINVAL);
	assert_int_equal(host_normalize(host, 63, out), HOST_NAME);
	memset(host, 'a', sizeof(host));
	assert_int_equal(host_normalize(host, 64, out), -EINVAL);
	assert_int_equal(host_normalize("a\0b", 3, out), -EINVAL);
}

static const char policy[] =
	"{\"version\":1,\"name\":\"t\",\"default\":\"deny\",\"allow\":["
	"{\"host\":\"api.example.com\",\"ports\":[443],\"at\":\"t:1\"},"
	"{\"host\":\"*.example.org\",\"at\":\"t:2\"},"
	"{\"host\":\"deep.bad.example.org\",\"ports\":[443],\"at\":\"t:3\"},"
	"{\"host\":\"both.example.net\",\"ports\":[80],\"at\":\"t:4\"},{\"host\":\"both.example.net\",\"ports\":[443],"
	"\"at\":\"t:5\"}],"
	"\"deny\":[{\"host\":\"paste.example.org\",\"at\":\"t:6\"},{\"host\":\"*.bad.example.org\",\"at\":\"t:7\"},"
	"{\"host\":\"half.example.org\",\"ports\":[25],\"at\":\"t:8\"}]}";

static void test_decide(void **state)
{
	static const struct {
		const char *host;
		uint16_t port;
		bool allow;
		const char *rule;
	} cases[] = {
		{ "api.example.com", 443, true, "t:1" },
		{ "api.example.com", 80, false, "t:1" },
		{ "api.example.com", 0, true, "t:1" },
		{ "x.api.example.com", 443, false, "default" },
		{ "example.com", 443, false, "default" },
		{ "evilapi.example.com", 443, false, "default" },
		{ "example.org", 443, false, "default" },
		{ "evilexample.org", 443, false, "default" },
		{ "a.example.org", 443, true, "t:2" },
		{ "a.b.c.example.org", 1, true, "t:2" },
		{ "example.org.evil.test", 443, false, "default" },
		{ "paste.example.org", 443, false, "t:6" },
		{ "paste.example.org", 0, false, "t:6" },
		{ "x.paste.example.org", 443, true, "t:2" },
		{ "bad.example.org", 443, true, "t:2" },
		{ "deep.bad.example.org", 443, false, "t:7" },
		{ "half.example.org", 25, false, "t:8" },
		{ "half.example.org", 443, true, "t:2" },
		{ "half.example.org", 0, true, "t:2" },
		{ "both.example.net", 443, true, "t:5" },
		{ "both.example.net", 80, true, "t:4" },
		{ "both.example.net", 81, false, "t:4" },
	};
	struct ruleset *r = NULL;

	(void)state;
	assert_int_equal(ruleset_parse(policy, sizeof(policy) - 1, &r, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct decision d;

		ruleset_decide(r, cases[i].host, cases[i].port, &d);
		if (d.allow != cases[i].allow)
			print_message("# %s:%u\n", cases[i].host, cases[i].port);
		assert_int_equal(d.allow, cases[i].allow);
		assert_string_equal(d.rule, cases[i].rule);
		assert_non_null(strstr(d.reason, cases[i].host));
	}
	assert_string_equal(ruleset_name(r), "t");
	ruleset_free(r);
}

static void test_hash(void **state)
{
	static const char text[] = "{\"version\":1,\"name\":\"n\",\"default\":\"deny\"}";
	struct ruleset *r = NULL;
	struct decision d;

	(void)state;
	assert_int_equal(ruleset_parse(text, sizeof(text) - 1, &r, NULL), 0);
	assert_string_equal(ruleset_hash(r), "e442d241576a0b35190970ee1c1f3b081591e7371d333a8d6a4dc7959582eda5");
	ruleset_decide(r, "a.b", 1, &d);
	assert_false(d.allow);
	ruleset_free(r);
}

static void test_refused(void **state)
{
#define TOP     "\"version\":1,\"name\":\"n\",\"default\":\"deny\""
#define RULE(x) "{" TOP ",\"allow\":[{" x "}]}"
	static const char *const cases[] = {
		"",
		"{",
		"[]",
		"null",
		"{}",
		"{" TOP,
		"{" TOP "} x",
		"{\"version\":2,\"name\":\"n\",\"default\":\"deny\"}",
		"{\"version\":1,\"name\":\"n\",\"default\":\"allow\"}",
		"{\"version\":1,\"default\":\"deny\"}",
		"{" TOP ",\"extra\":1}",
		"{" TOP ",\"allow\":{}}",
		"{" TOP ",\"name\":\"twice\"}",
		RULE("\"at\":\"x\""),
		RULE("\"host\":\"a\""),
		RULE("\"host\":\"A\",\"at\":\"x\""),
		RULE("\"host\":\"a.\",\"at\":\"x\""),
		RULE("\"host\":\"1.2.3.4\",\"at\":\"x\""),
		RULE("\"host\":\"*.1.2.3.4\",\"at\":\"x\""),
		RULE("\"host\":\"*\",\"at\":\"x\""),
		RULE("\"host\":\"*.\",\"at\":\"x\""),
		RULE("\"host\":\"a.*.b\",\"at\":\"x\""),
		RULE("\"host\":1,\"at\":\"x\""),
		RULE("\"host\":\"a\",\"at\":\"x\",\"ports\":[]"),
		RULE("\"host\":\"a\",\"at\":\"x\",\"ports\":[0]"),
		RULE("\"host\":\"a\",\"at\":\"x\",\"ports\":[65536]"),
		RULE("\"host\":\"a\",\"at\":\"x\",\"ports\":[\"80\"]"),
		RULE("\"host\":\"a\",\"at\":\"x\",\"methods\":[\"GET\"]"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ruleset *r = NULL;
		struct err e = { 0 };

		if (ruleset_parse(cases[i], strlen(cases[i]), &r, &e) == 0)
			fail_msg("taken: %s", cases[i]);
		assert_int_equal(e.cls, ERR_INVALID);
		assert_null(r);
	}
}

static void test_public(void **state)
{
	static const struct {
		uint8_t addr[4];
		bool public;
	} cases[] = {
		{ { 0, 0, 0, 0 }, false },         { { 0, 255, 255, 255 }, false },  { { 1, 1, 1, 1 }, true },
		{ { 10, 0, 0, 1 }, false },        { { 9, 255, 255, 255 }, true },   { { 11, 0, 0, 0 }, true },
		{ { 100, 63, 255, 255 }, true },   { { 100, 64, 0, 0 }, false },     { { 100, 127, 255, 255 }, false },
		{ { 100, 128, 0, 0 }, true },      { { 127, 0, 0, 1 }, false },      { { 127, 255, 255, 254 }, false },
		{ { 169, 254, 169, 254 }, false }, { { 172, 15, 0, 1 }, true },      { { 172, 16, 0, 1 }, false },
		{ { 172, 31, 255, 255 }, false },  { { 172, 32, 0, 0 }, true },      { { 192, 0, 0, 1 }, false },
		{ { 192, 168, 0, 1 }, false },     { { 192, 169, 0, 1 }, true },     { { 198, 17, 0, 1 }, true },
		{ { 198, 18, 0, 1 }, false },      { { 198, 19, 255, 255 }, false }, { { 198, 20, 0, 0 }, true },
		{ { 223, 255, 255, 255 }, true },  { { 224, 0, 0, 1 }, false },      { { 240, 0, 0, 1 }, false },
		{ { 255, 255, 255, 255 }, false }, { { 168, 63, 129, 16 }, false },  { { 168, 63, 129, 17 }, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(address_is_public(cases[i].addr), cases[i].public);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_normalize), cmocka_unit_test(test_normalize_sizes), cmocka_unit_test(test_decide),
		cmocka_unit_test(test_hash),      cmocka_unit_test(test_refused),         cmocka_unit_test(test_public),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
