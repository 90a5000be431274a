/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "sidecar/dns/cache.h"

#define QUESTION \
	"\x03" \
	"api\x07" \
	"example\x03" \
	"com\x00\x00\x01\x00\x01"
#define HEAD(flags, qd, an)        "\x12\x34" flags "\x00" qd "\x00" an "\x00\x00\x00\x00"
#define ANSWER(an)                 HEAD("\x81\x80", "\x01", an) QUESTION
#define A_RECORD(owner, ttl, addr) owner "\x00\x01\x00\x01\x00\x00\x00" ttl "\x00\x04" addr
#define ADDR                       "\xcb\x00\x71\x0a"

static void test_query(void **state)
{
#define ROW(x, r) \
	{ \
		x, sizeof(x) - 1, r \
	}
	static const struct {
		const char *p;
		size_t n;
		int r;
	} cases[] = {
		ROW(HEAD("\x01\x00", "\x01", "\x00") QUESTION, 0),
		ROW(HEAD("\x01\x00", "\x01", "\x00") QUESTION "trailing", 0),
		ROW("", -EBADMSG),
		ROW("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00", -EBADMSG),
		ROW(HEAD("\x81\x00", "\x01", "\x00") QUESTION, -EBADMSG),   /* a response */
		ROW(HEAD("\x29\x00", "\x01", "\x00") QUESTION, DNS_NOTIMP), /* UPDATE */
		ROW(HEAD("\x01\x00", "\x02", "\x00") QUESTION QUESTION, DNS_FORMERR),
		ROW(HEAD("\x01\x00", "\x00", "\x00"), DNS_FORMERR),
		ROW(HEAD("\x01\x00", "\x01", "\x01") QUESTION, DNS_FORMERR),
		ROW(HEAD("\x03\x00", "\x01", "\x00") QUESTION, DNS_FORMERR), /* TC */
		ROW(HEAD("\x01\x00", "\x01", "\x00") "\xc0\x0c\x00\x01\x00\x01", DNS_FORMERR),
		ROW(HEAD("\x01\x00", "\x01", "\x00") "\x03"
						     "ap",
		    DNS_FORMERR),
		ROW(HEAD("\x01\x00", "\x01", "\x00") "\x40"
						     "a\x00\x00\x01\x00\x01",
		    DNS_FORMERR),
		ROW(HEAD("\x01\x00", "\x01", "\x00") "\x01"
						     "a\x00\x00\x01\x00",
		    DNS_FORMERR),
	};
	struct dns_question q;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(dns_parse_query((const uint8_t *)cases[i].p, cases[i].n, &q), cases[i].r);
	assert_int_equal(dns_parse_query((const uint8_t *)cases[0].p, cases[0].n, &q), 0);
	assert_string_equal(q.name, "api.example.com");
	assert_int_equal(q.type, DNS_TYPE_A);
}

/* A dot inside a label must not become a border of labels. */
static void test_odd_bytes(void **state)
{
	static const char p[] = HEAD("\x01\x00", "\x01", "\x00") "\x05"
								 "A.b\x00 \x03"
								 "com\x00\x00\x01\x00\x01";
	struct dns_question q;

	(void)state;
	assert_int_equal(dns_parse_query((const uint8_t *)p, sizeof(p) - 1, &q), 0);
	assert_string_equal(q.name, "a?b??.com");
}

static void test_long_name(void **state)
{
	uint8_t p[DNS_QUERY_MAX] = "\x12\x34\x01\x00\x00\x01", out[DNS_PACKET_MAX];
	static const uint8_t addrs[SIDE_FRESH_MAX][4] = { { 1, 2, 3, 4 } };
	size_t len = DNS_HEAD;
	struct dns_question q;

	(void)state;
	for (int i = 0; i < 4; i++) { /* 63.63.63.61: 253 characters */
		size_t n = i < 3 ? 63 : 61;

		p[len] = (uint8_t)n;
		memset(p + len + 1, 'a', n);
		len += n + 1;
	}
	p[len + 2] = 1;
	p[len + 4] = 1;
	assert_int_equal(dns_parse_query(p, len + 5, &q), 0);
	assert_int_equal(strlen(q.name), 253);
	len = dns_build_answer(out, p, &q, DNS_NOERROR, addrs, SIDE_FRESH_MAX, 60);
	assert_true(len <= DNS_PACKET_MAX);
	assert_int_equal(out[7], SIDE_FRESH_MAX);
}

