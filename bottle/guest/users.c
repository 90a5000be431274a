/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds a user's ids in passwd and group text; in the child that becomes the
 * container's process. The text is the container's own and may be anything:
 * lines that have no sound numbers are passed over.
 */
#include "guest/users.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define FIELDS_MAX 7

/* Cuts the next line of *text into at most FIELDS_MAX fields; their number, 0 at the end. line must be freed. */
static size_t next_line(const char **text, char **line, char *fields[FIELDS_MAX])
{
	size_t len, n = 0;
	char *at;

	free(*line);
	*line = NULL;
	if (!*text || !**text)
		return 0;
	len = strcspn(*text, "\n");
	at = *line = xstrndup(*text, len);
	*text += len + ((*text)[len] == '\n');
	while (n < FIELDS_MAX - 1 && (fields[n] = strsep(&at, ":")))
		n++;
	if (at)
		fields[n++] = at;
	return n;
}

static bool id_parse(const char *s, uint32_t *ret)
{
	uint64_t v;

	if (str_u64(s, INT32_MAX, &v) < 0)
		return false;
	*ret = (uint32_t)v;
	return true;
}

/* The user named so, or else the one whose number it is. name is set to the entry's own. */
static bool find_user(const char *who, const char *passwd, struct user *u, char **name)
{
	_cleanup_free_ char *line = NULL;
	uint32_t id, uid, gid;
	bool number = id_parse(who, &id);
	char *f[FIELDS_MAX];
	size_t n;

	while (passwd && (n = next_line(&passwd, &line, f))) {
		if (n < 6 || !id_parse(f[2], &uid) || !id_parse(f[3], &gid) ||
		    !(str_eq(f[0], who) || (number && uid == id)))
			continue;
		u->uid = uid;
		u->gid = gid;
		snprintf(u->home, sizeof(u->home), "%s", f[5][0] ? f[5] : "/");
		*name = xstrdup(f[0]);
		return true;
	}
	if (number)
		u->uid = id;
	return number;
}

static bool find_group(const char *who, const char *group, gid_t *ret)
{
	_cleanup_free_ char *line = NULL;
	uint32_t id, gid;
	bool number = id_parse(who, &id);
	char *f[FIELDS_MAX];
	size_t n;

	while (group && (n = next_line(&group, &line, f))) {
		if (n >= 3 && id_parse(f[2], &gid) && (str_eq(f[0], who) || (number && gid == id))) {
			*ret = gid;
			return true;
		}
	}
	if (number)
		*ret = id;
	return number;
}

static void add_group(struct user *u, gid_t gid)
{
	for (size_t i = 0; i < u->n_groups; i++)
		if (u->groups[i] == gid)
			return;
	if (u->n_groups < USERS_GROUPS_MAX)
		u->groups[u->n_groups++] = gid;
}

static void add_memberships(struct user *u, const char *name, const char *group)
{
	_cleanup_free_ char *line = NULL;
	char *f[FIELDS_MAX], *member;
	uint32_t gid;
	size_t n;

	while (group && (n = next_line(&group, &line, f))) {
		if (n < 4 || !id_parse(f[2], &gid))
			continue;
		while ((member = strsep(&f[3], ",")))
			if (str_eq(member, name))
				add_group(u, gid);
	}
}

int user_resolve(const char *spec, char *const *group_add, const char *passwd, const char *group, struct user *ret,
		 struct err *e)
{
	_cleanup_free_ char *who = xstrdup(spec && spec[0] ? spec : "0"), *name = NULL;
	char *colon = strchr(who, ':'), *group_spec = NULL;
	gid_t gid;

	*ret = (struct user){ .home = "/" };
	if (colon) {
		*colon = '\0';
		group_spec = colon[1] ? colon + 1 : NULL;
	}
	if (!find_user(who[0] ? who : "0", passwd, ret, &name))
		return err_set(e, ERR_NOTFOUND, ENOENT, "unable to find user %s: no matching entries in passwd file",
			       who);
	if (group_spec && !find_group(group_spec, group, &ret->gid))
		return err_set(e, ERR_NOTFOUND, ENOENT, "unable to find group %s: no matching entries in group file",
			       group_spec);
	add_group(ret, ret->gid); /* as dockerd: the primary group is always among them */
	if (!group_spec && name)
		add_memberships(ret, name, group);
	for (size_t i = 0; group_add && group_add[i]; i++) {
		if (!find_group(group_add[i], group, &gid))
			return err_set(e, ERR_NOTFOUND, ENOENT,
				       "unable to find group %s: no matching entries in group file", group_add[i]);
		add_group(ret, gid);
	}
	return 0;
}
