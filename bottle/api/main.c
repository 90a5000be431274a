/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bottled: one user's engine on the Docker Engine API. It starts with the first
 * connection (LISTEN_FDS) or in the foreground on its own socket, owns the
 * state, and exits when nothing goes on. Containers live on without it.
 * Order: options, directories, the socket, the lock and the state, what runs
 * already, the jail, the loop.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "api/container.h"
#include "api/engine.h"
#include "api/images.h"
#include "api/jail.h"
#include "base/fd.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/opt.h"

#define LISTEN_FD_FIRST 3
#define ADOPT_MS        2000

struct arguments {
	uint64_t timeout_ms;
	const char *socket, *data, *runtime, *netpolicy;
	bool verbose;
};

static char *default_runtime(struct err *e)
{
	const char *base = getenv("XDG_RUNTIME_DIR");

	if (geteuid() == 0)
		return xstrdup("/run/bottle");
	if (base && *base)
		return xasprintf("%s/bottle", base);
	err_set(e, ERR_INVALID, EINVAL,
		"XDG_RUNTIME_DIR is not set: log in by the login manager, or give --runtime DIR");
	return NULL;
}

static char *default_data(struct err *e)
{
	const char *base = getenv("XDG_DATA_HOME"), *home = getenv("HOME");

	if (geteuid() == 0)
		return xstrdup("/var/lib/bottle");
	if (base && *base)
		return xasprintf("%s/bottle", base);
	if (home && *home)
		return xasprintf("%s/.local/share/bottle", home);
	err_set(e, ERR_INVALID, EINVAL, "neither XDG_DATA_HOME nor HOME is set: give --data DIR");
	return NULL;
}

/* Made when missing; root's runtime directory is passed by other users on their way to netpolicyd. */
static int open_directory(const char *path, mode_t mode, struct err *e)
{
	int fd = mkdir_p(AT_FDCWD, path, mode);

	if (fd < 0)
		return err_set(e, ERR_INTERNAL, -fd, "make directory '%s': %s", path, strerror(-fd));
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? err_errno(e, "open directory '%s'", path) : fd;
}

static int open_directories(struct engine *g, const struct arguments *a, struct err *e)
{
	g->runtime_dir = a->runtime ? xstrdup(a->runtime) : default_runtime(e);
	if (!g->runtime_dir)
		return -EINVAL;
	g->data_dir = a->data ? xstrdup(a->data) : default_data(e);
	if (!g->data_dir)
		return -EINVAL;
	g->runtime_fd = open_directory(g->runtime_dir, geteuid() == 0 && !a->runtime ? 0755 : 0700, e);
	if (g->runtime_fd < 0)
		return g->runtime_fd;
	g->data_fd = open_directory(g->data_dir, 0700, e);
	return g->data_fd < 0 ? g->data_fd : 0;
}

/* The path of a socket that was passed. */
static char *socket_name(int fd)
{
	struct sockaddr_un sun = { 0 };
	socklen_t len = sizeof(sun);

	if (getsockname(fd, (struct sockaddr *)&sun, &len) < 0 || sun.sun_family != AF_UNIX ||
	    len <= offsetof(struct sockaddr_un, sun_path) || sun.sun_path[0] != '/')
		return NULL;
	return xstrndup(sun.sun_path, len - offsetof(struct sockaddr_un, sun_path));
}

/* A name that nobody listens on is taken over; the lock on the state says that nobody is about to. */
static int listen_own(struct engine *g, struct err *e)
{
	_cleanup_close_ int probe = -1;
	struct stat st;
	int fd;

	if (lstat(g->socket_path, &st) == 0) {
		if (!S_ISSOCK(st.st_mode))
			return err_set(e, ERR_CONFLICT, EEXIST,
				       "'%s' is there and is no socket: remove it, or give --socket PATH",
				       g->socket_path);
		probe = unix_connect(g->socket_path, SOCK_STREAM);
		if (probe >= 0)
			return err_set(e, ERR_CONFLICT, EADDRINUSE,
				       "another engine answers at '%s': stop that one, or give --socket PATH",
				       g->socket_path);
		if (probe != -ECONNREFUSED || unlink(g->socket_path) < 0)
			return err_set(e, ERR_CONFLICT, EADDRINUSE, "the socket '%s' cannot be taken over: %s",
				       g->socket_path, strerror(probe != -ECONNREFUSED ? -probe : errno));
	}
	fd = unix_listen(g->socket_path, SOCK_STREAM, 0600);
	return fd < 0 ? err_set(e, ERR_INTERNAL, -fd, "listen at '%s': %s", g->socket_path, strerror(-fd)) : fd;
}

