/* SPDX-License-Identifier: Apache-2.0 */
/* Names and their addresses: the answer of now, and the pins (addresses given out not long ago) that egress may dial. */
#ifndef SIDECAR_DNS_CACHE_H
#define SIDECAR_DNS_CACHE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "sidecar/dns/codec.h"

#define CACHE_NAMES_MAX    2048 /* the least recently used goes */
#define CACHE_PIN_GRACE_MS (10 * 60 * 1000)

struct name_entry {
	char name[DNS_NAME_MAX + 1];
	uint64_t expires_ms; /* of the answer */
	uint8_t addrs[SIDE_FRESH_MAX][4];
	size_t n_addrs; /* 0: the name has no address for the agent */
	struct {
		uint8_t addr[4];
		uint64_t until_ms;
	} pins[SIDE_PINS_MAX];
	size_t n_pins;
	TAILQ_ENTRY(name_entry) used;
	LIST_ENTRY(name_entry) chain;
};

struct cache;

struct cache *cache_new(void);
void cache_free(struct cache *c);
/* The entry, answer expired or not; NULL when unknown. Valid until the next cache_put. */
const struct name_entry *cache_find(struct cache *c, const char *name, uint64_t now_ms);
const struct name_entry *cache_put(struct cache *c, const char *name, const uint8_t (*addrs)[4], size_t n,
				   uint64_t ttl_ms, uint64_t now_ms);

#endif
