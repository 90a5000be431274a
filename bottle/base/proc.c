/* SPDX-License-Identifier: Apache-2.0 */
/* Child processes; in every process that has some. */
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/mem.h"

/* Where the child keeps descriptors while it arranges 3, 4, …: above any that the child keeps. */
#define PARK_FD 200

static int reset_signals(void)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		if (i != SIGKILL && i != SIGSTOP)
			sigaction(i, &dfl, NULL); /* glibc refuses its own two: fine */
	sigemptyset(&none);
	return sigprocmask(SIG_SETMASK, &none, NULL);
}

static int place(int fd, int at, int open_flags)
{
	if (fd < 0)
		fd = open("/dev/null", open_flags | O_CLOEXEC);
	if (fd < 0)
		return -1;
	return fd == at ? fd_cloexec(fd, false) : dup2(fd, at);
}

/* Parks every descriptor high first, so that placing one never overwrites another. */
static int arrange(const struct spawn *s, int report_fd, int *ret_report)
{
	int in = s->stdin_fd < 0 ? -1 : fcntl(s->stdin_fd, F_DUPFD_CLOEXEC, PARK_FD);
	int out = s->stdout_fd < 0 ? -1 : fcntl(s->stdout_fd, F_DUPFD_CLOEXEC, PARK_FD);
	int err = fcntl(s->stderr_fd < 0 ? STDERR_FILENO : s->stderr_fd, F_DUPFD_CLOEXEC, PARK_FD);
	int parked[SPAWN_FDS_MAX];
	int report = fcntl(report_fd, F_DUPFD_CLOEXEC, PARK_FD);

	for (size_t i = 0; i < s->n_fds; i++) {
		parked[i] = fcntl(s->fds[i], F_DUPFD_CLOEXEC, PARK_FD);
		if (parked[i] < 0)
			return -1;
	}
	if (report < 0 || place(in, 0, O_RDONLY) < 0 || place(out, 1, O_WRONLY) < 0 || place(err, 2, O_WRONLY) < 0)
		return -1;
	for (size_t i = 0; i < s->n_fds; i++)
		if (dup2(parked[i], 3 + (int)i) < 0)
			return -1;
	*ret_report = 3 + (int)s->n_fds;
	if (dup3(report, *ret_report, O_CLOEXEC) < 0)
		return -1;
	return (int)syscall(SYS_close_range, *ret_report + 1, ~0U, 0);
}

static void __attribute__((noreturn)) child(const struct spawn *s, int report_fd, pid_t parent)
{
	int report = report_fd, r;

	if (reset_signals() < 0 || arrange(s, report_fd, &report) < 0)
		goto fail;
	if (s->die_with_parent) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(127);
	}
	if (s->before_exec) {
		r = s->before_exec(s->arg);
		if (r < 0) {
			errno = -r;
			goto fail;
		}
	}
	execve(s->path, s->argv, s->envp ? s->envp : environ);
fail:
	r = errno;
	if (write(report, &r, sizeof(r)) < 0)
		_exit(126);
	_exit(127);
}

/* The middle process of a detached spawn: tells the grandchild's pid and ends. */
static void __attribute__((noreturn)) middle(const struct spawn *s, int report_fd, int pid_fd)
{
	pid_t pid;

	setsid();
	pid = fork();
	if (pid == 0) {
		close(pid_fd);
		child(s, report_fd, getppid());
	}
	if (write(pid_fd, &pid, sizeof(pid)) < 0)
		_exit(1);
	_exit(0);
}

static pid_t fork_detached(const struct spawn *s, int report_fd)
{
	int p[2];
	pid_t pid, grandchild = -1;

	if (pipe2(p, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		close(p[0]);
		middle(s, report_fd, p[1]);
	}
	close(p[1]);
	if (pid > 0) {
		if (fd_read_full(p[0], &grandchild, sizeof(grandchild)) < 0)
			grandchild = -1;
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	close(p[0]);
	return grandchild;
}

/* clone(2) without a stack of its own is fork, and one process is both outside and pid 1 of its new pid namespace. */
static pid_t fork_into(int namespaces)
{
	return (pid_t)syscall(SYS_clone, (unsigned long)(namespaces | SIGCHLD), 0, 0, 0, 0);
}

pid_t proc_spawn(const struct spawn *s, struct err *e)
{
	pid_t pid, parent = getpid();
	int report[2], code;

	if (s->n_fds > SPAWN_FDS_MAX)
		return err_set(e, ERR_INTERNAL, E2BIG, "start '%s': %zu descriptors", s->path, s->n_fds);
	if (pipe2(report, O_CLOEXEC) < 0)
		return err_errno(e, "start '%s': pipe", s->path);
	if (s->detach)
		pid = fork_detached(s, report[1]);
	else
		pid = s->namespaces ? fork_into(s->namespaces) : fork();
	if (pid == 0)
		child(s, report[1], parent);
	close(report[1]);
	if (pid < 0) {
		close(report[0]);
		return err_errno(e, "start '%s': fork", s->path);
	}
	if (fd_read_full(report[0], &code, sizeof(code)) == 0) {
		close(report[0]);
		if (!s->detach)
			waitpid(pid, NULL, 0);
		errno = code;
		return err_errno(e, "start '%s'", s->path);
	}
	close(report[0]);
	return pid;
}

/* ROOT of the running executable ROOT/bin/NAME. */
static char *root_dir(void)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (n < 0)
		return xstrdup("/usr");
	path[n] = '\0';
	for (int i = 0; i < 2; i++) {
		char *slash = strrchr(path, '/');

		if (slash)
			*slash = '\0';
	}
	return xstrdup(path);
}

char *proc_program(const char *name)
{
	_cleanup_free_ char *root = root_dir();

	return xasprintf("%s/bin/%s", root, name);
}

char *proc_share(const char *name)
{
	_cleanup_free_ char *root = root_dir();

	return xasprintf("%s/share/bottle/%s", root, name);
}

int proc_exit_code(int wait_status)
{
	if (WIFEXITED(wait_status))
		return WEXITSTATUS(wait_status);
	return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : 255;
}
