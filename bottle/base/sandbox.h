/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a process gives up what it does not need: one table per phase in its
 * jail.c, entered by sandbox_enter. Phases only narrow; there is no way back.
 *
 *	static const struct sandbox_profile profile_run = {
 *		.name = "run",
 *		.syscalls = (const struct sandbox_calls[]) {
 *			{ "requests from bottled, descriptors in", (const int[]) { SCMP_SYS(recvmsg), ..., -1 } },
 *			{ 0 } },
 *	};
 *
 * Stages of sandbox_enter, each skipped when the profile leaves it out:
 *	1 rlimits   2 Landlock (when the kernel has it)   3 capabilities (bounding,
 *	ambient, permitted) and no_new_privs   4 seccomp: anything not listed kills
 *	the process with SIGSYS.
 */
#ifndef BASE_SANDBOX_H
#define BASE_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

#include "base/err.h"

struct sandbox_calls {
	const char *why;  /* the reason, one line */
	const int *calls; /* SCMP_SYS() numbers, ended by -1 */
};

struct sandbox_limit {
	int resource; /* RLIMIT_*; the row { -1 } ends */
	rlim_t max;
};

struct sandbox_path {
	const char *path; /* NULL ends; a missing one is skipped */
	bool write;       /* read and write below it; else read and execute */
};

struct sandbox_profile {
	const char *name;
	const struct sandbox_limit *limits;   /* NULL: unchanged */
	const struct sandbox_path *paths;     /* NULL: unchanged; an empty table: no file at all */
	bool drop_caps;                       /* all but keep_caps */
	uint64_t keep_caps;                   /* 1 << CAP_*: kept permitted and effective */
	const struct sandbox_calls *syscalls; /* NULL: no filter. ended by { 0 } */
};

/* What glibc needs in any C program of ours: memory, time, signals' return, exit. Start each list with it. */
extern const int sandbox_calls_base[];

/* Any failure is one to die from: the caller must not go on. */
int sandbox_enter(const struct sandbox_profile *p, struct err *e) _must_use_;

#endif
