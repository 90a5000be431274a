/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Execs: further processes in a running container. Runs in bottled. The
 * client's connection goes to the monitor; the record of the exec stays here
 * and in its row, so that its exit code can be asked for at any time.
 */
#include <errno.h>

#include "api/attach.h"
#include "api/container.h"
#include "api/containers.h"
#include "api/json.h"
#include "base/mem.h"

#define EXEC_BODY_MAX (48 * 1024)

static void exec_row(struct exec *x)
{
	_cleanup_free_ char *config = json_dumps(x->config, JSON_COMPACT), *state = NULL;

	if (x->internal)
		return;
	state = x->code >= 0 ? xasprintf("%d", x->code) : xstrdup(x->started ? "running" : "created");
	state_exec(x->c->g, NULL,
		   "INSERT INTO execs(id, container, config, state) VALUES(?, ?, ?, ?) ON CONFLICT(id) DO UPDATE SET "
		   "state = excluded.state",
		   "tttt", x->id, x->c->id, config, state);
}

void exec_free(struct exec *x)
{
	for (struct exec **at = &x->c->execs; *at; at = &(*at)->next) {
		if (*at == x) {
			*at = x->next;
			break;
		}
	}
	if (x->r) {
		x->r->on_gone = NULL;
		x->r->arg = NULL;
	}
	if (x->fd >= 0)
		close(x->fd);
	buf_done(&x->early);
	json_decref(x->config);
	free(x);
}

struct exec *exec_new(struct container *c, json_t *config)
{
	struct exec *x = xcalloc(1, sizeof(*x));

	random_id(x->id);
	x->c = c;
	x->config = config;
	x->fd = -1;
	x->code = -1;
	x->next = c->execs;
	c->execs = x;
	return x;
}

struct exec *exec_by_id(struct container *c, const char *id)
{
	struct exec *x = c->execs;

	while (x && !str_eq(x->id, id))
		x = x->next;
	return x;
}

static struct exec *exec_of_request(struct request *r)
{
	for (struct container *c = r->engine->containers->list; c; c = c->next) {
		struct exec *x = exec_by_id(c, r->args[0]);

		if (x && !x->internal)
			return x;
	}
	reply_message(r, 404, "No such exec instance: %.64s", r->args[0]);
	return NULL;
}

static void exec_event(struct exec *x, const char *action, const char *key, const char *value)
{
	_cleanup_buf_ struct buf b = { 0 };
	json_t *v;
	size_t i;

	if (x->internal)
		return;
	buf_puts(&b, action);
	if (!key) {
		buf_puts(&b, ":");
		json_array_foreach(json_object_get(x->config, "Cmd"), i, v)
			buf_printf(&b, " %s", json_string_value(v));
	}
	container_event(x->c, buf_cstr(&b), key ? key : "execID", key ? value : x->id);
}

/* The oldest that does not run makes room; false when all do. */
static bool make_room(struct container *c)
{
	struct exec *oldest = NULL;
	size_t n = 0;

	for (struct exec *x = c->execs; x; x = x->next, n++)
		if (!x->running && !x->asked && !x->internal)
			oldest = x;
	if (n < EXECS_MAX)
		return true;
	if (!oldest)
		return false;
	state_exec(c->g, NULL, "DELETE FROM execs WHERE id = ?", "t", oldest->id);
	exec_free(oldest);
	return true;
}

void execs_load(struct container *c)
{
	sqlite3_stmt *q =
		state_query(c->g, NULL, "SELECT id, config, state FROM execs WHERE container = ? ORDER BY rowid", "t",
			    c->id);

	while (q && sqlite3_step(q) == SQLITE_ROW) {
		const char *id = (const char *)sqlite3_column_text(q, 0),
			   *text = (const char *)sqlite3_column_text(q, 1);
		const char *state = (const char *)sqlite3_column_text(q, 2);
		json_t *config = text ? json_loads(text, 0, NULL) : NULL;
		struct exec *x;
		int64_t code;

		if (!id || strlen(id) != ID_LEN || !config || !state) {
			json_decref(config);
			continue;
		}
		x = exec_new(c, config);
		snprintf(x->id, sizeof(x->id), "%s", id);
		x->started = !str_eq(state, "created");
		if (str_i64(state, 0, 255, &code) == 0)
			x->code = (int)code;
		else
			x->running = x->started;
	}
	sqlite3_finalize(q);
}

void exec_ended(struct exec *x, int code)
{
	char text[16];

	x->running = false;
	x->code = code;
	exec_row(x);
	snprintf(text, sizeof(text), "%d", code);
	exec_event(x, "exec_die", "exitCode", text);
	if (x->on_exit)
		x->on_exit(x, x->arg);
	if (x->internal && !x->asked)
		exec_free(x);
}

void execs_end(struct container *c)
{
	struct exec *next;

	for (struct exec *x = c->execs; x; x = next) {
		next = x->next;
		if (x->running)
			exec_ended(x, 137);
	}
}

/* ---- starting ---- */

