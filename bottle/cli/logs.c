/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bottle logs and bottle audit: what a part of a bottle wrote, from the engine's
 * log; audit is the sidecar's, whose lines are its decisions. The bytes are a
 * bottle's: on a terminal, control characters other than line ends are shown as '?'.
 */
#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/bottles.h"
#include "cli/session.h"

static bool part_has_tty(const char *container, bool *ret, struct err *e)
{
	_cleanup_free_ char *target = client_target("containers", container, "/json");
	_cleanup_json_ json_t *json = NULL;

	if (client_call("GET", target, NULL, &json, e) < 0)
		return false;
	*ret = json_is_true(json_object_get(json_object_get(json, "Config"), "Tty"));
	return true;
}

static int write_piece(int stream, struct slice piece)
{
	int fd = stream == 1 ? STDOUT_FILENO : STDERR_FILENO;
	_cleanup_free_ char *safe = NULL;

	if (!isatty(fd))
		return fd_write_all(fd, piece.p, piece.n);
	safe = xmalloc(piece.n + 1);
	for (size_t i = 0; i < piece.n; i++) {
		unsigned char c = (unsigned char)piece.p[i]; /* NOLINT(clang-analyzer-core.NullDereference): n > 0 */

		safe[i] = (c < ' ' && !strchr("\n\r\t", c)) || c == 127 ? '?' : (char)c;
	}
	return fd_write_all(fd, safe, piece.n);
}

static int write_log(struct frames *frames, struct buf *in, bool tty)
{
	while (buf_len(in)) {
		struct slice piece = { buf_ptr(in), buf_len(in) };
		ssize_t used = (ssize_t)piece.n;
		int stream = 1, r;

		if (!tty)
			used = frames_next(frames, in, &stream, &piece);
		if (used <= 0)
			return (int)used;
		r = write_piece(stream, piece);
		if (r < 0)
			return r;
		buf_consume(in, (size_t)used);
	}
	return 0;
}

static int show_log(const char *container, bool follow, bool timestamps, const char *tail, struct err *e)
{
	_cleanup_free_ char *query =
		xasprintf("/logs?stdout=1&stderr=1&follow=%d&timestamps=%d&tail=%s", follow, timestamps, tail);
	_cleanup_free_ char *target = client_target("containers", container, query);
	_cleanup_stream_ struct stream s = { .fd = -1 };
	_cleanup_buf_ struct buf out = { 0 };
	struct frames frames = { 0 };
	bool tty;
	int r;

	if (!part_has_tty(container, &tty, e))
		return -(e->code ? e->code : EIO);
	r = client_stream("GET", target, NULL, &s, e);
	while (r >= 0 && (r = stream_read(&s, &out, e)) > 0) {
		r = write_log(&frames, &out, tty);
		if (r == -EPIPE)
			return 0; /* whoever read has enough */
		if (r < 0)
			return err_set(e, ERR_INTERNAL, -r, "show the log: %s", strerror(-r));
	}
	return r;
}

/* The name of a part, running or not. */
static char *find_part(const char *name, const char *role, struct err *e)
{
	_cleanup_bottle_ struct bottle b = { 0 };
	const json_t *part;

	if (bottle_find(name, &b, e) < 0)
		return NULL;
	part = bottle_part(&b, role);
	if (part && object_name(part))
		return xstrdup(object_name(part));
	err_set(e, ERR_NOTFOUND, ENOENT, "bottle '%s' has no %s", name, role);
	return NULL;
}

static int show(const char *name, const char *role, bool follow, bool timestamps, const char *tail)
{
	_cleanup_free_ char *container = NULL;
	struct err e = { 0 };
	uint64_t lines;

	if (!str_eq(tail, "all") && str_u64(tail, 1000000000, &lines) < 0) {
		cli_error("--tail: '%.40s' is neither a number nor 'all'", tail);
		return EXIT_USAGE;
	}
	container = find_part(name, role, &e);
	if (!container || show_log(container, follow, timestamps, tail, &e) < 0)
		return cli_fail(&e);
	return EXIT_DONE;
}

int cmd_logs(int argc, char **argv)
{
	bool follow = false, sidecar = false, timestamps = false;
	const char *tail = "all";
	const struct opt opts[] = {
		{ 'f', "follow", OPT_FLAG, &follow, NULL, "go on until the part ends" },
		{ 0, "sidecar", OPT_FLAG, &sidecar, NULL, "of the sidecar instead of the agent" },
		{ 't', "timestamps", OPT_FLAG, &timestamps, NULL, "show when each line was written" },
		{ 'n', "tail", OPT_STR, &tail, "LINES", "only the last lines (default: all)" },
		{ 0 },
	};
	const struct opt_usage usage = { .synopsis = "bottle logs [OPTIONS] NAME",
					 .summary = "Shows what a bottle's agent wrote.",
					 .opts = opts };
	int first, code = cli_parse(&usage, argc, argv, 1, 1, &first);

	return code >= 0 ? code : show(argv[first], sidecar ? "sidecar" : "agent", follow, timestamps, tail);
}

int cmd_audit(int argc, char **argv)
{
	const char *tail = "all";
	bool follow = false;
	const struct opt opts[] = {
		{ 'f', "follow", OPT_FLAG, &follow, NULL, "go on until the sidecar ends" },
		{ 'n', "tail", OPT_STR, &tail, "LINES", "only the last lines (default: all)" },
		{ 0 },
	};
	const struct opt_usage usage = { .synopsis = "bottle audit [OPTIONS] NAME",
					 .summary = "Shows what a bottle's sidecar decided: one JSON object a line.",
					 .opts = opts };
	int first, code = cli_parse(&usage, argc, argv, 1, 1, &first);

	return code >= 0 ? code : show(argv[first], "sidecar", follow, false, tail);
}
