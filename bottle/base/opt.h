/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command lines: one table parses the options and prints --help, so that the
 * two cannot differ. Long options take "--name VALUE" or "--name=VALUE"; short
 * ones may be bundled; "--" ends them.
 */
#ifndef BASE_OPT_H
#define BASE_OPT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum opt_kind {
	OPT_FLAG,     /* bool *    */
	OPT_STR,      /* const char ** (into argv) */
	OPT_STRV,     /* char ***, repeatable (strv_push) */
	OPT_U64,      /* uint64_t * */
	OPT_DURATION, /* uint64_t *, milliseconds */
};

struct opt {
	char letter; /* 0: none */
	const char *name;
	enum opt_kind kind;
	void *value;
	const char *arg;  /* its name in --help; NULL for flags */
	const char *help; /* NULL in .name ends the table */
};

struct opt_usage {
	const char *synopsis; /* "bottle up [OPTIONS] FILE" */
	const char *summary;
	const struct opt *opts;
	bool stop_at_operand; /* options end at the first operand (exec, run) */
};

/*
 * Parses argv[1..]; operands are left in argv[*ret_first..] (options moved
 * before them). Returns 0, 1 after printing --help to stdout, -EINVAL.
 */
int opt_parse(const struct opt_usage *u, int argc, char **argv, int *ret_first, struct err *e);
void opt_print_help(const struct opt_usage *u, FILE *out);

#endif
