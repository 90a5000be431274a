/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The outer archive of `docker load`; in image-unpack. Its names are only ever
 * compared with one another: the files on disk are called part-0, part-1, …
 */
#include "images/unpack/archive.h"

#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "images/unpack/unpack.h"

#define PART_NAME_MAX 32
#define LINKS_MAX     8 /* links to links */

static void part_name(char out[PART_NAME_MAX], unsigned int number)
{
	snprintf(out, PART_NAME_MAX, "part-%u", number);
}

int members_init(struct members *m, int dir_fd, struct err *e)
{
	*m = (struct members){ .blobs_fd = -1 };
	if (mkdirat(dir_fd, "blobs", 0700) < 0 && errno != EEXIST)
		return err_errno(e, "make the directory for blobs");
	m->blobs_fd = openat(dir_fd, "blobs", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return m->blobs_fd < 0 ? err_errno(e, "open the directory for blobs") : 0;
}

void members_done(struct members *m)
{
	char part[PART_NAME_MAX];

	for (size_t i = 0; i < m->n; i++) {
		struct member *f = &m->list[i];

		part_name(part, f->number);
		if (!f->kept && !f->link)
			unlinkat(m->blobs_fd, part, 0);
		free(f->name);
		free(f->link);
	}
	free(m->list);
	if (m->blobs_fd >= 0)
		close(m->blobs_fd);
}

/* Lexically: "./a//b/../c" is "a/c". NULL when it is absolute or climbs out. base: where a relative link stands. */
static char *normalise(const char *base, const char *path)
{
	_cleanup_free_ char *text = base ? xasprintf("%s/%s", base, path) : xstrdup(path);
	char *out = xcalloc(1, strlen(text) + 1), *save = NULL;
	size_t len = 0;

	if (*path == '/')
		goto bad;
	for (char *c = strtok_r(text, "/", &save); c; c = strtok_r(NULL, "/", &save)) {
		if (str_eq(c, "."))
			continue;
		if (str_eq(c, "..")) {
			if (!len)
				goto bad;
			while (len && out[len - 1] != '/')
				len--;
			len -= len ? 1 : 0;
		} else {
			if (len)
				out[len++] = '/';
			memcpy(out + len, c, strlen(c));
			len += strlen(c);
		}
		out[len] = '\0';
	}
	return out;
bad:
	free(out);
	return NULL;
}

static int member_new(struct members *m, const char *name, struct member **ret, struct err *e)
{
	char *clean = normalise(NULL, name), text[QUOTE_MAX];
	struct member *f;

	if (!clean || strlen(clean) > UNPACK_PATH_MAX) {
		free(clean);
		return err_set(e, ERR_INVALID, EINVAL, "entry '%s': its name leaves the archive",
			       quote(text, sizeof(text), name));
	}
	if (m->n == UNPACK_MEMBERS_MAX) {
		free(clean);
		return err_set(e, ERR_LIMIT, E2BIG, "the archive holds more than %d files", UNPACK_MEMBERS_MAX);
	}
	if (m->n == m->room) {
		m->room = m->room ? m->room * 2 : 64;
		m->list = xrealloc(m->list, m->room, sizeof(*m->list));
	}
	f = &m->list[m->n];
	*f = (struct member){ .name = clean, .number = (unsigned int)m->n };
	m->n++;
	*ret = f;
	return 0;
}

static int part_create(struct members *m, const struct member *f, struct err *e)
{
	char part[PART_NAME_MAX];
	int fd;

	part_name(part, f->number);
	fd = openat(m->blobs_fd, part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return fd < 0 ? err_errno(e, "make a blob") : fd;
}

/* A blob on its way to disk. */
struct sink {
	int fd;
	EVP_MD_CTX *hash;
	struct member *f;
};

static int sink_open(struct sink *s, struct members *m, struct member *f, struct err *e)
{
	*s = (struct sink){ .fd = part_create(m, f, e), .f = f };
	if (s->fd < 0)
		return s->fd;
	s->hash = EVP_MD_CTX_new();
	if (!s->hash || EVP_DigestInit_ex(s->hash, EVP_sha256(), NULL) != 1)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	return 0;
}

static int sink_put(struct sink *s, const void *data, size_t n, struct err *e)
{
	int r = fd_write_all(s->fd, data, n);

	if (r < 0) {
		errno = -r;
		return err_errno(e, "write a blob");
	}
	EVP_DigestUpdate(s->hash, data, n);
	s->f->size += n;
	return 0;
}

/* r: what came before; the descriptor is closed in any case. */
static int sink_close(struct sink *s, int r, struct err *e)
{
	unsigned char digest[EVP_MAX_MD_SIZE] = { 0 };

	if (r == 0) {
		EVP_DigestFinal_ex(s->hash, digest, NULL);
		hex_encode(s->f->hex, digest, SHA256_HEX / 2);
	}
	EVP_MD_CTX_free(s->hash);
	if (s->fd >= 0 && close(s->fd) < 0 && r == 0)
		r = err_errno(e, "write a blob");
	return r;
}

static int read_regular(struct members *m, struct input *in, struct archive *tar, struct member *f, struct err *e)
{
	struct sink s;
	int r = sink_open(&s, m, f, e), k;
	const void *data;
	la_int64_t offset;
	size_t n;

	while (r == 0 && (k = archive_read_data_block(tar, &data, &n, &offset)) != ARCHIVE_EOF) {
		if (k != ARCHIVE_OK)
			r = input_error(in, tar, e);
		else if ((uint64_t)offset != f->size)
			r = err_set(e, ERR_INVALID, EINVAL, "a file of the archive is sparse");
		else
			r = sink_put(&s, data, n, e);
	}
	return sink_close(&s, r, e);
}

static int read_link(struct member *f, const char *target, bool symbolic, struct err *e)
{
	_cleanup_free_ char *base = xstrdup(f->name);
	char *slash = strrchr(base, '/'), text[QUOTE_MAX];

	if (slash)
		*slash = '\0';
	f->link = normalise(symbolic && slash ? base : NULL, target);
	if (!f->link)
		return err_set(e, ERR_INVALID, EINVAL, "entry '%s': it links to a name outside of the archive",
			       quote(text, sizeof(text), f->name));
	return 0;
}

static int read_member(struct members *m, struct input *in, struct archive *tar, struct archive_entry *entry,
		       struct err *e)
{
	const char *name = archive_entry_pathname(entry), *target = archive_entry_hardlink(entry);
	char text[QUOTE_MAX];
	struct member *f;
	int r;

	if (!name)
		return err_set(e, ERR_INVALID, EINVAL, "an entry has no usable name");
	if (!target && archive_entry_filetype(entry) == S_IFDIR)
		return 0;
	r = member_new(m, name, &f, e);
	if (r < 0)
		return r;
	if (target)
		return read_link(f, target, false, e);
	switch (archive_entry_filetype(entry)) {
	case S_IFREG:
		return read_regular(m, in, tar, f, e);
	case S_IFLNK:
		return read_link(f, archive_entry_symlink(entry) ? archive_entry_symlink(entry) : "/", true, e);
	default:
		return err_set(e, ERR_INVALID, EINVAL, "entry '%s': it is neither a file, a link nor a directory",
			       quote(text, sizeof(text), name));
	}
}

int members_read_archive(struct members *m, int fd, struct err *e)
{
	struct input *in = xcalloc(1, sizeof(*in));
	struct archive_entry *entry;
	struct archive *tar = NULL;
	int r = input_open(in, fd, UNPACK_STREAM_MAX, false, e), k;

	if (r == 0) {
		tar = input_tar(in);
		while (r == 0 && (k = archive_read_next_header(tar, &entry)) != ARCHIVE_EOF)
			r = k == ARCHIVE_OK ? read_member(m, in, tar, entry, e) : input_error(in, tar, e);
	}
	archive_read_free(tar);
	input_done(in);
	free(in);
	return r < 0 && e ? err_wrap(e, "the archive"), r : r;
}

int members_read_file(struct members *m, int fd, const char *name, struct member **ret, struct err *e)
{
	_cleanup_free_ char *buffer = xmalloc(64 * 1024);
	struct sink s;
	int r = member_new(m, name, ret, e);
	ssize_t n;

	if (r < 0)
		return r;
	r = sink_open(&s, m, *ret, e);
	while (r == 0 && (n = read(fd, buffer, 64 * 1024)) != 0) {
		if (n < 0)
			r = errno == EINTR ? 0 : err_errno(e, "read the stream");
		else if ((*ret)->size + (uint64_t)n > UNPACK_STREAM_MAX)
			r = err_set(e, ERR_LIMIT, EFBIG, "the stream is larger than %llu bytes", UNPACK_STREAM_MAX);
		else
			r = sink_put(&s, buffer, (size_t)n, e);
	}
	return sink_close(&s, r, e);
}

int members_add(struct members *m, const char *name, const void *data, size_t n, struct member **ret, struct err *e)
{
	struct sink s;
	int r = member_new(m, name, ret, e);

	if (r < 0)
		return r;
	r = sink_open(&s, m, *ret, e);
	if (r == 0)
		r = sink_put(&s, data, n, e);
	return sink_close(&s, r, e);
}

/* The later of two entries of one name holds, as when a tar is unpacked. */
static struct member *find_once(struct members *m, const char *name)
{
	for (size_t i = m->n; i > 0; i--)
		if (str_eq(m->list[i - 1].name, name))
			return &m->list[i - 1];
	return NULL;
}

struct member *members_find(struct members *m, const char *name)
{
	_cleanup_free_ char *clean = normalise(NULL, name);
	struct member *f = clean ? find_once(m, clean) : NULL;

	for (int i = 0; f && f->link; i++)
		f = i < LINKS_MAX ? find_once(m, f->link) : NULL;
	return f;
}

int member_open(struct members *m, const struct member *f, struct err *e)
{
	char part[PART_NAME_MAX];
	int fd;

	part_name(part, f->number);
	fd = openat(m->blobs_fd, f->kept ? f->hex : part, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? err_errno(e, "open a blob") : fd;
}

int member_text(struct members *m, struct member *f, char **ret, size_t *ret_len, struct err *e)
{
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *text = NULL;
	int r;

	if (f->size > UNPACK_JSON_MAX)
		return err_set(e, ERR_LIMIT, EFBIG, "it is larger than %d bytes", UNPACK_JSON_MAX);
	fd = member_open(m, f, e);
	if (fd < 0)
		return fd;
	text = xcalloc(1, f->size + 1);
	r = fd_read_full(fd, text, f->size);
	if (r < 0) {
		errno = -r;
		return err_errno(e, "read a blob");
	}
	*ret = TAKE_PTR(text);
	*ret_len = f->size;
	return 0;
}

int member_keep(struct members *m, struct member *f, struct err *e)
{
	_cleanup_close_ int fd = -1;
	char part[PART_NAME_MAX];

	if (f->kept)
		return 0;
	fd = member_open(m, f, e);
	if (fd < 0)
		return fd;
	part_name(part, f->number);
	if (fsync(fd) < 0 || fchmod(fd, 0444) < 0 || renameat(m->blobs_fd, part, m->blobs_fd, f->hex) < 0)
		return err_errno(e, "keep a blob");
	f->kept = true;
	return 0;
}
