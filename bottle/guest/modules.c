/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads kernel modules; in bottle-init, before any process of the container
 * runs. /modules/order has one line for each name that may be asked for: the
 * name, then the modules to insert in turn, the named one last.
 */
#include "guest/modules.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "base/str.h"

#define MODULES_DIR "/modules"
#define ORDER_MAX   (64 * 1024)

static int insert(const char *name, struct err *e)
{
	_cleanup_close_ int fd = -1;
	char path[128];

	snprintf(path, sizeof(path), MODULES_DIR "/%s.ko", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(e, "open kernel module '%s'", path);
	if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)
		return err_errno(e, "insert kernel module '%s'", name);
	return 0;
}

/* The words of the line that begins with name, or NULL. */
static char *find_line(char *order, const char *name)
{
	char *line, *word;

	while ((line = strsep(&order, "\n"))) {
		word = strsep(&line, " ");
		if (str_eq(word, name))
			return line;
	}
	return NULL;
}

int module_load(const char *name, struct err *e)
{
	_cleanup_free_ char *order = NULL;
	char *words, *word;
	size_t len;
	int r;

	r = file_read_at(AT_FDCWD, MODULES_DIR "/order", ORDER_MAX, &order, &len);
	if (r < 0)
		return err_set(e, ERR_UNAVAILABLE, -r, "read " MODULES_DIR "/order: %s", strerror(-r));
	words = find_line(order, name);
	if (!words)
		return err_set(e, ERR_NOTFOUND, ENOENT, "the guest's initramfs has no kernel module '%s'", name);
	while ((word = strsep(&words, " "))) {
		r = insert(word, e);
		if (r < 0)
			return r;
	}
	return 0;
}

void modules_drop(void)
{
	remove_tree(AT_FDCWD, MODULES_DIR);
	unlink("/init");
}
