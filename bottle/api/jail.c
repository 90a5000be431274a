/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bottled starts the helpers and the monitors, and what it gives up is given up
 * for all of them: a list of allowed calls would have to be QEMU's. So its
 * filter names what none of them needs, each child narrows further by its own
 * jail, and only capabilities that a child's jail is built with are kept.
 */
#include "api/jail.h"

#include <errno.h>
#include <seccomp.h>
#include <sys/capability.h>

#include "base/sandbox.h"

#define FILES_MAX 65536

#define CAP(c) (1ULL << (unsigned int)(c))

/* Only root has them to keep; a user's bottled has none. */
#define KEPT \
	(CAP(CAP_SYS_ADMIN) | CAP(CAP_SYS_CHROOT) | /* the monitor's and image-unpack's namespaces and roots */ \
	 CAP(CAP_SETUID) | CAP(CAP_SETGID) | CAP(CAP_SETPCAP) |     /* their change of user, their own narrowing */ \
	 CAP(CAP_CHOWN) | CAP(CAP_DAC_OVERRIDE) | CAP(CAP_FOWNER) | /* files handed to a VM's uid */ \
	 CAP(CAP_KILL) |                                            /* a VM that has its own uid */ \
	 CAP(CAP_NET_BIND_SERVICE) |                                /* published ports below 1024 */ \
	 CAP(CAP_MKNOD) | CAP(CAP_SYS_RESOURCE))                    /* a jail's /dev, its limits */

static const struct sandbox_limit limits[] = { { RLIMIT_CORE, 0 }, { RLIMIT_NOFILE, FILES_MAX }, { -1, 0 } };

static const struct sandbox_profile profile = {
	.name = "bottled",
	.limits = limits,
	.drop_caps = true,
	.keep_caps = KEPT,
};

/* Answered with EPERM, not with death: a child may probe. */
static const int denied[] = {
	/* other processes' memory */
	SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(kcmp),
#ifndef __SANITIZE_ADDRESS__
	SCMP_SYS(ptrace),
#endif
	/* code in the kernel */
	SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module), SCMP_SYS(kexec_load),
	SCMP_SYS(kexec_file_load), SCMP_SYS(bpf), SCMP_SYS(perf_event_open),
	/* the machine as a whole */
	SCMP_SYS(reboot), SCMP_SYS(swapon), SCMP_SYS(swapoff), SCMP_SYS(settimeofday), SCMP_SYS(clock_settime),
	SCMP_SYS(clock_adjtime), SCMP_SYS(adjtimex), SCMP_SYS(acct), SCMP_SYS(quotactl), SCMP_SYS(sethostname),
	SCMP_SYS(setdomainname), SCMP_SYS(syslog), SCMP_SYS(iopl), SCMP_SYS(ioperm),
	/* keys, and files by number instead of by name */
	SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(keyctl), SCMP_SYS(open_by_handle_at)
};

static int deny_calls(struct err *e)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int r = ctx ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(denied); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), denied[i], 0);
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r < 0 ? err_set(e, ERR_INTERNAL, -r, "sandbox 'bottled': seccomp") : 0;
}

/* Of KEPT, what this process has: a user's bottled has none, root's in a container fewer than all. */
static uint64_t held(uint64_t wanted)
{
	cap_t caps = cap_get_proc();
	uint64_t has = 0;

	for (int c = 0; caps && c <= CAP_LAST_CAP; c++) {
		cap_flag_value_t v = CAP_CLEAR;

		if (wanted & CAP(c) && cap_get_flag(caps, c, CAP_PERMITTED, &v) == 0 && v == CAP_SET)
			has |= CAP(c);
	}
	cap_free(caps);
	return has;
}

int jail_enter(struct err *e)
{
	struct sandbox_profile p = profile;
	int r;

	p.keep_caps = held(KEPT);
	r = sandbox_enter(&p, e);
	return r < 0 ? r : deny_calls(e);
}
