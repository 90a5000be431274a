/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses, and the texts by which the kernel keeps netpolicyd's state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "netpolicy/model.h"
#include "netpolicy/pool.h"

static void private_subnets(void **unused)
{
	static const struct {
		const char *addr;
		unsigned prefix;
		bool good;
	} rows[] = {
		{ "10.0.0.0", 8, true },     { "10.5.0.0", 24, true },     { "10.5.0.8", 29, true },
		{ "10.5.0.8", 30, false },   { "10.5.0.1", 24, false },    { "172.16.0.0", 12, true },
		{ "172.32.0.0", 16, false }, { "192.168.0.0", 16, true },  { "192.168.0.0", 15, false },
		{ "192.0.0.0", 8, false },   { "10.0.0.0", 7, false },     { "10.0.0.0", 0, false },
		{ "10.0.0.0", 32, false },   { "10.0.0.0", 300, false },   { "8.8.8.0", 24, false },
		{ "127.0.0.0", 8, false },   { "169.254.0.0", 16, false }, { "0.0.0.0", 8, false },
		{ "224.0.0.0", 8, false },   { "100.64.0.0", 10, false },
	};
	uint32_t a;

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_true(addr_parse(rows[i].addr, &a));
		assert_int_equal(addr_private_subnet(a, rows[i].prefix), rows[i].good);
	}
}

static void hosts_of_a_subnet(void **unused)
{
	(void)unused;
	assert_true(addr_inside(0x0a050001, 0x0a050000, 24));
	assert_true(addr_inside(0x0a0500fe, 0x0a050000, 24));
	assert_false(addr_inside(0x0a050000, 0x0a050000, 24));
	assert_false(addr_inside(0x0a0500ff, 0x0a050000, 24));
	assert_false(addr_inside(0x0a050101, 0x0a050000, 24));
	assert_false(addr_inside(0, 0x0a050000, 24));
}

static void slices_do_not_meet(void **unused)
{
	const uint32_t base = 0x0a4d0000;

	(void)unused;
	for (unsigned s = 0; s < POOL_SLICES; s++) {
		uint32_t last = pool_bridge(base, s, NET_BRIDGES_MAX - 1) + 255;

		assert_int_equal(pool_egress(base, s), pool_slice(base, s));
		assert_true(last < pool_slice(base, s) + (1 << (32 - SLICE_PREFIX)));
		assert_true(last < pool_veth_host(base));
	}
	assert_int_equal(pool_slice(base, POOL_SLICES - 1), base + 0xf000);
}

static void pools(void **unused)
{
	static const char *const bad[] = { "",           "10.77.0.0", "10.77.0.0/15", "10.77.1.0/16",
					   "8.8.0.0/16", "/16",       "x/16",         "10.77.0.0/16 " };
	uint32_t base;

	(void)unused;
	assert_int_equal(pool_parse(POOL_DEFAULT, &base, NULL), 0);
	assert_int_equal(base, 0x0a4d0000);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_true(pool_parse(bad[i], &base, NULL) < 0);
}

static void aliases_round_trip(void **unused)
{
	static const struct network rows[] = {
		{ .id = 0xa1,
		  .uid = 1000,
		  .kind = NET_KIND_BRIDGE,
		  .subnet = 0x0a4d0100,
		  .prefix = 24,
		  .gateway = 0x0a4d0101,
		  .slice = 0 },
		{ .id = UINT64_MAX,
		  .uid = 4294967294,
		  .kind = NET_KIND_INTERNAL,
		  .subnet = 0x0a000000,
		  .prefix = 8,
		  .slice = NO_SLICE },
		{ .id = 0,
		  .uid = 0,
		  .kind = NET_KIND_EGRESS,
		  .subnet = 0xac1f0000,
		  .prefix = 24,
		  .gateway = 0xac1f0001,
		  .slice = 15 },
	};

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct endpoint ep = { .id = ~rows[i].id, .uid = rows[i].uid, .addr = rows[i].subnet + 9 }, ep_back;
		struct network n = rows[i], back;
		char text[ALIAS_MAX];
		uint64_t id;

		alias_network(text, &n);
		assert_true(alias_parse_network(text, &back));
		assert_true(back.id == n.id && back.uid == n.uid && back.kind == n.kind && back.subnet == n.subnet &&
			    back.prefix == n.prefix && back.gateway == n.gateway && back.slice == n.slice);
		ep.net = &n;
		alias_endpoint(text, &ep);
		assert_true(alias_parse_endpoint(text, &ep_back, &id));
		assert_true(id == n.id && ep_back.id == ep.id && ep_back.uid == ep.uid && ep_back.addr == ep.addr);
	}
}

