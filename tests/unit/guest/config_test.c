/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/tlv.h"
#include "guest/config.h"

static unsigned char space[2 * GUEST_BODY_MAX];

static void test_whole(void **state)
{
	static const unsigned char a[4] = { 10, 0, 0, 1 }, mac[6] = { 2, 1, 2, 3, 4, 5 };
	struct guest_config c;
	struct tlv t;

	(void)state;
	tlv_init(&t, space, sizeof(space));
	tlv_bytes(&t, GUEST_TAG_ENTROPY, "0123456789abcdef0123456789abcdef", 32);
	tlv_u64(&t, GUEST_TAG_CLOCK_NS, 1700000000000000000ULL);
	tlv_str(&t, GUEST_TAG_HOSTNAME, "box");
	tlv_u32(&t, GUEST_TAG_LAYER, 3);
	tlv_u32(&t, GUEST_TAG_LAYER, 1);
	tlv_u32(&t, GUEST_TAG_SCRATCH, 4);
	for (uint32_t i = 0; i < 2; i++) {
		tlv_u32(&t, GUEST_TAG_NIC, i);
		tlv_str(&t, GUEST_TAG_NIC_NAME, i ? "eth1" : "eth0");
		tlv_bytes(&t, GUEST_TAG_NIC_ADDR, a, 4);
		tlv_u32(&t, GUEST_TAG_NIC_PREFIX, 24);
		tlv_bytes(&t, GUEST_TAG_NEIGH_ADDR, a, 4);
		tlv_bytes(&t, GUEST_TAG_NEIGH_MAC, mac, 6);
	}
	tlv_str(&t, GUEST_TAG_SYSCTL, "a.b=1");
	tlv_str(&t, GUEST_TAG_SYSCTL, "a.c=2");
	tlv_str(&t, GUEST_TAG_FILE_PATH, "/a");
	tlv_bytes(&t, GUEST_TAG_FILE_DATA, "x\0y", 3);
	tlv_str(&t, GUEST_TAG_FILE_PATH, "/b");
	tlv_u32(&t, GUEST_TAG_FILE_MODE, 0600);
	assert_int_equal(config_decode(space, (size_t)tlv_len(&t), &c, NULL), 0);
	assert_int_equal(c.entropy.len, 32);
	assert_int_equal(c.clock_ns, 1700000000000000000ULL);
	assert_string_equal(c.hostname, "box");
	assert_int_equal(c.n_layers, 2);
	assert_int_equal(c.layers[0], 3);
	assert_int_equal(c.scratch, 4);
	assert_int_equal(c.n_nics, 2);
	assert_string_equal(c.nics[1].name, "eth1");
	assert_int_equal(c.nics[1].n_neigh, 1);
	assert_memory_equal(c.nics[1].neigh[0].mac, mac, 6);
	assert_int_equal(strv_len(c.sysctls), 2);
	assert_int_equal(c.n_files, 2);
	assert_memory_equal(c.files[0].data.data, "x\0y", 3);
	assert_int_equal(c.files[0].mode, 0644);
	assert_int_equal(c.files[1].mode, 0600);
	for (size_t n = 0; n < (size_t)tlv_len(&t); n++) { /* every cut is either whole fields or refused */
		struct guest_config cut;

		config_decode(space, n, &cut, NULL);
		config_done(&cut);
	}
	config_done(&c);
	assert_int_equal(config_decode(NULL, 0, &c, NULL), 0);
	assert_int_equal(c.scratch, CONFIG_NONE);
	config_done(&c);
}

/* One field, written by hand, in a body with nothing else. */
static void test_refused(void **state)
{
	static const struct {
		const char *why;
		uint16_t tag;
		const char *data;
		size_t n;
	} cases[] = {
		{ "unknown tag", 9999, "", 0 },
		{ "a tag of HOST_START", GUEST_TAG_ARG, "x", 1 },
		{ "no u32", GUEST_TAG_SCRATCH, "abc", 3 },
		{ "no u64", GUEST_TAG_SHM_SIZE, "abcd", 4 },
		{ "flag of 2", GUEST_TAG_ROOT_RO, "\2\0\0\0", 4 },
		{ "NUL in a string", GUEST_TAG_HOSTNAME, "a\0b", 3 },
		{ "NIC field before a NIC", GUEST_TAG_NIC_NAME, "eth0", 4 },
		{ "neighbour before a NIC", GUEST_TAG_NEIGH_ADDR, "\1\2\3\4", 4 },
		{ "neighbour's MAC alone", GUEST_TAG_NEIGH_MAC, "123456", 6 },
		{ "file data before a file", GUEST_TAG_FILE_DATA, "x", 1 },
		{ "file with no absolute path", GUEST_TAG_FILE_PATH, "a", 1 },
		{ "DNS address of 5 bytes", GUEST_TAG_DNS, "12345", 5 },
		{ "too little entropy", GUEST_TAG_ENTROPY, "short", 5 },
	};
	struct guest_config c;
	struct tlv t;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err e = { 0 };

		tlv_init(&t, space, sizeof(space));
		tlv_bytes(&t, cases[i].tag, cases[i].data, cases[i].n);
		assert_int_equal(config_decode(space, (size_t)tlv_len(&t), &c, &e), -EBADMSG);
		assert_true(strlen(e.text) > 0);
		config_done(&c);
	}
}

