/* SPDX-License-Identifier: Apache-2.0 */
/* netpolicyd's real profiles, entered by a child that then tries what they forbid: it must die of SIGSYS. */
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "netpolicy/jail.h"

static char *const no_args[] = { NULL };

static int try_execve(void)
{
	return execve("/bin/true", no_args, no_args);
}

static int try_openat(void)
{
	return openat(AT_FDCWD, "/dev/null", O_RDONLY);
}

static int try_socket(void)
{
	return socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
}

static int try_connect(void)
{
	return connect(0, NULL, 0);
}

static int try_bind(void)
{
	return bind(0, NULL, 0);
}

static int try_fork(void)
{
	return (int)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static int try_unshare(void)
{
	return unshare(CLONE_NEWUSER);
}

static int try_setns(void)
{
	return setns(0, 0);
}

static int try_mount(void)
{
	return mount("none", "/", "tmpfs", 0, NULL);
}

static int try_ptrace(void)
{
	return (int)ptrace(PTRACE_TRACEME, 0, 0, 0);
}

static int try_setuid(void)
{
	return (int)syscall(SYS_setresuid, 0, 0, 0);
}

static int try_bpf(void)
{
	return (int)syscall(SYS_bpf, 0, NULL, 0);
}

static int try_ioctl(void)
{
	return ioctl(0, 0);
}

/* Allowed in both. */
static int try_getpid(void)
{
	return getpid() > 0 ? 0 : -1;
}

static int try_recvmsg(void)
{
	return recvmsg(-1, NULL, 0) < 0 ? 0 : -1;
}

/* The sanitizer's runtime opens files and asks for the terminal's size. */
#ifdef __SANITIZE_ADDRESS__
#define SANITIZED true
#else
#define SANITIZED false
#endif

static const struct row {
	const char *name;
	int (*attempt)(void);
	bool serve, tap; /* permitted there */
} rows[] = {
	{ "execve", try_execve, false, false },    { "openat", try_openat, SANITIZED, true },
	{ "socket", try_socket, false, false },    { "connect", try_connect, false, false },
	{ "bind", try_bind, false, false },        { "clone", try_fork, false, false },
	{ "unshare", try_unshare, false, false },  { "setns", try_setns, false, false },
	{ "mount", try_mount, false, false },      { "ptrace", try_ptrace, false, false },
	{ "setresuid", try_setuid, false, false }, { "bpf", try_bpf, false, false },
	{ "ioctl", try_ioctl, SANITIZED, true },   { "getpid", try_getpid, true, true },
	{ "recvmsg", try_recvmsg, true, true },
};

/* The signal that ended the child, or 0. */
static int run(int (*enter)(struct err *e), int (*attempt)(void))
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct err e = { 0 };

		if (enter(&e) < 0)
			_exit(99);
		attempt();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 99);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void each_call_is_permitted_or_fatal(void **unused)
{
	(void)unused;
	if (geteuid() != 0)
		skip();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		print_message("# %s\n", rows[i].name);
		assert_int_equal(run(jail_serve, rows[i].attempt), rows[i].serve ? 0 : SIGSYS);
		assert_int_equal(run(jail_worker, rows[i].attempt), rows[i].tap ? 0 : SIGSYS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(each_call_is_permitted_or_fatal) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
