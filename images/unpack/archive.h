/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of an archive that holds images, put aside in the job's directory
 * under names of our own: the archive says what they are only at its end.
 */
#ifndef UNPACK_ARCHIVE_H
#define UNPACK_ARCHIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "images/unpack/input.h"
#include "images/unpack/layer.h"

struct member {
	char *name; /* in the archive, without "./" */
	char *link; /* NULL, or the name that it stands for */
	char hex[SHA256_HEX + 1];
	uint64_t size;
	unsigned int number; /* blobs/part-NUMBER until it is kept */
	bool kept;           /* blobs/HEX */
	/* image.c, when it is a layer that was converted */
	bool converted, known;
	struct layer layer;
};

struct members {
	int blobs_fd;
	struct member *list;
	size_t n, room;
};

/* Makes blobs/ below dir_fd. */
int members_init(struct members *m, int dir_fd, struct err *e);
void members_done(struct members *m);

/* Reads a whole archive from fd. */
int members_read_archive(struct members *m, int fd, struct err *e);
/* Reads fd as one file. */
int members_read_file(struct members *m, int fd, const char *name, struct member **ret, struct err *e);
/* Adds a file of our own making. */
int members_add(struct members *m, const char *name, const void *data, size_t n, struct member **ret, struct err *e);

/* By name, links followed; NULL when there is none. */
struct member *members_find(struct members *m, const char *name);
/* Reads it whole, at most UNPACK_JSON_MAX bytes, with a NUL behind. */
int member_text(struct members *m, struct member *f, char **ret, size_t *ret_len, struct err *e);
int member_open(struct members *m, const struct member *f, struct err *e);
/* Gives it its final name; what is not kept is removed by members_done. */
int member_keep(struct members *m, struct member *f, struct err *e);

#endif
