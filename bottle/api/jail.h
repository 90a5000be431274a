/* SPDX-License-Identifier: Apache-2.0 */
/* What bottled gives up before it reads the first byte of a client. */
#ifndef API_JAIL_H
#define API_JAIL_H

#include "base/err.h"

int jail_enter(struct err *e) _must_use_;

#endif
