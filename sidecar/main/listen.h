/* SPDX-License-Identifier: Apache-2.0 */
/* The sidecar's listening sockets, opened by main (which may) for its children (which may not). */
#ifndef SIDECAR_MAIN_LISTEN_H
#define SIDECAR_MAIN_LISTEN_H

#include "sidecar/main/route.h"

enum listener { LISTEN_DNS_UDP, LISTEN_DNS_TCP, LISTEN_PROXY, LISTEN_HTTP, LISTEN_TLS, LISTEN_STATUS, LISTEN_NUM };

#define PROXY_PORT 3128

/* Opens all of them, or none. status_port 0: no status listener (-1). */
int listen_all(const struct links *l, uint16_t status_port, int ret_fds[LISTEN_NUM], struct err *e);
void listen_close(int fds[LISTEN_NUM]);

#endif
