/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "sidecar/egress/hello.h"
#include "sidecar/probe/probe.h"
#include "sidecar/probe/talk.h"

#define SELF    0x0209580a /* 10.88.9.2 */
#define GATEWAY 0x0109580a
#define EGRESS  0x02004d0a /* 10.77.0.2, the sidecar's */
#define OTHER   0x020200c0 /* 192.0.2.2 */

static const struct segment net = { .mac = { 2, 0, 0, 0, 0, 2 },
				    .gateway_mac = { 2, 0, 0, 0, 0, 1 },
				    .self = SELF,
				    .gateway = GATEWAY,
				    .own = { EGRESS },
				    .n_own = 1,
				    .gateway_known = true };
static const struct segment stranger = { .mac = { 2, 0, 0, 0, 0, 9 }, .gateway_mac = { 2, 0, 0, 0, 0, 2 } };

/* A TCP segment of ADDR's, as it comes in from the sidecar's MAC: a SYN of ours turned around. */
static size_t segment_from(uint8_t out[FRAME_MAX], uint32_t addr, uint16_t port, uint8_t flags, uint8_t ttl)
{
	struct segment s = net;
	size_t n;

	memcpy(s.mac, net.gateway_mac, 6);
	memcpy(s.gateway_mac, net.mac, 6);
	s.self = addr;
	n = frame_syn(out, &s, SELF, port, 20000);
	out[14 + 8] = ttl;
	out[14 + 20 + 13] = flags;
	return n;
}

static void test_tcp(void **state)
{
	static const struct {
		uint32_t addr;
		uint16_t port;
		uint8_t flags, ttl;
		const char *leak; /* NULL: fine */
	} cases[] = {
		{ OTHER, 80, 0x12, 64, NULL },  /* the capture's handshake */
		{ OTHER, 443, 0x12, 64, NULL }, /* the same */
		{ OTHER, 53, 0x12, 64, NULL },  /* the same */
		{ OTHER, 80, 0x12, 63, "forwarded" },  { OTHER, 443, 0x14, 127, "forwarded" },
		{ OTHER, 80, 0x12, 255, "forwarded" }, { GATEWAY, 3128, 0x12, 64, NULL },
		{ OTHER, 3128, 0x12, 64, "tcp" },      { OTHER, 22, 0x12, 64, "tcp" },
		{ OTHER, 22, 0x14, 64, "tcp" },  /* a refusal is an answer */
		{ GATEWAY, 22, 0x14, 64, NULL }, /* the sidecar's kernel */
		{ GATEWAY, 22, 0x12, 64, "tcp" },      { EGRESS, 8443, 0x14, 64, NULL },
		{ EGRESS, 8443, 0x12, 64, "tcp" },
	};
	uint8_t frame[FRAME_MAX];
	struct finding f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t n = segment_from(frame, cases[i].addr, cases[i].port, cases[i].flags, cases[i].ttl);

		memset(&f, 0, sizeof(f));
		if (frame_judge(&net, frame, n, &f) != (cases[i].leak != NULL))
			fail_msg("case %zu", i);
		if (cases[i].leak)
			assert_string_equal(f.what, cases[i].leak);
	}
}

static void test_neighbours(void **state)
{
	uint8_t frame[FRAME_MAX];
	struct finding f;
	size_t n;

	(void)state;
	n = segment_from(frame, OTHER, 80, 0x12, 64);
	frame[11] = 9;
	assert_true(frame_judge(&net, frame, n, &f));
	assert_string_equal(f.what, "neighbour");
	assert_string_equal(f.target, "02:00:00:00:00:09");
	n = frame_echo6(frame, &stranger);
	assert_true(frame_judge(&net, frame, n, &f));
	assert_string_equal(f.what, "ipv6");
	n = frame_arp(frame, &stranger, SELF);
	assert_true(frame_judge(&net, frame, n, &f));
	assert_string_equal(f.what, "arp");
	n = frame_dhcp(frame, &stranger);
	assert_true(frame_judge(&net, frame, n, &f));
	n = frame_dhcp(frame, &net);
	assert_false(frame_judge(&net, frame, n, &f)); /* our own */
}

