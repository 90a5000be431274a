/* SPDX-License-Identifier: Apache-2.0 */
/* Image references: what Docker accepts, how it is normalised and shown, and its words for the rest. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "images/store/reference.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const struct {
	const char *text, *key, *familiar;
} good[] = {
	{ "debian", "docker.io/library/debian:latest", "debian:latest" },
	{ "debian:12", "docker.io/library/debian:12", "debian:12" },
	{ "bottle/agent", "docker.io/bottle/agent:latest", "bottle/agent:latest" },
	{ "library/debian", "docker.io/library/debian:latest", "debian:latest" },
	{ "docker.io/debian", "docker.io/library/debian:latest", "debian:latest" },
	{ "index.docker.io/debian:1", "docker.io/library/debian:1", "debian:1" },
	{ "docker.io/library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest" },
	{ "localhost/x", "localhost/x:latest", "localhost/x:latest" },
	{ "localhost:5000/x:2", "localhost:5000/x:2", "localhost:5000/x:2" },
	{ "127.0.0.1:5000/me/hw:1", "127.0.0.1:5000/me/hw:1", "127.0.0.1:5000/me/hw:1" },
	{ "[fc00::1]:5000/x", "[fc00::1]:5000/x:latest", "[fc00::1]:5000/x:latest" },
	{ "quay.io/a/b/c", "quay.io/a/b/c:latest", "quay.io/a/b/c:latest" },
	{ "Host/x", "Host/x:latest", "Host/x:latest" },
	{ "x/a.b--c__d_e", "docker.io/x/a.b--c__d_e:latest", "x/a.b--c__d_e:latest" },
	{ "x:A_b.c-D", "docker.io/library/x:A_b.c-D", "x:A_b.c-D" },
	{ "x@sha256:" HEX, "docker.io/library/x@sha256:" HEX, "x@sha256:" HEX },
	{ "x:1@sha256:" HEX, "docker.io/library/x@sha256:" HEX, "x@sha256:" HEX },
	{ "localhost", "docker.io/library/localhost:latest", "localhost:latest" },
	{ "docker.io/quay.io/x", "docker.io/quay.io/x:latest", "docker.io/quay.io/x:latest" },
	{ "abcdef", "docker.io/library/abcdef:latest", "abcdef:latest" },
};

#define FORMAT "invalid reference format"
static const struct {
	const char *text, *message;
} bad[] = {
	{ "", FORMAT },
	{ ":", FORMAT },
	{ "x:", FORMAT },
	{ "x:-a", FORMAT },
	{ "x:a b", FORMAT },
	{ "x y", FORMAT },
	{ "/x", FORMAT },
	{ "x/", FORMAT },
	{ "x//y", FORMAT },
	{ "-x", FORMAT },
	{ "x-", FORMAT },
	{ "x___y", FORMAT },
	{ "x..y", FORMAT },
	{ "x._y", FORMAT },
	{ "a/../b", FORMAT },
	{ "../b", FORMAT },
	{ "x@", FORMAT },
	{ "x@sha256", FORMAT },
	{ "x@md5:00", "unsupported digest algorithm" },
	{ "x@sha256:00", "invalid checksum digest length" },
	{ "x@sha256:" HEX "0", "invalid checksum digest length" },
	{ "x@sha256:G123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
	  "invalid checksum digest length" },
	{ "host.io:/x", FORMAT },
	{ "host.io:5x/x", FORMAT },
	{ "-host.io/x", FORMAT },
	{ "my_host.io/x", FORMAT },
	{ "host..io/x", FORMAT },
	{ "[::1/x", FORMAT },
	{ "x\n", FORMAT },
	{ "x\xc3\xa9", FORMAT },
	{ "Debian", "invalid reference format: repository name (Debian) must be lowercase" },
	{ "quay.io/A/b", "invalid reference format: repository name (A/b) must be lowercase" },
	{ HEX, "invalid repository name (" HEX "), cannot specify 64-byte hexadecimal strings" },
};

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		_cleanup_reference_ struct reference r = { 0 };
		_cleanup_free_ char *key = NULL;
		struct err e = { 0 };

		if (reference_parse(&r, good[i].text, &e) < 0)
			fail_msg("%s: %s", good[i].text, e.text);
		key = reference_key(&r);
		assert_string_equal(key, good[i].key);
		assert_string_equal(reference_familiar(key), good[i].familiar);
	}
}

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_reference_ struct reference r = { 0 };
		struct err e = { 0 };

		if (reference_parse(&r, bad[i].text, &e) == 0)
			fail_msg("'%s' was taken", bad[i].text);
		assert_string_equal(e.text, bad[i].message);
		assert_int_equal(e.cls, ERR_INVALID);
	}
}

/* What a person is shown names the same image again. */
static void test_round_trip(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		_cleanup_reference_ struct reference r = { 0 };
		_cleanup_free_ char *key = NULL;

		assert_int_equal(reference_parse(&r, good[i].familiar, NULL), 0);
		key = reference_key(&r);
		assert_string_equal(key, good[i].key);
	}
}

static void test_lengths(void **state)
{
	char text[2048];
	struct reference r;
	struct err e;

	(void)state;
	memset(text, 'a', sizeof(text));
	text[REFERENCE_NAME_MAX - strlen("docker.io/library/")] = '\0';
	assert_int_equal(reference_parse(&r, text, NULL), 0);
	reference_done(&r);
	text[REFERENCE_NAME_MAX - strlen("docker.io/library/")] = 'a';
	text[REFERENCE_NAME_MAX] = '\0';
	assert_int_equal(reference_parse(&r, text, &e), -EINVAL);
	assert_string_equal(e.text, "repository name must not be more than 255 characters");
	memset(text, 'a', sizeof(text));
	text[1] = ':';
	text[2 + REFERENCE_TAG_MAX] = '\0';
	assert_int_equal(reference_parse(&r, text, NULL), 0);
	reference_done(&r);
	text[2 + REFERENCE_TAG_MAX] = 'a';
	text[3 + REFERENCE_TAG_MAX] = '\0';
	assert_int_equal(reference_parse(&r, text, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_lengths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
