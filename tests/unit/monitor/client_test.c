/* SPDX-License-Identifier: Apache-2.0 */
/* Engine clients: frames, half-closing, vanishing, detach keys cut in every way, replay. */
#include "tests/unit/monitor/unit.h"

#include <fcntl.h>

#include "base/buf.h"
#include "base/fd.h"
#include "monitor/client.h"

struct seen {
	struct buf input;
	size_t room;
	int ends, input_ends;
	enum client_end why;
};

static size_t on_room(void *arg)
{
	return ((struct seen *)arg)->room;
}

static void on_input(void *arg, struct client *c, const void *data, size_t n)
{
	struct seen *s = arg;

	(void)c;
	buf_append(&s->input, data, n);
	s->room -= n;
}

static void on_input_end(void *arg, struct client *c)
{
	(void)c;
	((struct seen *)arg)->input_ends++;
}

static void on_drained(void *arg)
{
	(void)arg;
}

static void on_ended(void *arg, struct client *c, enum client_end why)
{
	struct seen *s = arg;

	(void)c;
	s->ends++;
	s->why = why;
}

static const struct client_events events = { on_room, on_input, on_input_end, on_drained, on_ended };

struct env {
	struct loop *loop;
	struct client *client;
	struct seen seen;
	int fd; /* the Engine client's side */
};

static void start(struct env *e, struct client_config cfg)
{
	int p[2];

	*e = (struct env){ .loop = loop_new() };
	e->seen.room = 1 << 20;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p), 0);
	e->fd = p[1];
	assert_int_equal(client_new(e->loop, p[0], &cfg, &events, &e->seen, &e->client, NULL), 0);
	client_update(e->client);
}

static void stop(struct env *e)
{
	if (!e->seen.ends)
		client_free(e->client);
	loop_free(e->loop);
	buf_done(&e->seen.input);
	if (e->fd >= 0)
		close(e->fd);
}

static void got(struct env *e, const char *want, size_t n)
{
	char data[4096];
	ssize_t len = recv(e->fd, data, sizeof(data), MSG_DONTWAIT);

	assert_int_equal(len, n);
	assert_memory_equal(data, want, n);
}

static void output_is_framed(void **state)
{
	struct env e;

	(void)state;
	start(&e, (struct client_config){ .flags = MON_F_STDOUT | MON_F_STDERR });
	client_output(e.client, 1, "out", 3);
	client_output(e.client, 2, "error", 5);
	got(&e, "\1\0\0\0\0\0\0\3out\2\0\0\0\0\0\0\5error", 24);
	client_finish(e.client);
	unit_turn(e.loop, 10);
	assert_int_equal(e.seen.ends, 1);
	assert_int_equal(e.seen.why, CLIENT_DONE);
	got(&e, "", 0); /* end of file */
	stop(&e);
}

static void only_what_was_asked_for(void **state)
{
	struct env e;

	(void)state;
	start(&e, (struct client_config){ .flags = MON_F_STDERR });
	client_output(e.client, 1, "out", 3);
	client_output(e.client, 2, "e", 1);
	got(&e, "\2\0\0\0\0\0\0\1e", 9);
	stop(&e);
	start(&e, (struct client_config){ .flags = MON_F_STDOUT | MON_F_TTY });
	client_output(e.client, 1, "raw", 3);
	got(&e, "raw", 3);
	stop(&e);
}

static void half_closed_is_not_gone(void **state)
{
	struct env e;

	(void)state;
	start(&e, (struct client_config){ .flags = MON_F_STDOUT | MON_F_STDIN, .early = "ea", .early_len = 2 });
	assert_int_equal(send(e.fd, "in", 2, MSG_NOSIGNAL), 2);
	shutdown(e.fd, SHUT_WR);
	unit_turn(e.loop, 10);
	assert_string_equal(buf_cstr(&e.seen.input), "eain");
	assert_int_equal(e.seen.input_ends, 1);
	assert_int_equal(e.seen.ends, 0);
	client_output(e.client, 1, "x", 1);
	got(&e, "\1\0\0\0\0\0\0\1x", 9);
	close(e.fd);
	e.fd = -1;
	unit_turn(e.loop, 10);
	assert_int_equal(e.seen.ends, 1);
	assert_int_equal(e.seen.why, CLIENT_GONE);
	stop(&e);
}

