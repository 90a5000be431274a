/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tap opener: a child of netpolicyd that stays in N, answers names with new
 * taps, and ends with its parent. It hears only netpolicyd, yet holds nothing but
 * CAP_NET_ADMIN and one device node. The node is of a file system that only this
 * process sees, so that neither /dev's modes nor a missing udev matter.
 */
#include "netpolicy/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>

#include "base/ipc.h"
#include "base/log.h"
#include "netpolicy/jail.h"

#define TUN_MAJOR 10
#define TUN_MINOR 200
#define WAIT_S    10
#define PARK_FD   100

enum { TAP_OPEN = 1, TAP_OPENED, TAP_FAILED };
enum { TAG_NAME = 1, TAG_ERRNO };

/* A directory of a tmpfs that is mounted nowhere, with the node in it. */
static int private_node(struct err *e)
{
	_cleanup_close_ int fs = fsopen("tmpfs", FSOPEN_CLOEXEC), dir = -1;

	if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "mode", "0755", 0) < 0 ||
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return err_errno(e, "make a file system for the tap device's node");
	dir = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	if (dir < 0)
		return err_errno(e, "mount a file system for the tap device's node");
	if (mknodat(dir, "tun", S_IFCHR | 0666, makedev(TUN_MAJOR, TUN_MINOR)) < 0 || fchmodat(dir, "tun", 0666, 0) < 0)
		return err_errno(e, "make the tap device's node");
	return TAKE_FD(dir);
}

/* No offload until the VMM asks for what its guest can take. */
static int open_tap(int dir, const char *name)
{
	_cleanup_close_ int fd = openat(dir, "tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int header = sizeof(struct virtio_net_hdr_mrg_rxbuf);

	if (fd < 0)
		return -errno;
	memcpy(ifr.ifr_name, name, strnlen(name, IFNAMSIZ - 1));
	if (ioctl(fd, TUNSETIFF, &ifr) < 0 || ioctl(fd, TUNSETVNETHDRSZ, &header) < 0 ||
	    ioctl(fd, TUNSETOFFLOAD, 0) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static void answer(int channel, int dir, const struct ipc_msg *m)
{
	unsigned char space[64];
	_cleanup_free_ char *name = NULL;
	_cleanup_close_ int fd = -1;
	struct tlv_field f;
	struct tlv_iter it;
	struct tlv t;
	int error;

	tlv_iter_init(&it, m->body, m->len);
	if (m->head.type != TAP_OPEN || tlv_next(&it, &f) <= 0 || f.tag != TAG_NAME ||
	    !(name = tlv_get_str(&f, IFNAMSIZ - 1)))
		fatal("a request that is none");
	fd = open_tap(dir, name);
	error = fd < 0 ? -fd : 0;
	tlv_init(&t, space, sizeof(space));
	if (error)
		tlv_u32(&t, TAG_ERRNO, (uint32_t)error);
	if (ipc_send(channel, error ? TAP_FAILED : TAP_OPENED, m->head.seq, &t, &fd, error ? 0 : 1) < 0)
		fatal("netpolicyd doesn't listen");
}

static void __attribute__((noreturn)) serve(int channel, int dir)
{
	static struct ipc_msg m;
	struct err e = { 0 };

	/* Nothing of netpolicyd's own: the channel's end tells that it is gone. */
	channel = fcntl(channel, F_DUPFD_CLOEXEC, PARK_FD);
	dir = fcntl(dir, F_DUPFD_CLOEXEC, PARK_FD);
	if (channel < 0 || dir < 0 || dup2(channel, 3) < 0 || dup2(dir, 4) < 0 || close_range(5, ~0U, 0) < 0)
		fatal("arrange descriptors: %s", strerror(errno));
	channel = 3;
	dir = 4;
	log_init("netpolicyd-tap", 0);
	if (jail_worker(&e) < 0)
		fatal("%s", e.text);
	while (ipc_recv(channel, &m) == 1)
		answer(channel, dir, &m);
	_exit(0);
}

int worker_start(struct err *e)
{
	_cleanup_close_ int dir = private_node(e);
	struct timeval wait = { .tv_sec = WAIT_S };
	int pair[2];
	pid_t pid;

	if (dir < 0)
		return dir;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ||
	    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) < 0)
		return err_errno(e, "socketpair");
	pid = fork();
	if (pid < 0)
		return err_errno(e, "fork the tap opener");
	if (pid == 0) {
		close(pair[0]);
		serve(pair[1], dir);
	}
	close(pair[1]);
	return pair[0];
}

int worker_tap(int fd, const char *name)
{
	static struct ipc_msg m;
	unsigned char space[64];
	struct tlv_field f;
	struct tlv_iter it;
	uint32_t error;
	struct tlv t;

	tlv_init(&t, space, sizeof(space));
	tlv_str(&t, TAG_NAME, name);
	if (ipc_send(fd, TAP_OPEN, 1, &t, NULL, 0) < 0 || ipc_recv(fd, &m) != 1)
		fatal("the tap opener is gone");
	if (m.head.type == TAP_OPENED && m.n_fds == 1)
		return ipc_take_fd(&m, 0);
	ipc_close_fds(&m);
	tlv_iter_init(&it, m.body, m.len);
	if (tlv_next(&it, &f) <= 0 || f.tag != TAG_ERRNO || !tlv_get_u32(&f, &error) || !error || error > 4095)
		fatal("the tap opener broke its protocol");
	return -(int)error;
}
