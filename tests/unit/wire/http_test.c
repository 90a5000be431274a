/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "wire/http.h"

/* A copy that ends where an unreadable page begins. */
static char *guarded(const char *data, size_t n, void **ret_map, size_t *ret_size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (n + page - 1) / page * page + page;
	char *map = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(map, MAP_FAILED);
	assert_int_equal(mprotect(map + room - page, page, PROT_NONE), 0);
	*ret_map = map;
	*ret_size = room;
	return n ? memcpy(map + room - page - n, data, n) : map + room - page;
}

static ssize_t parse(const char *text, size_t n, bool response, struct http_head *h)
{
	struct err e = { 0 };
	size_t size;
	void *map;
	char *p = guarded(text, n, &map, &size);
	ssize_t r = response ? http_parse_response(p, n, "GET", h, &e) : http_parse_request(p, n, h, &e);

	assert_true(r >= 0 || (e.code == -r && e.text[0]));
	munmap(map, size);
	return r;
}

static const struct {
	const char *text;
	enum http_body body;
	uint64_t length;
	bool keep_alive, upgrade, expect;
} good[] = {
	{ "GET / HTTP/1.1\r\n\r\n", HTTP_BODY_NONE, 0, true, false, false },
	{ "GET / HTTP/1.0\r\n\r\n", HTTP_BODY_NONE, 0, false, false, false },
	{ "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", HTTP_BODY_NONE, 0, true, false, false },
	{ "OPTIONS * HTTP/1.1\r\nHost: d\r\n\r\n", HTTP_BODY_NONE, 0, true, false, false },
	{ "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", HTTP_BODY_NONE, 0, true, false, false },
	{ "POST /x HTTP/1.1\r\nContent-Length: 5\r\n\r\n", HTTP_BODY_LENGTH, 5, true, false, false },
	{ "POST /x HTTP/1.1\r\nContent-Length: 5\r\ncontent-length:5\r\n\r\n", HTTP_BODY_LENGTH, 5, true, false,
	  false },
	{ "POST /x HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n", HTTP_BODY_CHUNKED, 0, true, false, false },
	{ "POST /x HTTP/1.1\r\nConnection: close\r\n\r\n", HTTP_BODY_NONE, 0, false, false, false },
	{ "POST /x HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n", HTTP_BODY_NONE, 0, true, true, false },
	{ "POST /x HTTP/1.1\r\nConnection: keep-alive , upgrade\r\nUpgrade: tcp\r\n\r\n", HTTP_BODY_NONE, 0, true, true,
	  false },
	{ "POST /x HTTP/1.1\r\nUpgrade: tcp\r\n\r\n", HTTP_BODY_NONE, 0, true, false, false },
	{ "PUT /x HTTP/1.1\r\nExpect: 100-Continue\r\n\r\n", HTTP_BODY_NONE, 0, true, false, true },
	{ "GET /a HTTP/1.1\r\nX: \t a\tb \xc3\xa9 \t\r\nEmpty:\r\n\r\n", HTTP_BODY_NONE, 0, true, false, false },
};

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		size_t n = strlen(good[i].text);
		struct http_head h;

		for (size_t k = 0; k < n; k++)
			assert_int_equal(parse(good[i].text, k, false, &h), 0);
		assert_int_equal(parse(good[i].text, n, false, &h), n);
		assert_int_equal(h.body, good[i].body);
		assert_int_equal(h.content_length, good[i].length);
		assert_int_equal(h.keep_alive, good[i].keep_alive);
		assert_int_equal(h.upgrade, good[i].upgrade);
		assert_int_equal(h.expect_continue, good[i].expect);
	}
}

