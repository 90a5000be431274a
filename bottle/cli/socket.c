/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bottle socket install, uninstall, status: systemd's units (the user's manager;
 * as root the system's, with netpolicyd's) and a docker context. In the bottle
 * command. Without a systemd that answers, the files are written all the same,
 * nothing is started, and the command that holds the socket is named.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/units.h"
#include "proto/netpolicy.h"

struct place {
	bool system;
	char *unit_dir, *docker_dir, *socket_path, *bin_dir;
};

static void place_done(struct place *p)
{
	free(p->unit_dir);
	free(p->docker_dir);
	free(p->socket_path);
	free(p->bin_dir);
}
#define _cleanup_place_ _cleanup_(place_done)

static char *below_home(const char *variable, const char *otherwise)
{
	const char *set = getenv(variable), *home = getenv("HOME");

	if (set && *set == '/')
		return xstrdup(set);
	return xasprintf("%s/%s", home && *home == '/' ? home : "/root", otherwise);
}

static void place_init(struct place *p, bool user, const char *unit_dir)
{
	_cleanup_free_ char *config = below_home("XDG_CONFIG_HOME", ".config"), *program = proc_program("");

	p->system = geteuid() == 0 && !user;
	p->unit_dir = unit_dir    ? xstrdup(unit_dir)
		      : p->system ? xstrdup("/etc/systemd/system")
				  : xasprintf("%s/systemd/user", config);
	p->docker_dir = below_home("DOCKER_CONFIG", ".docker");
	/* systemd's %t is /run for the system's manager, $XDG_RUNTIME_DIR for a user's. */
	p->socket_path = p->system ? xstrdup("/run/bottle/engine.sock") : client_default_path();
	program[strlen(program) - 1] = '\0';
	p->bin_dir = xstrdup(program);
}

/* systemctl [--user] …: its exit code, or -errno. quiet: nothing on stderr. */
static int systemctl(const struct place *p, bool quiet, const char *const *words)
{
	_cleanup_close_ int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	_cleanup_strv_ char **argv = NULL;
	int status;
	pid_t pid;

	strv_push(&argv, "systemctl");
	if (!p->system)
		strv_push(&argv, "--user");
	for (; *words; words++)
		strv_push(&argv, *words);
	pid = proc_spawn(&(struct spawn){ .path = "/usr/bin/systemctl",
					  .argv = argv,
					  .stdin_fd = -1,
					  .stdout_fd = -1,
					  .stderr_fd = quiet ? null_fd : -1 },
			 NULL);
	if (pid < 0)
		return (int)pid;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return proc_exit_code(status);
}

/* Is there a manager to talk to: booted with systemd, and it answers. */
static bool manager_answers(const struct place *p)
{
	struct stat st;

	return stat("/run/systemd/system", &st) == 0 &&
	       systemctl(p, true, (const char *const[]){ "show-environment", NULL }) == 0;
}

static int write_file(const char *dir, const char *name, const char *text, struct err *e)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, name);
	int r = mkdir_p(AT_FDCWD, dir, 0755);

	if (r == 0)
		r = file_write_at(AT_FDCWD, path, 0644, text, strlen(text));
	if (r < 0) {
		errno = -r;
		return err_errno(e, "write '%s'", path);
	}
	printf("wrote %s\n", path);
	return 0;
}

static int write_units(const struct place *p, struct err *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < n_units; i++) {
		_cleanup_free_ char *text = unit_render(&units[i], p->bin_dir, p->system);

		if (!units[i].system_only || p->system)
			r = write_file(p->unit_dir, units[i].name, text, e);
	}
	return r;
}

static int write_context(const struct place *p, struct err *e)
{
	_cleanup_free_ char *tail = context_dir(), *dir = xasprintf("%s/%s", p->docker_dir, tail);
	_cleanup_free_ char *meta = context_meta(p->socket_path);

	return write_file(dir, "meta.json", meta, e);
}

static void tell_without_systemd(const struct place *p)
{
	printf("no systemd %s manager answers here: nothing was started. Hold the socket%s with\n",
	       p->system ? "system" : "user", p->system ? "s" : "");
	printf("  %s/bottle socket hold --socket %s -- %s/bottle system service --timeout 5s\n", p->bin_dir,
	       p->socket_path, p->bin_dir);
	if (p->system)
		printf("  %s/bottle socket hold --socket %s --mode 0666 --type seqpacket -- %s/netpolicyd\n",
		       p->bin_dir, NET_SOCKET, p->bin_dir);
}

static int enable_units(const struct place *p)
{
	int r = systemctl(p, false, (const char *const[]){ "daemon-reload", NULL });

	for (size_t i = 0; r == 0 && i < n_units; i++)
		if (str_suffix(units[i].name, ".socket") && (!units[i].system_only || p->system))
			r = systemctl(p, false, (const char *const[]){ "enable", "--now", units[i].name, NULL });
	if (r == 0)
		printf("the socket is %s; 'docker --context %s ps' uses it\n", p->socket_path, CONTEXT_NAME);
	else
		cli_error("systemctl failed; 'systemctl%s status bottle.socket' says why", p->system ? "" : " --user");
	return r == 0 ? EXIT_DONE : EXIT_FAILED;
}