/* What a client sent before it vanished still arrives, however slowly the process reads. */
static void last_words(void **state)
{
	struct env e;

	(void)state;
	start(&e, (struct client_config){ .flags = MON_F_STDIN });
	e.seen.room = 0;
	client_update(e.client);
	assert_int_equal(send(e.fd, "last words of a client", 22, MSG_NOSIGNAL), 22);
	close(e.fd);
	e.fd = -1;
	unit_turn(e.loop, 10);
	assert_int_equal(e.seen.ends, 0);
	e.seen.room = CLIENT_KEYS_MAX + 10;
	client_update(e.client);
	assert_int_equal(buf_len(&e.seen.input), 10);
	e.seen.room = 1000;
	client_update(e.client);
	assert_string_equal(buf_cstr(&e.seen.input), "last words of a client");
	assert_int_equal(e.seen.ends, 1);
	stop(&e);
}

static const struct {
	const char *input; /* p: ctrl-p, q: ctrl-q; | cuts */
	const char *want;
	bool detached;
} key_cases[] = {
	{ "abpq", "ab", true }, { "abp|q", "ab", true }, { "p|p|q", "p", true },
	{ "ppq", "p", true },   { "pa|pq", "pa", true }, { "qp", "q", false },
	{ "p|x", "px", false }, { "pqafter", "", true }, { "p|ppp|x", "ppppx", false },
};

static void detach_keys(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(key_cases); i++) {
		struct client_config cfg = { .flags = MON_F_TTY | MON_F_STDIN | MON_F_STDOUT,
					     .keys = { 0x10, 0x11 },
					     .n_keys = 2 };
		struct env e;

		start(&e, cfg);
		for (const char *p = key_cases[i].input; *p && !e.seen.ends; p++) {
			char c = *p == 'p' ? 0x10 : *p == 'q' ? 0x11 : *p;

			if (*p == '|')
				unit_turn(e.loop, 5);
			else
				assert_int_equal(send(e.fd, &c, 1, MSG_NOSIGNAL), 1);
		}
		unit_turn(e.loop, 5);
		for (size_t k = 0; k < buf_len(&e.seen.input); k++) {
			char *c = buf_ptr(&e.seen.input) + k;

			*c = *c == 0x10 ? 'p' : *c == 0x11 ? 'q' : *c;
		}
		if (strcmp(buf_cstr(&e.seen.input), key_cases[i].want) != 0 || e.seen.ends != key_cases[i].detached)
			fail_msg("%s gave %s, %d", key_cases[i].input, buf_cstr(&e.seen.input), e.seen.ends);
		if (e.seen.ends)
			assert_int_equal(e.seen.why, CLIENT_DETACHED);
		stop(&e);
	}
}

static void replayed_then_live(void **state)
{
	char path[] = "/tmp/client-test.XXXXXX";
	struct vmlog *log;
	struct env e;
	int dir_fd;

	(void)state;
	assert_non_null(mkdtemp(path));
	dir_fd = open(path, O_PATH | O_CLOEXEC);
	log = vmlog_open(dir_fd, 1 << 20, NULL);
	vmlog_write(log, 1, "old\n", 4);
	start(&e, (struct client_config){ .flags = MON_F_STDOUT | MON_F_REPLAY, .log = log });
	vmlog_write(log, 1, "new\n", 4); /* before the replay was read: it must come once */
	client_output(e.client, 1, "new\n", 4);
	unit_turn(e.loop, 10);
	vmlog_write(log, 1, "live\n", 5);
	client_output(e.client, 1, "live\n", 5);
	got(&e, "\1\0\0\0\0\0\0\10old\nnew\n\1\0\0\0\0\0\0\5live\n", 29);
	stop(&e);
	start(&e,
	      (struct client_config){ .flags = MON_F_STDOUT | MON_F_TTY | MON_F_REPLAY | MON_F_NO_STREAM, .log = log });
	unit_turn(e.loop, 10);
	got(&e, "old\nnew\nlive\n", 13);
	assert_int_equal(e.seen.ends, 1);
	stop(&e);
	vmlog_free(log);
	close(dir_fd);
	remove_tree(AT_FDCWD, path);
}

static void only_sockets(void **state)
{
	struct client_config cfg = { .flags = MON_F_STDOUT };
	struct client *c;

	(void)state;
	assert_int_equal(client_new(NULL, open("/dev/null", O_RDWR | O_CLOEXEC), &cfg, &events, NULL, &c, NULL),
			 -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(output_is_framed),
		cmocka_unit_test(only_what_was_asked_for),
		cmocka_unit_test(half_closed_is_not_gone),
		cmocka_unit_test(last_words),
		cmocka_unit_test(detach_keys),
		cmocka_unit_test(replayed_then_live),
		cmocka_unit_test(only_sockets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
