/* SPDX-License-Identifier: Apache-2.0 */
/* Small text helpers: whole-string number parsing, hex, random ids, times. */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"

static inline bool str_eq(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

bool str_prefix(const char *s, const char *prefix);
bool str_suffix(const char *s, const char *suffix);

/* The whole string must be a decimal number within [0, max] ([min, max]). 0 or -EINVAL / -ERANGE. */
int str_u64(const char *s, uint64_t max, uint64_t *ret);
int str_i64(const char *s, int64_t min, int64_t max, int64_t *ret);

/* "512", "64k", "1.5g", "10MiB": bytes, powers of 1024 as Docker has them. 0 or -EINVAL / -ERANGE. */
int str_size(const char *s, uint64_t max, uint64_t *ret);
/* "5s", "1m30s", "100ms", "2h" or bare seconds: milliseconds. 0 or -EINVAL / -ERANGE. */
int str_duration_ms(const char *s, uint64_t max, uint64_t *ret);

/* Lower-case hex; out has room for 2 * n + 1. */
void hex_encode(char *out, const void *data, size_t n);
/* s must be exactly 2 * n lower- or upper-case hex digits. */
bool hex_decode(void *out, size_t n, const char *s);
bool str_is_hex(const char *s, size_t n);

/* n random bytes from the kernel (getrandom(2)); aborts when there are none. */
void random_bytes(void *out, size_t n);
/* 64 lower-case hex digits and a NUL: a Docker object id. */
#define ID_LEN 64
void random_id(char out[ID_LEN + 1]);

uint64_t now_mono_ms(void);
uint64_t now_mono_us(void);
/* Nanoseconds since 1970, CLOCK_REALTIME. */
int64_t now_real_ns(void);

/* "2026-11-22T04:28:34.688032065Z"; 0 gives Go's zero time "0001-01-01T00:00:00Z". */
#define RFC3339_MAX 40
void rfc3339nano(char out[RFC3339_MAX], int64_t real_ns);
/* RFC 3339, "1700000000" or "1700000000.123456789". 0 or -EINVAL. */
int rfc3339_parse(const char *s, int64_t *ret_ns);

#endif
