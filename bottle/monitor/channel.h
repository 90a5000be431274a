/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of proto/guest.h on the host's end of the virtio-serial port. */
#ifndef MONITOR_CHANNEL_H
#define MONITOR_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/tlv.h"
#include "proto/guest.h"

#define CHANNEL_OUT_HIGH (256 * 1024)      /* above it channel_room is false */
#define CHANNEL_OUT_MAX  (4 * 1024 * 1024) /* a guest that lets so much pile up is not reading */

struct channel;

struct channel_events {
	/* A frame whose head is sound (host byte order). < 0: it breaks a rule, and e says which. */
	int (*frame)(void *arg, const struct guest_frame *f, const unsigned char *body, struct err *e);
	void (*broken)(void *arg, const char *why); /* the guest broke the protocol; nothing more is read */
	void (*room)(void *arg);                    /* channel_room is true again */
};

/* Takes fd (non-blocking). fd -1: frames sent go nowhere, for tests. */
struct channel *channel_new(struct loop *l, int take_fd, const struct channel_events *ev, void *arg);
void channel_free(struct channel *c);

void channel_send(struct channel *c, uint16_t type, uint32_t stream, const void *body, size_t n);
void channel_send_tlv(struct channel *c, uint16_t type, uint32_t stream, const struct tlv *body);
bool channel_room(const struct channel *c);

/* Handles what the guest sent before its VMM ended. */
void channel_drain(struct channel *c);

/* A text of the guest's as people may see it, in a file of lines or in JSON: printable ASCII, the rest as '?'. */
int channel_text(const struct tlv_field *f, char out[GUEST_TEXT_MAX + 1]);

/* Bytes from the guest. 0 or -EBADMSG (broken was called). */
int channel_feed(struct channel *c, const void *data, size_t n);

#endif
