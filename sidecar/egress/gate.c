/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate in front of every tunnel, in sidecar-egress: the agent's first bytes
 * are read before one of them goes out. A ClientHello must name the host that
 * was asked for; plain HTTP is handed to http.c with the host fixed; what is
 * neither passes only on ports where neither is at home. So a CONNECT to one
 * name can't be used to speak with another behind the same address.
 */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sidecar/egress/egress.h"
#include "sidecar/egress/hello.h"

#define TLS_HANDSHAKE 22

/* Ports that are TLS from the first byte on (IANA's, and two that are used so): nothing else passes there. */
static const uint16_t tls_ports[] = { 443, 465, 563, 636,  853,  989,  990,  992,
				      993, 994, 995, 2376, 5061, 5671, 6443, 8443 };

static const char *const methods[] = {
	"GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "CONNECT ", "OPTIONS ", "TRACE ", "PATCH ", "PRI ",
};

static bool tls_port(uint16_t port)
{
	for (size_t i = 0; i < ARRAY_SIZE(tls_ports); i++)
		if (tls_ports[i] == port)
			return true;
	return false;
}

bool gate_origin_first(uint16_t port)
{
	return port != 80 && !tls_port(port);
}

static const uint8_t *first_bytes(const struct conn *c)
{
	return (const uint8_t *)buf_ptr(&c->agent.in);
}

/* 1 the hello is whole and named, 0 wait, -1 refused and answered. */
static int read_hello(struct conn *c, char name[HOST_MAX + 1])
{
	const char *why = NULL;
	int r = hello_parse(first_bytes(c), buf_len(&c->agent.in), name, &why);

	if (r < 0)
		conn_deny(c, "default", why);
	else if (r == 0 && c->agent.eof)
		conn_close(c);
	return r < 0 ? -1 : r;
}

bool gate_hello(struct conn *c)
{
	char name[HOST_MAX + 1];

	if (!buf_len(&c->agent.in)) {
		if (c->agent.eof)
			conn_close(c);
		return false;
	}
	if (read_hello(c, name) <= 0)
		return false;
	if (conn_permit(c, name, c->port))
		conn_resolve(c);
	return false;
}

static void open_tunnel(struct conn *c)
{
	buf_append(&c->origin.out, buf_ptr(&c->agent.in), buf_len(&c->agent.in));
	buf_done(&c->agent.in);
	conn_state(c, STATE_TUNNEL, IDLE_MS);
}

static bool tunnel_tls(struct conn *c)
{
	char name[HOST_MAX + 1], reason[DECISION_TEXT_MAX];
	int r = read_hello(c, name);

	if (r <= 0)
		return false;
	if (!str_eq(name, c->host)) {
		snprintf(reason, sizeof(reason), "CONNECT was for %.54s and the TLS hello inside names %.54s", c->host,
			 name);
		conn_deny(c, c->rule, reason);
		return false;
	}
	open_tunnel(c);
	return true;
}

/* 1 a request, 0 too few bytes to say, -1 something else. */
static int looks_http(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		size_t len = strlen(methods[i]);

		if (memcmp(p, methods[i], n < len ? n : len) == 0)
			return n >= len;
	}
	return -1;
}

bool gate_tunnel(struct conn *c)
{
	size_t n = buf_len(&c->agent.in);
	const uint8_t *p = first_bytes(c);
	int http;

	/* What the origin says first (SSH, SMTP) may pass: it came from an allowed place. */
	if (buf_len(&c->origin.in) && gate_origin_first(c->port)) {
		buf_append(&c->agent.out, buf_ptr(&c->origin.in), buf_len(&c->origin.in));
		buf_clear(&c->origin.in);
	}
	if (!n) {
		if (c->agent.eof || c->origin.eof)
			conn_close(c);
		return false;
	}
	if (p[0] == TLS_HANDSHAKE)
		return tunnel_tls(c);
	if (tls_port(c->port)) {
		conn_deny(c, c->rule, "this port is for TLS, and the first bytes are none");
		return false;
	}
	http = looks_http(p, n);
	if (p[0] == '\r' || p[0] == '\n' || (http < 0 && c->port == 80)) {
		conn_deny(c, c->rule, "the first bytes are neither TLS nor an HTTP request");
		return false;
	}
	if (http == 0) {
		if (c->agent.eof)
			conn_close(c);
		return false;
	}
	if (http > 0) {
		c->fixed = true;
		conn_state(c, STATE_HEAD, HEAD_MS);
	} else {
		open_tunnel(c);
	}
	return true;
}
