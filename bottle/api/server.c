/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Engine socket: accepts, reads heads, calls handlers, writes what they
 * answered; in bottled. A client is trusted to be the same user (SO_PEERCRED),
 * and nothing else: what it sends is parsed strictly, each of its connections
 * has bounded memory, and a malformed one costs only that connection.
 */
#include "api/server.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "api/conn.h"
#include "api/engine.h"
#include "api/json.h"
#include "base/fd.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#define ACCEPT_BATCH    16
#define ACCEPT_PAUSE_MS 100
#define RETIRE_AGE_MS   1000 /* a connection this young is about to send its request */
#define EARLY_CHECK_MAX 4096 /* heads up to this size are looked at with every read, longer ones with every line */

struct server {
	struct engine *engine;
	struct loop *loop;
	int listen_fd;
	struct source *io, *pause;
	unsigned int n_conns;
	size_t bodies; /* bytes in all exchanges' texts */
	TAILQ_HEAD(, conn) conns;
};

static void conn_run(struct conn *c);

struct loop *conn_loop(const struct conn *c)
{
	return c->server->loop;
}

bool conn_reserve(struct conn *c, size_t n)
{
	if (c->server->bodies + n > BODIES_MAX)
		return false;
	c->server->bodies += n;
	return true;
}

static void drop_body(struct conn *c)
{
	c->server->bodies -= buf_len(&c->exchange->text);
	buf_done(&c->exchange->text);
}

/* ---- the end of an exchange, of a connection ---- */

static void exchange_free(struct conn *c)
{
	struct exchange *x = c->exchange;

	if (!x)
		return;
	drop_body(c);
	c->exchange = NULL;
	sink_close(x);
	query_done(&x->r.query);
	json_decref(x->r.body);
	for (size_t i = 0; i < REQUEST_ARGS_MAX; i++)
		free(x->r.args[i]);
	free(x->head_bytes);
	free(x->method);
	free(x->path);
	buf_done(&x->fields);
	free(x);
	engine_idle(c->server->engine);
}

static void conn_free(void *arg)
{
	struct conn *c = arg;

	buf_done(&c->in);
	buf_done(&c->out);
	free(c);
}

static void listen_resume(struct server *s)
{
	if (s->io && s->n_conns < CONNECTIONS_MAX)
		source_events(s->io, EPOLLIN);
}

/* The descriptor goes now, the memory when the turn ends. */
static void conn_close(struct conn *c)
{
	if (c->dead)
		return;
	c->dead = true;
	source_free(c->io);
	source_free(c->timer);
	c->io = c->timer = NULL;
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	TAILQ_REMOVE(&c->server->conns, c, all);
	c->server->n_conns--;
	listen_resume(c->server);
	loop_defer(c->server->loop, conn_free, c);
}

void conn_forget(struct conn *c)
{
	exchange_free(c);
	conn_close(c);
}

/* Broken connections, when the turn ends. A handler without on_gone keeps its request until it has answered. */
static void conn_reap(struct conn *c)
{
	struct exchange *x = c->exchange;

	if (x && x->streaming)
		sink_fail(c, -ECONNRESET);
	x = c->exchange;
	if (x && x->r.on_gone) {
		x->r.on_gone(&x->r);
		exchange_free(c);
		x = NULL;
	}
	if (!x) {
		conn_close(c);
		return;
	}
	c->zombie = true;
	source_free(c->io);
	source_free(c->timer);
	c->io = c->timer = NULL;
	close(TAKE_FD(c->fd));
}

static void on_kick(void *arg)
{
	struct conn *c = arg;

	c->kicked = false;
	if (c->dead)
		return;
	if (c->zombie && !c->exchange)
		conn_close(c);
	else if (c->broken && !c->zombie)
		conn_reap(c);
	else if (!c->zombie)
		conn_run(c);
}

void conn_kick(struct conn *c)
{
	if (c->kicked || c->dead)
		return;
	c->kicked = true;
	loop_defer(c->server->loop, on_kick, c);
}

