/* SPDX-License-Identifier: Apache-2.0 */
/* The compiled policy, and decisions by whatever came of it: what no rule names is denied. */
#include <stdlib.h>
#include <string.h>

#include "policies/decide.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct ruleset *r = NULL;
	char host[HOST_MAX + 1];
	struct decision d;

	if (host_normalize((const char *)data, n, host) >= 0 && strlen(host) > HOST_MAX)
		abort();
	if (ruleset_parse((const char *)data, n, &r, NULL) < 0)
		return 0;
	ruleset_decide(r, "no-rule-ends-in.this-label-of-the-test", 443, &d);
	if (d.allow && !memmem(data, n, "this-label-of-the-test", 22))
		abort();
	ruleset_free(r);
	return 0;
}
