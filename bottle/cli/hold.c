/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bottle socket hold: what an init system does for a socket unit, for machines
 * without one. It listens, never accepts, and starts the command on the first
 * connection with the socket as descriptor 3 (LISTEN_FDS); when the command has
 * ended, it watches again. Not more than STARTS_MAX starts in STARTS_MS: a
 * command that dies at once is not started in a circle. SIGTERM ends both and
 * removes the socket. It reads nothing from anybody.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "cli/cli.h"

#define STARTS_MAX 5
#define STARTS_MS  10000
#define GRACE_MS   5000
#define BACKLOG    128

struct holder {
	struct loop *loop;
	struct source *watch, *again;
	int fd;
	char *const *argv;
	char *program;
	pid_t pid; /* 0: not running */
	bool stopping;
	uint64_t starts[STARTS_MAX]; /* when; a ring */
	unsigned int n_starts;
};

static int set_listen_pid(void *arg)
{
	char text[16];

	(void)arg;
	snprintf(text, sizeof(text), "%d", (int)getpid());
	if (setenv("LISTEN_PID", text, 1) < 0 || setenv("LISTEN_FDS", "1", 1) < 0 ||
	    setenv("LISTEN_FDNAMES", "socket", 1) < 0)
		return -errno;
	return 0;
}

static void watch(struct holder *h);

/* How long until another start is due: 0 now. */
static uint64_t due_in(const struct holder *h)
{
	uint64_t oldest, now = now_mono_ms();

	if (h->n_starts < STARTS_MAX)
		return 0;
	oldest = h->starts[h->n_starts % STARTS_MAX];
	return now - oldest >= STARTS_MS ? 0 : STARTS_MS - (now - oldest);
}

static void on_again(struct source *s, void *arg)
{
	struct holder *h = arg;

	source_free(s);
	h->again = NULL;
	watch(h);
}

static void rest(struct holder *h)
{
	uint64_t wait = due_in(h);

	if (!wait) {
		watch(h);
		return;
	}
	log_warn("'%s' ended %d times within %d s; it is started again in %d s at the earliest", h->argv[0], STARTS_MAX,
		 STARTS_MS / 1000, (int)(wait / 1000) + 1);
	h->again = loop_timer(h->loop, wait, on_again, h);
}

static void on_child(struct source *s, pid_t pid, int status, void *arg)
{
	struct holder *h = arg;
	int code = proc_exit_code(status);

	(void)s;
	(void)pid;
	h->pid = 0;
	if (h->stopping) {
		loop_quit(h->loop, 0);
		return;
	}
	if (code)
		log_warn("'%s' ended with exit code %d", h->argv[0], code);
	rest(h);
}

static void start(struct holder *h)
{
	struct spawn spawn = { .path = h->program,
			       .argv = h->argv,
			       .fds = &h->fd,
			       .n_fds = 1,
			       .stdin_fd = -1,
			       .stdout_fd = STDOUT_FILENO,
			       .stderr_fd = -1,
			       .before_exec = set_listen_pid };
	struct err e = { 0 };
	pid_t pid = proc_spawn(&spawn, &e);

	h->starts[h->n_starts++ % STARTS_MAX] = now_mono_ms();
	if (pid < 0) {
		log_error("%s", e.text);
		rest(h);
		return;
	}
	h->pid = pid;
	if (!loop_child(h->loop, pid, on_child, h))
		fatal("watch '%s': %s", h->argv[0], strerror(errno));
}

static void on_connection(struct source *s, uint32_t events, void *arg)
{
	struct holder *h = arg;

	(void)events;
	source_free(s);
	h->watch = NULL;
	start(h);
}

static void watch(struct holder *h)
{
	h->watch = loop_io(h->loop, h->fd, EPOLLIN, on_connection, h);
}

static void on_grace_over(struct source *s, void *arg)
{
	struct holder *h = arg;

	(void)s;
	log_warn("'%s' did not end within %d s of SIGTERM; it is left alone", h->argv[0], GRACE_MS / 1000);
	loop_quit(h->loop, 0);
}

static void on_stop(struct source *s, int signo, void *arg)
{
	struct holder *h = arg;

	(void)s;
	(void)signo;
	h->stopping = true;
	if (!h->pid) {
		loop_quit(h->loop, 0);
		return;
	}
	kill(h->pid, SIGTERM);
	loop_timer(h->loop, GRACE_MS, on_grace_over, h);
}

/* ---- the socket ---- */

