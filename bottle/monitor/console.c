/* SPDX-License-Identifier: Apache-2.0 */
/* The console's tail, in bottle-monitor. Its bytes are a hostile guest's: kept bounded, quoted printable. */
#include "monitor/console.h"

#include <stdbool.h>
#include <string.h>

void console_add(struct console *c, const char *data, size_t n)
{
	if (n > CONSOLE_SIZE) {
		data += n - CONSOLE_SIZE;
		n = CONSOLE_SIZE;
	}
	if (c->used + n > CONSOLE_SIZE) {
		size_t drop = c->used + n - CONSOLE_SIZE;

		memmove(c->data, c->data + drop, c->used - drop);
		c->used -= drop;
	}
	memcpy(c->data + c->used, data, n);
	c->used += n;
}

static bool printable(char ch)
{
	return ch >= 0x20 && ch < 0x7f;
}

void console_last_line(const struct console *c, char out[CONSOLE_LINE_MAX + 1])
{
	size_t end = c->used, start, n = 0;

	while (end && (!printable(c->data[end - 1]) || c->data[end - 1] == ' '))
		end--;
	for (start = end; start && c->data[start - 1] != '\n' && end - start < CONSOLE_LINE_MAX; start--)
		;
	for (; start < end; start++)
		out[n++] = printable(c->data[start]) ? c->data[start] : '?';
	out[n] = '\0';
}
