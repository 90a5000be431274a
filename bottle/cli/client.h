/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of the Engine socket: a connection an operation, so that nothing
 * waits behind a stream. The peer is bottled of the same user, or any other
 * engine; its answers are parsed strictly (wire/http.h) and bounded.
 */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "wire/http.h"
#include "wire/url.h"

#define ANSWER_MAX     (32 << 20) /* a whole body */
#define CLIENT_CALL_MS 120000     /* between two bytes of an ordinary answer */
#define API_PREFIX     "/v1.50"

/* The contract's path: $XDG_RUNTIME_DIR/bottle/engine.sock, root's without it /run/bottle/engine.sock. Owned. */
char *client_default_path(void);
/* $BOTTLE_SOCKET, $DOCKER_HOST (unix:// only), else the default. Owned, or NULL. */
char *client_path(struct err *e);

struct stream {
	int fd;
	struct buf in; /* bytes received and not used yet */
	int status;
	bool multiplexed; /* docker's 8-byte frames, by Content-Type */
	enum http_body body;
	uint64_t left;
	struct chunked chunked;
	bool done;
};
void stream_done(struct stream *s);
#define _cleanup_stream_ _cleanup_(stream_done)

/* Sends a request and reads the answer's head; a status from 400 on is an error with the engine's message. */
int client_stream(const char *method, const char *target, const json_t *body, struct stream *ret, struct err *e);
/* The same with Upgrade: afterwards ret->fd and ret->in carry raw bytes both ways. */
int client_hijack(const char *target, const json_t *body, struct stream *ret, struct err *e);
/* Appends body bytes to out: 1, or 0 at the end, or -errno. Blocks. */
int stream_read(struct stream *s, struct buf *out, struct err *e);
/* The raw bytes that a head was read with, parsed: for tests and the fuzzer. 1 whole, 0 more needed, -errno. */
int stream_feed_head(struct stream *s, const char *method, struct err *e);
/* Decodes what is in s->in into out. 1 progress or end (s->done), 0 more needed, -errno. */
int stream_decode(struct stream *s, struct buf *out, struct err *e);

/* A whole call. ret (may be NULL) is the answer's JSON, NULL for an empty body. _slow: no limit between bytes. */
int client_call(const char *method, const char *target, const json_t *body, json_t **ret, struct err *e);
int client_call_slow(const char *method, const char *target, const json_t *body, json_t **ret, struct err *e);

/* The same in two halves, so that several calls can be under way: what is between runs beside the engine. */
int client_begin(const char *method, const char *target, const json_t *body, struct stream *ret, struct err *e);
int client_finish(const char *method, struct stream *s, json_t **ret, struct err *e);

/* "/v1.50/containers/" + escaped name + tail. Owned. */
char *client_target(const char *collection, const char *name, const char *tail);
/* The value of "filters" for one label, escaped. Owned. */
char *client_label_filter(const char *label);

static inline void cleanup_json(json_t **j)
{
	json_decref(*j);
}
#define _cleanup_json_ _cleanup_(cleanup_json)

#endif
