/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What server.c (connections, reading), body.c (request bodies), reply.c
 * (answers) and router.c share. Theory of operation:
 *
 *	CONN_HEAD --head--> CONN_BODY --body--> CONN_BUSY --answer--> CONN_DRAIN --rest of the body--> CONN_HEAD
 *
 * conn_run is the only place that makes steps; it is never entered from a
 * handler's call into reply.c: an answer that comes later asks for it by
 * loop_defer. A failed connection is only marked (conn_fail) and reaped when
 * the turn ends, so that no call into reply.c frees its request behind the
 * caller's back except by ending the answer.
 */
#ifndef API_CONN_H
#define API_CONN_H

#include <sys/queue.h>

#include "api/server.h"

#define READ_MAX        (64 * 1024)
#define HEAD_TIMEOUT_MS 10000
#define BODY_TIMEOUT_MS 60000                     /* of a body that is read before its handler runs */
#define DRAIN_MAX       (256ULL << 20)            /* body bytes dropped behind an early answer */
#define BODIES_MAX      (64 << 20)                /* JSON bodies that are being read, of all connections together */
#define STREAM_HARD_MAX (64 * STREAM_BACKLOG_MAX) /* a producer that never looks at its backlog loses its client */

enum conn_state {
	CONN_HEAD,  /* a head is awaited or incomplete */
	CONN_BODY,  /* the body is read before the handler is called */
	CONN_BUSY,  /* the handler has the request; its body may still go to sink_fd */
	CONN_DRAIN, /* answered; the rest of its body is dropped */
};

/* One request and its answer. */
struct exchange {
	struct request r; /* first: a struct request * is one */
	struct http_head head;
	char *head_bytes; /* head's slices point here */
	char *method, *path;
	const struct route *route;
	struct buf text;   /* ROUTE_JSON: the body */
	struct buf fields; /* reply_header */
	bool head_only, begun, chunked;
	void (*on_drain)(struct request *r);
	bool streaming; /* request_body_to is at work */
	int sink_fd;    /* -1: the rest is dropped */
	struct source *sink_io;
	struct buf pending; /* decoded, not yet taken by sink_fd */
	void (*body_done)(struct request *r, int result);
};

struct conn {
	struct server *server;
	int fd;
	struct source *io, *timer;
	uint32_t events;
	enum conn_state state;
	struct buf in, out;
	bool running, kicked;
	bool refused;     /* a peer of another uid */
	bool eof;         /* the peer sends no more */
	bool close_after; /* once what is due has been answered */
	bool broken;      /* writing failed or the peer is gone */
	bool zombie;      /* closed; its handler still has the request */
	bool dead;
	bool timed;
	bool want_continue;
	enum http_body body;
	uint64_t body_left, dropped;
	uint64_t since_ms; /* accepted, or its last answer */
	struct chunked chunked;
	struct exchange *exchange;
	TAILQ_ENTRY(conn) all;
};

/* server.c */
struct loop *conn_loop(const struct conn *c);
void conn_fail(struct conn *c);
void conn_flush(struct conn *c);
void conn_kick(struct conn *c);
void conn_update(struct conn *c);
/* The answer is complete: frees the exchange. */
void exchange_end(struct conn *c);
/* The connection has been given away: closes all but the descriptor. */
void conn_forget(struct conn *c);

/* Room for n more bytes of this request's JSON body, of what all connections share; given back with the body. */
bool conn_reserve(struct conn *c, size_t n);

/* body.c: one step; 1 progress, 0 more bytes are needed, -errno. */
int body_before_handler(struct conn *c);
int body_to_sink(struct conn *c);
int body_drain(struct conn *c);
bool body_complete(const struct conn *c);
void sink_close(struct exchange *x);
/* Tells a streaming handler that the body broke off. */
void sink_fail(struct conn *c, int error);

/* reply.c */
void reply_bad_head(struct conn *c, int status, const char *text);
void reply_continue(struct conn *c);

/* router.c */
/* Strips "/v1.41" from *path: 0 and the version, or -errno with the message of a 400. */
int version_strip(char **path, int *ret_version, struct err *e);
const struct route *route_find(const struct route *table, const char *method, const char *path,
			       char *args[REQUEST_ARGS_MAX]);
bool pattern_match(const char *pattern, const char *path, char *args[REQUEST_ARGS_MAX]);

#endif
