/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One hijacked connection of an Engine client, attached to a process: output
 * framed as Docker's stdcopy (or raw with a terminal), input with detach keys.
 */
#ifndef MONITOR_CLIENT_H
#define MONITOR_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/err.h"
#include "base/loop.h"
#include "monitor/vmlog.h"
#include "proto/guest.h"

/* The stream's window, even as single bytes with a frame's head of 8 before each, and one step of the replay. */
#define CLIENT_QUEUE_MAX (9 * GUEST_WINDOW + 128 * 1024)
#define CLIENT_KEYS_MAX  16
#define CLIENT_LINGER_MS 10000 /* after its process ended, a client that takes nothing for so long is dropped */

enum client_end { CLIENT_DONE, CLIENT_GONE, CLIENT_DETACHED };

struct client;

struct client_events {
	size_t (*room)(void *arg); /* input bytes that may be passed on now */
	void (*input)(void *arg, struct client *c, const void *data, size_t n);
	void (*input_end)(void *arg, struct client *c);
	void (*drained)(void *arg);                                      /* some output went out */
	void (*ended)(void *arg, struct client *c, enum client_end why); /* then it frees itself */
};

struct client_config {
	uint32_t flags; /* MON_F_* */
	const void *early;
	size_t early_len;
	unsigned char keys[CLIENT_KEYS_MAX]; /* n_keys 0: none */
	size_t n_keys;
	struct vmlog *log; /* for MON_F_REPLAY */
};

struct client {
	LIST_ENTRY(client) link; /* the owner's */
	struct client_impl *impl;
};

/* Takes fd. -EINVAL when it is not a socket. */
int client_new(struct loop *l, int take_fd, const struct client_config *cfg, const struct client_events *ev, void *arg,
	       struct client **ret, struct err *e);
/* Without telling the owner. */
void client_free(struct client *c);

/* stream: 1 or 2. Never ends the client within the call. */
void client_output(struct client *c, uint8_t stream, const void *data, size_t n);
size_t client_backlog(const struct client *c);
uint32_t client_flags(const struct client *c);

/* The room for input changed. */
void client_update(struct client *c);
/* No more output comes: ends once all is out, or after CLIENT_LINGER_MS without progress. */
void client_finish(struct client *c);

#endif
