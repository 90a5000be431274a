/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attach and exec: one poll loop between a hijacked connection and a terminal,
 * pipes or memory; in the bottle command. The bytes come from a bottle and go to
 * the user's terminal as they are: that is what an interactive session is. The
 * terminal's mode is restored on every way out: return, exit, fatal signal.
 * Detach keys are the engine's business: it ends the stream.
 */
#include "cli/session.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <termios.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"

#define CHUNK 32768

static struct termios saved_mode;
static bool mode_is_raw;

static void terminal_restore(void)
{
	if (mode_is_raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &saved_mode);
	mode_is_raw = false;
}

/* For the signals that no handler of ours sees coming otherwise. tcsetattr(3) is async-signal-safe. */
static void on_fatal_signal(int signo)
{
	terminal_restore();
	signal(signo, SIG_DFL);
	raise(signo);
}

static int terminal_raw(struct err *e)
{
	static const int fatal_signals[] = { SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL };
	static bool prepared;
	struct termios mode;

	if (tcgetattr(STDIN_FILENO, &saved_mode) < 0)
		return err_errno(e, "read the terminal's mode");
	if (!prepared) {
		atexit(terminal_restore);
		for (size_t i = 0; i < ARRAY_SIZE(fatal_signals); i++)
			signal(fatal_signals[i], on_fatal_signal);
		prepared = true;
	}
	mode = saved_mode;
	cfmakeraw(&mode);
	mode_is_raw = true;
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &mode) < 0)
		return err_errno(e, "set the terminal's mode");
	return 0;
}

/* ---- frames ---- */

ssize_t frames_next(struct frames *f, const struct buf *in, int *ret_stream, struct slice *ret_piece)
{
	size_t n = buf_len(in), head = 0;

	*ret_piece = (struct slice){ NULL, 0 };
	if (!f->left) {
		if (n < STDCOPY_HEAD)
			return 0;
		if (!stdcopy_parse((const unsigned char *)buf_ptr(in), &f->stream, &f->left))
			return -EBADMSG;
		head = STDCOPY_HEAD;
		n -= head;
	}
	if (n > f->left)
		n = f->left;
	*ret_stream = f->stream == 1 ? 1 : 2;
	*ret_piece = (struct slice){ buf_ptr(in) + head, n };
	f->left -= (uint32_t)n;
	return (ssize_t)(head + n);
}

static int deliver(struct session *s, int stream, struct slice piece, struct err *e)
{
	int r;

	if (s->out) {
		if (buf_len(s->out) + piece.n > CAPTURE_MAX)
			return err_set(e, ERR_LIMIT, EFBIG, "the command wrote more than %d MiB", CAPTURE_MAX >> 20);
		buf_append(s->out, piece.p, piece.n);
		return 0;
	}
	r = fd_write_all(stream == 1 ? STDOUT_FILENO : STDERR_FILENO, piece.p, piece.n);
	return r < 0 ? err_set(e, ERR_INTERNAL, -r, "write the output: %s", strerror(-r)) : 0;
}

static int deliver_all(struct session *s, struct frames *frames, struct err *e)
{
	struct buf *in = &s->stream->in;

	while (buf_len(in)) {
		struct slice piece = { buf_ptr(in), buf_len(in) };
		ssize_t used = (ssize_t)piece.n;
		int stream = 1, r;

		if (s->stream->multiplexed)
			used = frames_next(frames, in, &stream, &piece);
		if (used < 0)
			return err_set(e, ERR_INTERNAL, EBADMSG, "the engine's stream has a broken frame");
		if (used == 0)
			break;
		r = deliver(s, stream, piece, e);
		buf_consume(in, (size_t)used);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- the loop ---- */

static int tell_size(const struct session *s)
{
	_cleanup_free_ char *target = NULL;
	struct winsize size;
	struct err ignored;

	if (!s->resize || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || !size.ws_row)
		return 0;
	target = xasprintf("%s?h=%u&w=%u", s->resize, size.ws_row, size.ws_col);
	return client_call("POST", target, NULL, NULL, &ignored);
}

static int send_pending(struct session *s, bool *closed)
{
	ssize_t n = buf_len(&s->pending) ? buf_write(&s->pending, s->stream->fd) : 0;

	if (n < 0 && n != -EAGAIN)
		return (int)n; /* the engine reads no more; what it still writes is read on */
	if (!buf_len(&s->pending) && s->in_fd < 0 && !*closed) {
		shutdown(s->stream->fd, SHUT_WR);
		*closed = true;
	}
	return 0;
}

static void read_input(struct session *s)
{
	ssize_t n = buf_read(&s->pending, s->in_fd, CHUNK);

	if (n <= 0 && n != -EAGAIN)
		s->in_fd = -1;
}

static int open_signals(const struct session *s, sigset_t *ret_old)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGQUIT);
	if (s->resize)
		sigaddset(&set, SIGWINCH);
	sigprocmask(SIG_BLOCK, &set, ret_old);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void take_signal(struct session *s, int fd)
{
	struct signalfd_siginfo info;

	while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGWINCH)
			tell_size(s);
		else
			s->signo = (int)info.ssi_signo;
	}
}

static int time_left(uint64_t deadline)
{
	uint64_t now = now_mono_ms();

	if (!deadline)
		return -1;
	return deadline > now ? (int)(deadline - now) : 0;
}