static const char *const bad[] = {
	"\r\nGET / HTTP/1.1\r\n\r\n",
	"GET / HTTP/1.1\n\n",
	"GET / HTTP/1.1\r\nA: b\n\r\n",
	"GET / HTTP/1.1\r\nA: b\rc\r\n\r\n",
	"GET / HTTP/1.1\r\nA: b\r\r\n\r\n",
	"GET / HTTP/1.2\r\n\r\n",
	"GET / HTTP/2.0\r\n\r\n",
	"GET / http/1.1\r\n\r\n",
	"GET /\r\n\r\n",
	"GET  / HTTP/1.1\r\n\r\n",
	"GET / HTTP/1.1 \r\n\r\n",
	"GET /a b HTTP/1.1\r\n\r\n",
	"GET\t/ HTTP/1.1\r\n\r\n",
	" GET / HTTP/1.1\r\n\r\n",
	"G(T / HTTP/1.1\r\n\r\n",
	"GET /\xc3\xa9 HTTP/1.1\r\n\r\n",
	"GET / HTTP/1.1\r\nA : b\r\n\r\n",
	"GET / HTTP/1.1\r\n: b\r\n\r\n",
	"GET / HTTP/1.1\r\nA b\r\n\r\n",
	"GET / HTTP/1.1\r\nA\r\n\r\n",
	"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
	"GET / HTTP/1.1\r\n\tA: b\r\n\r\n",
	"GET / HTTP/1.1\r\nA: \x01\r\n\r\n",
	"GET / HTTP/1.1\r\nA: \x7f\r\n\r\n",
	"GET / HTTP/1.1\r\nA\xc3: b\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
	"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
	"POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n",
	"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
	"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
	"POST / HTTP/1.1\r\nContent-Length: 0x1\r\n\r\n",
	"POST / HTTP/1.1\r\nContent-Length:\r\n\r\n",
	"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
	"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
	"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
	"POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n",
	"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
	"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
	"\x16\x03\x01",
};

static void test_bad(void **state)
{
	static const char nul[] = "GET / HTTP/1.1\r\nA: \0b\r\n\r\n";
	struct http_head h;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (parse(bad[i], strlen(bad[i]), false, &h) != -EBADMSG)
			fail_msg("accepted: %s", bad[i]);
	assert_int_equal(parse(nul, sizeof(nul) - 1, false, &h), -EBADMSG);
}

static void test_slices(void **state)
{
	static const char text[] = "GET /a?b HTTP/1.1\r\nHost: h\r\nX-A:  v w \t\r\nx-a: second\r\n\r\nrest";
	struct http_head h;

	(void)state;
	assert_int_equal(http_parse_request(text, strlen(text), &h, NULL), strlen(text) - 4);
	assert_true(slice_eq(h.method, "GET") && slice_eq(h.target, "/a?b") && slice_eq(h.host, "h"));
	assert_int_equal(h.n_headers, 3);
	assert_true(slice_eq(http_find(&h, "X-a")->value, "v w"));
	assert_null(http_find(&h, "X"));
}

static void test_limits(void **state)
{
	_cleanup_buf_ struct buf many = { 0 }, longest = { 0 };
	struct http_head h;

	(void)state;
	buf_puts(&many, "GET / HTTP/1.1\r\n");
	for (int i = 0; i < HTTP_HEADERS_MAX; i++)
		buf_printf(&many, "A%d: b\r\n", i);
	assert_int_equal(http_parse_request(buf_ptr(&many), buf_len(&many), &h, NULL), 0);
	buf_puts(&many, "B: b\r\n\r\n");
	assert_int_equal(http_parse_request(buf_ptr(&many), buf_len(&many), &h, NULL), -EMSGSIZE);

	buf_puts(&longest, "GET /");
	memset(buf_reserve(&longest, HTTP_HEAD_MAX), 'a', HTTP_HEAD_MAX);
	buf_commit(&longest, 70000);
	buf_puts(&longest, " HTTP/1.1\r\n\r\n");
	assert_int_equal(http_parse_request(buf_ptr(&longest), buf_len(&longest), &h, NULL), buf_len(&longest));
	buf_clear(&longest);
	buf_puts(&longest, "GET /");
	memset(buf_reserve(&longest, HTTP_HEAD_MAX), 'a', HTTP_HEAD_MAX);
	buf_commit(&longest, HTTP_HEAD_MAX - 6);
	assert_int_equal(http_parse_request(buf_ptr(&longest), buf_len(&longest), &h, NULL), 0);
	buf_puts(&longest, "a");
	assert_int_equal(http_parse_request(buf_ptr(&longest), buf_len(&longest), &h, NULL), -EMSGSIZE);
}