static void test_gateway(void **state)
{
	struct segment sidecar = net;
	uint8_t frame[FRAME_MAX], mac[6];
	struct finding f;
	size_t n;

	(void)state;
	memcpy(sidecar.mac, net.gateway_mac, 6);
	sidecar.self = GATEWAY;
	n = frame_arp(frame, &sidecar, SELF);
	assert_false(frame_judge(&net, frame, n, &f));       /* the sidecar asks for the agent */
	assert_false(frame_is_gateway(&net, frame, n, mac)); /* a question is no answer */
	frame[14 + 7] = 2;
	assert_true(frame_is_gateway(&net, frame, n, mac));
	assert_memory_equal(mac, net.gateway_mac, 6);
	assert_false(frame_is_gateway(&net, frame, n - 1, mac));
	frame[11] = frame[14 + 8 + 5] = 9; /* another machine says that it is the sidecar */
	assert_true(frame_judge(&net, frame, n, &f));
	assert_string_equal(f.what, "arp");
}

static void test_icmp_and_udp(void **state)
{
	struct segment from = net;
	uint8_t frame[FRAME_MAX];
	struct finding f;
	size_t n;

	(void)state;
	memcpy(from.mac, net.gateway_mac, 6);
	from.self = GATEWAY;
	n = frame_echo(frame, &from, SELF);
	frame[34] = 0;
	assert_true(frame_judge(&net, frame, n, &f)); /* even the sidecar's answer to a ping */
	assert_string_equal(f.answer, "answered a ping");
	frame[34] = 3;
	assert_false(frame_judge(&net, frame, n, &f));
	memcpy(frame + 26, &(uint32_t){ OTHER }, 4);
	assert_true(frame_judge(&net, frame, n, &f));
	n = frame_dhcp(frame, &from);
	assert_true(frame_judge(&net, frame, n, &f));
	assert_string_equal(f.what, "udp");
}

#define B(s) (const uint8_t *)(s), sizeof(s) - 1

