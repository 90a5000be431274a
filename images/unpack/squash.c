/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Squashfs by libsquashfs; in image-unpack. File data is stored in plain
 * blocks without fragments: nothing is compressed, so that a fragment would
 * only make the guest read its neighbours. An all-zero block takes no room.
 */
#include "images/unpack/squash.h"

#include <errno.h>
#include <limits.h>
#include <sqfs/compressor.h>
#include <sqfs/dir_writer.h>
#include <sqfs/error.h>
#include <sqfs/id_table.h>
#include <sqfs/io.h>
#include <sqfs/meta_writer.h>
#include <sqfs/super.h>
#include <sqfs/xattr_writer.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/mem.h"

#define BLOCK_SIZE   (128 * 1024)
#define BLOCK_STORED (1U << 24) /* in a block's size: not compressed */
#define DEVICE_BLOCK 4096       /* the image's length is a multiple, as loop and virtio-blk want it */
#define TABLE_NONE   0xFFFFFFFFFFFFFFFFULL
#define XATTR_NONE   0xFFFFFFFFU

/* libsquashfs' view of our descriptor. */
struct out_file {
	sqfs_file_t base;
	int fd;
	uint64_t size;
	int error; /* errno of the first failure */
};

struct squash {
	struct out_file file;
	sqfs_compressor_t plain;
	sqfs_super_t super;
	/* the file being written */
	unsigned char block[BLOCK_SIZE];
	size_t fill;
	uint64_t start, size, sparse;
	uint32_t *blocks;
	size_t n_blocks, room;
	/* the tables */
	sqfs_id_table_t *ids;
	sqfs_xattr_writer_t *xattrs;
	sqfs_meta_writer_t *inodes, *dirs;
	sqfs_dir_writer_t *dir_writer;
	uint32_t inode_count;
};

static int file_read_at_offset(sqfs_file_t *base, sqfs_u64 offset, void *buffer, size_t size)
{
	struct out_file *f = (struct out_file *)base;

	for (size_t done = 0; done < size;) {
		ssize_t n = pread(f->fd, (char *)buffer + done, size - done, (off_t)(offset + done));

		if (n <= 0)
			return n < 0 ? SQFS_ERROR_IO : SQFS_ERROR_OUT_OF_BOUNDS;
		done += (size_t)n;
	}
	return 0;
}

static int file_write_at_offset(sqfs_file_t *base, sqfs_u64 offset, const void *data, size_t size)
{
	struct out_file *f = (struct out_file *)base;

	for (size_t done = 0; done < size;) {
		ssize_t n = pwrite(f->fd, (const char *)data + done, size - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			f->error = f->error ? f->error : errno;
			return SQFS_ERROR_IO;
		}
		done += (size_t)n;
	}
	if (offset + size > f->size)
		f->size = offset + size;
	return 0;
}

static sqfs_u64 file_get_size(const sqfs_file_t *base)
{
	return ((const struct out_file *)base)->size;
}

static int file_truncate(sqfs_file_t *base, sqfs_u64 size)
{
	struct out_file *f = (struct out_file *)base;

	if (ftruncate(f->fd, (off_t)size) < 0)
		return SQFS_ERROR_IO;
	f->size = size;
	return 0;
}

static void object_keep(sqfs_object_t *o)
{
	(void)o; /* part of struct squash */
}

/* "Did not get smaller": the caller then stores the block as it is. */
static sqfs_s32 store_plain(sqfs_compressor_t *c, const sqfs_u8 *in, sqfs_u32 size, sqfs_u8 *out, sqfs_u32 room)
{
	(void)c, (void)in, (void)size, (void)out, (void)room;
	return 0;
}

struct squash *squash_new(int fd)
{
	struct squash *s = xcalloc(1, sizeof(*s));

	s->file = (struct out_file){
		.base = { .base = { .destroy = object_keep },
			  .read_at = file_read_at_offset,
			  .write_at = file_write_at_offset,
			  .get_size = file_get_size,
			  .truncate = file_truncate },
		.fd = fd,
		.size = sizeof(s->super), /* its place; written last */
	};
	s->plain = (sqfs_compressor_t){ .base = { .destroy = object_keep }, .do_block = store_plain };
	return s;
}

