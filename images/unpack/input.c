/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes that image-unpack reads, in two layers of libarchive: its raw
 * format undoes the compression, and a tar reader of its own takes the result
 * from input_read, so that every byte between the two is hashed and counted.
 */
#include "images/unpack/input.h"

#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "images/unpack/unpack.h"

static ssize_t raw_read(struct archive *a, void *arg, const void **ret)
{
	struct input *in = arg;
	ssize_t n;

	do
		n = read(in->fd, in->buffer, sizeof(in->buffer));
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		archive_set_error(a, errno, "read: %s", strerror(errno));
		return -1;
	}
	in->in_bytes += (uint64_t)n;
	*ret = in->buffer;
	return n;
}

int input_open(struct input *in, int fd, uint64_t max, bool hashed, struct err *e)
{
	struct archive_entry *entry;
	int r;

	memset(in, 0, offsetof(struct input, buffer));
	in->fd = fd;
	in->max = max;
	in->e = e;
	in->raw = archive_read_new();
	in->hash = hashed ? EVP_MD_CTX_new() : NULL;
	if (!in->raw || (hashed && (!in->hash || EVP_DigestInit_ex(in->hash, EVP_sha256(), NULL) != 1)))
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	archive_read_support_filter_gzip(in->raw);
	archive_read_support_filter_zstd(in->raw);
	archive_read_support_format_raw(in->raw);
	archive_read_support_format_empty(in->raw);
	r = archive_read_open(in->raw, in, NULL, raw_read, NULL);
	if (r == ARCHIVE_OK)
		r = archive_read_next_header(in->raw, &entry);
	if (r == ARCHIVE_EOF)
		return err_set(e, ERR_INVALID, ENODATA, "the stream is empty");
	return r == ARCHIVE_OK ? 0 : input_error(in, in->raw, e);
}

void input_done(struct input *in)
{
	archive_read_free(in->raw);
	EVP_MD_CTX_free(in->hash);
}

static int check_size(struct input *in)
{
	if (in->out_bytes > in->max)
		return err_set(in->e, ERR_LIMIT, EFBIG, "more than %llu bytes when decompressed",
			       (unsigned long long)in->max);
	if (in->out_bytes > UNPACK_RATIO_FLOOR && in->out_bytes / UNPACK_RATIO_MAX > in->in_bytes)
		return err_set(in->e, ERR_LIMIT, EFBIG, "grows more than %d-fold when decompressed", UNPACK_RATIO_MAX);
	return 0;
}

ssize_t input_read(struct input *in, const void **ret)
{
	la_int64_t offset;
	size_t n = 0;
	int r = 0;

	if (in->eof)
		return 0;
	r = archive_read_data_block(in->raw, ret, &n, &offset);
	if (r == ARCHIVE_EOF) {
		in->eof = true;
		return 0;
	}
	if (r != ARCHIVE_OK) {
		r = input_error(in, in->raw, in->e);
	} else {
		in->out_bytes += n;
		if (in->hash)
			EVP_DigestUpdate(in->hash, *ret, n);
		r = check_size(in);
	}
	in->failed = r < 0;
	return r < 0 ? r : (ssize_t)n;
}

int input_finish(struct input *in, char hex[SHA256_HEX + 1])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	const void *data;
	ssize_t n;

	while ((n = input_read(in, &data)) > 0)
		;
	if (n < 0)
		return (int)n;
	if (EVP_DigestFinal_ex(in->hash, digest, NULL) != 1)
		return err_set(in->e, ERR_INTERNAL, EIO, "SHA-256");
	hex_encode(hex, digest, SHA256_HEX / 2);
	return 0;
}

static ssize_t tar_read(struct archive *a, void *arg, const void **ret)
{
	struct input *in = arg;
	ssize_t n = input_read(in, ret);

	if (n < 0)
		archive_set_error(a, EIO, "input");
	return n;
}

struct archive *input_tar(struct input *in)
{
	struct archive *a = archive_read_new();

	if (!a)
		return NULL;
	archive_read_support_format_tar(a);
	archive_read_support_format_empty(a);
	/* The error, if any, is found again at the first header. */
	archive_read_open(a, in, NULL, tar_read, NULL);
	return a;
}

bool input_warns_of_charset_only(struct archive *a)
{
	const char *text = archive_error_string(a);

	return text && strstr(text, "can't be converted from");
}

int input_error(struct input *in, struct archive *a, struct err *e)
{
	const char *why = archive_error_string(a);
	char text[QUOTE_MAX];

	if (in->failed) /* e holds it already: it is the one of input_open */
		return in->e && in->e->code ? -in->e->code : -EIO;
	return err_set(e, ERR_INVALID, EBADMSG, "%s",
		       why && *why ? quote(text, sizeof(text), why) : "the archive is damaged or cut off");
}

void sha256_hex(char hex[SHA256_HEX + 1], const void *data, size_t n)
{
	unsigned char digest[EVP_MAX_MD_SIZE] = { 0 };

	EVP_Digest(data, n, digest, NULL, EVP_sha256(), NULL);
	hex_encode(hex, digest, SHA256_HEX / 2);
}

const char *quote(char *out, size_t size, const char *text)
{
	size_t n = 0;

	for (; text && text[n] && n < size - 1; n++)
		out[n] = text[n] >= ' ' && text[n] <= '~' ? text[n] : '?';
	out[n] = '\0';
	return out;
}
