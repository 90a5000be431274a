/* SPDX-License-Identifier: Apache-2.0 */
/* The monitor's side of proto/monitor.h: bottled's connection, and the socket where a later bottled calls. */
#ifndef MONITOR_CONTROL_H
#define MONITOR_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ipc.h"
#include "base/loop.h"
#include "base/tlv.h"

#define CONTROL_QUEUE_MAX 512 /* messages that wait for a bottled that does not read; then it is dropped */

/* Whom to answer: the request's seq on the connection it came by. {0} is nobody. */
struct answer {
	uint64_t connection;
	uint32_t seq;
};

struct control;

struct control_events {
	/* A message of a known kind; what it leaves of m's fds is closed. */
	void (*request)(void *arg, struct ipc_msg *m, struct answer to);
	/* bottled left (or was replaced: then a new one is there already). */
	void (*left)(void *arg);
};

/* Takes fd, the first connection. */
struct control *control_new(struct loop *l, int take_fd, const struct control_events *ev, void *arg);
/* Makes the socket for later ones in dir_fd. */
int control_listen(struct control *c, int dir_fd, struct err *e);
void control_free(struct control *c);

bool control_connected(const struct control *c);
/* The listener goes: nobody new is let in. */
void control_close_listener(struct control *c);

/* body NULL: none. An answer to a connection that is gone is dropped; each clears *to. */
void control_ok(struct control *c, struct answer *to, const struct tlv *body);
void control_error(struct control *c, struct answer *to, uint32_t code, const struct err *why);
void control_event(struct control *c, uint16_t type, const struct tlv *body);

/* Waits for the peer to take what is queued, at most ms. true: all was sent. */
bool control_flush(struct control *c, int ms);

#endif
