/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's machine protocol: JSON lines on a socketpair, in bottle-monitor. QEMU
 * is distrusted (a guest may have taken it over): lines are bounded, and an
 * answer that was not asked for ends the VM. Fuzzed (tests/fuzz/fuzz_qmp.c).
 */
#include "monitor/qmp.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/mem.h"

enum qmp_state { QMP_GREETING, QMP_NEGOTIATING, QMP_IDLE, QMP_BUSY, QMP_BROKEN };

struct qmp {
	const struct qmp_events *ev;
	void *arg;
	struct source *source;
	struct buf in;
	enum qmp_state state;
	int fd;
};

static int broken(struct qmp *q, const char *why)
{
	if (q->state == QMP_BROKEN)
		return -EBADMSG;
	q->state = QMP_BROKEN;
	source_free(TAKE_PTR(q->source));
	q->ev->broken(q->arg, why);
	return -EBADMSG;
}

static int send_line(struct qmp *q, const char *name, const char *args, int fd)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	char line[512];
	int n = snprintf(line, sizeof(line), "{\"execute\":\"%s\"%s%s}\n", name, args ? ",\"arguments\":" : "", args ? args : "");
	struct iovec iov = { line, (size_t)n };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n >= (int)sizeof(line))
		return -EMSGSIZE;
	if (q->fd < 0)
		return 0;
	if (fd >= 0) {
		m.msg_control = control.space;
		m.msg_controllen = sizeof(control.space);
		control.head = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(int));
	}
	return sendmsg(q->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) == n ? 0 : -EIO;
}

static int on_answer(struct qmp *q, const char *error)
{
	switch (q->state) {
	case QMP_NEGOTIATING:
		if (error)
			return broken(q, "QEMU refused qmp_capabilities");
		q->state = QMP_IDLE;
		q->ev->ready(q->arg);
		return 0;
	case QMP_BUSY:
		q->state = QMP_IDLE;
		q->ev->answer(q->arg, error);
		return 0;
	default:
		return broken(q, "QEMU answered what nobody asked");
	}
}

static int on_message(struct qmp *q, json_t *m)
{
	const char *desc, *name, *status;

	if (json_object_get(m, "event")) {
		if (q->ev->migration && json_unpack(m, "{s:s,s:{s:s}}", "event", &name, "data", "status", &status) == 0 &&
		    strcmp(name, "MIGRATION") == 0)
			q->ev->migration(q->arg, status);
		return 0; /* its end is seen by its exit; nothing else matters here */
	}
	if (json_object_get(m, "QMP")) {
		if (q->state != QMP_GREETING)
			return broken(q, "QEMU greeted twice");
		q->state = QMP_NEGOTIATING;
		return send_line(q, "qmp_capabilities", NULL, -1) < 0 ? broken(q, "QEMU does not read its monitor") : 0;
	}
	if (json_object_get(m, "return"))
		return on_answer(q, NULL);
	if (json_unpack(m, "{s:{s:s}}", "error", "desc", &desc) == 0)
		return on_answer(q, desc);
	return broken(q, "QEMU sent a message of no known kind");
}

static int on_line(struct qmp *q, const char *line, size_t n)
{
	json_t *m = json_loadb(line, n, JSON_REJECT_DUPLICATES, NULL);
	int r = json_is_object(m) ? on_message(q, m) : broken(q, "QEMU sent no JSON object");

	json_decref(m);
	return r;
}

int qmp_feed(struct qmp *q, const char *data, size_t n)
{
	char *end;

	if (q->state == QMP_BROKEN)
		return -EBADMSG;
	buf_append(&q->in, data, n);
	while (buf_len(&q->in) && (end = memchr(buf_ptr(&q->in), '\n', buf_len(&q->in)))) {
		size_t len = (size_t)(end - buf_ptr(&q->in));
		int r = len > QMP_LINE_MAX ? broken(q, "QEMU sent too long a line") : on_line(q, buf_ptr(&q->in), len);

		if (r < 0)
			return r;
		buf_consume(&q->in, len + 1);
	}
	return buf_len(&q->in) > QMP_LINE_MAX ? broken(q, "QEMU sent too long a line") : 0;
}

static void on_readable(struct source *s, uint32_t events, void *arg)
{
	struct qmp *q = arg;
	char data[4096];
	ssize_t n = read(q->fd, data, sizeof(data));

	(void)s;
	(void)events;
	if (n > 0)
		qmp_feed(q, data, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		source_free(TAKE_PTR(q->source)); /* QEMU ends: its exit status tells the rest */
}

int qmp_command(struct qmp *q, const char *name, const char *args, int fd, struct err *e)
{
	if (q->state != QMP_IDLE)
		return err_set(e, ERR_CONFLICT, EBUSY, "QEMU is busy with another request");
	if (send_line(q, name, args, fd) < 0)
		return err_set(e, ERR_INTERNAL, EIO, "QEMU does not take requests");
	q->state = QMP_BUSY;
	return 0;
}

struct qmp *qmp_new(struct loop *l, int take_fd, const struct qmp_events *ev, void *arg)
{
	struct qmp *q = xcalloc(1, sizeof(*q));

	q->ev = ev;
	q->arg = arg;
	q->fd = take_fd;
	if (take_fd >= 0)
		q->source = loop_io(l, take_fd, EPOLLIN, on_readable, q);
	return q;
}

void qmp_free(struct qmp *q)
{
	if (!q)
		return;
	source_free(q->source);
	cleanup_close(&q->fd);
	buf_done(&q->in);
	free(q);
}
