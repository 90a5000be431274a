/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel modules from the initramfs, with what they depend on, in the order that /modules/order gives. */
#ifndef GUEST_MODULES_H
#define GUEST_MODULES_H

#include "base/err.h"

/* A module that is loaded already is fine; -ENOENT when the initramfs has none of that name. */
int module_load(const char *name, struct err *e);
/* The initramfs' files are memory: once configured, nothing is loaded any more. */
void modules_drop(void);

#endif
