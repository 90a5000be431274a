/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A monitor without a VMM, for what a real guest does not do: its channel is fed
 * by the test. Both directories are one temporary directory.
 */
#ifndef TESTS_UNIT_MONITOR_FAKE_VM_H
#define TESTS_UNIT_MONITOR_FAKE_VM_H

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/mem.h"
#include "monitor/vm.h"

struct fake {
	struct loop *loop;
	struct vm *vm;
	char path[64];
	int bottled_fd; /* the test is bottled */
	unsigned int kills;
};

static unsigned int *fake_kills;

static pid_t fake_pid(const struct vmm *v)
{
	(void)v;
	return 1;
}

static int fake_pause(struct vmm *v, bool stop, struct err *e)
{
	(void)v;
	(void)stop;
	(void)e;
	return 0;
}

static void fake_kill(struct vmm *v)
{
	(void)v;
	(*fake_kills)++;
}

static void fake_free(struct vmm *v)
{
	(void)v;
}

static const struct vmm_ops fake_ops = {
	.name = "fake",
	.pid = fake_pid,
	.pause = fake_pause,
	.kill = fake_kill,
	.free = fake_free,
};

/* A VM whose VMM has just answered. channel_fd: the guest's line, or -1: channel_feed only. */
static inline void fake_start(struct fake *f, int channel_fd)
{
	int p[2];

	fake_kills = &f->kills;
	f->kills = 0;
	f->loop = loop_new();
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p) < 0)
		abort();
	f->bottled_fd = p[1];
	f->vm = vm_new(f->loop, p[0]);
	f->vm->ops = &fake_ops;
	snprintf(f->vm->id, sizeof(f->vm->id), "%064d", 7);
	snprintf(f->path, sizeof(f->path), "/tmp/monitor-test.XXXXXX");
	if (!mkdtemp(f->path))
		abort();
	f->vm->data_fd = open(f->path, O_PATH | O_CLOEXEC);
	f->vm->runtime_fd = open(f->path, O_PATH | O_CLOEXEC);
	f->vm->log = vmlog_open(f->vm->data_fd, 1 << 20, NULL);
	f->vm->streams.log = f->vm->log;
	f->vm->vmm = (struct vmm *)f;
	f->vm->channel_fd = channel_fd;
	f->vm->state = VM_LAUNCHED;
	vm_event(f->vm, VM_EV_VMM_READY);
}

static inline void fake_stop(struct fake *f)
{
	vm_free(f->vm);
	loop_free(f->loop);
	close(f->bottled_fd);
	remove_tree(AT_FDCWD, f->path);
}

/* A frame from the guest. */
static inline int fake_frame(struct fake *f, uint16_t type, uint32_t stream, const void *body, size_t n)
{
	struct guest_frame head = { .size = (uint32_t)n, .type = type, .stream = stream };
	int r = channel_feed(f->vm->channel, &head, sizeof(head));

	return r < 0 || !n ? r : channel_feed(f->vm->channel, body, n);
}

static inline int fake_u32(struct fake *f, uint16_t type, uint32_t stream, uint16_t tag, uint32_t v)
{
	unsigned char space[64];
	struct tlv t;

	tlv_init(&t, space, sizeof(space));
	tlv_u32(&t, tag, v);
	return fake_frame(f, type, stream, space, t.len);
}

/* Up to a running container, whose process is stream 1. */
static inline void fake_run(struct fake *f)
{
	fake_u32(f, GUEST_HELLO, 0, GUEST_TAG_VERSION, GUEST_PROTO_VERSION);
	fake_frame(f, GUEST_CONFIGURED, 0, NULL, 0);
	vm_start(f->vm, (struct answer){ 0 });
	fake_u32(f, GUEST_STARTED, 1, GUEST_TAG_PID, 42);
}

#endif
