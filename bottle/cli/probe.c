/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the leak probe asks, and what its answer means; in the bottle command.
 * The targets are what an agent must not reach: this machine's addresses, its
 * gateways and resolvers, metadata, samples of the private ranges, and every
 * address and publish that the engine knows, this bottle's own included. The
 * report comes from a container: only a whole, clean "ok" counts as one.
 */
#include "cli/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/client.h"

#define FILE_MAX 65536
#define LEAK_MAX 160 /* of one leak's words in the message */

/* After this machine's own: metadata, samples of the ranges that nobody may reach, netpolicyd's link, a public one. */
static const char *const samples[] = {
	"169.254.169.254", "127.0.0.1",   "10.77.255.1", "10.77.255.2", "10.0.0.1",     "10.88.0.1", "172.16.0.1",
	"172.17.0.1",      "192.168.0.1", "192.168.1.1", "100.64.0.1",  "198.51.100.1", "1.1.1.1",
};

static void add_once(json_t *list, const char *text, size_t max)
{
	struct in_addr in;
	json_t *item;
	size_t i;

	if (!text || inet_pton(AF_INET, text, &in) != 1 || !in.s_addr || json_array_size(list) >= max)
		return;
	json_array_foreach(list, i, item) {
		if (str_eq(json_string_value(item), text))
			return;
	}
	json_array_append_new(list, json_string(text));
}

static void add_host(json_t *targets, const char *text)
{
	if (!str_eq(text, json_string_value(json_object_get(targets, "self"))) &&
	    !str_eq(text, json_string_value(json_object_get(targets, "gateway"))))
		add_once(json_object_get(targets, "hosts"), text, PROBE_HOSTS_MAX);
}

static void add_port(json_t *targets, const char *addr, json_int_t port)
{
	json_t *list = json_object_get(targets, "ports");
	struct in_addr in;

	if (addr && inet_pton(AF_INET, addr, &in) == 1 && port > 0 && port < 65536 &&
	    json_array_size(list) < PROBE_PORTS_MAX)
		json_array_append_new(list, json_pack("[s, I]", addr, port));
}

/* ---- this machine ---- */

static void add_interfaces(json_t *targets)
{
	char text[INET_ADDRSTRLEN];
	struct ifaddrs *all;

	if (getifaddrs(&all) < 0)
		return;
	for (struct ifaddrs *i = all; i; i = i->ifa_next) {
		struct sockaddr_in in;

		if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET || (i->ifa_flags & IFF_LOOPBACK))
			continue;
		memcpy(&in, i->ifa_addr, sizeof(in));
		add_host(targets, inet_ntop(AF_INET, &in.sin_addr, text, sizeof(text)));
	}
	freeifaddrs(all);
}

/* /proc/net/route: Iface Destination Gateway …, addresses in hexadecimal as the machine stores them. */
static void add_gateways(json_t *targets)
{
	_cleanup_free_ char *text = NULL;
	char *rest, *line;

	if (file_read_at(AT_FDCWD, "/proc/net/route", FILE_MAX, &text, NULL) < 0)
		return;
	rest = text;
	while ((line = strsep(&rest, "\n"))) {
		char shown[INET_ADDRSTRLEN], *gateway = NULL;
		struct in_addr in;

		for (int i = 0; i < 3 && line; i++)
			gateway = strsep(&line, "\t");
		if (!gateway || !str_is_hex(gateway, 8))
			continue;
		in.s_addr = (in_addr_t)strtoul(gateway, NULL, 16);
		add_host(targets, inet_ntop(AF_INET, &in, shown, sizeof(shown)));
	}
}

static void add_resolvers(json_t *targets)
{
	_cleanup_free_ char *text = NULL;
	char *rest, *line;

	if (file_read_at(AT_FDCWD, "/etc/resolv.conf", FILE_MAX, &text, NULL) < 0)
		return;
	rest = text;
	while ((line = strsep(&rest, "\n"))) {
		char *addr;

		if (!str_prefix(line, "nameserver"))
			continue;
		addr = line + strlen("nameserver");
		addr += strspn(addr, " \t");
		addr[strcspn(addr, " \t#;")] = '\0';
		add_host(targets, addr);
		if (str_prefix(addr, "127."))
			add_port(targets, addr,
				 53); /* on the wire only: a socket would end in the agent's own loopback */
		else
			add_once(json_object_get(targets, "dns"), addr, PROBE_DNS_MAX - 1);
	}
}

/* ---- the engine's lists ---- */

