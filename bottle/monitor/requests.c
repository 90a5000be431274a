/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bottled's requests, in bottle-monitor: fields by a table of types and limits,
 * then a table of what is allowed in which states. bottled is the same user,
 * and still a message that does not fit is refused whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/mem.h"
#include "monitor/jail.h"
#include "monitor/probe.h"
#include "monitor/template.h"
#include "monitor/vm.h"

#define MEMORY_MIN    (48ULL << 20)
#define MEMORY_MAX    (1ULL << 40)
#define CPUS_MAX      255
#define POKE_MAX      4096
#define LOG_MAX_MIN   (64 * 1024)
#define EXIT_NO_START 125

/* The fields of one request, in the message's own bytes but for the strings. */
struct args {
	struct tlv_field fields[MON_TAG_TEMPLATE + 1];
	uint64_t present;
	char exec_id[ID_LEN + 1], id[ID_LEN + 1];
};

static const struct tag_rule {
	uint16_t tag;
	enum { TAG_U32, TAG_U64, TAG_BYTES, TAG_HEX_ID } kind;
	size_t max; /* of bytes, or the largest number */
} tag_rules[] = {
	{ MON_TAG_FLAGS, TAG_U32, 0xff },
	{ MON_TAG_EARLY, TAG_BYTES, GUEST_BODY_MAX },
	{ MON_TAG_EXEC_ID, TAG_HEX_ID, ID_LEN },
	{ MON_TAG_ROWS, TAG_U32, 65535 },
	{ MON_TAG_COLS, TAG_U32, 65535 },
	{ MON_TAG_SIGNAL, TAG_U32, 64 },
	{ MON_TAG_TIMEOUT_MS, TAG_U64, SIZE_MAX },
	{ MON_TAG_DETACH_KEYS, TAG_BYTES, CLIENT_KEYS_MAX },
	{ MON_TAG_ID, TAG_HEX_ID, ID_LEN },
	{ MON_TAG_CPUS, TAG_U32, CPUS_MAX },
	{ MON_TAG_CPU_QUOTA, TAG_U32, UINT32_MAX },
	{ MON_TAG_MEMORY, TAG_U64, MEMORY_MAX },
	{ MON_TAG_GUEST_CONFIG, TAG_BYTES, GUEST_BODY_MAX },
	{ MON_TAG_PROCESS, TAG_BYTES, GUEST_BODY_MAX },
	{ MON_TAG_LAYERS, TAG_U32, GUEST_LAYERS_MAX },
	{ MON_TAG_NICS, TAG_U32, GUEST_NICS_MAX },
	{ MON_TAG_LOG_MAX, TAG_U64, SIZE_MAX },
	{ MON_TAG_POKE, TAG_BYTES, POKE_MAX },
	{ MON_TAG_PORTS, TAG_U32, VM_PORTS_MAX },
	{ MON_TAG_DISPOSABLE, TAG_U32, 1 },
	{ MON_TAG_TEMPLATE, TAG_U32, 1 },
};

static bool has(const struct args *a, uint16_t tag)
{
	return a->present >> tag & 1;
}

static uint32_t get_u32(const struct args *a, uint16_t tag, uint32_t missing)
{
	uint32_t v = missing;

	if (has(a, tag))
		tlv_get_u32(&a->fields[tag], &v);
	return v;
}

static uint64_t get_u64(const struct args *a, uint16_t tag, uint64_t missing)
{
	uint64_t v = missing;

	if (has(a, tag))
		tlv_get_u64(&a->fields[tag], &v);
	return v;
}

static bool field_fits(const struct tag_rule *rule, const struct tlv_field *f)
{
	uint32_t v32;
	uint64_t v64;

	switch (rule->kind) {
	case TAG_U32:
		return tlv_get_u32(f, &v32) && v32 <= rule->max;
	case TAG_U64:
		return tlv_get_u64(f, &v64) && v64 <= rule->max;
	case TAG_HEX_ID:
		return f->len == ID_LEN;
	case TAG_BYTES:
		return f->len <= rule->max;
	}
	return false;
}

static bool get_id(const struct tlv_field *f, char out[ID_LEN + 1])
{
	memcpy(out, f->data, ID_LEN);
	out[ID_LEN] = '\0';
	return str_is_hex(out, ID_LEN);
}

static int bad_field(struct err *e, uint16_t tag)
{
	return err_set(e, ERR_INVALID, EINVAL, "the monitor got a malformed message (field %u)", tag);
}

