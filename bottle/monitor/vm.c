/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation of bottle-monitor, one process a container. It launches
 * a VMM (vmm.h) for a jailed VM, talks to bottle-init in the guest (channel.h),
 * carries its processes' streams to Engine clients (streams.h, client.h), keeps
 * log and status as files, and tells bottled (control.h) how the container
 * fares. bottled may die and come back at any time; guest and VMM are hostile.
 * All of that meets here, in one table of states (vm_states.def).
 */
#include "monitor/vm.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/mem.h"

#define ENTROPY_SIZE   64
#define EXIT_FAILED    255
#define EXIT_KILLED    137
#define EXIT_NOT_RUN   125
#define FLUSH_EXIT_MS  5000
#define STOP_DEFAULT_S 10

static const char *const state_names[] = {
#define VM_STATE(name) #name,
#include "monitor/vm_states.def"
};

static const char *const event_names[] = {
#define VM_EVENT(name) #name,
#include "monitor/vm_states.def"
};

const char *vm_state_name(const struct vm *vm)
{
	return state_names[vm->state];
}

void vm_fail(struct vm *vm, const char *fmt, ...)
{
	char line[CONSOLE_LINE_MAX + 1];
	size_t n;
	va_list ap;

	if (!vm->error[0] && !vm->has_code && !vm->killed) {
		va_start(ap, fmt);
		vsnprintf(vm->error, sizeof(vm->error), fmt, ap);
		va_end(ap);
		console_last_line(&vm->console, line);
		n = strlen(vm->error);
		if (line[0])
			snprintf(vm->error + n, sizeof(vm->error) - n, "; its console's last line: %s", line);
		log_warn("%.12s: %s", vm->id, vm->error);
	}
	vm_event(vm, VM_EV_FAIL);
}

/* ---- actions of the table ---- */

static void do_nothing(struct vm *vm)
{
	(void)vm;
}

static void arm_boot(struct vm *vm)
{
	source_timer(vm->deadline, vm->config.from == VMM_CLONE ? VM_CLONE_TIMEOUT_MS : VM_BOOT_TIMEOUT_MS);
}

static void write_status(struct vm *vm)
{
	files_write_status(vm);
}

static int on_frame(void *arg, const struct guest_frame *f, const unsigned char *body, struct err *e);

static void on_broken(void *arg, const char *why)
{
	vm_fail(arg, "the guest broke the channel's protocol: %s", why);
}

static void on_room(void *arg)
{
	struct vm *vm = arg;

	streams_room(&vm->streams);
}

static const struct channel_events channel_events = { on_frame, on_broken, on_room };

static void tell_created(struct vm *vm)
{
	vm->created = true;
	files_write_status(vm);
	control_ok(vm->control, &vm->create_answer, NULL);
}

/* A clone is created when it is known to live: bottled boots a VM in its place otherwise. */
static void open_channel(struct vm *vm)
{
	vm->channel = channel_new(vm->loop, TAKE_FD(vm->channel_fd), &channel_events, vm);
	vm->streams.channel = vm->channel;
	if (vm->config.from != VMM_CLONE)
		tell_created(vm);
}

/* Fresh entropy and the clock go first: the guest credits its RNG before anything else. */
static void send_config(struct vm *vm)
{
	unsigned char space[GUEST_BODY_MAX], entropy[ENTROPY_SIZE];
	size_t n = buf_len(&vm->guest_config);
	struct tlv t;

	random_bytes(entropy, sizeof(entropy));
	tlv_init(&t, space, sizeof(space));
	tlv_bytes(&t, GUEST_TAG_ENTROPY, entropy, sizeof(entropy));
	explicit_bzero(entropy, sizeof(entropy));
	tlv_u64(&t, GUEST_TAG_CLOCK_NS, (uint64_t)now_real_ns());
	if (t.size - t.len < n) {
		vm_fail(vm, "the container's configuration is larger than %d bytes", GUEST_BODY_MAX);
		return;
	}
	if (n)
		memcpy(t.data + t.len, buf_ptr(&vm->guest_config), n);
	t.len += n;
	channel_send_tlv(vm->channel, HOST_CONFIG, 0, &t);
	explicit_bzero(space, sizeof(space));
}

