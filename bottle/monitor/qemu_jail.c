/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's jail, entered in the child between fork and exec. The child is born
 * in new mount, pid, network, ipc and uts namespaces (and a user namespace
 * unless the monitor is root); here it makes a root of /usr, the kernel and the
 * initramfs (a clone needs neither), all read-only, moves there, and gives up every id and capability.
 * After exec QEMU adds its own seccomp list. There is no /etc, /sys or
 * /dev in it (KVM: /dev/kvm alone), and of /proc at most the list of its own
 * descriptors: RAM that is a sealed file is opened by that path. Each step must succeed.
 */
#include "monitor/qemu.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/fd.h"

#define MOUNT_AT  "/tmp" /* only a place to mount on, in a mount namespace of our own */
#define NOFILE    512
#define ROOT_SIZE "size=64k,mode=0755"

int qemu_jail_namespaces(bool root)
{
	return CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | (root ? 0 : CLONE_NEWUSER);
}

static int failed(const char *step, const char *what)
{
	int code = errno ? errno : EIO;

	dprintf(STDERR_FILENO, "jail: %s %s: %s\n", step, what, strerror(code));
	return -code;
}

static int write_file(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		return failed("write", path);
	return 0;
}

/* The caller's own ids, mapped to themselves: the only ones that exist in there. uid and gid were taken before the clone. */
static int map_ids(uid_t uid, gid_t gid)
{
	char uid_map[64], gid_map[64];
	int r;

	snprintf(uid_map, sizeof(uid_map), "%u %u 1\n", uid, uid);
	snprintf(gid_map, sizeof(gid_map), "%u %u 1\n", gid, gid);
	r = write_file("/proc/self/setgroups", "deny");
	if (r == 0)
		r = write_file("/proc/self/uid_map", uid_map);
	if (r == 0)
		r = write_file("/proc/self/gid_map", gid_map);
	return r;
}

/*
 * A descriptor from outside belongs to the old mount namespace and cannot be
 * bound; the same file, looked up again by its path, can. Same inode or none.
 */
static int reopen_here(int fd)
{
	char link[64], path[PATH_MAX];
	struct stat want, got;
	ssize_t n;
	int again;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return failed("find", link);
	path[n] = '\0';
	again = open(path, O_PATH | O_CLOEXEC);
	if (again < 0 || fstat(fd, &want) < 0 || fstat(again, &got) < 0)
		return failed("open", path);
	if (want.st_dev != got.st_dev || want.st_ino != got.st_ino) {
		errno = ESTALE;
		return failed("open", path);
	}
	return again;
}

static int bind_at(int fd, const char *target, bool device)
{
	struct mount_attr attr = {
		.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | (device ? 0 : MOUNT_ATTR_NODEV),
	};
	char from[64];

	snprintf(from, sizeof(from), "/proc/self/fd/%d", fd);
	if (mount(from, target, NULL, MS_BIND | MS_REC, NULL) < 0)
		return failed("bind", target);
	/* A device node stays writable: read-only is about its file system. */
	if (mount_setattr(AT_FDCWD, target, AT_RECURSIVE, &attr, sizeof(attr)) < 0)
		return failed("protect", target);
	return 0;
}

static int bind_file(int fd, const char *target, bool device)
{
	int at = open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0444);

	if (at < 0)
		return failed("make", target);
	close(at);
	return bind_at(fd, target, device);
}

/* /lib and the like: links into /usr on most systems, directories on some. old: the host's root, target: below MOUNT_AT. */
static int copy_link(const char *name, int host_fd)
{
	char to[PATH_MAX], target[64];
	ssize_t n = readlink(name, to, sizeof(to) - 1);

	snprintf(target, sizeof(target), MOUNT_AT "%s", name);
	if (n >= 0) {
		to[n] = '\0';
		return symlink(to, target) < 0 ? failed("link", target) : 0;
	}
	if (host_fd < 0)
		return 0; /* not on this system */
	if (mkdir(target, 0755) < 0)
		return failed("make", target);
	return bind_at(host_fd, target, false);
}

