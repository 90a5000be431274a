/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames to and from bottle-init, in bottle-monitor. The guest is hostile: a
 * frame's type, stream and size are checked against a table before its body is
 * waited for, and the first broken rule ends the channel. Fuzzed
 * (tests/fuzz/fuzz_guest_channel.c).
 */
#include "monitor/channel.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

#define READ_SIZE (64 * 1024)

struct channel {
	const struct channel_events *ev;
	void *arg;
	struct source *source;
	struct buf in, out;
	int fd;
	bool dead, full;
};

/* What the guest may send: on stream 0 or on a process's, and how long its body is. */
static const struct rule {
	uint16_t type;
	bool process;
	uint32_t min, max;
} rules[] = {
	{ GUEST_HELLO, false, 1, GUEST_BODY_MAX },
	{ GUEST_CONFIGURED, false, 0, 0 },
	{ GUEST_FAILED, false, 0, GUEST_BODY_MAX },
	{ GUEST_STATS, false, 0, GUEST_BODY_MAX },
	{ GUEST_SYNCED, false, 0, 0 },
	{ GUEST_LOG, false, 0, GUEST_BODY_MAX },
	{ GUEST_STARTED, true, 1, GUEST_BODY_MAX },
	{ GUEST_START_FAILED, true, 1, GUEST_BODY_MAX },
	{ GUEST_STDOUT, true, 1, GUEST_DATA_MAX },
	{ GUEST_STDERR, true, 1, GUEST_DATA_MAX },
	{ GUEST_WINDOW_IN, true, 1, GUEST_BODY_MAX },
	{ GUEST_EXIT, true, 1, GUEST_BODY_MAX },
};

static int check_head(const struct guest_frame *f, struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		if (rules[i].type != f->type)
			continue;
		if (f->zero || rules[i].process != (f->stream != 0))
			return err_set(e, ERR_INVALID, EBADMSG, "frame of type %u on stream %u", f->type, f->stream);
		if (f->size < rules[i].min || f->size > rules[i].max)
			return err_set(e, ERR_INVALID, EBADMSG, "frame of type %u with %u bytes", f->type, f->size);
		return 0;
	}
	return err_set(e, ERR_INVALID, EBADMSG, "frame of unknown type %u", f->type);
}

static int broken(struct channel *c, const char *why)
{
	if (c->dead)
		return -EBADMSG;
	c->dead = true;
	source_free(TAKE_PTR(c->source));
	buf_clear(&c->out);
	c->ev->broken(c->arg, why);
	return -EBADMSG;
}

/* 1 a frame was handled, 0 more bytes are needed, < 0 broken. */
static int one_frame(struct channel *c)
{
	struct guest_frame f;
	struct err e = { 0 };

	if (buf_len(&c->in) < sizeof(f))
		return 0;
	memcpy(&f, buf_ptr(&c->in), sizeof(f));
	f.size = le32toh(f.size);
	f.type = le16toh(f.type);
	f.stream = le32toh(f.stream);
	if (check_head(&f, &e) < 0)
		return broken(c, e.text);
	if (buf_len(&c->in) - sizeof(f) < f.size)
		return 0;
	if (c->ev->frame(c->arg, &f, (unsigned char *)buf_ptr(&c->in) + sizeof(f), &e) < 0)
		return broken(c, e.text);
	buf_consume(&c->in, sizeof(f) + f.size);
	return 1;
}

int channel_feed(struct channel *c, const void *data, size_t n)
{
	int r = 1;

	if (c->dead)
		return -EBADMSG;
	buf_append(&c->in, data, n);
	while (r > 0 && !c->dead)
		r = one_frame(c);
	return c->dead ? -EBADMSG : r;
}

static void flush(struct channel *c)
{
	while (buf_len(&c->out)) {
		ssize_t n = buf_write(&c->out, c->fd);

		if (n == -EAGAIN)
			break;
		if (n < 0) {
			buf_clear(&c->out); /* the VMM is gone; its exit follows */
			break;
		}
	}
	if (c->source)
		source_events(c->source, EPOLLIN | (buf_len(&c->out) ? EPOLLOUT : 0));
	if (c->full && channel_room(c)) {
		c->full = false;
		c->ev->room(c->arg);
	}
}

/* > 0 bytes were read; 0 nothing is there; < 0 the end. */
static ssize_t fill(struct channel *c)
{
	_cleanup_buf_ struct buf b = { 0 };
	ssize_t n = buf_read(&b, c->fd, READ_SIZE);

	if (n == -EAGAIN)
		return 0;
	if (n <= 0)
		return -ENODATA;
	return channel_feed(c, buf_ptr(&b), (size_t)n) < 0 ? -EBADMSG : n;
}

static void on_io(struct source *s, uint32_t events, void *arg)
{
	struct channel *c = arg;

	(void)s;
	if (events & EPOLLOUT)
		flush(c);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && fill(c) == -ENODATA)
		source_free(TAKE_PTR(c->source)); /* the VMM ends: its exit is an event of its own */
}

void channel_drain(struct channel *c)
{
	while (!c->dead && c->fd >= 0 && fill(c) > 0)
		;
	source_free(TAKE_PTR(c->source));
}

bool channel_room(const struct channel *c)
{
	return buf_len(&c->out) < CHANNEL_OUT_HIGH;
}

void channel_send(struct channel *c, uint16_t type, uint32_t stream, const void *body, size_t n)
{
	struct guest_frame f = {
		.size = htole32((uint32_t)n),
		.type = htole16(type),
		.stream = htole32(stream),
	};
	bool idle = !buf_len(&c->out);

	if (c->dead || c->fd < 0)
		return;
	buf_append(&c->out, &f, sizeof(f));
	buf_append(&c->out, body, n);
	if (idle)
		flush(c);
	if (!channel_room(c))
		c->full = true;
	if (buf_len(&c->out) > CHANNEL_OUT_MAX)
		broken(c, "it does not read what it is sent");
}

void channel_send_tlv(struct channel *c, uint16_t type, uint32_t stream, const struct tlv *body)
{
	channel_send(c, type, stream, body->data, (size_t)tlv_len(body));
}

int channel_text(const struct tlv_field *f, char out[GUEST_TEXT_MAX + 1])
{
	if (f->tag != GUEST_TAG_TEXT || f->len > GUEST_TEXT_MAX)
		return -EBADMSG;
	for (uint32_t i = 0; i < f->len; i++)
		out[i] = f->data[i] < 0x20 || f->data[i] >= 0x7f ? '?' : (char)f->data[i];
	out[f->len] = '\0';
	return 0;
}

struct channel *channel_new(struct loop *l, int take_fd, const struct channel_events *ev, void *arg)
{
	struct channel *c = xcalloc(1, sizeof(*c));

	c->ev = ev;
	c->arg = arg;
	c->fd = take_fd;
	if (take_fd >= 0)
		c->source = loop_io(l, take_fd, EPOLLIN, on_io, c);
	return c;
}

void channel_free(struct channel *c)
{
	if (!c)
		return;
	source_free(c->source);
	cleanup_close(&c->fd);
	buf_done(&c->in);
	buf_done(&c->out);
	free(c);
}
