/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Templates on disk (a tmpfs: RUNTIME), and the process that hands them out;
 * in bottle-monitor --template. The files are the user's own and still read as
 * if anything could be in them: a sum over all pages tells a file that was cut
 * or altered, and such a template is made anew.
 */
#include "monitor/template.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <xxhash.h>

#include "base/fd.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "monitor/probe.h"
#include "monitor/qemu.h"
#include "proto/monitor.h"

#define MAGIC        "bottle-template1"
#define PAGE         4096
#define RUN_MAX      (1 << 20)
#define KEPT_MAX     4
#define RETRY_S      600 /* after one that could not be made */
#define MEMORY_MIN   (48ULL << 20)
#define MEMORY_MAX   (64ULL << 30)
#define CPUS_MAX     255
#define SPACE_NEEDED (256ULL << 20) /* what a parked guest has touched, twice */
#define NICE         10

struct meta {
	char magic[16];
	uint64_t memory, ram_sum, state_size, state_sum;
	char identity[TEMPLATE_IDENTITY_MAX];
	uint64_t sum; /* of all before it */
};

struct mapping {
	unsigned char *data;
	size_t size;
};

static void unmap(struct mapping *m)
{
	if (m->data)
		munmap(m->data, m->size);
}
#define _cleanup_map_ _cleanup_(unmap)

static int map(struct mapping *ret, int fd, size_t size, struct err *e)
{
	void *p = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return err_errno(e, "map a template's RAM");
	*ret = (struct mapping){ p, size };
	return 0;
}

/* ---- identity ---- */

