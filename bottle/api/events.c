/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /events: a ring of what happened, and the clients that listen; in
 * bottled. A client that stops reading loses its stream, not our memory.
 */
#include <errno.h>
#include <sys/queue.h>

#include "api/engine.h"
#include "api/json.h"
#include "api/system.h"
#include "base/log.h"
#include "base/mem.h"

#define EVENTS_KEPT       512
#define EVENTS_BYTES_KEPT (8 << 20) /* their texts: labels travel in them */

struct event {
	int64_t ns;
	size_t size;
	json_t *json;
};

struct listener {
	struct request *r;
	struct filters filters;
	int64_t since_ns, until_ns; /* 0: none */
	struct source *timer;
	LIST_ENTRY(listener) all;
};

struct events {
	struct event ring[EVENTS_KEPT];
	uint64_t n;      /* ever; the ring's next slot is n % EVENTS_KEPT */
	uint64_t oldest; /* the first that is kept; n: none is */
	size_t size;     /* of all that are kept */
	LIST_HEAD(, listener) listeners;
};

static const char *const event_filters[] = { "config", "container", "daemon", "event",  "image",
					     "label",  "network",   "node",   "plugin", "scope",
					     "secret", "service",   "type",   "volume", NULL };

static void forget_oldest(struct events *evs)
{
	struct event *ev = &evs->ring[evs->oldest++ % EVENTS_KEPT];

	evs->size -= ev->size;
	json_decref(ev->json);
	*ev = (struct event){ 0 };
}

void events_open(struct engine *g)
{
	g->events = xcalloc(1, sizeof(*g->events));
	LIST_INIT(&g->events->listeners);
}

void events_close(struct engine *g)
{
	if (!g->events)
		return;
	while (g->events->oldest < g->events->n)
		forget_oldest(g->events);
	free(g->events);
	g->events = NULL;
}

/* ---- does an event pass ---- */

static const char *actor_attribute(const json_t *ev, const char *key)
{
	return json_string_value(json_object_get(json_object_get(json_object_get(ev, "Actor"), "Attributes"), key));
}

static const char *actor_id(const json_t *ev)
{
	const char *id = json_string_value(json_object_get(json_object_get(ev, "Actor"), "ID"));

	return id ? id : "";
}

/* The filter named as the type: an id, its beginning, or a name. */
static bool match_object(const struct filters *f, const json_t *ev, const char *type)
{
	const json_t *list = filters_values(f, type);
	const char *name = actor_attribute(ev, "name"), *id = actor_id(ev);

	if (!filters_has(f, type))
		return true;
	if (!str_eq(json_string_value(json_object_get(ev, "Type")), type))
		return false;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *want = json_string_value(json_array_get(list, i));

		if (*want && (str_prefix(id, want) || str_eq(name, want)))
			return true;
	}
	return false;
}

/* For the filter "image": image events by name or id, container events by the image they run. */
static bool match_image(const struct filters *f, const json_t *ev)
{
	const json_t *list = filters_values(f, "image");
	const char *names[] = { actor_id(ev), actor_attribute(ev, "name"), actor_attribute(ev, "image") };
	bool of_image = str_eq(json_string_value(json_object_get(ev, "Type")), "image");

	if (!filters_has(f, "image"))
		return true;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *want = json_string_value(json_array_get(list, i));
		size_t n = strlen(want);

		for (size_t k = of_image ? 0 : 2; k < ARRAY_SIZE(names); k++)
			if (names[k] && strncmp(names[k], want, n) == 0 && (!names[k][n] || strchr(":@", names[k][n])))
				return true;
	}
	return false;
}

/* "exec_start: sh" passes the filter "exec_start" as well as its own text. */
static bool match_action(const struct filters *f, const char *action)
{
	const char *colon = strchr(action, ':');
	_cleanup_free_ char *verb = colon ? xstrndup(action, (size_t)(colon - action)) : xstrdup(action);

	return filters_match(f, "event", action) || filters_match(f, "event", verb);
}

static bool passes(const struct listener *l, const json_t *ev)
{
	static const char *const types[] = { "container", "network", "volume" };
	const struct filters *f = &l->filters;
	const char *type = json_string_value(json_object_get(ev, "Type"));
	const char *action = json_string_value(json_object_get(ev, "Action"));

	if (l->r->api_version < 146 && str_eq(type, "image") && str_eq(action, "create"))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (!match_object(f, ev, types[i]))
			return false;
	return filters_match(f, "type", type) && match_action(f, action) && match_image(f, ev) &&
	       filters_match(f, "scope", "local") && filters_match(f, "daemon", "bottle") &&
	       filters_match_labels(f, "label", json_object_get(json_object_get(ev, "Actor"), "Attributes"));
}

/* ---- emitting ---- */

