/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image store; in bottled, its only writer. Distrusts what image-unpack
 * left in a job's directory as far as a name or a file type could hurt: the
 * digests it computed are taken as they are.
 */
#include "images/store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/mem.h"
#include "images/store/reference.h"
#include "images/unpack/unpack.h"

#define LAYERS  "layers"
#define BLOBS   "blobs/sha256"
#define STAGING "staging"
#define SUFFIX  ".v" UNPACK_CONVERTER ".sqfs"

struct store {
	sqlite3 *db;
	int data_fd, layers_fd, blobs_fd;
};

static const char schema[] =
	"CREATE TABLE IF NOT EXISTS images (id TEXT PRIMARY KEY, config TEXT NOT NULL, created INTEGER NOT NULL,"
	" added INTEGER NOT NULL, size INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS layers (diff_id TEXT PRIMARY KEY, blob TEXT NOT NULL, blob_size INTEGER NOT NULL,"
	" size INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS image_layers (image TEXT NOT NULL REFERENCES images(id), position INTEGER NOT NULL,"
	" diff_id TEXT NOT NULL REFERENCES layers(diff_id), PRIMARY KEY (image, position)) WITHOUT ROWID;"
	"CREATE INDEX IF NOT EXISTS image_layers_diff_id ON image_layers (diff_id);"
	"CREATE TABLE IF NOT EXISTS tags (key TEXT PRIMARY KEY, image TEXT NOT NULL REFERENCES images(id),"
	" tagged INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE INDEX IF NOT EXISTS tags_image ON tags (image);";

/* ---- statements ---- */

static int db_error(struct store *s, struct err *e)
{
	int code = sqlite3_errcode(s->db) == SQLITE_FULL ? ENOSPC : EIO;

	return err_set(e, ERR_INTERNAL, code, "image store: %s", sqlite3_errmsg(s->db));
}

/* "t" text, "i" int64 for each ?. NULL with e. */
static sqlite3_stmt *query(struct store *s, struct err *e, const char *sql, const char *types, ...)
{
	sqlite3_stmt *q = NULL;
	int r = sqlite3_prepare_v2(s->db, sql, -1, &q, NULL);
	va_list ap;

	va_start(ap, types);
	for (int i = 0; types[i] && r == SQLITE_OK; i++)
		if (types[i] == 't')
			r = sqlite3_bind_text(q, i + 1, va_arg(ap, const char *), -1, SQLITE_TRANSIENT);
		else
			r = sqlite3_bind_int64(q, i + 1, va_arg(ap, int64_t));
	va_end(ap);
	if (r != SQLITE_OK) {
		db_error(s, e);
		sqlite3_finalize(q);
		return NULL;
	}
	return q;
}

/* 1 with a row, 0 behind the last, or an error: what cannot be read is not the same as what is not there. */
static int next_row(struct store *s, sqlite3_stmt *q, struct err *e)
{
	int r = sqlite3_step(q);

	return r == SQLITE_ROW ? 1 : r == SQLITE_DONE ? 0 : db_error(s, e);
}

/* Runs a statement without rows, and frees it. */
static int run(struct store *s, sqlite3_stmt *q, struct err *e)
{
	int r = q ? sqlite3_step(q) : SQLITE_ERROR;

	if (q && r != SQLITE_DONE)
		db_error(s, e);
	sqlite3_finalize(q);
	return r == SQLITE_DONE ? 0 : -EIO;
}

/* Savepoints nest within a transaction that bottled may have open. */
static int begin(struct store *s, struct err *e)
{
	return sqlite3_exec(s->db, "SAVEPOINT images", NULL, NULL, NULL) == SQLITE_OK ? 0 : db_error(s, e);
}

/* r: how it went; a failure undoes it. */
static int end(struct store *s, int r, struct err *e)
{
	if (r == 0 && sqlite3_exec(s->db, "RELEASE images", NULL, NULL, NULL) != SQLITE_OK)
		r = db_error(s, e);
	if (r < 0)
		sqlite3_exec(s->db, "ROLLBACK TO images; RELEASE images", NULL, NULL, NULL);
	return r;
}

static char *text_column(sqlite3_stmt *q, int i)
{
	const unsigned char *t = sqlite3_column_text(q, i);

	return xstrdup(t ? (const char *)t : "");
}

static void id_column(sqlite3_stmt *q, int i, char ret[ID_LEN + 1])
{
	const unsigned char *t = sqlite3_column_text(q, i);

	snprintf(ret, ID_LEN + 1, "%s", t ? (const char *)t : "");
}

/* ---- opening ---- */

