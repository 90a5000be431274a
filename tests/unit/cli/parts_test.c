/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/parts.h"
#include "cli/target.h"
#include "cli/units.h"

static struct policy *demo(void)
{
	struct policy_errors errors = { 0 };
	struct policy *p = NULL;

	assert_int_equal(policy_load("policies/demo.json", &p, &errors, NULL), 0);
	return p;
}

static void place(struct plan *p, const char *networks, int want)
{
	json_t *list = json_loads(networks, 0, NULL);
	struct err e = { 0 };

	assert_non_null(list);
	assert_int_equal(plan_place(p, list, &e), want);
	json_decref(list);
}

static void test_names(void **state)
{
	_cleanup_policy_ struct policy *policy = demo();
	_cleanup_plan_ struct plan p = { 0 };

	(void)state;
	plan_init(&p, policy, "demo", "{}", "h");
	assert_string_equal(p.internal, "demo-internal");
	assert_string_equal(p.egress, "demo-egress");
	assert_string_equal(p.sidecar, "demo-sidecar");
	assert_string_equal(p.agent, "demo-agent");
}

static void test_subnet_is_derived_and_stable(void **state)
{
	_cleanup_policy_ struct policy *policy = demo();
	uint32_t net;

	(void)state;
	for (int i = 0; i < 200; i++) {
		_cleanup_free_ char *name = xasprintf("bottle-%d", i);
		_cleanup_plan_ struct plan p = { 0 };

		plan_init(&p, policy, name, "{}", "h");
		place(&p, "[]", 0);
		net = POOL_NETWORK + (subnet_first(name) << (32 - SUBNET_PREFIX));
		assert_int_equal(p.subnet, net);
		assert_int_equal(p.subnet >> (32 - POOL_PREFIX), POOL_NETWORK >> (32 - POOL_PREFIX));
		assert_int_equal(p.subnet & 7, 0);
		assert_true(str_prefix(p.sidecar_addr, "10.88."));
		assert_string_not_equal(p.sidecar_addr, p.agent_addr);
	}
}

/* Each case: networks in the engine's words, made from the subnet that is asked for first. */
static void test_subnet_moves_on(void **state)
{
	static const struct {
		unsigned int prefix;
		uint32_t moves; /* by so many subnets; UINT32_MAX: there is none */
	} cases[] = { { 29, 1 }, { 30, 1 }, { 32, 1 }, { 16, UINT32_MAX }, { 8, UINT32_MAX }, { 0, UINT32_MAX } };
	_cleanup_policy_ struct policy *policy = demo();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint32_t first = subnet_first("demo"), addr = POOL_NETWORK + (first << 3);
		_cleanup_free_ char *networks = xasprintf(
			"[{\"Name\":\"x\",\"IPAM\":{\"Config\":[{\"Subnet\":\"%u.%u.%u.%u/%u\"}]}},{\"IPAM\":null},{}]",
			addr >> 24, addr >> 16 & 255, addr >> 8 & 255, addr & 255, cases[i].prefix);
		_cleanup_plan_ struct plan p = { 0 };

		plan_init(&p, policy, "demo", "{}", "h");
		place(&p, networks, cases[i].moves == UINT32_MAX ? -EADDRNOTAVAIL : 0);
		if (cases[i].moves != UINT32_MAX)
			assert_int_equal(p.subnet, POOL_NETWORK + (((first + cases[i].moves) % SUBNET_COUNT) << 3));
	}
}

static void test_odd_networks_are_ignored(void **state)
{
	static const char *const lists[] = {
		"[{\"IPAM\":{\"Config\":[{\"Subnet\":\"fd00::/"
		"64\"},{\"Subnet\":\"10.88.0.0\"},{\"Subnet\":5},{\"Subnet\":\"10.88.0.0/x\"}]}}]",
		"[1, null, \"x\", {\"IPAM\":[]}]",
		"[{\"IPAM\":{\"Config\":{}}}]",
	};
	_cleanup_policy_ struct policy *policy = demo();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		_cleanup_plan_ struct plan p = { 0 };

		plan_init(&p, policy, "demo", "{}", "h");
		place(&p, lists[i], 0);
		assert_int_equal(p.subnet, POOL_NETWORK + (subnet_first("demo") << 3));
	}
}

