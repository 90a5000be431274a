/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy language, by data: tests/cases/policy/valid/NAME/input.{json,yaml} compiles to NAME/expect, and
 * invalid/NAME/input.* gives exactly the errors in NAME/expect. With BOTTLE_CASES_UPDATE=1 the expect files are
 * rewritten (look at the diff). Then what data cannot show: the schema, limits, stability of the hash.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "policies/decide.h"
#include "policies/policy.h"
#include "policies/tree.h"

#define CASES "tests/cases/policy"

static char *read_whole(const char *path)
{
	char *text;
	size_t n;

	return file_read_at(AT_FDCWD, path, POLICY_FILE_MAX, &text, &n) == 0 ? text : NULL;
}

/* What the case's input gives: its compiled form, or its errors, a line each. */
static char *outcome(const char *name, const char *text, bool *ret_valid)
{
	_cleanup_policy_errors_ struct policy_errors errors = { 0 };
	_cleanup_policy_ struct policy *p = NULL;
	char *compiled, *hash;
	struct buf out = { 0 };
	struct err e = { 0 };

	*ret_valid = policy_parse(name, text, strlen(text), &p, &errors) == 0;
	if (*ret_valid) {
		if (policy_seal(p, &compiled, &hash, &e) < 0)
			fail_msg("%s", e.text);
		buf_printf(&out, "%s\n", compiled);
		free(compiled);
		free(hash);
	}
	for (size_t i = 0; i < errors.n; i++)
		buf_printf(&out, "%s\n", errors.v[i].text);
	if (errors.more)
		buf_printf(&out, "and %zu more\n", errors.more);
	buf_cstr(&out);
	return out.data;
}

static void run_case(const char *dir, bool valid)
{
	_cleanup_free_ char *json = xasprintf("%s/input.json", dir), *yaml = xasprintf("%s/input.yaml", dir);
	_cleanup_free_ char *expect = xasprintf("%s/expect", dir), *want = read_whole(expect), *got = NULL;
	bool is_json = access(json, F_OK) == 0, is_valid;
	_cleanup_free_ char *text = read_whole(is_json ? json : yaml);

	if (!text)
		fail_msg("%s has no input", dir);
	got = outcome(is_json ? "input.json" : "input.yaml", text, &is_valid);
	if (is_valid != valid)
		fail_msg("%s is %s:\n%s", dir, is_valid ? "valid" : "invalid", got);
	if (getenv("BOTTLE_CASES_UPDATE"))
		assert_int_equal(file_write_at(AT_FDCWD, expect, 0644, got, strlen(got)), 0);
	else if (!str_eq(want, got))
		fail_msg("%s\nwanted: %s\ngot: %s", dir, want ? want : "(no expect file)", got);
}

static void run_cases(const char *kind, bool valid, int at_least)
{
	_cleanup_free_ char *dir = xasprintf(CASES "/%s", kind);
	struct dirent **names;
	int n = scandir(dir, &names, NULL, alphasort), cases = 0;

	assert_true(n > 0);
	for (int i = 0; i < n; i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", dir, names[i]->d_name);

		if (names[i]->d_name[0] != '.') {
			run_case(path, valid);
			cases++;
		}
		free(names[i]);
	}
	free(names);
	assert_true(cases >= at_least);
}

static void test_valid(void **state)
{
	(void)state;
	run_cases("valid", true, 10);
}

static void test_invalid(void **state)
{
	(void)state;
	run_cases("invalid", false, 40);
}

static void test_examples(void **state)
{
	static const char *const files[] = { "policies/demo.json", "policies/closed.yaml", "policies/packages.yaml" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_policy_errors_ struct policy_errors errors = { 0 };
		_cleanup_policy_ struct policy *p = NULL;
		struct err e = { 0 };

		if (policy_load(files[i], &p, &errors, &e) < 0)
			fail_msg("%s: %s", files[i], errors.n ? errors.v[0].text : e.text);
	}
}

/* ---- the schema: the same objects, the same names ---- */

static json_t *schema_of(json_t *schema, const char *object)
{
	if (!*object)
		return schema;
	return json_object_get(json_object_get(schema, "$defs"), object);
}

static void test_schema(void **state)
{
	json_t *schema = json_load_file("policies/policy.schema.json", JSON_REJECT_DUPLICATES, NULL);

	(void)state;
	assert_non_null(schema);
	for (const struct policy_object *o = policy_objects; o->name; o++) {
		json_t *object = schema_of(schema, o->name), *properties = json_object_get(object, "properties");
		const char *field;
		size_t n = 0;

		if (!properties || !json_is_false(json_object_get(object, "additionalProperties")))
			fail_msg("the schema has no closed object '%s'", o->name);
		for (; (field = policy_object_field(o, n)) != NULL; n++)
			if (!json_object_get(properties, field))
				fail_msg("the schema's '%s' lacks '%s'", o->name, field);
		assert_int_equal(n, json_object_size(properties));
	}
	json_decref(schema);
}

