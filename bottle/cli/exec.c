/* SPDX-License-Identifier: Apache-2.0 */
/* bottle exec: a command in a bottle's agent (or sidecar), with docker's exit codes. */
#include "base/mem.h"
#include "base/str.h"
#include "cli/bottles.h"
#include "cli/session.h"

int cmd_exec(int argc, char **argv)
{
	bool interactive = false, tty = false, sidecar = false;
	const char *user = NULL, *workdir = NULL;
	_cleanup_free_ char *container = NULL;
	_cleanup_strv_ char **env = NULL;
	struct exec_spec x = { 0 };
	struct err e = { 0 };
	const struct opt opts[] = {
		{ 'i', "interactive", OPT_FLAG, &interactive, NULL, "pass standard input on" },
		{ 't', "tty", OPT_FLAG, &tty, NULL, "give the command a terminal" },
		{ 'e', "env", OPT_STRV, &env, "NAME=VALUE", "set a variable (repeatable)" },
		{ 'u', "user", OPT_STR, &user, "USER", "run as this user" },
		{ 'w', "workdir", OPT_STR, &workdir, "DIR", "run in this directory" },
		{ 0, "sidecar", OPT_FLAG, &sidecar, NULL, "in the sidecar instead of the agent" },
		{ 0 },
	};
	const struct opt_usage usage = { .synopsis = "bottle exec [OPTIONS] NAME [OPTIONS] -- CMD...",
					 .summary =
						 "Runs a command in a bottle's agent; its exit code is the command's.",
					 .opts = opts };
	int first, code = cli_parse(&usage, argc, argv, 2, -1, &first);

	if (code >= 0)
		return code;
	if (tty && interactive && !isatty(STDIN_FILENO)) {
		cli_error("-it needs a terminal on standard input; leave out -t");
		return EXIT_FAILED;
	}
	container = bottle_running_part(argv[first], sidecar ? "sidecar" : "agent", &e);
	if (!container)
		return cli_fail(&e);
	x.container = container;
	x.argv = argv + first + 1;
	x.env = env;
	x.user = user;
	x.workdir = workdir;
	x.tty = tty;
	x.stdin_open = interactive;
	code = session_exec(&x, &e);
	return code < 0 ? cli_fail(&e) : code;
}
