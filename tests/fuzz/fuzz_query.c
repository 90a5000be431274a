/* SPDX-License-Identifier: Apache-2.0 */
/* Query strings, percent-decoding and base64: what decodes survives a round trip. */
#include <stdint.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "wire/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void round_trip(const char *value)
{
	_cleanup_buf_ struct buf out = { 0 };
	_cleanup_free_ char *back = NULL;

	url_encode(&out, value);
	back = url_decode((struct slice){ buf_cstr(&out), buf_len(&out) }, true);
	if (!back || strcmp(back, value) != 0)
		fatal("encoding changed a value");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	_cleanup_free_ char *text = xstrndup((const char *)data, n), *bytes = NULL, *again = NULL;
	struct slice s = { (const char *)data, n };
	struct query q;
	size_t len;

	if (query_parse(&q, s, NULL) == 0) {
		for (size_t i = 0; i < q.n; i++) {
			round_trip(q.pairs[i].key);
			round_trip(q.pairs[i].value);
			query_bool(&q, q.pairs[i].key, false);
		}
		query_done(&q);
	}
	bytes = base64_decode(text, &len);
	again = bytes ? base64_encode(bytes, len) : NULL;
	if (again) {
		size_t back_len;
		_cleanup_free_ char *back = base64_decode(again, &back_len);

		if (!back || back_len != len || memcmp(back, bytes, len) != 0)
			fatal("base64 changed its bytes");
	}
	return 0;
}
