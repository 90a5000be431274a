/* SPDX-License-Identifier: Apache-2.0 */
/* Create bodies: what is taken, what is refused and by which words, what an image adds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "api/spec.h"
#include "base/mem.h"

static const struct body_case {
	const char *body;
	enum err_class cls; /* with says */
	const char *says;   /* NULL: taken */
} bodies[] = {
	{ "{\"Image\":\"a\"}", 0, NULL },
	{ "{\"image\":\"a\",\"cmd\":\"ls\",\"hostconfig\":null}", 0, NULL },
	{ "{\"Image\":\"a\",\"HostConfig\":{\"Binds\":null,\"Privileged\":false,\"Devices\":[],\"CgroupParent\":\"x\","
	  "\"OomScoreAdj\":5}}",
	  0, NULL },
	{ "{\"Image\":\"a\",\"HostConfig\":{\"Privileged\":true}}", ERR_UNSUPPORTED, "Privileged" },
	{ "{\"Image\":\"a\",\"HostConfig\":{\"Binds\":[\"/:/x\"]}}", ERR_UNSUPPORTED, "Binds" },
	{ "{\"Image\":\"a\",\"HostConfig\":{\"binds\":[\"/:/x\"]}}", ERR_UNSUPPORTED, "Binds" },
	{ "{\"Image\":\"a\",\"HostConfig\":{\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"/\",\"Target\":\"/x\"}]}}",
	  ERR_UNSUPPORTED, "Mounts" },
	{ "{\"Image\":\"a\",\"HostConfig\":{\"Devices\":[{\"PathOnHost\":\"/dev/kvm\"}]}}", ERR_UNSUPPORTED,
	  "Devices" },
	{ "{\"Image\":\"a\",\"HostConfig\":{\"VolumesFrom\":[\"b\"]}}", ERR_UNSUPPORTED, "VolumesFrom" },
	{ "{\"Image\":\"a\",\"HostConfig\":{\"Links\":[\"b\"]}}", ERR_UNSUPPORTED, "Links" },
	{ "{\"Image\":\"a\",\"Volumes\":{\"/data\":{}}}", ERR_UNSUPPORTED, "Volumes" },
	{ "{\"Image\":\"a\",\"HostConfig\":{\"PidMode\":\"host\"}}", ERR_UNSUPPORTED, "PidMode" },
	{ "{\"Image\":\"a\",\"HostConfig\":{\"NetworkMode\":\"host\"}}", ERR_UNSUPPORTED, "NetworkMode" },
	{ "{\"Image\":\"a\",\"HostConfig\":{\"NetworkMode\":\"container:x\"}}", ERR_UNSUPPORTED, "NetworkMode" },
	{ "{\"Image\":\"a\",\"HostConfig\":{\"RestartPolicy\":{\"Name\":\"always\"}}}", ERR_UNSUPPORTED,
	  "RestartPolicy" },
	{ "{\"Image\":\"a\",\"HostConfig\":{\"RestartPolicy\":{\"Name\":\"no\"}}}", 0, NULL },
	{ "{\"Image\":\"a\",\"HostConfig\":{\"SecurityOpt\":[\"seccomp={}\"]}}", ERR_UNSUPPORTED, "SecurityOpt" },
	{ "{\"Image\":\"a\",\"HostConfig\":{\"CapAdd\":[\"nothing\"]}}", ERR_INVALID, "unknown capability" },
	{ "{\"Image\":\"a\",\"HostConfig\":{\"Memory\":1000}}", ERR_INVALID, "6MB" },
	{ "{\"Image\":\"a\",\"HostConfig\":{\"NanoCpus\":1000000000,\"CpuQuota\":5000}}", ERR_INVALID,
	  "Conflicting options" },
	{ "{\"Image\":\"a\",\"HostConfig\":{\"PortBindings\":{\"80/tcp\":[{\"HostPort\":\"x\"}]}}}", ERR_INVALID,
	  "invalid port" },
	{ "{\"Image\":\"a\",\"HostConfig\":{\"PortBindings\":{\"80/tcp\":[{\"HostIp\":\"::1\"}]}}}", ERR_UNSUPPORTED,
	  "IPv4" },
	{ "{\"Image\":\"a\",\"HostConfig\":{\"PortBindings\":{\"99999\":[]}}}", ERR_INVALID, "invalid port" },
	{ "{\"Image\":\"a\",\"HostConfig\":{\"Dns\":[\"example\"]}}", ERR_INVALID, "Dns" },
	{ "{\"Image\":\"a\",\"HostConfig\":{\"ExtraHosts\":[\"a\"]}}", ERR_INVALID, "add-host" },
	{ "{\"Image\":\"a\",\"HostConfig\":{\"ExtraHosts\":[\"a:1.2.3.4\\n6.6.6.6 b\"]}}", ERR_INVALID, "add-host" },
	{ "{\"Image\":\"a\",\"Env\":[\"=x\"]}", ERR_INVALID, "environment" },
	{ "{\"Image\":\"a\",\"Env\":\"A=1\"}", ERR_INVALID, "Env" },
	{ "{\"Image\":5}", ERR_INVALID, "Image" },
	{ "{\"Image\":\"a\",\"Hostname\":\"a b\"}", ERR_INVALID, "Hostname" },
	{ "{\"Image\":\"a\",\"WorkingDir\":\"x\"}", ERR_INVALID, "absolute" },
	{ "{\"Image\":\"a\",\"StopSignal\":\"NOPE\"}", ERR_INVALID, "signal" },
	{ "{\"Image\":\"a\",\"Healthcheck\":{\"Test\":[\"CMD\",\"x\"]}}", ERR_UNSUPPORTED, "Healthcheck" },
	{ "{\"Image\":\"a\",\"NetworkingConfig\":{\"EndpointsConfig\":{\"n\":{\"IPAMConfig\":{\"IPv4Address\":\"x\"}}}}"
	  "}",
	  ERR_INVALID, "IPv4" },
	{ "{\"Image\":\"a\",\"NetworkingConfig\":{\"EndpointsConfig\":{\"n\":{\"MacAddress\":\"02:00:00:00:00:01\"}}}}",
	  ERR_UNSUPPORTED, "MacAddress" },
	{ "{\"Image\":\"a\",\"HostConfig\":{\"NetworkMode\":\"none\"},\"NetworkingConfig\":{\"EndpointsConfig\":{\"n\":"
	  "{}}}}",
	  ERR_INVALID, "conflicting" },
};

