/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request targets, query strings, base64 and stream frames; in bottled, in the
 * sidecar's egress and in the bottle command. The bytes are a peer's: what does
 * not decode in exactly one way is refused.
 */
#include "wire/url.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

static int hex_value(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte of an escape at s[i], or -1. */
static int unescape(struct slice s, size_t i)
{
	int hi, lo;

	if (s.n - i < 3)
		return -1;
	hi = hex_value((unsigned char)s.p[i + 1]);
	lo = hex_value((unsigned char)s.p[i + 2]);
	return hi < 0 || lo < 0 ? -1 : hi << 4 | lo;
}

char *url_decode(struct slice s, bool plus)
{
	_cleanup_free_ char *out = xmalloc(s.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		int c = (unsigned char)s.p[i];

		if (c == '%') {
			c = unescape(s, i);
			i += 2;
		} else if (plus && c == '+') {
			c = ' ';
		}
		if (c <= 0)
			return NULL;
		out[n++] = (char)c;
	}
	out[n] = '\0';
	return TAKE_PTR(out);
}

static bool is_unreserved(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c && strchr("-._~", c));
}

void url_encode(struct buf *out, const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (is_unreserved(*p))
			buf_append(out, p, 1);
		else
			buf_printf(out, "%%%02X", *p);
	}
}

static int add_pair(struct query *q, struct slice s, struct err *e)
{
	const char *eq = memchr(s.p, '=', s.n);
	size_t klen = eq ? (size_t)(eq - s.p) : s.n;
	char *key, *value;

	if (q->n == QUERY_PAIRS_MAX)
		return err_set(e, ERR_INVALID, EBADMSG, "more than %d query parameters", QUERY_PAIRS_MAX);
	key = url_decode((struct slice){ s.p, klen }, true);
	value = eq ? url_decode((struct slice){ eq + 1, s.n - klen - 1 }, true) : xstrdup("");
	if (!key || !value) {
		free(key);
		free(value);
		return err_set(e, ERR_INVALID, EBADMSG, "a broken escape in the query");
	}
	q->pairs[q->n].key = key;
	q->pairs[q->n++].value = value;
	return 0;
}

int query_parse(struct query *q, struct slice s, struct err *e)
{
	q->n = 0;
	while (s.n) {
		const char *amp = memchr(s.p, '&', s.n);
		size_t n = amp ? (size_t)(amp - s.p) : s.n;
		int r = n ? add_pair(q, (struct slice){ s.p, n }, e) : 0;

		if (r < 0) {
			query_done(q);
			return r;
		}
		n += amp != NULL;
		s = (struct slice){ s.p + n, s.n - n };
	}
	return 0;
}

void query_done(struct query *q)
{
	for (size_t i = 0; i < q->n; i++) {
		free(q->pairs[i].key);
		free(q->pairs[i].value);
	}
	q->n = 0;
}

const char *query_nth(const struct query *q, const char *key, size_t i)
{
	for (size_t k = 0; k < q->n; k++)
		if (strcmp(q->pairs[k].key, key) == 0 && i-- == 0)
			return q->pairs[k].value;
	return NULL;
}

const char *query_get(const struct query *q, const char *key)
{
	return query_nth(q, key, 0);
}

bool query_bool(const struct query *q, const char *key, bool otherwise)
{
	static const char *const no[] = { "", "0", "no", "false", "none" };
	const char *v = query_get(q, key);
	size_t n;

	if (!v)
		return otherwise;
	v += strspn(v, " \t\r\n");
	for (n = strlen(v); n && strchr(" \t\r\n", v[n - 1]);)
		n--;
	for (size_t i = 0; i < ARRAY_SIZE(no); i++)
		if (strlen(no[i]) == n && strncasecmp(no[i], v, n) == 0)
			return false;
	return true;
}

static int base64_value(unsigned char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+' || c == '-')
		return 62;
	return c == '/' || c == '_' ? 63 : -1;
}

char *base64_decode(const char *s, size_t *ret_len)
{
	size_t n = strlen(s), len = 0, pad = 0;
	_cleanup_free_ char *out = NULL;
	uint32_t acc = 0;

	while (pad < 2 && n && s[n - 1] == '=') {
		pad++;
		n--;
	}
	if (n % 4 == 1 || (pad && (n + pad) % 4))
		return NULL;
	out = xmalloc(n / 4 * 3 + 4);
	for (size_t i = 0; i < n; i++) {
		int v = base64_value((unsigned char)s[i]);

		if (v < 0)
			return NULL;
		acc = acc << 6 | (uint32_t)v;
		if (i % 4)
			out[len++] = (char)(acc >> (6 - 2 * (i % 4)));
	}
	out[len] = '\0';
	*ret_len = len;
	return TAKE_PTR(out);
}

char *base64_encode(const void *data, size_t n)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *p = data;
	char *out = xmalloc((n + 2) / 3 * 4 + 1), *o = out;

	for (size_t i = 0; i < n; i += 3) {
		uint32_t v =
			(uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);

		*o++ = digits[v >> 18];
		*o++ = digits[v >> 12 & 63];
		*o++ = i + 1 < n ? digits[v >> 6 & 63] : '=';
		*o++ = i + 2 < n ? digits[v & 63] : '=';
	}
	*o = '\0';
	return out;
}

void stdcopy_head(unsigned char out[STDCOPY_HEAD], int stream, uint32_t size)
{
	memset(out, 0, STDCOPY_HEAD);
	out[0] = (unsigned char)stream;
	out[4] = (unsigned char)(size >> 24);
	out[5] = (unsigned char)(size >> 16);
	out[6] = (unsigned char)(size >> 8);
	out[7] = (unsigned char)size;
}

bool stdcopy_parse(const unsigned char head[STDCOPY_HEAD], int *ret_stream, uint32_t *ret_size)
{
	if (head[0] > 3 || head[1] || head[2] || head[3])
		return false;
	*ret_stream = head[0];
	*ret_size = (uint32_t)head[4] << 24 | (uint32_t)head[5] << 16 | (uint32_t)head[6] << 8 | head[7];
	return true;
}
