/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Child processes: fork and exec with exactly the descriptors named, everything
 * else closed, all signals unblocked and at their default.
 */
#ifndef BASE_PROC_H
#define BASE_PROC_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct spawn {
	const char *path; /* absolute */
	char *const *argv;
	char *const *envp; /* NULL: the caller's environment */
	const int *fds;    /* become 3, 4, … in the child */
	size_t n_fds;
	int stdin_fd;         /* -1: /dev/null */
	int stdout_fd;        /* -1: /dev/null */
	int stderr_fd;        /* -1: inherit */
	bool die_with_parent; /* PR_SET_PDEATHSIG(SIGKILL) */
	bool detach;          /* setsid and a second fork: outlives the caller, is init's (or the subreaper's) child */
	int namespaces;       /* CLONE_NEW*: the child is born in new ones; then not with detach or die_with_parent */
	int (*before_exec)(void *arg); /* in the child, last; < 0 fails the spawn. NULL: none */
	void *arg;
};
#define SPAWN_FDS_MAX 40

/* The child's pid, or -errno; a failed exec is reported here, not by the child. */
pid_t proc_spawn(const struct spawn *s, struct err *e);

/*
 * Paths of our own parts, found from the running executable so that a build
 * tree and an installation look alike: ROOT/bin/NAME and ROOT/share/bottle/NAME.
 * Both return an owned string.
 */
char *proc_program(const char *name);
char *proc_share(const char *name);

/* 0..255 as a shell has it: exit code, or 128 + signal. */
int proc_exit_code(int wait_status);

#endif
