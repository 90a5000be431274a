/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The templates that VMs are cloned from, as bottled has them: two sealed
 * descriptors each, got from a bottle-monitor --template (a process that also
 * makes what is missing, behind the answer) and kept as long as the files they
 * were made of are the same. A template is never waited for longer than ANSWER_MS.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "api/container.h"
#include "base/fd.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"

#define ANSWER_MS 2000
#define KEPT_MAX  4
#define FRESH_MS  5000 /* the start that an answer was asked for takes it within that time */
#define QEMU      "/usr/bin/qemu-system-x86_64"

enum part { PART_KERNEL, PART_INITRD, PART_MONITOR, PART_QEMU, PARTS };

/* A file as it is now. */
struct part_id {
	dev_t dev;
	ino_t ino;
	struct timespec changed;
};

struct waiting {
	struct waiting *next;
	template_fn fn;
	void *arg;
};

struct template {
	struct template *next;
	struct engine *g;
	uint32_t cpus;
	uint64_t memory;
	struct part_id parts[PARTS];
	int ram_fd, state_fd;
	bool useless;      /* a clone of it did not live */
	char *why_not;     /* there is none, and nobody waited for the answer yet */
	uint64_t since_ms; /* of why_not */
	struct source *io, *timer;
	int fd; /* the answer's */
	struct waiting *waiting;
};

struct templates {
	struct template *list; /* newest first */
};

static void identify(struct part_id ret[PARTS])
{
	_cleanup_free_ char *kernel = proc_share("vmlinux"), *initrd = proc_share("initramfs"), *monitor = proc_program("bottle-monitor");
	const char *const paths[PARTS] = { kernel, initrd, monitor, QEMU };
	struct stat st;

	memset(ret, 0, PARTS * sizeof(*ret));
	for (size_t i = 0; i < PARTS; i++)
		if (stat(paths[i], &st) == 0)
			ret[i] = (struct part_id){ .dev = st.st_dev, .ino = st.st_ino, .changed = st.st_ctim };
}

static bool same_parts(const struct template *t)
{
	struct part_id now[PARTS];

	identify(now);
	for (size_t i = 0; i < PARTS; i++)
		if (now[i].dev != t->parts[i].dev || now[i].ino != t->parts[i].ino || now[i].changed.tv_sec != t->parts[i].changed.tv_sec ||
		    now[i].changed.tv_nsec != t->parts[i].changed.tv_nsec)
			return false;
	return true;
}

static void hand_out(struct template *t, template_fn fn, void *arg, const char *why_not)
{
	struct template_use use = { t->ram_fd, -1 };
	char path[64];

	if (t->ram_fd >= 0) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", t->state_fd);
		use.state_fd = open(path, O_RDONLY | O_CLOEXEC); /* its own offset */
		if (use.state_fd < 0)
			why_not = "the template's state cannot be opened";
	}
	fn(arg, use.state_fd >= 0 ? &use : NULL, why_not);
	cleanup_close(&use.state_fd);
}

static void stop_asking(struct template *t)
{
	source_free(TAKE_PTR(t->io));
	source_free(TAKE_PTR(t->timer));
	cleanup_close(&t->fd);
	t->fd = -1;
}

static void template_free(struct template *t)
{
	struct waiting *w;

	stop_asking(t);
	while ((w = t->waiting)) {
		t->waiting = w->next;
		free(w);
	}
	cleanup_close(&t->ram_fd);
	cleanup_close(&t->state_fd);
	free(t->why_not);
	free(t);
}

static void unlink_template(struct template *t)
{
	struct template **at = &t->g->templates->list;

	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
}

/* Its answer is known: whoever waits hears it. A template that is not there is not remembered: the next start asks again. */
static void answered(struct template *t, const char *why_not)
{
	struct engine *g = t->g;
	struct waiting *w;

	stop_asking(t);
	engine_idle(g);
	if (t->ram_fd < 0 && !t->waiting) {
		t->why_not = xstrdup(why_not);
		t->since_ms = now_mono_ms();
		return;
	}
	if (t->ram_fd < 0)
		unlink_template(t);
	while ((w = t->waiting)) {
		t->waiting = w->next;
		hand_out(t, w->fn, w->arg, why_not);
		free(w);
	}
	if (t->ram_fd < 0)
		template_free(t);
}

static void on_answer(struct source *s, uint32_t events, void *arg)
{
	_cleanup_free_ struct ipc_msg *m = xmalloc(sizeof(*m));
	_cleanup_free_ char *text = NULL;
	struct template *t = arg;
	struct tlv_field f;
	struct tlv_iter it;
	int r = ipc_recv(t->fd, m);

	(void)s;
	(void)events;
	if (r == -EAGAIN)
		return;
	if (r > 0 && m->head.type == MON_OK && m->n_fds == 2) {
		t->ram_fd = ipc_take_fd(m, 0);
		t->state_fd = ipc_take_fd(m, 1);
		answered(t, NULL);
		return;
	}
	if (r > 0) {
		tlv_iter_init(&it, m->body, m->len);
		if (m->head.type == MON_ERR && tlv_next(&it, &f) > 0 && f.tag == MON_TAG_TEXT)
			text = tlv_get_str(&f, ERR_TEXT_MAX);
		ipc_close_fds(m);
	}
	answered(t, text ? text : "bottle-monitor --template did not answer");
}

