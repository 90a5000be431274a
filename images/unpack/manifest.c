/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Manifests and configurations; in image-unpack. Every value is a stranger's:
 * looked at by type, and every digest compared with what the bytes gave.
 */
#include "images/unpack/manifest.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define DIGEST_PREFIX "sha256:"
#define ENGINE_OS     "linux"
#define ENGINE_ARCH   "amd64"

static int bad(struct err *e, const char *what)
{
	return err_set(e, ERR_INVALID, EINVAL, "%s", what);
}

/* jansson recurses: the depth is counted before it starts. */
static bool too_deep(const char *text, size_t n)
{
	bool in_string = false;
	int depth = 0;

	for (size_t i = 0; i < n; i++) {
		if (in_string && text[i] == '\\')
			i++;
		else if (text[i] == '"')
			in_string = !in_string;
		else if (!in_string && (text[i] == '{' || text[i] == '['))
			depth++;
		else if (!in_string && (text[i] == '}' || text[i] == ']'))
			depth--;
		if (depth > UNPACK_JSON_DEPTH)
			return true;
	}
	return false;
}

json_t *json_read(const char *text, size_t n, struct err *e)
{
	json_error_t at;
	json_t *j;

	if (too_deep(text, n)) {
		err_set(e, ERR_LIMIT, E2BIG, "JSON deeper than %d levels", UNPACK_JSON_DEPTH);
		return NULL;
	}
	j = json_loadb(text, n, JSON_REJECT_DUPLICATES, &at);
	if (!j)
		err_set(e, ERR_INVALID, EBADMSG, "not JSON: line %d, column %d", at.line, at.column);
	return j;
}

json_t *member_json(struct members *m, struct member *f, struct err *e)
{
	_cleanup_free_ char *text = NULL;
	char name[QUOTE_MAX];
	json_t *j = NULL;
	size_t n;

	if (member_text(m, f, &text, &n, e) == 0)
		j = json_read(text, n, e);
	if (!j)
		err_wrap(e, "'%s'", quote(name, sizeof(name), f->name));
	return j;
}

/* These three give NULL with e. */
static struct member *find(struct members *m, const char *name, struct err *e)
{
	struct member *f = members_find(m, name);
	char text[QUOTE_MAX];

	if (!f)
		err_set(e, ERR_INVALID, ENOENT, "the archive has no '%s', which its manifest names",
			quote(text, sizeof(text), name));
	return f;
}

/* A name that is a digest binds the content: "blobs/sha256/HEX", "HEX.json". */
static int check_name(const struct member *f, const char *name, struct err *e)
{
	const char *base = strrchr(name, '/');
	size_t len;

	base = base ? base + 1 : name;
	len = strlen(base);
	if (!(str_prefix(name, "blobs/sha256/") && len == SHA256_HEX) &&
	    !(len == SHA256_HEX + 5 && str_suffix(base, ".json")))
		return 0;
	if (strspn(base, "0123456789abcdef") >= SHA256_HEX && strncmp(base, f->hex, SHA256_HEX) != 0)
		return err_set(e, ERR_INVALID, EBADMSG, "blob '%.64s': its content has the digest sha256:%s", base,
			       f->hex);
	return 0;
}

static struct member *find_checked(struct members *m, const json_t *name, struct err *e)
{
	const char *text = json_string_value(name);
	struct member *f;

	if (!text) {
		bad(e, "manifest.json: a name is missing");
		return NULL;
	}
	f = find(m, text, e);
	return f && check_name(f, text, e) == 0 ? f : NULL;
}

static int set_member(struct member **ret, struct member *f)
{
	*ret = f;
	return f ? 0 : -EINVAL;
}

static int too_many_layers(size_t n, struct err *e)
{
	return err_set(e, ERR_LIMIT, E2BIG,
		       "the image has %zu layers; this engine takes at most %d: build it with fewer, or squash it", n,
		       UNPACK_LAYERS_MAX);
}

static int take_refs(struct planned *p, const json_t *tags, struct err *e)
{
	json_t *tag;
	size_t i;

	if (json_array_size(tags) > UNPACK_REFS_MAX)
		return err_set(e, ERR_LIMIT, E2BIG, "manifest.json: more than %d tags", UNPACK_REFS_MAX);
	json_array_foreach(tags, i, tag) {
		if (!json_is_string(tag) || json_string_length(tag) > UNPACK_REF_MAX)
			return bad(e, "manifest.json: a tag is no string, or too long");
		strv_push(&p->refs, json_string_value(tag));
	}
	return 0;
}

