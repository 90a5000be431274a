/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS messages (RFC 1035), as little of them as sidecar-dns needs: a question
 * from the agent, an answer to it, a question of our own and its answer. Pure;
 * both sides' bytes are hostile.
 */
#ifndef SIDECAR_DNS_CODEC_H
#define SIDECAR_DNS_CODEC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "sidecar/proto.h"

#define DNS_NAME_MAX   253
#define DNS_HEAD       12
#define DNS_PACKET_MAX 512  /* what we send: RFC 1035 section 2.3.4, no EDNS */
#define DNS_QUERY_MAX  1232 /* what we read of the agent's */
#define DNS_ANSWER_MAX 4096 /* what we read of an upstream's */

#define DNS_TYPE_A     1
#define DNS_TYPE_CNAME 5
#define DNS_CLASS_IN   1

enum dns_rcode { DNS_NOERROR, DNS_FORMERR, DNS_SERVFAIL, DNS_NXDOMAIN, DNS_NOTIMP, DNS_REFUSED };

struct dns_question {
	uint16_t id, flags, type, class;
	char name[DNS_NAME_MAX + 1]; /* lower case; a byte that no host name has is '?' */
	size_t len;                  /* of the question section behind the head; 0 when it is not to be repeated */
};

/* 0: a question. > 0: answer with this rcode. -EBADMSG: not even that. */
int dns_parse_query(const uint8_t *p, size_t n, struct dns_question *ret);

/* An answer to the query whose bytes are at query. out has DNS_PACKET_MAX bytes; n_addrs <= SIDE_FRESH_MAX. */
size_t dns_build_answer(uint8_t *out, const uint8_t *query, const struct dns_question *q, int rcode,
			const uint8_t (*addrs)[4], size_t n_addrs, uint32_t ttl);

/* A question for A records. name is a normalised host. */
size_t dns_build_query(uint8_t *out, uint16_t id, const char *name);

struct dns_answer {
	int rcode;
	bool truncated;
	uint32_t ttl; /* the least of the chain */
	uint8_t addrs[SIDE_FRESH_MAX][4];
	size_t n_addrs;
};

/* The answer to dns_build_query(id, name), CNAMEs followed inside it. -EBADMSG: not that, or malformed. */
int dns_parse_answer(const uint8_t *p, size_t n, uint16_t id, const char *name, struct dns_answer *ret);

#endif