static void add_publish(json_t *targets, const json_t *port)
{
	json_int_t number = json_integer_value(json_object_get(port, "PublicPort"));
	const char *addr = json_string_value(json_object_get(port, "IP"));
	json_t *host;
	size_t i;

	add_port(targets, addr, number);
	if (!str_eq(addr, "0.0.0.0"))
		return;
	json_array_foreach(json_object_get(targets, "hosts"), i, host) {
		add_port(targets, json_string_value(host), number);
	}
}

static void add_container(json_t *targets, const struct plan *p, const json_t *container)
{
	json_t *nets = json_object_get(json_object_get(container, "NetworkSettings"), "Networks"), *net, *port;
	bool own = str_eq(object_label(container, LABEL_NAME), p->name) &&
		   str_eq(object_label(container, LABEL_ROLE), "sidecar");
	const char *name;
	size_t i;

	json_object_foreach(nets, name, net) {
		const char *addr = json_string_value(json_object_get(net, "IPAddress"));

		add_host(targets, addr);
		if (own)
			add_once(json_object_get(targets, "own"), addr, PROBE_OWN_MAX);
	}
	json_array_foreach(json_object_get(container, "Ports"), i, port) {
		add_publish(targets, port);
	}
}

void probe_add_engine(json_t *targets, const struct plan *p, const json_t *containers, const json_t *networks)
{
	json_t *o, *config;
	size_t i, k;

	json_array_foreach(containers, i, o) {
		add_container(targets, p, o);
	}
	json_array_foreach(networks, i, o) {
		json_array_foreach(json_object_get(json_object_get(o, "IPAM"), "Config"), k, config) {
			add_host(targets, json_string_value(json_object_get(config, "Gateway")));
		}
	}
}

json_t *probe_targets(const struct plan *p, const json_t *containers, const json_t *networks)
{
	json_t *targets = json_pack("{s:s, s:s, s:[], s:[], s:[], s:[]}", "self", p->agent_addr, "gateway",
				    p->sidecar_addr, "own", "hosts", "ports", "dns");

	add_interfaces(targets);
	add_gateways(targets);
	add_resolvers(targets);
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
		add_host(targets, samples[i]);
	add_once(json_object_get(targets, "dns"), "1.1.1.1", PROBE_DNS_MAX);
	probe_add_engine(targets, p, containers, networks);
	return targets;
}

/* ---- the report ---- */

/* From a container: what is not plain text is shown as '?'. */
static void add_words(struct buf *b, const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	for (size_t i = 0; text && text[i] && i < LEAK_MAX / 2; i++)
		buf_append(b, text[i] < ' ' || text[i] > '~' ? "?" : &text[i], 1);
}

static void add_leak(struct buf *words, const json_t *leak)
{
	add_words(words, leak, "target");
	buf_puts(words, " (");
	add_words(words, leak, "what");
	buf_puts(words, ") ");
	add_words(words, leak, "answer");
}

void probe_tell_leaks(FILE *to, const struct buf *out)
{
	_cleanup_json_ json_t *report = buf_len(out) ? json_loadb(buf_ptr(out), buf_len(out), 0, NULL) : NULL;
	json_t *leak;
	size_t i;

	json_array_foreach(json_object_get(report, "leaks"), i, leak) {
		_cleanup_buf_ struct buf words = { 0 };

		add_leak(&words, leak);
		fprintf(to, "leak: %s\n", buf_cstr(&words));
	}
}

static int leaks_error(const json_t *leaks, struct err *e)
{
	_cleanup_buf_ struct buf words = { 0 };
	json_t *leak;
	size_t i;

	json_array_foreach(leaks, i, leak) {
		buf_puts(&words, i ? "; " : "");
		add_leak(&words, leak);
	}
	return err_set(e, ERR_DENIED, EPERM,
		       "the agent would not be shut in, so it was not started; where it would stand, %zu answered: %s",
		       json_array_size(leaks), buf_cstr(&words));
}

int probe_verdict(int exit_code, const struct buf *out, unsigned int *ret_checked, struct err *e)
{
	_cleanup_json_ json_t *report = buf_len(out) ? json_loadb(buf_ptr(out), buf_len(out), 0, NULL) : NULL;
	json_t *leaks = json_object_get(report, "leaks");
	json_int_t checked = json_integer_value(json_object_get(report, "checked"));

	if (json_array_size(leaks))
		return leaks_error(leaks, e);
	if (exit_code == 0 && json_is_true(json_object_get(report, "ok")) && json_is_array(leaks) && checked > 0) {
		*ret_checked = (unsigned int)checked;
		return 0;
	}
	return err_set(e, ERR_UNAVAILABLE, EIO, "the leak probe came to no verdict (exit code %d): %.*s", exit_code,
		       (int)(buf_len(out) > LEAK_MAX ? LEAK_MAX : buf_len(out)), buf_len(out) ? buf_ptr(out) : "");
}
