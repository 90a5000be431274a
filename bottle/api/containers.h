/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers on the Engine socket: the handlers of routes.c's rows. {name} of a
 * /containers row is args[0]; the exec id of an /exec row too.
 */
#ifndef API_CONTAINERS_H
#define API_CONTAINERS_H

#include "api/server.h"

void containers_list(struct request *r);   /* GET    /containers/json                          ROUTE_NONE */
void containers_create(struct request *r); /* POST   /containers/create                        ROUTE_JSON */
void containers_prune(struct request *r);  /* POST   /containers/prune                         ROUTE_NONE */
void container_inspect(struct request *r); /* GET    /containers/{name}/json                   ROUTE_NONE */
void container_start(struct request *r);   /* POST   /containers/{name}/start                  ROUTE_NONE */
void container_stop(struct request *r);    /* POST   /containers/{name}/stop                   ROUTE_NONE */
void container_restart(struct request *r); /* POST   /containers/{name}/restart                ROUTE_NONE */
void container_kill(struct request *r);    /* POST   /containers/{name}/kill                   ROUTE_NONE */
void container_wait(struct request *r);    /* POST   /containers/{name}/wait                   ROUTE_NONE */
void container_remove(struct request *r);  /* DELETE /containers/{name}                        ROUTE_NONE */
void container_logs(struct request *r);    /* GET    /containers/{name}/logs                   ROUTE_NONE */
void container_attach(struct request *r);  /* POST   /containers/{name}/attach                 ROUTE_NONE */
void container_resize(struct request *r);  /* POST   /containers/{name}/resize                 ROUTE_NONE */
void container_rename(struct request *r);  /* POST   /containers/{name}/rename                 ROUTE_NONE */
void container_pause(struct request *r);   /* POST   /containers/{name}/pause                  ROUTE_NONE */
void container_unpause(struct request *r); /* POST   /containers/{name}/unpause                ROUTE_NONE */
void container_top(struct request *r);     /* GET    /containers/{name}/top                    ROUTE_NONE */
void container_stats(struct request *r);   /* GET    /containers/{name}/stats                  ROUTE_NONE */
void exec_create(struct request *r);       /* POST   /containers/{name}/exec                   ROUTE_JSON */
void exec_start(struct request *r);        /* POST   /exec/{id}/start                          ROUTE_JSON */
void exec_resize(struct request *r);       /* POST   /exec/{id}/resize                         ROUTE_NONE */
void exec_inspect(struct request *r);      /* GET    /exec/{id}/json                           ROUTE_NONE */

#endif