static int next_image(struct plan *p, struct planned **ret, struct err *e)
{
	if (p->n == UNPACK_IMAGES_MAX)
		return err_set(e, ERR_LIMIT, E2BIG, "the archive holds more than %d images", UNPACK_IMAGES_MAX);
	*ret = &p->images[p->n++];
	return 0;
}

static int take_docker_image(struct plan *p, struct members *m, const json_t *item, struct err *e)
{
	const json_t *layers = json_object_get(item, "Layers");
	struct planned *image;
	json_t *name;
	size_t i;
	int r = next_image(p, &image, e);

	if (r == 0 && json_array_size(layers) > UNPACK_LAYERS_MAX)
		r = too_many_layers(json_array_size(layers), e);
	if (r == 0)
		r = set_member(&image->config, find_checked(m, json_object_get(item, "Config"), e));
	if (r == 0)
		r = take_refs(image, json_object_get(item, "RepoTags"), e);
	json_array_foreach(layers, i, name)
		if (r == 0) {
			r = set_member(&image->layers[i], find_checked(m, name, e));
			image->n_layers++;
		}
	return r;
}

static int read_docker(struct plan *p, struct members *m, struct member *f, struct err *e)
{
	json_t *list = member_json(m, f, e), *item;
	size_t i;
	int r = 0;

	if (!list)
		return -EINVAL;
	if (json_array_size(list) == 0)
		r = bad(e, "manifest.json: not a list of images");
	json_array_foreach(list, i, item)
		if (r == 0)
			r = take_docker_image(p, m, item, e);
	json_decref(list);
	return r;
}

/* The member that an OCI descriptor speaks of, its digest and size checked. */
static struct member *find_descriptor(struct members *m, const json_t *d, struct err *e)
{
	const char *digest = json_string_value(json_object_get(d, "digest"));
	const json_t *size = json_object_get(d, "size");
	_cleanup_free_ char *name = NULL;
	struct member *f;

	if (!digest || !str_prefix(digest, DIGEST_PREFIX) || strlen(digest) != 7 + SHA256_HEX ||
	    !str_is_hex(digest + 7, SHA256_HEX)) {
		bad(e, "a descriptor has no sha256 digest");
		return NULL;
	}
	name = xasprintf("blobs/sha256/%s", digest + 7);
	f = find(m, name, e);
	if (!f)
		return NULL;
	if (strcmp(f->hex, digest + 7) != 0)
		err_set(e, ERR_INVALID, EBADMSG, "blob '%s': its content has the digest sha256:%s", digest, f->hex);
	else if (!json_is_integer(size) || json_integer_value(size) < 0 ||
		 (uint64_t)json_integer_value(size) != f->size)
		err_set(e, ERR_INVALID, EBADMSG, "blob '%s': it has %llu bytes, not what its descriptor says", digest,
			(unsigned long long)f->size);
	else
		return f;
	return NULL;
}

static int take_oci_image(struct plan *p, struct members *m, const json_t *manifest, const char *ref, struct err *e)
{
	const json_t *layers = json_object_get(manifest, "layers");
	struct planned *image;
	json_t *d;
	size_t i;
	int r = next_image(p, &image, e);

	if (r == 0 && json_array_size(layers) > UNPACK_LAYERS_MAX)
		r = too_many_layers(json_array_size(layers), e);
	if (r == 0)
		r = set_member(&image->config, find_descriptor(m, json_object_get(manifest, "config"), e));
	json_array_foreach(layers, i, d)
		if (r == 0) {
			r = set_member(&image->layers[i], find_descriptor(m, d, e));
			image->n_layers++;
		}
	if (r == 0 && ref)
		strv_push(&image->refs, ref);
	return r;
}

/* Attestations and other platforms' images are no error: they are not for us. */
static bool is_for_us(const json_t *d)
{
	const json_t *platform = json_object_get(d, "platform");
	const char *os = json_string_value(json_object_get(platform, "os"));
	const char *arch = json_string_value(json_object_get(platform, "architecture"));

	return (!os || str_eq(os, ENGINE_OS)) && (!arch || str_eq(arch, ENGINE_ARCH));
}

/* A bare tag, which ref.name may be too, names no image. */
static const char *descriptor_ref(const json_t *d)
{
	const json_t *a = json_object_get(d, "annotations");
	const char *full = json_string_value(json_object_get(a, "io.containerd.image.name"));
	const char *name = json_string_value(json_object_get(a, "org.opencontainers.image.ref.name"));

	if (full)
		return strlen(full) <= UNPACK_REF_MAX ? full : NULL;
	return name && strpbrk(name, ":/") && strlen(name) <= UNPACK_REF_MAX ? name : NULL;
}

