/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of a container after its creation: start, stop, kill, restart,
 * pause, rename, wait, remove; and the news that its monitor brings. Runs in
 * bottled. A handler either answers at once or leaves its request with the
 * container (container_await) until the thing has happened.
 */
#include <errno.h>
#include <fcntl.h>

#include "api/container.h"
#include "api/containers.h"
#include "api/json.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"

#define STATUS_FILE_MAX 8192
#define KILL_GRACE_MS   5000 /* a guest that does not act on KILL in this time is ended from outside */

/* ---- requests that wait ---- */

static void waiter_gone(struct request *r)
{
	struct waiter *w = r->arg;

	for (struct waiter **at = &w->c->waiters; *at; at = &(*at)->next) {
		if (*at == w) {
			*at = w->next;
			break;
		}
	}
	free(w);
}

void container_await(struct container *c, struct request *r, enum wait_kind kind)
{
	struct waiter *w = xcalloc(1, sizeof(*w));

	*w = (struct waiter){ .next = c->waiters, .c = c, .r = r, .kind = kind };
	c->waiters = w;
	r->arg = w;
	r->on_gone = waiter_gone;
}

static void answer_wait(struct request *r, const struct container *c)
{
	reply_write_json(r, json_pack("{s:I}", "StatusCode", member_int(c->runtime, "code")), "\n");
	reply_end(r);
}

void container_wake(struct container *c, enum wait_kind kind, const struct err *e)
{
	struct waiter **at = &c->waiters, *w, *due = NULL;

	while ((w = *at)) {
		if (w->kind != kind) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		w->next = due;
		due = w;
	}
	while ((w = due)) {
		struct request *r = w->r;

		due = w->next;
		free(w);
		r->arg = NULL;
		r->on_gone = NULL;
		if (kind <= WAIT_REMOVED)
			answer_wait(r, c);
		else if (e)
			reply_err(r, e);
		else
			reply_empty(r, 204);
	}
}

/* ---- ends ---- */

void container_release(struct container *c)
{
	json_t *endpoints = json_object_get(c->runtime, "endpoints"), *ep;
	size_t i;

	json_array_foreach(endpoints, i, ep)
		network_detach(c->g, (uint64_t)member_int(ep, "id"));
	json_object_set_new(c->runtime, "endpoints", json_array());
	json_object_set_new(c->runtime, "ports", json_object());
}

static void drop_attaches(struct container *c)
{
	struct attach *a;

	while ((a = c->attaches)) {
		c->attaches = a->next;
		source_free(a->watch);
		close(a->fd);
		buf_done(&a->early);
		free(a);
		engine_idle(c->g);
	}
}

int container_delete(struct container *c, struct err *e)
{
	_cleanup_free_ char *dir = container_dir(c), *vm = container_vm_dir(c);
	int r;

	c->state = STATE_REMOVING;
	r = container_save(c, e);
	if (r < 0)
		return r;
	if (c->mon)
		mon_abandon(c->mon);
	c->mon = NULL;
	remove_tree(c->g->runtime_fd, vm);
	r = remove_tree(c->g->data_fd, dir);
	if (r < 0) {
		errno = -r;
		return err_errno(e, "remove the files of container %.12s", c->id);
	}
	r = state_exec(c->g, e, "DELETE FROM execs WHERE container = ?", "t", c->id);
	if (r >= 0)
		r = state_exec(c->g, e, "DELETE FROM containers WHERE id = ?", "t", c->id);
	if (r < 0)
		return r;
	container_event(c, "destroy", NULL, NULL);
	drop_attaches(c);
	logs_wake(c);
	for (struct container **at = &c->g->containers->list; *at; at = &(*at)->next) {
		if (*at == c) { /* the name is free before anybody hears of it */
			*at = c->next;
			break;
		}
	}
	container_wake(c, WAIT_NOT_RUNNING, NULL);
	container_wake(c, WAIT_NEXT_EXIT, NULL);
	container_wake(c, WAIT_REMOVED, NULL);
	container_wake(c, WAIT_REMOVE, NULL);
	container_free(c);
	return 0;
}

static void delete_or_tell(struct container *c)
{
	struct err e = { 0 };

	if (container_delete(c, &e) == 0)
		return;
	log_error("container %.12s could not be removed: %s", c->id, e.text);
	c->state = STATE_DEAD;
	c->removing = false;
	container_wake(c, WAIT_REMOVE, &e);
}

