/* SPDX-License-Identifier: Apache-2.0 */
/* The loop: order of timers, sources freed by other sources' callbacks, children, signals; and processes with it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>

#include "base/fd.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"

static char order[16], a[] = "a", b[] = "b", c[] = "c";

static void on_timer(struct source *s, void *arg)
{
	size_t n = strlen(order);

	order[n] = *(const char *)arg;
	if (*(const char *)arg == 'c')
		loop_quit(source_loop(s), 3);
	source_free(s);
}

static void test_timers_in_order(void **state)
{
	_cleanup_loop_ struct loop *l = loop_new();

	(void)state;
	memset(order, 0, sizeof(order));
	loop_timer(l, 30, on_timer, c);
	loop_timer(l, 0, on_timer, a);
	loop_timer(l, 10, on_timer, b);
	source_free(loop_timer(l, 1, on_timer, a));
	loop_timer(l, UINT64_MAX, on_timer, b);
	assert_int_equal(loop_run(l), 3);
	assert_string_equal(order, "abc");
}

struct two {
	struct source *s[2];
	int calls;
};

/* Whichever comes first frees both: the other, fetched in the same turn, must not be called. */
static void on_readable(struct source *s, uint32_t events, void *arg)
{
	struct two *two = arg;

	(void)events;
	two->calls++;
	source_free(two->s[0]);
	source_free(two->s[1]);
	loop_quit(source_loop(s), 0);
}

static void test_freed_by_another(void **state)
{
	_cleanup_loop_ struct loop *l = loop_new();
	struct two two = { 0 };
	int p[2];

	(void)state;
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(write(p[1], "x", 1), 1);
	two.s[0] = loop_io(l, p[0], EPOLLIN, on_readable, &two);
	two.s[1] = loop_io(l, p[1], EPOLLOUT, on_readable, &two);
	loop_run(l);
	assert_int_equal(two.calls, 1);
	close(p[0]);
	close(p[1]);
}

static void on_child(struct source *s, pid_t pid, int status, void *arg)
{
	(void)pid;
	*(int *)arg = proc_exit_code(status);
	loop_quit(source_loop(s), 0);
}

static int run(const char *script, const int *fds, size_t n_fds, int stdout_fd)
{
	char *argv[] = { (char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", xstrdup(script), NULL };
	struct spawn sp = { .path = "/bin/sh",
			    .argv = argv,
			    .fds = fds,
			    .n_fds = n_fds,
			    .stdin_fd = -1,
			    .stdout_fd = stdout_fd,
			    .stderr_fd = -1,
			    .die_with_parent = true };
	_cleanup_loop_ struct loop *l = loop_new();
	int code = -1;
	pid_t pid = proc_spawn(&sp, NULL);

	free(argv[2]);
	assert_true(pid > 0);
	assert_non_null(loop_child(l, pid, on_child, &code));
	loop_run(l);
	return code;
}

static void test_children(void **state)
{
	struct spawn missing = {
		.path = "/no/such/program", .argv = (char *[]){ NULL }, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1
	};
	struct err e;

	(void)state;
	assert_int_equal(run("exit 7", NULL, 0, -1), 7);
	assert_int_equal(run("kill -9 $$", NULL, 0, -1), 137);
	assert_int_equal(proc_spawn(&missing, &e), -ENOENT);
	assert_string_equal(e.text, "start '/no/such/program': No such file or directory");
}

/* Exactly the named descriptors, in order, even when their numbers collide with the places. */
static void test_descriptors(void **state)
{
	_cleanup_close_ int one = memfd_sealed("a", "first", 5), two = memfd_sealed("b", "second", 6);
	_cleanup_free_ char *text = NULL;
	int p[2], fds[2] = { two, one };

	(void)state;
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(run("cat <&3; cat <&4; ls /proc/self/fd | wc -l", fds, 2, p[1]), 0);
	close(p[1]);
	text = xcalloc(1, 64);
	assert_true(read(p[0], text, 63) > 0);
	close(p[0]);
	/* 0 1 2 3 4 and ls's own directory */
	assert_string_equal(text, "secondfirst6\n");
}

static void on_signal(struct source *s, int signo, void *arg)
{
	*(int *)arg = signo;
	loop_quit(source_loop(s), 0);
}

static void test_signal(void **state)
{
	_cleanup_loop_ struct loop *l = loop_new();
	int got = 0;

	(void)state;
	loop_signal(l, SIGUSR1, on_signal, &got);
	raise(SIGUSR1);
	loop_run(l);
	assert_int_equal(got, SIGUSR1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_timers_in_order), cmocka_unit_test(test_freed_by_another),
		cmocka_unit_test(test_children),        cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_signal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
