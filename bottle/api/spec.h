/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The body of /containers/create (and of /exec): from what a client sent to a
 * complete, checked description. Pure: no files, no engine.
 */
#ifndef API_SPEC_H
#define API_SPEC_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define SPEC_LIST_MAX 4096  /* entries of a list or map */
#define SPEC_TEXT_MAX 32768 /* bytes of one string */

struct spec {
	json_t *config;      /* every field of docker's Config */
	json_t *host_config; /* every field of HostConfig */
	json_t *networks;    /* name -> {Aliases, IPAMConfig, …}, in order */
	json_t *warnings;    /* array of text */
};

/* Refuses what is malformed (ERR_INVALID) and what a microVM can't do (ERR_UNSUPPORTED, naming the field). */
int spec_parse(struct spec *ret, const json_t *body, struct err *e);
void spec_done(struct spec *s);
/* Adds what the image says where the client said nothing. image: the OCI config's "config", may be NULL. */
int spec_merge_image(struct spec *s, const json_t *image, struct err *e);
/* One network's EndpointsConfig; config may be NULL. New reference, NULL with e. */
json_t *spec_endpoint(const char *network, const json_t *config, struct err *e);
/* The body of /containers/X/exec. New reference, NULL with e. */
json_t *spec_exec(const json_t *body, struct err *e);

/* "", false and 0 when the field is absent. */
const char *member_text(const json_t *o, const char *key);
bool member_flag(const json_t *o, const char *key);
json_int_t member_int(const json_t *o, const char *key);
/* "SIGTERM", "term", "15"; 0 when it is none. */
int signal_number(const char *s);
/* "80", "80/tcp", "53/UDP" -> "80/tcp". Owned; NULL when it is none. */
char *spec_port(const char *s, struct err *e);
/* "a.b.c.d" to bytes. */
bool spec_ipv4(const char *s, uint8_t ret[4]);
/* Mask of the capabilities that HostConfig's CapAdd and CapDrop leave. */
int spec_caps(const json_t *host_config, uint64_t *ret, struct err *e);
/* vCPUs, thousandths of a CPU (0: all), memory in bytes. */
void spec_limits(const json_t *host_config, unsigned int host_cpus, uint32_t *ret_cpus, uint32_t *ret_quota,
		 uint64_t *ret_memory);
uint64_t spec_scratch_size(const json_t *host_config);
uint64_t spec_log_max(const json_t *host_config);
bool spec_no_new_privs(const json_t *host_config);

#endif
