/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bottle-init: PID 1 of the guest. It opens the port to bottle-monitor, takes
 * everything that makes this VM one particular container from there, and then
 * starts, feeds and reaps that container's processes.
 *
 * Theory of operation
 *
 *	boot        modules, GUEST_HELLO. A template is parked here: no disk has been read and no NIC has its driver yet
 *	            (devices.c), nothing random has been drawn, nothing of a container is known.
 *	HOST_CONFIG once: entropy, clock, drivers, root (mounts.c), network (net.c), sysctls. CONFIGURED or FAILED.
 *	HOST_START  process.c and, in the child, exec.c
 *	the end     the main process ends, HOST_SHUTDOWN, a frame that breaks a rule, or the host leaves: everything is
 *	            killed, the scratch disk unmounted, the VM powered off.
 *
 * It distrusts the host's bytes (every frame is checked before it is believed)
 * and the container (which is in namespaces of its own and has no path here).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "guest/config.h"
#include "guest/devices.h"
#include "guest/modules.h"
#include "guest/mounts.h"
#include "guest/net.h"
#include "guest/process.h"
#include "guest/stats.h"

#define PORT_TRIES    5000 /* of 2 ms */
#define TERM_WAIT_MS  2000
#define TERM_LOOK_MS  50
#define KILL_WAIT_MS  2000 /* for the last output to be taken */
#define FLUSH_WAIT_MS 1000
#define DROP_MS       3000
#define NS_PER_SECOND 1000000000ULL
#define ENTROPY_BITS  8
#define GUEST_NOFILE  1048576 /* what docker gives */

enum phase { PHASE_PARKED, PHASE_CONFIGURED, PHASE_FAILED, PHASE_TERM, PHASE_KILL };

struct guest {
	struct loop *loop;
	struct channel *channel;
	struct container *container;
	struct source *timer;
	enum phase phase;
	uint64_t term_until_ms;
};

static void power_off(struct guest *g)
{
	channel_flush(g->channel, FLUSH_WAIT_MS); /* the exit is known before the disk is synced */
	mounts_stop();
	reboot(RB_POWER_OFF);
	fatal("power off: %s", strerror(errno)); /* a panic ends the VM too */
}

static void on_kill_timeout(struct source *s, void *arg)
{
	(void)s;
	power_off(arg);
}

static void stop_now(struct guest *g)
{
	if (g->phase == PHASE_KILL)
		return;
	g->phase = PHASE_KILL;
	source_free(g->timer);
	container_kill(g->container);
	g->timer = loop_timer(g->loop, container_empty(g->container) ? 0 : KILL_WAIT_MS, on_kill_timeout, g);
}

static void on_term_look(struct source *s, void *arg)
{
	struct guest *g = arg;

	if (container_empty(g->container) || now_mono_ms() >= g->term_until_ms)
		stop_now(g);
	else
		source_timer(s, TERM_LOOK_MS);
}

static void stop_gently(struct guest *g)
{
	if (g->phase >= PHASE_TERM)
		return;
	g->phase = PHASE_TERM;
	g->term_until_ms = now_mono_ms() + TERM_WAIT_MS;
	container_signal_all(g->container, SIGTERM);
	g->timer = loop_timer(g->loop, 0, on_term_look, g);
}

/* The main process is over, or the last stream after the kill. */
static void on_container_end(void *arg)
{
	struct guest *g = arg;

	stop_now(g);
	if (container_empty(g->container))
		source_timer(g->timer, 0);
}

/* --- configuration --- */

static int add_entropy(const struct config_bytes *b, struct err *e)
{
	_cleanup_close_ int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
	_cleanup_free_ struct rand_pool_info *pool = xmalloc(sizeof(*pool) + CONFIG_ENTROPY_MAX);

	if (!b->len)
		return 0;
	pool->entropy_count = (int)b->len * ENTROPY_BITS;
	pool->buf_size = (int)b->len;
	memcpy(pool->buf, b->data, b->len);
	if (fd < 0 || ioctl(fd, RNDADDENTROPY, pool) < 0 || ioctl(fd, RNDRESEEDCRNG) < 0)
		return err_errno(e, "seed the random number generator");
	return 0;
}

static int set_clock(uint64_t ns, struct err *e)
{
	struct timespec t = { .tv_sec = (time_t)(ns / NS_PER_SECOND), .tv_nsec = (long)(ns % NS_PER_SECOND) };

	if (ns && clock_settime(CLOCK_REALTIME, &t) < 0)
		return err_errno(e, "set the clock");
	return 0;
}

