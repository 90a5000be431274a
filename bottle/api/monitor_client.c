/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channel to a bottle-monitor. Runs in bottled. A monitor is of the same
 * user but close to a hostile guest: its messages are checked, and one that
 * breaks the protocol is treated as gone.
 */
#include "api/monitor_client.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/monitor.h"

struct pending {
	struct pending *next;
	uint32_t seq;
	mon_answer_fn fn;
	void *arg;
};

struct outgoing {
	struct outgoing *next;
	struct tlv body;
	uint32_t seq;
	uint16_t type;
	int fds[IPC_FDS_MAX];
	size_t n_fds;
};

struct mon {
	struct source *io;
	int fd;
	uint32_t seq;
	const struct mon_ops *ops;
	void *arg;
	struct pending *pending, **pending_tail;
	struct outgoing *out, **out_tail;
	unsigned int depth; /* of calls that go on using the mon */
	bool closed;        /* freed as soon as depth is 0 */
	bool abandoned;     /* nobody wants to hear of it */
};

static void outgoing_free(struct outgoing *o)
{
	for (size_t i = 0; i < o->n_fds; i++)
		close(o->fds[i]);
	free(o->body.data);
	free(o);
}

static void fail_pending(struct mon *m)
{
	struct pending *p;

	while ((p = m->pending)) {
		m->pending = p->next;
		if (!p->next)
			m->pending_tail = &m->pending;
		if (p->fn)
			p->fn(p->arg, NULL);
		free(p);
	}
}

static void leave(struct mon *m)
{
	struct outgoing *o;

	if (--m->depth || !m->closed)
		return;
	while ((o = m->out)) {
		m->out = o->next;
		outgoing_free(o);
	}
	free(m);
}

static void shut(struct mon *m)
{
	if (m->closed)
		return;
	m->closed = true;
	source_free(m->io);
	close(m->fd);
	fail_pending(m);
}

static void gone(struct mon *m)
{
	if (m->closed)
		return;
	shut(m);
	if (!m->abandoned)
		m->ops->gone(m->arg);
}

static bool answer(struct mon *m, const struct ipc_msg *msg)
{
	for (struct pending **at = &m->pending; *at; at = &(*at)->next) {
		struct pending *p = *at;

		if (p->seq != msg->head.seq)
			continue;
		*at = p->next;
		if (!*at)
			m->pending_tail = at;
		if (p->fn)
			p->fn(p->arg, msg);
		free(p);
		return true;
	}
	return false;
}

static bool dispatch(struct mon *m, const struct ipc_msg *msg)
{
	if (msg->head.seq)
		return (msg->head.type == MON_OK || msg->head.type == MON_ERR) && answer(m, msg);
	if (msg->head.type < MON_EV_EXIT || msg->head.type > MON_EV_DETACHED)
		return false;
	if (!m->abandoned)
		m->ops->event(m->arg, msg);
	return true;
}

static void receive(struct mon *m)
{
	_cleanup_free_ struct ipc_msg *msg = xmalloc(sizeof(*msg));

	m->depth++;
	while (!m->closed) {
		int r = ipc_recv(m->fd, msg);

		if (r == -EAGAIN)
			break;
		if (r <= 0) {
			gone(m);
			break;
		}
		ipc_close_fds(msg);
		if (!dispatch(m, msg)) {
			log_peer("a monitor sent message %u out of place: its channel is closed", msg->head.type);
			gone(m);
		}
	}
	leave(m);
}

static void flush(struct mon *m)
{
	struct outgoing *o;

	while ((o = m->out)) {
		int r = ipc_send(m->fd, o->type, o->seq, &o->body, o->fds, o->n_fds);

		if (r == -EAGAIN)
			break;
		/* any other failure shows as a hang-up of the same socket */
		m->out = o->next;
		if (!m->out)
			m->out_tail = &m->out;
		outgoing_free(o);
	}
	source_events(m->io, EPOLLIN | (m->out ? EPOLLOUT : 0));
}

static void on_io(struct source *s, uint32_t events, void *arg)
{
	struct mon *m = arg;

	(void)s;
	m->depth++;
	if (events & EPOLLOUT)
		flush(m);
	if (!m->closed && (events & ~(uint32_t)EPOLLOUT))
		receive(m);
	leave(m);
}

struct mon *mon_new(struct loop *l, int fd, const struct mon_ops *ops, void *arg)
{
	struct mon *m = xcalloc(1, sizeof(*m));

	fd_nonblock(fd);
	*m = (struct mon){ .fd = fd, .ops = ops, .arg = arg };
	m->pending_tail = &m->pending;
	m->out_tail = &m->out;
	m->io = loop_io(l, fd, EPOLLIN, on_io, m);
	return m;
}

void mon_free(struct mon *m)
{
	if (!m)
		return;
	m->depth++;
	m->abandoned = true;
	shut(m);
	leave(m);
}

void mon_abandon(struct mon *m)
{
	m->abandoned = true;
	m->depth++;
	fail_pending(m);
	leave(m);
}

void mon_request(struct mon *m, uint16_t type, const struct tlv *body, const int *fds, size_t n_fds, mon_answer_fn fn,
		 void *arg)
{
	struct pending *p;
	struct outgoing *o;

	if (m->closed) {
		if (fn)
			fn(arg, NULL);
		return;
	}
	p = xcalloc(1, sizeof(*p));
	o = xcalloc(1, sizeof(*o));
	if (++m->seq == 0)
		m->seq = 1;
	*p = (struct pending){ .seq = m->seq, .fn = fn, .arg = arg };
	*m->pending_tail = p;
	m->pending_tail = &p->next;

	o->seq = m->seq;
	o->type = type;
	if (body && body->len) {
		o->body = (struct tlv){ .data = xmalloc(body->len), .len = body->len, .size = body->len };
		memcpy(o->body.data, body->data, body->len);
	}
	for (size_t i = 0; i < n_fds && i < IPC_FDS_MAX; i++)
		if ((o->fds[o->n_fds] = fcntl(fds[i], F_DUPFD_CLOEXEC, 3)) >= 0)
			o->n_fds++;
	*m->out_tail = o;
	m->out_tail = &o->next;
	flush(m);
}

void mon_drain(struct mon *m)
{
	receive(m);
}

int mon_answer_err(const struct ipc_msg *answer_msg, struct err *e, int *ret_code)
{
	uint32_t code = 0, cls = ERR_INTERNAL;
	_cleanup_free_ char *text = NULL;
	struct tlv_field f;
	struct tlv_iter it;

	*ret_code = 0;
	if (!answer_msg)
		return err_set(e, ERR_INTERNAL, EPIPE, "the virtual machine's monitor ended unexpectedly; try again");
	if (answer_msg->head.type == MON_OK)
		return 0;
	tlv_iter_init(&it, answer_msg->body, answer_msg->len);
	while (tlv_next(&it, &f) > 0) {
		if (f.tag == MON_TAG_CODE)
			tlv_get_u32(&f, &code);
		else if (f.tag == MON_TAG_CLASS)
			tlv_get_u32(&f, &cls);
		else if (f.tag == MON_TAG_TEXT && !text)
			text = tlv_get_str(&f, ERR_TEXT_MAX - 1);
	}
	*ret_code = (int)(code & 0xff);
	return err_set(e, cls < ERR_CLASS_NUM ? (enum err_class)cls : ERR_INTERNAL, EIO, "%s",
		       text ? text : "the monitor gave no reason");
}
