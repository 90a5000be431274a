/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writable disk of a container: a sparse ext4 image in its directory. One
 * template for each size is made by mke2fs (a child process) and then copied,
 * by reflink where the file system can, else by its few data extents.
 * Runs in bottled; all files are ours.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "api/container.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/proc.h"

#define COPY_RUN (1 << 20)

struct making {
	struct engine *g;
	struct container *c;
	char *template, *temporary;
	void (*done)(void *arg, const struct err *e);
	void *arg;
};

static int copy_run(int from, int to, off_t at, off_t end)
{
	_cleanup_free_ char *space = xmalloc(COPY_RUN);

	while (at < end) {
		ssize_t n = pread(from, space, end - at < COPY_RUN ? (size_t)(end - at) : COPY_RUN, at);

		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		if (pwrite(to, space, (size_t)n, at) != n)
			return errno ? -errno : -EIO;
		at += n;
	}
	return 0;
}

static int copy_sparse(int from, int to)
{
	struct stat st;
	off_t data, hole = 0;
	int r;

	if (ioctl(to, FICLONE, from) == 0)
		return 0;
	if (fstat(from, &st) < 0 || ftruncate(to, st.st_size) < 0)
		return -errno;
	while ((data = lseek(from, hole, SEEK_DATA)) >= 0) {
		hole = lseek(from, data, SEEK_HOLE);
		if (hole < 0)
			return -errno;
		r = copy_run(from, to, data, hole);
		if (r < 0)
			return r;
	}
	return errno == ENXIO ? 0 : -errno;
}

/* Under a name of its own until it is whole. */
static int copy_template(struct container *c, const char *template, struct err *e)
{
	_cleanup_free_ char *dir = container_dir(c), *part = xasprintf("%s/scratch.part", dir),
			    *path = xasprintf("%s/scratch.img", dir);
	_cleanup_close_ int from = openat(c->g->data_fd, template, O_RDONLY | O_CLOEXEC), to = -1;
	int r;

	if (from < 0)
		return err_errno(e, "open the disk template '%s'", template);
	to = openat(c->g->data_fd, part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (to < 0)
		return err_errno(e, "make '%s'", part);
	r = copy_sparse(from, to);
	if (r < 0) {
		errno = -r;
		err_errno(e, "write the disk of container %.12s", c->id);
		unlinkat(c->g->data_fd, part, 0);
		return r;
	}
	if (renameat(c->g->data_fd, part, c->g->data_fd, path) < 0)
		return err_errno(e, "rename '%s'", part);
	return 0;
}

static void making_end(struct making *m, const struct err *e)
{
	m->done(m->arg, e);
	free(m->template);
	free(m->temporary);
	free(m);
}

static void template_made(struct source *s, pid_t pid, int status, void *arg)
{
	struct making *m = arg;
	struct err e = { 0 };
	int r = 0;

	(void)s;
	(void)pid;
	if (proc_exit_code(status) != 0)
		r = err_set(&e, ERR_INTERNAL, EIO,
			    "mke2fs failed with exit code %d while it made a container's disk; is e2fsprogs whole and "
			    "the disk not full?",
			    proc_exit_code(status));
	else if (renameat(m->g->data_fd, m->temporary, m->g->data_fd, m->template) < 0)
		r = err_errno(&e, "rename '%s'", m->temporary);
	if (r < 0)
		unlinkat(m->g->data_fd, m->temporary, 0);
	else
		r = copy_template(m->c, m->template, &e);
	making_end(m, r < 0 ? &e : NULL);
}

static const char *mke2fs_path(void)
{
	static const char *const paths[] = { "/sbin/mke2fs", "/usr/sbin/mke2fs", "/usr/bin/mke2fs" };

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if (access(paths[i], X_OK) == 0)
			return paths[i];
	return NULL;
}

static int make_template(struct making *m, uint64_t size, struct err *e)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", m->g->data_dir, m->temporary);
	_cleanup_close_ int fd = openat(m->g->data_fd, m->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	char program[] = "mke2fs", quiet[] = "-qF", type_opt[] = "-t", type[] = "ext4", reserve[] = "-m", none[] = "0",
	     journal[] = "-J", journal_size[] = "size=16", ext[] = "-E",
	     lazy[] = "lazy_itable_init=1,lazy_journal_init=1,nodiscard";
	char *argv[] = { program, quiet, type_opt, type, reserve, none, journal, journal_size, ext, lazy, path, NULL };
	struct spawn s = { .path = mke2fs_path(),
			   .argv = argv,
			   .stdin_fd = -1,
			   .stdout_fd = -1,
			   .stderr_fd = -1,
			   .die_with_parent = true };
	pid_t pid;

	if (!s.path)
		return err_set(e, ERR_UNAVAILABLE, ENOENT, "mke2fs is not installed; install e2fsprogs");
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		return err_errno(e, "make the disk template '%s'", path);
	pid = proc_spawn(&s, e);
	if (pid < 0)
		return (int)pid;
	if (!loop_child(m->g->loop, pid, template_made, m))
		return err_errno(e, "watch mke2fs");
	return 0;
}

struct ready {
	void (*done)(void *arg, const struct err *e);
	void *arg;
};

static void ready_now(void *arg)
{
	struct ready *r = arg;

	r->done(r->arg, NULL);
	free(r);
}

static void done_later(struct engine *g, void (*done)(void *arg, const struct err *e), void *arg)
{
	struct ready *r = xmalloc(sizeof(*r));

	*r = (struct ready){ done, arg };
	loop_defer(g->loop, ready_now, r);
}

int scratch_prepare(struct container *c, uint64_t size, void (*done)(void *arg, const struct err *e), void *arg,
		    struct err *e)
{
	_cleanup_free_ char *dir = container_dir(c), *path = xasprintf("%s/scratch.img", dir);
	_cleanup_free_ char *template = xasprintf(SCRATCH_DIR "/%llu.img", (unsigned long long)size);
	char unique[ID_LEN + 1];
	struct making *m;
	int r;

	if (faccessat(c->g->data_fd, path, F_OK, 0) == 0) {
		done_later(c->g, done, arg);
		return 0;
	}
	if (mkdir_p(c->g->data_fd, dir, 0700) < 0)
		return err_errno(e, "make '%s'", dir);
	if (faccessat(c->g->data_fd, template, F_OK, 0) == 0) {
		r = copy_template(c, template, e);
		if (r == 0)
			done_later(c->g, done, arg);
		return r;
	}
	random_id(unique);
	m = xcalloc(1, sizeof(*m));
	*m = (struct making){ .g = c->g, .c = c, .done = done, .arg = arg, .template = TAKE_PTR(template) };
	m->temporary = xasprintf("%s.%.8s", m->template, unique);
	r = make_template(m, size, e);
	if (r < 0) {
		unlinkat(c->g->data_fd, m->temporary, 0);
		free(m->template);
		free(m->temporary);
		free(m);
	}
	return r;
}

int scratch_open(struct container *c, struct err *e)
{
	_cleanup_free_ char *dir = container_dir(c), *path = xasprintf("%s/scratch.img", dir);
	int fd = openat(c->g->data_fd, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? err_errno(e, "open '%s'", path) : fd;
}