static void be_ready(struct vm *vm)
{
	source_timer(vm->deadline, UINT64_MAX);
	if (!vm->created)
		tell_created(vm);
	if (vm->start_wanted)
		vm_event(vm, VM_EV_START);
}

static void start_main(struct vm *vm)
{
	source_timer(vm->deadline, VM_BOOT_TIMEOUT_MS);
	process_start(&vm->streams.main, buf_ptr(&vm->process), buf_len(&vm->process));
}

static void tell_started(struct vm *vm)
{
	unsigned char space[64];
	struct tlv t;

	source_timer(vm->deadline, UINT64_MAX);
	vm->started_ns = now_real_ns();
	files_write_status(vm);
	tlv_init(&t, space, sizeof(space));
	tlv_u32(&t, MON_TAG_PID, (uint32_t)vm->ops->pid(vm->vmm));
	tlv_u64(&t, MON_TAG_STARTED_NS, (uint64_t)vm->started_ns);
	control_ok(vm->control, &vm->streams.main.answer, &t);
}

/* vm->error and vm->code were set by on_start_failed. */
static void tell_start_failed(struct vm *vm)
{
	struct err e = { 0 };

	err_set(&e, ERR_INVALID, ENOEXEC, "%s", vm->error);
	control_error(vm->control, &vm->streams.main.answer, vm->code, &e);
	vm->ops->kill(vm->vmm); /* nothing ran: there is nothing to sync */
}

/* The guest powers off by itself; execs that still run end with it. */
static void note_exit(struct vm *vm)
{
	vm->has_code = true;
	vm->code = vm->streams.main.code;
	vm->oom = vm->streams.main.oom;
	vm->finished_ns = now_real_ns();
	source_timer(vm->stop_timer, UINT64_MAX);
	source_timer(vm->deadline, VM_POWEROFF_MS);
	if (vm->disposable)
		vm->ops->kill(vm->vmm);
}

static void kill_vmm(struct vm *vm)
{
	vm->ops->kill(vm->vmm);
}

/* Everybody who waits for an answer that cannot come any more. */
static void refuse_waiting(struct vm *vm)
{
	struct err e = { 0 };

	err_set(&e, vm->error[0] ? ERR_UNAVAILABLE : ERR_CONFLICT, ESHUTDOWN, "%s",
		vm->error[0] ? vm->error : "the container ended");
	control_error(vm->control, &vm->create_answer, EXIT_NOT_RUN, &e);
	control_error(vm->control, &vm->streams.main.answer, EXIT_NOT_RUN, &e);
	control_error(vm->control, &vm->pause_answer, EXIT_NOT_RUN, &e);
	for (size_t i = 0; i < vm->n_stats; i++)
		control_error(vm->control, &vm->stats_answers[i], EXIT_NOT_RUN, &e);
	vm->n_stats = 0;
}

static void drain(struct vm *vm)
{
	source_timer(vm->deadline, UINT64_MAX);
	source_timer(vm->stop_timer, UINT64_MAX);
	if (!vm->has_code) {
		vm->code = vm->killed ? EXIT_KILLED : EXIT_FAILED;
		vm->has_code = true;
	}
	if (!vm->finished_ns)
		vm->finished_ns = now_real_ns();
	vm->ops->free(TAKE_PTR(vm->vmm));
	if (vm->created)
		files_write_status(vm);
	refuse_waiting(vm);
	streams_abort(&vm->streams, EXIT_KILLED);
	process_finish(&vm->streams.main);
}

static void tell_exit(struct vm *vm)
{
	unsigned char space[ERR_TEXT_MAX + 128];
	struct tlv t;

	tlv_init(&t, space, sizeof(space));
	tlv_u32(&t, MON_TAG_CODE, vm->code);
	tlv_u32(&t, MON_TAG_OOM, vm->oom);
	tlv_u64(&t, MON_TAG_FINISHED_NS, (uint64_t)vm->finished_ns);
	if (vm->error[0])
		tlv_str(&t, MON_TAG_TEXT, vm->error);
	control_event(vm->control, MON_EV_EXIT, &t);
}

