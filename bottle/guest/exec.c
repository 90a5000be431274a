/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a child of bottle-init does to become a process of the container; it
 * begins with every privilege and the initramfs, and ends as the user asked
 * for, in the container's namespaces, with no descriptor but its own three.
 *
 * Order matters: the cgroup first (everything later is accounted there), the
 * descriptors closed before anything of the container can look at them, files
 * of the image read only after / is the container's, privileges last. While it
 * is on its way the child is not dumpable, so that no process of the container
 * reaches its memory or its descriptors.
 */
#include "guest/exec.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "guest/mounts.h"
#include "guest/users.h"

#define DEFAULT_PATH   "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define REPORT_FD      3
#define CODE_FAILED    126
#define CODE_NOT_FOUND 127
#define PTS_MAJOR      136
#define OOM_BIAS       1000

static void die(int report_fd, int code, const struct err *e) __attribute__((noreturn));
static void die(int report_fd, int code, const struct err *e)
{
	struct exec_report report = { .code = (uint32_t)code };

	snprintf(report.text, sizeof(report.text), "%s", e->text);
	fd_write_all(report_fd, &report, sizeof(report));
	_exit(code);
}

static void reset_signals(void)
{
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool has_cap(const struct guest_start *s, int cap)
{
	return s->caps & (1ULL << cap);
}

/* Into the cgroup and the namespaces; / is the container's after it. */
static int enter(const struct exec_plan *plan, struct err *e)
{
	int r;

	prctl(PR_SET_DUMPABLE, 0);
	if (write(plan->cgroup_fd, "0", 1) < 0)
		return err_errno(e, "join the container's cgroup");
	if (plan->join == EXEC_CREATE) {
		r = mounts_enter(has_cap(plan->start, CAP_SYS_ADMIN), e);
		if (plan->ready_fd >= 0)
			close(plan->ready_fd);
		return r;
	}
	if (setns(plan->pidfd, CLONE_NEWNS | CLONE_NEWCGROUP) < 0 || chdir("/") < 0)
		return err_errno(e, "join the container's namespaces");
	return 0;
}

/* The slave is opened by its name in the container, so that ttyname(3) finds it. */
static int open_terminal(int number, bool console, struct err *e)
{
	char path[32];
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "/dev/pts/%d", number);
	fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(e, "open the terminal '%s'", path);
	if (fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(PTS_MAJOR, (unsigned)number)) {
		close(fd);
		return err_set(e, ERR_INVALID, ENOTTY, "'%s' is not the terminal", path);
	}
	if (console) {
		_cleanup_close_ int at = open("/dev/console", O_RDONLY | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0600);

		mount(path, "/dev/console", NULL, MS_BIND, NULL);
	}
	return fd;
}