static void test_answer(void **state)
{
	static const struct {
		const char *p;
		size_t n;
		int r, rcode;
		size_t n_addrs;
		uint32_t ttl;
	} cases[] = {
#define GOOD(x, n_addrs, ttl) { x, sizeof(x) - 1, 0, DNS_NOERROR, n_addrs, ttl }
#define BAD(x) \
	{ \
		x, sizeof(x) - 1, -EBADMSG, 0, 0, 0 \
	}
		GOOD(ANSWER("\x01") A_RECORD("\xc0\x0c", "\x3c", ADDR), 1, 60),
		GOOD(ANSWER("\x02") A_RECORD("\xc0\x0c", "\x3c", ADDR) A_RECORD("\xc0\x0c", "\x05", ADDR), 2, 5),
		GOOD(ANSWER("\x00"), 0, INT32_MAX),
		/* another owner's address, an address of another class */
		GOOD(ANSWER("\x01") A_RECORD("\xc0\x10", "\x3c", ADDR), 0, INT32_MAX),
		GOOD(ANSWER("\x01") "\xc0\x0c\x00\x01\x00\x03\x00\x00\x00\x3c\x00\x04" ADDR, 0, INT32_MAX),
		/* api -> b.example.com, in either order */
		GOOD(ANSWER("\x02") "\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x07\x00\x04\x01"
				    "b\xc0\x10" A_RECORD("\x01"
							 "b\xc0\x10",
							 "\x3c", ADDR),
		     1, 7),
		GOOD(ANSWER("\x02") A_RECORD("\x01"
					     "b\xc0\x10",
					     "\x3c", ADDR) "\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x07\x00\x04\x01"
							   "b\xc0\x10",
		     1, 7),
		BAD(ANSWER("\x01") "\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x07\x00\x02\xc0\x0c"), /* its own alias */
		BAD(ANSWER("\x01") "\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x07\x00\x03\x01"
				   "b\xc0\x10"),
		BAD(ANSWER("\x01") "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x05" ADDR "x"),
		BAD(ANSWER("\x01") "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xcb\x00\x71"),
		BAD(ANSWER("\x01") A_RECORD("\xc0\x21", "\x3c", ADDR)), /* forwards */
		BAD(ANSWER("\x01") A_RECORD("\xc0\x00", "\x3c", ADDR)), /* into the head */
		BAD(ANSWER("\x02") A_RECORD("\xc0\x0c", "\x3c", ADDR)),
		BAD(HEAD("\x01\x00", "\x01", "\x00") QUESTION),
		BAD(HEAD("\x81\x80", "\x01", "\x00") "\x03"
						     "apj\x07"
						     "example\x03"
						     "com\x00\x00\x01\x00\x01"),
		BAD(HEAD("\x81\x80", "\x01", "\x00") "\x03"
						     "api\x07"
						     "example\x03"
						     "com\x00\x00\x1c\x00\x01"),
		BAD("\x12\x35\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00" QUESTION),
		BAD(""),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct dns_answer a;
		int r = dns_parse_answer((const uint8_t *)cases[i].p, cases[i].n, 0x1234, "api.example.com", &a);

		if (r != cases[i].r || (r == 0 && a.n_addrs != cases[i].n_addrs))
			print_message("# case %zu: %d\n", i, r);
		assert_int_equal(r, cases[i].r);
		if (r < 0)
			continue;
		assert_int_equal(a.rcode, cases[i].rcode);
		assert_int_equal(a.n_addrs, cases[i].n_addrs);
		assert_int_equal(a.ttl, cases[i].ttl);
	}
}

static void test_round_trip(void **state)
{
	static const uint8_t addrs[2][4] = { { 203, 0, 113, 10 }, { 203, 0, 113, 11 } };
	uint8_t query[DNS_PACKET_MAX], out[DNS_PACKET_MAX];
	size_t n = dns_build_query(query, 0x4711, "a.b.example.org");
	struct dns_question q;
	struct dns_answer a;

	(void)state;
	assert_int_equal(dns_parse_query(query, n, &q), 0);
	assert_string_equal(q.name, "a.b.example.org");
	n = dns_build_answer(out, query, &q, DNS_NOERROR, addrs, 2, 77);
	assert_int_equal(dns_parse_answer(out, n, 0x4711, "a.b.example.org", &a), 0);
	assert_int_equal(a.n_addrs, 2);
	assert_memory_equal(a.addrs, addrs, sizeof(addrs));
	assert_int_equal(a.ttl, 77);
	n = dns_build_answer(out, query, &q, DNS_NXDOMAIN, NULL, 0, 0);
	assert_int_equal(dns_parse_answer(out, n, 0x4711, "a.b.example.org", &a), 0);
	assert_int_equal(a.rcode, DNS_NXDOMAIN);
	assert_int_equal(dns_parse_answer(out, n, 0x4712, "a.b.example.org", &a), -EBADMSG);
}

static void test_cache(void **state)
{
	static const uint8_t one[1][4] = { { 1, 1, 1, 1 } }, two[1][4] = { { 2, 2, 2, 2 } };
	struct cache *c = cache_new();
	const struct name_entry *e;

	(void)state;
	cache_put(c, "a.b", one, 1, 5000, 0);
	cache_put(c, "a.b", two, 1, 5000, 4000);
	e = cache_find(c, "a.b", 4000);
	assert_int_equal(e->n_addrs, 1);
	assert_int_equal(e->addrs[0][0], 2);
	assert_int_equal(e->n_pins, 2); /* the old answer may still be dialled … */
	e = cache_find(c, "a.b", 5000 + CACHE_PIN_GRACE_MS);
	assert_int_equal(e->n_pins, 1); /* … for a while */
	for (int i = 0; i < CACHE_NAMES_MAX; i++) {
		char name[32];

		snprintf(name, sizeof(name), "n%d.example", i);
		cache_put(c, name, one, 1, 5000, 0);
	}
	assert_null(cache_find(c, "a.b", 0));
	assert_non_null(cache_find(c, "n0.example", 0));
	cache_free(c);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_query),  cmocka_unit_test(test_odd_bytes),  cmocka_unit_test(test_long_name),
		cmocka_unit_test(test_answer), cmocka_unit_test(test_round_trip), cmocka_unit_test(test_cache),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
