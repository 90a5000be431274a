/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answering, in sidecar-dns. Every question, on whichever way it came, passes
 * one function, decide(): a name outside the policy is refused before anything
 * is looked up, and of an allowed name only A records are ever asked for.
 * Other types get "no data": TXT, ANY and the like would be a channel, AAAA has
 * no road, HTTPS and SVCB would carry ECH keys. The agent is hostile; egress is
 * jailed and is believed no more than the agent.
 */
#include "sidecar/dns/serve.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "sidecar/audit.h"
#include "sidecar/child.h"
#include "sidecar/dns/resolve.h"

struct tcp_client;

/* One question of the agent's, kept while its name is looked up. */
struct ask {
	struct sockaddr_in client;
	struct in_addr asked; /* UDP: the address that the agent asked; the answer comes from it */
	struct tcp_client *tcp;
	struct dns_question q;
	uint8_t query[DNS_HEAD + DNS_NAME_MAX + 2 + 4];
	char host[HOST_MAX + 1];
	char rule[128];
	struct waiter *waiter;
};

struct tcp_client {
	int fd;
	struct source *io, *timer;
	struct sockaddr_in peer;
	struct buf in, out;
	struct ask *ask; /* at most one at a time */
};

struct egress_ask {
	uint32_t seq;
};

static struct {
	struct loop *loop;
	struct source *listener;
	struct side_counters *counters;
	unsigned int n_tcp, n_pending;
} serve;

static void audit_ask(const struct sockaddr_in *client, const char *host, bool allow, const char *rule,
		      const char *reason, const uint8_t *address)
{
	struct audit_event ev = {
		.plane = "dns",
		.client = client,
		.host = host,
		.address = address,
		.allow = allow,
		.rule = rule,
		.reason = reason,
	};

	if (allow)
		serve.counters->allowed++;
	else
		serve.counters->denied++;
	audit_write(&ev);
}

/* The one gate: is this a name of the policy? ret_host is filled when it is. */
static bool decide(const char *name, char ret_host[HOST_MAX + 1], struct decision *d)
{
	int kind = host_normalize(name, strlen(name), ret_host);

	if (kind != HOST_NAME) {
		*d = (struct decision){ .rule = "default" };
		snprintf(d->reason, sizeof(d->reason), "%.60s is no host name", name);
		return false;
	}
	ruleset_decide(child_rules(), ret_host, 0, d);
	return d->allow;
}

static void tcp_write(struct tcp_client *c);
static void tcp_next(struct tcp_client *c);

