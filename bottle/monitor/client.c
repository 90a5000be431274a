/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hijacked connection, in bottle-monitor. The peer is an Engine client of the
 * monitor's own user; it may stop reading, half-close or vanish at any time.
 * Its end of input is never "gone": a failed write or a full hang-up is.
 */
#include "monitor/client.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "proto/guest.h"

#define FRAME_HEAD  8
#define REPLAY_STEP (64 * 1024)
#define DISCARD_MAX (1024 * 1024)

struct client_impl {
	struct client head;
	const struct client_events *ev;
	void *arg;
	struct loop *loop;
	struct source *source, *timer;
	struct vmlog_reader *replay;
	struct buf out, early;
	size_t tail_len; /* payload of the queue's last frame */
	uint8_t tail_stream;
	int fd;
	uint32_t flags;
	unsigned char keys[CLIENT_KEYS_MAX];
	size_t n_keys, matched;
	bool in_end, finishing, hung_up, overrun;
};

void client_free(struct client *c)
{
	struct client_impl *i;

	if (!c)
		return;
	i = c->impl;
	source_free(i->source);
	source_free(i->timer);
	vmlog_reader_free(i->replay);
	buf_done(&i->out);
	buf_done(&i->early);
	cleanup_close(&i->fd);
	free(i);
}

/* Unread input would turn the peer's end of file into ECONNRESET: take it first. */
static void close_gently(struct client_impl *i)
{
	char waste[4096];
	ssize_t n;

	shutdown(i->fd, SHUT_RDWR);
	for (size_t total = 0; total < DISCARD_MAX; total += (size_t)n) {
		n = recv(i->fd, waste, sizeof(waste), MSG_DONTWAIT);
		if (n <= 0)
			break;
	}
}

static void end(struct client_impl *i, enum client_end why)
{
	close_gently(i);
	i->ev->ended(i->arg, &i->head, why);
	client_free(&i->head);
}

static bool wants_input(const struct client_impl *i)
{
	return i->flags & MON_F_STDIN && !i->in_end && i->ev->room(i->arg) > CLIENT_KEYS_MAX;
}

static void update(struct client_impl *i)
{
	if (i->source)
		source_events(i->source,
			      (wants_input(i) ? EPOLLIN : 0) | (buf_len(&i->out) || i->replay ? EPOLLOUT : 0));
}

/*
 * Passes input on, holding back what may become the detach keys. Returns true
 * when they are complete; nothing behind them is passed.
 */
static bool pass_input(struct client_impl *i, const unsigned char *p, size_t n)
{
	unsigned char out[GUEST_DATA_MAX + CLIENT_KEYS_MAX];
	size_t len = 0;

	if (!i->n_keys) {
		i->ev->input(i->arg, &i->head, p, n);
		return false;
	}
	for (size_t k = 0; k < n; k++) {
		if (p[k] == i->keys[i->matched]) {
			if (++i->matched == i->n_keys)
				break;
			continue;
		}
		memcpy(out + len, i->keys, i->matched);
		len += i->matched;
		i->matched = 0;
		if (p[k] == i->keys[0])
			i->matched = 1;
		else
			out[len++] = p[k];
	}
	if (len)
		i->ev->input(i->arg, &i->head, out, len);
	return i->matched == i->n_keys;
}

/* As much input as there is room for. false: the client has ended. */
static bool take_input(struct client_impl *i)
{
	unsigned char data[GUEST_DATA_MAX];

	while (wants_input(i)) {
		size_t room = i->ev->room(i->arg) - CLIENT_KEYS_MAX;
		size_t max = room < sizeof(data) ? room : sizeof(data);
		ssize_t n;

		if (buf_len(&i->early)) {
			n = (ssize_t)(buf_len(&i->early) < max ? buf_len(&i->early) : max);
			memcpy(data, buf_ptr(&i->early), (size_t)n);
			buf_consume(&i->early, (size_t)n);
		} else {
			n = recv(i->fd, data, max, MSG_DONTWAIT);
		}
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (n <= 0) {
			i->in_end = true;
			i->ev->input_end(i->arg, &i->head);
			return true;
		}
		if (pass_input(i, data, (size_t)n)) {
			end(i, CLIENT_DETACHED);
			return false;
		}
	}
	return true;
}

/* Lengthens the queue's last frame when it is of the same stream and wholly queued. */
static bool extend_frame(struct client_impl *i, uint8_t stream, const void *data, size_t n)
{
	uint32_t be_len = htobe32((uint32_t)(i->tail_len + n));

	if (!i->tail_len || i->tail_stream != stream || buf_len(&i->out) < i->tail_len + FRAME_HEAD)
		return false;
	memcpy(i->out.data + i->out.end - i->tail_len - 4, &be_len, 4);
	buf_append(&i->out, data, n);
	i->tail_len += n;
	return true;
}

static void queue(struct client_impl *i, uint8_t stream, const void *data, size_t n)
{
	unsigned char head[FRAME_HEAD] = { stream };
	uint32_t be_len = htobe32((uint32_t)n);

	if (!(i->flags & (stream == 2 ? MON_F_STDERR : MON_F_STDOUT)) || i->hung_up || i->overrun)
		return;
	if (i->flags & MON_F_TTY) {
		buf_append(&i->out, data, n);
	} else if (!extend_frame(i, stream, data, n)) {
		memcpy(head + 4, &be_len, 4);
		buf_append(&i->out, head, sizeof(head));
		buf_append(&i->out, data, n);
		i->tail_stream = stream;
		i->tail_len = n;
	}
	if (buf_len(&i->out) <= CLIENT_QUEUE_MAX)
		return;
	i->overrun = true; /* the window forbids it; a last bound all the same */
	source_timer(i->timer, 0);
}

