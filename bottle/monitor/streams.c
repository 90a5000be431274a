/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes and their streams, in bottle-monitor. Frames come from a hostile
 * guest: whatever does not fit a process's state or window ends the channel.
 * Output is acknowledged once the slowest attached client has taken it, so a
 * client that stops reading stalls this process and no other.
 */
#include "monitor/streams.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "proto/monitor.h"

#define ACK_STEP (GUEST_WINDOW / 4)

static void on_room(struct process *p)
{
	struct client *c, *next;

	for (c = LIST_FIRST(&p->clients); c; c = next) {
		next = LIST_NEXT(c, link);
		client_update(c);
	}
}

static void send_u32(struct process *p, uint16_t type, uint16_t tag, uint32_t v)
{
	unsigned char space[64];
	struct tlv t;

	tlv_init(&t, space, sizeof(space));
	tlv_u32(&t, tag, v);
	channel_send_tlv(p->streams->channel, type, p->number, &t);
}

/* Returns credit for what every client has passed on. */
static void acknowledge(struct process *p)
{
	size_t behind = 0;
	struct client *c;

	if (p->state != PROCESS_RUNNING)
		return;
	LIST_FOREACH(c, &p->clients, link)
		if (client_backlog(c) > behind)
			behind = client_backlog(c);
	if (p->owed < behind + ACK_STEP)
		return;
	send_u32(p, HOST_WINDOW, GUEST_TAG_CREDIT, p->owed - (uint32_t)behind);
	p->owed = (uint32_t)behind;
}

static size_t client_room(void *arg)
{
	struct process *p = arg;

	if (p->state != PROCESS_RUNNING || p->input_ended || !channel_room(p->streams->channel))
		return 0;
	return p->in_window;
}

static void client_input(void *arg, struct client *c, const void *data, size_t n)
{
	struct process *p = arg;
	const char *at = data;

	(void)c;
	while (n) {
		size_t part = n < GUEST_DATA_MAX ? n : GUEST_DATA_MAX;

		channel_send(p->streams->channel, HOST_STDIN, p->number, at, part);
		p->in_window -= (uint32_t)part;
		at += part;
		n -= part;
	}
}

/* Docker's rule: never with a terminal; for the container only when its input is to close once (StdinOnce). */
static void client_input_end(void *arg, struct client *c)
{
	struct process *p = arg;
	uint32_t flags = client_flags(c);

	if (flags & MON_F_TTY || p->input_ended || (!p->exec_id[0] && !(flags & MON_F_STDIN_ONCE)))
		return;
	p->input_ended = true;
	channel_send(p->streams->channel, HOST_STDIN_EOF, p->number, NULL, 0);
}

static void client_drained(void *arg)
{
	acknowledge(arg);
}

static void clientless(struct process *p)
{
	if (p->finishing && LIST_EMPTY(&p->clients))
		p->streams->ev->clientless(p->streams->arg, p);
}

static void client_ended(void *arg, struct client *c, enum client_end why)
{
	struct process *p = arg;

	LIST_REMOVE(c, link);
	p->streams->n_clients--;
	if (why != CLIENT_DONE && !p->finishing)
		p->streams->ev->detached(p->streams->arg, p);
	acknowledge(p);
	clientless(p);
}

static const struct client_events client_events = {
	.room = client_room,
	.input = client_input,
	.input_end = client_input_end,
	.drained = client_drained,
	.ended = client_ended,
};

static void process_init(struct process *p, struct streams *s, const char *exec_id)
{
	LIST_INIT(&p->clients);
	p->streams = s;
	p->number = s->next_number++;
	p->in_window = GUEST_WINDOW;
	snprintf(p->exec_id, sizeof(p->exec_id), "%s", exec_id);
	LIST_INSERT_HEAD(&s->live, p, link);
	s->n_live++;
}

void streams_init(struct streams *s, struct loop *l, struct vmlog *log, const struct streams_events *ev, void *arg)
{
	*s = (struct streams){ .loop = l, .log = log, .ev = ev, .arg = arg, .next_number = 1 };
	LIST_INIT(&s->live);
	LIST_INIT(&s->ended);
	process_init(&s->main, s, "");
}

static void drop_clients(struct process *p)
{
	struct client *c;

	while ((c = LIST_FIRST(&p->clients))) {
		LIST_REMOVE(c, link);
		p->streams->n_clients--;
		client_free(c);
	}
}

void process_forget(struct process *p)
{
	struct streams *s = p->streams;

	drop_clients(p);
	LIST_REMOVE(p, link);
	if (p->state == PROCESS_ENDED)
		s->n_ended--;
	else
		s->n_live--;
	if (p != &s->main)
		free(p);
}

void streams_done(struct streams *s)
{
	struct process *p;

	while ((p = LIST_FIRST(&s->live)))
		process_forget(p); /* NOLINT(clang-analyzer-unix.Malloc): LIST_REMOVE has moved the head on */
	while ((p = LIST_FIRST(&s->ended)))
		process_forget(p); /* NOLINT(clang-analyzer-unix.Malloc): the same */
}

