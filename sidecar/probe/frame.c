/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire as the agent would see it, in sidecar-probe. It distrusts every frame.
 *
 * Theory: on a sound internal network there is one other machine, the sidecar,
 * and it forwards nothing. So a frame from any MAC but its, or one from its MAC
 * whose TTL is not the 64 that a kernel gives to its own packets (a forwarded
 * one has lost at least one), came from elsewhere, whatever it says. What
 * passes this is the sidecar's own: then only its services may have spoken
 * (53, 80 and 443 answer in the name of every address, 3128 in its own), and
 * its kernel may refuse in the name of its own addresses.
 */
#include "sidecar/probe/frame.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define ETH_HEAD    14
#define IP_HEAD     20
#define IP6_HEAD    40
#define ARP_LEN     28
#define KERNEL_TTL  64
#define DHCP_LEN    244
#define DHCP_COOKIE 236

enum { TYPE_IP = 0x0800, TYPE_ARP = 0x0806, TYPE_IP6 = 0x86dd };
enum { P_ICMP = 1, P_TCP = 6, P_UDP = 17, P_ICMP6 = 58 };
enum { TCP_SYN = 2, TCP_RST = 4, TCP_ACK = 16 };

static const uint8_t all[6] = { 255, 255, 255, 255, 255, 255 };

