/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resolving: names asked for by the agent or by egress become questions of our
 * own to the nameservers of /etc/resolv.conf. Nothing of the asker's packet
 * goes out. One lookup a name, however many wait for it.
 */
#ifndef SIDECAR_DNS_RESOLVE_H
#define SIDECAR_DNS_RESOLVE_H

#include "base/loop.h"
#include "policies/decide.h"
#include "sidecar/dns/cache.h"

#define LOOKUPS_MAX            64  /* at once */
#define WAITERS_MAX            32  /* of one lookup */
#define NEW_NAMES_PER_SECOND   20  /* under wildcards and in no cache: what a tunnel would need many of */
#define WILDCARD_NAMES_PER_MIN 100 /* distinct ones under one "*." rule */

struct waiter;

/* entry: NULL when it failed, and why says so; an entry without addresses: no such name. */
typedef void (*resolved_fn)(void *arg, const struct name_entry *entry, const char *why);

/* Reads the nameservers; to be called before the sandbox. egress_dev: where questions leave. */
void resolve_init(struct loop *l, const char *egress_dev);

/*
 * name: normalised and allowed by d. Calls fn, at once (and returns NULL) or
 * later (and returns what resolve_cancel takes).
 */
struct waiter *resolve_name(const char *name, const struct decision *d, resolved_fn fn, void *arg);
void resolve_cancel(struct waiter *w);

#endif