struct process *streams_find(struct streams *s, const char *exec_id)
{
	struct process *p;

	if (!exec_id)
		return &s->main;
	LIST_FOREACH(p, &s->live, link)
		if (p != &s->main && str_eq(p->exec_id, exec_id))
			return p;
	LIST_FOREACH(p, &s->ended, link)
		if (p != &s->main && str_eq(p->exec_id, exec_id))
			return p;
	return NULL;
}

/* The oldest ended exec without clients makes room. */
static void expire(struct streams *s)
{
	struct process *p, *oldest = NULL;

	if (s->n_ended <= STREAMS_ENDED_MAX)
		return;
	LIST_FOREACH(p, &s->ended, link)
		if (p != &s->main && LIST_EMPTY(&p->clients))
			oldest = p;
	if (oldest)
		process_forget(oldest);
}

struct process *streams_exec(struct streams *s, const char *exec_id, struct err *e)
{
	struct process *p;

	if (streams_find(s, exec_id)) {
		err_set(e, ERR_CONFLICT, EEXIST, "exec command %s is already running", exec_id);
		return NULL;
	}
	if (s->n_live >= GUEST_STREAMS_MAX) { /* NOLINT(clang-analyzer-core.NullDereference): never null */
		err_set(e, ERR_LIMIT, EAGAIN, "%d processes run in the container already", GUEST_STREAMS_MAX);
		return NULL;
	}
	p = xcalloc(1, sizeof(*p));
	process_init(p, s, exec_id);
	return p;
}

void process_start(struct process *p, const void *body, size_t n)
{
	p->state = PROCESS_STARTING;
	channel_send(p->streams->channel, HOST_START, p->number, body, n);
}

int process_attach(struct process *p, int take_fd, const struct client_config *cfg, struct err *e)
{
	struct client_config full = *cfg;
	struct client *c;
	int r;

	if (p->streams->n_clients >= STREAMS_CLIENTS_MAX) {
		close(take_fd);
		return err_set(e, ERR_LIMIT, EAGAIN, "%d clients are attached to the container already",
			       STREAMS_CLIENTS_MAX);
	}
	full.log = p->exec_id[0] ? NULL : p->streams->log;
	r = client_new(p->streams->loop, take_fd, &full, &client_events, p, &c, e);
	if (r < 0)
		return r;
	LIST_INSERT_HEAD(&p->clients, c, link);
	p->streams->n_clients++;
	client_update(c);
	return 0;
}

void process_resize(struct process *p, uint32_t rows, uint32_t cols)
{
	unsigned char space[64];
	struct tlv t;

	p->rows = rows;
	p->cols = cols;
	p->resized = true;
	if (p->state != PROCESS_RUNNING)
		return; /* sent when it runs */
	tlv_init(&t, space, sizeof(space));
	tlv_u32(&t, GUEST_TAG_ROWS, rows);
	tlv_u32(&t, GUEST_TAG_COLS, cols);
	channel_send_tlv(p->streams->channel, HOST_RESIZE, p->number, &t);
}

void process_signal(struct process *p, uint32_t signo)
{
	if (p->state == PROCESS_RUNNING)
		send_u32(p, HOST_SIGNAL, GUEST_TAG_SIGNAL, signo);
}

void process_finish(struct process *p)
{
	struct client *c, *next;

	p->finishing = true;
	for (c = LIST_FIRST(&p->clients); c; c = next) {
		next = LIST_NEXT(c, link);
		client_finish(c);
	}
	clientless(p);
}

/* A frame's fields: u32 tags into slots, and at most one text. */
struct fields {
	uint32_t code, pid, credit, oom;
	bool has_code, has_pid, has_credit;
	char text[GUEST_TEXT_MAX + 1];
};

static int get_field(const struct tlv_field *f, struct fields *ret)
{
	switch (f->tag) {
	case GUEST_TAG_CODE:
		ret->has_code = tlv_get_u32(f, &ret->code) && ret->code <= 255;
		return ret->has_code ? 0 : -EBADMSG;
	case GUEST_TAG_PID:
		ret->has_pid = tlv_get_u32(f, &ret->pid);
		return ret->has_pid ? 0 : -EBADMSG;
	case GUEST_TAG_CREDIT:
		ret->has_credit = tlv_get_u32(f, &ret->credit);
		return ret->has_credit ? 0 : -EBADMSG;
	case GUEST_TAG_OOM:
		return tlv_get_u32(f, &ret->oom) && ret->oom <= 1 ? 0 : -EBADMSG;
	case GUEST_TAG_TEXT:
		return channel_text(f, ret->text);
	default:
		return -EBADMSG;
	}
}

static int get_fields(const unsigned char *body, size_t n, struct fields *ret)
{
	struct tlv_field f;
	struct tlv_iter it;
	int r;

	*ret = (struct fields){ 0 };
	tlv_iter_init(&it, body, n);
	while ((r = tlv_next(&it, &f)) > 0)
		if (get_field(&f, ret) < 0)
			return -EBADMSG;
	return r;
}

