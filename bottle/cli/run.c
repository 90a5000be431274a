/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bottle run: up, attached to the agent before it starts, and down at the end
 * whatever happened; the exit code is the agent's. In the bottle command.
 */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/bottles.h"
#include "cli/session.h"
#include "cli/up.h"

struct run {
	struct up up;
	struct stream attach, wait;
};

/* Attach and wait are open before the start, so that neither the first byte nor the end is missed. */
static int open_streams(struct run *r, struct err *e)
{
	_cleanup_free_ char *attach =
		client_target("containers", r->up.agent_id, "/attach?stream=1&stdin=1&stdout=1&stderr=1");
	_cleanup_free_ char *wait = client_target("containers", r->up.agent_id, "/wait?condition=next-exit");
	int rc = client_hijack(attach, NULL, &r->attach, e);

	r->attach.multiplexed = !r->up.agent.tty;
	return rc < 0 ? rc : client_stream("POST", wait, NULL, &r->wait, e);
}

static int exit_code(struct run *r, struct err *e)
{
	_cleanup_buf_ struct buf text = { 0 };
	_cleanup_json_ json_t *json = NULL;
	json_t *code;
	int rc;

	while ((rc = stream_read(&r->wait, &text, e)) > 0 && buf_len(&text) < CAPTURE_MAX)
		;
	if (rc < 0)
		return rc;
	json = json_loadb(buf_ptr(&text), buf_len(&text), 0, NULL);
	code = json_object_get(json, "StatusCode");
	if (json_is_integer(code))
		return (int)(json_integer_value(code) & 255);
	return err_set(e, ERR_INTERNAL, EPROTO, "the engine did not tell the agent's exit code");
}

/* A detach leaves the agent running: then there is no exit code to wait for. */
static bool still_running(const struct run *r)
{
	_cleanup_free_ char *target = client_target("containers", r->up.agent_id, "/json");
	_cleanup_json_ json_t *json = NULL;
	struct err ignored;

	return client_call("GET", target, NULL, &json, &ignored) == 0 &&
	       json_is_true(json_object_get(json_object_get(json, "State"), "Running"));
}

static int attached(struct run *r, struct err *e)
{
	_cleanup_free_ char *resize = client_target("containers", r->up.agent_id, "/resize");
	struct session s = SESSION_EMPTY;
	int rc;

	s.stream = &r->attach;
	s.resize = r->up.agent.tty ? resize : NULL;
	s.raw = r->up.agent.tty;
	s.in_fd = STDIN_FILENO;
	rc = session_run(&s, e);
	if (rc < 0)
		return rc;
	if (s.signo)
		return 128 + s.signo;
	if (r->up.agent.tty && still_running(r))
		return EXIT_DONE;
	return exit_code(r, e);
}

static int take_down(struct run *r, int code)
{
	struct removal done;
	struct err e = { 0 };

	if (!r->up.made || bottle_remove(r->up.plan.name, &done, &e) == 0 || e.cls == ERR_NOTFOUND)
		return code;
	cli_error("%s", e.text);
	return EXIT_ENGINE;
}

/* docker's convention: what the engine says of a command that cannot be started gives 126 or 127. */
static int start_failure(const struct err *e)
{
	cli_error("%s", e->text);
	if (strstr(e->text, "executable file not found") || strstr(e->text, "no such file or directory"))
		return 127;
	return strstr(e->text, "permission denied") ? 126 : EXIT_ENGINE;
}

static int run(struct run *r)
{
	struct err e = { 0 };
	int code;

	if (up_prepare(&r->up, &e) < 0)
		return start_failure(&e);
	code = open_streams(r, &e);
	if (code >= 0)
		code = up_start(&r->up, &e);
	if (code >= 0)
		code = attached(r, &e);
	if (code < 0)
		code = start_failure(&e);
	return take_down(r, code);
}

int cmd_run(int argc, char **argv)
{
	struct run r = { .attach = { .fd = -1 }, .wait = { .fd = -1 } };
	_cleanup_policy_ struct policy *policy = NULL;
	const char *name = NULL;
	bool quiet = false;
	const struct opt opts[] = {
		{ 'n', "name", OPT_STR, &name, "NAME", "the bottle's name (default: the policy's)" },
		{ 'q', "quiet", OPT_FLAG, &quiet, NULL, "do not show the steps on stderr" },
		{ 0 },
	};
	const struct opt_usage usage = {
		.synopsis = "bottle run [OPTIONS] FILE [-- CMD...]",
		.summary = "Starts a bottle, attaches to its agent, and removes the bottle when the agent ends.\n"
			   "The exit code is the agent's.",
		.opts = opts
	};
	int first, code = cli_parse(&usage, argc, argv, 1, -1, &first);

	if (code < 0)
		code = up_open(&r.up, argv[first], name, &policy);
	if (code >= 0)
		return code;
	r.up.progress = quiet ? NULL : stderr;
	r.up.agent.attached = true;
	r.up.agent.tty = policy->agent.tty && isatty(STDIN_FILENO);
	r.up.agent.command = first + 1 < argc ? argv + first + 1 : NULL;
	code = run(&r);
	stream_done(&r.attach);
	stream_done(&r.wait);
	up_done(&r.up);
	return code;
}
