/* SPDX-License-Identifier: Apache-2.0 */
/* bottled's end of the channel to one bottle-monitor: requests with answers, and events. */
#ifndef API_MONITOR_CLIENT_H
#define API_MONITOR_CLIENT_H

#include "base/ipc.h"
#include "base/loop.h"

struct mon;

/* answer: MON_OK or MON_ERR, NULL when the monitor went away first. */
typedef void (*mon_answer_fn)(void *arg, const struct ipc_msg *answer);

struct mon_ops {
	void (*event)(void *arg, const struct ipc_msg *m);
	/* The channel is closed; the mon is freed after this call. */
	void (*gone)(void *arg);
};

/* fd is taken. */
struct mon *mon_new(struct loop *l, int fd, const struct mon_ops *ops, void *arg);
/* Without a call of gone; answers still due are given as NULL. NULL is fine. */
void mon_free(struct mon *m);
/* From now on nobody listens: events are dropped, the mon frees itself when the channel closes. */
void mon_abandon(struct mon *m);
/* fds stay the caller's. fn may be NULL. Never waits; what the socket does not take is kept. */
void mon_request(struct mon *m, uint16_t type, const struct tlv *body, const int *fds, size_t n_fds, mon_answer_fn fn,
		 void *arg);
/* Handles what has already arrived. The mon may be gone afterwards. */
void mon_drain(struct mon *m);
/* What an answer says: 0 for OK; else -code of e, and the exit code of the message (0 when it has none). */
int mon_answer_err(const struct ipc_msg *answer, struct err *e, int *ret_code);

#endif
