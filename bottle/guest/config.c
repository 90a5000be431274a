/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decodes HOST_CONFIG and HOST_START; in bottle-init. The bytes are the
 * host's, and yet nothing is taken on trust: a table says for each tag what
 * its field is, where it goes and how much of it may come.
 */
#include "guest/config.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/mem.h"
#include "base/tlv.h"

enum kind { KIND_U32, KIND_U64, KIND_FLAG, KIND_STR, KIND_STRV, KIND_ADDR, KIND_MAC, KIND_BYTES, KIND_CUSTOM };

struct target {
	void *base; /* the struct that offsets count from; NULL: outside the group */
	struct guest_config *config;
	struct config_nic *nic;
	struct config_file *file;
};

struct field {
	uint16_t tag;
	enum kind kind;
	size_t offset;
	size_t max; /* bytes of a string, entries of a vector */
	int (*custom)(struct target *t, const struct tlv_field *f);
};

static int take_str(const struct tlv_field *f, char **ret)
{
	free(*ret);
	*ret = tlv_get_str(f, CONFIG_STRING_MAX);
	return *ret ? 0 : -EBADMSG;
}

static int take_strv(const struct field *d, const struct tlv_field *f, char ***ret)
{
	_cleanup_free_ char *s = tlv_get_str(f, GUEST_BODY_MAX);

	if (!s || strv_len(*ret) >= d->max)
		return -EBADMSG;
	strv_push(ret, s);
	return 0;
}

static int take_raw(const struct tlv_field *f, void *ret, size_t n)
{
	if (f->len != n)
		return -EBADMSG;
	memcpy(ret, f->data, n);
	return 0;
}

static int take_bytes(const struct field *d, const struct tlv_field *f, struct config_bytes *ret)
{
	if (f->len > d->max)
		return -EBADMSG;
	free(ret->data);
	ret->data = xmalloc(f->len + 1);
	memcpy(ret->data, f->data, f->len);
	ret->len = f->len;
	return 0;
}

static int take_flag(const struct tlv_field *f, bool *ret)
{
	uint32_t v;

	if (!tlv_get_u32(f, &v) || v > 1)
		return -EBADMSG;
	*ret = v;
	return 0;
}

static int take(const struct field *d, struct target *t, const struct tlv_field *f)
{
	char *at = t->base ? (char *)t->base + d->offset : NULL;

	if (d->kind == KIND_CUSTOM)
		return d->custom(t, f);
	if (!at)
		return -EBADMSG;
	switch (d->kind) {
	case KIND_U32:
		return tlv_get_u32(f, (uint32_t *)(void *)at) ? 0 : -EBADMSG;
	case KIND_U64:
		return tlv_get_u64(f, (uint64_t *)(void *)at) ? 0 : -EBADMSG;
	case KIND_FLAG:
		return take_flag(f, (bool *)at);
	case KIND_STR:
		return take_str(f, (char **)(void *)at);
	case KIND_STRV:
		return take_strv(d, f, (char ***)(void *)at);
	case KIND_ADDR:
		return take_raw(f, at, 4);
	case KIND_MAC:
		return take_raw(f, at, 6);
	case KIND_BYTES:
		return take_bytes(d, f, (struct config_bytes *)(void *)at);
	default:
		return -EBADMSG;
	}
}

static int add_layer(struct target *t, const struct tlv_field *f)
{
	struct guest_config *c = t->config;

	if (c->n_layers == GUEST_LAYERS_MAX || !tlv_get_u32(f, &c->layers[c->n_layers]))
		return -EBADMSG;
	c->n_layers++;
	return 0;
}

static int add_dns(struct target *t, const struct tlv_field *f)
{
	struct guest_config *c = t->config;

	if (c->n_dns == ARRAY_SIZE(c->dns) || take_raw(f, &c->dns[c->n_dns], 4) < 0)
		return -EBADMSG;
	c->n_dns++;
	return 0;
}

