/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a container, step by step: image layers, scratch disk, networks,
 * ports, the monitor, the process. Runs in bottled. Each step that makes
 * something outside is written to the row first, and a failure takes back
 * everything that the steps before it made.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "api/container.h"
#include "api/json.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"

#define GUEST_BODY_ROOM (48 * 1024)
#define MON_FDS_MAX     (MON_FD_FIRST_LAYER + GUEST_LAYERS_MAX + GUEST_NICS_MAX + PORTS_MAX + 2)

static_assert(MON_FDS_MAX <= IPC_FDS_MAX, "all descriptors of a start fit into one message");

struct start {
	struct container *c;
	int layers[GUEST_LAYERS_MAX];
	size_t n_layers;
	int taps[GUEST_NICS_MAX];
	size_t n_taps;
	struct port_bind ports[PORTS_MAX];
	size_t n_ports, published;
	void *network; /* iterator over Networks */
	uint32_t cpus, quota;
	uint64_t memory;
	enum { FROM_BOOT, FROM_TEMPLATE, FROM_BOOT_AGAIN } from; /* AGAIN: the clone did not live; wait for its monitor's end */
};

static void next_network(struct start *s);
static void next_publish(struct start *s);
static void launch(struct start *s);
static void launch_from(void *arg, const struct template_use *use, const char *why_not);

static void start_free(struct start *s)
{
	template_forget(s->c->g, s);
	for (size_t i = 0; i < s->n_layers; i++)
		close(s->layers[i]);
	for (size_t i = 0; i < s->n_taps; i++)
		close(s->taps[i]);
	ports_close(s->ports, s->n_ports);
	free(s);
}

static void remove_vm_dir(struct container *c)
{
	_cleanup_free_ char *path = container_vm_dir(c);

	remove_tree(c->g->runtime_fd, path);
}

/* The end of a start, good (e is NULL) or not. s is freed. */
static void finish(struct start *s, const struct err *e, int code)
{
	struct container *c = s->c;
	struct engine *g = c->g;

	c->start = NULL;
	start_free(s);
	json_object_del(c->runtime, "starting");
	if (e) {
		if (c->mon) {
			mon_request(c->mon, MON_KILL_VM, NULL, NULL, 0, NULL, NULL);
			mon_abandon(c->mon);
			c->mon = NULL;
		}
		container_release(c);
		remove_vm_dir(c);
	}
	container_start_ended(c, e, code);
	engine_idle(g);
}

static void fail(struct start *s, const struct err *e)
{
	finish(s, e, 128);
}

/* ---- image and disk ---- */

static int open_layers(struct start *s, struct err *e)
{
	struct image_use use = { 0 };
	int r = image_resolve(s->c->g, member_text(s->c->config, "ImageID"), &use, e);

	if (r < 0)
		return r;
	if (strv_len(use.layer_paths) > GUEST_LAYERS_MAX)
		r = err_set(e, ERR_INVALID, E2BIG, "image %.64s has %zu layers; at most %d can be mounted", use.id, strv_len(use.layer_paths),
			    GUEST_LAYERS_MAX);
	for (size_t i = 0; r >= 0 && use.layer_paths && use.layer_paths[i]; i++) {
		s->layers[i] = open(use.layer_paths[i], O_RDONLY | O_CLOEXEC);
		if (s->layers[i] < 0)
			r = err_errno(e, "open the image layer '%s'", use.layer_paths[i]);
		else
			s->n_layers++;
	}
	image_use_done(&use);
	return r;
}

static void scratch_done(void *arg, const struct err *e)
{
	struct start *s = arg;

	if (e)
		fail(s, e);
	else
		next_network(s);
}

static void size_vm(struct start *s)
{
	long online = sysconf(_SC_NPROCESSORS_ONLN);

	spec_limits(container_host_config(s->c), online > 0 ? (unsigned int)online : 1, &s->cpus, &s->quota, &s->memory);
}

int container_start_begin(struct container *c, struct err *e)
{
	struct start *s;
	int r;

	if (c->mon) {
		mon_abandon(c->mon);
		c->mon = NULL;
	}
	c->passed = false;
	json_object_clear(c->runtime);
	json_object_set_new(c->runtime, "starting", json_true());
	json_object_set_new(c->runtime, "endpoints", json_array());
	json_object_set_new(c->runtime, "ports", json_object());
	r = container_save(c, e);
	if (r < 0)
		return r;
	s = xcalloc(1, sizeof(*s));
	s->c = c;
	c->start = s;
	engine_busy(c->g);
	s->network = json_object_iter(json_object_get(c->config, "Networks"));
	size_vm(s);
	template_get(c->g, s->cpus, s->memory, NULL, NULL);
	r = open_layers(s, e);
	if (r >= 0)
		r = scratch_prepare(c, spec_scratch_size(container_host_config(c)), scratch_done, s, e);
	if (r < 0) {
		c->start = NULL;
		start_free(s);
		json_object_del(c->runtime, "starting");
		engine_idle(c->g);
	}
	return r;
}