static bool auto_remove(const struct container *c)
{
	return c->removing || member_flag(container_host_config(c), "AutoRemove");
}

static void restart_now(struct container *c)
{
	struct err e = { 0 };

	c->restart = false;
	if (container_start_begin(c, &e) < 0)
		container_wake(c, WAIT_START, &e);
	else
		json_object_set_new(c->runtime, "restarted", json_true());
}

void container_exited(struct container *c, int code, bool oom, int64_t finished_ns, const char *error)
{
	char text[16], seconds[24];
	bool stopped = c->stopping, again = c->restart;
	int64_t ran = finished_ns - member_int(c->runtime, "started");

	source_free(c->kill_timer);
	c->kill_timer = NULL;
	c->stopping = false;
	c->state = STATE_EXITED;
	runtime_set_int(c, "code", code);
	runtime_set_int(c, "finished", finished_ns);
	runtime_set_text(c, "error", error ? error : "");
	json_object_set_new(c->runtime, "oom", json_boolean(oom));
	json_object_del(c->runtime, "pid");
	json_object_del(c->runtime, "starting");
	container_release(c);
	container_save_quietly(c);
	execs_end(c);
	snprintf(text, sizeof(text), "%d", code);
	snprintf(seconds, sizeof(seconds), "%lld", (long long)(ran > 0 ? ran / 1000000000 : 0));
	if (oom)
		container_event(c, "oom", NULL, NULL);
	container_event(c, "die", "exitCode", text);
	if (stopped)
		container_event(c, "stop", NULL, NULL);
	logs_wake(c);
	container_wake(c, WAIT_NOT_RUNNING, NULL);
	container_wake(c, WAIT_NEXT_EXIT, NULL);
	container_wake(c, WAIT_STOP, NULL);
	container_wake(c, WAIT_KILL, NULL);
	if (again && !c->removing)
		restart_now(c);
	else if (auto_remove(c))
		delete_or_tell(c);
}

void container_start_ended(struct container *c, const struct err *e, int code)
{
	if (!e) {
		bool restarted = member_flag(c->runtime, "restarted");

		c->state = STATE_RUNNING;
		json_object_del(c->runtime, "restarted");
		container_save_quietly(c);
		container_event(c, "start", NULL, NULL);
		if (restarted)
			container_event(c, "restart", NULL, NULL);
		container_wake(c, WAIT_START, NULL);
		if (c->removing && c->mon)
			mon_request(c->mon, MON_KILL_VM, NULL, NULL, 0, NULL, NULL);
		return;
	}
	runtime_set_int(c, "code", code);
	runtime_set_text(c, "error", e->text);
	container_save_quietly(c);
	drop_attaches(c);
	container_wake(c, WAIT_START, e);
	container_wake(c, WAIT_NOT_RUNNING, NULL);
	if (auto_remove(c))
		delete_or_tell(c);
}

/* ---- news from the monitor ---- */

static void event_exit(struct container *c, const struct ipc_msg *m)
{
	_cleanup_free_ char *text = NULL;
	uint32_t code = EXIT_UNKNOWN, oom = 0;
	uint64_t finished = (uint64_t)now_real_ns();
	struct tlv_field f;
	struct tlv_iter it;

	tlv_iter_init(&it, m->body, m->len);
	while (tlv_next(&it, &f) > 0) {
		if (f.tag == MON_TAG_CODE)
			tlv_get_u32(&f, &code);
		else if (f.tag == MON_TAG_OOM)
			tlv_get_u32(&f, &oom);
		else if (f.tag == MON_TAG_FINISHED_NS)
			tlv_get_u64(&f, &finished);
		else if (f.tag == MON_TAG_TEXT && !text)
			text = tlv_get_str(&f, ERR_TEXT_MAX - 1);
	}
	if (container_running(c))
		container_exited(c, (int)(code & 0xff), oom != 0, (int64_t)finished, text);
}

