/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry of containers: records in memory, their rows in state.db, names
 * and look-up, and what the other parts of bottled ask about containers.
 * Runs in bottled. At the start it finds the monitors that outlived the last
 * bottled, or reads what they left behind.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "api/container.h"
#include "base/fd.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/mem.h"

static const char *const state_names[] = {
	[STATE_CREATED] = "created", [STATE_RUNNING] = "running",   [STATE_PAUSED] = "paused",
	[STATE_EXITED] = "exited",   [STATE_REMOVING] = "removing", [STATE_DEAD] = "dead",
};

const char *container_state_name(enum container_state s)
{
	return state_names[s];
}

bool container_running(const struct container *c)
{
	return c->state == STATE_RUNNING || c->state == STATE_PAUSED;
}

char *container_dir(const struct container *c)
{
	return xasprintf("containers/%s", c->id);
}

char *container_vm_dir(const struct container *c)
{
	return xasprintf("vm/%.*s", MON_RUNTIME_ID_LEN, c->id);
}

json_t *container_config(const struct container *c)
{
	return json_object_get(c->config, "Config");
}

json_t *container_host_config(const struct container *c)
{
	return json_object_get(c->config, "HostConfig");
}

void runtime_set_int(struct container *c, const char *key, int64_t v)
{
	json_object_set_new(c->runtime, key, json_integer(v));
}

void runtime_set_text(struct container *c, const char *key, const char *v)
{
	json_t *s = json_stringn_nocheck(v, strlen(v));

	json_object_set_new(c->runtime, key, s ? s : json_string(""));
}

/* ---- names and look-up ---- */

bool container_name_valid(const char *name)
{
	size_t n = 0;

	if (!isalnum((unsigned char)*name))
		return false;
	for (; name[n]; n++)
		if (!isalnum((unsigned char)name[n]) && !strchr("_.-", name[n]))
			return false;
	return n >= 2 && n <= 255;
}

struct container *container_by_name(struct engine *g, const char *name)
{
	for (struct container *c = g->containers->list; c; c = c->next)
		if (str_eq(c->name, name))
			return c;
	return NULL;
}

struct container *container_find(struct engine *g, const char *ref, struct err *e)
{
	struct container *found = NULL;

	if (*ref == '/')
		ref++;
	for (struct container *c = g->containers->list; c; c = c->next)
		if (str_eq(c->id, ref))
			return c;
	found = container_by_name(g, ref);
	if (found)
		return found;
	for (struct container *c = g->containers->list; *ref && c; c = c->next) {
		if (!str_prefix(c->id, ref))
			continue;
		if (found) {
			err_set(e, ERR_INVALID, EINVAL, "multiple IDs found with provided prefix: %.64s", ref);
			return NULL;
		}
		found = c;
	}
	if (!found)
		err_set(e, ERR_NOTFOUND, ENOENT, "No such container: %.256s", ref);
	return found;
}

struct container *container_of_request(struct request *r)
{
	struct container *c;
	struct err e = { 0 };

	c = container_find(r->engine, r->args[0], &e);
	if (!c)
		reply_err(r, &e);
	return c;
}

static const char *const adjectives[] = {
	"amber",  "ancient", "bold",   "brave",  "bright", "calm",   "clear", "clever",  "copper", "crisp",  "curious",
	"deep",   "dry",     "eager",  "early",  "fair",   "fleet",  "fond",  "frosty",  "gentle", "glad",   "golden",
	"grand",  "happy",   "hardy",  "hidden", "honest", "humble", "jolly", "keen",    "kind",   "late",   "light",
	"lively", "lucky",   "mellow", "mighty", "misty",  "modest", "noble", "patient", "placid", "plucky", "polite",
	"proud",  "quick",   "quiet",  "ready",  "rosy",   "rustic", "sharp", "silent",  "silver", "sober",  "steady",
	"still",  "sunny",   "swift",  "tidy",   "vivid",  "warm",   "wise",  "witty",   "young",
};

