/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes one template; in bottle-monitor --template. A VM with the fixed devices
 * is booted in the same jail as any other; when its bottle-init is parked, QEMU
 * writes its devices' state and is ended; RAM is sealed; and a clone must answer
 * before the template counts as made. The guest is our own up to there.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "monitor/channel.h"
#include "monitor/console.h"
#include "monitor/template.h"

#define BOOT_MS      120000 /* emulated, nice, on a loaded machine */
#define CLONE_MS     30000
#define SETTLE_MS    500 /* what the kernel still does behind its boot would be done again by each clone */
#define SCRATCH_SIZE (1 << 20)

enum phase { PHASE_BOOT, PHASE_SETTLE, PHASE_SAVE, PHASE_SAVED, PHASE_CLONE, PHASE_DONE, PHASE_FAILED };

struct maker {
	struct loop *loop;
	struct source *timer;
	struct vmm_config config;
	struct vmm *vmm;
	struct channel *channel;
	struct console console;
	struct err *e;
	enum phase phase;
};

static void fail(struct maker *m, const char *why)
{
	char line[CONSOLE_LINE_MAX + 1];

	if (m->phase == PHASE_FAILED)
		return;
	console_last_line(&m->console, line);
	err_set(m->e, ERR_UNAVAILABLE, EIO, "%s%s%s%.200s", m->phase == PHASE_CLONE ? "its first clone: " : "", why, line[0] ? "; its console's last line: " : "",
		line);
	m->phase = PHASE_FAILED;
	vmm_qemu.kill(m->vmm);
}

static int on_frame(void *arg, const struct guest_frame *f, const unsigned char *body, struct err *e)
{
	struct maker *m = arg;

	(void)body;
	(void)e;
	if (m->phase == PHASE_BOOT && f->type == GUEST_HELLO) {
		m->phase = PHASE_SETTLE;
		source_timer(m->timer, SETTLE_MS);
	} else if (m->phase == PHASE_CLONE && f->type == GUEST_STATS) {
		m->phase = PHASE_DONE;
		vmm_qemu.kill(m->vmm);
	} else if (f->type != GUEST_LOG) {
		fail(m, "the guest said what nobody asked");
	}
	return 0;
}

static void on_broken(void *arg, const char *why)
{
	fail(arg, why);
}

static void on_room(void *arg)
{
	(void)arg;
}

static const struct channel_events channel_events = { on_frame, on_broken, on_room };

static void on_ready(void *arg)
{
	struct maker *m = arg;

	if (m->phase == PHASE_CLONE)
		channel_send(m->channel, HOST_STATS, 0, NULL, 0);
}

static void on_saved(void *arg, const char *error)
{
	struct maker *m = arg;

	if (error) {
		fail(m, error);
		return;
	}
	m->phase = PHASE_SAVED;
	vmm_qemu.kill(m->vmm);
}

static void on_console(void *arg, const char *data, size_t n)
{
	struct maker *m = arg;

	console_add(&m->console, data, n);
}

static void on_ended(void *arg, int status)
{
	struct maker *m = arg;

	(void)status;
	if (m->phase != PHASE_SAVED && m->phase != PHASE_DONE)
		fail(m, "QEMU ended unexpectedly");
	loop_quit(m->loop, m->phase == PHASE_FAILED ? -1 : 0);
}

static const struct vmm_events vmm_events = {
	.ready = on_ready,
	.console = on_console,
	.broken = on_broken,
	.ended = on_ended,
	.saved = on_saved,
};

static void on_timer(struct source *s, void *arg)
{
	struct maker *m = arg;
	struct err e = { 0 };

	if (m->phase != PHASE_SETTLE) {
		fail(m, "it did not answer in time");
		return;
	}
	m->phase = PHASE_SAVE;
	source_timer(s, CLONE_MS);
	if (vmm_qemu.save(m->vmm, m->config.state_fd, &e) < 0)
		fail(m, e.text);
}

/* One VM from its start to its end. */
static int run(struct maker *m, enum vmm_from from, enum phase phase, uint64_t ms)
{
	int fd = -1, r;

	m->config.from = from;
	m->phase = phase;
	m->console = (struct console){ 0 };
	r = vmm_qemu.start(m->loop, &m->config, &vmm_events, m, &m->vmm, &fd, m->e);
	if (r < 0)
		return r;
	m->channel = channel_new(m->loop, fd, &channel_events, m);
	source_timer(m->timer, ms);
	r = loop_run(m->loop);
	channel_free(m->channel);
	vmm_qemu.free(m->vmm);
	return r < 0 ? -m->e->code : 0;
}

static int memfd(const char *name, uint64_t size, struct err *e)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0) {
		err_errno(e, "make memory for a template");
		cleanup_close(&fd);
		return -e->code;
	}
	return fd;
}

/* A clone reads the state from its beginning, and so needs an open file of its own. */
static int reopen(int fd, struct err *e)
{
	char path[64];
	int again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDONLY | O_CLOEXEC);
	return again < 0 ? err_errno(e, "open a template's state") : again;
}

static int try_clone(struct maker *m, struct err *e)
{
	_cleanup_close_ int scratch = memfd("bottle-template-disk", SCRATCH_SIZE, e), state = reopen(m->config.state_fd, e);

	if (scratch < 0 || state < 0)
		return -e->code;
	m->config.scratch_fd = scratch;
	m->config.state_fd = state;
	return run(m, VMM_CLONE, PHASE_CLONE, CLONE_MS);
}

int template_make(const struct vmm_config *c, int *ret_ram, int *ret_state, struct err *e)
{
	_cleanup_close_ int ram = memfd("bottle-template-ram", c->memory, e), state = memfd("bottle-template-state", 0, e);
	_cleanup_loop_ struct loop *l = loop_new();
	struct maker m = { .loop = l, .config = *c, .e = e };
	int r;

	if (ram < 0 || state < 0)
		return -e->code;
	m.timer = loop_timer(l, UINT64_MAX, on_timer, &m);
	m.config.ram_fd = ram;
	m.config.state_fd = state;
	r = run(&m, VMM_TEMPLATE, PHASE_BOOT, BOOT_MS);
	if (r == 0 && (fcntl(ram, F_ADD_SEALS, TEMPLATE_SEALS) < 0 || fcntl(state, F_ADD_SEALS, TEMPLATE_SEALS) < 0))
		r = err_errno(e, "seal a template");
	if (r == 0)
		r = try_clone(&m, e);
	if (r < 0)
		return r;
	*ret_ram = TAKE_FD(ram);
	*ret_state = TAKE_FD(state);
	return 0;
}
