/* SPDX-License-Identifier: Apache-2.0 */
/* What sidecar-egress may do: sockets that it was given, sockets to dial with, memory, time. No file, no process. */
#include "sidecar/egress/jail.h"

#include <seccomp.h>

static const struct sandbox_limit limits[] = {
	{ RLIMIT_NOFILE, 1200 }, /* two a connection, CONNS_MAX of them, and the fixed ones */
	{ RLIMIT_NPROC, 0 },
	{ RLIMIT_CORE, 0 },
	{ -1, 0 },
};

static const struct sandbox_path no_paths[] = { { 0 } };

static const struct sandbox_calls calls[] = {
	{ "what any C program needs", sandbox_calls_base },
	{ "the loop", (const int[]){ SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl), -1 } },
	{ "the channels to main and dns, the policy's memfd",
	  (const int[]){ SCMP_SYS(recvmsg), SCMP_SYS(sendmsg), SCMP_SYS(pread64), -1 } },
	{ "the agent's connections",
	  (const int[]){ SCMP_SYS(accept4), SCMP_SYS(getsockname), SCMP_SYS(shutdown), -1 } },
	{ "dialling",
	  (const int[]){ SCMP_SYS(socket), SCMP_SYS(setsockopt), SCMP_SYS(getsockopt), SCMP_SYS(connect), -1 } },
	{ 0 },
};

const struct sandbox_profile egress_profile = {
	.name = "sidecar-egress",
	.limits = limits,
	.paths = no_paths,
	.drop_caps = true,
	.syscalls = calls,
};
