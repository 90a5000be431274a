/* SPDX-License-Identifier: Apache-2.0 */
/* bottle env: the variable that makes docker's clients use our socket, for eval "$(bottle env)". */
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/client.h"

int cmd_env(int argc, char **argv)
{
	_cleanup_free_ char *path = NULL;
	const char *own = getenv("BOTTLE_SOCKET");
	bool json = false;
	const struct opt opts[] = {
		{ 0, "json", OPT_FLAG, &json, NULL, "print a JSON object" },
		{ 0 },
	};
	const struct opt_usage usage = {
		.synopsis = "bottle env [OPTIONS]",
		.summary = "Prints the shell line that points docker's clients to the Engine socket.",
		.opts = opts
	};
	int first, code = cli_parse(&usage, argc, argv, 0, 0, &first);
	_cleanup_free_ char *url = NULL;

	if (code >= 0)
		return code;
	path = own && *own ? client_path(NULL) : client_default_path();
	url = xasprintf("unix://%s", path);
	if (json)
		cli_print_json(json_pack("{s:s}", "DOCKER_HOST", url));
	else
		printf("export DOCKER_HOST=%s\n", url);
	return EXIT_DONE;
}
