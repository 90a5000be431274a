/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /containers/X/stats and /top. Runs in bottled. The figures are the
 * guest's own, brought by the monitor; top runs the image's ps in the guest.
 * Both are a guest's words: sizes are limited, nothing in them is believed.
 */
#include <errno.h>
#include <sys/socket.h>

#include "api/container.h"
#include "api/containers.h"
#include "base/fd.h"
#include "base/mem.h"

#define SAMPLE_MS   1000
#define TOP_MAX     (1 << 20)
#define TOP_COLUMNS 32

struct sample {
	int64_t real_ns;
	uint64_t mono_ns;
	uint64_t v[GUEST_TAG_STAT_WRITE_BYTES - GUEST_TAG_STAT_MEM_TOTAL + 1];
};

#define STAT(s, name) ((json_int_t)(s)->v[GUEST_TAG_STAT_##name - GUEST_TAG_STAT_MEM_TOTAL])

struct watcher {
	struct engine *g;
	struct request *r; /* NULL: the client went */
	struct source *timer;
	char id[ID_LEN + 1];
	struct sample last;
	bool stream, asked, have_last, need_two;
};

static void ask(struct watcher *w);

static void watcher_free(struct watcher *w)
{
	source_free(w->timer);
	free(w);
}

static void watcher_gone(struct request *r)
{
	struct watcher *w = r->arg;

	w->r = NULL;
	if (!w->asked)
		watcher_free(w);
}

static struct container *watched(const struct watcher *w)
{
	struct container *c = w->g->containers->list;

	while (c && !str_eq(c->id, w->id))
		c = c->next;
	return c;
}

static json_t *cpu_json(const struct sample *s)
{
	json_int_t user = STAT(s, CPU_USER_NS), kernel = STAT(s, CPU_SYSTEM_NS), cpus = STAT(s, CPU_COUNT);

	return json_pack("{s:{s:I, s:I, s:I}, s:I, s:I, s:{s:i, s:i, s:i}}", "cpu_usage", "total_usage", user + kernel,
			 "usage_in_kernelmode", kernel, "usage_in_usermode", user, "system_cpu_usage",
			 (json_int_t)s->mono_ns * cpus, "online_cpus", cpus, "throttling_data", "periods", 0,
			 "throttled_periods", 0, "throttled_time", 0);
}

static json_t *memory_json(const struct sample *s)
{
	return json_pack("{s:I, s:I, s:{s:I, s:I, s:I}}", "usage", STAT(s, MEM_USED) + STAT(s, MEM_CACHE), "limit",
			 STAT(s, MEM_TOTAL), "stats", "inactive_file", STAT(s, MEM_CACHE), "file", STAT(s, MEM_CACHE),
			 "anon", STAT(s, MEM_USED));
}

static json_t *network_json(const struct sample *s)
{
	return json_pack("{s:{s:I, s:I, s:i, s:i, s:I, s:I, s:i, s:i}}", "eth0", "rx_bytes", STAT(s, RX_BYTES),
			 "rx_packets", STAT(s, RX_PACKETS), "rx_errors", 0, "rx_dropped", 0, "tx_bytes",
			 STAT(s, TX_BYTES), "tx_packets", STAT(s, TX_PACKETS), "tx_errors", 0, "tx_dropped", 0);
}

static json_t *disk_json(const struct sample *s)
{
	return json_pack("{s:[{s:i, s:i, s:s, s:I}, {s:i, s:i, s:s, s:I}], s:n, s:n, s:n, s:n, s:n, s:n, s:n}",
			 "io_service_bytes_recursive", "major", 254, "minor", 0, "op", "read", "value",
			 STAT(s, READ_BYTES), "major", 254, "minor", 0, "op", "write", "value", STAT(s, WRITE_BYTES),
			 "io_serviced_recursive", "io_queue_recursive", "io_service_time_recursive",
			 "io_wait_time_recursive", "io_merged_recursive", "io_time_recursive", "sectors_recursive");
}

static json_t *time_of(const struct sample *s)
{
	char text[RFC3339_MAX];

	rfc3339nano(text, s->real_ns);
	return json_string(text);
}

