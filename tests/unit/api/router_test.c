/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>

#include "api/conn.h"
#include "base/mem.h"
#include "base/str.h"

static void free_args(char *args[REQUEST_ARGS_MAX])
{
	for (size_t i = 0; i < REQUEST_ARGS_MAX; i++) {
		free(args[i]);
		args[i] = NULL;
	}
}

static void test_patterns(void **state)
{
	static const struct {
		const char *pattern, *path;
		bool match;
		const char *arg0, *arg1;
	} cases[] = {
		{ "/info", "/info", true, NULL, NULL },
		{ "/info", "/info/", false, NULL, NULL },
		{ "/info", "/inf", false, NULL, NULL },
		{ "/info", "/information", false, NULL, NULL },
		{ "/containers/{name}/json", "/containers/a/json", true, "a", NULL },
		{ "/containers/{name}/json", "/containers//json", false, NULL, NULL },
		{ "/containers/{name}/json", "/containers/json", false, NULL, NULL },
		{ "/images/{name}/json", "/images/127.0.0.1:5000/me/hw:1/json", true, "127.0.0.1:5000/me/hw:1", NULL },
		{ "/images/{name}/json", "/images/a/json/json", true, "a/json", NULL },
		{ "/images/{name}/json", "/images/a/jsonx", false, NULL, NULL },
		{ "/images/{name}", "/images/a/b/c", true, "a/b/c", NULL },
		{ "/images/{name}", "/images/", false, NULL, NULL },
		{ "/a/{x}/b/{y}", "/a/1/b/2", true, "1", "2" },
		{ "/a/{x}/b/{y}", "/a/1/b/b/b/2", true, "1/b/b", "2" },
		{ "/a/{x}/b/{y}/c", "/a/1/b/2", false, NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *args[REQUEST_ARGS_MAX] = { NULL };

		if (pattern_match(cases[i].pattern, cases[i].path, args) != cases[i].match)
			fail_msg("%s against %s", cases[i].path, cases[i].pattern);
		assert_int_equal(args[0] == NULL, cases[i].arg0 == NULL);
		assert_true(!args[0] || str_eq(args[0], cases[i].arg0));
		assert_int_equal(args[1] == NULL, cases[i].arg1 == NULL);
		assert_true(!args[1] || str_eq(args[1], cases[i].arg1));
		free_args(args);
	}
}

static void test_versions(void **state)
{
	static const struct {
		const char *path, *rest;
		int version; /* 0: refused */
	} cases[] = {
		{ "/info", "/info", API_VERSION_MAX },
		{ "/v1.41/info", "/info", 141 },
		{ "/v1.22/info", "/info", 122 },
		{ "/v1.50/info", "/info", 150 },
		{ "/v1.51/info", "", 0 },
		{ "/v1.99/info", "", 0 },
		{ "/v2.0/info", "", 0 },
		{ "/v1.21/info", "", 0 },
		{ "/v1.1/info", "", 0 },
		{ "/v0.99/info", "", 0 },
		{ "/v4.3.1/libpod/_ping", "/libpod/_ping", API_VERSION_MAX },
		{ "/v4.3.1/info", "", 0 },
		{ "/version", "/version", API_VERSION_MAX },
		{ "/volumes", "/volumes", API_VERSION_MAX },
		{ "/v1/info", "/v1/info", API_VERSION_MAX },
		{ "/v1.x/info", "/v1.x/info", API_VERSION_MAX },
		{ "/v1.41", "", 141 },
		{ "/v99999.1/info", "/v99999.1/info", API_VERSION_MAX },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *path = xstrdup(cases[i].path);
		struct err e = { 0 };
		char *at = path;
		int version = 0, r = version_strip(&at, &version, &e);

		if ((r < 0) != (cases[i].version == 0))
			fail_msg("%s: %s", cases[i].path, e.text);
		if (r < 0) {
			assert_int_equal(e.cls, ERR_INVALID);
			continue;
		}
		assert_int_equal(version, cases[i].version);
		assert_string_equal(at, cases[i].rest);
	}
}

static void nothing(struct request *r)
{
	(void)r;
}

static void test_table(void **state)
{
	static const struct route table[] = {
		{ "GET", "/images/json", ROUTE_NONE, nothing },
		{ "GET", "/images/{name}/json", ROUTE_NONE, nothing },
		{ "HEAD", "/_ping", ROUTE_NONE, nothing },
		{ "GET", "/_ping", ROUTE_NONE, nothing },
		{ "DELETE", "/images/{name}", ROUTE_NONE, nothing },
		{ NULL, NULL, ROUTE_NONE, NULL },
	};
	static const struct {
		const char *method, *path;
		int row; /* -1: none */
	} cases[] = {
		{ "GET", "/images/json", 0 },     { "GET", "/images/a/json", 1 },
		{ "HEAD", "/images/a/json", 1 },  { "HEAD", "/_ping", 2 },
		{ "GET", "/_ping", 3 },           { "DELETE", "/images/x/y", 4 },
		{ "POST", "/_ping", -1 },         { "GET", "/images/a", -1 },
		{ "get", "/_ping", -1 },          { "GET", "", -1 },
		{ "HEAD", "/images/delete", -1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *args[REQUEST_ARGS_MAX] = { NULL };
		const struct route *r = route_find(table, cases[i].method, cases[i].path, args);

		if (r != (cases[i].row < 0 ? NULL : &table[cases[i].row]))
			fail_msg("%s %s", cases[i].method, cases[i].path);
		free_args(args);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_patterns),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests_name("api/router", tests, NULL, NULL);
}
