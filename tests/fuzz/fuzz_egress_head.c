/* SPDX-License-Identifier: Apache-2.0 */
/* Targets and rebuilt heads: what is passed on parses again, for the same host and with the same framing. */
#include <stdlib.h>
#include <string.h>

#include "sidecar/egress/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void as_request(const char *data, size_t n, bool proxy)
{
	_cleanup_buf_ struct buf out = { 0 };
	struct http_head h, again;
	struct target t, t2;

	if (http_parse_request(data, n, &h, NULL) <= 0 || head_target(&h, proxy, 80, &t, NULL) < 0)
		return;
	if (t.connect)
		return;
	head_request(&h, &t, &out);
	if (http_parse_request(buf_ptr(&out), buf_len(&out), &again, NULL) != (ssize_t)buf_len(&out) ||
	    again.body != h.body || again.content_length != h.content_length || again.upgrade ||
	    head_target(&again, false, t.port, &t2, NULL) < 0 || strcmp(t.host, t2.host) != 0)
		abort();
}

static void as_response(const char *data, size_t n)
{
	_cleanup_buf_ struct buf out = { 0 };
	struct http_head h, again;

	if (http_parse_response(data, n, "GET", &h, NULL) <= 0)
		return;
	head_response(&h, h.body, true, &out);
	if (http_parse_response(buf_ptr(&out), buf_len(&out), "GET", &again, NULL) != (ssize_t)buf_len(&out) ||
	    again.body != h.body || again.status != h.status)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	as_request((const char *)data, n, true);
	as_request((const char *)data, n, false);
	as_response((const char *)data, n);
	return 0;
}
