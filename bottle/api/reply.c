/* SPDX-License-Identifier: Apache-2.0 */
/* The answers of the Engine socket: whole, streamed or the connection itself; in bottled. The client may stop reading. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "api/conn.h"
#include "api/json.h"
#include "base/fd.h"
#include "base/mem.h"

static const int class_status[ERR_CLASS_NUM] = {
	[ERR_INTERNAL] = 500, [ERR_INVALID] = 400, [ERR_DENIED] = 403,      [ERR_NOTFOUND] = 404,
	[ERR_CONFLICT] = 409, [ERR_LIMIT] = 413,   [ERR_UNSUPPORTED] = 501, [ERR_UNAVAILABLE] = 503,
};

static struct exchange *exchange_of(struct request *r)
{
	return (struct exchange *)r;
}

static bool has_body(int status)
{
	return status / 100 != 1 && status != 204 && status != 304;
}

/* Status line and the fields that every answer has (engine-api.md, 1.10). */
static void put_head(struct conn *c, int status)
{
	time_t now = time(NULL);
	char date[64];
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	buf_printf(&c->out,
		   "HTTP/1.1 %d %s\r\nApi-Version: 1.%d\r\nDocker-Experimental: false\r\nOstype: linux\r\n"
		   "Server: Docker/28.2.2 (linux)\r\nDate: %s\r\n",
		   status, http_reason(status), API_VERSION_MAX - 100, date);
	if (c->close_after)
		buf_puts(&c->out, "Connection: close\r\n");
}

static void put_body(struct conn *c, int status, const char *content_type, const char *text, size_t n, bool head_only)
{
	if (has_body(status)) {
		if (content_type)
			buf_printf(&c->out, "Content-Type: %s\r\n", content_type);
		buf_printf(&c->out, "Content-Length: %zu\r\n", n);
	}
	buf_puts(&c->out, "\r\n");
	if (has_body(status) && !head_only)
		buf_append(&c->out, text, n);
}

static void put_message(struct buf *out, const char *text)
{
	_cleanup_json_ json_t *j = json_pack("{s:s}", "message", text);
	_cleanup_free_ char *line = json_text(j);

	buf_printf(out, "%s\n", line ? line : "{\"message\":\"an error whose text is not UTF-8\"}");
}

void reply_bad_head(struct conn *c, int status, const char *text)
{
	_cleanup_buf_ struct buf body = { 0 };

	c->close_after = true;
	put_message(&body, text);
	put_head(c, status);
	put_body(c, status, "application/json", buf_ptr(&body), buf_len(&body), false);
	conn_flush(c);
}

void reply_continue(struct conn *c)
{
	if (c->want_continue && !c->broken && !c->zombie) {
		buf_puts(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
		conn_flush(c);
	}
	c->want_continue = false;
}

static void reply_whole(struct request *r, int status, const char *content_type, const char *text, size_t n)
{
	struct exchange *x = exchange_of(r);
	struct conn *c = r->conn;

	/* A client that waits for 100 Continue never sends its body: nothing to drop. */
	c->close_after |= c->want_continue;
	put_head(c, status);
	buf_append(&c->out, buf_ptr(&x->fields), buf_len(&x->fields));
	put_body(c, status, content_type, text, n, x->head_only);
	exchange_end(c);
}

void reply_json(struct request *r, int status, json_t *json)
{
	_cleanup_free_ char *text = json_text(json);
	_cleanup_buf_ struct buf line = { 0 };

	json_decref(json);
	if (!text) {
		reply_message(r, 500, "the answer cannot be written as JSON");
		return;
	}
	buf_printf(&line, "%s\n", text);
	reply_whole(r, status, "application/json", buf_ptr(&line), buf_len(&line));
}

void reply_text(struct request *r, int status, const char *content_type, const char *text)
{
	reply_whole(r, status, content_type, text, strlen(text));
}

void reply_empty(struct request *r, int status)
{
	reply_whole(r, status, NULL, "", 0);
}

static void reply_error_text(struct request *r, int status, const char *text)
{
	_cleanup_buf_ struct buf body = { 0 };

	if (!has_body(status)) {
		reply_empty(r, status);
		return;
	}
	put_message(&body, text);
	reply_whole(r, status, "application/json", buf_ptr(&body), buf_len(&body));
}

void reply_err(struct request *r, const struct err *e)
{
	reply_error_text(r, class_status[e->cls], e->text[0] ? e->text : "internal error");
}

void reply_message(struct request *r, int status, const char *fmt, ...)
{
	char text[2 * ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	reply_error_text(r, status, text);
}

void reply_header(struct request *r, const char *name, const char *value)
{
	if (!strpbrk(value, "\r\n"))
		buf_printf(&exchange_of(r)->fields, "%s: %s\r\n", name, value);
}

/* ---- streams ---- */

void reply_begin(struct request *r, int status, const char *content_type)
{
	struct exchange *x = exchange_of(r);
	struct conn *c = r->conn;

	x->begun = true;
	x->chunked = x->head.minor == 1 && has_body(status);
	c->close_after |= !x->chunked || c->want_continue;
	put_head(c, status);
	buf_append(&c->out, buf_ptr(&x->fields), buf_len(&x->fields));
	if (content_type)
		buf_printf(&c->out, "Content-Type: %s\r\n", content_type);
	buf_printf(&c->out, "%s\r\n", x->chunked ? "Transfer-Encoding: chunked\r\n" : "");
	conn_flush(c);
}

void reply_write(struct request *r, const void *data, size_t n)
{
	struct exchange *x = exchange_of(r);
	struct conn *c = r->conn;

	if (!n || x->head_only || c->broken)
		return;
	if (x->chunked)
		chunked_encode(&c->out, data, n);
	else
		buf_append(&c->out, data, n);
	conn_flush(c);
	if (buf_len(&c->out) > STREAM_HARD_MAX)
		conn_fail(c);
}

void reply_write_json(struct request *r, json_t *json, const char *line_end)
{
	_cleanup_free_ char *text = json_text(json);
	_cleanup_buf_ struct buf line = { 0 };

	json_decref(json);
	if (!text)
		return;
	buf_printf(&line, "%s%s", text, line_end);
	reply_write(r, buf_ptr(&line), buf_len(&line));
}

size_t reply_backlog(const struct request *r)
{
	return buf_len(&r->conn->out);
}

void reply_on_drain(struct request *r, void (*fn)(struct request *r))
{
	exchange_of(r)->on_drain = fn;
}

void reply_end(struct request *r)
{
	struct exchange *x = exchange_of(r);

	if (x->chunked && !x->head_only)
		chunked_encode(&r->conn->out, NULL, 0);
	exchange_end(r->conn);
}

/* ---- the connection itself ---- */

int reply_hijack(struct request *r, const char *content_type, struct buf *ret_early)
{
	struct exchange *x = exchange_of(r);
	struct conn *c = r->conn;
	int fd;

	if (x->head.upgrade)
		buf_printf(&c->out,
			   "HTTP/1.1 101 UPGRADED\r\nContent-Type: %s\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
			   content_type);
	else
		buf_printf(&c->out, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\n\r\n", content_type);
	conn_flush(c);
	if (c->broken || c->zombie || buf_len(&c->out)) {
		conn_fail(c);
		exchange_end(c);
		return -EPIPE;
	}
	*ret_early = c->in;
	c->in = (struct buf){ 0 };
	fd = TAKE_FD(c->fd);
	conn_forget(c);
	return fd;
}