static void send_event(struct listener *l, json_t *ev)
{
	if (passes(l, ev))
		reply_write_json(l->r, json_incref(ev), "\n");
}

static void listener_free(struct listener *l)
{
	LIST_REMOVE(l, all);
	source_free(l->timer);
	filters_done(&l->filters);
	free(l);
}

static void listener_end(struct listener *l)
{
	struct request *r = l->r;

	listener_free(l);
	reply_end(r);
}

static json_t *event_json(const char *type, const char *action, const char *id, json_t *attributes, int64_t ns)
{
	const char *image = json_string_value(json_object_get(attributes, "image"));
	json_t *ev = json_object();

	if (str_eq(type, "container") || str_eq(type, "image")) {
		json_object_set_new(ev, "status", json_string(action));
		json_object_set_new(ev, "id", json_string(id));
		if (image)
			json_object_set_new(ev, "from", json_string(image));
	}
	json_object_set_new(ev, "Type", json_string(type));
	json_object_set_new(ev, "Action", json_string(action));
	json_object_set_new(ev, "Actor", json_pack("{s:s, s:o}", "ID", id, "Attributes", attributes));
	json_object_set_new(ev, "scope", json_string("local"));
	json_object_set_new(ev, "time", json_integer(ns / 1000000000));
	json_object_set_new(ev, "timeNano", json_integer(ns));
	return ev;
}

/* One larger than all that may be kept is heard by those who listen, and not kept. */
static void keep(struct events *evs, json_t *ev, int64_t ns)
{
	size_t size = json_dumpb(ev, NULL, 0, JSON_COMPACT);

	while (evs->oldest < evs->n && (evs->n - evs->oldest == EVENTS_KEPT || evs->size + size > EVENTS_BYTES_KEPT))
		forget_oldest(evs);
	if (size > EVENTS_BYTES_KEPT)
		return;
	evs->ring[evs->n++ % EVENTS_KEPT] = (struct event){ .ns = ns, .size = size, .json = json_incref(ev) };
	evs->size += size;
}

void event_emit(struct engine *g, const char *type, const char *action, const char *id, json_t *attributes)
{
	struct events *evs = g->events;
	int64_t ns = now_real_ns();
	_cleanup_json_ json_t *ev = event_json(type, action, id, attributes ? attributes : json_object(), ns);
	struct listener *l, *next;

	keep(evs, ev, ns);
	for (l = LIST_FIRST(&evs->listeners); l; l = next) {
		next = LIST_NEXT(l, all);
		send_event(l, ev);
	}
}

/* ---- listening ---- */

/* A time, or a Go duration before now. */
static int parse_time(struct request *r, const char *key, int64_t *ret, struct err *e)
{
	const char *text = query_get(&r->query, key);
	uint64_t ms;

	*ret = 0;
	if (!text || !*text || rfc3339_parse(text, ret) == 0)
		return 0;
	if (str_duration_ms(text, INT64_MAX / 1000000, &ms) < 0)
		return err_set(e, ERR_INVALID, EINVAL, "invalid value for \"%s\": %.100s", key, text);
	*ret = now_real_ns() - (int64_t)ms * 1000000;
	return 0;
}

static void replay(struct engine *g, struct listener *l)
{
	const struct events *evs = g->events;

	for (uint64_t i = evs->oldest; i < evs->n; i++) {
		const struct event *ev = &evs->ring[i % EVENTS_KEPT];

		if (ev->ns >= l->since_ns && (!l->until_ns || ev->ns <= l->until_ns))
			send_event(l, ev->json);
	}
}

static void on_until(struct source *s, void *arg)
{
	(void)s;
	listener_end(arg);
}

static void on_gone(struct request *r)
{
	listener_free(r->arg);
}

void events_stream(struct request *r)
{
	struct listener *l = xcalloc(1, sizeof(*l));
	struct engine *g = r->engine;
	struct err e = { 0 };
	int64_t left;

	if (parse_time(r, "since", &l->since_ns, &e) < 0 || parse_time(r, "until", &l->until_ns, &e) < 0 ||
	    filters_parse(&l->filters, query_get(&r->query, "filters"), event_filters, &e) < 0) {
		free(l);
		reply_err(r, &e);
		return;
	}
	l->r = r;
	r->arg = l;
	r->on_gone = on_gone;
	LIST_INSERT_HEAD(&g->events->listeners, l, all);
	reply_begin(r, 200, "application/json");
	if (l->since_ns || l->until_ns)
		replay(g, l);
	if (!l->until_ns)
		return;
	left = l->until_ns - now_real_ns();
	if (left <= 0)
		listener_end(l);
	else
		l->timer = loop_timer(g->loop, (uint64_t)left / 1000000 + 1, on_until, l);
}
