/* SPDX-License-Identifier: Apache-2.0 */
/* Names that were resolved, in sidecar-dns: bounded, least recently used out first. The agent chooses names under wildcards. */
#include "sidecar/dns/cache.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define BUCKETS 512

struct cache {
	TAILQ_HEAD(used_list, name_entry) used; /* least recent first */
	LIST_HEAD(chain_list, name_entry) buckets[BUCKETS];
	uint64_t seed;
	size_t n;
};

struct cache *cache_new(void)
{
	struct cache *c = xcalloc(1, sizeof(*c));

	TAILQ_INIT(&c->used);
	random_bytes(&c->seed, sizeof(c->seed)); /* the agent can't aim at one bucket */
	return c;
}

static void drop(struct cache *c, struct name_entry *e)
{
	TAILQ_REMOVE(&c->used, e, used);
	LIST_REMOVE(e, chain);
	free(e);
	c->n--;
}

void cache_free(struct cache *c)
{
	struct name_entry *next;

	if (!c)
		return;
	for (struct name_entry *e = TAILQ_FIRST(&c->used); e; e = next) {
		next = TAILQ_NEXT(e, used);
		drop(c, e);
	}
	free(c);
}

static struct chain_list *bucket(struct cache *c, const char *name)
{
	uint64_t h = c->seed;

	for (; *name; name++) {
		h = (h ^ (unsigned char)*name) * 0x9e3779b97f4a7c15ULL;
		h ^= h >> 29;
	}
	return &c->buckets[h % BUCKETS];
}

static void expire_pins(struct name_entry *e, uint64_t now_ms)
{
	size_t kept = 0;

	for (size_t i = 0; i < e->n_pins; i++)
		if (e->pins[i].until_ms > now_ms)
			e->pins[kept++] = e->pins[i];
	e->n_pins = kept;
}

static struct name_entry *find(struct cache *c, const char *name, uint64_t now_ms)
{
	struct name_entry *e;

	LIST_FOREACH(e, bucket(c, name), chain) {
		if (strcmp(e->name, name) != 0)
			continue;
		TAILQ_REMOVE(&c->used, e, used);
		TAILQ_INSERT_TAIL(&c->used, e, used);
		expire_pins(e, now_ms);
		return e;
	}
	return NULL;
}

const struct name_entry *cache_find(struct cache *c, const char *name, uint64_t now_ms)
{
	return find(c, name, now_ms);
}

/* A full table gives up the pin that ends first. */
static void pin(struct name_entry *e, const uint8_t addr[4], uint64_t until_ms)
{
	size_t at = 0;

	for (size_t i = 0; i < e->n_pins; i++) {
		if (memcmp(e->pins[i].addr, addr, 4) == 0) {
			e->pins[i].until_ms = until_ms;
			return;
		}
		if (e->pins[i].until_ms < e->pins[at].until_ms)
			at = i;
	}
	if (e->n_pins < SIDE_PINS_MAX)
		at = e->n_pins++;
	memcpy(e->pins[at].addr, addr, 4);
	e->pins[at].until_ms = until_ms;
}

const struct name_entry *cache_put(struct cache *c, const char *name, const uint8_t (*addrs)[4], size_t n,
				   uint64_t ttl_ms, uint64_t now_ms)
{
	struct name_entry *e = find(c, name, now_ms);

	if (!e) {
		if (c->n >= CACHE_NAMES_MAX)
			drop(c, TAILQ_FIRST(&c->used));
		e = xcalloc(1, sizeof(*e));
		snprintf(e->name, sizeof(e->name), "%s", name);
		LIST_INSERT_HEAD(bucket(c, name), e, chain);
		TAILQ_INSERT_TAIL(&c->used, e, used);
		c->n++;
	}
	e->expires_ms = now_ms + ttl_ms;
	e->n_addrs = n < SIDE_FRESH_MAX ? n : SIDE_FRESH_MAX;
	for (size_t i = 0; i < e->n_addrs; i++) {
		memcpy(e->addrs[i], addrs[i], 4);
		pin(e, addrs[i], now_ms + ttl_ms + CACHE_PIN_GRACE_MS);
	}
	return e;
}