static const char *const nouns[] = {
	"acorn",  "anchor", "badger",  "barrel", "beacon",  "birch",   "bramble", "breeze", "brook",  "canyon",
	"cedar",  "cliff",  "cloud",   "comet",  "coral",   "cork",    "crane",   "dune",   "eagle",  "ember",
	"falcon", "fern",   "flask",   "forest", "fox",     "glacier", "grove",   "harbor", "hazel",  "heron",
	"island", "ivy",    "jug",     "kettle", "lagoon",  "lantern", "lark",    "maple",  "meadow", "mill",
	"otter",  "owl",    "pebble",  "pine",   "prairie", "quill",   "raven",   "reef",   "ridge",  "river",
	"sailor", "shore",  "sparrow", "spring", "stone",   "summit",  "thistle", "tide",   "tulip",  "valley",
	"vessel", "willow", "wren",    "yarrow",
};

char *container_random_name(struct engine *g)
{
	for (unsigned int round = 0;; round++) {
		uint16_t dice[3];
		char *name;

		random_bytes(dice, sizeof(dice));
		name = xasprintf("%s_%s", adjectives[dice[0] % ARRAY_SIZE(adjectives)],
				 nouns[dice[1] % ARRAY_SIZE(nouns)]);
		if (round > 8) {
			char *longer = xasprintf("%s%u", name, dice[2]);

			free(name);
			name = longer;
		}
		if (!container_by_name(g, name))
			return name;
		free(name);
	}
}

/* ---- rows ---- */

int container_save(struct container *c, struct err *e)
{
	_cleanup_free_ char *config = json_dumps(c->config, JSON_COMPACT),
			    *runtime = json_dumps(c->runtime, JSON_COMPACT);

	return state_exec(
		c->g, e,
		"INSERT INTO containers(id, name, created_ns, state, config, runtime) VALUES(?, ?, ?, ?, ?, ?)"
		" ON CONFLICT(id) DO UPDATE SET name = excluded.name, state = excluded.state,"
		" config = excluded.config, runtime = excluded.runtime",
		"ttittt", c->id, c->name, c->created_ns, state_names[c->state], config, runtime);
}

void container_save_quietly(struct container *c)
{
	struct err e = { 0 };

	if (container_save(c, &e) < 0)
		log_error("the state of container %.12s could not be written: %s", c->id, e.text);
}

struct container *container_add(struct engine *g, const char *id, char *name, int64_t created_ns, json_t *config)
{
	struct container *c = xcalloc(1, sizeof(*c));

	c->g = g;
	snprintf(c->id, sizeof(c->id), "%s", id);
	c->name = name;
	c->created_ns = created_ns;
	c->config = config;
	c->runtime = json_object();
	c->next = g->containers->list;
	g->containers->list = c;
	return c;
}

void container_free(struct container *c)
{
	struct exec *x;

	for (struct container **at = &c->g->containers->list; *at; at = &(*at)->next) {
		if (*at == c) {
			*at = c->next;
			break;
		}
	}
	while ((x = c->execs)) {
		c->execs = x->next;
		exec_free(x);
	}
	logs_forget(c);
	source_free(c->kill_timer);
	json_decref(c->config);
	json_decref(c->runtime);
	free(c->name);
	free(c);
}

void container_event(struct container *c, const char *action, const char *key, const char *value)
{
	json_t *attributes = json_object(), *v;
	const char *k;

	json_object_foreach(json_object_get(container_config(c), "Labels"), k, v)
		json_object_set(attributes, k, v);
	json_object_set_new(attributes, "image", json_string(member_text(container_config(c), "Image")));
	json_object_set_new(attributes, "name", json_string(c->name));
	if (key && value)
		json_object_set_new(attributes, key, json_string(value));
	event_emit(c->g, "container", action, c->id, attributes);
}

/* ---- opening ---- */

static enum container_state state_from_name(const char *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(state_names); i++)
		if (str_eq(s, state_names[i]))
			return (enum container_state)i;
	return STATE_DEAD;
}

static json_t *column_json(sqlite3_stmt *q, int column)
{
	const char *text = (const char *)sqlite3_column_text(q, column);
	json_t *v = text ? json_loads(text, JSON_ALLOW_NUL, NULL) : NULL;

	if (!json_is_object(v)) {
		json_decref(v);
		return NULL;
	}
	return v;
}