static int begin_nic(struct target *t, const struct tlv_field *f)
{
	struct guest_config *c = t->config;

	if (c->n_nics == GUEST_NICS_MAX || !tlv_get_u32(f, &c->nics[c->n_nics].index) || c->nics[c->n_nics].index > 255)
		return -EBADMSG;
	t->nic = &c->nics[c->n_nics++];
	return 0;
}

static int begin_neigh(struct target *t, const struct tlv_field *f)
{
	struct config_nic *nic = t->nic;

	if (!nic || nic->n_neigh == CONFIG_NEIGH_MAX || take_raw(f, &nic->neigh[nic->n_neigh].addr, 4) < 0)
		return -EBADMSG;
	nic->n_neigh++;
	return 0;
}

static int end_neigh(struct target *t, const struct tlv_field *f)
{
	struct config_neigh *neigh = t->nic && t->nic->n_neigh ? &t->nic->neigh[t->nic->n_neigh - 1] : NULL;

	if (!neigh || neigh->has_mac || take_raw(f, neigh->mac, 6) < 0)
		return -EBADMSG;
	neigh->has_mac = true;
	return 0;
}

static int begin_file(struct target *t, const struct tlv_field *f)
{
	struct guest_config *c = t->config;

	if (c->n_files == GUEST_FILES_MAX)
		return -EBADMSG;
	t->file = &c->files[c->n_files++];
	t->file->mode = 0644;
	return take_str(f, &t->file->path) < 0 || t->file->path[0] != '/' ? -EBADMSG : 0;
}

#define AT(member) offsetof(struct guest_config, member)
static const struct field config_fields[] = {
	{ GUEST_TAG_ENTROPY, KIND_BYTES, AT(entropy), CONFIG_ENTROPY_MAX, NULL },
	{ GUEST_TAG_CLOCK_NS, KIND_U64, AT(clock_ns), 0, NULL },
	{ GUEST_TAG_HOSTNAME, KIND_STR, AT(hostname), 0, NULL },
	{ GUEST_TAG_DOMAINNAME, KIND_STR, AT(domainname), 0, NULL },
	{ GUEST_TAG_ROOT_RO, KIND_FLAG, AT(root_ro), 0, NULL },
	{ GUEST_TAG_LAYER, KIND_CUSTOM, 0, 0, add_layer },
	{ GUEST_TAG_SCRATCH, KIND_U32, AT(scratch), 0, NULL },
	{ GUEST_TAG_NIC, KIND_CUSTOM, 0, 0, begin_nic },
	{ GUEST_TAG_NEIGH_ADDR, KIND_CUSTOM, 0, 0, begin_neigh },
	{ GUEST_TAG_NEIGH_MAC, KIND_CUSTOM, 0, 0, end_neigh },
	{ GUEST_TAG_DNS, KIND_CUSTOM, 0, 0, add_dns },
	{ GUEST_TAG_DNS_SEARCH, KIND_STRV, AT(dns_search), CONFIG_STRINGS_MAX, NULL },
	{ GUEST_TAG_DNS_OPTION, KIND_STRV, AT(dns_option), CONFIG_STRINGS_MAX, NULL },
	{ GUEST_TAG_HOST, KIND_STRV, AT(hosts), CONFIG_STRINGS_MAX, NULL },
	{ GUEST_TAG_TMPFS, KIND_STRV, AT(tmpfs), CONFIG_STRINGS_MAX, NULL },
	{ GUEST_TAG_SHM_SIZE, KIND_U64, AT(shm_size), 0, NULL },
	{ GUEST_TAG_SYSCTL, KIND_STRV, AT(sysctls), CONFIG_STRINGS_MAX, NULL },
	{ GUEST_TAG_MODULE, KIND_STRV, AT(modules), CONFIG_STRINGS_MAX, NULL },
	{ GUEST_TAG_FILE_PATH, KIND_CUSTOM, 0, 0, begin_file },
};
#undef AT

