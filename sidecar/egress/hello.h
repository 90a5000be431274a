/* SPDX-License-Identifier: Apache-2.0 */
/* The TLS ClientHello (RFC 8446 section 4.1.2, RFC 6066 section 3): only its server name, and what would hide one. Pure. */
#ifndef SIDECAR_EGRESS_HELLO_H
#define SIDECAR_EGRESS_HELLO_H

#include <stddef.h>
#include <stdint.h>

#include "policies/decide.h"

#define HELLO_MAX     16384 /* the handshake message */
#define HELLO_RAW_MAX 24576 /* with its record heads: more is a hello in crumbs */

/*
 * Reads a hello from the first bytes of a connection, spread over records as it
 * may be. 1: ret_name is its only server name, normalised; 0: more bytes are
 * needed; -EBADMSG: refused, *ret_why is a sentence. No name, two names, an
 * address, a repeated extension and an encrypted hello (ECH) are refused.
 */
int hello_parse(const uint8_t *p, size_t n, char ret_name[HOST_MAX + 1], const char **ret_why);

#endif