static void udp_send(const struct ask *a, const uint8_t *packet, size_t n)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(struct in_pktinfo))];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)packet, .iov_len = n };
	struct sockaddr_in to = a->client;
	struct msghdr msg = {
		.msg_name = &to,
		.msg_namelen = sizeof(to),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct in_pktinfo info = { .ipi_spec_dst = a->asked };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = IPPROTO_IP;
	c->cmsg_type = IP_PKTINFO;
	c->cmsg_len = CMSG_LEN(sizeof(info));
	memcpy(CMSG_DATA(c), &info, sizeof(info));
	/* A full queue loses the answer, as any UDP answer may be lost. */
	if (sendmsg(DNS_FD_UDP, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EAGAIN)
		log_peer("answer to the agent: %s", strerror(errno));
}

static void reply(struct ask *a, int rcode, const struct name_entry *entry)
{
	size_t n = entry ? entry->n_addrs : 0, len;
	uint8_t packet[DNS_PACKET_MAX], head[2];
	uint64_t now = now_mono_ms();
	uint32_t ttl = entry && entry->expires_ms > now ? (uint32_t)((entry->expires_ms - now + 999) / 1000) : 0;

	len = dns_build_answer(packet, a->query, &a->q, rcode, n ? (const uint8_t(*)[4])entry->addrs : NULL, n, ttl);
	if (!a->tcp) {
		udp_send(a, packet, len);
		return;
	}
	head[0] = (uint8_t)(len >> 8);
	head[1] = (uint8_t)len;
	buf_append(&a->tcp->out, head, 2);
	buf_append(&a->tcp->out, packet, len);
}

static void on_resolved(void *arg, const struct name_entry *entry, const char *why)
{
	struct tcp_client *tcp;
	struct ask *a = arg;

	if (!entry) {
		audit_ask(&a->client, a->host, false, a->rule, why, NULL);
		reply(a, DNS_SERVFAIL, NULL);
	} else if (!entry->n_addrs) {
		audit_ask(&a->client, a->host, true, a->rule, "allowed, and has no public address", NULL);
		reply(a, DNS_NXDOMAIN, NULL);
	} else {
		audit_ask(&a->client, a->host, true, a->rule, "resolved", entry->addrs[0]);
		reply(a, DNS_NOERROR, entry);
	}
	tcp = a->tcp;
	free(a);
	serve.n_pending--;
	if (tcp) {
		tcp->ask = NULL;
		tcp_write(tcp);
	}
}

/* A question from the agent. from: whom to answer; copied when the answer has to wait. */
static void take_query(const struct ask *from, const uint8_t *p, size_t n)
{
	struct ask *a = xcalloc(1, sizeof(*a));
	struct decision d = { .rule = "default" };
	struct waiter *w;
	int rcode;

	*a = *from;
	rcode = dns_parse_query(p, n, &a->q);
	if (rcode >= 0)
		memcpy(a->query, p, DNS_HEAD + a->q.len);
	if (rcode != 0) {
		if (rcode > 0)
			reply(a, rcode, NULL);
	} else if (a->q.class != DNS_CLASS_IN || !decide(a->q.name, a->host, &d)) {
		audit_ask(&a->client, a->q.name, false, d.rule, *d.reason ? d.reason : "not of class IN", NULL);
		reply(a, DNS_REFUSED, NULL);
	} else if (a->q.type != DNS_TYPE_A) {
		reply(a, DNS_NOERROR, NULL);
	} else if (serve.n_pending >= DNS_PENDING_MAX) {
		reply(a, DNS_SERVFAIL, NULL);
	} else {
		snprintf(a->rule, sizeof(a->rule), "%s", d.rule);
		serve.n_pending++;
		if (a->tcp)
			a->tcp->ask = a;
		w = resolve_name(a->host, &d, on_resolved, a);
		if (w)
			a->waiter = w;
		return;
	}
	free(a);
}

static void on_udp(struct source *s, uint32_t events, void *arg)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(struct in_pktinfo)) + 64];
	} control;
	struct ask from = { 0 };
	uint8_t packet[DNS_QUERY_MAX];
	struct iovec iov = { packet, sizeof(packet) };
	struct msghdr msg = {
		.msg_name = &from.client,
		.msg_namelen = sizeof(from.client),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct in_pktinfo info;
	ssize_t n = recvmsg(DNS_FD_UDP, &msg, MSG_DONTWAIT);

	(void)s, (void)events, (void)arg;
	if (n < 0 || msg.msg_flags & MSG_TRUNC || from.client.sin_family != AF_INET)
		return;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			memcpy(&info, CMSG_DATA(c), sizeof(info));
			from.asked = info.ipi_addr;
		}
	}
	take_query(&from, packet, (size_t)n);
}

static void tcp_close(struct tcp_client *c)
{
	if (c->ask) {
		resolve_cancel(c->ask->waiter);
		free(c->ask);
		serve.n_pending--;
	}
	source_free(c->io);
	source_free(c->timer);
	close(c->fd);
	buf_done(&c->in);
	buf_done(&c->out);
	free(c);
	if (serve.n_tcp-- == DNS_TCP_MAX)
		source_events(serve.listener, EPOLLIN);
}

/* Waits for what comes next: room for the answer, or the next question. While a lookup runs: neither. */
static void tcp_write(struct tcp_client *c)
{
	if (buf_len(&c->out))
		source_events(c->io, EPOLLOUT);
	else
		tcp_next(c);
}

static void tcp_next(struct tcp_client *c)
{
	struct ask from = { .client = c->peer, .tcp = c };
	uint8_t packet[DNS_QUERY_MAX];
	size_t len;

	source_events(c->io, c->ask ? 0 : EPOLLIN);
	if (c->ask || buf_len(&c->in) < 2)
		return;
	len = (size_t)((uint8_t)buf_ptr(&c->in)[0] << 8 | (uint8_t)buf_ptr(&c->in)[1]);
	if (len > DNS_QUERY_MAX || len < DNS_HEAD) {
		source_timer(c->timer, 0); /* closes it, outside of this callback */
		return;
	}
	if (buf_len(&c->in) < 2 + len)
		return;
	memcpy(packet, buf_ptr(&c->in) + 2, len);
	buf_consume(&c->in, 2 + len);
	source_events(c->io, 0);
	take_query(&from, packet, len);
	if (!c->ask && buf_len(&c->out))
		source_events(c->io, EPOLLOUT);
}

