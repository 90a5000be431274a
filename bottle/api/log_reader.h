/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a container's log records (proto/monitor.h) in order, over its one rotation, also while it grows. */
#ifndef API_LOG_READER_H
#define API_LOG_READER_H

#include <stdbool.h>

#include "base/buf.h"
#include "proto/monitor.h"

struct log_reader {
	struct buf in;
	int dir_fd; /* the container's directory, borrowed */
	int fd;     /* the file being read, -1: none yet */
	bool old;   /* that is log.1 */
};

void log_reader_init(struct log_reader *lr, int dir_fd);
void log_reader_done(struct log_reader *lr);
/* 1: a record, data valid until the next call; 0: no more for now; -EBADMSG: damaged (nothing more will come). */
int log_next(struct log_reader *lr, struct log_record *ret, const char **ret_data);

struct log_filter {
	int64_t since_ns, until_ns; /* until 0: none */
	bool stdout_on, stderr_on;
};
bool log_wanted(const struct log_filter *f, const struct log_record *rec);
/* How many wanted lines the log has now; an unfinished one counts. */
uint64_t log_count(int dir_fd, const struct log_filter *f);

#endif
