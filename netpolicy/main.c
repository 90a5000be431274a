/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netpolicyd: the one process of ours with power over the machine's network. It
 * starts as root, makes or opens the bottles' network namespace (N), opens its
 * sockets there and in the host's (H), and gives up all but CAP_NET_ADMIN. Then it
 * answers any user's requests for taps, networks and published ports, each within
 * the user's own slice and quota. It distrusts every client; it keeps no state
 * (see state.h) and exits when it is idle.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/opt.h"
#include "netpolicy/dispatch.h"
#include "netpolicy/jail.h"
#include "netpolicy/setup.h"

#define CLIENTS_MAX         512
#define CLIENTS_PER_UID_MAX 32
#define LISTEN_FD           3

struct client {
	LIST_ENTRY(client) link;
	struct server *server;
	struct source *io;
	uid_t uid;
	int fd;
};

struct server {
	LIST_HEAD(, client) clients;
	struct dispatch dispatch;
	struct state state;
	struct loop *loop;
	struct source *idle;
	uint64_t timeout_ms;
	unsigned n_clients;
};

static struct {
	const char *socket, *pool;
	struct setup setup;
	uint64_t timeout_ms;
	bool root_may_connect, publish_any, teardown, force, verbose;
} config = {
	.socket = NET_SOCKET,
	.pool = POOL_DEFAULT,
	.setup = { .netns = NET_NAMESPACE, .resolv_conf = "/etc/resolv.conf" },
	.timeout_ms = 5000,
};

static const struct opt opts[] = {
	{ 0, "socket", OPT_STR, &config.socket, "PATH",
	  "listen here unless the init system passes a socket (" NET_SOCKET ")" },
	{ 0, "netns", OPT_STR, &config.setup.netns, "PATH",
	  "where the bottles' network namespace is pinned (" NET_NAMESPACE ")" },
	{ 0, "pool", OPT_STR, &config.pool, "SUBNET", "private /16 that guests get addresses from (" POOL_DEFAULT ")" },
	{ 0, "resolv-conf", OPT_STR, &config.setup.resolv_conf, "FILE",
	  "names the resolvers that guests may ask (/etc/resolv.conf)" },
	{ 0, "timeout", OPT_DURATION, &config.timeout_ms, "TIME",
	  "exit after this long without clients; 0 never (5s)" },
	{ 0, "root-may-connect", OPT_FLAG, &config.root_may_connect, NULL,
	  "let root connect to users' loopback publishes" },
	{ 0, "publish-any", OPT_FLAG, &config.publish_any, NULL,
	  "permit publishing on other addresses than 127.x.y.z" },
	{ 0, "teardown", OPT_FLAG, &config.teardown, NULL, "remove all that netpolicyd ever made, and exit" },
	{ 0, "force", OPT_FLAG, &config.force, NULL, "with --teardown: even while guests are connected" },
	{ 'v', "verbose", OPT_FLAG, &config.verbose, NULL, "say more" },
	{ 0 },
};

static const struct opt_usage usage = {
	.synopsis = "netpolicyd [OPTIONS]",
	.summary = "Gives each user's bottles taps, networks and published ports, within the user's own slice.\n"
		   "Started as root, by the init system or by hand; serves as nobody with CAP_NET_ADMIN.",
	.opts = opts,
};

static void client_drop(struct client *c)
{
	struct server *s = c->server;
	struct client *other;
	bool last = true;

	LIST_REMOVE(c, link);
	source_free(c->io);
	close(c->fd);
	LIST_FOREACH(other, &s->clients, link)
		last &= other->uid != c->uid;
	if (last)
		dispatch_left(&s->dispatch, c->uid);
	free(c);
	if (--s->n_clients == 0 && s->timeout_ms)
		source_timer(s->idle, s->timeout_ms);
}

static void on_client(struct source *io, uint32_t events, void *arg)
{
	static struct ipc_msg m;
	struct client *c = arg;
	int r = ipc_recv(c->fd, &m);

	(void)io;
	(void)events;
	if (r == -EAGAIN)
		return;
	if (r == 1)
		r = dispatch_request(&c->server->dispatch, c->fd, c->uid, &m) < 0 ? -EPROTO : 1;
	if (r < 0)
		log_peer("uid %u broke the protocol or doesn't read its answers: dropped", c->uid);
	if (r <= 0)
		client_drop(c);
}