static void on_tcp(struct source *s, uint32_t events, void *arg)
{
	struct tcp_client *c = arg;
	ssize_t n = 1;

	(void)s;
	if (events & EPOLLOUT) {
		n = buf_write(&c->out, c->fd);
		if (n == -EAGAIN)
			return;
		if (n >= 0) {
			tcp_write(c);
			return;
		}
	} else if (events & EPOLLIN) {
		n = buf_read(&c->in, c->fd, DNS_QUERY_MAX + 2 - buf_len(&c->in));
		if (n == -EAGAIN)
			return;
		if (n > 0) {
			source_timer(c->timer, DNS_TCP_IDLE_MS);
			tcp_next(c);
			return;
		}
	}
	if (n <= 0 || events & (EPOLLHUP | EPOLLERR))
		tcp_close(c);
}

static void on_tcp_idle(struct source *s, void *arg)
{
	(void)s;
	tcp_close(arg);
}

static void on_accept(struct source *s, uint32_t events, void *arg)
{
	struct sockaddr_in peer;
	socklen_t len = sizeof(peer);
	int fd = accept4(source_fd(s), (struct sockaddr *)&peer, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct tcp_client *c;

	(void)events, (void)arg;
	if (fd < 0)
		return;
	c = xcalloc(1, sizeof(*c));
	c->fd = fd;
	c->peer = peer;
	c->io = loop_io(serve.loop, fd, EPOLLIN, on_tcp, c);
	c->timer = loop_timer(serve.loop, DNS_TCP_IDLE_MS, on_tcp_idle, c);
	if (++serve.n_tcp == DNS_TCP_MAX)
		source_events(s, 0);
}

static void egress_answer(uint32_t seq, const struct name_entry *entry, const char *why)
{
	unsigned char space[1024], pins[SIDE_PINS_MAX][4];
	struct tlv t;
	int r;

	tlv_init(&t, space, sizeof(space));
	if (entry) {
		for (size_t i = 0; i < entry->n_pins; i++)
			memcpy(pins[i], entry->pins[i].addr, 4);
		tlv_bytes(&t, SIDE_TAG_FRESH, entry->addrs, 4 * entry->n_addrs);
		tlv_bytes(&t, SIDE_TAG_PINS, pins, 4 * entry->n_pins);
	} else {
		tlv_str(&t, SIDE_TAG_TEXT, why);
	}
	r = ipc_send(DNS_FD_EGRESS, entry ? SIDE_ADDRESSES : SIDE_FAILED, seq, &t, NULL, 0);
	if (r < 0)
		log_warn("answer to egress: %s", strerror(-r));
}

static void on_egress_resolved(void *arg, const struct name_entry *entry, const char *why)
{
	struct egress_ask *a = arg;

	egress_answer(a->seq, entry, why);
	free(a);
}

static char *read_name(const struct ipc_msg *m)
{
	struct tlv_field f;
	struct tlv_iter it;

	tlv_iter_init(&it, m->body, m->len);
	if (m->head.type != SIDE_RESOLVE || tlv_next(&it, &f) != 1 || f.tag != SIDE_TAG_NAME)
		return NULL;
	return tlv_get_str(&f, HOST_MAX);
}

static void on_egress(struct source *s, uint32_t events, void *arg)
{
	static struct ipc_msg m;
	int r = ipc_recv(DNS_FD_EGRESS, &m);
	_cleanup_free_ char *name = NULL;
	char host[HOST_MAX + 1];
	struct egress_ask *a;
	struct decision d;

	(void)events, (void)arg;
	if (r == -EAGAIN)
		return;
	ipc_close_fds(&m);
	name = r > 0 ? read_name(&m) : NULL;
	if (!name) { /* gone, or broken: main sees one of us end, and ends */
		loop_quit(source_loop(s), 1);
		return;
	}
	if (!decide(name, host, &d)) {
		audit_ask(NULL, name, false, d.rule, d.reason, NULL);
		egress_answer(m.head.seq, NULL, d.reason);
		return;
	}
	a = xcalloc(1, sizeof(*a));
	a->seq = m.head.seq;
	resolve_name(host, &d, on_egress_resolved, a);
}

void serve_start(struct loop *l, struct side_counters *counters)
{
	serve.loop = l;
	serve.counters = counters;
	loop_io(l, DNS_FD_UDP, EPOLLIN, on_udp, NULL);
	serve.listener = loop_io(l, DNS_FD_TCP, EPOLLIN, on_accept, NULL);
	loop_io(l, DNS_FD_EGRESS, EPOLLIN, on_egress, NULL);
}