static int make_root(const struct qemu_jail *j)
{
	static const char *const links[] = { "/lib", "/lib64" };
	int usr = open("/usr", O_PATH | O_CLOEXEC), kvm = j->kvm ? open("/dev/kvm", O_PATH | O_CLOEXEC) : -1, host[2];
	int kernel = -1, initrd = -1, fds = j->fds ? open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1, r;

	if (j->kernel_fd >= 0) {
		kernel = reopen_here(j->kernel_fd);
		initrd = reopen_here(j->initrd_fd);
		if (kernel < 0 || initrd < 0)
			return kernel < 0 ? kernel : initrd;
	}
	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		host[i] = open(links[i], O_PATH | O_CLOEXEC);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return failed("make private", "/");
	if (mount("tmpfs", MOUNT_AT, "tmpfs", MS_NOSUID | MS_NODEV, ROOT_SIZE) < 0)
		return failed("mount", MOUNT_AT);
	if (mkdir(MOUNT_AT "/usr", 0755) < 0)
		return failed("make", "/usr");
	r = bind_at(usr, MOUNT_AT "/usr", false);
	for (size_t i = 0; i < ARRAY_SIZE(links) && r == 0; i++)
		r = copy_link(links[i], host[i]);
	if (r == 0 && kernel >= 0)
		r = bind_file(kernel, MOUNT_AT QEMU_KERNEL, false);
	if (r == 0 && initrd >= 0)
		r = bind_file(initrd, MOUNT_AT QEMU_INITRD, false);
	if (r == 0 && j->fds) {
		if (mkdir(MOUNT_AT QEMU_FDS, 0755) < 0)
			return failed("make", QEMU_FDS);
		r = bind_at(fds, MOUNT_AT QEMU_FDS, false);
	}
	if (r == 0 && j->kvm) {
		if (mkdir(MOUNT_AT "/dev", 0755) < 0)
			return failed("make", "/dev");
		r = bind_file(kvm, MOUNT_AT "/dev/kvm", true);
	}
	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		cleanup_close(&host[i]);
	cleanup_close(&usr);
	cleanup_close(&kvm);
	cleanup_close(&kernel);
	cleanup_close(&initrd);
	cleanup_close(&fds);
	return r;
}

static int change_root(void)
{
	if (chdir(MOUNT_AT) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 ||
	    chdir("/") < 0)
		return failed("change", "root");
	if (mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) < 0)
		return failed("protect", "root");
	return 0;
}

static int drop_ids(const struct qemu_jail *j, gid_t kvm_gid)
{
	cap_t none = cap_init();

	for (int c = 0; c <= CAP_LAST_CAP; c++)
		if (prctl(PR_CAPBSET_DROP, c, 0, 0, 0) < 0 && errno != EINVAL)
			return failed("drop", "a capability");
	if (j->root && (setgroups(j->kvm ? 1 : 0, &kvm_gid) < 0 || setresgid(QEMU_UID, QEMU_UID, QEMU_UID) < 0 ||
			setresuid(QEMU_UID, QEMU_UID, QEMU_UID) < 0))
		return failed("change", "user");
	if (!none || cap_set_proc(none) < 0)
		return failed("drop", "capabilities");
	cap_free(none);
	return 0;
}

/* Last of all: a change of ids would clear the death signal. */
static int tie_to_parent(void)
{
	struct pollfd qmp = { .fd = QEMU_FD_QMP };
	struct rlimit core = { 0, 0 }, files = { NOFILE, NOFILE };

	if (setrlimit(RLIMIT_CORE, &core) < 0 || setrlimit(RLIMIT_NOFILE, &files) < 0)
		return failed("set", "limits");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return failed("set", "no_new_privs");
	/* The monitor may have died before that: then its socket is closed. */
	return poll(&qmp, 1, 0) == 1 && qmp.revents & POLLHUP ? -EPIPE : 0;
}

int qemu_jail_enter(void *arg)
{
	const struct qemu_jail *j = arg;
	struct stat kvm = { 0 };
	int r = 0;

	if (!j->root)
		r = map_ids(j->uid, j->gid);
	if (j->kvm && stat("/dev/kvm", &kvm) < 0)
		return failed("find", "/dev/kvm");
	if (r == 0)
		r = make_root(j);
	if (r == 0)
		r = change_root();
	if (j->kernel_fd >= 0) {
		close(j->kernel_fd);
		close(j->initrd_fd);
	}
	if (r == 0)
		r = drop_ids(j, kvm.st_gid);
	return r < 0 ? r : tie_to_parent();
}
