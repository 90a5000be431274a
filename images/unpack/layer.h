/* SPDX-License-Identifier: Apache-2.0 */
/* One layer: its tar stream judged entry by entry and turned into a block image. */
#ifndef UNPACK_LAYER_H
#define UNPACK_LAYER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "images/unpack/input.h"

struct layer {
	char diff_id[SHA256_HEX + 1]; /* of the decompressed tar */
	uint64_t size;                /* bytes of its files */
};

/*
 * Reads blob_fd from its start. out_fd: an empty file that becomes the image,
 * or -1 to learn the diff id only. A refusal names the entry.
 */
int layer_convert(int blob_fd, int out_fd, struct layer *ret, struct err *e);

#endif
