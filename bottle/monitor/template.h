/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Templates: VMs booted once and stopped before they became a container
 * (vmm.h), kept in RUNTIME/templates/KEY. A short-lived bottle-monitor
 * --template gives bottled one as sealed descriptors, or says that there is
 * none and then makes it. Nothing of a template is secret: it holds a kernel, a
 * parked bottle-init and whatever random state the kernel had, which each clone
 * replaces before it does anything else.
 */
#ifndef MONITOR_TEMPLATE_H
#define MONITOR_TEMPLATE_H

#include <fcntl.h>
#include <stdint.h>

#include "base/err.h"
#include "monitor/vmm.h"

#define TEMPLATE_SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define TEMPLATE_STATE_MAX (16 << 20)
#define TEMPLATE_IDENTITY_MAX 1024
#define TEMPLATE_KEY_LEN 16

/* Which template: of these files as they are now, on this accelerator, of this size. */
struct template_id {
	char text[TEMPLATE_IDENTITY_MAX];
	char key[TEMPLATE_KEY_LEN + 1];
	uint64_t memory;
};

/* dir_fd: RUNTIME/templates. c: kernel_fd, initrd_fd, kvm, cpus, memory. */
int template_identify(struct template_id *ret, const struct vmm_config *c, struct err *e);

/* Both sealed. What is there and not whole is removed. -ENOENT: there is none. */
int template_load(int dir_fd, const struct template_id *id, int *ret_ram, int *ret_state, struct err *e);

/* Writes one whole or not at all; both descriptors are sealed already. */
int template_store(int dir_fd, const struct template_id *id, int ram_fd, int state_fd, struct err *e);

/* Boots and stops a VM, and has a clone of it answer: sealed descriptors. c as for template_identify. */
int template_make(const struct vmm_config *c, int *ret_ram, int *ret_state, struct err *e);

/* The process of --template: its exit code. */
int template_main(const char *dir, uint64_t cpus, uint64_t memory, int bottled_fd);

#endif
