/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Archives that come in: POST /images/load and the import half of
 * /images/create; in bottled. Each request is one job: a staging directory and
 * an image-unpack whose standard input is the request's body. bottled never
 * looks at the archive's bytes, and takes from image-unpack only what unpack.h
 * allows; its files become the store's when it has said UNPACK_DONE and exited 0.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "api/image_jobs.h"
#include "api/json.h"
#include "base/fd.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"
#include "images/store/reference.h"
#include "images/store/store.h"
#include "images/unpack/unpack.h"

#define JOBS_MAX      4 /* at once; others wait their turn */
#define MESSAGES_TURN 16

struct job {
	struct engine *engine;
	struct request *r; /* NULL: the client went away */
	const char *mode;  /* image-unpack's argument, and the event's name */
	bool running;
	char *staging;
	char *import_config; /* import: config.json */
	char *import_key;    /* import: NULL without a name */
	pid_t pid;
	struct source *child, *messages;
	int result_fd;
	bool body_done, child_done, unpacked;
	struct err e;
	bool failed;
	struct store_new *images;
	size_t n_images;
	TAILQ_ENTRY(job) next;
};

static TAILQ_HEAD(, job) jobs = TAILQ_HEAD_INITIALIZER(jobs);

static void start_waiting(void);

static void fail(struct job *j, const struct err *e)
{
	if (!j->failed)
		err_copy(&j->e, e);
	j->failed = true;
}

static void job_free(struct job *j)
{
	struct engine *g = j->engine;

	TAILQ_REMOVE(&jobs, j, next);
	source_free(j->child);
	source_free(j->messages);
	if (j->result_fd >= 0)
		close(j->result_fd);
	if (j->staging)
		store_job_remove(g->store, j->staging);
	for (size_t i = 0; i < j->n_images; i++)
		strv_free(j->images[i].keys);
	free(j->images);
	free(j->staging);
	free(j->import_config);
	free(j->import_key);
	free(j);
	engine_idle(g);
}

/* ---- what image-unpack says ---- */

static int take_digest(const struct tlv_field *f, char ret[ID_LEN + 1])
{
	if (f->len != ID_LEN)
		return -EBADMSG;
	memcpy(ret, f->data, ID_LEN);
	ret[ID_LEN] = '\0';
	return str_is_hex(ret, ID_LEN) ? 0 : -EBADMSG;
}

static int take_ref(struct store_new *n, const struct tlv_field *f, struct err *e)
{
	_cleanup_free_ char *text = tlv_get_str(f, UNPACK_REF_MAX), *key = NULL;
	struct err inner;

	if (!text)
		return err_set(e, ERR_INTERNAL, EBADMSG, "image-unpack broke its protocol");
	if (image_tag_key(text, NULL, &key, &inner) < 0)
		return err_set(e, ERR_INVALID, EINVAL, "the archive names an image '%.200s': %.200s", text, inner.text);
	strv_push(&n->keys, key);
	return 0;
}

static int take_layer_field(struct store_new *n, const struct tlv_field *f)
{
	struct store_layer *l = n->n_layers ? &n->layers[n->n_layers - 1] : NULL;
	uint32_t known = 0;

	if (f->tag == UNPACK_TAG_DIFF_ID) {
		if (n->n_layers == STORE_LAYERS_MAX)
			return -EBADMSG;
		l = &n->layers[n->n_layers++];
		return take_digest(f, l->diff_id);
	}
	if (!l)
		return -EBADMSG;
	switch (f->tag) {
	case UNPACK_TAG_BLOB:
		return take_digest(f, l->blob);
	case UNPACK_TAG_BLOB_SIZE:
		return tlv_get_u64(f, &l->blob_size) ? 0 : -EBADMSG;
	case UNPACK_TAG_SIZE:
		return tlv_get_u64(f, &l->size) ? 0 : -EBADMSG;
	case UNPACK_TAG_KNOWN:
		l->known = tlv_get_u32(f, &known) && known == 1;
		return l->known ? 0 : -EBADMSG;
	default:
		return -EBADMSG;
	}
}