static void answer_detached(struct exec *x, const struct err *e)
{
	struct request *r = x->r;

	if (!r)
		return;
	x->r = NULL;
	r->on_gone = NULL;
	r->arg = NULL;
	if (e)
		reply_err(r, e);
	else
		reply_empty(r, 200);
}

/* As docker has it: on the stream, after the head said that all is well. */
static void tell(struct exec *x, const struct err *e)
{
	_cleanup_free_ char *text =
		xasprintf("OCI runtime exec failed: exec failed: unable to start container process: %s: unknown\r\n",
			  e->text);
	unsigned char head[STDCOPY_HEAD];
	_cleanup_buf_ struct buf b = { 0 };

	if (x->fd < 0)
		return;
	if (!member_flag(x->config, "Tty")) {
		stdcopy_head(head, 1, (uint32_t)strlen(text));
		buf_append(&b, head, sizeof(head));
	}
	buf_puts(&b, text);
	(void)buf_write(&b, x->fd); /* a fresh connection takes a line; nobody is left to tell otherwise */
}

static void exec_failed(struct exec *x, const struct err *e, int code)
{
	int fd = TAKE_FD(x->fd);

	answer_detached(x, e);
	x->fd = fd;
	tell(x, e);
	x->fd = -1;
	exec_ended(x, code);
	if (fd >= 0) /* the code can be asked for before the end is seen */
		close(fd);
}

static void exec_answer(void *arg, const struct ipc_msg *m)
{
	struct exec *x = arg;
	struct err e = { 0 };
	struct tlv_field f;
	struct tlv_iter it;
	int code, r = mon_answer_err(m, &e, &code);

	x->asked = false;
	if (!x->running) { /* the container ended first */
		if (x->fd >= 0)
			close(TAKE_FD(x->fd));
		answer_detached(x, r < 0 ? &e : NULL);
		if (x->internal)
			exec_free(x);
		return;
	}
	if (r < 0) {
		e.cls = code ? ERR_INVALID : e.cls;
		exec_failed(x, &e, code ? code : 126);
		return;
	}
	tlv_iter_init(&it, m->body, m->len);
	while (tlv_next(&it, &f) > 0)
		if (f.tag == MON_TAG_PID)
			tlv_get_u32(&f, &x->pid);
	if (x->fd >= 0)
		close(TAKE_FD(x->fd));
	answer_detached(x, NULL);
}

static uint32_t exec_flags(const struct exec *x)
{
	uint32_t flags = 0;

	if (x->fd < 0)
		flags |= MON_F_DETACH;
	if (member_flag(x->config, "AttachStdin"))
		flags |= MON_F_STDIN | MON_F_STDIN_ONCE;
	if (member_flag(x->config, "AttachStdout"))
		flags |= MON_F_STDOUT;
	if (member_flag(x->config, "AttachStderr"))
		flags |= MON_F_STDERR;
	if (member_flag(x->config, "Tty"))
		flags |= MON_F_TTY;
	return flags;
}

static int exec_body(struct tlv *t, struct exec *x, struct err *e)
{
	_cleanup_free_ unsigned char *space = xmalloc(EXEC_BODY_MAX);
	uint8_t keys[DETACH_KEYS_MAX];
	struct tlv process;
	size_t n_keys;

	tlv_init(&process, space, EXEC_BODY_MAX);
	if (guest_exec_write(&process, x->c, x->config, e) < 0)
		return -EINVAL;
	tlv_str(t, MON_TAG_EXEC_ID, x->id);
	tlv_bytes(t, MON_TAG_PROCESS, process.data, process.len);
	tlv_u32(t, MON_TAG_FLAGS, exec_flags(x));
	if (buf_len(&x->early))
		tlv_bytes(t, MON_TAG_EARLY, buf_ptr(&x->early), buf_len(&x->early));
	if (detach_keys_parse(member_text(x->config, "DetachKeys"), keys, &n_keys) == 0 && n_keys)
		tlv_bytes(t, MON_TAG_DETACH_KEYS, keys, n_keys);
	if (tlv_len(t) < 0)
		return err_set(e, ERR_INVALID, E2BIG,
			       "the exec's command with its environment and first input is larger than 60 KiB");
	return 0;
}

void exec_run(struct exec *x)
{
	_cleanup_free_ unsigned char *space = xmalloc(IPC_BODY_MAX);
	struct err e = { 0 };
	struct tlv t;

	x->started = true;
	x->running = true;
	exec_row(x);
	tlv_init(&t, space, IPC_BODY_MAX);
	if (exec_body(&t, x, &e) < 0) {
		exec_failed(x, &e, 126);
		return;
	}
	exec_event(x, "exec_start", NULL, NULL);
	x->asked = true;
	mon_request(x->c->mon, MON_EXEC, &t, &x->fd, x->fd >= 0 ? 1 : 0, exec_answer, x);
	buf_done(&x->early);
	x->early = (struct buf){ 0 };
}

/* ---- handlers ---- */