/*
 * The runtime directory goes first: a bottled that hears of the exit may start
 * the container again at once, in a directory of the same name.
 */
static void finish(struct vm *vm)
{
	int fd;

	if (vmlog_dropped(vm->log))
		log_warn("%.12s: %llu bytes of its log were dropped", vm->id,
			 (unsigned long long)vmlog_dropped(vm->log));
	control_close_listener(vm->control);
	files_remove(vm);
	if (vm->created)
		tell_exit(vm);
	if (!control_flush(vm->control, FLUSH_EXIT_MS) && vm->created && vm->poke) {
		fd = unix_connect(vm->poke, SOCK_STREAM);
		cleanup_close(&fd);
	}
	loop_quit(vm->loop, 0);
}

/* ---- the table ---- */

static const struct row {
	enum vm_state state;
	enum vm_event_kind event;
	enum vm_state next;
	void (*action)(struct vm *vm);
} rows[] = {
#define VM_ROW(state, event, next, action) { VM_##state, VM_EV_##event, VM_##next, action },
#include "monitor/vm_states.def"
};

int vm_event(struct vm *vm, enum vm_event_kind ev)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].state != vm->state || rows[i].event != ev)
			continue;
		if (rows[i].next != vm->state)
			log_debug("%.12s: %s: %s -> %s", vm->id, event_names[ev], state_names[vm->state],
				  state_names[rows[i].next]);
		vm->state = rows[i].next;
		rows[i].action(vm);
		return 0;
	}
	log_debug("%.12s: %s has no place in %s", vm->id, event_names[ev], state_names[vm->state]);
	return -EINVAL;
}

/* ---- what the guest says on stream 0 ---- */

static int guest_hello(struct vm *vm, const unsigned char *body, size_t n, struct err *e)
{
	struct tlv_field f;
	struct tlv_iter it;
	uint32_t version = 0;
	int r;

	tlv_iter_init(&it, body, n);
	while ((r = tlv_next(&it, &f)) > 0) {
		if (f.tag == GUEST_TAG_VERSION && tlv_get_u32(&f, &version))
			continue;
		if (f.tag != GUEST_TAG_KERNEL || f.len > GUEST_TEXT_MAX)
			return err_set(e, ERR_INVALID, EBADMSG, "malformed HELLO");
	}
	if (r < 0 || version != GUEST_PROTO_VERSION)
		return err_set(e, ERR_INVALID, EPROTO, "its version is %u, not %d; rebuild the initramfs: make guest",
			       version, GUEST_PROTO_VERSION);
	if (vm_event(vm, VM_EV_HELLO) < 0)
		return err_set(e, ERR_INVALID, EBADMSG, "a second HELLO");
	return 0;
}

static int guest_configured(struct vm *vm, const unsigned char *body, size_t n, struct err *e)
{
	(void)body;
	(void)n;
	if (vm_event(vm, VM_EV_CONFIGURED) < 0)
		return err_set(e, ERR_INVALID, EBADMSG, "an untimely CONFIGURED");
	return 0;
}

/* A copy of the one text that body is, made printable. */
static int one_text(const unsigned char *body, size_t n, char out[GUEST_TEXT_MAX + 1])
{
	struct tlv_field f;
	struct tlv_iter it;

	tlv_iter_init(&it, body, n);
	if (tlv_next(&it, &f) != 1 || f.tag != GUEST_TAG_TEXT || f.len > GUEST_TEXT_MAX || tlv_next(&it, &f) != 0)
		return -EBADMSG;
	for (uint32_t i = 0; i < f.len; i++)
		out[i] = f.data[i] < 0x20 || f.data[i] == 0x7f ? '?' : (char)f.data[i];
	out[f.len] = '\0';
	return 0;
}

static int guest_failed(struct vm *vm, const unsigned char *body, size_t n, struct err *e)
{
	char text[GUEST_TEXT_MAX + 1];

	if (one_text(body, n, text) < 0)
		return err_set(e, ERR_INVALID, EBADMSG, "malformed FAILED");
	vm_fail(vm, "the guest could not be set up: %.300s", text);
	return 0;
}

