/* SPDX-License-Identifier: Apache-2.0 */
/* Requests as a proxy sees them: where they want to go, and how they and their answers are passed on. Pure. */
#ifndef SIDECAR_EGRESS_HEAD_H
#define SIDECAR_EGRESS_HEAD_H

#include "policies/decide.h"
#include "wire/http.h"

#define EGRESS_HEAD_MAX 32768 /* of a request or an answer */

struct target {
	bool connect;
	char host[HOST_MAX + 1]; /* normalised, a name */
	uint16_t port;
	struct slice path; /* origin-form; nothing for CONNECT */
};

/*
 * Where a request goes. proxy: it came to the explicit proxy (CONNECT or
 * absolute-form); else it was meant for an origin on this port (origin-form, or
 * absolute-form that says the same). Every place that names the host must name
 * the same one. ERR_INVALID: malformed; ERR_DENIED: understood and refused.
 */
int head_target(const struct http_head *h, bool proxy, uint16_t port, struct target *ret, struct err *e);

/* Appends the request as it goes to the origin: hop-by-hop and Proxy-* fields are gone, Host and framing are ours. */
void head_request(const struct http_head *h, const struct target *t, struct buf *out);
/* Appends the answer's head as it goes to the agent. body: how its body will be framed. */
void head_response(const struct http_head *h, enum http_body body, bool keep_alive, struct buf *out);

#endif
