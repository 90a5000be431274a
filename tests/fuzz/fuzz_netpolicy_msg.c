/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client of netpolicyd can send, and the texts that netpolicyd reads back
 * from the kernel. First byte: the way in; second: the count of descriptors or
 * what else that way needs.
 */
#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "netpolicy/model.h"
#include "netpolicy/msg.h"
#include "netpolicy/ruleset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void fuzz_text(const uint8_t *data, size_t n)
{
	_cleanup_free_ char *text = xstrndup((const char *)data, n);
	struct network net, net_again;
	struct endpoint ep;
	uint64_t id;
	uid_t uid;
	char again[ALIAS_MAX];

	/* What is taken is exactly what would be written. */
	if (alias_parse_network(text, &net)) {
		alias_network(again, &net);
		assert(strcmp(again, text) == 0 && alias_parse_network(again, &net_again));
	}
	if (alias_parse_endpoint(text, &ep, &id)) {
		net = (struct network){ .id = id };
		ep.net = &net;
		alias_endpoint(again, &ep);
		assert(strcmp(again, text) == 0);
	}
	if (comment_parse(text, &uid, &id)) {
		ep = (struct endpoint){ .uid = uid, .id = id };
		comment_endpoint(again, &ep);
		assert(strcmp(again, text) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct msg_args args;
	struct publish p;
	uint32_t uid, addr;

	if (n < 2)
		return 0;
	if (data[0] == 't')
		fuzz_text(data + 2, n - 2);
	else if (data[0] == 'l' && data[1] <= n - 2)
		rs_ledger_parse(data + 2, data[1], data + 2 + data[1], n - 2 - data[1], &p, &uid, &addr);
	else if (msg_parse(data[0], data + 2, n - 2, data[1], &args) == 0)
		assert(data[0] >= NET_HELLO && data[0] <= NET_CHECK);
	return 0;
}