static void foreign_aliases(void **unused)
{
	static const char *const rows[] = {
		"",
		"bottle:",
		"eth0",
		"bottle:uid=1000:net=a1:kind=2:sub=10.77.1.0/24:gw=10.77.1.1:slice=0",
		"bottle:uid=01000:net=00000000000000a1:kind=2:sub=10.77.1.0/24:gw=10.77.1.1:slice=0",
		"bottle:uid=1000:net=00000000000000a1:kind=4:sub=10.77.1.0/24:gw=10.77.1.1:slice=0",
		"bottle:uid=1000:net=00000000000000a1:kind=2:sub=8.8.8.0/24:gw=8.8.8.1:slice=0",
		"bottle:uid=1000:net=00000000000000a1:kind=2:sub=10.77.1.0/24:gw=10.77.1.1:slice=16",
		"bottle:uid=1000:net=00000000000000a1:kind=1:sub=10.77.1.0/24:gw=10.77.1.1:slice=0",
		"bottle:uid=1000:net=00000000000000a1:kind=2:sub=10.77.1.0/24:gw=10.77.1.1:slice=0 ",
		"bottle:uid=4294967296:net=00000000000000a1:ep=00000000000000e1:addr=10.77.1.2",
		"bottle:uid=1000:net=00000000000000a1:ep=00000000000000e1:addr=10.77.1.256",
	};
	struct network n;
	struct endpoint ep;
	uint64_t id;

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_false(alias_parse_network(rows[i], &n));
		assert_false(alias_parse_endpoint(rows[i], &ep, &id));
	}
}

static void macs(void **unused)
{
	uint8_t a[MAC_LEN], b[MAC_LEN], c[MAC_LEN], d[MAC_LEN];

	(void)unused;
	mac_guest(a, 1000, 1);
	mac_guest(b, 1000, 1);
	mac_guest(c, 1001, 1);
	mac_gateway(d, 1000, 1);
	assert_memory_equal(a, b, MAC_LEN);
	assert_memory_not_equal(a, c, MAC_LEN);
	assert_memory_not_equal(a, d, MAC_LEN);
	assert_true(a[0] == 0x02 && a[1] == 0xb0 && d[0] == 0x02 && d[1] == 0xb1);
}

static void owners(void **unused)
{
	struct model m = { 0 };
	struct network *n;
	struct endpoint *ep;

	(void)unused;
	n = model_add_network(&m, &(struct network){ .id = 1, .uid = 1000, .kind = NET_KIND_EGRESS });
	ep = model_add_endpoint(&m, &(struct endpoint){ .net = n, .id = 2, .uid = 1000, .addr = 5 });
	model_add_publish(&m, &(struct publish){
				      .ep = ep, .proto = 6, .host_addr = 0x7f000001, .host_port = 80, .port = 8 });
	assert_ptr_equal(model_network(&m, 1000, 1), n);
	assert_null(model_network(&m, 1001, 1));
	assert_null(model_endpoint(&m, 1001, 2));
	assert_non_null(model_publish(&m, 6, 0x7f000001, 80, true));
	assert_non_null(model_publish(&m, 6, 0, 80, false)); /* a wildcard meets each */
	assert_null(model_publish(&m, 6, 0, 80, true));
	assert_null(model_publish(&m, 17, 0x7f000001, 80, false));
	assert_true(model_addr_used(&m, n, 5));
	model_clear(&m);
	assert_null(model_network(&m, 1000, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(private_subnets),
		cmocka_unit_test(hosts_of_a_subnet),
		cmocka_unit_test(slices_do_not_meet),
		cmocka_unit_test(pools),
		cmocka_unit_test(aliases_round_trip),
		cmocka_unit_test(foreign_aliases),
		cmocka_unit_test(macs),
		cmocka_unit_test(owners),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