static void event_exec_exit(struct container *c, const struct ipc_msg *m)
{
	_cleanup_free_ char *id = NULL;
	uint32_t code = EXIT_UNKNOWN;
	struct tlv_field f;
	struct tlv_iter it;
	struct exec *x;

	tlv_iter_init(&it, m->body, m->len);
	while (tlv_next(&it, &f) > 0) {
		if (f.tag == MON_TAG_CODE)
			tlv_get_u32(&f, &code);
		else if (f.tag == MON_TAG_EXEC_ID && !id)
			id = tlv_get_str(&f, ID_LEN);
	}
	x = id ? exec_by_id(c, id) : NULL;
	if (x && x->running)
		exec_ended(x, (int)(code & 0xff));
}

void container_monitor_event(struct container *c, const struct ipc_msg *m)
{
	switch (m->head.type) {
	case MON_EV_EXIT:
		event_exit(c, m);
		break;
	case MON_EV_EXEC_EXIT:
		event_exec_exit(c, m);
		break;
	case MON_EV_LOG:
		logs_wake(c);
		break;
	case MON_EV_DETACHED:
		container_event(c, "detach", NULL, NULL);
		break;
	default:
		break;
	}
}

void container_monitor_gone(struct container *c)
{
	c->mon = NULL;
	if (c->start && container_start_again(c))
		return;
	if (!c->start && container_running(c))
		container_lost(c);
}

/* One "key value" line of the status file. */
static void status_line(char *line, int *code, int64_t *finished, bool *oom, char **error, bool *ended)
{
	char *value = strchr(line, ' ');
	int64_t n = 0;

	if (!value)
		return;
	*value++ = '\0';
	if (str_eq(line, "state"))
		*ended = str_eq(value, "exited");
	else if (str_eq(line, "error") && !*error)
		*error = xstrdup(value);
	else if (str_i64(value, 0, INT64_MAX, &n) < 0)
		return;
	else if (str_eq(line, "code"))
		*code = (int)(n & 0xff);
	else if (str_eq(line, "finished"))
		*finished = n;
	else if (str_eq(line, "oom"))
		*oom = n != 0;
}

void container_lost(struct container *c)
{
	_cleanup_free_ char *dir = container_dir(c), *path = xasprintf("%s/status", dir), *text = NULL, *error = NULL;
	int64_t finished = now_real_ns();
	bool oom = false, ended = false;
	int code = EXIT_UNKNOWN;
	char *line, *rest;
	size_t n;

	if (file_read_at(c->g->data_fd, path, STATUS_FILE_MAX, &text, &n) == 0)
		for (rest = text; (line = strsep(&rest, "\n"));)
			status_line(line, &code, &finished, &oom, &error, &ended);
	if (!ended) {
		code = EXIT_UNKNOWN;
		free(error);
		error = xstrdup("the virtual machine's monitor ended without a word: the machine was restarted, or it was killed");
	}
	container_exited(c, code, oom, finished, error);
}

/* ---- a monitor found at the start of bottled ---- */

struct found {
	uint32_t state, code, oom;
	bool has_code;
};

static void found_exec(struct container *c, const char *id, bool running, int code)
{
	struct exec *x = exec_by_id(c, id);

	if (!x)
		return;
	x->started = true;
	x->running = true;
	if (!running)
		exec_ended(x, code);
}

static void read_inspect(struct container *c, const struct ipc_msg *m, struct found *ret)
{
	_cleanup_free_ char *id = NULL;
	uint32_t running = 0, code = EXIT_UNKNOWN, v;
	struct tlv_field f;
	struct tlv_iter it;
	uint64_t ns;

	tlv_iter_init(&it, m->body, m->len);
	while (tlv_next(&it, &f) > 0) {
		if (f.tag == MON_TAG_EXEC_ID) {
			if (id)
				found_exec(c, id, running, (int)(code & 0xff));
			free(id);
			id = tlv_get_str(&f, ID_LEN);
			running = 0;
		} else if (f.tag == MON_TAG_EXEC_RUNNING) {
			tlv_get_u32(&f, &running);
		} else if (f.tag == MON_TAG_CODE) {
			tlv_get_u32(&f, id ? &code : &ret->code);
			ret->has_code |= !id;
		} else if (f.tag == MON_TAG_STATE) {
			tlv_get_u32(&f, &ret->state);
		} else if (f.tag == MON_TAG_OOM) {
			tlv_get_u32(&f, &ret->oom);
		} else if (f.tag == MON_TAG_PID && !id && tlv_get_u32(&f, &v)) {
			runtime_set_int(c, "pid", v);
		} else if (f.tag == MON_TAG_STARTED_NS && tlv_get_u64(&f, &ns)) {
			runtime_set_int(c, "started", (int64_t)ns);
		}
	}
	if (id)
		found_exec(c, id, running, (int)(code & 0xff));
}

