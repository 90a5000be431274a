/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 heads and the chunked coding; in bottled, in the sidecar's egress
 * and in the bottle command. Every byte comes from a peer that may lie: lines
 * are cut at CRLF only, each byte is checked against the grammar's class, and
 * what two readers could take in two ways is refused.
 */
#include "wire/http.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

#define TRAILER_MAX (16 * 1024) /* all trailer lines of one body together */

bool slice_eq(struct slice s, const char *text)
{
	return strlen(text) == s.n && (!s.n || memcmp(s.p, text, s.n) == 0);
}

bool slice_caseeq(struct slice s, const char *text)
{
	return strlen(text) == s.n && (!s.n || strncasecmp(s.p, text, s.n) == 0);
}

char *slice_dup(struct slice s)
{
	return s.n ? xstrndup(s.p, s.n) : xstrdup("");
}

static bool is_digit(unsigned char c)
{
	return c >= '0' && c <= '9';
}

static bool is_token(unsigned char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_visible(unsigned char c)
{
	return c > 0x20 && c < 0x7f;
}

/* Field content: visible, blank, tab and obs-text. */
static bool is_text(unsigned char c)
{
	return (c >= 0x20 && c != 0x7f) || c == '\t';
}

static bool all(struct slice s, bool (*is)(unsigned char))
{
	for (size_t i = 0; i < s.n; i++)
		if (!is((unsigned char)s.p[i]))
			return false;
	return true;
}

static struct slice trim(struct slice s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = (struct slice){ s.p + 1, s.n - 1 };
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

static int bad(struct err *e, const char *what)
{
	return err_set(e, ERR_INVALID, EBADMSG, "malformed HTTP: %s", what);
}

static int too_large(struct err *e, const char *what)
{
	return err_set(e, ERR_LIMIT, EMSGSIZE, "HTTP head too large: %s", what);
}

/*
 * The next line without its CRLF: 1 and *at behind it; 0 when its end is not
 * there yet, after what is there has been looked at.
 */
static int next_line(const char **at, const char *end, struct slice *ret, struct err *e)
{
	const char *lf = *at < end ? memchr(*at, '\n', (size_t)(end - *at)) : NULL;
	struct slice line = { *at, (size_t)((lf ? lf : end) - *at) };
	bool cr = line.n && line.p[line.n - 1] == '\r';

	if (lf && !cr)
		return bad(e, "a line that does not end in CR LF");
	line.n -= cr;
	if (!all(line, is_text))
		return bad(e, "a control byte in the head");
	if (!lf)
		return 0;
	*ret = line;
	*at = lf + 1;
	return 1;
}

static int parse_version(struct slice s, int *ret_minor, struct err *e)
{
	*ret_minor = slice_eq(s, "HTTP/1.1");
	return *ret_minor || slice_eq(s, "HTTP/1.0") ? 0 : bad(e, "a version other than HTTP/1.0 and HTTP/1.1");
}

static int parse_request_line(struct slice line, struct http_head *h, struct err *e)
{
	const char *end = line.p + line.n, *a = memchr(line.p, ' ', line.n);
	const char *b = a ? memchr(a + 1, ' ', (size_t)(end - a - 1)) : NULL;

	if (!b)
		return bad(e, "a request line without three parts");
	h->method = (struct slice){ line.p, (size_t)(a - line.p) };
	h->target = (struct slice){ a + 1, (size_t)(b - a - 1) };
	if (!h->method.n || !all(h->method, is_token))
		return bad(e, "the method");
	if (!h->target.n || !all(h->target, is_visible))
		return bad(e, "the request target");
	return parse_version((struct slice){ b + 1, (size_t)(end - b - 1) }, &h->minor, e);
}

static int parse_status_line(struct slice line, struct http_head *h, struct err *e)
{
	const char *p = line.p;
	int r;

	/* Servers that leave out the blank in front of an empty reason are common. */
	if (line.n < 12 || p[8] != ' ' || (line.n > 12 && p[12] != ' '))
		return bad(e, "the status line");
	r = parse_version((struct slice){ p, 8 }, &h->minor, e);
	if (r < 0)
		return r;
	if (p[9] < '1' || p[9] > '9' || !is_digit((unsigned char)p[10]) || !is_digit((unsigned char)p[11]))
		return bad(e, "the status code");
	h->status = (p[9] - '0') * 100 + (p[10] - '0') * 10 + p[11] - '0';
	h->reason = line.n > 13 ? (struct slice){ p + 13, line.n - 13 } : (struct slice){ p + line.n, 0 };
	return 0;
}

static int parse_field(struct slice line, struct http_head *h, struct err *e)
{
	const char *colon = memchr(line.p, ':', line.n);
	struct http_header *f = &h->headers[h->n_headers];

	if (line.p[0] == ' ' || line.p[0] == '\t')
		return bad(e, "a folded field");
	if (!colon)
		return bad(e, "a field without a colon");
	if (h->n_headers == HTTP_HEADERS_MAX)
		return too_large(e, "too many fields");
	f->name = (struct slice){ line.p, (size_t)(colon - line.p) };
	f->value = trim((struct slice){ colon + 1, (size_t)(line.p + line.n - colon - 1) });
	if (!f->name.n || !all(f->name, is_token))
		return bad(e, "a field name");
	h->n_headers++;
	return 0;
}

/* ---- the fields that decide about framing ---- */

struct framing {
	bool has_length, has_coding, has_host, has_upgrade;
	bool close, keep_alive, upgrade;
};

static int on_length(struct http_head *h, struct framing *f, struct slice v, struct err *e)
{
	uint64_t n = 0;

	if (!v.n || v.n > 18 || !all(v, is_digit))
		return bad(e, "Content-Length");
	for (size_t i = 0; i < v.n; i++)
		n = n * 10 + (uint64_t)(v.p[i] - '0');
	if (f->has_length && n != h->content_length)
		return bad(e, "two differing Content-Lengths");
	f->has_length = true;
	h->content_length = n;
	return 0;
}

static int on_coding(struct http_head *h, struct framing *f, struct slice v, struct err *e)
{
	if (f->has_coding || !slice_caseeq(v, "chunked"))
		return bad(e, "a Transfer-Encoding other than one \"chunked\"");
	if (h->minor == 0)
		return bad(e, "Transfer-Encoding in HTTP/1.0");
	f->has_coding = true;
	return 0;
}

static int on_host(struct http_head *h, struct framing *f, struct slice v, struct err *e)
{
	if (f->has_host)
		return bad(e, "two Host fields");
	f->has_host = true;
	h->host = v;
	return 0;
}

static int on_connection(struct http_head *h, struct framing *f, struct slice v, struct err *e)
{
	(void)h;
	(void)e;
	while (v.n) {
		const char *comma = memchr(v.p, ',', v.n);
		size_t n = comma ? (size_t)(comma - v.p) : v.n;
		struct slice option = trim((struct slice){ v.p, n });

		f->close |= slice_caseeq(option, "close");
		f->keep_alive |= slice_caseeq(option, "keep-alive");
		f->upgrade |= slice_caseeq(option, "upgrade");
		n += comma != NULL;
		v = (struct slice){ v.p + n, v.n - n };
	}
	return 0;
}

static int on_upgrade(struct http_head *h, struct framing *f, struct slice v, struct err *e)
{
	(void)h;
	(void)e;
	f->has_upgrade |= v.n > 0;
	return 0;
}

static int on_expect(struct http_head *h, struct framing *f, struct slice v, struct err *e)
{
	(void)f;
	(void)e;
	h->expect_continue |= h->minor == 1 && slice_caseeq(v, "100-continue");
	return 0;
}

static const struct {
	const char *name;
	int (*fn)(struct http_head *h, struct framing *f, struct slice v, struct err *e);
} framing_fields[] = {
	{ "Content-Length", on_length }, { "Transfer-Encoding", on_coding }, { "Host", on_host },
	{ "Connection", on_connection }, { "Upgrade", on_upgrade },          { "Expect", on_expect },
};

static int frame(struct http_head *h, struct err *e)
{
	struct framing f = { 0 };

	for (size_t i = 0; i < h->n_headers; i++) {
		for (size_t k = 0; k < ARRAY_SIZE(framing_fields); k++) {
			int r = 0;

			if (slice_caseeq(h->headers[i].name, framing_fields[k].name))
				r = framing_fields[k].fn(h, &f, h->headers[i].value, e);
			if (r < 0)
				return r;
		}
	}
	if (f.has_length && f.has_coding)
		return bad(e, "Content-Length together with Transfer-Encoding");
	h->body = f.has_coding ? HTTP_BODY_CHUNKED : f.has_length ? HTTP_BODY_LENGTH : HTTP_BODY_NONE;
	h->keep_alive = !f.close && (h->minor == 1 || f.keep_alive);
	h->upgrade = f.upgrade && f.has_upgrade;
	return 0;
}

static ssize_t parse_head(const char *data, size_t n, struct http_head *h,
			  int (*first)(struct slice, struct http_head *, struct err *), struct err *e)
{
	const char *at = data, *end = data + (n < HTTP_HEAD_MAX ? n : HTTP_HEAD_MAX);
	struct slice line;
	bool begun = false;
	int r;

	memset(h, 0, sizeof(*h));
	while ((r = next_line(&at, end, &line, e)) > 0) {
		if (begun && !line.n) {
			r = frame(h, e);
			return r < 0 ? r : at - data;
		}
		r = begun ? parse_field(line, h, e) : first(line, h, e);
		if (r < 0)
			return r;
		begun = true;
	}
	if (r == 0 && n >= HTTP_HEAD_MAX)
		return too_large(e, "no end of the head");
	return r;
}

ssize_t http_parse_request(const char *data, size_t n, struct http_head *ret, struct err *e)
{
	return parse_head(data, n, ret, parse_request_line, e);
}

ssize_t http_parse_response(const char *data, size_t n, const char *request_method, struct http_head *ret,
			    struct err *e)
{
	ssize_t len = parse_head(data, n, ret, parse_status_line, e);
	bool head = request_method && strcmp(request_method, "HEAD") == 0;
	bool tunnel = request_method && strcmp(request_method, "CONNECT") == 0 && ret->status / 100 == 2;

	if (len <= 0)
		return len;
	if (head || tunnel || ret->status / 100 == 1 || ret->status == 204 || ret->status == 304)
		ret->body = HTTP_BODY_NONE;
	else if (ret->body == HTTP_BODY_NONE)
		ret->body = HTTP_BODY_EOF;
	ret->keep_alive &= ret->body != HTTP_BODY_EOF;
	return len;
}

const struct http_header *http_find(const struct http_head *h, const char *name)
{
	for (size_t i = 0; i < h->n_headers; i++)
		if (slice_caseeq(h->headers[i].name, name))
			return &h->headers[i];
	return NULL;
}

/* ---- chunked ---- */

enum chunk_state {
	CHUNK_SIZE_FIRST,
	CHUNK_SIZE,
	CHUNK_EXTENSION,
	CHUNK_SIZE_LF,
	CHUNK_DATA,
	CHUNK_DATA_CR,
	CHUNK_DATA_LF,
	CHUNK_TRAILER_FIRST, /* left counts the bytes of all trailer lines */
	CHUNK_TRAILER,
	CHUNK_TRAILER_LF,
	CHUNK_END_LF,
	CHUNK_DONE,
};

static int hex_value(unsigned char c)
{
	if (is_digit(c))
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int expect(unsigned char c, char want, enum chunk_state next)
{
	return c == (unsigned char)want ? (int)next : -EBADMSG;
}

static int on_size(struct chunked *c, unsigned char ch)
{
	int digit = hex_value(ch);

	if (digit >= 0) {
		if (c->left >> 56)
			return -EBADMSG;
		c->left = c->left << 4 | (uint64_t)digit;
		return CHUNK_SIZE;
	}
	if (c->state == CHUNK_SIZE_FIRST)
		return -EBADMSG;
	return ch == ';' ? CHUNK_EXTENSION : expect(ch, '\r', CHUNK_SIZE_LF);
}

static int on_trailer(struct chunked *c, unsigned char ch)
{
	if (++c->left > TRAILER_MAX)
		return -EBADMSG;
	if (ch == '\r')
		return c->state == CHUNK_TRAILER_FIRST ? CHUNK_END_LF : CHUNK_TRAILER_LF;
	if (c->state == CHUNK_TRAILER_FIRST ? !is_token(ch) : !is_text(ch))
		return -EBADMSG;
	return CHUNK_TRAILER;
}

/* One byte outside of chunk data: the next state or -EBADMSG. */
static int chunk_step(struct chunked *c, unsigned char ch)
{
	switch (c->state) {
	case CHUNK_SIZE_FIRST:
	case CHUNK_SIZE:
		return on_size(c, ch);
	case CHUNK_EXTENSION:
		if (ch == '\r')
			return CHUNK_SIZE_LF;
		return is_text(ch) ? CHUNK_EXTENSION : -EBADMSG;
	case CHUNK_SIZE_LF:
		return expect(ch, '\n', c->left ? CHUNK_DATA : CHUNK_TRAILER_FIRST);
	case CHUNK_DATA_CR:
		return expect(ch, '\r', CHUNK_DATA_LF);
	case CHUNK_DATA_LF:
		return expect(ch, '\n', CHUNK_SIZE_FIRST);
	case CHUNK_TRAILER_FIRST:
	case CHUNK_TRAILER:
		return on_trailer(c, ch);
	case CHUNK_TRAILER_LF:
		return expect(ch, '\n', CHUNK_TRAILER_FIRST);
	case CHUNK_END_LF:
		return expect(ch, '\n', CHUNK_DONE);
	default:
		return -EBADMSG;
	}
}

ssize_t chunked_decode(struct chunked *c, const char *data, size_t n, struct slice *ret_body, bool *ret_done)
{
	size_t used = 0;

	*ret_body = (struct slice){ data, 0 };
	*ret_done = c->state == CHUNK_DONE;
	while (used < n && c->state != CHUNK_DONE) {
		int next;

		if (c->state == CHUNK_DATA) {
			size_t run = n - used < c->left ? n - used : (size_t)c->left;

			*ret_body = (struct slice){ data + used, run };
			c->left -= run;
			if (!c->left)
				c->state = CHUNK_DATA_CR;
			return (ssize_t)(used + run);
		}
		next = chunk_step(c, (unsigned char)data[used++]);
		if (next < 0 || ++c->line > CHUNK_LINE_MAX)
			return -EBADMSG;
		if (next == CHUNK_SIZE_FIRST || next == CHUNK_DATA || next == CHUNK_TRAILER_FIRST)
			c->line = 0;
		c->state = next;
	}
	*ret_done = c->state == CHUNK_DONE;
	return (ssize_t)used;
}

void chunked_encode(struct buf *out, const void *data, size_t n)
{
	buf_printf(out, "%zx\r\n", n);
	buf_append(out, data, n);
	buf_append(out, "\r\n", 2);
}

static const struct {
	int status;
	const char *reason;
} reasons[] = {
	{ 100, "Continue" },
	{ 101, "UPGRADED" },
	{ 200, "OK" },
	{ 201, "Created" },
	{ 202, "Accepted" },
	{ 204, "No Content" },
	{ 206, "Partial Content" },
	{ 301, "Moved Permanently" },
	{ 302, "Found" },
	{ 304, "Not Modified" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 406, "Not Acceptable" },
	{ 407, "Proxy Authentication Required" },
	{ 408, "Request Timeout" },
	{ 409, "Conflict" },
	{ 411, "Length Required" },
	{ 413, "Content Too Large" },
	{ 414, "URI Too Long" },
	{ 415, "Unsupported Media Type" },
	{ 417, "Expectation Failed" },
	{ 421, "Misdirected Request" },
	{ 429, "Too Many Requests" },
	{ 431, "Request Header Fields Too Large" },
	{ 451, "Unavailable For Legal Reasons" },
	{ 500, "Internal Server Error" },
	{ 501, "Not Implemented" },
	{ 502, "Bad Gateway" },
	{ 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" },
};

const char *http_reason(int status)
{
	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Unknown";
}