static int parse(const struct ipc_msg *m, struct args *a, struct err *e)
{
	struct tlv_field f;
	struct tlv_iter it;
	int r;

	*a = (struct args){ 0 };
	tlv_iter_init(&it, m->body, m->len);
	while ((r = tlv_next(&it, &f)) > 0) {
		const struct tag_rule *rule = NULL;

		for (size_t i = 0; i < ARRAY_SIZE(tag_rules) && !rule; i++)
			if (tag_rules[i].tag == f.tag)
				rule = &tag_rules[i];
		if (!rule || has(a, f.tag) || !field_fits(rule, &f))
			return bad_field(e, f.tag);
		if (f.tag == MON_TAG_EXEC_ID && !get_id(&f, a->exec_id))
			return bad_field(e, f.tag);
		if (f.tag == MON_TAG_ID && !get_id(&f, a->id))
			return bad_field(e, f.tag);
		a->fields[f.tag] = f;
		a->present |= 1ULL << f.tag;
	}
	return r < 0 ? bad_field(e, 0) : 0;
}

/* ---- MON_CREATE ---- */

static int check_fd(int fd, int access, const char *what, struct err *e)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || (flags & O_ACCMODE) != access || flags & O_PATH)
		return err_set(e, ERR_INVALID, EINVAL, "%s was not opened as it must be", what);
	return 0;
}

static int take_disks(struct vm *vm, const struct args *a, struct ipc_msg *m, struct err *e)
{
	struct vmm_config *c = &vm->config;
	size_t at = MON_FD_FIRST_LAYER, n_template = get_u32(a, MON_TAG_TEMPLATE, 0) ? 2 : 0;
	int r;

	c->n_layers = get_u32(a, MON_TAG_LAYERS, 0);
	c->n_taps = get_u32(a, MON_TAG_NICS, 0);
	vm->n_ports = get_u32(a, MON_TAG_PORTS, 0);
	if (m->n_fds != at + c->n_layers + c->n_taps + vm->n_ports + n_template) {
		c->n_layers = c->n_taps = vm->n_ports = 0;
		return err_set(e, ERR_INVALID, EINVAL, "the monitor got %zu descriptors", m->n_fds);
	}
	vm->data_fd = ipc_take_fd(m, MON_FD_DATA);
	vm->runtime_fd = ipc_take_fd(m, MON_FD_RUNTIME);
	c->kernel_fd = m->fds[MON_FD_KERNEL]; /* closed with the message, after the launch */
	c->initrd_fd = m->fds[MON_FD_INITRD];
	c->scratch_fd = m->fds[MON_FD_SCRATCH];
	for (size_t i = 0; i < c->n_layers; i++)
		c->layer_fds[i] = m->fds[at++];
	for (size_t i = 0; i < c->n_taps; i++)
		c->tap_fds[i] = m->fds[at++];
	for (size_t i = 0; i < vm->n_ports; i++)
		vm->port_fds[i] = ipc_take_fd(m, at++);
	if (n_template) {
		c->from = VMM_CLONE;
		c->ram_fd = m->fds[at++];
		c->state_fd = m->fds[at];
		if (c->n_layers >= VMM_SLOT_DISKS || c->n_taps > VMM_SLOT_NICS)
			return err_set(e, ERR_INVALID, EINVAL, "the container has more disks or networks than a template");
		if ((fcntl(c->ram_fd, F_GET_SEALS) & TEMPLATE_SEALS) != TEMPLATE_SEALS)
			return err_set(e, ERR_INVALID, EINVAL, "the template's RAM is not sealed");
	}
	r = check_fd(c->scratch_fd, O_RDWR, "the scratch disk", e);
	for (size_t i = 0; i < c->n_layers && r == 0; i++)
		r = check_fd(c->layer_fds[i], O_RDONLY, "a layer", e);
	return r;
}

