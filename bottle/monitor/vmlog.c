/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container's log, in bottle-monitor: append-only records, rotated once.
 * The bytes are the container's own and are copied, never looked into but for
 * newlines.
 */
#include "monitor/vmlog.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"

#define LOG_MODE 0600

struct vmlog {
	int dir_fd, fd;
	uint64_t size, max, rotate_at, dropped;
	unsigned int rotations;
};

struct vmlog_reader {
	struct vmlog *log;
	int fd;
	off_t pos;
	unsigned int rotation; /* the file that fd was "log" of */
};

struct vmlog *vmlog_open(int dir_fd, uint64_t max_size, struct err *e)
{
	_cleanup_close_ int fd =
		openat(dir_fd, "log", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, LOG_MODE);
	struct vmlog *l;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		err_errno(e, "open the container's log");
		return NULL;
	}
	l = xcalloc(1, sizeof(*l));
	l->dir_fd = dir_fd;
	l->fd = TAKE_FD(fd);
	l->size = (uint64_t)st.st_size;
	l->max = l->rotate_at = max_size;
	l->rotations = 1;
	return l;
}

void vmlog_free(struct vmlog *l)
{
	if (!l)
		return;
	cleanup_close(&l->fd);
	free(l);
}

uint64_t vmlog_dropped(const struct vmlog *l)
{
	return l->dropped;
}

/* Failing to rotate is no reason to stop logging: the file then grows on. */
static void rotate(struct vmlog *l)
{
	int fd;

	l->rotate_at = l->size + l->max; /* where a failure is tried again */
	if (renameat(l->dir_fd, "log", l->dir_fd, "log.1") < 0)
		return;
	fd = openat(l->dir_fd, "log", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, LOG_MODE);
	if (fd < 0)
		return;
	close(l->fd);
	l->fd = fd;
	l->size = 0;
	l->rotate_at = l->max;
	l->rotations++;
}

/* One record a line, at most LOG_RECORD_MAX bytes each. */
static void add_records(struct buf *b, uint8_t stream, const char *p, size_t n)
{
	uint64_t now = (uint64_t)now_real_ns();

	while (n) {
		size_t room = n < LOG_RECORD_MAX ? n : LOG_RECORD_MAX;
		const char *end = memchr(p, '\n', room);
		size_t len = end ? (size_t)(end - p) + 1 : room;
		struct log_record rec = {
			.time_ns = htole64(now),
			.size = htole32((uint32_t)len),
			.stream = stream,
			.partial = !end,
		};

		buf_append(b, &rec, sizeof(rec));
		buf_append(b, p, len);
		p += len;
		n -= len;
	}
}

void vmlog_write(struct vmlog *l, uint8_t stream, const void *data, size_t n)
{
	_cleanup_buf_ struct buf b = { 0 };
	struct stat st;

	if (l->size >= l->rotate_at)
		rotate(l);
	add_records(&b, stream, data, n);
	if (fd_write_all(l->fd, buf_ptr(&b), buf_len(&b)) == 0) {
		l->size += buf_len(&b);
		return;
	}
	/* Half a record would make the rest unreadable: cut back to where this write began. */
	l->dropped += n;
	if (fstat(l->fd, &st) == 0 && (uint64_t)st.st_size > l->size && ftruncate(l->fd, (off_t)l->size) < 0)
		l->size = (uint64_t)st.st_size;
}

static int open_part(struct vmlog_reader *r, const char *name)
{
	int fd = openat(r->log->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return -errno;
	cleanup_close(&r->fd);
	r->fd = fd;
	r->pos = 0;
	return 0;
}

struct vmlog_reader *vmlog_reader_new(struct vmlog *l)
{
	struct vmlog_reader *r = xcalloc(1, sizeof(*r));

	r->log = l;
	r->fd = -1;
	if (open_part(r, "log.1") == 0)
		r->rotation = l->rotations - 1;
	else if (open_part(r, "log") == 0)
		r->rotation = l->rotations;
	return r;
}

void vmlog_reader_free(struct vmlog_reader *r)
{
	if (!r)
		return;
	cleanup_close(&r->fd);
	free(r);
}

int vmlog_read(struct vmlog_reader *r, struct log_record *ret, void *data)
{
	while (r->fd >= 0) {
		if (pread(r->fd, ret, sizeof(*ret), r->pos) == (ssize_t)sizeof(*ret)) {
			ret->time_ns = le64toh(ret->time_ns);
			ret->size = le32toh(ret->size);
			if (ret->size > LOG_RECORD_MAX ||
			    pread(r->fd, data, ret->size, r->pos + (off_t)sizeof(*ret)) != (ssize_t)ret->size)
				return 0;
			r->pos += (off_t)(sizeof(*ret) + ret->size);
			return 1;
		}
		if (r->rotation >= r->log->rotations || open_part(r, "log") < 0)
			return 0;
		r->rotation = r->log->rotations;
	}
	return 0;
}
