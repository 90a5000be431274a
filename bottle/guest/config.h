/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What HOST_CONFIG and HOST_START say, decoded. Decoding is pure: it touches
 * nothing but memory, checks every limit of proto/guest.h and refuses a body
 * that has an unknown tag, a wrong length or a field outside its group.
 */
#ifndef GUEST_CONFIG_H
#define GUEST_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "proto/guest.h"

#define CONFIG_STRINGS_MAX 256 /* of one repeated field of HOST_CONFIG */
#define CONFIG_STRING_MAX  4096
#define CONFIG_NEIGH_MAX   64
#define CONFIG_ENTROPY_MIN 32
#define CONFIG_ENTROPY_MAX 512
#define CONFIG_NONE        UINT32_MAX /* an index that was not given */

struct config_bytes {
	unsigned char *data;
	size_t len;
};

struct config_neigh {
	uint32_t addr; /* network order, as every address here */
	unsigned char mac[6];
	bool has_mac;
};

struct config_nic {
	uint32_t index, addr, prefix, gateway, mtu; /* 0: not given */
	char *name;
	unsigned char mac[6];
	struct config_neigh neigh[CONFIG_NEIGH_MAX];
	size_t n_neigh;
};

struct config_file {
	char *path;
	uint32_t mode;
	struct config_bytes data;
};

struct guest_config {
	struct config_bytes entropy;
	uint64_t clock_ns, shm_size;
	char *hostname, *domainname;
	bool root_ro;
	uint32_t layers[GUEST_LAYERS_MAX];
	size_t n_layers;
	uint32_t scratch;
	struct config_nic nics[GUEST_NICS_MAX];
	size_t n_nics;
	uint32_t dns[CONFIG_STRINGS_MAX];
	size_t n_dns;
	char **dns_search, **dns_option, **hosts, **tmpfs, **sysctls, **modules;
	struct config_file files[GUEST_FILES_MAX];
	size_t n_files;
};

struct guest_start {
	char **argv, **env, **group_add, **rlimits;
	char *cwd, *user;
	bool tty, input, no_new_privs, main, init, has_oom_adj;
	uint32_t rows, cols, oom_adj;
	uint64_t caps, pids_max; /* pids_max 0: no limit */
};

/* ret is zeroed first and must be released with _done also after a failure. 0 or -errno. */
int config_decode(const void *body, size_t n, struct guest_config *ret, struct err *e);
void config_done(struct guest_config *c);
int start_decode(const void *body, size_t n, struct guest_start *ret, struct err *e);
void start_done(struct guest_start *s);

/* The one u32 field of a small message; false when there is anything else in it. */
bool config_one_u32(const void *body, size_t n, uint16_t tag, uint32_t *ret);

#endif
