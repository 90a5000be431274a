/* SPDX-License-Identifier: Apache-2.0 */
/* What sidecar-probe may do once it holds its packet socket: sockets to ask with, memory, time. No file, no process. */
#include <seccomp.h>

#include "sidecar/probe/probe.h"

static const struct sandbox_limit limits[] = {
	{ RLIMIT_NOFILE, 256 },
	{ RLIMIT_NPROC, 0 },
	{ RLIMIT_CORE, 0 },
	{ -1, 0 },
};

static const struct sandbox_path no_paths[] = { { 0 } };

static const struct sandbox_calls calls[] = {
	{ "what any C program needs", sandbox_calls_base },
	{ "waiting", (const int[]){ SCMP_SYS(poll), SCMP_SYS(ppoll), -1 } },
	{ "asking", (const int[]){ SCMP_SYS(socket), SCMP_SYS(connect), SCMP_SYS(sendto), SCMP_SYS(recvfrom), -1 } },
	{ "the packet socket's losses", (const int[]){ SCMP_SYS(getsockopt), -1 } },
	{ "the report on standard output", (const int[]){ SCMP_SYS(fstat), SCMP_SYS(newfstatat), -1 } },
	{ 0 },
};

const struct sandbox_profile probe_profile = {
	.name = "sidecar-probe",
	.limits = limits,
	.paths = no_paths,
	.drop_caps = true,
	.syscalls = calls,
};
