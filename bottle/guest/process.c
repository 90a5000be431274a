/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts the container's processes, carries their input and output, tells
 * their end; in bottle-init, which believes neither them nor the host.
 *
 * The container has one PID, one mount and one cgroup namespace. Its first
 * process makes them: the main process, which then is PID 1 there as in
 * docker; or, when something else comes first or --init is asked for, a holder
 * that does nothing but reap. bottle-init is in none of these namespaces, so
 * nothing of the container can name it.
 *
 * Flow control: a stream whose credit is used up, or a channel whose queue is
 * full, takes the descriptor out of epoll (a hung-up pipe would otherwise spin)
 * and process_pump() puts it back. Input waits in the stream's own queue, at most
 * GUEST_WINDOW bytes by the protocol's rule.
 */
#include "guest/process.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>

#include <sys/pidfd.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "guest/exec.h"
#include "guest/mounts.h"

#define CREDIT_BATCH (64 * 1024)
#define SIGNAL_MAX   64

enum output { OUT_STDOUT, OUT_STDERR, OUT_NUM };

struct stream_out {
	int fd;
	struct source *source; /* NULL while nothing may be read */
	struct process *process;
	uint16_t type;
};

struct process {
	struct container *container;
	uint32_t stream;
	pid_t pid;
	struct source *child, *report_source, *in_source;
	int report_fd, in_fd;
	struct stream_out out[OUT_NUM];
	struct buf in;
	size_t in_unacked, in_credit, out_unacked; /* in_credit: passed on, not yet told */
	uint64_t oom_kills;
	bool tty, main, started, in_eof, ended;
	uint32_t code;
	bool oom;
	LIST_ENTRY(process) all;
};

struct container {
	struct loop *loop;
	struct channel *channel;
	void (*on_end)(void *arg);
	void *arg;
	LIST_HEAD(, process) processes;
	size_t n;
	int init_pidfd; /* PID 1 of the namespaces, -1 before the first start */
	int own_pidns_fd, cgroup_fd;
	bool had_main, killed;
};

struct container *container_new(struct loop *l, struct channel *c, void (*on_end)(void *arg), void *arg)
{
	struct container *ct = xcalloc(1, sizeof(*ct));

	ct->loop = l;
	ct->channel = c;
	ct->on_end = on_end;
	ct->arg = arg;
	ct->init_pidfd = -1;
	ct->own_pidns_fd = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	ct->cgroup_fd = open(MOUNTS_CGROUP "/cgroup.procs", O_WRONLY | O_CLOEXEC);
	if (ct->own_pidns_fd < 0 || ct->cgroup_fd < 0)
		fatal("open the container's namespaces: %s", strerror(errno));
	return ct;
}

bool container_empty(const struct container *c)
{
	return c->n == 0;
}

bool container_owns(const struct container *c, pid_t pid)
{
	struct process *p;

	LIST_FOREACH(p, &c->processes, all)
		if (p->pid == pid)
			return true;
	return false;
}

static struct process *find(struct container *c, uint32_t stream)
{
	struct process *p;

	LIST_FOREACH(p, &c->processes, all)
		if (p->stream == stream)
			return p;
	return NULL;
}

static void write_file(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		log_warn("write '%s': %s", path, strerror(errno));
}

static uint64_t oom_kills(void)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	char *at;

	if (file_read_at(AT_FDCWD, MOUNTS_CGROUP "/memory.events", 4096, &text, &len) < 0)
		return 0;
	at = strstr(text, "oom_kill ");
	return at ? strtoull(at + strlen("oom_kill "), NULL, 10) : 0;
}

static void send_u32(struct process *p, uint16_t type, uint16_t tag, uint32_t v)
{
	unsigned char space[16];
	struct tlv t;

	tlv_init(&t, space, sizeof(space));
	tlv_u32(&t, tag, v);
	channel_send_tlv(p->container->channel, type, p->stream, &t);
}

/* --- the end of a stream --- */

static void close_output(struct stream_out *o)
{
	source_free(o->source);
	o->source = NULL;
	if (o->fd >= 0)
		close(o->fd);
	o->fd = -1;
}

static void close_input(struct process *p)
{
	source_free(p->in_source);
	p->in_source = NULL;
	if (p->in_fd >= 0)
		close(p->in_fd);
	p->in_fd = -1;
	buf_done(&p->in);
}

