/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket, in sidecar's main process: root of the sidecar's own
 * machine applies policies and asks (the bottle command does it by exec). The
 * agent has no way to it: it is a file of another machine. One request a connection.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/socket.h>

#include "base/ipc.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "sidecar/main/main.h"

#define CLIENTS_MAX 16

struct client {
	int fd;
	struct source *io;
	bool waits; /* for control_applied */
};

static struct client *clients[CLIENTS_MAX];

static void client_close(struct client *c)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (clients[i] == c)
			clients[i] = NULL;
	source_free(c->io);
	close(c->fd);
	free(c);
}

static void answer(struct client *c, bool ok, const char *text)
{
	unsigned char space[IPC_BODY_MAX];
	struct tlv t;

	tlv_init(&t, space, sizeof(space));
	tlv_str(&t, SIDE_TAG_TEXT, text);
	if (ipc_send(c->fd, ok ? CTL_OK : CTL_ERR, 0, &t, NULL, 0) < 0)
		log_warn("the control client went away");
	client_close(c);
}

void control_applied(const char *hash)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (clients[i] && clients[i]->waits)
			answer(clients[i], true, hash);
}

static void on_apply(struct client *c, struct ipc_msg *m)
{
	int fd = ipc_take_fd(m, 0);
	struct err e = { 0 };

	if (fd < 0) {
		answer(c, false, "no policy came with the request");
		return;
	}
	c->waits = true;
	if (policy_apply(fd, &e) < 0)
		answer(c, false, e.text);
}

static json_int_t sum(_Atomic uint64_t *a, _Atomic uint64_t *b)
{
	return (json_int_t)*a + (json_int_t)*b;
}

static void on_status(struct client *c, struct ipc_msg *m)
{
	char space[ERR_TEXT_MAX];
	const char *ill = health(space, sizeof(space));
	json_t *json = json_pack("{s:b, s:s?, s:s?, s:s?}", "healthy", ill == NULL, "reason", ill, "policy",
				 sidecar.rules ? ruleset_hash(sidecar.rules) : NULL, "name",
				 sidecar.rules ? ruleset_name(sidecar.rules) : NULL);
	char *text;

	(void)m;
	if (sidecar.started) {
		struct side_counters *d = sidecar.children[CHILD_DNS].counters,
				     *g = sidecar.children[CHILD_EGRESS].counters;

		json_object_set_new(json, "allowed", json_integer(sum(&d->allowed, &g->allowed)));
		json_object_set_new(json, "denied", json_integer(sum(&d->denied, &g->denied)));
		json_object_set_new(json, "open", json_integer((json_int_t)g->open));
		json_object_set_new(json, "bytes_in", json_integer((json_int_t)g->bytes_in));
		json_object_set_new(json, "bytes_out", json_integer((json_int_t)g->bytes_out));
	}
	text = json_dumps(json, JSON_COMPACT);
	answer(c, !ill, text ? text : "{\"healthy\":false}");
	free(text);
	json_decref(json);
}

static void on_why(struct client *c, struct ipc_msg *m)
{
	_cleanup_free_ char *name = NULL, *text = NULL;
	char host[HOST_MAX + 1];
	struct decision d;
	struct tlv_field f;
	struct tlv_iter it;
	uint32_t port = 0;

	tlv_iter_init(&it, m->body, m->len);
	while (tlv_next(&it, &f) > 0) {
		if (f.tag == SIDE_TAG_NAME && !name)
			name = tlv_get_str(&f, HOST_MAX);
		else if (f.tag == SIDE_TAG_PORT && !tlv_get_u32(&f, &port))
			port = 0;
	}
	if (!name || port > 65535) {
		answer(c, false, "malformed question");
	} else if (!sidecar.rules) {
		answer(c, false, "no policy is applied yet: everything is denied");
	} else if (host_normalize(name, strlen(name), host) != HOST_NAME) {
		answer(c, false, "deny default: not a host name; addresses are always denied");
	} else {
		ruleset_decide(sidecar.rules, host, (uint16_t)port, &d);
		text = xasprintf("%s %s: %s", d.allow ? "allow" : "deny", d.rule, d.reason);
		answer(c, d.allow, text);
	}
}

static const struct {
	uint16_t type;
	void (*fn)(struct client *c, struct ipc_msg *m);
} requests[] = { { CTL_APPLY, on_apply }, { CTL_STATUS, on_status }, { CTL_WHY, on_why } };

static void on_client(struct source *s, uint32_t events, void *arg)
{
	static struct ipc_msg m;
	struct client *c = arg;
	int r = ipc_recv(source_fd(s), &m);

	(void)events;
	if (r == -EAGAIN)
		return;
	if (r <= 0 || c->waits) {
		ipc_close_fds(&m);
		client_close(c);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		if (requests[i].type == m.head.type) {
			requests[i].fn(c, &m);
			ipc_close_fds(&m);
			return;
		}
	}
	ipc_close_fds(&m);
	client_close(c);
}

static void on_accept(struct source *s, uint32_t events, void *arg)
{
	int fd = accept4(source_fd(s), NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	uid_t uid = (uid_t)-1;
	size_t i = 0;

	(void)events, (void)arg;
	if (fd < 0)
		return;
	while (i < CLIENTS_MAX && clients[i])
		i++;
	if (i == CLIENTS_MAX || ipc_peer(fd, NULL, &uid) < 0 || uid != 0) {
		close(fd);
		return;
	}
	clients[i] = xcalloc(1, sizeof(*clients[i]));
	clients[i]->fd = fd;
	clients[i]->io = loop_io(sidecar.loop, fd, EPOLLIN, on_client, clients[i]);
}

void control_start(void)
{
	int fd;

	unlink(SIDECAR_SOCKET);
	fd = unix_listen(SIDECAR_SOCKET, SOCK_SEQPACKET, 0600);
	if (fd < 0)
		fatal("listen on " SIDECAR_SOCKET ": %s", strerror(-fd));
	loop_io(sidecar.loop, fd, EPOLLIN, on_accept, NULL);
}
