/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor's own jail, entered after its VMM was started: it then parses
 * what a hostile guest sends. It keeps the container's
 * directory, RUNTIME_DIR/vm, its sockets and its child. A restarted container gets a new monitor.
 */
#include "monitor/jail.h"

#include <errno.h>
#include <limits.h>
#include <seccomp.h>
#include <string.h>
#include <sys/capability.h>

#include "base/sandbox.h"

/* clang-format off */
static const int calls_loop[] = {
	SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl), SCMP_SYS(poll), SCMP_SYS(ppoll), -1
};
static const int calls_clients[] = {
	SCMP_SYS(recvfrom), SCMP_SYS(sendto), SCMP_SYS(recvmsg), SCMP_SYS(sendmsg), SCMP_SYS(shutdown), -1
};
static const int calls_bottled[] = {
	SCMP_SYS(accept4), SCMP_SYS(getsockopt), SCMP_SYS(geteuid), -1
};
static const int calls_files[] = {
	SCMP_SYS(openat), SCMP_SYS(pread64), SCMP_SYS(renameat), SCMP_SYS(unlinkat), SCMP_SYS(fsync), SCMP_SYS(ftruncate), -1
};
static const int calls_poke[] = {
	SCMP_SYS(socket), SCMP_SYS(connect), -1
};
static const int calls_child[] = {
	SCMP_SYS(wait4), SCMP_SYS(kill), -1
};
/* clang-format on */

static const struct sandbox_calls calls[] = {
	{ "what every program of ours needs", sandbox_calls_base },
	{ "the event loop, and a bounded wait for bottled", calls_loop },
	{ "clients' streams; requests, with descriptors", calls_clients },
	{ "a later bottled connects and shows its uid", calls_bottled },
	{ "log and status in two directories", calls_files },
	{ "wake the engine's socket at the end", calls_poke },
	{ "end and reap the VMM", calls_child },
	{ 0 },
};

static const struct sandbox_limit limits[] = {
	{ RLIMIT_CORE, 0 },
	{ -1, 0 },
};

static int path_of(int fd, char out[PATH_MAX], struct err *e)
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, out, PATH_MAX - 1);
	if (n < 0)
		return err_errno(e, "find the container's directory");
	out[n] = '\0';
	return 0;
}

int jail_enter(int data_fd, int runtime_fd, struct err *e)
{
	char data[PATH_MAX], runtime[PATH_MAX + 4];
	struct sandbox_path paths[] = { { data, true }, { runtime, true }, { NULL, false } };
	struct sandbox_profile run = {
		.name = "run",
		.limits = limits,
		.paths = paths,
		.drop_caps = true,
		/* root's QEMU has another uid: ending it, and its death with the monitor, take CAP_KILL */
		.keep_caps = geteuid() == 0 ? 1ULL << CAP_KILL : 0,
		.syscalls = calls,
	};
	int r = path_of(data_fd, data, e);

	if (r == 0)
		r = path_of(runtime_fd, runtime, e);
	if (r < 0)
		return r;
	/* At the end its own entry in RUNTIME_DIR/vm is removed, which takes the right to write there. */
	snprintf(runtime + strlen(runtime), sizeof(runtime) - strlen(runtime), "/..");
	return sandbox_enter(&run, e);
}
