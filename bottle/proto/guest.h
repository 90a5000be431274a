/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channel between bottle-monitor (host) and bottle-init (guest): one
 * virtio-serial port named GUEST_PORT, a byte stream of frames each way.
 * PROTOCOL.guest tells the story; this file is the layout.
 *
 *	frame:  le32 size of the body, le16 type, le16 zero, le32 stream; then the body
 *
 * Stream 0 is control. Each process has a stream number > 0 that the host
 * chose; its input, output and exit travel on it. A body is TLV fields
 * (base/tlv.h) except for the three data types, whose body is raw bytes.
 *
 * Flow control, per stream and direction: a side may have at most GUEST_WINDOW
 * bytes of data unacknowledged on a stream; the receiver returns credit with
 * *_WINDOW once it has passed bytes on. So a reader that stops stalls its own
 * stream only. Control frames need no credit; each side handles them at once.
 *
 * Both sides distrust the other: a frame that breaks a rule here ends the
 * channel (the host then kills the VM; the guest powers off).
 */
#ifndef PROTO_GUEST_H
#define PROTO_GUEST_H

#include <assert.h>
#include <stdint.h>

#define GUEST_PROTO_VERSION 1
#define GUEST_PORT          "bottle.0"

#define GUEST_BODY_MAX    (64 * 1024)  /* control frames */
#define GUEST_DATA_MAX    (32 * 1024)  /* one data frame */
#define GUEST_WINDOW      (256 * 1024) /* unacknowledged bytes per stream and direction */
#define GUEST_STREAMS_MAX 256          /* processes alive at once */

struct guest_frame {
	uint32_t size; /* all little-endian */
	uint16_t type;
	uint16_t zero;
	uint32_t stream;
};
static_assert(sizeof(struct guest_frame) == 12, "frame layout");

enum guest_type {
	/* host to guest, stream 0 */
	HOST_CONFIG = 1, /* tags GUEST_TAG_*: once, before anything else; answered by CONFIGURED or FAILED */
	HOST_SHUTDOWN,   /* empty: TERM, wait, KILL, sync, power off */
	HOST_STATS,      /* empty; answered by GUEST_STATS */
	HOST_SYNC,       /* empty; sync(2), then GUEST_SYNCED */
	/* host to guest, stream > 0 */
	HOST_START = 16, /* GUEST_TAG_ARG…: start a process on this new stream; STARTED or START_FAILED */
	HOST_STDIN,      /* raw bytes */
	HOST_STDIN_EOF,  /* empty */
	HOST_WINDOW,     /* GUEST_TAG_CREDIT: output bytes passed on */
	HOST_RESIZE,     /* GUEST_TAG_ROWS, _COLS */
	HOST_SIGNAL,     /* GUEST_TAG_SIGNAL: to the process (its group when it has a terminal or GUEST_TAG_GROUP) */
	/* guest to host, stream 0 */
	GUEST_HELLO = 64, /* GUEST_TAG_VERSION, _KERNEL: sent once when the port opens */
	GUEST_CONFIGURED, /* empty */
	GUEST_FAILED,     /* GUEST_TAG_TEXT: configuration failed; the VM is of no use */
	GUEST_STATS,      /* GUEST_TAG_STAT_* */
	GUEST_SYNCED,     /* empty */
	GUEST_LOG,        /* GUEST_TAG_TEXT: a line of bottle-init's own */
	/* guest to host, stream > 0 */
	GUEST_STARTED = 80, /* GUEST_TAG_PID */
	GUEST_START_FAILED, /* GUEST_TAG_CODE (126 or 127), _TEXT; the stream is over */
	GUEST_STDOUT,       /* raw bytes; with a terminal all output is STDOUT */
	GUEST_STDERR,       /* raw bytes */
	GUEST_WINDOW_IN,    /* GUEST_TAG_CREDIT: input bytes passed on */
	GUEST_EXIT, /* GUEST_TAG_CODE (0..255, 128 + n for signal n), _OOM; after all its output; the stream is over */
};

enum guest_tag {
	GUEST_TAG_VERSION = 1, /* u32 */
	GUEST_TAG_KERNEL,      /* str: uname release */
	GUEST_TAG_TEXT,        /* str <= 1024 */
	GUEST_TAG_CODE,        /* u32 */
	GUEST_TAG_PID,         /* u32 */
	GUEST_TAG_CREDIT,      /* u32 */
	GUEST_TAG_ROWS,        /* u32 */
	GUEST_TAG_COLS,        /* u32 */
	GUEST_TAG_SIGNAL,      /* u32 */
	GUEST_TAG_GROUP,       /* u32 1 */
	GUEST_TAG_OOM,         /* u32 0 or 1: the kernel's OOM killer ended it */

