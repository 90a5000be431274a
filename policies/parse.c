/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy language's fields: one table an object, one reader a field; then
 * what only shows when the whole is read (contradictions). In the bottle
 * command. A row without a reader is a field of the language that this version
 * does not enforce: it is refused by name.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "policies/decide.h"
#include "policies/read.h"

#define MEMORY_MIN (64ULL << 20)
#define MEMORY_MAX (1ULL << 40)
#define DISK_MIN   (64ULL << 20)
#define DISK_MAX   (4ULL << 40)
#define PIDS_MIN   8
#define PIDS_MAX   (1 << 22)
#define WORD_MAX   4096

/* ---- agent ---- */

static void read_image(struct check *c, const struct node *v, const struct at *at)
{
	if (!read_text(c, v, at, 255))
		return;
	if (v->text[0] == '-' || strpbrk(v->text, " \t\"'"))
		check_error(c, RANK_USUAL, v->line, at,
			    "is no image reference; write 'name', 'name:tag' or 'sha256:…'");
	else
		c->policy->agent.image = xstrdup(v->text);
}

static void read_command(struct check *c, const struct node *v, const struct at *at)
{
	if (v->kind == NODE_STRING) {
		check_error(c, RANK_USUAL, v->line, at, "must be a list of words, as [\"sh\", \"-c\", \"…\"]");
		return;
	}
	if (!read_list(c, v, at, POLICY_LIST_MAX))
		return;
	if (v->n == 0)
		check_error(c, RANK_USUAL, v->line, at, "is empty; leave it out to run the image's command");
	for (size_t i = 0; i < v->n; i++) {
		const struct node *word = v->items[i];

		if (!read_kind(c, word, AT_ITEM(at, i), NODE_STRING))
			continue;
		if (strlen(word->text) > WORD_MAX || (i == 0 && !*word->text))
			check_error(c, RANK_USUAL, word->line, AT_ITEM(at, i), "must have 1 to %d characters",
				    WORD_MAX);
		strv_push(&c->policy->agent.command, word->text);
	}
}

static bool variable_valid(const char *name)
{
	if (!*name || isdigit((unsigned char)*name) || strlen(name) > 128)
		return false;
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && *name != '_')
			return false;
	return true;
}

static bool variable_is_ours(const char *name)
{
	static const char *const ours[] = { "http_proxy", "https_proxy", "no_proxy", "all_proxy" };

	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		if (strcasecmp(name, ours[i]) == 0)
			return true;
	return false;
}

static void read_env(struct check *c, const struct node *v, const struct at *at)
{
	if (!read_kind(c, v, at, NODE_MAP))
		return;
	for (size_t i = 0; i < v->n; i++) {
		const struct node *item = v->items[i];
		const struct at *here = AT_MEMBER(at, item->key);
		_cleanup_free_ char *pair = NULL;

		if (!variable_valid(item->key)) {
			check_error(c, RANK_USUAL, item->line, here,
				    "is no variable name; letters, digits and '_', not beginning with a digit");
			continue;
		}
		if (variable_is_ours(item->key)) {
			check_error(c, RANK_USUAL, item->line, here, "is set by 'bottle up' to the sidecar; remove it");
			continue;
		}
		if (!read_kind(c, item, here, NODE_STRING))
			continue;
		pair = xasprintf("%s=%s", item->key, item->text);
		strv_push(&c->policy->agent.env, pair);
	}
}

static void read_user(struct check *c, const struct node *v, const struct at *at)
{
	if (!read_text(c, v, at, 64))
		return;
	for (const char *p = v->text; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("_.:-", *p)) {
			check_error(c, RANK_USUAL, v->line, at, "is no user; write 'name', 'uid' or 'uid:gid'");
			return;
		}
	c->policy->agent.user = xstrdup(v->text);
}

static void read_workdir(struct check *c, const struct node *v, const struct at *at)
{
	if (!read_text(c, v, at, WORD_MAX))
		return;
	if (v->text[0] != '/' || strstr(v->text, "/../") || str_suffix(v->text, "/.."))
		check_error(c, RANK_USUAL, v->line, at, "must be an absolute path without '..'");
	else
		c->policy->agent.workdir = xstrdup(v->text);
}

