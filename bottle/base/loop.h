/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop: epoll, timers, signals, children; one thread. A callback may
 * remove any source, itself included: a removed source is never called again,
 * and its memory is freed at the end of the turn.
 *
 *	struct source *s = loop_io(l, fd, EPOLLIN, on_readable, conn);
 *	...
 *	source_free(s);        (does not close fd)
 *
 * Sources are owned by whoever made them; loop_free frees what is left.
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <stdint.h>
#include <sys/epoll.h>
#include <sys/types.h>

#include "base/cleanup.h"

struct loop;
struct source;

typedef void (*io_fn)(struct source *s, uint32_t events, void *arg);
typedef void (*timer_fn)(struct source *s, void *arg);
typedef void (*signal_fn)(struct source *s, int signo, void *arg);
/* status as waitpid(2) gives it; the child is reaped. The source is freed after the call. */
typedef void (*child_fn)(struct source *s, pid_t pid, int status, void *arg);
typedef void (*defer_fn)(void *arg);

struct loop *loop_new(void);
void loop_free(struct loop *l);

/* Runs until loop_quit; returns its code. */
int loop_run(struct loop *l);
void loop_quit(struct loop *l, int code);

/* Level-triggered. events: EPOLLIN | EPOLLOUT | EPOLLRDHUP, or 0 (only EPOLLHUP and EPOLLERR). */
struct source *loop_io(struct loop *l, int fd, uint32_t events, io_fn fn, void *arg);
void source_events(struct source *s, uint32_t events);
int source_fd(const struct source *s);

/* Fires once, ms from now; source_timer arms it again (also from its own callback); UINT64_MAX disarms. */
struct source *loop_timer(struct loop *l, uint64_t ms, timer_fn fn, void *arg);
void source_timer(struct source *s, uint64_t ms);

/* Blocks the signal for normal delivery and reports it here. */
struct source *loop_signal(struct loop *l, int signo, signal_fn fn, void *arg);

/* Watches a child of this process (pidfd). NULL with errno when the pid is gone. */
struct source *loop_child(struct loop *l, pid_t pid, child_fn fn, void *arg);

/* Calls fn(arg) once after the current turn's callbacks. */
void loop_defer(struct loop *l, defer_fn fn, void *arg);

struct loop *source_loop(const struct source *s);
/* NULL is fine. */
void source_free(struct source *s);

static inline void cleanup_loop(struct loop **l)
{
	loop_free(*l);
}
#define _cleanup_loop_ _cleanup_(cleanup_loop)

#endif
