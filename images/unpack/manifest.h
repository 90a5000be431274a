/* SPDX-License-Identifier: Apache-2.0 */
/* What an archive says that it holds: docker's manifest.json, or an OCI layout's index.json. */
#ifndef UNPACK_MANIFEST_H
#define UNPACK_MANIFEST_H

#include <jansson.h>

#include "images/unpack/archive.h"
#include "images/unpack/unpack.h"

struct planned {
	struct member *config;
	char **refs; /* strv */
	struct member *layers[UNPACK_LAYERS_MAX];
	size_t n_layers;
};

struct plan {
	struct planned images[UNPACK_IMAGES_MAX];
	size_t n;
};

/* Every member that it names exists, and has the digest and size that the archive promised. */
int plan_read(struct plan *p, struct members *m, struct err *e);
void plan_done(struct plan *p);

/* JSON of a peer, its depth bounded; NULL with e. */
json_t *json_read(const char *text, size_t n, struct err *e);
json_t *member_json(struct members *m, struct member *f, struct err *e);

/* The configuration of an image for this engine: ret borrows its diff ids ("sha256:HEX"), as many as layers. */
int config_check(const json_t *config, size_t n_layers, const char *ret[UNPACK_LAYERS_MAX], struct err *e);

#endif
