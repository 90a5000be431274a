/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bottle: the command. A short-lived client of the Engine socket without state
 * and without privileges; the exceptions are 'socket hold' and 'system service',
 * which stand in for an init system. It trusts the user and bottled; names and
 * texts that come from bottles are shown with control characters replaced.
 *
 * One row a subcommand; each has its own file.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/cli.h"

const struct command commands[] = {
	{ "up", cmd_up, "start a bottle from a policy file" },
	{ "run", cmd_run, "start a bottle, attach, and take it down at the end" },
	{ "ls", cmd_ls, "list the bottles" },
	{ "show", cmd_show, "show the parts of a bottle" },
	{ "exec", cmd_exec, "run a command in a bottle's agent" },
	{ "logs", cmd_logs, "show the output of a bottle's agent or sidecar" },
	{ "down", cmd_down, "remove a bottle and prove that nothing is left" },
	{ "policy check", cmd_policy_check, "validate a policy file and show what it means" },
	{ "why", cmd_why, "explain whether a bottle may reach a URL or host" },
	{ "audit", cmd_audit, "show what a bottle's sidecar decided" },
	{ "socket install", cmd_socket_install, "set up the Engine socket and a docker context" },
	{ "socket uninstall", cmd_socket_uninstall, "undo socket install" },
	{ "socket status", cmd_socket_status, "show who holds the Engine socket" },
	{ "socket hold", cmd_socket_hold, "hold a socket and start a command when it is used" },
	{ "system service", cmd_system_service, "serve the Engine API in the foreground" },
	{ "system info", cmd_system_info, "show the engine's figures" },
	{ "system check", cmd_system_check, "check what this machine offers and lacks" },
	{ "env", cmd_env, "print the variable that points docker clients here" },
	{ NULL, NULL, NULL },
};

static void help(FILE *out)
{
	fprintf(out,
		"Usage: bottle COMMAND [OPTIONS] [ARGUMENTS]\n\n"
		"Runs an agent in a microVM whose only way out is a sidecar that enforces a policy.\n\nCommands:\n");
	for (const struct command *c = commands; c->name; c++)
		fprintf(out, "  %-18s %s\n", c->name, c->summary);
	fprintf(out, "\n'bottle COMMAND --help' shows the options of a command.\n");
}

/* How many words of argv the command's name takes; 0: it is another one. */
static int matches(const struct command *c, int argc, char **argv)
{
	const char *blank = strchr(c->name, ' ');
	size_t n = blank ? (size_t)(blank - c->name) : strlen(c->name);

	if (strlen(argv[0]) != n || strncmp(argv[0], c->name, n) != 0)
		return 0;
	if (!blank)
		return 1;
	return argc > 1 && str_eq(argv[1], blank + 1) ? 2 : 0;
}

/* "bottle socket" or "bottle socket nonsense": the subcommands of that word. */
static int unknown(const char *word, const char *second)
{
	size_t n = strlen(word);
	bool group = false;

	for (const struct command *c = commands; c->name; c++)
		group = group || (strncmp(c->name, word, n) == 0 && c->name[n] == ' ');
	if (!group) {
		cli_error("unknown command '%s'; 'bottle --help' lists them", word);
		return EXIT_USAGE;
	}
	if (second && !str_eq(second, "--help"))
		cli_error("unknown command '%s %s'", word, second);
	for (const struct command *c = commands; c->name; c++)
		if (strncmp(c->name, word, n) == 0 && c->name[n] == ' ')
			fprintf(second && str_eq(second, "--help") ? stdout : stderr, "  %-18s %s\n", c->name,
				c->summary);
	return second && str_eq(second, "--help") ? EXIT_DONE : EXIT_USAGE;
}

int main(int argc, char **argv)
{
	int used;

	log_init("bottle", 0);
	signal(SIGPIPE, SIG_IGN);
	if (argc < 2 || str_eq(argv[1], "--help") || str_eq(argv[1], "help")) {
		help(argc < 2 ? stderr : stdout);
		return argc < 2 ? EXIT_USAGE : EXIT_DONE;
	}
	for (const struct command *c = commands; c->name; c++) {
		used = matches(c, argc - 1, argv + 1);
		if (used)
			return c->run(argc - used, argv + used);
	}
	return unknown(argv[1], argc > 2 ? argv[2] : NULL);
}
