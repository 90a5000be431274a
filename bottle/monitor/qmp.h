/* SPDX-License-Identifier: Apache-2.0 */
/* A QMP client: QEMU's greeting, then one command at a time. */
#ifndef MONITOR_QMP_H
#define MONITOR_QMP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/loop.h"

#define QMP_LINE_MAX (64 * 1024)

struct qmp;

struct qmp_events {
	void (*ready)(void *arg);                     /* capabilities negotiated */
	void (*answer)(void *arg, const char *error); /* of qmp_command; NULL: it succeeded */
	void (*broken)(void *arg, const char *why);   /* not QMP; nothing more is read */
	void (*migration)(void *arg, const char *status); /* the event of that name. NULL: not of interest */
};

/* Takes fd (non-blocking). fd -1: what is sent goes nowhere, for tests. */
struct qmp *qmp_new(struct loop *l, int take_fd, const struct qmp_events *ev, void *arg);
void qmp_free(struct qmp *q);

/* args: a JSON object, or NULL. fd goes along; -1: none. 0, -EBUSY before ready or while one is unanswered, or -errno. */
int qmp_command(struct qmp *q, const char *name, const char *args, int fd, struct err *e);

/* Bytes from QEMU. 0 or -EBADMSG (broken was called). */
int qmp_feed(struct qmp *q, const char *data, size_t n);

#endif
