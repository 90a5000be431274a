/* SPDX-License-Identifier: Apache-2.0 */
/* What spec.c, spec_fields.c and spec_check.c share; nobody else includes it. */
#ifndef API_SPEC_PARTS_H
#define API_SPEC_PARTS_H

#include "api/spec.h"

/* Every field of Config, of HostConfig, of an exec: typed, with its empty value when absent. New; NULL with e. */
json_t *spec_config_fields(const json_t *from, struct err *e);
json_t *spec_host_fields(const json_t *from, struct err *e);
json_t *spec_exec_fields(const json_t *from, struct err *e);

/* One value as its kind; new references, NULL with e. */
json_t *spec_list_of_text(const char *key, const json_t *v, struct err *e);
json_t *spec_words(const char *key, const json_t *v, struct err *e);
json_t *spec_map_of(const char *key, const json_t *v, bool set, struct err *e);
bool spec_text_ok(const json_t *v);
/* null, false, 0, "", [] or {}. */
bool spec_is_nothing(const json_t *v);

int spec_wrong_type(struct err *e, const char *key, const char *want);
int spec_unsupported(struct err *e, const char *key);

/* Checks of single fields, and all of them. 0 or -errno. */
int spec_check_ports(json_t *config, struct err *e);
int spec_check_env(const json_t *config, struct err *e);
int spec_check(struct spec *s, struct err *e);

#endif
