/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sidecar-probe: stands where the agent will stand, with its address, gateway
 * and resolver, before any code of the agent's exists, and asks everybody that
 * must not answer. It trusts its targets (the bottle command's, on standard
 * input) and no frame that comes in.
 *
 * Theory of operation: one packet socket sends every question at once, twice (a
 * SYN to each port of each target, a ping, ARP, DHCP, IPv6), and sees every
 * frame that arrives; frame.c says whether it may. Kernel sockets speak with the
 * captured ports beside it, where a handshake says nothing (talk.c). Loopback
 * publishes are asked for on the wire: a socket of our own would end in our own
 * loopback. All of it waits in one poll, at most TOTAL_MS. Fails closed: when
 * the sidecar's own refusals are not heard, or a frame may have been lost,
 * silence proves nothing, and it says so with exit code 2.
 *
 *	sidecar-probe hold    waits until it is ended (the container's own process), at most HOLD_S
 *	sidecar-probe run     reads the targets, prints the report: exit code 0 no leak, 1 a leak, 2 no verdict
 */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "sidecar/probe/probe.h"
#include "sidecar/probe/talk.h"

#define HOLD_S     300
#define TOTAL_MS   1500 /* of the run; what is not done by then is no verdict */
#define QUIET_MS   600  /* after the last question */
#define AGAIN_MS   250  /* between the two rounds */
#define GATEWAY_MS 500
#define DRAIN      16 /* frames sent between two looks at what came in */
#define FRAME_IN   2048

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

enum exit_code { EXIT_TIGHT = 0, EXIT_LEAK = 1, EXIT_NO_VERDICT = 2 };

/* 80, 443 and 53 are in talk.c's hands beside. */
static const uint16_t tcp_ports[] = { 22, 53, 80, 111, 443, 445, 631, 2375, 2376, 3128, 5432, 6443, 8080, 8443, 9090 };

#define TALKS_MAX (2 * (DEEP_MAX + 1) + 2 * (DNS_MAX + 1))

static struct probe {
	struct spec spec;
	struct report report;
	struct talk talks[TALKS_MAX];
	size_t n_talks;
	int fd;
	unsigned int sent; /* frames of this round */
} probe = { .fd = -1 };

/* ---- the packet socket ---- */

static void find_links(struct segment *net, unsigned int *ret_index, struct err *e)
{
	struct ifaddrs *all, *i;
	unsigned int others = 0;

	*ret_index = 0;
	if (getifaddrs(&all) < 0) {
		err_errno(e, "list the interfaces");
		return;
	}
	for (i = all; i; i = i->ifa_next) {
		struct sockaddr_in in = { 0 };

		if (!i->ifa_addr || (i->ifa_flags & IFF_LOOPBACK) || i->ifa_addr->sa_family != AF_INET)
			continue;
		memcpy(&in, i->ifa_addr, sizeof(in));
		if (in.sin_addr.s_addr == net->self)
			*ret_index = if_nametoindex(i->ifa_name);
		else
			others++;
	}
	freeifaddrs(all);
	if (!*ret_index)
		err_set(e, ERR_INVALID, ENODEV, "no interface has the agent's address");
	else if (others)
		err_set(e, ERR_INVALID, EINVAL, "the agent would have %u addresses more than its own", others);
}

static int open_packet(struct segment *net, struct err *e)
{
	_cleanup_close_ int fd = -1;
	struct sockaddr_ll ll = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	socklen_t len = sizeof(ll);
	int on = 1, room = 4 << 20;
	unsigned int index;

	find_links(net, &index, e);
	if (e->code)
		return -e->code;
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_errno(e, "a packet socket (does the probe have CAP_NET_RAW?)");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	ll.sll_ifindex = (int)index;
	if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&ll, sizeof(ll)) < 0 || getsockname(fd, (struct sockaddr *)&ll, &len) < 0)
		return err_errno(e, "bind the packet socket");
	memcpy(net->mac, ll.sll_addr, sizeof(net->mac));
	return TAKE_FD(fd);
}

static void look(void)
{
	struct segment *net = &probe.spec.net;
	uint8_t frame[FRAME_IN], mac[6];
	struct finding f;
	ssize_t n;

	while ((n = recv(probe.fd, frame, sizeof(frame), MSG_DONTWAIT)) > 0) {
		if (!net->gateway_known && frame_is_gateway(net, frame, (size_t)n, mac)) {
			memcpy(net->gateway_mac, mac, sizeof(mac));
			net->gateway_known = true;
		}
		if (net->gateway_known && frame_judge(net, frame, (size_t)n, &f))
			report_add(&probe.report, &f);
	}
}

