/* SPDX-License-Identifier: Apache-2.0 */
/* Splits a destination into host and port; in the bottle command. The sidecar judges the host itself. */
#include "cli/target.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

static int bad(const char *text, const char *why, struct err *e)
{
	return err_set(e, ERR_INVALID, EINVAL, "'%.100s' %s; write a URL as https://host/path, or host:port", text,
		       why);
}

static int scheme_port(const char *text, size_t n, uint16_t *ret)
{
	static const struct {
		const char *name;
		uint16_t port;
	} schemes[] = {
		{ "https", 443 }, { "http", 80 }, { "wss", 443 }, { "ws", 80 }, { "ssh", 22 }, { "git", 9418 }
	};

	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
		if (strlen(schemes[i].name) == n && strncasecmp(text, schemes[i].name, n) == 0) {
			*ret = schemes[i].port;
			return 0;
		}
	return -EINVAL;
}

/* The host's end in an authority: behind ']' for a bracketed one, else at the last colon. */
static const char *host_end(const char *host, size_t n)
{
	const char *close = memchr(host, ']', n), *colon;

	if (*host == '[')
		return close ? close + 1 : NULL;
	colon = memchr(host, ':', n);
	return colon ? colon : host + n;
}

int target_parse(const char *text, char **ret_host, uint16_t *ret_port, struct err *e)
{
	const char *scheme = strstr(text, "://"), *host = scheme ? scheme + 3 : text, *end;
	uint16_t port = 443;
	uint64_t number;
	size_t n;

	if (scheme && scheme_port(text, (size_t)(scheme - text), &port) < 0)
		return bad(text, "has a scheme without a known port", e);
	n = strcspn(host, "/?#");
	if (memchr(host, '@', n))
		return bad(text, "holds a user name or password", e);
	end = n ? host_end(host, n) : NULL;
	if (!end || end == host || end > host + n)
		return bad(text, "has no host", e);
	if (end < host + n) {
		_cleanup_free_ char *digits = xstrndup(end + 1, (size_t)(host + n - end - 1));

		if (*end != ':' || str_u64(digits, 65535, &number) < 0 || number == 0)
			return bad(text, "has a port that is not 1 to 65535", e);
		port = (uint16_t)number;
	}
	*ret_host = xstrndup(host, (size_t)(end - host));
	*ret_port = port;
	return 0;
}