static void process_free(struct process *p)
{
	struct container *c = p->container;

	LIST_REMOVE(p, all);
	c->n--;
	source_free(p->child);
	source_free(p->report_source);
	if (p->report_fd >= 0)
		close(p->report_fd);
	close_input(p);
	for (int i = 0; i < OUT_NUM; i++)
		close_output(&p->out[i]);
	free(p);
}

static void finish(struct process *p)
{
	struct container *c = p->container;
	unsigned char space[32];
	bool main = p->main;
	struct tlv t;

	tlv_init(&t, space, sizeof(space));
	tlv_u32(&t, GUEST_TAG_CODE, p->code);
	tlv_u32(&t, GUEST_TAG_OOM, p->oom);
	channel_send_tlv(c->channel, GUEST_EXIT, p->stream, &t);
	process_free(p);
	if (main || (c->killed && container_empty(c)))
		c->on_end(c->arg);
}

/* --- output --- */

static void on_output(struct source *s, uint32_t events, void *arg);

static size_t output_room(const struct process *p)
{
	size_t credit = GUEST_WINDOW - p->out_unacked, room = channel_room(p->container->channel);

	if (room > credit)
		room = credit;
	return room < GUEST_DATA_MAX ? room : GUEST_DATA_MAX;
}

/* Reads what may be sent; true when there may be more at once. */
static bool read_output(struct stream_out *o)
{
	static unsigned char space[GUEST_DATA_MAX];
	struct process *p = o->process;
	size_t room = output_room(p);
	ssize_t n;

	if (!room) {
		source_free(o->source);
		o->source = NULL;
		if (p->out_unacked < GUEST_WINDOW)
			channel_starved(p->container->channel);
		return false;
	}
	n = read(o->fd, space, room);
	if (n > 0) {
		p->out_unacked += (size_t)n;
		channel_send(p->container->channel, o->type, p->stream, space, (size_t)n);
		return true;
	}
	if (n < 0 && errno == EINTR)
		return true;
	/* What a process wrote is in the pipe when it has ended; whoever else holds the pipe is not waited for. */
	if (n == 0 || errno != EAGAIN || p->ended)
		close_output(o);
	return false;
}

/* Carries output as far as it goes now, and ends the stream when all is said. p may be gone after it. */
static void process_pump(struct process *p)
{
	if (!p->started)
		return;
	for (int i = 0; i < OUT_NUM; i++) {
		struct stream_out *o = &p->out[i];

		while (o->fd >= 0 && read_output(o) && p->ended)
			continue;
		if (o->fd >= 0 && !o->source && output_room(p))
			o->source = loop_io(p->container->loop, o->fd, EPOLLIN, on_output, o);
	}
	if (p->ended && p->out[OUT_STDOUT].fd < 0 && p->out[OUT_STDERR].fd < 0)
		finish(p);
}

static void on_output(struct source *s, uint32_t events, void *arg)
{
	struct stream_out *o = arg;

	(void)s;
	(void)events;
	process_pump(o->process);
}

void container_room(struct container *c)
{
	struct process *p = LIST_FIRST(&c->processes), *next;

	for (; p; p = next) {
		next = LIST_NEXT(p, all);
		process_pump(p);
	}
}

/* --- input --- */

static void on_input(struct source *s, uint32_t events, void *arg);

static void give_credit(struct process *p)
{
	if (!p->in_credit || (p->in_credit < CREDIT_BATCH && buf_len(&p->in)))
		return;
	send_u32(p, GUEST_WINDOW_IN, GUEST_TAG_CREDIT, (uint32_t)p->in_credit);
	p->in_unacked -= p->in_credit;
	p->in_credit = 0;
}

/* A terminal would swallow ^C while nobody has taken it: input waits for the start. */
static void pump_input(struct process *p)
{
	if (!p->started)
		return;
	while (buf_len(&p->in)) {
		ssize_t n = p->in_fd >= 0 ? buf_write(&p->in, p->in_fd) : -EPIPE;

		if (n == -EAGAIN)
			break;
		if (n <= 0) { /* nobody reads any more: what still comes is passed to nowhere */
			p->in_credit += buf_len(&p->in);
			close_input(p);
			break;
		}
		p->in_credit += (size_t)n;
	}
	give_credit(p);
	if (buf_len(&p->in) && !p->in_source) {
		p->in_source = loop_io(p->container->loop, p->in_fd, EPOLLOUT, on_input, p);
	} else if (!buf_len(&p->in)) {
		source_free(p->in_source);
		p->in_source = NULL;
		if (p->in_eof && !p->tty)
			close_input(p);
	}
}

