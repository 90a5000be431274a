/* SPDX-License-Identifier: Apache-2.0 */
/* A policy file, JSON or YAML by its first byte: never both accepted and reported; what is accepted, the sidecar reads. */
#include <stdint.h>

#include "base/log.h"
#include "policies/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	bool json = n && (*data == '{' || *data == '[');
	struct policy_errors errors = { 0 };
	struct policy *p = NULL;
	char *compiled, *hash;
	struct err e = { 0 };

	if (policy_parse(json ? "f.json" : "f.yaml", (const char *)data, n, &p, &errors) == 0) {
		if (errors.n || policy_seal(p, &compiled, &hash, &e) < 0)
			fatal("accepted, and %s", errors.n ? errors.v[0].text : e.text);
		free(compiled);
		free(hash);
	} else if (!errors.n) {
		fatal("refused without a reason");
	}
	policy_errors_done(&errors);
	policy_free(p);
	return 0;
}
