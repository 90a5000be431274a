/* SPDX-License-Identifier: Apache-2.0 */
/* The image store on real files and a real database: adding, finding, removing, and being killed in between. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/mem.h"
#include "images/store/store.h"

#define ID_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID_B "abbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define L1   "1111111111111111111111111111111111111111111111111111111111111111"
#define L2   "2222222222222222222222222222222222222222222222222222222222222222"
#define L3   "3333333333333333333333333333333333333333333333333333333333333333"

struct fixture {
	char dir[32];
	int fd;
	sqlite3 *db;
	struct store *s;
};

static void fixture_open(struct fixture *f)
{
	_cleanup_free_ char *path = xasprintf("%s/state.db", f->dir);
	struct err e = { 0 };

	f->fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->fd >= 0);
	assert_int_equal(sqlite3_open(path, &f->db), SQLITE_OK);
	sqlite3_exec(f->db, "PRAGMA journal_mode=WAL; PRAGMA foreign_keys=ON", NULL, NULL, NULL);
	if (store_open(f->db, f->fd, &f->s, &e) < 0)
		fail_msg("%s", e.text);
}

static void fixture_close(struct fixture *f)
{
	store_close(f->s);
	sqlite3_close(f->db);
	close(f->fd);
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	snprintf(f->dir, sizeof(f->dir), "%s", "/tmp/bottle-store-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	fixture_open(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fixture_close(f);
	remove_tree(AT_FDCWD, f->dir);
	free(f);
	return 0;
}

static void put(int fd, const char *dir, const char *name, const char *suffix, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/%s%s", dir, name, suffix);

	mkdirat(fd, dir, 0700);
	assert_int_equal(file_write_at(fd, path, 0600, text, strlen(text)), 0);
}

/* What image-unpack would leave behind, and have told. layers: NULL-terminated diff ids; a blob's name ends in f. */
static int add(struct store *s, const char *id, const char *const *layers, const char *const *keys, struct err *e)
{
	struct store_new n = { 0 };
	char *job;
	int fd = store_job_open(s, &job, e), r;

	if (fd < 0)
		return fd;
	snprintf(n.id, sizeof(n.id), "%s", id);
	put(fd, "blobs", id, "", "{\"created\":\"2024-01-02T03:04:05Z\",\"config\":{}}");
	for (; *layers; layers++) {
		struct store_layer *l = &n.layers[n.n_layers++];

		snprintf(l->diff_id, sizeof(l->diff_id), "%s", *layers);
		snprintf(l->blob, sizeof(l->blob), "%s", *layers);
		l->blob[ID_LEN - 1] = 'f';
		l->size = 100;
		l->blob_size = 4;
		put(fd, "layers", l->diff_id, ".sqfs", "image");
		put(fd, "blobs", l->blob, "", "blob");
	}
	for (; keys && *keys; keys++)
		strv_push(&n.keys, *keys);
	r = store_add(s, job, &n, 1, e);
	strv_free(n.keys);
	store_job_remove(s, job);
	free(job);
	close(fd);
	return r;
}

static const char *const one_two[] = { L1, L2, NULL }, *const two_three[] = { L2, L3, NULL };
static const char *const tag_x[] = { "docker.io/library/x:latest", NULL };
static const char *const tag_y[] = { "docker.io/library/y:1", "docker.io/library/y:2", NULL };

static bool exists(struct fixture *f, char *path)
{
	bool there = faccessat(f->fd, path, F_OK, 0) == 0;

	free(path);
	return there;
}

