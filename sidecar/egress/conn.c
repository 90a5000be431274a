/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection's life, in sidecar-egress: accepting, deciding, dialling, moving
 * bytes, ending. Distrusts the agent on one side and the origin on the other:
 * either may stall, trickle, close half or stop reading at any byte, so each
 * state has a time limit and each queue a size, and a side is read only while
 * there is room for what it says.
 */
#include "sidecar/egress/egress.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "sidecar/audit.h"

#define TLS_ACCESS_DENIED  49
#define TLS_INTERNAL_ERROR 80

static void conn_step(struct conn *c);
static void dial_next(struct conn *c);

size_t read_max(void)
{
	return egress.n_conns > CONNS_MANY ? READ_MAX_MANY : READ_MAX;
}

size_t queue_max(void)
{
	return egress.n_conns > CONNS_MANY ? QUEUE_MAX_MANY : QUEUE_MAX;
}

void conn_audit(struct conn *c, bool allow, bool end, const char *rule, const char *reason)
{
	static const char *const planes[] = { "http", "http", "tls" };
	struct audit_event ev = {
		.plane = c->connect ? "connect" : planes[c->plane],
		.client = &c->peer,
		.host = c->host,
		.port = c->port,
		.allow = allow,
		.end = end,
		.rule = rule,
		.reason = reason,
		.bytes_in = c->bytes_in,
		.bytes_out = c->bytes_out,
		.ms = now_mono_ms() - c->started_ms,
	};

	if (c->origin.fd >= 0)
		ev.address = c->address;
	else if (c->plane != PLANE_PROXY)
		ev.address = (const uint8_t *)&c->asked.sin_addr;
	if (!end && allow)
		egress.counters->allowed++;
	else if (!end)
		egress.counters->denied++;
	audit_write(&ev);
}

static void side_close(struct side *s)
{
	source_free(s->io);
	s->io = NULL;
	if (s->fd >= 0)
		close(TAKE_FD(s->fd));
	s->eof = s->shut = false;
	s->mask = 0;
	buf_done(&s->in);
	buf_done(&s->out);
}

void origin_close(struct conn *c)
{
	if (c->permitted)
		conn_audit(c, true, true, c->rule, NULL);
	c->permitted = false;
	egress.counters->bytes_in += c->bytes_in;
	egress.counters->bytes_out += c->bytes_out;
	c->bytes_in = c->bytes_out = 0;
	side_close(&c->origin);
}

static void conn_free(void *arg)
{
	free(arg);
}

/* The memory stays until the turn's end: callers up the stack look at c->closed. */
void conn_close(struct conn *c)
{
	if (c->closed)
		return;
	c->closed = true;
	origin_close(c);
	side_close(&c->agent);
	buf_done(&c->head);
	source_free(c->timer);
	LIST_REMOVE(c, next);
	if (egress.n_conns-- == CONNS_MAX)
		egress_accepting(true);
	egress.counters->open = egress.n_conns;
	loop_defer(egress.loop, conn_free, c);
}

void conn_state(struct conn *c, enum state s, uint64_t ms)
{
	c->state = s;
	c->active_ms = now_mono_ms();
	source_timer(c->timer, ms);
}

static void on_timer(struct source *s, void *arg)
{
	struct conn *c = arg;
	uint64_t idle = now_mono_ms() - c->active_ms;
	bool started = buf_len(&c->agent.in) > 0;

	switch (c->state) {
	case STATE_EXCHANGE:
	case STATE_TUNNEL:
		if (idle < IDLE_MS)
			source_timer(s, IDLE_MS - idle);
		else
			conn_close(c);
		return;
	case STATE_RESOLVE:
		conn_fail(c, 504, "The host's address could not be found in time.");
		break;
	case STATE_DIAL:
		dial_next(c);
		break;
	case STATE_HEAD:
		if (started) {
			conn_fail(c, 408, "The request took too long to arrive.");
			break;
		}
		conn_close(c);
		return;
	case STATE_DRAIN:
		if (buf_len(&c->agent.out) && idle < IDLE_MS)
			source_timer(s, DRAIN_MS);
		else
			conn_close(c);
		return;
	case STATE_HELLO:
	case STATE_GATE:
		conn_close(c);
		return;
	}
	if (!c->closed)
		conn_update(c);
}

