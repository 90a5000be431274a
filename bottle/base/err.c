/* SPDX-License-Identifier: Apache-2.0 */
/* Errors without allocation; in every process. */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#ifdef __clang_analyzer__
#undef err_set
#undef err_errno
#undef err_wrap
#endif

static enum err_class class_of(int code)
{
	switch (code) {
	case ENOENT:
		return ERR_NOTFOUND;
	case EEXIST:
	case EBUSY:
		return ERR_CONFLICT;
	case EACCES:
	case EPERM:
		return ERR_DENIED;
	default:
		return ERR_INTERNAL;
	}
}

int err_set(struct err *e, enum err_class cls, int code, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return -code;
	e->code = code;
	e->cls = cls;
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	return -code;
}

int err_errno(struct err *e, const char *fmt, ...)
{
	int code = errno ? errno : EIO;
	size_t n;
	va_list ap;

	if (!e)
		return -code;
	e->code = code;
	e->cls = class_of(code);
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	n = strlen(e->text);
	snprintf(e->text + n, sizeof(e->text) - n, ": %s", strerror(code));
	return -code;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
	char inner[ERR_TEXT_MAX];
	size_t n;
	va_list ap;

	if (!e)
		return -EIO;
	memcpy(inner, e->text, sizeof(inner));
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	n = strlen(e->text);
	snprintf(e->text + n, sizeof(e->text) - n, ": %s", inner);
	return -(e->code ? e->code : EIO);
}

int err_copy(struct err *dst, const struct err *src)
{
	if (!src)
		return 0;
	if (dst && dst != src)
		*dst = *src;
	return -src->code;
}
