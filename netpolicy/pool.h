/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The addresses that leave N: one /16, cut into a /20 for each uid. In a slice
 * the first /24 holds the routed taps, the next fourteen are NATed bridges, and
 * the last is never given out (that of the last slice has the veth pair).
 * Host byte order throughout.
 */
#ifndef NETPOLICY_POOL_H
#define NETPOLICY_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define POOL_DEFAULT "10.77.0.0/16"
#define POOL_PREFIX  16
#define POOL_SLICES  16
#define SLICE_PREFIX 20
#define ADDR_TEXT    16

int pool_parse(const char *text, uint32_t *ret_base, struct err *e);

static inline uint32_t pool_slice(uint32_t base, unsigned slice)
{
	return base | slice << (32 - SLICE_PREFIX);
}

/* The gateway that all routed taps of a slice have, and their /24. */
static inline uint32_t pool_egress(uint32_t base, unsigned slice)
{
	return pool_slice(base, slice);
}

/* index: 0 .. NET_BRIDGES_MAX - 1 */
static inline uint32_t pool_bridge(uint32_t base, unsigned slice, unsigned index)
{
	return pool_slice(base, slice) + ((index + 1) << 8);
}

static inline uint32_t pool_veth_host(uint32_t base)
{
	return base | 0xff01;
}

static inline uint32_t pool_veth_ns(uint32_t base)
{
	return base | 0xff02;
}

/* RFC 1918, whole subnet inside; prefix 8..29; no host bits. */
bool addr_private_subnet(uint32_t subnet, unsigned prefix);
/* A host's address of the subnet: neither its first nor its last. */
bool addr_inside(uint32_t addr, uint32_t subnet, unsigned prefix);
uint32_t prefix_mask(unsigned prefix);
const char *addr_text(char out[ADDR_TEXT], uint32_t addr);
bool addr_parse(const char *text, uint32_t *ret);

#endif
