/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop; in every process that waits for more than one thing.
 *
 * Each source has one descriptor in epoll: the caller's own (io), a signalfd
 * or a pidfd. Timers share the epoll timeout: they sit in a list sorted by due
 * time, which is short (tens) in every process that we have.
 * A freed source is unlinked at once and put on a list that is emptied when the
 * turn ends, so that an event already fetched for it finds it marked dead.
 */
#include "base/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/queue.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#define TURN_EVENTS 64

enum source_kind { SOURCE_IO, SOURCE_TIMER, SOURCE_SIGNAL, SOURCE_CHILD };

struct source {
	struct loop *loop;
	enum source_kind kind;
	bool dead;
	bool armed; /* timer: is in the list */
	int fd;     /* -1 for timers */
	int signo;
	pid_t pid;
	uint64_t due_us;
	union {
		io_fn io;
		timer_fn timer;
		signal_fn signal;
		child_fn child;
	} fn;
	void *arg;
	LIST_ENTRY(source) all; /* in loop.sources, or in loop.graveyard when dead */
	TAILQ_ENTRY(source) timed;
};

struct deferred {
	defer_fn fn;
	void *arg;
	STAILQ_ENTRY(deferred) next;
};

struct loop {
	int epoll_fd;
	bool quit;
	int code;
	LIST_HEAD(, source) sources, graveyard;
	TAILQ_HEAD(timer_list, source) timers;
	STAILQ_HEAD(, deferred) deferred;
};

struct loop *loop_new(void)
{
	struct loop *l = xcalloc(1, sizeof(*l));

	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll_fd < 0)
		fatal("epoll_create1: %s", strerror(errno));
	LIST_INIT(&l->sources);
	LIST_INIT(&l->graveyard);
	TAILQ_INIT(&l->timers);
	STAILQ_INIT(&l->deferred);
	return l;
}

static void bury(struct loop *l)
{
	struct source *s;

	while ((s = LIST_FIRST(&l->graveyard))) {
		LIST_REMOVE(s, all);
		free(s);
	}
}

static void run_deferred(struct loop *l)
{
	struct deferred *d;

	while ((d = STAILQ_FIRST(&l->deferred))) {
		STAILQ_REMOVE_HEAD(&l->deferred, next);
		d->fn(d->arg);
		free(d);
	}
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	run_deferred(l);
	while (!LIST_EMPTY(&l->sources))
		source_free(LIST_FIRST(&l->sources));
	bury(l);
	close(l->epoll_fd);
	free(l);
}

static struct source *source_new(struct loop *l, enum source_kind kind, int fd, void *arg)
{
	struct source *s = xcalloc(1, sizeof(*s));

	s->loop = l;
	s->kind = kind;
	s->fd = fd;
	s->arg = arg;
	LIST_INSERT_HEAD(&l->sources, s, all);
	return s;
}

static void watch(struct source *s, int op, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = s };

	if (epoll_ctl(s->loop->epoll_fd, op, s->fd, &ev) < 0)
		fatal("epoll_ctl: descriptor %d: %s", s->fd, strerror(errno));
}

struct source *loop_io(struct loop *l, int fd, uint32_t events, io_fn fn, void *arg)
{
	struct source *s = source_new(l, SOURCE_IO, fd, arg);

	s->fn.io = fn;
	watch(s, EPOLL_CTL_ADD, events);
	return s;
}

void source_events(struct source *s, uint32_t events)
{
	watch(s, EPOLL_CTL_MOD, events);
}

int source_fd(const struct source *s)
{
	return s->fd;
}

struct loop *source_loop(const struct source *s)
{
	return s->loop;
}

struct source *loop_timer(struct loop *l, uint64_t ms, timer_fn fn, void *arg)
{
	struct source *s = source_new(l, SOURCE_TIMER, -1, arg);

	s->fn.timer = fn;
	source_timer(s, ms);
	return s;
}

static void disarm(struct source *s)
{
	if (s->armed)
		TAILQ_REMOVE(&s->loop->timers, s, timed);
	s->armed = false;
}

void source_timer(struct source *s, uint64_t ms)
{
	struct source *other;

	disarm(s);
	if (ms == UINT64_MAX)
		return;
	s->due_us = now_mono_us() + ms * 1000;
	s->armed = true;
	TAILQ_FOREACH_REVERSE(other, &s->loop->timers, timer_list, timed) {
		if (other->due_us <= s->due_us) {
			TAILQ_INSERT_AFTER(&s->loop->timers, other, s, timed);
			return;
		}
	}
	TAILQ_INSERT_HEAD(&s->loop->timers, s, timed);
}

