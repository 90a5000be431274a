/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sidecar: the first process of the sidecar's machine, between an agent's
 * internal network and an egress network.
 *
 * Theory of operation: main captures the agent's packets (route.c), waits for a
 * policy on its control socket (control.c), and only then opens the listeners
 * (listen.c) and starts the two processes that meet hostile bytes, each with
 * its own uid and no power (children.c). From then on main holds no capability
 * and does three things: hands over new policies, answers ctl, and watches. A
 * child that ends, or a capture that no longer holds, ends everything: the
 * agent then has no way out. Nothing is ever restarted here.
 *
 * Environment: BOTTLE_INTERNAL, the sidecar's IPv4 address on the internal
 * network; BOTTLE_STATUS_PORT, a port on the egress address for GET /healthz, or empty.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/str.h"
#include "sidecar/main/main.h"

struct sidecar sidecar = { .pending_fd = -1 };

static void on_term(struct source *s, int signo, void *arg)
{
	(void)signo, (void)arg;
	loop_quit(source_loop(s), 0); /* the children die with us */
}

static void on_route_change(struct source *s, uint32_t events, void *arg)
{
	char space[8192];
	struct err e = { 0 };

	(void)events, (void)arg;
	while (recv(source_fd(s), space, sizeof(space), MSG_DONTWAIT) > 0 || errno == ENOBUFS)
		errno = 0;
	if (route_check(&sidecar.links, &e) < 0)
		fatal("%s: everything closes", e.text);
}

static void read_environment(struct in_addr *ret_internal)
{
	const char *internal = getenv("BOTTLE_INTERNAL"), *port = getenv("BOTTLE_STATUS_PORT");
	uint64_t n = 0;

	if (!internal || inet_pton(AF_INET, internal, ret_internal) != 1)
		fatal("BOTTLE_INTERNAL is not the sidecar's IPv4 address on the internal network");
	if (port && *port && (str_u64(port, 65535, &n) < 0 || n == 0))
		fatal("BOTTLE_STATUS_PORT is not a port");
	sidecar.status_port = (uint16_t)n;
}

int main(int argc, char **argv)
{
	struct in_addr internal;
	struct err e = { 0 };
	int watch;

	log_init("sidecar", 0);
	signal(SIGPIPE, SIG_IGN);
	if (argc > 1 && str_eq(argv[1], "ctl"))
		return client_main(argc, argv);
	if (argc > 1)
		fatal("usage: sidecar [ctl …]");
	read_environment(&internal);
	if (links_find(internal, &sidecar.links, &e) < 0 || route_capture(&sidecar.links, &e) < 0)
		fatal("%s", e.text);
	if (sandbox_enter(&main_setup_profile, &e) < 0)
		fatal("%s", e.text);
	sidecar.loop = loop_new();
	watch = route_watch();
	if (watch < 0)
		fatal("watch the routes: %s", strerror(-watch));
	loop_io(sidecar.loop, watch, EPOLLIN, on_route_change, NULL);
	loop_signal(sidecar.loop, SIGTERM, on_term, NULL);
	loop_signal(sidecar.loop, SIGINT, on_term, NULL);
	control_start();
	log_info("the agent's packets come in by %s and end here; waiting for a policy", sidecar.links.internal);
	return loop_run(sidecar.loop);
}
