/* SPDX-License-Identifier: Apache-2.0 */
/* Address arithmetic of netpolicyd; pure. Callers hand in what a client sent, so every range is checked here. */
#include "netpolicy/pool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "proto/netpolicy.h"

_Static_assert((1 << (SLICE_PREFIX - POOL_PREFIX)) == POOL_SLICES, "slices fill the pool");
_Static_assert(NET_BRIDGES_MAX + 2 == 1 << (24 - SLICE_PREFIX), "egress, bridges and the spare /24 fill a slice");
_Static_assert(NET_EGRESS_MAX <= 252, "routed taps fit behind their gateway in one /24");

uint32_t prefix_mask(unsigned prefix)
{
	return prefix ? ~0U << (32 - prefix) : 0;
}

bool addr_private_subnet(uint32_t subnet, unsigned prefix)
{
	static const struct {
		uint32_t base;
		unsigned prefix;
	} ranges[] = { { 0x0a000000, 8 }, { 0xac100000, 12 }, { 0xc0a80000, 16 } };

	if (prefix < 8 || prefix > 29 || subnet & ~prefix_mask(prefix))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
		if (prefix >= ranges[i].prefix && (subnet & prefix_mask(ranges[i].prefix)) == ranges[i].base)
			return true;
	return false;
}

bool addr_inside(uint32_t addr, uint32_t subnet, unsigned prefix)
{
	uint32_t host = addr & ~prefix_mask(prefix);

	return (addr & prefix_mask(prefix)) == subnet && host != 0 && host != ~prefix_mask(prefix);
}

const char *addr_text(char out[ADDR_TEXT], uint32_t addr)
{
	struct in_addr in = { htonl(addr) };

	return inet_ntop(AF_INET, &in, out, ADDR_TEXT);
}

bool addr_parse(const char *text, uint32_t *ret)
{
	struct in_addr in;

	if (inet_pton(AF_INET, text, &in) != 1)
		return false;
	*ret = ntohl(in.s_addr);
	return true;
}

int pool_parse(const char *text, uint32_t *ret_base, struct err *e)
{
	const char *slash = strchr(text, '/');
	char addr[ADDR_TEXT] = "";
	uint32_t base;

	if (slash && (size_t)(slash - text) < sizeof(addr))
		memcpy(addr, text, (size_t)(slash - text));
	if (!slash || !str_eq(slash, "/16") || !addr_parse(addr, &base) || !addr_private_subnet(base, POOL_PREFIX))
		return err_set(e, ERR_INVALID, EINVAL, "--pool: '%s' is not a private /16, such as " POOL_DEFAULT,
			       text);
	*ret_base = base;
	return 0;
}