static void read_row(struct engine *g, sqlite3_stmt *q)
{
	const char *id = (const char *)sqlite3_column_text(q, 0), *name = (const char *)sqlite3_column_text(q, 1);
	json_t *config = column_json(q, 4), *runtime = column_json(q, 5);
	struct container *c;

	if (!id || !str_is_hex(id, ID_LEN) || !name || !config) {
		log_error("a container's row in state.db is damaged and left out: %s", name ? name : "?");
		json_decref(config);
		json_decref(runtime);
		return;
	}
	c = container_add(g, id, xstrdup(name), sqlite3_column_int64(q, 2), config);
	c->state = state_from_name((const char *)sqlite3_column_text(q, 3));
	if (runtime) {
		json_decref(c->runtime);
		c->runtime = runtime;
	}
}

/* Connects to the monitor of a container that ran, or reads how it ended. */
static void find_monitor(struct container *c)
{
	_cleanup_free_ char *path = container_vm_dir(c);
	_cleanup_close_ int dir = openat(c->g->runtime_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	int fd = dir < 0 ? -1 : unix_connect_at(dir, "control", SOCK_SEQPACKET);

	if (fd >= 0)
		container_adopt(c, fd);
	else
		container_lost(c);
}

static void reopen(struct container *c)
{
	struct err e = { 0 };

	execs_load(c);
	if (container_running(c) || member_flag(c->runtime, "starting"))
		find_monitor(c);
	else if ((c->state == STATE_REMOVING ||
		  (c->state == STATE_EXITED && member_flag(container_host_config(c), "AutoRemove"))) &&
		 container_delete(c, &e) < 0)
		log_error("container %.12s could not be removed: %s", c->id, e.text);
}

/* Removes what is not wanted in a directory below the data directory. */
static void sweep(struct engine *g, const char *path, bool (*wanted)(struct engine *g, const char *name))
{
	int fd = openat(g->data_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!d)
		return;
	while ((entry = readdir(d)))
		if (!str_eq(entry->d_name, ".") && !str_eq(entry->d_name, "..") && !wanted(g, entry->d_name))
			remove_tree(fd, entry->d_name);
	closedir(d);
}

/* A directory without a row was left by a remove or a create that was cut. */
static bool directory_wanted(struct engine *g, const char *name)
{
	struct container *c = g->containers->list;

	while (c && !str_eq(c->id, name))
		c = c->next;
	return c || !str_is_hex(name, ID_LEN);
}

/* Disks of other sizes are rare, and made anew in no time. */
static bool scratch_wanted(struct engine *g, const char *name)
{
	_cleanup_free_ char *usual = xasprintf("%llu.img", (unsigned long long)SCRATCH_DEFAULT);

	(void)g;
	return str_eq(name, usual);
}

int containers_open(struct engine *g, struct err *e)
{
	struct container *next;
	sqlite3_stmt *q;
	int r;

	if (mkdir_p(g->data_fd, "containers", 0700) < 0 || mkdir_p(g->data_fd, SCRATCH_DIR, 0700) < 0 ||
	    mkdir_p(g->runtime_fd, "vm", 0700) < 0)
		return err_errno(e, "make the containers' directories below '%s'", g->data_dir);
	g->containers = xcalloc(1, sizeof(*g->containers));
	q = state_query(g, e, "SELECT id, name, created_ns, state, config, runtime FROM containers ORDER BY created_ns",
			"");
	if (!q)
		return -EIO;
	while ((r = sqlite3_step(q)) == SQLITE_ROW)
		read_row(g, q);
	sqlite3_finalize(q);
	if (r != SQLITE_DONE)
		return err_set(e, ERR_INTERNAL, EIO, "read containers from state.db: %s", sqlite3_errmsg(g->db));
	sweep(g, "containers", directory_wanted);
	sweep(g, SCRATCH_DIR, scratch_wanted);
	for (struct container *c = g->containers->list; c; c = next) {
		next = c->next;
		reopen(c);
	}
	return 0;
}

/* The virtual machines go on; their monitors see the channel close. */
void containers_close(struct engine *g)
{
	struct container *next;

	if (!g->containers)
		return;
	g->containers->closing = true;
	for (struct container *c = g->containers->list; c; c = c->next) {
		mon_free(c->mon);
		c->mon = NULL;
	}
	for (struct container *c = g->containers->list; c; c = next) {
		next = c->next;
		container_free(c);
	}
	free(g->containers);
	g->containers = NULL;
}

/* ---- what the other parts ask ---- */

json_t *containers_on_network(struct engine *g, const char *network_id)
{
	json_t *out = json_object(), *ep;
	size_t i;

	for (struct container *c = g->containers->list; c; c = c->next) {
		if (!container_running(c))
			continue;
		json_array_foreach(json_object_get(c->runtime, "endpoints"), i, ep) {
			if (!str_eq(member_text(ep, "network"), network_id))
				continue;
			json_object_set_new(out, c->id,
					    json_pack("{s:s, s:s, s:s, s:o, s:s}", "Name", c->name, "EndpointID",
						      member_text(ep, "endpoint_id"), "MacAddress",
						      member_text(ep, "mac"), "IPv4Address",
						      json_sprintf("%s/%d", member_text(ep, "addr"),
								   (int)member_int(ep, "prefix")),
						      "IPv6Address", ""));
		}
	}
	return out;
}

bool containers_use_network(struct engine *g, const char *network_id, char **ret_name)
{
	const char *k;
	json_t *v;

	for (struct container *c = g->containers->list; c; c = c->next) {
		json_object_foreach(json_object_get(c->config, "Networks"), k, v) {
			if (str_eq(member_text(v, "NetworkID"), network_id)) {
				*ret_name = xstrdup(c->name);
				return true;
			}
		}
	}
	return false;
}

bool containers_use_image(struct engine *g, const char *image_id, char **ret_container_id, bool *ret_running)
{
	struct container *found = NULL;

	for (struct container *c = g->containers->list; c; c = c->next)
		if (str_eq(member_text(c->config, "ImageID"), image_id) && (!found || container_running(c)))
			found = c;
	if (!found)
		return false;
	*ret_container_id = xstrdup(found->id);
	*ret_running = container_running(found);
	return true;
}

void containers_count(struct engine *g, int *ret_running, int *ret_paused, int *ret_stopped)
{
	*ret_running = *ret_paused = *ret_stopped = 0;
	for (struct container *c = g->containers->list; c; c = c->next)
		++*(c->state == STATE_RUNNING ? ret_running : c->state == STATE_PAUSED ? ret_paused : ret_stopped);
}

/* Networks can change while nothing of the container is on them. */
static struct container *changeable(struct engine *g, const char *ref, struct err *e)
{
	struct container *c = container_find(g, ref, e);

	if (!c || (!container_running(c) && !c->start))
		return c;
	err_set(e, ERR_UNSUPPORTED, EBUSY, "container %.12s is running: stop it before its networks are changed",
		c->id);
	return NULL;
}

int container_connect(struct engine *g, const char *ref, const char *network_id, const char *network_name,
		      json_t *endpoint_config, struct err *e)
{
	struct container *c = changeable(g, ref, e);
	json_t *networks, *ep;

	if (!c)
		return -e->code;
	networks = json_object_get(c->config, "Networks");
	if (json_object_get(networks, network_name))
		return err_set(e, ERR_DENIED, EEXIST, "endpoint with name %s already exists in network %s", c->name,
			       network_name);
	if (str_eq(member_text(container_host_config(c), "NetworkMode"), "none"))
		return err_set(e, ERR_DENIED, EPERM,
			       "container cannot be connected to multiple networks with one of the networks in private "
			       "(none) mode");
	if (json_object_size(networks) >= GUEST_NICS_MAX)
		return err_set(e, ERR_INVALID, E2BIG, "a container can join at most %d networks", GUEST_NICS_MAX);
	ep = spec_endpoint(network_name, endpoint_config, e);
	if (!ep)
		return -e->code;
	json_object_set_new(ep, "NetworkID", json_string(network_id));
	json_object_set_new(networks, network_name, ep);
	return container_save(c, e);
}

int container_disconnect(struct engine *g, const char *ref, const char *network_id, bool force, struct err *e)
{
	struct container *c = changeable(g, ref, e);
	json_t *networks, *v;
	const char *k;

	if (!c)
		return -e->code;
	networks = json_object_get(c->config, "Networks");
	json_object_foreach(networks, k, v) {
		if (!str_eq(member_text(v, "NetworkID"), network_id))
			continue;
		json_object_del(networks, k);
		return container_save(c, e);
	}
	if (force)
		return 0;
	return err_set(e, ERR_DENIED, ENOENT, "container %s is not connected to network %s", c->id, network_id);
}
