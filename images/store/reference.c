/* SPDX-License-Identifier: Apache-2.0 */
/* The reference grammar; in bottled. Distrusts its text, which comes from requests and from archives. */
#include "images/store/reference.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define DEFAULT_DOMAIN "docker.io"
#define LEGACY_DOMAIN  "index.docker.io"
#define LIBRARY        "library/"
#define DEFAULT_TAG    "latest"
#define DIGEST_PREFIX  "sha256:"
#define DIGEST_HEX     64
#define REFERENCE_MAX  1024
#define LOWER          "abcdefghijklmnopqrstuvwxyz0123456789"

static int invalid(struct err *e)
{
	return err_set(e, ERR_INVALID, EINVAL, "invalid reference format");
}

static bool is_tag(const char *s)
{
	size_t n = strlen(s);

	if (!n || n > REFERENCE_TAG_MAX || *s == '.' || *s == '-')
		return false;
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("_.-", *s))
			return false;
	return true;
}

static bool is_lower_hex(const char *s, size_t n)
{
	return strlen(s) == n && strspn(s, "0123456789abcdef") == n;
}

/* [a-z0-9]+ joined by ".", "_", "__" or any number of "-". */
static bool is_path_component(const char *s, size_t n)
{
	size_t i = 0;

	while (i < n) {
		size_t word = strspn(s + i, LOWER), sep;

		if (word > n - i)
			word = n - i;
		i += word;
		if (!word)
			return false;
		if (i == n)
			return true;
		sep = strspn(s + i, "-");
		if (!sep)
			sep = s[i] == '.' ? 1 : strspn(s + i, "_");
		if (!sep || sep >= n - i || (s[i] == '_' && sep > 2))
			return false;
		i += sep;
	}
	return false;
}

static bool is_path(const char *s)
{
	for (;;) {
		size_t n = strcspn(s, "/");

		if (!is_path_component(s, n))
			return false;
		if (!s[n])
			return true;
		s += n + 1;
	}
}

/* Host names, IPv4, or [IPv6]; and a port. */
static bool is_domain(const char *s)
{
	if (*s == '[') {
		size_t n = strspn(s + 1, "0123456789abcdefABCDEF:");

		if (!n || s[n + 1] != ']')
			return false;
		s += n + 2;
	} else {
		for (bool more = true; more;) {
			size_t n = strcspn(s, ".:");

			if (!n || s[0] == '-' || s[n - 1] == '-')
				return false;
			for (size_t i = 0; i < n; i++)
				if (!isalnum((unsigned char)s[i]) && s[i] != '-')
					return false;
			s += n;
			more = *s == '.';
			s += more ? 1 : 0;
		}
	}
	return !*s || (*s == ':' && s[1] && strspn(s + 1, "0123456789") == strlen(s + 1));
}

/* Is the part before the first slash a registry? */
static bool names_domain(const char *s, size_t n)
{
	if (memchr(s, '.', n) || memchr(s, ':', n) || (n == 9 && memcmp(s, "localhost", 9) == 0))
		return true;
	for (size_t i = 0; i < n; i++)
		if (isupper((unsigned char)s[i]))
			return true;
	return false;
}

/* Cuts "@DIGEST" and ":TAG" off text, in place. */
static int cut_suffixes(char *text, char **ret_tag, char **ret_digest, struct err *e)
{
	char *at = strchr(text, '@'), *slash, *colon;

	*ret_tag = *ret_digest = NULL;
	if (at) {
		*at = '\0';
		*ret_digest = at + 1;
		if (!str_prefix(at + 1, DIGEST_PREFIX))
			return strchr(at + 1, ':') && at[1] != ':'
				       ? err_set(e, ERR_INVALID, EINVAL, "unsupported digest algorithm")
				       : invalid(e);
		if (!is_lower_hex(at + 1 + strlen(DIGEST_PREFIX), DIGEST_HEX))
			return err_set(e, ERR_INVALID, EINVAL, "invalid checksum digest length");
	}
	slash = strrchr(text, '/');
	colon = strrchr(slash ? slash : text, ':');
	if (colon) {
		*colon = '\0';
		*ret_tag = colon + 1;
		if (!is_tag(colon + 1))
			return invalid(e);
	}
	return 0;
}

/* DOMAIN/PATH of a name without suffixes. */
static int normal_name(const char *text, char **ret, struct err *e)
{
	const char *slash = strchr(text, '/'), *path = text;
	_cleanup_free_ char *domain = xstrdup(DEFAULT_DOMAIN), *name = NULL;

	if (slash && names_domain(text, (size_t)(slash - text))) {
		path = slash + 1;
		if (strncmp(text, LEGACY_DOMAIN "/", strlen(LEGACY_DOMAIN "/")) != 0) {
			free(domain);
			domain = xstrndup(text, (size_t)(slash - text));
		}
	}
	for (const char *c = path; *c; c++)
		if (isupper((unsigned char)*c))
			return err_set(e, ERR_INVALID, EINVAL,
				       "invalid reference format: repository name (%s) must be lowercase", path);
	if (!is_domain(domain) || !is_path(path))
		return invalid(e);
	name = xasprintf("%s/%s%s", domain, str_eq(domain, DEFAULT_DOMAIN) && !strchr(path, '/') ? LIBRARY : "", path);
	if (strlen(name) > REFERENCE_NAME_MAX)
		return err_set(e, ERR_INVALID, EINVAL, "repository name must not be more than %d characters",
			       REFERENCE_NAME_MAX);
	*ret = TAKE_PTR(name);
	return 0;
}

int reference_parse(struct reference *ret, const char *text, struct err *e)
{
	_cleanup_free_ char *copy = NULL;
	char *tag, *digest, *name;
	int r;

	if (strlen(text) > REFERENCE_MAX)
		return invalid(e);
	if (is_lower_hex(text, DIGEST_HEX))
		return err_set(e, ERR_INVALID, EINVAL,
			       "invalid repository name (%s), cannot specify 64-byte hexadecimal strings", text);
	copy = xstrdup(text);
	r = cut_suffixes(copy, &tag, &digest, e);
	if (r == 0)
		r = normal_name(copy, &name, e);
	if (r < 0)
		return r;
	*ret = (struct reference){ name, tag ? xstrdup(tag) : NULL, digest ? xstrdup(digest) : NULL };
	return 0;
}

void reference_done(struct reference *r)
{
	free(r->name);
	free(r->tag);
	free(r->digest);
	*r = (struct reference){ 0 };
}

char *reference_key(const struct reference *r)
{
	if (r->digest)
		return xasprintf("%s@%s", r->name, r->digest);
	return xasprintf("%s:%s", r->name, r->tag ? r->tag : DEFAULT_TAG);
}

const char *reference_familiar(const char *key)
{
	const char *rest = key + strlen(DEFAULT_DOMAIN "/"), *slash;

	if (!str_prefix(key, DEFAULT_DOMAIN "/"))
		return key;
	slash = strchr(rest, '/');
	if (slash && names_domain(rest, (size_t)(slash - rest)))
		return key; /* without docker.io it would read as an image of that registry */
	if (str_prefix(rest, LIBRARY) && !strchr(rest + strlen(LIBRARY), '/'))
		rest += strlen(LIBRARY);
	return rest;
}
