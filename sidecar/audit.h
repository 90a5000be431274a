/* SPDX-License-Identifier: Apache-2.0 */
/* One JSON line a decision on stdout: the sidecar's log is its audit. */
#ifndef SIDECAR_AUDIT_H
#define SIDECAR_AUDIT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"

#define AUDIT_TEXT_MAX         256 /* of what the agent chose */
#define AUDIT_LINES_PER_SECOND 200 /* more are counted, not written */

struct audit_event {
	const char *plane;                /* "http", "tls", "connect", "dns" */
	const struct sockaddr_in *client; /* NULL: none */
	const char *host;
	uint16_t port;
	const uint8_t *address; /* NULL: none */
	bool allow;
	bool end; /* a connection is over: the figures below count */
	const char *rule, *reason;
	uint64_t bytes_in, bytes_out, ms; /* in: to the agent */
};

/* Before the sandbox. */
void audit_init(struct loop *l);
/* Equal decisions within a second become one line, then one with their count. */
void audit_write(const struct audit_event *ev);

#endif
