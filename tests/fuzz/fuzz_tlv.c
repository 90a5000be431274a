/* SPDX-License-Identifier: Apache-2.0 */
/* Message fields from a less trusted peer: every field lies inside the message, the walk ends. */
#include <stdint.h>
#include <stdlib.h>

#include "base/tlv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct tlv_iter it;
	struct tlv_field f;
	size_t seen = 0;

	tlv_iter_init(&it, data, n);
	while (tlv_next(&it, &f) > 0) {
		uint32_t v32;
		uint64_t v64;

		if (f.data < data || f.data + f.len > data + n)
			abort();
		(void)tlv_get_u32(&f, &v32);
		(void)tlv_get_u64(&f, &v64);
		free(tlv_get_str(&f, 256));
		if (++seen > n)
			abort();
	}
	return 0;
}
