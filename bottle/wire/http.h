/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 heads (RFC 9110, RFC 9112), strict: what a smuggler could use is an
 * error, not a choice. No allocation; slices point into the caller's bytes.
 * Used by bottled (requests of clients), the sidecar's egress (requests of the
 * agent, responses of upstreams) and the bottle command (responses of bottled).
 *
 * Refused: bare CR or LF, obs-fold, blanks before a colon or in a name, control
 * bytes, NUL, a request line without exactly three parts, versions other than
 * 1.0 and 1.1, Content-Length with Transfer-Encoding, differing or malformed
 * Content-Lengths, Transfer-Encoding other than exactly one "chunked", two Host
 * fields, more than HTTP_HEADERS_MAX fields.
 */
#ifndef WIRE_HTTP_H
#define WIRE_HTTP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

#define HTTP_HEADERS_MAX 100
/* A whole head. dockerode repeats each create option in the query: request lines beyond 64 KiB are real. */
#define HTTP_HEAD_MAX (256 * 1024)

struct slice {
	const char *p;
	size_t n;
};

#define SLICE_FMT    "%.*s"
#define SLICE_ARG(s) (int)(s).n, (s).p

bool slice_eq(struct slice s, const char *text);
bool slice_caseeq(struct slice s, const char *text);
char *slice_dup(struct slice s);

struct http_header {
	struct slice name, value; /* the value without blanks around it */
};

enum http_body { HTTP_BODY_NONE, HTTP_BODY_LENGTH, HTTP_BODY_CHUNKED, HTTP_BODY_EOF /* responses only */ };

struct http_head {
	/* request */
	struct slice method, target;
	/* response */
	int status;
	struct slice reason;
	/* both */
	int minor; /* HTTP/1.<minor> */
	struct http_header headers[HTTP_HEADERS_MAX];
	size_t n_headers;
	enum http_body body;
	uint64_t content_length; /* with HTTP_BODY_LENGTH */
	bool keep_alive;         /* by version and Connection */
	bool upgrade;            /* "Connection: upgrade" and an Upgrade field */
	bool expect_continue;
	struct slice host; /* n == 0 when absent */
};

/*
 * Parses a head at the start of data. > 0: its length; 0: incomplete (every
 * proper prefix of a good head is); -EBADMSG: malformed, e says how;
 * -EMSGSIZE: longer than HTTP_HEAD_MAX or too many fields.
 */
ssize_t http_parse_request(const char *data, size_t n, struct http_head *ret, struct err *e);
/* request_method decides about the body (HEAD, CONNECT); may be NULL. */
ssize_t http_parse_response(const char *data, size_t n, const char *request_method, struct http_head *ret,
			    struct err *e);

/* The first field of that name (any case), or NULL. */
const struct http_header *http_find(const struct http_head *h, const char *name);

/* Chunked coding (RFC 9112 section 7.1), decoded in place and step by step. Zero it before the first call. */
struct chunked {
	int state;
	uint64_t left;
	unsigned int line; /* length of the current size or trailer line */
};
#define CHUNK_LINE_MAX 1024 /* a size line with extensions; a trailer line */

/*
 * Reads coded bytes at data and gives one run of body bytes: ret_body points
 * into data. Returns how many coded bytes were used (call again with the rest),
 * 0 when more are needed, -EBADMSG. *ret_done turns true behind the last chunk's trailer.
 */
ssize_t chunked_decode(struct chunked *c, const char *data, size_t n, struct slice *ret_body, bool *ret_done);
/* Appends one coded chunk; n == 0 appends the end. */
void chunked_encode(struct buf *out, const void *data, size_t n);

const char *http_reason(int status);

#endif
