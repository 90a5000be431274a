/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the monitor needs from a virtual machine manager, and no more, so that
 * another one can stand in QEMU's place. All calls return at once; what takes
 * time is told through struct vmm_events.
 */
#ifndef MONITOR_VMM_H
#define MONITOR_VMM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/loop.h"
#include "proto/guest.h"

struct vmm;

/* Descriptors are borrowed: start duplicates what the VM keeps. */
struct vmm_config {
	const char *name; /* shown by ps */
	uint32_t cpus;
	uint64_t memory; /* bytes */
	bool kvm;
	uint32_t tsc_khz; /* the host's; 0: unknown */
	int kernel_fd, initrd_fd, scratch_fd;
	int layer_fds[GUEST_LAYERS_MAX];
	size_t n_layers;
	int tap_fds[GUEST_NICS_MAX];
	size_t n_taps;
};

struct vmm_events {
	void (*ready)(void *arg);                                  /* the VMM answers; the guest boots */
	void (*paused)(void *arg, bool paused, const char *error); /* the end of a pause or resume; error NULL: done */
	void (*console)(void *arg, const char *data, size_t n);    /* the guest's serial line and the VMM's stderr */
	void (*broken)(void *arg, const char *why);                /* the VMM broke its protocol: kill it */
	void (*ended)(void *arg, int wait_status);                 /* last; then free */
};

struct vmm_ops {
	const char *name;
	/* ret_channel_fd: the host's end of port GUEST_PORT, non-blocking, the caller's */
	int (*start)(struct loop *l, const struct vmm_config *c, const struct vmm_events *ev, void *arg,
		     struct vmm **ret, int *ret_channel_fd, struct err *e);
	pid_t (*pid)(const struct vmm *v);
	int (*pause)(struct vmm *v, bool stop, struct err *e); /* -EBUSY while one is under way */
	void (*kill)(struct vmm *v);
	void (*free)(struct vmm *v);
};

extern const struct vmm_ops vmm_qemu;

#endif