static void put16(uint8_t *p, unsigned int v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static unsigned int get16(const uint8_t *p)
{
	return (unsigned int)p[0] << 8 | p[1];
}

static uint32_t get_addr(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint32_t sum_of(uint32_t sum, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i + 1 < n; i += 2)
		sum += get16(p + i);
	return n & 1 ? sum + ((uint32_t)p[n - 1] << 8) : sum;
}

static void put_sum(uint8_t *at, uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	put16(at, ~sum & 0xffff);
}

static uint8_t *ethernet(uint8_t *out, const uint8_t *to, const uint8_t *from, unsigned int type)
{
	memset(out, 0, FRAME_MAX);
	memcpy(out, to, 6);
	memcpy(out + 6, from, 6);
	put16(out + 12, type);
	return out + ETH_HEAD;
}

/* The IPv4 head in front of n bytes; to the gateway's MAC, or to everybody's. Gives the payload's place. */
static uint8_t *ipv4(uint8_t *out, const struct segment *s, uint32_t from, uint32_t to, uint8_t proto, size_t n)
{
	uint8_t *p = ethernet(out, to == INADDR_BROADCAST ? all : s->gateway_mac, s->mac, TYPE_IP);

	p[0] = 0x45;
	put16(p + 2, (unsigned int)(IP_HEAD + n));
	p[8] = KERNEL_TTL;
	p[9] = proto;
	memcpy(p + 12, &from, 4);
	memcpy(p + 16, &to, 4);
	put_sum(p + 10, sum_of(0, p, IP_HEAD));
	return p + IP_HEAD;
}

size_t frame_arp(uint8_t out[FRAME_MAX], const struct segment *s, uint32_t target)
{
	static const uint8_t head[] = { 0, 1, 8, 0, 6, 4, 0, 1 };
	uint8_t *p = ethernet(out, all, s->mac, TYPE_ARP);

	memcpy(p, head, sizeof(head));
	memcpy(p + 8, s->mac, 6);
	memcpy(p + 14, &s->self, 4);
	memcpy(p + 24, &target, 4);
	return ETH_HEAD + ARP_LEN;
}

size_t frame_syn(uint8_t out[FRAME_MAX], const struct segment *s, uint32_t target, uint16_t from, uint16_t port)
{
	uint8_t *p = ipv4(out, s, s->self, target, P_TCP, 20);

	put16(p, from);
	put16(p + 2, port);
	put16(p + 4, from ^ 0x5a5a);
	p[12] = 5 << 4;
	p[13] = TCP_SYN;
	put16(p + 14, 1024);
	put_sum(p + 16, sum_of(P_TCP + 20, p - 8, 28)); /* the two addresses stand in front */
	return ETH_HEAD + IP_HEAD + 20;
}

size_t frame_echo(uint8_t out[FRAME_MAX], const struct segment *s, uint32_t target)
{
	static const uint8_t payload[] = { 'b', 'o', 't', 't', 'l', 'e' };
	uint8_t *p = ipv4(out, s, s->self, target, P_ICMP, 16);

	p[0] = 8;
	memcpy(p + 8, payload, sizeof(payload));
	put_sum(p + 2, sum_of(0, p, 16));
	return ETH_HEAD + IP_HEAD + 16;
}

size_t frame_dhcp(uint8_t out[FRAME_MAX], const struct segment *s)
{
	static const uint8_t options[] = { 99, 130, 83, 99, 53, 1, 1, 255 }; /* the cookie, DISCOVER, end */
	uint8_t *udp = ipv4(out, s, 0, INADDR_BROADCAST, P_UDP, 8 + DHCP_LEN), *p = udp + 8;

	put16(udp, 68);
	put16(udp + 2, 67);
	put16(udp + 4, 8 + DHCP_LEN);
	p[0] = p[1] = 1;
	p[2] = 6;
	p[10] = 0x80; /* answer by broadcast */
	memcpy(p + 4, s->mac + 2, 4);
	memcpy(p + 28, s->mac, 6);
	memcpy(p + DHCP_COOKIE, options, sizeof(options));
	return ETH_HEAD + IP_HEAD + 8 + DHCP_LEN;
}

/* From our link-local address (RFC 4291's, from the MAC) to ff02::LAST, hop limit 255 as neighbour discovery wants. */
static size_t icmp6(uint8_t *out, const struct segment *s, uint8_t last, const uint8_t *data, size_t n)
{
	const uint8_t to[6] = { 0x33, 0x33, 0, 0, 0, last };
	uint8_t *p = ethernet(out, to, s->mac, TYPE_IP6), *from = p + 8;

	p[0] = 0x60;
	put16(p + 4, (unsigned int)n);
	p[6] = P_ICMP6;
	p[7] = 255;
	put16(from, 0xfe80);
	memcpy(from + 8, s->mac, 3);
	from[8] ^= 2;
	put16(from + 11, 0xfffe);
	memcpy(from + 13, s->mac + 3, 3);
	put16(p + 24, 0xff02);
	p[39] = last;
	memcpy(p + IP6_HEAD, data, n);
	put_sum(p + IP6_HEAD + 2, sum_of((uint32_t)(P_ICMP6 + n), p + 8, 32 + n));
	return ETH_HEAD + IP6_HEAD + n;
}

size_t frame_echo6(uint8_t out[FRAME_MAX], const struct segment *s)
{
	return icmp6(out, s, 1, (const uint8_t[]){ 128, 0, 0, 0, 0, 0, 0, 1 }, 8);
}

size_t frame_router6(uint8_t out[FRAME_MAX], const struct segment *s)
{
	return icmp6(out, s, 2, (const uint8_t[]){ 133, 0, 0, 0, 0, 0, 0, 0 }, 8);
}

/* ---- verdicts ---- */

void finding_set(struct finding *f, const char *what, uint32_t addr, uint16_t port, const char *answer)
{
	const struct in_addr in = { addr };
	char text[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, &in, text, sizeof(text));
	snprintf(f->what, sizeof(f->what), "%s", what);
	snprintf(f->answer, sizeof(f->answer), "%s", answer);
	if (port)
		snprintf(f->target, sizeof(f->target), "%s:%u", text, port);
	else
		snprintf(f->target, sizeof(f->target), "%s", text);
}

static bool leak(struct finding *f, const char *what, uint32_t addr, uint16_t port, const char *answer)
{
	finding_set(f, what, addr, port, answer);
	return true;
}

static bool from_mac(struct finding *f, const char *what, const uint8_t *mac, const char *answer)
{
	snprintf(f->what, sizeof(f->what), "%s", what);
	snprintf(f->target, sizeof(f->target), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
		 mac[5]);
	snprintf(f->answer, sizeof(f->answer), "%s", answer);
	return true;
}

static bool is_own(const struct segment *s, uint32_t addr)
{
	for (size_t i = 0; i < s->n_own; i++)
		if (s->own[i] == addr)
			return true;
	return addr == s->gateway;
}

bool frame_is_gateway(const struct segment *s, const uint8_t *p, size_t n, uint8_t ret_mac[6])
{
	const uint8_t *arp = p + ETH_HEAD;

	if (n < ETH_HEAD + ARP_LEN || get16(p + 12) != TYPE_ARP || get16(arp + 6) != 2 ||
	    get_addr(arp + 14) != s->gateway)
		return false;
	memcpy(ret_mac, arp + 8, 6);
	return true;
}

static bool judge_arp(const struct segment *s, const uint8_t *p, size_t n, struct finding *f)
{
	uint32_t sender;

	if (n < ARP_LEN)
		return from_mac(f, "arp", s->gateway_mac, "a frame too short for ARP");
	sender = get_addr(p + 14);
	if (sender == s->gateway && memcmp(p + 8, s->gateway_mac, 6) == 0)
		return false;
	return leak(f, "arp", sender, 0,
		    sender == s->gateway ? "a second machine claims the sidecar's address" : "a neighbour is there");
}

static bool judge_tcp(const struct segment *s, uint32_t from, const uint8_t *p, size_t n, struct finding *f)
{
	unsigned int port, flags;

	if (n < 20)
		return leak(f, "tcp", from, 0, "a segment without a head");
	port = get16(p);
	flags = p[13];
	if (port == 53 || port == 80 || port == 443 || (port == SIDECAR_PORT && from == s->gateway))
		return false;
	if ((flags & TCP_RST) && is_own(s, from))
		return false;
	return leak(f, "tcp", from, (uint16_t)port,
		    flags & TCP_RST   ? "refused the connection"
		    : flags & TCP_SYN ? "accepted a connection"
				      : "sent a segment");
}

static bool judge_icmp(const struct segment *s, uint32_t from, const uint8_t *p, size_t n, struct finding *f)
{
	char text[ANSWER_MAX];

	if (n >= 8 && p[0] == 3 && is_own(s, from))
		return false; /* unreachable, says the sidecar's kernel of its own */
	snprintf(text, sizeof(text), n && p[0] == 0 ? "answered a ping" : "sent ICMP type %d", n ? p[0] : -1);
	return leak(f, "icmp", from, 0, text);
}

static bool judge_ip(const struct segment *s, const uint8_t *p, size_t n, struct finding *f)
{
	size_t head = n ? (p[0] & 15) * 4U : 0;
	char text[ANSWER_MAX];
	uint32_t from;
	uint8_t proto;

	if (n < IP_HEAD || head < IP_HEAD || head > n || p[0] >> 4 != 4)
		return from_mac(f, "ip", s->gateway_mac, "a malformed packet");
	from = get_addr(p + 12);
	proto = p[9];
	if (p[8] != KERNEL_TTL) {
		snprintf(text, sizeof(text), "a packet came through the sidecar (TTL %u, protocol %u)", p[8], proto);
		return leak(f, "forwarded", from, 0, text);
	}
	if (get16(p + 6) & 0x3fff)
		return leak(f, "ip", from, 0, "sent a fragment");
	p += head;
	n -= head;
	if (proto == P_TCP)
		return judge_tcp(s, from, p, n, f);
	if (proto == P_ICMP)
		return judge_icmp(s, from, p, n, f);
	if (proto == P_UDP && n >= 8 && get16(p) == 53)
		return false;
	return leak(f, "udp", from, n >= 2 ? (uint16_t)get16(p) : 0, "sent a datagram");
}

bool frame_judge(const struct segment *s, const uint8_t *p, size_t n, struct finding *f)
{
	unsigned int type;
	char text[ANSWER_MAX];

	if (n < ETH_HEAD)
		return from_mac(f, "frame", s->gateway_mac, "a frame without a head");
	if (memcmp(p + 6, s->mac, 6) == 0)
		return false; /* our own, flooded back */
	type = get16(p + 12);
	if (type == TYPE_IP6)
		return from_mac(f, "ipv6", p + 6, "speaks IPv6");
	if (type == TYPE_ARP && memcmp(p + 6, s->gateway_mac, 6) != 0)
		return judge_arp(s, p + ETH_HEAD, n - ETH_HEAD, f);
	if (memcmp(p + 6, s->gateway_mac, 6) != 0) {
		snprintf(text, sizeof(text), "another machine is on the network (frame type %04x)", type);
		return from_mac(f, "neighbour", p + 6, text);
	}
	if (type == TYPE_ARP)
		return judge_arp(s, p + ETH_HEAD, n - ETH_HEAD, f);
	if (type == TYPE_IP)
		return judge_ip(s, p + ETH_HEAD, n - ETH_HEAD, f);
	snprintf(text, sizeof(text), "sent a frame of type %04x", type);
	return from_mac(f, "frame", p + 6, text);
}
