/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's network, all from HOST_CONFIG: names, addresses, routes and permanent neighbours. */
#ifndef GUEST_NET_H
#define GUEST_NET_H

#include "guest/config.h"

/* The loopback and every NIC of the configuration; IPv6 is off by the time a link comes up. */
int net_loopback(struct err *e);
int net_configure(const struct guest_config *c, struct err *e);

#endif
