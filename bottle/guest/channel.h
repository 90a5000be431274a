/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The port to bottle-monitor: frames in, frames out. The outgoing queue is
 * bounded: data is only queued while channel_room says so, and while control
 * frames pile up nothing more is read, so that no request makes an answer that
 * has no place.
 */
#ifndef GUEST_CHANNEL_H
#define GUEST_CHANNEL_H

#include <stdint.h>
#include <sys/types.h>

#include "base/loop.h"
#include "base/tlv.h"
#include "proto/guest.h"

#define CHANNEL_DATA_QUEUE (512 * 1024)  /* data frames are held back above this */
#define CHANNEL_STOP_INPUT (1024 * 1024) /* no frame is read above this */

struct frame {
	uint16_t type;
	uint32_t stream, size;
	const unsigned char *body; /* into the input */
};

/* Pure: bytes of the first whole frame of data, 0 when it is not whole yet, -EBADMSG when it breaks a rule. */
ssize_t frame_next(const void *data, size_t n, struct frame *ret);

struct channel;

struct channel_ops {
	/* < 0: the frame breaks a rule, the channel ends. */
	int (*frame)(const struct frame *f, void *arg);
	/* There is room for data again. */
	void (*room)(void *arg);
	/* The host broke the protocol or left: nothing comes any more. */
	void (*lost)(const char *why, void *arg);
};

/* Takes fd (non-blocking). */
struct channel *channel_new(struct loop *l, int take_fd, const struct channel_ops *ops, void *arg);
/* Closes the port; not from a callback. */
void channel_free(struct channel *c);

void channel_send(struct channel *c, uint16_t type, uint32_t stream, const void *body, size_t n);
/* t may have run over: then an empty body goes out. */
void channel_send_tlv(struct channel *c, uint16_t type, uint32_t stream, const struct tlv *t);
void channel_log(struct channel *c, const char *fmt, ...) _printf_(2, 3);
/* Bytes of data that may be queued now. */
size_t channel_room(const struct channel *c);
/* room() will be called once there is room. */
void channel_starved(struct channel *c);
/* Writes what is queued, waiting at most ms. */
void channel_flush(struct channel *c, int ms);

#endif