/* The log so far, in steps; at its end the client goes live. Everything written since is in the log as well. */
static void replay_step(struct client_impl *i)
{
	char data[LOG_RECORD_MAX];
	struct log_record rec;

	while (i->replay && buf_len(&i->out) < REPLAY_STEP) {
		if (vmlog_read(i->replay, &rec, data) == 1) {
			if (rec.stream == 1 || rec.stream == 2)
				queue(i, rec.stream, data, rec.size);
			continue;
		}
		vmlog_reader_free(TAKE_PTR(i->replay));
		if (i->flags & MON_F_NO_STREAM)
			i->finishing = true;
	}
}

/* Writes what the peer takes. false: it is gone. */
static bool flush(struct client_impl *i)
{
	replay_step(i);
	while (buf_len(&i->out)) {
		ssize_t n = send(i->fd, buf_ptr(&i->out), buf_len(&i->out), MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n < 0)
			return false;
		buf_consume(&i->out, (size_t)n);
		if (i->finishing)
			source_timer(i->timer, CLIENT_LINGER_MS);
		replay_step(i);
	}
	return true;
}

/* A full hang-up: output has no reader any more, but input that came before it still counts. */
static void hang_up(struct client_impl *i)
{
	source_free(TAKE_PTR(i->source));
	i->hung_up = true;
	buf_clear(&i->out);
	i->tail_len = 0;
	vmlog_reader_free(TAKE_PTR(i->replay));
	if (!take_input(i))
		return;
	if (!(i->flags & MON_F_STDIN) || i->in_end || i->finishing)
		end(i, CLIENT_GONE);
	else
		i->ev->drained(i->arg);
}

static void on_io(struct source *s, uint32_t events, void *arg)
{
	struct client_impl *i = arg;
	bool had = buf_len(&i->out) > 0;

	(void)s;
	if (events & (EPOLLHUP | EPOLLERR)) {
		hang_up(i);
		return;
	}
	if (events & EPOLLOUT && !flush(i)) {
		hang_up(i);
		return;
	}
	if (events & EPOLLIN && !take_input(i))
		return;
	if (i->finishing && !buf_len(&i->out) && !i->replay) {
		end(i, CLIENT_DONE);
		return;
	}
	update(i);
	if (had)
		i->ev->drained(i->arg);
}

/* Finished with nothing to send, lingered too long, or overrun. */
static void on_timer(struct source *s, void *arg)
{
	struct client_impl *i = arg;

	(void)s;
	if (i->overrun || i->hung_up)
		end(i, CLIENT_GONE);
	else
		end(i, CLIENT_DONE);
}

void client_output(struct client *c, uint8_t stream, const void *data, size_t n)
{
	struct client_impl *i = c->impl;
	bool idle = !buf_len(&i->out);

	if (i->replay || i->finishing)
		return;
	queue(i, stream, data, n);
	if (idle && !i->hung_up && !i->overrun)
		flush(i); /* an error shows again as EPOLLHUP or EPOLLERR */
	update(i);
}

size_t client_backlog(const struct client *c)
{
	return c->impl->replay || c->impl->overrun ? 0 : buf_len(&c->impl->out);
}

uint32_t client_flags(const struct client *c)
{
	return c->impl->flags;
}

void client_update(struct client *c)
{
	struct client_impl *i = c->impl;

	if (!i->hung_up && !buf_len(&i->early)) {
		update(i);
		return;
	}
	if (!take_input(i))
		return;
	if (i->hung_up && i->in_end)
		end(i, CLIENT_GONE);
	else
		update(i);
}

void client_finish(struct client *c)
{
	struct client_impl *i = c->impl;

	i->finishing = true;
	source_timer(i->timer, buf_len(&i->out) || i->replay ? CLIENT_LINGER_MS : 0);
	update(i);
}

int client_new(struct loop *l, int take_fd, const struct client_config *cfg, const struct client_events *ev, void *arg,
	       struct client **ret, struct err *e)
{
	_cleanup_close_ int fd = take_fd;
	struct client_impl *i;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode))
		return err_set(e, ERR_INVALID, EINVAL, "the client's descriptor is not a socket");
	if (fd_nonblock(fd) < 0)
		return err_errno(e, "client's socket");
	i = xcalloc(1, sizeof(*i));
	i->head.impl = i;
	i->ev = ev;
	i->arg = arg;
	i->loop = l;
	i->fd = TAKE_FD(fd);
	i->flags = cfg->flags;
	if (cfg->flags & MON_F_TTY) {
		memcpy(i->keys, cfg->keys, cfg->n_keys);
		i->n_keys = cfg->n_keys;
	}
	buf_append(&i->early, cfg->early, cfg->early_len);
	if (cfg->flags & MON_F_REPLAY && cfg->log)
		i->replay = vmlog_reader_new(cfg->log);
	i->timer = loop_timer(l, UINT64_MAX, on_timer, i);
	i->source = loop_io(l, i->fd, i->replay ? EPOLLOUT : 0, on_io, i);
	*ret = &i->head;
	return 0;
}
