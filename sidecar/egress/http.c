/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1 between the agent and an origin, in sidecar-egress. Each request on a
 * connection is decided anew; heads are rebuilt (head.c) and bodies measured on
 * both ways, chunked ones decoded and coded again, so that both ends see the
 * same message borders that we see. Distrusts both: an answer that is not
 * framed cleanly ends the origin's connection, a request that is not, the agent's.
 */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "sidecar/egress/egress.h"

/* Writes an answer of our own; the connection ends after it. */
void http_error(struct conn *c, int status, const char *text)
{
	bool head = str_eq(c->x.method, "HEAD");

	/* In the middle of an answer there is no room for another: the cut is the message. */
	if (c->state != STATE_EXCHANGE || !c->x.answered)
		buf_printf(&c->agent.out,
			   "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\n"
			   "X-Bottle-Sidecar: %s\r\nConnection: close\r\n\r\n%s",
			   status, http_reason(status), strlen(text), status == 403 ? "denied" : "failed",
			   head ? "" : text);
	conn_drain(c);
}

static void bad_request(struct conn *c, const struct err *e, int status)
{
	char reason[DECISION_TEXT_MAX];

	snprintf(reason, sizeof(reason), "%.150s", e->text);
	if (e->cls == ERR_DENIED)
		conn_deny(c, "default", reason);
	else
		conn_fail(c, status, reason);
}

static void body_begin(struct body *b, enum http_body kind, uint64_t length)
{
	*b = (struct body){ .kind = kind, .left = length };
	b->done = kind == HTTP_BODY_NONE || (kind == HTTP_BODY_LENGTH && length == 0);
}

/* The connection to the origin serves the next request too when it is the same host's. */
static bool same_origin(const struct conn *c, const struct target *t)
{
	return c->origin.fd >= 0 && !c->origin.eof && c->permitted && c->port == t->port && str_eq(c->host, t->host);
}

static void begin_request(struct conn *c, const struct http_head *h, const struct target *t)
{
	bool reuse;

	if (c->fixed && (!str_eq(c->host, t->host) || c->port != t->port)) {
		char reason[DECISION_TEXT_MAX];

		snprintf(reason, sizeof(reason), "CONNECT was for %.50s and the request inside is for %.50s", c->host,
			 t->host);
		conn_deny(c, c->rule, reason);
		return;
	}
	reuse = same_origin(c, t);
	if (!reuse && !c->fixed)
		origin_close(c);
	buf_clear(&c->head);
	if (!t->connect)
		head_request(h, t, &c->head);
	c->connect |= t->connect;
	c->x = (struct exchange){ .keep_alive = h->keep_alive, .minor = h->minor, .reused = reuse };
	snprintf(c->x.method, sizeof(c->x.method), SLICE_FMT, SLICE_ARG(h->method));
	body_begin(&c->x.request, h->body, h->content_length);
	if (!conn_permit(c, t->host, t->port))
		return;
	if (reuse)
		http_begin(c);
	else if (c->fixed)
		conn_close(c); /* its only origin is gone */
	else
		conn_resolve(c);
}

bool http_head(struct conn *c)
{
	struct err e = { 0 };
	struct http_head h;
	struct target t;
	ssize_t n;

	if (!buf_len(&c->agent.in)) {
		if (c->agent.eof)
			conn_close(c);
		return false;
	}
	n = http_parse_request(buf_ptr(&c->agent.in), buf_len(&c->agent.in), &h, &e);
	if (n == 0 && buf_len(&c->agent.in) <= EGRESS_HEAD_MAX) {
		if (c->agent.eof)
			conn_close(c);
		return false;
	}
	if (n == 0 || n == -EMSGSIZE || n > EGRESS_HEAD_MAX) {
		conn_fail(c, 431, "The request's head is too long.");
		return true;
	}
	if (n < 0) {
		bad_request(c, &e, 400);
		return true;
	}
	snprintf(c->x.method, sizeof(c->x.method), SLICE_FMT, SLICE_ARG(h.method));
	if (head_target(&h, c->plane == PLANE_PROXY && !c->fixed, c->port, &t, &e) < 0) {
		bad_request(c, &e, 400);
		return true;
	}
	begin_request(c, &h, &t);
	if (!c->closed && c->state != STATE_DRAIN)
		buf_consume(&c->agent.in, (size_t)n);
	return true;
}

/* The origin is connected: the head goes out. */
void http_begin(struct conn *c)
{
	buf_append(&c->origin.out, buf_ptr(&c->head), buf_len(&c->head));
	buf_done(&c->head);
	conn_state(c, STATE_EXCHANGE, IDLE_MS);
}