/* ---- the compiled form ---- */

static void test_hash_is_stable(void **state)
{
	static const char *const same[] = {
		"{\"version\":1,\"name\":\"a\",\"agent\":{\"image\":\"i\"},\"egress\":{\"allow\":[{\"host\":\"B."
		"example.\",\"ports\":[443,80]}]}}",
		"{ \"egress\": {\"allow\": [{\"ports\": [80, 443], \"host\": \"b.example\"}]}, \"agent\": {\"image\": "
		"\"i\"}, \"name\": \"a\", \"version\": 1 }",
	};
	char *compiled[2], *hash[2];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		_cleanup_policy_errors_ struct policy_errors errors = { 0 };
		_cleanup_policy_ struct policy *p = NULL;

		assert_int_equal(policy_parse(i ? "/x/y/p.json" : "p.json", same[i], strlen(same[i]), &p, &errors), 0);
		assert_int_equal(policy_seal(p, &compiled[i], &hash[i], NULL), 0);
	}
	assert_string_equal(compiled[0], compiled[1]);
	assert_string_equal(hash[0], hash[1]);
	assert_true(str_is_hex(hash[0], 64));
	for (size_t i = 0; i < 2; i++) {
		free(compiled[i]);
		free(hash[i]);
	}
}

/* ---- limits ---- */

static void expect_error(const char *name, const char *text, size_t n, const char *part)
{
	_cleanup_policy_errors_ struct policy_errors errors = { 0 };
	_cleanup_policy_ struct policy *p = NULL;

	assert_int_equal(policy_parse(name, text, n, &p, &errors), -EBADMSG);
	assert_true(errors.n > 0);
	if (!strstr(errors.v[0].text, part))
		fail_msg("wanted '%s' in '%s'", part, errors.v[0].text);
}

static void test_limits(void **state)
{
	struct buf deep = { 0 }, many = { 0 }, keys = { 0 };

	(void)state;
	for (int i = 0; i < 5000; i++)
		buf_puts(&deep, "[");
	expect_error("p.yaml", buf_ptr(&deep), buf_len(&deep), "nested deeper");
	buf_clear(&deep);
	for (int i = 0; i < 40; i++)
		buf_puts(&deep, "[");
	for (int i = 0; i < 40; i++)
		buf_puts(&deep, "]");
	expect_error("p.json", buf_ptr(&deep), buf_len(&deep), "nested deeper");
	expect_error("p.json", "", 0, "not JSON");
	expect_error("p.yaml", "", 0, "empty");
	buf_puts(&many, "[1");
	for (int i = 0; i < TREE_NODES_MAX; i++)
		buf_puts(&many, ",1");
	buf_puts(&many, "]");
	expect_error("p.json", buf_ptr(&many), buf_len(&many), "more than 200000 values");
	expect_error("p.yaml", buf_ptr(&many), buf_len(&many), "more than 200000 values");
	buf_puts(&keys, "{\"k\":1");
	for (int i = 0; i < TREE_KEYS_MAX; i++)
		buf_printf(&keys, ",\"k%d\": 1", i);
	buf_puts(&keys, "}");
	expect_error("p.json", buf_ptr(&keys), buf_len(&keys), "more than 256 keys");
	expect_error("p.yaml", buf_ptr(&keys), buf_len(&keys), "more than 256 keys");
	buf_done(&deep);
	buf_done(&many);
	buf_done(&keys);
}

/* As many rules as the sidecar takes, and one more. */
static void many_rules(size_t n, bool good)
{
	_cleanup_policy_errors_ struct policy_errors errors = { 0 };
	_cleanup_policy_ struct policy *p = NULL;
	_cleanup_buf_ struct buf text = { 0 };
	char *compiled, *hash;
	struct err e = { 0 };

	buf_puts(&text, "{\"version\":1,\"name\":\"a\",\"agent\":{\"image\":\"i\"},\"egress\":{\"allow\":[");
	for (size_t i = 0; i < n; i++)
		buf_printf(&text, "%s{\"host\":\"h%zu.example\",\"ports\":[443]}", i ? "," : "", i);
	buf_puts(&text, "]}}");
	assert_int_equal(policy_parse("p.json", buf_ptr(&text), buf_len(&text), &p, &errors), good ? 0 : -EBADMSG);
	if (!good)
		return;
	assert_int_equal(policy_seal(p, &compiled, &hash, &e), 0);
	free(compiled);
	free(hash);
}

static void test_many_rules(void **state)
{
	(void)state;
	many_rules(RULES_MAX, true);
	many_rules(RULES_MAX + 1, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_valid),          cmocka_unit_test(test_invalid),
		cmocka_unit_test(test_examples),       cmocka_unit_test(test_schema),
		cmocka_unit_test(test_hash_is_stable), cmocka_unit_test(test_limits),
		cmocka_unit_test(test_many_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