static void test_talk_judge(void **state)
{
	static const struct {
		enum talk_kind kind;
		const uint8_t *in;
		size_t n;
		enum talk_verdict want;
	} cases[] = {
		{ TALK_HTTP, B(""), TALK_SILENT },
		{ TALK_HTTP, B("HTTP/1.1 403 Forbidden\r\nX-Bottle-Sidecar: denied\r\n\r\n"), TALK_SIDECAR },
		{ TALK_HTTP, B("HTTP/1.1 403 Forbidden\r\n\r\n"), TALK_LEAK },
		{ TALK_HTTP, B("HTTP/1.1 200 OK\r\nX-Bottle-Sidecar: denied\r\n\r\n"), TALK_LEAK },
		{ TALK_HTTP, B("HTTP/1.1 502 Bad\r\nX-Bottle-Sidecar: failed\r\n\r\n"), TALK_LEAK },
		{ TALK_TLS, B("\x15\x03\x03\0\x02\x02\x31"), TALK_SIDECAR },
		{ TALK_TLS, B("\x15\x03\x03\0\x02\x02\x28"), TALK_LEAK },
		{ TALK_TLS, B("\x16\x03\x03\0\x02\x02\x31"), TALK_LEAK },
		{ TALK_DNS_UDP, B("bt\x81\x85\0\x01\0\0\0\0\0\0"), TALK_SIDECAR },
		{ TALK_DNS_UDP, B("bt\x81\x83\0\x01\0\0\0\0\0\0"), TALK_LEAK }, /* NXDOMAIN: somebody looked */
		{ TALK_DNS_UDP, B("bt\x81\x80\0\x01\0\x01\0\0\0\0"), TALK_LEAK },
		{ TALK_DNS_UDP, B("bt\x81\x85\0\x01\0\x01\0\0\0\0"), TALK_LEAK },
		{ TALK_DNS_UDP, B("bx\x81\x85\0\x01\0\0\0\0\0\0"), TALK_LEAK },
		{ TALK_DNS_TCP,
		  B("\0\x0c"
		    "bt\x81\x85\0\x01\0\0\0\0\0\0"),
		  TALK_SIDECAR },
		{ TALK_DNS_TCP, B("\0"), TALK_LEAK },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (talk_judge(cases[i].kind, cases[i].in, cases[i].n) != cases[i].want)
			fail_msg("case %zu", i);
}

/* The sidecar itself must understand the question as a hello for that name. */
static void test_hello(void **state)
{
	char name[HOST_MAX + 1];
	const char *why = NULL;
	uint8_t out[TALK_IN];
	size_t n = talk_question(TALK_TLS, out);

	(void)state;
	assert_int_equal(hello_parse(out, n, name, &why), 1);
	assert_string_equal(name, TALK_NAME);
}

static void test_spec(void **state)
{
	static const char *const bad[] = {
		"",
		"{}",
		"[]",
		"{\"self\":\"10.88.9.2\"}",
		"{\"self\":\"x\",\"gateway\":\"10.88.9.1\"}",
		"{\"self\":\"10.88.9.2\",\"gateway\":\"10.88.9.1\",\"hosts\":[\"host\"]}",
		"{\"self\":\"10.88.9.2\",\"gateway\":\"10.88.9.1\",\"ports\":[[\"127.0.0.1\",0]]}",
		"{\"self\":\"10.88.9.2\",\"gateway\":\"10.88.9.1\",\"ports\":[[\"127.0.0.1\",65536]]}",
		"{\"self\":\"10.88.9.2\",\"gateway\":\"10.88.9.1\",\"dns\":[1]}",
	};
	static const char good[] = "{\"self\":\"10.88.9.2\",\"gateway\":\"10.88.9.1\",\"own\":[\"10.77.0.2\"],"
				   "\"hosts\":[\"192.0.2.2\"],\"dns\":[],\"ports\":[[\"127.0.0.16\",8443]]}";
	static struct spec s;
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (spec_parse(bad[i], strlen(bad[i]), &s, &e) == 0)
			fail_msg("accepted: %s", bad[i]);
	assert_int_equal(spec_parse(good, strlen(good), &s, &e), 0);
	assert_int_equal(s.net.self, SELF);
	assert_int_equal(s.net.own[0], EGRESS);
	assert_int_equal(s.hosts[0], OTHER);
	assert_int_equal(s.ports[0].port, 8443);
}

static void test_report(void **state)
{
	struct report r = { .checked = 3 };
	struct finding f;
	json_t *json;

	(void)state;
	for (uint16_t i = 1; i <= 3 * LEAKS_MAX; i++) {
		finding_set(&f, "tcp", OTHER, i, "accepted");
		report_add(&r, &f);
		report_add(&r, &f);
		assert_int_equal(r.n_leaks, i < LEAKS_MAX ? i : LEAKS_MAX);
	}
	json = report_json(&r);
	assert_true(json_is_false(json_object_get(json, "ok")));
	assert_int_equal(json_array_size(json_object_get(json, "leaks")), LEAKS_MAX);
	assert_string_equal(json_string_value(
				    json_object_get(json_array_get(json_object_get(json, "leaks"), 0), "target")),
			    "192.0.2.2:1");
	json_decref(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp),          cmocka_unit_test(test_neighbours), cmocka_unit_test(test_gateway),
		cmocka_unit_test(test_icmp_and_udp), cmocka_unit_test(test_talk_judge), cmocka_unit_test(test_hello),
		cmocka_unit_test(test_spec),         cmocka_unit_test(test_report),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
