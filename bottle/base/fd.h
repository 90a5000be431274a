/* SPDX-License-Identifier: Apache-2.0 */
/* Files and descriptors: whole reads with a limit, atomic writes, names that stay below a directory. */
#ifndef BASE_FD_H
#define BASE_FD_H

#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

int fd_nonblock(int fd);
int fd_cloexec(int fd, bool on);
/* Full transfers on blocking descriptors: 0 or -errno; fd_read_full gives -ENODATA on early end of file. */
int fd_write_all(int fd, const void *data, size_t n);
int fd_read_full(int fd, void *data, size_t n);

/* Reads a whole file of at most max bytes, ret is NUL-terminated behind its length. 0 or -errno (-EFBIG). */
int file_read_at(int dir_fd, const char *path, size_t max, char **ret, size_t *ret_len);
/* Writes to a temporary name, fsync, rename, fsync of the directory: all or nothing. */
int file_write_at(int dir_fd, const char *path, mode_t mode, const void *data, size_t n);

/*
 * Opens a path that came from outside: no component may be a link, leave dir_fd
 * or cross to a magic link (openat2: RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS). fd or -errno.
 */
int open_beneath(int dir_fd, const char *path, int flags, mode_t mode);

/* mkdir -p below dir_fd (or an absolute path); existing directories are fine. 0 or -errno. */
int mkdir_p(int dir_fd, const char *path, mode_t mode);
/* rm -r; links are removed, not followed. 0 or -errno; a missing path is fine. */
int remove_tree(int dir_fd, const char *path);

/* An anonymous file (memfd), content written, sealed against every change, offset 0. fd or -errno. */
int memfd_sealed(const char *name, const void *data, size_t n);

#endif
