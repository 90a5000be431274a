/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image endpoints that only read and write the store; in bottled. Names and
 * filters are a client's; configurations came from strangers' archives and are
 * looked at by type. What takes hostile archives is in image_jobs.c.
 */
#include "api/images.h"

#include <errno.h>
#include <fnmatch.h>

#include "api/image_jobs.h"
#include "api/json.h"
#include "base/mem.h"
#include "images/store/reference.h"
#include "images/store/store.h"

#define SHORT_ID 12
#define NS       1000000000LL

int images_open(struct engine *g, struct err *e)
{
	return store_open(g->db, g->data_fd, &g->store, e);
}

void images_close(struct engine *g)
{
	image_jobs_close(g);
	store_close(g->store);
	g->store = NULL;
}

static json_t *sha256_json(const char *hex)
{
	return json_sprintf("sha256:%s", hex);
}

/* An image as the store has it, with its configuration parsed. */
struct image {
	struct store_image row;
	json_t *config; /* the whole; never NULL */
};

static void image_done(struct image *i)
{
	store_image_done(&i->row);
	json_decref(i->config);
	i->config = NULL;
}
#define _cleanup_image_ _cleanup_(image_done)

static int image_get(struct engine *g, const char *id, struct image *ret, struct err *e)
{
	int r = store_get(g->store, id, &ret->row, e);

	if (r < 0)
		return r;
	ret->config = json_parse(ret->row.config, strlen(ret->row.config), NULL);
	if (!ret->config)
		ret->config = json_object();
	return 0;
}

static int image_find(struct engine *g, const char *name, struct image *ret, char **ret_key, struct err *e)
{
	char id[ID_LEN + 1];
	int r = store_resolve(g->store, name, id, ret_key, e);

	return r < 0 ? r : image_get(g, id, ret, e);
}

/* The "config" object of the configuration; borrowed, NULL when there is none. */
static json_t *image_settings(const struct image *i)
{
	json_t *settings = json_get(i->config, "config");

	return json_is_object(settings) ? settings : NULL;
}

static json_t *familiar_tags(const struct image *i)
{
	json_t *list = json_array();

	for (char **k = i->row.keys; k && *k; k++)
		if (!strchr(*k, '@'))
			json_array_append_new(list, json_string(reference_familiar(*k)));
	return list;
}

static json_t *familiar_digests(const struct image *i)
{
	json_t *list = json_array();

	for (char **k = i->row.keys; k && *k; k++)
		if (strchr(*k, '@'))
			json_array_append_new(list, json_string(reference_familiar(*k)));
	return list;
}

/* ---- engine.h ---- */

int image_resolve(struct engine *g, const char *ref, struct image_use *ret, struct err *e)
{
	struct store_layer layers[STORE_LAYERS_MAX];
	_cleanup_image_ struct image i = { 0 };
	size_t n;
	int r = image_find(g, ref, &i, NULL, e);

	if (r == 0)
		r = store_layers(g->store, i.row.id, layers, &n, e);
	if (r < 0)
		return r;
	*ret = (struct image_use){ .id = xasprintf("sha256:%s", i.row.id) };
	ret->config = image_settings(&i) ? json_incref(image_settings(&i)) : json_object();
	while (n) {
		_cleanup_free_ char *below = store_layer_path(layers[--n].diff_id);
		_cleanup_free_ char *path = xasprintf("%s/%s", g->data_dir, below);

		strv_push(&ret->layer_paths, path);
	}
	return 0;
}

void image_use_done(struct image_use *u)
{
	free(u->id);
	json_decref(u->config);
	strv_free(u->layer_paths);
	*u = (struct image_use){ 0 };
}

void images_count(struct engine *g, int64_t *ret)
{
	*ret = 0;
	store_count(g->store, ret, NULL);
}

/* ---- list ---- */

/* Everything that GET /images/json may be asked to leave out. */
struct list_filter {
	struct filters f;
	int64_t before, since, until; /* ns; before and until exclusive */
};

static int reference_time(struct engine *g, const struct filters *f, const char *key, int64_t *ret, struct err *e)
{
	const char *name = json_string_value(json_array_get(filters_values(f, key), 0));
	_cleanup_image_ struct image i = { 0 };
	int r;

	if (!name)
		return 0;
	r = image_find(g, name, &i, NULL, e);
	if (r == 0)
		*ret = i.row.created;
	return r;
}

