/* SPDX-License-Identifier: Apache-2.0 */
/* The container's log: records of proto/monitor.h in log and, after one rotation, log.1. */
#ifndef MONITOR_VMLOG_H
#define MONITOR_VMLOG_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "proto/monitor.h"

struct vmlog;
struct vmlog_reader;

/* dir_fd stays the caller's and open. An old log is appended to. */
struct vmlog *vmlog_open(int dir_fd, uint64_t max_size, struct err *e);
void vmlog_free(struct vmlog *l);

/* stream: 1 or 2. What cannot be written (disk full) is dropped and counted: the container goes on. */
void vmlog_write(struct vmlog *l, uint8_t stream, const void *data, size_t n);
uint64_t vmlog_dropped(const struct vmlog *l);

/* From the oldest record on. data has room for LOG_RECORD_MAX. 1 a record, 0 no more now. */
struct vmlog_reader *vmlog_reader_new(struct vmlog *l);
void vmlog_reader_free(struct vmlog_reader *r);
int vmlog_read(struct vmlog_reader *r, struct log_record *ret, void *data);

#endif
