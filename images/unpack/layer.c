/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer's tar; in image-unpack. Distrusts every field of every entry: names
 * that leave the root, links to what is not there, entries below a link or a
 * file, device nodes, contents that lie about their size. Nothing is ever made
 * on the host's file system under a name from the tar: the tree lives in memory
 * and goes into the image.
 *
 * OCI whiteouts become overlayfs' own form: ".wh.x" the device 0:0 named x,
 * ".wh..wh..opq" the attribute trusted.overlay.opaque of its directory.
 */
#include "images/unpack/layer.h"

#include <archive_entry.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "images/unpack/squash.h"
#include "images/unpack/tree.h"
#include "images/unpack/unpack.h"

#define WHITEOUT        ".wh."
#define WHITEOUT_META   ".wh..wh." /* aufs' own notes, except: */
#define WHITEOUT_OPAQUE ".wh..wh..opq"

struct reader {
	struct input in;
	struct archive *tar;
	struct squash *squash;
	struct tree tree;
	uint64_t files; /* bytes */
	struct err *e;
};

static int refuse(struct reader *r, const char *what)
{
	return err_set(r->e, ERR_INVALID, EINVAL, "%s", what);
}

/* Splits in place: names without "." and empty ones. Refuses what is absolute, climbs, or is too long. */
static int split_path(struct reader *r, char *path, char **names, size_t *ret_n)
{
	char *save = NULL;
	size_t n = 0;

	if (strlen(path) > UNPACK_PATH_MAX)
		return refuse(r, "its name is too long");
	if (path[0] == '/')
		return refuse(r, "its name is absolute");
	for (char *c = strtok_r(path, "/", &save); c; c = strtok_r(NULL, "/", &save)) {
		if (str_eq(c, "."))
			continue;
		if (str_eq(c, ".."))
			return refuse(r, "its name contains '..'");
		if (strlen(c) > UNPACK_NAME_MAX)
			return refuse(r, "its name is too long");
		if (n == UNPACK_DEPTH_MAX)
			return refuse(r, "it lies too deep");
		names[n++] = c;
	}
	*ret_n = n;
	return 0;
}

/* The directory of that name in dir; one that no entry has named yet is made as tar programs do. */
static int enter_dir(struct reader *r, struct node *dir, const char *name, struct node **ret)
{
	struct node *n;
	int k = node_make(&r->tree, dir, name, &n, r->e);

	if (k < 0)
		return k;
	if (!n->inode)
		n->inode = inode_new(S_IFDIR | 0755);
	if (S_ISLNK(n->inode->mode))
		return refuse(r, "it lies beneath a symbolic link");
	if (!S_ISDIR(n->inode->mode))
		return refuse(r, "it lies beneath something that is not a directory");
	*ret = n;
	return 0;
}

static int find_parent(struct reader *r, char **names, size_t n, struct node **ret)
{
	struct node *dir = r->tree.root;

	for (size_t i = 0; i + 1 < n; i++) {
		int k = enter_dir(r, dir, names[i], &dir);

		if (k < 0)
			return k;
	}
	*ret = dir;
	return 0;
}

/* true when the entry was a whiteout. */
static int whiteout(struct reader *r, struct node *dir, const char *name, bool *ret)
{
	const char *hidden = name + strlen(WHITEOUT);
	struct node *n;
	int k;

	*ret = str_prefix(name, WHITEOUT);
	if (!*ret)
		return 0;
	if (str_eq(name, WHITEOUT_OPAQUE))
		dir->opaque = true;
	if (str_prefix(name, WHITEOUT_META))
		return 0;
	if (!*hidden || str_eq(hidden, ".") || str_eq(hidden, ".."))
		return refuse(r, "it is a whiteout of no name");
	k = node_make(&r->tree, dir, hidden, &n, r->e);
	if (k == 0)
		n->whiteout = true;
	return k;
}

/* The lexical rule of other engines: a relative target may not climb above the root. */
static int check_symlink(struct reader *r, const struct node *dir, const char *target)
{
	long depth = dir->depth;

	if (!target || !*target)
		return refuse(r, "it is a symbolic link to nothing");
	if (strlen(target) > UNPACK_PATH_MAX)
		return refuse(r, "its target is too long");
	if (*target == '/')
		return 0;
	while (*target) {
		size_t len = strcspn(target, "/");

		if (len == 2 && target[0] == '.' && target[1] == '.')
			depth--;
		else if (len > 1 || (len == 1 && target[0] != '.'))
			depth++;
		if (depth < 0)
			return refuse(r, "its target climbs above the root");
		target += len;
		target += strspn(target, "/");
	}
	return 0;
}

