/* SPDX-License-Identifier: Apache-2.0 */
/* What the probe is told, and what it found. */
#ifndef SIDECAR_PROBE_PROBE_H
#define SIDECAR_PROBE_PROBE_H

#include <jansson.h>

#include "base/err.h"
#include "base/sandbox.h"
#include "sidecar/probe/frame.h"

#define SPEC_MAX  65536 /* bytes of standard input */
#define HOSTS_MAX 192
#define PORTS_MAX 256
#define DNS_MAX   8
#define LEAKS_MAX 16
#define DEEP_MAX  16 /* hosts that are spoken to, beyond SYN, ping and ARP: the first ones of the list */

struct endpoint {
	uint32_t addr; /* network order */
	uint16_t port;
};

struct spec {
	struct segment net;
	uint32_t hosts[HOSTS_MAX];
	size_t n_hosts;
	struct endpoint ports[PORTS_MAX]; /* single ones: publishes */
	size_t n_ports;
	uint32_t dns[DNS_MAX];
	size_t n_dns;
};
/* {"self", "gateway": address, "own", "hosts", "dns": [address], "ports": [[address, port]]}; all but two may be left out. */
int spec_parse(const char *text, size_t n, struct spec *ret, struct err *e);

struct report {
	struct finding leaks[LEAKS_MAX];
	size_t n_leaks, checked;
};
/* The same finding counts once. */
void report_add(struct report *r, const struct finding *f);
/* {"ok", "leaks": [{"what", "target", "answer"}], "checked"} */
json_t *report_json(const struct report *r);

extern const struct sandbox_profile probe_profile;

#endif
