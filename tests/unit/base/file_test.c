/* SPDX-License-Identifier: Apache-2.0 */
/* Files below a directory, atomic writes, byte queues, option tables, and that a sandbox denies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/opt.h"
#include "base/sandbox.h"
#include "base/str.h"

static char dir[] = "/tmp/bottle-base.XXXXXX";
static int dir_fd;

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir_fd < 0;
}

static int tear_down(void **state)
{
	(void)state;
	close(dir_fd);
	return remove_tree(AT_FDCWD, dir);
}

static void test_write_and_read(void **state)
{
	_cleanup_free_ char *text = NULL;
	size_t n = 0;

	(void)state;
	assert_int_equal(mkdir_p(dir_fd, "a/b/c", 0700), 0);
	assert_int_equal(mkdir_p(dir_fd, "a/b/c", 0700), 0);
	assert_int_equal(file_write_at(dir_fd, "a/b/f", 0600, "hello", 5), 0);
	assert_int_equal(file_write_at(dir_fd, "a/b/f", 0600, "world!", 6), 0);
	assert_int_equal(file_read_at(dir_fd, "a/b/f", 5, &text, &n), -EFBIG);
	assert_int_equal(file_read_at(dir_fd, "a/b/f", 6, &text, &n), 0);
	assert_int_equal(n, 6);
	assert_string_equal(text, "world!");
	assert_int_equal(file_write_at(dir_fd, "missing/f", 0600, "x", 1), -ENOENT);
	assert_int_equal(remove_tree(dir_fd, "a"), 0);
	assert_int_equal(faccessat(dir_fd, "a", F_OK, 0), -1);
	assert_int_equal(remove_tree(dir_fd, "a"), 0);
}

/* Names from outside cannot leave the directory, by "..", absolute name or link. */
static void test_open_beneath(void **state)
{
	static const char *const bad[] = { "../etc/passwd", "/etc/passwd", "link", "sub/../../x", "dirlink/passwd" };
	int fd;

	(void)state;
	assert_int_equal(mkdir_p(dir_fd, "sub", 0700), 0);
	assert_int_equal(symlinkat("/etc/passwd", dir_fd, "link"), 0);
	assert_int_equal(symlinkat("/etc", dir_fd, "dirlink"), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_true(open_beneath(dir_fd, bad[i], O_RDONLY, 0) < 0);
	fd = open_beneath(dir_fd, "sub/f", O_RDWR | O_CREAT, 0600);
	assert_true(fd >= 0);
	close(fd);
}

/* remove_tree removes links, not what they point at. */
static void test_remove_keeps_target(void **state)
{
	(void)state;
	assert_int_equal(mkdir_p(dir_fd, "keep", 0700), 0);
	assert_int_equal(file_write_at(dir_fd, "keep/f", 0600, "x", 1), 0);
	assert_int_equal(mkdir_p(dir_fd, "victim", 0700), 0);
	assert_int_equal(symlinkat("../keep", dir_fd, "victim/link"), 0);
	assert_int_equal(remove_tree(dir_fd, "victim"), 0);
	assert_int_equal(faccessat(dir_fd, "keep/f", F_OK, 0), 0);
}

static void test_sealed(void **state)
{
	_cleanup_close_ int fd = memfd_sealed("t", "abc", 3);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "x", 1), -1);
	assert_int_equal(ftruncate(fd, 100), -1);
	assert_ptr_equal(mmap(NULL, 3, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
}

static void test_buf(void **state)
{
	_cleanup_buf_ struct buf b = { 0 };

	(void)state;
	for (int i = 0; i < 5000; i++) {
		buf_printf(&b, "%04d,", i);
		if (i % 3 == 2)
			buf_consume(&b, 10);
	}
	/* 5000 records of 5 bytes in, 1666 times 10 bytes out: the first left is number 3332. */
	assert_int_equal(buf_len(&b), 25000 - 16660);
	assert_memory_equal(buf_ptr(&b), "3332,", 5);
	assert_string_equal(buf_cstr(&b) + buf_len(&b) - 5, "4999,");
}

static void test_options(void **state)
{
	bool flag = false;
	const char *text = NULL;
	uint64_t ms = 0;
	_cleanup_strv_ char **list = NULL;
	const struct opt opts[] = {
		{ 'f', "flag", OPT_FLAG, &flag, NULL, "a flag" },
		{ 't', "text", OPT_STR, &text, "TEXT", "a text" },
		{ 0, "time", OPT_DURATION, &ms, "TIME", "a time" },
		{ 'e', "each", OPT_STRV, &list, "X", "repeats" },
		{ 0 },
	};
	const struct opt_usage usage = { "x [OPTIONS] FILE", NULL, opts, false };
	const char *good[] = { "x", "one", "-ft", "v", "--time=2s", "-ea", "-e", "b", "--", "--two", NULL };
	const char *const bad[][3] = {
		{ "--nope" }, { "--text" }, { "--flag=1" }, { "--time", "abc" }, { "-z" },
	};
	char **argv = (char **)(uintptr_t)good;
	struct err e;
	int first;

	(void)state;
	assert_int_equal(opt_parse(&usage, 10, argv, &first, &e), 0);
	assert_true(flag);
	assert_string_equal(text, "v");
	assert_int_equal(ms, 2000);
	assert_int_equal(strv_len(list), 2);
	assert_int_equal(first, 8);
	assert_string_equal(argv[8], "one");
	assert_string_equal(argv[9], "--two");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char *v[] = { argv[0], (char *)(uintptr_t)bad[i][0], (char *)(uintptr_t)bad[i][1], NULL };

		assert_int_equal(opt_parse(&usage, bad[i][1] ? 3 : 2, v, &first, &e), -EINVAL);
	}
}

static const struct sandbox_calls calls[] = { { "the least", sandbox_calls_base }, { 0 } };
static const struct sandbox_path no_paths[] = { { 0 } };
static const struct sandbox_profile profile = {
	.name = "test", .paths = no_paths, .drop_caps = true, .syscalls = calls
};

/* How a child ends that enters the profile and then calls fn. */
static int in_sandbox(int (*fn)(void))
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		struct err e;

		if (sandbox_enter(&profile, &e) < 0)
			_exit(99);
		_exit(fn());
	}
	waitpid(pid, &status, 0);
	return status;
}

static int call_nothing(void)
{
	return 5;
}

static int call_socket(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) < 0;
}

static int call_exec(void)
{
	execl("/bin/true", "true", (char *)NULL);
	return 0;
}

static void test_sandbox_denies(void **state)
{
	int status = in_sandbox(call_nothing);

	(void)state;
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 5);
	status = in_sandbox(call_socket);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	status = in_sandbox(call_exec);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write_and_read),
		cmocka_unit_test(test_open_beneath),
		cmocka_unit_test(test_remove_keeps_target),
		cmocka_unit_test(test_sealed),
		cmocka_unit_test(test_buf),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_sandbox_denies),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
