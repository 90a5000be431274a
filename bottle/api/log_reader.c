/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log records from files that a monitor appends to and rotates once. Runs in
 * bottled. The bytes are a guest's, the frames a monitor's: sizes are checked.
 */
#include "api/log_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define READ_RUN (64 * 1024)

void log_reader_init(struct log_reader *lr, int dir_fd)
{
	*lr = (struct log_reader){ .dir_fd = dir_fd, .fd = -1 };
}

void log_reader_done(struct log_reader *lr)
{
	if (lr->fd >= 0)
		close(lr->fd);
	buf_done(&lr->in);
	*lr = (struct log_reader){ .dir_fd = -1, .fd = -1 };
}

static int open_log(const struct log_reader *lr, const char *name)
{
	return openat(lr->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
}

static bool open_first(struct log_reader *lr)
{
	lr->fd = open_log(lr, "log.1");
	lr->old = lr->fd >= 0;
	if (lr->fd < 0)
		lr->fd = open_log(lr, "log");
	return lr->fd >= 0;
}

/* The file behind lr->fd is not named "log" any more: what follows is in a newer one. */
static bool rotated(const struct log_reader *lr)
{
	struct stat mine, now;

	if (lr->old)
		return true;
	return fstat(lr->fd, &mine) == 0 && fstatat(lr->dir_fd, "log", &now, AT_SYMLINK_NOFOLLOW) == 0 &&
	       (mine.st_ino != now.st_ino || mine.st_dev != now.st_dev);
}

/* More bytes: 1; the end for now: 0. */
static int fill(struct log_reader *lr)
{
	bool moved;
	int next;

	if (lr->fd < 0 && !open_first(lr))
		return 0;
	if (buf_read(&lr->in, lr->fd, READ_RUN) > 0)
		return 1;
	moved = rotated(lr);
	if (buf_read(&lr->in, lr->fd, READ_RUN) > 0) /* written between the two */
		return 1;
	if (!moved)
		return 0;
	next = open_log(lr, "log");
	if (next < 0)
		return 0;
	close(lr->fd);
	lr->fd = next;
	lr->old = false;
	buf_clear(&lr->in); /* a record never goes over two files */
	return 1;
}

int log_next(struct log_reader *lr, struct log_record *ret, const char **ret_data)
{
	for (;;) {
		if (buf_len(&lr->in) >= sizeof(*ret)) {
			memcpy(ret, buf_ptr(&lr->in), sizeof(*ret));
			if (ret->size > LOG_RECORD_MAX || ret->stream < 1 || ret->stream > 2 || ret->zero)
				return -EBADMSG;
			if (buf_len(&lr->in) >= sizeof(*ret) + ret->size) {
				*ret_data = buf_ptr(&lr->in) + sizeof(*ret);
				buf_consume(&lr->in, sizeof(*ret) + ret->size);
				return 1;
			}
		}
		if (!fill(lr))
			return 0;
	}
}

bool log_wanted(const struct log_filter *f, const struct log_record *rec)
{
	if (rec->stream == 1 ? !f->stdout_on : !f->stderr_on)
		return false;
	if ((int64_t)rec->time_ns < f->since_ns)
		return false;
	return !f->until_ns || (int64_t)rec->time_ns <= f->until_ns;
}

uint64_t log_count(int dir_fd, const struct log_filter *f)
{
	bool open_line[3] = { false };
	struct log_record rec;
	struct log_reader lr;
	const char *data;
	uint64_t n = 0;

	log_reader_init(&lr, dir_fd);
	while (log_next(&lr, &rec, &data) > 0) {
		if (!log_wanted(f, &rec))
			continue;
		open_line[rec.stream] = rec.partial;
		n += !rec.partial;
	}
	log_reader_done(&lr);
	return n + open_line[1] + open_line[2];
}
