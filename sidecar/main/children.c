/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting sidecar-dns and sidecar-egress and handing them policies, in
 * sidecar's main process. A policy is in force when both have said so: dns
 * first, since egress can use a name only after dns knows it. Trusts neither:
 * a child that dies, is silent or answers something else ends the whole
 * sidecar, and with it the agent's way out.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "sidecar/main/main.h"

#define ACK_MS 10000

static const struct {
	const char *name;
	uid_t uid;
} programs[CHILD_NUM] = { { "sidecar-dns", 101 }, { "sidecar-egress", 102 } };

/* Our programs lie side by side. */
static char *sibling(const char *name)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char *slash;

	if (n < 0)
		fatal("/proc/self/exe: %s", strerror(errno));
	path[n] = '\0';
	slash = strrchr(path, '/');
	return xasprintf("%.*s/%s", (int)(slash ? slash - path : 0), path, name);
}

struct identity {
	uid_t uid;
	pid_t parent;
};

/* The death signal last: a change of uid clears it. */
static int become(void *arg)
{
	const struct identity *id = arg;
	uid_t uid = id->uid;

	if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0 ||
	    prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -errno;
	return getppid() == id->parent ? 0 : -ESRCH;
}

static void on_exit_of(struct source *s, pid_t pid, int status, void *arg)
{
	(void)s, (void)pid;
	fatal("%s ended with %d: everything closes", programs[(size_t)(uintptr_t)arg].name, proc_exit_code(status));
}

static int counters_page(struct side_counters **ret, struct err *e)
{
	_cleanup_close_ int fd = memfd_create("counters", MFD_CLOEXEC);
	int copy;

	if (fd < 0 || ftruncate(fd, sizeof(struct side_counters)) < 0)
		return err_errno(e, "counters");
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		return err_errno(e, "counters");
	*ret = counters_map(copy);
	return TAKE_FD(fd);
}

static int start_child(enum child_id id, const int *fds, size_t n_fds, struct err *e)
{
	_cleanup_free_ char *path = sibling(programs[id].name);
	char *argv[] = { (char *)(uintptr_t)programs[id].name, sidecar.links.egress, NULL };
	char *envp[] = { NULL };
	struct identity identity = { programs[id].uid, getpid() };
	struct spawn s = {
		.path = path,
		.argv = argv,
		.envp = envp,
		.fds = fds,
		.n_fds = n_fds,
		.stdin_fd = -1,
		.stdout_fd = STDOUT_FILENO,
		.stderr_fd = -1,
		.die_with_parent = true,
		.before_exec = become,
		.arg = &identity,
	};
	pid_t pid = proc_spawn(&s, e);

	if (pid < 0)
		return pid;
	if (!loop_child(sidecar.loop, pid, on_exit_of, (void *)(uintptr_t)id))
		return err_errno(e, "watch %s", programs[id].name);
	return 0;
}

static void on_child(struct source *s, uint32_t events, void *arg);

static int channel(enum child_id id, int *ret_theirs, struct err *e)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return err_errno(e, "socketpair");
	sidecar.children[id].fd = pair[0];
	*ret_theirs = pair[1];
	loop_io(sidecar.loop, pair[0], EPOLLIN, on_child, (void *)(uintptr_t)id);
	return 0;
}

/* Everything that the children hold is theirs alone: our copies close behind us. */
static int start_children(struct err *e)
{
	int lis[LISTEN_NUM], main_fd[CHILD_NUM], page[CHILD_NUM], names[2], r;

	r = listen_all(&sidecar.links, sidecar.status_port, lis, e);
	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, names) < 0)
		fatal("socketpair: %s", strerror(errno));
	for (int i = 0; i < CHILD_NUM; i++) {
		page[i] = counters_page(&sidecar.children[i].counters, e);
		if (page[i] < 0 || channel((enum child_id)i, &main_fd[i], e) < 0)
			fatal("%s", e->text);
	}
	const int dns[] = { main_fd[0], names[0], lis[LISTEN_DNS_UDP], lis[LISTEN_DNS_TCP], page[0] };
	const int egress[] = { main_fd[1],      names[1], lis[LISTEN_PROXY], lis[LISTEN_HTTP],
			       lis[LISTEN_TLS], page[1],  lis[LISTEN_STATUS] };

	if (start_child(CHILD_DNS, dns, ARRAY_SIZE(dns), e) < 0 ||
	    start_child(CHILD_EGRESS, egress, ARRAY_SIZE(egress) - (lis[LISTEN_STATUS] < 0), e) < 0)
		fatal("%s", e->text);
	listen_close(lis);
	close(names[0]);
	close(names[1]);
	for (int i = 0; i < CHILD_NUM; i++) {
		close(main_fd[i]);
		close(page[i]);
	}
	sidecar.started = true;
	/* From here on nothing is started or opened: see jail.c. */
	if (sandbox_enter(&main_run_profile, e) < 0)
		fatal("%s", e->text);
	return 0;
}

