/* SPDX-License-Identifier: Apache-2.0 */
/* Heads as request and as response: slices stay inside, and each proper prefix of a good head is incomplete. */
#include <stdint.h>
#include <string.h>

#include "base/log.h"
#include "wire/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void inside(struct slice s, const char *data, size_t n)
{
	if (s.n && (s.p < data || s.p + s.n > data + n))
		fatal("a slice outside of the head");
}

static void look(const struct http_head *h, const char *data, size_t n)
{
	inside(h->method, data, n);
	inside(h->target, data, n);
	inside(h->reason, data, n);
	inside(h->host, data, n);
	for (size_t i = 0; i < h->n_headers; i++) {
		inside(h->headers[i].name, data, n);
		inside(h->headers[i].value, data, n);
	}
}

static ssize_t parse(bool response, const char *data, size_t n, struct http_head *h)
{
	struct err e = { 0 };
	ssize_t r = response ? http_parse_response(data, n, NULL, h, &e) : http_parse_request(data, n, h, &e);

	if (r > (ssize_t)n || (r < 0 && e.code != -r))
		fatal("parse gave %zd", r);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	for (int response = 0; response < 2; response++) {
		struct http_head h;
		ssize_t r = parse(response, (const char *)data, n, &h);

		if (r <= 0)
			continue;
		look(&h, (const char *)data, (size_t)r);
		for (size_t k = (size_t)r > 64 ? (size_t)r - 64 : 0; k < (size_t)r; k++)
			if (parse(response, (const char *)data, k, &h) != 0)
				fatal("a prefix of %zu bytes is not incomplete", k);
	}
	return 0;
}
