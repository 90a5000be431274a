/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocation that aborts when memory is short: every size that a peer controls
 * has a named limit checked before it gets here, so running out means that the
 * machine is out, and a supervised process is better started again.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include "base/cleanup.h"

void *xmalloc(size_t n) __attribute__((malloc));
void *xcalloc(size_t n, size_t size) __attribute__((malloc));
void *xrealloc(void *p, size_t n, size_t size);
char *xstrdup(const char *s) __attribute__((malloc));
char *xstrndup(const char *s, size_t n) __attribute__((malloc));
char *xasprintf(const char *fmt, ...) _printf_(1, 2);

/* A NULL-terminated vector of owned strings. */
void strv_free(char **v);
size_t strv_len(char *const *v);
/* Appends a copy of s; *v may be NULL. */
void strv_push(char ***v, const char *s);

static inline void cleanup_strv(char ***v)
{
	strv_free(*v);
}
#define _cleanup_strv_ _cleanup_(cleanup_strv)

#endif
