/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sidecar's main process may do. setup: until the first policy, the
 * capabilities to open the listeners and to start the children as other users.
 * run: none; it serves its control socket and looks at the routes.
 */
#include <linux/capability.h>
#include <seccomp.h>

#include "sidecar/main/main.h"

#define CAP(c) (1ULL << (c))

const struct sandbox_profile main_setup_profile = {
	.name = "sidecar-setup",
	.drop_caps = true,
	/* IP_TRANSPARENT; ports 53, 80, 443; the children's uids; the end of children (PDEATHSIG is the kernel's). */
	.keep_caps = CAP(CAP_NET_ADMIN) | CAP(CAP_NET_BIND_SERVICE) | CAP(CAP_SETUID) | CAP(CAP_SETGID),
};

static const struct sandbox_calls calls[] = {
	{ "what any C program needs", sandbox_calls_base },
	{ "the loop, signals and children",
	  (const int[]){ SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl), SCMP_SYS(wait4),
			 SCMP_SYS(waitid), -1 } },
	{ "the control socket, the channels, the policy's memfd",
	  (const int[]){ SCMP_SYS(accept4), SCMP_SYS(getsockopt), SCMP_SYS(recvmsg), SCMP_SYS(sendmsg),
			 SCMP_SYS(pread64), -1 } },
	{ "asking the kernel for a route: a netlink socket, an interface's index, ip_forward's file",
	  (const int[]){ SCMP_SYS(socket), SCMP_SYS(sendto), SCMP_SYS(recvfrom), SCMP_SYS(ioctl), SCMP_SYS(openat),
			 -1 } },
	{ 0 },
};

const struct sandbox_profile main_run_profile = {
	.name = "sidecar-run",
	.drop_caps = true,
	.syscalls = calls,
};
