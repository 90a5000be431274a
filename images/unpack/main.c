/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image-unpack: turns a stranger's archive into verified blobs and block images
 * in the directory at fd 4, and says on fd 3 what they are (unpack.h). Started
 * by bottled, one process a job; distrusts all of stdin. It closes the jail
 * behind itself before it reads the first byte.
 */
#include <archive.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <string.h>

#include "base/fd.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/opt.h"
#include "base/str.h"
#include "images/unpack/jail.h"
#include "images/unpack/manifest.h"

#define KNOWN_MAX (8 << 20)

struct job {
	int dir_fd, result_fd, layers_fd;
	struct members members;
	struct plan plan;
	char *known; /* lines of diff ids */
};

static int send_message(struct job *j, enum unpack_type type, const struct tlv *body, struct err *e)
{
	struct pollfd p = { .fd = j->result_fd, .events = POLLOUT };
	int r;

	while ((r = ipc_send(j->result_fd, (uint16_t)type, 0, body, NULL, 0)) == -EAGAIN)
		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			return err_errno(e, "wait for bottled");
	return r < 0 ? err_set(e, ERR_INTERNAL, -r, "tell bottled: %s", strerror(-r)) : 0;
}

static bool is_known(const struct job *j, const char *hex)
{
	const char *at = j->known ? strstr(j->known, hex) : NULL;

	return at && at[SHA256_HEX] == '\n';
}

