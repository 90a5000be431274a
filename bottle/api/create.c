/* SPDX-License-Identifier: Apache-2.0 */
/* POST /containers/create: name, image, networks, and the row. Runs in bottled. */
#include <errno.h>

#include "api/container.h"
#include "api/containers.h"
#include "api/json.h"
#include "base/mem.h"

/* Names as given become the network's own; the id is kept with the endpoint. */
static int resolve_networks(struct engine *g, struct spec *s, struct err *e)
{
	const char *mode = member_text(s->host_config, "NetworkMode"), *k;
	json_t *out = json_object(), *v;

	json_object_foreach(s->networks, k, v) {
		_cleanup_free_ char *id = NULL, *name = NULL;
		int r = network_resolve(g, k, &id, &name, e);

		if (r < 0) {
			json_decref(out);
			return r;
		}
		json_object_set_new(v, "NetworkID", json_string(id));
		json_object_set(out, name, v);
		if (str_eq(k, mode) && str_eq(name, "bridge"))
			json_object_set_new(s->host_config, "NetworkMode", json_string(name));
	}
	json_decref(s->networks);
	s->networks = out;
	return 0;
}

static int use_image(struct engine *g, struct spec *s, char **ret_id, struct err *e)
{
	const char *ref = member_text(s->config, "Image");
	struct image_use use = { 0 };
	int r;

	if (!*ref)
		return err_set(e, ERR_INVALID, EINVAL, "no image specified: the field Image is empty");
	r = image_resolve(g, ref, &use, e);
	if (r < 0)
		return r;
	r = spec_merge_image(s, use.config, e);
	*ret_id = xstrdup(use.id);
	image_use_done(&use);
	return r;
}

/* Owned name, or NULL with e. */
static char *choose_name(struct engine *g, const char *asked, struct err *e)
{
	const struct container *other;

	if (!asked || !*asked)
		return container_random_name(g);
	asked = *asked == '/' ? asked + 1 : asked;
	if (!container_name_valid(asked)) {
		err_set(e, ERR_INVALID, EINVAL,
			"Invalid container name (%.128s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", asked);
		return NULL;
	}
	other = container_by_name(g, asked);
	if (!other)
		return xstrdup(asked);
	err_set(e, ERR_CONFLICT, EEXIST,
		"Conflict. The container name \"/%s\" is already in use by container \"%s\". You have to remove (or "
		"rename) that container to "
		"be able to reuse that name.",
		asked, other->id);
	return NULL;
}

static int count_containers(struct engine *g)
{
	int n = 0;

	for (struct container *c = g->containers->list; c; c = c->next)
		n++;
	return n;
}

static struct container *make(struct engine *g, struct spec *s, const char *asked, struct err *e)
{
	_cleanup_free_ char *image_id = NULL, *name = NULL;
	char id[ID_LEN + 1];
	struct container *c;
	json_t *config;

	if (count_containers(g) >= CONTAINERS_MAX) {
		err_set(e, ERR_CONFLICT, ENOSPC,
			"there are %d containers already; remove some (docker container prune)", CONTAINERS_MAX);
		return NULL;
	}
	name = choose_name(g, asked, e);
	if (!name || use_image(g, s, &image_id, e) < 0 || resolve_networks(g, s, e) < 0)
		return NULL;
	random_id(id);
	if (!*member_text(s->config, "Hostname"))
		json_object_set_new(s->config, "Hostname", json_stringn(id, 12));
	config = json_pack("{s:O, s:O, s:s, s:O}", "Config", s->config, "HostConfig", s->host_config, "ImageID",
			   image_id, "Networks", s->networks);
	if (json_dumpb(config, NULL, 0, JSON_COMPACT) > CONFIG_MAX) {
		err_set(e, ERR_INVALID, E2BIG,
			"the container's description is larger than %d KiB; shorten its labels or environment",
			CONFIG_MAX / 1024);
		json_decref(config);
		return NULL;
	}
	c = container_add(g, id, TAKE_PTR(name), now_real_ns(), config);
	if (container_save(c, e) == 0)
		return c;
	container_free(c);
	return NULL;
}

void containers_create(struct request *r)
{
	struct err e = { 0 };
	struct container *c = NULL;
	struct spec s;

	if (spec_parse(&s, r->body, &e) == 0)
		c = make(r->engine, &s, query_get(&r->query, "name"), &e);
	if (c) {
		container_event(c, "create", NULL, NULL);
		reply_json(r, 201, json_pack("{s:s, s:O}", "Id", c->id, "Warnings", s.warnings));
	} else {
		reply_err(r, &e);
	}
	spec_done(&s);
}