/* A time, or a span back from now. */
static int parse_until(const char *text, int64_t *ret, struct err *e)
{
	uint64_t ms;

	if (rfc3339_parse(text, ret) == 0)
		return 0;
	if (str_duration_ms(text, INT64_MAX / 1000000, &ms) < 0)
		return err_set(e, ERR_INVALID, EINVAL, "invalid filter 'until=%.100s'", text);
	*ret = now_real_ns() - (int64_t)ms * 1000000;
	return 0;
}

static int list_filter_parse(struct engine *g, const char *text, struct list_filter *ret, struct err *e)
{
	static const char *const allowed[] = { "reference", "dangling", "label", "before", "since", "until", NULL };
	const char *until;
	int r;

	*ret = (struct list_filter){ .before = INT64_MAX, .since = INT64_MIN, .until = INT64_MAX };
	r = filters_parse(&ret->f, text, allowed, e);
	if (r == 0)
		r = reference_time(g, &ret->f, "before", &ret->before, e);
	if (r == 0)
		r = reference_time(g, &ret->f, "since", &ret->since, e);
	until = json_string_value(json_array_get(filters_values(&ret->f, "until"), 0));
	if (r == 0 && until)
		r = parse_until(until, &ret->until, e);
	if (r < 0)
		filters_done(&ret->f);
	return r;
}

static bool is_true(const char *s)
{
	return str_eq(s, "true") || str_eq(s, "1");
}

/* Shell patterns against "name:tag" and "name", as the person would write them. */
static bool matches_reference(const char *key, const json_t *patterns)
{
	const char *full = reference_familiar(key);
	_cleanup_free_ char *name = xstrndup(full, strcspn(full, "@"));
	char *colon = strrchr(name, ':');
	json_t *pattern;
	size_t i;

	if (colon && !strchr(colon, '/'))
		*colon = '\0';
	json_array_foreach(patterns, i, pattern)
		if (fnmatch(json_string_value(pattern), full, FNM_PATHNAME) == 0 ||
		    fnmatch(json_string_value(pattern), name, FNM_PATHNAME) == 0)
			return true;
	return false;
}

/* Leaves the keys that a pattern names: Docker lists no others. False when none does. */
static bool keep_references(struct image *i, const json_t *patterns)
{
	char **kept = NULL;

	for (char **k = i->row.keys; k && *k; k++)
		if (matches_reference(*k, patterns))
			strv_push(&kept, *k);
	strv_free(i->row.keys);
	i->row.keys = kept;
	return kept;
}

static bool list_filter_matches(const struct list_filter *l, struct image *i)
{
	const char *dangling = json_string_value(json_array_get(filters_values(&l->f, "dangling"), 0));

	if (i->row.created >= l->before || i->row.created <= l->since || i->row.created >= l->until)
		return false;
	if (dangling && is_true(dangling) != !i->row.keys)
		return false;
	if (filters_has(&l->f, "reference") && !keep_references(i, filters_values(&l->f, "reference")))
		return false;
	return filters_match_labels(&l->f, "label", json_get(image_settings(i), "Labels"));
}

static json_t *labels_of(const struct image *i)
{
	json_t *labels = json_get(image_settings(i), "Labels");

	return json_is_object(labels) ? json_incref(labels) : json_object();
}

static json_t *list_item(const struct request *r, const struct image *i)
{
	json_t *item = json_object(), *tags = familiar_tags(i), *digests = familiar_digests(i);

	if (r->api_version < 143 && json_array_size(tags) == 0) {
		json_array_append_new(tags, json_string("<none>:<none>"));
		if (json_array_size(digests) == 0)
			json_array_append_new(digests, json_string("<none>@<none>"));
	}
	json_object_set_new(item, "Id", sha256_json(i->row.id));
	json_object_set_new(item, "ParentId", json_string(""));
	json_object_set_new(item, "RepoTags", tags);
	json_object_set_new(item, "RepoDigests", digests);
	json_object_set_new(item, "Created", json_integer(i->row.created / NS));
	json_object_set_new(item, "Size", json_integer((json_int_t)i->row.size));
	if (r->api_version < 144)
		json_object_set_new(item, "VirtualSize", json_integer((json_int_t)i->row.size));
	json_object_set_new(item, "SharedSize", json_integer(-1));
	json_object_set_new(item, "Labels", labels_of(i));
	json_object_set_new(item, "Containers", json_integer(-1));
	return item;
}

