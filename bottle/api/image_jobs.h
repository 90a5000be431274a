/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the image endpoints share. */
#ifndef API_IMAGE_JOBS_H
#define API_IMAGE_JOBS_H

#include "api/images.h"

/* Ends the jobs that run and drops those that wait. */
void image_jobs_close(struct engine *g);

/* images.c: an event of the image (64 hex digits); the key that a repository and a tag (may be NULL) make. */
void image_emit(struct engine *g, const char *action, const char *id, const char *name);
int image_tag_key(const char *repo, const char *tag, char **ret, struct err *e);

/*
 * image_changes.c: applies one Dockerfile instruction ("CMD [\"sh\"]") to a "config" object.
 * Those that commit and import allow: CMD ENTRYPOINT ENV EXPOSE LABEL STOPSIGNAL USER VOLUME WORKDIR.
 */
int image_change(json_t *config, const char *line, struct err *e);

#endif
