/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Privilege dropping; in every process that has a jail.c. Stages as the header
 * numbers them. Nothing here may log or continue after a failure: half a
 * sandbox is none.
 */
#include "base/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* clang-format off */
const int sandbox_calls_base[] = {
	SCMP_SYS(brk), SCMP_SYS(mmap), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(mprotect),
	SCMP_SYS(futex), SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep), SCMP_SYS(gettimeofday),
	SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask), SCMP_SYS(restart_syscall), SCMP_SYS(getpid), SCMP_SYS(gettid),
	SCMP_SYS(tgkill), SCMP_SYS(getrandom), SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev),
	SCMP_SYS(close), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(lseek), SCMP_SYS(fcntl), SCMP_SYS(exit),
	SCMP_SYS(exit_group), SCMP_SYS(sched_yield), SCMP_SYS(rt_sigaction),
#ifdef __SANITIZE_ADDRESS__
	SCMP_SYS(sigaltstack), SCMP_SYS(readlink), SCMP_SYS(openat), SCMP_SYS(prctl), SCMP_SYS(sched_getaffinity),
	SCMP_SYS(ioctl), SCMP_SYS(getuid), SCMP_SYS(getrusage),
#endif
	-1
};
/* clang-format on */

/* Should: only lower. Mustn't: fail because a limit already is lower. */
static int enter_limits(const struct sandbox_limit *l, struct err *e)
{
	for (; l && l->resource >= 0; l++) {
		struct rlimit old, set = { l->max, l->max };

		if (getrlimit((__rlimit_resource_t)l->resource, &old) == 0 && old.rlim_max < l->max)
			set.rlim_cur = set.rlim_max = old.rlim_max;
		if (setrlimit((__rlimit_resource_t)l->resource, &set) < 0)
			return err_errno(e, "setrlimit %d", l->resource);
	}
	return 0;
}

#define ACCESS_READ (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define ACCESS_ALL  ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)

static int allow_path(int ruleset_fd, const struct sandbox_path *p, struct err *e)
{
	_cleanup_close_ int fd = open(p->path, O_PATH | O_CLOEXEC);
	struct landlock_path_beneath_attr rule = {
		.allowed_access = p->write ? ACCESS_ALL : ACCESS_READ,
		.parent_fd = fd,
	};

	if (fd < 0)
		return errno == ENOENT ? 0 : err_errno(e, "open '%s'", p->path);
	if (syscall(SYS_landlock_add_rule, ruleset_fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		return err_errno(e, "landlock: '%s'", p->path);
	return 0;
}

/* Should: be a second wall. Mustn't: be needed, since kernels without Landlock go on (ENOSYS, EOPNOTSUPP). */
static int enter_paths(const struct sandbox_path *p, struct err *e)
{
	struct landlock_ruleset_attr attr = { .handled_access_fs = ACCESS_ALL };
	_cleanup_close_ int fd = -1;

	if (!p)
		return 0;
	fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (fd < 0)
		return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : err_errno(e, "landlock");
	for (; p->path; p++) {
		int r = allow_path(fd, p, e);

		if (r < 0)
			return r;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		return err_errno(e, "landlock");
	return 0;
}

/* Should: leave exactly keep. Mustn't: fail for a process that has none. */
static int enter_caps(uint64_t keep, struct err *e)
{
	cap_t caps = cap_init();
	int r = 0;

	if (!caps)
		return err_errno(e, "capabilities");
	for (int c = 0; c <= CAP_LAST_CAP; c++) {
		cap_value_t v = c;

		if (keep & (1ULL << c)) {
			cap_set_flag(caps, CAP_PERMITTED, 1, &v, CAP_SET);
			cap_set_flag(caps, CAP_EFFECTIVE, 1, &v, CAP_SET);
		} else if (prctl(PR_CAPBSET_DROP, c, 0, 0, 0) < 0 && errno != EPERM && errno != EINVAL) {
			r = err_errno(e, "drop capability %d", c);
		}
	}
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (r == 0 && cap_set_proc(caps) < 0)
		r = err_errno(e, "set capabilities");
	cap_free(caps);
	return r;
}

static int add_calls(scmp_filter_ctx ctx, const struct sandbox_calls *s, struct err *e)
{
	for (; s->calls; s++)
		for (const int *c = s->calls; *c != -1; c++) {
			int r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, *c, 0);

			if (r < 0)
				return err_set(e, ERR_INTERNAL, -r, "seccomp: call %d (%s)", *c, s->why);
		}
	return 0;
}

static int enter_seccomp(const struct sandbox_calls *s, struct err *e)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r;

	if (!ctx)
		return err_set(e, ERR_INTERNAL, ENOMEM, "seccomp");
	r = add_calls(ctx, s, e);
	if (r == 0) {
		r = seccomp_load(ctx);
		if (r < 0)
			err_set(e, ERR_INTERNAL, -r, "seccomp: load");
	}
	seccomp_release(ctx);
	return r;
}

int sandbox_enter(const struct sandbox_profile *p, struct err *e)
{
	int r = enter_limits(p->limits, e);

	if (r == 0)
		r = enter_paths(p->paths, e);
	if (r == 0 && p->drop_caps)
		r = enter_caps(p->keep_caps, e);
	if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = err_errno(e, "no_new_privs");
	if (r == 0 && p->syscalls)
		r = enter_seccomp(p->syscalls, e);
	return r < 0 ? err_wrap(e, "sandbox '%s'", p->name) : 0;
}