static void test_bodies(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		json_t *body = json_loads(bodies[i].body, 0, NULL);
		struct err e = { 0 };
		struct spec s;
		int r;

		assert_non_null(body);
		r = spec_parse(&s, body, &e);
		if (!bodies[i].says && r < 0)
			fail_msg("%s: refused: %s", bodies[i].body, e.text);
		if (bodies[i].says && (r == 0 || e.cls != bodies[i].cls || !strstr(e.text, bodies[i].says)))
			fail_msg("%s: %d, class %d, '%s'", bodies[i].body, r, e.cls, e.text);
		spec_done(&s);
		json_decref(body);
	}
}

static const struct command_case {
	const char *body, *image, *entry, *cmd; /* entry NULL: "no command specified" */
} commands[] = {
	{ "{}", "{\"Cmd\":[\"c\"]}", "null", "[\"c\"]" },
	{ "{}", "{\"Cmd\":[\"c\"],\"Entrypoint\":[\"e\"]}", "[\"e\"]", "[\"c\"]" },
	{ "{\"Cmd\":[\"mine\"]}", "{\"Cmd\":[\"c\"],\"Entrypoint\":[\"e\"]}", "[\"e\"]", "[\"mine\"]" },
	{ "{\"Entrypoint\":\"x\"}", "{\"Cmd\":[\"c\"],\"Entrypoint\":[\"e\"]}", "[\"x\"]", "null" },
	{ "{\"Entrypoint\":[\"\"],\"Cmd\":[\"m\"]}", "{\"Entrypoint\":[\"e\"]}", "null", "[\"m\"]" },
	{ "{\"Entrypoint\":[],\"Cmd\":[\"m\"]}", "{\"Entrypoint\":[\"e\"]}", "[]", "[\"m\"]" },
	{ "{\"Entrypoint\":[\"\"]}", "{\"Cmd\":[\"c\"]}", NULL, NULL },
	{ "{}", "{}", NULL, NULL },
};