/* The block image of a blob, under its diff id once that is known to be the expected one. */
static int make_image(struct job *j, int blob_fd, struct member *f, const char *expect, struct err *e)
{
	_cleanup_close_ int out_fd = openat(j->layers_fd, "part", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	char name[SHA256_HEX + 8];
	int r;

	if (out_fd < 0)
		return err_errno(e, "make a block image");
	r = layer_convert(blob_fd, out_fd, &f->layer, e);
	if (r < 0)
		return r;
	if (expect && strcmp(f->layer.diff_id, expect) != 0)
		return err_set(e, ERR_INVALID, EBADMSG,
			       "its content has the diff id sha256:%s, the configuration says sha256:%s",
			       f->layer.diff_id, expect);
	snprintf(name, sizeof(name), "%s.sqfs", f->layer.diff_id);
	if (fsync(out_fd) < 0 || fchmod(out_fd, 0444) < 0 || renameat(j->layers_fd, "part", j->layers_fd, name) < 0)
		return err_errno(e, "keep the block image");
	return 0;
}

/* A layer that the store has is hashed, and no more: its image was made from the same bytes. */
static int take_layer(struct job *j, struct member *f, const char *expect, struct err *e)
{
	_cleanup_close_ int fd = -1;
	char name[QUOTE_MAX];
	int r = 0;

	if (f->converted && (!expect || str_eq(f->layer.diff_id, expect)))
		return 0;
	fd = member_open(&j->members, f, e);
	if (fd < 0)
		return fd;
	f->known = expect && is_known(j, expect);
	if (f->known) {
		r = layer_convert(fd, -1, &f->layer, e);
		if (r == 0 && strcmp(f->layer.diff_id, expect) != 0)
			r = err_set(e, ERR_INVALID, EBADMSG,
				    "its content has the diff id sha256:%s, the configuration says sha256:%s",
				    f->layer.diff_id, expect);
	} else {
		r = make_image(j, fd, f, expect, e);
	}
	if (r == 0)
		r = member_keep(&j->members, f, e);
	if (r < 0)
		return err_wrap(e, "layer '%s'", quote(name, sizeof(name), f->name)), r;
	f->converted = true;
	return 0;
}

static int report_image(struct job *j, const struct planned *p, struct err *e)
{
	_cleanup_free_ void *space = xmalloc(IPC_BODY_MAX);
	struct tlv t;

	tlv_init(&t, space, IPC_BODY_MAX);
	tlv_str(&t, UNPACK_TAG_ID, p->config->hex);
	for (char **ref = p->refs; ref && *ref; ref++)
		tlv_str(&t, UNPACK_TAG_REF, *ref);
	for (size_t i = 0; i < p->n_layers; i++) {
		const struct member *f = p->layers[i];

		tlv_str(&t, UNPACK_TAG_DIFF_ID, f->layer.diff_id);
		tlv_str(&t, UNPACK_TAG_BLOB, f->hex);
		tlv_u64(&t, UNPACK_TAG_BLOB_SIZE, f->size);
		tlv_u64(&t, UNPACK_TAG_SIZE, f->layer.size);
		if (f->known)
			tlv_u32(&t, UNPACK_TAG_KNOWN, 1);
	}
	return send_message(j, UNPACK_IMAGE, &t, e);
}

static int take_image(struct job *j, const struct planned *p, struct err *e)
{
	const char *diff_ids[UNPACK_LAYERS_MAX];
	json_t *config = member_json(&j->members, p->config, e);
	int r = config ? config_check(config, p->n_layers, diff_ids, e) : -EINVAL;

	for (size_t i = 0; i < p->n_layers && r == 0; i++)
		r = take_layer(j, p->layers[i], diff_ids[i] + strlen("sha256:"), e);
	json_decref(config);
	if (r == 0)
		r = member_keep(&j->members, p->config, e);
	return r == 0 ? report_image(j, p, e) : r;
}

static int run_load(struct job *j, struct err *e)
{
	int r = members_read_archive(&j->members, STDIN_FILENO, e);

	if (r == 0)
		r = plan_read(&j->plan, &j->members, e);
	for (size_t i = 0; i < j->plan.n && r == 0; i++)
		r = take_image(j, &j->plan.images[i], e);
	return r;
}

/* The configuration that bottled wrote, with the layer that came. */
static int import_config(struct job *j, struct planned *p, struct err *e)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	json_t *config;
	int r = file_read_at(j->dir_fd, "config.json", UNPACK_JSON_MAX, &text, &len);

	if (r < 0)
		return err_set(e, ERR_INTERNAL, -r, "read config.json: %s", strerror(-r));
	config = json_read(text, len, e);
	if (!config)
		return -EINVAL;
	free(text);
	json_object_set_new(config, "rootfs",
			    json_pack("{s:s, s:[s+]}", "type", "layers", "diff_ids",
				      "sha256:", p->layers[0]->layer.diff_id));
	text = json_dumps(config, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(config);
	r = members_add(&j->members, "config.json", text, strlen(text), &p->config, e);
	return r == 0 ? member_keep(&j->members, p->config, e) : r;
}

static int run_import(struct job *j, struct err *e)
{
	struct planned *p = &j->plan.images[0];
	struct member *f;
	int r = members_read_file(&j->members, STDIN_FILENO, "stream", &f, e);

	if (r == 0)
		r = take_layer(j, f, NULL, e);
	if (r < 0)
		return r;
	j->plan.n = p->n_layers = 1;
	p->layers[0] = f;
	r = import_config(j, p, e);
	p->layers[0] = members_find(&j->members, "stream"); /* the list may have moved */
	return r == 0 ? report_image(j, p, e) : r;
}

static int job_open(struct job *j, struct err *e)
{
	size_t len;
	int r = members_init(&j->members, j->dir_fd, e);

	if (r < 0)
		return r;
	if (mkdirat(j->dir_fd, "layers", 0700) < 0 && errno != EEXIST)
		return err_errno(e, "make the directory for block images");
	j->layers_fd = openat(j->dir_fd, "layers", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (j->layers_fd < 0)
		return err_errno(e, "open the directory for block images");
	r = file_read_at(j->dir_fd, "known", KNOWN_MAX, &j->known, &len);
	return r < 0 && r != -ENOENT ? err_set(e, ERR_INTERNAL, -r, "read the list of known layers") : 0;
}

static void job_close(struct job *j)
{
	plan_done(&j->plan);
	members_done(&j->members);
	free(j->known);
	if (j->layers_fd >= 0)
		close(j->layers_fd);
}

static int run(int (*mode)(struct job *j, struct err *e), struct err *e)
{
	struct job *j = xcalloc(1, sizeof(*j));
	unsigned char space[ERR_TEXT_MAX + 64];
	struct tlv t;
	int r;

	*j = (struct job){ .dir_fd = UNPACK_DIR_FD, .result_fd = UNPACK_RESULT_FD, .layers_fd = -1 };
	r = job_open(j, e);
	if (r == 0)
		r = mode(j, e);
	if (r == 0) {
		r = send_message(j, UNPACK_DONE, NULL, e);
	} else {
		tlv_init(&t, space, sizeof(space));
		tlv_u32(&t, UNPACK_TAG_CLASS, e->cls);
		tlv_str(&t, UNPACK_TAG_TEXT, e->text);
		send_message(j, UNPACK_FAILED, &t, NULL);
	}
	job_close(j);
	free(j);
	return r;
}

static const struct {
	const char *name;
	int (*run)(struct job *j, struct err *e);
} modes[] = {
	{ "load", run_load },
	{ "import", run_import },
};

/* What libraries would otherwise look up in files: done while they may. */
static void prepare_libraries(void)
{
	char hex[SHA256_HEX + 1];

	OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	sha256_hex(hex, "", 0);
}

int main(int argc, char **argv)
{
	const struct opt opts[] = { { 0 } };
	const struct opt_usage usage = {
		.synopsis = "image-unpack load|import",
		.summary = "Started by bottled: reads an image archive or a root file system's tar on stdin.",
		.opts = opts,
	};
	struct err e = { 0 };
	int first, r = opt_parse(&usage, argc, argv, &first, &e);

	log_init("image-unpack", 0);
	if (r > 0)
		return 0;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(modes); i++) {
		if (first + 1 != argc || !str_eq(argv[first], modes[i].name))
			continue;
		prepare_libraries();
		if (jail_enter(&e) < 0)
			fatal("%s", e.text);
		return run(modes[i].run, &e) < 0;
	}
	log_error("%s", r < 0 ? e.text : "usage: image-unpack load|import");
	return 2;
}
