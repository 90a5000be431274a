/* SPDX-License-Identifier: Apache-2.0 */
/* The handlers of routes.c's rows for the engine itself, its events and its networks. */
#ifndef API_SYSTEM_H
#define API_SYSTEM_H

#include "api/server.h"

void system_ping(struct request *r);
void system_version(struct request *r);
void system_info(struct request *r);
void system_df(struct request *r);
void system_options(struct request *r);
void libpod_ping(struct request *r);
void events_stream(struct request *r);

void networks_list(struct request *r);
void networks_create(struct request *r);
void networks_prune(struct request *r);
void network_inspect(struct request *r);
void network_delete(struct request *r);
void network_connect(struct request *r);
void network_disconnect(struct request *r);

/* Known calls that are not offered: 501 with their name; 503 of an engine without swarm; an empty list. */
void not_offered(struct request *r);
void not_a_swarm(struct request *r);
void empty_list(struct request *r);
/* There are no volumes and no build cache yet: nothing to list, to find or to prune. */
void volumes_list(struct request *r);
void volumes_prune(struct request *r);
void volume_missing(struct request *r);
void build_prune(struct request *r);

#endif
