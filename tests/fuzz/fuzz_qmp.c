/* SPDX-License-Identifier: Apache-2.0 */
/* QMP from a QEMU that was taken over by its guest; a command is sent as soon as it may be. */
#include "monitor/qmp.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void on_ready(void *arg)
{
	(void)arg;
}

static void on_answer(void *arg, const char *error)
{
	(void)arg;
	(void)error;
}

static void on_broken(void *arg, const char *why)
{
	(void)arg;
	(void)why;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct qmp_events events = { on_ready, on_answer, on_broken, NULL };
	struct qmp *q = qmp_new(NULL, -1, &events, NULL);

	for (size_t at = 0; at < n; at += 16) {
		size_t part = n - at < 16 ? n - at : 16;
		char piece[16];

		__builtin_memcpy(piece, data + at, part);
		if (qmp_feed(q, piece, part) < 0)
			break;
		qmp_command(q, "stop", NULL, -1, NULL);
	}
	qmp_free(q);
	return 0;
}