void squash_free(struct squash *s)
{
	if (!s)
		return;
	sqfs_destroy(s->dir_writer);
	sqfs_destroy(s->dirs);
	sqfs_destroy(s->inodes);
	sqfs_destroy(s->xattrs);
	sqfs_destroy(s->ids);
	free(s->blocks);
	free(s);
}

static int squash_error(const struct squash *s, int code, struct err *e)
{
	if (s->file.error) {
		errno = s->file.error;
		return err_errno(e, "write the block image");
	}
	if (code == SQFS_ERROR_OVERFLOW)
		return err_set(e, ERR_LIMIT, E2BIG, "more owners, attributes or links than a block image can hold");
	return err_set(e, ERR_INTERNAL, EIO, "make the block image: libsquashfs error %d", code);
}

static void push_block(struct squash *s, uint32_t size)
{
	if (s->n_blocks == s->room) {
		s->room = s->room ? s->room * 2 : 64;
		s->blocks = xrealloc(s->blocks, s->room, sizeof(*s->blocks));
	}
	s->blocks[s->n_blocks++] = size;
}

static int flush_block(struct squash *s, struct err *e)
{
	int r;

	if (!s->fill)
		return 0;
	if (s->block[0] == 0 && memcmp(s->block, s->block + 1, s->fill - 1) == 0) {
		s->sparse += s->fill;
		push_block(s, 0);
	} else {
		r = file_write_at_offset(&s->file.base, s->file.size, s->block, s->fill);
		if (r)
			return squash_error(s, r, e);
		push_block(s, (uint32_t)s->fill | BLOCK_STORED);
	}
	s->fill = 0;
	return 0;
}

void squash_file_begin(struct squash *s)
{
	s->fill = 0;
	s->start = s->file.size;
	s->size = s->sparse = 0;
	s->n_blocks = 0;
}

static int put(struct squash *s, const unsigned char *data, uint64_t n, struct err *e)
{
	while (n) {
		size_t piece = BLOCK_SIZE - s->fill;
		int r;

		if (!data && !s->fill && n >= BLOCK_SIZE) {
			push_block(s, 0);
			s->sparse += BLOCK_SIZE;
			piece = BLOCK_SIZE;
		} else {
			if (piece > n)
				piece = (size_t)n;
			if (data)
				memcpy(s->block + s->fill, data, piece);
			else
				memset(s->block + s->fill, 0, piece);
			s->fill += piece;
		}
		if (s->fill == BLOCK_SIZE) {
			r = flush_block(s, e);
			if (r < 0)
				return r;
		}
		s->size += piece;
		n -= piece;
		if (data)
			data += piece;
	}
	return 0;
}

int squash_file_write(struct squash *s, uint64_t offset, const void *data, size_t n, struct err *e)
{
	int r;

	if (offset < s->size)
		return err_set(e, ERR_INVALID, EINVAL, "pieces of a sparse file overlap");
	r = put(s, NULL, offset - s->size, e);
	return r < 0 ? r : put(s, data, n, e);
}

int squash_file_end(struct squash *s, uint64_t size, sqfs_inode_generic_t **ret, struct err *e)
{
	_cleanup_free_ sqfs_inode_generic_t *inode = NULL;
	size_t bytes;
	int r;

	if (size < s->size)
		return err_set(e, ERR_INVALID, EINVAL, "more data than its size says");
	r = put(s, NULL, size - s->size, e);
	if (r == 0)
		r = flush_block(s, e);
	if (r < 0)
		return r;
	bytes = s->n_blocks * sizeof(*s->blocks);
	inode = xcalloc(1, sizeof(*inode) + bytes);
	inode->base.type = SQFS_INODE_FILE;
	inode->payload_bytes_available = inode->payload_bytes_used = (sqfs_u32)bytes;
	if (bytes)
		memcpy(inode->extra, s->blocks, bytes);
	if (s->sparse) {
		sqfs_inode_make_extended(inode);
		inode->data.file_ext.sparse = s->sparse;
		inode->data.file_ext.xattr_idx = XATTR_NONE;
	}
	sqfs_inode_set_file_size(inode, size);
	sqfs_inode_set_file_block_start(inode, s->start);
	sqfs_inode_set_frag_location(inode, 0xFFFFFFFF, 0xFFFFFFFF);
	*ret = TAKE_PTR(inode);
	return 0;
}