static int guest_log(struct vm *vm, const unsigned char *body, size_t n, struct err *e)
{
	char text[GUEST_TEXT_MAX + 1];

	if (one_text(body, n, text) < 0)
		return err_set(e, ERR_INVALID, EBADMSG, "malformed LOG");
	log_peer("%.12s: guest: %s", vm->id, text);
	return 0;
}

static int guest_stats(struct vm *vm, const unsigned char *body, size_t n, struct err *e)
{
	unsigned char space[IPC_BODY_MAX];
	struct tlv t;

	tlv_init(&t, space, sizeof(space));
	tlv_bytes(&t, MON_TAG_STATS, body, n);
	if (!vm->n_stats || tlv_len(&t) < 0)
		return err_set(e, ERR_INVALID, EBADMSG, "STATS that nobody asked for");
	control_ok(vm->control, &vm->stats_answers[0], &t);
	memmove(vm->stats_answers, vm->stats_answers + 1, --vm->n_stats * sizeof(vm->stats_answers[0]));
	return 0;
}

static int on_frame(void *arg, const struct guest_frame *f, const unsigned char *body, struct err *e)
{
	static const struct {
		uint16_t type;
		int (*handler)(struct vm *, const unsigned char *, size_t, struct err *);
	} control_frames[] = {
		{ GUEST_HELLO, guest_hello },   { GUEST_CONFIGURED, guest_configured },
		{ GUEST_FAILED, guest_failed }, { GUEST_STATS, guest_stats },
		{ GUEST_LOG, guest_log },
	};
	struct vm *vm = arg;

	if (f->stream)
		return streams_frame(&vm->streams, f, body, e);
	for (size_t i = 0; i < ARRAY_SIZE(control_frames); i++)
		if (control_frames[i].type == f->type)
			return control_frames[i].handler(vm, body, f->size, e);
	return err_set(e, ERR_INVALID, EBADMSG, "an untimely frame of type %u", f->type);
}

/* ---- what happens to its processes ---- */

static void on_started(void *arg, struct process *p)
{
	unsigned char space[64];
	struct vm *vm = arg;
	struct tlv t;

	if (p == &vm->streams.main) {
		vm_event(vm, VM_EV_STARTED);
		return;
	}
	tlv_init(&t, space, sizeof(space));
	tlv_u32(&t, MON_TAG_PID, p->pid);
	control_ok(vm->control, &p->answer, &t);
}

static void on_start_failed(void *arg, struct process *p, const char *text)
{
	struct vm *vm = arg;
	struct err e = { 0 };

	if (p == &vm->streams.main) {
		snprintf(vm->error, sizeof(vm->error), "%s", text);
		vm->code = p->code;
		vm->has_code = true;
		vm_event(vm, VM_EV_START_FAILED);
		return;
	}
	err_set(&e, ERR_INVALID, ENOEXEC, "%s", text);
	control_error(vm->control, &p->answer, p->code, &e);
	process_forget(p);
}

static void on_exited(void *arg, struct process *p)
{
	unsigned char space[128];
	struct vm *vm = arg;
	struct tlv t;

	if (p == &vm->streams.main) {
		vm_event(vm, VM_EV_MAIN_EXIT);
		return;
	}
	tlv_init(&t, space, sizeof(space));
	tlv_str(&t, MON_TAG_EXEC_ID, p->exec_id);
	tlv_u32(&t, MON_TAG_CODE, p->code);
	control_event(vm->control, MON_EV_EXEC_EXIT, &t);
	process_finish(p);
}

static void on_detached(void *arg, struct process *p)
{
	unsigned char space[128];
	struct vm *vm = arg;
	struct tlv t;

	tlv_init(&t, space, sizeof(space));
	if (p->exec_id[0])
		tlv_str(&t, MON_TAG_EXEC_ID, p->exec_id);
	control_event(vm->control, MON_EV_DETACHED, &t);
}

/* The VM ends for its observers when the last reader of any of its processes has everything. */
static void on_drain_timer(struct source *s, void *arg)
{
	struct vm *vm = arg;
	struct process *p;

	(void)s;
	if (vm->state != VM_DRAINING || !LIST_EMPTY(&vm->streams.main.clients))
		return;
	LIST_FOREACH(p, &vm->streams.ended, link)
		if (!LIST_EMPTY(&p->clients))
			return;
	vm_event(vm, VM_EV_DRAINED);
}

