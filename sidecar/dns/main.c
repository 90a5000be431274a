/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sidecar-dns: the agent's only resolver. Started by sidecar with its sockets
 * (sidecar/proto.h, enum dns_fd) and a uid of its own; has no file, no
 * capability and no way to start anything.
 *
 * Theory of operation: serve.c takes questions (UDP, TCP, egress' channel) and
 * decides by the policy; resolve.c asks the nameservers with questions of its
 * own; cache.c keeps the answers, which are also the addresses that egress may
 * dial. Before the first policy nothing is read from any socket but main's.
 */
#include <signal.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "sidecar/audit.h"
#include "sidecar/child.h"
#include "sidecar/dns/jail.h"
#include "sidecar/dns/resolve.h"
#include "sidecar/dns/serve.h"

static struct loop *loop;
static struct side_counters *counters;

static void on_policy(const struct ruleset *rules)
{
	static bool serving;

	(void)rules;
	if (!serving)
		serve_start(loop, counters);
	serving = true;
}

int main(int argc, char **argv)
{
	struct err e = { 0 };

	log_init("sidecar-dns", 0);
	signal(SIGPIPE, SIG_IGN);
	if (argc != 2)
		fatal("started by sidecar only");
	for (int fd = DNS_FD_MAIN; fd < DNS_FD_END; fd++)
		if (fd_cloexec(fd, true) < 0)
			fatal("descriptor %d is missing: started by sidecar only", fd);
	loop = loop_new();
	resolve_init(loop, argv[1]);
	counters = counters_map(DNS_FD_COUNTERS);
	audit_init(loop);
	fd_nonblock(DNS_FD_EGRESS);
	if (sandbox_enter(&dns_profile, &e) < 0)
		fatal("%s", e.text);
	child_init(loop, on_policy);
	return loop_run(loop);
}
