/* SPDX-License-Identifier: Apache-2.0 */
/* What QEMU's three files share: its command line, its jail, its descriptors. */
#ifndef MONITOR_QEMU_H
#define MONITOR_QEMU_H

#include "monitor/vmm.h"

#define QEMU_PATH "/usr/bin/qemu-system-x86_64"

/* Where its descriptors are: sockets first, disks and taps as counted, then the two files that the jail binds and closes. */
enum qemu_fd { QEMU_FD_QMP = 3, QEMU_FD_CHANNEL, QEMU_FD_CONSOLE, QEMU_FD_SCRATCH, QEMU_FD_FIRST_LAYER };
/* A template's or clone's RAM, and behind it a clone's state: behind the taps. */
int qemu_fd_ram(const struct vmm_config *c);

/* Names inside the jail. */
#define QEMU_KERNEL "/kernel"
#define QEMU_INITRD "/initrd"
#define QEMU_FDS    "/fd" /* its own /proc/self/fd, and nothing else of /proc */

/* An owned vector (strv_free). */
char **qemu_argv(const struct vmm_config *c);

struct qemu_jail {
	int kernel_fd, initrd_fd; /* numbers in the child; -1: none */
	bool fds;                 /* QEMU_FDS is there */
	bool kvm;
	uid_t uid; /* the monitor's */
	gid_t gid;
	bool root; /* the monitor is root: no user namespace, uid QEMU_UID instead */
};
#define QEMU_UID 65534

/* CLONE_NEW* for proc_spawn. */
int qemu_jail_namespaces(bool root);
/* spawn.before_exec, arg: struct qemu_jail. Says on stderr which step failed. */
int qemu_jail_enter(void *arg);

#endif
