/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the containers part share: the record of one container,
 * and the calls between registry, lifecycle, attach, exec, logs and stats.
 *
 * A container's lasting truth is its row: config (JSON, fixed at creation but
 * for networks) and runtime (JSON: what the last start made and how the last
 * run ended). A row is written before the side effects that it describes.
 */
#ifndef API_CONTAINER_H
#define API_CONTAINER_H

#include "api/engine.h"
#include "api/monitor_client.h"
#include "api/spec.h"
#include "base/tlv.h"
#include "proto/guest.h"
#include "proto/monitor.h"

#define CONTAINERS_MAX   4096
#define ATTACHES_MAX     32 /* clients that wait for one container's start */
#define DETACH_KEYS_MAX  16
#define EXECS_MAX        256 /* kept for one container */
#define PORTS_MAX        16 /* published ports of one container: each is a descriptor for the monitor */
#define EXIT_UNKNOWN     255
#define STOP_SECONDS     10
#define MEMORY_VM_MIN    (128ULL << 20)
#define MEMORY_VM_DEFAULT (1ULL << 30)
#define CPUS_VM_DEFAULT  4
#define SCRATCH_DEFAULT  (10ULL << 30)

enum container_state { STATE_CREATED, STATE_RUNNING, STATE_PAUSED, STATE_EXITED, STATE_REMOVING, STATE_DEAD };

/* What a client waits for. */
enum wait_kind { WAIT_NOT_RUNNING, WAIT_NEXT_EXIT, WAIT_REMOVED, WAIT_START, WAIT_STOP, WAIT_KILL, WAIT_REMOVE };

struct container;
struct start;
struct follower;

struct waiter {
	struct waiter *next;
	struct container *c;
	struct request *r;
	enum wait_kind kind;
};

/* An attached connection that came before the start. */
struct attach {
	struct attach *next;
	struct container *c;
	struct source *watch; /* hang-up */
	struct buf early;
	uint32_t flags;
	uint8_t keys[DETACH_KEYS_MAX];
	size_t n_keys;
	int fd;
};

struct exec {
	struct exec *next;
	struct container *c;
	char id[ID_LEN + 1];
	json_t *config;       /* the create body, normalised */
	struct request *r;    /* a detached start that waits for its answer */
	struct buf early;
	int fd;               /* the client's connection until the monitor has it */
	int code;             /* -1: none yet */
	uint32_t pid;
	bool started, running;
	bool asked;           /* the monitor has not answered the start yet */
	bool internal;        /* top's: not listed, without events */
	void (*on_exit)(struct exec *x, void *arg);
	void *arg;
};

struct container {
	struct container *next;
	struct engine *g;
	char id[ID_LEN + 1];
	char *name;
	int64_t created_ns;
	enum container_state state;
	json_t *config;       /* {Config, HostConfig, ImageID, Networks} */
	json_t *runtime;      /* {pid, started, finished, code, oom, error, starting, endpoints[], ports{}} */
	struct mon *mon;      /* NULL: no monitor known */
	struct start *start;  /* a start under way */
	struct waiter *waiters;
	struct attach *attaches;
	struct exec *execs;
	struct follower *followers; /* logs?follow=1 */
	struct source *kill_timer;
	bool passed;          /* the monitor takes attachments */
	bool removing;        /* a remove waits for the exit */
	bool restart;         /* start again behind the exit */
	bool stopping;        /* a stop was asked: the exit is followed by its event */
};

struct containers {
	struct container *list; /* newest first */
	struct source *sweep;
	bool closing;
};

/* ---- containers.c: registry ---- */

/* By full id, name, unique prefix. NULL with ERR_NOTFOUND "No such container: x" or ERR_INVALID. */
struct container *container_find(struct engine *g, const char *ref, struct err *e);
/* The same for a handler: answers the request itself when there is none. */
struct container *container_of_request(struct request *r);
bool container_name_valid(const char *name);
struct container *container_by_name(struct engine *g, const char *name);
/* Owned: "brave_lantern", not taken. */
char *container_random_name(struct engine *g);
/* Writes the row (insert or update). */
int container_save(struct container *c, struct err *e);
/* The same where nobody can be told: logs. */
void container_save_quietly(struct container *c);
struct container *container_add(struct engine *g, const char *id, char *name, int64_t created_ns, json_t *config);
/* Out of the list and memory; its row must be gone. */
void container_free(struct container *c);
void container_event(struct container *c, const char *action, const char *key, const char *value);
bool container_running(const struct container *c); /* running or paused */
const char *container_state_name(enum container_state s);
/* Directory of the container in the data directory, relative. Owned. */
char *container_dir(const struct container *c);
/* "vm/ID32" below the runtime directory. Owned. */
char *container_vm_dir(const struct container *c);
json_t *container_config(const struct container *c);      /* borrowed: Config */
json_t *container_host_config(const struct container *c); /* borrowed: HostConfig */
void runtime_set_int(struct container *c, const char *key, int64_t v);
void runtime_set_text(struct container *c, const char *key, const char *v);