struct source *loop_signal(struct loop *l, int signo, signal_fn fn, void *arg)
{
	struct source *s;
	sigset_t mask;
	int fd;

	sigemptyset(&mask);
	sigaddset(&mask, signo);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		fatal("signalfd: %s", strerror(errno));
	s = source_new(l, SOURCE_SIGNAL, fd, arg);
	s->signo = signo;
	s->fn.signal = fn;
	watch(s, EPOLL_CTL_ADD, EPOLLIN);
	return s;
}

struct source *loop_child(struct loop *l, pid_t pid, child_fn fn, void *arg)
{
	int fd = pidfd_open(pid, 0);
	struct source *s;

	if (fd < 0)
		return NULL;
	s = source_new(l, SOURCE_CHILD, fd, arg);
	s->pid = pid;
	s->fn.child = fn;
	watch(s, EPOLL_CTL_ADD, EPOLLIN);
	return s;
}

void loop_defer(struct loop *l, defer_fn fn, void *arg)
{
	struct deferred *d = xcalloc(1, sizeof(*d));

	d->fn = fn;
	d->arg = arg;
	STAILQ_INSERT_TAIL(&l->deferred, d, next);
}

void source_free(struct source *s)
{
	if (!s || s->dead)
		return;
	s->dead = true;
	disarm(s);
	if (s->fd >= 0 && epoll_ctl(s->loop->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL) < 0 && errno != EBADF)
		log_error("epoll_ctl: removing %d: %s", s->fd, strerror(errno));
	if (s->kind != SOURCE_IO && s->fd >= 0)
		close(s->fd);
	LIST_REMOVE(s, all);
	LIST_INSERT_HEAD(&s->loop->graveyard, s, all);
}

static void dispatch_signal(struct source *s)
{
	struct signalfd_siginfo info;

	while (!s->dead && read(s->fd, &info, sizeof(info)) == sizeof(info))
		s->fn.signal(s, (int)info.ssi_signo, s->arg);
}

static void dispatch_child(struct source *s)
{
	int status;

	if (waitpid(s->pid, &status, WNOHANG) != s->pid)
		return;
	s->fn.child(s, s->pid, status, s->arg);
	source_free(s);
}

static void dispatch(struct source *s, uint32_t events)
{
	if (s->dead)
		return;
	switch (s->kind) {
	case SOURCE_IO:
		s->fn.io(s, events, s->arg);
		break;
	case SOURCE_SIGNAL:
		dispatch_signal(s);
		break;
	case SOURCE_CHILD:
		dispatch_child(s);
		break;
	case SOURCE_TIMER:
		break;
	}
}

/* Only timers that were due when the turn began: a timer that arms itself again waits for the next turn. */
static void run_timers(struct loop *l)
{
	uint64_t now = now_mono_us();
	struct source *s;

	while ((s = TAILQ_FIRST(&l->timers)) && s->due_us <= now) {
		disarm(s);
		s->fn.timer(s, s->arg);
	}
}

static int wait_ms(struct loop *l)
{
	struct source *s = TAILQ_FIRST(&l->timers);
	uint64_t now = now_mono_us();

	if (!STAILQ_EMPTY(&l->deferred))
		return 0;
	if (!s)
		return -1;
	if (s->due_us <= now)
		return 0;
	if (s->due_us - now > 3600000000ULL)
		return 3600000;
	return (int)((s->due_us - now + 999) / 1000);
}

int loop_run(struct loop *l)
{
	struct epoll_event events[TURN_EVENTS];

	l->quit = false;
	while (!l->quit) {
		int n = epoll_wait(l->epoll_fd, events, TURN_EVENTS, wait_ms(l));

		if (n < 0 && errno != EINTR)
			fatal("epoll_wait: %s", strerror(errno));
		for (int i = 0; i < n; i++)
			dispatch(events[i].data.ptr, events[i].events);
		run_timers(l);
		run_deferred(l);
		bury(l);
	}
	return l->code;
}

void loop_quit(struct loop *l, int code)
{
	l->quit = true;
	l->code = code;
}