static void on_input(struct source *s, uint32_t events, void *arg)
{
	(void)s;
	(void)events;
	pump_input(arg);
}

/* --- start and end --- */

static void start_failed(struct container *c, uint32_t stream, uint32_t code, const char *text)
{
	unsigned char space[GUEST_TEXT_MAX];
	struct tlv t;

	tlv_init(&t, space, sizeof(space));
	tlv_u32(&t, GUEST_TAG_CODE, code);
	tlv_str(&t, GUEST_TAG_TEXT, text);
	channel_send_tlv(c->channel, GUEST_START_FAILED, stream, &t);
}

/* The report pipe is readable: empty means that execve(2) has closed it. False when the start failed and p is gone. */
static bool take_report(struct process *p)
{
	struct container *c = p->container;
	struct exec_report report = { 0 };
	ssize_t n = read(p->report_fd, &report, sizeof(report));
	bool main = p->main;

	source_free(p->report_source);
	p->report_source = NULL;
	close(p->report_fd);
	p->report_fd = -1;
	if (n == 0) {
		p->started = true;
		send_u32(p, GUEST_STARTED, GUEST_TAG_PID, (uint32_t)p->pid);
		pump_input(p);
		return true;
	}
	report.text[sizeof(report.text) - 1] = '\0';
	start_failed(c, p->stream, n == sizeof(report) ? report.code : 126,
		     n == sizeof(report) ? report.text : "the process died before it could start");
	if (p->pid > 0 && p->child)
		waitpid(p->pid, NULL, 0); /* it has written its last words: it is on its way out */
	process_free(p);
	if (main || (c->killed && container_empty(c)))
		c->on_end(c->arg);
	return false;
}

static void on_report(struct source *s, uint32_t events, void *arg)
{
	struct process *p = arg;

	(void)s;
	(void)events;
	if (take_report(p))
		process_pump(p);
}

static void on_child(struct source *s, pid_t pid, int status, void *arg)
{
	struct process *p = arg;
	struct container *c = p->container;

	(void)s;
	(void)pid;
	p->child = NULL;
	p->ended = true;
	p->code = (uint32_t)proc_exit_code(status);
	p->oom = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && oom_kills() > p->oom_kills;
	if (p->main)
		container_kill(c);
	if (p->report_fd < 0 || take_report(p))
		process_pump(p);
}

static int make_terminal(const struct guest_start *s, struct process *p, int *ret_number, struct err *e)
{
	struct winsize size = { .ws_row = (unsigned short)s->rows, .ws_col = (unsigned short)s->cols };
	_cleanup_close_ int fd = open(MOUNTS_PTMX, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	int unlock = 0;

	if (fd < 0 || ioctl(fd, TIOCSPTLCK, &unlock) < 0 || ioctl(fd, TIOCGPTN, ret_number) < 0)
		return err_errno(e, "make a terminal");
	ioctl(fd, TIOCSWINSZ, &size);
	p->in_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	p->out[OUT_STDOUT].fd = TAKE_FD(fd);
	return 0;
}

/* ours becomes non-blocking, theirs stays as programs expect it. */
static int connect_stdio(int *ret_ours, int *ret_theirs, bool read_end_ours, struct err *e)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_errno(e, "make a pipe");
	*ret_ours = fds[read_end_ours ? 0 : 1];
	*ret_theirs = fds[read_end_ours ? 1 : 0];
	fd_nonblock(*ret_ours);
	return 0;
}

static int make_stdio(const struct guest_start *s, struct process *p, struct exec_plan *plan, struct err *e)
{
	if (s->tty)
		return make_terminal(s, p, &plan->pts, e);
	if (connect_stdio(&p->out[OUT_STDOUT].fd, &plan->stdio[1], true, e) < 0 ||
	    connect_stdio(&p->out[OUT_STDERR].fd, &plan->stdio[2], true, e) < 0)
		return -EMFILE;
	return s->input ? connect_stdio(&p->in_fd, &plan->stdio[0], false, e) : 0;
}

/* fork(2) with the child in the container's PID namespace: a new one, or that of its PID 1. */
static pid_t fork_inside(struct container *c, enum exec_join join, struct err *e)
{
	pid_t pid;

	if (join == EXEC_CREATE ? unshare(CLONE_NEWPID) < 0 : setns(c->init_pidfd, CLONE_NEWPID) < 0)
		return err_errno(e, "enter the container's PID namespace");
	pid = fork();
	if (pid == 0)
		return 0;
	if (pid < 0)
		err_set(e, ERR_INTERNAL, errno, errno == ENOMEM ? "the container is not running" : "fork: %s",
			strerror(errno));
	if (setns(c->own_pidns_fd, CLONE_NEWPID) < 0)
		fatal("return to the own PID namespace: %s", strerror(errno));
	return pid;
}

