/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The status port, in sidecar-egress: GET /healthz for whoever may reach the
 * port on the egress side (the host's publish). One request a connection; says
 * the policy's hash and figures, no name and no secret. Distrusts its clients.
 */
#include <sys/socket.h>

#include "base/mem.h"
#include "base/str.h"
#include "sidecar/egress/egress.h"

#define CLIENTS_MAX 16
#define REQUEST_MAX 4096
#define CLIENT_MS   5000

struct client {
	int fd;
	bool answered;
	struct source *io, *timer;
	struct buf in, out;
};

static unsigned int n_clients;
static struct source *listener;

static void client_close(struct client *c)
{
	source_free(c->io);
	source_free(c->timer);
	close(c->fd);
	buf_done(&c->in);
	buf_done(&c->out);
	free(c);
	if (n_clients-- == CLIENTS_MAX)
		source_events(listener, EPOLLIN);
}

static void healthz(struct buf *body)
{
	const struct side_counters *k = egress.counters;

	buf_printf(body, "{\"healthy\":%s,\"policy\":\"%s\",\"open\":%llu,\"allowed\":%llu,\"denied\":%llu}\n",
		   k->healthy ? "true" : "false", ruleset_hash(child_rules()), (unsigned long long)k->open,
		   (unsigned long long)k->allowed, (unsigned long long)k->denied);
}

static void answer(struct client *c, int status)
{
	_cleanup_buf_ struct buf body = { 0 };

	if (status == 200)
		healthz(&body);
	buf_printf(&c->out,
		   "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
		   "Cache-Control: no-store\r\nConnection: close\r\n\r\n",
		   status, http_reason(status), buf_len(&body));
	buf_append(&c->out, buf_ptr(&body), buf_len(&body));
	c->answered = true;
	source_events(c->io, EPOLLOUT);
}

static void on_client(struct source *s, uint32_t events, void *arg)
{
	struct client *c = arg;
	struct http_head h;
	ssize_t n;

	(void)events;
	if (c->answered) {
		if (buf_write(&c->out, source_fd(s)) < 0 || !buf_len(&c->out)) {
			shutdown(c->fd, SHUT_WR);
			client_close(c);
		}
		return;
	}
	n = buf_read(&c->in, source_fd(s), 1024);
	if (n <= 0) {
		client_close(c);
		return;
	}
	n = http_parse_request(buf_ptr(&c->in), buf_len(&c->in), &h, NULL);
	if (n > 0)
		answer(c, slice_eq(h.method, "GET") && slice_eq(h.target, "/healthz") ? 200 : 404);
	else if (n < 0 || buf_len(&c->in) > REQUEST_MAX)
		answer(c, 400);
}

static void on_late(struct source *s, void *arg)
{
	(void)s;
	client_close(arg);
}

static void on_accept(struct source *s, uint32_t events, void *arg)
{
	int fd = accept4(source_fd(s), NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *c;

	(void)events, (void)arg;
	if (fd < 0)
		return;
	c = xcalloc(1, sizeof(*c));
	c->fd = fd;
	c->io = loop_io(egress.loop, fd, EPOLLIN, on_client, c);
	c->timer = loop_timer(egress.loop, CLIENT_MS, on_late, c);
	if (++n_clients == CLIENTS_MAX)
		source_events(s, 0);
}

void status_start(int listener_fd)
{
	listener = loop_io(egress.loop, listener_fd, EPOLLIN, on_accept, NULL);
}
