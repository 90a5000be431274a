/* SPDX-License-Identifier: Apache-2.0 */
/* From a request's path to its row in the table; in bottled. The path is a client's. */
#include <errno.h>

#include "api/conn.h"
#include "base/mem.h"
#include "base/str.h"

/* "1.41/rest" at s: the number of characters of the version, 0 when it is none. */
static size_t version_parse(const char *s, unsigned int *ret_major, unsigned int *ret_minor)
{
	unsigned int part[3] = { 0 }, n = 0;
	const char *p = s;

	while (n < ARRAY_SIZE(part)) {
		size_t digits = strspn(p, "0123456789");

		if (!digits || digits > 4)
			return 0;
		for (size_t i = 0; i < digits; i++)
			part[n] = part[n] * 10 + (unsigned int)(p[i] - '0');
		n++;
		p += digits;
		if (*p != '.')
			break;
		p++;
	}
	if (n < 2 || (*p && *p != '/'))
		return 0;
	*ret_major = part[0];
	*ret_minor = part[1];
	return (size_t)(p - s);
}

int version_strip(char **path, int *ret_version, struct err *e)
{
	unsigned int major, minor;
	size_t n = 0;
	int version;

	*ret_version = API_VERSION_MAX;
	if (str_prefix(*path, "/v"))
		n = version_parse(*path + 2, &major, &minor);
	if (!n)
		return 0;
	*path += 2 + n;
	if (str_prefix(*path, "/libpod/"))
		return 0;
	version = major == 1 && minor < 900 ? 100 + (int)minor : major < 1 ? 0 : 999;
	if (version > API_VERSION_MAX)
		return err_set(e, ERR_INVALID, EINVAL,
			       "client version %u.%u is too new. Maximum supported API version is 1.%d", major, minor,
			       API_VERSION_MAX - 100);
	if (version < API_VERSION_MIN)
		return err_set(e, ERR_INVALID, EINVAL,
			       "client version %u.%u is too old. Minimum supported API version is 1.%d, "
			       "please upgrade your client to a newer version",
			       major, minor, API_VERSION_MIN - 100);
	*ret_version = version;
	return 0;
}

static void args_free(char *args[REQUEST_ARGS_MAX], size_t from)
{
	for (size_t i = from; i < REQUEST_ARGS_MAX; i++) {
		free(args[i]);
		args[i] = NULL;
	}
}

/* A {name} takes as much as it can: the literal text behind it is the path's last that fits. */
static bool match_from(const char *pattern, const char *path, char *args[REQUEST_ARGS_MAX], size_t n_arg)
{
	size_t literal = strcspn(pattern, "{");
	const char *rest;

	if (strncmp(pattern, path, literal) != 0)
		return false;
	pattern += literal;
	path += literal;
	if (!*pattern)
		return !*path;
	rest = strchr(pattern, '}') + 1;
	for (size_t take = strlen(path); take > 0; take--) {
		if (match_from(rest, path + take, args, n_arg + 1)) {
			args[n_arg] = xstrndup(path, take);
			return true;
		}
		args_free(args, n_arg + 1);
	}
	return false;
}

bool pattern_match(const char *pattern, const char *path, char *args[REQUEST_ARGS_MAX])
{
	return match_from(pattern, path, args, 0);
}

const struct route *route_find(const struct route *table, const char *method, const char *path,
			       char *args[REQUEST_ARGS_MAX])
{
	bool head = str_eq(method, "HEAD");

	for (int pass = 0; pass < 1 + head; pass++) {
		for (const struct route *t = table; t->method; t++)
			if (str_eq(t->method, pass ? "GET" : method) && pattern_match(t->pattern, path, args))
				return t;
	}
	return NULL;
}
