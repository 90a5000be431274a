/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /containers/X/logs: the monitor's records as docker's clients want them,
 * at the client's speed. Runs in bottled. A follower is woken by the monitor's
 * events and ends with the container.
 */
#include <errno.h>
#include <fcntl.h>

#include "api/attach.h"
#include "api/container.h"
#include "api/containers.h"
#include "api/log_reader.h"
#include "base/mem.h"

struct follower {
	struct follower *next;
	struct container *c; /* NULL: the container is gone, read to the end */
	struct request *r;
	struct log_reader reader;
	struct log_filter filter;
	struct source *end_timer;
	int dir_fd;
	uint64_t skip; /* lines before the tail */
	bool follow, timestamps, details, tty;
	bool in_line[3]; /* the last record of that stream did not end its line */
};

static void follower_free(struct follower *f)
{
	if (f->c) {
		for (struct follower **at = &f->c->followers; *at; at = &(*at)->next) {
			if (*at == f) {
				*at = f->next;
				break;
			}
		}
	}
	source_free(f->end_timer);
	log_reader_done(&f->reader);
	close(f->dir_fd);
	free(f);
}

static void follower_gone(struct request *r)
{
	follower_free(r->arg);
}

static void emit(struct follower *f, const struct log_record *rec, const char *data)
{
	_cleanup_buf_ struct buf line = { 0 };
	unsigned char head[STDCOPY_HEAD];
	char time[RFC3339_MAX];

	if (!f->in_line[rec->stream]) {
		if (f->timestamps) {
			rfc3339nano(time, (int64_t)rec->time_ns);
			buf_printf(&line, "%s ", time);
		}
		if (f->details)
			buf_puts(&line, " ");
	}
	buf_append(&line, data, rec->size);
	f->in_line[rec->stream] = rec->partial;
	if (!f->tty) {
		stdcopy_head(head, rec->stream, (uint32_t)buf_len(&line));
		reply_write(f->r, head, sizeof(head));
	}
	reply_write(f->r, buf_ptr(&line), buf_len(&line));
}

static void pump(struct follower *f);

static void on_drain(struct request *r)
{
	pump(r->arg);
}

static void finish(struct follower *f)
{
	struct request *r = f->r;

	r->on_gone = NULL;
	follower_free(f);
	reply_end(r);
}

static bool goes_on(const struct follower *f, int r)
{
	return r == 0 && f->follow && f->c && (container_running(f->c) || f->c->start);
}

static void pump(struct follower *f)
{
	struct log_record rec;
	const char *data;
	int r;

	for (;;) {
		if (reply_backlog(f->r) >= STREAM_BACKLOG_MAX) {
			reply_on_drain(f->r, on_drain);
			return;
		}
		r = log_next(&f->reader, &rec, &data);
		if (r <= 0)
			break;
		if (!log_wanted(&f->filter, &rec))
			continue;
		if (f->skip) {
			f->skip -= !rec.partial;
			continue;
		}
		emit(f, &rec, data);
	}
	if (!goes_on(f, r))
		finish(f);
}

void logs_wake(struct container *c)
{
	struct follower *f, *next;

	for (f = c->followers; f; f = next) {
		next = f->next;
		if (c->state == STATE_REMOVING)
			f->follow = false;
		if (reply_backlog(f->r) < STREAM_BACKLOG_MAX)
			pump(f);
	}
}

/* The container goes: those whose clients are slow read on from the open files. */
void logs_forget(struct container *c)
{
	struct follower *f;

	while ((f = c->followers)) {
		c->followers = f->next;
		f->c = NULL;
	}
}

static void until_passed(struct source *s, void *arg)
{
	struct follower *f = arg;

	(void)s;
	f->follow = false;
	pump(f);
}

/* since, until: seconds with a fraction, RFC 3339, or a duration before now. */
static int time_parameter(struct request *r, const char *key, int64_t *ret)
{
	const char *s = query_get(&r->query, key);
	uint64_t ms;

	*ret = 0;
	if (!s || !*s || str_eq(s, "0") || rfc3339_parse(s, ret) == 0)
		return 0;
	if (str_duration_ms(s, UINT32_MAX * 1000ULL, &ms) < 0) {
		reply_message(r, 400, "invalid value for \"%s\": %.64s", key, s);
		return -EINVAL;
	}
	*ret = now_real_ns() - (int64_t)ms * 1000000;
	return 0;
}

/* Lines to leave out, from tail=. "all", "" and negative numbers are all of them. */
static uint64_t lines_before_tail(const struct request *r, int dir_fd, const struct log_filter *filter)
{
	const char *tail = query_get(&r->query, "tail");
	uint64_t want, have;

	if (!tail || str_u64(tail, UINT32_MAX, &want) < 0)
		return 0;
	have = log_count(dir_fd, filter);
	return have > want ? have - want : 0;
}

static int open_dir(const struct container *c)
{
	_cleanup_free_ char *dir = container_dir(c);

	return openat(c->g->data_fd, dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static void begin(struct request *r, struct container *c, const struct log_filter *filter, bool follow)
{
	bool tty = member_flag(container_config(c), "Tty");
	struct follower *f;
	int dir = open_dir(c);

	reply_begin(r, 200, stream_content_type(r, tty));
	if (dir < 0) { /* never started: nothing was logged */
		reply_end(r);
		return;
	}
	f = xcalloc(1, sizeof(*f));
	*f = (struct follower){
		.next = c->followers, .c = c, .r = r, .filter = *filter, .follow = follow, .tty = tty, .dir_fd = dir
	};
	f->timestamps = query_bool(&r->query, "timestamps", false);
	f->details = query_bool(&r->query, "details", false);
	f->skip = lines_before_tail(r, dir, filter);
	log_reader_init(&f->reader, dir);
	c->followers = f;
	r->arg = f;
	r->on_gone = follower_gone;
	if (follow && filter->until_ns) {
		int64_t left = filter->until_ns - now_real_ns();

		f->end_timer = loop_timer(c->g->loop, left > 0 ? (uint64_t)left / 1000000 + 1 : 0, until_passed, f);
	}
	pump(f);
}

void container_logs(struct request *r)
{
	struct container *c = container_of_request(r);
	struct log_filter filter = { 0 };

	if (!c)
		return;
	filter.stdout_on = query_bool(&r->query, "stdout", false);
	filter.stderr_on = query_bool(&r->query, "stderr", false);
	if (!filter.stdout_on && !filter.stderr_on) {
		reply_message(r, 400, "Bad parameters: you must choose at least one stream");
		return;
	}
	if (time_parameter(r, "since", &filter.since_ns) < 0 || time_parameter(r, "until", &filter.until_ns) < 0)
		return;
	begin(r, c, &filter, query_bool(&r->query, "follow", false));
}

void logs_replay(struct request *r, struct container *c)
{
	struct log_filter filter = { 0 };

	filter.stdout_on = query_bool(&r->query, "stdout", false);
	filter.stderr_on = query_bool(&r->query, "stderr", false);
	if (!query_bool(&r->query, "logs", false))
		filter.until_ns = 1; /* neither the past nor the future was asked for */
	begin(r, c, &filter, false);
}
