/* SPDX-License-Identifier: Apache-2.0 */
/* The children's side of the channel to main (sidecar/proto.h); policy_load serves main as well. */
#include "sidecar/child.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/mem.h"

#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW)

static struct ruleset *rules;
static void (*applied_fn)(const struct ruleset *);

int policy_load(int fd, struct ruleset **ret, struct err *e)
{
	_cleanup_free_ char *text = NULL;
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;
	size_t got = 0;

	if (seals < 0 || (seals & SEALS) != SEALS)
		return err_set(e, ERR_INVALID, EPERM, "The policy is not in a sealed memfd");
	if (fstat(fd, &st) < 0 || st.st_size <= 0 || st.st_size > COMPILED_MAX)
		return err_set(e, ERR_LIMIT, EFBIG, "The policy is empty or larger than %d bytes", COMPILED_MAX);
	text = xmalloc((size_t)st.st_size);
	while (got < (size_t)st.st_size) {
		ssize_t n = pread(fd, text + got, (size_t)st.st_size - got, (off_t)got);

		if (n <= 0)
			return err_errno(e, "read the policy");
		got += (size_t)n;
	}
	return ruleset_parse(text, got, ret, e);
}

static void answer(int fd, uint32_t seq, uint16_t type, const char *text)
{
	unsigned char space[IPC_BODY_MAX];
	struct tlv t;

	tlv_init(&t, space, sizeof(space));
	tlv_str(&t, SIDE_TAG_TEXT, text);
	if (ipc_send(fd, type, seq, &t, NULL, 0) < 0)
		fatal("the channel to main is broken");
}

static void on_main(struct source *s, uint32_t events, void *arg)
{
	static struct ipc_msg m;
	struct ruleset *fresh = NULL, *old = rules;
	int r = ipc_recv(CHILD_MAIN_FD, &m), fd;
	struct err e = { 0 };

	(void)events, (void)arg;
	if (r == -EAGAIN)
		return;
	if (r <= 0) {
		loop_quit(source_loop(s), 1);
		return;
	}
	fd = ipc_take_fd(&m, 0);
	ipc_close_fds(&m);
	if (m.head.type != SIDE_POLICY || fd < 0)
		fatal("main sent a message of type %u", m.head.type);
	r = policy_load(fd, &fresh, &e);
	close(fd);
	if (r < 0) {
		answer(CHILD_MAIN_FD, m.head.seq, SIDE_NAK, e.text);
		return;
	}
	rules = fresh;
	applied_fn(rules);
	ruleset_free(old);
	answer(CHILD_MAIN_FD, m.head.seq, SIDE_ACK, ruleset_hash(rules));
}

void child_init(struct loop *l, void (*fn)(const struct ruleset *rules))
{
	applied_fn = fn;
	fd_nonblock(CHILD_MAIN_FD);
	loop_io(l, CHILD_MAIN_FD, EPOLLIN, on_main, NULL);
}

const struct ruleset *child_rules(void)
{
	return rules;
}

struct side_counters *counters_map(int fd)
{
	void *p = mmap(NULL, sizeof(struct side_counters), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		fatal("map the counters: %s", strerror(errno));
	close(fd);
	return p;
}