static void on_timeout(struct source *s, void *arg)
{
	(void)s;
	answered(arg, "its template could not be read in time");
}

static int ask(struct template *t, struct err *e)
{
	_cleanup_free_ char *path = proc_program("bottle-monitor"), *dir = xasprintf("%s/templates", t->g->runtime_dir);
	char cpus[16], memory[32];
	char *argv[] = { (char[]){ "bottle-monitor" }, (char[]){ "--template" }, dir, (char[]){ "--cpus" }, cpus, (char[]){ "--memory" }, memory, NULL };
	struct spawn s = { .path = path, .argv = argv, .n_fds = 1, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1, .detach = true };
	pid_t pid;
	int pair[2];

	snprintf(cpus, sizeof(cpus), "%u", t->cpus);
	snprintf(memory, sizeof(memory), "%llu", (unsigned long long)t->memory);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(e, "socketpair");
	s.fds = &pair[1];
	pid = proc_spawn(&s, e);
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return (int)pid;
	}
	fd_nonblock(pair[0]);
	t->fd = pair[0];
	t->io = loop_io(t->g->loop, t->fd, EPOLLIN, on_answer, t);
	t->timer = loop_timer(t->g->loop, ANSWER_MS, on_timeout, t);
	return 0;
}

static struct template *find(struct engine *g, uint32_t cpus, uint64_t memory)
{
	struct template *t = g->templates ? g->templates->list : NULL;

	while (t && (t->cpus != cpus || t->memory != memory))
		t = t->next;
	return t;
}

/* The oldest that nobody asks for just now. */
static void make_room(struct engine *g)
{
	struct template *oldest = NULL;
	size_t n = 0;

	for (struct template *t = g->templates->list; t; t = t->next) {
		n++;
		if (t->fd < 0)
			oldest = t;
	}
	if (n < KEPT_MAX || !oldest)
		return;
	unlink_template(oldest);
	template_free(oldest);
}

static struct template *add(struct engine *g, uint32_t cpus, uint64_t memory, struct err *e)
{
	struct template *t = xcalloc(1, sizeof(*t));

	if (!g->templates)
		g->templates = xcalloc(1, sizeof(*g->templates));
	make_room(g);
	*t = (struct template){ .g = g, .cpus = cpus, .memory = memory, .ram_fd = -1, .state_fd = -1, .fd = -1 };
	identify(t->parts);
	if (ask(t, e) < 0) {
		free(t);
		return NULL;
	}
	t->next = g->templates->list;
	g->templates->list = t;
	engine_busy(g);
	return t;
}

void template_get(struct engine *g, uint32_t cpus, uint64_t memory, template_fn fn, void *arg)
{
	struct template *t = find(g, cpus, memory);
	struct err e = { 0 };
	struct waiting *w;

	if (t && t->why_not && fn && now_mono_ms() - t->since_ms < FRESH_MS) {
		unlink_template(t);
		fn(arg, NULL, t->why_not);
		template_free(t);
		return;
	}
	if (t && t->fd < 0 && !t->useless && (t->why_not || !same_parts(t))) {
		unlink_template(t);
		template_free(t);
		t = NULL;
	}
	if (!t)
		t = add(g, cpus, memory, &e);
	if (!fn)
		return;
	if (!t) {
		fn(arg, NULL, e.text);
	} else if (t->fd < 0) {
		hand_out(t, fn, arg, t->useless ? "an earlier clone of its template did not live" : NULL);
	} else {
		w = xmalloc(sizeof(*w));
		*w = (struct waiting){ t->waiting, fn, arg };
		t->waiting = w;
	}
}

void template_drop(struct engine *g, uint32_t cpus, uint64_t memory)
{
	struct template *t = find(g, cpus, memory);

	if (!t || t->fd >= 0)
		return;
	t->useless = true;
	cleanup_close(&t->ram_fd);
	cleanup_close(&t->state_fd);
	t->ram_fd = t->state_fd = -1;
}

void template_forget(struct engine *g, void *arg)
{
	for (struct template *t = g->templates ? g->templates->list : NULL; t; t = t->next)
		for (struct waiting **at = &t->waiting, *w; (w = *at);) {
			if (w->arg != arg) {
				at = &w->next;
				continue;
			}
			*at = w->next;
			free(w);
		}
}

void templates_close(struct engine *g)
{
	struct template *t;

	while (g->templates && (t = g->templates->list)) {
		g->templates->list = t->next;
		template_free(t);
	}
	free(TAKE_PTR(g->templates));
}
