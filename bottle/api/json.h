/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading JSON bodies as Go's decoder does: keys in any case, null is absent,
 * what is not known is ignored. All values are borrowed from the object.
 */
#ifndef API_JSON_H
#define API_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* The member, exact case first; NULL when absent, null, or when obj is NULL or no object. */
json_t *json_get(const json_t *obj, const char *key);

/*
 * Typed: *ret is set when the member is there and of that type, left alone when
 * it is absent; another type is ERR_INVALID with the key's name.
 */
int json_get_str(const json_t *obj, const char *key, const char **ret, struct err *e);
int json_get_int(const json_t *obj, const char *key, int64_t *ret, struct err *e);
int json_get_bool(const json_t *obj, const char *key, bool *ret, struct err *e);
int json_get_object(const json_t *obj, const char *key, json_t **ret, struct err *e);
int json_get_array(const json_t *obj, const char *key, json_t **ret, struct err *e);
/* An array of strings, or one string (Cmd, Entrypoint): a vector of the caller's (strv_free). */
int json_get_strv(const json_t *obj, const char *key, char ***ret, struct err *e);
/* An object whose values are all strings (Labels, Options). */
int json_get_strings(const json_t *obj, const char *key, json_t **ret, struct err *e);

/* For rows that are optional by nature: the text, or otherwise when it is absent or no string. */
const char *json_str_or(const json_t *obj, const char *key, const char *otherwise);

/* The text of a value, compact; NULL for NULL. The caller's. */
char *json_text(const json_t *v);
/* Parses text that we wrote ourselves or that is checked by its reader; NULL when it is none. */
json_t *json_parse(const char *text, size_t n, struct err *e);

static inline void cleanup_json(json_t **j)
{
	json_decref(*j);
}
#define _cleanup_json_ _cleanup_(cleanup_json)

#endif
