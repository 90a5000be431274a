/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes in the guest, each a stream of the channel with its window in
 * both directions and the clients attached to it.
 */
#ifndef MONITOR_STREAMS_H
#define MONITOR_STREAMS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/str.h"
#include "monitor/channel.h"
#include "monitor/client.h"
#include "monitor/control.h"

#define STREAMS_ENDED_MAX   256 /* ended execs that MON_INSPECT still tells of */
#define STREAMS_CLIENTS_MAX 384 /* attached at once; each has a descriptor, or two while the log is replayed */

enum process_state { PROCESS_NEW, PROCESS_STARTING, PROCESS_RUNNING, PROCESS_ENDED };

struct process {
	LIST_ENTRY(process) link;
	LIST_HEAD(, client) clients;
	struct streams *streams;
	struct answer answer;     /* who waits for the start */
	char exec_id[ID_LEN + 1]; /* "": the container's */
	enum process_state state;
	uint32_t number; /* of its stream */
	uint32_t pid, code;
	bool oom, input_ended, resized, finishing;
	uint32_t in_window; /* bytes that may still be sent */
	uint32_t owed;      /* output bytes taken and not yet acknowledged */
	uint32_t rows, cols;
};

struct streams_events {
	void (*started)(void *arg, struct process *p);
	void (*start_failed)(void *arg, struct process *p, const char *text);
	void (*exited)(void *arg, struct process *p);
	void (*detached)(void *arg, struct process *p);
	void (*clientless)(void *arg, struct process *p); /* its last client left */
	void (*logged)(void *arg);
};

struct streams {
	LIST_HEAD(, process) live, ended;
	struct process main;
	struct loop *loop;
	struct channel *channel; /* set by the owner once there is one */
	struct vmlog *log;
	const struct streams_events *ev;
	void *arg;
	uint32_t next_number;
	size_t n_live, n_ended, n_clients;
};

void streams_init(struct streams *s, struct loop *l, struct vmlog *log, const struct streams_events *ev, void *arg);
void streams_done(struct streams *s);

/* NULL id: the container's process. NULL when there is no such. */
struct process *streams_find(struct streams *s, const char *exec_id);
/* A new exec; NULL when there are too many or the id is taken. */
struct process *streams_exec(struct streams *s, const char *exec_id, struct err *e);

void process_start(struct process *p, const void *body, size_t n);
/* Takes fd. */
int process_attach(struct process *p, int take_fd, const struct client_config *cfg, struct err *e);
void process_resize(struct process *p, uint32_t rows, uint32_t cols);
void process_signal(struct process *p, uint32_t signo);
/* The clients end once they have all their output; then clientless is called, at once when there are none. */
void process_finish(struct process *p);
/* Drops an exec that never ran, and its clients without a word on their connections. */
void process_forget(struct process *p);

/* A frame on a process's stream. */
int streams_frame(struct streams *s, const struct guest_frame *f, const unsigned char *body, struct err *e);
/* The channel has room again. */
void streams_room(struct streams *s);
/* The VM is gone: every process that lives ends with code. */
void streams_abort(struct streams *s, uint32_t code);

#endif
