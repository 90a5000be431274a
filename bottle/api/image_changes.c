/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The instructions that an import or a commit may apply to a configuration; in
 * bottled. The text is a client's: its size is bounded by the request's.
 */
#include <ctype.h>
#include <errno.h>
#include <strings.h>

#include "api/image_jobs.h"
#include "api/json.h"
#include "base/mem.h"

#define WORDS_MAX 1024

static int malformed(struct err *e, const char *name, const char *text)
{
	return err_set(e, ERR_INVALID, EINVAL, "%s: cannot read '%.100s'", name, text);
}

/*
 * One word of a Dockerfile line, in place: blanks end it, quotes hold blanks,
 * a backslash takes the next character as it is. NULL when none is left.
 */
static char *next_word(char **at)
{
	char *in = *at + strspn(*at, " \t"), *start = in, *out = in, quoted = '\0';

	if (!*in)
		return NULL;
	for (; *in && (quoted || (*in != ' ' && *in != '\t')); in++) {
		if (quoted && *in == quoted)
			quoted = '\0';
		else if (!quoted && (*in == '"' || *in == '\''))
			quoted = *in;
		else if (*in == '\\' && in[1] && quoted != '\'')
			*out++ = *++in;
		else
			*out++ = *in;
	}
	*at = *in ? in + 1 : in;
	*out = '\0';
	return start;
}

/* ["a", "b"] as it stands; else a line for the shell. */
static int set_command(json_t *config, const char *key, const char *name, const char *text, struct err *e)
{
	json_t *list;

	if (*text != '[') {
		json_object_set_new(config, key, json_pack("[s, s, s]", "/bin/sh", "-c", text));
		return 0;
	}
	list = json_parse(text, strlen(text), NULL);
	for (size_t i = 0; i < json_array_size(list); i++)
		if (!json_is_string(json_array_get(list, i))) {
			json_decref(list);
			return malformed(e, name, text);
		}
	if (!json_is_array(list)) {
		json_decref(list);
		return malformed(e, name, text);
	}
	json_object_set_new(config, key, list);
	return 0;
}

static int set_cmd(json_t *config, const char *text, struct err *e)
{
	return set_command(config, "Cmd", "CMD", text, e);
}

static int set_entrypoint(json_t *config, const char *text, struct err *e)
{
	return set_command(config, "Entrypoint", "ENTRYPOINT", text, e);
}

static json_t *member(json_t *config, const char *key, json_t *fresh)
{
	json_t *have = json_object_get(config, key);

	if (json_typeof(fresh) == (have ? json_typeof(have) : JSON_NULL)) {
		json_decref(fresh);
		return have;
	}
	json_object_set_new(config, key, fresh);
	return fresh;
}

static void set_env_pair(json_t *env, const char *name, const char *value)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < json_array_size(env); i++) {
		const char *have = json_string_value(json_array_get(env, i));

		if (have && strncmp(have, name, len) == 0 && have[len] == '=') {
			json_array_set_new(env, i, json_sprintf("%s=%s", name, value));
			return;
		}
	}
	json_array_append_new(env, json_sprintf("%s=%s", name, value));
}

static void set_label_pair(json_t *labels, const char *name, const char *value)
{
	json_object_set_new(labels, name, json_string(value));
}

/* K=V K="V W" …, or the old form K V W. */
static int set_pairs(json_t *into, const char *name, const char *text,
		     void (*set)(json_t *, const char *, const char *), struct err *e)
{
	_cleanup_free_ char *copy = xstrdup(text);
	char *at = copy, *word;
	size_t first = strcspn(copy, " \t=");

	if (copy[first] != '=' && copy[first]) {
		copy[first] = '\0';
		set(into, copy, copy + first + 1 + strspn(copy + first + 1, " \t"));
		return 0;
	}
	for (int n = 0; (word = next_word(&at)); n++) {
		char *value = strchr(word, '=');

		if (!value || value == word || n == WORDS_MAX)
			return malformed(e, name, text);
		*value = '\0';
		set(into, word, value + 1);
	}
	return 0;
}

