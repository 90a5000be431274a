/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decision: compiled rules in one hash table, asked by name and by each of
 * the name's suffixes, so that a question costs its labels and not the rules.
 * In sidecar-dns and sidecar-egress, which enforce it, and in the bottle
 * command, which explains it. Trusts the compiler of the policy no further than
 * its format; distrusts every host that is asked about.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "policies/decide.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/sha.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define RULE_PORTS_MAX 64
#define RULE_AT_MAX    256
#define NAME_MAX_LEN   128
#define LABEL_MAX      63

struct rule {
	char *host; /* without "*." */
	char *at;
	bool wildcard, deny;
	size_t n_ports;
	uint16_t *ports;
	struct rule *next; /* in its bucket, in the order of the policy */
};

struct ruleset {
	char *name;
	char hash[2 * SHA256_DIGEST_LENGTH + 1];
	struct rule *rules;
	size_t n_rules, n_buckets;
	struct rule **buckets;
};

/* FNV-1a: the table's keys are the policy author's, not the agent's. */
static size_t host_hash(const char *host, bool wildcard)
{
	uint64_t h = wildcard ? 0x9ae16a3b2f90404fULL : 0xcbf29ce484222325ULL;

	for (; *host; host++)
		h = (h ^ (unsigned char)*host) * 0x100000001b3ULL;
	return (size_t)(h ^ h >> 32);
}

static bool is_number(const char *p, size_t n)
{
	if (n >= 2 && p[0] == '0' && p[1] == 'x') {
		for (size_t i = 2; i < n; i++)
			if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'f')))
				return false;
		return true;
	}
	for (size_t i = 0; i < n; i++)
		if (p[i] < '0' || p[i] > '9')
			return false;
	return n > 0;
}

/* A host whose last label is a number is an address to every resolver, or nothing (WHATWG URL, "ends in a number"). */
static int numeric_kind(const char *host)
{
	const char *p = host, *dot = strrchr(host, '.');
	int parts = 0;

	if (!is_number(dot ? dot + 1 : host, strlen(dot ? dot + 1 : host)))
		return HOST_NAME;
	for (;; p++) {
		size_t n = strcspn(p, ".");

		if (!is_number(p, n) || ++parts > 4)
			return -EINVAL;
		p += n;
		if (!*p)
			return HOST_IPV4;
	}
}

static int check_labels(const char *host)
{
	for (const char *p = host;; p++) {
		size_t n = strcspn(p, ".");

		if (n == 0 || n > LABEL_MAX || p[0] == '-' || p[n - 1] == '-')
			return -EINVAL;
		p += n;
		if (!*p)
			return 0;
	}
}

static int normalize_ipv6(const char *host, size_t n, char *ret)
{
	if (n >= 2 && host[0] == '[' && host[n - 1] == ']') {
		host++;
		n -= 2;
	}
	if (n < 2 || n > 64)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		if (!strchr("0123456789abcdefABCDEF:.%", host[i]) || host[i] == '\0')
			return -EINVAL;
		ret[i] = host[i] >= 'A' && host[i] <= 'F' ? (char)(host[i] + 32) : host[i];
	}
	ret[n] = '\0';
	return strchr(ret, ':') != strrchr(ret, ':') ? HOST_IPV6 : -EINVAL;
}

int host_normalize(const char *host, size_t n, char ret[HOST_MAX + 1])
{
	char text[HOST_MAX + 1];
	int r;

	if (n && (host[0] == '[' || memchr(host, ':', n)))
		return normalize_ipv6(host, n, ret);
	if (n && host[n - 1] == '.')
		n--;
	if (n == 0 || n > HOST_MAX)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		char c = host[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c + 32);
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'))
			return -EINVAL;
		text[i] = c;
	}
	text[n] = '\0';
	r = check_labels(text);
	if (r == 0)
		r = numeric_kind(text);
	if (r >= 0)
		memcpy(ret, text, n + 1);
	return r;
}

bool address_is_public(const uint8_t addr[4])
{
	/*
	 * RFC 6890 and IANA's registry, without the three TEST-NETs: they lead
	 * nowhere outside, and inside a laboratory they stand for the outside.
	 */
	static const struct {
		uint8_t net[4];
		int bits;
	} closed[] = {
		{ { 0, 0, 0, 0 }, 8 },
		{ { 10, 0, 0, 0 }, 8 },
		{ { 100, 64, 0, 0 }, 10 },
		{ { 127, 0, 0, 0 }, 8 },
		{ { 169, 254, 0, 0 }, 16 },
		{ { 172, 16, 0, 0 }, 12 },
		{ { 192, 0, 0, 0 }, 24 },
		{ { 192, 88, 99, 0 }, 24 },
		{ { 192, 168, 0, 0 }, 16 },
		{ { 198, 18, 0, 0 }, 15 },
		{ { 224, 0, 0, 0 }, 3 },
		{ { 168, 63, 129, 16 }, 32 }, /* a cloud's metadata service on a public number */
	};
	uint32_t a = (uint32_t)addr[0] << 24 | (uint32_t)addr[1] << 16 | (uint32_t)addr[2] << 8 | addr[3];

	for (size_t i = 0; i < ARRAY_SIZE(closed); i++) {
		const uint8_t *c = closed[i].net;
		uint32_t net = (uint32_t)c[0] << 24 | (uint32_t)c[1] << 16 | (uint32_t)c[2] << 8 | c[3];

		if ((a ^ net) >> (32 - closed[i].bits) == 0)
			return false;
	}
	return true;
}