static int take_config(struct vm *vm, const struct args *a, struct err *e)
{
	uint32_t quota = get_u32(a, MON_TAG_CPU_QUOTA, 0);
	struct vmm_config *c = &vm->config;

	if (!has(a, MON_TAG_ID) || !has(a, MON_TAG_GUEST_CONFIG) || !has(a, MON_TAG_PROCESS))
		return err_set(e, ERR_INVALID, EINVAL, "the monitor got an incomplete message");
	memcpy(vm->id, a->id, sizeof(vm->id));
	/* Threads of QEMU cannot be throttled without cgroups: a quota is met by the number of vCPUs that covers it. */
	c->cpus = get_u32(a, MON_TAG_CPUS, 1);
	if (quota && c->cpus > (quota + 999) / 1000)
		c->cpus = (quota + 999) / 1000;
	c->memory = get_u64(a, MON_TAG_MEMORY, 0) & ~(uint64_t)0x1fffff;
	if (!c->cpus || c->memory < MEMORY_MIN)
		return err_set(e, ERR_INVALID, EINVAL, "a container needs a CPU and %llu MiB of memory at least",
			       MEMORY_MIN >> 20);
	vm->disposable = get_u32(a, MON_TAG_DISPOSABLE, 0) != 0;
	buf_append(&vm->guest_config, a->fields[MON_TAG_GUEST_CONFIG].data, a->fields[MON_TAG_GUEST_CONFIG].len);
	buf_append(&vm->process, a->fields[MON_TAG_PROCESS].data, a->fields[MON_TAG_PROCESS].len);
	if (has(a, MON_TAG_POKE))
		vm->poke = tlv_get_str(&a->fields[MON_TAG_POKE], POKE_MAX);
	return 0;
}

static int open_log(struct vm *vm, const struct args *a, struct err *e)
{
	uint64_t max = get_u64(a, MON_TAG_LOG_MAX, LOG_MAX_DEFAULT);

	vm->log = vmlog_open(vm->data_fd, max < LOG_MAX_MIN ? LOG_MAX_MIN : max, e);
	vm->streams.log = vm->log;
	return vm->log ? 0 : -e->code;
}

/* Answered by vm.c once the VMM talks. A failure ends this process: it has no other use. */
static int req_create(struct vm *vm, const struct args *a, struct ipc_msg *m, struct answer *to, struct err *e)
{
	struct probe probe = { 0 };
	char name[32];
	int r;

	r = take_config(vm, a, e);
	if (r == 0)
		r = take_disks(vm, a, m, e);
	if (r == 0)
		r = open_log(vm, a, e);
	if (r == 0) {
		snprintf(name, sizeof(name), "bottle-%.12s", vm->id);
		probe_cached(vm->runtime_fd, "../../" MON_PROBE_CACHE, &probe);
		vm->config.name = name;
		vm->config.kvm = probe.kvm;
		vm->config.tsc_khz = probe.tsc_khz;
		r = vm_launch(vm, e);
		vm->config.name = NULL;
	}
	if (r == 0)
		r = jail_enter(vm->data_fd, vm->runtime_fd, e);
	if (r < 0) {
		control_error(vm->control, to, EXIT_NO_START, e);
		control_flush(vm->control, 1000);
		if (vm->pid_fd >= 0)
			files_remove(vm);
		loop_quit(vm->loop, 1);
		return 0;
	}
	vm->create_answer = *to;
	return 0;
}

/* ---- the rest ---- */

static int find_process(struct vm *vm, const struct args *a, struct process **ret, struct err *e)
{
	*ret = streams_find(&vm->streams, has(a, MON_TAG_EXEC_ID) ? a->exec_id : NULL);
	return *ret ? 0 : err_set(e, ERR_NOTFOUND, ENOENT, "No such exec instance: %s", a->exec_id);
}

static void client_config(const struct args *a, struct client_config *ret)
{
	static const unsigned char default_keys[] = { 0x10, 0x11 };
	const struct tlv_field *keys = &a->fields[MON_TAG_DETACH_KEYS];

	*ret = (struct client_config){
		.flags = get_u32(a, MON_TAG_FLAGS, 0),
		.early = a->fields[MON_TAG_EARLY].data,
		.early_len = a->fields[MON_TAG_EARLY].len,
		.n_keys = sizeof(default_keys),
	};
	memcpy(ret->keys, default_keys, sizeof(default_keys));
	if (!has(a, MON_TAG_DETACH_KEYS))
		return;
	ret->n_keys = keys->len;
	memcpy(ret->keys, keys->data, keys->len);
}

static int req_attach(struct vm *vm, const struct args *a, struct ipc_msg *m, struct answer *to, struct err *e)
{
	struct client_config cfg;
	int r;

	client_config(a, &cfg);
	r = process_attach(&vm->streams.main, ipc_take_fd(m, 0), &cfg, e);
	if (r == 0)
		control_ok(vm->control, to, NULL);
	return r;
}

