/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /images/get and /images/{name}/get: a docker-archive streamed from the
 * store's blobs; in bottled. One block at a time, as fast as the client takes it.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "api/image_jobs.h"
#include "api/json.h"
#include "base/mem.h"
#include "images/store/reference.h"
#include "images/store/store.h"

#define TAR_BLOCK  512
#define PIECE      (64 * 1024)
#define NAMES_MAX  64
#define SIZE_OCTAL (1ULL << 33) /* what eleven octal digits hold */

/* A file of the archive: text of ours, or a blob. */
struct item {
	char *name;
	char *text;
	char *blob; /* below the data directory */
	uint64_t size;
};

struct save {
	struct request *r;
	struct item *items;
	size_t n, at;
	int fd;        /* the blob being sent */
	uint64_t left; /* of it */
	bool begun;    /* its head went out */
};

static void save_free(struct save *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->items[i].name);
		free(s->items[i].text);
		free(s->items[i].blob);
	}
	if (s->fd >= 0)
		close(s->fd);
	engine_idle(s->r->engine);
	free(s->items);
	free(s);
}

static void on_gone(struct request *r)
{
	save_free(r->arg);
}

/* ustar, a regular file of root's; a size beyond octal in base 256 (GNU). */
static void send_head(struct request *r, const char *name, uint64_t size)
{
	static const char magic[] = { 'u', 's', 't', 'a', 'r', '\0', '0', '0' };
	char h[TAR_BLOCK] = { 0 };
	unsigned int sum = 0;

	snprintf(h, 100, "%s", name);
	snprintf(h + 100, 8, "%07o", 0444);
	snprintf(h + 108, 8, "%07o", 0);
	snprintf(h + 116, 8, "%07o", 0);
	if (size < SIZE_OCTAL) {
		snprintf(h + 124, 12, "%011llo", (unsigned long long)size);
	} else {
		h[124] = (char)0x80;
		for (int i = 0; i < 8; i++)
			h[135 - i] = (char)(size >> (8 * i));
	}
	snprintf(h + 136, 12, "%011o", 0);
	memset(h + 148, ' ', 8);
	h[156] = '0';
	memcpy(h + 257, magic, sizeof(magic));
	for (int i = 0; i < TAR_BLOCK; i++)
		sum += (unsigned char)h[i];
	snprintf(h + 148, 8, "%06o", sum);
	reply_write(r, h, sizeof(h));
}

static void send_padding(struct request *r, uint64_t size)
{
	static const char zeros[TAR_BLOCK];

	if (size % TAR_BLOCK)
		reply_write(r, zeros, TAR_BLOCK - size % TAR_BLOCK);
}

/* 1 sent, -errno. */
static int send_piece(struct save *s)
{
	_cleanup_free_ char *piece = xmalloc(PIECE);
	ssize_t n = read(s->fd, piece, s->left < PIECE ? (size_t)s->left : PIECE);

	if (n <= 0)
		return n < 0 ? -errno : -ENODATA;
	reply_write(s->r, piece, (size_t)n);
	s->left -= (uint64_t)n;
	return 1;
}

