/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state database of one user's engine, in bottled, its only writer: WAL, so
 * that a kill at any instruction leaves the last commit. A lock file gives one
 * bottled per state directory.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/file.h>

#include "api/engine.h"
#include "base/mem.h"

#define LOCK_FILE "lock"
#define BUSY_MS   2000

/* Row n brings user_version from n to n + 1. A row that was released is never changed. */
static const char *const schema[] = {
	"CREATE TABLE networks (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, created_ns INTEGER NOT NULL,"
	" kind INTEGER NOT NULL, net_id INTEGER NOT NULL UNIQUE, config TEXT NOT NULL);"
	"CREATE TABLE endpoints (id INTEGER PRIMARY KEY, endpoint_id TEXT NOT NULL, network TEXT NOT NULL,"
	" container TEXT NOT NULL, addr TEXT);"
	"CREATE INDEX endpoints_network ON endpoints (network);"
	"CREATE TABLE containers (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, created_ns INTEGER NOT NULL,"
	" state TEXT NOT NULL, config TEXT NOT NULL, runtime TEXT);"
	"CREATE TABLE execs (id TEXT PRIMARY KEY, container TEXT NOT NULL, config TEXT, state TEXT);"
	"CREATE INDEX execs_container ON execs (container);",
};

static int state_error(struct engine *g, const char *what, struct err *e)
{
	int code = sqlite3_errcode(g->db);

	if (code == SQLITE_CONSTRAINT)
		return err_set(e, ERR_CONFLICT, EEXIST, "%s: %s", what, sqlite3_errmsg(g->db));
	return err_set(e, ERR_INTERNAL, code == SQLITE_FULL ? ENOSPC : EIO, "%s: %s in '%s/state.db'", what,
		       sqlite3_errmsg(g->db), g->data_dir);
}

static int lock_directory(struct engine *g, struct err *e)
{
	_cleanup_close_ int fd = openat(g->data_fd, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return err_errno(e, "open '%s/%s'", g->data_dir, LOCK_FILE);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return err_set(e, ERR_UNAVAILABLE, EBUSY,
			       "'%s' is in use by another bottled: stop that one, or give this one its own --data",
			       g->data_dir);
	g->lock_fd = TAKE_FD(fd);
	return 0;
}

static int run(struct engine *g, const char *sql, struct err *e)
{
	return sqlite3_exec(g->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : state_error(g, "the state", e);
}

static int schema_version(struct engine *g, int64_t *ret, struct err *e)
{
	sqlite3_stmt *st = state_query(g, e, "PRAGMA user_version", "");

	if (!st)
		return -EIO;
	*ret = sqlite3_step(st) == SQLITE_ROW ? sqlite3_column_int64(st, 0) : -1;
	sqlite3_finalize(st);
	return *ret < 0 ? state_error(g, "the state's version", e) : 0;
}

static int schema_update(struct engine *g, struct err *e)
{
	int64_t version;
	int r = schema_version(g, &version, e);

	if (r < 0)
		return r;
	if (version > (int64_t)ARRAY_SIZE(schema))
		return err_set(e, ERR_INTERNAL, EINVAL,
			       "'%s/state.db' was written by a newer bottled (version %d, this one knows %zu): install "
			       "that one",
			       g->data_dir, (int)version, ARRAY_SIZE(schema));
	for (; r == 0 && version < (int64_t)ARRAY_SIZE(schema); version++) {
		_cleanup_free_ char *sql = xasprintf("BEGIN IMMEDIATE; %s PRAGMA user_version = %d; COMMIT;",
						     schema[version], (int)version + 1);

		r = run(g, sql, e);
	}
	return r;
}

int state_open(struct engine *g, struct err *e)
{
	_cleanup_free_ char *path = xasprintf("%s/state.db", g->data_dir);
	int r = lock_directory(g, e);

	if (r < 0)
		return r;
	if (sqlite3_open_v2(path, &g->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) !=
	    SQLITE_OK)
		return state_error(g, "open", e);
	sqlite3_busy_timeout(g->db, BUSY_MS);
	r = run(g, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;", e);
	return r < 0 ? r : schema_update(g, e);
}

void state_close(struct engine *g)
{
	sqlite3_close(g->db);
	g->db = NULL;
	if (g->lock_fd >= 0)
		close(g->lock_fd);
	g->lock_fd = -1;
}

static sqlite3_stmt *prepare(struct engine *g, struct err *e, const char *sql, const char *types, va_list ap)
{
	sqlite3_stmt *st;
	int i = 0;

	if (sqlite3_prepare_v2(g->db, sql, -1, &st, NULL) != SQLITE_OK) {
		state_error(g, "the state", e);
		return NULL;
	}
	for (; *types; types++) {
		if (*types == 'i')
			sqlite3_bind_int64(st, ++i, va_arg(ap, int64_t));
		else
			sqlite3_bind_text(st, ++i, va_arg(ap, const char *), -1, SQLITE_TRANSIENT);
	}
	return st;
}

sqlite3_stmt *state_query(struct engine *g, struct err *e, const char *sql, const char *types, ...)
{
	sqlite3_stmt *st;
	va_list ap;

	va_start(ap, types);
	st = prepare(g, e, sql, types, ap);
	va_end(ap);
	return st;
}

int state_exec(struct engine *g, struct err *e, const char *sql, const char *types, ...)
{
	sqlite3_stmt *st;
	int r, step;
	va_list ap;

	va_start(ap, types);
	st = prepare(g, e, sql, types, ap);
	va_end(ap);
	if (!st)
		return -EIO;
	do
		step = sqlite3_step(st);
	while (step == SQLITE_ROW);
	r = step == SQLITE_DONE ? 0 : state_error(g, "the state", e);
	sqlite3_finalize(st);
	return r;
}

int state_begin(struct engine *g, struct err *e)
{
	int r = g->tx_depth ? 0 : state_exec(g, e, "BEGIN IMMEDIATE", "");

	if (r < 0)
		return r;
	if (g->tx_depth++ == 0)
		g->tx_failed = false;
	return 0;
}

int state_commit(struct engine *g, struct err *e)
{
	int r;

	if (--g->tx_depth)
		return 0;
	if (g->tx_failed) {
		state_exec(g, NULL, "ROLLBACK", "");
		return err_set(e, ERR_INTERNAL, ECANCELED, "the change was taken back by a part of it");
	}
	r = state_exec(g, e, "COMMIT", "");
	if (r < 0)
		state_exec(g, NULL, "ROLLBACK", "");
	return r;
}

void state_rollback(struct engine *g)
{
	g->tx_failed = true;
	if (--g->tx_depth == 0)
		state_exec(g, NULL, "ROLLBACK", "");
}
