/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A policy file as a tree in which every value knows its line. JSON and YAML
 * give the same tree; what is read from it does not know which it was.
 */
#ifndef POLICIES_TREE_H
#define POLICIES_TREE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

#define TREE_DEPTH_MAX 16
#define TREE_NODES_MAX 200000
#define TREE_KEYS_MAX  256  /* of one object */
#define TREE_TEXT_MAX  4096 /* one scalar or key */

enum node_kind { NODE_NULL, NODE_BOOL, NODE_INT, NODE_REAL, NODE_STRING, NODE_LIST, NODE_MAP, NODE_KIND_NUM };

struct node {
	enum node_kind kind;
	unsigned int line;   /* of the value; in a map, of its key */
	char *key;           /* in a map */
	char *text;          /* NODE_STRING */
	int64_t number;      /* NODE_INT, NODE_BOOL */
	struct node **items; /* NODE_LIST, NODE_MAP */
	size_t n;
};

/* "a string", "a list": for messages. */
const char *node_kind_name(enum node_kind kind);
/* The member of a map, or NULL (also when n is no map, or NULL). */
const struct node *node_get(const struct node *n, const char *key);
void node_free(struct node *n);

/* 0, or -errno with e->text, and *ret_line the line that is at fault. Duplicate keys, depth and sizes are checked here. */
int tree_from_json(const char *text, size_t n, struct node **ret, unsigned int *ret_line, struct err *e);
int tree_from_yaml(const char *text, size_t n, struct node **ret, unsigned int *ret_line, struct err *e);

#endif
