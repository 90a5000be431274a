/* SPDX-License-Identifier: Apache-2.0 */
/* What sidecar-dns may do once it has read resolv.conf: packets, its channels, memory, time. No file, no process. */
#include "sidecar/dns/jail.h"

#include <seccomp.h>

static const struct sandbox_limit limits[] = {
	{ RLIMIT_NOFILE, 256 },
	{ RLIMIT_NPROC, 0 },
	{ RLIMIT_CORE, 0 },
	{ -1, 0 },
};

static const struct sandbox_path no_paths[] = { { 0 } };

static const struct sandbox_calls calls[] = {
	{ "what any C program needs", sandbox_calls_base },
	{ "the loop", (const int[]){ SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl), -1 } },
	{ "the agent's questions and the answers, the channels, the policy's memfd",
	  (const int[]){ SCMP_SYS(recvmsg), SCMP_SYS(sendmsg), SCMP_SYS(accept4), SCMP_SYS(pread64), -1 } },
	{ "questions to the nameservers: a socket each",
	  (const int[]){ SCMP_SYS(socket), SCMP_SYS(setsockopt), SCMP_SYS(connect), SCMP_SYS(sendto),
			 SCMP_SYS(recvfrom), -1 } },
	{ 0 },
};

const struct sandbox_profile dns_profile = {
	.name = "sidecar-dns",
	.limits = limits,
	.paths = no_paths,
	.drop_caps = true,
	.syscalls = calls,
};
