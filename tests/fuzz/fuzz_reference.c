/* SPDX-License-Identifier: Apache-2.0 */
/* Image references: what is taken has a key that is taken again and stays the same. */
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "images/store/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	_cleanup_free_ char *text = xstrndup((const char *)data, n), *key = NULL, *again = NULL;
	_cleanup_reference_ struct reference r = { 0 }, s = { 0 };
	struct err e;

	if (reference_parse(&r, text, &e) < 0)
		return 0;
	key = reference_key(&r);
	if (reference_parse(&s, reference_familiar(key), &e) < 0)
		abort();
	again = reference_key(&s);
	if (strcmp(key, again) != 0 || strstr(key, ".."))
		abort();
	return 0;
}