static bool may_join(const struct server *s, uid_t uid)
{
	const struct client *c;
	unsigned own = 0;

	LIST_FOREACH(c, &s->clients, link)
		own += c->uid == uid;
	return s->n_clients < CLIENTS_MAX && own < CLIENTS_PER_UID_MAX;
}

static void on_listener(struct source *io, uint32_t events, void *arg)
{
	int fd = accept4(source_fd(io), NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct server *s = arg;
	struct client *c;
	uid_t uid;

	(void)events;
	if (fd < 0)
		return;
	if (ipc_peer(fd, NULL, &uid) < 0 || !may_join(s, uid)) {
		log_peer("a connection too many is refused");
		close(fd);
		return;
	}
	c = xcalloc(1, sizeof(*c));
	*c = (struct client){ .server = s, .uid = uid, .fd = fd };
	c->io = loop_io(s->loop, fd, EPOLLIN, on_client, c);
	LIST_INSERT_HEAD(&s->clients, c, link);
	s->n_clients++;
	source_timer(s->idle, UINT64_MAX);
}

static void on_kernel(struct source *io, uint32_t events, void *arg)
{
	struct server *s = arg;

	(void)io;
	(void)events;
	state_events(&s->state);
}

static void on_idle(struct source *timer, void *arg)
{
	(void)timer;
	loop_quit(arg, 0);
}

static void on_term(struct source *io, int signo, void *arg)
{
	(void)io;
	(void)signo;
	loop_quit(arg, 0);
}

static int teardown(struct state *s, struct err *e)
{
	int r = setup_open_existing(&config.setup, s, e);
	bool there = r == 1;

	if (there)
		r = state_look(s, e);
	if (r >= 0 && !LIST_EMPTY(&s->model.endpoints) && !config.force)
		r = err_set(e, ERR_CONFLICT, EBUSY, "guests are connected; stop them, or give --force");
	if (r >= 0)
		r = state_teardown(s, there, e);
	return r < 0 ? r : setup_unpin(config.setup.netns, e);
}

static int get_listener(void)
{
	int fd;

	if (listen_fds() > 0)
		return LISTEN_FD;
	unlink(config.socket);
	fd = unix_listen(config.socket, SOCK_SEQPACKET, 0666);
	if (fd < 0)
		fatal("listen at '%s': %s", config.socket, strerror(-fd));
	return fd;
}

static int serve(struct server *s, int listener)
{
	s->loop = loop_new();
	s->timeout_ms = config.timeout_ms;
	s->dispatch.state = &s->state;
	s->idle = loop_timer(s->loop, s->timeout_ms ? s->timeout_ms : UINT64_MAX, on_idle, s->loop);
	loop_io(s->loop, listener, EPOLLIN, on_listener, s);
	loop_io(s->loop, nl_fd(&s->state.ns_events), EPOLLIN, on_kernel, s);
	loop_io(s->loop, nl_fd(&s->state.host_events), EPOLLIN, on_kernel, s);
	loop_signal(s->loop, SIGTERM, on_term, s->loop);
	loop_signal(s->loop, SIGINT, on_term, s->loop);
	return 0;
}

int main(int argc, char **argv)
{
	static struct server server;
	struct err e = { 0 };
	int first, r, listener;

	log_init("netpolicyd", 0);
	r = opt_parse(&usage, argc, argv, &first, &e);
	if (r > 0)
		return 0;
	if (r < 0 || first < argc)
		fatal("%s; see netpolicyd --help", r < 0 ? e.text : "there are no operands");
	log_init("netpolicyd", config.verbose);
	if (geteuid() != 0)
		fatal("needs root to make the bottles' network namespace: start it by the init system (bottle socket "
		      "install), or by sudo");
	server.state.root_may_connect = config.root_may_connect;
	server.state.publish_any = config.publish_any;
	if (pool_parse(config.pool, &server.state.pool, &e) < 0 || setup_lock(config.setup.netns, &e) < 0)
		fatal("%s", e.text);
	if (config.teardown) {
		if (teardown(&server.state, &e) < 0)
			fatal("%s", e.text);
		return 0;
	}
	listener = get_listener();
	if (setup_open(&config.setup, &server.state, &e) < 0)
		fatal("%s", e.text);
	serve(&server, listener);
	if (jail_serve(&e) < 0)
		fatal("%s", e.text);
	return loop_run(server.loop);
}
