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

/*
 * A template is a VM that was booted once, with a fixed set of devices (VMM_SLOT_*), and stopped before it became any
 * particular container. Its RAM is a file, its devices' state another; a clone begins there.
 */
enum vmm_from { VMM_BOOT, VMM_TEMPLATE, VMM_CLONE };
#define VMM_SLOT_DISKS 8 /* scratch and layers; those of a clone that stay empty cost its guest nothing */
#define VMM_SLOT_NICS  2

/* Descriptors are borrowed: start duplicates what the VM keeps. */
struct vmm_config {
	const char *name; /* shown by ps */
	enum vmm_from from;
	uint32_t cpus;
	uint64_t memory; /* bytes */
	bool kvm;
	uint32_t tsc_khz; /* the host's; 0: unknown */
	int kernel_fd, initrd_fd; /* not for a clone */
	int scratch_fd;           /* not for a template, which has neither layers nor taps */
	int ram_fd;               /* VMM_TEMPLATE: shared and written; VMM_CLONE: sealed, mapped privately */
	int state_fd;             /* VMM_CLONE: read from its offset */
	int layer_fds[GUEST_LAYERS_MAX];
	size_t n_layers;
	int tap_fds[GUEST_NICS_MAX];
	size_t n_taps;
};

struct vmm_events {
	void (*ready)(void *arg);                                  /* the VMM answers; the guest boots (a clone: runs) */
	void (*paused)(void *arg, bool paused, const char *error); /* the end of a pause or resume; error NULL: done */
	void (*console)(void *arg, const char *data, size_t n);    /* the guest's serial line and the VMM's stderr */
	void (*broken)(void *arg, const char *why);                /* the VMM broke its protocol: kill it */
	void (*ended)(void *arg, int wait_status);                 /* last; then free */
	void (*saved)(void *arg, const char *error);               /* the end of save; NULL: done, and RAM stands still */
};

struct vmm_ops {
	const char *name;
	/* ret_channel_fd: the host's end of port GUEST_PORT, non-blocking, the caller's */
	int (*start)(struct loop *l, const struct vmm_config *c, const struct vmm_events *ev, void *arg,
		     struct vmm **ret, int *ret_channel_fd, struct err *e);
	pid_t (*pid)(const struct vmm *v);
	int (*pause)(struct vmm *v, bool stop, struct err *e); /* -EBUSY while one is under way */
	int (*save)(struct vmm *v, int state_fd, struct err *e); /* a template's devices, once its guest is parked */
	void (*kill)(struct vmm *v);
	void (*free)(struct vmm *v);
};

extern const struct vmm_ops vmm_qemu;

#endif
