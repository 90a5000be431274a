/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The framed channel over the virtio-serial port; in bottle-init, which
 * distrusts the host's bytes as the host distrusts ours.
 *
 * The port's descriptor hangs up (POLLHUP, reads of 0) while nobody holds the
 * host's end. Such a descriptor must leave epoll, or it would spin: a slow
 * timer looks whether the host came back, and gives up after LOST_MS.
 */
#include "guest/channel.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

#define READ_MAX (64 * 1024)
#define RETRY_MS 200
#define LOST_MS  4000

struct channel {
	struct loop *loop;
	struct source *io, *retry;
	struct buf in, out;
	const struct channel_ops *ops;
	void *arg;
	uint64_t hangup_ms;
	uint32_t events;
	int fd;
	bool dead, starved; /* starved: room() is owed */
};

/* Which frames the host may send, and how large they may be. */
static const struct rule {
	uint16_t type;
	bool on_stream;
	uint32_t min, max;
} rules[] = {
	{ HOST_CONFIG, false, 0, GUEST_BODY_MAX },
	{ HOST_SHUTDOWN, false, 0, 0 },
	{ HOST_STATS, false, 0, 0 },
	{ HOST_SYNC, false, 0, 0 },
	{ HOST_START, true, 1, GUEST_BODY_MAX },
	{ HOST_STDIN, true, 0, GUEST_DATA_MAX },
	{ HOST_STDIN_EOF, true, 0, 0 },
	{ HOST_WINDOW, true, 1, GUEST_BODY_MAX },
	{ HOST_RESIZE, true, 1, GUEST_BODY_MAX },
	{ HOST_SIGNAL, true, 1, GUEST_BODY_MAX },
};

static const struct rule *rule_of(uint16_t type)
{
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if (rules[i].type == type)
			return &rules[i];
	return NULL;
}

ssize_t frame_next(const void *data, size_t n, struct frame *ret)
{
	const struct rule *rule;
	struct guest_frame h;

	if (n < sizeof(h))
		return 0;
	memcpy(&h, data, sizeof(h));
	ret->type = le16toh(h.type);
	ret->size = le32toh(h.size);
	ret->stream = le32toh(h.stream);
	ret->body = (const unsigned char *)data + sizeof(h);
	rule = rule_of(ret->type);
	if (!rule || h.zero || rule->on_stream != (ret->stream != 0) || ret->size < rule->min || ret->size > rule->max)
		return -EBADMSG;
	return n - sizeof(h) < ret->size ? 0 : (ssize_t)(sizeof(h) + ret->size);
}

static void set_events(struct channel *c)
{
	uint32_t want = (buf_len(&c->out) < CHANNEL_STOP_INPUT ? EPOLLIN : 0) | (buf_len(&c->out) ? EPOLLOUT : 0);

	if (c->io && want != c->events)
		source_events(c->io, want);
	c->events = want;
}

static void lose(struct channel *c, const char *why)
{
	if (c->dead)
		return;
	c->dead = true;
	source_free(c->io);
	source_free(c->retry);
	c->io = c->retry = NULL;
	buf_clear(&c->in);
	buf_clear(&c->out);
	c->ops->lost(why, c->arg);
}

static void on_io(struct source *s, uint32_t events, void *arg);

static void on_retry(struct source *s, void *arg)
{
	struct channel *c = arg;
	struct pollfd p = { .fd = c->fd };

	if (poll(&p, 1, 0) >= 0 && !(p.revents & (POLLHUP | POLLERR))) {
		source_free(c->retry);
		c->retry = NULL;
		c->events = EPOLLIN;
		c->io = loop_io(c->loop, c->fd, EPOLLIN, on_io, c);
		set_events(c);
	} else if (now_mono_ms() - c->hangup_ms > LOST_MS) {
		lose(c, "the host closed the port");
	} else {
		source_timer(s, RETRY_MS);
	}
}

