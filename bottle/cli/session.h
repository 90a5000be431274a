/* SPDX-License-Identifier: Apache-2.0 */
/* A hijacked stream between the engine and this process: terminal, pipes, or memory. */
#ifndef CLI_SESSION_H
#define CLI_SESSION_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "cli/client.h"

#define CAPTURE_MAX (4 << 20)

/* Undoes docker's 8-byte frames step by step. Zero it before the first call. */
struct frames {
	int stream;
	uint32_t left;
};
/* One piece of in: its length (0: more bytes are needed), -EBADMSG. ret_stream is 1 or 2; ret_piece points into in. */
ssize_t frames_next(struct frames *f, const struct buf *in, int *ret_stream, struct slice *ret_piece);

struct session {
	struct stream *stream;
	const char *resize;  /* target without its query, when there is a terminal to follow; NULL */
	bool raw;            /* put our terminal in raw mode for the time */
	int in_fd;           /* sent on until its end; -1: none */
	struct buf pending;  /* to send before in_fd; the write side is closed behind it when in_fd is -1 */
	struct buf *out;     /* both outputs, at most CAPTURE_MAX; NULL: our stdout and stderr */
	uint64_t timeout_ms; /* of the whole; 0: none */
	int signo;           /* set: ended by this signal, not by the engine */
};
#define SESSION_EMPTY \
	{ \
		.in_fd = -1 \
	}

/* Runs until the engine ends the stream, a signal, the timeout. */
int session_run(struct session *s, struct err *e);

/* What an exec did. */
struct exec_spec {
	const char *container;
	char *const *argv;
	char *const *env;           /* NULL: none */
	const char *user, *workdir; /* NULL: the container's */
	bool tty, stdin_open;
	const char *input; /* sent to its stdin; NULL: none */
	struct buf *out;   /* captured; NULL: passed through */
	uint64_t timeout_ms;
	int *ret_signo; /* set when a signal to us ended it; NULL: the exit code is 128 + signal */
};
/* Runs it to its end: the exit code, or -errno. */
int session_exec(const struct exec_spec *x, struct err *e);

#endif