static int req_start(struct vm *vm, const struct args *a, struct ipc_msg *m, struct answer *to, struct err *e)
{
	(void)a;
	(void)m;
	if (vm->start_wanted)
		return err_set(e, ERR_CONFLICT, EALREADY, "the container is started already");
	vm_start(vm, *to);
	return 0;
}

static int req_exec(struct vm *vm, const struct args *a, struct ipc_msg *m, struct answer *to, struct err *e)
{
	struct client_config cfg;
	struct process *p;
	int r = 0;

	client_config(a, &cfg);
	if (!has(a, MON_TAG_EXEC_ID) || !has(a, MON_TAG_PROCESS) || m->n_fds != (cfg.flags & MON_F_DETACH ? 0 : 1))
		return err_set(e, ERR_INVALID, EINVAL, "the monitor got an incomplete message");
	p = streams_exec(&vm->streams, a->exec_id, e);
	if (!p)
		return -e->code;
	if (m->n_fds)
		r = process_attach(p, ipc_take_fd(m, 0), &cfg, e);
	if (r < 0) {
		process_forget(p);
		return r;
	}
	p->answer = *to;
	if (has(a, MON_TAG_ROWS) && has(a, MON_TAG_COLS))
		process_resize(p, get_u32(a, MON_TAG_ROWS, 0), get_u32(a, MON_TAG_COLS, 0));
	process_start(p, a->fields[MON_TAG_PROCESS].data, a->fields[MON_TAG_PROCESS].len);
	return 0;
}

static int req_resize(struct vm *vm, const struct args *a, struct ipc_msg *m, struct answer *to, struct err *e)
{
	struct process *p;
	int r = find_process(vm, a, &p, e);

	(void)m;
	if (r < 0)
		return r;
	if (!has(a, MON_TAG_ROWS) || !has(a, MON_TAG_COLS))
		return bad_field(e, MON_TAG_ROWS);
	process_resize(p, get_u32(a, MON_TAG_ROWS, 0), get_u32(a, MON_TAG_COLS, 0));
	control_ok(vm->control, to, NULL);
	return 0;
}

static int req_signal(struct vm *vm, const struct args *a, struct ipc_msg *m, struct answer *to, struct err *e)
{
	uint32_t signo = get_u32(a, MON_TAG_SIGNAL, 0);
	struct process *p;
	int r = find_process(vm, a, &p, e);

	(void)m;
	if (r < 0)
		return r;
	if (!signo)
		return bad_field(e, MON_TAG_SIGNAL);
	if (p == &vm->streams.main)
		vm_signal(vm, signo);
	else
		process_signal(p, signo);
	control_ok(vm->control, to, NULL);
	return 0;
}

static int req_stop(struct vm *vm, const struct args *a, struct ipc_msg *m, struct answer *to, struct err *e)
{
	(void)m;
	(void)e;
	control_ok(vm->control, to, NULL);
	vm_stop(vm, get_u32(a, MON_TAG_SIGNAL, SIGTERM), get_u64(a, MON_TAG_TIMEOUT_MS, 10000));
	return 0;
}

static int req_kill(struct vm *vm, const struct args *a, struct ipc_msg *m, struct answer *to, struct err *e)
{
	(void)a;
	(void)m;
	(void)e;
	control_ok(vm->control, to, NULL);
	vm_kill(vm);
	return 0;
}

static int pause_or_resume(struct vm *vm, bool stop, struct answer *to, struct err *e)
{
	int r = vm->ops->pause(vm->vmm, stop, e);

	if (r == 0)
		vm->pause_answer = *to;
	return r;
}

static int req_pause(struct vm *vm, const struct args *a, struct ipc_msg *m, struct answer *to, struct err *e)
{
	(void)a;
	(void)m;
	return pause_or_resume(vm, true, to, e);
}

static int req_unpause(struct vm *vm, const struct args *a, struct ipc_msg *m, struct answer *to, struct err *e)
{
	(void)a;
	(void)m;
	return pause_or_resume(vm, false, to, e);
}

static int req_stats(struct vm *vm, const struct args *a, struct ipc_msg *m, struct answer *to, struct err *e)
{
	(void)a;
	(void)m;
	if (vm->n_stats == VM_STATS_MAX)
		return err_set(e, ERR_LIMIT, EAGAIN, "too many requests for statistics wait for an answer");
	vm->stats_answers[vm->n_stats++] = *to;
	channel_send(vm->channel, HOST_STATS, 0, NULL, 0);
	return 0;
}