static void on_clientless(void *arg, struct process *p)
{
	struct vm *vm = arg;

	(void)p;
	source_timer(vm->drain_timer, 0); /* not from within the list's walk */
}

static void on_log_timer(struct source *s, void *arg)
{
	struct vm *vm = arg;

	(void)s;
	vm->log_told = false;
	control_event(vm->control, MON_EV_LOG, NULL);
}

static void on_logged(void *arg)
{
	struct vm *vm = arg;

	if (vm->log_told)
		return;
	vm->log_told = true;
	source_timer(vm->log_timer, 0);
}

static const struct streams_events streams_events = {
	.started = on_started,
	.start_failed = on_start_failed,
	.exited = on_exited,
	.detached = on_detached,
	.clientless = on_clientless,
	.logged = on_logged,
};

/* ---- what the VMM says ---- */

/* A clone's guest said its HELLO to whoever made the template. */
static void on_vmm_ready(void *arg)
{
	struct vm *vm = arg;

	vm_event(vm, VM_EV_VMM_READY);
	if (vm->config.from == VMM_CLONE)
		vm_event(vm, VM_EV_HELLO);
}

static void on_vmm_paused(void *arg, bool paused, const char *error)
{
	struct vm *vm = arg;
	struct err e = { 0 };

	if (!error)
		vm_event(vm, paused ? VM_EV_PAUSED : VM_EV_RESUMED);
	else
		log_warn("%.12s: QEMU refused to %s: %s", vm->id, paused ? "pause" : "resume", error);
	if (!error) {
		control_ok(vm->control, &vm->pause_answer, NULL);
		return;
	}
	err_set(&e, ERR_INTERNAL, EIO, "the virtual machine cannot be %s: %.200s", paused ? "paused" : "resumed",
		error);
	control_error(vm->control, &vm->pause_answer, EXIT_NOT_RUN, &e);
}

static void on_vmm_console(void *arg, const char *data, size_t n)
{
	struct vm *vm = arg;

	console_add(&vm->console, data, n);
}

static void on_vmm_broken(void *arg, const char *why)
{
	vm_fail(arg, "the virtual machine's monitor is not to be trusted any more: %s", why);
}

static void on_vmm_ended(void *arg, int status)
{
	struct vm *vm = arg;

	if (vm->channel)
		channel_drain(vm->channel);
	if (!vm->has_code && !vm->error[0] && !vm->killed) {
		char how[64];

		if (WIFSIGNALED(status))
			snprintf(how, sizeof(how), "signal %d", WTERMSIG(status));
		else
			snprintf(how, sizeof(how), "exit code %d", WEXITSTATUS(status));
		vm_fail(vm, "the virtual machine ended unexpectedly (QEMU: %s)", how);
	}
	vm_event(vm, VM_EV_VMM_END);
}

static const struct vmm_events vmm_events = {
	.ready = on_vmm_ready,
	.paused = on_vmm_paused,
	.console = on_vmm_console,
	.broken = on_vmm_broken,
	.ended = on_vmm_ended,
};

/* ---- requests ---- */

int vm_launch(struct vm *vm, struct err *e)
{
	int r = files_claim(vm, e);

	if (r == 0)
		r = control_listen(vm->control, vm->runtime_fd, e);
	if (r == 0)
		r = vm->ops->start(vm->loop, &vm->config, &vmm_events, vm, &vm->vmm, &vm->channel_fd, e);
	return r < 0 ? r : vm_event(vm, VM_EV_LAUNCH);
}

void vm_start(struct vm *vm, struct answer to)
{
	vm->streams.main.answer = to;
	vm->start_wanted = true;
	if (vm->state == VM_READY)
		vm_event(vm, VM_EV_START);
}

/* A standing vCPU takes no signal. */
static void wake(struct vm *vm)
{
	if (vm->state == VM_PAUSED)
		vm->ops->pause(vm->vmm, false, NULL);
}

