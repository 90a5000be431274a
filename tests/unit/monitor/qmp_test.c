/* SPDX-License-Identifier: Apache-2.0 */
/* QMP from a QEMU that may have been taken over. */
#include "tests/unit/monitor/unit.h"

#include "monitor/qmp.h"

struct seen {
	int ready, answers, errors, broken;
};

static void on_ready(void *arg)
{
	((struct seen *)arg)->ready++;
}

static void on_answer(void *arg, const char *error)
{
	struct seen *s = arg;

	s->answers++;
	s->errors += error != NULL;
}

static void on_broken(void *arg, const char *why)
{
	assert_true(why[0] != '\0');
	((struct seen *)arg)->broken++;
}

static const struct qmp_events events = { on_ready, on_answer, on_broken, NULL };

#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": [\"oob\"]}}\r\n"
#define DONE     "{\"return\": {}}\r\n"

/* "stop" is asked for once QMP is ready. */
static const struct {
	const char *what, *input;
	struct seen want;
} cases[] = {
	{ "ready", GREETING DONE, { 1, 0, 0, 0 } },
	{ "an answer", GREETING DONE DONE, { 1, 1, 0, 0 } },
	{ "an error", GREETING DONE "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}}\n", { 1, 1, 1, 0 } },
	{ "events are passed over",
	  "{\"event\": \"STOP\"}\n" GREETING "{\"event\": \"RESUME\"}\n" DONE,
	  { 1, 0, 0, 0 } },
	{ "an answer nobody asked for", GREETING DONE DONE DONE, { 1, 1, 0, 1 } },
	{ "an answer before the greeting", DONE, { 0, 0, 0, 1 } },
	{ "two greetings", GREETING GREETING, { 0, 0, 0, 1 } },
	{ "no JSON", "hello\n", { 0, 0, 0, 1 } },
	{ "no object", "[1]\n", { 0, 0, 0, 1 } },
	{ "an unknown message", GREETING "{\"x\": 1}\n", { 0, 0, 0, 1 } },
	{ "an error without its text", GREETING DONE "{\"error\": 1}\n", { 1, 0, 0, 1 } },
	{ "refused capabilities", GREETING "{\"error\": {\"class\": \"X\", \"desc\": \"no\"}}\n", { 0, 0, 0, 1 } },
	{ "a cut line is waited for", GREETING "{\"return\"", { 0, 0, 0, 0 } },
};

static void messages(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct seen s = { 0 };
		struct qmp *q = qmp_new(NULL, -1, &events, &s);
		bool asked = false;

		for (const char *p = cases[i].input; *p; p++) {
			qmp_feed(q, p, 1);
			if (s.ready && !asked)
				asked = qmp_command(q, "stop", NULL, -1, NULL) == 0;
		}
		if (memcmp(&s, &cases[i].want, sizeof(s)) != 0)
			fail_msg("%s: ready %d answers %d errors %d broken %d", cases[i].what, s.ready, s.answers,
				 s.errors, s.broken);
		qmp_free(q);
	}
}

static void a_line_has_a_limit(void **state)
{
	char part[1024];
	struct seen s = { 0 };
	struct qmp *q = qmp_new(NULL, -1, &events, &s);

	(void)state;
	memset(part, ' ', sizeof(part));
	for (int i = 0; i <= QMP_LINE_MAX / (int)sizeof(part); i++)
		qmp_feed(q, part, sizeof(part));
	assert_int_equal(s.broken, 1);
	qmp_free(q);
}

static void one_command_at_a_time(void **state)
{
	struct seen s = { 0 };
	struct qmp *q = qmp_new(NULL, -1, &events, &s);
	struct err e = { 0 };

	(void)state;
	assert_int_equal(qmp_command(q, "stop", NULL, -1, &e), -EBUSY);
	qmp_feed(q, GREETING DONE, strlen(GREETING DONE));
	assert_int_equal(qmp_command(q, "stop", NULL, -1, &e), 0);
	assert_int_equal(qmp_command(q, "cont", NULL, -1, &e), -EBUSY);
	qmp_free(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages),
		cmocka_unit_test(a_line_has_a_limit),
		cmocka_unit_test(one_command_at_a_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
