/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Image references as Docker has them: [DOMAIN/]PATH[:TAG][@DIGEST]. "bottle/agent"
 * is normalised to "docker.io/bottle/agent", and shown without what was added.
 */
#ifndef IMAGES_STORE_REFERENCE_H
#define IMAGES_STORE_REFERENCE_H

#include "base/err.h"

#define REFERENCE_NAME_MAX 255
#define REFERENCE_TAG_MAX  128

struct reference {
	char *name;   /* "docker.io/library/debian" */
	char *tag;    /* NULL when there was none */
	char *digest; /* "sha256:…", NULL when there was none */
};

/* The errors are Docker's own texts (ERR_INVALID). */
int reference_parse(struct reference *ret, const char *text, struct err *e);
void reference_done(struct reference *r);

/* "docker.io/library/debian:12"; "latest" when it has neither tag nor digest; the digest instead of the tag when it has one. Owned. */
char *reference_key(const struct reference *r);
/* What a person would write for a key or a name: "debian:12". Points into key. */
const char *reference_familiar(const char *key);

#define _cleanup_reference_ _cleanup_(reference_done)

#endif
