/* SPDX-License-Identifier: Apache-2.0 */
/* Bottles as the engine knows them: the objects that carry a name's label. */
#ifndef CLI_BOTTLES_H
#define CLI_BOTTLES_H

#include <jansson.h>
#include <stdbool.h>

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/parts.h"

struct bottle {
	json_t *containers, *networks; /* as GET /containers/json?all=1 and /networks list them */
};
void bottle_done(struct bottle *b);
#define _cleanup_bottle_ _cleanup_(bottle_done)

/* Every object with the label; name NULL: of all bottles. ERR_NOTFOUND when a name has none at all. */
int bottle_find(const char *name, struct bottle *ret, struct err *e);
/* The container of that role, or NULL; borrowed. */
const json_t *bottle_part(const struct bottle *b, const char *role);
/* The names of all bottles, sorted: an owned strv, NULL when there is none. */
char **bottle_names(const struct bottle *all);
/* "running", "exited", …, or "-" without such a part. */
const char *part_state(const json_t *part);

/* The name of a bottle's running agent or sidecar for exec; owned. ERR_NOTFOUND, ERR_CONFLICT when it does not run. */
char *bottle_running_part(const char *name, const char *role, struct err *e);

/* What a removal did. */
struct removal {
	unsigned int containers, networks;
	bool verified; /* nothing with the label is left, as the engine says */
};
/* Agent, sidecar, networks, then asks again. What is gone already is fine. */
int bottle_remove(const char *name, struct removal *ret, struct err *e);

#endif