/* Moves body bytes from one side to the other. coded: the receiver gets chunks. > 0 progress, 0 none, < 0 malformed. */
static int body_move(struct body *b, struct buf *from, struct buf *to, bool coded)
{
	size_t n = buf_len(from);
	struct slice run;
	ssize_t used;

	if (b->done || !n || buf_len(to) >= queue_max())
		return 0;
	if (b->kind == HTTP_BODY_CHUNKED) {
		used = chunked_decode(&b->chunked, buf_ptr(from), n, &run, &b->done);
		if (used < 0)
			return -EBADMSG;
		if (run.n && coded)
			chunked_encode(to, run.p, run.n);
		else if (run.n)
			buf_append(to, run.p, run.n);
		if (b->done && coded)
			chunked_encode(to, NULL, 0);
		buf_consume(from, (size_t)used);
		return used > 0 || b->done;
	}
	if (b->kind == HTTP_BODY_LENGTH && b->left < n)
		n = (size_t)b->left;
	buf_append(to, buf_ptr(from), n);
	buf_consume(from, n);
	b->left -= b->kind == HTTP_BODY_LENGTH ? n : 0;
	b->done = b->kind == HTTP_BODY_LENGTH && b->left == 0;
	return 1;
}

static bool move_request(struct conn *c)
{
	int r = body_move(&c->x.request, &c->agent.in, &c->origin.out, true);

	if (r < 0) {
		conn_fail(c, 400, "The request's chunked body is malformed.");
		return false;
	}
	if (r == 0 && !c->x.request.done && c->agent.eof && !buf_len(&c->agent.in)) {
		conn_close(c); /* it went away in the middle of its request */
		return false;
	}
	return r > 0;
}

static void no_answer(struct conn *c, const char *text)
{
	/* A kept connection may be closed at the moment it is used again: the client repeats by itself. */
	if (c->x.reused && !c->x.seen)
		conn_close(c);
	else
		conn_fail(c, 502, text);
}

/* What the agent's copy of the answer looks like. */
static void begin_answer(struct conn *c, const struct http_head *h)
{
	enum http_body kind = h->body;

	/* HTTP/1.0 knows no chunks: its answer ends with the connection. */
	if (kind == HTTP_BODY_CHUNKED && c->x.minor == 0)
		kind = HTTP_BODY_EOF;
	body_begin(&c->x.response, h->body, h->content_length);
	c->x.answered = true;
	c->x.origin_keeps = h->keep_alive && h->body != HTTP_BODY_EOF;
	c->x.keep_alive &= kind != HTTP_BODY_EOF;
	head_response(h, kind, c->x.keep_alive, &c->agent.out);
}

static bool read_answer(struct conn *c)
{
	struct err e = { 0 };
	struct http_head h;
	ssize_t n;

	n = http_parse_response(buf_ptr(&c->origin.in), buf_len(&c->origin.in), c->x.method, &h, &e);
	if (n == 0 && buf_len(&c->origin.in) < EGRESS_HEAD_MAX) {
		if (c->origin.eof)
			no_answer(c, "The origin closed the connection without an answer.");
		return false;
	}
	c->x.seen += buf_len(&c->origin.in);
	if (n <= 0 || n > EGRESS_HEAD_MAX) {
		no_answer(c, "The origin's answer is not clean HTTP, so it was not passed on.");
		return false;
	}
	if (h.status == 101) {
		no_answer(c, "The origin switches to another protocol, which no rule allows.");
		return false;
	}
	if (h.status / 100 == 1) {
		if (h.status == 100 && c->x.minor == 1)
			buf_puts(&c->agent.out, "HTTP/1.1 100 Continue\r\n\r\n");
	} else {
		begin_answer(c, &h);
	}
	buf_consume(&c->origin.in, (size_t)n);
	return true;
}

static bool move_answer(struct conn *c)
{
	bool coded = c->x.response.kind == HTTP_BODY_CHUNKED && c->x.minor == 1;
	int r = body_move(&c->x.response, &c->origin.in, &c->agent.out, coded);

	if (r < 0) {
		conn_fail(c, 502, "The origin's chunked body is malformed.");
		return false;
	}
	if (r == 0 && !c->x.response.done && c->origin.eof && !buf_len(&c->origin.in)) {
		if (c->x.response.kind != HTTP_BODY_EOF) {
			conn_fail(c, 502, "The origin closed the connection in the middle of its answer.");
			return false;
		}
		c->x.response.done = true;
		return true;
	}
	return r > 0;
}

static bool finish(struct conn *c)
{
	bool both = c->x.request.done && !buf_len(&c->origin.out);

	if (!c->x.origin_keeps || c->origin.eof || buf_len(&c->origin.in) || !both) {
		if (c->fixed)
			c->x.keep_alive = false;
		origin_close(c);
	}
	if (!both || !c->x.keep_alive) {
		conn_drain(c);
		return true;
	}
	conn_state(c, STATE_HEAD, KEEP_ALIVE_MS);
	return true;
}

bool http_exchange(struct conn *c)
{
	bool moved = false;

	if (!c->x.request.done)
		moved = move_request(c);
	if (c->closed || c->state != STATE_EXCHANGE)
		return false;
	if (!c->x.answered)
		moved |= read_answer(c);
	else
		moved |= move_answer(c);
	if (c->closed || c->state != STATE_EXCHANGE)
		return false;
	if (c->x.answered && c->x.response.done)
		return finish(c);
	return moved;
}
