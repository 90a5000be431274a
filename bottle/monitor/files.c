/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pid, status and their removal, in bottle-monitor: what a later bottled (or a
 * person) reads without asking the monitor. Both directories are the user's own.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

#include "base/fd.h"
#include "base/log.h"
#include "monitor/vm.h"

int files_claim(struct vm *vm, struct err *e)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%d\n", getpid());

	vm->pid_fd = openat(vm->runtime_fd, "pid", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (vm->pid_fd < 0)
		return err_errno(e, "open the monitor's pid file");
	if (flock(vm->pid_fd, LOCK_EX | LOCK_NB) < 0)
		return err_set(e, ERR_CONFLICT, EBUSY, "another monitor runs this container");
	if (ftruncate(vm->pid_fd, 0) < 0 || pwrite(vm->pid_fd, text, (size_t)n, 0) != n)
		return err_errno(e, "write the monitor's pid file");
	if (unlinkat(vm->runtime_fd, "control", 0) < 0 && errno != ENOENT)
		return err_errno(e, "remove an old control socket");
	return 0;
}

static const char *public_state(const struct vm *vm)
{
	switch (vm->state) {
	case VM_RUNNING:
		return "running";
	case VM_PAUSED:
		return "paused";
	case VM_STOPPING:
		return vm->started_ns ? "running" : "created"; /* until the VMM has ended */
	case VM_DRAINING:
	case VM_ENDED:
		return "exited";
	default:
		return "created";
	}
}

void files_write_status(struct vm *vm)
{
	_cleanup_buf_ struct buf b = { 0 };
	int r;

	buf_printf(&b, "state %s\n", public_state(vm));
	if (vm->vmm)
		buf_printf(&b, "pid %d\n", vm->ops->pid(vm->vmm));
	if (vm->started_ns)
		buf_printf(&b, "started %lld\n", (long long)vm->started_ns);
	if (vm->state >= VM_DRAINING) {
		buf_printf(&b, "finished %lld\ncode %u\noom %u\n", (long long)vm->finished_ns, vm->code, vm->oom);
		if (vm->error[0])
			buf_printf(&b, "error %s\n", vm->error);
	}
	r = file_write_at(vm->data_fd, "status", 0600, buf_ptr(&b), buf_len(&b));
	if (r < 0)
		log_error("write status of %.12s: %s", vm->id, strerror(-r));
}

void files_remove(struct vm *vm)
{
	char name[MON_RUNTIME_ID_LEN + 1];
	_cleanup_close_ int up = -1;

	snprintf(name, sizeof(name), "%.*s", MON_RUNTIME_ID_LEN, vm->id);
	unlinkat(vm->runtime_fd, "control", 0);
	unlinkat(vm->runtime_fd, "pid", 0);
	up = openat(vm->runtime_fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (up >= 0)
		unlinkat(up, name,
			 AT_REMOVEDIR); /* fails when its name is another or it holds more: then it is not ours */
}