/* The value at a path of keys and indices, as compact JSON text. */
static void expect(json_t *o, const char *path, const char *want)
{
	_cleanup_free_ char *copy = xstrdup(path), *text = NULL;
	char *rest = copy, *word;
	json_t *v = o;

	while ((word = strsep(&rest, " ")))
		v = json_is_array(v) ? json_array_get(v, (size_t)(*word - '0')) : json_object_get(v, word);
	text = v ? json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS) : xstrdup("(none)");
	if (!str_eq(text, want))
		fail_msg("%s is %s, not %s", path, text, want);
}

static void test_bodies(void **state)
{
	_cleanup_policy_ struct policy *policy = demo();
	_cleanup_free_ char *sidecar_addr = NULL, *agent_addr = NULL, *dns = NULL, *env = NULL;
	_cleanup_plan_ struct plan p = { 0 };
	json_t *o;

	(void)state;
	plan_init(&p, policy, "demo", "{}", "h");
	place(&p, "[]", 0);
	sidecar_addr = xasprintf("\"%s\"", p.sidecar_addr);
	agent_addr = xasprintf("\"%s\"", p.agent_addr);
	dns = xasprintf("[\"%s\"]", p.sidecar_addr);

	o = plan_network(&p, true);
	expect(o, "Name", "\"demo-internal\"");
	expect(o, "Internal", "true");
	expect(o, "IPAM Config 0 Gateway", sidecar_addr);
	expect(o, "Labels bottle.name", "\"demo\"");
	json_decref(o);
	o = plan_network(&p, false);
	expect(o, "Internal", "false");
	expect(o, "Options", "{\"bottle.kind\":\"egress\"}");
	expect(o, "IPAM", "(none)");
	json_decref(o);

	o = plan_sidecar(&p);
	env = xasprintf("[\"BOTTLE_INTERNAL=%s\",\"BOTTLE_STATUS_PORT=8443\"]", p.sidecar_addr);
	expect(o, "Env", env);
	expect(o, "HostConfig CapAdd", "[\"NET_ADMIN\"]");
	expect(o, "HostConfig Sysctls net.ipv4.ip_forward", "\"0\"");
	expect(o, "HostConfig PortBindings", "{\"8443/tcp\":[{\"HostIp\":\"127.0.0.16\",\"HostPort\":\"8443\"}]}");
	expect(o, "NetworkingConfig EndpointsConfig demo-internal IPAMConfig IPv4Address", sidecar_addr);
	expect(o, "NetworkingConfig EndpointsConfig demo-egress", "{}");
	expect(o, "Labels", "{\"bottle.name\":\"demo\",\"bottle.policy\":\"h\",\"bottle.role\":\"sidecar\"}");
	json_decref(o);

	o = plan_agent(&p, &(struct agent_run){ .tty = true });
	expect(o, "Cmd", "[\"bash\"]");
	expect(o, "Tty", "true");
	expect(o, "OpenStdin", "true");
	expect(o, "StdinOnce", "false");
	expect(o, "HostConfig NetworkMode", "\"demo-internal\"");
	expect(o, "HostConfig Dns", dns);
	expect(o, "HostConfig NanoCpus", "1000000000");
	expect(o, "HostConfig Memory", "536870912");
	expect(o, "HostConfig PortBindings", "(none)");
	expect(o, "NetworkingConfig EndpointsConfig demo-egress", "(none)");
	expect(o, "NetworkingConfig EndpointsConfig demo-internal IPAMConfig IPv4Address", agent_addr);
	json_decref(o);

	o = plan_agent(&p, &(struct agent_run){ .command = (char *[]){ (char[]){ "id" }, NULL }, .attached = true });
	expect(o, "Cmd", "[\"id\"]");
	expect(o, "StdinOnce", "true");
	expect(o, "Tty", "false");
	json_decref(o);
}

