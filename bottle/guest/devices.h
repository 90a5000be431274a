/* SPDX-License-Identifier: Apache-2.0 */
/* Which virtio devices get their drivers: a template's clone has slots that stay empty. */
#ifndef GUEST_DEVICES_H
#define GUEST_DEVICES_H

#include <stdbool.h>

#define DEVICE_NET   1
#define DEVICE_BLOCK 2

/* From now on a new driver takes no device by itself. */
void devices_hold(void);

/* Gives the next device of that kind (the order of the disks' and NICs' indexes) its driver. false: there is none left. */
bool devices_probe_next(unsigned kind);

/* Every device that is neither a disk nor a NIC. */
void devices_probe_others(void);

#endif