	/* HOST_CONFIG. Order matters only inside a group; a group begins at its first tag. */
	GUEST_TAG_ENTROPY = 32, /* bytes >= 32: credited to the RNG first of all, then reseeded */
	GUEST_TAG_CLOCK_NS,     /* u64: CLOCK_REALTIME */
	GUEST_TAG_HOSTNAME,     /* str */
	GUEST_TAG_DOMAINNAME,   /* str */
	GUEST_TAG_ROOT_RO,      /* u32 1: read-only root */
	GUEST_TAG_LAYER,        /* u32: index of a read-only squashfs disk; repeated, top layer first */
	GUEST_TAG_SCRATCH,      /* u32: index of the ext4 disk that holds upper and work */
	GUEST_TAG_NIC,          /* u32: index of a virtio-net device; begins a group */
	GUEST_TAG_NIC_NAME,     /* str: "eth0" */
	GUEST_TAG_NIC_MAC,      /* 6 bytes */
	GUEST_TAG_NIC_ADDR,     /* 4 bytes IPv4 */
	GUEST_TAG_NIC_PREFIX,   /* u32 */
	GUEST_TAG_NIC_GATEWAY,  /* 4 bytes: default route through this NIC; on-link when outside the prefix */
	GUEST_TAG_NIC_MTU,      /* u32 */
	GUEST_TAG_NEIGH_ADDR,   /* 4 bytes, then NEIGH_MAC: a permanent neighbour entry on this NIC */
	GUEST_TAG_NEIGH_MAC,    /* 6 bytes */
	GUEST_TAG_DNS,          /* 4 bytes: a nameserver line of /etc/resolv.conf; repeated */
	GUEST_TAG_DNS_SEARCH,   /* str; repeated */
	GUEST_TAG_DNS_OPTION,   /* str; repeated */
	GUEST_TAG_HOST,         /* str "ADDRESS NAME…": a line of /etc/hosts; repeated */
	GUEST_TAG_TMPFS,        /* str "PATH" or "PATH:OPTIONS"; repeated */
	GUEST_TAG_SHM_SIZE,     /* u64 bytes of /dev/shm */
	GUEST_TAG_SYSCTL,       /* str "net.ipv4.ip_forward=1"; repeated */
	GUEST_TAG_MODULE,       /* str: a kernel module (with what it needs) from the initramfs; repeated */
	GUEST_TAG_FILE_PATH,    /* str: begins a group: a small file put into the root before the first process */
	GUEST_TAG_FILE_MODE,    /* u32 */
	GUEST_TAG_FILE_DATA,    /* bytes */

	/* HOST_START */
	GUEST_TAG_ARG = 96, /* str; repeated; argv[0] is looked up in PATH inside the root */
	GUEST_TAG_ENV,      /* str "K=V"; repeated */
	GUEST_TAG_CWD,      /* str; made when missing (docker's WORKDIR) */
	GUEST_TAG_USER, /* str "", "name", "uid", "name:group", "uid:gid": looked up in the root's passwd and group */
	GUEST_TAG_GROUP_ADD, /* str; repeated */
	GUEST_TAG_TTY,       /* u32 1: a terminal; with ROWS and COLS */
	GUEST_TAG_STDIN,     /* u32 1: input will come; else /dev/null */
	GUEST_TAG_CAPS, /* u64: 1 << CAP_*: bounding, permitted, inheritable (docker's meaning; effective for uid 0) */
	GUEST_TAG_NO_NEW_PRIVS, /* u32 1 */
	GUEST_TAG_RLIMIT,       /* str "nofile=1024:4096"; repeated */
	GUEST_TAG_PIDS_MAX,     /* u64: limit of the container's processes (cgroup pids.max); main process only */
	GUEST_TAG_MAIN,         /* u32 1: the container's process: when it ends, the VM powers off */
	GUEST_TAG_INIT,         /* u32 1: docker's --init: moot, bottle-init reaps; accepted */
	GUEST_TAG_OOM_ADJ,      /* u32 biased by 1000 */

	/* GUEST_STATS: all u64 */
	GUEST_TAG_STAT_MEM_TOTAL = 160, /* bytes */
	GUEST_TAG_STAT_MEM_USED,        /* bytes: total - available */
	GUEST_TAG_STAT_MEM_CACHE,
	GUEST_TAG_STAT_CPU_USER_NS,
	GUEST_TAG_STAT_CPU_SYSTEM_NS,
	GUEST_TAG_STAT_CPU_COUNT,
	GUEST_TAG_STAT_PIDS,
	GUEST_TAG_STAT_RX_BYTES,
	GUEST_TAG_STAT_RX_PACKETS,
	GUEST_TAG_STAT_TX_BYTES,
	GUEST_TAG_STAT_TX_PACKETS,
	GUEST_TAG_STAT_READ_BYTES,
	GUEST_TAG_STAT_WRITE_BYTES,
};

/* Limits that both sides check. */
#define GUEST_LAYERS_MAX 16
#define GUEST_NICS_MAX   4
#define GUEST_ARGS_MAX   4096
#define GUEST_FILES_MAX  64
#define GUEST_FILE_MAX   (48 * 1024)
#define GUEST_TEXT_MAX   1024

/*
 * Device indexes: a virtio-blk disk of index n has the serial "disk<n>"; a
 * virtio-net device of index n is found by the MAC it was made with,
 * 02:b0:77:00:00:<n> (a placeholder: the guest sets the real one).
 */
#define GUEST_DISK_SERIAL "disk%u"

/*
 * Kernel command line, the same for every VM: nothing of the container is on
 * it. bottle-init reads nothing from it.
 */

#endif