static int create_holder(struct container *c, const struct guest_start *s, struct err *e)
{
	struct exec_plan plan = {
		.start = s, .join = EXEC_CREATE, .cgroup_fd = c->cgroup_fd, .pts = -1, .ready_fd = -1
	};
	struct exec_report report;
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_errno(e, "make a pipe");
	plan.report_fd = fds[1];
	pid = fork_inside(c, EXEC_CREATE, e);
	if (pid == 0)
		exec_holder(&plan);
	close(fds[1]);
	if (pid > 0 && read(fds[0], &report, sizeof(report)) == sizeof(report)) {
		report.text[sizeof(report.text) - 1] = '\0';
		waitpid(pid, NULL, 0);
		pid = err_set(e, ERR_INTERNAL, EIO, "%s", report.text);
	}
	close(fds[0]);
	if (pid > 0)
		c->init_pidfd = pidfd_open(pid, 0);
	return pid < 0 ? pid : 0;
}

/*
 * Until the first process is in its namespaces, a pidfd of it leads to bottle-init's: so this waits. The child does
 * nothing up to that point that the container could delay.
 */
static void wait_ready(const int fds[2])
{
	char none;

	close(fds[1]);
	while (read(fds[0], &none, 1) < 0 && errno == EINTR)
		continue;
	close(fds[0]);
}

static int launch(struct container *c, struct process *p, struct exec_plan *plan, struct err *e)
{
	bool holder = !p->main || plan->start->init;
	int fds[2], ready[2] = { -1, -1 };

	if (c->init_pidfd < 0 && holder && create_holder(c, plan->start, e) < 0)
		return -EIO;
	plan->join = c->init_pidfd < 0 ? EXEC_CREATE : EXEC_JOIN;
	plan->pidfd = c->init_pidfd;
	plan->cgroup_fd = c->cgroup_fd;
	if (make_stdio(plan->start, p, plan, e) < 0)
		return -EMFILE;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_errno(e, "make a pipe");
	plan->report_fd = fds[1];
	p->report_fd = fds[0];
	if (plan->join == EXEC_CREATE && pipe2(ready, O_CLOEXEC) < 0) {
		close(fds[1]);
		return err_errno(e, "make a pipe");
	}
	plan->ready_fd = ready[1];
	p->pid = fork_inside(c, plan->join, e);
	if (p->pid == 0)
		exec_child(plan);
	close(fds[1]);
	if (plan->join == EXEC_CREATE)
		wait_ready(ready);
	if (p->pid < 0)
		return p->pid;
	if (plan->join == EXEC_CREATE)
		c->init_pidfd = pidfd_open(p->pid, 0);
	p->child = loop_child(c->loop, p->pid, on_child, p);
	p->report_source = loop_io(c->loop, p->report_fd, EPOLLIN, on_report, p);
	return 0;
}

static struct process *process_new(struct container *c, uint32_t stream, const struct guest_start *s)
{
	struct process *p = xcalloc(1, sizeof(*p));

	p->container = c;
	p->stream = stream;
	p->main = s->main;
	p->tty = s->tty;
	p->report_fd = p->in_fd = -1;
	p->oom_kills = oom_kills();
	for (int i = 0; i < OUT_NUM; i++)
		p->out[i] = (struct stream_out){ .fd = -1,
						 .process = p,
						 .type = i == OUT_STDERR ? GUEST_STDERR : GUEST_STDOUT };
	LIST_INSERT_HEAD(&c->processes, p, all);
	c->n++;
	return p;
}

static void limit_pids(const struct guest_start *s)
{
	char text[32] = "max";

	if (s->pids_max)
		snprintf(text, sizeof(text), "%llu", (unsigned long long)s->pids_max);
	write_file(MOUNTS_CGROUP "/pids.max", text);
}

