/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections of the agent's in sidecar-egress. A connection goes through these
 * states; only conn.c changes them.
 *
 *	HEAD      a request head is awaited (proxy, port 80, plain HTTP inside a CONNECT)
 *	HELLO     the ClientHello is awaited (port 443)
 *	RESOLVE   dns was asked for the host's addresses
 *	DIAL      the origin is being connected to
 *	GATE      a CONNECT was granted; the agent's first bytes say what it is used for. Nothing of them has gone out
 *	EXCHANGE  a request is passed on, its answer comes back (http.c)
 *	TUNNEL    bytes go both ways unseen; the name in their hello has been compared
 *	DRAIN     the last words are written; what still comes is thrown away
 *
 * Bytes go out only in EXCHANGE and TUNNEL, and both are entered only from
 * origin_ready(), which is reached only through conn_permit() (the decision)
 * and conn_resolved() (the address is one of the host's).
 */
#ifndef SIDECAR_EGRESS_EGRESS_H
#define SIDECAR_EGRESS_EGRESS_H

#include <netinet/in.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "base/loop.h"
#include "sidecar/child.h"
#include "sidecar/egress/head.h"

#define CONNS_MAX      512
#define CONNS_MANY     128 /* above: smaller reads, so that memory stays bounded */
#define READ_MAX       (64 * 1024)
#define READ_MAX_MANY  4096
#define QUEUE_MAX      (64 * 1024) /* of HTTP bytes that wait for a slow reader */
#define QUEUE_MAX_MANY 8192
#define DIAL_TRIES_MAX 3
#define HEAD_MS        15000 /* a whole head or hello, however it trickles */
#define KEEP_ALIVE_MS  60000
#define RESOLVE_MS     20000
#define DIAL_MS        8000
#define IDLE_MS        300000
#define DRAIN_MS       3000
#define ADDRS_MAX      SIDE_FRESH_MAX

enum plane { PLANE_PROXY, PLANE_HTTP, PLANE_TLS };
enum state {
	STATE_HEAD,
	STATE_HELLO,
	STATE_RESOLVE,
	STATE_DIAL,
	STATE_GATE,
	STATE_EXCHANGE,
	STATE_TUNNEL,
	STATE_DRAIN
};

struct conn;

struct side {
	struct conn *conn;
	int fd;
	struct source *io;
	uint32_t mask;
	bool eof, shut; /* it has sent its last byte; we have */
	struct buf in, out;
};

struct body {
	enum http_body kind;
	uint64_t left;
	struct chunked chunked;
	bool done;
};

struct exchange {
	bool answered;   /* the answer's head is read */
	bool keep_alive; /* both ends may go on after it */
	bool origin_keeps;
	bool reused; /* on an origin connection that served before */
	int minor;   /* of the agent's request */
	char method[16];
	struct body request, response;
	uint64_t seen; /* bytes of the answer */
};

struct conn {
	enum plane plane;
	enum state state;
	bool closed;
	struct side agent, origin;
	struct sockaddr_in peer, asked; /* asked: where the agent's packets were going (transparent planes) */
	struct source *timer;
	uint64_t started_ms, active_ms;

	/* the one host that the decision was about */
	char host[HOST_MAX + 1];
	uint16_t port;
	char rule[128];
	bool connect;   /* by CONNECT */
	bool fixed;     /* HTTP inside a CONNECT: the host can't change any more */
	bool permitted; /* an "end" line is due */
	uint32_t resolve_seq;
	uint8_t addrs[ADDRS_MAX][4], address[4];
	size_t n_addrs, next_addr;
	uint64_t bytes_in, bytes_out;
	struct buf head; /* the request's head, built, until the origin is there */
	struct exchange x;
	LIST_ENTRY(conn) next;
};

struct egress {
	struct loop *loop;
	const char *egress_dev;
	struct side_counters *counters;
	LIST_HEAD(conn_list, conn) conns;
	unsigned int n_conns;
	uint32_t seq;
	struct source *listeners[3];
};
extern struct egress egress;

/* conn.c */
void conn_accept(enum plane plane, int listener_fd);
void conn_update(struct conn *c);
void conn_close(struct conn *c);
void conn_state(struct conn *c, enum state s, uint64_t ms);
/* Asks the rules; refuses with the reason (false), or notes the host and goes on (true). */
bool conn_permit(struct conn *c, const char *host, uint16_t port);
/* Gets the permitted host's addresses, dials, then calls origin_ready. */
void conn_resolve(struct conn *c);
/* The policy's answer is no: the agent reads why, the audit too. */
void conn_deny(struct conn *c, const char *rule, const char *reason);
/* Something else went wrong. */
void conn_fail(struct conn *c, int status, const char *reason);
void conn_audit(struct conn *c, bool allow, bool end, const char *rule, const char *reason);
void origin_close(struct conn *c);
/* Ends the agent's side when what is queued for it is written. */
void conn_drain(struct conn *c);
size_t read_max(void);
size_t queue_max(void);
void egress_recheck(const struct ruleset *rules);
void egress_accepting(bool on);

/* gate.c: the first bytes of a TLS connection or inside a CONNECT. Each returns true when it made progress. */
bool gate_hello(struct conn *c);
bool gate_tunnel(struct conn *c);
/* Until its first bytes are known, may the origin speak on this port? */
bool gate_origin_first(uint16_t port);

/* http.c */
bool http_head(struct conn *c);
bool http_exchange(struct conn *c);
void http_begin(struct conn *c);
void http_error(struct conn *c, int status, const char *text);

/* names.c: the channel to dns. */
void names_start(void);
int names_ask(struct conn *c);
void conn_resolved(struct conn *c, const uint8_t *fresh, size_t n_fresh, const uint8_t *pins, size_t n_pins,
		   const char *why);

/* status.c */
void status_start(int listener_fd);

#endif
