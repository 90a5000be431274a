/* SPDX-License-Identifier: Apache-2.0 */
/* Log records: partial lines, filters, growth, rotation, damage. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "api/log_reader.h"
#include "base/fd.h"

static char path[] = "/tmp/containers_log_test.XXXXXX";
static int dir = -1;

static int setup(void **state)
{
	(void)state;
	memset(path + sizeof(path) - 7, 'X', 6);
	dir = mkdtemp(path) ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	return dir < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	close(dir);
	return remove_tree(AT_FDCWD, path);
}

static void put(const char *name, uint64_t ns, int stream, bool partial, const char *text)
{
	struct log_record rec = {
		.time_ns = ns, .size = (uint32_t)strlen(text), .stream = (uint8_t)stream, .partial = partial
	};
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, &rec, sizeof(rec)), 0);
	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
	close(fd);
}

static void expect(struct log_reader *lr, const char *text)
{
	struct log_record rec;
	const char *data;
	int r = log_next(lr, &rec, &data);

	if (!text) {
		assert_int_equal(r, 0);
		return;
	}
	assert_int_equal(r, 1);
	assert_int_equal(rec.size, strlen(text));
	assert_memory_equal(data, text, rec.size);
}

static void test_growth_and_rotation(void **state)
{
	struct log_reader lr;

	(void)state;
	log_reader_init(&lr, dir);
	expect(&lr, NULL); /* no file yet */
	put("log", 1, 1, false, "a\n");
	put("log", 2, 2, true, "b");
	expect(&lr, "a\n");
	expect(&lr, "b");
	expect(&lr, NULL);
	put("log", 3, 2, false, "c\n");
	assert_int_equal(renameat(dir, "log", dir, "log.1"), 0);
	put("log", 4, 1, false, "d\n");
	expect(&lr, "c\n");
	expect(&lr, "d\n");
	expect(&lr, NULL);
	log_reader_done(&lr);
	log_reader_init(&lr, dir); /* a new reader begins with the rotated file */
	expect(&lr, "a\n");
	log_reader_done(&lr);
}

static void test_cut_and_damaged(void **state)
{
	struct log_record rec = { .time_ns = 1, .size = LOG_RECORD_MAX + 1, .stream = 1 };
	struct log_reader lr;
	const char *data;
	int fd;

	(void)state;
	put("log", 1, 1, false, "a\n");
	fd = openat(dir, "log", O_WRONLY | O_APPEND | O_CLOEXEC);
	assert_int_equal(fd_write_all(fd, &rec, 7), 0);
	log_reader_init(&lr, dir);
	expect(&lr, "a\n");
	expect(&lr, NULL); /* half a head: being written */
	assert_int_equal(fd_write_all(fd, (char *)&rec + 7, sizeof(rec) - 7), 0);
	assert_int_equal(log_next(&lr, &rec, &data), -EBADMSG);
	log_reader_done(&lr);
	close(fd);
}

static void test_count(void **state)
{
	struct log_filter all = { .stdout_on = true, .stderr_on = true }, out = { .stdout_on = true };
	struct log_filter late = { .stdout_on = true, .stderr_on = true, .since_ns = 3 };
	struct log_filter early = { .stdout_on = true, .stderr_on = true, .until_ns = 2 };

	(void)state;
	put("log", 1, 1, false, "one\n");
	put("log", 2, 2, false, "two\n");
	put("log", 3, 1, true, "thr");
	put("log", 4, 1, false, "ee\n");
	put("log", 5, 2, true, "open");
	assert_int_equal(log_count(dir, &all), 4);
	assert_int_equal(log_count(dir, &out), 2);
	assert_int_equal(log_count(dir, &late), 2);
	assert_int_equal(log_count(dir, &early), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_growth_and_rotation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cut_and_damaged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_count, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
