/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections of bottled, in bottle-monitor: at most one, the newest. The peer
 * is the monitor's own user (checked by SO_PEERCRED) and is still read with
 * bounds; one that stops reading is dropped, as it finds the truth in files.
 */
#include "monitor/control.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/monitor.h"

struct queued {
	STAILQ_ENTRY(queued) next;
	uint32_t seq;
	uint16_t type;
	size_t n;
	unsigned char body[];
};

struct control {
	STAILQ_HEAD(, queued) queue;
	const struct control_events *ev;
	void *arg;
	struct loop *loop;
	struct source *listener, *source;
	int listen_fd, fd;
	size_t n_queued;
	uint64_t connection;
	struct ipc_msg msg;
};

static void drop_queue(struct control *c)
{
	struct queued *q;

	while ((q = STAILQ_FIRST(&c->queue))) {
		STAILQ_REMOVE_HEAD(&c->queue, next);
		free(q);
	}
	c->n_queued = 0;
}

static void disconnect(struct control *c)
{
	source_free(TAKE_PTR(c->source));
	cleanup_close(&c->fd);
	c->fd = -1;
	drop_queue(c);
}

static int send_one(struct control *c, uint16_t type, uint32_t seq, const void *body, size_t n)
{
	union {
		const void *from;
		unsigned char *to;
	} cast = { body };
	struct tlv t = { .data = cast.to, .len = n, .size = n };

	return ipc_send(c->fd, type, seq, &t, NULL, 0);
}

static void flush(struct control *c)
{
	struct queued *q;

	while (c->fd >= 0 && (q = STAILQ_FIRST(&c->queue))) {
		int r = send_one(c, q->type, q->seq, q->body, q->n);

		if (r == -EAGAIN)
			break;
		if (r < 0) {
			drop_queue(c); /* its end shows as EPOLLIN */
			break;
		}
		STAILQ_REMOVE_HEAD(&c->queue, next);
		c->n_queued--;
		free(q);
	}
	if (c->source)
		source_events(c->source, EPOLLIN | (c->n_queued ? EPOLLOUT : 0));
}

static void post(struct control *c, uint16_t type, uint32_t seq, const struct tlv *body)
{
	ssize_t n = body ? tlv_len(body) : 0;
	struct queued *q;

	if (c->fd < 0 || n < 0)
		return;
	if (c->n_queued >= CONTROL_QUEUE_MAX) {
		log_warn("bottled does not read its messages; it is disconnected");
		shutdown(c->fd, SHUT_RDWR);
		drop_queue(c);
		return;
	}
	q = xcalloc(1, sizeof(*q) + (size_t)n);
	q->type = type;
	q->seq = seq;
	q->n = (size_t)n;
	if (n)
		memcpy(q->body, body->data, (size_t)n);
	STAILQ_INSERT_TAIL(&c->queue, q, next);
	if (++c->n_queued == 1)
		flush(c);
}

static bool take_answer(struct control *c, struct answer *to, uint32_t *ret_seq)
{
	bool there = to->connection && to->connection == c->connection && c->fd >= 0;

	*ret_seq = to->seq;
	*to = (struct answer){ 0 };
	return there;
}

void control_ok(struct control *c, struct answer *to, const struct tlv *body)
{
	uint32_t seq;

	if (take_answer(c, to, &seq))
		post(c, MON_OK, seq, body);
}

void control_error(struct control *c, struct answer *to, uint32_t code, const struct err *why)
{
	unsigned char space[ERR_TEXT_MAX + 64];
	struct tlv t;
	uint32_t seq;

	if (!take_answer(c, to, &seq))
		return;
	tlv_init(&t, space, sizeof(space));
	tlv_u32(&t, MON_TAG_CODE, code);
	tlv_u32(&t, MON_TAG_CLASS, why->cls);
	tlv_str(&t, MON_TAG_TEXT, why->text);
	post(c, MON_ERR, seq, &t);
}

void control_event(struct control *c, uint16_t type, const struct tlv *body)
{
	post(c, type, 0, body);
}

bool control_flush(struct control *c, int ms)
{
	struct pollfd p = { .fd = c->fd, .events = POLLOUT };

	while (c->fd >= 0 && c->n_queued && poll(&p, 1, ms) == 1 && !(p.revents & (POLLHUP | POLLERR)))
		flush(c);
	return c->fd >= 0 && !c->n_queued;
}

/* One message a turn: a busy bottled does not keep the guest's frames waiting. */
static void on_message(struct source *s, uint32_t events, void *arg)
{
	struct control *c = arg;
	int r;

	(void)s;
	if (events & EPOLLOUT)
		flush(c);
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	r = ipc_recv(c->fd, &c->msg);
	if (r == -EAGAIN)
		return;
	if (r <= 0) {
		disconnect(c);
		c->ev->left(c->arg);
		return;
	}
	c->ev->request(c->arg, &c->msg, (struct answer){ c->connection, c->msg.head.seq });
	ipc_close_fds(&c->msg);
}

static void connect_peer(struct control *c, int take_fd)
{
	disconnect(c);
	fd_nonblock(take_fd);
	c->fd = take_fd;
	c->connection++;
	c->source = loop_io(c->loop, c->fd, EPOLLIN, on_message, c);
}

static void on_caller(struct source *s, uint32_t events, void *arg)
{
	struct control *c = arg;
	int fd = accept4(source_fd(s), NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	uid_t uid;

	(void)events;
	if (fd < 0)
		return;
	if (ipc_peer(fd, NULL, &uid) < 0 || uid != geteuid()) {
		log_peer("a connection of another user is refused");
		close(fd);
		return;
	}
	connect_peer(c, fd);
}

int control_listen(struct control *c, int dir_fd, struct err *e)
{
	c->listen_fd = unix_listen_at(dir_fd, "control", SOCK_SEQPACKET, 0600);
	if (c->listen_fd < 0) {
		errno = -c->listen_fd;
		return err_errno(e, "listen on the monitor's control socket");
	}
	c->listener = loop_io(c->loop, c->listen_fd, EPOLLIN, on_caller, c);
	return 0;
}

void control_close_listener(struct control *c)
{
	source_free(TAKE_PTR(c->listener));
	cleanup_close(&c->listen_fd);
	c->listen_fd = -1;
}

bool control_connected(const struct control *c)
{
	return c->fd >= 0;
}

struct control *control_new(struct loop *l, int take_fd, const struct control_events *ev, void *arg)
{
	struct control *c = xcalloc(1, sizeof(*c));

	STAILQ_INIT(&c->queue);
	c->loop = l;
	c->ev = ev;
	c->arg = arg;
	c->listen_fd = c->fd = -1;
	connect_peer(c, take_fd);
	return c;
}

void control_free(struct control *c)
{
	if (!c)
		return;
	disconnect(c);
	control_close_listener(c);
	free(c);
}
