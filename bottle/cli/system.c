/* SPDX-License-Identifier: Apache-2.0 */
/* bottle system service and info: becoming bottled, and asking it for its figures. */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "cli/cli.h"
#include "cli/client.h"

int cmd_system_service(int argc, char **argv)
{
	const char *timeout = NULL, *socket = NULL;
	_cleanup_free_ char *path = proc_program("bottled");
	const struct opt opts[] = {
		{ 0, "timeout", OPT_STR, &timeout, "TIME", "end after so long without clients and work (default: 5s)" },
		{ 0, "socket", OPT_STR, &socket, "PATH", "listen here, unless a socket was passed by the init system" },
		{ 0 },
	};
	const struct opt_usage usage = { .synopsis = "bottle system service [OPTIONS]",
					 .summary =
						 "Serves the Engine API in the foreground; from LISTEN_FDS when given.",
					 .opts = opts };
	int first, code = cli_parse(&usage, argc, argv, 0, 0, &first);
	char *args[6] = { (char[]){ "bottled" } };
	int n = 1;

	if (code >= 0)
		return code;
	if (timeout) {
		args[n++] = (char[]){ "--timeout" };
		args[n++] = xstrdup(timeout);
	}
	if (socket) {
		args[n++] = (char[]){ "--socket" };
		args[n++] = xstrdup(socket);
	}
	execv(path, args);
	cli_error("start '%s': %s; is Bottle installed completely?", path, strerror(errno));
	return EXIT_FAILED;
}

static void print_line(const json_t *o, const char *key, const char *label)
{
	const json_t *v = json_object_get(o, key);

	printf("%-18s ", label);
	if (json_is_integer(v))
		printf("%lld\n", (long long)json_integer_value(v));
	else
		cli_print_safe(stdout, json_is_string(v) ? json_string_value(v) : "-");
	if (!json_is_integer(v))
		putchar('\n');
}

static void print_info(const json_t *info, const json_t *version)
{
	static const struct {
		const char *key, *label;
		bool of_version;
	} rows[] = {
		{ "Version", "engine version", true },     { "ApiVersion", "API version", true },
		{ "MinAPIVersion", "oldest API", true },   { "ContainersRunning", "running", false },
		{ "ContainersStopped", "stopped", false }, { "Images", "images", false },
		{ "Driver", "storage driver", false },     { "DockerRootDir", "data directory", false },
		{ "KernelVersion", "kernel", false },      { "NCPU", "CPUs", false },
		{ "MemTotal", "memory", false },
	};
	json_t *warning;
	size_t i;

	for (size_t k = 0; k < ARRAY_SIZE(rows); k++)
		print_line(rows[k].of_version ? version : info, rows[k].key, rows[k].label);
	json_array_foreach(json_object_get(info, "Warnings"), i, warning) {
		printf("warning: ");
		cli_print_safe(stdout, json_string_value(warning) ? json_string_value(warning) : "");
		putchar('\n');
	}
}

int cmd_system_info(int argc, char **argv)
{
	_cleanup_json_ json_t *info = NULL, *version = NULL;
	struct err e = { 0 };
	bool json = false;
	const struct opt opts[] = {
		{ 0, "json", OPT_FLAG, &json, NULL, "print a JSON object" },
		{ 0 },
	};
	const struct opt_usage usage = { .synopsis = "bottle system info [OPTIONS]",
					 .summary = "Shows the engine's version and figures.",
					 .opts = opts };
	int first, code = cli_parse(&usage, argc, argv, 0, 0, &first);

	if (code >= 0)
		return code;
	if (client_call("GET", API_PREFIX "/info", NULL, &info, &e) < 0 ||
	    client_call("GET", API_PREFIX "/version", NULL, &version, &e) < 0)
		return cli_fail(&e);
	if (json)
		cli_print_json(json_pack("{s:O, s:O}", "info", info, "version", version));
	else
		print_info(info, version);
	return EXIT_DONE;
}
