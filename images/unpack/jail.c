/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What image-unpack may do while it reads bytes that nobody vouches for: files
 * below its one directory, results on its socket, memory and time within
 * limits. No network, no other file, no process, no capability.
 */
#include "images/unpack/jail.h"

#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/sandbox.h"
#include "images/unpack/unpack.h"

#ifdef __SANITIZE_ADDRESS__
#define MEMORY_MAX RLIM_INFINITY /* its shadow is larger than any limit */
#else
#define MEMORY_MAX (2ULL << 30)
#endif
#define CPU_SECONDS_MAX 3600
#define FDS_MAX         64

static const struct sandbox_limit limits[] = {
	{ RLIMIT_AS, MEMORY_MAX },
	{ RLIMIT_FSIZE, UNPACK_STREAM_MAX },
	{ RLIMIT_CPU, CPU_SECONDS_MAX },
	{ RLIMIT_NOFILE, FDS_MAX },
	{ RLIMIT_CORE, 0 },
	{ -1, 0 },
};

/* Below Landlock: all files that there are, or, where no root of our own could be had, the one directory. */
static const struct sandbox_path paths_own_root[] = { { "/", true }, { NULL, false } };
static const struct sandbox_path paths_host_root[] = { { "/proc/self/fd/4", true }, { NULL, false } };

static const struct sandbox_calls syscalls[] = {
	{ "what any program needs", sandbox_calls_base },
	{ "blobs and block images: made, filled, read back, named, kept; names for them found free",
	  (const int[]){ SCMP_SYS(openat), SCMP_SYS(mkdirat), SCMP_SYS(pwrite64), SCMP_SYS(pread64),
			 SCMP_SYS(ftruncate), SCMP_SYS(fsync), SCMP_SYS(fchmod), SCMP_SYS(renameat), SCMP_SYS(unlinkat),
			 -1 } },
	{ "results to bottled, waiting when it is slow", (const int[]){ SCMP_SYS(sendmsg), SCMP_SYS(poll), -1 } },
	{ 0 },
};

/*
 * Should: make the job's directory the root, in namespaces without network or
 * processes of others. Mustn't: be needed, since a host may forbid user
 * namespaces; then Landlock and seccomp remain. true when the root is the directory.
 */
static bool enter_own_root(void)
{
	/* Without a user namespace only root has what the rest asks for. */
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0 && geteuid() != 0)
		return false;
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* forgotten with the change of credentials */
	return fchdir(UNPACK_DIR_FD) == 0 && chroot(".") == 0 && chdir("/") == 0;
}

int jail_enter(struct err *e)
{
	const struct sandbox_profile run = {
		.name = "run",
		.limits = limits,
		.paths = enter_own_root() ? paths_own_root : paths_host_root,
		.drop_caps = true,
		.keep_caps = 0,
		.syscalls = syscalls,
	};

	return sandbox_enter(&run, e);
}
