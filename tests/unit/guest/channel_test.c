/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/mem.h"
#include "guest/channel.h"

static size_t make_frame(unsigned char *out, uint32_t size, uint16_t type, uint16_t zero, uint32_t stream)
{
	struct guest_frame h = { .size = size, .type = type, .zero = zero, .stream = stream };

	memcpy(out, &h, sizeof(h));
	return sizeof(h);
}

static void test_frames(void **state)
{
	static const struct {
		const char *name;
		uint32_t size;
		uint16_t type, zero;
		uint32_t stream;
		bool good;
	} cases[] = {
		{ "shutdown", 0, HOST_SHUTDOWN, 0, 0, true },
		{ "shutdown with a body", 1, HOST_SHUTDOWN, 0, 0, false },
		{ "shutdown on a stream", 0, HOST_SHUTDOWN, 0, 1, false },
		{ "start", 8, HOST_START, 0, 1, true },
		{ "start without a stream", 8, HOST_START, 0, 0, false },
		{ "empty start", 0, HOST_START, 0, 1, false },
		{ "largest body", GUEST_BODY_MAX, HOST_CONFIG, 0, 0, true },
		{ "too large a body", GUEST_BODY_MAX + 1, HOST_CONFIG, 0, 0, false },
		{ "largest data", GUEST_DATA_MAX, HOST_STDIN, 0, 7, true },
		{ "too large data", GUEST_DATA_MAX + 1, HOST_STDIN, 0, 7, false },
		{ "size of all ones", UINT32_MAX, HOST_STDIN, 0, 7, false },
		{ "reserved field", 0, HOST_STATS, 1, 0, false },
		{ "a guest's frame", 0, GUEST_HELLO, 0, 0, false },
		{ "type 0", 0, 0, 0, 0, false },
	};
	static unsigned char space[sizeof(struct guest_frame) + GUEST_BODY_MAX];
	struct frame f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t head = make_frame(space, cases[i].size, cases[i].type, cases[i].zero, cases[i].stream);

		if (!cases[i].good) {
			assert_int_equal(frame_next(space, head, &f), -EBADMSG);
			continue;
		}
		for (size_t n = 0; n < head; n++)
			assert_int_equal(frame_next(space, n, &f), 0);
		if (cases[i].size)
			assert_int_equal(frame_next(space, head + cases[i].size - 1, &f), 0);
		assert_int_equal(frame_next(space, head + cases[i].size, &f), head + cases[i].size);
		assert_int_equal(f.type, cases[i].type);
		assert_int_equal(f.stream, cases[i].stream);
		assert_ptr_equal(f.body, space + head);
	}
}

struct seen {
	struct loop *loop;
	int frames, rooms;
	bool lost;
};

static int on_frame(const struct frame *f, void *arg)
{
	struct seen *s = arg;

	s->frames++;
	if (f->type == HOST_SYNC)
		loop_quit(s->loop, 0);
	return f->type == HOST_STATS ? -EBADMSG : 0;
}

static void on_room(void *arg)
{
	struct seen *s = arg;

	s->rooms++;
	loop_quit(s->loop, 0);
}

static void on_lost(const char *why, void *arg)
{
	struct seen *s = arg;

	(void)why;
	s->lost = true;
	loop_quit(s->loop, 0);
}

static const struct channel_ops ops = { on_frame, on_room, on_lost };

static void on_time(struct source *t, void *arg)
{
	(void)t;
	loop_quit(arg, 1);
}

static struct channel *open_pair(struct seen *s, int *ret_host)
{
	int fds[2];

	*s = (struct seen){ .loop = loop_new() };
	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	fd_nonblock(fds[1]);
	*ret_host = fds[0];
	loop_timer(s->loop, 20000, on_time, s->loop);
	return channel_new(s->loop, fds[1], &ops, s);
}

/* A frame that comes in pieces, and two in one. */
static void test_pieces(void **state)
{
	unsigned char bytes[64];
	struct channel *c;
	struct seen s;
	size_t n;
	int host;

	(void)state;
	c = open_pair(&s, &host);
	n = make_frame(bytes, 4, HOST_STDIN, 0, 3);
	memcpy(bytes + n, "data", 4);
	n += 4;
	n += make_frame(bytes + n, 0, HOST_SYNC, 0, 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(write(host, bytes + i, 1), 1);
	assert_int_equal(loop_run(s.loop), 0);
	assert_int_equal(s.frames, 2);
	assert_false(s.lost);
	channel_free(c);
	loop_free(s.loop);
	close(host);
}

static void test_refused(void **state)
{
	unsigned char bytes[64];
	struct channel *c;
	struct seen s;
	size_t n;
	int host;

	(void)state;
	c = open_pair(&s, &host);
	n = make_frame(bytes, 0, HOST_STATS, 0, 0);
	n += make_frame(bytes + n, 0, HOST_SYNC, 0, 0);
	assert_int_equal(write(host, bytes, n), n);
	assert_int_equal(loop_run(s.loop), 0);
	assert_true(s.lost);
	assert_int_equal(s.frames, 1); /* nothing after the bad one is looked at */
	channel_free(c);
	loop_free(s.loop);
	close(host);
}

/* A host that does not read: the queue says that it is full, and tells when it is not. */
static void test_bounded(void **state)
{
	static char data[GUEST_DATA_MAX], sink[65536];
	struct channel *c;
	struct seen s;
	int host, sent = 0;

	(void)state;
	c = open_pair(&s, &host);
	while (channel_room(c) >= sizeof(data)) {
		channel_send(c, GUEST_STDOUT, 1, data, sizeof(data));
		assert_true(++sent < 1000);
	}
	channel_starved(c);
	fd_nonblock(host);
	assert_int_equal(s.rooms, 0);
	while (!s.rooms) {
		struct source *t = loop_timer(s.loop, 5, on_time, s.loop);

		while (read(host, sink, sizeof(sink)) > 0)
			continue;
		loop_run(s.loop);
		source_free(t);
	}
	assert_true(channel_room(c) > 0);
	channel_free(c);
	loop_free(s.loop);
	close(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bounded),
	};

	return cmocka_run_group_tests_name("guest channel", tests, NULL, NULL);
}
