/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Targets and heads, in sidecar-egress; wire/http has parsed the bytes, here
 * they get their meaning. The agent's and the origin's heads are both rebuilt,
 * never copied, so that what one end hides from us the other end never sees.
 */
#include "sidecar/egress/head.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

/* RFC 9110 section 7.6.1, and what only ever concerned this hop. */
static const char *const hop_fields[] = {
	"Connection", "Keep-Alive", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "Content-Length", "HTTP2-Settings",
};

static int refuse(struct err *e, const char *text)
{
	return err_set(e, ERR_INVALID, EINVAL, "%s", text);
}

/* Splits "host[:port]"; *ret_port is kept when there is none. */
static int split_authority(struct slice s, struct slice *ret_host, uint16_t *ret_port, struct err *e)
{
	const char *colon = s.n ? memrchr(s.p, ':', s.n) : NULL;
	char digits[6] = "";
	uint64_t port;
	size_t n;

	*ret_host = s;
	if (!colon || s.p[s.n - 1] == ']' || (s.p[0] != '[' && memchr(s.p, ':', (size_t)(colon - s.p))))
		return 0;
	n = s.n - (size_t)(colon + 1 - s.p);
	if (n == 0 || n >= sizeof(digits))
		return refuse(e, "The port is not a number from 1 to 65535");
	memcpy(digits, colon + 1, n);
	digits[n] = '\0';
	if (str_u64(digits, 65535, &port) < 0 || port == 0)
		return refuse(e, "The port is not a number from 1 to 65535");
	ret_host->n = (size_t)(colon - s.p);
	*ret_port = (uint16_t)port;
	return 0;
}

static int read_host(struct slice s, uint16_t default_port, char ret_host[HOST_MAX + 1], uint16_t *ret_port,
		     struct err *e)
{
	uint16_t port = default_port;
	struct slice host;
	int r = split_authority(s, &host, &port, e);

	if (r < 0)
		return r;
	r = host_normalize(host.p, host.n, ret_host);
	if (r < 0)
		return refuse(e, "The request's host is no host name");
	if (r != HOST_NAME)
		return err_set(e, ERR_DENIED, EACCES,
			       "%s is an address: rules name hosts, so ask for the host by its name", ret_host);
	if (!port)
		return refuse(e, "The request's host has no port");
	*ret_port = port;
	return 0;
}

/* The Host field, when there is one, says what the target says. */
static int check_host_field(const struct http_head *h, const struct target *t, struct err *e)
{
	uint16_t port = t->connect ? t->port : 80;
	char host[HOST_MAX + 1];
	int r;

	if (!h->host.n)
		return h->minor == 0 || t->connect ? 0 : refuse(e, "The request has no Host");
	if (t->connect) {
		/* Some clients write the name alone here. */
		struct slice name;

		r = split_authority(h->host, &name, &port, e);
		if (r == 0 && host_normalize(name.p, name.n, host) != HOST_NAME)
			r = refuse(e, "The request's Host is no host name");
	} else {
		r = read_host(h->host, 80, host, &port, e);
	}
	if (r < 0)
		return r;
	if (!str_eq(host, t->host) || port != t->port)
		return err_set(e, ERR_DENIED, EACCES, "The request is for %s:%u and its Host field says %s:%u", t->host,
			       t->port, host, port);
	return 0;
}

/* "http://authority/path": 1 when it is of that form, 0 when it is of another. */
static int read_absolute(const struct http_head *h, struct target *t, struct err *e)
{
	static const char scheme[] = "http://";
	struct slice rest = h->target, authority;
	const char *slash;
	int r;

	if (rest.n < sizeof(scheme) - 1 || strncasecmp(rest.p, scheme, sizeof(scheme) - 1) != 0)
		return 0;
	rest.p += sizeof(scheme) - 1;
	rest.n -= sizeof(scheme) - 1;
	authority = rest;
	slash = NULL;
	for (size_t i = 0; i < rest.n && !slash; i++)
		if (rest.p[i] == '/' || rest.p[i] == '?')
			slash = rest.p + i;
	if (slash)
		authority.n = (size_t)(slash - rest.p);
	if (memchr(authority.p, '@', authority.n))
		return refuse(e, "The request's target carries a user name");
	if (slash && *slash == '?')
		return refuse(e, "The request's target has no path");
	t->path = slash ? (struct slice){ slash, rest.n - authority.n } : (struct slice){ "/", 1 };
	r = read_host(authority, 80, t->host, &t->port, e);
	return r < 0 ? r : 1;
}

static int read_origin(const struct http_head *h, struct target *t, struct err *e)
{
	t->path = h->target;
	if (h->target.p[0] != '/' && !(slice_eq(h->target, "*") && slice_eq(h->method, "OPTIONS")))
		return refuse(e, "The request's target is neither a path nor an http:// URL");
	if (!h->host.n)
		return refuse(e, "The request has no Host, so nobody can say whom it is for");
	return read_host(h->host, 80, t->host, &t->port, e);
}

