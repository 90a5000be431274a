/* SPDX-License-Identifier: Apache-2.0 */
/* Each jail denies: a child that enters it and then does what it must not is killed by SIGSYS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/proc.h"
#include "sidecar/dns/jail.h"
#include "sidecar/egress/jail.h"
#include "sidecar/main/main.h"
#include "sidecar/probe/probe.h"

static void do_nothing(void)
{
}

static void do_exec(void)
{
	char *argv[] = { (char *)(uintptr_t) "/bin/true", NULL };

	execv(argv[0], argv);
}

static void do_fork(void)
{
	if (fork() == 0)
		_exit(0);
}

static void do_open(void)
{
	close(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
}

static void do_listen(void)
{
	listen(0, 1);
}

static void do_bind(void)
{
	bind(0, NULL, 0);
}

static void do_kill(void)
{
	kill(1, 0);
}

static void do_setuid(void)
{
	if (setuid(0) < 0)
		_exit(3);
}

static void do_socket(void)
{
	close(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static int run(const struct sandbox_profile *p, void (*fn)(void))
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		if (sandbox_enter(p, NULL) < 0)
			_exit(2);
		fn();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return proc_exit_code(status);
}

/* The sanitizer's runtime opens files. */
#ifdef __SANITIZE_ADDRESS__
#define SANITIZED true
#else
#define SANITIZED false
#endif

static void test_jails(void **state)
{
	static const struct sandbox_profile *const profiles[] = { &dns_profile, &egress_profile, &main_run_profile,
								  &probe_profile };
	static const struct {
		void (*fn)(void);
		bool main_may;
		bool children_may;
	} acts[] = {
		{ do_nothing, true, true }, { do_socket, true, true },    { do_exec, false, false },
		{ do_fork, false, false },  { do_open, true, SANITIZED }, { do_listen, false, false },
		{ do_bind, false, false },  { do_kill, false, false },    { do_setuid, false, false },
	};

	(void)state;
	for (size_t p = 0; p < ARRAY_SIZE(profiles); p++) {
		for (size_t i = 0; i < ARRAY_SIZE(acts); i++) {
			bool may = profiles[p] == &main_run_profile ? acts[i].main_may : acts[i].children_may;

			if (run(profiles[p], acts[i].fn) != (may ? 0 : 128 + SIGSYS))
				fail_msg("%s: act %zu", profiles[p]->name, i);
		}
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = { cmocka_unit_test(test_jails) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
