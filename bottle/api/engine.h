/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of bottled share: one struct engine, made in main.c, and the
 * calls between the parts. Each part owns its tables and memory:
 *
 *	state.c      the SQLite handle and its schema       events.c   the event ring
 *	images.c     images, on images/store                networks.c networks, netpolicyd
 *	containers.c containers, execs, monitors            system.c   ping, info, version
 */
#ifndef API_ENGINE_H
#define API_ENGINE_H

#include <jansson.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "api/server.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/str.h"

struct containers;
struct networks;
struct templates;
struct events;
struct store; /* images/store/store.h */

struct engine {
	struct loop *loop;
	struct server *server;
	sqlite3 *db;    /* state.db; WAL; one writer */
	int data_fd;    /* $XDG_DATA_HOME/bottle */
	int runtime_fd; /* $XDG_RUNTIME_DIR/bottle */
	char *data_dir, *runtime_dir;
	char *socket_path; /* the Engine socket: for the monitors' poke */
	struct events *events;
	struct store *store;
	struct networks *networks;
	struct containers *containers;
	struct templates *templates;
	unsigned int adopting; /* monitors found at the start that have not told their state yet */
	unsigned int busy; /* work that must not be cut by the idle exit: engine_busy, engine_idle */
	struct source *idle_timer;
	uint64_t idle_ms; /* UINT64_MAX: never */
	int lock_fd;      /* holds the lock on data_dir */
	unsigned int tx_depth;
	bool tx_failed;
	char *netpolicy_socket;
};

void engine_busy(struct engine *g);
void engine_idle(struct engine *g);

/* Arms the idle exit; from here on bottled ends when nothing goes on for idle_ms (0: never). */
void engine_idle_exit(struct engine *g, uint64_t idle_ms);

/* ---- state.c: opening, schema, and statements that read like one call ---- */

/* Locks data_dir, opens state.db, brings its schema up to date. */
int state_open(struct engine *g, struct err *e);
void state_close(struct engine *g);
/* "t" text (NULL is NULL), "i" int64 for each ?; runs to its end. 0 or -errno. */
int state_exec(struct engine *g, struct err *e, const char *sql, const char *types, ...);
/* The same, to be stepped by the caller: sqlite3_step, sqlite3_column_*, sqlite3_finalize. NULL on failure. */
sqlite3_stmt *state_query(struct engine *g, struct err *e, const char *sql, const char *types, ...);
/* Transactions nest by counting; a rollback inside makes the outermost one roll back. */
int state_begin(struct engine *g, struct err *e);
int state_commit(struct engine *g, struct err *e);
void state_rollback(struct engine *g);

/* ---- events.c ---- */

void events_open(struct engine *g);
void events_close(struct engine *g);

/* attributes is taken; may be NULL. type "container", "image", "network", "volume"; action "start", … */
void event_emit(struct engine *g, const char *type, const char *action, const char *id, json_t *attributes);

/* ---- filters.c: the query's "filters", both forms (engine-api.md, section 7) ---- */

struct filters {
	json_t *map; /* key -> array of strings */
};
/* allowed: NULL-terminated keys; another one is ERR_INVALID "invalid filter 'x'". */
int filters_parse(struct filters *f, const char *text, const char *const *allowed, struct err *e);
void filters_done(struct filters *f);
bool filters_has(const struct filters *f, const char *key);
/* true when key is absent or one of its values is v. */
bool filters_match(const struct filters *f, const char *key, const char *v);
/* true when key ("label") is absent or all its values ("k" or "k=v") hold in labels (an object). */
bool filters_match_labels(const struct filters *f, const char *key, const json_t *labels);
/* Values of key as a borrowed array, or NULL. */
const json_t *filters_values(const struct filters *f, const char *key);

/* ---- images.c ---- */

struct image_use {
	char *id;           /* "sha256:…" */
	json_t *config;     /* the OCI config's "config" object: Env, Cmd, Entrypoint, … */
	char **layer_paths; /* strv: block images of the layers, top first, absolute */
};
/* By reference, id or prefix; ERR_NOTFOUND "No such image: x:latest". */
int image_resolve(struct engine *g, const char *ref, struct image_use *ret, struct err *e);
void image_use_done(struct image_use *u);
/* A reference as the user would write it, for lists: the name it has now, or its id. */
void images_count(struct engine *g, int64_t *ret);

/* ---- networks.c: what containers.c needs of them ---- */

int networks_open(struct engine *g, struct err *e);
void networks_close(struct engine *g);

struct endpoint {
	char *network_id, *network_name;
	uint64_t net_id; /* id given to netpolicyd */
	uint64_t id;     /* the endpoint's */
	char endpoint_id[ID_LEN + 1];
	uint8_t mac[6], gateway_mac[6];
	uint8_t addr[4], gateway[4];
	uint8_t prefix;
	bool has_gateway, has_gateway_mac;
	bool internal, egress;
	int tap_fd; /* owned until passed to the monitor */
};
void endpoint_done(struct endpoint *ep);

/* ERR_NOTFOUND "network x not found". ret_id is owned. */
int network_resolve(struct engine *g, const char *name_or_id, char **ret_id, char **ret_name, struct err *e);
/*
 * A tap on a network for a container that starts: asks netpolicyd and calls done
 * later (from the loop; ep is the callee's, NULL with e on failure). addr: the IPv4
 * that the user or a former start fixed, or NULL.
 */
void network_attach(struct engine *g, const char *network_id, const char *container_id, const uint8_t *addr,
		    void (*done)(void *arg, struct endpoint *ep, const struct err *e), void *arg);
/* Gives the endpoint back to netpolicyd (asynchronously; also when netpolicyd is not there: repaired at the next start). */
void network_detach(struct engine *g, uint64_t endpoint);
/* Publishes proto/port of the endpoint at a bound socket (kept open by the caller as the reservation). */
void network_publish(struct engine *g, uint64_t endpoint, int proto, uint16_t port, int bound_fd,
		     void (*done)(void *arg, const struct err *e), void *arg);
/* Nameservers of the host for containers of networks that reach the outside: IPv4, at most 3. Count. */
size_t network_resolvers(uint8_t ret[3][4]);

/* ---- containers.c: what networks.c, images.c, system.c need of them ---- */

int containers_open(struct engine *g, struct err *e); /* reads the state, finds the monitors */
void containers_close(struct engine *g);
/* {"<id>": {"Name", "EndpointID", "MacAddress", "IPv4Address": "a/24", "IPv6Address": ""}} of the running ones. New. */
json_t *containers_on_network(struct engine *g, const char *network_id);
/* Is a container (running or not) configured to use it; ret_name (owned) one of them. */
bool containers_use_network(struct engine *g, const char *network_id, char **ret_name);
bool containers_use_image(struct engine *g, const char *image_id, char **ret_container_id, bool *ret_running);
void containers_count(struct engine *g, int *ret_running, int *ret_paused, int *ret_stopped);
/* POST /networks/{id}/connect and /disconnect, for a container that is not running. endpoint_config borrowed. */
int container_connect(struct engine *g, const char *container, const char *network_id, const char *network_name,
		      json_t *endpoint_config, struct err *e);
int container_disconnect(struct engine *g, const char *container, const char *network_id, bool force, struct err *e);

#endif