#define AT(member) offsetof(struct config_nic, member)
static const struct field nic_fields[] = {
	{ GUEST_TAG_NIC_NAME, KIND_STR, AT(name), 0, NULL },
	{ GUEST_TAG_NIC_MAC, KIND_MAC, AT(mac), 0, NULL },
	{ GUEST_TAG_NIC_ADDR, KIND_ADDR, AT(addr), 0, NULL },
	{ GUEST_TAG_NIC_PREFIX, KIND_U32, AT(prefix), 0, NULL },
	{ GUEST_TAG_NIC_GATEWAY, KIND_ADDR, AT(gateway), 0, NULL },
	{ GUEST_TAG_NIC_MTU, KIND_U32, AT(mtu), 0, NULL },
};
#undef AT

#define AT(member) offsetof(struct config_file, member)
static const struct field file_fields[] = {
	{ GUEST_TAG_FILE_MODE, KIND_U32, AT(mode), 0, NULL },
	{ GUEST_TAG_FILE_DATA, KIND_BYTES, AT(data), GUEST_FILE_MAX, NULL },
};
#undef AT

#define AT(member) offsetof(struct guest_start, member)
static const struct field start_fields[] = {
	{ GUEST_TAG_ARG, KIND_STRV, AT(argv), GUEST_ARGS_MAX, NULL },
	{ GUEST_TAG_ENV, KIND_STRV, AT(env), GUEST_ARGS_MAX, NULL },
	{ GUEST_TAG_CWD, KIND_STR, AT(cwd), 0, NULL },
	{ GUEST_TAG_USER, KIND_STR, AT(user), 0, NULL },
	{ GUEST_TAG_GROUP_ADD, KIND_STRV, AT(group_add), CONFIG_STRINGS_MAX, NULL },
	{ GUEST_TAG_TTY, KIND_FLAG, AT(tty), 0, NULL },
	{ GUEST_TAG_ROWS, KIND_U32, AT(rows), 0, NULL },
	{ GUEST_TAG_COLS, KIND_U32, AT(cols), 0, NULL },
	{ GUEST_TAG_STDIN, KIND_FLAG, AT(input), 0, NULL },
	{ GUEST_TAG_CAPS, KIND_U64, AT(caps), 0, NULL },
	{ GUEST_TAG_NO_NEW_PRIVS, KIND_FLAG, AT(no_new_privs), 0, NULL },
	{ GUEST_TAG_RLIMIT, KIND_STRV, AT(rlimits), CONFIG_STRINGS_MAX, NULL },
	{ GUEST_TAG_PIDS_MAX, KIND_U64, AT(pids_max), 0, NULL },
	{ GUEST_TAG_MAIN, KIND_FLAG, AT(main), 0, NULL },
	{ GUEST_TAG_INIT, KIND_FLAG, AT(init), 0, NULL },
	{ GUEST_TAG_OOM_ADJ, KIND_U32, AT(oom_adj), 0, NULL },
};
#undef AT

static const struct {
	const struct field *fields;
	size_t n;
} tables[] = {
	{ config_fields, ARRAY_SIZE(config_fields) },
	{ nic_fields, ARRAY_SIZE(nic_fields) },
	{ file_fields, ARRAY_SIZE(file_fields) },
	{ start_fields, ARRAY_SIZE(start_fields) },
};

static const struct field *find(size_t table, uint16_t tag)
{
	for (size_t i = 0; i < tables[table].n; i++)
		if (tables[table].fields[i].tag == tag)
			return &tables[table].fields[i];
	return NULL;
}

static int config_field(struct target *t, const struct tlv_field *f)
{
	const struct field *d;

	if ((d = find(0, f->tag)))
		t->base = t->config;
	else if ((d = find(1, f->tag)))
		t->base = t->nic;
	else if ((d = find(2, f->tag)))
		t->base = t->file;
	return d ? take(d, t, f) : -EBADMSG;
}

