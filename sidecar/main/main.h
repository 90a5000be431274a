/* SPDX-License-Identifier: Apache-2.0 */
/* The main process: its children, the policy on its way to them, and who asked for it. */
#ifndef SIDECAR_MAIN_MAIN_H
#define SIDECAR_MAIN_MAIN_H

#include "base/loop.h"
#include "base/sandbox.h"
#include "sidecar/child.h"
#include "sidecar/main/listen.h"

enum child_id { CHILD_DNS, CHILD_EGRESS, CHILD_NUM };

struct sidecar {
	struct loop *loop;
	struct links links;
	uint16_t status_port;
	bool started;
	struct {
		int fd; /* the channel */
		struct side_counters *counters;
	} children[CHILD_NUM];
	struct ruleset *rules, *pending; /* in force in both children; on its way */
	int pending_fd;
	uint32_t seq;
	struct source *ack_timer;
};
extern struct sidecar sidecar;

/* children.c. policy_apply takes fd; control_applied is called when it is over. */
int policy_apply(int fd, struct err *e);
/* NULL when all is well, else what is not. */
const char *health(char *space, size_t n);

/* control.c */
void control_start(void);
void control_applied(const char *hash);
/* client.c */
int client_main(int argc, char **argv);

extern const struct sandbox_profile main_setup_profile, main_run_profile;

#endif
