/* SPDX-License-Identifier: Apache-2.0 */
/* bottle why: asks a bottle's sidecar, by the decision path that enforces, whether a host and port may be reached. */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/bottles.h"
#include "cli/session.h"
#include "cli/target.h"

#define WHY_MS 30000

static int ask(const char *container, char *host, char *port, struct buf *out, struct err *e)
{
	char *const argv[] = { (char[]){ "/sidecar" }, (char[]){ "ctl" }, (char[]){ "why" }, host, port, NULL };
	struct exec_spec x = { .container = container, .argv = argv, .out = out, .timeout_ms = WHY_MS };

	return session_exec(&x, e);
}

int cmd_why(int argc, char **argv)
{
	_cleanup_free_ char *container = NULL, *host = NULL, *port = NULL;
	_cleanup_buf_ struct buf out = { 0 };
	struct err e = { 0 };
	const struct opt opts[] = { { 0 } };
	const struct opt_usage usage = {
		.synopsis = "bottle why NAME URL|HOST:PORT",
		.summary = "Explains whether a bottle's agent may reach a URL or host, and by which rule.",
		.opts = opts
	};
	int first, code = cli_parse(&usage, argc, argv, 2, 2, &first);
	uint16_t number;

	if (code >= 0)
		return code;
	if (target_parse(argv[first + 1], &host, &number, &e) < 0) {
		cli_error("%s", e.text);
		return EXIT_USAGE;
	}
	port = xasprintf("%u", number);
	container = bottle_running_part(argv[first], "sidecar", &e);
	if (!container)
		return cli_fail(&e);
	code = ask(container, host, port, &out, &e);
	if (code < 0)
		return cli_fail(&e);
	cli_print_safe(code ? stderr : stdout, buf_cstr(&out));
	return code ? EXIT_FAILED : EXIT_DONE;
}
