/* SPDX-License-Identifier: Apache-2.0 */
/* One conversation each with a service behind the capture: who answers, the sidecar or somebody else? */
#ifndef SIDECAR_PROBE_TALK_H
#define SIDECAR_PROBE_TALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sidecar/probe/frame.h"

#define TALK_NAME "bottle-probe.invalid" /* RFC 6761: no such name exists, and no policy gives it a meaning */
#define TALK_IN   512

enum talk_kind { TALK_HTTP, TALK_TLS, TALK_DNS_TCP, TALK_DNS_UDP, TALK_NUM };
enum talk_verdict { TALK_SILENT, TALK_SIDECAR, TALK_LEAK };

struct talk {
	enum talk_kind kind;
	uint32_t addr; /* network order */
	int fd;
	bool sent;
	size_t n;
	uint8_t in[TALK_IN];
};

uint16_t talk_port(enum talk_kind kind);
/* Opens the socket and begins to connect; a failure leaves fd at -1: then nothing answered. */
void talk_open(struct talk *t);
short talk_wants(const struct talk *t);
/* After poll(2) reported something. */
void talk_turn(struct talk *t);
void talk_close(struct talk *t);

size_t talk_question(enum talk_kind kind, uint8_t out[TALK_IN]);
/* What the bytes that came back mean. Pure. */
enum talk_verdict talk_judge(enum talk_kind kind, const uint8_t *in, size_t n);
void talk_finding(const struct talk *t, struct finding *f);

#endif