static int breach(struct err *e, const char *what)
{
	return err_set(e, ERR_INVALID, EBADMSG, "%s", what);
}

static void end_process(struct process *p, uint32_t code, bool oom)
{
	struct streams *s = p->streams;

	p->state = PROCESS_ENDED;
	p->code = code;
	p->oom = oom;
	LIST_REMOVE(p, link);
	LIST_INSERT_HEAD(&s->ended, p, link);
	s->n_live--;
	s->n_ended++;
}

static int on_started(struct process *p, const unsigned char *body, size_t n, struct err *e)
{
	struct fields f;

	if (p->state != PROCESS_STARTING || get_fields(body, n, &f) < 0 || !f.has_pid)
		return breach(e, "malformed or untimely STARTED");
	p->state = PROCESS_RUNNING;
	p->pid = f.pid;
	if (p->resized)
		process_resize(p, p->rows, p->cols);
	p->streams->ev->started(p->streams->arg, p);
	on_room(p);
	return 0;
}

static int on_start_failed(struct process *p, const unsigned char *body, size_t n, struct err *e)
{
	struct fields f;

	if (p->state != PROCESS_STARTING || get_fields(body, n, &f) < 0 || !f.has_code)
		return breach(e, "malformed or untimely START_FAILED");
	end_process(p, f.code, false);
	p->streams->ev->start_failed(p->streams->arg, p, f.text);
	return 0;
}

static int on_output(struct process *p, uint8_t stream, const unsigned char *body, size_t n, struct err *e)
{
	struct client *c;

	if (p->state != PROCESS_RUNNING || n > GUEST_WINDOW - p->owed)
		return breach(e, "output beyond its window");
	p->owed += (uint32_t)n;
	if (p == &p->streams->main) {
		vmlog_write(p->streams->log, stream, body, n);
		p->streams->ev->logged(p->streams->arg);
	}
	LIST_FOREACH(c, &p->clients, link)
		client_output(c, stream, body, n);
	acknowledge(p);
	return 0;
}

static int on_stdout(struct process *p, const unsigned char *body, size_t n, struct err *e)
{
	return on_output(p, 1, body, n, e);
}

static int on_stderr(struct process *p, const unsigned char *body, size_t n, struct err *e)
{
	return on_output(p, 2, body, n, e);
}

static int on_window(struct process *p, const unsigned char *body, size_t n, struct err *e)
{
	struct fields f;

	if (p->state != PROCESS_RUNNING || get_fields(body, n, &f) < 0 || !f.has_credit ||
	    f.credit > GUEST_WINDOW - p->in_window)
		return breach(e, "malformed or excessive input credit");
	p->in_window += f.credit;
	on_room(p);
	return 0;
}

static int on_process_exit(struct process *p, const unsigned char *body, size_t n, struct err *e)
{
	struct fields f;

	if (p->state != PROCESS_RUNNING || get_fields(body, n, &f) < 0 || !f.has_code)
		return breach(e, "malformed or untimely EXIT");
	end_process(p, f.code, f.oom);
	p->streams->ev->exited(p->streams->arg, p);
	expire(p->streams);
	return 0;
}

int streams_frame(struct streams *s, const struct guest_frame *f, const unsigned char *body, struct err *e)
{
	static int (*const handlers[])(struct process *, const unsigned char *, size_t, struct err *) = {
		/* NOLINTNEXTLINE(misc-redundant-expression): the first of the table */
		[GUEST_STARTED - GUEST_STARTED] = on_started,  [GUEST_START_FAILED - GUEST_STARTED] = on_start_failed,
		[GUEST_STDOUT - GUEST_STARTED] = on_stdout,    [GUEST_STDERR - GUEST_STARTED] = on_stderr,
		[GUEST_WINDOW_IN - GUEST_STARTED] = on_window, [GUEST_EXIT - GUEST_STARTED] = on_process_exit,
	};
	struct process *p;

	if (f->type < GUEST_STARTED || (size_t)(f->type - GUEST_STARTED) >= ARRAY_SIZE(handlers))
		return breach(e, "a control frame on a process's stream");
	LIST_FOREACH(p, &s->live, link)
		if (p->number == f->stream && p->state != PROCESS_NEW)
			return handlers[f->type - GUEST_STARTED](p, body, f->size, e);
	return breach(e, "a frame on a stream that nobody opened");
}

void streams_room(struct streams *s)
{
	struct process *p;

	LIST_FOREACH(p, &s->live, link)
		on_room(p);
}

void streams_abort(struct streams *s, uint32_t code)
{
	struct process *p, *next;

	for (p = LIST_FIRST(&s->live); p; p = next) {
		next = LIST_NEXT(p, link);
		if (p == &s->main)
			continue;
		if (p->state == PROCESS_RUNNING) {
			end_process(p, code, false);
			s->ev->exited(s->arg, p);
		} else {
			end_process(p, code, false);
			s->ev->start_failed(s->arg, p, "the container ended");
		}
	}
}
