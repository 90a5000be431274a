/* SPDX-License-Identifier: Apache-2.0 */
/* Log records, rotation, reading on from the old file into the new one, and a full disk. */
#include "tests/unit/monitor/unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/mem.h"
#include "monitor/vmlog.h"

struct dir {
	char path[64];
	int fd;
};

static int set_up(void **state)
{
	struct dir *d = xcalloc(1, sizeof(*d));

	snprintf(d->path, sizeof(d->path), "/tmp/vmlog-test.XXXXXX");
	if (!mkdtemp(d->path))
		return -1;
	d->fd = open(d->path, O_PATH | O_CLOEXEC);
	*state = d;
	return d->fd < 0;
}

static int tear_down(void **state)
{
	struct dir *d = *state;

	close(d->fd);
	remove_tree(AT_FDCWD, d->path);
	free(d);
	return 0;
}

/* All records as "stream partial text|"; long runs of one byte are shortened to "x*N". */
static void dump(struct vmlog_reader *r, struct buf *out)
{
	static char data[LOG_RECORD_MAX];
	struct log_record rec;

	buf_clear(out);
	while (vmlog_read(r, &rec, data) == 1) {
		assert_true(rec.time_ns > 0);
		if (rec.size > 100)
			buf_printf(out, "%d%d%c*%u|", rec.stream, rec.partial, data[0], rec.size);
		else
			buf_printf(out, "%d%d%.*s|", rec.stream, rec.partial, (int)rec.size, data);
	}
}

static void lines_become_records(void **state)
{
	struct dir *d = *state;
	struct vmlog *l = vmlog_open(d->fd, 1 << 20, NULL);
	struct vmlog_reader *r = vmlog_reader_new(l);
	_cleanup_buf_ struct buf out = { 0 };
	static char big[LOG_RECORD_MAX + 5];

	vmlog_write(l, 1, "a\nb\npart", 8);
	vmlog_write(l, 2, "err\n", 4);
	vmlog_write(l, 1, "ial\n\n", 5);
	dump(r, &out);
	assert_string_equal(buf_cstr(&out), "10a\n|10b\n|11part|20err\n|10ial\n|10\n|");
	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 1] = '\n';
	vmlog_write(l, 1, big, sizeof(big));
	dump(r, &out);
	assert_string_equal(buf_cstr(&out), "11x*16384|10xxxx\n|");
	vmlog_reader_free(r);
	vmlog_free(l);
}

static void rotated_once(void **state)
{
	struct dir *d = *state;
	struct vmlog *l = vmlog_open(d->fd, 100, NULL);
	struct vmlog_reader *early = vmlog_reader_new(l), *late;
	_cleanup_buf_ struct buf out = { 0 };
	struct stat st;

	for (char c = 'a'; c <= 'g'; c++) { /* 18 bytes each: six fill a file */
		char line[2] = { c, '\n' };

		vmlog_write(l, 1, line, 2);
	}
	assert_int_equal(fstatat(d->fd, "log.1", &st, 0), 0);
	assert_int_equal(st.st_size, 6 * 18);
	late = vmlog_reader_new(l);
	dump(early, &out);
	assert_string_equal(buf_cstr(&out), "10a\n|10b\n|10c\n|10d\n|10e\n|10f\n|10g\n|");
	dump(late, &out);
	assert_string_equal(buf_cstr(&out), "10a\n|10b\n|10c\n|10d\n|10e\n|10f\n|10g\n|");
	vmlog_reader_free(early);
	vmlog_reader_free(late);
	vmlog_free(l);
}

static void appended_after_a_restart(void **state)
{
	struct dir *d = *state;
	struct vmlog *l = vmlog_open(d->fd, 1 << 20, NULL);
	struct vmlog_reader *r;
	_cleanup_buf_ struct buf out = { 0 };

	vmlog_write(l, 1, "one\n", 4);
	vmlog_free(l);
	l = vmlog_open(d->fd, 1 << 20, NULL);
	vmlog_write(l, 1, "two\n", 4);
	r = vmlog_reader_new(l);
	dump(r, &out);
	assert_string_equal(buf_cstr(&out), "10one\n|10two\n|");
	vmlog_reader_free(r);
	vmlog_free(l);
}

/* A limit on the file's size stands for a full disk: a write is cut in the middle, then fails. */
static void a_full_disk_loses_log_and_nothing_else(void **state)
{
	struct rlimit old, small;
	struct dir *d = *state;
	struct vmlog *l = vmlog_open(d->fd, 1 << 20, NULL);
	struct vmlog_reader *r = vmlog_reader_new(l);
	_cleanup_buf_ struct buf out = { 0 };
	struct stat st;

	vmlog_write(l, 1, "kept\n", 5);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 30;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	vmlog_write(l, 1, "this does not fit\n", 18);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(vmlog_dropped(l), 18);
	assert_int_equal(fstatat(d->fd, "log", &st, 0), 0);
	assert_int_equal(st.st_size, 21);
	vmlog_write(l, 2, "again\n", 6);
	dump(r, &out);
	assert_string_equal(buf_cstr(&out), "10kept\n|20again\n|");
	vmlog_reader_free(r);
	vmlog_free(l);
}

/* log.1 is a directory, so log cannot become it; then the disk is full: what was written stays. */
static void a_failed_rotation_loses_nothing(void **state)
{
	struct rlimit old, small;
	struct dir *d = *state;
	struct vmlog *l = vmlog_open(d->fd, 20, NULL);
	struct stat st;

	assert_int_equal(mkdirat(d->fd, "log.1", 0700), 0);
	vmlog_write(l, 1, "kept\n", 5);
	vmlog_write(l, 1, "also\n", 5); /* tries to rotate first */
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 50;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	vmlog_write(l, 1, "this does not fit\n", 18);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(fstatat(d->fd, "log", &st, 0), 0);
	assert_int_equal(st.st_size, 2 * 21);
	vmlog_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lines_become_records, set_up, tear_down),
		cmocka_unit_test_setup_teardown(rotated_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(appended_after_a_restart, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_full_disk_loses_log_and_nothing_else, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_failed_rotation_loses_nothing, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
