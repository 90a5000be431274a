/* SPDX-License-Identifier: Apache-2.0 */
/* Byte queue; in every process. */
#include "base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/mem.h"

void buf_done(struct buf *b)
{
	free(b->data);
	memset(b, 0, sizeof(*b));
}

void buf_clear(struct buf *b)
{
	b->start = b->end = 0;
}

char *buf_reserve(struct buf *b, size_t n)
{
	if (b->size - b->end >= n)
		return b->data + b->end;
	if (b->start && b->size - buf_len(b) >= n && b->start >= b->size / 2) {
		memmove(b->data, b->data + b->start, buf_len(b));
		b->end -= b->start;
		b->start = 0;
		return b->data + b->end;
	}
	b->size = b->end + n > 2 * b->size ? b->end + n : 2 * b->size;
	b->data = xrealloc(b->data, b->size, 1);
	return b->data + b->end;
}

void buf_commit(struct buf *b, size_t n)
{
	b->end += n;
}

void buf_append(struct buf *b, const void *data, size_t n)
{
	if (!n)
		return;
	memcpy(buf_reserve(b, n), data, n);
	b->end += n;
}

void buf_puts(struct buf *b, const char *s)
{
	buf_append(b, s, strlen(s));
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n > 0) {
		vsnprintf(buf_reserve(b, (size_t)n + 1), (size_t)n + 1, fmt, again);
		b->end += (size_t)n;
	}
	va_end(again);
}

void buf_consume(struct buf *b, size_t n)
{
	b->start += n;
	if (b->start >= b->end)
		buf_clear(b);
}

char *buf_cstr(struct buf *b)
{
	*buf_reserve(b, 1) = '\0';
	return b->data + b->start;
}

ssize_t buf_read(struct buf *b, int fd, size_t max)
{
	ssize_t n;

	do
		n = read(fd, buf_reserve(b, max), max);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	b->end += (size_t)n;
	return n;
}

ssize_t buf_write(struct buf *b, int fd)
{
	ssize_t n;

	do
		n = write(fd, buf_ptr(b), buf_len(b));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	buf_consume(b, (size_t)n);
	return n;
}
