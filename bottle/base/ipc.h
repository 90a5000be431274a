/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages between our own processes: one SOCK_SEQPACKET packet each, a fixed
 * head { u16 type, u16 flags, u32 seq } in host order, then TLV fields, with at
 * most IPC_FDS_MAX descriptors. Requests carry a seq that the answer repeats;
 * what was not asked for has seq 0.
 */
#ifndef BASE_IPC_H
#define BASE_IPC_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/tlv.h"

#define IPC_BODY_MAX (64 * 1024)
#define IPC_FDS_MAX  64

struct ipc_head {
	uint16_t type;
	uint16_t flags;
	uint32_t seq;
};

struct ipc_msg {
	struct ipc_head head;
	size_t len;
	int fds[IPC_FDS_MAX];
	size_t n_fds;
	unsigned char body[IPC_BODY_MAX];
};

/* Never blocks on a full socket: -EAGAIN. fds stay the caller's. 0 or -errno. */
int ipc_send(int fd, uint16_t type, uint32_t seq, const struct tlv *body, const int *fds, size_t n_fds);

/*
 * One message: 1, 0 when the peer is gone, -EAGAIN when none is there (with a
 * non-blocking fd), -EBADMSG when it was cut or too large (its fds are closed).
 * The received fds are close-on-exec and belong to the caller: take them with
 * ipc_take_fd, drop the rest with ipc_close_fds.
 */
int ipc_recv(int fd, struct ipc_msg *m);
int ipc_take_fd(struct ipc_msg *m, size_t i); /* -1 when there is none */
void ipc_close_fds(struct ipc_msg *m);

/* The peer's credentials (SO_PEERCRED). 0 or -errno. */
int ipc_peer(int fd, pid_t *ret_pid, uid_t *ret_uid);

/*
 * AF_UNIX sockets by directory and name, so that the 108 bytes of sun_path never
 * limit a state directory. type: SOCK_STREAM or SOCK_SEQPACKET. fd (close-on-exec, non-blocking) or -errno.
 */
int unix_listen_at(int dir_fd, const char *name, int type, mode_t mode);
int unix_connect_at(int dir_fd, const char *name, int type);
/* The same for one path. */
int unix_listen(const char *path, int type, mode_t mode);
int unix_connect(const char *path, int type);

/* Number of descriptors that the init system passed from fd 3 on (LISTEN_FDS, LISTEN_PID; sd_listen_fds(3)); unsets both. */
int listen_fds(void);

#endif
