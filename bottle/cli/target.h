/* SPDX-License-Identifier: Apache-2.0 */
/* What a person writes to name a destination: a URL, "host:port", "[v6]:port" or a bare host (443). */
#ifndef CLI_TARGET_H
#define CLI_TARGET_H

#include <stdint.h>

#include "base/err.h"

int target_parse(const char *text, char **ret_host, uint16_t *ret_port, struct err *e);

#endif