static bool has_row(struct store *s, const char *sql, const char *key)
{
	sqlite3_stmt *q = query(s, NULL, sql, "t", key);
	/* A failure keeps the file: it is tried again at the next start. */
	bool found = !q || sqlite3_step(q) != SQLITE_DONE;

	sqlite3_finalize(q);
	return found;
}

static bool layer_wanted(struct store *s, const char *name)
{
	_cleanup_free_ char *hex = NULL;

	if (strlen(name) != ID_LEN + strlen(SUFFIX) || !str_eq(name + ID_LEN, SUFFIX))
		return false;
	hex = xstrndup(name, ID_LEN);
	return has_row(s, "SELECT 1 FROM layers WHERE diff_id = ?", hex);
}

static bool blob_wanted(struct store *s, const char *name)
{
	return strlen(name) == ID_LEN && (has_row(s, "SELECT 1 FROM images WHERE id = ?", name) ||
					  has_row(s, "SELECT 1 FROM layers WHERE blob = ?", name));
}

static int sweep(struct store *s, int fd, bool (*wanted)(struct store *s, const char *name), struct err *e)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *entry;

	if (!d)
		return err_errno(e, "image store: list a directory");
	while ((entry = readdir(d)))
		if (entry->d_name[0] != '.' && !wanted(s, entry->d_name))
			unlinkat(fd, entry->d_name, 0);
	closedir(d);
	return 0;
}

