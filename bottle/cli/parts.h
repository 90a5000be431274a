/* SPDX-License-Identifier: Apache-2.0 */
/* What a bottle consists of: names, addresses, labels and the Engine's create bodies. Pure. */
#ifndef CLI_PARTS_H
#define CLI_PARTS_H

#include <jansson.h>
#include <netinet/in.h>
#include <stdbool.h>

#include "base/err.h"
#include "policies/policy.h"

#define LABEL_NAME   "bottle.name"
#define LABEL_ROLE   "bottle.role"
#define LABEL_POLICY "bottle.policy"

#define SIDECAR_IMAGE  "bottle/sidecar"
#define SIDECAR_PROXY  3128
#define SIDECAR_MEMORY (128 << 20)
#define PROBE_MEMORY   (128 << 20)

/* Internal subnets: a /29 each of 10.88.0.0/16. The first address is the sidecar's, the second the agent's. */
#define POOL_NETWORK  0x0a580000U
#define POOL_PREFIX   16
#define SUBNET_PREFIX 29
#define SUBNET_COUNT  (1U << (SUBNET_PREFIX - POOL_PREFIX))

struct plan {
	const struct policy *policy;
	char *name, *hash, *compiled;
	char *internal, *egress, *sidecar, *probe, *agent; /* names of the objects */
	uint32_t subnet;                                   /* host order */
	char sidecar_addr[INET_ADDRSTRLEN], agent_addr[INET_ADDRSTRLEN];
};

/* compiled and hash are copied. */
void plan_init(struct plan *p, const struct policy *policy, const char *name, const char *compiled, const char *hash);
void plan_done(struct plan *p);
#define _cleanup_plan_ _cleanup_(plan_done)

/* The index of the subnet that a name asks for first. */
uint32_t subnet_first(const char *name);
/* The first free subnet from there, beside the engine's networks (GET /networks). */
int plan_place(struct plan *p, const json_t *networks, struct err *e);

json_t *plan_network(const struct plan *p, bool internal);
json_t *plan_sidecar(const struct plan *p);
/* The leak probe: in the agent's place, with its address, until the agent takes it. */
json_t *plan_probe(const struct plan *p);

struct agent_run {
	char *const *command; /* NULL: the policy's */
	bool attached;        /* stdin ends with its client (run); else it stays open for whoever attaches */
	bool tty;
};
json_t *plan_agent(const struct plan *p, const struct agent_run *run);

/* The label of an object of GET /containers/json or /networks, or NULL. */
const char *object_label(const json_t *object, const char *label);
/* Names[0] or Name without the slash. */
const char *object_name(const json_t *object);

#endif
