/* SPDX-License-Identifier: Apache-2.0 */
/* The VM against a scripted guest: every breach ends it, and windows hold in both directions. */
#include "tests/unit/monitor/unit.h"

#include "tests/unit/monitor/fake_vm.h"

static void a_container_runs_and_ends(void **state)
{
	_cleanup_free_ char *status = NULL;
	struct fake f;

	(void)state;
	fake_start(&f, -1);
	fake_run(&f);
	assert_int_equal(f.vm->state, VM_RUNNING);
	fake_frame(&f, GUEST_STDOUT, 1, "hi\n", 3);
	fake_u32(&f, GUEST_EXIT, 1, GUEST_TAG_CODE, 9);
	assert_int_equal(f.vm->state, VM_STOPPING);
	vm_event(f.vm, VM_EV_VMM_END);
	assert_int_equal(file_read_at(f.vm->data_fd, "status", 4096, &status, NULL), 0);
	assert_non_null(strstr(status, "state exited\n"));
	assert_non_null(strstr(status, "code 9\n"));
	unit_turn(f.loop, 20);
	assert_int_equal(f.vm->state, VM_ENDED);
	assert_int_equal(f.kills, 0);
	fake_stop(&f);
}

/* Frames that a running guest may never send. */
static const struct {
	const char *what;
	uint16_t type;
	uint32_t stream;
	const char *body;
	size_t n;
} breaches[] = {
	{ "a second hello", GUEST_HELLO, 0, "\1\0\0\0\4\0\0\0\1\0\0\0", 12 },
	{ "a second configured", GUEST_CONFIGURED, 0, "", 0 },
	{ "statistics unasked", GUEST_STATS, 0, "", 0 },
	{ "synced unasked", GUEST_SYNCED, 0, "", 0 },
	{ "started twice", GUEST_STARTED, 1, "\5\0\0\0\4\0\0\0\1\0\0\0", 12 },
	{ "a failed start of what runs", GUEST_START_FAILED, 1, "\4\0\0\0\4\0\0\0\1\0\0\0", 12 },
	{ "output of a stream that nobody opened", GUEST_STDOUT, 2, "x", 1 },
	{ "exit of a stream that nobody opened", GUEST_EXIT, 77, "\4\0\0\0\4\0\0\0\1\0\0\0", 12 },
	{ "exit without a code", GUEST_EXIT, 1, "\13\0\0\0\4\0\0\0\1\0\0\0", 12 },
	{ "exit code 256", GUEST_EXIT, 1, "\4\0\0\0\4\0\0\0\0\1\0\0", 12 },
	{ "exit with a cut field", GUEST_EXIT, 1, "\4\0\0\0\4\0\0\0\1\0", 10 },
	{ "exit with a foreign field", GUEST_EXIT, 1, "\7\0\0\0\4\0\0\0\1\0\0\0", 12 },
	{ "input credit that was never spent", GUEST_WINDOW_IN, 1, "\6\0\0\0\4\0\0\0\1\0\0\0", 12 },
	{ "a log line without its text", GUEST_LOG, 0, "\4\0\0\0\4\0\0\0\1\0\0\0", 12 },
};

static void a_breach_ends_the_vm(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(breaches); i++) {
		struct fake f;

		fake_start(&f, -1);
		fake_run(&f);
		fake_frame(&f, breaches[i].type, breaches[i].stream, breaches[i].body, breaches[i].n);
		if (f.kills != 1 || f.vm->state != VM_STOPPING || !strstr(f.vm->error, "protocol"))
			fail_msg("%s: %u kills, state %s, '%s'", breaches[i].what, f.kills, vm_state_name(f.vm),
				 f.vm->error);
		vm_event(f.vm, VM_EV_VMM_END);
		assert_int_equal(f.vm->code, 255);
		fake_stop(&f);
	}
}

