/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "api/jail.h"

/* Each check runs in a child behind the jail; it gives 0 when what it tries is denied or allowed as it should be. */
static int inside(int (*check)(void))
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		struct err e = { 0 };

		_exit(jail_enter(&e) < 0 ? 100 : check());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 101;
}

static int denied(long r)
{
	return !(r < 0 && errno == EPERM);
}

static int modules(void)
{
	return denied(syscall(SYS_init_module, "", 0, ""));
}

static int bpf(void)
{
	return denied(syscall(SYS_bpf, 0, NULL, 0));
}

static int memory_of_others(void)
{
	return denied(syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0));
}

static int keys(void)
{
	return denied(syscall(SYS_keyctl, 0, 0, 0, 0, 0));
}

static int clock(void)
{
	return denied(syscall(SYS_settimeofday, NULL, NULL));
}

static int no_new_privs(void)
{
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1;
}

static int capabilities(void)
{
	return prctl(PR_CAPBSET_READ, CAP_SYS_MODULE) > 0 && geteuid() == 0;
}

static int core(void)
{
	struct rlimit l;

	return getrlimit(RLIMIT_CORE, &l) < 0 || l.rlim_max != 0;
}

/* What bottled lives from. */
static int work(void)
{
	int fds[2], fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC), status;
	pid_t pid = fork();

	if (pid == 0)
		execl("/bin/true", "true", (char *)NULL);
	return fd < 0 || pipe2(fds, O_CLOEXEC) < 0 || waitpid(pid, &status, 0) != pid || status != 0;
}

static void test_jail(void **state)
{
	static const struct {
		const char *name;
		int (*check)(void);
	} cases[] = {
		{ "modules", modules },
		{ "bpf", bpf },
		{ "memory of others", memory_of_others },
		{ "keys", keys },
		{ "the clock", clock },
		{ "no_new_privs", no_new_privs },
		{ "capabilities", capabilities },
		{ "core files", core },
		{ "work", work },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int r = inside(cases[i].check);

		if (r != 0)
			fail_msg("%s: %d", cases[i].name, r);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = { cmocka_unit_test(test_jail) };

	return cmocka_run_group_tests_name("api/jail", tests, NULL, NULL);
}
