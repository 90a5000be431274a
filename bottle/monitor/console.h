/* SPDX-License-Identifier: Apache-2.0 */
/* The end of what the guest's serial console and QEMU's stderr said, to quote when a VM fails. */
#ifndef MONITOR_CONSOLE_H
#define MONITOR_CONSOLE_H

#include <stddef.h>

#define CONSOLE_SIZE     8192
#define CONSOLE_LINE_MAX 200

struct console {
	size_t used;
	char data[CONSOLE_SIZE];
};

void console_add(struct console *c, const char *data, size_t n);
/* The last line that says something, made printable; "" when there is none. */
void console_last_line(const struct console *c, char out[CONSOLE_LINE_MAX + 1]);

#endif
