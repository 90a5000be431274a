/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds the container's root; in bottle-init and its children. What an image
 * holds is hostile: nothing below MOUNTS_ROOT is reached by a path from
 * outside, but only by a child that has changed its root to it, so that no
 * link of the image leads out. (The one exception, /dev/pts, is on mounts of
 * our own, made after /dev was seen to be a directory.)
 */
#include "guest/mounts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"

#define RUN      "/run"
#define SCRATCH  RUN "/scratch"
#define UPPER    SCRATCH "/upper"
#define WORK     SCRATCH "/work"
#define ETC      RUN "/etc"
#define CGROUPS  "/sys/fs/cgroup"
#define DEV      RUN "/dev"
#define STOP_TRY 50

#define MISC_MAJOR  10
#define SHM_FLAGS   (MS_NOSUID | MS_NODEV | MS_NOEXEC)
#define SHM_DEFAULT "67108864"

#define RESERVE_KB   8192 /* of memory, for bottle-init and the kernel */
#define RESERVE_PART 32

/* /etc files that are not the image's: written outside and bound over it, as docker does. */
enum etc_file { ETC_HOSTNAME, ETC_HOSTS, ETC_RESOLV, ETC_NUM };
static const char *const etc_paths[ETC_NUM] = { "/etc/hostname", "/etc/hosts", "/etc/resolv.conf" };

static int do_mount(const char *what, const char *where, const char *type, unsigned long flags, const char *data,
		    struct err *e)
{
	if (mount(what, where, type, flags, data) < 0)
		return err_errno(e, "mount %s on '%s'", type ? type : what, where);
	return 0;
}

static int write_text(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));
}