int head_target(const struct http_head *h, bool proxy, uint16_t port, struct target *ret, struct err *e)
{
	struct target t = { .connect = slice_eq(h->method, "CONNECT") };
	int r;

	if (memchr(h->target.p, '#', h->target.n))
		return refuse(e, "The request's target has a fragment");
	if (h->upgrade && http_find(h, "Upgrade") && !slice_caseeq(http_find(h, "Upgrade")->value, "h2c"))
		return err_set(e, ERR_DENIED, EACCES, "Upgrade to " SLICE_FMT " is not allowed by any rule",
			       SLICE_ARG(http_find(h, "Upgrade")->value));
	if (t.connect) {
		if (!proxy || h->body != HTTP_BODY_NONE)
			return refuse(e, "CONNECT is for the proxy, and without a body");
		r = read_host(h->target, 0, t.host, &t.port, e);
	} else {
		r = read_absolute(h, &t, e);
		if (r == 0 && proxy)
			r = refuse(e, "This is a proxy: it takes http:// URLs and CONNECT");
		if (r == 0)
			r = read_origin(h, &t, e);
	}
	if (r < 0)
		return r;
	r = check_host_field(h, &t, e);
	if (r == 0 && !proxy && t.port != port)
		r = err_set(e, ERR_DENIED, EACCES, "The request names port %u and came to port %u", t.port, port);
	if (r == 0)
		*ret = t;
	return r;
}

/* Is name one of the comma-separated tokens of a Connection field? */
static bool connection_lists(const struct http_head *h, struct slice name)
{
	for (size_t i = 0; i < h->n_headers; i++) {
		struct slice v = h->headers[i].value;

		if (!slice_caseeq(h->headers[i].name, "Connection"))
			continue;
		while (v.n) {
			const char *comma = memchr(v.p, ',', v.n);
			size_t n = comma ? (size_t)(comma - v.p) : v.n, used = n + (comma != NULL);
			const char *p = v.p;

			for (; n && (*p == ' ' || *p == '\t'); n--)
				p++;
			for (; n && (p[n - 1] == ' ' || p[n - 1] == '\t'); n--)
				;
			if (n == name.n && strncasecmp(p, name.p, n) == 0)
				return true;
			v.p += used;
			v.n -= used;
		}
	}
	return false;
}

static bool passes(const struct http_head *h, struct slice name)
{
	for (size_t i = 0; i < ARRAY_SIZE(hop_fields); i++)
		if (slice_caseeq(name, hop_fields[i]))
			return false;
	if (name.n >= 6 && strncasecmp(name.p, "Proxy-", 6) == 0)
		return false;
	return !connection_lists(h, name);
}

static void put_slice(struct buf *out, struct slice s)
{
	buf_append(out, s.p, s.n);
}

static void put_fields(const struct http_head *h, bool host, struct buf *out)
{
	for (size_t i = 0; i < h->n_headers; i++) {
		struct slice name = h->headers[i].name;

		if (!passes(h, name) || (!host && slice_caseeq(name, "Host")))
			continue;
		put_slice(out, name);
		buf_puts(out, ": ");
		put_slice(out, h->headers[i].value);
		buf_puts(out, "\r\n");
	}
}

static void put_framing(const struct http_head *h, enum http_body body, struct buf *out)
{
	if (body == HTTP_BODY_CHUNKED)
		buf_puts(out, "Transfer-Encoding: chunked\r\n");
	else if (body == HTTP_BODY_LENGTH)
		buf_printf(out, "Content-Length: %llu\r\n", (unsigned long long)h->content_length);
}

void head_request(const struct http_head *h, const struct target *t, struct buf *out)
{
	put_slice(out, h->method);
	buf_puts(out, " ");
	put_slice(out, t->path);
	buf_printf(out, " HTTP/1.%d\r\nHost: %s", h->minor, t->host);
	if (t->port != 80)
		buf_printf(out, ":%u", t->port);
	buf_puts(out, "\r\n");
	put_fields(h, false, out);
	put_framing(h, h->body, out);
	buf_puts(out, "\r\n");
}

void head_response(const struct http_head *h, enum http_body body, bool keep_alive, struct buf *out)
{
	const struct http_header *length = http_find(h, "Content-Length");

	buf_printf(out, "HTTP/1.1 %d ", h->status);
	put_slice(out, h->reason);
	buf_puts(out, "\r\n");
	put_fields(h, true, out);
	if (body == HTTP_BODY_NONE && length) { /* of HEAD, and 304: the length of what is not sent */
		buf_puts(out, "Content-Length: ");
		put_slice(out, length->value);
		buf_puts(out, "\r\n");
	}
	put_framing(h, body, out);
	buf_puts(out, keep_alive ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n");
}