static void adopted(void *arg, const struct ipc_msg *m)
{
	struct container *c = arg;
	struct found found = { .state = MON_STATE_ENDED };
	struct err e = { 0 };
	int code;

	if (c->g->adopting && --c->g->adopting == 0)
		loop_quit(c->g->loop, 0); /* main.c waits for it before it serves */
	if (!m)
		return; /* gone: container_monitor_gone reads what it left */
	if (mon_answer_err(m, &e, &code) == 0)
		read_inspect(c, m, &found);
	if (found.state == MON_STATE_RUNNING || found.state == MON_STATE_PAUSED) {
		c->state = found.state == MON_STATE_PAUSED ? STATE_PAUSED : STATE_RUNNING;
		json_object_del(c->runtime, "starting");
		container_save_quietly(c);
		return;
	}
	if (found.state != MON_STATE_ENDED) /* a start that was cut with bottled */
		mon_request(c->mon, MON_KILL_VM, NULL, NULL, 0, NULL, NULL);
	if (found.state != MON_STATE_ENDED || found.has_code)
		container_exited(c, found.has_code ? (int)found.code : EXIT_UNKNOWN, found.oom != 0, now_real_ns(),
				 found.has_code ? "" : "bottled was ended while the container started; start it again");
	/* else it is just ending: its event or its hang-up tells the rest */
}

void container_adopted(struct container *c)
{
	if (c->state != STATE_PAUSED)
		c->state = STATE_RUNNING; /* until it says otherwise */
	c->g->adopting++;
	mon_request(c->mon, MON_INSPECT, NULL, NULL, 0, adopted, c);
}

/* ---- start ---- */

void container_start(struct request *r)
{
	struct container *c = container_of_request(r);
	struct err e = { 0 };

	if (!c)
		return;
	if (c->state == STATE_PAUSED) {
		reply_message(r, 409, "cannot start a paused container, try unpause instead");
	} else if (c->state == STATE_RUNNING) {
		reply_empty(r, 304);
	} else if (c->state == STATE_REMOVING || c->state == STATE_DEAD || c->removing) {
		reply_message(r, 409, "container is marked for removal and cannot be started");
	} else {
		if (!c->start && container_start_begin(c, &e) < 0) {
			reply_err(r, &e);
			container_start_ended(c, &e, 128);
			return;
		}
		container_await(c, r, WAIT_START);
	}
}

/* ---- stop, kill, restart ---- */

static void kill_timeout(struct source *s, void *arg)
{
	struct container *c = arg;

	source_timer(s, UINT64_MAX);
	if (c->mon)
		mon_request(c->mon, MON_KILL_VM, NULL, NULL, 0, NULL, NULL);
}

static void unpause_first(struct container *c)
{
	if (c->state != STATE_PAUSED)
		return;
	mon_request(c->mon, MON_UNPAUSE, NULL, NULL, 0, NULL, NULL);
	c->state = STATE_RUNNING;
}

static int stop_signal(const struct container *c, const char *asked)
{
	int n = asked && *asked ? signal_number(asked) : signal_number(member_text(container_config(c), "StopSignal"));

	return n ? n : 15;
}

/* t: seconds, negative for ever. Without t: the container's own, or 10. */
static int stop_timeout(const struct container *c, const char *t, int64_t *ret)
{
	const json_t *own = json_object_get(container_config(c), "StopTimeout");

	*ret = json_is_integer(own) ? json_integer_value(own) : STOP_SECONDS;
	return t && *t ? str_i64(t, -1, INT32_MAX, ret) : 0;
}

static void begin_stop(struct container *c, int sig, int64_t seconds)
{
	unsigned char space[64];
	char text[16];
	struct tlv t;

	unpause_first(c);
	snprintf(text, sizeof(text), "%d", sig);
	container_event(c, "kill", "signal", text);
	tlv_init(&t, space, sizeof(space));
	tlv_u32(&t, MON_TAG_SIGNAL, (uint32_t)sig);
	tlv_u64(&t, MON_TAG_TIMEOUT_MS, seconds < 0 ? UINT64_MAX : (uint64_t)seconds * 1000);
	c->stopping = true;
	mon_request(c->mon, MON_STOP, &t, NULL, 0, NULL, NULL);
}