static void read_cpus(struct check *c, const struct node *v, const struct at *at)
{
	if (v->kind == NODE_REAL)
		check_error(c, RANK_USUAL, v->line, at, "must be a whole number: a VM has whole CPUs");
	else
		read_number(c, v, at, 1, POLICY_CPUS_MAX, &c->policy->agent.cpus);
}

static void read_memory(struct check *c, const struct node *v, const struct at *at)
{
	read_size(c, v, at, MEMORY_MIN, MEMORY_MAX, &c->policy->agent.memory);
}

static void read_disk(struct check *c, const struct node *v, const struct at *at)
{
	read_size(c, v, at, DISK_MIN, DISK_MAX, &c->policy->agent.disk);
}

static void read_pids(struct check *c, const struct node *v, const struct at *at)
{
	read_number(c, v, at, PIDS_MIN, PIDS_MAX, &c->policy->agent.pids);
}

static void read_tty(struct check *c, const struct node *v, const struct at *at)
{
	if (read_kind(c, v, at, NODE_BOOL))
		c->policy->agent.tty = v->number;
}

static const struct policy_field agent_fields[] = {
	{ "image", read_image, true },
	{ "command", read_command, false },
	{ "env", read_env, false },
	{ "user", read_user, false },
	{ "workdir", read_workdir, false },
	{ "cpus", read_cpus, false },
	{ "memory", read_memory, false },
	{ "disk", read_disk, false },
	{ "pids", read_pids, false },
	{ "tty", read_tty, false },
	{ "ttl", NULL, false },
	{ "idle", NULL, false },
	{ NULL, NULL, false },
};

static void read_agent(struct check *c, const struct node *v, const struct at *at)
{
	const struct node *tty = node_get(v, "tty"), *term = node_get(node_get(v, "env"), "TERM");

	read_fields(c, v, at, agent_fields);
	if (tty && tty->kind == NODE_BOOL && !tty->number && term)
		check_error(c, RANK_USUAL, term->line, AT_MEMBER(AT_MEMBER(at, "env"), "TERM"),
			    "contradicts agent.tty false (line %u); remove one of them", tty->line);
}

/* ---- egress ---- */

/* The rule being read. */
static struct policy_rule *rule_of(struct check *c, const struct at *at)
{
	bool deny = str_eq(at->up->up->name, "deny");

	return deny ? c->policy->deny[c->policy->n_deny - 1] : c->policy->allow[c->policy->n_allow - 1];
}

/* "host:443": one colon, digits behind it. An IPv6 address has two at least. */
static bool has_port(const char *text)
{
	const char *colon = strchr(text, ':');

	return colon && colon[1] && strspn(colon + 1, "0123456789") == strlen(colon + 1);
}

static bool host_form(struct check *c, const struct node *v, const struct at *at, bool deny)
{
	const char *why = NULL, *host = v->text, *rest = str_prefix(host, "*.") ? host + 2 : host;

	if (strstr(host, "://") || strpbrk(host, "@?#"))
		why = "is a URL; write its host alone";
	else if (strchr(host, '/'))
		why = "is no host name; write the host alone (address ranges are 'cidr' rules, which this version does "
		      "not enforce)";
	else if (str_eq(host, "*"))
		why = "matches every host; name the hosts, or '*.example.com' for all below one";
	else if (has_port(host))
		why = "has a port; write \"ports\": [443] beside the host";
	else if (strchr(rest, '*'))
		why = "has a '*' that is not a whole first label; '*.example.com' matches any depth below example.com";
	else if (rest != host && !deny && !strchr(rest, '.'))
		why = "covers a whole top-level domain; name the domain, as '*.example.com'";
	if (!why)
		return true;
	check_error(c, RANK_USUAL, v->line, at, "'%.80s' %s", host, why);
	return false;
}

static void read_host(struct check *c, const struct node *v, const struct at *at)
{
	char name[HOST_MAX + 1];
	const char *rest;
	bool wild;
	int kind;

	if (!read_text(c, v, at, HOST_MAX + 3) || !host_form(c, v, at, str_eq(at->up->up->name, "deny")))
		return;
	wild = str_prefix(v->text, "*.");
	rest = wild ? v->text + 2 : v->text;
	kind = host_normalize(rest, strlen(rest), name);
	if (kind == HOST_NAME)
		rule_of(c, at)->host = xasprintf("%s%s", wild ? "*." : "", name);
	else if (kind == HOST_IPV4 || kind == HOST_IPV6)
		check_error(c, RANK_USUAL, v->line, at,
			    "'%.80s' is an address; address rules are 'cidr', never a host, and this version has none",
			    v->text);
	else
		check_error(
			c, RANK_USUAL, v->line, at,
			"'%.80s' is no host name; ASCII letters, digits, '-' and dots (an international name as xn--…)",
			v->text);
}