static int take_image(struct job *j, const struct ipc_msg *m, struct err *e)
{
	struct store_new *n;
	struct tlv_field f;
	struct tlv_iter it;
	int r, k = 0;

	if (j->n_images == UNPACK_IMAGES_MAX)
		return err_set(e, ERR_INTERNAL, EBADMSG, "image-unpack broke its protocol");
	j->images = xrealloc(j->images, j->n_images + 1, sizeof(*j->images));
	n = &j->images[j->n_images++];
	*n = (struct store_new){ 0 };
	tlv_iter_init(&it, m->body, m->len);
	while ((r = tlv_next(&it, &f)) > 0 && k == 0) {
		if (f.tag == UNPACK_TAG_REF)
			k = take_ref(n, &f, e);
		else if ((f.tag == UNPACK_TAG_ID ? take_digest(&f, n->id) : take_layer_field(n, &f)) < 0)
			r = -EBADMSG, k = -EBADMSG;
		if (r < 0)
			break;
	}
	if (r < 0 || !*n->id || !n->n_layers)
		return k < 0 && r >= 0 ? k : err_set(e, ERR_INTERNAL, EBADMSG, "image-unpack broke its protocol");
	return k;
}

static void take_failure(const struct ipc_msg *m, struct err *e)
{
	uint32_t cls = ERR_INTERNAL;
	_cleanup_free_ char *text = NULL;
	struct tlv_field f;
	struct tlv_iter it;

	tlv_iter_init(&it, m->body, m->len);
	while (tlv_next(&it, &f) > 0) {
		if (f.tag == UNPACK_TAG_CLASS)
			tlv_get_u32(&f, &cls);
		else if (f.tag == UNPACK_TAG_TEXT && !text)
			text = tlv_get_str(&f, ERR_TEXT_MAX);
	}
	err_set(e, cls < ERR_CLASS_NUM ? (enum err_class)cls : ERR_INTERNAL, EIO, "%s",
		text ? text : "image-unpack failed");
}

static void take_message(struct job *j, const struct ipc_msg *m)
{
	struct err e = { 0 };

	switch (m->head.type) {
	case UNPACK_IMAGE:
		if (!j->unpacked && take_image(j, m, &e) < 0)
			fail(j, &e);
		break;
	case UNPACK_DONE:
		j->unpacked = true;
		break;
	case UNPACK_FAILED:
		take_failure(m, &e);
		fail(j, &e);
		break;
	default:
		err_set(&e, ERR_INTERNAL, EBADMSG, "image-unpack broke its protocol");
		fail(j, &e);
	}
}

/* 1 more may come, 0 nothing is there now, < 0 the socket is at its end. */
static int read_message(struct job *j)
{
	_cleanup_free_ struct ipc_msg *m = xmalloc(sizeof(*m));
	int r = ipc_recv(j->result_fd, m);

	if (r > 0) {
		ipc_close_fds(m);
		take_message(j, m);
		return 1;
	}
	return r == -EAGAIN ? 0 : -EPIPE;
}

static void on_message(struct source *s, uint32_t events, void *arg)
{
	struct job *j = arg;

	(void)s;
	(void)events;
	for (int i = 0; i < MESSAGES_TURN; i++) {
		int r = read_message(j);

		if (r < 0) {
			source_free(j->messages);
			j->messages = NULL;
		}
		if (r <= 0)
			return;
	}
}

/* ---- the answer ---- */

static void answer_error(struct job *j)
{
	struct request *r = j->r;

	if (str_eq(j->mode, "import"))
		return reply_err(r, &j->e);
	/* docker load reports in band, always. */
	reply_begin(r, 200, "application/json");
	reply_write_json(r, json_pack("{s:{s:s}, s:s}", "errorDetail", "message", j->e.text, "error", j->e.text),
			 "\r\n");
	reply_end(r);
}

static void stream_line(struct request *r, const char *what, const char *name)
{
	_cleanup_free_ char *line = xasprintf("%s: %s\n", what, name);

	reply_write_json(r, json_pack("{s:s}", "stream", line), "\r\n");
}

static void answer_load(struct job *j)
{
	reply_begin(j->r, 200, "application/json");
	for (size_t i = 0; i < j->n_images; i++) {
		const struct store_new *n = &j->images[i];
		_cleanup_free_ char *id = xasprintf("sha256:%s", n->id);

		for (char **k = n->keys; k && *k; k++)
			stream_line(j->r, "Loaded image", reference_familiar(*k));
		if (!n->keys)
			stream_line(j->r, "Loaded image ID", id);
	}
	reply_end(j->r);
}

static void answer_import(struct job *j)
{
	reply_begin(j->r, 200, "application/json");
	reply_write_json(j->r, json_pack("{s:o}", "status", json_sprintf("sha256:%s", j->images[0].id)), "\r\n");
	reply_end(j->r);
}

static void emit_all(struct job *j)
{
	for (size_t i = 0; i < j->n_images; i++) {
		const struct store_new *n = &j->images[i];
		_cleanup_free_ char *id = xasprintf("sha256:%s", n->id);

		for (char **k = n->keys; k && *k; k++)
			image_emit(j->engine, "tag", n->id, reference_familiar(*k));
		image_emit(j->engine, j->mode, n->id, n->keys ? reference_familiar(n->keys[0]) : id);
	}
}