static int take_xattrs(struct reader *r, struct archive_entry *entry, struct inode *i)
{
	size_t total = 0, size;
	const char *name;
	const void *value;

	archive_entry_xattr_reset(entry);
	while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
		total += strlen(name) + size;
		if (total > UNPACK_XATTRS_MAX || strlen(name) > UNPACK_NAME_MAX)
			return refuse(r, "its extended attributes are too large");
		if (str_prefix(name, "trusted."))
			return refuse(r, "it carries a 'trusted.' attribute, which only the guest's kernel may set");
		if (str_prefix(name, "user.") || str_eq(name, "security.capability"))
			inode_add_xattr(i, name, value, size);
	}
	return 0;
}

static int take_metadata(struct reader *r, struct archive_entry *entry, struct inode *i)
{
	int64_t uid = archive_entry_uid(entry), gid = archive_entry_gid(entry), mtime = archive_entry_mtime(entry);

	if (uid < 0 || uid > UINT32_MAX || gid < 0 || gid > UINT32_MAX)
		return refuse(r, "its owner is out of range");
	i->mode = (i->mode & S_IFMT) | (archive_entry_perm(entry) & 07777);
	i->uid = (uint32_t)uid;
	i->gid = (uint32_t)gid;
	i->mtime = mtime < 0 ? 0 : mtime > UINT32_MAX ? UINT32_MAX : (uint32_t)mtime;
	return take_xattrs(r, entry, i);
}

/* The whole data must be there: a size that the data does not reach is refused by libarchive as truncated. */
static int take_data(struct reader *r, struct archive_entry *entry, struct inode *i)
{
	int64_t size = archive_entry_size(entry), offset;
	const void *data;
	size_t n;
	int k;

	if (size < 0 || (uint64_t)size > UNPACK_FILE_MAX)
		return err_set(r->e, ERR_LIMIT, EFBIG, "it is larger than %llu bytes", UNPACK_FILE_MAX);
	r->files += (uint64_t)size;
	if (r->files > UNPACK_FILES_MAX)
		return err_set(r->e, ERR_LIMIT, EFBIG, "the files are larger than %llu bytes together",
			       UNPACK_FILES_MAX);
	squash_file_begin(r->squash);
	while ((k = archive_read_data_block(r->tar, &data, &n, &offset)) == ARCHIVE_OK) {
		if (offset < 0 || offset > size || n > (uint64_t)(size - offset))
			return refuse(r, "it has more data than its size says");
		k = squash_file_write(r->squash, (uint64_t)offset, data, n, r->e);
		if (k < 0)
			return k;
	}
	if (k != ARCHIVE_EOF)
		return input_error(&r->in, r->tar, r->e);
	return squash_file_end(r->squash, (uint64_t)size, &i->data, r->e);
}

/* Puts the inode at its name. What stood there goes, but a directory with entries does not. */
static int place(struct reader *r, struct node *dir, const char *name, struct inode *i)
{
	struct node *n;
	int k = node_make(&r->tree, dir, name, &n, r->e);

	if (k < 0)
		return k;
	if (n->n_children)
		return refuse(r, "it replaces a directory that has entries");
	i->refs++;
	inode_unref(n->inode);
	n->inode = i;
	return 0;
}

static int add_directory(struct reader *r, struct archive_entry *entry, struct node *dir, const char *name)
{
	struct node *n = r->tree.root;
	int k = name ? node_make(&r->tree, dir, name, &n, r->e) : 0;

	if (k < 0)
		return k;
	/* When it was named before, the later entry's attributes hold. */
	inode_unref(n->inode);
	n->inode = inode_new(S_IFDIR);
	return take_metadata(r, entry, n->inode);
}

static int add_hardlink(struct reader *r, const char *target, struct node *dir, const char *name)
{
	_cleanup_free_ char *copy = xstrdup(target);
	char *names[UNPACK_DEPTH_MAX];
	struct node *n = r->tree.root;
	size_t count = 0;

	if (strlen(copy) > UNPACK_PATH_MAX || *copy == '/' || split_path(r, copy, names, &count) < 0)
		return refuse(r, "it is a hard link to a name outside of the root");
	for (size_t i = 0; i < count && n; i++)
		n = node_child(n, names[i]);
	if (!n || !n->inode)
		return refuse(r, "it is a hard link to a name that the layer does not have");
	if (node_is_dir(n))
		return refuse(r, "it is a hard link to a directory");
	return place(r, dir, name, n->inode);
}

