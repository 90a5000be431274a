/* SPDX-License-Identifier: Apache-2.0 */
/* The monitor's own jail: what it needs passes, what it must not do fails or kills. Each case in a child. */
#include "tests/unit/monitor/unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/proc.h"
#include "monitor/jail.h"

static char dir[64];

static int jailed(int (*act)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct err e = { 0 };
		char runtime[96];
		int data_fd, runtime_fd;

		snprintf(runtime, sizeof(runtime), "%s/vm/id", dir);
		data_fd = open(dir, O_PATH | O_CLOEXEC);
		runtime_fd = open(runtime, O_PATH | O_CLOEXEC);
		_exit(jail_enter(data_fd, runtime_fd, &e) < 0 ? 99 : act());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return proc_exit_code(status);
}

static int act_execute(void)
{
	char *const argv[] = { NULL };

	execve("/bin/true", argv, argv);
	return 1;
}

static int act_fork(void)
{
	return fork() < 0 ? 1 : 2;
}

static int act_trace(void)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 ? 1 : 2;
}

static int act_listen(void)
{
	return listen(0, 1) < 0 ? 1 : 2;
}

static int act_read_elsewhere(void)
{
	int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);

	return fd < 0 && errno == EACCES ? 0 : 1;
}

static int act_write_elsewhere(void)
{
	int fd = open("/tmp/jail-test-elsewhere", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	return fd < 0 && errno == EACCES ? 0 : 1;
}

static int act_status(void)
{
	int fd = open(dir, O_PATH | O_CLOEXEC);

	return fd < 0 || file_write_at(fd, "status", 0600, "x", 1) < 0 || unlinkat(fd, "status", 0) < 0;
}

static int act_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd < 0 || send(fd, "x", 1, MSG_NOSIGNAL) >= 0 || errno != ENOTCONN;
}

static void denied(void **state)
{
	(void)state;
	assert_int_equal(jailed(act_execute), 128 + SIGSYS);
	assert_int_equal(jailed(act_fork), 128 + SIGSYS);
	assert_int_equal(jailed(act_trace), 128 + SIGSYS);
	assert_int_equal(jailed(act_listen), 128 + SIGSYS);
	/* by Landlock, where the kernel has it */
	if (access("/sys/kernel/security", F_OK) == 0 && jailed(act_read_elsewhere) != 0)
		print_message("# this kernel has no Landlock\n");
	else
		assert_int_equal(jailed(act_write_elsewhere), 0);
}

static void allowed(void **state)
{
	(void)state;
	assert_int_equal(jailed(act_status), 0);
	assert_int_equal(jailed(act_socket), 0);
}

static int set_up(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/jail-test.XXXXXX");
	return !mkdtemp(dir) || chdir(dir) < 0 || mkdir("vm", 0700) < 0 || mkdir("vm/id", 0700) < 0;
}

static int tear_down(void **state)
{
	(void)state;
	return remove_tree(AT_FDCWD, dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(denied),
		cmocka_unit_test(allowed),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
