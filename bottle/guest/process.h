/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container's processes as bottle-init sees them: one stream each, with
 * its descriptors, its credit and its end.
 */
#ifndef GUEST_PROCESS_H
#define GUEST_PROCESS_H

#include <stdbool.h>

#include "guest/channel.h"

struct container;

/* on_end: the main process is over and its GUEST_EXIT is queued, or after container_kill the last stream is. */
struct container *container_new(struct loop *l, struct channel *c, void (*on_end)(void *arg), void *arg);

/* Frames of streams > 0. < 0: the frame breaks a rule. */
int container_frame(struct container *c, const struct frame *f);
/* There is room in the channel again. */
void container_room(struct container *c);

bool container_empty(const struct container *c);
/* pid is a child that the container's streams will reap. */
bool container_owns(const struct container *c, pid_t pid);
void container_signal_all(struct container *c, int signo);
/* KILL for everything in the container's cgroup; nothing starts any more. */
void container_kill(struct container *c);

#endif