void images_list(struct request *r)
{
	struct engine *g = r->engine;
	_cleanup_json_ json_t *list = json_array();
	_cleanup_strv_ char **ids = NULL;
	struct list_filter l;
	struct err e;
	int k = list_filter_parse(g, query_get(&r->query, "filters"), &l, &e);

	if (k < 0)
		return reply_err(r, &e);
	k = store_ids(g->store, &ids, &e);
	for (char **id = ids; id && *id && k == 0; id++) {
		_cleanup_image_ struct image i = { 0 };

		k = image_get(g, *id, &i, &e);
		if (k == 0 && list_filter_matches(&l, &i))
			json_array_append_new(list, list_item(r, &i));
	}
	filters_done(&l.f);
	if (k < 0)
		return reply_err(r, &e);
	reply_json(r, 200, json_incref(list));
}

/* ---- inspect, history ---- */

static json_t *rootfs_of(const struct image *i)
{
	json_t *ids = json_get(json_get(i->config, "rootfs"), "diff_ids");

	return json_pack("{s:s, s:O}", "Type", "layers", "Layers", ids ? ids : json_null());
}

static json_t *graph_driver(struct engine *g, const struct image *i)
{
	struct store_layer layers[STORE_LAYERS_MAX];
	size_t n = 0;
	json_t *data = json_object();

	if (store_layers(g->store, i->row.id, layers, &n, NULL) == 0 && n) {
		_cleanup_free_ char *below = store_layer_path(layers[n - 1].diff_id);

		json_object_set_new(data, "UpperLayer", json_sprintf("%s/%s", g->data_dir, below));
	}
	return json_pack("{s:s, s:o}", "Name", "squashfs", "Data", data);
}

static json_t *inspect(struct request *r, const struct image *i)
{
	json_t *settings = image_settings(i), *out = json_object();
	char tagged[RFC3339_MAX];

	rfc3339nano(tagged, i->row.tagged);
	json_object_set_new(out, "Id", sha256_json(i->row.id));
	json_object_set_new(out, "RepoTags", familiar_tags(i));
	json_object_set_new(out, "RepoDigests", familiar_digests(i));
	json_object_set_new(out, "Parent", json_string(""));
	json_object_set_new(out, "Comment", json_string(json_str_or(i->config, "comment", "")));
	json_object_set_new(out, "Created", json_string(json_str_or(i->config, "created", "0001-01-01T00:00:00Z")));
	json_object_set_new(out, "DockerVersion", json_string(json_str_or(i->config, "docker_version", "")));
	json_object_set_new(out, "Author", json_string(json_str_or(i->config, "author", "")));
	json_object_set_new(out, "Config", settings ? json_incref(settings) : json_object());
	if (r->api_version < 145) {
		json_object_set_new(out, "Container", json_string(""));
		json_object_set_new(out, "ContainerConfig", json_object());
	}
	json_object_set_new(out, "Architecture", json_string(json_str_or(i->config, "architecture", "amd64")));
	json_object_set_new(out, "Os", json_string(json_str_or(i->config, "os", "linux")));
	json_object_set_new(out, "Size", json_integer((json_int_t)i->row.size));
	if (r->api_version < 144)
		json_object_set_new(out, "VirtualSize", json_integer((json_int_t)i->row.size));
	json_object_set_new(out, "GraphDriver", graph_driver(r->engine, i));
	json_object_set_new(out, "RootFS", rootfs_of(i));
	json_object_set_new(out, "Metadata", json_pack("{s:s}", "LastTagTime", tagged));
	return out;
}

void image_inspect(struct request *r)
{
	_cleanup_image_ struct image i = { 0 };
	struct err e;

	if (image_find(r->engine, r->args[0], &i, NULL, &e) < 0)
		return reply_err(r, &e);
	reply_json(r, 200, inspect(r, &i));
}

static json_t *history_item(const json_t *step, uint64_t size)
{
	const char *created = json_str_or(step, "created", "");
	int64_t ns = 0;

	if (rfc3339_parse(created, &ns) < 0)
		ns = 0;
	return json_pack("{s:s, s:I, s:s, s:[], s:I, s:s}", "Id", "<missing>", "Created", (json_int_t)(ns / NS),
			 "CreatedBy", json_str_or(step, "created_by", ""), "Tags", "Size", (json_int_t)size, "Comment",
			 json_str_or(step, "comment", ""));
}

