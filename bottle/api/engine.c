/* SPDX-License-Identifier: Apache-2.0 */
/* How long bottled lives: as long as there is work, and idle_ms longer. */
#include "api/engine.h"

static void on_idle(struct source *s, void *arg)
{
	struct engine *g = arg;
	bool alone = !g->busy && server_retire_idle(g->server);

	if (alone && !g->busy)
		loop_quit(g->loop, 0);
	else if (!g->busy)
		source_timer(s, g->idle_ms);
}

void engine_idle_exit(struct engine *g, uint64_t idle_ms)
{
	g->idle_ms = idle_ms ? idle_ms : UINT64_MAX;
	g->idle_timer = loop_timer(g->loop, g->busy ? UINT64_MAX : g->idle_ms, on_idle, g);
}

void engine_busy(struct engine *g)
{
	if (g->busy++ == 0 && g->idle_timer)
		source_timer(g->idle_timer, UINT64_MAX);
}

void engine_idle(struct engine *g)
{
	if (--g->busy == 0 && g->idle_timer)
		source_timer(g->idle_timer, g->idle_ms);
}