static void commit(struct job *j)
{
	struct err e = { 0 };

	if (j->failed)
		return;
	if (!j->unpacked || !j->n_images) {
		err_set(&e, ERR_INTERNAL, EIO, "image-unpack ended without a result; its log has the reason");
		return fail(j, &e);
	}
	if (j->import_key)
		strv_push(&j->images[0].keys, j->import_key);
	if (store_add(j->engine->store, j->staging, j->images, j->n_images, &e) < 0)
		return fail(j, &e);
	emit_all(j);
}

static void finish_if_over(struct job *j)
{
	if (!j->child_done || (j->r && !j->body_done))
		return;
	if (j->r) {
		commit(j);
		j->r->on_gone = NULL;
		if (j->failed)
			answer_error(j);
		else if (str_eq(j->mode, "import"))
			answer_import(j);
		else
			answer_load(j);
	}
	job_free(j);
	start_waiting();
}

static void on_child(struct source *s, pid_t pid, int status, void *arg)
{
	struct job *j = arg;
	struct err e = { 0 };

	(void)s;
	j->child = NULL; /* the loop frees it */
	j->child_done = true;
	while (j->messages && read_message(j) > 0)
		;
	if (proc_exit_code(status) != 0 && !j->failed) {
		log_error("image-unpack %d ended with %d", (int)pid, proc_exit_code(status));
		err_set(&e, ERR_INTERNAL, EIO, "image-unpack ended with exit code %d", proc_exit_code(status));
		fail(j, &e);
	}
	finish_if_over(j);
}

/* -EPIPE: image-unpack stopped reading, and says why on its own channel. */
static void on_body_done(struct request *r, int result)
{
	struct job *j = r->arg;
	struct err e = { 0 };

	j->body_done = true;
	if (result < 0 && result != -EPIPE) {
		err_set(&e, ERR_INVALID, -result, "the request's body ended early");
		fail(j, &e);
		if (!j->child_done)
			kill(j->pid, SIGKILL);
	}
	finish_if_over(j);
}

/* Nobody waits for the result: nothing is kept. */
static void on_client_gone(struct request *r)
{
	struct job *j = r->arg;

	j->r = NULL;
	if (!j->running)
		job_free(j);
	else if (!j->child_done)
		kill(j->pid, SIGKILL);
	else
		finish_if_over(j);
}

/* ---- starting ---- */

static int prepare_staging(struct job *j, struct err *e)
{
	_cleanup_close_ int fd = store_job_open(j->engine->store, &j->staging, e);
	int r;

	if (fd < 0)
		return fd;
	if (j->import_config) {
		r = file_write_at(fd, "config.json", 0600, j->import_config, strlen(j->import_config));
		if (r < 0)
			return err_set(e, ERR_INTERNAL, -r, "prepare an image job: %s", strerror(-r));
	}
	return TAKE_FD(fd);
}

static int spawn_unpack(struct job *j, int stdin_fd, int result_fd, int dir_fd, struct err *e)
{
	_cleanup_free_ char *path = proc_program("image-unpack"), *mode = xstrdup(j->mode);
	char *const argv[] = { path, mode, NULL };
	const int fds[] = { result_fd, dir_fd };
	const struct spawn s = {
		.path = path,
		.argv = argv,
		.fds = fds,
		.n_fds = ARRAY_SIZE(fds),
		.stdin_fd = stdin_fd,
		.stdout_fd = -1,
		.stderr_fd = -1,
		.die_with_parent = true,
	};

	j->pid = proc_spawn(&s, e);
	return j->pid < 0 ? (int)j->pid : 0;
}

static int start(struct job *j, int *ret_body_fd, struct err *e)
{
	_cleanup_close_ int dir_fd = prepare_staging(j, e), in = -1, out = -1, theirs = -1;
	int pair[2], r;

	if (dir_fd < 0)
		return dir_fd;
	if (pipe2(pair, O_CLOEXEC) < 0)
		return err_errno(e, "pipe");
	in = pair[0];
	out = pair[1];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(e, "socketpair");
	j->result_fd = pair[0];
	theirs = pair[1];
	fd_nonblock(j->result_fd);
	fd_nonblock(out);
	r = spawn_unpack(j, in, theirs, dir_fd, e);
	if (r < 0)
		return r;
	j->running = true;
	j->child = loop_child(j->engine->loop, j->pid, on_child, j);
	j->messages = loop_io(j->engine->loop, j->result_fd, EPOLLIN, on_message, j);
	if (!j->child)
		fatal("image-unpack %d cannot be watched", (int)j->pid);
	*ret_body_fd = TAKE_FD(out);
	return 0;
}

