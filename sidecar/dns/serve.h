/* SPDX-License-Identifier: Apache-2.0 */
/* The askers of sidecar-dns: the agent by UDP and TCP, egress by its channel. */
#ifndef SIDECAR_DNS_SERVE_H
#define SIDECAR_DNS_SERVE_H

#include "base/loop.h"
#include "sidecar/proto.h"

#define DNS_TCP_MAX     32 /* connections of the agent at once */
#define DNS_TCP_IDLE_MS 10000
#define DNS_PENDING_MAX 256 /* UDP questions that wait for a lookup */

/* Begins to answer; the descriptors are those of enum dns_fd. Called once, with the first policy. */
void serve_start(struct loop *l, struct side_counters *counters);

#endif
