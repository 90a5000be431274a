/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/str.h"
#include "cli/probe.h"

static bool has(const json_t *list, const char *text)
{
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item) {
		if (str_eq(json_string_value(item), text))
			return true;
	}
	return false;
}

static void test_targets(void **state)
{
	static char name[] = "demo";
	struct plan p = { .name = name, .sidecar_addr = "10.88.9.1", .agent_addr = "10.88.9.2" };
	json_t *containers = json_loads(
		"[{\"Labels\":{\"bottle.name\":\"demo\",\"bottle.role\":\"sidecar\"},\"NetworkSettings\":{\"Networks\":"
		"{"
		"\"demo-egress\":{\"IPAddress\":\"10.77.0.2\"},\"demo-internal\":{\"IPAddress\":\"10.88.9.1\"}}},"
		"\"Ports\":[{\"IP\":\"127.0.0.16\",\"PrivatePort\":8443,\"PublicPort\":8443,\"Type\":\"tcp\"}]},"
		"{\"Labels\":{\"bottle.name\":\"b\",\"bottle.role\":\"agent\"},\"NetworkSettings\":{\"Networks\":{"
		"\"b-internal\":{\"IPAddress\":\"10.88.7.2\"}}},\"Ports\":[{\"PrivatePort\":1}]}]",
		0, NULL);
	json_t *networks =
		json_loads("[{\"IPAM\":{\"Config\":[{\"Gateway\":\"172.30.0.1\"},{}]}},{\"IPAM\":null}]", 0, NULL);
	json_t *t = probe_targets(&p, containers, networks), *hosts = json_object_get(t, "hosts");
	json_t *ports = json_object_get(t, "ports"), *port = json_array_get(ports, json_array_size(ports) - 1);

	(void)state;
	assert_non_null(containers);
	assert_non_null(networks);
	assert_true(has(hosts, "169.254.169.254"));
	assert_true(has(hosts, "10.77.0.2"));
	assert_true(has(hosts, "10.88.7.2"));
	assert_true(has(hosts, "172.30.0.1"));
	assert_false(has(hosts, "10.88.9.1"));
	assert_false(has(hosts, "10.88.9.2"));
	assert_true(has(json_object_get(t, "own"), "10.77.0.2"));
	assert_false(has(json_object_get(t, "own"), "10.88.7.2"));
	assert_string_equal(json_string_value(json_array_get(port, 0)), "127.0.0.16");
	assert_int_equal(json_integer_value(json_array_get(port, 1)), 8443);
	assert_true(has(json_object_get(t, "dns"), "1.1.1.1"));
	json_decref(t);
	json_decref(containers);
	json_decref(networks);
}

static void test_verdict(void **state)
{
	static const struct {
		const char *out;
		int code;
		bool good;
		const char *says;
	} cases[] = {
		{ "{\"ok\":true,\"leaks\":[],\"checked\":9}\n", 0, true, NULL },
		{ "{\"ok\":true,\"leaks\":[],\"checked\":9}", 1, false, "no verdict" },
		{ "{\"ok\":true,\"leaks\":[],\"checked\":0}", 0, false, "no verdict" },
		{ "{\"ok\":true,\"checked\":9}", 0, false, "no verdict" },
		{ "{\"ok\":false,\"leaks\":[],\"checked\":9}", 0, false, "no verdict" },
		{ "{\"ok\":true,\"leaks\":[{}],\"checked\":9}", 0, false, "1 answered" },
		{ "", 0, false, "no verdict" },
		{ "the sidecar does not answer ARP", 2, false, "does not answer ARP" },
		{ "{\"ok\":false,\"leaks\":[{\"what\":\"tcp\",\"target\":\"192.0.2.2:22\",\"answer\":"
		  "\"accepted\\u001b\"}],"
		  "\"checked\":9}",
		  1, false, "192.0.2.2:22 (tcp) accepted?" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_buf_ struct buf out = { 0 };
		unsigned int checked = 0;
		struct err e = { 0 };

		buf_puts(&out, cases[i].out);
		if ((probe_verdict(cases[i].code, &out, &checked, &e) == 0) != cases[i].good)
			fail_msg("case %zu", i);
		if (cases[i].good)
			assert_int_equal(checked, 9);
		else if (!strstr(e.text, cases[i].says))
			fail_msg("case %zu says: %s", i, e.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_targets), cmocka_unit_test(test_verdict) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
