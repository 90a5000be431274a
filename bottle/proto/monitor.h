/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channel between bottled and bottle-monitor: SOCK_SEQPACKET messages
 * (base/ipc.h). The monitor is started with one end as fd 3 and listens on
 * RUNTIME_DIR/vm/ID32/control (ID32: the first 32 digits of the container id)
 * for a bottled that comes later; one bottled at a time, the newest wins.
 * PROTOCOL.monitor tells the story; this file is the layout.
 *
 * bottled is trusted as the same user; the monitor still checks every message.
 * Requests have a seq and are answered by MON_OK or MON_ERR with that seq,
 * at once unless the request says otherwise. Events have seq 0.
 */
#ifndef PROTO_MONITOR_H
#define PROTO_MONITOR_H

#include <stdint.h>

enum mon_type {
	/* requests */
	MON_CREATE =
		1,  /* MON_TAG_* below, with fds; once, from fd 3. Answer: OK = the jail can be made and QEMU runs */
	MON_ATTACH, /* MON_TAG_FLAGS, _EARLY; fd 0: the client's connection. Allowed before START */
	MON_START, /* the container's process. Answer: OK when it runs; ERR with CODE 125..127 when it can't, and the VM ends */
	MON_EXEC, /* MON_TAG_EXEC_ID, process tags, FLAGS, EARLY; fd 0 unless DETACH. OK when it runs (with PID) or ERR with CODE */
	MON_RESIZE, /* MON_TAG_EXEC_ID (absent: the container), _ROWS, _COLS */
	MON_SIGNAL, /* MON_TAG_SIGNAL, optional _EXEC_ID: to the container's process */
	MON_STOP, /* MON_TAG_SIGNAL, _TIMEOUT_MS (UINT64_MAX: for ever): signal, wait, then kill. OK at once; the exit is an event */
	MON_KILL_VM, /* end QEMU now (SIGKILL). OK at once */
	MON_PAUSE,   /* stop the vCPUs. OK when stopped */
	MON_UNPAUSE,
	MON_STATS, /* OK with MON_TAG_STATS: the guest's TLV as it came */
	MON_INSPECT, /* OK with _STATE, _PID, _STARTED_NS, and each live or ended exec: _EXEC_ID, _EXEC_RUNNING, _CODE, _PID */
	/* answers */
	MON_OK = 64,
	MON_ERR, /* MON_TAG_CODE, _CLASS (enum err_class), _TEXT */
	/* events */
	MON_EV_EXIT, /* the container ended: _CODE, _OOM, _FINISHED_NS, _TEXT when the VM failed rather than the process */
	MON_EV_EXEC_EXIT, /* _EXEC_ID, _CODE: sent before the exec's connection is closed */
	MON_EV_LOG,       /* the log grew (at most one a turn): wake followers */
	MON_EV_DETACHED,  /* MON_TAG_EXEC_ID or none: a client left by detach keys or by hanging up */
};

enum mon_tag {
	MON_TAG_CODE = 1,     /* u32 exit code */
	MON_TAG_CLASS,        /* u32 */
	MON_TAG_TEXT,         /* str */
	MON_TAG_FLAGS,        /* u32 MON_F_* */
	MON_TAG_EARLY,        /* bytes: input that came with the HTTP head */
	MON_TAG_EXEC_ID,      /* str, 64 hex */
	MON_TAG_EXEC_RUNNING, /* u32; begins no group: EXEC_ID does */
	MON_TAG_ROWS,         /* u32 */
	MON_TAG_COLS,         /* u32 */
	MON_TAG_SIGNAL,       /* u32 */
	MON_TAG_TIMEOUT_MS,   /* u64 */
	MON_TAG_PID,          /* u32: on the host (QEMU's) for the container; in the guest for an exec */
	MON_TAG_STATE,        /* u32 enum mon_state */
	MON_TAG_STARTED_NS,   /* u64 realtime */
	MON_TAG_FINISHED_NS,  /* u64 realtime */
	MON_TAG_OOM,          /* u32 */
	MON_TAG_STATS,        /* bytes: body of GUEST_STATS */
	MON_TAG_DETACH_KEYS,  /* bytes; absent: 0x10 0x11 (ctrl-p ctrl-q); only with a terminal */

