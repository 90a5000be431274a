/* SPDX-License-Identifier: Apache-2.0 */
/* An engine's whole answer, as the bottle command reads it: head, body in its coding, docker's frames. */
#include <stdint.h>

#include "base/log.h"
#include "cli/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void look_at_frames(struct buf *body)
{
	struct frames f = { 0 };
	struct slice piece;
	ssize_t used;
	int stream;

	while (buf_len(body) && (used = frames_next(&f, body, &stream, &piece)) > 0) {
		if (piece.n && (piece.p < buf_ptr(body) || piece.p + piece.n > buf_ptr(body) + buf_len(body)))
			fatal("a piece outside of its frame");
		buf_consume(body, (size_t)used);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct stream s = { .fd = -1 };
	struct buf body = { 0 };
	struct err e = { 0 };
	int r = 0;

	buf_append(&s.in, data, n);
	if (n && stream_feed_head(&s, "GET", &e) > 0) {
		while (!s.done && (r = stream_decode(&s, &body, &e)) > 0)
			;
		if (buf_len(&body) > n)
			fatal("a body larger than its coding");
		look_at_frames(&body);
	}
	if (r < 0 && !e.text[0])
		fatal("refused without a reason");
	buf_done(&body);
	stream_done(&s);
	return 0;
}