static int begin_item(struct save *s, struct item *i)
{
	send_head(s->r, i->name, i->size);
	s->begun = true;
	if (i->text) {
		reply_write(s->r, i->text, i->size);
		s->left = 0;
		return 1;
	}
	s->fd = openat(s->r->engine->data_fd, i->blob, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	s->left = i->size;
	return s->fd < 0 ? -errno : 1;
}

/* One step: 1 go on, 0 the archive is complete, -errno. */
static int step(struct save *s)
{
	static const char end[2 * TAR_BLOCK];
	struct item *i = &s->items[s->at];

	if (s->at == s->n) {
		reply_write(s->r, end, sizeof(end));
		return 0;
	}
	if (!s->begun)
		return begin_item(s, i);
	if (s->left)
		return send_piece(s);
	send_padding(s->r, i->size);
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	s->begun = false;
	s->at++;
	return 1;
}

/* A blob that cannot be read ends the archive early: without its end blocks nobody takes it for whole. */
static void pump(struct request *r)
{
	struct save *s = r->arg;
	int k = 1;

	while (k > 0 && reply_backlog(r) < STREAM_BACKLOG_MAX)
		k = step(s);
	if (k > 0)
		return;
	r->on_gone = NULL;
	save_free(s);
	reply_end(r);
}

static struct item *item_new(struct save *s, char *name)
{
	s->items = xrealloc(s->items, s->n + 1, sizeof(*s->items));
	s->items[s->n] = (struct item){ .name = name };
	return &s->items[s->n++];
}

static bool has_item(const struct save *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (str_eq(s->items[i].name, name))
			return true;
	return false;
}

static int add_blob(struct save *s, const char *name, const char *hex, struct err *e)
{
	_cleanup_free_ char *path = store_blob_path(hex);
	struct stat st;
	struct item *i;

	if (has_item(s, name))
		return 0;
	if (fstatat(s->r->engine->data_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(e, "blob sha256:%s", hex);
	i = item_new(s, xstrdup(name));
	i->blob = TAKE_PTR(path);
	i->size = (uint64_t)st.st_size;
	return 0;
}

static json_t *manifest_of(json_t *manifest, const char *config)
{
	json_t *m;
	size_t i;

	json_array_foreach(manifest, i, m)
		if (str_eq(json_str_or(m, "Config", NULL), config))
			return m;
	m = json_pack("{s:s, s:[], s:[]}", "Config", config, "RepoTags", "Layers");
	json_array_append_new(manifest, m);
	return m;
}

/* By tag: that tag; by id: no tag. */
static int add_image(struct save *s, json_t *manifest, const char *name, struct err *e)
{
	_cleanup_free_ char *key = NULL, *config = NULL;
	struct store_layer layers[STORE_LAYERS_MAX];
	char id[ID_LEN + 1];
	json_t *m, *list;
	size_t n;
	int r = store_resolve(s->r->engine->store, name, id, &key, e);

	if (r < 0)
		return r;
	r = store_layers(s->r->engine->store, id, layers, &n, e);
	if (r < 0)
		return r;
	config = xasprintf("%s.json", id);
	m = manifest_of(manifest, config);
	if (key && !strchr(key, '@'))
		json_array_append_new(json_object_get(m, "RepoTags"), json_string(reference_familiar(key)));
	if (has_item(s, config))
		return 0;
	list = json_object_get(m, "Layers");
	r = add_blob(s, config, id, e);
	for (size_t i = 0; i < n && r == 0; i++) {
		_cleanup_free_ char *layer = xasprintf("%s.tar", layers[i].diff_id);

		json_array_append_new(list, json_string(layer));
		r = add_blob(s, layer, layers[i].blob, e);
	}
	return r;
}

static void save(struct request *r, const char *const *names, size_t n)
{
	_cleanup_json_ json_t *manifest = json_array();
	struct save *s = xcalloc(1, sizeof(*s));
	struct item *i;
	struct err e;
	int k = 0;

	*s = (struct save){ .r = r, .fd = -1 };
	engine_busy(r->engine);
	for (size_t at = 0; at < n && k == 0; at++)
		k = add_image(s, manifest, names[at], &e);
	if (k < 0) {
		save_free(s);
		return reply_err(r, &e);
	}
	i = item_new(s, xstrdup("manifest.json"));
	i->text = json_text(manifest);
	i->size = strlen(i->text);
	r->arg = s;
	r->on_gone = on_gone;
	reply_begin(r, 200, "application/x-tar");
	reply_on_drain(r, pump);
	pump(r);
}

void image_save(struct request *r)
{
	const char *name = r->args[0];

	save(r, &name, 1);
}

void images_save(struct request *r)
{
	const char *names[NAMES_MAX], *name;
	size_t n = 0;

	while ((name = query_nth(&r->query, "names", n))) {
		if (n == NAMES_MAX)
			return reply_message(r, 400, "more than %d names", NAMES_MAX);
		names[n++] = name;
	}
	if (!n)
		return reply_message(r, 400, "no image names were given");
	save(r, names, n);
}