int mounts_early(struct err *e)
{
	static const struct {
		const char *type, *where;
		unsigned long flags;
	} list[] = {
		{ "devtmpfs", "/dev", MS_NOSUID },
		{ "proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC },
		{ "sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC },
		{ "tmpfs", RUN, MS_NOSUID | MS_NODEV },
		{ "cgroup2", CGROUPS, MS_NOSUID | MS_NODEV | MS_NOEXEC },
	};
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
		mkdir_p(AT_FDCWD, list[i].where, 0755);
		r = do_mount(list[i].type, list[i].where, list[i].type, list[i].flags, NULL, e);
		if (r < 0 && r != -EBUSY) /* the kernel may have mounted /dev itself */
			return r;
	}
	write_text(CGROUPS "/cgroup.subtree_control", "+pids +memory +cpu +io");
	if (mkdir(MOUNTS_CGROUP, 0755) < 0)
		return err_errno(e, "make the container's cgroup");
	return 0;
}

void mounts_limit_memory(void)
{
	_cleanup_free_ char *text = NULL;
	uint64_t total, available, reserve;
	char limit[32], *at;
	size_t len;

	if (file_read_at(AT_FDCWD, "/proc/meminfo", 16384, &text, &len) < 0 || !(at = strstr(text, "MemAvailable:")))
		return;
	total = strtoull(strchr(text, ':') + 1, NULL, 10);
	available = strtoull(strchr(at, ':') + 1, NULL, 10);
	reserve = total / RESERVE_PART > RESERVE_KB ? total / RESERVE_PART : RESERVE_KB;
	if (available <= 2 * reserve)
		return;
	snprintf(limit, sizeof(limit), "%llu", (unsigned long long)(available - reserve) * 1024);
	write_text(MOUNTS_CGROUP "/memory.max", limit);
}

/* "vdX" of the disk whose serial is disk<index>. */
static char *look_for_disk(uint32_t index)
{
	char serial[32], *found = NULL;
	DIR *dir = opendir("/sys/block");
	struct dirent *d;

	snprintf(serial, sizeof(serial), GUEST_DISK_SERIAL, index);
	while (dir && !found && (d = readdir(dir))) {
		_cleanup_free_ char *text = NULL, *path = xasprintf("%s/serial", d->d_name);
		size_t len;

		if (str_prefix(d->d_name, "vd") && file_read_at(dirfd(dir), path, 64, &text, &len) == 0) {
			text[strcspn(text, "\n")] = '\0';
			if (str_eq(text, serial))
				found = xstrdup(d->d_name);
		}
	}
	if (dir)
		closedir(dir);
	return found;
}

/* Found while parked, so that no clone has to look. */
static char *disks[1 + GUEST_LAYERS_MAX];

void mounts_find_disks(void)
{
	for (uint32_t i = 0; i < ARRAY_SIZE(disks); i++)
		disks[i] = look_for_disk(i);
}

static int mount_disk(uint32_t index, const char *where, const char *type, unsigned long flags, const char *data,
		      struct err *e)
{
	_cleanup_free_ char *disk = NULL;

	if (index >= ARRAY_SIZE(disks) || !disks[index])
		return err_set(e, ERR_UNAVAILABLE, ENODEV, "the VM has no disk with the serial " GUEST_DISK_SERIAL,
			       index);
	disk = xasprintf("/dev/%s", disks[index]);
	mkdir_p(AT_FDCWD, where, 0755);
	if (do_mount(disk, where, type, flags, data, e) < 0)
		return err_wrap(e, GUEST_DISK_SERIAL, index);
	return 0;
}

/* The overlay's / has the attributes of upper: they must be those of the top layer's. */
static int make_upper(struct err *e)
{
	struct stat st;

	if (stat(RUN "/layer0", &st) < 0)
		return err_errno(e, "stat the top layer");
	if (mkdir(WORK, 0700) < 0 && errno != EEXIST)
		return err_errno(e, "make '%s'", WORK);
	if (mkdir(UPPER, 0755) < 0)
		return errno == EEXIST ? 0 : err_errno(e, "make '%s'", UPPER);
	if (chown(UPPER, st.st_uid, st.st_gid) < 0 || chmod(UPPER, st.st_mode & 07777) < 0)
		return err_errno(e, "set the mode of '%s'", UPPER);
	return 0;
}

/* noinit_itable: the kernel's lazy initialisation would fill the sparse disk on the host with zeros. */
static int mount_scratch(const struct guest_config *c, struct err *e)
{
	int r;

	if (c->scratch == CONFIG_NONE) {
		mkdir_p(AT_FDCWD, SCRATCH, 0755);
		r = do_mount("tmpfs", SCRATCH, "tmpfs", 0, NULL, e);
	} else {
		r = mount_disk(c->scratch, SCRATCH, "ext4", MS_NOATIME, "noinit_itable,discard", e);
	}
	return r < 0 ? r : make_upper(e);
}

static int mount_layers(const struct guest_config *c, struct err *e)
{
	char options[64 * GUEST_LAYERS_MAX] = "lowerdir=";
	int r;

	if (!c->n_layers)
		return err_set(e, ERR_INVALID, EINVAL, "the configuration names no layer");
	for (size_t i = 0; i < c->n_layers; i++) {
		_cleanup_free_ char *where = xasprintf(RUN "/layer%zu", i);

		r = mount_disk(c->layers[i], where, "squashfs", MS_RDONLY, NULL, e);
		if (r < 0)
			return r;
		snprintf(options + strlen(options), sizeof(options) - strlen(options), "%s%s", i ? ":" : "", where);
	}
	r = mount_scratch(c, e);
	if (r < 0)
		return r;
	snprintf(options + strlen(options), sizeof(options) - strlen(options), ",upperdir=%s,workdir=%s", UPPER, WORK);
	mkdir_p(AT_FDCWD, MOUNTS_ROOT, 0755);
	return do_mount("overlay", MOUNTS_ROOT, "overlay", 0, options, e);
}

static int etc_text(const struct guest_config *c, enum etc_file which, struct buf *out)
{
	if (which == ETC_HOSTNAME)
		buf_printf(out, "%s\n", c->hostname ? c->hostname : "localhost");
	if (which == ETC_HOSTS) {
		buf_puts(out, "127.0.0.1\tlocalhost\n");
		for (char **h = c->hosts; h && *h; h++)
			buf_printf(out, "%s\n", *h);
	}
	if (which == ETC_RESOLV) {
		for (size_t i = 0; i < c->n_dns; i++) {
			const unsigned char *a = (const unsigned char *)&c->dns[i];

			buf_printf(out, "nameserver %u.%u.%u.%u\n", a[0], a[1], a[2], a[3]);
		}
		for (char **s = c->dns_search; s && *s; s++)
			buf_printf(out, "%s%s%s", s == c->dns_search ? "search " : " ", *s, s[1] ? "" : "\n");
		for (char **s = c->dns_option; s && *s; s++)
			buf_printf(out, "%s%s%s", s == c->dns_option ? "options " : " ", *s, s[1] ? "" : "\n");
	}
	return 0;
}

/* A detached mount of each file, taken into the root by the child. */
static int etc_open(const struct guest_config *c, int trees[ETC_NUM], struct err *e)
{
	mkdir_p(AT_FDCWD, ETC, 0755);
	for (int i = 0; i < ETC_NUM; i++) {
		_cleanup_free_ char *path = xasprintf(RUN "%s", etc_paths[i]);
		_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
		_cleanup_buf_ struct buf text = { 0 };

		etc_text(c, (enum etc_file)i, &text);
		if (fd < 0 || fd_write_all(fd, buf_ptr(&text), buf_len(&text)) < 0 || fchmod(fd, 0644) < 0)
			return err_errno(e, "write '%s'", path);
		trees[i] = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
		if (trees[i] < 0)
			return err_errno(e, "open_tree '%s'", path);
	}
	return 0;
}

static int make_node(const char *path, unsigned major, unsigned minor, struct err *e)
{
	if (mknod(path, S_IFCHR | 0666, makedev(major, minor)) < 0)
		return err_errno(e, "make '%s'", path);
	return 0;
}

static int make_nodes(struct err *e)
{
	static const struct {
		const char *path;
		unsigned major, minor;
	} nodes[] = {
		{ DEV "/null", 1, 3 },   { DEV "/zero", 1, 5 },    { DEV "/full", 1, 7 },
		{ DEV "/random", 1, 8 }, { DEV "/urandom", 1, 9 }, { DEV "/tty", 5, 0 },
	};
	static const char *const links[][2] = {
		{ "pts/ptmx", DEV "/ptmx" },          { "/proc/self/fd", DEV "/fd" },
		{ "/proc/self/fd/0", DEV "/stdin" },  { "/proc/self/fd/1", DEV "/stdout" },
		{ "/proc/self/fd/2", DEV "/stderr" }, { "/proc/kcore", DEV "/core" },
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(nodes); i++)
		r = make_node(nodes[i].path, nodes[i].major, nodes[i].minor, e);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(links); i++)
		if (symlink(links[i][0], links[i][1]) < 0)
			r = err_errno(e, "make '%s'", links[i][1]);
	return r;
}