static int invalid(struct err *e, const char *at, const char *what)
{
	return err_set(e, ERR_INVALID, EINVAL, "Compiled policy: %s: %s. Compile it again with 'bottle policy check'",
		       at, what);
}

static int parse_ports(const json_t *ports, struct rule *rule, struct err *e)
{
	size_t n = json_array_size(ports);

	if (!json_is_array(ports) || n == 0 || n > RULE_PORTS_MAX)
		return invalid(e, rule->at, "\"ports\" is not a list of 1 to 64 ports");
	rule->ports = xcalloc(n, sizeof(*rule->ports));
	for (size_t i = 0; i < n; i++) {
		const json_t *p = json_array_get(ports, i);

		if (!json_is_integer(p) || json_integer_value(p) < 1 || json_integer_value(p) > 65535)
			return invalid(e, rule->at, "a port is not a number from 1 to 65535");
		rule->ports[rule->n_ports++] = (uint16_t)json_integer_value(p);
	}
	return 0;
}

static int parse_host(const char *host, struct rule *rule, struct err *e)
{
	char normal[HOST_MAX + 1];

	if (!host)
		return invalid(e, rule->at, "a rule without \"host\"");
	rule->wildcard = str_prefix(host, "*.");
	if (rule->wildcard)
		host += 2;
	if (host_normalize(host, strlen(host), normal) != HOST_NAME || !str_eq(host, normal))
		return invalid(e, rule->at, "\"host\" is not a normalised name");
	rule->host = xstrdup(host);
	return 0;
}

/* The rule's slot is counted before it is filled, so that ruleset_free finds its parts. */
static int parse_rule(json_t *json, bool deny, struct ruleset *set, struct err *e)
{
	struct rule *rule = &set->rules[set->n_rules++];
	const char *key, *at = json_string_value(json_object_get(json, "at"));
	json_t *value, *ports = json_object_get(json, "ports");
	int r;

	rule->deny = deny;
	rule->at = xstrdup(at ? at : "a rule");
	if (!at || strlen(at) > RULE_AT_MAX)
		return invalid(e, "a rule", "\"at\" is missing or too long");
	json_object_foreach(json, key, value)
		if (!str_eq(key, "host") && !str_eq(key, "ports") && !str_eq(key, "at"))
			return invalid(e, at, "a key of a rule that this sidecar does not know");
	r = parse_host(json_string_value(json_object_get(json, "host")), rule, e);
	if (r == 0 && ports)
		r = parse_ports(ports, rule, e);
	return r;
}

static int parse_rules(json_t *list, bool deny, struct ruleset *set, struct err *e)
{
	json_t *json;
	size_t i;

	if (list && !json_is_array(list))
		return invalid(e, deny ? "deny" : "allow", "is not a list");
	json_array_foreach(list, i, json) {
		int r = parse_rule(json, deny, set, e);

		if (r < 0)
			return r;
	}
	return 0;
}

static int parse_top(json_t *top, struct ruleset *set, struct err *e)
{
	static const char *const known[] = { "version", "name", "default", "allow", "deny" };
	const char *name = json_string_value(json_object_get(top, "name")), *key;
	json_t *value;

	if (!json_is_object(top))
		return invalid(e, "top", "is not an object");
	json_object_foreach(top, key, value) {
		size_t i = 0;

		while (i < ARRAY_SIZE(known) && !str_eq(key, known[i]))
			i++;
		if (i == ARRAY_SIZE(known))
			return invalid(e, "top", "a key that this sidecar does not know");
	}
	if (json_integer_value(json_object_get(top, "version")) != 1)
		return invalid(e, "version", "is not 1");
	if (!name || strlen(name) > NAME_MAX_LEN)
		return invalid(e, "name", "is missing or too long");
	if (!str_eq(json_string_value(json_object_get(top, "default")), "deny"))
		return invalid(e, "default", "is not \"deny\"");
	set->name = xstrdup(name);
	return 0;
}

/* Filled from the last rule on, so that each bucket has the policy's order. */
static void index_rules(struct ruleset *set)
{
	set->n_buckets = 16;
	while (set->n_buckets < 2 * set->n_rules)
		set->n_buckets *= 2;
	set->buckets = xcalloc(set->n_buckets, sizeof(*set->buckets));
	for (size_t i = set->n_rules; i-- > 0;) {
		struct rule *rule = &set->rules[i];
		struct rule **b = &set->buckets[host_hash(rule->host, rule->wildcard) & (set->n_buckets - 1)];

		rule->next = *b;
		*b = rule;
	}
}

