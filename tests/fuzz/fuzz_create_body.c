/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a create body: refused, or a description that keeps what the table promises. */
#include <stdint.h>
#include <stdlib.h>

#include "api/spec.h"
#include "base/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	json_t *body = json_loadb((const char *)data, n, 0, NULL), *exec;
	uint32_t cpus, quota;
	uint64_t memory;
	struct err e = { 0 };
	struct spec s;

	if (!body)
		return 0;
	if (spec_parse(&s, body, &e) == 0) {
		if (member_flag(s.host_config, "Privileged") ||
		    json_array_size(json_object_get(s.host_config, "Binds")))
			abort();
		spec_limits(s.host_config, 2, &cpus, &quota, &memory);
		if (!cpus || cpus > 2 || memory < (128 << 20))
			abort();
		spec_scratch_size(s.host_config);
		spec_log_max(s.host_config);
		spec_merge_image(&s, json_object_get(body, "Image"), &e);
		spec_merge_image(&s, body, &e);
	} else if (!e.code || !e.text[0]) {
		abort();
	}
	spec_done(&s);
	exec = spec_exec(body, &e);
	json_decref(exec);
	json_decref(body);
	return 0;
}
