/* SPDX-License-Identifier: Apache-2.0 */
/* The instructions of import and commit: one line, and the "config" object afterwards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/image_jobs.h"
#include "api/json.h"
#include "base/mem.h"

static const struct {
	const char *before, *line, *after; /* after: JSON, or the error's text */
} table[] = {
	{ "{}", "CMD [\"a\", \"b c\"]", "{\"Cmd\":[\"a\",\"b c\"]}" },
	{ "{}", "cmd echo hi", "{\"Cmd\":[\"/bin/sh\",\"-c\",\"echo hi\"]}" },
	{ "{\"Cmd\":[\"x\"]}", "CMD []", "{\"Cmd\":[]}" },
	{ "{}", "ENTRYPOINT [\"/x\"]", "{\"Entrypoint\":[\"/x\"]}" },
	{ "{}", "ENV A=1 B=\"two words\" C=x\\ y", "{\"Env\":[\"A=1\",\"B=two words\",\"C=x y\"]}" },
	{ "{}", "ENV A one two", "{\"Env\":[\"A=one two\"]}" },
	{ "{\"Env\":[\"A=0\",\"AB=0\"]}", "ENV A=1", "{\"Env\":[\"A=1\",\"AB=0\"]}" },
	{ "{\"Env\":null}", "ENV A=1", "{\"Env\":[\"A=1\"]}" },
	{ "{}", "LABEL a=b \"c d\"=e", "{\"Labels\":{\"a\":\"b\",\"c d\":\"e\"}}" },
	{ "{}", "USER agent", "{\"User\":\"agent\"}" },
	{ "{}", "WORKDIR /a", "{\"WorkingDir\":\"/a\"}" },
	{ "{\"WorkingDir\":\"/a\"}", "WORKDIR b", "{\"WorkingDir\":\"/a/b\"}" },
	{ "{}", "WORKDIR b", "{\"WorkingDir\":\"/b\"}" },
	{ "{}", "EXPOSE 80 53/udp", "{\"ExposedPorts\":{\"53/udp\":{},\"80/tcp\":{}}}" },
	{ "{}", "VOLUME /a /b", "{\"Volumes\":{\"/a\":{},\"/b\":{}}}" },
	{ "{}", "VOLUME [\"/a b\"]", "{\"Volumes\":{\"/a b\":{}}}" },
	{ "{}", "STOPSIGNAL SIGINT", "{\"StopSignal\":\"SIGINT\"}" },
	{ "{}", "RUN rm -rf /", "RUN is not a valid change command" },
	{ "{}", "CMD", "CMD requires at least one argument" },
	{ "{}", "CMD [1]", "CMD: cannot read '[1]'" },
	{ "{}", "CMD [\"a\"", "CMD: cannot read '[\"a\"'" },
	{ "{}", "ENV A=1 B", "ENV: cannot read 'A=1 B'" },
	{ "{}", "ENV =1", "ENV: cannot read '=1'" },
	{ "{}", "EXPOSE 0", "EXPOSE: cannot read '0'" },
	{ "{}", "EXPOSE 80/icmp", "EXPOSE: cannot read '80/icmp'" },
	{ "{}", "VOLUME [x", "VOLUME: cannot read '[x'" },
};

static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		json_t *config = json_loads(table[i].before, 0, NULL);
		_cleanup_free_ char *text = NULL;
		struct err e = { 0 };
		int r = image_change(config, table[i].line, &e);

		text = json_dumps(config, JSON_COMPACT | JSON_SORT_KEYS);
		assert_string_equal(r < 0 ? e.text : text, table[i].after);
		json_decref(config);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_table) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
