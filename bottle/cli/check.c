/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bottle system check: one probe a row, each a real try where one is cheap
 * (start the program, connect, make a namespace), and for what is missing the
 * sentence that says what to do. In the bottle command, with the user's rights.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "proto/netpolicy.h"

#define PROBE_MS  30000
#define PROBE_MAX 4096
#define FOUND_MAX 256

/* 0: there, found says what. Otherwise it is missing, and found says why. */
typedef int (*probe_fn)(char found[FOUND_MAX]);

struct probe {
	const char *name;
	probe_fn fn;
	bool needed;
	const char *hint;
};

static int note(char found[FOUND_MAX], int result, const char *text)
{
	snprintf(found, FOUND_MAX, "%.*s", FOUND_MAX - 1, text);
	return result;
}

/* Everything that a program writes within PROBE_MS; its exit code or -errno. */
static int output_of(const char *path, char *const *argv, char out[PROBE_MAX])
{
	uint64_t deadline = now_mono_ms() + PROBE_MS;
	size_t n = 0;
	int p[2], status;
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	pid = proc_spawn(&(struct spawn){ .path = path,
					  .argv = argv,
					  .stdin_fd = -1,
					  .stdout_fd = p[1],
					  .stderr_fd = -1,
					  .die_with_parent = true },
			 NULL);
	close(p[1]);
	while (pid > 0 && n < PROBE_MAX - 1) {
		struct pollfd w = { .fd = p[0], .events = POLLIN };
		uint64_t now = now_mono_ms();
		ssize_t got;

		if (now >= deadline || poll(&w, 1, (int)(deadline - now)) <= 0) {
			kill(pid, SIGKILL);
			break;
		}
		got = read(p[0], out + n, PROBE_MAX - 1 - n);
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	close(p[0]);
	out[n] = '\0';
	if (pid < 0)
		return (int)pid;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return proc_exit_code(status);
}

static int probe_kvm(char found[FOUND_MAX])
{
	_cleanup_free_ char *path = proc_program("bottle-monitor");
	char *const argv[] = { path, (char[]){ "--probe" }, NULL };
	_cleanup_json_ json_t *json = NULL;
	char out[PROBE_MAX];
	const char *reason;

	if (output_of(path, argv, out) < 0)
		return note(found, -1, "bottle-monitor cannot be started");
	json = json_loads(out, 0, NULL);
	if (json_is_true(json_object_get(json, "kvm")))
		return note(found, 0, "runs a guest kernel");
	reason = json_string_value(json_object_get(json, "reason"));
	return note(found, -1, reason ? reason : "the probe gave no answer");
}

static int probe_qemu(char found[FOUND_MAX])
{
	char *const argv[] = { (char[]){ "qemu-system-x86_64" }, (char[]){ "--version" }, NULL };
	char out[PROBE_MAX];
	int r = output_of("/usr/bin/qemu-system-x86_64", argv, out);

	if (r != 0)
		return note(found, -1, "/usr/bin/qemu-system-x86_64 cannot be started");
	out[strcspn(out, "\n")] = '\0';
	return note(found, 0, out);
}

static int probe_file(const char *name, char found[FOUND_MAX])
{
	_cleanup_free_ char *path = proc_share(name);

	if (access(path, R_OK) == 0)
		return note(found, 0, path);
	snprintf(found, FOUND_MAX, "%s: %s", path, strerror(errno));
	return -1;
}

static int probe_kernel(char found[FOUND_MAX])
{
	return probe_file("vmlinux", found);
}

static int probe_initramfs(char found[FOUND_MAX])
{
	return probe_file("initramfs", found);
}

static int probe_socket(int type, const char *path, char found[FOUND_MAX])
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	int r = -1;

	if (strlen(path) < sizeof(sa.sun_path)) {
		memcpy(sa.sun_path, path, strlen(path) + 1);
		r = connect(fd, (struct sockaddr *)&sa, sizeof(sa));
	} else {
		errno = ENAMETOOLONG;
	}
	snprintf(found, FOUND_MAX, "%s%s%s", path, r < 0 ? ": " : "", r < 0 ? strerror(errno) : "");
	return r;
}

static int probe_netpolicyd(char found[FOUND_MAX])
{
	return probe_socket(SOCK_SEQPACKET, NET_SOCKET, found);
}

