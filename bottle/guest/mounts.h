/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's file systems. bottle-init stays in the initramfs; the container's
 * root is built at MOUNTS_ROOT and becomes / only in the container's own mount
 * namespace, from which the initramfs is gone.
 */
#ifndef GUEST_MOUNTS_H
#define GUEST_MOUNTS_H

#include "guest/config.h"

#define MOUNTS_ROOT   "/root"
#define MOUNTS_CGROUP "/sys/fs/cgroup/container"
#define MOUNTS_PTMX   MOUNTS_ROOT "/dev/pts/ptmx"

/* /dev, /proc, /sys: what bottle-init itself needs. */
int mounts_early(struct err *e);
/* Layers, scratch, /dev, tmpfs mounts, /etc files and small files: all but what the container's PID namespace decides. */
/* The container's /dev, made before it is known which one it will be. */
int mounts_prepare_dev(struct err *e);
int mounts_root(const struct guest_config *c, struct err *e);

/*
 * The container may use what is available now but for a reserve. Without this the whole VM runs short, and the kernel
 * evicts and reads program pages for a minute (seen under TCG) before it kills anything.
 */
void mounts_limit_memory(void);

/* Notes which disk is which: their driver is loaded. */
void mounts_find_disks(void);

/*
 * In the container's first process, already in its new PID namespace and
 * cgroup: takes a mount and a cgroup namespace and makes the root its /.
 * privileged: /proc/sys, /sys and the cgroup are writable and nothing is masked.
 */
int mounts_enter(bool privileged, struct err *e);

/* After the last process: the scratch disk is unmounted, or at least synced. */
void mounts_stop(void);

#endif
