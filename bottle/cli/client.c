/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 to the Engine socket; in the bottle command. The engine is trusted
 * with the user's work, but not with this process: heads, bodies and chunks are
 * bounded, and an engine that answers nonsense gets a sentence, not a crash.
 */
#include "cli/client.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"

#define READ_SIZE 65536

char *client_default_path(void)
{
	const char *run = getenv("XDG_RUNTIME_DIR");

	if (run && *run == '/')
		return xasprintf("%s/bottle/engine.sock", run);
	if (geteuid() == 0)
		return xstrdup("/run/bottle/engine.sock");
	return xasprintf("/run/user/%u/bottle/engine.sock", (unsigned int)geteuid());
}

char *client_path(struct err *e)
{
	const char *own = getenv("BOTTLE_SOCKET"), *docker = getenv("DOCKER_HOST");

	if (own && *own)
		return xstrdup(str_prefix(own, "unix://") ? own + 7 : own);
	if (!docker || !*docker)
		return client_default_path();
	if (str_prefix(docker, "unix://"))
		return xstrdup(docker + 7);
	err_set(e, ERR_INVALID, EINVAL,
		"DOCKER_HOST is '%s'; bottle speaks to unix:// sockets only: unset it, or eval \"$(bottle env)\"",
		docker);
	return NULL;
}

static int dial_failed(const char *path, struct err *e)
{
	int code = errno;

	if (code == ENOENT || code == ECONNREFUSED)
		return err_set(e, ERR_UNAVAILABLE, code,
			       "no engine answers at '%s' (%s); run 'bottle socket install', or 'bottle system service "
			       "--socket %s'",
			       path, strerror(code), path);
	if (code == EACCES)
		return err_set(e, ERR_DENIED, code,
			       "'%s' belongs to another user; each user has an engine of their own", path);
	errno = code;
	return err_errno(e, "connect to '%s'", path);
}

static int dial(struct err *e)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	_cleanup_free_ char *path = client_path(e);
	_cleanup_close_ int fd = -1;

	if (!path)
		return -EINVAL;
	if (strlen(path) >= sizeof(sa.sun_path))
		return err_set(e, ERR_INVALID, ENAMETOOLONG, "the socket path '%s' is longer than %zu bytes", path,
			       sizeof(sa.sun_path) - 1);
	memcpy(sa.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(e, "socket");
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return dial_failed(path, e);
	return TAKE_FD(fd);
}

void stream_done(struct stream *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	buf_done(&s->in);
}

