/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conversations at the ports that the sidecar captures, in sidecar-probe. There
 * a handshake proves nothing: the sidecar completes it in the name of every
 * address. So each asks for a name that cannot exist and that no policy can
 * allow, and knows the sidecar's refusal by its words: HTTP 403 with its own
 * field, the TLS alert access_denied, DNS REFUSED without data. Silence is fine
 * as well; any other byte is an answer from elsewhere, NXDOMAIN included.
 */
#include "sidecar/probe/talk.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <unistd.h>

#define DNS_ID      0x6274
#define DNS_HEAD    12
#define DNS_REFUSED 5

static const char http_question[] = "GET / HTTP/1.1\r\nHost: " TALK_NAME "\r\nConnection: close\r\n\r\n";
/* id, RD, one question; the name in labels; A, IN */
static const char dns_question[] = "\x62\x74\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
				   "\x0c"
				   "bottle-probe"
				   "\x07"
				   "invalid"
				   "\x00\x00\x01\x00\x01";
/* A ClientHello of TLS 1.2, two suites, the name in SNI (20 bytes), groups, signatures. */
static const char tls_question[] =
	"\x16\x03\x01\x00\x66\x01\x00\x00\x62\x03\x03"
	"bottle-probe-bottle-probe-bottle"
	"\x00"
	"\x00\x04\xc0\x2b\xc0\x2f"
	"\x01\x00"
	"\x00\x35"
	"\x00\x00\x00\x19\x00\x17\x00\x00\x14" TALK_NAME "\x00\x0a\x00\x08\x00\x06\x00\x1d\x00\x17\x00\x18"
	"\x00\x0d\x00\x08\x00\x06\x04\x03\x08\x04\x04\x01";

uint16_t talk_port(enum talk_kind kind)
{
	static const uint16_t ports[TALK_NUM] = { 80, 443, 53, 53 };

	return ports[kind];
}

size_t talk_question(enum talk_kind kind, uint8_t out[TALK_IN])
{
	static const struct {
		const char *data;
		size_t n;
	} questions[TALK_NUM] = {
		{ http_question, sizeof(http_question) - 1 },
		{ tls_question, sizeof(tls_question) - 1 },
		{ dns_question, sizeof(dns_question) - 1 },
		{ dns_question, sizeof(dns_question) - 1 },
	};
	size_t n = questions[kind].n, head = kind == TALK_DNS_TCP ? 2 : 0;

	out[0] = 0;
	out[1] = (uint8_t)n;
	memcpy(out + head, questions[kind].data, n);
	return head + n;
}

static bool refused_http(const uint8_t *in, size_t n)
{
	static const char field[] = "\r\nX-Bottle-Sidecar: denied\r\n";

	return n > 12 && memcmp(in, "HTTP/1.1 403", 12) == 0 && memmem(in, n, field, sizeof(field) - 1);
}

static bool refused_tls(const uint8_t *in, size_t n)
{
	return n == 7 && in[0] == 21 && in[3] == 0 && in[4] == 2 && in[5] == 2 && in[6] == 49;
}

static bool refused_dns(const uint8_t *in, size_t n)
{
	return n >= DNS_HEAD && in[0] == DNS_ID >> 8 && in[1] == (DNS_ID & 255) && (in[2] & 0x80) &&
	       (in[3] & 15) == DNS_REFUSED && !in[6] && !in[7];
}

enum talk_verdict talk_judge(enum talk_kind kind, const uint8_t *in, size_t n)
{
	bool refused = false;

	if (n == 0)
		return TALK_SILENT;
	switch (kind) {
	case TALK_HTTP:
		refused = refused_http(in, n);
		break;
	case TALK_TLS:
		refused = refused_tls(in, n);
		break;
	case TALK_DNS_TCP:
		refused = n > 2 && refused_dns(in + 2, n - 2);
		break;
	case TALK_DNS_UDP:
		refused = refused_dns(in, n);
		break;
	case TALK_NUM:
		break;
	}
	return refused ? TALK_SIDECAR : TALK_LEAK;
}

void talk_finding(const struct talk *t, struct finding *f)
{
	static const char *const names[TALK_NUM] = { "http", "tls", "dns", "dns" };
	char text[ANSWER_MAX];
	size_t line = 0;

	if (t->kind == TALK_HTTP) {
		while (line < t->n && line < 40 && t->in[line] >= ' ' && t->in[line] < 127)
			line++;
		snprintf(text, sizeof(text), "answered: %.*s", (int)line, (const char *)t->in);
	} else if (t->kind == TALK_TLS) {
		snprintf(text, sizeof(text), "answered with TLS record %u", t->in[0]);
	} else {
		size_t at = t->kind == TALK_DNS_TCP ? 5 : 3;

		snprintf(text, sizeof(text), "answered a raw query (rcode %d)", t->n > at ? t->in[at] & 15 : -1);
	}
	finding_set(f, names[t->kind], t->addr, talk_port(t->kind), text);
}

/* ---- sockets ---- */

void talk_open(struct talk *t)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(talk_port(t->kind)),
				  .sin_addr.s_addr = t->addr };
	int type = t->kind == TALK_DNS_UDP ? SOCK_DGRAM : SOCK_STREAM;

	t->fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (t->fd >= 0 && connect(t->fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS)
		talk_close(t);
}

short talk_wants(const struct talk *t)
{
	return t->sent ? POLLIN : POLLOUT;
}

void talk_close(struct talk *t)
{
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
}

void talk_turn(struct talk *t)
{
	uint8_t question[TALK_IN];
	size_t len;
	ssize_t n;

	if (!t->sent) {
		len = talk_question(t->kind, question);
		t->sent = send(t->fd, question, len, MSG_NOSIGNAL) == (ssize_t)len;
		if (!t->sent)
			talk_close(t); /* refused, or unreachable: by whom, the frames tell */
		return;
	}
	n = recv(t->fd, t->in + t->n, sizeof(t->in) - t->n, 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n > 0)
		t->n += (size_t)n;
	if (n <= 0 || t->kind == TALK_DNS_UDP || t->n == sizeof(t->in))
		talk_close(t);
}
