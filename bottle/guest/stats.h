/* SPDX-License-Identifier: Apache-2.0 */
/* The figures of docker stats: the VM's own. */
#ifndef GUEST_STATS_H
#define GUEST_STATS_H

#include "base/tlv.h"

/* Adds every GUEST_TAG_STAT_*; what cannot be read is 0. */
void stats_collect(struct tlv *t);

#endif
