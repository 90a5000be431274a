/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A policy in the form that the sidecar decides by (decide.h): sorted keys, no
 * blanks, rules in the file's order, so that one file has one text and one
 * hash. In the bottle command; the input has passed parse.c.
 */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "policies/decide.h"
#include "policies/policy.h"

static json_t *compile_rule(const struct policy *p, const struct policy_rule *rule)
{
	_cleanup_free_ char *at = xasprintf("%s:%u", p->file, rule->line);
	json_t *o = json_pack("{s:s, s:s}", "host", rule->host, "at", at), *ports;

	if (!rule->n_ports)
		return o;
	ports = json_array();
	for (size_t i = 0; i < rule->n_ports; i++)
		json_array_append_new(ports, json_integer(rule->ports[i]));
	json_object_set_new(o, "ports", ports);
	return o;
}

static json_t *compile_rules(const struct policy *p, struct policy_rule *const *rules, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, compile_rule(p, rules[i]));
	return list;
}

char *policy_compile(const struct policy *p)
{
	json_t *o = json_pack("{s:i, s:s, s:s, s:o, s:o}", "version", 1, "name", p->name, "default", "deny", "allow",
			      compile_rules(p, p->allow, p->n_allow), "deny", compile_rules(p, p->deny, p->n_deny));
	char *text = json_dumps(o, JSON_SORT_KEYS | JSON_COMPACT);

	json_decref(o);
	return text;
}

int policy_seal(const struct policy *p, char **ret_compiled, char **ret_hash, struct err *e)
{
	_cleanup_free_ char *text = policy_compile(p);
	struct ruleset *rules;

	if (!text)
		return err_set(e, ERR_INTERNAL, ENOMEM, "compile '%s': the policy has no JSON form", p->file);
	if (ruleset_parse(text, strlen(text), &rules, e) < 0)
		return err_wrap(e, "compile '%s'", p->file);
	*ret_hash = xstrdup(ruleset_hash(rules));
	*ret_compiled = TAKE_PTR(text);
	ruleset_free(rules);
	return 0;
}