static int send_request(int fd, const char *method, const char *target, const json_t *body, bool upgrade, struct err *e)
{
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	_cleanup_buf_ struct buf out = { 0 };
	int r;

	buf_printf(&out, "%s %s HTTP/1.1\r\nHost: bottle\r\nUser-Agent: bottle\r\n", method, target);
	buf_puts(&out, upgrade ? "Connection: Upgrade\r\nUpgrade: tcp\r\n" : "Connection: close\r\n");
	if (text)
		buf_printf(&out, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", strlen(text), text);
	else
		buf_puts(&out, str_eq(method, "GET") || str_eq(method, "HEAD") ? "\r\n" : "Content-Length: 0\r\n\r\n");
	free(text);
	r = fd_write_all(fd, buf_ptr(&out), buf_len(&out));
	if (r == 0)
		return 0;
	errno = -r;
	return err_errno(e, "send to the engine");
}

int stream_feed_head(struct stream *s, const char *method, struct err *e)
{
	struct http_head *head = xcalloc(1, sizeof(*head));
	const struct http_header *type;
	ssize_t n = http_parse_response(buf_ptr(&s->in), buf_len(&s->in), method, head, e);

	if (n > 0) {
		type = http_find(head, "Content-Type");
		s->multiplexed = type && slice_caseeq(type->value, "application/vnd.docker.multiplexed-stream");
		s->status = head->status;
		s->body = head->body;
		s->left = head->content_length;
		s->done = head->body == HTTP_BODY_NONE || (head->body == HTTP_BODY_LENGTH && !s->left);
		buf_consume(&s->in, (size_t)n);
	}
	free(head);
	if (n < 0)
		return err_wrap(e, "the engine's answer is not HTTP");
	return n > 0;
}

static ssize_t receive(struct stream *s, struct err *e)
{
	ssize_t n = buf_read(&s->in, s->fd, READ_SIZE);

	if (n == -EAGAIN)
		return err_set(e, ERR_UNAVAILABLE, ETIMEDOUT,
			       "the engine did not answer within %d s; see 'bottle system check'",
			       CLIENT_CALL_MS / 1000);
	if (n < 0) {
		errno = (int)-n;
		return err_errno(e, "read from the engine");
	}
	return n;
}

static int receive_head(struct stream *s, const char *method, struct err *e)
{
	int r;

	do {
		ssize_t n;

		r = buf_len(&s->in) ? stream_feed_head(s, method, e) : 0;
		if (r < 0)
			return r;
		if (r > 0 && s->status >= 100 && s->status < 200 && s->status != 101) {
			r = 0; /* 100 Continue: the real head follows, perhaps in the same bytes */
			if (buf_len(&s->in))
				continue;
		}
		if (r > 0)
			return 0;
		n = receive(s, e);
		if (n < 0)
			return (int)n;
		if (n == 0)
			return err_set(e, ERR_UNAVAILABLE, EPIPE,
				       "the engine closed the connection without an answer; its log says why");
	} while (true);
}

static int decode_chunked(struct stream *s, struct buf *out, struct err *e)
{
	bool progress = false;

	while (buf_len(&s->in) && !s->done) {
		struct slice part = { NULL, 0 };
		ssize_t used = chunked_decode(&s->chunked, buf_ptr(&s->in), buf_len(&s->in), &part, &s->done);

		if (used < 0)
			return err_set(e, ERR_INTERNAL, EBADMSG, "the engine's answer has a broken chunk");
		if (part.n)
			buf_append(out, part.p, part.n);
		if (used == 0 && !s->done)
			break;
		buf_consume(&s->in, (size_t)used);
		progress = true;
	}
	return progress || s->done;
}

int stream_decode(struct stream *s, struct buf *out, struct err *e)
{
	size_t n = buf_len(&s->in);

	if (s->done)
		return 1;
	if (s->body == HTTP_BODY_CHUNKED)
		return decode_chunked(s, out, e);
	if (s->body == HTTP_BODY_LENGTH && n > s->left)
		n = (size_t)s->left;
	if (!n)
		return 0;
	buf_append(out, buf_ptr(&s->in), n);
	buf_consume(&s->in, n);
	s->left -= s->body == HTTP_BODY_LENGTH ? n : 0;
	s->done = s->body == HTTP_BODY_LENGTH && !s->left;
	return 1;
}

int stream_read(struct stream *s, struct buf *out, struct err *e)
{
	size_t had = buf_len(out);

	while (!s->done) {
		int r = stream_decode(s, out, e);
		ssize_t n;

		if (r < 0)
			return r;
		if (buf_len(out) > had)
			return 1;
		if (s->done)
			break;
		n = receive(s, e);
		if (n < 0)
			return (int)n;
		if (n == 0 && s->body != HTTP_BODY_EOF)
			return err_set(e, ERR_UNAVAILABLE, EPIPE, "the engine broke off in the middle of its answer");
		if (n == 0)
			s->done = true;
	}
	return 0;
}

static enum err_class class_of_status(int status)
{
	static const struct {
		int status;
		enum err_class cls;
	} rows[] = {
		{ 400, ERR_INVALID }, { 403, ERR_DENIED },      { 404, ERR_NOTFOUND },    { 409, ERR_CONFLICT },
		{ 413, ERR_LIMIT },   { 501, ERR_UNSUPPORTED }, { 503, ERR_UNAVAILABLE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].status == status)
			return rows[i].cls;
	return ERR_INTERNAL;
}

static int read_body(struct stream *s, struct buf *out, struct err *e)
{
	int r;

	while ((r = stream_read(s, out, e)) > 0)
		if (buf_len(out) > ANSWER_MAX)
			return err_set(e, ERR_LIMIT, EFBIG, "the engine's answer is larger than %d MiB",
				       ANSWER_MAX >> 20);
	return r;
}

/* The engine's own words of a failed call: {"message": …}. */
static int answer_error(struct stream *s, struct err *e)
{
	_cleanup_buf_ struct buf body = { 0 };
	_cleanup_json_ json_t *json = NULL;
	const char *message;
	struct err ignored;

	if (read_body(s, &body, &ignored) == 0 && buf_len(&body))
		json = json_loadb(buf_ptr(&body), buf_len(&body), 0, NULL);
	message = json_string_value(json_object_get(json, "message"));
	return err_set(e, class_of_status(s->status), s->status == 404 ? ENOENT : EREMOTEIO, "%s",
		       message ? message : http_reason(s->status));
}

static int begin(const char *method, const char *target, const json_t *body, bool upgrade, int limit_ms,
		 struct stream *ret, struct err *e)
{
	struct timeval limit = { .tv_sec = limit_ms / 1000 };
	struct stream s = { .fd = dial(e) };
	int r = s.fd < 0 ? s.fd : send_request(s.fd, method, target, body, upgrade, e);

	if (r == 0 && limit_ms)
		setsockopt(s.fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (r < 0) {
		stream_done(&s);
		return r;
	}
	*ret = s;
	return 0;
}

static int finish_head(const char *method, struct stream *s, struct err *e)
{
	int r = receive_head(s, method, e);

	if (r == 0 && s->status >= 400)
		r = answer_error(s, e);
	if (r < 0)
		stream_done(s);
	return r;
}

static int start(const char *method, const char *target, const json_t *body, bool upgrade, int limit_ms,
		 struct stream *ret, struct err *e)
{
	struct stream s = { .fd = -1 };
	int r = begin(method, target, body, upgrade, limit_ms, &s, e);

	if (r == 0)
		r = finish_head(method, &s, e);
	if (r == 0)
		*ret = s;
	return r;
}

int client_stream(const char *method, const char *target, const json_t *body, struct stream *ret, struct err *e)
{
	return start(method, target, body, false, 0, ret, e);
}

int client_hijack(const char *target, const json_t *body, struct stream *ret, struct err *e)
{
	int r = start("POST", target, body, true, 0, ret, e);

	if (r < 0 || ret->status == 101)
		return r;
	stream_done(ret);
	return err_set(e, ERR_INTERNAL, EPROTO, "the engine answered %d instead of opening the stream", ret->status);
}

static int finish_body(struct stream *s, json_t **ret, struct err *e)
{
	_cleanup_buf_ struct buf text = { 0 };
	json_error_t bad;
	int r = read_body(s, &text, e);

	if (r < 0 || !ret)
		return r;
	*ret = NULL;
	if (!buf_len(&text))
		return 0;
	*ret = json_loadb(buf_ptr(&text), buf_len(&text), JSON_DECODE_ANY, &bad);
	return *ret ? 0 : err_set(e, ERR_INTERNAL, EBADMSG, "the engine's answer is not JSON: %s", bad.text);
}

int client_begin(const char *method, const char *target, const json_t *body, struct stream *ret, struct err *e)
{
	return begin(method, target, body, false, CLIENT_CALL_MS, ret, e);
}

int client_finish(const char *method, struct stream *s, json_t **ret, struct err *e)
{
	int r = finish_head(method, s, e);

	if (r == 0)
		r = finish_body(s, ret, e);
	stream_done(s);
	return r;
}

static int call(const char *method, const char *target, const json_t *body, int limit_ms, json_t **ret, struct err *e)
{
	struct stream s = { .fd = -1 };
	int r = begin(method, target, body, false, limit_ms, &s, e);

	return r < 0 ? r : client_finish(method, &s, ret, e);
}

int client_call(const char *method, const char *target, const json_t *body, json_t **ret, struct err *e)
{
	return call(method, target, body, CLIENT_CALL_MS, ret, e);
}

int client_call_slow(const char *method, const char *target, const json_t *body, json_t **ret, struct err *e)
{
	return call(method, target, body, 0, ret, e);
}

char *client_target(const char *collection, const char *name, const char *tail)
{
	struct buf b = { 0 };

	buf_printf(&b, API_PREFIX "/%s/", collection);
	url_encode(&b, name);
	buf_puts(&b, tail);
	buf_cstr(&b);
	return b.data;
}

char *client_label_filter(const char *label)
{
	json_t *o = json_pack("{s:[s]}", "label", label);
	char *text = json_dumps(o, JSON_COMPACT);
	struct buf b = { 0 };

	url_encode(&b, text);
	buf_cstr(&b);
	free(text);
	json_decref(o);
	return b.data;
}
