/* SPDX-License-Identifier: Apache-2.0 */
/* The chunked decoder gives the same bytes and verdict whether it is fed at once or byte by byte. */
#include <stdint.h>
#include <string.h>

#include "base/log.h"
#include "wire/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int decode(const char *data, size_t n, size_t step, struct buf *out, size_t *ret_used)
{
	struct chunked c = { 0 };
	bool done = false;

	*ret_used = 0;
	while (*ret_used < n && !done) {
		size_t piece = n - *ret_used < step ? n - *ret_used : step;
		struct slice body;
		ssize_t r = chunked_decode(&c, data + *ret_used, piece, &body, &done);

		if (r < 0)
			return -1;
		if (r == 0 || (size_t)r > piece || body.n > piece)
			fatal("decode used %zd of %zu", r, piece);
		buf_append(out, body.p, body.n);
		*ret_used += (size_t)r;
	}
	return done;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	_cleanup_buf_ struct buf whole = { 0 }, bytes = { 0 };
	size_t used_whole, used_bytes;
	int a = decode((const char *)data, n, n ? n : 1, &whole, &used_whole);
	int b = decode((const char *)data, n, 1, &bytes, &used_bytes);

	if (a != b || buf_len(&whole) != buf_len(&bytes) || (a > 0 && used_whole != used_bytes))
		fatal("the pieces decide: %d, %d", a, b);
	if (buf_len(&whole) && memcmp(buf_ptr(&whole), buf_ptr(&bytes), buf_len(&whole)) != 0)
		fatal("the pieces decide about the bytes");
	return 0;
}
