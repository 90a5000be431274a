/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names of one layer, kept in memory while its tar goes by: what a later
 * entry means depends on the earlier ones. File contents are not here.
 */
#ifndef UNPACK_TREE_H
#define UNPACK_TREE_H

#include <stdbool.h>
#include <stdint.h>
#include <sqfs/inode.h>
#include <sys/stat.h>

#include "base/err.h"

struct xattr {
	char *name;
	void *value;
	size_t size;
	struct xattr *next;
};

/* A file; several nodes share it when they are hard links. */
struct inode {
	uint32_t refs;
	mode_t mode; /* type and permissions */
	uint32_t uid, gid, mtime;
	char *target; /* symbolic link */
	struct xattr *xattrs;
	sqfs_inode_generic_t *data; /* regular file: where its blocks are */
	/* squash.c, once it is written */
	uint32_t number;
	uint64_t ref;
};

struct node {
	char *name;
	struct node *parent; /* NULL: the root */
	struct inode *inode; /* NULL: the name is only whited out */
	bool whiteout;       /* hides what lower layers have under this name */
	bool opaque;         /* directory: hides all that lower layers have in it */
	unsigned int depth;
	void *children; /* tsearch(3) by name */
	size_t n_children;
	/* squash.c, while it is written */
	struct node **sorted;
	size_t next;
};

struct tree {
	struct node *root;
	size_t entries;
};

void tree_init(struct tree *t);
void tree_done(struct tree *t);

struct inode *inode_new(mode_t mode);
void inode_unref(struct inode *i);
void inode_add_xattr(struct inode *i, const char *name, const void *value, size_t size);

static inline bool node_is_dir(const struct node *n)
{
	return n->inode && S_ISDIR(n->inode->mode);
}

struct node *node_child(const struct node *dir, const char *name);
/* The child of that name, made without an inode when there is none. -E2BIG beyond UNPACK_ENTRIES_MAX. */
int node_make(struct tree *t, struct node *dir, const char *name, struct node **ret, struct err *e);
/* Fills n->sorted with its children in byte order. */
void node_sort(struct node *n);

#endif
