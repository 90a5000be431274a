/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy language: a file (JSON, or YAML of the same shape) becomes a
 * struct policy, or a list of everything that is wrong with it, each with file,
 * line, path and a hint. What this version does not enforce is refused by name,
 * never ignored. policy_compile makes the form that the sidecar decides by.
 */
#ifndef POLICIES_POLICY_H
#define POLICIES_POLICY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

#define POLICY_FILE_MAX    (4 << 20)
#define POLICY_ERRORS_MAX  20
#define POLICY_NAME_MAX    40
#define POLICY_LIST_MAX    256 /* command words */
#define POLICY_PORTS_MAX   64  /* of one rule: decide.c takes no more */
#define POLICY_PUBLISH_MAX 16
#define POLICY_CPUS_MAX    64

struct policy_errors {
	struct {
		int rank; /* 0 is shown first */
		unsigned int line;
		char *text; /* "demo.json:14: egress.allow[0].host: what; hint" */
	} v[POLICY_ERRORS_MAX];
	size_t n, more; /* more: found beyond POLICY_ERRORS_MAX */
};
void policy_errors_done(struct policy_errors *errors);

struct policy_rule {
	char *host; /* normalised; "*.x" for all below x */
	uint16_t ports[POLICY_PORTS_MAX];
	size_t n_ports; /* 0: every port */
	unsigned int line;
};

struct policy_publish {
	char *host_ip;
	uint16_t host_port, port;
	unsigned int line;
};

struct policy_agent {
	char *image;
	char **command; /* strv, NULL: the image's */
	char **env;     /* strv of "NAME=value" */
	char *user, *workdir;
	uint64_t cpus, memory, disk, pids; /* 0: not limited here */
	bool tty;
};

struct policy {
	char *file; /* its last component: rules are known by "demo.json:14" */
	char *name;
	struct policy_agent agent;
	struct policy_rule **allow, **deny;
	size_t n_allow, n_deny;
	struct policy_publish publish[POLICY_PUBLISH_MAX];
	size_t n_publish;
};
void policy_free(struct policy *p);

/* A bottle's name: lower-case letters, digits and inner dashes, at most POLICY_NAME_MAX. */
bool policy_name_valid(const char *name);

/* The file by its path, YAML when it ends in .yaml or .yml. -EBADMSG: errors says what; otherwise e does. */
int policy_load(const char *path, struct policy **ret, struct policy_errors *errors, struct err *e);
int policy_parse(const char *path, const char *text, size_t n, struct policy **ret, struct policy_errors *errors);

/* The compiled form (decide.h), canonical: an owned text. Its sha256 is the policy's hash. */
char *policy_compile(const struct policy *p);
/* The same and the hash, after the sidecar's own parser has read it. */
int policy_seal(const struct policy *p, char **ret_compiled, char **ret_hash, struct err *e);

/* The objects of the language and their fields, for the schema's test. */
struct policy_object {
	const char *name; /* "egress.allow" */
	const struct policy_field *fields;
};
extern const struct policy_object policy_objects[];
/* The i-th enforced field of an object, NULL behind the last. */
const char *policy_object_field(const struct policy_object *o, size_t i);

static inline void cleanup_policy(struct policy **p)
{
	policy_free(*p);
}
#define _cleanup_policy_        _cleanup_(cleanup_policy)
#define _cleanup_policy_errors_ _cleanup_(policy_errors_done)

#endif