/* The common head of stop and restart: false when the request was answered. */
static bool stop_parameters(struct request *r, const struct container *c, int *ret_signal, int64_t *ret_seconds)
{
	const char *name = query_get(&r->query, "signal");

	if (name && *name && !signal_number(name)) {
		reply_message(r, 400, "invalid signal: %.64s", name);
		return false;
	}
	*ret_signal = stop_signal(c, name);
	if (stop_timeout(c, query_get(&r->query, "t"), ret_seconds) < 0) {
		reply_message(r, 400, "invalid timeout '%.64s': it must be a number of seconds", query_get(&r->query, "t"));
		return false;
	}
	return true;
}

static bool stoppable(const struct container *c)
{
	return container_running(c) && c->mon;
}

void container_stop(struct request *r)
{
	struct container *c = container_of_request(r);
	int64_t seconds;
	int sig;

	if (!c || !stop_parameters(r, c, &sig, &seconds))
		return;
	if (!stoppable(c)) {
		reply_empty(r, 304);
		return;
	}
	begin_stop(c, sig, seconds);
	container_await(c, r, WAIT_STOP);
}

void container_restart(struct request *r)
{
	struct container *c = container_of_request(r);
	struct err e = { 0 };
	int64_t seconds;
	int sig;

	if (!c || !stop_parameters(r, c, &sig, &seconds))
		return;
	if (c->state == STATE_REMOVING || c->removing) {
		reply_message(r, 409, "container is marked for removal and cannot be started");
		return;
	}
	if (stoppable(c)) {
		c->restart = true;
		begin_stop(c, sig, seconds);
	} else if (!c->start && container_start_begin(c, &e) < 0) {
		reply_err(r, &e);
		return;
	}
	container_await(c, r, WAIT_START);
}

static void signalled(void *arg, const struct ipc_msg *m)
{
	struct container *c = arg;
	struct err e = { 0 };
	int code;

	if (!m)
		return; /* its end answers */
	container_wake(c, WAIT_KILL, mon_answer_err(m, &e, &code) < 0 ? &e : NULL);
}

static void begin_kill(struct container *c, int sig)
{
	unsigned char space[64];
	char text[16];
	struct tlv t;

	if (sig == 9)
		unpause_first(c);
	snprintf(text, sizeof(text), "%d", sig);
	container_event(c, "kill", "signal", text);
	tlv_init(&t, space, sizeof(space));
	tlv_u32(&t, MON_TAG_SIGNAL, (uint32_t)sig);
	mon_request(c->mon, MON_SIGNAL, &t, NULL, 0, sig == 9 ? NULL : signalled, c);
	if (sig == 9 && !c->kill_timer)
		c->kill_timer = loop_timer(c->g->loop, KILL_GRACE_MS, kill_timeout, c);
}

void container_kill(struct request *r)
{
	struct container *c = container_of_request(r);
	const char *name = query_get(&r->query, "signal");
	int sig = name && *name ? signal_number(name) : 9;

	if (!c)
		return;
	if (!sig)
		reply_message(r, 400, "invalid signal: %.64s", name);
	else if (!stoppable(c))
		reply_message(r, 409, "cannot kill container: %s: container %s is not running", r->args[0], c->id);
	else if (c->state == STATE_PAUSED && sig != 9)
		reply_message(r, 409, "cannot kill container: %s: container %s is paused; unpause it before it is signalled", r->args[0], c->id);
	else {
		begin_kill(c, sig);
		container_await(c, r, WAIT_KILL);
	}
}

/* ---- pause, unpause ---- */

struct pausing {
	struct container *c;
	struct request *r;
	bool pause;
};

static void pausing_gone(struct request *r)
{
	struct pausing *p = r->arg;

	p->r = NULL;
}

static void paused(void *arg, const struct ipc_msg *m)
{
	struct pausing *p = arg;
	struct err e = { 0 };
	int code, r = mon_answer_err(m, &e, &code);

	if (r == 0) {
		p->c->state = p->pause ? STATE_PAUSED : STATE_RUNNING;
		container_save_quietly(p->c);
		container_event(p->c, p->pause ? "pause" : "unpause", NULL, NULL);
	}
	if (p->r) {
		p->r->on_gone = NULL;
		if (r < 0)
			reply_err(p->r, &e);
		else
			reply_empty(p->r, 204);
	}
	free(p);
}

