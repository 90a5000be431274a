/* SPDX-License-Identifier: Apache-2.0 */
/* The query's filters and a JSON body's typed members, from a client's text. */
#include <stdint.h>

#include "api/engine.h"
#include "api/json.h"
#include "base/log.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void members(const json_t *j)
{
	static const char *const keys[] = { "name", "label", "Cmd", "" };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		_cleanup_strv_ char **v = NULL;
		const char *s = NULL;
		int64_t number = 0;
		json_t *o = NULL;

		json_get_str(j, keys[i], &s, NULL);
		json_get_int(j, keys[i], &number, NULL);
		json_get_strings(j, keys[i], &o, NULL);
		json_get_strv(j, keys[i], &v, NULL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const allowed[] = { "label", "name", NULL };
	_cleanup_free_ char *text = xstrndup((const char *)data, n);
	_cleanup_json_ json_t *j = json_parse((const char *)data, n, NULL), *labels = json_pack("{s:s}", "a", "b");
	struct filters f = { 0 };
	struct err e = { 0 };

	members(j);
	if (filters_parse(&f, text, allowed, &e) == 0) {
		if (!f.map)
			fatal("no map");
		filters_match(&f, "name", "a");
		filters_match_labels(&f, "label", labels);
	} else if (e.cls != ERR_INVALID || f.map) {
		fatal("a broken filter is the client's error");
	}
	filters_done(&f);
	return 0;
}
