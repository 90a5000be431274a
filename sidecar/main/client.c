/* SPDX-License-Identifier: Apache-2.0 */
/* "sidecar ctl": the other end of the control socket, run in the sidecar's machine by exec. Answers on stdout, reasons on stderr. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/fd.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "sidecar/main/main.h"

#define CONNECT_TRIES 100 /* a sidecar that is just starting has no socket yet */
#define CONNECT_MS    50
#define ANSWER_MS     30000

static int connect_main(void)
{
	const struct timespec pause = { .tv_nsec = CONNECT_MS * 1000000L };
	int fd = -1;

	for (int i = 0; i < CONNECT_TRIES; i++) {
		fd = unix_connect(SIDECAR_SOCKET, SOCK_SEQPACKET);
		if (fd >= 0 || (fd != -ENOENT && fd != -ECONNREFUSED))
			break;
		nanosleep(&pause, NULL);
	}
	if (fd < 0)
		fatal("no sidecar answers on " SIDECAR_SOCKET ": %s", strerror(-fd));
	return fd;
}

/* Sends one request and prints its answer: the exit code. */
static int ask(uint16_t type, const struct tlv *body, int pass_fd)
{
	_cleanup_close_ int fd = connect_main();
	_cleanup_free_ char *text = NULL;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	static struct ipc_msg m;
	struct tlv_field f;
	struct tlv_iter it;

	if (ipc_send(fd, type, 0, body, &pass_fd, pass_fd >= 0) < 0)
		fatal("the sidecar does not take the request");
	if (poll(&p, 1, ANSWER_MS) != 1 || ipc_recv(fd, &m) != 1)
		fatal("the sidecar gave no answer; its log says why");
	ipc_close_fds(&m);
	tlv_iter_init(&it, m.body, m.len);
	if (tlv_next(&it, &f) == 1 && f.tag == SIDE_TAG_TEXT)
		text = tlv_get_str(&f, SIDE_TEXT_MAX);
	if (type == CTL_APPLY && m.head.type != CTL_OK)
		log_error("%s", text ? text : "refused");
	else
		printf("%s\n", text ? text : "");
	return m.head.type != CTL_OK;
}

static int apply(void)
{
	_cleanup_buf_ struct buf in = { 0 };
	_cleanup_close_ int fd = -1;
	ssize_t n;

	while ((n = buf_read(&in, STDIN_FILENO, 65536)) > 0)
		if (buf_len(&in) > COMPILED_MAX)
			fatal("the policy is larger than %d bytes", COMPILED_MAX);
	if (n < 0)
		fatal("read the policy: %s", strerror((int)-n));
	fd = memfd_sealed("policy", buf_ptr(&in), buf_len(&in));
	if (fd < 0)
		fatal("memfd: %s", strerror(-fd));
	return ask(CTL_APPLY, NULL, fd);
}

static int why(const char *host, const char *port_text)
{
	unsigned char space[1024];
	struct tlv t;
	uint64_t port;

	if (str_u64(port_text, 65535, &port) < 0 || strlen(host) > HOST_MAX)
		fatal("usage: sidecar ctl why HOST PORT");
	tlv_init(&t, space, sizeof(space));
	tlv_str(&t, SIDE_TAG_NAME, host);
	tlv_u32(&t, SIDE_TAG_PORT, (uint32_t)port);
	return ask(CTL_WHY, &t, -1);
}

int client_main(int argc, char **argv)
{
	if (argc == 3 && str_eq(argv[2], "apply"))
		return apply();
	if (argc == 3 && str_eq(argv[2], "status"))
		return ask(CTL_STATUS, NULL, -1);
	if (argc == 5 && str_eq(argv[2], "why"))
		return why(argv[3], argv[4]);
	fatal("usage: sidecar ctl apply <POLICY | status | why HOST PORT");
}
