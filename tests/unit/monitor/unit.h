/* SPDX-License-Identifier: Apache-2.0 */
/* What the monitor's unit tests share. */
#ifndef TESTS_UNIT_MONITOR_UNIT_H
#define TESTS_UNIT_MONITOR_UNIT_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/loop.h"

static inline void unit_stop(struct source *s, void *arg)
{
	(void)arg;
	loop_quit(source_loop(s), 0);
}

/* Lets the loop handle what is ready, for ms at most. */
static inline void unit_turn(struct loop *l, uint64_t ms)
{
	struct source *s = loop_timer(l, ms, unit_stop, NULL);

	loop_run(l);
	source_free(s);
}

#endif
