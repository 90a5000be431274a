/* SPDX-License-Identifier: Apache-2.0 */
/* The status column of `docker ps`, word for word: people and scripts parse it. Runs in bottled; pure. */
#include "api/container.h"
#include "base/mem.h"

static char *duration_text(int64_t seconds)
{
	int64_t minutes = seconds / 60, hours = (seconds + 1800) / 3600;

	if (seconds < 1)
		return xstrdup("Less than a second");
	if (seconds == 1)
		return xstrdup("1 second");
	if (seconds < 60)
		return xasprintf("%lld seconds", (long long)seconds);
	if (minutes == 1)
		return xstrdup("About a minute");
	if (minutes < 60)
		return xasprintf("%lld minutes", (long long)minutes);
	if (hours == 1)
		return xstrdup("About an hour");
	if (hours < 48)
		return xasprintf("%lld hours", (long long)hours);
	if (hours < 24 * 7 * 2)
		return xasprintf("%lld days", (long long)hours / 24);
	if (hours < 24 * 30 * 2)
		return xasprintf("%lld weeks", (long long)hours / 24 / 7);
	if (hours < 24 * 365 * 2)
		return xasprintf("%lld months", (long long)hours / 24 / 30);
	return xasprintf("%lld years", (long long)hours / 24 / 365);
}

char *status_text(enum container_state s, int code, int64_t since_ns, int64_t now_ns)
{
	_cleanup_free_ char *ago = duration_text((now_ns - since_ns) / 1000000000);

	switch (s) {
	case STATE_CREATED:
		return xstrdup("Created");
	case STATE_RUNNING:
		return xasprintf("Up %s", ago);
	case STATE_PAUSED:
		return xasprintf("Up %s (Paused)", ago);
	case STATE_EXITED:
		return xasprintf("Exited (%d) %s ago", code, ago);
	case STATE_REMOVING:
		return xstrdup("Removal In Progress");
	case STATE_DEAD:
		break;
	}
	return xstrdup("Dead");
}