static uint32_t public_state(const struct vm *vm)
{
	switch (vm->state) {
	case VM_READY:
	case VM_STARTING:
		return MON_STATE_READY;
	case VM_RUNNING:
		return MON_STATE_RUNNING;
	case VM_PAUSED:
		return MON_STATE_PAUSED;
	case VM_STOPPING:
	case VM_DRAINING:
	case VM_ENDED:
		return MON_STATE_ENDED;
	default:
		return MON_STATE_BOOTING;
	}
}

static void add_exec(struct tlv *t, const struct process *p)
{
	if (!p->exec_id[0])
		return;
	tlv_str(t, MON_TAG_EXEC_ID, p->exec_id);
	tlv_u32(t, MON_TAG_EXEC_RUNNING, p->state != PROCESS_ENDED);
	tlv_u32(t, MON_TAG_CODE, p->code);
	tlv_u32(t, MON_TAG_PID, p->pid);
}

static int req_inspect(struct vm *vm, const struct args *a, struct ipc_msg *m, struct answer *to, struct err *e)
{
	unsigned char space[IPC_BODY_MAX];
	struct process *p;
	struct tlv t;

	(void)a;
	(void)m;
	(void)e;
	tlv_init(&t, space, sizeof(space));
	tlv_u32(&t, MON_TAG_STATE, public_state(vm));
	tlv_u32(&t, MON_TAG_PID, vm->vmm ? (uint32_t)vm->ops->pid(vm->vmm) : 0);
	tlv_u64(&t, MON_TAG_STARTED_NS, (uint64_t)vm->started_ns);
	LIST_FOREACH(p, &vm->streams.live, link)
		add_exec(&t, p);
	LIST_FOREACH(p, &vm->streams.ended, link)
		add_exec(&t, p);
	control_ok(vm->control, to, &t);
	return 0;
}

#define IN(state) (1u << VM_##state)
#define ALIVE     (IN(BOOTING) | IN(CONFIGURING) | IN(READY) | IN(STARTING) | IN(RUNNING) | IN(PAUSED))
#define ANY       (ALIVE | IN(LAUNCHED) | IN(STOPPING) | IN(DRAINING) | IN(ENDED))

static const struct request {
	uint16_t type;
	unsigned int states;
	size_t min_fds, max_fds;
	int (*handler)(struct vm *, const struct args *, struct ipc_msg *, struct answer *, struct err *);
} requests[] = {
	{ MON_CREATE, IN(NEW), MON_FD_FIRST_LAYER, IPC_FDS_MAX, req_create },
	{ MON_ATTACH, ALIVE | IN(STOPPING), 1, 1, req_attach },
	{ MON_START, ALIVE, 0, 0, req_start },
	{ MON_EXEC, IN(RUNNING), 0, 1, req_exec },
	{ MON_RESIZE, ALIVE | IN(STOPPING), 0, 0, req_resize },
	{ MON_SIGNAL, IN(RUNNING) | IN(PAUSED), 0, 0, req_signal },
	{ MON_STOP, ANY, 0, 0, req_stop },
	{ MON_KILL_VM, ANY, 0, 0, req_kill },
	{ MON_PAUSE, IN(RUNNING), 0, 0, req_pause },
	{ MON_UNPAUSE, IN(PAUSED), 0, 0, req_unpause },
	{ MON_STATS, IN(RUNNING), 0, 0, req_stats },
	{ MON_INSPECT, ANY, 0, 0, req_inspect },
};

static int dispatch(struct vm *vm, struct ipc_msg *m, struct answer *to, struct err *e)
{
	struct args a;

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		const struct request *q = &requests[i];

		if (q->type != m->head.type)
			continue;
		if (!(q->states & 1u << vm->state))
			return err_set(e, ERR_CONFLICT, EBUSY, "the container's virtual machine is in state %s",
				       vm_state_name(vm));
		if (m->n_fds < q->min_fds || m->n_fds > q->max_fds)
			return err_set(e, ERR_INVALID, EINVAL, "the monitor got %zu descriptors", m->n_fds);
		if (parse(m, &a, e) < 0)
			return -e->code;
		return q->handler(vm, &a, m, to, e);
	}
	return err_set(e, ERR_UNSUPPORTED, ENOSYS, "the monitor does not know request %u", m->head.type);
}

void vm_request(struct vm *vm, struct ipc_msg *m, struct answer to)
{
	struct err e = { 0 };

	if (dispatch(vm, m, &to, &e) < 0)
		control_error(vm->control, &to, EXIT_NO_START, &e);
}
