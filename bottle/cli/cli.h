/* SPDX-License-Identifier: Apache-2.0 */
/* What the subcommands share: the table's row, exit codes, printing. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/opt.h"

enum exit_code {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_POLICY = 3,
	EXIT_NO_OBJECT = 4,
	EXIT_ENGINE = 125, /* as docker's: the engine could not start it */
};

struct command {
	const char *name;                  /* "up", "policy check" */
	int (*run)(int argc, char **argv); /* argv[0] is the command's last word */
	const char *summary;
};
/* The table, in main.c, in the order of the man page; ended by a NULL name. */
extern const struct command commands[];

int cmd_up(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_ls(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_exec(int argc, char **argv);
int cmd_logs(int argc, char **argv);
int cmd_down(int argc, char **argv);
int cmd_policy_check(int argc, char **argv);
int cmd_why(int argc, char **argv);
int cmd_audit(int argc, char **argv);
int cmd_socket_install(int argc, char **argv);
int cmd_socket_uninstall(int argc, char **argv);
int cmd_socket_status(int argc, char **argv);
int cmd_socket_hold(int argc, char **argv);
int cmd_system_service(int argc, char **argv);
int cmd_system_info(int argc, char **argv);
int cmd_system_check(int argc, char **argv);
int cmd_env(int argc, char **argv);

/*
 * Parses a subcommand's line and checks the number of operands (max -1: any).
 * -1: go on; otherwise the exit code (0 after --help, EXIT_USAGE after telling why).
 */
int cli_parse(const struct opt_usage *u, int argc, char **argv, int min, int max, int *ret_first);

/* "bottle: text" on stderr. */
void cli_error(const char *fmt, ...) _printf_(1, 2);
/* Says e and gives its exit code: EXIT_NO_OBJECT for what is not found, else EXIT_FAILED. */
int cli_fail(const struct err *e);

/* One line of JSON on stdout; json is taken. */
void cli_print_json(json_t *json);
/* Text from elsewhere, for a terminal: control characters become '?'. */
void cli_print_safe(FILE *out, const char *text);

/* Columns: each row has n cells; the first row is the head. Widths from the content. */
struct cli_table {
	size_t columns;
	char **cells; /* strv, row by row */
};
void cli_table_cell(struct cli_table *t, const char *text);
void cli_table_print(struct cli_table *t);

#endif