	/* MON_CREATE */
	MON_TAG_ID = 32,   /* str, 64 hex */
	MON_TAG_CPUS,      /* u32 vCPUs >= 1 */
	MON_TAG_CPU_QUOTA, /* u32: thousandths of a CPU (docker's NanoCpus / 1e6); 0: none */
	MON_TAG_MEMORY,    /* u64 bytes */
	MON_TAG_GUEST_CONFIG, /* bytes: body of HOST_CONFIG without ENTROPY and CLOCK, which the monitor adds at each boot */
	MON_TAG_PROCESS,      /* bytes: body of HOST_START; for MON_CREATE the container's, for MON_EXEC its own */
	MON_TAG_LAYERS,       /* u32: how many of the fds are layers */
	MON_TAG_NICS,         /* u32: how many of the fds are taps */
	MON_TAG_LOG_MAX,      /* u64: bytes of a log file before it is rotated once */
	MON_TAG_POKE, /* str: path of the Engine socket, connected to once when the container ends and no bottled listens */
	MON_TAG_PORTS, /* u32: how many of the fds, behind the taps, are bound sockets that reserve published ports: kept open, never used */
	MON_TAG_DISPOSABLE, /* u32 1: nobody will read the scratch disk again: the VM is killed when the container's process ends */
	MON_TAG_TEMPLATE, /* u32 1: the last two fds are a template's RAM and state: the VM is its clone */
};

/*
 * Descriptors of MON_CREATE, in this order: the container's data directory
 * (O_PATH; log and status live there), the runtime directory vm/ID32 (O_PATH;
 * control and pid), kernel, initramfs, scratch disk (read-write), the layers
 * (read-only, disk index 1…; scratch has index 0), the taps (NIC index 0…),
 * the sockets of MON_TAG_PORTS (the monitor holds them until it exits), RAM and
 * state of the template (the state's file offset is used: an open file of its own).
 *
 * bottle-monitor --template, also with one end as fd 3, sends one message: MON_OK
 * with these last two, sealed, or MON_ERR with a text. Then it makes what is missing.
 */
enum mon_fd { MON_FD_DATA, MON_FD_RUNTIME, MON_FD_KERNEL, MON_FD_INITRD, MON_FD_SCRATCH, MON_FD_FIRST_LAYER };

enum mon_flags {
	MON_F_STDIN = 1, /* the client's bytes are input */
	MON_F_STDOUT = 2,
	MON_F_STDERR = 4,
	MON_F_TTY = 8,         /* raw, no stdcopy frames */
	MON_F_DETACH = 16,     /* exec: no connection; output is dropped */
	MON_F_STDIN_ONCE = 32, /* the client's end of input is the process's */
	MON_F_REPLAY = 64,     /* attach: the log so far first (logs=1) */
	MON_F_NO_STREAM = 128, /* attach with logs=1&stream=0: replay, then close */
};

enum mon_state { MON_STATE_BOOTING, MON_STATE_READY, MON_STATE_RUNNING, MON_STATE_PAUSED, MON_STATE_ENDED };

/*
 * Files that the monitor leaves for readers without it.
 *
 * vm/ID32/pid        "PID\n" of the monitor; locked (flock) as long as it lives
 * vm/ID32/control    the socket
 * containers/ID/status  one "key value" a line, replaced atomically:
 *	state created|running|paused|exited
 *	pid N (QEMU) · started NS · finished NS · code N · oom 0|1 · error TEXT
 * containers/ID/log, log.1   records, append-only: struct log_record, then its bytes
 */
#define MON_RUNTIME_ID_LEN 32

/* RUNTIME_DIR/vmm-probe: what this machine can run, found once a boot (bottle-monitor --probe --cache PATH; vm/ID32/../..). */
#define MON_PROBE_CACHE "vmm-probe"

struct log_record {
	uint64_t time_ns; /* CLOCK_REALTIME, little-endian like all */
	uint32_t size;    /* bytes that follow, <= LOG_RECORD_MAX */
	uint8_t stream;   /* 1 stdout, 2 stderr */
	uint8_t partial;  /* 1: does not end with a newline */
	uint16_t zero;
};
#define LOG_RECORD_MAX  (16 * 1024)
#define LOG_MAX_DEFAULT (64ULL << 20)

#endif
