/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listeners, in sidecar's main process. Each is bound to the device of the side
 * that it serves: the agent's packets come in by the internal one, so a socket
 * bound to the egress device does not exist for them, whatever address they
 * name, and the other way round.
 */
#include "sidecar/main/listen.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"

#define BACKLOG 128

enum where { ANY_ADDRESS, INTERNAL_ADDRESS, EGRESS_ADDRESS };

static const struct {
	int type;
	uint16_t port; /* 0: the status port */
	enum where where;
} table[LISTEN_NUM] = {
	[LISTEN_DNS_UDP] = { SOCK_DGRAM, 53, ANY_ADDRESS },
	[LISTEN_DNS_TCP] = { SOCK_STREAM, 53, ANY_ADDRESS },
	[LISTEN_PROXY] = { SOCK_STREAM, PROXY_PORT, INTERNAL_ADDRESS },
	[LISTEN_HTTP] = { SOCK_STREAM, 80, ANY_ADDRESS },
	[LISTEN_TLS] = { SOCK_STREAM, 443, ANY_ADDRESS },
	[LISTEN_STATUS] = { SOCK_STREAM, 0, EGRESS_ADDRESS },
};

static bool set_flag(int fd, int level, int option)
{
	int on = 1;

	return setsockopt(fd, level, option, &on, sizeof(on)) == 0;
}

static int listen_one(enum listener i, const struct links *l, uint16_t port, struct err *e)
{
	const char *dev = table[i].where == EGRESS_ADDRESS ? l->egress : l->internal;
	_cleanup_close_ int fd = socket(AF_INET, table[i].type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };

	if (table[i].where == INTERNAL_ADDRESS)
		at.sin_addr = l->internal_addr;
	else if (table[i].where == EGRESS_ADDRESS)
		at.sin_addr = l->egress_addr;
	if (fd < 0 || !set_flag(fd, SOL_SOCKET, SO_REUSEADDR) ||
	    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, dev, (socklen_t)strlen(dev)) < 0)
		return err_errno(e, "a socket for port %u on %s", port, dev);
	if (table[i].where == ANY_ADDRESS && !set_flag(fd, IPPROTO_IP, IP_TRANSPARENT))
		return err_errno(e, "IP_TRANSPARENT for port %u (does the sidecar have CAP_NET_ADMIN?)", port);
	if (table[i].type == SOCK_DGRAM && !set_flag(fd, IPPROTO_IP, IP_PKTINFO))
		return err_errno(e, "IP_PKTINFO for port %u", port);
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 ||
	    (table[i].type == SOCK_STREAM && listen(fd, BACKLOG) < 0))
		return err_errno(e, "listen on port %u of %s", port, dev);
	return TAKE_FD(fd);
}

void listen_close(int fds[LISTEN_NUM])
{
	for (int i = 0; i < LISTEN_NUM; i++)
		if (fds[i] >= 0)
			close(TAKE_FD(fds[i]));
}

int listen_all(const struct links *l, uint16_t status_port, int ret_fds[LISTEN_NUM], struct err *e)
{
	for (int i = 0; i < LISTEN_NUM; i++)
		ret_fds[i] = -1;
	for (int i = 0; i < LISTEN_NUM; i++) {
		uint16_t port = table[i].port ? table[i].port : status_port;

		if (!port)
			continue;
		ret_fds[i] = listen_one((enum listener)i, l, port, e);
		if (ret_fds[i] < 0) {
			int r = ret_fds[i];

			listen_close(ret_fds);
			return r;
		}
	}
	return 0;
}
