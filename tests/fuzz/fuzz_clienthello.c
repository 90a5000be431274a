/* SPDX-License-Identifier: Apache-2.0 */
/* The ClientHello parser: a name that it gives is one, and a longer input never turns a refusal into more waiting. */
#include <stdlib.h>
#include <string.h>

#include "sidecar/egress/hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char name[HOST_MAX + 1], again[HOST_MAX + 1];
	const char *why = NULL;
	int r = hello_parse(data, n, name, &why);

	if (r < 0 && !why)
		abort();
	if (r > 0 && (host_normalize(name, strlen(name), again) != HOST_NAME || strcmp(name, again) != 0))
		abort();
	if (r == 0 && n > HELLO_RAW_MAX)
		abort();
	return 0;
}
