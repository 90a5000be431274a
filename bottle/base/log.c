/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines to stderr; in every process. */
#include "base/log.h"

#include <stdarg.h>
#include <string.h>
#include <time.h>

static const char *process_name = "bottle";
static int verbose_level;
static int use_prefix = 1;

void log_init(const char *process, int verbose)
{
	process_name = process;
	verbose_level = verbose;
	use_prefix = !isatty(STDERR_FILENO);
}

static void emit(int priority, const char *fmt, va_list ap)
{
	char line[1024];
	size_t n = 0;

	if (use_prefix)
		n = (size_t)snprintf(line, sizeof(line), "<%d>", priority);
	n += (size_t)snprintf(line + n, sizeof(line) - n, "%s: ", process_name);
	vsnprintf(line + n, sizeof(line) - n - 1, fmt, ap);
	for (char *c = line; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	n = strlen(line);
	line[n] = '\n';
	if (write(STDERR_FILENO, line, n + 1) < 0)
		return; /* nobody left to tell */
}

#define LOG_BODY(priority) \
	do { \
		va_list ap; \
		va_start(ap, fmt); \
		emit(priority, fmt, ap); \
		va_end(ap); \
	} while (0)

void log_error(const char *fmt, ...)
{
	LOG_BODY(3);
}

void log_warn(const char *fmt, ...)
{
	LOG_BODY(4);
}

void log_info(const char *fmt, ...)
{
	LOG_BODY(6);
}

void log_debug(const char *fmt, ...)
{
	if (verbose_level > 0)
		LOG_BODY(7);
}

void log_peer(const char *fmt, ...)
{
	static time_t window;
	static unsigned int lines, dropped;
	time_t now = time(NULL);

	if (now - window >= 60) {
		if (dropped)
			log_warn("%u more lines about peers were not written", dropped);
		window = now;
		lines = dropped = 0;
	}
	if (lines++ >= LOG_PEER_PER_MINUTE) {
		dropped++;
		return;
	}
	LOG_BODY(5);
}

void fatal(const char *fmt, ...)
{
	LOG_BODY(3);
	exit(1);
}