static int open_socket(struct engine *g, const struct arguments *a, bool *ret_own, struct err *e)
{
	int n = listen_fds();

	*ret_own = n == 0;
	if (n > 1)
		return err_set(e, ERR_INVALID, EINVAL, "%d sockets were passed and one is needed", n);
	if (n == 1) {
		g->socket_path = socket_name(LISTEN_FD_FIRST);
		if (!g->socket_path)
			return err_set(e, ERR_INVALID, EINVAL, "the passed socket is no Unix socket with a path");
		return LISTEN_FD_FIRST;
	}
	g->socket_path = a->socket ? xstrdup(a->socket) : xasprintf("%s/engine.sock", g->runtime_dir);
	return listen_own(g, e);
}

static int open_parts(struct engine *g, struct err *e)
{
	int r = networks_open(g, e);

	events_open(g);
	if (r == 0)
		r = images_open(g, e);
	return r < 0 ? r : containers_open(g, e);
}

static void close_parts(struct engine *g)
{
	containers_close(g);
	templates_close(g);
	images_close(g);
	networks_close(g);
	events_close(g);
	state_close(g);
}

static void on_signal(struct source *s, int signo, void *arg)
{
	struct engine *g = arg;

	(void)s;
	log_info("signal %d: ending; containers go on", signo);
	loop_quit(g->loop, 0);
}

static void on_adopt_timeout(struct source *s, void *arg)
{
	struct engine *g = arg;

	(void)s;
	log_warn("%u monitors have not told their state in %d ms; going on", g->adopting, ADOPT_MS);
	loop_quit(g->loop, 0);
}

/* The first answer must already know what happened while nobody was connected: exit codes, ended execs. */
static void await_monitors(struct engine *g)
{
	struct source *limit;

	if (!g->adopting)
		return;
	limit = loop_timer(g->loop, ADOPT_MS, on_adopt_timeout, g);
	loop_run(g->loop);
	source_free(limit);
	g->adopting = 0;
}

static int serve(struct engine *g, int listen_fd, uint64_t timeout_ms)
{
	int code;

	signal(SIGPIPE, SIG_IGN);
	await_monitors(g);
	loop_signal(g->loop, SIGTERM, on_signal, g);
	loop_signal(g->loop, SIGINT, on_signal, g);
	g->server = server_new(g, g->loop, listen_fd);
	engine_idle_exit(g, timeout_ms);
	code = loop_run(g->loop);
	server_free(g->server);
	return code;
}

static int start(struct engine *g, const struct arguments *a, bool *ret_own, struct err *e)
{
	int fd, r = open_directories(g, a, e);

	umask(0077);
	if (r == 0)
		r = state_open(g, e);
	if (r < 0)
		return r;
	fd = open_socket(g, a, ret_own, e);
	if (fd < 0)
		return fd;
	g->loop = loop_new();
	g->netpolicy_socket = a->netpolicy ? xstrdup(a->netpolicy) : NULL;
	r = jail_enter(e);
	if (r == 0)
		r = open_parts(g, e);
	return r < 0 ? r : fd;
}

static void finish(struct engine *g, bool own)
{
	if (own)
		unlink(g->socket_path);
	close_parts(g);
	loop_free(g->loop);
	close(g->runtime_fd);
	close(g->data_fd);
	free(g->runtime_dir);
	free(g->data_dir);
	free(g->socket_path);
	free(g->netpolicy_socket);
}

int main(int argc, char **argv)
{
	struct arguments a = { .timeout_ms = 5000 };
	const struct opt opts[] = {
		{ 0, "timeout", OPT_DURATION, &a.timeout_ms, "TIME", "exit when idle for so long (5s); 0: never" },
		{ 0, "socket", OPT_STR, &a.socket, "PATH", "listen there, without a socket from the init system" },
		{ 0, "data", OPT_STR, &a.data, "DIR", "images, containers and the state" },
		{ 0, "runtime", OPT_STR, &a.runtime, "DIR", "sockets and monitors" },
		{ 0, "netpolicy-socket", OPT_STR, &a.netpolicy, "PATH", "where netpolicyd listens" },
		{ 'v', "verbose", OPT_FLAG, &a.verbose, NULL, "log more" },
		{ 0 },
	};
	const struct opt_usage usage = {
		.synopsis = "bottled [OPTIONS]",
		.summary = "The engine of one user: Docker's Engine API, each container a microVM.",
		.opts = opts
	};
	struct engine g = { .data_fd = -1, .runtime_fd = -1, .lock_fd = -1 };
	struct err e = { 0 };
	bool own = false;
	int first, fd, r;

	log_init("bottled", 0);
	r = opt_parse(&usage, argc, argv, &first, &e);
	if (r > 0)
		return 0;
	if (r < 0 || first < argc) {
		log_error("%s", r < 0 ? e.text : "no operand is expected; see --help");
		return 2;
	}
	log_init("bottled", a.verbose);
	fd = start(&g, &a, &own, &e);
	if (fd < 0)
		fatal("%s", e.text);
	r = serve(&g, fd, a.timeout_ms);
	finish(&g, own);
	return r;
}
