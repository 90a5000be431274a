/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Audit lines, in sidecar-dns and sidecar-egress. Host names and the like come
 * from the agent: they are cut, and what is not printable ASCII becomes '?', so
 * that no line can be forged or break a terminal.
 */
#include "sidecar/audit.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#define SLOTS         64 /* different decisions remembered for counting repeats */
#define REPEAT_MS     1000
#define LINE_TEXT_MAX 4096

struct slot {
	json_t *line; /* NULL: free */
	uint64_t key, since_ms, repeats;
};

static struct {
	struct slot slots[SLOTS];
	struct source *timer;
	uint64_t window_ms, lines, dropped;
} audit;

static void emit(json_t *line)
{
	uint64_t now = now_mono_ms();
	char *text;

	if (now - audit.window_ms >= 1000) {
		audit.window_ms = now;
		audit.lines = 0;
	}
	if (audit.lines++ >= AUDIT_LINES_PER_SECOND) {
		audit.dropped++;
		return;
	}
	text = json_dumps(line, JSON_COMPACT);
	if (text) {
		_cleanup_free_ char *out = xasprintf("%s\n", text);

		if (fd_write_all(STDOUT_FILENO, out, strlen(out)) < 0)
			fatal("audit: standard output is gone");
	}
	free(text);
}

static void flush_slot(struct slot *s)
{
	if (s->line && s->repeats) {
		json_object_set_new(s->line, "count", json_integer((json_int_t)s->repeats));
		emit(s->line);
	}
	json_decref(s->line);
	s->line = NULL;
	s->repeats = 0;
}

static void on_timer(struct source *timer, void *arg)
{
	uint64_t now = now_mono_ms(), dropped = audit.dropped;
	bool more = false;

	(void)arg;
	for (size_t i = 0; i < SLOTS; i++) {
		if (audit.slots[i].line && now - audit.slots[i].since_ms >= REPEAT_MS)
			flush_slot(&audit.slots[i]);
		more |= audit.slots[i].line != NULL;
	}
	if (dropped) {
		json_t *line = json_pack("{s:s, s:I}", "plane", "audit", "lines_dropped", (json_int_t)dropped);

		audit.dropped = 0;
		emit(line);
		json_decref(line);
	}
	if (more || audit.dropped)
		source_timer(timer, REPEAT_MS);
}

void audit_init(struct loop *l)
{
	char text[RFC3339_MAX];
	size_t seed;

	/* What would open files in the sandbox: jansson's seed at its first object, the C library's time zone. */
	random_bytes(&seed, sizeof(seed));
	json_object_seed(seed | 1);
	rfc3339nano(text, now_real_ns());
	audit.timer = loop_timer(l, UINT64_MAX, on_timer, NULL);
}

static json_t *text_value(const char *text)
{
	char clean[AUDIT_TEXT_MAX + 1];
	size_t n = 0;

	for (; n < AUDIT_TEXT_MAX && text[n]; n++)
		clean[n] = text[n] >= 0x20 && text[n] < 0x7f ? text[n] : '?';
	clean[n] = '\0';
	return json_string(clean);
}

static void set_text(json_t *line, const char *key, const char *text)
{
	if (text && *text)
		json_object_set_new(line, key, text_value(text));
}

static void set_number(json_t *line, const char *key, uint64_t n)
{
	json_object_set_new(line, key, json_integer((json_int_t)n));
}

static json_t *event_line(const struct audit_event *ev)
{
	char text[RFC3339_MAX], addr[INET_ADDRSTRLEN];
	json_t *line = json_object();

	rfc3339nano(text, now_real_ns());
	set_text(line, "time", text);
	set_text(line, "plane", ev->plane);
	set_text(line, "event", ev->end ? "end" : "decision");
	if (ev->client && inet_ntop(AF_INET, &ev->client->sin_addr, addr, sizeof(addr))) {
		_cleanup_free_ char *client = xasprintf("%s:%u", addr, ntohs(ev->client->sin_port));

		set_text(line, "client", client);
	}
	set_text(line, "host", ev->host);
	if (ev->port)
		set_number(line, "port", ev->port);
	if (ev->address && inet_ntop(AF_INET, ev->address, addr, sizeof(addr)))
		set_text(line, "address", addr);
	set_text(line, "verdict", ev->allow ? "allow" : "deny");
	set_text(line, "rule", ev->rule);
	set_text(line, "reason", ev->reason);
	if (ev->end) {
		set_number(line, "bytes_in", ev->bytes_in);
		set_number(line, "bytes_out", ev->bytes_out);
		set_number(line, "ms", ev->ms);
	}
	return line;
}

static uint64_t mix(uint64_t h, const char *text)
{
	for (; text && *text; text++)
		h = (h ^ (unsigned char)*text) * 0x100000001b3ULL;
	return (h ^ 0xff) * 0x100000001b3ULL;
}

void audit_write(const struct audit_event *ev)
{
	uint64_t key = mix(mix(mix(mix(0xcbf29ce484222325ULL, ev->plane), ev->host), ev->reason), ev->rule);
	uint64_t now = now_mono_ms();
	json_t *line;
	struct slot *s;

	key = (key ^ ev->port ^ (ev->allow ? 1ULL << 32 : 0)) * 0x100000001b3ULL;
	s = &audit.slots[(key >> 32) % SLOTS];
	if (!ev->end && s->line && s->key == key && now - s->since_ms < REPEAT_MS) {
		s->repeats++;
		return;
	}
	line = event_line(ev);
	emit(line);
	if (!ev->end) {
		flush_slot(s);
		*s = (struct slot){ .line = json_incref(line), .key = key, .since_ms = now };
	}
	json_decref(line);
	if (audit.timer)
		source_timer(audit.timer, REPEAT_MS);
}
