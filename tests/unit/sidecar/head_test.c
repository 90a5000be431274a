/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "sidecar/egress/head.h"

static void test_target(void **state)
{
#define H(line, host) line " HTTP/1.1\r\nHost: " host "\r\n\r\n"
	static const struct {
		bool proxy;
		const char *head;
		int cls; /* -1: good */
		const char *host;
		uint16_t port;
		const char *path;
	} cases[] = {
		{ true, H("GET http://A.example/x?y", "a.example"), -1, "a.example", 80, "/x?y" },
		{ true, H("GET HTTP://a.example", "a.example:80"), -1, "a.example", 80, "/" },
		{ true, H("GET http://a.example:8080/", "a.example:8080"), -1, "a.example", 8080, "/" },
		{ true, "GET http://a.example/ HTTP/1.0\r\n\r\n", -1, "a.example", 80, "/" },
		{ true, H("CONNECT a.example:443", "a.example:443"), -1, "a.example", 443, "" },
		{ true, H("CONNECT a.example:443", "a.example"), -1, "a.example", 443, "" },
		{ true, "CONNECT a.example:443 HTTP/1.1\r\n\r\n", -1, "a.example", 443, "" },
		{ false, H("GET /x", "a.example"), -1, "a.example", 80, "/x" },
		{ false, H("OPTIONS *", "a.example"), -1, "a.example", 80, "*" },
		{ false, H("GET http://a.example/x", "a.example"), -1, "a.example", 80, "/x" },
		{ true, H("GET http://a.example/", "b.example"), ERR_DENIED, NULL, 0, NULL },
		{ true, H("GET http://a.example/", "a.example:81"), ERR_DENIED, NULL, 0, NULL },
		{ true, H("CONNECT a.example:443", "b.example:443"), ERR_DENIED, NULL, 0, NULL },
		{ true, H("CONNECT a.example:443", "a.example:80"), ERR_DENIED, NULL, 0, NULL },
		{ true, H("GET http://127.0.0.1/", "127.0.0.1"), ERR_DENIED, NULL, 0, NULL },
		{ true, H("GET http://0x7f.1/", "0x7f.1"), ERR_DENIED, NULL, 0, NULL },
		{ true, H("GET http://[::1]:80/", "[::1]"), ERR_DENIED, NULL, 0, NULL },
		{ true, H("CONNECT [::1]:443", "[::1]:443"), ERR_DENIED, NULL, 0, NULL },
		{ true, H("GET http://u@a.example/", "a.example"), ERR_INVALID, NULL, 0, NULL },
		{ true, H("GET http://b.example@a.example/", "a.example"), ERR_INVALID, NULL, 0, NULL },
		{ true, H("GET http://a.example\\@b.example/", "a.example"), ERR_INVALID, NULL, 0, NULL },
		{ true, H("GET http://a.example#x/", "a.example"), ERR_INVALID, NULL, 0, NULL },
		{ true, H("GET http://a.example?x", "a.example"), ERR_INVALID, NULL, 0, NULL },
		{ true, H("GET https://a.example/", "a.example"), ERR_INVALID, NULL, 0, NULL },
		{ true, H("GET /x", "a.example"), ERR_INVALID, NULL, 0, NULL },
		{ true, H("GET http://a.example:/", "a.example"), ERR_INVALID, NULL, 0, NULL },
		{ true, H("GET http://a.example:0/", "a.example"), ERR_INVALID, NULL, 0, NULL },
		{ true, H("GET http://a.example:65536/", "a.example"), ERR_INVALID, NULL, 0, NULL },
		{ true, H("GET http://a.example:+80/", "a.example"), ERR_INVALID, NULL, 0, NULL },
		{ true, H("CONNECT a.example", "a.example"), ERR_INVALID, NULL, 0, NULL },
		{ true, H("GET http:///", ""), ERR_INVALID, NULL, 0, NULL },
		{ true, "GET http://a.example/ HTTP/1.1\r\n\r\n", ERR_INVALID, NULL, 0, NULL },
		{ true, "CONNECT a.example:443 HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", ERR_INVALID, NULL, 0, NULL },
		{ false, H("CONNECT a.example:80", "a.example:80"), ERR_INVALID, NULL, 0, NULL },
		{ false, H("GET x", "a.example"), ERR_INVALID, NULL, 0, NULL },
		{ false, H("GET *", "a.example"), ERR_INVALID, NULL, 0, NULL },
		{ false, "GET / HTTP/1.0\r\n\r\n", ERR_INVALID, NULL, 0, NULL },
		{ false, H("GET /", "a.example:8080"), ERR_DENIED, NULL, 0, NULL },
		{ false, H("GET /", "a.example\r\nConnection: upgrade\r\nUpgrade: websocket"), ERR_DENIED, NULL, 0,
		  NULL },
		{ false, H("GET /", "a.example\r\nConnection: upgrade\r\nUpgrade: h2c"), -1, "a.example", 80, "/" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err e = { 0 };
		struct http_head h;
		struct target t = { 0 };
		int r;

		if (http_parse_request(cases[i].head, strlen(cases[i].head), &h, &e) <= 0) {
			assert_int_equal(cases[i].cls, ERR_INVALID); /* the parser was there first */
			continue;
		}
		r = head_target(&h, cases[i].proxy, 80, &t, &e);
		if ((r < 0 ? (int)e.cls : -1) != cases[i].cls)
			print_message("# case %zu: %d %s\n", i, r, e.text);
		assert_int_equal(r < 0 ? (int)e.cls : -1, cases[i].cls);
		if (r < 0)
			continue;
		assert_string_equal(t.host, cases[i].host);
		assert_int_equal(t.port, cases[i].port);
		assert_true(slice_eq(t.path, cases[i].path));
	}
}

static void test_request(void **state)
{
	static const char in[] =
		"POST http://a.example:81/p HTTP/1.1\r\nHost: a.example:81\r\nConnection: x-one , X-Two\r\n"
		"X-One: 1\r\nx-two: 2\r\nX-Three: 3\r\nKeep-Alive: 5\r\nProxy-Authorization: s\r\nTE: trailers\r\n"
		"Upgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n";
	static const char want[] = "POST /p HTTP/1.1\r\nHost: a.example:81\r\nX-Three: 3\r\n"
				   "Transfer-Encoding: chunked\r\n\r\n";
	_cleanup_buf_ struct buf out = { 0 };
	struct http_head h;
	struct target t;

	(void)state;
	assert_true(http_parse_request(in, sizeof(in) - 1, &h, NULL) > 0);
	assert_int_equal(head_target(&h, true, 80, &t, NULL), 0);
	head_request(&h, &t, &out);
	assert_string_equal(buf_cstr(&out), want);
}

static void test_response(void **state)
{
	static const char in[] = "HTTP/1.1 200 Fine\r\nConnection: close\r\nProxy-Authenticate: x\r\nETag: \"e\"\r\n"
				 "Content-Length: 5\r\n\r\n";
	static const char want[] =
		"HTTP/1.1 200 Fine\r\nETag: \"e\"\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n";
	_cleanup_buf_ struct buf out = { 0 }, head = { 0 };
	struct http_head h;

	(void)state;
	assert_true(http_parse_response(in, sizeof(in) - 1, "GET", &h, NULL) > 0);
	head_response(&h, h.body, true, &out);
	assert_string_equal(buf_cstr(&out), want);
	assert_true(http_parse_response(in, sizeof(in) - 1, "HEAD", &h, NULL) > 0);
	head_response(&h, h.body, true, &head);
	assert_string_equal(buf_cstr(&head), want);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_target),
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_response),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
