/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The privileges of netpolicyd's two processes. Both start as root, since making
 * and entering a namespace needs CAP_SYS_ADMIN; both then keep CAP_NET_ADMIN
 * alone, as nobody, and can open no file (the tap opener: one device node).
 * Clients are distrusted; this is what remains if one of them gets in.
 */
#include "netpolicy/jail.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

#define NOBODY 65534

static const struct sandbox_limit limits[] = {
	{ RLIMIT_NPROC, 0 },
	{ RLIMIT_CORE, 0 },
	{ .resource = -1 },
};
static const struct sandbox_path no_files[] = { { 0 } };

static const struct sandbox_calls serve_calls[] = {
	{ "what a C program needs", sandbox_calls_base },
	{ "wait for clients and events",
	  (const int[]){ SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl), -1 } },
	{ "clients in", (const int[]){ SCMP_SYS(accept4), SCMP_SYS(accept), SCMP_SYS(shutdown), -1 } },
	{ "requests, netlink, descriptors",
	  (const int[]){ SCMP_SYS(sendmsg), SCMP_SYS(recvmsg), SCMP_SYS(sendto), SCMP_SYS(recvfrom), -1 } },
	{ "who asks, and what a passed socket is", (const int[]){ SCMP_SYS(getsockopt), SCMP_SYS(getsockname), -1 } },
	{ 0 },
};

const struct sandbox_profile jail_profile_serve = {
	.name = "netpolicyd",
	.limits = limits,
	.paths = no_files,
	.drop_caps = true,
	.keep_caps = 1ULL << CAP_NET_ADMIN,
	.syscalls = serve_calls,
};

static const struct sandbox_calls tap_calls[] = {
	{ "what a C program needs", sandbox_calls_base },
	{ "names in, taps out", (const int[]){ SCMP_SYS(sendmsg), SCMP_SYS(recvmsg), -1 } },
	{ "the device's node", (const int[]){ SCMP_SYS(openat), SCMP_SYS(ioctl), -1 } },
	{ 0 },
};

/* No Landlock: its one file is of a file system without a path. Nobody's own files and openat's flags are the bound. */
const struct sandbox_profile jail_profile_tap = {
	.name = "netpolicyd-tap",
	.limits = limits,
	.drop_caps = true,
	.keep_caps = 1ULL << CAP_NET_ADMIN,
	.syscalls = tap_calls,
};

/* Only the named capabilities, effective and permitted. CAP_SETPCAP lets the sandbox empty the bounding set. */
static int hold(const cap_value_t *values, int n, struct err *e)
{
	cap_t caps = cap_init();
	int r = 0;

	if (!caps || cap_set_flag(caps, CAP_PERMITTED, n, values, CAP_SET) < 0 ||
	    cap_set_flag(caps, CAP_EFFECTIVE, n, values, CAP_SET) < 0 || cap_set_proc(caps) < 0)
		r = err_errno(e, "set capabilities");
	if (caps)
		cap_free(caps);
	return r;
}

static int leave_root(struct err *e)
{
	static const cap_value_t kept[] = { CAP_NET_ADMIN, CAP_SETPCAP };

	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
	    setresuid(NOBODY, NOBODY, NOBODY) < 0 || prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0)
		return err_errno(e, "become nobody");
	return hold(kept, (int)ARRAY_SIZE(kept), e);
}

int jail_serve(struct err *e)
{
	int r = leave_root(e);

	return r < 0 ? r : sandbox_enter(&jail_profile_serve, e);
}

int jail_worker(struct err *e)
{
	int r = leave_root(e);

	return r < 0 ? r : sandbox_enter(&jail_profile_tap, e);
}