static const struct {
	const char *text, *method;
	ssize_t r; /* 0: its whole length */
	int status;
	enum http_body body;
	bool keep_alive;
} responses[] = {
	{ "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "GET", 0, 200, HTTP_BODY_LENGTH, true },
	{ "HTTP/1.1 200 OK\r\n\r\n", "GET", 0, 200, HTTP_BODY_EOF, false },
	{ "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n", "GET", 0, 200, HTTP_BODY_CHUNKED, true },
	{ "HTTP/1.1 200 \r\n\r\n", NULL, 0, 200, HTTP_BODY_EOF, false },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "HEAD", 0, 200, HTTP_BODY_NONE, true },
	{ "HTTP/1.1 200 OK\r\n\r\n", "CONNECT", 0, 200, HTTP_BODY_NONE, true },
	{ "HTTP/1.1 407 No\r\nContent-Length: 1\r\n\r\n", "CONNECT", 0, 407, HTTP_BODY_LENGTH, true },
	{ "HTTP/1.1 204 No Content\r\n\r\n", "GET", 0, 204, HTTP_BODY_NONE, true },
	{ "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "GET", 0, 304, HTTP_BODY_NONE, true },
	{ "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n", "POST", 0, 101, HTTP_BODY_NONE,
	  true },
	{ "HTTP/1.1 99 OK\r\n\r\n", "GET", -EBADMSG, 0, 0, false },
	{ "HTTP/1.1 0200 OK\r\n\r\n", "GET", -EBADMSG, 0, 0, false },
	{ "HTTP/1.1 20x OK\r\n\r\n", "GET", -EBADMSG, 0, 0, false },
	{ "HTTP/1.1  200 OK\r\n\r\n", "GET", -EBADMSG, 0, 0, false },
	{ "HTTP/3.0 200 OK\r\n\r\n", "GET", -EBADMSG, 0, 0, false },
	{ "ICY 200 OK\r\n\r\n", "GET", -EBADMSG, 0, 0, false },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", "GET", -EBADMSG, 0, 0, false },
};

static void test_responses(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(responses); i++) {
		size_t n = strlen(responses[i].text);
		struct http_head h;
		ssize_t r = http_parse_response(responses[i].text, n, responses[i].method, &h, NULL);

		if (r != (responses[i].r ? responses[i].r : (ssize_t)n))
			fail_msg("%zd from: %s", r, responses[i].text);
		if (r < 0)
			continue;
		assert_int_equal(h.status, responses[i].status);
		assert_int_equal(h.body, responses[i].body);
		assert_int_equal(h.keep_alive, responses[i].keep_alive);
		for (size_t k = 0; k < n; k++)
			assert_int_equal(parse(responses[i].text, k, true, &h), 0);
	}
}

/* Decodes in pieces of step bytes; returns 1 done, 0 more, or -EBADMSG. rest: what was not used. */
static int decode(const char *text, size_t step, struct buf *out, size_t *ret_rest)
{
	struct chunked c = { 0 };
	size_t n = strlen(text), at = 0;
	bool done = false;

	while (at < n && !done) {
		size_t piece = n - at < step ? n - at : step;
		struct slice body;
		ssize_t r = chunked_decode(&c, text + at, piece, &body, &done);

		if (r < 0)
			return (int)r;
		assert_true(r > 0 && (size_t)r <= piece);
		buf_append(out, body.p, body.n);
		at += (size_t)r;
	}
	*ret_rest = n - at;
	return done;
}