static void hang_up(struct channel *c)
{
	source_free(c->io);
	c->io = NULL;
	c->hangup_ms = now_mono_ms();
	c->retry = loop_timer(c->loop, RETRY_MS, on_retry, c);
}

static int flush_some(struct channel *c)
{
	while (buf_len(&c->out)) {
		ssize_t n = buf_write(&c->out, c->fd);

		if (n < 0)
			return n == -EINTR ? 0 : (int)n;
	}
	return 0;
}

static void write_out(struct channel *c)
{
	int r = flush_some(c);

	if (r < 0 && r != -EAGAIN) {
		hang_up(c);
		return;
	}
	set_events(c);
	if (c->starved && channel_room(c)) {
		c->starved = false;
		c->ops->room(c->arg);
	}
}

static void parse(struct channel *c)
{
	struct frame f;
	ssize_t n;

	while (!c->dead && (n = frame_next(buf_ptr(&c->in), buf_len(&c->in), &f)) != 0) {
		if (n < 0 || c->ops->frame(&f, c->arg) < 0) {
			lose(c, "the host broke the protocol");
			return;
		}
		buf_consume(&c->in, (size_t)n);
	}
}

static void on_io(struct source *s, uint32_t events, void *arg)
{
	struct channel *c = arg;
	ssize_t n;

	(void)s;
	if (events & EPOLLIN) {
		n = buf_read(&c->in, c->fd, READ_MAX);
		if (n == 0 || (n < 0 && n != -EAGAIN && n != -EINTR)) {
			hang_up(c);
			return;
		}
		parse(c);
	} else if (events & (EPOLLHUP | EPOLLERR)) {
		hang_up(c);
		return;
	}
	if (!c->dead && (events & EPOLLOUT))
		write_out(c);
}

struct channel *channel_new(struct loop *l, int take_fd, const struct channel_ops *ops, void *arg)
{
	struct channel *c = xcalloc(1, sizeof(*c));

	c->loop = l;
	c->fd = take_fd;
	c->ops = ops;
	c->arg = arg;
	c->events = EPOLLIN;
	c->io = loop_io(l, take_fd, EPOLLIN, on_io, c);
	return c;
}

void channel_free(struct channel *c)
{
	source_free(c->io);
	source_free(c->retry);
	buf_done(&c->in);
	buf_done(&c->out);
	close(c->fd);
	free(c);
}

void channel_send(struct channel *c, uint16_t type, uint32_t stream, const void *body, size_t n)
{
	struct guest_frame h = { .size = htole32((uint32_t)n), .type = htole16(type), .stream = htole32(stream) };

	if (c->dead)
		return;
	buf_append(&c->out, &h, sizeof(h));
	if (n)
		buf_append(&c->out, body, n);
	set_events(c);
}

void channel_send_tlv(struct channel *c, uint16_t type, uint32_t stream, const struct tlv *t)
{
	ssize_t n = tlv_len(t);

	channel_send(c, type, stream, t->data, n < 0 ? 0 : (size_t)n);
}

void channel_log(struct channel *c, const char *fmt, ...)
{
	char text[GUEST_TEXT_MAX], space[GUEST_TEXT_MAX + 16];
	struct tlv t;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	tlv_init(&t, space, sizeof(space));
	tlv_str(&t, GUEST_TAG_TEXT, text);
	channel_send_tlv(c, GUEST_LOG, 0, &t);
}

size_t channel_room(const struct channel *c)
{
	size_t queued = buf_len(&c->out);

	if (c->dead)
		return 0;
	return queued < CHANNEL_DATA_QUEUE ? CHANNEL_DATA_QUEUE - queued : 0;
}

void channel_starved(struct channel *c)
{
	c->starved = true;
}

void channel_flush(struct channel *c, int ms)
{
	uint64_t end = now_mono_ms() + (uint64_t)ms;
	struct pollfd p = { .fd = c->fd, .events = POLLOUT };

	while (!c->dead && flush_some(c) == -EAGAIN && now_mono_ms() < end)
		if (poll(&p, 1, 100) < 0 && errno != EINTR)
			return;
}
