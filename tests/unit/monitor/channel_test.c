/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of a hostile guest: what is let through, and that each broken rule ends the channel. */
#include "tests/unit/monitor/unit.h"

#include "monitor/channel.h"

struct seen {
	unsigned int frames;
	bool broken;
	size_t body;
};

static int on_frame(void *arg, const struct guest_frame *f, const unsigned char *body, struct err *e)
{
	struct seen *s = arg;

	(void)body;
	s->frames++;
	s->body += f->size;
	return f->type == GUEST_SYNCED ? err_set(e, ERR_INVALID, EBADMSG, "not now") : 0;
}

static void on_broken(void *arg, const char *why)
{
	struct seen *s = arg;

	assert_true(why[0] != '\0');
	s->broken = true;
}

static void on_room(void *arg)
{
	(void)arg;
}

static const struct channel_events events = { on_frame, on_broken, on_room };

static const struct {
	const char *what;
	struct guest_frame head;
	bool ok;
} cases[] = {
	{ "hello", { 8, GUEST_HELLO, 0, 0 }, true },
	{ "configured", { 0, GUEST_CONFIGURED, 0, 0 }, true },
	{ "configured with a body", { 1, GUEST_CONFIGURED, 0, 0 }, false },
	{ "hello on a process's stream", { 8, GUEST_HELLO, 0, 1 }, false },
	{ "output on stream 0", { 8, GUEST_STDOUT, 0, 0 }, false },
	{ "output", { 8, GUEST_STDOUT, 0, 7 }, true },
	{ "empty output", { 0, GUEST_STDOUT, 0, 7 }, false },
	{ "largest output", { GUEST_DATA_MAX, GUEST_STDERR, 0, 7 }, true },
	{ "too large output", { GUEST_DATA_MAX + 1, GUEST_STDERR, 0, 7 }, false },
	{ "largest control body", { GUEST_BODY_MAX, GUEST_LOG, 0, 0 }, true },
	{ "too large control body", { GUEST_BODY_MAX + 1, GUEST_LOG, 0, 0 }, false },
	{ "four gigabytes", { UINT32_MAX, GUEST_STDOUT, 0, 7 }, false },
	{ "the host's own type", { 0, HOST_CONFIG, 0, 0 }, false },
	{ "unknown type", { 0, 999, 0, 0 }, false },
	{ "reserved bits", { 8, GUEST_HELLO, 1, 0 }, false },
	{ "refused by its handler", { 0, GUEST_SYNCED, 0, 0 }, false },
};

static void heads_are_checked(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		static unsigned char body[GUEST_BODY_MAX];
		struct seen s = { 0 };
		struct channel *c = channel_new(NULL, -1, &events, &s);
		size_t n = cases[i].head.size < sizeof(body) ? cases[i].head.size : sizeof(body);

		channel_feed(c, &cases[i].head, sizeof(cases[i].head));
		if (!s.broken)
			channel_feed(c, body, n);
		if (s.broken == cases[i].ok)
			fail_msg("%s", cases[i].what);
		if (cases[i].ok)
			assert_int_equal(s.frames, 1);
		channel_free(c);
	}
}

/* Any cut of a valid row of frames gives the same frames. */
static void bytes_may_come_singly(void **state)
{
	struct guest_frame heads[2] = { { 4, GUEST_STDOUT, 0, 1 }, { 0, GUEST_CONFIGURED, 0, 0 } };
	unsigned char wire[sizeof(heads) + 4] = { 0 };
	struct seen s = { 0 };
	struct channel *c = channel_new(NULL, -1, &events, &s);

	(void)state;
	memcpy(wire, &heads[0], sizeof(heads[0]));
	memcpy(wire + sizeof(heads[0]) + 4, &heads[1], sizeof(heads[1]));
	for (size_t i = 0; i < sizeof(wire); i++)
		assert_int_equal(channel_feed(c, wire + i, 1), 0);
	assert_int_equal(s.frames, 2);
	assert_int_equal(s.body, 4);
	channel_free(c);
}

static void a_guest_that_does_not_read_is_given_up(void **state)
{
	static unsigned char data[GUEST_DATA_MAX];
	_cleanup_loop_ struct loop *l = loop_new();
	struct seen s = { 0 };
	struct channel *c;
	int p[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, p), 0);
	c = channel_new(l, p[0], &events, &s);
	for (size_t sent = 0; sent < CHANNEL_OUT_HIGH * 2; sent += sizeof(data))
		channel_send(c, HOST_STDIN, 1, data, sizeof(data));
	assert_false(channel_room(c));
	assert_false(s.broken);
	for (size_t sent = 0; sent < CHANNEL_OUT_MAX * 2 && !s.broken; sent += sizeof(data))
		channel_send(c, HOST_STDIN, 1, data, sizeof(data));
	assert_true(s.broken);
	channel_free(c);
	close(p[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heads_are_checked),
		cmocka_unit_test(bytes_may_come_singly),
		cmocka_unit_test(a_guest_that_does_not_read_is_given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
