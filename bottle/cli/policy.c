/* SPDX-License-Identifier: Apache-2.0 */
/* bottle policy check: reads a policy and says what it means, or everything that is wrong with it. */
#include <string.h>

#include "base/mem.h"
#include "cli/cli.h"
#include "cli/up.h"

static void print_rules(const char *verb, struct policy_rule *const *rules, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		printf("  %-6s %s", verb, rules[i]->host);
		for (size_t k = 0; k < rules[i]->n_ports; k++)
			printf("%s%u", k ? ", " : "  ports ", rules[i]->ports[k]);
		printf("%s  (line %u)\n", rules[i]->n_ports ? "" : "  every port", rules[i]->line);
	}
}

static void print_summary(const struct policy *p, const char *hash)
{
	const struct policy_agent *a = &p->agent;

	printf("%s: agent %s", p->name, a->image);
	if (a->cpus)
		printf(", %llu CPUs", (unsigned long long)a->cpus);
	if (a->memory)
		printf(", %llu MiB memory", (unsigned long long)a->memory >> 20);
	if (a->disk)
		printf(", %llu MiB disk", (unsigned long long)a->disk >> 20);
	if (a->pids)
		printf(", %llu processes", (unsigned long long)a->pids);
	printf("%s\negress: everything is denied but\n", a->tty ? ", terminal" : "");
	print_rules("allow", p->allow, p->n_allow);
	if (!p->n_allow)
		printf("  nothing\n");
	print_rules("deny", p->deny, p->n_deny);
	for (size_t i = 0; i < p->n_publish; i++)
		printf("publish: %s:%u -> sidecar %u\n", p->publish[i].host_ip, p->publish[i].host_port,
		       p->publish[i].port);
	printf("policy sha256:%s\n", hash);
}

int cmd_policy_check(int argc, char **argv)
{
	_cleanup_free_ char *compiled = NULL, *hash = NULL;
	_cleanup_policy_ struct policy *policy = NULL;
	bool json = false;
	const struct opt opts[] = {
		{ 0, "json", OPT_FLAG, &json, NULL, "print the compiled form that the sidecar decides by" },
		{ 0 },
	};
	const struct opt_usage usage = { .synopsis = "bottle policy check [OPTIONS] FILE",
					 .summary = "Validates a policy file (JSON or YAML) and shows what it means.\n"
						    "Exit code 3: refused; each error is told with its line.",
					 .opts = opts };
	int first, code = cli_parse(&usage, argc, argv, 1, 1, &first);

	if (code < 0)
		code = cli_load_policy(argv[first], &policy, &compiled, &hash);
	if (code >= 0)
		return code;
	if (json)
		puts(compiled);
	else
		print_summary(policy, hash);
	return EXIT_DONE;
}
