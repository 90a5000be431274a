/* SPDX-License-Identifier: Apache-2.0 */
/* A layer's tar from its first byte to its block image, in memory. */
#include <stdint.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "images/unpack/layer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	_cleanup_close_ int in = memfd_create("layer", MFD_CLOEXEC), out = memfd_create("image", MFD_CLOEXEC);
	struct layer layer = { 0 };
	struct err e = { 0 };
	int r;

	if (in < 0 || out < 0 || fd_write_all(in, data, n) < 0)
		return 0;
	r = layer_convert(in, out, &layer, &e);
	if (r < 0 && !e.text[0])
		abort(); /* a refusal without a reason */
	if (r == 0 && (!layer.diff_id[0] || lseek(out, 0, SEEK_END) % 4096))
		abort();
	return 0;
}