static int start(struct container *c, const struct frame *f)
{
	struct exec_plan plan = { .pidfd = -1, .pts = -1, .stdio = { -1, -1, -1 } };
	struct guest_start s;
	struct process *p;
	struct err e = { 0 };
	int r;

	if (find(c, f->stream) || c->n >= GUEST_STREAMS_MAX)
		return -EBADMSG;
	r = start_decode(f->body, f->size, &s, &e);
	if (r < 0 || (s.main && c->had_main)) {
		start_done(&s);
		return -EBADMSG;
	}
	if (c->killed) {
		start_failed(c, f->stream, 126, "the container is stopping");
		start_done(&s);
		return 0;
	}
	c->had_main |= s.main;
	if (s.main)
		limit_pids(&s);
	plan.start = &s;
	p = process_new(c, f->stream, &s);
	if (launch(c, p, &plan, &e) < 0) {
		start_failed(c, f->stream, 126, e.text);
		process_free(p);
		if (s.main)
			c->on_end(c->arg);
	}
	for (int i = 0; i < 3; i++)
		if (plan.stdio[i] >= 0)
			close(plan.stdio[i]);
	start_done(&s);
	return 0;
}

/* --- frames --- */

static int take_input(struct process *p, const struct frame *f)
{
	if (p->in_eof || f->size > GUEST_WINDOW - p->in_unacked)
		return -EBADMSG;
	p->in_unacked += f->size;
	buf_append(&p->in, f->body, f->size);
	pump_input(p);
	return 0;
}

static int take_window(struct process *p, const struct frame *f)
{
	uint32_t credit;

	if (!config_one_u32(f->body, f->size, GUEST_TAG_CREDIT, &credit) || credit > p->out_unacked)
		return -EBADMSG;
	p->out_unacked -= credit;
	process_pump(p);
	return 0;
}

static int resize(struct process *p, const struct frame *f)
{
	uint32_t rows = 0, cols = 0;
	struct winsize size;
	struct tlv_field t;
	struct tlv_iter it;
	int r;

	tlv_iter_init(&it, f->body, f->size);
	while ((r = tlv_next(&it, &t)) > 0)
		if (!(t.tag == GUEST_TAG_ROWS && tlv_get_u32(&t, &rows)) &&
		    !(t.tag == GUEST_TAG_COLS && tlv_get_u32(&t, &cols)))
			return -EBADMSG;
	if (r < 0 || rows > UINT16_MAX || cols > UINT16_MAX)
		return -EBADMSG;
	size = (struct winsize){ .ws_row = (unsigned short)rows, .ws_col = (unsigned short)cols };
	if (p->tty && p->out[OUT_STDOUT].fd >= 0)
		ioctl(p->out[OUT_STDOUT].fd, TIOCSWINSZ, &size);
	return 0;
}

/* The process leads its session and so its group: its pid is the group's. */
static int send_signal(struct process *p, const struct frame *f)
{
	uint32_t signo = 0, group = 0;
	struct tlv_field t;
	struct tlv_iter it;
	int r;

	tlv_iter_init(&it, f->body, f->size);
	while ((r = tlv_next(&it, &t)) > 0)
		if (!(t.tag == GUEST_TAG_SIGNAL && tlv_get_u32(&t, &signo)) &&
		    !(t.tag == GUEST_TAG_GROUP && tlv_get_u32(&t, &group)))
			return -EBADMSG;
	if (r < 0 || !signo || signo > SIGNAL_MAX)
		return -EBADMSG;
	if (p->child)
		kill(p->started && (p->tty || group) ? -p->pid : p->pid, (int)signo);
	return 0;
}

int container_frame(struct container *c, const struct frame *f)
{
	struct process *p = find(c, f->stream);

	if (f->type == HOST_START)
		return start(c, f);
	if (!p)
		return 0; /* the stream has just ended: the host cannot know yet */
	switch (f->type) {
	case HOST_STDIN:
		return take_input(p, f);
	case HOST_STDIN_EOF:
		p->in_eof = true;
		pump_input(p);
		return 0;
	case HOST_WINDOW:
		return take_window(p, f);
	case HOST_RESIZE:
		return resize(p, f);
	case HOST_SIGNAL:
		return send_signal(p, f);
	default:
		return -EBADMSG;
	}
}

/* --- all of them --- */

void container_signal_all(struct container *c, int signo)
{
	_cleanup_free_ char *text = NULL;
	char *at, *line;
	size_t len;

	(void)c;
	if (file_read_at(AT_FDCWD, MOUNTS_CGROUP "/cgroup.procs", 1 << 20, &text, &len) < 0)
		return;
	at = text;
	while ((line = strsep(&at, "\n")))
		if (*line)
			kill((pid_t)strtol(line, NULL, 10), signo);
}

void container_kill(struct container *c)
{
	c->killed = true;
	write_file(MOUNTS_CGROUP "/cgroup.kill", "1");
}
