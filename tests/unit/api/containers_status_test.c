/* SPDX-License-Identifier: Apache-2.0 */
/* The status column, at the edges of its units. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "api/container.h"

static const struct {
	enum container_state state;
	int code;
	int64_t seconds;
	const char *text;
} cases[] = {
	{ STATE_CREATED, 0, 5, "Created" },
	{ STATE_RUNNING, 0, 0, "Up Less than a second" },
	{ STATE_RUNNING, 0, 1, "Up 1 second" },
	{ STATE_RUNNING, 0, 59, "Up 59 seconds" },
	{ STATE_RUNNING, 0, 60, "Up About a minute" },
	{ STATE_PAUSED, 0, 120, "Up 2 minutes (Paused)" },
	{ STATE_RUNNING, 0, 3600, "Up About an hour" },
	{ STATE_EXITED, 3, 3, "Exited (3) 3 seconds ago" },
	{ STATE_EXITED, 137, 47 * 3600, "Exited (137) 47 hours ago" },
	{ STATE_RUNNING, 0, 49 * 3600, "Up 2 days" },
	{ STATE_RUNNING, 0, 15 * 86400, "Up 2 weeks" },
	{ STATE_RUNNING, 0, 61 * 86400, "Up 2 months" },
	{ STATE_RUNNING, 0, 3 * 365 * 86400, "Up 3 years" },
	{ STATE_REMOVING, 0, 0, "Removal In Progress" },
	{ STATE_DEAD, 0, 0, "Dead" },
};

static void test_status(void **state)
{
	int64_t now = now_real_ns();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text =
			status_text(cases[i].state, cases[i].code, now - cases[i].seconds * 1000000000, now);

		assert_string_equal(text, cases[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_status) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
