/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "sidecar/egress/hello.h"
#include "tests/unit/sidecar/openssl_hello.h"

#define NAME_EXT \
	"\x00\x00\x00\x0c\x00\x0a\x00\x00\x07" \
	"a.bc.de"
#define ALPN_EXT "\x00\x10\x00\x05\x00\x03\x02h2"
#define ECH_EXT  "\xfe\x0d\x00\x01\x00"

static void put_number(struct buf *b, size_t v, size_t bytes)
{
	while (bytes--) {
		char c = (char)(v >> 8 * bytes);

		buf_append(b, &c, 1);
	}
}

/* A handshake message with these extensions. */
static void build_hello(struct buf *msg, const char *exts, size_t n)
{
	static const char zero[32];

	put_number(msg, 1, 1);
	put_number(msg, 2 + 32 + 1 + 4 + 2 + 2 + n, 3);
	put_number(msg, 0x0303, 2);
	buf_append(msg, zero, 32);
	put_number(msg, 0, 1);
	put_number(msg, 2, 2);
	put_number(msg, 0x1301, 2);
	put_number(msg, 0x0100, 2);
	put_number(msg, n, 2);
	buf_append(msg, exts, n);
}

static void put_records(struct buf *out, const struct buf *msg, size_t step)
{
	for (size_t i = 0; i < buf_len(msg); i += step) {
		size_t n = buf_len(msg) - i < step ? buf_len(msg) - i : step;

		put_number(out, 0x160301, 3);
		put_number(out, n, 2);
		buf_append(out, buf_ptr(msg) + i, n);
	}
}

static int parse(const struct buf *b, char name[HOST_MAX + 1], const char **why)
{
	return hello_parse((const uint8_t *)buf_ptr(b), buf_len(b), name, why);
}

static void test_openssl(void **state)
{
	char name[HOST_MAX + 1];
	const char *why = NULL;

	(void)state;
	assert_int_equal(hello_parse(openssl_hello, sizeof(openssl_hello), name, &why), 1);
	assert_string_equal(name, "api.example.com");
	for (size_t n = 0; n < sizeof(openssl_hello); n++)
		assert_int_equal(hello_parse(openssl_hello, n, name, &why), 0);
}

