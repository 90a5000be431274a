/* SPDX-License-Identifier: Apache-2.0 */
/* Which virtio devices have their drivers while the VM is parked, and which get them when it becomes a container. */
#ifndef GUEST_DEVICES_H
#define GUEST_DEVICES_H

#include <stdbool.h>

/* From now on a new driver takes no device by itself. Notes the NICs that are there. */
void devices_hold(void);

/* Gives the next NIC (in the order of their indexes) its driver. false: there is none left. */
bool devices_probe_nic(void);

/* Every device that is no NIC, for drivers that were loaded since. */
void devices_probe_others(void);

#endif