static void hash_text(const char *json, size_t n, char ret[2 * SHA256_DIGEST_LENGTH + 1])
{
	unsigned char digest[SHA256_DIGEST_LENGTH];
	SHA256_CTX ctx;

	SHA256_Init(&ctx);
	SHA256_Update(&ctx, json, n);
	SHA256_Final(digest, &ctx);
	hex_encode(ret, digest, sizeof(digest));
}

int ruleset_parse(const char *json, size_t n, struct ruleset **ret, struct err *e)
{
	struct ruleset *set;
	json_error_t why;
	size_t n_rules;
	json_t *top;
	int r;

	if (n > COMPILED_MAX)
		return err_set(e, ERR_LIMIT, EFBIG, "Compiled policy: larger than %d bytes", COMPILED_MAX);
	top = json_loadb(json, n, JSON_REJECT_DUPLICATES, &why);
	if (!top)
		return invalid(e, "JSON", why.text);
	n_rules = json_array_size(json_object_get(top, "allow")) + json_array_size(json_object_get(top, "deny"));
	if (n_rules > RULES_MAX) {
		json_decref(top);
		return err_set(e, ERR_LIMIT, E2BIG, "Compiled policy: %zu rules, at most %d", n_rules, RULES_MAX);
	}
	set = xcalloc(1, sizeof(*set));
	set->rules = xcalloc(n_rules + 1, sizeof(*set->rules));
	r = parse_top(top, set, e);
	if (r == 0)
		r = parse_rules(json_object_get(top, "allow"), false, set, e);
	if (r == 0)
		r = parse_rules(json_object_get(top, "deny"), true, set, e);
	json_decref(top);
	if (r < 0) {
		ruleset_free(set);
		return r;
	}
	index_rules(set);
	hash_text(json, n, set->hash);
	*ret = set;
	return 0;
}

void ruleset_free(struct ruleset *set)
{
	if (!set)
		return;
	for (size_t i = 0; i < set->n_rules; i++) {
		free(set->rules[i].host);
		free(set->rules[i].at);
		free(set->rules[i].ports);
	}
	free(set->rules);
	free(set->buckets);
	free(set->name);
	free(set);
}

const char *ruleset_name(const struct ruleset *set)
{
	return set->name;
}

const char *ruleset_hash(const struct ruleset *set)
{
	return set->hash;
}

/* What the rules that match a name say, before the answer is put together. */
struct matches {
	const struct rule *deny, *allow, *other_port;
};

static bool rule_has_port(const struct rule *rule, uint16_t port)
{
	for (size_t i = 0; i < rule->n_ports; i++)
		if (rule->ports[i] == port)
			return true;
	return rule->n_ports == 0;
}

/* Port 0 asks "on any port": an allow with ports covers it, a deny with ports does not. */
static void match_key(const struct ruleset *set, const char *key, bool wildcard, uint16_t port, struct matches *m)
{
	const struct rule *rule = set->buckets[host_hash(key, wildcard) & (set->n_buckets - 1)];

	for (; rule; rule = rule->next) {
		if (rule->wildcard != wildcard || strcmp(rule->host, key) != 0)
			continue;
		if (rule->deny) {
			if (!m->deny && rule_has_port(rule, port))
				m->deny = rule;
		} else if (port == 0 || rule_has_port(rule, port)) {
			m->allow = m->allow ? m->allow : rule;
		} else if (!m->other_port) {
			m->other_port = rule;
		}
	}
}

void ruleset_decide(const struct ruleset *set, const char *host, uint16_t port, struct decision *ret)
{
	struct matches m = { 0 };
	const struct rule *by;
	char what[110];

	match_key(set, host, false, port, &m);
	for (const char *dot = strchr(host, '.'); dot; dot = strchr(dot + 1, '.'))
		match_key(set, dot + 1, true, port, &m);
	by = m.deny ? m.deny : m.allow ? m.allow : m.other_port;
	ret->allow = !m.deny && m.allow;
	ret->rule = by ? by->at : "default";
	ret->wildcard = by && by->wildcard;
	if (port)
		snprintf(what, sizeof(what), "%.90s port %u", host, port);
	else
		snprintf(what, sizeof(what), "%.90s", host);
	if (m.deny)
		snprintf(ret->reason, sizeof(ret->reason), "%s is denied by a rule", what);
	else if (m.allow)
		snprintf(ret->reason, sizeof(ret->reason), "%s is allowed by a rule", what);
	else if (m.other_port)
		snprintf(ret->reason, sizeof(ret->reason), "%s is not allowed; a rule has other ports of it", what);
	else
		snprintf(ret->reason, sizeof(ret->reason), "%s is in no rule, and what is in none is denied", what);
}