static size_t count_files(struct fixture *f, const char *dir)
{
	int fd = openat(f->fd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	size_t n = 0;

	while (d && (entry = readdir(d)))
		n += entry->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

static int64_t rows(struct fixture *f, const char *sql)
{
	sqlite3_stmt *q;
	int64_t n = -1;

	assert_int_equal(sqlite3_prepare_v2(f->db, sql, -1, &q, NULL), SQLITE_OK);
	if (sqlite3_step(q) == SQLITE_ROW)
		n = sqlite3_column_int64(q, 0);
	sqlite3_finalize(q);
	return n;
}

/* Each row has its files, each file its row, each image its layers; nothing is left of jobs. */
static void verify(struct fixture *f)
{
	_cleanup_strv_ char **ids = NULL;

	assert_int_equal(store_ids(f->s, &ids, NULL), 0);
	for (char **id = ids; id && *id; id++) {
		struct store_layer layers[STORE_LAYERS_MAX];
		size_t n = 0;

		assert_true(exists(f, store_blob_path(*id)));
		assert_int_equal(store_layers(f->s, *id, layers, &n, NULL), 0);
		assert_true(n == 2);
		for (size_t i = 0; i < n; i++) {
			assert_true(exists(f, store_layer_path(layers[i].diff_id)));
			assert_true(exists(f, store_blob_path(layers[i].blob)));
		}
	}
	assert_int_equal(count_files(f, "layers"), rows(f, "SELECT count(*) FROM layers"));
	assert_int_equal(count_files(f, "blobs/sha256"),
			 rows(f, "SELECT (SELECT count(*) FROM layers) + (SELECT count(*) FROM images)"));
	assert_int_equal(rows(f, "SELECT count(*) FROM tags WHERE image NOT IN (SELECT id FROM images)"), 0);
	assert_int_equal(rows(f, "SELECT count(*) FROM layers WHERE diff_id NOT IN (SELECT diff_id FROM image_layers)"),
			 0);
	assert_int_equal(count_files(f, "staging"), 0);
}

static void must(int r, const struct err *e)
{
	if (r < 0)
		fail_msg("%s", e->text);
}

static void test_add_and_find(void **state)
{
	static const struct {
		const char *text, *id, *message;
	} table[] = {
		{ "x", ID_A, NULL },
		{ "x:latest", ID_A, NULL },
		{ "docker.io/library/x", ID_A, NULL },
		{ "y:2", ID_B, NULL },
		{ ID_B, ID_B, NULL },
		{ "sha256:" ID_B, ID_B, NULL },
		{ "ab", ID_B, NULL },
		{ "sha256:ab", ID_B, NULL },
		{ "a", NULL, "multiple IDs found with provided prefix: a" },
		{ "y", NULL, "No such image: y:latest" },
		{ "abc", NULL, "No such image: abc:latest" },
		{ "sha256:" L1, NULL, "No such image: sha256:" L1 },
		{ "X", NULL, "invalid reference format: repository name (X) must be lowercase" },
		{ "x' or 1=1", NULL, "invalid reference format" },
	};
	struct fixture *f = *state;
	struct store_image i = { 0 };
	struct err e = { 0 };

	must(add(f->s, ID_A, one_two, tag_x, &e), &e);
	must(add(f->s, ID_B, two_three, tag_y, &e), &e);
	verify(f);
	for (size_t k = 0; k < ARRAY_SIZE(table); k++) {
		char id[ID_LEN + 1] = "";
		int r = store_resolve(f->s, table[k].text, id, NULL, &e);

		assert_true((r == 0) == !table[k].message);
		assert_string_equal(r == 0 ? id : e.text, table[k].id ? table[k].id : table[k].message);
	}
	must(store_get(f->s, ID_B, &i, &e), &e);
	assert_int_equal(i.size, 200);
	assert_true(i.created == 1704164645000000000);
	assert_int_equal(strv_len(i.keys), 2);
	store_image_done(&i);
}

static void test_tag_moves(void **state)
{
	struct fixture *f = *state;
	char id[ID_LEN + 1], *key;
	struct err e = { 0 };

	must(add(f->s, ID_A, one_two, tag_x, &e), &e);
	must(add(f->s, ID_B, two_three, tag_x, &e), &e);
	must(store_resolve(f->s, "x", id, &key, &e), &e);
	assert_string_equal(id, ID_B);
	assert_string_equal(key, tag_x[0]);
	free(key);
	must(store_untag(f->s, tag_x[0], &e), &e);
	assert_int_equal(store_resolve(f->s, "x", id, NULL, &e), -ENOENT);
	assert_int_equal(rows(f, "SELECT count(*) FROM images"), 2);
	verify(f);
}

static void test_remove_counts_references(void **state)
{
	struct fixture *f = *state;
	struct err e = { 0 };
	uint64_t freed = 0;

	must(add(f->s, ID_A, one_two, tag_x, &e), &e);
	must(add(f->s, ID_B, two_three, tag_y, &e), &e);
	must(store_remove(f->s, ID_A, &freed, &e), &e);
	assert_int_equal(freed, 100);
	assert_false(exists(f, store_layer_path(L1)));
	assert_true(exists(f, store_layer_path(L2)));
	verify(f);
	must(store_remove(f->s, ID_B, &freed, &e), &e);
	assert_int_equal(freed, 200);
	assert_int_equal(count_files(f, "layers") + count_files(f, "blobs/sha256"), 0);
	verify(f);
}

static void test_adding_twice_is_once(void **state)
{
	struct fixture *f = *state;
	struct err e = { 0 };

	must(add(f->s, ID_A, one_two, tag_x, &e), &e);
	must(add(f->s, ID_A, one_two, tag_y, &e), &e);
	assert_int_equal(rows(f, "SELECT count(*) FROM image_layers"), 2);
	assert_int_equal(rows(f, "SELECT count(*) FROM tags"), 3);
	verify(f);
}

/* image-unpack is believed about digests, and about nothing else. */
static void test_lying_job(void **state)
{
	static const char *const ids[] = { "../../../../etc/passwd", "", "AAAAAAAAAAAAAAAA" };
	struct fixture *f = *state;
	struct store_new n = { .n_layers = 1 };
	struct err e = { 0 };
	char *job;
	int fd = store_job_open(f->s, &job, &e);

	must(fd, &e);
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		snprintf(n.id, sizeof(n.id), "%s", ids[i]);
		snprintf(n.layers[0].diff_id, sizeof(n.layers[0].diff_id), "%s", L1);
		snprintf(n.layers[0].blob, sizeof(n.layers[0].blob), "%s", L2);
		assert_true(store_add(f->s, job, &n, 1, &e) < 0);
	}
	snprintf(n.id, sizeof(n.id), "%s", ID_A);
	assert_true(store_add(f->s, job, &n, 1, &e) < 0); /* no such files */
	mkdirat(fd, "layers", 0700);
	assert_int_equal(symlinkat("/etc/passwd", fd, "layers/" L1 ".sqfs"), 0);
	assert_true(store_add(f->s, job, &n, 1, &e) < 0);
	assert_false(exists(f, store_layer_path(L1)));
	n.layers[0].known = true;
	assert_true(store_add(f->s, job, &n, 1, &e) < 0);
	assert_int_equal(e.cls, ERR_CONFLICT);
	store_job_remove(f->s, job);
	free(job);
	close(fd);
	verify(f);
}

/* Adds and removes for as long as it lives; a byte after each. */
static void __attribute__((noreturn)) busy_child(const char *dir, int steps_fd)
{
	struct fixture f = { 0 };

	snprintf(f.dir, sizeof(f.dir), "%s", dir);
	fixture_open(&f);
	for (unsigned int i = 0;; i++) {
		if (i % 2 == 0)
			add(f.s, i % 4 ? ID_B : ID_A, i % 4 ? two_three : one_two, i % 4 ? tag_y : tag_x, NULL);
		else if (i % 4 == 3 || i % 8 == 5)
			store_remove(f.s, i % 8 == 5 ? ID_B : ID_A, NULL, NULL);
		if (write(steps_fd, "", 1) < 0)
			_exit(0);
	}
}

#define KILLS    120
#define STEPS    9   /* killed within any of the first so many steps, */
#define PARTS_US 150 /* and so much later in it each time */

static void kill_once(const char *dir, int i)
{
	struct timespec wait = { 0, (i / STEPS) * PARTS_US * 1000L };
	char step;
	int p[2];
	pid_t pid;

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0)
		busy_child(dir, p[1]);
	close(p[1]);
	for (int k = 0; k < i % STEPS; k++)
		assert_int_equal(read(p[0], &step, 1), 1);
	nanosleep(&wait, NULL);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(p[0]);
}

