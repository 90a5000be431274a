/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile guest: bytes straight into the channel of a VM without a VMM. The
 * first byte chooses how far it has come: 0 just booted, else a container runs
 * (and one exec is being started) with a client that reads nothing.
 */
#include <signal.h>

#include "tests/unit/monitor/fake_vm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void run_container(struct fake *f, int client[2])
{
	static const char id[] = "00000000000000000000000000000000000000000000000000000000000000aa";
	struct client_config cfg = { .flags = MON_F_STDOUT | MON_F_STDERR | MON_F_STDIN };
	struct process *p;

	fake_run(f);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, client) < 0)
		abort();
	process_attach(&f->vm->streams.main, TAKE_FD(client[0]), &cfg, NULL);
	p = streams_exec(&f->vm->streams, id, NULL);
	if (!p)
		abort();
	process_start(p, NULL, 0);
	f->vm->n_stats = 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	int client[2] = { -1, -1 };
	struct fake f;

	if (!n)
		return 0;
	fake_start(&f, -1);
	if (data[0])
		run_container(&f, client);
	channel_feed(f.vm->channel, data + 1, n - 1);
	if (f.vm->state < VM_DRAINING)
		vm_event(f.vm, VM_EV_VMM_END);
	cleanup_close(&client[1]);
	fake_stop(&f);
	return 0;
}
