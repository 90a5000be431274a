/* SPDX-License-Identifier: Apache-2.0 */
/* What the engine sends, as bytes in every cut: heads, bodies in their codings, docker's frames; and whole calls over a socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/client.h"
#include "cli/session.h"

static const struct {
	const char *bytes, *body; /* body NULL: refused */
	int status;
	bool ends; /* without the connection's end */
} answers[] = {
	{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", 200, true },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", 200, true },
	{ "HTTP/1.1 204 No Content\r\n\r\n", "", 204, true },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", "abcde", 200, true },
	{ "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\nraw", "raw", 200, false },
	{ "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}", "{}", 404, true },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhellothere", "hello", 200, true },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", NULL, 0, false },
	{ "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", NULL, 0, false },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", NULL, 0, false },
	{ "SSH-2.0-OpenSSH_9.2\r\n\r\n", NULL, 0, false },
};

/* Feeds the bytes in two parts. -errno, or 0. */
static int feed(const char *bytes, size_t cut, struct stream *s, struct buf *out)
{
	size_t n = strlen(bytes), parts[2] = { cut, n - cut };
	bool head = false;
	struct err e = { 0 };
	int r = 0;

	for (int i = 0; i < 2 && r >= 0; i++) {
		buf_append(&s->in, bytes + (i ? cut : 0), parts[i]);
		if (!head && buf_len(&s->in)) {
			r = stream_feed_head(s, "GET", &e);
			head = r > 0;
		}
		while (r >= 0 && head && !s->done && (r = stream_decode(s, out, &e)) > 0)
			;
	}
	assert_true(r >= 0 || e.text[0]);
	return r < 0 ? r : 0;
}

static void test_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
		for (size_t cut = 0; cut <= strlen(answers[i].bytes); cut++) {
			struct stream s = { .fd = -1 };
			struct buf out = { 0 };
			int r = feed(answers[i].bytes, cut, &s, &out);

			if ((r < 0) != !answers[i].body)
				fail_msg("answer %zu cut at %zu: %d", i, cut, r);
			if (r == 0) {
				assert_string_equal(buf_cstr(&out), answers[i].body);
				assert_int_equal(s.status, answers[i].status);
				assert_int_equal(s.done, answers[i].ends);
			}
			buf_done(&out);
			stream_done(&s);
		}
}

static void test_frames(void **state)
{
	static const char bytes[] = "\1\0\0\0\0\0\0\3abc\2\0\0\0\0\0\0\2de\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\1f";
	struct buf in = { 0 }, out = { 0 }, err = { 0 };
	struct frames f = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(bytes) - 1; i++) { /* a byte at a time: heads are cut everywhere */
		struct slice piece;
		ssize_t used;
		int stream;

		buf_append(&in, bytes + i, 1);
		while (buf_len(&in) && (used = frames_next(&f, &in, &stream, &piece)) > 0) {
			buf_append(stream == 1 ? &out : &err, piece.p, piece.n);
			buf_consume(&in, (size_t)used);
		}
	}
	assert_string_equal(buf_cstr(&out), "abcf");
	assert_string_equal(buf_cstr(&err), "de");
	assert_int_equal(buf_len(&in), 0);
	buf_append(&in, "\7\0\0\0\0\0\0\1x", 9);
	assert_int_equal(frames_next(&f, &in, &(int){ 0 }, &(struct slice){ NULL, 0 }), -EBADMSG);
	buf_done(&in);
	buf_done(&out);
	buf_done(&err);
}

/* One connection on a socket of our own: reads a request, answers with bytes, ends. */
static pid_t peer(const char *path, const char *answer)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), c;
	char request[4096];
	pid_t pid;

	memcpy(sa.sun_path, path, strlen(path) + 1);
	unlink(path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 1), 0);
	pid = fork();
	if (pid == 0) {
		c = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		if (read(c, request, sizeof(request)) <= 0 || fd_write_all(c, answer, strlen(answer)) < 0)
			_exit(1);
		_exit(0);
	}
	close(fd);
	return pid;
}

static const struct {
	const char *answer, *text; /* text: of the error; NULL: the call works */
	enum err_class cls;
} calls[] = {
	{ "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", NULL, 0 },
	{ "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", NULL, 0 },
	{ "HTTP/1.1 404 Not Found\r\nContent-Length: 21\r\n\r\n{\"message\":\"No such\"}", "No such", ERR_NOTFOUND },
	{ "HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\n[]", "Conflict", ERR_CONFLICT },
	{ "HTTP/1.1 500 Internal Server Error\r\nTransfer-Encoding: chunked\r\n\r\n", "Internal Server Error",
	  ERR_INTERNAL },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}", "broke off", ERR_UNAVAILABLE },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{x}", "not JSON", ERR_INTERNAL },
	{ "", "without an answer", ERR_UNAVAILABLE },
	{ "hello\r\n\r\n", "not HTTP", ERR_INTERNAL },
};

static void test_calls(void **state)
{
	char dir[] = "/tmp/bottle-client.XXXXXX";
	_cleanup_free_ char *path = NULL;

	(void)state;
	assert_non_null(mkdtemp(dir));
	path = xasprintf("%s/s", dir);
	setenv("BOTTLE_SOCKET", path, 1);
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		pid_t pid = peer(path, calls[i].answer);
		struct err e = { 0 };
		json_t *json = NULL;
		int status, r = client_call("GET", API_PREFIX "/x", NULL, &json, &e);

		waitpid(pid, &status, 0);
		assert_int_equal(status, 0);
		if ((r == 0) != !calls[i].text || (r < 0 && !strstr(e.text, calls[i].text)))
			fail_msg("call %zu: %d %s", i, r, e.text);
		if (r < 0 && calls[i].cls != ERR_INTERNAL)
			assert_int_equal(e.cls, calls[i].cls);
		json_decref(json);
	}
	unlink(path);
	rmdir(dir);
	unsetenv("BOTTLE_SOCKET");
}

static void test_paths(void **state)
{
	struct err e = { 0 };
	char *path;

	(void)state;
	unsetenv("BOTTLE_SOCKET");
	setenv("DOCKER_HOST", "tcp://192.0.2.1:2375", 1);
	assert_null(client_path(&e));
	assert_non_null(strstr(e.text, "unix://"));
	setenv("DOCKER_HOST", "unix:///a/b", 1);
	path = client_path(&e);
	assert_string_equal(path, "/a/b");
	free(path);
	unsetenv("DOCKER_HOST");
	setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
	path = client_path(&e);
	assert_string_equal(path, "/run/user/7/bottle/engine.sock");
	free(path);
	setenv("BOTTLE_SOCKET", "/no/such/socket", 1);
	assert_true(client_call("GET", "/x", NULL, NULL, &e) < 0);
	assert_non_null(strstr(e.text, "bottle socket install"));
	unsetenv("BOTTLE_SOCKET");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