/* ---- networks ---- */

static char *mac_text(const uint8_t mac[6])
{
	return xasprintf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

static json_t *ipv4_text(const uint8_t a[4])
{
	return json_sprintf("%u.%u.%u.%u", a[0], a[1], a[2], a[3]);
}

static json_t *endpoint_json(const struct endpoint *ep, const char *name)
{
	_cleanup_free_ char *mac = mac_text(ep->mac), *gateway_mac = mac_text(ep->gateway_mac);

	return json_pack("{s:s, s:s, s:I, s:s, s:s, s:s, s:o, s:i, s:o, s:b, s:b}", "network", ep->network_id, "name", name, "id",
			 (json_int_t)ep->id, "endpoint_id", ep->endpoint_id, "mac", mac, "gateway_mac", ep->has_gateway_mac ? gateway_mac : "",
			 "addr", ipv4_text(ep->addr), "prefix", (int)ep->prefix, "gateway", ep->has_gateway ? ipv4_text(ep->gateway) : json_string(""),
			 "internal", ep->internal, "egress", ep->egress);
}

static void attached(void *arg, struct endpoint *ep, const struct err *e)
{
	struct start *s = arg;
	struct container *c = s->c;
	json_t *row;

	if (!ep) {
		fail(s, e);
		return;
	}
	row = endpoint_json(ep, json_object_iter_key(s->network));
	s->taps[s->n_taps++] = TAKE_FD(ep->tap_fd);
	endpoint_done(ep);
	json_array_append_new(json_object_get(c->runtime, "endpoints"), row);
	container_save_quietly(c);
	s->network = json_object_iter_next(json_object_get(c->config, "Networks"), s->network);
	next_network(s);
}

static void bind_ports(struct start *s)
{
	struct container *c = s->c;
	struct err e = { 0 };

	if (ports_bind(c, s->ports, PORTS_MAX, &s->n_ports, json_object_get(c->runtime, "ports"), &e) < 0)
		fail(s, &e);
	else
		next_publish(s);
}

static void next_network(struct start *s)
{
	struct container *c = s->c;
	const json_t *config;
	uint8_t addr[4];
	bool fixed;

	if (!s->network) {
		bind_ports(s);
		return;
	}
	config = json_object_iter_value(s->network);
	fixed = spec_ipv4(member_text(json_object_get(config, "IPAMConfig"), "IPv4Address"), addr);
	network_attach(c->g, member_text(config, "NetworkID"), c->id, fixed ? addr : NULL, attached, s);
}

/* ---- ports ---- */

/* Published through the first endpoint that reaches outside; netpolicyd judges an internal one. */
static uint64_t publish_endpoint(const struct container *c)
{
	const json_t *endpoints = json_object_get(c->runtime, "endpoints");
	json_t *ep;
	size_t i;

	json_array_foreach(endpoints, i, ep)
		if (!member_flag(ep, "internal"))
			return (uint64_t)member_int(ep, "id");
	return (uint64_t)member_int(json_array_get(endpoints, 0), "id");
}

static void published(void *arg, const struct err *e)
{
	struct start *s = arg;
	struct err wrapped = { 0 };

	if (e) {
		err_copy(&wrapped, e);
		err_wrap(&wrapped, "publish port %u", s->ports[s->published].port);
		fail(s, &wrapped);
		return;
	}
	s->published++;
	next_publish(s);
}

static void next_publish(struct start *s)
{
	const struct port_bind *p = &s->ports[s->published];
	struct container *c = s->c;

	if (s->published == s->n_ports || json_array_size(json_object_get(c->runtime, "endpoints")) == 0)
		launch(s);
	else
		network_publish(c->g, publish_endpoint(c), p->proto, p->port, p->fd, published, s);
}

/* ---- the monitor ---- */

static bool answer_pid(struct container *c, const struct ipc_msg *m)
{
	struct tlv_field f;
	struct tlv_iter it;
	uint32_t pid = 0;
	uint64_t ns;

	tlv_iter_init(&it, m->body, m->len);
	while (tlv_next(&it, &f) > 0) {
		if (f.tag == MON_TAG_EXEC_ID)
			break;
		if (f.tag == MON_TAG_PID && tlv_get_u32(&f, &pid))
			runtime_set_int(c, "pid", pid);
		else if (f.tag == MON_TAG_STARTED_NS && tlv_get_u64(&f, &ns))
			runtime_set_int(c, "started", (int64_t)ns);
	}
	return pid > 0;
}

/* docker's CLI takes its exit code from these words. */
static void start_error(struct err *ret, const struct err *e, int code)
{
	const char *hint = "";

	if (code == 127 && !strstr(e->text, "executable file not found") && !strstr(e->text, "no such file or directory"))
		hint = ": executable file not found in $PATH";
	else if (code == 126 && !strstr(e->text, "permission denied"))
		hint = ": permission denied";
	err_set(ret, ERR_INVALID, e->code,
		"failed to create task for container: failed to create shim task: OCI runtime create failed: %.300s%s: unknown", e->text, hint);
}

static void inspected(void *arg, const struct ipc_msg *m)
{
	struct start *s = arg;
	struct err e = { 0 };
	int code;

	if (mon_answer_err(m, &e, &code) < 0) {
		fail(s, &e);
		return;
	}
	answer_pid(s->c, m);
	finish(s, NULL, 0);
}

static void started(void *arg, const struct ipc_msg *m)
{
	struct start *s = arg;
	struct container *c = s->c;
	struct err e = { 0 }, told;
	int code;

	if (mon_answer_err(m, &e, &code) < 0) {
		if (code == 126 || code == 127) {
			start_error(&told, &e, code);
			finish(s, &told, code);
		} else {
			fail(s, &e);
		}
		return;
	}
	runtime_set_int(c, "started", now_real_ns());
	if (answer_pid(c, m))
		finish(s, NULL, 0);
	else
		mon_request(c->mon, MON_INSPECT, NULL, NULL, 0, inspected, s);
}

static void created(void *arg, const struct ipc_msg *m)
{
	struct start *s = arg;
	struct err e = { 0 };
	int code;

	if (mon_answer_err(m, &e, &code) < 0) {
		if (s->from == FROM_TEMPLATE) {
			log_warn("%.12s: its VM could not be cloned from the template, one is booted: %s", s->c->id, e.text);
			template_drop(s->c->g, s->cpus, s->memory);
			s->from = FROM_BOOT_AGAIN;
			return;
		}
		fail(s, &e);
		return;
	}
	container_pass_attaches(s->c);
	mon_request(s->c->mon, MON_START, NULL, NULL, 0, started, s);
}

static void put_settings(struct tlv *t, const struct start *s)
{
	const struct container *c = s->c;
	const json_t *host = container_host_config(c);

	tlv_str(t, MON_TAG_ID, c->id);
	tlv_u32(t, MON_TAG_CPUS, s->cpus);
	tlv_u32(t, MON_TAG_CPU_QUOTA, s->quota);
	tlv_u64(t, MON_TAG_MEMORY, s->memory);
	tlv_u32(t, MON_TAG_LAYERS, (uint32_t)s->n_layers);
	tlv_u32(t, MON_TAG_NICS, (uint32_t)s->n_taps);
	tlv_u32(t, MON_TAG_PORTS, (uint32_t)s->n_ports);
	tlv_u64(t, MON_TAG_LOG_MAX, spec_log_max(host));
	if (member_flag(host, "AutoRemove"))
		tlv_u32(t, MON_TAG_DISPOSABLE, 1);
	tlv_str(t, MON_TAG_POKE, c->g->socket_path);
}

static int put_guest(struct tlv *t, const struct start *s, struct err *e)
{
	_cleanup_free_ char *config_space = xmalloc(GUEST_BODY_ROOM), *process_space = xmalloc(GUEST_BODY_ROOM);
	struct resolvers resolvers = { 0 };
	struct tlv config, process;
	int r;

	if (s->n_taps)
		resolvers.n = network_resolvers(resolvers.addr);
	tlv_init(&config, config_space, GUEST_BODY_ROOM);
	tlv_init(&process, process_space, GUEST_BODY_ROOM);
	r = guest_config_write(&config, s->c, json_object_get(s->c->runtime, "endpoints"), &resolvers, s->n_layers, e);
	if (r >= 0)
		r = guest_process_write(&process, s->c, e);
	if (r < 0)
		return r;
	tlv_bytes(t, MON_TAG_GUEST_CONFIG, config.data, config.len);
	tlv_bytes(t, MON_TAG_PROCESS, process.data, process.len);
	if (tlv_len(t) < 0)
		return err_set(e, ERR_INVALID, E2BIG, "command, environment and configuration together are larger than 60 KiB; shorten them");
	return 0;
}

static int open_share(const char *name, struct err *e)
{
	_cleanup_free_ char *path = proc_share(name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_set(e, ERR_UNAVAILABLE, errno, "the guest's %s is missing at '%s'; run `make guest` or install it", name, path);
	return fd;
}

static int open_dirs(struct container *c, int fds[2], struct err *e)
{
	_cleanup_free_ char *data = container_dir(c), *runtime = container_vm_dir(c);

	remove_vm_dir(c);
	fds[0] = openat(c->g->data_fd, data, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fds[0] < 0)
		return err_errno(e, "open '%s'", data);
	if (mkdir_p(c->g->runtime_fd, runtime, 0700) < 0)
		return err_errno(e, "make '%s'", runtime);
	fds[1] = openat(c->g->runtime_fd, runtime, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fds[1] < 0 ? err_errno(e, "open '%s'", runtime) : 0;
}

static int spawn_monitor(struct container *c, int dir, struct err *e)
{
	_cleanup_free_ char *path = proc_program("bottle-monitor");
	_cleanup_close_ int log = openat(dir, "monitor.log", O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	char name[] = "bottle-monitor", *argv[] = { name, c->id, NULL };
	struct spawn s = { .path = path, .argv = argv, .n_fds = 1, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = log, .detach = true };
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(e, "socketpair");
	s.fds = &pair[1];
	pid = proc_spawn(&s, e);
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return (int)pid;
	}
	return pair[0];
}

static void on_event(void *arg, const struct ipc_msg *m)
{
	container_monitor_event(arg, m);
}

static void on_gone(void *arg)
{
	container_monitor_gone(arg);
}

static const struct mon_ops ops = { .event = on_event, .gone = on_gone };

void container_adopt(struct container *c, int fd)
{
	c->mon = mon_new(c->g->loop, fd, &ops, c);
	container_adopted(c);
}

static int collect_fds(struct start *s, int *fds, struct err *e)
{
	int r = open_dirs(s->c, fds, e);

	if (r < 0)
		return r;
	fds[MON_FD_KERNEL] = open_share("vmlinux", e);
	if (fds[MON_FD_KERNEL] < 0)
		return fds[MON_FD_KERNEL];
	fds[MON_FD_INITRD] = open_share("initramfs", e);
	if (fds[MON_FD_INITRD] < 0)
		return fds[MON_FD_INITRD];
	fds[MON_FD_SCRATCH] = scratch_open(s->c, e);
	return fds[MON_FD_SCRATCH] < 0 ? fds[MON_FD_SCRATCH] : 0;
}

static void launch_with(struct start *s, int *fds, struct tlv *t, const struct template_use *use, struct err *e)
{
	size_t n = MON_FD_FIRST_LAYER;
	int channel;

	for (size_t i = 0; i < s->n_layers; i++)
		fds[n++] = s->layers[i];
	for (size_t i = 0; i < s->n_taps; i++)
		fds[n++] = s->taps[i];
	for (size_t i = 0; i < s->n_ports; i++)
		fds[n++] = s->ports[i].fd;
	if (use) {
		tlv_u32(t, MON_TAG_TEMPLATE, 1);
		fds[n++] = use->ram_fd;
		fds[n++] = use->state_fd;
	}
	channel = spawn_monitor(s->c, fds[MON_FD_DATA], e);
	if (channel < 0)
		return;
	s->c->mon = mon_new(s->c->g->loop, channel, &ops, s->c);
	mon_request(s->c->mon, MON_CREATE, t, fds, n, created, s);
}

static void launch(struct start *s)
{
	const char *many = s->n_layers > TEMPLATE_LAYERS ? "its image has more layers than a template has disks" :
			   s->n_taps > TEMPLATE_NICS	 ? "it has more networks than a template" :
							   NULL;

	if (many)
		launch_from(s, NULL, many);
	else
		template_get(s->c->g, s->cpus, s->memory, launch_from, s);
}

bool container_start_again(struct container *c)
{
	if (c->start->from != FROM_BOOT_AGAIN)
		return false;
	launch_from(c->start, NULL, NULL);
	return true;
}

static void launch_from(void *arg, const struct template_use *use, const char *why_not)
{
	struct start *s = arg;
	_cleanup_free_ char *space = xmalloc(IPC_BODY_MAX);
	int fds[MON_FDS_MAX];
	struct err e = { 0 };
	struct tlv t;

	if (why_not)
		log_info("%.12s: its VM is booted, not cloned: %s", s->c->id, why_not);
	s->from = use ? FROM_TEMPLATE : FROM_BOOT;
	for (size_t i = 0; i < MON_FD_FIRST_LAYER; i++)
		fds[i] = -1;
	tlv_init(&t, space, IPC_BODY_MAX - 1024);
	put_settings(&t, s);
	container_save_quietly(s->c);
	if (put_guest(&t, s, &e) >= 0 && collect_fds(s, fds, &e) >= 0)
		launch_with(s, fds, &t, use, &e);
	for (size_t i = 0; i < MON_FD_FIRST_LAYER; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	if (e.code)
		fail(s, &e);
}