/* A path that is left over from a dead holder may go; one that somebody listens on may not. */
static int clear_path(const struct sockaddr_un *sa, int type, struct err *e)
{
	_cleanup_close_ int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	struct stat st;

	if (lstat(sa->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : err_errno(e, "look at '%s'", sa->sun_path);
	if (!S_ISSOCK(st.st_mode))
		return err_set(e, ERR_CONFLICT, EEXIST, "'%s' exists and is no socket; move it away", sa->sun_path);
	if (connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0 || errno != ECONNREFUSED)
		return err_set(e, ERR_CONFLICT, EADDRINUSE, "'%s' is held by another process", sa->sun_path);
	return unlink(sa->sun_path) < 0 ? err_errno(e, "remove the stale '%s'", sa->sun_path) : 0;
}

static int open_socket(const char *path, int type, mode_t mode, struct err *e)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *dir = xstrdup(path);
	mode_t old;
	int r;

	if (strlen(path) >= sizeof(sa.sun_path))
		return err_set(e, ERR_INVALID, ENAMETOOLONG, "the path '%s' is longer than %zu bytes", path,
			       sizeof(sa.sun_path) - 1);
	memcpy(sa.sun_path, path, strlen(path) + 1);
	*strrchr(dir, '/') = '\0';
	r = *dir ? mkdir_p(AT_FDCWD, dir, mode & 0077 ? 0755 : 0700) : 0;
	if (r < 0) {
		errno = -r;
		return err_errno(e, "make '%s'", dir);
	}
	r = clear_path(&sa, type, e);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_errno(e, "socket");
	old = umask(0777 & ~mode);
	r = bind(fd, (struct sockaddr *)&sa, sizeof(sa));
	umask(old);
	if (r < 0 || listen(fd, BACKLOG) < 0)
		return err_errno(e, "listen on '%s'", path);
	return TAKE_FD(fd);
}

/* The command as execve(2) needs it: found in PATH when it has no slash. Owned, or NULL. */
static char *find_program(const char *name)
{
	const char *path = getenv("PATH");

	if (strchr(name, '/'))
		return realpath(name, NULL);
	for (path = path ? path : "/usr/local/bin:/usr/bin:/bin"; *path;) {
		size_t n = strcspn(path, ":");
		_cleanup_free_ char *full = xasprintf("%.*s/%s", (int)n, path, name);

		if (n && *path == '/' && access(full, X_OK) == 0)
			return TAKE_PTR(full);
		path += n + (path[n] == ':');
	}
	errno = ENOENT;
	return NULL;
}

static int hold(struct holder *h, const char *path)
{
	struct stat ours, now;
	int code;

	if (stat(path, &ours) < 0)
		fatal("look at '%s': %s", path, strerror(errno));
	h->loop = loop_new();
	loop_signal(h->loop, SIGTERM, on_stop, h);
	loop_signal(h->loop, SIGINT, on_stop, h);
	loop_signal(h->loop, SIGHUP, on_stop, h);
	watch(h);
	log_info("holding '%s'", path);
	code = loop_run(h->loop);
	loop_free(h->loop);
	if (stat(path, &now) == 0 && now.st_ino == ours.st_ino && now.st_dev == ours.st_dev)
		unlink(path);
	return code;
}

static bool parse_mode(const char *text, mode_t *ret)
{
	char *end;
	unsigned long v = strtoul(text, &end, 8);

	if (!*text || *end || v > 0777 || strspn(text, "01234567") != strlen(text))
		return false;
	*ret = (mode_t)v;
	return true;
}

int cmd_socket_hold(int argc, char **argv)
{
	const char *path = NULL, *mode_text = "0600", *type = "stream";
	_cleanup_free_ char *program = NULL;
	struct holder h = { .fd = -1 };
	struct err e = { 0 };
	const struct opt opts[] = {
		{ 0, "socket", OPT_STR, &path, "PATH", "the socket to hold (absolute)" },
		{ 0, "mode", OPT_STR, &mode_text, "MODE", "its permissions (default: 0600)" },
		{ 0, "type", OPT_STR, &type, "TYPE", "stream or seqpacket (default: stream)" },
		{ 0 },
	};
	const struct opt_usage usage = {
		.synopsis = "bottle socket hold --socket PATH [OPTIONS] -- CMD...",
		.summary = "Holds a socket and starts CMD when it is used, as an init system would.",
		.opts = opts,
		.stop_at_operand = true
	};
	int first, code = cli_parse(&usage, argc, argv, 1, -1, &first);
	mode_t mode;

	if (code >= 0)
		return code;
	if (!path || *path != '/' || !parse_mode(mode_text, &mode) ||
	    (!str_eq(type, "stream") && !str_eq(type, "seqpacket"))) {
		cli_error("--socket takes an absolute path, --mode an octal mode, --type stream or seqpacket");
		return EXIT_USAGE;
	}
	program = find_program(argv[first]);
	if (!program) {
		cli_error("'%s': %s", argv[first], strerror(errno));
		return EXIT_FAILED;
	}
	h.fd = open_socket(path, str_eq(type, "stream") ? SOCK_STREAM : SOCK_SEQPACKET, mode, &e);
	if (h.fd < 0)
		return cli_fail(&e);
	h.program = program;
	h.argv = argv + first;
	return hold(&h, path);
}