static void pause_request(struct request *r, struct container *c, bool pause)
{
	struct pausing *p = xcalloc(1, sizeof(*p));

	*p = (struct pausing){ c, r, pause };
	r->arg = p;
	r->on_gone = pausing_gone;
	mon_request(c->mon, pause ? MON_PAUSE : MON_UNPAUSE, NULL, NULL, 0, paused, p);
}

void container_pause(struct request *r)
{
	struct container *c = container_of_request(r);

	if (!c)
		return;
	if (!stoppable(c))
		reply_message(r, 409, "container %s is not running", c->id);
	else if (c->state == STATE_PAUSED)
		reply_message(r, 409, "container %s is already paused", c->id);
	else
		pause_request(r, c, true);
}

void container_unpause(struct request *r)
{
	struct container *c = container_of_request(r);

	if (!c)
		return;
	if (c->state != STATE_PAUSED || !c->mon)
		reply_message(r, 409, "Container %s is not paused", c->id);
	else
		pause_request(r, c, false);
}

/* ---- rename, wait, remove ---- */

void container_rename(struct request *r)
{
	struct container *c = container_of_request(r), *other;
	const char *name = query_get(&r->query, "name");
	char *old;
	struct err e = { 0 };

	if (!c)
		return;
	name = name && *name == '/' ? name + 1 : name;
	if (!name || !*name) {
		reply_message(r, 400, "Neither old nor new names may be empty");
		return;
	}
	if (!container_name_valid(name)) {
		reply_message(r, 400, "Invalid container name (%.128s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", name);
		return;
	}
	other = container_by_name(r->engine, name);
	if (other) {
		reply_message(r, 409,
			      "Conflict. The container name \"/%s\" is already in use by container \"%s\". You have to remove (or rename) that "
			      "container to be able to reuse that name.", name, other->id);
		return;
	}
	old = c->name;
	c->name = xstrdup(name);
	if (container_save(c, &e) < 0) {
		free(c->name);
		c->name = old;
		reply_err(r, &e);
		return;
	}
	container_event(c, "rename", "oldName", old);
	free(old);
	reply_empty(r, 204);
}

void container_wait(struct request *r)
{
	static const char *const names[] = { "not-running", "next-exit", "removed" };
	const char *condition = query_get(&r->query, "condition");
	enum wait_kind kind = WAIT_NOT_RUNNING;
	size_t i = 0;
	struct container *c = container_of_request(r);

	if (!c)
		return;
	if (condition && *condition) {
		while (i < ARRAY_SIZE(names) && !str_eq(condition, names[i]))
			i++;
		if (i == ARRAY_SIZE(names)) {
			reply_message(r, 400, "invalid condition: \"%.64s\"", condition);
			return;
		}
		kind = (enum wait_kind)i;
	}
	reply_begin(r, 200, "application/json");
	if (kind == WAIT_NOT_RUNNING && !container_running(c) && !c->start)
		answer_wait(r, c);
	else
		container_await(c, r, kind);
}

void container_remove(struct request *r)
{
	struct container *c = container_of_request(r);
	bool force = query_bool(&r->query, "force", false);

	if (!c)
		return;
	if (query_bool(&r->query, "link", false)) {
		reply_message(r, 400, "links are not supported");
		return;
	}
	if (c->removing || c->state == STATE_REMOVING) {
		reply_message(r, 409, "removal of container %s is already in progress", r->args[0]);
		return;
	}
	if ((container_running(c) || c->start) && !force) {
		reply_message(r, 409, "cannot remove container \"/%s\": container is %s: %s before removing or force remove", c->name,
			      c->state == STATE_PAUSED ? "paused" : "running",
			      c->state == STATE_PAUSED ? "unpause and then stop the container" : "stop the container");
		return;
	}
	c->removing = true;
	container_await(c, r, WAIT_REMOVE);
	if (stoppable(c)) {
		container_event(c, "kill", "signal", "9");
		mon_request(c->mon, MON_KILL_VM, NULL, NULL, 0, NULL, NULL);
	} else if (!c->start) {
		delete_or_tell(c);
	}
}
