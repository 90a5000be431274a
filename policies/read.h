/* SPDX-License-Identifier: Apache-2.0 */
/* Reading values out of a tree, with errors that say where; inside policies/ only. */
#ifndef POLICIES_READ_H
#define POLICIES_READ_H

#include "policies/policy.h"
#include "policies/tree.h"

struct check {
	const char *path; /* as the user named it */
	const struct node *root;
	struct policy *policy;
	struct policy_errors *errors;
};

/* Where in the tree a value is: a chain on the stack. index -1: the member name of up. */
struct at {
	const struct at *up;
	const char *name;
	int index;
};
#define AT_MEMBER(up_, name_) (&(struct at){ (up_), (name_), -1 })
#define AT_ITEM(up_, i_)      (&(struct at){ (up_), NULL, (int)(i_) })

#define RANK_FIRST 0
#define RANK_USUAL 1

void check_error(struct check *c, int rank, unsigned int line, const struct at *at, const char *fmt, ...)
	_printf_(5, 6);

typedef void (*field_fn)(struct check *c, const struct node *v, const struct at *at);

struct policy_field {
	const char *name; /* NULL ends the table */
	field_fn read;    /* NULL: known, and not enforced by this version */
	bool required;
};

/* Each member by its row; unknown, refused and missing ones are errors. */
void read_fields(struct check *c, const struct node *v, const struct at *at, const struct policy_field *fields);

/* Each: false after an error. */
bool read_kind(struct check *c, const struct node *v, const struct at *at, enum node_kind kind);
bool read_list(struct check *c, const struct node *v, const struct at *at, size_t max);
/* A string without control characters, of 1 … max bytes. */
bool read_text(struct check *c, const struct node *v, const struct at *at, size_t max);
bool read_number(struct check *c, const struct node *v, const struct at *at, int64_t min, int64_t max, uint64_t *ret);
/* "512m" or a number of bytes. */
bool read_size(struct check *c, const struct node *v, const struct at *at, uint64_t min, uint64_t max, uint64_t *ret);

#endif
