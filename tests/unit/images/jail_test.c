/* SPDX-License-Identifier: Apache-2.0 */
/* image-unpack's jail: what it needs works inside, and everything else is denied. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/fd.h"
#include "images/unpack/jail.h"
#include "images/unpack/unpack.h"

#define FINE   0
#define DENIED 1 /* an error */
#define KILLED (128 + SIGSYS)

/* Each returns FINE or DENIED when it comes back at all. */
static int make_file(void)
{
	int fd = openat(UNPACK_DIR_FD, "new", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	return fd >= 0 && pwrite(fd, "x", 1, 0) == 1 && fsync(fd) == 0 && fchmod(fd, 0444) == 0 &&
			       renameat(UNPACK_DIR_FD, "new", UNPACK_DIR_FD, "kept") == 0
		       ? FINE
		       : DENIED;
}

static int read_passwd(void)
{
	return openat(AT_FDCWD, "/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0 ? FINE : DENIED;
}

static int climb_out(void)
{
	return openat(UNPACK_DIR_FD, "../../../../../../etc/passwd", O_RDONLY | O_CLOEXEC) >= 0 ? FINE : DENIED;
}

static int write_outside(void)
{
	return openat(AT_FDCWD, "/tmp/bottle-jail-test-escape", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0 ? FINE
													   : DENIED;
}

static int use_network(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0 ? FINE : DENIED;
}

static int run_program(void)
{
	char *const argv[] = { (char[]){ "true" }, NULL };

	return execve("/bin/true", argv, argv + 1) == 0 ? FINE : DENIED;
}

static int start_process(void)
{
	return fork() >= 0 ? FINE : DENIED;
}

static int trace(void)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 ? FINE : DENIED;
}

static int become_root(void)
{
	return setuid(0) == 0 ? FINE : DENIED;
}

static int make_link(void)
{
	return symlinkat("/", UNPACK_DIR_FD, "link") == 0 ? FINE : DENIED;
}

#ifndef __SANITIZE_ADDRESS__ /* it has no limit then */
static int allocate_much(void)
{
	volatile char *p = malloc(4ULL << 30);

	return p ? FINE : DENIED;
}
#endif

static const struct {
	const char *name;
	int (*attempt)(void);
	int want;
} table[] = {
	{ "make a file in its directory", make_file, FINE },
	{ "read a file of the host", read_passwd, DENIED },
	{ "climb out of its directory", climb_out, DENIED },
	{ "write a file outside", write_outside, DENIED },
	{ "use the network", use_network, KILLED },
	{ "run a program", run_program, KILLED },
	{ "start a process", start_process, KILLED },
	{ "trace", trace, KILLED },
	{ "become root", become_root, KILLED },
	{ "make a link", make_link, KILLED },
#ifndef __SANITIZE_ADDRESS__
	{ "take more memory than it may", allocate_much, DENIED },
#endif
};

static int try_in_jail(const char *dir, int (*attempt)(void))
{
	pid_t pid = fork();
	struct err e = { 0 };
	int status;

	if (pid == 0) {
		int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0 || dup2(fd, UNPACK_DIR_FD) < 0 || jail_enter(&e) < 0)
			_exit(99);
		_exit(attempt());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void test_jail(void **state)
{
	char dir[] = "/tmp/bottle-jail-XXXXXX";

	(void)state;
	assert_non_null(mkdtemp(dir));
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		int got = try_in_jail(dir, table[i].attempt);

		if (got != table[i].want)
			fail_msg("%s: %d, not %d", table[i].name, got, table[i].want);
	}
	remove_tree(AT_FDCWD, dir);
	assert_int_equal(access("/tmp/bottle-jail-test-escape", F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_jail) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
