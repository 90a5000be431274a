/* SPDX-License-Identifier: Apache-2.0 */
/* What the monitor itself gives up once its VM runs. */
#ifndef MONITOR_JAIL_H
#define MONITOR_JAIL_H

#include "base/err.h"

/* Both directories stay writable; nothing else of the file system is, and nothing can be started any more. */
int jail_enter(int data_fd, int runtime_fd, struct err *e) _must_use_;

#endif
