/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to netpolicyd; in bottled. netpolicyd is the system's and trusted to
 * be honest; its answers are checked for their form all the same.
 */
#include "api/netclient.h"

#include <errno.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/mem.h"

struct call {
	uint32_t seq;
	net_fn fn;
	void *arg;
	struct err failure; /* for one that could not be sent */
	TAILQ_ENTRY(call) all;
};

struct netclient {
	struct engine *g;
	char *path;
	int fd;
	struct source *io;
	uint32_t seq;
	bool is_new, failing;
	struct ipc_msg msg;
	TAILQ_HEAD(calls, call) open, failed;
};

struct netclient *netclient_new(struct engine *g, const char *socket_path)
{
	struct netclient *c = xcalloc(1, sizeof(*c));

	c->g = g;
	c->path = xstrdup(socket_path);
	c->fd = -1;
	TAILQ_INIT(&c->open);
	TAILQ_INIT(&c->failed);
	return c;
}

static void call_finish(struct netclient *c, struct call *call, struct ipc_msg *m, const struct err *e)
{
	if (call->fn)
		call->fn(call->arg, m, e);
	engine_idle(c->g);
	free(call);
}

static void fail_all(void *arg)
{
	struct netclient *c = arg;
	struct call *call;

	c->failing = false;
	while ((call = TAILQ_FIRST(&c->failed))) {
		TAILQ_REMOVE(&c->failed, call, all);
		call_finish(c, call, NULL, &call->failure);
	}
}

/* The answer is given when the turn ends. */
static void call_fail(struct netclient *c, struct call *call, const struct err *e)
{
	call->failure = *e;
	TAILQ_INSERT_TAIL(&c->failed, call, all);
	if (!c->failing)
		loop_defer(c->g->loop, fail_all, c);
	c->failing = true;
}

static void disconnect(struct netclient *c, const char *why)
{
	struct call *call;
	struct err e;

	source_free(c->io);
	c->io = NULL;
	close(TAKE_FD(c->fd));
	err_set(&e, ERR_UNAVAILABLE, ECONNRESET, "the network service (netpolicyd at %s) %s: try again", c->path, why);
	while ((call = TAILQ_FIRST(&c->open))) {
		TAILQ_REMOVE(&c->open, call, all);
		call_fail(c, call, &e);
	}
}

/* The text of a NET_ERR. */
static void read_error(const struct ipc_msg *m, struct err *ret)
{
	uint32_t code = EPROTO, cls = ERR_INTERNAL;
	_cleanup_free_ char *text = NULL;
	struct tlv_field f;
	struct tlv_iter it;

	tlv_iter_init(&it, m->body, m->len);
	while (tlv_next(&it, &f) > 0) {
		if (f.tag == NET_TAG_CODE)
			tlv_get_u32(&f, &code);
		else if (f.tag == NET_TAG_CLASS)
			tlv_get_u32(&f, &cls);
		else if (f.tag == NET_TAG_TEXT && !text)
			text = tlv_get_str(&f, ERR_TEXT_MAX - 1);
	}
	err_set(ret, cls < ERR_CLASS_NUM ? cls : ERR_INTERNAL, code && code < 4096 ? (int)code : EPROTO, "%s",
		text ? text : "netpolicyd refused without a reason");
}

static void on_message(struct netclient *c)
{
	struct err e = { 0 };
	struct call *call;

	TAILQ_FOREACH(call, &c->open, all) {
		if (call->seq == c->msg.head.seq)
			break;
	}
	if (!call || (c->msg.head.type != NET_OK && c->msg.head.type != NET_ERR)) {
		ipc_close_fds(&c->msg);
		disconnect(c, "answered what was not asked");
		return;
	}
	TAILQ_REMOVE(&c->open, call, all);
	if (c->msg.head.type == NET_ERR)
		read_error(&c->msg, &e);
	call_finish(c, call, e.code ? NULL : &c->msg, e.code ? &e : NULL);
	ipc_close_fds(&c->msg);
}

static void on_io(struct source *s, uint32_t events, void *arg)
{
	struct netclient *c = arg;
	int r;

	(void)s;
	(void)events;
	r = ipc_recv(c->fd, &c->msg);
	if (r == 1)
		on_message(c);
	else if (r != -EAGAIN)
		disconnect(c, r ? "sent a broken message" : "went away");
}

static void on_hello(void *arg, struct ipc_msg *m, const struct err *e)
{
	(void)arg;
	if (!m)
		log_warn("netpolicyd: %s", e->text);
}

static int reconnect(struct netclient *c, struct err *e)
{
	unsigned char space[64];
	struct tlv t;
	int fd;

	if (c->fd >= 0)
		return 0;
	fd = unix_connect(c->path, SOCK_SEQPACKET);
	if (fd < 0)
		return err_set(e, ERR_UNAVAILABLE, -fd,
			       "the network service is not there (%s: %s): start netpolicyd.socket, "
			       "or run the container with --network none",
			       c->path, strerror(-fd));
	c->fd = fd;
	c->io = loop_io(c->g->loop, fd, EPOLLIN, on_io, c);
	c->is_new = true;
	tlv_init(&t, space, sizeof(space));
	tlv_u32(&t, NET_TAG_VERSION, NET_PROTO_VERSION);
	netclient_call(c, NET_HELLO, &t, -1, on_hello, NULL);
	return 0;
}

void netclient_call(struct netclient *c, uint16_t type, const struct tlv *body, int fd, net_fn fn, void *arg)
{
	struct call *call = xcalloc(1, sizeof(*call));
	struct err e = { 0 };
	int r;

	call->fn = fn;
	call->arg = arg;
	engine_busy(c->g);
	r = reconnect(c, &e);
	if (r == 0) {
		call->seq = ++c->seq ? c->seq : ++c->seq;
		r = ipc_send(c->fd, type, call->seq, body, &fd, fd >= 0);
		if (r < 0)
			err_set(&e, ERR_UNAVAILABLE, -r, "the network service (netpolicyd at %s) takes no request: %s",
				c->path, strerror(-r));
	}
	if (r < 0)
		call_fail(c, call, &e);
	else
		TAILQ_INSERT_TAIL(&c->open, call, all);
}

bool netclient_is_new(struct netclient *c)
{
	bool is_new = c->is_new;

	c->is_new = false;
	return is_new;
}

void netclient_free(struct netclient *c)
{
	if (!c)
		return;
	if (c->fd >= 0)
		disconnect(c, "is no longer asked");
	fail_all(c);
	free(c->path);
	free(c);
}
