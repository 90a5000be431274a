/* SPDX-License-Identifier: Apache-2.0 */
/* Takes the rule set as data to the kernel, by libnftnl: one batch is one transaction. 0 or -errno. */
#ifndef NETPOLICY_NFT_H
#define NETPOLICY_NFT_H

#include <stdbool.h>
#include <stdint.h>

#include "netpolicy/nl.h"
#include "netpolicy/ruleset.h"

/*
 * Puts the tables of one side (host: H, else N) with their elements in place of
 * what is there. They are owned by this socket, and stay when it closes, where
 * the kernel can do that (6.9); plain tables otherwise.
 */
int nft_replace(struct nl *nf, bool host, const struct rs_elems *e);
/* Adds or deletes those elements that belong to that side. */
int nft_change(struct nl *nf, bool host, const struct rs_elems *e, bool del);
/* Empties a set and fills it with e, in one transaction. */
int nft_refill(struct nl *nf, enum rs_table table, const char *set, const struct rs_elems *e);
/* Deletes the tables of one side. */
int nft_remove(struct nl *nf, bool host);
/* How many of that side's tables there are, of how many. */
int nft_count(struct nl *nf, bool host, unsigned *ret_have, unsigned *ret_want);

typedef void (*nft_elem_fn)(const uint8_t *key, size_t key_len, const uint8_t *data, size_t data_len,
			    const char *comment, void *arg);
/* Every element of a set; -ENOENT when the table isn't there. */
int nft_elements(struct nl *nf, enum rs_table table, const char *set, nft_elem_fn fn, void *arg);

typedef void (*nft_chain_fn)(const char *table, const char *chain, uint32_t family, void *arg);
/* Every chain of another table that drops forwarded IPv4 by policy. */
int nft_forward_drops(struct nl *nf, nft_chain_fn fn, void *arg);

#endif