/* true when it runs now; else it was answered. */
static bool start_or_answer(struct job *j)
{
	struct err e = { 0 };
	int fd = -1;

	if (start(j, &fd, &e) == 0) {
		request_body_to(j->r, fd, on_body_done);
		return true;
	}
	fail(j, &e);
	j->r->on_gone = NULL;
	answer_error(j);
	job_free(j);
	return false;
}

static void start_waiting(void)
{
	struct job *j, *next;
	int n = 0;

	TAILQ_FOREACH(j, &jobs, next)
		n += j->running ? 1 : 0;
	for (j = TAILQ_FIRST(&jobs); j && n < JOBS_MAX; j = next) {
		next = TAILQ_NEXT(j, next);
		if (j->running)
			continue;
		n += start_or_answer(j) ? 1 : 0;
	}
}

/* Takes config and key (may be NULL). */
static void job_new(struct request *r, const char *mode, char *config, char *key)
{
	struct job *j = xcalloc(1, sizeof(*j));

	*j = (struct job){
		.engine = r->engine, .r = r, .mode = mode, .import_config = config, .import_key = key, .result_fd = -1
	};
	r->arg = j;
	r->on_gone = on_client_gone;
	engine_busy(r->engine);
	TAILQ_INSERT_TAIL(&jobs, j, next);
	start_waiting();
}

void image_jobs_close(struct engine *g)
{
	struct job *j;

	(void)g;
	while ((j = TAILQ_FIRST(&jobs))) {
		if (j->running && !j->child_done)
			kill(j->pid, SIGKILL);
		if (j->r)
			j->r->on_gone = NULL;
		job_free(j);
	}
}

void images_load(struct request *r)
{
	job_new(r, "load", NULL, NULL);
}

/* ---- POST /images/create ---- */

static int apply_changes(const struct query *q, json_t *settings, struct err *e)
{
	const char *text;
	int r = 0;

	for (size_t i = 0; r == 0 && (text = query_nth(q, "changes", i)); i++) {
		_cleanup_free_ char *copy = xstrdup(text);
		char *save = NULL;

		for (char *line = strtok_r(copy, "\r\n", &save); line && r == 0; line = strtok_r(NULL, "\r\n", &save))
			r = image_change(settings, line, e);
	}
	return r;
}

static int import_config(const struct query *q, char **ret, struct err *e)
{
	const char *message = query_get(q, "message");
	_cleanup_json_ json_t *settings = json_object(), *config = NULL;
	char created[RFC3339_MAX];
	int r = apply_changes(q, settings, e);

	if (r < 0)
		return r;
	rfc3339nano(created, now_real_ns());
	message = message && *message ? message : "Imported from -";
	config = json_pack("{s:s, s:s, s:s, s:O, s:s, s:[{s:s, s:s}]}", "architecture", "amd64", "os", "linux",
			   "created", created, "config", settings, "comment", message, "history", "created", created,
			   "comment", message);
	*ret = json_text(config);
	return *ret ? 0 : err_set(e, ERR_INVALID, EINVAL, "the message or a change is not UTF-8");
}

static void import(struct request *r)
{
	const char *repo = query_get(&r->query, "repo"), *tag = query_get(&r->query, "tag");
	_cleanup_free_ char *key = NULL, *config = NULL;
	struct err e;

	if (repo && *repo && image_tag_key(repo, tag, &key, &e) < 0)
		return reply_err(r, &e);
	if (import_config(&r->query, &config, &e) < 0)
		return reply_err(r, &e);
	job_new(r, "import", TAKE_PTR(config), TAKE_PTR(key));
}

void images_create(struct request *r)
{
	const char *from = query_get(&r->query, "fromImage"), *source = query_get(&r->query, "fromSrc");
	const char *tag = query_get(&r->query, "tag");
	_cleanup_reference_ struct reference ref = { 0 };
	_cleanup_free_ char *text = NULL;
	struct err e;

	if (str_eq(source, "-"))
		return import(r);
	if (source && *source)
		return reply_message(r, 501, "import from a URL is not offered: fetch it, and use docker import FILE");
	if (!from || !*from)
		return reply_message(r, 400, "fromImage or fromSrc is needed");
	text = tag && *tag ? xasprintf("%s%c%s", from, strchr(tag, ':') ? '@' : ':', tag) : xstrdup(from);
	if (reference_parse(&ref, text, &e) < 0)
		return reply_err(r, &e);
	reply_message(r, 404, "pull access denied for %s: this engine has no registry client yet; use docker load",
		      reference_familiar(ref.name));
}