void conn_fail(struct conn *c)
{
	c->broken = true;
	buf_clear(&c->out);
	conn_kick(c);
}

void exchange_end(struct conn *c)
{
	struct exchange *x = c->exchange;

	if (x->streaming)
		x->streaming = false;
	exchange_free(c);
	if (c->want_continue) {
		c->want_continue = false;
		c->body = HTTP_BODY_NONE;
	}
	c->since_ms = now_mono_ms();
	c->state = body_complete(c) ? CONN_HEAD : CONN_DRAIN;
	if (!c->broken)
		conn_flush(c);
	if (!c->running || c->broken)
		conn_kick(c);
}

/* ---- what to wait for ---- */

static bool wants_read(const struct conn *c)
{
	if (c->eof || c->broken)
		return false;
	switch (c->state) {
	case CONN_HEAD:
		return !c->close_after && buf_len(&c->out) < STREAM_BACKLOG_MAX;
	case CONN_BUSY:
		return c->exchange && c->exchange->streaming && !buf_len(&c->exchange->pending);
	default:
		return true;
	}
}

static uint64_t deadline_ms(const struct conn *c)
{
	if (c->state == CONN_HEAD && buf_len(&c->in) && !c->close_after)
		return HEAD_TIMEOUT_MS;
	return c->state == CONN_BODY || c->state == CONN_DRAIN ? BODY_TIMEOUT_MS : UINT64_MAX;
}

void conn_update(struct conn *c)
{
	uint32_t events = (wants_read(c) ? EPOLLIN : 0) | (buf_len(&c->out) ? EPOLLOUT : 0);

	if (c->dead || c->zombie)
		return;
	if (events != c->events)
		source_events(c->io, events);
	c->events = events;
}

/* A deadline is for the whole of a head or body: it is armed once and not moved by further bytes. */
static void conn_timer(struct conn *c, enum conn_state before)
{
	uint64_t ms = deadline_ms(c);

	if (ms == UINT64_MAX && c->timed)
		source_timer(c->timer, UINT64_MAX);
	else if (ms != UINT64_MAX && (!c->timed || before != c->state))
		source_timer(c->timer, ms);
	c->timed = ms != UINT64_MAX;
}

void conn_flush(struct conn *c)
{
	while (!c->broken && !c->zombie && buf_len(&c->out)) {
		ssize_t n = buf_write(&c->out, c->fd);

		if (n == -EAGAIN)
			break;
		if (n < 0)
			conn_fail(c);
	}
	if (!c->running)
		conn_update(c);
}

/* ---- one request ---- */

static int check_content_type(const struct exchange *x, struct err *e)
{
	static const char json[] = "application/json";
	const struct http_header *h = http_find(&x->head, "Content-Type");

	if (h && h->value.n >= strlen(json) && strncasecmp(h->value.p, json, strlen(json)) == 0 &&
	    (h->value.n == strlen(json) || h->value.p[strlen(json)] == ';' || h->value.p[strlen(json)] == ' '))
		return 0;
	return err_set(e, ERR_INVALID, EINVAL, "unsupported Content-Type header (%.*s): must be 'application/json'",
		       h ? (int)(h->value.n < 100 ? h->value.n : 100) : 0, h ? h->value.p : "");
}

static int parse_json_body(struct exchange *x, struct err *e)
{
	const char *text = buf_ptr(&x->text);
	size_t n = buf_len(&x->text), i = 0;
	json_t *v;
	int r;

	while (i < n && (text[i] == ' ' || text[i] == '\t' || text[i] == '\r' || text[i] == '\n'))
		i++;
	if (i == n)
		return 0;
	r = check_content_type(x, e);
	if (r < 0)
		return r;
	v = json_parse(text, n, e);
	if (!v)
		return -EINVAL;
	if (!json_is_object(v) && !json_is_null(v)) {
		json_decref(v);
		return err_set(e, ERR_INVALID, EINVAL, "invalid JSON: the body must be an object");
	}
	if (json_is_object(v))
		x->r.body = v;
	else
		json_decref(v);
	return 0;
}

