/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request bodies on the Engine socket: collected for a JSON handler, dropped,
 * or written on to a descriptor with back-pressure; in bottled. The bytes are a client's.
 */
#include <errno.h>

#include "api/conn.h"
#include "base/fd.h"

bool body_complete(const struct conn *c)
{
	return c->body == HTTP_BODY_NONE;
}

/* The next run of decoded bytes in c->in; *ret_used coded bytes are to be consumed afterwards. */
static int body_run(struct conn *c, struct slice *ret, size_t *ret_used)
{
	size_t n = buf_len(&c->in);
	bool done = false;
	ssize_t used;

	if (c->body == HTTP_BODY_CHUNKED) {
		used = n ? chunked_decode(&c->chunked, buf_ptr(&c->in), n, ret, &done) : 0;
		if (used < 0)
			return (int)used;
		*ret_used = (size_t)used;
	} else {
		*ret_used = n < c->body_left ? n : (size_t)c->body_left;
		*ret = (struct slice){ n ? buf_ptr(&c->in) : NULL, *ret_used };
		c->body_left -= *ret_used;
		done = c->body_left == 0;
	}
	if (done)
		c->body = HTTP_BODY_NONE;
	if (!done && !*ret_used)
		return c->eof ? -ECONNRESET : 0;
	return 1;
}

int body_before_handler(struct conn *c)
{
	struct exchange *x = c->exchange;
	struct slice run = { 0 };
	size_t used;
	int r = body_run(c, &run, &used);

	if (r <= 0)
		return r;
	if (x->route->body == ROUTE_JSON) {
		if (buf_len(&x->text) + run.n > JSON_BODY_MAX)
			return -EMSGSIZE;
		if (!conn_reserve(c, run.n))
			return -ENOBUFS;
		buf_append(&x->text, run.p, run.n);
	} else if ((c->dropped += run.n) > DRAIN_MAX) {
		return -EMSGSIZE;
	}
	buf_consume(&c->in, used);
	return 1;
}

int body_drain(struct conn *c)
{
	struct slice run;
	size_t used;
	int r = body_run(c, &run, &used);

	if (r <= 0)
		return r;
	buf_consume(&c->in, used);
	c->dropped += run.n;
	return c->dropped > DRAIN_MAX ? -EMSGSIZE : 1;
}

/* ---- to a descriptor ---- */

void sink_close(struct exchange *x)
{
	source_free(x->sink_io);
	x->sink_io = NULL;
	if (x->sink_fd >= 0)
		close(x->sink_fd);
	x->sink_fd = -1;
	buf_done(&x->pending);
}

/* done may answer and so free the exchange: nothing of it is touched behind the call. */
static void sink_finish(struct conn *c, int result)
{
	struct exchange *x = c->exchange;
	void (*done)(struct request *, int) = x->body_done;

	sink_close(x);
	x->body_done = NULL;
	if (done)
		done(&x->r, result);
}

void sink_fail(struct conn *c, int error)
{
	struct exchange *x = c->exchange;

	x->streaming = false;
	c->body = HTTP_BODY_NONE;
	c->close_after = true;
	sink_finish(c, error);
}

static void on_sink(struct source *s, uint32_t events, void *arg)
{
	struct conn *c = arg;

	(void)s;
	(void)events;
	source_free(c->exchange->sink_io);
	c->exchange->sink_io = NULL;
	conn_kick(c);
}

/* 1 all taken, 0 wait, -errno the descriptor takes no more. */
static int sink_flush(struct conn *c)
{
	struct exchange *x = c->exchange;

	while (buf_len(&x->pending)) {
		ssize_t n = buf_write(&x->pending, x->sink_fd);

		if (n == -EAGAIN) {
			if (!x->sink_io)
				x->sink_io = loop_io(conn_loop(c), x->sink_fd, EPOLLOUT, on_sink, c);
			return 0;
		}
		if (n < 0)
			return (int)n;
	}
	return 1;
}

int body_to_sink(struct conn *c)
{
	struct exchange *x = c->exchange;
	struct slice run = { 0 };
	size_t used;
	int r;

	if (!x->streaming)
		return 0;
	r = sink_flush(c);
	if (r == 0)
		return 0;
	if (r < 0) {
		sink_finish(c, r == -EPIPE ? -EPIPE : r);
		return 1;
	}
	if (body_complete(c)) {
		x->streaming = false;
		sink_finish(c, 0);
		return 1;
	}
	r = body_run(c, &run, &used);
	if (r <= 0)
		return r;
	if (x->sink_fd >= 0)
		buf_append(&x->pending, run.p, run.n);
	else
		c->dropped += run.n;
	buf_consume(&c->in, used);
	return c->dropped > DRAIN_MAX ? -EMSGSIZE : 1;
}

void request_body_to(struct request *r, int fd, void (*done)(struct request *r, int result))
{
	struct exchange *x = (struct exchange *)r;

	fd_nonblock(fd);
	x->streaming = true;
	x->sink_fd = fd;
	x->body_done = done;
	reply_continue(r->conn);
	conn_kick(r->conn);
}
