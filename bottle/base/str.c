/* SPDX-License-Identifier: Apache-2.0 */
/* Text helpers; in every process. */
#include "base/str.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <strings.h>
#include <sys/random.h>

#include "base/log.h"

bool str_prefix(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_suffix(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && strcmp(s + n - m, suffix) == 0;
}

/* Reads digits at *s and moves it behind them. */
static int take_digits(const char **s, uint64_t max, uint64_t *ret)
{
	const char *p = *s;
	uint64_t v = 0;

	if (!isdigit((unsigned char)*p))
		return -EINVAL;
	for (; isdigit((unsigned char)*p); p++) {
		uint64_t d = (uint64_t)(*p - '0');

		if (v > (max - d) / 10)
			return -ERANGE;
		v = v * 10 + d;
	}
	*s = p;
	*ret = v;
	return 0;
}

int str_u64(const char *s, uint64_t max, uint64_t *ret)
{
	uint64_t v;
	int r = take_digits(&s, max, &v);

	if (r < 0)
		return r;
	if (*s)
		return -EINVAL;
	*ret = v;
	return 0;
}

int str_i64(const char *s, int64_t min, int64_t max, int64_t *ret)
{
	bool neg = *s == '-';
	uint64_t v;
	int64_t n;
	int r = str_u64(s + neg, INT64_MAX, &v);

	if (r < 0)
		return r;
	n = neg ? -(int64_t)v : (int64_t)v;
	if (n < min || n > max)
		return -ERANGE;
	*ret = n;
	return 0;
}

/* ".5" behind a number, in thousandths. */
static int take_fraction(const char **s, uint64_t *ret_milli)
{
	uint64_t unit = 100;
	const char *p = *s;

	*ret_milli = 0;
	if (*p != '.')
		return 0;
	if (!isdigit((unsigned char)*++p))
		return -EINVAL;
	for (; isdigit((unsigned char)*p); p++, unit /= 10)
		*ret_milli += (uint64_t)(*p - '0') * unit;
	*s = p;
	return 0;
}

static int shift_of(const char *unit)
{
	static const struct {
		const char *name;
		int shift;
	} units[] = {
		{ "", 0 },     { "b", 0 },  { "k", 10 },  { "kb", 10 },  { "kib", 10 }, { "m", 20 },  { "mb", 20 },
		{ "mib", 20 }, { "g", 30 }, { "gb", 30 }, { "gib", 30 }, { "t", 40 },   { "tb", 40 }, { "tib", 40 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (strcasecmp(unit, units[i].name) == 0)
			return units[i].shift;
	return -1;
}

int str_size(const char *s, uint64_t max, uint64_t *ret)
{
	uint64_t v, milli = 0;
	int shift, r;

	r = take_digits(&s, UINT64_MAX / 1024, &v);
	if (r == 0)
		r = take_fraction(&s, &milli);
	if (r < 0)
		return r;
	shift = shift_of(s);
	if (shift < 0)
		return -EINVAL;
	if (v > max >> shift)
		return -ERANGE;
	v = (v << shift) + ((milli << shift) / 1000);
	if (v > max)
		return -ERANGE;
	*ret = v;
	return 0;
}

static int take_unit_ms(const char **s, uint64_t *ret)
{
	static const struct {
		const char *name;
		uint64_t ms;
	} units[] = { { "ms", 1 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 } };

	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (!str_prefix(*s, units[i].name))
			continue;
		*s += strlen(units[i].name);
		*ret = units[i].ms;
		return 0;
	}
	if (**s)
		return -EINVAL;
	*ret = 1000;
	return 0;
}

int str_duration_ms(const char *s, uint64_t max, uint64_t *ret)
{
	uint64_t total = 0;

	do {
		uint64_t v, milli = 0, unit = 0, part;
		int r = take_digits(&s, UINT64_MAX / 8000000, &v);

		if (r == 0)
			r = take_fraction(&s, &milli);
		if (r == 0)
			r = take_unit_ms(&s, &unit);
		if (r < 0)
			return r;
		part = v * unit + milli * unit / 1000;
		if (part > max || total > max - part)
			return -ERANGE;
		total += part;
	} while (*s);
	*ret = total;
	return 0;
}

void hex_encode(char *out, const void *data, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *p = data;

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[p[i] >> 4];
		out[2 * i + 1] = digits[p[i] & 15];
	}
	out[2 * n] = '\0';
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hex_decode(void *out, size_t n, const char *s)
{
	unsigned char *p = out;

	for (size_t i = 0; i < n; i++) {
		int hi = hex_value(s[2 * i]);
		int lo = hi < 0 ? -1 : hex_value(s[2 * i + 1]);

		if (lo < 0)
			return false;
		p[i] = (unsigned char)(hi << 4 | lo);
	}
	return s[2 * n] == '\0';
}

bool str_is_hex(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!s[i] || (s[i] >= 'A' && s[i] <= 'F') || hex_value(s[i]) < 0)
			return false;
	return s[n] == '\0';
}

void random_bytes(void *out, size_t n)
{
	char *p = out;

	while (n) {
		ssize_t got = getrandom(p, n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			fatal("getrandom: %s", strerror(errno));
		p += got;
		n -= (size_t)got;
	}
}

void random_id(char out[ID_LEN + 1])
{
	unsigned char raw[ID_LEN / 2];

	random_bytes(raw, sizeof(raw));
	hex_encode(out, raw, sizeof(raw));
}

static int64_t now_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

uint64_t now_mono_ms(void)
{
	return (uint64_t)now_ns(CLOCK_MONOTONIC) / 1000000;
}

uint64_t now_mono_us(void)
{
	return (uint64_t)now_ns(CLOCK_MONOTONIC) / 1000;
}

int64_t now_real_ns(void)
{
	return now_ns(CLOCK_REALTIME);
}

void rfc3339nano(char out[RFC3339_MAX], int64_t real_ns)
{
	time_t sec = (time_t)(real_ns / 1000000000);
	struct tm tm;
	size_t n;

	if (real_ns <= 0) {
		snprintf(out, RFC3339_MAX, "0001-01-01T00:00:00Z");
		return;
	}
	gmtime_r(&sec, &tm);
	n = strftime(out, RFC3339_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
	if (real_ns % 1000000000) {
		n += (size_t)snprintf(out + n, RFC3339_MAX - n, ".%09" PRId64, real_ns % 1000000000);
		while (out[n - 1] == '0')
			n--;
	}
	snprintf(out + n, RFC3339_MAX - n, "Z");
}

/* ".123456789" as nanoseconds; moves *s behind it. */
static int take_nanos(const char **s, int64_t *ret)
{
	int64_t unit = 100000000;

	*ret = 0;
	if (**s != '.')
		return 0;
	if (!isdigit((unsigned char)*++*s))
		return -EINVAL;
	for (; isdigit((unsigned char)**s); ++*s, unit /= 10)
		*ret += (**s - '0') * unit;
	return 0;
}

static int take_zone(const char *s, int64_t *ret_sec)
{
	int h, m, used = 0;

	*ret_sec = 0;
	if (str_eq(s, "Z") || str_eq(s, "z"))
		return 0;
	if ((*s != '+' && *s != '-') || sscanf(s + 1, "%2d:%2d%n", &h, &m, &used) != 2 || s[1 + used])
		return -EINVAL;
	*ret_sec = (h * 3600 + m * 60) * (*s == '-' ? -1 : 1);
	return 0;
}

int rfc3339_parse(const char *s, int64_t *ret_ns)
{
	int64_t nanos, zone;
	struct tm tm = { 0 };
	const char *p = s;
	uint64_t sec;

	if (take_digits(&p, (uint64_t)INT64_MAX / 1000000000, &sec) == 0 && (*p == '.' || !*p)) {
		if (take_nanos(&p, &nanos) < 0 || *p)
			return -EINVAL;
		*ret_ns = (int64_t)sec * 1000000000 + nanos;
		return 0;
	}
	p = strptime(s, "%Y-%m-%dT%H:%M:%S", &tm);
	if (!p || take_nanos(&p, &nanos) < 0 || take_zone(p, &zone) < 0)
		return -EINVAL;
	*ret_ns = ((int64_t)timegm(&tm) - zone) * 1000000000 + nanos;
	return 0;
}