/* "net.ipv4.ip_forward=1"; a key with slashes is taken as it is. */
static int set_sysctl(const char *setting, struct err *e)
{
	_cleanup_free_ char *copy = xstrdup(setting), *path = NULL;
	char *value = copy, *key = strsep(&value, "=");
	_cleanup_close_ int fd = -1;

	if (!value || !key[0] || strstr(key, ".."))
		return err_set(e, ERR_INVALID, EINVAL, "invalid sysctl '%s'", setting);
	for (char *p = strchr(key, '/') ? NULL : key; p && *p; p++)
		if (*p == '.')
			*p = '/';
	path = xasprintf("/proc/sys/%s", key);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		return err_errno(e, "set sysctl '%s'", setting);
	return 0;
}

static int load_modules(const struct guest_config *c, struct err *e)
{
	int r = 0;

	for (char **m = c->modules; r == 0 && m && *m; m++)
		r = module_load(*m, e);
	if (c->modules)
		devices_probe_others();
	return r;
}

static int configure(const struct guest_config *c, struct err *e)
{
	int r;

	if ((r = add_entropy(&c->entropy, e)) < 0 || (r = set_clock(c->clock_ns, e)) < 0)
		return r;
	if ((r = load_modules(c, e)) < 0)
		return r;
	if (c->hostname && sethostname(c->hostname, strlen(c->hostname)) < 0)
		return err_errno(e, "set the host name '%s'", c->hostname);
	if (c->domainname && setdomainname(c->domainname, strlen(c->domainname)) < 0)
		return err_errno(e, "set the domain name '%s'", c->domainname);
	if ((r = mounts_root(c, e)) < 0 || (r = net_configure(c, e)) < 0)
		return r;
	for (char **s = c->sysctls; s && *s; s++)
		if ((r = set_sysctl(*s, e)) < 0)
			return r;
	return 0;
}

/* Some memory back; not on the way to the first process. */
static void on_drop(struct source *s, void *arg)
{
	(void)arg;
	source_free(s);
	modules_drop();
	mounts_limit_memory();
}

static int on_config(struct guest *g, const struct frame *f)
{
	unsigned char space[GUEST_TEXT_MAX + 16];
	struct guest_config c;
	struct err e = { 0 };
	struct tlv t;
	int r;

	if (g->phase != PHASE_PARKED)
		return -EBADMSG;
	r = config_decode(f->body, f->size, &c, &e);
	if (r == 0)
		r = configure(&c, &e);
	config_done(&c);
	g->phase = r < 0 ? PHASE_FAILED : PHASE_CONFIGURED;
	loop_timer(g->loop, DROP_MS, on_drop, NULL);
	tlv_init(&t, space, sizeof(space));
	if (r < 0)
		tlv_str(&t, GUEST_TAG_TEXT, e.text);
	channel_send_tlv(g->channel, r < 0 ? GUEST_FAILED : GUEST_CONFIGURED, 0, &t);
	return 0;
}

/* --- frames --- */

static int on_shutdown(struct guest *g, const struct frame *f)
{
	(void)f;
	stop_gently(g);
	return 0;
}

static int on_stats(struct guest *g, const struct frame *f)
{
	unsigned char space[1024];
	struct tlv t;

	(void)f;
	tlv_init(&t, space, sizeof(space));
	stats_collect(&t);
	channel_send_tlv(g->channel, GUEST_STATS, 0, &t);
	return 0;
}

static int on_sync(struct guest *g, const struct frame *f)
{
	(void)f;
	sync();
	channel_send(g->channel, GUEST_SYNCED, 0, NULL, 0);
	return 0;
}

static int on_frame(const struct frame *f, void *arg)
{
	static const struct {
		uint16_t type;
		int (*fn)(struct guest *g, const struct frame *f);
	} table[] = {
		{ HOST_CONFIG, on_config },
		{ HOST_SHUTDOWN, on_shutdown },
		{ HOST_STATS, on_stats },
		{ HOST_SYNC, on_sync },
	};
	struct guest *g = arg;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].type == f->type)
			return table[i].fn(g, f);
	if (g->phase == PHASE_PARKED || g->phase == PHASE_FAILED)
		return -EBADMSG;
	return container_frame(g->container, f);
}

