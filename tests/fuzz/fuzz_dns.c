/* SPDX-License-Identifier: Apache-2.0 */
/* The DNS codec, as a question of the agent's and as an answer of a nameserver's. */
#include <stdlib.h>
#include <string.h>

#include "sidecar/dns/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void as_query(const uint8_t *data, size_t n)
{
	static const uint8_t addrs[SIDE_FRESH_MAX][4];
	uint8_t out[DNS_PACKET_MAX];
	struct dns_question q;
	int r = dns_parse_query(data, n, &q);

	if (r < 0)
		return;
	if (strlen(q.name) > DNS_NAME_MAX || DNS_HEAD + q.len > n)
		abort();
	if (dns_build_answer(out, data, &q, r, addrs, r == 0 ? SIDE_FRESH_MAX : 0, 60) > sizeof(out))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct dns_answer a;

	as_query(data, n);
	if (n >= 2 && dns_parse_answer(data, n, (uint16_t)(data[0] << 8 | data[1]), "api.example.com", &a) == 0 &&
	    a.n_addrs > SIDE_FRESH_MAX)
		abort();
	return 0;
}