static int tables_begin(struct squash *s, struct err *e)
{
	sqfs_super_init(&s->super, BLOCK_SIZE, 0, SQFS_COMP_GZIP);
	s->ids = sqfs_id_table_create(0);
	s->xattrs = sqfs_xattr_writer_create(0);
	s->inodes = sqfs_meta_writer_create(&s->file.base, &s->plain, 0);
	s->dirs = sqfs_meta_writer_create(&s->file.base, &s->plain, SQFS_META_WRITER_KEEP_IN_MEMORY);
	s->dir_writer = s->dirs ? sqfs_dir_writer_create(s->dirs, 0) : NULL;
	if (!s->ids || !s->xattrs || !s->inodes || !s->dir_writer)
		return err_set(e, ERR_INTERNAL, ENOMEM, "make the block image: out of memory");
	s->super.inode_table_start = s->file.size;
	return 0;
}

static int add_xattrs(struct squash *s, const struct node *n, const struct inode *i, uint32_t *ret)
{
	bool opaque = n->opaque || (n->whiteout && S_ISDIR(i->mode));
	int r = sqfs_xattr_writer_begin(s->xattrs, 0);

	for (const struct xattr *x = i->xattrs; x && !r; x = x->next)
		r = sqfs_xattr_writer_add(s->xattrs, x->name, x->value, x->size);
	if (!r && opaque)
		r = sqfs_xattr_writer_add(s->xattrs, "trusted.overlay.opaque", "y", 1);
	return r ? r : sqfs_xattr_writer_end(s->xattrs, ret);
}

/* Common fields, then out to the inode table. */
static int write_inode(struct squash *s, sqfs_inode_generic_t *out, struct inode *i, uint32_t xattr)
{
	sqfs_u64 block;
	sqfs_u32 offset;
	int r;

	out->base.mode = (sqfs_u16)i->mode;
	out->base.mod_time = i->mtime;
	out->base.inode_number = i->number;
	r = sqfs_id_table_id_to_index(s->ids, i->uid, &out->base.uid_idx);
	if (!r)
		r = sqfs_id_table_id_to_index(s->ids, i->gid, &out->base.gid_idx);
	if (!r && xattr != XATTR_NONE)
		r = sqfs_inode_set_xattr_index(out, xattr);
	sqfs_meta_writer_get_position(s->inodes, &block, &offset);
	i->ref = (block << 16) | offset;
	return r ? r : sqfs_meta_writer_write_inode(s->inodes, out);
}

static int write_regular(struct squash *s, struct inode *i, uint32_t xattr)
{
	if (i->refs > 1) {
		sqfs_inode_make_extended(i->data);
		i->data->data.file_ext.nlink = i->refs;
		i->data->data.file_ext.xattr_idx = xattr;
	} else if (i->data->base.type == SQFS_INODE_EXT_FILE) {
		i->data->data.file_ext.nlink = 1;
	}
	return write_inode(s, i->data, i, xattr);
}

static int write_symlink(struct squash *s, struct inode *i, uint32_t xattr)
{
	size_t len = strlen(i->target);
	_cleanup_free_ sqfs_inode_generic_t *out = xcalloc(1, sizeof(*out) + len + 1);

	out->base.type = SQFS_INODE_SLINK;
	out->data.slink.nlink = i->refs;
	out->data.slink.target_size = (sqfs_u32)len;
	memcpy(out->extra, i->target, len);
	return write_inode(s, out, i, xattr);
}

/* A fifo, or a whiteout: the character device 0:0. */
static int write_special(struct squash *s, struct inode *i, uint32_t xattr)
{
	sqfs_inode_generic_t out = { .base = { .type = S_ISFIFO(i->mode) ? SQFS_INODE_FIFO : SQFS_INODE_CDEV } };

	if (S_ISFIFO(i->mode))
		out.data.ipc.nlink = i->refs;
	else
		out.data.dev.nlink = i->refs;
	return write_inode(s, &out, i, xattr);
}

static int write_leaf(struct squash *s, struct node *n)
{
	uint32_t xattr = XATTR_NONE;
	struct inode *i;
	int r;

	if (!n->inode)
		n->inode = inode_new(S_IFCHR);
	i = n->inode;
	if (i->number)
		return 0; /* written for another of its names */
	i->number = ++s->inode_count;
	r = add_xattrs(s, n, i, &xattr);
	if (r)
		return r;
	if (S_ISREG(i->mode))
		return write_regular(s, i, xattr);
	return S_ISLNK(i->mode) ? write_symlink(s, i, xattr) : write_special(s, i, xattr);
}

