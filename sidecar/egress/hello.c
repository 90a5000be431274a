/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ClientHello parser, in sidecar-egress; reads the agent's bytes. The handshake
 * message is put together from its records first (a key share may push the name
 * past any fixed prefix), then walked with every length checked against what
 * holds it and nothing left over.
 */
#include "sidecar/egress/hello.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define RECORD_HEAD      5
#define RECORD_MAX       16384
#define RECORD_HANDSHAKE 22
#define CLIENT_HELLO     1
#define EXT_SERVER_NAME  0
#define EXT_ECH          0xfe0d
#define EXT_ESNI         0xffce /* its draft before */

struct reader {
	const uint8_t *p;
	size_t n;
};

static int refuse(const char **ret_why, const char *why)
{
	*ret_why = why;
	return -EBADMSG;
}

static bool take(struct reader *r, size_t n, struct reader *ret)
{
	if (r->n < n)
		return false;
	*ret = (struct reader){ r->p, n };
	r->p += n;
	r->n -= n;
	return true;
}

static bool take_number(struct reader *r, size_t bytes, size_t *ret)
{
	struct reader v;

	if (!take(r, bytes, &v))
		return false;
	*ret = 0;
	for (size_t i = 0; i < bytes; i++)
		*ret = *ret << 8 | v.p[i];
	return true;
}

/* A vector with its length in front of it. */
static bool take_vector(struct reader *r, size_t length_bytes, struct reader *ret)
{
	size_t n;

	return take_number(r, length_bytes, &n) && take(r, n, ret);
}

static int read_server_name(struct reader ext, char ret_name[HOST_MAX + 1], const char **ret_why)
{
	struct reader list, name;
	size_t type;

	if (!take_vector(&ext, 2, &list) || ext.n)
		return refuse(ret_why, "the TLS hello's server name is malformed");
	if (!take_number(&list, 1, &type) || type != 0 || !take_vector(&list, 2, &name))
		return refuse(ret_why, "the TLS hello's server name is malformed");
	if (list.n)
		return refuse(ret_why, "the TLS hello has more than one server name");
	switch (host_normalize((const char *)name.p, name.n, ret_name)) {
	case HOST_NAME:
		return 1;
	case HOST_IPV4:
	case HOST_IPV6:
		return refuse(ret_why, "the TLS hello's server name is an address");
	default:
		return refuse(ret_why, "the TLS hello's server name is no host name");
	}
}

static int read_extensions(struct reader exts, char ret_name[HOST_MAX + 1], const char **ret_why)
{
	uint8_t seen[65536 / 8] = { 0 };
	bool named = false;

	while (exts.n) {
		struct reader ext;
		size_t type;

		if (!take_number(&exts, 2, &type) || !take_vector(&exts, 2, &ext))
			return refuse(ret_why, "the TLS hello is malformed");
		if (seen[type / 8] & 1 << type % 8)
			return refuse(ret_why, "the TLS hello repeats an extension");
		seen[type / 8] |= (uint8_t)(1 << type % 8);
		if (type == EXT_ECH || type == EXT_ESNI)
			return refuse(ret_why,
				      "the TLS hello is encrypted (ECH), so its real name can't be seen: turn ECH off");
		if (type == EXT_SERVER_NAME) {
			int r = read_server_name(ext, ret_name, ret_why);

			if (r < 0)
				return r;
			named = true;
		}
	}
	return named ? 1 : refuse(ret_why, "the TLS hello has no server name (SNI)");
}

static int read_hello(struct reader msg, char ret_name[HOST_MAX + 1], const char **ret_why)
{
	struct reader part, suites, exts;

	if (!take(&msg, 2 + 32, &part) || part.p[0] != 3 || !take_vector(&msg, 1, &part) || part.n > 32 ||
	    !take_vector(&msg, 2, &suites) || suites.n < 2 || suites.n % 2 || !take_vector(&msg, 1, &part) || !part.n)
		return refuse(ret_why, "the TLS hello is malformed");
	if (!msg.n)
		return refuse(ret_why, "the TLS hello has no server name (SNI)");
	if (!take_vector(&msg, 2, &exts) || msg.n)
		return refuse(ret_why, "the TLS hello is malformed");
	return read_extensions(exts, ret_name, ret_why);
}

int hello_parse(const uint8_t *p, size_t n, char ret_name[HOST_MAX + 1], const char **ret_why)
{
	struct reader raw = { p, n };
	uint8_t msg[4 + HELLO_MAX];
	size_t have = 0, want = 4;

	while (have < want) {
		struct reader head, body;
		size_t len, chunk;

		if (raw.n && raw.p[0] != RECORD_HANDSHAKE)
			return refuse(ret_why, "the TLS hello is interrupted by another record");
		if (!take(&raw, RECORD_HEAD, &head))
			break;
		len = (size_t)head.p[3] << 8 | head.p[4];
		if (head.p[1] != 3 || !len || len > RECORD_MAX)
			return refuse(ret_why, "the first bytes are no TLS record");
		chunk = len < raw.n ? len : raw.n;
		if (!take(&raw, chunk, &body) || have + chunk > sizeof(msg))
			return refuse(ret_why, "the TLS hello is too long");
		memcpy(msg + have, body.p, chunk);
		have += chunk;
		if (have >= 4) {
			want = 4 + ((size_t)msg[1] << 16 | (size_t)msg[2] << 8 | msg[3]);
			if (msg[0] != CLIENT_HELLO)
				return refuse(ret_why, "the first TLS message is no ClientHello");
			if (want > sizeof(msg))
				return refuse(ret_why, "the TLS hello is too long");
			if (have - chunk + len > want)
				return refuse(ret_why, "the TLS hello has something behind it in its record");
		}
		if (chunk < len)
			break;
	}
	if (have >= want)
		return read_hello((struct reader){ msg + 4, want - 4 }, ret_name, ret_why);
	return n > HELLO_RAW_MAX ? refuse(ret_why, "the TLS hello is too long") : 0;
}