static void on_room(void *arg)
{
	struct guest *g = arg;

	container_room(g->container);
}

static void on_lost(const char *why, void *arg)
{
	struct guest *g = arg;

	log_error("%s", why);
	stop_now(g);
	source_timer(g->timer, 0); /* nobody is left to wait for */
}

/* --- boot --- */

/* Orphans of the kernel's and of processes outside the container's namespace; streams reap their own. */
static void on_sigchld(struct source *s, int signo, void *arg)
{
	siginfo_t info = { 0 };

	(void)s;
	(void)signo;
	if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid &&
	    !container_owns(arg, info.si_pid))
		waitpid(info.si_pid, NULL, WNOHANG);
}

/* The device of the port that is named GUEST_PORT; a name appears a little after the driver is loaded. */
static int open_port(void)
{
	for (int i = 0; i < PORT_TRIES; i++) {
		DIR *dir = opendir("/sys/class/virtio-ports");
		struct dirent *d;
		int fd = -1;

		while (dir && fd < 0 && (d = readdir(dir))) {
			_cleanup_free_ char *name = NULL, *path = xasprintf("%s/name", d->d_name), *dev = NULL;
			size_t len;

			if (d->d_name[0] == '.' || file_read_at(dirfd(dir), path, 64, &name, &len) < 0)
				continue;
			dev = xasprintf("/dev/%s", d->d_name);
			if (str_eq(name, GUEST_PORT "\n"))
				fd = open(dev, O_RDWR | O_NONBLOCK | O_CLOEXEC);
		}
		if (dir)
			closedir(dir);
		if (fd >= 0)
			return fd;
		usleep(2000);
	}
	fatal("there is no port named " GUEST_PORT);
}

static void say_hello(struct channel *c)
{
	unsigned char space[256];
	struct utsname u;
	struct tlv t;

	uname(&u);
	tlv_init(&t, space, sizeof(space));
	tlv_u32(&t, GUEST_TAG_VERSION, GUEST_PROTO_VERSION);
	tlv_str(&t, GUEST_TAG_KERNEL, u.release);
	channel_send_tlv(c, GUEST_HELLO, 0, &t);
}

/* What every VM needs, done here so that no clone has to. NULL: from there on devices wait for their driver (devices.c). */
static void load_drivers(void)
{
	static const char *const list[] = { "virtio_blk", "virtio_balloon", "squashfs", "overlay", NULL, "virtio_net" };
	struct err e = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
		if (!list[i])
			devices_hold();
		else if (module_load(list[i], &e) < 0)
			fatal("%s", e.text);
	}
	mounts_find_disks();
	mounts_limit_memory();
	if (set_sysctl("net.ipv6.conf.all.disable_ipv6=1", &e) < 0 || set_sysctl("net.ipv6.conf.default.disable_ipv6=1", &e) < 0 || net_loopback(&e) < 0 ||
	    mounts_prepare_dev(&e) < 0)
		fatal("%s", e.text);
}

static void prepare(void)
{
	static const struct rlimit files = { GUEST_NOFILE, GUEST_NOFILE };
	struct err e = { 0 };
	int fd;

	umask(022);
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_DUMPABLE, 0);
	if (mounts_early(&e) < 0 || module_load("virtio_mmio", &e) < 0 || module_load("virtio_console", &e) < 0)
		fatal("%s", e.text);
	while ((fd = open("/dev/null", O_RDWR | O_CLOEXEC)) >= 0 && fd < 3) /* 0..2 are never anything else */
		continue;
	if (fd >= 3)
		close(fd);
	setrlimit(RLIMIT_NOFILE, &files);
	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "-1000", 5) < 0)
		log_warn("oom_score_adj: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
}

int main(void)
{
	static const struct channel_ops ops = { on_frame, on_room, on_lost };
	struct guest g = { .phase = PHASE_PARKED };

	log_init("bottle-init", 0);
	if (getpid() != 1)
		fatal("this is the init of a VM of bottle's; it only runs there");
	prepare();
	g.loop = loop_new();
	g.channel = channel_new(g.loop, open_port(), &ops, &g);
	g.container = container_new(g.loop, g.channel, on_container_end, &g);
	loop_signal(g.loop, SIGCHLD, on_sigchld, g.container);
	load_drivers();
	say_hello(g.channel);
	return loop_run(g.loop);
}
