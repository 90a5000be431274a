/* SPDX-License-Identifier: Apache-2.0 */
/* An archive of images: its members put aside, its manifest and configurations read. */
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "base/mem.h"
#include "images/unpack/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void read_configs(struct plan *p, struct members *m)
{
	const char *diff_ids[UNPACK_LAYERS_MAX];
	struct err e;

	for (size_t i = 0; i < p->n; i++) {
		json_t *config = member_json(m, p->images[i].config, &e);

		if (config)
			config_check(config, p->images[i].n_layers, diff_ids, &e);
		json_decref(config);
	}
}

static char dir[] = "/tmp/bottle-fuzz-XXXXXX";

static void remove_dir(void)
{
	remove_tree(AT_FDCWD, dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static int dir_fd = -1;
	_cleanup_close_ int in = memfd_create("archive", MFD_CLOEXEC);
	_cleanup_free_ struct plan *p = xcalloc(1, sizeof(*p));
	struct members m;
	struct err e = { 0 };

	if (dir_fd < 0) {
		if (!mkdtemp(dir) || atexit(remove_dir))
			abort();
		dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (in < 0 || fd_write_all(in, data, n) < 0 || lseek(in, 0, SEEK_SET) < 0 || members_init(&m, dir_fd, &e) < 0)
		return 0;
	if (members_read_archive(&m, in, &e) == 0 && plan_read(p, &m, &e) == 0)
		read_configs(p, &m);
	else if (!e.text[0])
		abort(); /* a refusal without a reason */
	plan_done(p);
	members_done(&m);
	return 0;
}