static int stdio(const struct exec_plan *plan, struct err *e)
{
	int fds[3], tty = -1;

	setsid();
	if (plan->pts >= 0) {
		tty = open_terminal(plan->pts, plan->start->main && plan->join == EXEC_CREATE, e);
		if (tty < 0)
			return tty;
	}
	for (int i = 0; i < 3; i++) {
		fds[i] = tty >= 0 ? tty : plan->stdio[i];
		if (fds[i] < 0)
			fds[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (fds[i] < 0)
			return err_errno(e, "open /dev/null");
	}
	/* Sources are above 3: bottle-init keeps its own 0..2 open. */
	for (int i = 0; i < 3; i++)
		if (dup2(fds[i], i) < 0)
			return err_errno(e, "set up descriptor %d", i);
	if (dup3(plan->report_fd, REPORT_FD, O_CLOEXEC) < 0 && plan->report_fd != REPORT_FD)
		return err_errno(e, "set up the report");
	close_range(REPORT_FD + 1, ~0U, 0);
	if (tty >= 0 && ioctl(0, TIOCSCTTY, 0) < 0)
		return err_errno(e, "take the terminal");
	return 0;
}

static const struct {
	const char *name;
	int resource;
} rlimit_names[] = {
	{ "as", RLIMIT_AS },           { "core", RLIMIT_CORE },         { "cpu", RLIMIT_CPU },
	{ "data", RLIMIT_DATA },       { "fsize", RLIMIT_FSIZE },       { "locks", RLIMIT_LOCKS },
	{ "memlock", RLIMIT_MEMLOCK }, { "msgqueue", RLIMIT_MSGQUEUE }, { "nice", RLIMIT_NICE },
	{ "nofile", RLIMIT_NOFILE },   { "nproc", RLIMIT_NPROC },       { "rss", RLIMIT_RSS },
	{ "rtprio", RLIMIT_RTPRIO },   { "rttime", RLIMIT_RTTIME },     { "sigpending", RLIMIT_SIGPENDING },
	{ "stack", RLIMIT_STACK },
};

static int rlimit_value(const char *s, rlim_t *ret)
{
	uint64_t v;

	if (str_eq(s, "-1") || str_eq(s, "unlimited")) {
		*ret = RLIM_INFINITY;
		return 0;
	}
	if (str_u64(s, UINT64_MAX, &v) < 0)
		return -EINVAL;
	*ret = v;
	return 0;
}

int exec_rlimit(const char *spec, int *ret_resource, struct rlimit *ret, struct err *e)
{
	_cleanup_free_ char *copy = xstrdup(spec);
	char *values = copy, *name = strsep(&values, "="), *soft = strsep(&values, ":"), *hard = values ? values : soft;

	for (size_t i = 0; soft && i < ARRAY_SIZE(rlimit_names); i++) {
		if (!str_eq(rlimit_names[i].name, name))
			continue;
		if (rlimit_value(soft, &ret->rlim_cur) < 0 || rlimit_value(hard, &ret->rlim_max) < 0 ||
		    ret->rlim_cur > ret->rlim_max)
			break;
		*ret_resource = rlimit_names[i].resource;
		return 0;
	}
	return err_set(e, ERR_INVALID, EINVAL, "invalid ulimit '%s'", spec);
}

static int limits(const struct guest_start *s, struct err *e)
{
	unsigned adj = s->has_oom_adj ? s->oom_adj : OOM_BIAS;
	_cleanup_close_ int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	struct rlimit limit;
	char text[16];
	int resource;

	snprintf(text, sizeof(text), "%d", (int)adj - OOM_BIAS);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return err_errno(e, "set oom_score_adj");
	for (char **r = s->rlimits; r && *r; r++) {
		if (exec_rlimit(*r, &resource, &limit, e) < 0)
			return -EINVAL;
		if (setrlimit((__rlimit_resource_t)resource, &limit) < 0)
			return err_errno(e, "set ulimit '%s'", *r);
	}
	return 0;
}

/* A file that is absent or no plain file counts as empty, as in docker. */
static char *read_database(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	_cleanup_buf_ struct buf text = { 0 };
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return NULL;
	while (buf_len(&text) < USERS_FILE_MAX)
		if (buf_read(&text, fd, 65536) <= 0)
			break;
	return xstrdup(buf_cstr(&text));
}

static int lookup_user(const struct guest_start *s, struct user *ret, struct err *e)
{
	_cleanup_free_ char *passwd = read_database("/etc/passwd"), *group = read_database("/etc/group");

	return user_resolve(s->user, s->group_add, passwd, group, ret, e);
}

/* Its own user may open /dev/stdout and its terminal again. */
static void give_stdio(const struct user *u)
{
	struct stat st;

	for (int fd = 0; fd < 3; fd++)
		if (fstat(fd, &st) == 0 &&
		    (S_ISFIFO(st.st_mode) || (S_ISCHR(st.st_mode) && major(st.st_rdev) == PTS_MAJOR)) &&
		    fchown(fd, u->uid, S_ISFIFO(st.st_mode) ? u->gid : (gid_t)-1) < 0)
			continue;
}

static int drop_caps(const struct guest_start *s, struct err *e)
{
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
		if (!has_cap(s, cap) && prctl(PR_CAPBSET_DROP, cap) < 0)
			return err_errno(e, "drop capability %d", cap);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return 0;
}

/* execve(2) gives root the bounding set, and any other user none: docker's meaning of a capability list. */
static int become(const struct guest_start *s, const struct user *u, struct err *e)
{
	if (drop_caps(s, e) < 0)
		return -EPERM;
	if (setgroups(u->n_groups, u->groups) < 0)
		return err_errno(e, "set the supplementary groups");
	if (setresgid(u->gid, u->gid, u->gid) < 0 || setresuid(u->uid, u->uid, u->uid) < 0)
		return err_errno(e, "become user %u, group %u", u->uid, u->gid);
	if (s->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_errno(e, "set no_new_privs");
	return 0;
}

static const char *env_get(char *const *env, const char *name)
{
	size_t n = strlen(name);

	for (; env && *env; env++)
		if (strncmp(*env, name, n) == 0 && (*env)[n] == '=')
			return *env + n + 1;
	return NULL;
}

/* As Go's exec.findExecutable, whose words docker's clients know. */
static int executable(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? -errno : 0;
}

static char *lower_error(int r)
{
	char *text = xstrdup(strerror(-r));

	text[0] = (char)tolower((unsigned char)text[0]);
	return text;
}

int exec_lookup(const char *name, const char *path_env, char **ret, struct err *e)
{
	_cleanup_free_ char *dirs = xstrdup(path_env ? path_env : DEFAULT_PATH), *why = NULL;
	char *rest = dirs, *dir;
	int r;

	if (strchr(name, '/')) {
		r = executable(name);
		*ret = r == 0 ? xstrdup(name) : NULL;
		if (r == 0)
			return 0;
		why = lower_error(r);
		if (r == -EACCES || r == -EISDIR) {
			err_set(e, ERR_INVALID, -r, "exec: \"%s\": %s", name, why);
			return CODE_FAILED;
		}
		err_set(e, ERR_NOTFOUND, -r, "exec: \"%s\": stat %s: %s", name, name, why);
		return CODE_NOT_FOUND;
	}
	while (name[0] && (dir = strsep(&rest, ":"))) {
		_cleanup_free_ char *path = xasprintf("%s/%s", dir[0] ? dir : ".", name);

		if (executable(path) == 0) {
			*ret = TAKE_PTR(path);
			return 0;
		}
	}
	*ret = NULL;
	err_set(e, ERR_NOTFOUND, ENOENT, "exec: \"%s\": executable file not found in $PATH", name);
	return CODE_NOT_FOUND;
}

static int change_dir(const char *cwd, bool *ret_later, struct err *e)
{
	*ret_later = false;
	if (!cwd || !cwd[0])
		return 0;
	if (cwd[0] != '/')
		return err_set(e, ERR_INVALID, EINVAL, "the working directory '%s' is not absolute", cwd);
	mkdir_p(AT_FDCWD, cwd, 0755);
	if (chdir(cwd) == 0)
		return 0;
	*ret_later = errno == EACCES;
	return *ret_later ? 0 : err_errno(e, "chdir to the working directory '%s'", cwd);
}

static void run(struct guest_start *s, const struct user *u) __attribute__((noreturn));
static void run(struct guest_start *s, const struct user *u)
{
	_cleanup_free_ char *path = NULL, *why = NULL;
	struct err e = { 0 };
	int code;

	if (!env_get(s->env, "HOME")) {
		_cleanup_free_ char *home = xasprintf("HOME=%s", u->home);

		strv_push(&s->env, home);
	}
	code = exec_lookup(s->argv[0], env_get(s->env, "PATH"), &path, &e);
	if (code)
		die(REPORT_FD, code, &e);
	execve(path, s->argv, s->env);
	code = errno == ENOENT ? CODE_NOT_FOUND : CODE_FAILED;
	why = lower_error(-errno);
	err_set(&e, ERR_INVALID, errno, "exec %s: %s", path, why);
	die(REPORT_FD, code, &e);
}

void exec_child(const struct exec_plan *plan)
{
	struct guest_start s = *plan->start;
	struct err e = { 0 };
	struct user u;
	bool later;

	reset_signals();
	umask(022);
	if (enter(plan, &e) < 0 || stdio(plan, &e) < 0)
		die(plan->report_fd, CODE_FAILED, &e);
	if (limits(&s, &e) < 0 || lookup_user(&s, &u, &e) < 0 || change_dir(s.cwd, &later, &e) < 0)
		die(REPORT_FD, CODE_FAILED, &e);
	give_stdio(&u);
	if (become(&s, &u, &e) < 0)
		die(REPORT_FD, CODE_FAILED, &e);
	if (later && chdir(s.cwd) < 0) {
		err_errno(&e, "chdir to the working directory '%s'", s.cwd);
		die(REPORT_FD, CODE_FAILED, &e);
	}
	run(&s, &u);
}

/* As PID 1 of a namespace it is deaf to signals from inside; ignored children leave no zombies. */
void exec_holder(const struct exec_plan *plan)
{
	struct err e = { 0 };

	reset_signals();
	signal(SIGCHLD, SIG_IGN);
	if (enter(plan, &e) < 0)
		die(plan->report_fd, CODE_FAILED, &e);
	prctl(PR_SET_NAME, "bottle-init");
	close_range(0, ~0U, 0);
	for (;;)
		pause();
}