/* What each side is waited for, from the state alone. */
static uint32_t agent_wants(const struct conn *c)
{
	const struct side *a = &c->agent;
	bool in = false;

	switch (c->state) {
	case STATE_HEAD:
	case STATE_HELLO:
	case STATE_GATE:
		in = buf_len(&a->in) <= EGRESS_HEAD_MAX;
		break;
	case STATE_EXCHANGE:
		in = !c->x.request.done && buf_len(&a->in) < queue_max() && buf_len(&c->origin.out) < queue_max();
		break;
	case STATE_TUNNEL:
		in = buf_len(&c->origin.out) == 0;
		break;
	case STATE_DRAIN:
		in = true;
		break;
	case STATE_RESOLVE:
	case STATE_DIAL:
		break;
	}
	return (in && !a->eof ? EPOLLIN : 0) | (buf_len(&a->out) ? EPOLLOUT : 0);
}

static uint32_t origin_wants(const struct conn *c)
{
	const struct side *o = &c->origin;
	bool in = false;

	switch (c->state) {
	case STATE_DIAL:
		return EPOLLOUT;
	case STATE_HEAD:
		in = true; /* to see it close */
		break;
	case STATE_GATE:
		in = gate_origin_first(c->port) && buf_len(&c->agent.out) < queue_max();
		break;
	case STATE_EXCHANGE:
		in = !c->x.response.done && buf_len(&o->in) < queue_max() && buf_len(&c->agent.out) < queue_max();
		break;
	case STATE_TUNNEL:
		in = buf_len(&c->agent.out) == 0;
		break;
	default:
		break;
	}
	return (in && !o->eof ? EPOLLIN : 0) | (buf_len(&o->out) ? EPOLLOUT : 0);
}

static void on_side(struct source *source, uint32_t events, void *arg);

/* A side of which nothing is wanted is not watched: a hangup would be reported over and over. */
static void side_update(struct side *s, uint32_t mask)
{
	if (s->fd < 0 || (s->io && s->mask == mask))
		return;
	if (!mask) {
		source_free(s->io);
		s->io = NULL;
	} else if (s->io) {
		source_events(s->io, mask);
	} else {
		s->io = loop_io(egress.loop, s->fd, mask, on_side, s);
	}
	s->mask = mask;
}

void conn_update(struct conn *c)
{
	if (c->closed)
		return;
	side_update(&c->agent, agent_wants(c));
	side_update(&c->origin, origin_wants(c));
}

static void count(struct conn *c, const struct side *s, size_t n)
{
	c->active_ms = now_mono_ms();
	if (s == &c->agent)
		c->bytes_in += n;
	else
		c->bytes_out += n;
}

/* false: the connection is over. */
static bool flush(struct conn *c, struct side *s)
{
	while (buf_len(&s->out)) {
		ssize_t n = buf_write(&s->out, s->fd);

		if (n == -EAGAIN)
			return true;
		if (n < 0) {
			conn_close(c);
			return false;
		}
		count(c, s, (size_t)n);
	}
	buf_done(&s->out);
	return true;
}

/* After the last byte of one side has been written to the other, the other hears that it was the last. */
static void pass_eof(struct side *from, struct side *to)
{
	if (!from->eof || to->shut || to->fd < 0 || buf_len(&to->out))
		return;
	shutdown(to->fd, SHUT_WR);
	to->shut = true;
}

/* Straight from one socket to the other; only what the other does not take is kept, and then nothing more is read. */
static void relay(struct conn *c, struct side *from, struct side *to)
{
	static char scratch[READ_MAX];
	ssize_t n = read(from->fd, scratch, read_max()), w;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		conn_close(c);
		return;
	}
	c->active_ms = now_mono_ms();
	if (n == 0) {
		from->eof = true;
		return;
	}
	w = write(to->fd, scratch, (size_t)n);
	if (w < 0 && errno != EAGAIN && errno != EINTR) {
		conn_close(c);
		return;
	}
	w = w < 0 ? 0 : w;
	count(c, to, (size_t)w);
	buf_append(&to->out, scratch + w, (size_t)(n - w));
}