#define PLACE_OPTS(user_, unit_dir_) \
	{ 0, "user", OPT_FLAG, user_, NULL, "as root: the user's manager instead of the system's" }, \
	{ \
		0, "unit-dir", OPT_STR, unit_dir_, "DIR", "where the units go (then nothing is enabled)" \
	}

int cmd_socket_install(int argc, char **argv)
{
	_cleanup_place_ struct place p = { 0 };
	const char *unit_dir = NULL;
	struct err e = { 0 };
	bool user = false;
	const struct opt opts[] = { PLACE_OPTS(&user, &unit_dir), { 0 } };
	const struct opt_usage usage = { .synopsis = "bottle socket install [OPTIONS]",
					 .summary =
						 "Writes systemd's units and a docker context, and enables the socket.",
					 .opts = opts };
	int first, code = cli_parse(&usage, argc, argv, 0, 0, &first);

	if (code >= 0)
		return code;
	place_init(&p, user, unit_dir);
	if (write_units(&p, &e) < 0 || write_context(&p, &e) < 0)
		return cli_fail(&e);
	if (unit_dir)
		return EXIT_DONE;
	if (manager_answers(&p))
		return enable_units(&p);
	tell_without_systemd(&p);
	return EXIT_DONE;
}

static int remove_file(const char *path, struct err *e)
{
	if (unlink(path) == 0)
		printf("removed %s\n", path);
	else if (errno != ENOENT)
		return err_errno(e, "remove '%s'", path);
	return 0;
}

static int remove_units(const struct place *p, bool answers, struct err *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < n_units; i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", p->unit_dir, units[i].name);

		if (units[i].system_only && !p->system)
			continue;
		if (answers && str_suffix(units[i].name, ".socket"))
			systemctl(p, true, (const char *const[]){ "disable", "--now", units[i].name, NULL });
		r = remove_file(path, e);
	}
	if (answers)
		systemctl(p, true, (const char *const[]){ "daemon-reload", NULL });
	return r;
}

int cmd_socket_uninstall(int argc, char **argv)
{
	_cleanup_free_ char *tail = context_dir(), *dir = NULL, *meta = NULL;
	_cleanup_place_ struct place p = { 0 };
	const char *unit_dir = NULL;
	struct err e = { 0 };
	bool user = false;
	const struct opt opts[] = { PLACE_OPTS(&user, &unit_dir), { 0 } };
	const struct opt_usage usage = {
		.synopsis = "bottle socket uninstall [OPTIONS]",
		.summary = "Disables and removes what 'bottle socket install' wrote. Running bottles go on.",
		.opts = opts
	};
	int first, code = cli_parse(&usage, argc, argv, 0, 0, &first);

	if (code >= 0)
		return code;
	place_init(&p, user, unit_dir);
	dir = xasprintf("%s/%s", p.docker_dir, tail);
	meta = xasprintf("%s/meta.json", dir);
	if (remove_units(&p, !unit_dir && manager_answers(&p), &e) < 0 || remove_file(meta, &e) < 0)
		return cli_fail(&e);
	rmdir(dir);
	return EXIT_DONE;
}

/* Does somebody hold the socket. A held one would start its engine by this: it is only looked up in the kernel's list. */
static bool is_held(const char *path)
{
	_cleanup_file_ FILE *f = fopen("/proc/net/unix", "re");
	char line[512];

	while (f && fgets(line, sizeof(line), f)) {
		char *name = strchr(line, '/');
		unsigned long flags;

		line[strcspn(line, "\n")] = '\0';
		/* Num RefCount Protocol Flags …; __SO_ACCEPTCON: it listens */
		if (name && str_eq(name, path) && sscanf(line, "%*s %*s %*s %lx", &flags) == 1 && (flags & 0x10000))
			return true;
	}
	return false;
}

int cmd_socket_status(int argc, char **argv)
{
	_cleanup_free_ char *tail = context_dir(), *meta = NULL, *unit = NULL;
	_cleanup_place_ struct place p = { 0 };
	bool user = false, json = false, held, installed, context;
	const char *unit_dir = NULL;
	const struct opt opts[] = { PLACE_OPTS(&user, &unit_dir),
				    { 0, "json", OPT_FLAG, &json, NULL, "print a JSON object" },
				    { 0 } };
	const struct opt_usage usage = {
		.synopsis = "bottle socket status [OPTIONS]",
		.summary = "Shows whether the Engine socket is held, without starting the engine.\n"
			   "Exit code 1: nobody holds it.",
		.opts = opts
	};
	int first, code = cli_parse(&usage, argc, argv, 0, 0, &first);

	if (code >= 0)
		return code;
	place_init(&p, user, unit_dir);
	unit = xasprintf("%s/bottle.socket", p.unit_dir);
	meta = xasprintf("%s/%s/meta.json", p.docker_dir, tail);
	held = is_held(p.socket_path);
	installed = access(unit, F_OK) == 0;
	context = access(meta, F_OK) == 0;
	if (json)
		cli_print_json(json_pack("{s:s, s:b, s:b, s:b}", "socket", p.socket_path, "held", held, "units",
					 installed, "context", context));
	else
		printf("socket   %s: %s\nunits    %s: %s\ncontext  %s: %s\n", p.socket_path,
		       held ? "held" : "nobody listens", unit, installed ? "installed" : "not installed", meta,
		       context ? "installed" : "not installed");
	return held ? EXIT_DONE : EXIT_FAILED;
}