static void call_handler(struct conn *c)
{
	struct exchange *x = c->exchange;
	struct err e = { 0 };

	c->state = CONN_BUSY;
	if (x->route->body == ROUTE_JSON && parse_json_body(x, &e) < 0) {
		reply_err(&x->r, &e);
		return;
	}
	drop_body(c);
	x->route->fn(&x->r);
}

/* Target, version, row, arguments; -errno when the request is answered with e, 404 for -ENOENT. */
static int exchange_route(struct exchange *x, struct err *e)
{
	struct slice target = x->head.target, path = target, query = { NULL, 0 };
	const char *mark = memchr(target.p, '?', target.n);
	char *at;
	size_t n;
	int r;

	if (mark) {
		path.n = (size_t)(mark - target.p);
		query = (struct slice){ mark + 1, target.n - path.n - 1 };
	}
	x->path = at = url_decode(path, false);
	if (!at || (at[0] != '/' && !str_eq(at, "*")))
		return err_set(e, ERR_INVALID, EINVAL, "malformed request target");
	r = query_parse(&x->r.query, query, e);
	if (r < 0)
		return r;
	r = version_strip(&at, &x->r.api_version, e);
	if (r < 0)
		return r;
	n = strlen(at);
	if (n > 1 && at[n - 1] == '/')
		at[n - 1] = '\0';
	x->r.path = at;
	x->route = route_find(routes, x->method, at, x->r.args);
	return x->route ? 0 : err_set(e, ERR_NOTFOUND, ENOENT, "page not found");
}

static struct exchange *exchange_new(struct conn *c, size_t head_len)
{
	struct exchange *x = xcalloc(1, sizeof(*x));

	x->head_bytes = xstrndup(buf_ptr(&c->in), head_len);
	http_parse_request(x->head_bytes, head_len, &x->head, NULL);
	buf_consume(&c->in, head_len);
	x->method = slice_dup(x->head.method);
	x->head_only = str_eq(x->method, "HEAD");
	x->sink_fd = -1;
	x->r.engine = c->server->engine;
	x->r.conn = c;
	x->r.method = x->method;
	x->r.head = &x->head;
	c->exchange = x;
	engine_busy(c->server->engine);
	return x;
}

static int exchange_begin(struct conn *c, size_t head_len)
{
	struct exchange *x = exchange_new(c, head_len);
	struct err e = { 0 };
	int r;

	c->body = x->head.body;
	c->body_left = x->head.content_length;
	if (c->body == HTTP_BODY_LENGTH && !c->body_left)
		c->body = HTTP_BODY_NONE;
	c->chunked = (struct chunked){ 0 };
	c->dropped = 0;
	source_timer(c->timer, UINT64_MAX);
	c->timed = false;
	c->want_continue = x->head.expect_continue && c->body != HTTP_BODY_NONE;
	c->close_after = !x->head.keep_alive || x->head.minor == 0;
	if (c->refused)
		r = err_set(&e, ERR_DENIED, EPERM, "this engine belongs to another user");
	else if (x->head.minor == 1 && !http_find(&x->head, "Host"))
		r = err_set(&e, ERR_INVALID, EINVAL, "malformed HTTP: no Host field");
	else
		r = exchange_route(x, &e);
	if (r < 0) {
		c->close_after |= c->refused;
		reply_err(&x->r, &e);
		return 1;
	}
	if (x->route->body == ROUTE_STREAM) {
		call_handler(c);
		return 1;
	}
	c->state = CONN_BODY;
	reply_continue(c);
	return 1;
}

/* ---- steps: 1 go on, 0 wait ---- */

static int step_head(struct conn *c)
{
	size_t n = buf_len(&c->in);
	struct http_head head;
	struct err e = { 0 };
	ssize_t len;

	if (!n || c->close_after || buf_len(&c->out) >= STREAM_BACKLOG_MAX)
		return 0;
	len = http_parse_request(buf_ptr(&c->in), n, &head, &e);
	if (len > 0)
		return exchange_begin(c, (size_t)len);
	if (len < 0) {
		log_peer("a request was refused: %s", e.text);
		reply_bad_head(c, len == -EMSGSIZE ? 431 : 400, e.text);
	}
	return 0;
}