/* A program's name is the container's to choose: its lines are not to become lines of status, nor its bytes bad JSON. */
static void a_guests_text_is_one_printable_line(void **state)
{
	static const char body[] = "\4\0\0\0\4\0\0\0\177\0\0\0"
				   "\3\0\0\0\15\0\0\0x\ncode 0\n\xff\x1b[m";
	_cleanup_free_ char *status = NULL;
	struct fake f;
	size_t n;

	(void)state;
	fake_start(&f, -1);
	fake_u32(&f, GUEST_HELLO, 0, GUEST_TAG_VERSION, GUEST_PROTO_VERSION);
	fake_frame(&f, GUEST_CONFIGURED, 0, NULL, 0);
	vm_start(f.vm, (struct answer){ 0 });
	assert_int_equal(fake_frame(&f, GUEST_START_FAILED, 1, body, sizeof(body) - 1), 0);
	assert_string_equal(f.vm->error, "x?code 0???[m");
	vm_event(f.vm, VM_EV_VMM_END);
	assert_int_equal(file_read_at(f.vm->data_fd, "status", 4096, &status, &n), 0);
	assert_non_null(strstr(status, "\ncode 127\n"));
	assert_null(strstr(status, "\ncode 0\n"));
	fake_stop(&f);
}

static void clients_are_bounded(void **state)
{
	struct client_config cfg = { 0 };
	struct fake f;
	int p[2];

	(void)state;
	fake_start(&f, -1);
	fake_run(&f);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p), 0);
	for (int i = 0; i < STREAMS_CLIENTS_MAX; i++)
		assert_int_equal(process_attach(&f.vm->streams.main, fcntl(p[0], F_DUPFD_CLOEXEC, 3), &cfg, NULL), 0);
	assert_int_equal(process_attach(&f.vm->streams.main, fcntl(p[0], F_DUPFD_CLOEXEC, 3), &cfg, NULL), -EAGAIN);
	close(p[0]);
	close(p[1]);
	fake_stop(&f);
}

static void another_version_is_refused(void **state)
{
	struct fake f;

	(void)state;
	fake_start(&f, -1);
	fake_u32(&f, GUEST_HELLO, 0, GUEST_TAG_VERSION, GUEST_PROTO_VERSION + 1);
	assert_int_equal(f.kills, 1);
	assert_non_null(strstr(f.vm->error, "make guest"));
	fake_stop(&f);
}

/* Credit that came back on stream 1 since the last call; everything else is passed over. */
static uint32_t credit(int fd)
{
	static unsigned char wire[1 << 20];
	ssize_t n = recv(fd, wire, sizeof(wire), MSG_DONTWAIT);
	uint32_t sum = 0;

	for (ssize_t at = 0; at + (ssize_t)sizeof(struct guest_frame) <= n;) {
		struct guest_frame f;
		uint32_t v;

		memcpy(&f, wire + at, sizeof(f));
		if (f.type == HOST_WINDOW) {
			memcpy(&v, wire + at + sizeof(f) + 8, sizeof(v));
			sum += v;
		}
		at += (ssize_t)(sizeof(f) + f.size);
	}
	return sum;
}

static void output(struct fake *f, size_t n)
{
	static unsigned char block[GUEST_DATA_MAX];

	for (; n; n -= n < sizeof(block) ? n : sizeof(block))
		fake_frame(f, GUEST_STDOUT, 1, block, n < sizeof(block) ? n : sizeof(block));
}

