/* SPDX-License-Identifier: Apache-2.0 */
/* What sidecar-dns and sidecar-egress share: taking the policy from main, and the figures' page. */
#ifndef SIDECAR_CHILD_H
#define SIDECAR_CHILD_H

#include "base/err.h"
#include "base/loop.h"
#include "policies/decide.h"
#include "sidecar/proto.h"

#define CHILD_MAIN_FD 3

/* Reads a compiled policy from a memfd that nobody can change any more. */
int policy_load(int fd, struct ruleset **ret, struct err *e);

/* Waits for policies on CHILD_MAIN_FD. fn is called with the new rules before the old ones are freed and main is told. */
void child_init(struct loop *l, void (*fn)(const struct ruleset *rules));
/* NULL before the first policy. */
const struct ruleset *child_rules(void);

/* Maps the page behind fd and closes fd. */
struct side_counters *counters_map(int fd);

#endif