static json_t *stats_json(const struct container *c, const struct sample *now, const struct sample *before)
{
	_cleanup_free_ char *slash = xasprintf("/%s", c->name);
	bool nics = json_array_size(json_object_get(c->runtime, "endpoints")) > 0;
	json_t *out;

	out = json_pack("{s:s, s:s, s:o, s:o, s:{s:I}, s:o, s:i, s:{}, s:o, s:o, s:o}", "name", slash, "id", c->id,
			"read", time_of(now), "preread", time_of(before), "pids_stats", "current", STAT(now, PIDS),
			"blkio_stats", disk_json(now), "num_procs", 0, "storage_stats", "cpu_stats", cpu_json(now),
			"precpu_stats", cpu_json(before), "memory_stats", memory_json(now));
	if (nics)
		json_object_set_new(out, "networks", network_json(now));
	return out;
}

static void read_sample(struct sample *s, const struct ipc_msg *m)
{
	struct tlv_field outer, f;
	struct tlv_iter it, in;

	*s = (struct sample){ .real_ns = now_real_ns(), .mono_ns = now_mono_us() * 1000 };
	tlv_iter_init(&it, m->body, m->len);
	while (tlv_next(&it, &outer) > 0) {
		if (outer.tag != MON_TAG_STATS)
			continue;
		tlv_iter_init(&in, outer.data, outer.len);
		while (tlv_next(&in, &f) > 0)
			if (f.tag >= GUEST_TAG_STAT_MEM_TOTAL && f.tag <= GUEST_TAG_STAT_WRITE_BYTES)
				tlv_get_u64(&f, &s->v[f.tag - GUEST_TAG_STAT_MEM_TOTAL]);
	}
}

static void watcher_end(struct watcher *w)
{
	struct request *r = w->r;

	r->on_gone = NULL;
	watcher_free(w);
	reply_end(r);
}

/* A container that does not run has one answer: zeroes. */
static void give_nothing(struct watcher *w)
{
	struct container *c = watched(w);
	struct sample zero = { 0 };

	if (c && !w->have_last)
		reply_write_json(w->r, stats_json(c, &zero, &zero), "\n");
	watcher_end(w);
}

static void next_sample(struct source *s, void *arg)
{
	(void)s;
	ask(arg);
}

static void wait_turn(struct watcher *w)
{
	if (w->timer)
		source_timer(w->timer, SAMPLE_MS);
	else
		w->timer = loop_timer(w->g->loop, SAMPLE_MS, next_sample, w);
}

static void sampled(void *arg, const struct ipc_msg *m)
{
	struct watcher *w = arg;
	struct container *c = watched(w);
	struct sample now;

	w->asked = false;
	if (!w->r) {
		watcher_free(w);
		return;
	}
	if (!m || m->head.type != MON_OK || !c) {
		give_nothing(w);
		return;
	}
	read_sample(&now, m);
	if (w->need_two && !w->have_last) {
		w->last = now;
		w->have_last = true;
		wait_turn(w);
		return;
	}
	if (reply_backlog(w->r) < STREAM_BACKLOG_MAX)
		reply_write_json(w->r, stats_json(c, &now, &w->last), "\n");
	w->last = now;
	w->have_last = true;
	if (w->stream)
		wait_turn(w);
	else
		watcher_end(w);
}

static void ask(struct watcher *w)
{
	struct container *c = watched(w);

	if (!c || !c->mon || !container_running(c)) {
		if (w->stream && c && !c->removing && w->have_last) { /* docker keeps the stream open over a stop */
			wait_turn(w);
			return;
		}
		give_nothing(w);
		return;
	}
	w->asked = true;
	mon_request(c->mon, MON_STATS, NULL, NULL, 0, sampled, w);
}

void container_stats(struct request *r)
{
	struct container *c = container_of_request(r);
	struct watcher *w;

	if (!c)
		return;
	w = xcalloc(1, sizeof(*w));
	w->g = r->engine;
	w->r = r;
	snprintf(w->id, sizeof(w->id), "%s", c->id);
	w->stream = query_bool(&r->query, "stream", true);
	w->need_two = !w->stream && !query_bool(&r->query, "one-shot", false);
	r->arg = w;
	r->on_gone = watcher_gone;
	reply_begin(r, 200, "application/json");
	ask(w);
}

/* ---- top ---- */