/* Newest first; the steps of the configuration, and a step of its own for a layer that none speaks of. */
static json_t *history(const struct image *i, const struct store_layer *layers, size_t n)
{
	json_t *steps = json_get(i->config, "history"), *step, *list = json_array(), *first;
	size_t at, used = 0;

	json_array_foreach(steps, at, step) {
		bool empty = json_is_true(json_get(step, "empty_layer"));

		json_array_insert_new(list, 0, history_item(step, empty || used >= n ? 0 : layers[used].size));
		used += empty ? 0 : 1;
	}
	for (; used < n; used++)
		json_array_insert_new(list, 0, history_item(NULL, layers[used].size));
	first = json_array_get(list, 0);
	if (first) {
		json_object_set_new(first, "Id", sha256_json(i->row.id));
		json_object_set_new(first, "Tags", familiar_tags(i));
	}
	return list;
}

void image_history(struct request *r)
{
	struct store_layer layers[STORE_LAYERS_MAX];
	_cleanup_image_ struct image i = { 0 };
	struct err e;
	size_t n;

	if (image_find(r->engine, r->args[0], &i, NULL, &e) < 0 ||
	    store_layers(r->engine->store, i.row.id, layers, &n, &e) < 0)
		return reply_err(r, &e);
	reply_json(r, 200, history(&i, layers, n));
}

/* ---- tag ---- */

void image_emit(struct engine *g, const char *action, const char *id, const char *name)
{
	_cleanup_free_ char *full = xasprintf("sha256:%s", id);

	event_emit(g, "image", action, full, json_pack("{s:s}", "name", name));
}

int image_tag_key(const char *repo, const char *tag, char **ret, struct err *e)
{
	_cleanup_reference_ struct reference ref = { 0 };
	_cleanup_free_ char *text = NULL;
	int r;

	text = tag && *tag ? xasprintf("%s:%s", repo, tag) : xstrdup(repo);
	r = reference_parse(&ref, text, e);
	if (r < 0)
		return r;
	if (ref.digest)
		return err_set(e, ERR_INVALID, EINVAL, "refusing to create a tag with a digest reference");
	*ret = reference_key(&ref);
	return 0;
}

void image_tag(struct request *r)
{
	const char *repo = query_get(&r->query, "repo");
	_cleanup_free_ char *key = NULL;
	struct engine *g = r->engine;
	char id[ID_LEN + 1];
	struct err e;

	if (!repo || !*repo)
		return reply_message(r, 400, "repository name must have at least one component");
	if (image_tag_key(repo, query_get(&r->query, "tag"), &key, &e) < 0 ||
	    store_resolve(g->store, r->args[0], id, NULL, &e) < 0 || store_tag(g->store, id, key, &e) < 0)
		return reply_err(r, &e);
	image_emit(g, "tag", id, reference_familiar(key));
	reply_empty(r, 201);
}

/* ---- delete, prune ---- */

static int untag(struct engine *g, const struct image *i, const char *key, json_t *report, struct err *e)
{
	int r = store_untag(g->store, key, e);

	if (r < 0)
		return r;
	json_array_append_new(report, json_pack("{s:s}", "Untagged", reference_familiar(key)));
	image_emit(g, "untag", i->row.id, reference_familiar(key));
	return 0;
}

static int remove_image(struct engine *g, const struct image *i, json_t *report, uint64_t *ret_freed, struct err *e)
{
	_cleanup_free_ char *id = xasprintf("sha256:%s", i->row.id);
	int r = 0;

	for (char **k = i->row.keys; k && *k && r == 0; k++)
		r = untag(g, i, *k, report, e);
	if (r == 0)
		r = store_remove(g->store, i->row.id, ret_freed, e);
	if (r < 0)
		return r;
	json_array_append_new(report, json_pack("{s:s}", "Deleted", id));
	image_emit(g, "delete", i->row.id, id);
	return 0;
}

static size_t repositories(const struct image *i)
{
	size_t n = 0, len = 0;
	const char *last = NULL;

	for (char **k = i->row.keys; k && *k; k++) {
		size_t this = strcspn(*k, "@"), colon = this;

		while (colon && (*k)[colon] != ':' && (*k)[colon] != '/')
			colon--;
		if ((*k)[colon] == ':')
			this = colon;
		if (!last || len != this || strncmp(last, *k, this) != 0)
			n++;
		last = *k;
		len = this;
	}
	return n;
}