static void test_commands(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		const struct command_case *t = &commands[i];
		json_t *body = json_loads(t->body, 0, NULL), *image = json_loads(t->image, 0, NULL);
		struct err e = { 0 };
		struct spec s;

		assert_int_equal(spec_parse(&s, body, &e), 0);
		if (!t->entry) {
			assert_true(spec_merge_image(&s, image, &e) < 0);
			assert_string_equal(e.text, "no command specified");
		} else {
			_cleanup_free_ char *entry = NULL, *cmd = NULL;

			assert_int_equal(spec_merge_image(&s, image, &e), 0);
			entry = json_dumps(json_object_get(s.config, "Entrypoint"), JSON_ENCODE_ANY | JSON_COMPACT);
			cmd = json_dumps(json_object_get(s.config, "Cmd"), JSON_ENCODE_ANY | JSON_COMPACT);
			assert_string_equal(entry, t->entry);
			assert_string_equal(cmd, t->cmd);
		}
		spec_done(&s);
		json_decref(body);
		json_decref(image);
	}
}

static void test_merge(void **state)
{
	json_t *body =
		json_loads("{\"Env\":[\"A=1\"],\"Labels\":{\"k\":\"mine\"},\"ExposedPorts\":{\"81\":{}}}", 0, NULL);
	json_t *image = json_loads(
		"{\"Env\":[\"A=0\",\"B=2\"],\"Labels\":{\"k\":\"image\",\"l\":\"x\"},\"ExposedPorts\":{\"80/tcp\":{}},"
		"\"Cmd\":[\"c\"],\"User\":\"u\",\"WorkingDir\":\"/w\"}",
		0, NULL);
	_cleanup_free_ char *env = NULL, *labels = NULL, *ports = NULL;
	struct err e = { 0 };
	struct spec s;

	(void)state;
	assert_int_equal(spec_parse(&s, body, &e), 0);
	assert_int_equal(spec_merge_image(&s, image, &e), 0);
	env = json_dumps(json_object_get(s.config, "Env"), JSON_COMPACT);
	labels = json_dumps(json_object_get(s.config, "Labels"), JSON_COMPACT | JSON_SORT_KEYS);
	ports = json_dumps(json_object_get(s.config, "ExposedPorts"), JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(env, "[\"A=1\",\"B=2\"]");
	assert_string_equal(labels, "{\"k\":\"mine\",\"l\":\"x\"}");
	assert_string_equal(ports, "{\"80/tcp\":{},\"81/tcp\":{}}");
	assert_string_equal(member_text(s.config, "User"), "u");
	assert_string_equal(member_text(s.config, "WorkingDir"), "/w");
	assert_string_equal(member_text(s.host_config, "NetworkMode"), "bridge");
	spec_done(&s);
	json_decref(body);
	json_decref(image);
}

static void test_caps(void **state)
{
	static const struct {
		const char *host;
		uint64_t mask;
	} cases[] = {
		{ "{}", 0xa80425fb },
		{ "{\"CapDrop\":[\"ALL\"]}", 0 },
		{ "{\"CapDrop\":[\"all\"],\"CapAdd\":[\"CHOWN\"]}", 1 },
		{ "{\"CapAdd\":[\"cap_net_admin\"]}", 0xa80425fb | 1 << 12 },
		{ "{\"CapDrop\":[\"CAP_CHOWN\"]}", 0xa80425fa },
		{ "{\"CapAdd\":[\"ALL\"],\"CapDrop\":[\"CHOWN\"]}", 0x1fffffffffe },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_t *host = json_loads(cases[i].host, 0, NULL);
		uint64_t mask = 1;

		assert_int_equal(spec_caps(host, &mask, NULL), 0);
		assert_int_equal(mask, cases[i].mask);
		json_decref(host);
	}
}

static void test_signals(void **state)
{
	(void)state;
	assert_int_equal(signal_number("SIGTERM"), 15);
	assert_int_equal(signal_number("kill"), 9);
	assert_int_equal(signal_number("15"), 15);
	assert_int_equal(signal_number("SIGRTMIN+3"), 37);
	assert_int_equal(signal_number("NOPE"), 0);
	assert_int_equal(signal_number("65"), 0);
	assert_int_equal(signal_number(""), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bodies), cmocka_unit_test(test_commands), cmocka_unit_test(test_merge),
		cmocka_unit_test(test_caps),   cmocka_unit_test(test_signals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