struct top {
	struct request *r;
	struct source *io;
	struct buf in;
	int fd;
	int code; /* -1: ps still runs */
	bool eof;
};

static void top_free(struct top *t)
{
	source_free(t->io);
	close(t->fd);
	buf_done(&t->in);
	free(t);
}

/* The payload of both streams, one behind the other. */
static void unframe(struct buf *in, struct buf *out)
{
	uint32_t size;
	int stream;

	while (buf_len(in) >= STDCOPY_HEAD && stdcopy_parse((unsigned char *)buf_ptr(in), &stream, &size) &&
	       buf_len(in) - STDCOPY_HEAD >= size) {
		buf_consume(in, STDCOPY_HEAD);
		buf_append(out, buf_ptr(in), size);
		buf_consume(in, size);
	}
}

/* Words of a line; the last column takes the rest. */
static json_t *columns(char *line, size_t max)
{
	json_t *row = json_array();

	while (*(line += strspn(line, " \t"))) {
		size_t n = json_array_size(row) + 1 < max ? strcspn(line, " \t") : strlen(line);
		json_t *word = json_stringn(line, n);

		json_array_append_new(row, word ? word : json_string("?"));
		line += n;
	}
	return row;
}

static json_t *table(char *text)
{
	char *line = strsep(&text, "\n");
	json_t *titles = columns(line ? line : text, TOP_COLUMNS), *rows = json_array();

	while ((line = strsep(&text, "\n")))
		if (*line)
			json_array_append_new(rows, columns(line, json_array_size(titles)));
	return json_pack("{s:o, s:o}", "Titles", titles, "Processes", rows);
}

static void top_answer(struct top *t)
{
	_cleanup_buf_ struct buf out = { 0 };
	struct request *r = t->r;

	if (t->code < 0 || !t->eof)
		return;
	if (r) {
		r->on_gone = NULL;
		unframe(&t->in, &out);
		if (t->code == 0)
			reply_json(r, 200, table(buf_cstr(&out)));
		else
			reply_message(r, 500,
				      "ps in the container ended with exit code %d (does the image have it?): %.200s",
				      t->code, buf_cstr(&out));
	}
	top_free(t);
}

static void top_gone(struct request *r)
{
	((struct top *)r->arg)->r = NULL;
}

static void top_readable(struct source *s, uint32_t events, void *arg)
{
	struct top *t = arg;
	ssize_t n = buf_len(&t->in) < TOP_MAX ? buf_read(&t->in, t->fd, TOP_MAX) : 0;

	(void)events;
	if (n > 0 || n == -EAGAIN)
		return;
	source_events(s, 0);
	source_free(t->io);
	t->io = NULL;
	t->eof = true;
	top_answer(t);
}

static void top_exited(struct exec *x, void *arg)
{
	struct top *t = arg;

	t->code = x->code;
	top_answer(t);
}

static json_t *ps_command(const char *args)
{
	_cleanup_free_ char *copy = xstrdup(args && *args ? args : "-ef");
	json_t *cmd = json_pack("[s]", "ps");
	char *rest = copy, *word;

	while ((word = strsep(&rest, " ")))
		if (*word)
			json_array_append_new(cmd, json_string(word));
	return json_pack("{s:o, s:b, s:b}", "Cmd", cmd, "AttachStdout", 1, "AttachStderr", 1);
}

void container_top(struct request *r)
{
	struct container *c = container_of_request(r);
	struct exec *x;
	struct top *t;
	int pair[2];

	if (!c)
		return;
	if (!container_running(c) || !c->mon || c->state == STATE_PAUSED) {
		reply_message(r, 409, "container %s is not running", c->id);
		return;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		reply_message(r, 500, "socketpair: %s", strerror(errno));
		return;
	}
	fd_nonblock(pair[0]);
	t = xcalloc(1, sizeof(*t));
	*t = (struct top){ .r = r, .fd = pair[0], .code = -1 };
	r->arg = t;
	r->on_gone = top_gone;
	t->io = loop_io(c->g->loop, t->fd, EPOLLIN, top_readable, t);
	x = exec_new(c, ps_command(query_get(&r->query, "ps_args")));
	x->internal = true;
	x->fd = pair[1];
	x->on_exit = top_exited;
	x->arg = t;
	container_event(c, "top", NULL, NULL);
	exec_run(x);
}
