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

#include "base/fd.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "monitor/qemu.h"
#include "monitor/qmp.h"

#define KEPT_FD_SPACE (3 + 1 + GUEST_LAYERS_MAX + GUEST_NICS_MAX + 2 + 2)

struct vmm {
	const struct vmm_events *ev;
	void *arg;
	struct qmp *qmp;
	struct source *console, *errors, *child;
	int console_fd, errors_fd;
	pid_t pid;
	int state_fd; /* its number in QEMU, or in save() here */
	enum { DOING_NOTHING, DOING_SHARED, DOING_RESTORE, DOING_STOP, DOING_CONT, DOING_SAVE_SHARED, DOING_GETFD, DOING_SAVE } doing;
};

#define CAPABILITIES(more) "{\"capabilities\":[{\"capability\":\"x-ignore-shared\",\"state\":true}" more "]}"

static void restore(struct vmm *v)
{
	struct err e = { 0 };

	v->doing = DOING_SHARED;
	if (qmp_command(v->qmp, "migrate-set-capabilities", CAPABILITIES(""), -1, &e) < 0)
		v->ev->broken(v->arg, e.text);
}

static void on_qmp_ready(void *arg)
{
	struct vmm *v = arg;

	if (v->state_fd >= 0)
		restore(v);
	else
		v->ev->ready(v->arg);
}

/* The guest's RAM is the file already: only the devices' state is read. QEMU ends when it does not fit. */
static void on_shared_set(struct vmm *v)
{
	struct err e = { 0 };
	char args[64];

	snprintf(args, sizeof(args), "{\"uri\":\"fd:%d\"}", v->state_fd);
	v->doing = DOING_RESTORE;
	if (qmp_command(v->qmp, "migrate-incoming", args, -1, &e) < 0)
		v->ev->broken(v->arg, e.text);
}

static void save_step(struct vmm *v, int doing, const char *command, const char *args, int fd)
{
	struct err e = { 0 };

	v->doing = doing;
	if (qmp_command(v->qmp, command, args, fd, &e) < 0)
		v->ev->saved(v->arg, e.text);
}

static void on_qmp_answer(void *arg, const char *error)
{
	struct vmm *v = arg;

	switch (v->doing) {
	case DOING_SHARED:
	case DOING_RESTORE:
		if (error)
			v->ev->broken(v->arg, error);
		else if (v->doing == DOING_SHARED)
			on_shared_set(v);
		else
			v->ev->ready(v->arg);
		break;
	case DOING_SAVE_SHARED:
	case DOING_GETFD:
	case DOING_SAVE:
		if (error)
			v->ev->saved(v->arg, error);
		else if (v->doing == DOING_SAVE_SHARED)
			save_step(v, DOING_GETFD, "getfd", "{\"fdname\":\"state\"}", v->state_fd);
		else if (v->doing == DOING_GETFD)
			save_step(v, DOING_SAVE, "migrate", "{\"uri\":\"fd:state\"}", -1);
		break; /* the rest is an event */
	default:
		v->ev->paused(v->arg, v->doing == DOING_STOP, error);
	}
}

static void on_qmp_migration(void *arg, const char *status)
{
	struct vmm *v = arg;

	if (v->doing != DOING_SAVE)
		return;
	if (str_eq(status, "completed"))
		v->ev->saved(v->arg, NULL);
	else if (str_eq(status, "failed"))
		v->ev->saved(v->arg, "QEMU could not write its state");
}

static void on_qmp_broken(void *arg, const char *why)
{
	struct vmm *v = arg;

	v->ev->broken(v->arg, why);
}

static const struct qmp_events qmp_events = { on_qmp_ready, on_qmp_answer, on_qmp_broken, on_qmp_migration };

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

static pid_t spawn(const struct vmm_config *c, const int sockets[3], int errors_fd, struct err *e)
{
	struct qemu_jail jail = { .root = geteuid() == 0, .uid = geteuid(), .gid = getegid(), .kvm = c->kvm,
				  .kernel_fd = -1, .initrd_fd = -1, .fds = c->from != VMM_BOOT };
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
	if (c->from != VMM_TEMPLATE)
		fds[n++] = c->scratch_fd;
	for (size_t i = 0; i < c->n_layers; i++)
		fds[n++] = c->layer_fds[i];
	for (size_t i = 0; i < c->n_taps; i++)
		fds[n++] = c->tap_fds[i];
	if (c->from != VMM_BOOT)
		fds[n++] = c->ram_fd;
	if (c->from == VMM_CLONE) {
		fds[n++] = c->state_fd;
	} else {
		jail.kernel_fd = 3 + (int)n;
		fds[n++] = c->kernel_fd;
		jail.initrd_fd = 3 + (int)n;
		fds[n++] = c->initrd_fd;
	}
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
	v->state_fd = c->from == VMM_CLONE ? qemu_fd_ram(c) + 1 : -1;
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
	int r = qmp_command(v->qmp, stop ? "stop" : "cont", NULL, -1, e);

	if (r == 0)
		v->doing = stop ? DOING_STOP : DOING_CONT;
	return r;
}

/* The guest keeps running until QEMU has written its state, and stands still from then on. */
static int save_vm(struct vmm *v, int state_fd, struct err *e)
{
	int r = qmp_command(v->qmp, "migrate-set-capabilities", CAPABILITIES(",{\"capability\":\"events\",\"state\":true}"), -1, e);

	v->state_fd = state_fd;
	v->doing = DOING_SAVE_SHARED;
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
	.save = save_vm,
	.kill = kill_vm,
	.free = free_vm,
};
