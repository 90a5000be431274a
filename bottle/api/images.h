/* SPDX-License-Identifier: Apache-2.0 */
/* The image endpoints: rows of routes.c, and the opening of the store. What the other parts of bottled need is in engine.h. */
#ifndef API_IMAGES_H
#define API_IMAGES_H

#include "api/engine.h"

/*
 * The rows for routes.c. Order matters where one pattern could swallow another:
 *	"GET",    "/images/json",           ROUTE_NONE,   images_list
 *	"GET",    "/images/get",            ROUTE_NONE,   images_save
 *	"GET",    "/images/{name}/json",    ROUTE_NONE,   image_inspect
 *	"GET",    "/images/{name}/history", ROUTE_NONE,   image_history
 *	"GET",    "/images/{name}/get",     ROUTE_NONE,   image_save
 *	"POST",   "/images/create",         ROUTE_STREAM, images_create
 *	"POST",   "/images/load",           ROUTE_STREAM, images_load
 *	"POST",   "/images/prune",          ROUTE_NONE,   images_prune
 *	"POST",   "/images/{name}/tag",     ROUTE_NONE,   image_tag
 *	"DELETE", "/images/{name}",         ROUTE_NONE,   image_delete
 */
void images_list(struct request *r);
void images_save(struct request *r);
void image_inspect(struct request *r);
void image_history(struct request *r);
void image_save(struct request *r);
void images_create(struct request *r);
void images_load(struct request *r);
void images_prune(struct request *r);
void image_tag(struct request *r);
void image_delete(struct request *r);

/* Opens g->store on g->db (its schema is made when missing) and g->data_fd; removes what an interrupted job left. */
int images_open(struct engine *g, struct err *e);
/* Ends running jobs; closes the store. */
void images_close(struct engine *g);

#endif