static void test_chunked(void **state)
{
	static const struct {
		const char *text;
		int r;
		const char *body;
		size_t rest;
	} cases[] = {
		{ "5\r\nhello\r\n0\r\n\r\n", 1, "hello", 0 },
		{ "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET", 1, "hello world", 3 },
		{ "00a;x=\"y\"\r\n0123456789\r\n0;last\r\nA: b\r\nC: d\r\n\r\n", 1, "0123456789", 0 },
		{ "0\r\n\r\n", 1, "", 0 },
		{ "5\r\nhel", 0, "hel", 0 },
		{ "\r\n", -EBADMSG, "", 0 },
		{ "5\nhello\r\n", -EBADMSG, "", 0 },
		{ "5 \r\nhello\r\n", -EBADMSG, "", 0 },
		{ " 5\r\nhello\r\n", -EBADMSG, "", 0 },
		{ "0x5\r\nhello\r\n", -EBADMSG, "", 0 },
		{ "-1\r\n", -EBADMSG, "", 0 },
		{ "5\r\nhelloX", -EBADMSG, "hello", 0 },
		{ "5\r\nhello\n0\r\n\r\n", -EBADMSG, "hello", 0 },
		{ "fffffffffffffffff\r\n", -EBADMSG, "", 0 },
		{ "0\r\nA: b\n\r\n", -EBADMSG, "", 0 },
		{ "0\r\n A: b\r\n\r\n", -EBADMSG, "", 0 },
		{ "5;\x01\r\nhello", -EBADMSG, "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (size_t step = 1; step < 40; step++) {
			_cleanup_buf_ struct buf out = { 0 };
			size_t rest = 0;

			if (decode(cases[i].text, step, &out, &rest) != cases[i].r)
				fail_msg("case %zu, step %zu", i, step);
			if (cases[i].r >= 0) {
				assert_string_equal(buf_cstr(&out), cases[i].body);
				assert_int_equal(rest, cases[i].rest);
			}
		}
	}
}

static void test_chunked_limits(void **state)
{
	_cleanup_buf_ struct buf line = { 0 }, trailer = { 0 }, out = { 0 };
	size_t rest;

	(void)state;
	buf_puts(&line, "5;");
	for (int i = 0; i < CHUNK_LINE_MAX; i++)
		buf_puts(&line, "x");
	assert_int_equal(decode(buf_cstr(&line), 7, &out, &rest), -EBADMSG);
	buf_puts(&trailer, "0\r\n");
	for (int i = 0; i < 5000; i++)
		buf_puts(&trailer, "A: b\r\n");
	assert_int_equal(decode(buf_cstr(&trailer), 4096, &out, &rest), -EBADMSG);
}

static void test_chunked_round_trip(void **state)
{
	_cleanup_buf_ struct buf coded = { 0 }, plain = { 0 }, out = { 0 };
	size_t rest;

	(void)state;
	for (int i = 1; i < 40; i++) {
		_cleanup_free_ char *part = xasprintf("%*d", i * 7, i);

		chunked_encode(&coded, part, strlen(part));
		buf_puts(&plain, part);
	}
	chunked_encode(&coded, NULL, 0);
	assert_int_equal(decode(buf_cstr(&coded), 13, &out, &rest), 1);
	assert_string_equal(buf_cstr(&out), buf_cstr(&plain));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),           cmocka_unit_test(test_bad),
		cmocka_unit_test(test_slices),         cmocka_unit_test(test_limits),
		cmocka_unit_test(test_responses),      cmocka_unit_test(test_chunked),
		cmocka_unit_test(test_chunked_limits), cmocka_unit_test(test_chunked_round_trip),
	};

	return cmocka_run_group_tests_name("wire/http", tests, NULL, NULL);
}
