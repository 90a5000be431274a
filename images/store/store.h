/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image store: tables in bottled's database, files beside it.
 *	blobs/sha256/HEX         configurations and layers as they came
 *	layers/HEX.vN.sqfs       block images, by diff id and the converter's version
 *	staging/RANDOM/          one directory for each running image-unpack
 * Files come before the rows that speak of them and go after: whenever the
 * process is killed, each row has its files. What has no row is removed at open.
 */
#ifndef IMAGES_STORE_STORE_H
#define IMAGES_STORE_STORE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define STORE_LAYERS_MAX 16
#define STORE_CONFIG_MAX (4 << 20)

struct store;

/* db stays the caller's and must outlive the store; data_fd is duplicated. */
int store_open(sqlite3 *db, int data_fd, struct store **ret, struct err *e);
void store_close(struct store *s);

/* ---- jobs ---- */

/* A fresh directory with its "known" file: an open descriptor; ret_name is owned. */
int store_job_open(struct store *s, char **ret_name, struct err *e);
/* Removes it and all that was not taken from it. */
void store_job_remove(struct store *s, const char *name);

struct store_layer {
	char diff_id[ID_LEN + 1];
	char blob[ID_LEN + 1];
	uint64_t blob_size, size;
	bool known;
};

struct store_new {
	char id[ID_LEN + 1];
	char **keys; /* strv of normalised references (reference_key) */
	struct store_layer layers[STORE_LAYERS_MAX];
	size_t n_layers;
};

/* Takes the job's files for images and writes all their rows at once. A key that named another image moves. */
int store_add(struct store *s, const char *job, const struct store_new *images, size_t n, struct err *e);

/* ---- looking ---- */

struct store_image {
	char id[ID_LEN + 1];
	char *config;    /* JSON text */
	int64_t created; /* ns, from the configuration; 0 when it says none */
	int64_t tagged;  /* ns */
	uint64_t size;
	char **keys; /* strv, sorted */
};
void store_image_done(struct store_image *i);

/* By reference, id, or unique prefix of an id, with or without "sha256:". ret_key (may be NULL): the key that matched, or NULL. */
int store_resolve(struct store *s, const char *text, char ret_id[ID_LEN + 1], char **ret_key, struct err *e);
int store_get(struct store *s, const char *id, struct store_image *ret, struct err *e);
/* All ids, the newest first: strv, NULL when there is none. */
int store_ids(struct store *s, char ***ret, struct err *e);
int store_count(struct store *s, int64_t *ret, struct err *e);
/* Layers, bottom first. */
int store_layers(struct store *s, const char *id, struct store_layer ret[STORE_LAYERS_MAX], size_t *ret_n,
		 struct err *e);
/* "layers/HEX.vN.sqfs" and "blobs/sha256/HEX", below the data directory. Owned. */
char *store_layer_path(const char *diff_id);
char *store_blob_path(const char *hex);

/* ---- changing ---- */

int store_tag(struct store *s, const char *id, const char *key, struct err *e);
int store_untag(struct store *s, const char *key, struct err *e);
/* Its tags, its rows, and every file that no other image needs. ret_freed: bytes of block images (may be NULL). */
int store_remove(struct store *s, const char *id, uint64_t *ret_freed, struct err *e);

#endif
