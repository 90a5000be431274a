/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bottle-monitor: one process a VM, started detached by bottled with a socket
 * at fd 3 (proto/monitor.h). It reads MON_CREATE, starts the VM, gives up what
 * it does not need (jail.c) and serves until the container has ended. With
 * --probe it only tells what this machine can run; with --template it keeps the
 * templates that VMs are cloned from (template.h).
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/opt.h"
#include "monitor/probe.h"
#include "monitor/template.h"
#include "monitor/vm.h"

#define BOTTLED_FD 3

static int print_probe(const char *cache)
{
	struct probe p = { 0 };
	char line[PROBE_LINE_MAX];

	probe_cached(AT_FDCWD, cache, &p);
	probe_print(&p, line);
	return printf("%s\n", line) < 0 || fflush(stdout) != 0;
}

static int serve(void)
{
	_cleanup_loop_ struct loop *l = NULL;
	struct stat st;
	struct vm *vm;
	int r;

	if (fstat(BOTTLED_FD, &st) < 0 || !S_ISSOCK(st.st_mode))
		fatal("descriptor %d is no socket: this program is started by bottled", BOTTLED_FD);
	fd_cloexec(BOTTLED_FD, true);
	l = loop_new();
	vm = vm_new(l, BOTTLED_FD);
	r = loop_run(l);
	vm_free(vm);
	return r;
}

int main(int argc, char **argv)
{
	bool probe = false, verbose = false;
	const char *cache = NULL, *templates = NULL;
	uint64_t cpus = 1, memory = 0;
	const struct opt opts[] = {
		{ 0, "probe", OPT_FLAG, &probe, NULL, "print what this machine can run, and exit" },
		{ 0, "cache", OPT_STR, &cache, "PATH", "with --probe: keep the answer there until the next boot" },
		{ 0, "template", OPT_STR, &templates, "DIR", "hand out the template kept there; make it when it is missing" },
		{ 0, "cpus", OPT_U64, &cpus, "N", "with --template: its number of CPUs (1)" },
		{ 0, "memory", OPT_U64, &memory, "BYTES", "with --template: its memory" },
		{ 'v', "verbose", OPT_FLAG, &verbose, NULL, "log each change of state" },
		{ 0 },
	};
	const struct opt_usage usage = {
		.synopsis = "bottle-monitor [--probe [--cache PATH] | --template DIR --memory BYTES [--cpus N]]",
		.summary = "Runs one container's virtual machine; started by bottled.",
		.opts = opts,
	};
	struct err e = { 0 };
	int first, r;

	log_init("bottle-monitor", 0);
	r = opt_parse(&usage, argc, argv, &first, &e);
	if (r > 0)
		return 0;
	if (r < 0)
		fatal("%s", e.text);
	log_init("bottle-monitor", verbose);
	if (templates)
		return template_main(templates, cpus, memory, BOTTLED_FD);
	return probe ? print_probe(cache) : serve();
}