static int open_dir(int data_fd, const char *path, struct err *e)
{
	int r = mkdir_p(data_fd, path, 0700), fd;

	if (r < 0)
		return err_set(e, ERR_INTERNAL, -r, "make '%s' in the data directory: %s", path, strerror(-r));
	fd = openat(data_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? err_errno(e, "open '%s' in the data directory", path) : fd;
}

static int open_all(struct store *s, struct err *e)
{
	int r = remove_tree(s->data_fd, STAGING);

	if (r < 0)
		return err_set(e, ERR_INTERNAL, -r, "remove '" STAGING "' in the data directory: %s", strerror(-r));
	s->layers_fd = open_dir(s->data_fd, LAYERS, e);
	if (s->layers_fd < 0)
		return s->layers_fd;
	s->blobs_fd = open_dir(s->data_fd, BLOBS, e);
	if (s->blobs_fd < 0)
		return s->blobs_fd;
	if (sqlite3_exec(s->db, schema, NULL, NULL, NULL) != SQLITE_OK)
		return db_error(s, e);
	r = sweep(s, s->layers_fd, layer_wanted, e);
	return r < 0 ? r : sweep(s, s->blobs_fd, blob_wanted, e);
}

int store_open(sqlite3 *db, int data_fd, struct store **ret, struct err *e)
{
	struct store *s = xcalloc(1, sizeof(*s));
	int r;

	*s = (struct store){ .db = db, .data_fd = fcntl(data_fd, F_DUPFD_CLOEXEC, 3), .layers_fd = -1, .blobs_fd = -1 };
	r = s->data_fd < 0 ? err_errno(e, "image store") : open_all(s, e);
	if (r < 0) {
		store_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	if (s->layers_fd >= 0)
		close(s->layers_fd);
	if (s->blobs_fd >= 0)
		close(s->blobs_fd);
	if (s->data_fd >= 0)
		close(s->data_fd);
	free(s);
}

/* ---- jobs ---- */

static int write_known(struct store *s, int fd, struct err *e)
{
	sqlite3_stmt *q = query(s, e, "SELECT diff_id FROM layers ORDER BY diff_id", "");
	_cleanup_buf_ struct buf text = { 0 };
	int r;

	if (!q)
		return -EIO;
	while ((r = next_row(s, q, e)) > 0)
		buf_printf(&text, "%s\n", (const char *)sqlite3_column_text(q, 0));
	sqlite3_finalize(q);
	if (r < 0)
		return r;
	r = file_write_at(fd, "known", 0600, buf_ptr(&text), buf_len(&text));
	return r < 0 ? err_set(e, ERR_INTERNAL, -r, "prepare an image job: %s", strerror(-r)) : 0;
}

int store_job_open(struct store *s, char **ret_name, struct err *e)
{
	_cleanup_free_ char *name = NULL, *path = NULL;
	_cleanup_close_ int fd = -1;
	char id[ID_LEN + 1];
	int r;

	random_id(id);
	name = xstrndup(id, 16);
	path = xasprintf(STAGING "/%s", name);
	fd = open_dir(s->data_fd, path, e);
	if (fd < 0)
		return fd;
	r = write_known(s, fd, e);
	if (r < 0)
		return r;
	*ret_name = TAKE_PTR(name);
	return TAKE_FD(fd);
}

void store_job_remove(struct store *s, const char *name)
{
	_cleanup_free_ char *path = xasprintf(STAGING "/%s", name);

	remove_tree(s->data_fd, path);
}

/* Moves one regular file out of a job; one that is there already has the same name and so the same content. */
static int move_file(struct store *s, const char *job, const char *from, int to_fd, const char *to, struct err *e)
{
	_cleanup_free_ char *path = xasprintf(STAGING "/%s/%s", job, from);
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (faccessat(to_fd, to, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	fd = open_beneath(s->data_fd, path, O_RDONLY, 0);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(e, ERR_INTERNAL, EIO, "image-unpack left no '%s'", from);
	if (fchmod(fd, 0444) < 0 || renameat(s->data_fd, path, to_fd, to) < 0)
		return err_errno(e, "keep '%s'", from);
	return 0;
}

static int take_layer_files(struct store *s, const char *job, const struct store_layer *l, struct err *e)
{
	char from[ID_LEN + 16], to[ID_LEN + 16];
	int r;

	if (!str_is_hex(l->diff_id, ID_LEN) || !str_is_hex(l->blob, ID_LEN))
		return err_set(e, ERR_INTERNAL, EBADMSG, "image-unpack gave a digest that is none");
	if (has_row(s, "SELECT 1 FROM layers WHERE diff_id = ?", l->diff_id))
		return 0;
	if (l->known)
		return err_set(e, ERR_CONFLICT, EBUSY, "layer sha256:%s was removed meanwhile; try again", l->diff_id);
	snprintf(from, sizeof(from), "layers/%s.sqfs", l->diff_id);
	snprintf(to, sizeof(to), "%s%s", l->diff_id, SUFFIX);
	r = move_file(s, job, from, s->layers_fd, to, e);
	if (r < 0)
		return r;
	snprintf(from, sizeof(from), "blobs/%s", l->blob);
	return move_file(s, job, from, s->blobs_fd, l->blob, e);
}

static int take_files(struct store *s, const char *job, const struct store_new *n, struct err *e)
{
	char from[ID_LEN + 16];
	int r = 0;

	if (!str_is_hex(n->id, ID_LEN) || n->n_layers > STORE_LAYERS_MAX)
		return err_set(e, ERR_INTERNAL, EBADMSG, "image-unpack gave an image that is none");
	for (size_t i = 0; i < n->n_layers && r == 0; i++)
		r = take_layer_files(s, job, &n->layers[i], e);
	snprintf(from, sizeof(from), "blobs/%s", n->id);
	return r < 0 ? r : move_file(s, job, from, s->blobs_fd, n->id, e);
}

static int add_layer_rows(struct store *s, const struct store_new *n, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < n->n_layers && r == 0; i++) {
		const struct store_layer *l = &n->layers[i];

		r = run(s,
			query(s, e, "INSERT OR IGNORE INTO layers VALUES (?, ?, ?, ?)", "ttii", l->diff_id, l->blob,
			      (int64_t)l->blob_size, (int64_t)l->size),
			e);
		if (r == 0)
			r = run(s,
				query(s, e, "INSERT OR IGNORE INTO image_layers VALUES (?, ?, ?)", "tit", n->id,
				      (int64_t)i, l->diff_id),
				e);
	}
	return r;
}

/* The time that the configuration says, 0 when it says none. */
static int64_t config_created(const char *config, size_t n)
{
	json_t *j = json_loadb(config, n, 0, NULL);
	const char *text = json_string_value(json_object_get(j, "created"));
	int64_t ns = 0;

	if (text && rfc3339_parse(text, &ns) < 0)
		ns = 0;
	json_decref(j);
	return ns;
}

static int add_rows(struct store *s, const struct store_new *n, struct err *e)
{
	_cleanup_free_ char *config = NULL;
	uint64_t size = 0;
	size_t len;
	int r = file_read_at(s->blobs_fd, n->id, STORE_CONFIG_MAX, &config, &len);

	if (r < 0)
		return err_set(e, ERR_INTERNAL, -r, "read the configuration of image sha256:%s: %s", n->id,
			       strerror(-r));
	for (size_t i = 0; i < n->n_layers; i++)
		size += n->layers[i].size;
	r = run(s,
		query(s, e, "INSERT OR IGNORE INTO images VALUES (?, ?, ?, ?, ?)", "ttiii", n->id, config,
		      config_created(config, len), now_real_ns(), (int64_t)size),
		e);
	if (r == 0)
		r = add_layer_rows(s, n, e);
	for (char **key = n->keys; key && *key && r == 0; key++)
		r = store_tag(s, n->id, *key, e);
	return r;
}

int store_add(struct store *s, const char *job, const struct store_new *images, size_t n, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = take_files(s, job, &images[i], e);
	if (r < 0)
		return r;
	if (fsync(s->layers_fd) < 0 || fsync(s->blobs_fd) < 0)
		return err_errno(e, "image store: write the directories");
	r = begin(s, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n && r == 0; i++)
		r = add_rows(s, &images[i], e);
	return end(s, r, e);
}

/* ---- looking ---- */

void store_image_done(struct store_image *i)
{
	free(i->config);
	strv_free(i->keys);
	*i = (struct store_image){ 0 };
}

static int not_found(struct err *e, const char *text)
{
	return err_set(e, ERR_NOTFOUND, ENOENT, "No such image: %s", text);
}

/* 1 when the id or prefix names exactly one image, 0 when none. */
static int find_id(struct store *s, const char *hex, char ret_id[ID_LEN + 1], struct err *e)
{
	_cleanup_free_ char *pattern = xasprintf("%s*", hex);
	sqlite3_stmt *q = query(s, e, "SELECT id FROM images WHERE id GLOB ? LIMIT 2", "t", pattern);
	int n = 0, r;

	if (!q)
		return -EIO;
	while ((r = next_row(s, q, e)) > 0 && n++ == 0)
		id_column(q, 0, ret_id);
	sqlite3_finalize(q);
	if (r < 0)
		return r;
	if (n > 1)
		return err_set(e, ERR_INVALID, EINVAL, "multiple IDs found with provided prefix: %s", hex);
	return n;
}

/* 1, 0 or an error. */
static int find_key(struct store *s, const char *key, char ret_id[ID_LEN + 1], struct err *e)
{
	sqlite3_stmt *q = query(s, e, "SELECT image FROM tags WHERE key = ?", "t", key);
	int r;

	if (!q)
		return -EIO;
	r = next_row(s, q, e);
	if (r > 0)
		id_column(q, 0, ret_id);
	sqlite3_finalize(q);
	return r;
}

static bool is_id_prefix(const char *text)
{
	size_t n = strlen(text);

	return n && n <= ID_LEN && strspn(text, "0123456789abcdef") == n;
}

int store_resolve(struct store *s, const char *text, char ret_id[ID_LEN + 1], char **ret_key, struct err *e)
{
	const char *hex = str_prefix(text, "sha256:") ? text + 7 : text;
	_cleanup_reference_ struct reference ref = { 0 };
	_cleanup_free_ char *key = NULL;
	int r = 0;

	if (ret_key)
		*ret_key = NULL;
	if (is_id_prefix(hex) && (hex != text || strlen(hex) == ID_LEN)) {
		r = find_id(s, hex, ret_id, e);
		return r < 0 ? r : r > 0 ? 0 : not_found(e, text);
	}
	r = reference_parse(&ref, text, e);
	if (r < 0)
		return r;
	key = reference_key(&ref);
	r = find_key(s, key, ret_id, e);
	if (r > 0 && ret_key)
		*ret_key = TAKE_PTR(key);
	if (r == 0 && is_id_prefix(text))
		r = find_id(s, text, ret_id, e);
	return r < 0 ? r : r > 0 ? 0 : not_found(e, reference_familiar(key));
}

static int read_keys(struct store *s, struct store_image *i, struct err *e)
{
	sqlite3_stmt *q = query(s, e, "SELECT key, tagged FROM tags WHERE image = ? ORDER BY key", "t", i->id);
	int r;

	if (!q)
		return -EIO;
	while ((r = next_row(s, q, e)) > 0) {
		strv_push(&i->keys, (const char *)sqlite3_column_text(q, 0));
		if (sqlite3_column_int64(q, 1) > i->tagged)
			i->tagged = sqlite3_column_int64(q, 1);
	}
	sqlite3_finalize(q);
	return r;
}

int store_get(struct store *s, const char *id, struct store_image *ret, struct err *e)
{
	sqlite3_stmt *q = query(s, e, "SELECT id, config, created, size FROM images WHERE id = ?", "t", id);
	struct store_image i = { 0 };
	int r;

	if (!q)
		return -EIO;
	r = next_row(s, q, e);
	if (r <= 0) {
		sqlite3_finalize(q);
		return r < 0 ? r : not_found(e, id);
	}
	id_column(q, 0, i.id);
	i.config = text_column(q, 1);
	i.created = sqlite3_column_int64(q, 2);
	i.size = (uint64_t)sqlite3_column_int64(q, 3);
	sqlite3_finalize(q);
	r = read_keys(s, &i, e);
	if (r < 0)
		store_image_done(&i);
	else
		*ret = i;
	return r;
}

int store_ids(struct store *s, char ***ret, struct err *e)
{
	sqlite3_stmt *q = query(s, e, "SELECT id FROM images ORDER BY created DESC, added DESC, id", "");
	int r;

	*ret = NULL;
	if (!q)
		return -EIO;
	while ((r = next_row(s, q, e)) > 0)
		strv_push(ret, (const char *)sqlite3_column_text(q, 0));
	sqlite3_finalize(q);
	if (r < 0) {
		strv_free(*ret);
		*ret = NULL;
	}
	return r;
}

int store_count(struct store *s, int64_t *ret, struct err *e)
{
	sqlite3_stmt *q = query(s, e, "SELECT count(*) FROM images", "");
	int r;

	if (!q)
		return -EIO;
	r = next_row(s, q, e);
	*ret = r > 0 ? sqlite3_column_int64(q, 0) : 0;
	sqlite3_finalize(q);
	return r < 0 ? r : 0;
}

int store_layers(struct store *s, const char *id, struct store_layer ret[STORE_LAYERS_MAX], size_t *ret_n,
		 struct err *e)
{
	sqlite3_stmt *q =
		query(s, e,
		      "SELECT l.diff_id, l.blob, l.blob_size, l.size FROM image_layers i JOIN layers l USING (diff_id)"
		      " WHERE i.image = ? ORDER BY i.position",
		      "t", id);
	size_t n = 0;
	int r = 0;

	if (!q)
		return -EIO;
	while (n < STORE_LAYERS_MAX && (r = next_row(s, q, e)) > 0) {
		struct store_layer *l = &ret[n++];

		*l = (struct store_layer){ .known = true };
		id_column(q, 0, l->diff_id);
		id_column(q, 1, l->blob);
		l->blob_size = (uint64_t)sqlite3_column_int64(q, 2);
		l->size = (uint64_t)sqlite3_column_int64(q, 3);
	}
	sqlite3_finalize(q);
	*ret_n = n;
	return r < 0 ? r : 0;
}

char *store_layer_path(const char *diff_id)
{
	return xasprintf(LAYERS "/%s" SUFFIX, diff_id);
}

char *store_blob_path(const char *hex)
{
	return xasprintf(BLOBS "/%s", hex);
}

/* ---- changing ---- */

int store_tag(struct store *s, const char *id, const char *key, struct err *e)
{
	return run(s, query(s, e, "INSERT OR REPLACE INTO tags VALUES (?, ?, ?)", "tti", key, id, now_real_ns()), e);
}

int store_untag(struct store *s, const char *key, struct err *e)
{
	return run(s, query(s, e, "DELETE FROM tags WHERE key = ?", "t", key), e);
}

static int remove_rows(struct store *s, const char *id, struct err *e)
{
	static const char *const statements[] = {
		"DELETE FROM tags WHERE image = ?",
		"DELETE FROM image_layers WHERE image = ?",
		"DELETE FROM images WHERE id = ?",
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(statements) && r == 0; i++)
		r = run(s, query(s, e, statements[i], "t", id), e);
	if (r == 0)
		r = run(s,
			query(s, e, "DELETE FROM layers WHERE diff_id NOT IN (SELECT diff_id FROM image_layers)", ""),
			e);
	return r;
}

/* The rows are gone: the files may. What a kill leaves here is swept at the next open. */
static uint64_t remove_files(struct store *s, const char *id, const struct store_layer *layers, size_t n)
{
	uint64_t freed = 0;

	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *path = store_layer_path(layers[i].diff_id);

		if (has_row(s, "SELECT 1 FROM layers WHERE diff_id = ?", layers[i].diff_id))
			continue;
		if (unlinkat(s->data_fd, path, 0) == 0)
			freed += layers[i].size;
		if (!blob_wanted(s, layers[i].blob))
			unlinkat(s->blobs_fd, layers[i].blob, 0);
	}
	if (!blob_wanted(s, id))
		unlinkat(s->blobs_fd, id, 0);
	return freed;
}

int store_remove(struct store *s, const char *id, uint64_t *ret_freed, struct err *e)
{
	struct store_layer layers[STORE_LAYERS_MAX];
	uint64_t freed;
	size_t n;
	int r = store_layers(s, id, layers, &n, e);

	if (r == 0)
		r = begin(s, e);
	if (r < 0)
		return r;
	r = end(s, remove_rows(s, id, e), e);
	if (r < 0)
		return r;
	freed = remove_files(s, id, layers, n);
	if (ret_freed)
		*ret_freed = freed;
	return 0;
}
