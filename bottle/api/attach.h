/* SPDX-License-Identifier: Apache-2.0 */
/* What attach and exec share: detach keys, terminal sizes, the stream's content type. */
#ifndef API_ATTACH_H
#define API_ATTACH_H

#include "api/container.h"

#define EARLY_MAX (32 * 1024) /* input that came with the head */

/* "ctrl-p,ctrl-q" to bytes; NULL or "" gives none. 0 or -EINVAL. */
int detach_keys_parse(const char *s, uint8_t ret[DETACH_KEYS_MAX], size_t *ret_n);
const char *stream_content_type(const struct request *r, bool tty);
/* false: answered with 400. */
bool resize_parameters(struct request *r, uint32_t *ret_rows, uint32_t *ret_cols);
void resize_send(struct container *c, const char *exec_id, uint32_t rows, uint32_t cols);

#endif