static int probe_engine(char found[FOUND_MAX])
{
	struct err e = { 0 };
	_cleanup_free_ char *path = client_path(&e);

	return path ? probe_socket(SOCK_STREAM, path, found) : note(found, -1, e.text);
}

static int probe_userns(char found[FOUND_MAX])
{
	int status = 1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(unshare(CLONE_NEWUSER) < 0);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return note(found, 0, "allowed");
	return note(found, -1, "the kernel refuses one");
}

static int probe_tun(char found[FOUND_MAX])
{
	struct stat st;

	if (stat("/dev/net/tun", &st) == 0 && S_ISCHR(st.st_mode))
		return note(found, 0, "/dev/net/tun");
	return note(found, -1, "/dev/net/tun is not there");
}

static int probe_cgroup(char found[FOUND_MAX])
{
	if (access("/sys/fs/cgroup/cgroup.controllers", R_OK) == 0)
		return note(found, 0, "version 2");
	return note(found, -1, "no unified hierarchy at /sys/fs/cgroup");
}

static const struct probe probes[] = {
	{ "kvm", probe_kvm, false,
	  "without it VMs are emulated, and slower; load kvm_intel or kvm_amd, or enable nested virtualisation" },
	{ "qemu", probe_qemu, true, "install qemu-system-x86" },
	{ "guest kernel", probe_kernel, true, "build it with 'make guest', or install Bottle completely" },
	{ "initramfs", probe_initramfs, true, "build it with 'make guest', or install Bottle completely" },
	{ "netpolicyd", probe_netpolicyd, true,
	  "as root: 'bottle socket install', or 'bottle socket hold --socket " NET_SOCKET
	  " --mode 0666 --type seqpacket -- netpolicyd'" },
	{ "user namespaces", probe_userns, true,
	  "sysctl user.max_user_namespaces and kernel.unprivileged_userns_clone allow them" },
	{ "tun", probe_tun, true, "load the module: modprobe tun" },
	{ "cgroup", probe_cgroup, false, "the figures of 'docker stats' come from the guest all the same" },
	{ "engine socket", probe_engine, true, "'bottle socket install'" },
};

static json_t *run_probe(const struct probe *p, bool *all_good)
{
	char found[FOUND_MAX] = "";
	bool good = p->fn(found) == 0;

	for (char *c = found; *c; c++)
		if ((unsigned char)*c < ' ' || (unsigned char)*c > '~')
			*c = '?';
	*all_good = *all_good && (good || !p->needed);
	return json_pack("{s:s, s:b, s:b, s:s, s:s*}", "name", p->name, "ok", good, "needed", p->needed, "found", found,
			 "hint", good ? NULL : p->hint);
}

static void print_row(const json_t *row)
{
	bool good = json_is_true(json_object_get(row, "ok")), needed = json_is_true(json_object_get(row, "needed"));
	const char *hint = json_string_value(json_object_get(row, "hint"));

	printf("%-8s %-16s %s\n",
	       good     ? "ok"
	       : needed ? "missing"
			: "absent",
	       json_string_value(json_object_get(row, "name")), json_string_value(json_object_get(row, "found")));
	if (hint)
		printf("%-25s -> %s\n", "", hint);
	fflush(stdout);
}

int cmd_system_check(int argc, char **argv)
{
	bool json = false, good = true;
	const struct opt opts[] = {
		{ 0, "json", OPT_FLAG, &json, NULL, "print a JSON object" },
		{ 0 },
	};
	const struct opt_usage usage = {
		.synopsis = "bottle system check [OPTIONS]",
		.summary = "Checks what this machine offers, and says what to do about what it lacks.\n"
			   "Exit code 1: something that is needed is missing.",
		.opts = opts
	};
	int first, code = cli_parse(&usage, argc, argv, 0, 0, &first);
	json_t *rows;

	if (code >= 0)
		return code;
	rows = json_array();
	for (size_t i = 0; i < ARRAY_SIZE(probes); i++) {
		json_t *row = run_probe(&probes[i], &good);

		if (!json)
			print_row(row);
		json_array_append_new(rows, row);
	}
	if (json)
		cli_print_json(json_pack("{s:b, s:O}", "ok", good, "checks", rows));
	json_decref(rows);
	return good ? EXIT_DONE : EXIT_FAILED;
}