void vm_kill(struct vm *vm)
{
	vm->killed = true;
	vm_event(vm, VM_EV_FAIL);
}

static void force(struct vm *vm)
{
	vm->stop_forced = true;
	process_signal(&vm->streams.main, SIGKILL);
	source_timer(vm->stop_timer, VM_KILL_GRACE_MS);
}

/*
 * SIGKILL goes to the process first, so that the guest can sync its disk;
 * a guest that does not end by that is ended from outside.
 */
static void on_stop_timer(struct source *s, void *arg)
{
	struct vm *vm = arg;

	(void)s;
	if (vm->stop_forced)
		vm_kill(vm);
	else
		force(vm);
}

void vm_signal(struct vm *vm, uint32_t signo)
{
	if (signo == SIGKILL) {
		wake(vm);
		force(vm);
		return;
	}
	process_signal(&vm->streams.main, signo);
}

void vm_stop(struct vm *vm, uint32_t signo, uint64_t timeout_ms)
{
	if (vm->state >= VM_STOPPING)
		return;
	if (vm->state != VM_RUNNING && vm->state != VM_PAUSED) {
		vm_kill(vm);
		return;
	}
	wake(vm);
	process_signal(&vm->streams.main, signo);
	if (!vm->stop_forced)
		source_timer(vm->stop_timer, timeout_ms);
}

static void on_deadline(struct source *s, void *arg)
{
	struct vm *vm = arg;

	(void)s;
	if (vm->state < VM_RUNNING)
		vm_fail(vm, "the guest did not answer within %d s (%s)", VM_BOOT_TIMEOUT_MS / 1000, vm_state_name(vm));
	else
		vm_event(vm, VM_EV_FAIL);
}

/* The session ends: as if bottled had asked for a stop. */
static void on_term(struct source *s, int signo, void *arg)
{
	(void)s;
	(void)signo;
	vm_stop(arg, SIGTERM, STOP_DEFAULT_S * 1000);
}

static void on_request(void *arg, struct ipc_msg *m, struct answer to)
{
	vm_request(arg, m, to);
}

static void on_left(void *arg)
{
	struct vm *vm = arg;

	if (vm->state == VM_NEW)
		loop_quit(vm->loop, 1); /* started for nothing */
}

static const struct control_events control_events = { on_request, on_left };

struct vm *vm_new(struct loop *l, int take_fd)
{
	struct vm *vm = xcalloc(1, sizeof(*vm));

	vm->loop = l;
	vm->ops = &vmm_qemu;
	vm->data_fd = vm->runtime_fd = vm->pid_fd = vm->channel_fd = -1;
	vm->deadline = loop_timer(l, UINT64_MAX, on_deadline, vm);
	vm->stop_timer = loop_timer(l, UINT64_MAX, on_stop_timer, vm);
	vm->drain_timer = loop_timer(l, UINT64_MAX, on_drain_timer, vm);
	vm->log_timer = loop_timer(l, UINT64_MAX, on_log_timer, vm);
	loop_signal(l, SIGTERM, on_term, vm);
	loop_signal(l, SIGINT, on_term, vm);
	signal(SIGPIPE, SIG_IGN);
	streams_init(&vm->streams, l, NULL, &streams_events, vm);
	vm->control = control_new(l, take_fd, &control_events, vm);
	return vm;
}

void vm_free(struct vm *vm)
{
	if (!vm)
		return;
	source_free(vm->deadline);
	source_free(vm->stop_timer);
	source_free(vm->drain_timer);
	source_free(vm->log_timer);
	control_free(vm->control);
	streams_done(&vm->streams);
	channel_free(vm->channel);
	vm->ops->free(vm->vmm);
	vmlog_free(vm->log);
	buf_done(&vm->guest_config);
	buf_done(&vm->process);
	free(vm->poke);
	for (size_t i = 0; i < vm->n_ports; i++)
		cleanup_close(&vm->port_fds[i]);
	cleanup_close(&vm->channel_fd);
	cleanup_close(&vm->data_fd);
	cleanup_close(&vm->runtime_fd);
	cleanup_close(&vm->pid_fd);
	free(vm);
}
