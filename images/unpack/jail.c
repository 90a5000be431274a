/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What image-unpack may do while it reads bytes that nobody vouches for: files
 * below its one directory, results on its socket, memory and time within
 * limits. No network, no other file, no process, no capability.
 */
#include "images/unpack/jail.h"

#include <seccomp.h>

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

static const struct sandbox_path paths[] = {
	{ "/proc/self/fd/4", true },
	{ NULL, false },
};

static const struct sandbox_calls syscalls[] = {
	{ "what any program needs", sandbox_calls_base },
	{ "blobs and block images: made, filled, read back, named, kept; names for them found free",
	  (const int[]){ SCMP_SYS(openat), SCMP_SYS(mkdirat), SCMP_SYS(pwrite64), SCMP_SYS(pread64), SCMP_SYS(ftruncate),
			 SCMP_SYS(fsync), SCMP_SYS(fchmod), SCMP_SYS(renameat), SCMP_SYS(unlinkat), -1 } },
	{ "results to bottled, waiting when it is slow", (const int[]){ SCMP_SYS(sendmsg), SCMP_SYS(poll), -1 } },
	{ 0 },
};

static const struct sandbox_profile profile_run = {
	.name = "run",
	.limits = limits,
	.paths = paths,
	.drop_caps = true,
	.keep_caps = 0,
	.syscalls = syscalls,
};

int jail_enter(struct err *e)
{
	return sandbox_enter(&profile_run, e);
}
