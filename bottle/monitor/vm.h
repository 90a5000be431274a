/* SPDX-License-Identifier: Apache-2.0 */
/* The one container of this process: its VM, processes and files. */
#ifndef MONITOR_VM_H
#define MONITOR_VM_H

#include "base/buf.h"
#include "monitor/channel.h"
#include "monitor/console.h"
#include "monitor/control.h"
#include "monitor/streams.h"
#include "monitor/vmlog.h"
#include "monitor/vmm.h"
#include "proto/monitor.h"

#define VM_BOOT_TIMEOUT_MS 60000 /* emulated, on a loaded machine */
#define VM_CLONE_TIMEOUT_MS 20000 /* a clone has no boot; then bottled boots one */
#define VM_POWEROFF_MS     10000 /* after its process's end, for the guest's sync and power-off */
#define VM_KILL_GRACE_MS   5000  /* for SIGKILL inside the guest before the VM itself is ended */
#define VM_STATS_MAX       64    /* unanswered MON_STATS */
#define VM_PORTS_MAX       16

enum vm_state {
#define VM_STATE(name) VM_##name,
#include "monitor/vm_states.def"
};

enum vm_event_kind {
#define VM_EVENT(name) VM_EV_##name,
#include "monitor/vm_states.def"
};

struct vm {
	struct loop *loop;
	struct control *control;
	struct channel *channel;
	struct vmlog *log;
	const struct vmm_ops *ops;
	struct vmm *vmm;
	struct source *deadline, *stop_timer, *drain_timer, *log_timer;
	struct streams streams;
	struct console console;
	struct vmm_config config;
	struct buf guest_config, process;
	struct answer create_answer, pause_answer, stats_answers[VM_STATS_MAX];
	size_t n_stats;
	char id[ID_LEN + 1];
	char *poke;
	int data_fd, runtime_fd, pid_fd, channel_fd;
	int port_fds[VM_PORTS_MAX];
	size_t n_ports;
	enum vm_state state;
	bool created;      /* MON_CREATE was answered with OK */
	bool start_wanted; /* MON_START came while the guest still booted */
	bool disposable;   /* its disk is not read again */
	bool killed;       /* by request: 137 unless the process was faster */
	bool stop_forced;  /* SIGKILL was sent inside the guest */
	bool log_told;
	bool has_code;
	uint32_t code, oom;
	int64_t started_ns, finished_ns;
	char error[ERR_TEXT_MAX]; /* "": the container ended by itself */
};

/* Takes fd: the connection to the bottled that started this process. */
struct vm *vm_new(struct loop *l, int take_fd);
void vm_free(struct vm *vm);

/* The only way to another state. -EINVAL: the event has no place in this state. */
int vm_event(struct vm *vm, enum vm_event_kind ev);
const char *vm_state_name(const struct vm *vm);

/* The VM cannot go on: the first reason is kept, the VMM is killed. */
void vm_fail(struct vm *vm, const char *fmt, ...) _printf_(2, 3);

/* Requests (requests.c) use these. */
int vm_launch(struct vm *vm, struct err *e); /* config and fds are set */
void vm_start(struct vm *vm, struct answer to);
void vm_stop(struct vm *vm, uint32_t signo, uint64_t timeout_ms);
void vm_signal(struct vm *vm, uint32_t signo);
void vm_kill(struct vm *vm);

/* A request from bottled; requests.c. */
void vm_request(struct vm *vm, struct ipc_msg *m, struct answer to);

/* Files for readers without the monitor; files.c. */
int files_claim(struct vm *vm, struct err *e); /* pid, locked */
void files_write_status(struct vm *vm);
void files_remove(struct vm *vm); /* pid, control and the directory itself */

#endif