/* What could never be started is not kept either. */
static int check_exec(const json_t *config, struct err *e)
{
	uint8_t keys[DETACH_KEYS_MAX];
	size_t n;

	if (detach_keys_parse(member_text(config, "DetachKeys"), keys, &n) < 0)
		return err_set(e, ERR_INVALID, EINVAL, "Invalid detach keys (%.64s) provided",
			       member_text(config, "DetachKeys"));
	if (json_dumpb(config, NULL, 0, JSON_COMPACT) > 2 * EXEC_BODY_MAX)
		return err_set(
			e, ERR_INVALID, E2BIG,
			"the command with its environment is larger than an exec can carry (48 KiB); shorten it");
	return 0;
}

static bool exec_possible(struct request *r, const struct container *c, const char *what)
{
	if (c->state == STATE_PAUSED)
		reply_message(r, 409, "Container %s is paused, unpause the container before %s", c->id, what);
	else if (!container_running(c) || !c->mon)
		reply_message(r, 409, "container %s is not running", c->id);
	else
		return true;
	return false;
}

void exec_create(struct request *r)
{
	struct container *c = container_of_request(r);
	struct err e = { 0 };
	struct exec *x;
	json_t *config;

	if (!c || !exec_possible(r, c, "exec"))
		return;
	config = spec_exec(r->body, &e);
	if (!config) {
		reply_err(r, &e);
		return;
	}
	if (check_exec(config, &e) < 0) {
		reply_err(r, &e);
		json_decref(config);
		return;
	}
	if (!make_room(c)) {
		reply_message(r, 409, "%d execs run in container %.12s already; end some first", EXECS_MAX, c->id);
		json_decref(config);
		return;
	}
	x = exec_new(c, config);
	exec_row(x);
	exec_event(x, "exec_create", NULL, NULL);
	reply_json(r, 201, json_pack("{s:s}", "Id", x->id));
}

static void detached_gone(struct request *r)
{
	struct exec *x = r->arg;

	x->r = NULL;
}

static void start_options(struct exec *x, const json_t *body)
{
	json_t *size = json_get(body, "ConsoleSize");

	if (json_array_size(size) == 2 && json_is_integer(json_array_get(size, 0)) &&
	    json_is_integer(json_array_get(size, 1)))
		json_object_set_new(x->config, "ConsoleSize", json_deep_copy(size));
}

void exec_start(struct request *r)
{
	struct exec *x = exec_of_request(r);
	bool detach = json_is_true(json_get(r->body, "Detach"));

	if (!x || !exec_possible(r, x->c, "exec"))
		return;
	if (x->started) {
		reply_message(r, 409, "exec command %s %s", x->id,
			      x->running ? "is already running" : "has already run");
		return;
	}
	start_options(x, r->body);
	if (detach) {
		x->r = r;
		r->arg = x;
		r->on_gone = detached_gone;
	} else {
		x->fd = reply_hijack(r, stream_content_type(r, member_flag(x->config, "Tty")), &x->early);
		if (x->fd < 0)
			return;
		if (buf_len(&x->early) > EARLY_MAX) { /* no client sends so much before it hears anything */
			close(TAKE_FD(x->fd));
			buf_clear(&x->early);
			return;
		}
	}
	exec_run(x);
}

void exec_resize(struct request *r)
{
	struct exec *x = exec_of_request(r);
	uint32_t rows, cols;

	if (!x || !resize_parameters(r, &rows, &cols))
		return;
	if (!x->running || !x->c->mon) {
		reply_message(r, 409, "exec process %s is not running", x->id);
		return;
	}
	resize_send(x->c, x->id, rows, cols);
	reply_empty(r, 200);
}

static json_t *exec_json(const struct exec *x)
{
	json_t *cmd = json_object_get(x->config, "Cmd"), *args = json_array();
	const char *user = member_text(x->config, "User");

	json_array_extend(args, cmd);
	json_array_remove(args, 0);
	return json_pack("{s:s, s:b, s:o, s:{s:b, s:s, s:o, s:b, s:s}, s:b, s:b, s:b, s:b, s:s, s:s, s:I}", "ID", x->id,
			 "Running", x->running, "ExitCode", x->code >= 0 ? json_integer(x->code) : json_null(),
			 "ProcessConfig", "tty", member_flag(x->config, "Tty"), "entrypoint",
			 json_string_value(json_array_get(cmd, 0)), "arguments", args, "privileged",
			 member_flag(x->config, "Privileged"), "user", user, "OpenStdin",
			 member_flag(x->config, "AttachStdin"), "OpenStderr", member_flag(x->config, "AttachStderr"),
			 "OpenStdout", member_flag(x->config, "AttachStdout"), "CanRemove", x->code >= 0, "ContainerID",
			 x->c->id, "DetachKeys", member_text(x->config, "DetachKeys"), "Pid", (json_int_t)x->pid);
}

void exec_inspect(struct request *r)
{
	struct exec *x = exec_of_request(r);

	if (!x)
		return;
	if (x->c->mon)
		mon_drain(x->c->mon); /* its exit is here before the stream's end */
	x = exec_of_request(r);
	if (x)
		reply_json(r, 200, exec_json(x));
}