static int read_index(struct plan *p, struct members *m, const json_t *index, const char *ref, int depth,
		      struct err *e);

static int read_descriptor(struct plan *p, struct members *m, const json_t *d, const char *ref, int depth,
			   struct err *e)
{
	const char *own = descriptor_ref(d);
	struct member *f = find_descriptor(m, d, e);
	json_t *j;
	int r;

	if (!f)
		return -EINVAL;
	j = member_json(m, f, e);
	if (!j)
		return -EINVAL;
	ref = own ? own : ref;
	if (json_is_array(json_object_get(j, "manifests")))
		r = depth < UNPACK_INDEX_DEPTH ? read_index(p, m, j, ref, depth + 1, e)
					       : bad(e, "its indexes are nested too deep");
	else
		r = take_oci_image(p, m, j, ref, e);
	json_decref(j);
	return r;
}

/* depth is bounded by UNPACK_INDEX_DEPTH. */
static int read_index(struct plan *p, struct members *m, const json_t *index, const char *ref, int depth, struct err *e)
{
	const json_t *list = json_object_get(index, "manifests");
	json_t *d;
	size_t i;
	int r = 0;

	if (json_array_size(list) > UNPACK_MEMBERS_MAX)
		return bad(e, "its index is too long");
	json_array_foreach(list, i, d)
		if (r == 0 && is_for_us(d))
			r = read_descriptor(p, m, d, ref, depth, e);
	return r;
}

static int read_oci(struct plan *p, struct members *m, struct member *f, struct err *e)
{
	json_t *index = member_json(m, f, e);
	int r;

	if (!index)
		return -EINVAL;
	r = read_index(p, m, index, NULL, 0, e);
	json_decref(index);
	if (r == 0 && !p->n)
		r = bad(e, "index.json: it has no image for " ENGINE_OS "/" ENGINE_ARCH);
	return r;
}

int plan_read(struct plan *p, struct members *m, struct err *e)
{
	struct member *f = members_find(m, "manifest.json");

	if (f)
		return read_docker(p, m, f, e);
	f = members_find(m, "index.json");
	if (f)
		return read_oci(p, m, f, e);
	return bad(e, "the archive is no image: it has neither manifest.json nor index.json (for a root file system, "
		      "use docker import)");
}

void plan_done(struct plan *p)
{
	for (size_t i = 0; i < p->n; i++)
		strv_free(p->images[i].refs);
	p->n = 0;
}

static int check_platform(const json_t *config, struct err *e)
{
	const char *os = json_string_value(json_object_get(config, "os"));
	const char *arch = json_string_value(json_object_get(config, "architecture"));
	char a[32], b[32];

	if ((os && !str_eq(os, ENGINE_OS)) || (arch && !str_eq(arch, ENGINE_ARCH)))
		return err_set(e, ERR_INVALID, EINVAL,
			       "the image is for %s/%s; this engine runs " ENGINE_OS "/" ENGINE_ARCH,
			       quote(a, sizeof(a), os ? os : "?"), quote(b, sizeof(b), arch ? arch : "?"));
	return 0;
}

int config_check(const json_t *config, size_t n_layers, const char *ret[UNPACK_LAYERS_MAX], struct err *e)
{
	const json_t *rootfs = json_object_get(config, "rootfs"), *ids = json_object_get(rootfs, "diff_ids");
	json_t *id;
	size_t i;

	if (!json_is_object(rootfs) || !json_is_array(ids))
		return bad(e, "the configuration has no rootfs with diff_ids");
	if (json_array_size(ids) != n_layers)
		return err_set(e, ERR_INVALID, EINVAL, "the configuration lists %zu layers, the manifest %zu",
			       json_array_size(ids), n_layers);
	if (!n_layers)
		return bad(e, "the image has no layer");
	json_array_foreach(ids, i, id) {
		ret[i] = json_string_value(id);
		if (!ret[i] || !str_prefix(ret[i], DIGEST_PREFIX) || strlen(ret[i]) != 7 + SHA256_HEX ||
		    !str_is_hex(ret[i] + 7, SHA256_HEX))
			return bad(e, "the configuration has a diff id that is no sha256 digest");
	}
	return check_platform(config, e);
}