/* ---- lifecycle.c ---- */

/* Registers the request; it is answered when the thing happens, and forgotten when its client goes. */
void container_await(struct container *c, struct request *r, enum wait_kind kind);
/* Answers all requests of that kind: 204 (or the exit code), or e. */
void container_wake(struct container *c, enum wait_kind kind, const struct err *e);
void container_exited(struct container *c, int code, bool oom, int64_t finished_ns, const char *error);
void container_start_ended(struct container *c, const struct err *e, int code);
/* Removes a container that does not run: files, row, event; c is freed. 0 or e. */
int container_delete(struct container *c, struct err *e);
/* Reads what the monitor left and ends the run with it. */
void container_lost(struct container *c);
void container_monitor_event(struct container *c, const struct ipc_msg *m);
void container_monitor_gone(struct container *c);
/* Takes the control socket of a monitor that outlived the last bottled; container_adopted then asks it. */
void container_adopt(struct container *c, int control_fd);
void container_adopted(struct container *c);
/* Gives back what the last start made: endpoints, ports. */
void container_release(struct container *c);

/* ---- start.c ---- */

int container_start_begin(struct container *c, struct err *e);
/* The monitor went away during a start: true when the start goes on, with a booted VM. */
bool container_start_again(struct container *c);
/* Clients that came before the monitor: handed over now. */
void container_pass_attaches(struct container *c);

/* ---- guest_config.c: the TLV bodies of MON_CREATE ---- */

struct resolvers {
	uint8_t addr[3][4];
	size_t n;
};
int guest_config_write(struct tlv *t, const struct container *c, const json_t *endpoints, const struct resolvers *host,
		       size_t n_layers, struct err *e);
int guest_process_write(struct tlv *t, const struct container *c, struct err *e);
/* An exec: the process fields of config on top of the container's. */
int guest_exec_write(struct tlv *t, const struct container *c, const json_t *exec, struct err *e);

/* ---- scratch.c ---- */

/*
 * The container's writable disk, made when it is missing. done is called from
 * the loop (also when it fails) unless this fails at once.
 */
int scratch_prepare(struct container *c, uint64_t size, void (*done)(void *arg, const struct err *e), void *arg,
		    struct err *e);
int scratch_open(struct container *c, struct err *e);

/* ---- templates.c ---- */

#define TEMPLATE_LAYERS 7 /* that a clone has room for, and networks; the monitor's VMM_SLOT_* */
#define TEMPLATE_NICS   2

/* A VM of this size, booted before: fds for MON_CREATE, borrowed (the state's is a new open file: to be closed). */
struct template_use {
	int ram_fd, state_fd;
};
typedef void (*template_fn)(void *arg, const struct template_use *use, const char *why_not);

/*
 * fn is called from the loop, or at once when the answer is known: use is NULL when a VM must be booted, and why_not says why. With fn
 * NULL the template is only got ready. A template that is missing is made in the background by a process of its own.
 */
void template_get(struct engine *g, uint32_t cpus, uint64_t memory, template_fn fn, void *arg);
/* It was of no use: from now on VMs boot, until bottled starts again. */
void template_drop(struct engine *g, uint32_t cpus, uint64_t memory);
/* A start that is given up: fn is not called. */
void template_forget(struct engine *g, void *arg);
void templates_close(struct engine *g);

/* ---- ports.c ---- */

struct port_bind {
	int proto;     /* IPPROTO_TCP, IPPROTO_UDP */
	uint16_t port; /* the container's */
	int fd;
};
/* Binds the host's sockets of HostConfig.PortBindings (and PublishAllPorts); fills ports as inspect shows them. */
int ports_bind(const struct container *c, struct port_bind *ret, size_t max, size_t *ret_n, json_t *ret_ports, struct err *e);
void ports_close(struct port_bind *p, size_t n);

/* ---- inspect.c ---- */

json_t *container_ports_list(const struct container *c);
/* "Up 5 seconds", "Exited (0) 3 seconds ago", … Owned. */
char *status_text(enum container_state s, int code, int64_t since_ns, int64_t now_ns);

/* ---- exec.c ---- */

struct exec *exec_new(struct container *c, json_t *config);
/* Starts it at the monitor; what fails is written to its connection and ends it. */
void exec_run(struct exec *x);
void exec_ended(struct exec *x, int code);
struct exec *exec_by_id(struct container *c, const char *id);
void execs_end(struct container *c); /* the container ended */
void exec_free(struct exec *x);
void execs_load(struct container *c);

/* ---- logs.c ---- */

void logs_wake(struct container *c);
void logs_forget(struct container *c);
/* attach with stream=0: what was logged, then the end. */
void logs_replay(struct request *r, struct container *c);

#endif