/* Who uses it: what Docker refuses, in its words. 0, or the error. */
static int check_delete(const struct image *i, const char *name, const char *key, bool force, const char *container,
			bool running, struct err *e)
{
	if (key && container && !force && strv_len(i->row.keys) == 1)
		return err_set(e, ERR_CONFLICT, EBUSY,
			       "conflict: unable to remove repository reference \"%s\" (must force) - container %.*s "
			       "is using its "
			       "referenced image %.*s",
			       name, SHORT_ID, container, SHORT_ID, i->row.id);
	if (key)
		return 0;
	if (container && running)
		return err_set(e, ERR_CONFLICT, EBUSY,
			       "conflict: unable to delete %.*s (cannot be forced) - image is being used by running "
			       "container %.*s",
			       SHORT_ID, i->row.id, SHORT_ID, container);
	if (repositories(i) > 1 && !force)
		return err_set(e, ERR_CONFLICT, EBUSY,
			       "conflict: unable to delete %.*s (must be forced) - image is referenced in multiple "
			       "repositories",
			       SHORT_ID, i->row.id);
	if (container && !force)
		return err_set(e, ERR_CONFLICT, EBUSY,
			       "conflict: unable to delete %.*s (must be forced) - image is being used by stopped "
			       "container %.*s",
			       SHORT_ID, i->row.id, SHORT_ID, container);
	return 0;
}

static int delete_image(struct engine *g, const struct image *i, const char *key, bool used, json_t *report,
			struct err *e)
{
	int r = 0;

	if (key && strv_len(i->row.keys) > 1)
		return untag(g, i, key, report, e);
	if (!used)
		return remove_image(g, i, report, NULL, e);
	/* Forced, but a container's disk stands on its layers: they stay until it goes. */
	for (char **k = i->row.keys; k && *k && r == 0; k++)
		r = untag(g, i, *k, report, e);
	return r;
}

void image_delete(struct request *r)
{
	_cleanup_free_ char *key = NULL, *container = NULL, *full = NULL;
	_cleanup_json_ json_t *report = json_array();
	_cleanup_image_ struct image i = { 0 };
	struct engine *g = r->engine;
	bool running = false, used;
	struct err e;

	if (image_find(g, r->args[0], &i, &key, &e) < 0)
		return reply_err(r, &e);
	full = xasprintf("sha256:%s", i.row.id);
	used = containers_use_image(g, full, &container, &running);
	if (check_delete(&i, r->args[0], key, query_bool(&r->query, "force", false), used ? container : NULL, running,
			 &e) < 0 ||
	    delete_image(g, &i, key, used, report, &e) < 0)
		return reply_err(r, &e);
	reply_json(r, 200, json_incref(report));
}

static int prune_one(struct engine *g, const char *id, const struct list_filter *l, bool all, json_t *report,
		     uint64_t *freed, struct err *e)
{
	_cleanup_free_ char *full = xasprintf("sha256:%s", id), *container = NULL;
	_cleanup_image_ struct image i = { 0 };
	uint64_t bytes = 0;
	bool running;
	int r = image_get(g, id, &i, e);

	if (r < 0 || (!all && i.row.keys) || i.row.created >= l->until ||
	    !filters_match_labels(&l->f, "label", json_get(image_settings(&i), "Labels")) ||
	    containers_use_image(g, full, &container, &running))
		return r;
	r = remove_image(g, &i, report, &bytes, e);
	*freed += bytes;
	return r;
}

void images_prune(struct request *r)
{
	_cleanup_json_ json_t *report = json_array();
	_cleanup_strv_ char **ids = NULL;
	struct engine *g = r->engine;
	uint64_t freed = 0;
	struct list_filter l;
	const char *dangling;
	struct err e;
	int k = list_filter_parse(g, query_get(&r->query, "filters"), &l, &e);

	if (k < 0)
		return reply_err(r, &e);
	dangling = json_string_value(json_array_get(filters_values(&l.f, "dangling"), 0));
	k = store_ids(g->store, &ids, &e);
	for (char **id = ids; id && *id && k == 0; id++)
		k = prune_one(g, *id, &l, dangling && !is_true(dangling), report, &freed, &e);
	filters_done(&l.f);
	if (k < 0)
		return reply_err(r, &e);
	reply_json(r, 200,
		   json_pack("{s:o, s:I}", "ImagesDeleted", json_array_size(report) ? json_incref(report) : json_null(),
			     "SpaceReclaimed", (json_int_t)freed));
}
