/* SPDX-License-Identifier: Apache-2.0 */
/* Making a bottle, step by step; used by up and run. */
#ifndef CLI_UP_H
#define CLI_UP_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"
#include "cli/client.h"
#include "cli/parts.h"

struct up {
	struct plan plan;
	struct agent_run agent;
	char *agent_id, *probe_id;
	struct stream probe_start; /* the answer to the probe's start, while it boots beside the sidecar; fd -1: none */
	unsigned int checked;      /* by the leak probe */
	bool no_wait;
	FILE *progress;   /* where steps are told; NULL: nowhere */
	json_t *steps;    /* [{"step", "ms"}] */
	const char *step; /* the one that is being done: for the message when it fails */
	bool made;        /* something may exist in the engine */
	int signo;        /* a signal asked to stop */
};

/* Loads, checks and seals the policy. -1: go on; otherwise the exit code, all said. */
int up_open(struct up *u, const char *file, const char *name, struct policy **ret_policy);
void up_done(struct up *u);
/* Everything but the agent's start. On failure all that was made is removed again, and e names the step. */
int up_prepare(struct up *u, struct err *e);
int up_start(struct up *u, struct err *e);
/* Removes what was made, after a failure. */
void up_undo(struct up *u, struct err *e);

/* Loads a policy and says everything that is wrong: -1 go on, else the exit code. */
int cli_load_policy(const char *file, struct policy **ret, char **ret_compiled, char **ret_hash);

#endif