static int config_check(const struct guest_config *c, struct err *e)
{
	if (c->entropy.data && c->entropy.len < CONFIG_ENTROPY_MIN)
		return err_set(e, ERR_INVALID, EBADMSG, "the entropy has only %zu bytes", c->entropy.len);
	for (size_t i = 0; i < c->n_nics; i++) {
		const struct config_nic *nic = &c->nics[i];

		if (nic->prefix > 32 || (nic->name && (!nic->name[0] || strlen(nic->name) > 15)))
			return err_set(e, ERR_INVALID, EBADMSG, "network interface %u has no valid name or prefix",
				       nic->index);
		for (size_t j = 0; j < nic->n_neigh; j++)
			if (!nic->neigh[j].has_mac)
				return err_set(e, ERR_INVALID, EBADMSG,
					       "a neighbour of interface %u has no MAC address", nic->index);
	}
	return 0;
}

int config_decode(const void *body, size_t n, struct guest_config *ret, struct err *e)
{
	struct target t = { .config = ret };
	struct tlv_field f;
	struct tlv_iter it;
	int r;

	*ret = (struct guest_config){ .scratch = CONFIG_NONE };
	tlv_iter_init(&it, body, n);
	while ((r = tlv_next(&it, &f)) > 0)
		if (config_field(&t, &f) < 0)
			return err_set(e, ERR_INVALID, EBADMSG, "HOST_CONFIG: field %u is not valid here", f.tag);
	if (r < 0)
		return err_set(e, ERR_INVALID, EBADMSG, "HOST_CONFIG is cut short");
	return config_check(ret, e);
}

void config_done(struct guest_config *c)
{
	free(c->entropy.data);
	free(c->hostname);
	free(c->domainname);
	for (size_t i = 0; i < c->n_nics; i++)
		free(c->nics[i].name);
	strv_free(c->dns_search);
	strv_free(c->dns_option);
	strv_free(c->hosts);
	strv_free(c->tmpfs);
	strv_free(c->sysctls);
	strv_free(c->modules);
	for (size_t i = 0; i < c->n_files; i++) {
		free(c->files[i].path);
		free(c->files[i].data.data);
	}
	*c = (struct guest_config){ .scratch = CONFIG_NONE };
}

int start_decode(const void *body, size_t n, struct guest_start *ret, struct err *e)
{
	struct target t = { .base = ret };
	struct tlv_field f;
	struct tlv_iter it;
	int r;

	*ret = (struct guest_start){ .rows = 0 };
	tlv_iter_init(&it, body, n);
	while ((r = tlv_next(&it, &f)) > 0) {
		const struct field *d = find(3, f.tag);

		if (!d || take(d, &t, &f) < 0)
			return err_set(e, ERR_INVALID, EBADMSG, "HOST_START: field %u is not valid here", f.tag);
		if (f.tag == GUEST_TAG_OOM_ADJ)
			ret->has_oom_adj = true;
	}
	if (r < 0)
		return err_set(e, ERR_INVALID, EBADMSG, "HOST_START is cut short");
	if (!ret->argv || ret->rows > 65535 || ret->cols > 65535 || (ret->has_oom_adj && ret->oom_adj > 2000))
		return err_set(e, ERR_INVALID, EBADMSG, "HOST_START has no command, or a number that is out of range");
	return 0;
}

void start_done(struct guest_start *s)
{
	strv_free(s->argv);
	strv_free(s->env);
	strv_free(s->group_add);
	strv_free(s->rlimits);
	free(s->cwd);
	free(s->user);
	*s = (struct guest_start){ .rows = 0 };
}

bool config_one_u32(const void *body, size_t n, uint16_t tag, uint32_t *ret)
{
	struct tlv_field f;
	struct tlv_iter it;

	tlv_iter_init(&it, body, n);
	return tlv_next(&it, &f) > 0 && f.tag == tag && tlv_get_u32(&f, ret) && tlv_next(&it, &f) == 0;
}
