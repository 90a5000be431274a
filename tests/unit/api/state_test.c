/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "api/engine.h"
#include "base/fd.h"
#include "base/mem.h"

static int open_at(struct engine *g, const char *dir, struct err *e)
{
	*g = (struct engine){ .data_dir = xstrdup(dir),
			      .data_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
			      .lock_fd = -1 };
	return state_open(g, e);
}

static void close_all(struct engine *g)
{
	state_close(g);
	close(g->data_fd);
	free(g->data_dir);
}

static int64_t count(struct engine *g)
{
	sqlite3_stmt *st = state_query(g, NULL, "SELECT count(*) FROM execs", "");
	int64_t n;

	assert_non_null(st);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return n;
}

static int add(struct engine *g, const char *id, struct err *e)
{
	return state_exec(g, e, "INSERT INTO execs (id, container, config) VALUES (?, ?, ?)", "ttt", id, "c", NULL);
}

static int setup(void **state)
{
	char dir[] = "/tmp/state_test.XXXXXX";

	*state = mkdtemp(dir) ? xstrdup(dir) : NULL;
	return *state == NULL;
}

static int teardown(void **state)
{
	remove_tree(AT_FDCWD, *state);
	free(*state);
	return 0;
}

static void test_lock(void **state)
{
	struct engine g, second;
	struct err e = { 0 };

	assert_int_equal(open_at(&g, *state, &e), 0);
	assert_int_equal(open_at(&second, *state, &e), -EBUSY);
	assert_int_equal(e.cls, ERR_UNAVAILABLE);
	close_all(&second);
	close_all(&g);
	assert_int_equal(open_at(&g, *state, &e), 0);
	close_all(&g);
}

static void test_transactions(void **state)
{
	struct engine g;
	struct err e = { 0 };

	assert_int_equal(open_at(&g, *state, &e), 0);
	assert_int_equal(state_begin(&g, &e), 0);
	assert_int_equal(add(&g, "a", &e), 0);
	assert_int_equal(state_begin(&g, &e), 0);
	assert_int_equal(add(&g, "b", &e), 0);
	assert_int_equal(state_commit(&g, &e), 0);
	assert_int_equal(state_commit(&g, &e), 0);
	assert_int_equal(count(&g), 2);

	/* an inner rollback takes the outer one with it */
	assert_int_equal(state_begin(&g, &e), 0);
	assert_int_equal(add(&g, "c", &e), 0);
	assert_int_equal(state_begin(&g, &e), 0);
	state_rollback(&g);
	assert_true(state_commit(&g, &e) < 0);
	assert_int_equal(count(&g), 2);

	assert_int_equal(add(&g, "a", &e), -EEXIST);
	assert_int_equal(e.cls, ERR_CONFLICT);
	close_all(&g);
}

static void test_newer(void **state)
{
	struct engine g;
	struct err e = { 0 };

	assert_int_equal(open_at(&g, *state, &e), 0);
	assert_int_equal(state_exec(&g, &e, "PRAGMA user_version = 9999", ""), 0);
	close_all(&g);
	assert_true(open_at(&g, *state, &e) < 0);
	assert_non_null(strstr(e.text, "newer bottled"));
	close_all(&g);
}

/* A child commits for ever and is killed somewhere in the middle: what it reported is there, and the file opens. */
static void write_until_killed(const char *dir, int report_fd)
{
	struct engine g;

	if (open_at(&g, dir, NULL) < 0)
		_exit(1);
	for (int i = 0;; i++) {
		_cleanup_free_ char *id = xasprintf("%d", i);

		if (add(&g, id, NULL) < 0 || write(report_fd, &i, sizeof(i)) != sizeof(i))
			_exit(1);
	}
}

static void test_kill(void **state)
{
	for (int round = 0; round < 5; round++) {
		struct engine g;
		struct err e = { 0 };
		int pipe_fds[2], last = -1, i, status;
		int64_t before;
		pid_t pid;

		assert_int_equal(open_at(&g, *state, &e), 0);
		state_exec(&g, NULL, "DELETE FROM execs", "");
		before = count(&g);
		close_all(&g);
		assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
		pid = fork();
		if (pid == 0)
			write_until_killed(*state, pipe_fds[1]);
		close(pipe_fds[1]);
		while (last < 20 + 7 * round && read(pipe_fds[0], &i, sizeof(i)) == sizeof(i))
			last = i;
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		while (read(pipe_fds[0], &i, sizeof(i)) == sizeof(i))
			last = i;
		close(pipe_fds[0]);
		assert_int_equal(open_at(&g, *state, &e), 0);
		assert_true(count(&g) >= before + last + 1);
		close_all(&g);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lock, setup, teardown),
		cmocka_unit_test_setup_teardown(test_transactions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_newer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kill, setup, teardown),
	};

	return cmocka_run_group_tests_name("api/state", tests, NULL, NULL);
}