/* Whenever it happens, the next open finds a store that verifies. */
static void test_killed_at_any_instant(void **state)
{
	struct fixture *f = *state;
	size_t seen[3] = { 0 };

	for (int i = 0; i < KILLS; i++) {
		_cleanup_strv_ char **ids = NULL;
		int64_t n = 0;

		fixture_close(f);
		kill_once(f->dir, i);
		fixture_open(f);
		verify(f);
		assert_int_equal(store_count(f->s, &n, NULL), 0);
		assert_in_range(n, 0, 2);
		seen[n]++;
		assert_int_equal(store_ids(f->s, &ids, NULL), 0);
		for (char **id = ids; id && *id; id++)
			assert_int_equal(store_remove(f->s, *id, NULL, NULL), 0);
	}
	/* The kills did hit it at work: with none, one and two images. */
	assert_true(seen[0] && seen[1] && seen[2]);
}

static int stop(void *unused)
{
	(void)unused;
	return 1;
}

/* A database that cannot be read is no database without images. */
static void test_unreadable_is_not_absent(void **state)
{
	struct store_layer layers[STORE_LAYERS_MAX];
	struct fixture *f = *state;
	struct store_image image = { 0 };
	char id[ID_LEN + 1], **ids = NULL;
	struct err e = { 0 };
	int64_t count;
	size_t n;

	must(add(f->s, ID_A, one_two, tag_x, &e), &e);
	sqlite3_progress_handler(f->db, 1, stop, NULL); /* every read is interrupted */
	assert_int_equal(store_resolve(f->s, "x", id, NULL, &e), -EIO);
	assert_int_equal(store_resolve(f->s, ID_A, id, NULL, &e), -EIO);
	assert_int_equal(store_get(f->s, ID_A, &image, &e), -EIO);
	assert_int_equal(store_ids(f->s, &ids, &e), -EIO);
	assert_null(ids);
	assert_int_equal(store_count(f->s, &count, &e), -EIO);
	assert_int_equal(store_layers(f->s, ID_A, layers, &n, &e), -EIO);
	sqlite3_progress_handler(f->db, 0, NULL, NULL);
	assert_int_equal(store_resolve(f->s, "x", id, NULL, &e), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_add_and_find, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tag_moves, setup, teardown),
		cmocka_unit_test_setup_teardown(test_remove_counts_references, setup, teardown),
		cmocka_unit_test_setup_teardown(test_adding_twice_is_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lying_job, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unreadable_is_not_absent, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_at_any_instant, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
