/* SPDX-License-Identifier: Apache-2.0 */
/* Docker's meaning of --user and --group-add, against the text of a root's passwd and group files. Pure. */
#ifndef GUEST_USERS_H
#define GUEST_USERS_H

#include <sys/types.h>

#include "base/err.h"

#define USERS_GROUPS_MAX 256
#define USERS_FILE_MAX   (1024 * 1024)

struct user {
	uid_t uid;
	gid_t gid;
	gid_t groups[USERS_GROUPS_MAX]; /* supplementary */
	size_t n_groups;
	char home[256]; /* "/" when passwd has none */
};

/*
 * spec: "", "name", "uid", each with ":group" or ":gid"; group_add may be NULL.
 * passwd and group may be NULL: no such file. 0 or -errno with docker's sentence.
 */
int user_resolve(const char *spec, char *const *group_add, const char *passwd, const char *group, struct user *ret,
		 struct err *e);

#endif
