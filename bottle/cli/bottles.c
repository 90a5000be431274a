/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding and removing bottles through the Engine socket; in the bottle
 * command. The labels are the only memory of what belongs to a bottle, so that a
 * half-made one is found and removed like a whole one.
 */
#include "cli/bottles.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

void bottle_done(struct bottle *b)
{
	json_decref(b->containers);
	json_decref(b->networks);
	*b = (struct bottle){ 0 };
}

static int list(const char *what, const char *label, json_t **ret, struct err *e)
{
	_cleanup_free_ char *filter = client_label_filter(label);
	_cleanup_free_ char *target = xasprintf(API_PREFIX "/%sfilters=%s", what, filter);
	int r = client_call("GET", target, NULL, ret, e);

	if (r == 0 && !json_is_array(*ret)) {
		json_decref(*ret);
		*ret = NULL;
		return err_set(e, ERR_INTERNAL, EPROTO, "the engine's list is no list");
	}
	return r;
}

int bottle_find(const char *name, struct bottle *ret, struct err *e)
{
	_cleanup_free_ char *label = name ? xasprintf(LABEL_NAME "=%s", name) : xstrdup(LABEL_NAME);
	_cleanup_bottle_ struct bottle b = { 0 };
	int r = list("containers/json?all=1&", label, &b.containers, e);

	if (r == 0)
		r = list("networks?", label, &b.networks, e);
	if (r < 0)
		return r;
	if (name && !json_array_size(b.containers) && !json_array_size(b.networks))
		return err_set(e, ERR_NOTFOUND, ENOENT, "there is no bottle '%s'; 'bottle ls' lists them", name);
	ret->containers = TAKE_PTR(b.containers);
	ret->networks = TAKE_PTR(b.networks);
	return 0;
}

const json_t *bottle_part(const struct bottle *b, const char *role)
{
	json_t *c;
	size_t i;

	json_array_foreach(b->containers, i, c) {
		if (str_eq(object_label(c, LABEL_ROLE), role))
			return c;
	}
	return NULL;
}

const char *part_state(const json_t *part)
{
	const char *state = json_string_value(json_object_get(part, "State"));

	return state ? state : "-";
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void add_names(char ***names, const json_t *objects)
{
	json_t *o;
	size_t i;

	json_array_foreach(objects, i, o) {
		const char *name = object_label(o, LABEL_NAME);
		bool known = !name;

		for (char **v = *names; !known && v && *v; v++)
			known = str_eq(*v, name);
		if (!known)
			strv_push(names, name);
	}
}

char **bottle_names(const struct bottle *all)
{
	char **names = NULL;

	add_names(&names, all->containers);
	add_names(&names, all->networks);
	if (names)
		qsort(names, strv_len(names), sizeof(*names), by_text);
	return names;
}

char *bottle_running_part(const char *name, const char *role, struct err *e)
{
	_cleanup_bottle_ struct bottle b = { 0 };
	const json_t *part;

	if (bottle_find(name, &b, e) < 0)
		return NULL;
	part = bottle_part(&b, role);
	if (!part || !object_name(part)) {
		err_set(e, ERR_NOTFOUND, ENOENT, "bottle '%s' has no %s; 'bottle down %s' and 'bottle up' make it anew",
			name, role, name);
		return NULL;
	}
	if (!str_eq(part_state(part), "running")) {
		err_set(e, ERR_CONFLICT, EBUSY,
			"the %s of bottle '%s' is %s, not running; 'bottle logs %s' may say why", role, name,
			part_state(part), name);
		return NULL;
	}
	return xstrdup(object_name(part));
}

/* ---- removal ---- */

static int remove_object(const char *collection, const json_t *object, const char *query, unsigned int *count,
			 struct err *e)
{
	const char *id = json_string_value(json_object_get(object, "Id"));
	_cleanup_free_ char *target = NULL;
	int r;

	if (!id)
		return 0;
	target = client_target(collection, id, query);
	r = client_call("DELETE", target, NULL, NULL, e);
	if (r < 0 && e->cls != ERR_NOTFOUND)
		return err_wrap(e, "remove %s '%s'", str_eq(collection, "networks") ? "network" : "container",
				object_name(object) ? object_name(object) : id);
	*count += r == 0;
	return 0;
}

/* The agent first: it never runs without its sidecar's wall, not even while it is taken down. */
static int remove_containers(const struct bottle *b, struct removal *done, struct err *e)
{
	json_t *c;
	size_t i;
	int r = 0;

	for (int sidecar = 0; sidecar < 2; sidecar++)
		json_array_foreach(b->containers, i, c) {
			if (r < 0 || str_eq(object_label(c, LABEL_ROLE), "sidecar") != sidecar)
				continue;
			r = remove_object("containers", c, "?force=1&v=1", &done->containers, e);
		}
	return r;
}

static int verify_gone(const char *name, struct err *e)
{
	_cleanup_bottle_ struct bottle left = { 0 };
	int r = bottle_find(name, &left, e);

	if (r < 0)
		return e->cls == ERR_NOTFOUND ? 0 : r;
	return err_set(e, ERR_INTERNAL, EBUSY,
		       "%zu containers and %zu networks of bottle '%s' are still there; try again",
		       json_array_size(left.containers), json_array_size(left.networks), name);
}

int bottle_remove(const char *name, struct removal *ret, struct err *e)
{
	_cleanup_bottle_ struct bottle b = { 0 };
	struct removal done = { 0 };
	json_t *network;
	size_t i;
	int r = bottle_find(name, &b, e);

	if (r == 0)
		r = remove_containers(&b, &done, e);
	json_array_foreach(b.networks, i, network) {
		if (r == 0)
			r = remove_object("networks", network, "", &done.networks, e);
	}
	if (r == 0)
		r = verify_gone(name, e);
	done.verified = r == 0;
	*ret = done;
	return r;
}