static void side_read(struct conn *c, struct side *s)
{
	ssize_t n = buf_read(&s->in, s->fd, c->state == STATE_EXCHANGE ? read_max() : READ_MAX_MANY);

	if (n == -EAGAIN)
		return;
	c->active_ms = now_mono_ms();
	if (n == 0) {
		s->eof = true;
		return;
	}
	if (n < 0) {
		if (s == &c->origin && c->state == STATE_EXCHANGE && !c->x.answered)
			s->eof = true; /* http.c says so to the agent */
		else
			conn_close(c);
		return;
	}
	if (c->state == STATE_DRAIN)
		buf_clear(&s->in);
}

static void dial_done(struct conn *c)
{
	socklen_t len = sizeof(int);
	int code = 0;

	if (getsockopt(c->origin.fd, SOL_SOCKET, SO_ERROR, &code, &len) < 0 || code) {
		dial_next(c);
		return;
	}
	if (c->plane == PLANE_TLS) {
		buf_append(&c->origin.out, buf_ptr(&c->agent.in), buf_len(&c->agent.in));
		buf_done(&c->agent.in);
		conn_state(c, STATE_TUNNEL, IDLE_MS);
	} else if (c->connect && !c->fixed) {
		buf_puts(&c->agent.out, "HTTP/1.1 200 Connection established\r\n\r\n");
		conn_state(c, STATE_GATE, gate_origin_first(c->port) ? IDLE_MS : HEAD_MS);
	} else {
		http_begin(c);
	}
}

static void on_side(struct source *source, uint32_t events, void *arg)
{
	struct side *s = arg;
	struct conn *c = s->conn;

	if (c->closed || source != s->io)
		return;
	if (c->state == STATE_DIAL && s == &c->origin) {
		dial_done(c);
	} else {
		if (events & (EPOLLOUT | EPOLLERR) && !flush(c, s))
			return;
		if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && s->mask & EPOLLIN) {
			if (c->state == STATE_TUNNEL)
				relay(c, s, s == &c->agent ? &c->origin : &c->agent);
			else
				side_read(c, s);
		} else if (events & EPOLLERR || (events & EPOLLHUP && s->mask & EPOLLOUT)) {
			conn_close(c);
		}
	}
	conn_step(c);
}

static void tunnel_step(struct conn *c)
{
	pass_eof(&c->agent, &c->origin);
	pass_eof(&c->origin, &c->agent);
	if (c->agent.shut && c->origin.shut)
		conn_close(c);
}

static bool drain_step(struct conn *c)
{
	if (!buf_len(&c->agent.out) && !c->agent.shut) {
		shutdown(c->agent.fd, SHUT_WR);
		c->agent.shut = true;
	}
	if (c->agent.eof)
		conn_close(c);
	return false;
}

/* An origin that speaks or closes while it is asked nothing is of no use any more. */
static void idle_origin(struct conn *c)
{
	if (c->state != STATE_HEAD || c->origin.fd < 0 || (!c->origin.eof && !buf_len(&c->origin.in)))
		return;
	if (c->fixed)
		conn_close(c);
	else
		origin_close(c);
}

static bool step(struct conn *c)
{
	switch (c->state) {
	case STATE_HEAD:
		idle_origin(c);
		return !c->closed && http_head(c);
	case STATE_HELLO:
		return gate_hello(c);
	case STATE_GATE:
		return gate_tunnel(c);
	case STATE_EXCHANGE:
		return http_exchange(c);
	case STATE_TUNNEL:
		tunnel_step(c);
		return false;
	case STATE_DRAIN:
		return drain_step(c);
	case STATE_RESOLVE:
	case STATE_DIAL:
		break;
	}
	return false;
}

