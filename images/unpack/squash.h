/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a squashfs image, uncompressed: the guest reads it faster, and its
 * pages are shared through the host's page cache. The blocks of files go out as
 * they come, the tables at the end, all in an order that the input alone decides.
 */
#ifndef UNPACK_SQUASH_H
#define UNPACK_SQUASH_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "images/unpack/tree.h"

struct squash;

/* fd stays the caller's: an empty file open for reading and writing. */
struct squash *squash_new(int fd);
void squash_free(struct squash *s);

/* One file at a time: pieces in rising order, what lies between them reads as zero. */
void squash_file_begin(struct squash *s);
int squash_file_write(struct squash *s, uint64_t offset, const void *data, size_t n, struct err *e);
/* Fills up to size; ret is the inode's block list, owned by the caller (free). */
int squash_file_end(struct squash *s, uint64_t size, sqfs_inode_generic_t **ret, struct err *e);

/* Writes all tables; the image is whole afterwards. */
int squash_finish(struct squash *s, struct tree *t, struct err *e);

static inline void cleanup_squash(struct squash **s)
{
	squash_free(*s);
}
#define _cleanup_squash_ _cleanup_(cleanup_squash)

#endif