static void read_ports(struct check *c, const struct node *v, const struct at *at)
{
	struct policy_rule *rule = rule_of(c, at);

	if (v->kind == NODE_INT) {
		check_error(c, RANK_USUAL, v->line, at, "must be a list, as [443]");
		return;
	}
	if (!read_list(c, v, at, POLICY_PORTS_MAX))
		return;
	if (v->n == 0)
		check_error(c, RANK_USUAL, v->line, at, "is empty; leave it out for every port");
	for (size_t i = 0; i < v->n; i++) {
		uint64_t port;
		size_t k;

		if (!read_number(c, v->items[i], AT_ITEM(at, i), 1, 65535, &port))
			continue;
		for (k = rule->n_ports; k > 0 && rule->ports[k - 1] > port; k--)
			rule->ports[k] = rule->ports[k - 1];
		if (k > 0 && rule->ports[k - 1] == port)
			check_error(c, RANK_USUAL, v->items[i]->line, AT_ITEM(at, i), "port %u is named twice",
				    (unsigned int)port);
		rule->ports[k] = (uint16_t)port;
		rule->n_ports++;
	}
}

static const struct policy_field allow_fields[] = {
	{ "host", read_host, true }, { "ports", read_ports, false }, { "cidr", NULL, false },
	{ "methods", NULL, false },  { "paths", NULL, false },       { "inject", NULL, false },
	{ "limits", NULL, false },   { NULL, NULL, false },
};

static const struct policy_field deny_fields[] = {
	{ "host", read_host, true }, { "ports", NULL, false }, { "cidr", NULL, false },
	{ "methods", NULL, false },  { "paths", NULL, false }, { NULL, NULL, false },
};

static void read_rules(struct check *c, const struct node *v, const struct at *at, struct policy_rule ***rules,
		       size_t *n, const struct policy_field *fields)
{
	if (!read_list(c, v, at, RULES_MAX) || v->n == 0)
		return;
	*rules = xcalloc(v->n, sizeof(**rules));
	for (size_t i = 0; i < v->n; i++) {
		struct policy_rule *rule = xcalloc(1, sizeof(*rule));

		rule->line = v->items[i]->line;
		(*rules)[(*n)++] = rule;
		if (v->items[i]->kind == NODE_STRING)
			check_error(c, RANK_USUAL, v->items[i]->line, AT_ITEM(at, i),
				    "must be an object, as {\"host\": \"%.80s\"}", v->items[i]->text);
		else
			read_fields(c, v->items[i], AT_ITEM(at, i), fields);
	}
}

static void read_allow(struct check *c, const struct node *v, const struct at *at)
{
	read_rules(c, v, at, &c->policy->allow, &c->policy->n_allow, allow_fields);
}

static void read_deny(struct check *c, const struct node *v, const struct at *at)
{
	read_rules(c, v, at, &c->policy->deny, &c->policy->n_deny, deny_fields);
}

static void read_default(struct check *c, const struct node *v, const struct at *at)
{
	if (read_kind(c, v, at, NODE_STRING) && !str_eq(v->text, "deny"))
		check_error(c, RANK_USUAL, v->line, at,
			    "can only be \"deny\": what is not allowed by name stays closed");
}

static const struct policy_field egress_fields[] = {
	{ "default", read_default, false },
	{ "allow", read_allow, false },
	{ "deny", read_deny, false },
	{ NULL, NULL, false },
};

static void read_egress(struct check *c, const struct node *v, const struct at *at)
{
	read_fields(c, v, at, egress_fields);
}

/* ---- publish ---- */

static struct policy_publish *publish_of(struct check *c)
{
	return &c->policy->publish[c->policy->n_publish - 1];
}