static int repeat(uint16_t tag, int times, bool string)
{
	struct guest_config c;
	struct tlv t;
	int r;

	tlv_init(&t, space, sizeof(space));
	for (int i = 0; i < times; i++) {
		if (string)
			tlv_str(&t, tag, "/x");
		else
			tlv_u32(&t, tag, (uint32_t)i);
	}
	r = config_decode(space, (size_t)tlv_len(&t), &c, NULL);
	config_done(&c);
	return r;
}

static void test_limits(void **state)
{
	static const struct {
		uint16_t tag;
		int max;
		bool string;
	} cases[] = {
		{ GUEST_TAG_LAYER, GUEST_LAYERS_MAX, false },   { GUEST_TAG_NIC, GUEST_NICS_MAX, false },
		{ GUEST_TAG_FILE_PATH, GUEST_FILES_MAX, true }, { GUEST_TAG_HOST, CONFIG_STRINGS_MAX, true },
		{ GUEST_TAG_DNS, CONFIG_STRINGS_MAX, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(repeat(cases[i].tag, cases[i].max, cases[i].string), 0);
		assert_int_equal(repeat(cases[i].tag, cases[i].max + 1, cases[i].string), -EBADMSG);
	}
}

static void test_start(void **state)
{
	struct guest_start s;
	struct tlv t;

	(void)state;
	tlv_init(&t, space, sizeof(space));
	tlv_str(&t, GUEST_TAG_ARG, "sh");
	tlv_str(&t, GUEST_TAG_ARG, "");
	tlv_str(&t, GUEST_TAG_ENV, "A=B");
	tlv_u64(&t, GUEST_TAG_CAPS, 1ULL << 40);
	tlv_u32(&t, GUEST_TAG_TTY, 1);
	tlv_u32(&t, GUEST_TAG_OOM_ADJ, 500);
	assert_int_equal(start_decode(space, (size_t)tlv_len(&t), &s, NULL), 0);
	assert_int_equal(strv_len(s.argv), 2);
	assert_string_equal(s.argv[1], "");
	assert_true(s.tty && s.has_oom_adj && !s.input && !s.main);
	assert_int_equal(s.caps, 1ULL << 40);
	start_done(&s);
	tlv_u32(&t, GUEST_TAG_ROWS, 65536);
	assert_int_equal(start_decode(space, (size_t)tlv_len(&t), &s, NULL), -EBADMSG);
	start_done(&s);
	assert_int_equal(start_decode(NULL, 0, &s, NULL), -EBADMSG); /* no command */
	start_done(&s);
	tlv_init(&t, space, sizeof(space));
	tlv_str(&t, GUEST_TAG_ARG, "sh");
	tlv_u32(&t, GUEST_TAG_LAYER, 1);
	assert_int_equal(start_decode(space, (size_t)tlv_len(&t), &s, NULL), -EBADMSG);
	start_done(&s);
}

static void test_one(void **state)
{
	struct tlv t;
	uint32_t v = 0;

	(void)state;
	tlv_init(&t, space, sizeof(space));
	tlv_u32(&t, GUEST_TAG_CREDIT, 17);
	assert_true(config_one_u32(space, (size_t)tlv_len(&t), GUEST_TAG_CREDIT, &v));
	assert_int_equal(v, 17);
	assert_false(config_one_u32(space, (size_t)tlv_len(&t), GUEST_TAG_ROWS, &v));
	assert_false(config_one_u32(space, 3, GUEST_TAG_CREDIT, &v));
	tlv_u32(&t, GUEST_TAG_CREDIT, 18);
	assert_false(config_one_u32(space, (size_t)tlv_len(&t), GUEST_TAG_CREDIT, &v));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole), cmocka_unit_test(test_refused), cmocka_unit_test(test_limits),
		cmocka_unit_test(test_start), cmocka_unit_test(test_one),
	};

	return cmocka_run_group_tests_name("guest config", tests, NULL, NULL);
}
