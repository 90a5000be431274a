/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's end of published ports: a bound socket for each, which reserves
 * the port as long as the container runs (its monitor keeps it) and tells
 * netpolicyd, which alone decides about the address, what to forward.
 * Runs in bottled with the user's own rights.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "api/container.h"
#include "base/mem.h"

void ports_close(struct port_bind *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i].fd >= 0)
			close(p[i].fd);
}

/* The first free port of [first, last]; 0 is any. fd or -errno. */
static int bind_range(int proto, const uint8_t addr[4], uint16_t first, uint16_t last)
{
	int type = proto == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM, r = -EADDRINUSE;
	struct sockaddr_in sa = { .sin_family = AF_INET };

	memcpy(&sa.sin_addr, addr, 4);
	for (unsigned int port = first; port <= last; port++) {
		int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

		if (fd < 0)
			return -errno;
		sa.sin_port = htons((uint16_t)port);
		if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
			return fd;
		r = -errno;
		close(fd);
		if (r != -EADDRINUSE)
			return r;
	}
	return r;
}

static uint16_t bound_port(int fd)
{
	struct sockaddr_in sa = { 0 };
	socklen_t n = sizeof(sa);

	return getsockname(fd, (struct sockaddr *)&sa, &n) == 0 ? ntohs(sa.sin_port) : 0;
}

static void parse_range(const char *s, uint16_t *ret_first, uint16_t *ret_last)
{
	char *end;
	unsigned long first = strtoul(s, &end, 10);

	*ret_first = (uint16_t)first;
	*ret_last = *end == '-' ? (uint16_t)strtoul(end + 1, NULL, 10) : (uint16_t)first;
}

static int bind_one(const char *port, const char *ip, const char *host_port, struct port_bind *ret, json_t *list,
		    struct err *e)
{
	uint16_t first, last;
	uint8_t addr[4] = { 0 };
	int fd;

	if (*ip)
		spec_ipv4(ip, addr);
	parse_range(host_port, &first, &last);
	ret->proto = str_suffix(port, "/udp") ? IPPROTO_UDP : IPPROTO_TCP;
	ret->port = (uint16_t)strtoul(port, NULL, 10);
	fd = bind_range(ret->proto, addr, first, last);
	if (fd == -EADDRINUSE)
		return err_set(e, ERR_INTERNAL, EADDRINUSE, "Bind for %s:%s failed: port is already allocated",
			       *ip ? ip : "0.0.0.0", host_port);
	if (fd < 0) {
		errno = -fd;
		return err_errno(e, "Bind for %s:%s failed", *ip ? ip : "0.0.0.0", host_port);
	}
	ret->fd = fd;
	json_array_append_new(list, json_pack("{s:s, s:o}", "HostIp", *ip ? ip : "0.0.0.0", "HostPort",
					      json_sprintf("%u", bound_port(fd))));
	return 0;
}

static int bind_list(const char *port, const json_t *bindings, struct port_bind *ret, size_t max, size_t *n,
		     json_t *ports, struct err *e)
{
	json_t *list = json_array(), *b;
	size_t i;
	int r;

	json_object_set_new(ports, port, list);
	json_array_foreach(bindings, i, b) {
		if (*n >= max)
			return err_set(e, ERR_INVALID, E2BIG, "more than %zu published ports", max);
		r = bind_one(port, member_text(b, "HostIp"), member_text(b, "HostPort"), &ret[*n], list, e);
		if (r < 0)
			return r;
		++*n;
	}
	return 0;
}

int ports_bind(const struct container *c, struct port_bind *ret, size_t max, size_t *ret_n, json_t *ret_ports,
	       struct err *e)
{
	const json_t *bindings = json_object_get(container_host_config(c), "PortBindings");
	bool all = member_flag(container_host_config(c), "PublishAllPorts");
	json_t *any = json_pack("[{s:s, s:s}]", "HostIp", "", "HostPort", ""), *v;
	const char *port;
	int r = 0;

	*ret_n = 0;
	json_object_foreach(json_object_get(container_config(c), "ExposedPorts"), port, v) {
		const json_t *list = json_object_get(bindings, port);

		if (!list && all && !str_suffix(port, "/sctp"))
			list = any;
		if (!list)
			json_object_set_new(ret_ports, port, json_null());
		else
			r = bind_list(port, list, ret, max, ret_n, ret_ports, e);
		if (r < 0)
			break;
	}
	json_decref(any);
	if (r < 0) {
		ports_close(ret, *ret_n);
		*ret_n = 0;
	}
	return r;
}