/* true: something was written, so there is room for more. */
static bool flush_both(struct conn *c)
{
	size_t before = buf_len(&c->origin.out) + buf_len(&c->agent.out);

	/* Most answers fit the socket: no turn of the loop for them. */
	if (c->state != STATE_DIAL && c->origin.fd >= 0 && !flush(c, &c->origin))
		return false;
	if (!flush(c, &c->agent))
		return false;
	return buf_len(&c->origin.out) + buf_len(&c->agent.out) < before;
}

/*
 * Until nothing moves any more: bytes that were held back for want of room would
 * otherwise wait for an event that never comes, their socket being empty.
 */
static void conn_step(struct conn *c)
{
	do {
		while (!c->closed && step(c))
			;
	} while (!c->closed && flush_both(c));
	conn_update(c);
}

void conn_drain(struct conn *c)
{
	origin_close(c);
	buf_done(&c->agent.in);
	conn_state(c, STATE_DRAIN, DRAIN_MS);
}

static void tls_alert(struct conn *c, uint8_t code)
{
	const uint8_t alert[] = { 21, 3, 3, 0, 2, 2, code };

	buf_append(&c->agent.out, alert, sizeof(alert));
	conn_drain(c);
}

/* Says no in the protocol that the agent speaks at this point. */
static void say_no(struct conn *c, int status, uint8_t alert, const char *text)
{
	bool tls = c->plane == PLANE_TLS ||
		   (c->state == STATE_GATE && buf_len(&c->agent.in) && *buf_ptr(&c->agent.in) == 22);

	if (tls)
		tls_alert(c, alert);
	else if (c->state == STATE_GATE)
		conn_drain(c);
	else
		http_error(c, status, text);
}

void conn_deny(struct conn *c, const char *rule, const char *reason)
{
	_cleanup_free_ char *text = NULL;

	conn_audit(c, false, false, rule, reason);
	text = xasprintf(
		"Denied by this bottle's policy: %s.\nRule: %s. To allow it, add a rule to the policy file and "
		"run 'bottle down' and 'bottle up' on the host.\n",
		reason, rule);
	say_no(c, 403, TLS_ACCESS_DENIED, text);
}

void conn_fail(struct conn *c, int status, const char *reason)
{
	_cleanup_free_ char *text = xasprintf("%s\n", reason);

	if (c->permitted) {
		conn_audit(c, true, true, c->rule, reason);
		c->permitted = false;
	} else {
		conn_audit(c, false, false, "default", reason);
	}
	say_no(c, status, TLS_INTERNAL_ERROR, text);
}

bool conn_permit(struct conn *c, const char *host, uint16_t port)
{
	struct decision d;

	memmove(c->host, host, strlen(host) + 1);
	c->port = port;
	ruleset_decide(child_rules(), c->host, port, &d);
	if (!d.allow) {
		conn_deny(c, d.rule, d.reason);
		return false;
	}
	snprintf(c->rule, sizeof(c->rule), "%s", d.rule);
	conn_audit(c, true, false, d.rule, d.reason);
	c->permitted = true;
	return true;
}

void conn_resolve(struct conn *c)
{
	conn_state(c, STATE_RESOLVE, RESOLVE_MS);
	if (names_ask(c) < 0)
		conn_fail(c, 503, "The sidecar's resolver is overloaded; try again.");
}

static bool among(const uint8_t *addrs, size_t n, const void *addr)
{
	for (size_t i = 0; i < n; i++)
		if (memcmp(addrs + 4 * i, addr, 4) == 0)
			return true;
	return false;
}

