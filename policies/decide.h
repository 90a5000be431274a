/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one decision path: a compiled policy, and the question "may this name and
 * port be reached?". Pure and without I/O; used by the sidecar's dns and egress
 * (which enforce) and by the bottle command (which explains).
 *
 * The compiled form is JSON made by compile.c from a policy file:
 *	{ "version": 1, "name": "demo", "default": "deny",
 *	  "allow": [ { "host": "api.example.com", "ports": [443], "at": "demo.json:12" },
 *	             { "host": "*.example.org", "ports": [80, 443], "at": "demo.json:14" } ],
 *	  "deny":  [ { "host": "paste.example.org", "at": "demo.json:17" } ] }
 * Hosts are normalised (host_normalize). "*.x" matches any depth below x and not x. Deny wins; no "ports" means all.
 */
#ifndef POLICIES_DECIDE_H
#define POLICIES_DECIDE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

#define HOST_MAX          253 /* RFC 1035 section 2.3.4, without the root's dot */
#define RULES_MAX         20000
#define COMPILED_MAX      (8 << 20)
#define DECISION_TEXT_MAX 160

struct ruleset;

/* Reads the compiled form. ERR_INVALID for anything that is not exactly it. */
int ruleset_parse(const char *json, size_t n, struct ruleset **ret, struct err *e);
void ruleset_free(struct ruleset *r);
const char *ruleset_name(const struct ruleset *r);
/* sha256 of the compiled text, hex: the bottle's policy hash. */
const char *ruleset_hash(const struct ruleset *r);

enum host_kind { HOST_NAME, HOST_IPV4, HOST_IPV6 };

/*
 * A host as a client wrote it, in the form that rules are compared in: lower
 * case, no trailing dot, A-labels as they came. Returns its kind, or -EINVAL for
 * what is no host name (RFC 1123 labels; '_' allowed). Every notation that a
 * resolver or inet_aton(3) would take for an address (dotted, decimal, octal,
 * hexadecimal, short forms, brackets) is HOST_IPV4 or HOST_IPV6, never a name.
 */
int host_normalize(const char *host, size_t n, char ret[HOST_MAX + 1]);

struct decision {
	bool allow;
	bool wildcard;                  /* rule is a "*." one */
	const char *rule;               /* "demo.json:12", or "default"; lives as long as the ruleset */
	char reason[DECISION_TEXT_MAX]; /* a sentence for a person */
};

/* host: normalised, a name. port 0: any port (dns asks so). */
void ruleset_decide(const struct ruleset *r, const char *host, uint16_t port, struct decision *ret);

/* Is an IPv4 address one that the outside may be dialled at: not private, loopback, link-local, shared, multicast, … (RFC 6890). */
bool address_is_public(const uint8_t addr[4]);

#endif