static int set_env(json_t *config, const char *text, struct err *e)
{
	return set_pairs(member(config, "Env", json_array()), "ENV", text, set_env_pair, e);
}

static int set_label(json_t *config, const char *text, struct err *e)
{
	return set_pairs(member(config, "Labels", json_object()), "LABEL", text, set_label_pair, e);
}

static int set_user(json_t *config, const char *text, struct err *e)
{
	(void)e;
	return json_object_set_new(config, "User", json_string(text));
}

static int set_workdir(json_t *config, const char *text, struct err *e)
{
	const char *old = json_str_or(config, "WorkingDir", "/");

	(void)e;
	if (*text == '/')
		return json_object_set_new(config, "WorkingDir", json_string(text));
	return json_object_set_new(config, "WorkingDir",
				   json_sprintf("%s%s%s", old, str_suffix(old, "/") ? "" : "/", text));
}

static int set_stopsignal(json_t *config, const char *text, struct err *e)
{
	(void)e;
	return json_object_set_new(config, "StopSignal", json_string(text));
}

static int set_expose(json_t *config, const char *text, struct err *e)
{
	json_t *ports = member(config, "ExposedPorts", json_object());
	_cleanup_free_ char *copy = xstrdup(text);
	char *at = copy, *word;

	while ((word = next_word(&at))) {
		_cleanup_free_ char *key = NULL;
		char *proto = strchr(word, '/');
		uint64_t port;

		if (proto)
			*proto++ = '\0';
		if (str_u64(word, 65535, &port) < 0 || !port ||
		    (proto && !str_eq(proto, "tcp") && !str_eq(proto, "udp") && !str_eq(proto, "sctp")))
			return malformed(e, "EXPOSE", text);
		key = xasprintf("%s/%s", word, proto ? proto : "tcp");
		json_object_set_new(ports, key, json_object());
	}
	return 0;
}

static int set_volume(json_t *config, const char *text, struct err *e)
{
	json_t *volumes = member(config, "Volumes", json_object()), *list = NULL, *item;
	_cleanup_free_ char *copy = xstrdup(text);
	char *at = copy, *word;
	size_t i;

	if (*text != '[') {
		while ((word = next_word(&at)))
			json_object_set_new(volumes, word, json_object());
		return 0;
	}
	list = json_parse(text, strlen(text), NULL);
	json_array_foreach(list, i, item)
		if (json_is_string(item))
			json_object_set_new(volumes, json_string_value(item), json_object());
	i = json_array_size(list);
	json_decref(list);
	return i ? 0 : malformed(e, "VOLUME", text);
}

static const struct {
	const char *name;
	int (*set)(json_t *config, const char *text, struct err *e);
} changes[] = {
	{ "CMD", set_cmd },       { "ENTRYPOINT", set_entrypoint }, { "ENV", set_env },
	{ "EXPOSE", set_expose }, { "LABEL", set_label },           { "STOPSIGNAL", set_stopsignal },
	{ "USER", set_user },     { "VOLUME", set_volume },         { "WORKDIR", set_workdir },
};

int image_change(json_t *config, const char *line, struct err *e)
{
	size_t len;

	line += strspn(line, " \t");
	len = strcspn(line, " \t");
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		const char *text = line + len + strspn(line + len, " \t");

		if (strlen(changes[i].name) != len || strncasecmp(line, changes[i].name, len) != 0)
			continue;
		if (!*text)
			return err_set(e, ERR_INVALID, EINVAL, "%s requires at least one argument", changes[i].name);
		return changes[i].set(config, text, e) == 0 ? 0 : e && e->code ? -e->code : -EINVAL;
	}
	return err_set(e, ERR_INVALID, EINVAL, "%.*s is not a valid change command", (int)(len < 64 ? len : 64), line);
}
