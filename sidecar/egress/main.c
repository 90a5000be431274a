/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sidecar-egress: the agent's only way out. Started by sidecar with its sockets
 * (sidecar/proto.h, enum egress_fd) and a uid of its own; has no file, no
 * capability and no way to start anything.
 *
 * Theory of operation: three listeners (explicit proxy, port 80, port 443) make
 * connections (conn.c, states in egress.h). Every one of them passes
 * conn_permit(), the decision about a name and a port; then dns is asked for
 * the name's addresses (names.c), and only those are dialled. What the agent
 * says first is parsed before anything is sent on (gate.c, hello.c, http.c,
 * head.c). Nothing is read from a listener before the first policy.
 */
#include <signal.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "sidecar/audit.h"
#include "sidecar/egress/egress.h"
#include "sidecar/egress/jail.h"

struct egress egress;

static const struct {
	enum plane plane;
	int fd;
} listeners[] = {
	{ PLANE_PROXY, EGRESS_FD_PROXY },
	{ PLANE_HTTP, EGRESS_FD_HTTP },
	{ PLANE_TLS, EGRESS_FD_TLS },
};

static void on_listener(struct source *s, uint32_t events, void *arg)
{
	(void)events;
	if (egress.n_conns < CONNS_MAX)
		conn_accept(listeners[(size_t)(uintptr_t)arg].plane, source_fd(s));
}

/* At the limit the agent waits in the kernel's backlog. */
void egress_accepting(bool on)
{
	for (size_t i = 0; i < ARRAY_SIZE(listeners); i++)
		source_events(egress.listeners[i], on ? EPOLLIN : 0);
}

static bool has_status;

static void on_policy(const struct ruleset *rules)
{
	static bool serving;

	if (serving) {
		egress_recheck(rules);
		return;
	}
	serving = true;
	for (size_t i = 0; i < ARRAY_SIZE(listeners); i++)
		egress.listeners[i] = loop_io(egress.loop, listeners[i].fd, EPOLLIN, on_listener, (void *)(uintptr_t)i);
	if (has_status)
		status_start(EGRESS_FD_STATUS);
}

int main(int argc, char **argv)
{
	struct err e = { 0 };

	log_init("sidecar-egress", 0);
	signal(SIGPIPE, SIG_IGN);
	if (argc != 2)
		fatal("started by sidecar only");
	for (int fd = EGRESS_FD_MAIN; fd < EGRESS_FD_STATUS; fd++)
		if (fd_cloexec(fd, true) < 0)
			fatal("descriptor %d is missing: started by sidecar only", fd);
	has_status = fd_cloexec(EGRESS_FD_STATUS, true) == 0;
	egress.loop = loop_new();
	egress.egress_dev = argv[1];
	egress.counters = counters_map(EGRESS_FD_COUNTERS);
	LIST_INIT(&egress.conns);
	audit_init(egress.loop);
	if (sandbox_enter(&egress_profile, &e) < 0)
		fatal("%s", e.text);
	names_start();
	child_init(egress.loop, on_policy);
	return loop_run(egress.loop);
}
