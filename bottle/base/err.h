/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors: a function that can fail returns 0 (or a useful number >= 0) or a
 * negative errno, and fills the caller's struct err. Nothing is allocated, so
 * reporting cannot fail. Library code never logs: the process that owns the
 * edge (an HTTP answer, an exit code, a log line) reports once.
 *
 *	return err_set(e, ERR_NOTFOUND, ENOENT, "No such container: %s", name);
 *	return err_errno(e, "open '%s'", path);         (errno, class from it)
 *	return err_wrap(e, "load '%s'", ref);           (prefix on the way up)
 *
 * e may be NULL: only the number is returned.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/cleanup.h"

#define ERR_TEXT_MAX 512

/* What kind of failure it is; api/server.c maps it to an HTTP status, cli/ to an exit code. */
enum err_class {
	ERR_INTERNAL,    /* 500: our fault or the machine's */
	ERR_INVALID,     /* 400: the request can never work as it is */
	ERR_DENIED,      /* 403: understood and refused */
	ERR_NOTFOUND,    /* 404 */
	ERR_CONFLICT,    /* 409: the object is in a state that forbids it */
	ERR_LIMIT,       /* 413: larger than a named limit */
	ERR_UNSUPPORTED, /* 501: a known call or option that is not offered */
	ERR_UNAVAILABLE, /* 503: a part that is needed is not there; the text says what to do */
	ERR_CLASS_NUM,
};

struct err {
	int code; /* positive errno, 0 when unset */
	enum err_class cls;
	char text[ERR_TEXT_MAX];
};

/* Each returns -code. */
int err_set(struct err *e, enum err_class cls, int code, const char *fmt, ...) _printf_(4, 5);
int err_errno(struct err *e, const char *fmt, ...) _printf_(2, 3);
int err_wrap(struct err *e, const char *fmt, ...) _printf_(2, 3);

/* What the analyzer cannot see across files: a failure is a negative number. */
#ifdef __clang_analyzer__
static inline int err_negative(int r)
{
	if (r >= 0)
		__builtin_unreachable();
	return r;
}
#define err_set(...)   err_negative(err_set(__VA_ARGS__))
#define err_errno(...) err_negative(err_errno(__VA_ARGS__))
#define err_wrap(...)  err_negative(err_wrap(__VA_ARGS__))
#endif

/* Writes a copy of src into dst (either may be NULL) and returns -src->code. */
int err_copy(struct err *dst, const struct err *src);

#endif