static void test_extensions(void **state)
{
#define ROW(x, r, why) \
	{ \
		x, sizeof(x) - 1, r, why \
	}
	static const struct {
		const char *exts;
		size_t n;
		int r;
		const char *why;
	} cases[] = {
		ROW(NAME_EXT, 1, NULL),
		ROW(ALPN_EXT NAME_EXT, 1, NULL),
		ROW(NAME_EXT ALPN_EXT, 1, NULL),
		ROW("", -EBADMSG, "no server name"),
		ROW(ALPN_EXT, -EBADMSG, "no server name"),
		ROW(NAME_EXT NAME_EXT, -EBADMSG, "repeats"),
		ROW(NAME_EXT ALPN_EXT ALPN_EXT, -EBADMSG, "repeats"),
		ROW(NAME_EXT ECH_EXT, -EBADMSG, "ECH"),
		ROW(ECH_EXT NAME_EXT, -EBADMSG, "ECH"),
		ROW("\x00\x00\x00\x0c\x00\x0a\x00\x00\x03"
		    "a.b"
		    "\x00\x00\x01"
		    "c",
		    -EBADMSG, "more than one"),
		ROW("\x00\x00\x00\x0c\x00\x0a\x01\x00\x07"
		    "a.bc.de",
		    -EBADMSG, "malformed"),
		ROW("\x00\x00\x00\x0c\x00\x0a\x00\x00\x07"
		    "1.2.3.4",
		    -EBADMSG, "address"),
		ROW("\x00\x00\x00\x0c\x00\x0a\x00\x00\x07"
		    "a.b\0.de",
		    -EBADMSG, "no host name"),
		ROW("\x00\x00\x00\x05\x00\x03\x00\x00\x00", -EBADMSG, "no host name"),
		ROW("\x00\x00\x00\x00", -EBADMSG, "malformed"),
		ROW("\x00\x00\x00\x0d\x00\x0a\x00\x00\x07"
		    "a.bc.de"
		    "x",
		    -EBADMSG, "malformed"),
		ROW(NAME_EXT "\x00", -EBADMSG, "malformed"),
		ROW(NAME_EXT "\x00\x10\x00\xff", -EBADMSG, "malformed"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_buf_ struct buf msg = { 0 }, raw = { 0 };
		char name[HOST_MAX + 1];
		const char *why = "";
		int r;

		build_hello(&msg, cases[i].exts, cases[i].n);
		put_records(&raw, &msg, 16384);
		r = parse(&raw, name, &why);
		if (r != cases[i].r || (r < 0 && !strstr(why, cases[i].why)))
			print_message("# case %zu: %d %s\n", i, r, why);
		assert_int_equal(r, cases[i].r);
		if (r < 0)
			assert_non_null(strstr(why, cases[i].why));
		else
			assert_string_equal(name, "a.bc.de");
	}
}

/* Whatever its records and prefix: incomplete until the last byte, then the same name. */
static void test_crumbs(void **state)
{
	static const size_t steps[] = { 1, 2, 3, 7, 50 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		_cleanup_buf_ struct buf msg = { 0 }, raw = { 0 };
		char name[HOST_MAX + 1];
		const char *why;

		build_hello(&msg, ALPN_EXT NAME_EXT, sizeof(ALPN_EXT NAME_EXT) - 1);
		put_records(&raw, &msg, steps[i]);
		for (size_t n = 0; n < buf_len(&raw); n++)
			assert_int_equal(hello_parse((const uint8_t *)buf_ptr(&raw), n, name, &why), 0);
		assert_int_equal(parse(&raw, name, &why), 1);
		assert_string_equal(name, "a.bc.de");
	}
}

static void test_sizes(void **state)
{
	_cleanup_buf_ struct buf exts = { 0 }, msg = { 0 }, raw = { 0 };
	static const char zero[15000];
	char name[HOST_MAX + 1];
	const char *why = "";

	(void)state;
	/* A large key share in front of the name. */
	put_number(&exts, 51, 2);
	put_number(&exts, sizeof(zero), 2);
	buf_append(&exts, zero, sizeof(zero));
	buf_append(&exts, NAME_EXT, sizeof(NAME_EXT) - 1);
	build_hello(&msg, buf_ptr(&exts), buf_len(&exts));
	put_records(&raw, &msg, 1000);
	assert_int_equal(parse(&raw, name, &why), 1);
	buf_clear(&raw);
	put_records(&raw, &msg, 2);
	assert_int_equal(hello_parse((const uint8_t *)buf_ptr(&raw), HELLO_RAW_MAX + 1, name, &why), -EBADMSG);
	/* 16 MiB announced. */
	assert_int_equal(hello_parse((const uint8_t *)"\x16\x03\x01\x40\x00\x01\xff\xff\xff", 9, name, &why), -EBADMSG);
	assert_non_null(strstr(why, "too long"));
	/* An empty record, another type in between, something behind it. */
	assert_int_equal(hello_parse((const uint8_t *)"\x16\x03\x01\x00\x00", 5, name, &why), -EBADMSG);
	assert_int_equal(hello_parse((const uint8_t *)"\x16\x03\x01\x00\x01\x01\x17", 7, name, &why), -EBADMSG);
	assert_int_equal(hello_parse((const uint8_t *)"\x16\x03\x01\x00\x04\x02\x00\x00\x00", 9, name, &why), -EBADMSG);
	assert_int_equal(hello_parse((const uint8_t *)"GET / HTTP", 10, name, &why), -EBADMSG);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_openssl),
		cmocka_unit_test(test_extensions),
		cmocka_unit_test(test_crumbs),
		cmocka_unit_test(test_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
