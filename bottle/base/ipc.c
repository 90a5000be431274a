/* SPDX-License-Identifier: Apache-2.0 */
/* Messages and Unix sockets; in every process. */
#include "base/ipc.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"

#define LISTEN_BACKLOG 256

int ipc_send(int fd, uint16_t type, uint32_t seq, const struct tlv *body, const int *fds, size_t n_fds)
{
	struct ipc_head head = { .type = type, .seq = seq };
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * IPC_FDS_MAX)];
	} control;
	struct iovec iov[2] = { { &head, sizeof(head) }, { NULL, 0 } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 1 };
	ssize_t n = body ? tlv_len(body) : 0;

	if (n < 0 || n > IPC_BODY_MAX || n_fds > IPC_FDS_MAX)
		return -EMSGSIZE;
	if (n) {
		iov[1] = (struct iovec){ body->data, (size_t)n };
		msg.msg_iovlen = 2;
	}
	if (n_fds) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof(control));
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
	}
	do
		n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static void collect_fds(struct msghdr *msg, struct ipc_msg *m)
{
	m->n_fds = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n && m->n_fds < IPC_FDS_MAX; i++)
			memcpy(&m->fds[m->n_fds++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
	}
}

int ipc_recv(int fd, struct ipc_msg *m)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * IPC_FDS_MAX)];
	} control;
	struct iovec iov[2] = { { &m->head, sizeof(m->head) }, { m->body, sizeof(m->body) } };
	struct msghdr msg = {
		.msg_iov = iov,
		.msg_iovlen = 2,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n;

	do
		n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		m->n_fds = 0;
		return errno == ECONNRESET ? 0 : -errno;
	}
	collect_fds(&msg, m);
	if (n == 0 && !m->n_fds)
		return 0;
	if ((size_t)n < sizeof(m->head) || msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		ipc_close_fds(m);
		return -EBADMSG;
	}
	m->len = (size_t)n - sizeof(m->head);
	return 1;
}

int ipc_take_fd(struct ipc_msg *m, size_t i)
{
	return i < m->n_fds ? TAKE_FD(m->fds[i]) : -1;
}

void ipc_close_fds(struct ipc_msg *m)
{
	for (size_t i = 0; i < m->n_fds; i++)
		if (m->fds[i] >= 0)
			close(m->fds[i]);
	m->n_fds = 0;
}

int ipc_peer(int fd, pid_t *ret_pid, uid_t *ret_uid)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	if (ret_pid)
		*ret_pid = cred.pid;
	if (ret_uid)
		*ret_uid = cred.uid;
	return 0;
}

static int address(int dir_fd, const char *name, struct sockaddr_un *ret)
{
	int n;

	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (dir_fd == AT_FDCWD)
		n = snprintf(ret->sun_path, sizeof(ret->sun_path), "%s", name);
	else
		n = snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%s", dir_fd, name);
	return n < 0 || (size_t)n >= sizeof(ret->sun_path) ? -ENAMETOOLONG : 0;
}

int unix_listen_at(int dir_fd, const char *name, int type, mode_t mode)
{
	_cleanup_close_ int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un sun;
	int r = address(dir_fd, name, &sun);

	if (fd < 0)
		return -errno;
	if (r < 0)
		return r;
	/* The mode is set before listen: nobody connects before it holds. */
	if (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0 || fchmodat(dir_fd, name, mode, 0) < 0 ||
	    listen(fd, LISTEN_BACKLOG) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int unix_connect_at(int dir_fd, const char *name, int type)
{
	_cleanup_close_ int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	struct sockaddr_un sun;
	int r = address(dir_fd, name, &sun);

	if (fd < 0)
		return -errno;
	if (r < 0)
		return r;
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0)
		return -errno;
	r = fd_nonblock(fd);
	return r < 0 ? r : TAKE_FD(fd);
}

/* Splits a path that is too long for sun_path into its directory and name. */
static int with_parent(const char *path, int (*fn)(int, const char *, int, mode_t), int type, mode_t mode)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *dir = NULL;
	_cleanup_close_ int dir_fd = -1;

	if (strlen(path) < sizeof(((struct sockaddr_un *)0)->sun_path) || !slash)
		return fn(AT_FDCWD, path, type, mode);
	dir = xstrndup(path, (size_t)(slash - path));
	dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return dir_fd < 0 ? -errno : fn(dir_fd, slash + 1, type, mode);
}

static int connect_mode(int dir_fd, const char *name, int type, mode_t mode)
{
	(void)mode;
	return unix_connect_at(dir_fd, name, type);
}

int unix_listen(const char *path, int type, mode_t mode)
{
	return with_parent(path, unix_listen_at, type, mode);
}

int unix_connect(const char *path, int type)
{
	return with_parent(path, connect_mode, type, 0);
}

int listen_fds(void)
{
	const char *pid = getenv("LISTEN_PID"), *n = getenv("LISTEN_FDS");
	uint64_t want_pid, count;

	if (!pid || !n || str_u64(pid, INT32_MAX, &want_pid) < 0 || (pid_t)want_pid != getpid() ||
	    str_u64(n, 64, &count) < 0)
		return 0;
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	for (int fd = 3; fd < 3 + (int)count; fd++) {
		fd_cloexec(fd, true);
		fd_nonblock(fd);
	}
	return (int)count;
}