static void send_policy(enum child_id id)
{
	int r = ipc_send(sidecar.children[id].fd, SIDE_POLICY, ++sidecar.seq, NULL, &sidecar.pending_fd, 1);

	if (r < 0)
		fatal("hand the policy to %s: %s", programs[id].name, strerror(-r));
	source_timer(sidecar.ack_timer, ACK_MS);
}

static void applied(void)
{
	source_timer(sidecar.ack_timer, UINT64_MAX);
	close(TAKE_FD(sidecar.pending_fd));
	ruleset_free(sidecar.rules);
	sidecar.rules = TAKE_PTR(sidecar.pending);
	sidecar.children[CHILD_EGRESS].counters->healthy = 1;
	log_info("policy '%s' %.12s is in force", ruleset_name(sidecar.rules), ruleset_hash(sidecar.rules));
	control_applied(ruleset_hash(sidecar.rules));
}

static void on_child(struct source *s, uint32_t events, void *arg)
{
	enum child_id id = (enum child_id)(uintptr_t)arg;
	static struct ipc_msg m;
	_cleanup_free_ char *text = NULL;
	struct tlv_field f;
	struct tlv_iter it;
	int r = ipc_recv(source_fd(s), &m);

	(void)events;
	if (r == -EAGAIN)
		return;
	if (r == 0) { /* on_exit_of says how it ended */
		source_events(s, 0);
		return;
	}
	ipc_close_fds(&m);
	tlv_iter_init(&it, m.body, r > 0 ? m.len : 0);
	if (tlv_next(&it, &f) == 1 && f.tag == SIDE_TAG_TEXT)
		text = tlv_get_str(&f, SIDE_TEXT_MAX);
	if (!text || !sidecar.pending || m.head.seq != sidecar.seq || m.head.type != SIDE_ACK ||
	    !str_eq(text, ruleset_hash(sidecar.pending)))
		fatal("%s did not take the policy: %.200s", programs[id].name, text ? text : "a malformed answer");
	if (id == CHILD_DNS)
		send_policy(CHILD_EGRESS);
	else
		applied();
}

static void on_silence(struct source *s, void *arg)
{
	(void)s, (void)arg;
	fatal("a child did not take the policy in %d ms", ACK_MS);
}

int policy_apply(int fd, struct err *e)
{
	_cleanup_close_ int policy_fd = fd;
	int r;

	if (sidecar.pending)
		return err_set(e, ERR_CONFLICT, EBUSY, "Another policy is being applied");
	if (!sidecar.ack_timer)
		sidecar.ack_timer = loop_timer(sidecar.loop, UINT64_MAX, on_silence, NULL);
	r = policy_load(policy_fd, &sidecar.pending, e);
	if (r == 0 && !sidecar.started)
		r = start_children(e);
	if (r < 0) {
		ruleset_free(TAKE_PTR(sidecar.pending));
		return r;
	}
	sidecar.pending_fd = TAKE_FD(policy_fd);
	send_policy(CHILD_DNS);
	return 0;
}

const char *health(char *space, size_t n)
{
	struct err e = { 0 };

	if (!sidecar.rules)
		return "no policy is applied yet";
	if (route_check(&sidecar.links, &e) == 0)
		return NULL;
	snprintf(space, n, "%s", e.text);
	return space;
}
