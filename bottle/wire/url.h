/* SPDX-License-Identifier: Apache-2.0 */
/* Request targets (RFC 3986): percent-decoding, query strings; and the small codings of the Engine API. */
#ifndef WIRE_URL_H
#define WIRE_URL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "wire/http.h"

/* Decoded copy; NULL for a broken escape or a NUL. plus: '+' is a blank (queries). */
char *url_decode(struct slice s, bool plus);
/* Appends text with everything but unreserved characters escaped. */
void url_encode(struct buf *out, const char *text);

#define QUERY_PAIRS_MAX 256

struct query {
	struct {
		char *key, *value;
	} pairs[QUERY_PAIRS_MAX];
	size_t n;
};

/* Decodes "a=b&c"; a pair beyond QUERY_PAIRS_MAX or a broken escape is -EBADMSG. */
int query_parse(struct query *q, struct slice s, struct err *e);
void query_done(struct query *q);
/* The first value of key, NULL when absent. */
const char *query_get(const struct query *q, const char *key);
/* The i-th value of a repeated key, NULL behind the last. */
const char *query_nth(const struct query *q, const char *key, size_t i);
/* Docker's booleans (engine-api.md, 1.6): "", 0, no, false, none are false. */
bool query_bool(const struct query *q, const char *key, bool otherwise);

/* base64, standard or URL alphabet, padded or not. Owned bytes and their length, or NULL. */
char *base64_decode(const char *s, size_t *ret_len);
char *base64_encode(const void *data, size_t n);

/* docker's multiplexed stream: the 8-byte head of a frame (engine-api.md, section 3). */
#define STDCOPY_HEAD 8
void stdcopy_head(unsigned char out[STDCOPY_HEAD], int stream, uint32_t size);
/* false: not a frame head. */
bool stdcopy_parse(const unsigned char head[STDCOPY_HEAD], int *ret_stream, uint32_t *ret_size);

#endif
