/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A byte queue: append at the end, consume from the front. The owner compares
 * buf_len with its own limit before appending what a peer sent.
 * A zeroed struct buf is an empty one.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"

struct buf {
	char *data;
	size_t start, end, size;
};

void buf_done(struct buf *b);
void buf_clear(struct buf *b);

static inline size_t buf_len(const struct buf *b)
{
	return b->end - b->start;
}

/* Valid until the next append; not NUL-terminated (see buf_cstr). */
static inline char *buf_ptr(const struct buf *b)
{
	return b->data ? b->data + b->start : NULL; /* an offset to NULL is undefined, even 0 */
}

void buf_append(struct buf *b, const void *data, size_t n);
void buf_puts(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *fmt, ...) _printf_(2, 3);
void buf_consume(struct buf *b, size_t n);

/* Returns at least n writable bytes; buf_commit says how many were used. */
char *buf_reserve(struct buf *b, size_t n);
void buf_commit(struct buf *b, size_t n);

/* NUL-terminates behind the content (not counted) and returns its start. */
char *buf_cstr(struct buf *b);

/* One read(2) of at most max bytes: > 0 bytes, 0 end of file, -errno. */
ssize_t buf_read(struct buf *b, int fd, size_t max);
/* One write(2) of the content: bytes taken or -errno. */
ssize_t buf_write(struct buf *b, int fd);

#define _cleanup_buf_ _cleanup_(buf_done)

#endif