static int step_body(struct conn *c)
{
	int r = body_complete(c) ? 1 : body_before_handler(c);

	if (r < 0) {
		c->close_after = true;
		c->body = HTTP_BODY_NONE;
		reply_message(&c->exchange->r,
			      r == -EMSGSIZE  ? 413
			      : r == -ENOBUFS ? 503
					      : 400,
			      r == -EMSGSIZE  ? "the request body is too large"
			      : r == -ENOBUFS ? "too many large requests at once: try again"
			      : r == -EBADMSG ? "malformed HTTP: chunked coding"
					      : "the request body ends early");
		return 1;
	}
	if (r > 0 && body_complete(c))
		call_handler(c);
	return r;
}

static int step_busy(struct conn *c)
{
	int r = c->exchange ? body_to_sink(c) : 0;

	if (r < 0) {
		sink_fail(c, r);
		return 1;
	}
	return r;
}

static int step_drain(struct conn *c)
{
	int r = body_complete(c) ? 1 : body_drain(c);

	if (r < 0) {
		c->close_after = true;
		c->body = HTTP_BODY_NONE;
	}
	if (body_complete(c))
		c->state = CONN_HEAD;
	return r != 0;
}

static int step(struct conn *c)
{
	switch (c->state) {
	case CONN_HEAD:
		return step_head(c);
	case CONN_BODY:
		return step_body(c);
	case CONN_BUSY:
		return step_busy(c);
	case CONN_DRAIN:
		return step_drain(c);
	}
	return 0;
}

static void conn_run(struct conn *c)
{
	enum conn_state before = c->state;

	if (c->running)
		return;
	c->running = true;
	while (!c->dead && !c->broken && step(c))
		;
	c->running = false;
	if (c->dead || c->broken)
		return;
	if (c->state == CONN_HEAD && !buf_len(&c->out) && (c->close_after || c->eof)) {
		conn_close(c);
		return;
	}
	conn_timer(c, before);
	conn_update(c);
}

/* ---- events ---- */

static void on_deadline(struct source *s, void *arg)
{
	struct conn *c = arg;

	(void)s;
	c->timed = false;
	if (c->state == CONN_BODY) {
		c->body = HTTP_BODY_NONE;
		c->close_after = true;
		reply_message(&c->exchange->r, 408, "the request body did not arrive within %d s",
			      BODY_TIMEOUT_MS / 1000);
	} else if (c->state == CONN_DRAIN || c->close_after) {
		conn_close(c);
		return;
	} else if (c->state == CONN_HEAD) {
		buf_clear(&c->in);
		reply_bad_head(c, 408, "the request head did not arrive in time");
	}
	conn_kick(c);
}

/* New bytes, into c->in. Returns whether conn_run could make a step of them. */
static bool conn_read(struct conn *c)
{
	size_t before = buf_len(&c->in);
	ssize_t n = buf_read(&c->in, c->fd, READ_MAX);

	if (n == -EAGAIN)
		return false;
	if (n <= 0) {
		c->eof = true;
		return true;
	}
	if (c->state != CONN_HEAD || buf_len(&c->in) <= EARLY_CHECK_MAX || buf_len(&c->in) >= HTTP_HEAD_MAX ||
	    !c->timed)
		return true;
	return memchr(buf_ptr(&c->in) + before, '\n', (size_t)n) != NULL;
}

static void call_on_drain(struct conn *c)
{
	struct exchange *x = c->exchange;

	if (x && x->on_drain && x->begun && buf_len(&c->out) < STREAM_BACKLOG_MAX / 2)
		x->on_drain(&x->r);
}

