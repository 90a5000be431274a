/* SPDX-License-Identifier: Apache-2.0 */
/* Message fields; in every process. Reads bytes of less trusted peers: fuzzed (tests/fuzz/fuzz_tlv.c). */
#include "base/tlv.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"

#define TLV_HEAD 8

void tlv_init(struct tlv *t, void *space, size_t size)
{
	*t = (struct tlv){ .data = space, .size = size };
}

void tlv_bytes(struct tlv *t, uint16_t tag, const void *data, size_t n)
{
	uint16_t le_tag = htole16(tag);
	uint32_t le_len = htole32((uint32_t)n);

	if (t->broken || n > UINT32_MAX || t->size - t->len < TLV_HEAD || t->size - t->len - TLV_HEAD < n) {
		t->broken = true;
		return;
	}
	memcpy(t->data + t->len, &le_tag, 2);
	memset(t->data + t->len + 2, 0, 2);
	memcpy(t->data + t->len + 4, &le_len, 4);
	if (n)
		memcpy(t->data + t->len + TLV_HEAD, data, n);
	t->len += TLV_HEAD + n;
}

void tlv_str(struct tlv *t, uint16_t tag, const char *s)
{
	if (s)
		tlv_bytes(t, tag, s, strlen(s));
}

void tlv_u32(struct tlv *t, uint16_t tag, uint32_t v)
{
	v = htole32(v);
	tlv_bytes(t, tag, &v, sizeof(v));
}

void tlv_u64(struct tlv *t, uint16_t tag, uint64_t v)
{
	v = htole64(v);
	tlv_bytes(t, tag, &v, sizeof(v));
}

ssize_t tlv_len(const struct tlv *t)
{
	return t->broken ? -EMSGSIZE : (ssize_t)t->len;
}

void tlv_iter_init(struct tlv_iter *it, const void *data, size_t n)
{
	it->p = data;
	it->end = it->p + n;
}

int tlv_next(struct tlv_iter *it, struct tlv_field *ret)
{
	size_t left = (size_t)(it->end - it->p);
	uint16_t tag, zero;
	uint32_t len;

	if (!left)
		return 0;
	if (left < TLV_HEAD)
		return -EBADMSG;
	memcpy(&tag, it->p, 2);
	memcpy(&zero, it->p + 2, 2);
	memcpy(&len, it->p + 4, 4);
	len = le32toh(len);
	if (zero || len > left - TLV_HEAD)
		return -EBADMSG;
	ret->tag = le16toh(tag);
	ret->data = it->p + TLV_HEAD;
	ret->len = len;
	it->p += TLV_HEAD + len;
	return 1;
}

bool tlv_get_u32(const struct tlv_field *f, uint32_t *ret)
{
	if (f->len != sizeof(*ret))
		return false;
	memcpy(ret, f->data, sizeof(*ret));
	*ret = le32toh(*ret);
	return true;
}

bool tlv_get_u64(const struct tlv_field *f, uint64_t *ret)
{
	if (f->len != sizeof(*ret))
		return false;
	memcpy(ret, f->data, sizeof(*ret));
	*ret = le64toh(*ret);
	return true;
}

char *tlv_get_str(const struct tlv_field *f, size_t max)
{
	if (f->len > max || memchr(f->data, '\0', f->len))
		return NULL;
	return xstrndup((const char *)f->data, f->len);
}