static void test_targets(void **state)
{
	static const struct {
		const char *text, *host; /* NULL: refused */
		uint16_t port;
	} cases[] = {
		{ "https://a.example/x?y", "a.example", 443 },
		{ "http://a.example", "a.example", 80 },
		{ "HTTP://a.example:8080/", "a.example", 8080 },
		{ "a.example:22", "a.example", 22 },
		{ "a.example", "a.example", 443 },
		{ "https://[2001:db8::1]:8443/", "[2001:db8::1]", 8443 },
		{ "[::1]", "[::1]", 443 },
		{ "a.example/path", "a.example", 443 },
		{ "ftp://a.example", NULL, 0 },
		{ "https://", NULL, 0 },
		{ "", NULL, 0 },
		{ ":80", NULL, 0 },
		{ "a.example:0", NULL, 0 },
		{ "a.example:65536", NULL, 0 },
		{ "a.example:x", NULL, 0 },
		{ "https://user@a.example/", NULL, 0 },
		{ "[::1", NULL, 0 },
		{ "[::1]x", NULL, 0 },
		{ "a.example:", NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *host = NULL;
		struct err e = { 0 };
		uint16_t port = 0;
		int r = target_parse(cases[i].text, &host, &port, &e);

		if ((r == 0) != (cases[i].host != NULL))
			fail_msg("'%s': %d %s", cases[i].text, r, e.text);
		if (r == 0) {
			assert_string_equal(host, cases[i].host);
			assert_int_equal(port, cases[i].port);
		} else {
			assert_true(e.text[0]);
		}
	}
}

static void test_units(void **state)
{
	bool seen_mode = false, seen_kill = false, seen_netpolicyd = false;

	(void)state;
	for (size_t i = 0; i < n_units; i++) {
		_cleanup_free_ char *text = unit_render(&units[i], "/opt/a \"b\" 5%/bin", units[i].system_only);

		assert_null(strchr(text, '@'));
		if (str_eq(units[i].name, "bottle.socket"))
			seen_mode = strstr(text,
					   "ListenStream=%t/bottle/engine.sock\nSocketMode=0600\nDirectoryMode=0700\n");
		if (str_eq(units[i].name, "bottle.service"))
			seen_kill = strstr(text, "\nKillMode=process\n") && strstr(text, "\nType=simple\n") &&
				    strstr(text, "ExecStart=\"/opt/a \\\"b\\\" 5%%/bin/bottle\" system service");
		if (str_eq(units[i].name, "bottle-netpolicyd.socket"))
			seen_netpolicyd = strstr(text, "ListenSequentialPacket=/run/bottle/netpolicyd.sock\n") &&
					  strstr(text, "\nSocketMode=0666\n");
	}
	assert_true(seen_mode && seen_kill && seen_netpolicyd);
}

static void test_context(void **state)
{
	_cleanup_free_ char *dir = context_dir(), *meta = context_meta("/run/x \"y\"/engine.sock");
	json_t *o = json_loads(meta, 0, NULL);

	(void)state;
	/* printf bottle | sha256sum */
	assert_string_equal(dir, "contexts/meta/7def9c79e5be6d7a70022168b8b099ce1e707a2fd809a60fab73de6de578884b");
	expect(o, "Name", "\"bottle\"");
	expect(o, "Endpoints docker Host", "\"unix:///run/x \\\"y\\\"/engine.sock\"");
	json_decref(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),           cmocka_unit_test(test_subnet_is_derived_and_stable),
		cmocka_unit_test(test_subnet_moves_on), cmocka_unit_test(test_odd_networks_are_ignored),
		cmocka_unit_test(test_bodies),          cmocka_unit_test(test_targets),
		cmocka_unit_test(test_units),           cmocka_unit_test(test_context),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