static void on_conn(struct source *s, uint32_t events, void *arg)
{
	struct conn *c = arg;
	bool ready = false;

	(void)s;
	if (events & EPOLLOUT) {
		conn_flush(c);
		if (!c->broken)
			call_on_drain(c);
		ready = true;
	}
	if (c->dead || c->broken)
		return;
	if (events & (EPOLLIN | EPOLLHUP) && wants_read(c))
		ready |= conn_read(c);
	else if (events & (EPOLLHUP | EPOLLERR))
		conn_fail(c);
	if (ready && !c->broken)
		conn_run(c);
}

static void conn_new(struct server *s, int fd)
{
	struct conn *c = xcalloc(1, sizeof(*c));
	uid_t uid = (uid_t)-1;

	c->server = s;
	c->fd = fd;
	c->since_ms = now_mono_ms();
	c->refused = ipc_peer(fd, NULL, &uid) < 0 || uid != geteuid();
	if (c->refused)
		log_peer("refused a connection of uid %d", (int)uid);
	c->events = EPOLLIN;
	c->io = loop_io(s->loop, fd, EPOLLIN, on_conn, c);
	c->timer = loop_timer(s->loop, UINT64_MAX, on_deadline, c);
	TAILQ_INSERT_TAIL(&s->conns, c, all);
	s->n_conns++;
}

static bool conn_is_idle(const struct conn *c)
{
	return c->state == CONN_HEAD && !c->exchange && !buf_len(&c->in) && !buf_len(&c->out);
}

/*
 * Shuts the reading side: from here on the peer's write fails with EPIPE and
 * nothing of a request is lost. What it sent before is served as its last.
 */
static void conn_retire(struct conn *c)
{
	shutdown(c->fd, SHUT_RD);
	while (!c->eof && buf_len(&c->in) < HTTP_HEAD_MAX && conn_read(c))
		;
	conn_run(c);
}

static void on_accept_again(struct source *src, void *arg)
{
	(void)src;
	listen_resume(arg);
}

static void on_accept(struct source *src, uint32_t events, void *arg)
{
	struct server *s = arg;

	(void)events;
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		int fd;

		if (s->n_conns >= CONNECTIONS_MAX) {
			struct conn *oldest = TAILQ_FIRST(&s->conns);

			if (conn_is_idle(oldest))
				conn_retire(oldest);
			source_events(src, 0);
			source_timer(s->pause, ACCEPT_PAUSE_MS);
			return;
		}
		fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			conn_new(s, fd);
			continue;
		}
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
			log_warn("accept: %s", strerror(errno));
			source_events(src, 0);
			source_timer(s->pause, ACCEPT_PAUSE_MS);
		}
		return;
	}
}

struct server *server_new(struct engine *engine, struct loop *l, int listen_fd)
{
	struct server *s = xcalloc(1, sizeof(*s));

	s->engine = engine;
	s->loop = l;
	s->listen_fd = listen_fd;
	TAILQ_INIT(&s->conns);
	fd_nonblock(listen_fd);
	s->io = loop_io(l, listen_fd, EPOLLIN, on_accept, s);
	s->pause = loop_timer(l, UINT64_MAX, on_accept_again, s);
	return s;
}

bool server_retire_idle(struct server *s)
{
	struct conn *c, *next;
	bool idle = true;

	on_accept(s->io, EPOLLIN, s);
	for (c = TAILQ_FIRST(&s->conns); c; c = next) {
		next = TAILQ_NEXT(c, all);
		if (conn_is_idle(c) && now_mono_ms() - c->since_ms >= RETIRE_AGE_MS)
			conn_retire(c);
		idle &= c->dead;
	}
	return idle;
}

void server_free(struct server *s)
{
	struct conn *c;

	if (!s)
		return;
	source_free(s->io);
	source_free(s->pause);
	s->io = NULL;
	while ((c = TAILQ_FIRST(&s->conns))) {
		if (c->exchange && c->exchange->streaming)
			sink_fail(c, -ECONNRESET);
		if (c->exchange && c->exchange->r.on_gone)
			c->exchange->r.on_gone(&c->exchange->r);
		exchange_free(c);
		conn_close(c);
	}
	close(s->listen_fd);
	free(s);
}
