/* SPDX-License-Identifier: Apache-2.0 */
/* The one process that opens taps: it lives in N, since a tap is born where its descriptor was opened. */
#ifndef NETPOLICY_WORKER_H
#define NETPOLICY_WORKER_H

#include "base/err.h"

/* Forks it; call as root, in N. The channel to it, or -errno. */
int worker_start(struct err *e);
/* A new tap of that name: its descriptor, or -errno. Fatal when the worker is gone. */
int worker_tap(int fd, const char *name);

#endif
