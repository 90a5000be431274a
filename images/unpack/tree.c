/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree of a layer's names; in image-unpack. Names come from a hostile tar
 * and were split and judged by layer.c before they get here.
 */
#include "images/unpack/tree.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "images/unpack/unpack.h"

struct inode *inode_new(mode_t mode)
{
	struct inode *i = xcalloc(1, sizeof(*i));

	i->refs = 1;
	i->mode = mode;
	return i;
}

void inode_unref(struct inode *i)
{
	if (!i || --i->refs)
		return;
	while (i->xattrs) {
		struct xattr *x = i->xattrs;

		i->xattrs = x->next;
		free(x->name);
		free(x->value);
		free(x);
	}
	free(i->target);
	free(i->data);
	free(i);
}

void inode_add_xattr(struct inode *i, const char *name, const void *value, size_t size)
{
	struct xattr *x = xcalloc(1, sizeof(*x)), **at = &i->xattrs;

	x->name = xstrdup(name);
	x->value = xmalloc(size + 1);
	memcpy(x->value, value, size);
	x->size = size;
	/* Kept sorted: the same tar gives the same image. */
	while (*at && strcmp((*at)->name, name) < 0)
		at = &(*at)->next;
	x->next = *at;
	*at = x;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct node *)a)->name, ((const struct node *)b)->name);
}

static struct node *node_new(struct node *parent, const char *name)
{
	struct node *n = xcalloc(1, sizeof(*n));

	n->name = xstrdup(name);
	n->parent = parent;
	n->depth = parent ? parent->depth + 1 : 0;
	return n;
}

/* Frees without recursion: a directory's children are detached one by one, the deepest first. */
static void node_free(struct node *n)
{
	while (n) {
		struct node *child = n->children ? *(struct node **)n->children : NULL, *parent = n->parent;

		if (child) {
			tdelete(child, &n->children, by_name);
			child->parent = n;
			n = child;
			continue;
		}
		inode_unref(n->inode);
		free(n->sorted);
		free(n->name);
		free(n);
		n = parent;
	}
}

void tree_init(struct tree *t)
{
	*t = (struct tree){ .root = node_new(NULL, "") };
	t->root->inode = inode_new(S_IFDIR | 0755);
}

void tree_done(struct tree *t)
{
	node_free(t->root);
	t->root = NULL;
}

struct node *node_child(const struct node *dir, const char *name)
{
	struct node key = { .name = (char *)(uintptr_t)name };
	struct node **found = tfind(&key, &dir->children, by_name);

	return found ? *found : NULL;
}

int node_make(struct tree *t, struct node *dir, const char *name, struct node **ret, struct err *e)
{
	struct node *n = node_child(dir, name);

	if (!n) {
		if (++t->entries > UNPACK_ENTRIES_MAX)
			return err_set(e, ERR_LIMIT, E2BIG, "more than %d entries", UNPACK_ENTRIES_MAX);
		n = node_new(dir, name);
		if (!tsearch(n, &dir->children, by_name)) {
			node_free(n);
			return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
		}
		dir->n_children++;
	}
	*ret = n;
	return 0;
}

static void take_sorted(const void *p, VISIT which, void *arg)
{
	struct node *n = arg;

	if (which == postorder || which == leaf)
		n->sorted[n->next++] = *(struct node *const *)p;
}

void node_sort(struct node *n)
{
	free(n->sorted);
	n->sorted = xcalloc(n->n_children + 1, sizeof(struct node *));
	n->next = 0;
	twalk_r(n->children, take_sorted, n);
	n->next = 0;
}