static void transmit(const uint8_t *frame, size_t n)
{
	struct pollfd p = { .fd = probe.fd, .events = POLLOUT };

	if (send(probe.fd, frame, n, 0) < 0 && (errno == EAGAIN || errno == ENOBUFS)) {
		poll(&p, 1, 5);
		send(probe.fd, frame, n, 0); /* the second round makes good what is lost here */
	}
	if (++probe.sent % DRAIN == 0)
		look();
}

static int find_gateway(struct err *e)
{
	uint64_t deadline = now_mono_ms() + GATEWAY_MS;
	struct pollfd p = { .fd = probe.fd, .events = POLLIN };
	uint8_t frame[FRAME_MAX];

	while (!probe.spec.net.gateway_known && now_mono_ms() < deadline) {
		transmit(frame, frame_arp(frame, &probe.spec.net, probe.spec.net.gateway));
		poll(&p, 1, 100);
		look();
	}
	return probe.spec.net.gateway_known ? 0
					    : err_set(e, ERR_UNAVAILABLE, EHOSTUNREACH,
						      "the sidecar does not answer ARP on the internal network");
}

/* ---- questions ---- */

static void ask_host(uint32_t host)
{
	const struct segment *net = &probe.spec.net;
	uint8_t frame[FRAME_MAX];

	transmit(frame, frame_arp(frame, net, host));
	transmit(frame, frame_echo(frame, net, host));
	for (size_t i = 0; i < ARRAY_SIZE(tcp_ports); i++)
		transmit(frame, frame_syn(frame, net, host, (uint16_t)(SYN_PORT + i), tcp_ports[i]));
}

/* All questions of one round; those to the subnet's other addresses by ARP. */
static void ask_all(void)
{
	const struct segment *net = &probe.spec.net;
	uint32_t base = ntohl(net->self) & ~7U;
	uint8_t frame[FRAME_MAX];

	probe.sent = 0;
	for (uint32_t i = 0; i < 8; i++)
		if (htonl(base + i) != net->self)
			transmit(frame, frame_arp(frame, net, htonl(base + i)));
	ask_host(net->gateway);
	for (size_t i = 0; i < probe.spec.n_hosts; i++)
		ask_host(probe.spec.hosts[i]);
	for (size_t i = 0; i < probe.spec.n_ports; i++)
		transmit(frame, frame_syn(frame, net, probe.spec.ports[i].addr, (uint16_t)(SYN_PORT + 100 + i),
					  probe.spec.ports[i].port));
	transmit(frame, frame_dhcp(frame, net));
	transmit(frame, frame_echo6(frame, net));
	transmit(frame, frame_router6(frame, net));
}

static void add_talk(enum talk_kind kind, uint32_t addr)
{
	struct talk *t = &probe.talks[probe.n_talks++];

	*t = (struct talk){ .kind = kind, .addr = addr, .fd = -1 };
	talk_open(t);
}

static void talk_all(void)
{
	const struct spec *s = &probe.spec;

	add_talk(TALK_DNS_UDP, s->net.gateway);
	add_talk(TALK_DNS_TCP, s->net.gateway);
	for (size_t i = 0; i < s->n_dns; i++) {
		add_talk(TALK_DNS_UDP, s->dns[i]);
		add_talk(TALK_DNS_TCP, s->dns[i]);
	}
	add_talk(TALK_HTTP, s->net.gateway);
	add_talk(TALK_TLS, s->net.gateway);
	for (size_t i = 0; i < s->n_hosts && i < DEEP_MAX; i++) {
		add_talk(TALK_HTTP, s->hosts[i]);
		add_talk(TALK_TLS, s->hosts[i]);
	}
}

/* ---- the wait ---- */

static void wait_turn(uint64_t until)
{
	uint64_t now = now_mono_ms();
	struct pollfd p[1 + TALKS_MAX];

	p[0] = (struct pollfd){ .fd = probe.fd, .events = POLLIN };
	for (size_t i = 0; i < probe.n_talks; i++)
		p[i + 1] = (struct pollfd){ .fd = probe.talks[i].fd, .events = talk_wants(&probe.talks[i]) };
	if (poll(p, 1 + (nfds_t)probe.n_talks, until > now ? (int)(until - now) : 0) <= 0)
		return;
	look();
	for (size_t i = 0; i < probe.n_talks; i++)
		if (p[i + 1].fd >= 0 && p[i + 1].revents)
			talk_turn(&probe.talks[i]);
}

