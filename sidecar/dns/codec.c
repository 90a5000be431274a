/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS codec, in sidecar-dns; distrusts the agent's questions and the upstreams'
 * answers alike. A compression pointer may only lead backwards, so that every
 * name ends.
 */
#include "sidecar/dns/codec.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"

#define FLAG_QR       0x8000
#define FLAG_TC       0x0200
#define FLAG_RD       0x0100
#define FLAG_RA       0x0080
#define OPCODE(flags) ((flags) >> 11 & 0xf)

#define LABEL_MAX   63
#define RECORDS_MAX 64
#define CHAIN_MAX   10

struct record {
	char owner[DNS_NAME_MAX + 1];
	uint16_t type, class, rdlen;
	uint32_t ttl;
	size_t rdata;
};

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void put16(uint8_t *p, unsigned int v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static char name_char(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c + 32);
	if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_')
		return (char)c;
	return '?';
}

/* Reads a name at *off and moves *off behind it. The root is "". */
static int read_name(const uint8_t *p, size_t n, size_t *off, bool pointers, char ret[DNS_NAME_MAX + 1])
{
	size_t at = *off, floor = at, len = 0;
	bool jumped = false;

	for (;;) {
		size_t label;

		if (at >= n)
			return -EBADMSG;
		label = p[at];
		if ((label & 0xc0) == 0xc0) {
			size_t to;

			if (!pointers || at + 1 >= n)
				return -EBADMSG;
			to = (size_t)(label & 0x3f) << 8 | p[at + 1];
			if (to < DNS_HEAD || to >= floor)
				return -EBADMSG;
			if (!jumped)
				*off = at + 2;
			jumped = true;
			at = floor = to;
			continue;
		}
		if (label > LABEL_MAX || at + 1 + label > n)
			return -EBADMSG;
		if (label == 0)
			break;
		if (len + (len > 0) + label > DNS_NAME_MAX)
			return -EBADMSG;
		if (len)
			ret[len++] = '.';
		for (size_t i = 0; i < label; i++)
			ret[len++] = name_char(p[at + 1 + i]);
		at += 1 + label;
	}
	ret[len] = '\0';
	if (!jumped)
		*off = at + 1;
	return 0;
}

int dns_parse_query(const uint8_t *p, size_t n, struct dns_question *ret)
{
	size_t off = DNS_HEAD;

	memset(ret, 0, sizeof(*ret));
	if (n < DNS_HEAD)
		return -EBADMSG;
	ret->id = get16(p);
	ret->flags = get16(p + 2);
	if (ret->flags & FLAG_QR)
		return -EBADMSG;
	if (OPCODE(ret->flags) != 0)
		return DNS_NOTIMP;
	/* One question, nothing answered in it; what follows (EDNS) says nothing that we would heed. */
	if (get16(p + 4) != 1 || get16(p + 6) != 0 || get16(p + 8) != 0 || ret->flags & FLAG_TC)
		return DNS_FORMERR;
	if (read_name(p, n, &off, false, ret->name) < 0 || n - off < 4)
		return DNS_FORMERR;
	ret->type = get16(p + off);
	ret->class = get16(p + off + 2);
	ret->len = off + 4 - DNS_HEAD;
	return 0;
}

size_t dns_build_answer(uint8_t *out, const uint8_t *query, const struct dns_question *q, int rcode,
			const uint8_t (*addrs)[4], size_t n_addrs, uint32_t ttl)
{
	size_t len = DNS_HEAD;

	memset(out, 0, DNS_HEAD);
	put16(out, q->id);
	put16(out + 2, FLAG_QR | FLAG_RA | (q->flags & (FLAG_RD | 0xf << 11)) | (unsigned int)rcode);
	if (q->len) {
		put16(out + 4, 1);
		memcpy(out + len, query + DNS_HEAD, q->len);
		len += q->len;
	}
	for (size_t i = 0; i < n_addrs && len + 16 <= DNS_PACKET_MAX; i++) {
		put16(out + len, 0xc000 | DNS_HEAD);
		put16(out + len + 2, DNS_TYPE_A);
		put16(out + len + 4, DNS_CLASS_IN);
		put16(out + len + 6, ttl >> 16);
		put16(out + len + 8, ttl & 0xffff);
		put16(out + len + 10, 4);
		memcpy(out + len + 12, addrs[i], 4);
		len += 16;
		put16(out + 6, (unsigned int)i + 1);
	}
	return len;
}

