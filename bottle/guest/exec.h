/* SPDX-License-Identifier: Apache-2.0 */
/* The child's side of a start: from fork to execve. */
#ifndef GUEST_EXEC_H
#define GUEST_EXEC_H

#include "guest/config.h"

enum exec_join {
	EXEC_CREATE, /* the first process of the container's namespaces */
	EXEC_JOIN,   /* one more process in them */
};

struct exec_plan {
	const struct guest_start *start;
	enum exec_join join;
	int pidfd;     /* EXEC_JOIN: PID 1 of the container */
	int cgroup_fd; /* the container's cgroup.procs */
	int stdio[3];  /* -1: /dev/null; unused with a terminal */
	int pts;       /* number of the terminal, -1: none */
	int ready_fd;  /* EXEC_CREATE: closed once others can join, -1: none */
	int report_fd; /* struct exec_report when it fails; nothing when execve succeeded */
};

struct exec_report {
	uint32_t code; /* 126 or 127 */
	char text[ERR_TEXT_MAX];
};

/* In a forked child; does not return. */
void exec_child(const struct exec_plan *plan) __attribute__((noreturn));

/* In a forked child: PID 1 of the container when its first process is not the main one. Reports, then only reaps. */
void exec_holder(const struct exec_plan *plan) __attribute__((noreturn));

/* Where name is found, as execve(2) would be given it; pure but for the files it looks at. 0 or the exit code. */
int exec_lookup(const char *name, const char *path_env, char **ret, struct err *e);

/* "nofile=1024:4096", "core=-1": the limit's number and its values. */
struct rlimit;
int exec_rlimit(const char *spec, int *ret_resource, struct rlimit *ret, struct err *e);

#endif
