/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VMM interface by QEMU, in bottle-monitor: starts it jailed with three
 * socketpairs (QMP, channel, console) and a pipe for its stderr, and watches it
 * as a child. QEMU is distrusted: it may have been taken over by its guest.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/proc.h"
#include "monitor/qemu.h"
#include "monitor/qmp.h"

#define KEPT_FD_SPACE (3 + 1 + GUEST_LAYERS_MAX + GUEST_NICS_MAX + 2)

struct vmm {
	const struct vmm_events *ev;
	void *arg;
	struct qmp *qmp;
	struct source *console, *errors, *child;
	int console_fd, errors_fd;
	pid_t pid;
	bool pausing; /* what the command under way asks for */
};

static void on_qmp_ready(void *arg)
{
	struct vmm *v = arg;

	v->ev->ready(v->arg);
}

static void on_qmp_answer(void *arg, const char *error)
{
	struct vmm *v = arg;

	v->ev->paused(v->arg, v->pausing, error);
}

static void on_qmp_broken(void *arg, const char *why)
{
	struct vmm *v = arg;

	v->ev->broken(v->arg, why);
}

static const struct qmp_events qmp_events = { on_qmp_ready, on_qmp_answer, on_qmp_broken };

/* Passes on what is there; false at the end. */
static bool read_console(struct vmm *v, int fd)
{
	char data[4096];
	ssize_t n = read(fd, data, sizeof(data));

	if (n > 0)
		v->ev->console(v->arg, data, (size_t)n);
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static void on_console(struct source *s, uint32_t events, void *arg)
{
	struct vmm *v = arg;

	(void)events;
	if (read_console(v, source_fd(s)))
		return;
	source_free(s);
	*(s == v->console ? &v->console : &v->errors) = NULL;
}

static void on_child(struct source *s, pid_t pid, int status, void *arg)
{
	struct vmm *v = arg;

	(void)s;
	(void)pid;
	v->child = NULL;
	v->pid = -1;
	read_console(v, v->errors_fd);
	read_console(v, v->console_fd);
	v->ev->ended(v->arg, status);
}

/* What a failed spawn left on stderr: the jail's step, for the error's text. */
static int explain(int errors_fd, struct err *e)
{
	char line[256];
	ssize_t n = read(errors_fd, line, sizeof(line) - 1);

	if (n > 0) {
		line[n] = '\0';
		line[strcspn(line, "\n")] = '\0';
		return err_set(e, ERR_UNAVAILABLE, e->code, "QEMU's %s (%s)", line, e->text);
	}
	if (e->code == ENOENT)
		return err_set(e, ERR_UNAVAILABLE, ENOENT,
			       QEMU_PATH " is missing; install the package qemu-system-x86");
	return -e->code;
}

/* The scratch disk is sparse: a QEMU that was taken over must not fill the host's disk behind its end. The RAM is a file too. */
static uint64_t largest_file(const struct vmm_config *c)
{
	struct stat st;

	if (fstat(c->scratch_fd, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size < c->memory)
		return c->memory;
	return (uint64_t)st.st_size;
}

static pid_t spawn(const struct vmm_config *c, const int sockets[3], int errors_fd, struct err *e)
{
	struct qemu_jail jail = {
		.root = geteuid() == 0,
		.uid = geteuid(),
		.gid = getegid(),
		.kvm = c->kvm,
		.file_max = largest_file(c),
	};
	static const char *const env[] = { "LC_ALL=C", NULL };
	_cleanup_strv_ char **argv = qemu_argv(c);
	int fds[KEPT_FD_SPACE];
	size_t n = 3;
	struct spawn s = {
		.path = QEMU_PATH,
		.argv = argv,
		.envp = (char *const *)(uintptr_t)env,
		.fds = fds,
		.stdin_fd = -1,
		.stdout_fd = errors_fd,
		.stderr_fd = errors_fd,
		.namespaces = qemu_jail_namespaces(jail.root),
		.before_exec = qemu_jail_enter,
		.arg = &jail,
	};

	memcpy(fds, sockets, 3 * sizeof(int));
	fds[n++] = c->scratch_fd;
	for (size_t i = 0; i < c->n_layers; i++)
		fds[n++] = c->layer_fds[i];
	for (size_t i = 0; i < c->n_taps; i++)
		fds[n++] = c->tap_fds[i];
	jail.kernel_fd = 3 + (int)n;
	fds[n++] = c->kernel_fd;
	jail.initrd_fd = 3 + (int)n;
	fds[n++] = c->initrd_fd;
	s.n_fds = n;
	return proc_spawn(&s, e);
}

static int make_pairs(int ours[3], int theirs[3], int errors[2], struct err *e)
{
	for (int i = 0; i < 3; i++) {
		int p[2];

		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p) < 0)
			return err_errno(e, "socketpair");
		ours[i] = p[0];
		theirs[i] = p[1];
		fd_nonblock(p[0]);
	}
	if (pipe2(errors, O_CLOEXEC) < 0)
		return err_errno(e, "pipe");
	return fd_nonblock(errors[0]);
}

static int start(struct loop *l, const struct vmm_config *c, const struct vmm_events *ev, void *arg, struct vmm **ret,
		 int *ret_channel_fd, struct err *e)
{
	int ours[3] = { -1, -1, -1 }, theirs[3] = { -1, -1, -1 }, errors[2] = { -1, -1 };
	int r = make_pairs(ours, theirs, errors, e);
	pid_t pid = r < 0 ? r : spawn(c, theirs, errors[1], e);
	struct vmm *v;

	for (int i = 0; i < 3; i++)
		cleanup_close(&theirs[i]);
	cleanup_close(&errors[1]);
	if (pid < 0) {
		r = r < 0 ? r : explain(errors[0], e);
		for (int i = 0; i < 3; i++)
			cleanup_close(&ours[i]);
		cleanup_close(&errors[0]);
		return r;
	}
	v = xcalloc(1, sizeof(*v));
	v->ev = ev;
	v->arg = arg;
	v->pid = pid;
	v->console_fd = ours[2];
	v->errors_fd = errors[0];
	v->qmp = qmp_new(l, ours[0], &qmp_events, v);
	v->console = loop_io(l, v->console_fd, EPOLLIN, on_console, v);
	v->errors = loop_io(l, v->errors_fd, EPOLLIN, on_console, v);
	v->child = loop_child(l, pid, on_child, v);
	if (!v->child)
		return err_errno(e, "watch QEMU"); /* the caller exits, and QEMU with it */
	*ret_channel_fd = ours[1];
	*ret = v;
	return 0;
}

static pid_t pid_of(const struct vmm *v)
{
	return v->pid;
}

static int pause_vm(struct vmm *v, bool stop, struct err *e)
{
	int r = qmp_command(v->qmp, stop ? "stop" : "cont", e);

	if (r == 0)
		v->pausing = stop;
	return r;
}

/* The child is not reaped before on_child, so the pid is still its own. */
static void kill_vm(struct vmm *v)
{
	if (v->pid > 0)
		kill(v->pid, SIGKILL);
}

static void free_vm(struct vmm *v)
{
	if (!v)
		return;
	qmp_free(v->qmp);
	source_free(v->console);
	source_free(v->errors);
	source_free(v->child);
	cleanup_close(&v->console_fd);
	cleanup_close(&v->errors_fd);
	free(v);
}

const struct vmm_ops vmm_qemu = {
	.name = "qemu",
	.start = start,
	.pid = pid_of,
	.pause = pause_vm,
	.kill = kill_vm,
	.free = free_vm,
};
