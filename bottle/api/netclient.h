/* SPDX-License-Identifier: Apache-2.0 */
/* The channel to netpolicyd: requests and their answers, each by its seq. Connects when it is needed, and again when it was lost. */
#ifndef API_NETCLIENT_H
#define API_NETCLIENT_H

#include "api/engine.h"
#include "base/ipc.h"
#include "proto/netpolicy.h"

struct netclient;

/* m: the answer, or NULL with e. Always called from the loop, never from within netclient_call. */
typedef void (*net_fn)(void *arg, struct ipc_msg *m, const struct err *e);

struct netclient *netclient_new(struct engine *g, const char *socket_path);
/* Open requests are answered with an error. */
void netclient_free(struct netclient *c);
/* fd (-1: none) stays the caller's. fn may be NULL. The engine is busy until the answer. */
void netclient_call(struct netclient *c, uint16_t type, const struct tlv *body, int fd, net_fn fn, void *arg);
/* Connected since the last call of this function: what netpolicyd has may differ from what we know. */
bool netclient_is_new(struct netclient *c);

#endif