/* A file as it is now, by what changes when its bytes do. */
static int add_file(struct template_id *id, const char *name, const struct stat *st)
{
	size_t n = strlen(id->text);

	return snprintf(id->text + n, sizeof(id->text) - n, "%s %llu:%llu %lld %lld.%09ld %lld.%09ld\n", name, (unsigned long long)st->st_dev,
			(unsigned long long)st->st_ino, (long long)st->st_size, (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
			(long long)st->st_ctim.tv_sec, st->st_ctim.tv_nsec);
}

int template_identify(struct template_id *ret, const struct vmm_config *c, struct err *e)
{
	struct stat st;

	*ret = (struct template_id){ .memory = c->memory };
	snprintf(ret->text, sizeof(ret->text), "%s cpus %u memory %llu disks %d nics %d\n", c->kvm ? "kvm" : "tcg", c->cpus,
		 (unsigned long long)c->memory, VMM_SLOT_DISKS, VMM_SLOT_NICS);
	if (fstat(c->kernel_fd, &st) < 0)
		return err_errno(e, "stat the guest's kernel");
	add_file(ret, "kernel", &st);
	if (fstat(c->initrd_fd, &st) < 0)
		return err_errno(e, "stat the guest's initramfs");
	add_file(ret, "initramfs", &st);
	if (stat(QEMU_PATH, &st) < 0)
		return err_errno(e, "stat " QEMU_PATH);
	add_file(ret, "qemu", &st);
	if (stat("/proc/self/exe", &st) < 0)
		return err_errno(e, "stat bottle-monitor");
	add_file(ret, "monitor", &st);
	snprintf(ret->key, sizeof(ret->key), "%016llx", (unsigned long long)XXH3_64bits(ret->text, strlen(ret->text)));
	return 0;
}

/* ---- RAM: its pages that are not all zero, in order, each with its place ---- */

static bool is_zero(const unsigned char *page)
{
	const uint64_t *w = (const uint64_t *)(const void *)page;

	for (size_t i = 0; i < PAGE / sizeof(*w); i += 8)
		if (w[i] | w[i + 1] | w[i + 2] | w[i + 3] | w[i + 4] | w[i + 5] | w[i + 6] | w[i + 7])
			return false;
	return true;
}

/* Sums a run's pages and writes them to the same place of to; gaps of zero pages stay holes there. */
static int copy_run(const struct mapping *from, int to, uint64_t at, uint64_t end, XXH3_state_t *sum)
{
	uint64_t start = at;

	for (; at < end; at += PAGE) {
		bool zero = is_zero(from->data + at);

		if (!zero) {
			XXH3_64bits_update(sum, &at, sizeof(at));
			XXH3_64bits_update(sum, from->data + at, PAGE);
		}
		if (!zero && at + PAGE < end && at + PAGE - start < RUN_MAX)
			continue;
		for (uint64_t stop = zero ? at : at + PAGE; start < stop;) {
			ssize_t n = pwrite(to, from->data + start, stop - start, (off_t)start);

			if (n <= 0)
				return n < 0 ? -errno : -EIO;
			start += (uint64_t)n;
		}
		start = at + PAGE;
	}
	return 0;
}

static int copy_ram(int from, int to, uint64_t memory, uint64_t *ret_sum, struct err *e)
{
	_cleanup_map_ struct mapping m = { 0 };
	XXH3_state_t *sum;
	off_t at = 0, end;
	int r = map(&m, from, memory, e);

	if (r < 0)
		return r;
	if (ftruncate(to, (off_t)memory) < 0)
		return err_errno(e, "make room for a template's RAM");
	sum = XXH3_createState();
	if (!sum)
		return err_set(e, ERR_INTERNAL, ENOMEM, "no memory for a checksum");
	XXH3_64bits_reset(sum);
	while (r == 0 && (at = lseek(from, at, SEEK_DATA)) >= 0) {
		end = lseek(from, at, SEEK_HOLE);
		r = end < at ? -EIO : copy_run(&m, to, (uint64_t)at & ~(PAGE - 1ULL), ((uint64_t)end + PAGE - 1) & ~(PAGE - 1ULL), sum);
		at = end;
	}
	*ret_sum = XXH3_64bits_digest(sum);
	XXH3_freeState(sum);
	if (r < 0)
		return err_set(e, ERR_INTERNAL, -r, "copy a template's RAM: %s", strerror(-r));
	return 0;
}

/* ---- reading ---- */

static uint64_t meta_sum(const struct meta *m)
{
	return XXH3_64bits(m, offsetof(struct meta, sum));
}

static int read_meta(int dir, const struct template_id *id, struct meta *ret, struct err *e)
{
	_cleanup_free_ char *data = NULL;
	size_t n = 0;
	int r = file_read_at(dir, "meta", sizeof(*ret), &data, &n);

	if (r < 0 || n != sizeof(*ret))
		return err_set(e, ERR_INTERNAL, EBADMSG, "its description cannot be read");
	memcpy(ret, data, sizeof(*ret));
	if (memcmp(ret->magic, MAGIC, sizeof(ret->magic)) != 0 || ret->sum != meta_sum(ret) || ret->memory != id->memory ||
	    ret->state_size > TEMPLATE_STATE_MAX || strncmp(ret->identity, id->text, sizeof(ret->identity)) != 0)
		return err_set(e, ERR_INTERNAL, EBADMSG, "its description is damaged");
	return 0;
}

static int load_state(int dir, const struct meta *m, struct err *e)
{
	_cleanup_free_ char *data = NULL;
	size_t n = 0;
	int r = file_read_at(dir, "state", TEMPLATE_STATE_MAX, &data, &n);

	if (r < 0 || n != m->state_size || XXH3_64bits(data, n) != m->state_sum)
		return err_set(e, ERR_INTERNAL, EBADMSG, "its devices' state is cut or altered");
	r = memfd_sealed("bottle-template-state", data, n);
	return r < 0 ? err_set(e, ERR_INTERNAL, -r, "keep its devices' state: %s", strerror(-r)) : r;
}

static int load_ram(int dir, const struct meta *m, struct err *e)
{
	_cleanup_close_ int from = openat(dir, "ram", O_RDONLY | O_CLOEXEC | O_NOFOLLOW), to = -1;
	struct stat st;
	uint64_t sum;
	int r;

	if (from < 0 || fstat(from, &st) < 0 || (uint64_t)st.st_size != m->memory)
		return err_set(e, ERR_INTERNAL, EBADMSG, "its RAM is missing or cut");
	to = memfd_create("bottle-template-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (to < 0)
		return err_errno(e, "keep its RAM");
	r = copy_ram(from, to, m->memory, &sum, e);
	if (r < 0)
		return r;
	if (sum != m->ram_sum)
		return err_set(e, ERR_INTERNAL, EBADMSG, "its RAM is altered");
	if (fcntl(to, F_ADD_SEALS, TEMPLATE_SEALS) < 0)
		return err_errno(e, "seal its RAM");
	return TAKE_FD(to);
}

static int load_from(int dir, const struct template_id *id, int *ret_ram, int *ret_state, struct err *e)
{
	struct meta m;
	int r = read_meta(dir, id, &m, e);

	if (r < 0)
		return r;
	*ret_state = load_state(dir, &m, e);
	if (*ret_state < 0)
		return *ret_state;
	*ret_ram = load_ram(dir, &m, e);
	if (*ret_ram >= 0)
		return 0;
	close(*ret_state);
	return *ret_ram;
}

int template_load(int dir_fd, const struct template_id *id, int *ret_ram, int *ret_state, struct err *e)
{
	_cleanup_close_ int dir = openat(dir_fd, id->key, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	int r;

	if (dir < 0 && errno == ENOENT)
		return err_set(e, ERR_NOTFOUND, ENOENT, "there is no template of its kind yet");
	if (dir < 0)
		return err_errno(e, "open template %s", id->key);
	r = load_from(dir, id, ret_ram, ret_state, e);
	if (r < 0) {
		err_wrap(e, "template %s is made anew", id->key);
		remove_tree(dir_fd, id->key);
		return r;
	}
	futimens(dir, NULL); /* the one that was not used for longest goes first */
	return 0;
}

/* ---- writing ---- */

static int write_ram(int dir, int ram_fd, struct meta *m, struct err *e)
{
	_cleanup_close_ int to = openat(dir, "ram", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (to < 0)
		return err_errno(e, "make a template's file");
	return copy_ram(ram_fd, to, m->memory, &m->ram_sum, e);
}

static int write_state(int dir, int state_fd, struct meta *m, struct err *e)
{
	_cleanup_map_ struct mapping state = { 0 };
	_cleanup_close_ int to = -1;
	struct stat st;
	int r;

	if (fstat(state_fd, &st) < 0 || st.st_size <= 0 || st.st_size > TEMPLATE_STATE_MAX)
		return err_set(e, ERR_INTERNAL, EIO, "QEMU wrote a state of %lld bytes", (long long)st.st_size);
	m->state_size = (uint64_t)st.st_size;
	r = map(&state, state_fd, m->state_size, e);
	if (r < 0)
		return r;
	m->state_sum = XXH3_64bits(state.data, state.size);
	to = openat(dir, "state", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	r = to < 0 ? -errno : fd_write_all(to, state.data, state.size);
	return r < 0 ? err_set(e, ERR_INTERNAL, -r, "write a template's state: %s", strerror(-r)) : 0;
}

static int write_all(int dir, const struct template_id *id, int ram_fd, int state_fd, struct err *e)
{
	struct meta m = { .memory = id->memory };
	int r;

	memcpy(m.magic, MAGIC, sizeof(m.magic));
	memcpy(m.identity, id->text, sizeof(m.identity));
	r = write_ram(dir, ram_fd, &m, e);
	if (r == 0)
		r = write_state(dir, state_fd, &m, e);
	if (r < 0)
		return r;
	m.sum = meta_sum(&m);
	r = file_write_at(dir, "meta", 0600, &m, sizeof(m));
	return r < 0 ? err_set(e, ERR_INTERNAL, -r, "write a template's description: %s", strerror(-r)) : 0;
}

/* Under the lock. A directory has its name only when it is whole. */
int template_store(int dir_fd, const struct template_id *id, int ram_fd, int state_fd, struct err *e)
{
	_cleanup_free_ char *part = xasprintf("%s.part", id->key);
	_cleanup_close_ int dir = -1;
	int r;

	remove_tree(dir_fd, part);
	if (mkdirat(dir_fd, part, 0700) < 0)
		return err_errno(e, "make a template's directory");
	dir = openat(dir_fd, part, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = dir < 0 ? err_errno(e, "open a template's directory") : write_all(dir, id, ram_fd, state_fd, e);
	if (r == 0 && renameat(dir_fd, part, dir_fd, id->key) < 0)
		r = err_errno(e, "name a template");
	if (r < 0)
		remove_tree(dir_fd, part);
	return r;
}

/* ---- the process ---- */

/* What a maker that was killed left, and all but the newest templates. The lock is held. */
static void tidy(int dir_fd, const char *but)
{
	for (;;) {
		int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), n = 0;
		char oldest[NAME_MAX + 1] = "";
		struct timespec when = { 0 };
		DIR *dir = fd < 0 ? NULL : fdopendir(fd);
		struct dirent *d;
		struct stat st;

		while (dir && (d = readdir(dir))) {
			if (strlen(d->d_name) > TEMPLATE_KEY_LEN && str_suffix(d->d_name, ".part"))
				remove_tree(dir_fd, d->d_name);
			if (!str_is_hex(d->d_name, TEMPLATE_KEY_LEN) || strlen(d->d_name) != TEMPLATE_KEY_LEN || str_eq(d->d_name, but) ||
			    fstatat(dir_fd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
				continue;
			if (!n++ || st.st_mtim.tv_sec < when.tv_sec) {
				when = st.st_mtim;
				snprintf(oldest, sizeof(oldest), "%s", d->d_name);
			}
		}
		if (dir)
			closedir(dir);
		if (n < KEPT_MAX || remove_tree(dir_fd, oldest) < 0)
			return;
	}
}

static int check_space(int dir_fd, struct err *e)
{
	struct statvfs fs;

	if (fstatvfs(dir_fd, &fs) < 0)
		return err_errno(e, "ask for free space");
	if ((uint64_t)fs.f_bavail * fs.f_frsize < SPACE_NEEDED)
		return err_set(e, ERR_LIMIT, ENOSPC, "a template takes %llu MiB of free space in the runtime directory and there are %llu",
			       SPACE_NEEDED >> 20, (unsigned long long)(fs.f_bavail * fs.f_frsize) >> 20);
	return 0;
}

/* Why the last attempt failed, while it is too early for another. */
static bool failed_lately(int dir_fd, const struct template_id *id, struct err *e)
{
	_cleanup_free_ char *name = xasprintf("%s.failed", id->key), *text = NULL;
	struct stat st;
	size_t n;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || time(NULL) - st.st_mtim.tv_sec > RETRY_S ||
	    file_read_at(dir_fd, name, ERR_TEXT_MAX, &text, &n) < 0)
		return false;
	err_set(e, ERR_UNAVAILABLE, EAGAIN, "no template could be made: %.300s", text);
	return true;
}

static void note_failure(int dir_fd, const struct template_id *id, const struct err *e)
{
	_cleanup_free_ char *name = xasprintf("%s.failed", id->key);

	log_warn("no template could be made: %s", e->text);
	file_write_at(dir_fd, name, 0600, e->text, strlen(e->text));
}

static int make_one(int dir_fd, const struct template_id *id, const struct vmm_config *c, struct err *e)
{
	_cleanup_close_ int lock = openat(dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600), ram = -1, state = -1;
	uint64_t begin = now_mono_ms();
	int r;

	if (lock < 0)
		return err_errno(e, "open the templates' lock");
	if (flock(lock, LOCK_EX | LOCK_NB) < 0 || faccessat(dir_fd, id->key, F_OK, 0) == 0)
		return 0; /* another one is at it, or was: the next start asks again */
	setpriority(PRIO_PROCESS, 0, NICE);
	tidy(dir_fd, id->key);
	r = check_space(dir_fd, e);
	if (r == 0)
		r = template_make(c, &ram, &state, e);
	if (r == 0)
		r = template_store(dir_fd, id, ram, state, e);
	if (r == 0)
		log_info("template %s (%u CPUs, %llu MiB) is made, in %llu ms", id->key, c->cpus, (unsigned long long)c->memory >> 20,
			 (unsigned long long)(now_mono_ms() - begin));
	return r;
}

/* Nobody may be there to hear it: the template is then made all the same. */
static void answer(int fd, int ram, int state, const struct err *e)
{
	unsigned char space[ERR_TEXT_MAX + 64];
	struct tlv t;

	tlv_init(&t, space, sizeof(space));
	if (ram < 0) {
		tlv_str(&t, MON_TAG_TEXT, e->text);
		ipc_send(fd, MON_ERR, 1, &t, NULL, 0);
	} else {
		ipc_send(fd, MON_OK, 1, &t, (const int[]){ ram, state }, 2);
	}
}

static int open_asset(const char *name)
{
	_cleanup_free_ char *path = proc_share(name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		fatal("open '%s': %s", path, strerror(errno));
	return fd;
}

int template_main(const char *path, uint64_t cpus, uint64_t memory, int bottled_fd)
{
	struct vmm_config c = { .name = "bottle-template", .cpus = (uint32_t)cpus, .memory = memory };
	_cleanup_close_ int ram = -1, state = -1;
	struct template_id id;
	struct probe probe = { 0 };
	struct err e = { 0 };
	struct stat st;
	int dir, r;

	if (memory < MEMORY_MIN || memory > MEMORY_MAX || memory % PAGE || !cpus || cpus > CPUS_MAX)
		fatal("--cpus or --memory is out of range");
	r = mkdir_p(AT_FDCWD, path, 0700);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir < 0)
		fatal("open '%s': %s", path, strerror(r < 0 ? -r : errno));
	c.kernel_fd = open_asset("vmlinux");
	c.initrd_fd = open_asset("initramfs");
	probe_cached(dir, "../" MON_PROBE_CACHE, &probe);
	c.kvm = probe.kvm;
	c.tsc_khz = probe.tsc_khz;
	if (template_identify(&id, &c, &e) < 0)
		fatal("%s", e.text);
	r = template_load(dir, &id, &ram, &state, &e);
	if (fstat(bottled_fd, &st) == 0 && S_ISSOCK(st.st_mode)) {
		bool late = r == -ENOENT && failed_lately(dir, &id, &e);

		answer(bottled_fd, ram, state, &e);
		close(bottled_fd);
		if (late)
			return 1;
	}
	if (r == 0)
		return 0;
	e = (struct err){ 0 };
	r = make_one(dir, &id, &c, &e);
	if (r < 0)
		note_failure(dir, &id, &e);
	return r < 0;
}