size_t dns_build_query(uint8_t *out, uint16_t id, const char *name)
{
	size_t len = DNS_HEAD;

	memset(out, 0, DNS_HEAD);
	put16(out, id);
	put16(out + 2, FLAG_RD);
	put16(out + 4, 1);
	while (*name) {
		size_t label = strcspn(name, ".");

		out[len++] = (uint8_t)label;
		memcpy(out + len, name, label);
		len += label;
		name += label + (name[label] == '.');
	}
	out[len++] = 0;
	put16(out + len, DNS_TYPE_A);
	put16(out + len + 2, DNS_CLASS_IN);
	return len + 4;
}

static int read_record(const uint8_t *p, size_t n, size_t *off, struct record *ret)
{
	if (read_name(p, n, off, true, ret->owner) < 0 || n - *off < 10)
		return -EBADMSG;
	ret->type = get16(p + *off);
	ret->class = get16(p + *off + 2);
	ret->ttl = get32(p + *off + 4);
	ret->rdlen = get16(p + *off + 8);
	ret->rdata = *off + 10;
	if (n - ret->rdata < ret->rdlen)
		return -EBADMSG;
	*off = ret->rdata + ret->rdlen;
	return 0;
}

/* The CNAME target of name among the records: 1, 0 when there is none. */
static int next_alias(const uint8_t *p, size_t n, const struct record *r, size_t n_r, char name[DNS_NAME_MAX + 1],
		      uint32_t *ttl)
{
	for (size_t i = 0; i < n_r; i++) {
		size_t off = r[i].rdata;

		if (r[i].type != DNS_TYPE_CNAME || r[i].class != DNS_CLASS_IN || strcmp(r[i].owner, name) != 0)
			continue;
		if (read_name(p, n, &off, true, name) < 0 || off != r[i].rdata + r[i].rdlen)
			return -EBADMSG;
		*ttl = r[i].ttl < *ttl ? r[i].ttl : *ttl;
		return 1;
	}
	return 0;
}

static int follow(const uint8_t *p, size_t n, const struct record *r, size_t n_r, const char *name,
		  struct dns_answer *ret)
{
	char at[DNS_NAME_MAX + 1];
	int more = 1;

	snprintf(at, sizeof(at), "%s", name);
	for (int hops = 0; more == 1; hops++) {
		if (hops > CHAIN_MAX)
			return -EBADMSG;
		more = next_alias(p, n, r, n_r, at, &ret->ttl);
	}
	if (more < 0)
		return more;
	for (size_t i = 0; i < n_r && ret->n_addrs < SIDE_FRESH_MAX; i++) {
		if (r[i].type != DNS_TYPE_A || r[i].class != DNS_CLASS_IN || strcmp(r[i].owner, at) != 0)
			continue;
		if (r[i].rdlen != 4)
			return -EBADMSG;
		ret->ttl = r[i].ttl < ret->ttl ? r[i].ttl : ret->ttl;
		memcpy(ret->addrs[ret->n_addrs++], p + r[i].rdata, 4);
	}
	return 0;
}

int dns_parse_answer(const uint8_t *p, size_t n, uint16_t id, const char *name, struct dns_answer *ret)
{
	struct record records[RECORDS_MAX];
	char asked[DNS_NAME_MAX + 1];
	size_t off = DNS_HEAD, n_records;
	uint16_t flags;

	memset(ret, 0, sizeof(*ret));
	ret->ttl = INT32_MAX;
	if (n < DNS_HEAD || get16(p) != id)
		return -EBADMSG;
	flags = get16(p + 2);
	if (!(flags & FLAG_QR) || OPCODE(flags) != 0 || get16(p + 4) != 1)
		return -EBADMSG;
	if (read_name(p, n, &off, false, asked) < 0 || n - off < 4 || strcmp(asked, name) != 0 ||
	    get16(p + off) != DNS_TYPE_A || get16(p + off + 2) != DNS_CLASS_IN)
		return -EBADMSG;
	off += 4;
	ret->rcode = flags & 0xf;
	ret->truncated = flags & FLAG_TC;
	if (ret->truncated || ret->rcode != DNS_NOERROR)
		return 0;
	n_records = get16(p + 6);
	if (n_records > RECORDS_MAX)
		return -EBADMSG;
	for (size_t i = 0; i < n_records; i++)
		if (read_record(p, n, &off, &records[i]) < 0)
			return -EBADMSG;
	return follow(p, n, records, n_records, name, ret);
}
