/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "guest/users.h"

static const char passwd[] = "# comment\n"
			     "broken line\n"
			     "root:x:0:0:root:/root:/bin/sh\n"
			     "negative:x:-1:1::/:\n"
			     "www:x:33:33:with:/var/www:/sbin/nologin\n"
			     "1001:x:2002:2002::/digits:/bin/sh\n"
			     "nohome:x:50:51:::\n"
			     "last:x:7:8::/last:/bin/sh:extra:fields";
static const char group[] = "root:x:0:\nwww:x:33:\nadm:x:4:www,last\nshadow:x:42:other,www\nlast:x:8:\n";

static void test_resolve(void **state)
{
	static const struct {
		const char *spec, *add, *home;
		uid_t uid;
		gid_t gid;
		gid_t groups[4];
		size_t n;
	} cases[] = {
		{ "", NULL, "/root", 0, 0, { 0 }, 1 },
		{ "root", NULL, "/root", 0, 0, { 0 }, 1 },
		{ "0", NULL, "/root", 0, 0, { 0 }, 1 },
		{ "www", NULL, "/var/www", 33, 33, { 33, 4, 42 }, 3 },
		{ "33", NULL, "/var/www", 33, 33, { 33, 4, 42 }, 3 },
		{ "www:adm", NULL, "/var/www", 33, 4, { 4 }, 1 },
		{ "www:4242", NULL, "/var/www", 33, 4242, { 4242 }, 1 },
		{ "www:", NULL, "/var/www", 33, 33, { 33, 4, 42 }, 3 },
		{ ":adm", NULL, "/root", 0, 4, { 4 }, 1 },
		{ "12345", NULL, "/", 12345, 0, { 0 }, 1 },
		{ "12345:33", "adm", "/", 12345, 33, { 33, 4 }, 2 },
		{ "www:adm", "adm", "/var/www", 33, 4, { 4 }, 1 },
		{ "1001", NULL, "/digits", 2002, 2002, { 2002 }, 1 },
		{ "nohome", NULL, "/", 50, 51, { 51 }, 1 },
		{ "last", "77", "/last", 7, 8, { 8, 4, 77 }, 3 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *add[] = { (char *)(uintptr_t)cases[i].add, NULL };
		struct user u;

		assert_int_equal(user_resolve(cases[i].spec, add, passwd, group, &u, NULL), 0);
		assert_int_equal(u.uid, cases[i].uid);
		assert_int_equal(u.gid, cases[i].gid);
		assert_string_equal(u.home, cases[i].home);
		assert_int_equal(u.n_groups, cases[i].n);
		assert_memory_equal(u.groups, cases[i].groups, cases[i].n * sizeof(gid_t));
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *spec, *add, *text;
	} cases[] = {
		{ "ghost", NULL, "unable to find user ghost: no matching entries in passwd file" },
		{ "negative", NULL, "unable to find user negative: no matching entries in passwd file" },
		{ "www:ghosts", NULL, "unable to find group ghosts: no matching entries in group file" },
		{ "www", "ghosts", "unable to find group ghosts: no matching entries in group file" },
		{ "99999999999", NULL, "unable to find user 99999999999: no matching entries in passwd file" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *add[] = { (char *)(uintptr_t)cases[i].add, NULL };
		struct err e = { 0 };
		struct user u;

		assert_int_equal(user_resolve(cases[i].spec, add, passwd, group, &u, &e), -ENOENT);
		assert_string_equal(e.text, cases[i].text);
	}
}

static void test_no_files(void **state)
{
	struct user u;

	(void)state;
	assert_int_equal(user_resolve(NULL, NULL, NULL, NULL, &u, NULL), 0);
	assert_int_equal(u.uid, 0);
	assert_string_equal(u.home, "/");
	assert_int_equal(user_resolve("5:6", NULL, NULL, NULL, &u, NULL), 0);
	assert_int_equal(u.uid, 5);
	assert_int_equal(u.gid, 6);
	assert_int_equal(user_resolve("name", NULL, NULL, NULL, &u, NULL), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_resolve),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_no_files),
	};

	return cmocka_run_group_tests_name("guest users", tests, NULL, NULL);
}