static int mount_dev(struct err *e)
{
	int r;

	mkdir_p(AT_FDCWD, DEV, 0755);
	if ((r = do_mount("tmpfs", DEV, "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k", e)) < 0 ||
	    (r = make_nodes(e)) < 0)
		return r;
	mkdir(DEV "/pts", 0755);
	mkdir(DEV "/shm", 01777);
	mkdir(DEV "/mqueue", 01777);
	if ((r = do_mount("devpts", DEV "/pts", "devpts", MS_NOSUID | MS_NOEXEC,
			  "newinstance,ptmxmode=0666,mode=0620,gid=5", e)) < 0 ||
	    (r = do_mount("shm", DEV "/shm", "tmpfs", SHM_FLAGS, "mode=1777,size=" SHM_DEFAULT, e)) < 0 ||
	    (r = do_mount("mqueue", DEV "/mqueue", "mqueue", SHM_FLAGS, NULL, e)) < 0)
		return r;
	return 0;
}

int mounts_prepare_dev(struct err *e)
{
	mode_t mask = umask(0);
	int r = mount_dev(e);

	umask(mask);
	return r;
}

/* What a module that was asked for has brought. */
static int more_nodes(struct err *e)
{
	static const struct {
		const char *sys, *path;
		unsigned minor;
	} nodes[] = { { "/sys/class/misc/tun", DEV "/net/tun", 200 }, { "/sys/class/misc/fuse", DEV "/fuse", 229 } };
	mode_t mask = umask(0);
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(nodes); i++) {
		if (access(nodes[i].sys, F_OK) < 0)
			continue;
		mkdir(DEV "/net", 0755);
		r = make_node(nodes[i].path, MISC_MAJOR, nodes[i].minor, e);
	}
	rmdir(DEV "/net");
	umask(mask);
	return r;
}

/* The /dev that was made while parked, as a tree to be moved into the container's root. */
static int dev_open(const struct guest_config *c, struct err *e)
{
	char shm[64];
	int r = c->modules ? more_nodes(e) : 0, fd;

	snprintf(shm, sizeof(shm), "size=%llu", (unsigned long long)c->shm_size);
	if (r == 0 && c->shm_size)
		r = do_mount("shm", DEV "/shm", NULL, MS_REMOUNT | SHM_FLAGS, shm, e);
	if (r < 0)
		return r;
	fd = open_tree(AT_FDCWD, DEV, OPEN_TREE_CLOEXEC);
	return fd < 0 ? err_errno(e, "open_tree " DEV) : fd;
}

