/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream of hostile bytes, decompressed (gzip or zstd, by its magic), counted
 * against the limits, and hashed as it comes out.
 */
#ifndef UNPACK_INPUT_H
#define UNPACK_INPUT_H

#include <archive.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define SHA256_HEX 64

struct input {
	int fd;
	struct archive *raw;
	EVP_MD_CTX *hash;
	uint64_t in_bytes, out_bytes, max;
	bool eof;
	struct err *e; /* the first failure, also of reads that libarchive asked for */
	bool failed;
	unsigned char buffer[64 * 1024];
};

/* fd stays the caller's, and is read from where it stands. max: decompressed bytes. hashed: input_finish will be called. */
int input_open(struct input *in, int fd, uint64_t max, bool hashed, struct err *e);
void input_done(struct input *in);
/* The next piece, valid until the next call: its length, 0 at the end, -errno with e of input_open set. */
ssize_t input_read(struct input *in, const void **ret);
/* Reads to the end and gives the hash of all that came out. */
int input_finish(struct input *in, char hex[SHA256_HEX + 1]);

/* A tar reader on top of it (libarchive); freed by archive_read_free. */
struct archive *input_tar(struct input *in);

/*
 * Names are bytes. The program stays in the C locale, where libarchive cannot
 * convert what is not ASCII, warns, and then gives the bytes as they are; in a
 * UTF-8 locale it would silently compose accents.
 */
bool input_warns_of_charset_only(struct archive *a);
/* The text of libarchive's failure, or of the input's when that caused it. */
int input_error(struct input *in, struct archive *a, struct err *e);

/* SHA-256 of what is in memory. */
void sha256_hex(char hex[SHA256_HEX + 1], const void *data, size_t n);

/* Text of a peer, made fit for a message: printable ASCII, at most the size of out. */
const char *quote(char *out, size_t size, const char *text);
#define QUOTE_MAX 160

#endif