static int add_file(struct reader *r, struct archive_entry *entry, struct node *dir, const char *name)
{
	struct inode *i = inode_new(archive_entry_filetype(entry));
	int k = take_metadata(r, entry, i);

	if (k == 0 && S_ISLNK(i->mode)) {
		k = check_symlink(r, dir, archive_entry_symlink(entry));
		if (k == 0)
			i->target = xstrdup(archive_entry_symlink(entry));
	}
	if (k == 0 && S_ISREG(i->mode))
		k = take_data(r, entry, i);
	if (k == 0)
		k = place(r, dir, name, i);
	inode_unref(i);
	return k;
}

static int add_entry(struct reader *r, struct archive_entry *entry, struct node *dir, char **names, size_t n)
{
	const char *name = n ? names[n - 1] : NULL, *target = archive_entry_hardlink(entry);
	mode_t type = archive_entry_filetype(entry);
	bool hidden;
	int k;

	if (!name)
		return S_ISDIR(type) ? add_directory(r, entry, NULL, NULL) : refuse(r, "it would replace the root");
	k = whiteout(r, dir, name, &hidden);
	if (k < 0 || hidden)
		return k;
	if (target)
		return add_hardlink(r, target, dir, name);
	switch (type) {
	case S_IFDIR:
		return add_directory(r, entry, dir, name);
	case S_IFREG:
	case S_IFLNK:
	case S_IFIFO:
		return add_file(r, entry, dir, name);
	case S_IFCHR:
	case S_IFBLK:
		/* The guest mounts its own /dev. */
		return n > 1 && str_eq(names[0], "dev") ? 0 : refuse(r, "it is a device node outside of dev/");
	default:
		return refuse(r, "it is of a type that no image may hold");
	}
}

static int take_entry(struct reader *r, struct archive_entry *entry)
{
	const char *raw = archive_entry_pathname(entry);
	_cleanup_free_ char *path = NULL;
	char *names[UNPACK_DEPTH_MAX], text[QUOTE_MAX];
	struct node *dir;
	size_t n = 0;
	int k;

	if (!raw || !*raw)
		return refuse(r, "an entry has no usable name");
	path = xstrdup(raw);
	k = split_path(r, path, names, &n);
	if (k == 0)
		k = find_parent(r, names, n, &dir);
	if (k == 0)
		k = add_entry(r, entry, dir, names, n);
	if (k < 0 && !r->in.failed)
		err_wrap(r->e, "entry '%s'", quote(text, sizeof(text), raw));
	return k;
}

static int take_all(struct reader *r)
{
	struct archive_entry *entry;
	int k;

	while ((k = archive_read_next_header(r->tar, &entry)) == ARCHIVE_OK || k == ARCHIVE_WARN) {
		/* Any other warning says that something is not what the tar has: not a base to build on. */
		if (k == ARCHIVE_WARN && !input_warns_of_charset_only(r->tar))
			return input_error(&r->in, r->tar, r->e);
		k = take_entry(r, entry);
		if (k < 0)
			return k;
	}
	return k == ARCHIVE_EOF ? 0 : input_error(&r->in, r->tar, r->e);
}

static int convert(struct reader *r, int out_fd, struct layer *ret)
{
	int k = 0;

	if (out_fd >= 0) {
		r->squash = squash_new(out_fd);
		r->tar = input_tar(&r->in);
		k = r->tar ? take_all(r) : err_set(r->e, ERR_INTERNAL, ENOMEM, "out of memory");
	}
	if (k == 0)
		k = input_finish(&r->in, ret->diff_id);
	if (k == 0 && out_fd >= 0)
		k = squash_finish(r->squash, &r->tree, r->e);
	ret->size = r->files;
	return k;
}

int layer_convert(int blob_fd, int out_fd, struct layer *ret, struct err *e)
{
	struct reader *r = xcalloc(1, sizeof(*r));
	int k;

	r->e = e;
	tree_init(&r->tree);
	k = lseek(blob_fd, 0, SEEK_SET) < 0 ? err_errno(e, "read the blob") : 0;
	if (k == 0)
		k = input_open(&r->in, blob_fd, UNPACK_LAYER_MAX, true, e);
	if (k == 0)
		k = convert(r, out_fd, ret);
	squash_free(r->squash);
	archive_read_free(r->tar);
	input_done(&r->in);
	tree_done(&r->tree);
	free(r);
	return k;
}
