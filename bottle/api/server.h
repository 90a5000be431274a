/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP on the Engine socket: connections, requests, the three ways to answer.
 *
 * A handler is called when the head, and for routes with a JSON body the whole
 * body, has been read. It answers at once or later, exactly once, by
 *	reply_json / reply_text / reply_empty / reply_err	a whole answer
 *	reply_begin, reply_write…, reply_end		a chunked stream
 *	reply_hijack					the connection itself
 * and the request is freed when the answer is complete. While it is open, a
 * vanished client is reported by r->on_gone (set it when you wait or stream):
 * after that call the request is freed and must not be touched. Without on_gone
 * the request stays until it is answered, to nobody. No call of a reply_
 * function frees it otherwise: what fails in them is reported when the turn ends.
 * A client that only closed its sending side is not gone.
 *
 * Each connection is served on its own; requests of one connection one after the other.
 */
#ifndef API_SERVER_H
#define API_SERVER_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/loop.h"
#include "wire/http.h"
#include "wire/url.h"

#define API_VERSION_MIN 122 /* 1.22: skopeo 1.9.3 */
#define API_VERSION_MAX 150

#define CONNECTIONS_MAX    1024
#define JSON_BODY_MAX      (4 << 20)
#define REQUEST_ARGS_MAX   3
#define STREAM_BACKLOG_MAX (256 << 10) /* bytes queued on one connection before its producer must wait */

struct conn;
struct server;
struct engine;

struct request {
	struct engine *engine;
	struct conn *conn;
	const char *method;           /* "GET" */
	const char *path;             /* decoded, without the version prefix */
	int api_version;              /* 141 for /v1.41; API_VERSION_MAX without a prefix */
	char *args[REQUEST_ARGS_MAX]; /* what {name} in the route matched, decoded */
	struct query query;
	const struct http_head *head;
	json_t *body; /* ROUTE_JSON: an object, or NULL for an empty body. Borrowed */
	void (*on_gone)(struct request *r);
	void *arg; /* the handler's own */
};

typedef void (*handler_fn)(struct request *r);

enum route_body {
	ROUTE_NONE,   /* a body is read and dropped */
	ROUTE_JSON,   /* parsed; malformed: 400 */
	ROUTE_STREAM, /* the handler takes it with request_body_to */
};

struct route {
	const char *method;  /* "GET" also answers HEAD when there is no HEAD row */
	const char *pattern; /* "/containers/{name}/json"; {name} matches slashes too, the literal suffix decides */
	enum route_body body;
	handler_fn fn;
};

/* The table, in routes.c: one row an endpoint, ended by a NULL method. */
extern const struct route routes[];

struct server *server_new(struct engine *engine, struct loop *l, int listen_fd);
void server_free(struct server *s);
/*
 * For the idle exit: gives connections without a request up, losing none that was
 * sent. True when no connection is left; each open request counts as engine_busy.
 */
bool server_retire_idle(struct server *s);

/* json is taken. */
void reply_json(struct request *r, int status, json_t *json);
void reply_text(struct request *r, int status, const char *content_type, const char *text);
/* Without a body: 200, 201, 204, 304. */
void reply_empty(struct request *r, int status);
/* {"message": e->text} with the status of its class. */
void reply_err(struct request *r, const struct err *e);
/* The same with a status that the class does not give (engine-api.md). */
void reply_message(struct request *r, int status, const char *fmt, ...) _printf_(3, 4);
/* Adds a field to the answer; before it begins. */
void reply_header(struct request *r, const char *name, const char *value);

/* Sends status and head now; the body follows in chunks. */
void reply_begin(struct request *r, int status, const char *content_type);
void reply_write(struct request *r, const void *data, size_t n);
/* Compact JSON and its line end: "\r\n" for progress, "\n" for events. json is taken. */
void reply_write_json(struct request *r, json_t *json, const char *line_end);
/* Bytes that the client has not taken yet; a producer stops above STREAM_BACKLOG_MAX and goes on in on_drain. */
size_t reply_backlog(const struct request *r);
void reply_on_drain(struct request *r, void (*fn)(struct request *r));
void reply_end(struct request *r);

/*
 * Answers 101 (when the client asked to upgrade) or 200, and gives the
 * connection away: returns its descriptor, the caller's from now on, blocking
 * cleared, with what the client sent behind its head in ret_early. The request
 * is freed. -errno when the client is gone. The connection no longer keeps
 * bottled alive: engine_busy while you hold it.
 */
int reply_hijack(struct request *r, const char *content_type, struct buf *ret_early);

/*
 * ROUTE_STREAM: writes the decoded body to fd (taken; closed at the end). done
 * is called with 0 at the end of the body, or -errno when the client broke off
 * or wrote nonsense, or when fd no longer takes bytes (-EPIPE: the rest is read and dropped).
 * It is not called once the request is answered. After an error the answer is still due.
 */
void request_body_to(struct request *r, int fd, void (*done)(struct request *r, int result));

#endif