static void wait_until(uint64_t until)
{
	while (now_mono_ms() < until)
		wait_turn(until);
}

/* The verdicts on what was said; the sidecar must have refused at its own address, or we were deaf. */
static int judge_talks(struct err *e)
{
	bool dns = false, http = false;
	struct finding f;

	for (size_t i = 0; i < probe.n_talks; i++) {
		struct talk *t = &probe.talks[i];
		enum talk_verdict v = talk_judge(t->kind, t->in, t->n);
		bool control = v == TALK_SIDECAR && t->addr == probe.spec.net.gateway;

		talk_close(t);
		dns |= control && t->kind == TALK_DNS_UDP;
		http |= control && t->kind == TALK_HTTP;
		if (v != TALK_LEAK)
			continue;
		talk_finding(t, &f);
		report_add(&probe.report, &f);
	}
	if ((dns && http) || probe.report.n_leaks)
		return 0;
	return err_set(e, ERR_UNAVAILABLE, ENODATA,
		       "the sidecar's own refusal was not heard (%s): silence proves nothing", dns ? "HTTP" : "DNS");
}

static int need_no_loss(struct err *e)
{
	struct tpacket_stats stats = { 0 };
	socklen_t n = sizeof(stats);

	if (getsockopt(probe.fd, SOL_PACKET, PACKET_STATISTICS, &stats, &n) < 0)
		return err_errno(e, "the packet socket's losses");
	if (stats.tp_drops && !probe.report.n_leaks)
		return err_set(e, ERR_UNAVAILABLE, ENOBUFS, "%u frames came too fast to be seen", stats.tp_drops);
	return 0;
}

static int probe_run(struct err *e)
{
	uint64_t began = now_mono_ms(), asked;
	int r = find_gateway(e);

	if (r < 0)
		return r;
	talk_all();
	ask_all();
	probe.report.checked = probe.sent + probe.n_talks;
	wait_until(now_mono_ms() + AGAIN_MS);
	ask_all();
	asked = now_mono_ms();
	if (asked + QUIET_MS / 2 > began + TOTAL_MS)
		return err_set(e, ERR_UNAVAILABLE, ETIMEDOUT, "asking took %llu ms: too long to hear the answers",
			       (unsigned long long)(asked - began));
	wait_until(asked + QUIET_MS < began + TOTAL_MS ? asked + QUIET_MS : began + TOTAL_MS);
	r = judge_talks(e);
	return r < 0 ? r : need_no_loss(e);
}

static int read_spec(struct err *e)
{
	_cleanup_buf_ struct buf in = { 0 };
	ssize_t n;

	while ((n = buf_read(&in, STDIN_FILENO, SPEC_MAX)) > 0)
		if (buf_len(&in) > SPEC_MAX)
			return err_set(e, ERR_LIMIT, EFBIG, "the targets are longer than %d bytes", SPEC_MAX);
	if (n < 0)
		return err_set(e, ERR_INTERNAL, (int)-n, "read the targets: %s", strerror((int)-n));
	return spec_parse(buf_len(&in) ? buf_ptr(&in) : "", buf_len(&in), &probe.spec, e);
}

static int run(void)
{
	_cleanup_free_ char *text = NULL;
	struct err e = { 0 };
	json_t *json;

	if (read_spec(&e) < 0 || (probe.fd = open_packet(&probe.spec.net, &e)) < 0 ||
	    sandbox_enter(&probe_profile, &e) < 0 || probe_run(&e) < 0) {
		fprintf(stderr, "%s\n", e.text);
		return EXIT_NO_VERDICT;
	}
	json = report_json(&probe.report);
	text = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	printf("%s\n", text);
	return probe.report.n_leaks ? EXIT_LEAK : EXIT_TIGHT;
}

static int hold(void)
{
	sigset_t set;
	int signo;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGALRM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	alarm(HOLD_S); /* the command that started us may have been killed */
	sigwait(&set, &signo);
	return 0;
}

int main(int argc, char **argv)
{
	log_init("sidecar-probe", 0);
	signal(SIGPIPE, SIG_IGN);
	if (argc == 2 && str_eq(argv[1], "hold"))
		return hold();
	if (argc == 2 && str_eq(argv[1], "run"))
		return run();
	fprintf(stderr, "usage: sidecar-probe hold|run\n");
	return EXIT_NO_VERDICT;
}