static void read_host_ip(struct check *c, const struct node *v, const struct at *at)
{
	struct in_addr addr;

	if (!read_text(c, v, at, HOST_MAX))
		return;
	if (inet_pton(AF_INET, v->text, &addr) !=
	    1) /* all four parts: what is short or octal to one reader is not to another */
		check_error(c, RANK_USUAL, v->line, at, "'%.80s' is no IPv4 address; write one of 127.0.0.0/8 in full",
			    v->text);
	else if (ntohl(addr.s_addr) >> 24 != 127)
		check_error(c, RANK_USUAL, v->line, at,
			    "'%s' is not in 127.0.0.0/8; a bottle is published to this machine only", v->text);
	else
		publish_of(c)->host_ip = xstrdup(v->text);
}

static void read_publish_port(struct check *c, const struct node *v, const struct at *at, uint16_t *ret)
{
	uint64_t port;

	if (read_number(c, v, at, 1, 65535, &port))
		*ret = (uint16_t)port;
}

static void read_host_port(struct check *c, const struct node *v, const struct at *at)
{
	read_publish_port(c, v, at, &publish_of(c)->host_port);
}

static void read_port(struct check *c, const struct node *v, const struct at *at)
{
	static const uint16_t taken[] = { 53, 3128 };
	uint16_t *port = &publish_of(c)->port;

	read_publish_port(c, v, at, port);
	for (size_t i = 0; i < ARRAY_SIZE(taken); i++)
		if (*port == taken[i])
			check_error(c, RANK_USUAL, v->line, at,
				    "%u is the sidecar's own port for the agent; choose another, as 8443", taken[i]);
}

static void read_to(struct check *c, const struct node *v, const struct at *at)
{
	if (read_kind(c, v, at, NODE_STRING) && !str_eq(v->text, "sidecar"))
		check_error(c, RANK_USUAL, v->line, at, "can only be \"sidecar\": the agent's network has no way in");
}

static const struct policy_field publish_fields[] = {
	{ "host_ip", read_host_ip, true },
	{ "host_port", read_host_port, true },
	{ "port", read_port, true },
	{ "to", read_to, true },
	{ NULL, NULL, false },
};

static void read_publish(struct check *c, const struct node *v, const struct at *at)
{
	if (!read_list(c, v, at, POLICY_PUBLISH_MAX))
		return;
	for (size_t i = 0; i < v->n; i++) {
		c->policy->publish[c->policy->n_publish++].line = v->items[i]->line;
		read_fields(c, v->items[i], AT_ITEM(at, i), publish_fields);
	}
}

/* ---- top ---- */

