/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The body of every message between our own processes: a row of fields, each
 * { le16 tag, le16 zero, le32 length, bytes }, unpadded. Tags are the message
 * family's enum (bottle/proto). A reader walks the fields in order; an unknown tag is
 * an error, since both sides are always of one version.
 *
 *	struct tlv t;                              struct tlv_field f;
 *	tlv_init(&t, space, sizeof(space));        while ((r = tlv_next(&it, &f)) > 0)
 *	tlv_u32(&t, MON_TAG_ROWS, 24);                     switch (f.tag) ...
 *	tlv_str(&t, MON_TAG_ARG, "sh");            if (r < 0) ... malformed
 *
 * Writing past the space marks the writer broken; tlv_len then gives -EMSGSIZE.
 */
#ifndef BASE_TLV_H
#define BASE_TLV_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct tlv {
	unsigned char *data;
	size_t len, size;
	bool broken;
};

void tlv_init(struct tlv *t, void *space, size_t size);
void tlv_bytes(struct tlv *t, uint16_t tag, const void *data, size_t n);
void tlv_str(struct tlv *t, uint16_t tag, const char *s); /* without its NUL; NULL adds nothing */
void tlv_u32(struct tlv *t, uint16_t tag, uint32_t v);
void tlv_u64(struct tlv *t, uint16_t tag, uint64_t v);
ssize_t tlv_len(const struct tlv *t);

struct tlv_iter {
	const unsigned char *p, *end;
};

struct tlv_field {
	uint16_t tag;
	const unsigned char *data; /* into the message */
	uint32_t len;
};

void tlv_iter_init(struct tlv_iter *it, const void *data, size_t n);
/* 1 a field, 0 the end, -EBADMSG. */
int tlv_next(struct tlv_iter *it, struct tlv_field *ret);

/* Typed views of a field: false when its length is not the type's. */
bool tlv_get_u32(const struct tlv_field *f, uint32_t *ret);
bool tlv_get_u64(const struct tlv_field *f, uint64_t *ret);
/* A copy with a NUL behind it (caller frees), NULL when longer than max or holding a NUL. */
char *tlv_get_str(const struct tlv_field *f, size_t max);

#endif