/* From here to populate(): in a child whose root is the container's. */

static int real_dir(const char *path, struct err *e)
{
	struct stat st;

	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return err_errno(e, "make '%s' in the image", path);
	if (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return err_set(e, ERR_INVALID, ENOTDIR, "'%s' of the image is not a directory", path);
	return 0;
}

static int make_dev(int dev, struct err *e)
{
	static const char *const dirs[] = { "/proc", "/sys", "/dev", "/etc" };
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		if ((r = real_dir(dirs[i], e)) < 0)
			return r;
	if (move_mount(dev, "", AT_FDCWD, "/dev", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_errno(e, "mount /dev");
	return 0;
}

/* Options of --tmpfs that are mount flags; the rest is tmpfs' own data. */
static const struct {
	const char *name;
	unsigned long set, clear;
} tmpfs_flags[] = {
	{ "ro", MS_RDONLY, 0 },       { "rw", 0, MS_RDONLY },   { "exec", 0, MS_NOEXEC },
	{ "noexec", MS_NOEXEC, 0 },   { "suid", 0, MS_NOSUID }, { "nosuid", MS_NOSUID, 0 },
	{ "dev", 0, MS_NODEV },       { "nodev", MS_NODEV, 0 }, { "sync", MS_SYNCHRONOUS, 0 },
	{ "noatime", MS_NOATIME, 0 }, { "defaults", 0, 0 },
};

static bool tmpfs_flag(const char *word, unsigned long *flags)
{
	for (size_t i = 0; i < ARRAY_SIZE(tmpfs_flags); i++)
		if (str_eq(word, tmpfs_flags[i].name)) {
			*flags = (*flags | tmpfs_flags[i].set) & ~tmpfs_flags[i].clear;
			return true;
		}
	return false;
}

static int mount_tmpfs(const char *spec, struct err *e)
{
	_cleanup_free_ char *copy = xstrdup(spec);
	_cleanup_buf_ struct buf data = { 0 };
	unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
	char *options = copy, *path = strsep(&options, ":"), *word;

	while ((word = strsep(&options, ",")))
		if (*word && !tmpfs_flag(word, &flags))
			buf_printf(&data, "%s%s", buf_len(&data) ? "," : "", word);
	if (path[0] != '/')
		return err_set(e, ERR_INVALID, EINVAL, "tmpfs: '%s' is no absolute path", path);
	mkdir_p(AT_FDCWD, path, 0755);
	return do_mount("tmpfs", path, "tmpfs", flags, buf_cstr(&data), e);
}

/* The target may be missing, or a link that leads nowhere. */
static int etc_bind(int tree, const char *path, struct err *e)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0644);

	if (fd < 0) {
		unlink(path);
		fd = open(path, O_RDONLY | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0644);
	}
	if (fd < 0)
		return err_errno(e, "make '%s' in the image", path);
	if (move_mount(tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS) < 0)
		return err_errno(e, "mount over '%s'", path);
	return 0;
}

static int write_file(const struct config_file *f, struct err *e)
{
	_cleanup_free_ char *parent = xstrdup(f->path);
	_cleanup_close_ int fd = -1;
	int r;

	*strrchr(parent, '/') = '\0';
	if (parent[0])
		mkdir_p(AT_FDCWD, parent, 0755);
	fd = open(f->path, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(e, "create '%s'", f->path);
	r = fd_write_all(fd, f->data.data, f->data.len);
	if (r < 0 || fchmod(fd, f->mode & 07777) < 0)
		return err_set(e, ERR_INTERNAL, r < 0 ? -r : errno, "write '%s': %s", f->path,
			       strerror(r < 0 ? -r : errno));
	return 0;
}

static int populate(const struct guest_config *c, const int trees[ETC_NUM], int dev, struct err *e)
{
	int r;

	if (chroot(MOUNTS_ROOT) < 0 || chdir("/") < 0)
		return err_errno(e, "enter the container's root");
	r = make_dev(dev, e);
	for (char **t = c->tmpfs; r == 0 && t && *t; t++)
		r = mount_tmpfs(*t, e);
	for (int i = 0; r == 0 && i < ETC_NUM; i++)
		r = etc_bind(trees[i], etc_paths[i], e);
	for (size_t i = 0; r == 0 && i < c->n_files; i++)
		r = write_file(&c->files[i], e);
	if (r == 0 && c->root_ro)
		r = do_mount("none", "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL, e);
	return r;
}

/* populate() in a child, since a changed root has no way back; its error comes over a pipe. */
static int populate_child(const struct guest_config *c, const int trees[ETC_NUM], int dev, struct err *e)
{
	struct err child = { 0 };
	int report[2], status;
	pid_t pid;

	if (pipe2(report, O_CLOEXEC) < 0 || (pid = fork()) < 0)
		return err_errno(e, "fork");
	if (pid == 0) {
		umask(0);
		if (populate(c, trees, dev, &child) == 0)
			_exit(0);
		fd_write_all(report[1], &child, sizeof(child));
		_exit(1);
	}
	close(report[1]);
	if (fd_read_full(report[0], &child, sizeof(child)) < 0)
		child.code = 0;
	close(report[0]);
	if (waitpid(pid, &status, 0) == pid && status == 0)
		return 0;
	return child.code ? err_copy(e, &child) : err_set(e, ERR_INTERNAL, EIO, "the process that fills the root died");
}

int mounts_root(const struct guest_config *c, struct err *e)
{
	int trees[ETC_NUM] = { -1, -1, -1 }, dev = -1, r;

	r = mount_layers(c, e);
	if (r == 0)
		r = etc_open(c, trees, e);
	if (r == 0)
		r = dev = dev_open(c, e);
	if (r >= 0)
		r = populate_child(c, trees, dev, e);
	cleanup_close(&dev);
	for (int i = 0; i < ETC_NUM; i++)
		if (trees[i] >= 0)
			close(trees[i]);
	return r;
}

/* Docker's list: what tells or changes too much of a machine. A path that the kernel lacks is skipped. */
static int mask(struct err *e)
{
	static const char *const hidden[] = { "/proc/acpi",       "/proc/asound",
					      "/proc/interrupts", "/proc/kcore",
					      "/proc/keys",       "/proc/latency_stats",
					      "/proc/timer_list", "/proc/scsi",
					      "/sys/firmware",    "/sys/devices/virtual/powercap" };
	static const char *const readonly[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
						"/proc/sysrq-trigger" };
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(hidden); i++) {
		if (stat(hidden[i], &st) < 0)
			continue;
		if (S_ISDIR(st.st_mode) ? mount("tmpfs", hidden[i], "tmpfs", MS_RDONLY, "size=0k") < 0
					: mount("/dev/null", hidden[i], NULL, MS_BIND, NULL) < 0)
			return err_errno(e, "mask '%s'", hidden[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(readonly); i++)
		if (access(readonly[i], F_OK) == 0 &&
		    (mount(readonly[i], readonly[i], NULL, MS_BIND | MS_REC, NULL) < 0 ||
		     mount(NULL, readonly[i], NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
			   NULL) < 0))
			return err_errno(e, "make '%s' read-only", readonly[i]);
	return 0;
}

int mounts_enter(bool privileged, struct err *e)
{
	static const char *const old[] = { RUN, CGROUPS, "/sys", "/proc", "/dev" };
	unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC, ro = privileged ? 0 : MS_RDONLY;
	int r;

	if (unshare(CLONE_NEWNS | CLONE_NEWCGROUP) < 0)
		return err_errno(e, "make the container's namespaces");
	for (size_t i = 0; i < ARRAY_SIZE(old); i++)
		if (umount2(old[i], MNT_DETACH) < 0)
			return err_errno(e, "unmount '%s'", old[i]);
	if (chdir(MOUNTS_ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
		return err_errno(e, "change the root");
	if ((r = do_mount("proc", "/proc", "proc", flags, NULL, e)) < 0 ||
	    (r = do_mount("sysfs", "/sys", "sysfs", flags | ro, NULL, e)) < 0 ||
	    (r = do_mount("cgroup", CGROUPS, "cgroup2", flags | ro, NULL, e)) < 0)
		return r;
	return privileged ? 0 : mask(e);
}

/* The container's mount namespace goes by a kernel worker, a little after its last process: hence the tries. */
void mounts_stop(void)
{
	umount2(MOUNTS_ROOT, MNT_DETACH);
	for (int i = 0; i < STOP_TRY; i++) {
		if (umount2(SCRATCH, 0) == 0 || errno != EBUSY)
			break;
		usleep(10000);
	}
	sync();
}
