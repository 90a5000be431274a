/* SPDX-License-Identifier: Apache-2.0 */
/* The rule set as data: it hangs together, and each thing has exactly the elements it should. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "netpolicy/pool.h"
#include "netpolicy/ruleset.h"

#define POOL 0x0a4d0000

static const struct rs_set *find_set(const struct rs_table_def *d, const char *name)
{
	for (size_t i = 0; i < d->n_sets; i++)
		if (str_eq(d->sets[i].name, name))
			return &d->sets[i];
	return NULL;
}

static const struct rs_chain *find_chain(const struct rs_table_def *d, const char *name)
{
	for (size_t i = 0; i < d->n_chains; i++)
		if (str_eq(d->chains[i].name, name))
			return &d->chains[i];
	return NULL;
}

static void names_resolve(void **unused)
{
	(void)unused;
	for (int t = 0; t < RS_TABLE_NUM; t++)
		for (size_t i = 0; i < rs_tables[t].n_rules; i++) {
			const struct rs_rule *r = &rs_tables[t].rules[i];

			assert_non_null(find_chain(&rs_tables[t], r->chain));
			assert_int_equal(r->ops[RS_OPS_MAX - 1].kind, RS_END);
			for (const struct rs_op *op = r->ops; op->kind != RS_END; op++) {
				if (op->kind == RS_LOOKUP)
					assert_non_null(find_set(&rs_tables[t], op->name));
				if (op->kind == RS_VERDICT && op->name)
					assert_non_null(find_chain(&rs_tables[t], op->name));
			}
		}
}

/* At layer 2 a negated match that breaks lets a frame on: only an accept may hang on one. */
static void bridge_never_drops_by_a_negation(void **unused)
{
	const struct rs_table_def *d = &rs_tables[RS_NS_BRIDGE];

	(void)unused;
	for (size_t i = 0; i < d->n_rules; i++) {
		bool negated = false;

		for (const struct rs_op *op = d->rules[i].ops; op->kind != RS_END; op++) {
			negated |= op->kind == RS_LOOKUP && op->a;
			assert_false(op->kind == RS_VERDICT && negated && op->a == 0 /* NF_DROP */);
			assert_false(op->kind == RS_META && op->a == 1 /* NFT_META_PROTOCOL */);
		}
	}
}

static void chains_of_taps_end_with_a_drop(void **unused)
{
	static const struct {
		enum rs_table table;
		const char *chain;
	} rows[] = { { RS_NS_BRIDGE, "fromtap" }, { RS_NS_BRIDGE, "ipin" }, { RS_NS_BRIDGE, "arpin" },
		     { RS_NS_ARP, "pin" },        { RS_HOST, "input" },     { RS_HOST, "output" },
		     { RS_HOST, "lopub" } };

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct rs_table_def *d = &rs_tables[rows[i].table];
		const struct rs_rule *last = NULL;

		for (size_t k = 0; k < d->n_rules; k++)
			if (str_eq(d->rules[k].chain, rows[i].chain))
				last = &d->rules[k];
		assert_non_null(last);
		assert_int_equal(last->ops[0].kind, RS_COUNTER);
		assert_int_equal(last->ops[1].kind, RS_VERDICT);
		assert_int_equal(last->ops[1].a, 0);
	}
}

static void assert_elements(const struct rs_elems *e, const char *want)
{
	static const char *const tables[] = { "host", "ns", "arp", "bridge" };
	char got[512] = "";

	for (size_t i = 0; i < e->n; i++) {
		const struct rs_set *set = find_set(&rs_tables[e->v[i].table], e->v[i].set);
		size_t at = strlen(got);

		assert_non_null(set);
		assert_int_equal(e->v[i].key_len, set->key_len);
		assert_int_equal(e->v[i].data_len, set->data_len);
		snprintf(got + at, sizeof(got) - at, "%s%s.%s", at ? " " : "", tables[e->v[i].table], e->v[i].set);
	}
	assert_string_equal(got, want);
}

static void endpoints_by_kind(void **unused)
{
	static const struct {
		enum net_kind kind;
		uint32_t gateway;
		const char *want;
	} rows[] = {
		{ NET_KIND_INTERNAL, 0, "bridge.tap bridge.pin4 bridge.inttap" },
		{ NET_KIND_INTERNAL, POOL + 2, "bridge.tap bridge.pin4 bridge.inttap bridge.gwpin" },
		{ NET_KIND_BRIDGE, POOL + 2, "bridge.tap bridge.pin4" },
		{ NET_KIND_EGRESS, POOL + 1, "ns.egtap arp.egtap ns.pinr arp.pinr" },
	};

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct network n = { .kind = rows[i].kind, .gateway = rows[i].gateway };
		struct endpoint ep = { .net = &n, .addr = POOL + 2, .name = "t1" };
		struct rs_elems e = { 0 };

		rs_endpoint(&e, &ep);
		assert_elements(&e, rows[i].want);
		rs_elems_done(&e);
	}
}

static void publishes_by_address(void **unused)
{
	static const struct {
		uint32_t host_addr;
		bool shared, root;
		const char *want;
	} rows[] = {
		{ 0x7f000010, false, false, "ns.ledger host.pub ns.openlo host.openlo" },
		{ 0x7f000010, true, false, "ns.ledger host.pub" },
		{ 0x7f000010, false, true, "ns.ledger host.pub host.pub ns.openlo host.openlo host.openlo" },
		{ 0xcb007101, false, true, "ns.ledger host.pub host.pubext ns.openext" },
		{ 0, false, false, "ns.ledger host.pub host.pubany ns.openext" },
		{ 0, true, false, "ns.ledger host.pub host.pubany" },
	};
	struct network n = { .kind = NET_KIND_EGRESS };
	struct endpoint ep = { .net = &n, .uid = 1000, .id = 7, .addr = POOL + 2 };

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct publish p = { .ep = &ep,
				     .proto = 6,
				     .host_addr = rows[i].host_addr,
				     .host_port = 80,
				     .port = 8080 },
			       back;
		struct rs_host h = { .pool = POOL, .root_may_connect = rows[i].root };
		struct rs_elems e = { 0 };
		uint32_t uid, addr;
		uint64_t id;
		uid_t owner;

		rs_publish(&e, &h, &p, rows[i].shared);
		assert_elements(&e, rows[i].want);
		assert_true(
			rs_ledger_parse(e.v[0].key, e.v[0].key_len, e.v[0].data, e.v[0].data_len, &back, &uid, &addr));
		assert_true(uid == 1000 && addr == ep.addr && back.proto == 6 && back.host_addr == p.host_addr &&
			    back.host_port == 80 && back.port == 8080);
		assert_true(comment_parse(e.v[0].comment, &owner, &id) && owner == 1000 && id == 7);
		rs_elems_done(&e);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_resolve),
		cmocka_unit_test(bridge_never_drops_by_a_negation),
		cmocka_unit_test(chains_of_taps_end_with_a_drop),
		cmocka_unit_test(endpoints_by_kind),
		cmocka_unit_test(publishes_by_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
