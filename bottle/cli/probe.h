/* SPDX-License-Identifier: Apache-2.0 */
/* The leak probe's targets and its report, as the bottle command makes and reads them. */
#ifndef CLI_PROBE_H
#define CLI_PROBE_H

#include <jansson.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/err.h"
#include "cli/parts.h"

/* As sidecar/probe/probe.h has them: beyond, the first ones count. */
#define PROBE_HOSTS_MAX 192
#define PROBE_PORTS_MAX 256
#define PROBE_DNS_MAX   8
#define PROBE_OWN_MAX   8

/* {"self", "gateway", "own", "hosts", "ports", "dns"} from this machine's view and the engine's lists. Owned. */
json_t *probe_targets(const struct plan *p, const json_t *containers, const json_t *networks);
/* The same without this machine's: pure. */
void probe_add_engine(json_t *targets, const struct plan *p, const json_t *containers, const json_t *networks);
/* Reads a report: 0 and the number of checks, or an error that names each leak. Anything but a clean "ok" is one. */
int probe_verdict(int exit_code, const struct buf *out, unsigned int *ret_checked, struct err *e);
/* One line for each leak of a report: the error's sentence has room for a few. */
void probe_tell_leaks(FILE *to, const struct buf *out);

#endif
