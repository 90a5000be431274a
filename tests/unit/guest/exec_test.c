/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/mem.h"
#include "guest/exec.h"

static void test_rlimit(void **state)
{
	static const struct {
		const char *spec;
		int resource; /* -1: refused */
		rlim_t soft, hard;
	} cases[] = {
		{ "nofile=1024:4096", RLIMIT_NOFILE, 1024, 4096 },
		{ "nproc=5", RLIMIT_NPROC, 5, 5 },
		{ "core=-1", RLIMIT_CORE, RLIM_INFINITY, RLIM_INFINITY },
		{ "core=0:unlimited", RLIMIT_CORE, 0, RLIM_INFINITY },
		{ "nofile=10:5", -1, 0, 0 },
		{ "nofile", -1, 0, 0 },
		{ "nofile=", -1, 0, 0 },
		{ "nofile=x", -1, 0, 0 },
		{ "nofile=1:", -1, 0, 0 },
		{ "=1", -1, 0, 0 },
		{ "", -1, 0, 0 },
		{ "unknown=1", -1, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rlimit limit = { 0 };
		struct err e = { 0 };
		int resource = -1;
		int r = exec_rlimit(cases[i].spec, &resource, &limit, &e);

		if (cases[i].resource < 0) {
			assert_true(r < 0 && strlen(e.text) > 0);
			continue;
		}
		assert_int_equal(r, 0);
		assert_int_equal(resource, cases[i].resource);
		assert_true(limit.rlim_cur == cases[i].soft && limit.rlim_max == cases[i].hard);
	}
}

static void test_lookup(void **state)
{
	char dir[] = "/tmp/bottle-exec-XXXXXX";
	_cleanup_free_ char *tool = NULL, *path_env = NULL, *missing = NULL;
	static const struct {
		const char *name;
		int code;
		const char *text; /* NULL: found */
	} cases[] = {
		{ "tool", 0, NULL },
		{ "absent", 127, "exec: \"absent\": executable file not found in $PATH" },
		{ "sub", 127, "exec: \"sub\": executable file not found in $PATH" }, /* a directory is passed over */
		{ "", 127, "exec: \"\": executable file not found in $PATH" },
		{ "/", 126, "exec: \"/\": is a directory" },
		{ "/no/such", 127, "exec: \"/no/such\": stat /no/such: no such file or directory" },
	};

	(void)state;
	assert_non_null(mkdtemp(dir));
	tool = xasprintf("%s/tool", dir);
	missing = xasprintf("%s/sub", dir);
	path_env = xasprintf("/no/such/directory:%s", dir);
	close(open(tool, O_CREAT | O_WRONLY | O_CLOEXEC, 0755));
	mkdir(missing, 0755);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *found = NULL;
		struct err e = { 0 };

		assert_int_equal(exec_lookup(cases[i].name, path_env, &found, &e), cases[i].code);
		if (cases[i].text)
			assert_string_equal(e.text, cases[i].text);
		else
			assert_string_equal(found, tool);
	}
	remove_tree(AT_FDCWD, dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rlimit),
		cmocka_unit_test(test_lookup),
	};

	return cmocka_run_group_tests_name("guest exec", tests, NULL, NULL);
}
