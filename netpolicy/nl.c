/* SPDX-License-Identifier: Apache-2.0 */
/* Netlink transport of netpolicyd. The other side is the kernel: trusted, but waited for with a bound. */
#include "netpolicy/nl.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>

#define BUFFER_SIZE (16 << 20)
#define WAIT_S      10

static char in[64 * 1024];

int nl_open(struct nl *n, int bus, unsigned groups, struct err *e)
{
	struct timeval wait = { .tv_sec = WAIT_S };
	int size = BUFFER_SIZE, fd;

	n->sock = mnl_socket_open2(bus, SOCK_CLOEXEC);
	if (!n->sock)
		return err_errno(e, "netlink socket (bus %d)", bus);
	fd = mnl_socket_get_fd(n->sock);
	/* Whole rule sets are one message: no room for it shows at its own send. */
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) < 0 ||
	    mnl_socket_bind(n->sock, groups, MNL_SOCKET_AUTOPID) < 0)
		return err_errno(e, "netlink socket (bus %d)", bus);
	return 0;
}

void nl_close(struct nl *n)
{
	if (n->sock)
		mnl_socket_close(n->sock);
	n->sock = NULL;
}

int nl_fd(const struct nl *n)
{
	return mnl_socket_get_fd(n->sock);
}

struct nlmsghdr *nl_start(struct nl *n, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(n->out);

	h->nlmsg_type = type;
	h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	h->nlmsg_seq = ++n->seq;
	return h;
}

int nl_run(struct nl *n, const struct nlmsghdr *h, mnl_cb_t cb, void *arg)
{
	unsigned port = mnl_socket_get_portid(n->sock);
	ssize_t len;
	int r;

	if (mnl_socket_sendto(n->sock, h, h->nlmsg_len) < 0)
		return -errno;
	do {
		len = mnl_socket_recvfrom(n->sock, in, sizeof(in));
		if (len < 0)
			return -errno;
		r = mnl_cb_run(in, (size_t)len, h->nlmsg_seq, port, cb, arg);
		if (r < 0 && errno == EPROTO && ((struct nlmsghdr *)in)->nlmsg_seq != h->nlmsg_seq) {
			r = MNL_CB_OK; /* an answer to a request that was given up */
			continue;
		}
	} while (r > 0);
	return r < 0 ? -errno : 0;
}

/* Returns true when no more will come: the last message's answer, or a refusal of the batch's first as a whole. */
static bool batch_answers(char *data, int len, uint32_t first, uint32_t last, int *first_error)
{
	bool done = false;

	for (struct nlmsghdr *h = (struct nlmsghdr *)data; mnl_nlmsg_ok(h, len); h = mnl_nlmsg_next(h, &len)) {
		const struct nlmsgerr *err = mnl_nlmsg_get_payload(h);

		if (h->nlmsg_type != NLMSG_ERROR || h->nlmsg_len < mnl_nlmsg_size(sizeof(*err)))
			continue;
		if (err->error && !*first_error)
			*first_error = err->error;
		done |= h->nlmsg_seq == last || h->nlmsg_seq == first;
	}
	return done;
}

int nl_run_batch(struct nl *n, const void *data, size_t len, uint32_t last)
{
	uint32_t first = ((const struct nlmsghdr *)data)->nlmsg_seq;
	int error = 0;
	bool done;

	if (mnl_socket_sendto(n->sock, data, len) < 0)
		return -errno;
	do {
		ssize_t got = mnl_socket_recvfrom(n->sock, in, sizeof(in));

		if (got < 0)
			return error ? error : -errno;
		done = batch_answers(in, (int)got, first, last, &error);
	} while (!done);
	/* What else the same batch caused. */
	while (recv(nl_fd(n), in, sizeof(in), MSG_DONTWAIT) > 0)
		;
	return error;
}

int nl_events(struct nl *n, mnl_cb_t cb, void *arg)
{
	ssize_t len;

	while ((len = recv(nl_fd(n), in, sizeof(in), MSG_DONTWAIT)) > 0)
		if (mnl_cb_run(in, (size_t)len, 0, 0, cb, arg) < 0)
			return -errno;
	return len == 0 || errno == EAGAIN ? 0 : -errno;
}