/* Its children are written. */
static int write_dir(struct squash *s, struct node *n, uint32_t parent)
{
	sqfs_inode_generic_t *out;
	uint32_t xattr = XATTR_NONE, subdirs = 0;
	int r = sqfs_dir_writer_begin(s->dir_writer, 0);

	for (size_t i = 0; i < n->n_children && !r; i++) {
		const struct inode *c = n->sorted[i]->inode;

		subdirs += S_ISDIR(c->mode) ? 1 : 0;
		r = sqfs_dir_writer_add_entry(s->dir_writer, n->sorted[i]->name, c->number, c->ref, (sqfs_u16)c->mode);
	}
	if (!r)
		r = sqfs_dir_writer_end(s->dir_writer);
	if (!r)
		r = add_xattrs(s, n, n->inode, &xattr);
	if (r)
		return r;
	out = sqfs_dir_writer_create_inode(s->dir_writer, 0, xattr, parent);
	if (!out)
		return SQFS_ERROR_ALLOC;
	if (out->base.type == SQFS_INODE_EXT_DIR)
		out->data.dir_ext.nlink = subdirs + 2;
	else
		out->data.dir.nlink = subdirs + 2;
	r = write_inode(s, out, n->inode, XATTR_NONE);
	sqfs_free(out);
	return r;
}

/* Children before their directory, which refers to them; without recursion. */
static int write_tree(struct squash *s, struct tree *t)
{
	struct node *n = t->root;
	int r = 0;

	n->inode->number = ++s->inode_count;
	node_sort(n);
	while (!r) {
		if (n->next < n->n_children) {
			struct node *child = n->sorted[n->next++];

			if (node_is_dir(child)) {
				child->inode->number = ++s->inode_count;
				node_sort(child);
				n = child;
			} else {
				r = write_leaf(s, child);
			}
			continue;
		}
		r = write_dir(s, n, n->parent ? n->parent->inode->number : (uint32_t)t->entries + 2);
		if (!n->parent)
			break;
		free(n->sorted);
		n->sorted = NULL;
		n = n->parent;
	}
	s->super.root_inode_ref = t->root->inode->ref;
	return r;
}

static int write_tables(struct squash *s, struct tree *t)
{
	int r = write_tree(s, t);

	if (!r)
		r = sqfs_meta_writer_flush(s->inodes);
	if (!r)
		r = sqfs_meta_writer_flush(s->dirs);
	s->super.directory_table_start = s->file.size;
	if (!r)
		r = sqfs_meta_write_write_to_file(s->dirs);
	s->super.inode_count = s->inode_count;
	s->super.fragment_table_start = TABLE_NONE;
	s->super.export_table_start = TABLE_NONE;
	s->super.xattr_id_table_start = TABLE_NONE;
	s->super.flags |= SQFS_FLAG_UNCOMPRESSED_INODES | SQFS_FLAG_UNCOMPRESSED_DATA |
			  SQFS_FLAG_UNCOMPRESSED_FRAGMENTS | SQFS_FLAG_NO_FRAGMENTS | SQFS_FLAG_UNCOMPRESSED_XATTRS |
			  SQFS_FLAG_UNCOMPRESSED_IDS;
	if (!r)
		r = sqfs_id_table_write(s->ids, &s->file.base, &s->super, &s->plain);
	if (!r)
		r = sqfs_xattr_writer_flush(s->xattrs, &s->file.base, &s->super, &s->plain);
	return r;
}

int squash_finish(struct squash *s, struct tree *t, struct err *e)
{
	int r = tables_begin(s, e);

	if (r < 0)
		return r;
	r = write_tables(s, t);
	if (r)
		return squash_error(s, r, e);
	s->super.bytes_used = s->file.size;
	r = sqfs_super_write(&s->super, &s->file.base);
	if (!r && s->file.size % DEVICE_BLOCK)
		r = file_truncate(&s->file.base, s->file.size + DEVICE_BLOCK - s->file.size % DEVICE_BLOCK);
	return r ? squash_error(s, r, e) : 0;
}