static int attach(struct fake *f, uint32_t flags)
{
	struct client_config cfg = { .flags = flags };
	int p[2], small = 4096;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p), 0);
	setsockopt(p[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	assert_int_equal(process_attach(&f->vm->streams.main, p[0], &cfg, NULL), 0);
	return p[1];
}

/* The worst that a window allows: single bytes in turn on both streams, to a client that does not read yet. */
static void a_slow_reader_of_tiny_output_stays(void **state)
{
	size_t got = 0;
	struct fake f;
	char data[4096];
	int client;

	(void)state;
	fake_start(&f, -1);
	fake_run(&f);
	client = attach(&f, MON_F_STDOUT | MON_F_STDERR);
	for (size_t i = 0; i < GUEST_WINDOW; i++)
		assert_int_equal(fake_frame(&f, i % 2 ? GUEST_STDERR : GUEST_STDOUT, 1, "x", 1), 0);
	while (got < 9 * (size_t)GUEST_WINDOW) {
		ssize_t n = recv(client, data, sizeof(data), MSG_DONTWAIT);

		if (n == 0)
			fail_msg("dropped after %zu bytes", got);
		got += n > 0 ? (size_t)n : 0;
		unit_turn(f.loop, 0);
	}
	close(client);
	fake_stop(&f);
}

static void credit_waits_for_the_slowest_client(void **state)
{
	static char waste[1 << 20];
	size_t before, got = 0;
	struct fake f;
	int p[2], client;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, p), 0);
	fake_start(&f, p[0]);
	fake_run(&f);
	credit(p[1]);
	output(&f, GUEST_WINDOW / 2); /* nobody is attached: the log is enough */
	assert_int_equal(credit(p[1]), GUEST_WINDOW / 2);

	client = attach(&f, MON_F_STDOUT);
	output(&f, GUEST_WINDOW);
	before = credit(p[1]);
	assert_true(before < GUEST_WINDOW / 2); /* only what the socket took */
	assert_int_equal(f.kills, 0);
	for (int i = 0; i < 1000 && got < GUEST_WINDOW; i++) {
		ssize_t n = recv(client, waste, sizeof(waste), MSG_DONTWAIT);

		got += n > 0 ? (size_t)n : 0;
		unit_turn(f.loop, 1);
	}
	assert_true(got >= GUEST_WINDOW);
	assert_true(before + credit(p[1]) > GUEST_WINDOW - GUEST_WINDOW / 4);
	close(client);
	close(p[1]);
	fake_stop(&f);
}

static void output_beyond_the_window_is_a_breach(void **state)
{
	struct fake f;
	int client;

	(void)state;
	fake_start(&f, -1);
	fake_run(&f);
	client = attach(&f, MON_F_STDOUT);
	for (int i = 0; i < 4 && !f.kills; i++)
		output(&f, GUEST_WINDOW);
	assert_int_equal(f.kills, 1);
	assert_non_null(strstr(f.vm->error, "window"));
	close(client);
	fake_stop(&f);
}

static void input_stops_at_the_window(void **state)
{
	static unsigned char block[GUEST_DATA_MAX];
	size_t sent = 0;
	struct fake f;
	int client;

	(void)state;
	fake_start(&f, -1);
	fake_run(&f);
	client = attach(&f, MON_F_STDOUT | MON_F_STDIN);
	for (int i = 0; i < 200; i++) {
		ssize_t n = send(client, block, sizeof(block), MSG_DONTWAIT);

		sent += n > 0 ? (size_t)n : 0;
		unit_turn(f.loop, 1);
	}
	assert_true(sent < 4 * GUEST_WINDOW);
	assert_true(f.vm->streams.main.in_window <= CLIENT_KEYS_MAX);
	fake_u32(&f, GUEST_WINDOW_IN, 1, GUEST_TAG_CREDIT, 100000);
	unit_turn(f.loop, 10);
	assert_true(f.vm->streams.main.in_window < 100000);
	close(client);
	fake_stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_container_runs_and_ends),
		cmocka_unit_test(a_breach_ends_the_vm),
		cmocka_unit_test(a_guests_text_is_one_printable_line),
		cmocka_unit_test(clients_are_bounded),
		cmocka_unit_test(a_slow_reader_of_tiny_output_stays),
		cmocka_unit_test(another_version_is_refused),
		cmocka_unit_test(credit_waits_for_the_slowest_client),
		cmocka_unit_test(output_beyond_the_window_is_a_breach),
		cmocka_unit_test(input_stops_at_the_window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
