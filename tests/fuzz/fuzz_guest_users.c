/* SPDX-License-Identifier: Apache-2.0 */
/* An image's passwd and group: "SPEC\0ADDED\0PASSWD\0GROUP". */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "guest/users.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	_cleanup_free_ char *text = xcalloc(n + 4, 1);
	char *part[4], *added[2] = { NULL, NULL }, *at = text;
	struct user u;

	if (n)
		memcpy(text, data, n);
	for (size_t i = 0; i < ARRAY_SIZE(part); i++) {
		part[i] = at;
		at += strlen(at);
		if (at < text + n)
			at++;
	}
	if (part[1][0])
		added[0] = part[1];
	if (user_resolve(part[0], added, part[2], part[3], &u, NULL) == 0 && u.n_groups > USERS_GROUPS_MAX)
		abort();
	return 0;
}
