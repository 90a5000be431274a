/* SPDX-License-Identifier: Apache-2.0 */
/* systemd's units and docker's context, as texts. Pure. */
#ifndef CLI_UNITS_H
#define CLI_UNITS_H

#include <stdbool.h>
#include <stddef.h>

struct unit {
	const char *name;     /* "bottle.socket" */
	bool system_only;     /* only in the system manager: netpolicyd's */
	const char *template; /* with @BIN@ and @DIRMODE@ */
};
extern const struct unit units[];
extern const size_t n_units;

/* The unit's text for programs in bin_dir; system: for the system manager. Owned. */
char *unit_render(const struct unit *u, const char *bin_dir, bool system);

#define CONTEXT_NAME "bottle"
/* docker's meta.json of a context that uses that socket. Owned. */
char *context_meta(const char *socket_path);
/* "contexts/meta/<sha256 of the name>". Owned. */
char *context_dir(void);

#endif