bool policy_name_valid(const char *name)
{
	size_t n = strlen(name);

	if (n < 1 || n > POLICY_NAME_MAX || name[0] == '-' || name[n - 1] == '-')
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

static void read_version(struct check *c, const struct node *v, const struct at *at)
{
	if (read_kind(c, v, at, NODE_INT) && v->number != 1)
		check_error(c, RANK_USUAL, v->line, at, "can only be 1");
}

static void read_name(struct check *c, const struct node *v, const struct at *at)
{
	if (!read_kind(c, v, at, NODE_STRING))
		return;
	if (policy_name_valid(v->text))
		c->policy->name = xstrdup(v->text);
	else
		check_error(c, RANK_USUAL, v->line, at,
			    "'%.60s' is no name; 1 to %d lower-case letters, digits and inner dashes", v->text,
			    POLICY_NAME_MAX);
}

static void read_schema(struct check *c, const struct node *v, const struct at *at)
{
	read_text(c, v, at, 1024);
}

static const struct policy_field top_fields[] = {
	{ "$schema", read_schema, false },
	{ "version", read_version, true },
	{ "name", read_name, true },
	{ "agent", read_agent, true },
	{ "egress", read_egress, false },
	{ "publish", read_publish, false },
	{ "workspace", NULL, false },
	{ "secrets", NULL, false },
	{ "git", NULL, false },
	{ "supervise", NULL, false },
	{ NULL, NULL, false },
};

const struct policy_object policy_objects[] = {
	{ "", top_fields },
	{ "agent", agent_fields },
	{ "egress", egress_fields },
	{ "egress.allow", allow_fields },
	{ "egress.deny", deny_fields },
	{ "publish", publish_fields },
	{ NULL, NULL },
};

const char *policy_object_field(const struct policy_object *o, size_t i)
{
	for (const struct policy_field *f = o->fields; f->name; f++)
		if (f->read && i-- == 0)
			return f->name;
	return NULL;
}

/* ---- secrets: nothing is sent with them yet, but a broken reference is told before all else ---- */

static void check_secret_use(struct check *c, const struct node *user, const struct at *at)
{
	const struct node *name = node_get(user, "secret");

	if (name && name->kind == NODE_STRING && !node_get(node_get(c->root, "secrets"), name->text))
		check_error(c, RANK_FIRST, name->line, AT_MEMBER(at, "secret"),
			    "names the secret '%.60s', which 'secrets' does not define; add it there", name->text);
}

static void check_secret_source(struct check *c, const struct node *secret, const struct at *at)
{
	const struct node *from = node_get(secret, "from");

	if (!from || from->kind != NODE_STRING || !str_prefix(from->text, "env:"))
		return;
	if (!variable_valid(from->text + 4))
		check_error(c, RANK_FIRST, from->line, AT_MEMBER(at, "from"), "names no variable behind 'env:'");
	else if (!getenv(from->text + 4))
		check_error(c, RANK_FIRST, from->line, AT_MEMBER(at, "from"),
			    "the variable %s is not set; export it before 'bottle up'", from->text + 4);
}

static void check_secrets(struct check *c)
{
	const struct node *secrets = node_get(c->root, "secrets"), *git = node_get(c->root, "git");
	const struct node *allow = node_get(node_get(c->root, "egress"), "allow");

	for (size_t i = 0; secrets && secrets->kind == NODE_MAP && i < secrets->n; i++)
		check_secret_source(c, secrets->items[i],
				    AT_MEMBER(AT_MEMBER(NULL, "secrets"), secrets->items[i]->key));
	for (size_t i = 0; allow && allow->kind == NODE_LIST && i < allow->n; i++)
		check_secret_use(c, node_get(allow->items[i], "inject"),
				 AT_MEMBER(AT_ITEM(AT_MEMBER(AT_MEMBER(NULL, "egress"), "allow"), i), "inject"));
	for (size_t i = 0; git && git->kind == NODE_MAP && i < git->n; i++)
		check_secret_use(c, git->items[i], AT_MEMBER(AT_MEMBER(NULL, "git"), git->items[i]->key));
}

/* ---- contradictions ---- */

static int by_host(const void *a, const void *b)
{
	const struct policy_rule *x = *(struct policy_rule *const *)a, *y = *(struct policy_rule *const *)b;
	int d = strcmp(x->host ? x->host : "", y->host ? y->host : "");

	return d ? d : (x->line > y->line) - (x->line < y->line);
}

static struct policy_rule **sorted(struct policy_rule *const *rules, size_t n)
{
	struct policy_rule **copy = xcalloc(n + 1, sizeof(*copy));

	for (size_t i = 0; i < n; i++)
		copy[i] = rules[i];
	qsort(copy, n, sizeof(*copy), by_host);
	return copy;
}

static void check_duplicates(struct check *c, const char *list, struct policy_rule *const *rules, size_t n)
{
	const struct at *at = AT_MEMBER(AT_MEMBER(NULL, "egress"), list);

	for (size_t i = 1; i < n; i++)
		if (rules[i]->host && str_eq(rules[i]->host, rules[i - 1]->host))
			check_error(c, RANK_USUAL, rules[i]->line, at,
				    "'%s' has a rule already in line %u; make them one", rules[i]->host,
				    rules[i - 1]->line);
}

static const struct policy_rule *find_rule(struct policy_rule *const *rules, size_t n, const char *host)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int d = strcmp(rules[mid]->host ? rules[mid]->host : "", host);

		if (d == 0)
			return rules[mid];
		if (d < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

/* The deny rule that makes all of host's rule dead: itself, or "*.parent" for each parent. */
static const struct policy_rule *find_killer(struct policy_rule *const *deny, size_t n, const char *host)
{
	const struct policy_rule *r = find_rule(deny, n, host);
	const char *name = str_prefix(host, "*.") ? host + 2 : host;
	char pattern[HOST_MAX + 3];

	for (const char *dot = strchr(name, '.'); dot && !r; dot = strchr(dot + 1, '.')) {
		snprintf(pattern, sizeof(pattern), "*%s", dot);
		r = find_rule(deny, n, pattern);
	}
	return r;
}

static void check_rules(struct check *c)
{
	const struct at *at = AT_MEMBER(AT_MEMBER(NULL, "egress"), "allow");
	struct policy *p = c->policy;
	_cleanup_free_ struct policy_rule **allow = sorted(p->allow, p->n_allow), **deny = sorted(p->deny, p->n_deny);

	check_duplicates(c, "allow", allow, p->n_allow);
	check_duplicates(c, "deny", deny, p->n_deny);
	for (size_t i = 0; i < p->n_allow; i++) {
		const struct policy_rule *killer = NULL;

		if (p->allow[i]->host)
			killer = find_killer(deny, p->n_deny, p->allow[i]->host);
		if (killer)
			check_error(
				c, RANK_USUAL, p->allow[i]->line, AT_ITEM(at, i),
				"'%s' is allowed here and denied by '%s' in line %u; deny wins, so remove one of them",
				p->allow[i]->host, killer->host, killer->line);
	}
}

static void check_publish(struct check *c)
{
	const struct at *at = AT_MEMBER(NULL, "publish");
	const struct policy *p = c->policy;

	for (size_t i = 1; i < p->n_publish; i++) {
		const struct policy_publish *a = &p->publish[i];

		for (size_t k = 0; k < i; k++)
			if (a->host_port && a->host_port == p->publish[k].host_port &&
			    str_eq(a->host_ip, p->publish[k].host_ip))
				check_error(c, RANK_USUAL, a->line, AT_ITEM(at, i),
					    "%s:%u is published already in line %u", a->host_ip, a->host_port,
					    p->publish[k].line);
		if (a->port && p->publish[0].port && a->port != p->publish[0].port)
			check_error(c, RANK_USUAL, a->line, AT_MEMBER(AT_ITEM(at, i), "port"),
				    "the sidecar serves one port; line %u has %u already", p->publish[0].line,
				    p->publish[0].port);
	}
}

/* ---- the whole ---- */

static void free_rules(struct policy_rule **rules, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(rules[i]->host);
		free(rules[i]);
	}
	free(rules);
}

void policy_free(struct policy *p)
{
	if (!p)
		return;
	free_rules(p->allow, p->n_allow);
	free_rules(p->deny, p->n_deny);
	for (size_t i = 0; i < p->n_publish; i++)
		free(p->publish[i].host_ip);
	free(p->agent.image);
	strv_free(p->agent.command);
	strv_free(p->agent.env);
	free(p->agent.user);
	free(p->agent.workdir);
	free(p->file);
	free(p->name);
	free(p);
}

/* The name that rules are known by: printable ASCII, since it ends in the compiled form. */
static char *file_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *name = xstrndup(slash ? slash + 1 : path, 64);

	for (char *p = name; *p; p++)
		if (*p <= ' ' || *p > '~' || *p == '"' || *p == '\\')
			*p = '_';
	return name;
}

