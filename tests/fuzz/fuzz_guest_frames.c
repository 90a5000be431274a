/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What bottle-init reads from the host: the stream of frames, and in them the
 * bodies that have fields. Beside crashes it looks for limits that do not hold.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "guest/channel.h"
#include "guest/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_config(const struct frame *f)
{
	struct guest_config c;

	if (config_decode(f->body, f->size, &c, NULL) == 0) {
		if (c.n_layers > GUEST_LAYERS_MAX || c.n_nics > GUEST_NICS_MAX || c.n_files > GUEST_FILES_MAX ||
		    strv_len(c.hosts) > CONFIG_STRINGS_MAX)
			abort();
		for (size_t i = 0; i < c.n_files; i++)
			if (c.files[i].path[0] != '/' || c.files[i].data.len > GUEST_FILE_MAX)
				abort();
	}
	config_done(&c);
}

static void check_start(const struct frame *f)
{
	struct guest_start s;

	if (start_decode(f->body, f->size, &s, NULL) == 0 && (!s.argv[0] || strv_len(s.argv) > GUEST_ARGS_MAX))
		abort();
	start_done(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint32_t credit;
	struct frame f;
	ssize_t used;

	while ((used = frame_next(data, n, &f)) > 0) {
		if ((size_t)used > n || f.size > GUEST_BODY_MAX)
			abort();
		if (f.type == HOST_CONFIG)
			check_config(&f);
		else if (f.type == HOST_START)
			check_start(&f);
		else if (f.type == HOST_WINDOW)
			config_one_u32(f.body, f.size, GUEST_TAG_CREDIT, &credit);
		data += used;
		n -= (size_t)used;
	}
	return 0;
}