/* Called by names.c with the answer of dns; the agent's own destination must be an address of the name. */
void conn_resolved(struct conn *c, const uint8_t *fresh, size_t n_fresh, const uint8_t *pins, size_t n_pins,
		   const char *why)
{
	char text[INET_ADDRSTRLEN], reason[DECISION_TEXT_MAX];

	c->n_addrs = c->next_addr = 0;
	if (why) {
		snprintf(reason, sizeof(reason), "%.60s could not be resolved: %.70s", c->host, why);
		conn_fail(c, 502, reason);
	} else if (c->plane != PLANE_PROXY) {
		const uint8_t *asked = (const uint8_t *)&c->asked.sin_addr;

		if (!among(fresh, n_fresh, asked) && !among(pins, n_pins, asked)) {
			inet_ntop(AF_INET, asked, text, sizeof(text));
			snprintf(reason, sizeof(reason), "address %s is not one of %.100s's", text, c->host);
			c->permitted = false;
			conn_deny(c, c->rule, reason);
		} else {
			memcpy(c->addrs[c->n_addrs++], asked, 4);
			dial_next(c);
		}
	} else if (!n_fresh) {
		snprintf(reason, sizeof(reason), "%.90s has no public address", c->host);
		conn_fail(c, 502, reason);
	} else {
		c->n_addrs = n_fresh < DIAL_TRIES_MAX ? n_fresh : DIAL_TRIES_MAX;
		memcpy(c->addrs, fresh, 4 * c->n_addrs);
		dial_next(c);
	}
	if (!c->closed)
		conn_step(c);
}

/* Checked again here, whatever was checked before: an address that is not public is never dialled. */
static int dial(struct conn *c, const uint8_t addr[4])
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(c->port) };
	_cleanup_close_ int fd = -1;
	int on = 1;

	memcpy(&to.sin_addr, addr, 4);
	if (!address_is_public(addr))
		return -EACCES;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, egress.egress_dev, (socklen_t)strlen(egress.egress_dev)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
	    (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS))
		return -errno;
	c->origin.fd = TAKE_FD(fd);
	c->origin.conn = c;
	memcpy(c->address, addr, 4);
	return 0;
}

static void dial_next(struct conn *c)
{
	char reason[DECISION_TEXT_MAX];

	side_close(&c->origin);
	while (c->next_addr < c->n_addrs) {
		if (dial(c, c->addrs[c->next_addr++]) == 0) {
			conn_state(c, STATE_DIAL, DIAL_MS);
			return;
		}
	}
	snprintf(reason, sizeof(reason), "%.90s port %u does not accept connections", c->host, c->port);
	conn_fail(c, 502, reason);
}

void conn_accept(enum plane plane, int listener_fd)
{
	struct sockaddr_in peer;
	socklen_t len = sizeof(peer);
	int fd = accept4(listener_fd, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC | SOCK_NONBLOCK), on = 1;
	struct conn *c;

	if (fd < 0)
		return;
	c = xcalloc(1, sizeof(*c));
	c->plane = plane;
	c->peer = peer;
	c->agent = (struct side){ .conn = c, .fd = fd };
	c->origin = (struct side){ .conn = c, .fd = -1 };
	c->started_ms = now_mono_ms();
	c->timer = loop_timer(egress.loop, UINT64_MAX, on_timer, c);
	len = sizeof(c->asked);
	LIST_INSERT_HEAD(&egress.conns, c, next);
	if (++egress.n_conns == CONNS_MAX)
		egress_accepting(false);
	egress.counters->open = egress.n_conns;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (getsockname(fd, (struct sockaddr *)&c->asked, &len) < 0) {
		conn_close(c);
		return;
	}
	c->port = plane == PLANE_PROXY ? 0 : ntohs(c->asked.sin_port);
	conn_state(c, plane == PLANE_TLS ? STATE_HELLO : STATE_HEAD, HEAD_MS);
	conn_update(c);
}

/* A new policy holds for what is open, too. */
void egress_recheck(const struct ruleset *rules)
{
	struct conn *c, *after;

	for (c = LIST_FIRST(&egress.conns); c; c = after) {
		struct decision d;

		after = LIST_NEXT(c, next);
		if (!c->permitted)
			continue;
		ruleset_decide(rules, c->host, c->port, &d);
		if (d.allow) {
			snprintf(c->rule, sizeof(c->rule), "%s", d.rule);
			continue;
		}
		conn_audit(c, false, false, d.rule, "the new policy does not allow it: connection cut");
		conn_close(c);
	}
}