static void check_all(struct check *c)
{
	check_secrets(c);
	read_fields(c, c->root, NULL, top_fields);
	check_rules(c);
	check_publish(c);
}

int policy_parse(const char *path, const char *text, size_t n, struct policy **ret, struct policy_errors *errors)
{
	bool yaml = str_suffix(path, ".yaml") || str_suffix(path, ".yml");
	_cleanup_policy_ struct policy *p = xcalloc(1, sizeof(*p));
	struct check c = { .path = path, .policy = p, .errors = errors };
	struct node *root = NULL;
	unsigned int line = 1;
	struct err e = { 0 };

	p->file = file_name(path);
	if ((yaml ? tree_from_yaml : tree_from_json)(text, n, &root, &line, &e) < 0) {
		check_error(&c, RANK_FIRST, line, NULL, "%s", e.text);
		return -EBADMSG;
	}
	c.root = root;
	check_all(&c);
	node_free(root);
	if (errors->n)
		return -EBADMSG;
	*ret = TAKE_PTR(p);
	return 0;
}

int policy_load(const char *path, struct policy **ret, struct policy_errors *errors, struct err *e)
{
	_cleanup_free_ char *text = NULL;
	size_t n;
	int r = file_read_at(AT_FDCWD, path, POLICY_FILE_MAX, &text, &n);

	if (r == -EFBIG)
		return err_set(e, ERR_LIMIT, EFBIG, "'%s' is larger than %d MiB; no policy is", path,
			       POLICY_FILE_MAX >> 20);
	if (r < 0) {
		errno = -r;
		return err_errno(e, "read '%s'", path);
	}
	return policy_parse(path, text, n, ret, errors);
}