/* One turn: 1 go on, 0 the engine ended the stream, -errno. */
static int turn(struct session *s, struct frames *frames, int signal_fd, uint64_t deadline, bool *closed, struct err *e)
{
	struct pollfd p[3] = {
		{ .fd = s->stream->fd, .events = (short)(POLLIN | (buf_len(&s->pending) ? POLLOUT : 0)) },
		{ .fd = signal_fd, .events = POLLIN },
		{ .fd = buf_len(&s->pending) ? -1 : s->in_fd, .events = POLLIN },
	};
	ssize_t n;
	int r;

	if (!buf_len(&s->pending) && s->in_fd < 0)
		send_pending(s, closed);
	r = poll(p, 3, time_left(deadline));
	if (r < 0 && errno != EINTR)
		return err_errno(e, "poll");
	if (r == 0)
		return err_set(e, ERR_UNAVAILABLE, ETIMEDOUT, "no end within the time allowed");
	if (r < 0)
		return 1;
	if (p[1].revents)
		take_signal(s, signal_fd);
	if (p[2].revents)
		read_input(s);
	if ((p[0].revents & POLLOUT) && send_pending(s, closed) < 0)
		buf_clear(&s->pending);
	if (!(p[0].revents & (POLLIN | POLLHUP | POLLERR)))
		return 1;
	n = buf_read(&s->stream->in, s->stream->fd, CHUNK);
	if (n == -EAGAIN)
		return 1;
	if (n < 0 && n != -ECONNRESET)
		return err_set(e, ERR_UNAVAILABLE, (int)-n, "the engine's stream broke: %s", strerror((int)-n));
	r = deliver_all(s, frames, e);
	return r < 0 ? r : n > 0;
}

int session_run(struct session *s, struct err *e)
{
	uint64_t deadline = s->timeout_ms ? now_mono_ms() + s->timeout_ms : 0;
	_cleanup_close_ int signal_fd = -1;
	struct frames frames = { 0 };
	bool closed = false, sized;
	sigset_t old;
	int r = 1;

	fd_nonblock(s->stream->fd);
	signal_fd = open_signals(s, &old);
	if (s->raw)
		r = terminal_raw(e);
	sized = tell_size(s) == 0;
	if (r >= 0)
		r = deliver_all(s, &frames, e) < 0 ? -EBADMSG : 1;
	while (r > 0 && !s->signo) {
		r = turn(s, &frames, signal_fd, deadline, &closed, e);
		if (!sized) /* too early for the first try: the process was not there yet */
			sized = tell_size(s) == 0;
	}
	terminal_restore();
	sigprocmask(SIG_SETMASK, &old, NULL);
	buf_done(&s->pending);
	return r < 0 ? r : 0;
}

/* ---- exec ---- */

static json_t *strv_to_json(char *const *v)
{
	json_t *list = json_array();

	for (; v && *v; v++)
		json_array_append_new(list, json_string(*v));
	return list;
}

static char *exec_create(const struct exec_spec *x, struct err *e)
{
	_cleanup_free_ char *target = client_target("containers", x->container, "/exec");
	bool in = x->stdin_open || x->input;
	_cleanup_json_ json_t *body =
		json_pack("{s:o, s:o, s:b, s:b, s:b, s:b}", "Cmd", strv_to_json(x->argv), "Env", strv_to_json(x->env),
			  "Tty", x->tty, "AttachStdin", in, "AttachStdout", 1, "AttachStderr", 1);
	_cleanup_json_ json_t *answer = NULL;
	const char *id;

	if (x->user)
		json_object_set_new(body, "User", json_string(x->user));
	if (x->workdir)
		json_object_set_new(body, "WorkingDir", json_string(x->workdir));
	if (client_call("POST", target, body, &answer, e) < 0)
		return NULL;
	id = json_string_value(json_object_get(answer, "Id"));
	if (id && str_is_hex(id, ID_LEN))
		return xstrdup(id);
	err_set(e, ERR_INTERNAL, EPROTO, "the engine gave the exec no id");
	return NULL;
}

static int exec_exit_code(const char *id, struct err *e)
{
	_cleanup_free_ char *target = client_target("exec", id, "/json");
	_cleanup_json_ json_t *answer = NULL;
	json_t *code;
	int r = client_call("GET", target, NULL, &answer, e);

	if (r < 0)
		return r;
	code = json_object_get(answer, "ExitCode");
	if (json_is_integer(code))
		return (int)(json_integer_value(code) & 255);
	return err_set(e, ERR_UNAVAILABLE, EPIPE, "the connection to the command was lost; it may go on in the bottle");
}

int session_exec(const struct exec_spec *x, struct err *e)
{
	_cleanup_free_ char *id = exec_create(x, e), *target = NULL, *resize = NULL;
	_cleanup_json_ json_t *body = json_pack("{s:b, s:b}", "Detach", 0, "Tty", x->tty);
	_cleanup_stream_ struct stream stream = { .fd = -1 };
	struct session s = SESSION_EMPTY;
	int r;

	if (!id)
		return -(e->code ? e->code : EIO);
	target = client_target("exec", id, "/start");
	resize = client_target("exec", id, "/resize");
	r = client_hijack(target, body, &stream, e);
	if (r < 0)
		return r;
	stream.multiplexed = !x->tty;
	s.stream = &stream;
	s.resize = x->tty ? resize : NULL;
	s.raw = x->tty && x->stdin_open && isatty(STDIN_FILENO);
	s.in_fd = x->stdin_open ? STDIN_FILENO : -1;
	s.out = x->out;
	s.timeout_ms = x->timeout_ms;
	if (x->input)
		buf_puts(&s.pending, x->input);
	r = session_run(&s, e);
	if (r < 0)
		return r;
	if (s.signo && x->ret_signo)
		*x->ret_signo = s.signo;
	return s.signo ? 128 + s.signo : exec_exit_code(id, e);
}
