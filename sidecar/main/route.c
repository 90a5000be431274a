/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transparent capture without NAT, in sidecar's main process at its start.
 *
 * Theory: a packet that comes in from the agent must end in this kernel,
 * whatever address it is for, and must never be forwarded. Two objects do it:
 *
 *	ip rule  pref 50 iif INTERNAL lookup 100
 *	ip route add local 0.0.0.0/0 dev lo table 100
 *
 * With them every IPv4 destination, seen from the internal interface, is "this
 * host". A listener on 0.0.0.0:443 gets the agent's connection to any address,
 * and getsockname() on what it accepts is the address that the agent asked for:
 * nothing was translated, so there is no conntrack, no table that may fill up,
 * and no original destination to be looked up and got wrong. IP_TRANSPARENT
 * lets the answer leave with that foreign address as its source.
 *
 * What has no listener gets no way out either: it was delivered locally, and
 * found nobody. (The kernel does not answer with a RST from an address that is
 * not its own, so the agent sees silence; for addresses of the sidecar itself
 * it sees a refusal.) ip_forward is 0 besides, so that a packet would not pass
 * even without the rule. Echo requests are not answered: an answer from here
 * would look like one from the outside.
 */
#include "sidecar/main/route.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/str.h"

#define CAPTURE_TABLE 100
#define CAPTURE_PREF  50
#define ROUTES_MAX    65536
#define ATTRS_MAX     256

struct request {
	struct nlmsghdr head;
	union {
		struct rtmsg route;
		struct fib_rule_hdr rule;
	} u;
	char attrs[ATTRS_MAX];
};
static_assert(sizeof(struct rtmsg) == sizeof(struct fib_rule_hdr), "one layout for both");

static void add_attr(struct request *q, unsigned short type, const void *data, size_t n)
{
	struct rtattr *a = (struct rtattr *)(void *)((char *)q + NLMSG_ALIGN(q->head.nlmsg_len));

	a->rta_type = type;
	a->rta_len = (unsigned short)RTA_LENGTH(n);
	memcpy(RTA_DATA(a), data, n);
	q->head.nlmsg_len = NLMSG_ALIGN(q->head.nlmsg_len) + (unsigned int)RTA_ALIGN(a->rta_len);
}

static void request_init(struct request *q, unsigned short type, unsigned short flags)
{
	memset(q, 0, sizeof(*q));
	q->head.nlmsg_type = type;
	q->head.nlmsg_flags = NLM_F_REQUEST | flags;
	q->head.nlmsg_len = NLMSG_LENGTH(sizeof(q->u));
	q->head.nlmsg_seq = 1;
	q->u.route.rtm_family = AF_INET;
}

/* Sends one request and reads the one answer to it into space: its length, or -errno of the kernel's. */
static ssize_t talk(const struct request *q, void *space, size_t size)
{
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	const struct nlmsghdr *head = space;
	ssize_t n;

	if (fd < 0 || send(fd, q, q->head.nlmsg_len, 0) < 0)
		return -errno;
	n = recv(fd, space, size, 0);
	if (n < 0)
		return -errno;
	if (!NLMSG_OK(head, (size_t)n))
		return -EBADMSG;
	if (head->nlmsg_type == NLMSG_ERROR) {
		const struct nlmsgerr *error = NLMSG_DATA(head);

		return error->error;
	}
	return n;
}

static int change(const struct request *q, const char *what, struct err *e)
{
	char space[8192] __attribute__((aligned(8)));
	ssize_t r = talk(q, space, sizeof(space));

	if (r < 0 && r != -EEXIST) {
		errno = (int)-r;
		return err_errno(e, "%s (does the sidecar have CAP_NET_ADMIN?)", what);
	}
	return 0;
}

static int add_rule(const struct links *l, struct err *e)
{
	uint32_t pref = CAPTURE_PREF;
	struct request q;

	request_init(&q, RTM_NEWRULE, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
	q.u.rule.table = CAPTURE_TABLE;
	q.u.rule.action = FR_ACT_TO_TBL;
	add_attr(&q, FRA_PRIORITY, &pref, sizeof(pref));
	add_attr(&q, FRA_IIFNAME, l->internal, strlen(l->internal) + 1);
	return change(&q, "add the rule that captures the agent's packets", e);
}

static int add_route(struct err *e)
{
	uint32_t lo = if_nametoindex("lo");
	struct request q;

	request_init(&q, RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
	q.u.route.rtm_table = CAPTURE_TABLE;
	q.u.route.rtm_protocol = RTPROT_STATIC;
	q.u.route.rtm_scope = RT_SCOPE_HOST;
	q.u.route.rtm_type = RTN_LOCAL;
	add_attr(&q, RTA_OIF, &lo, sizeof(lo));
	return change(&q, "add the route that captures the agent's packets", e);
}

/* The engine sets these at the container's start (HostConfig.Sysctls: a container cannot write /proc/sys); here they must hold. */
static int need_sysctl(const char *path, const char *value, bool needed, struct err *e)
{
	_cleanup_free_ char *text = NULL;
	int r = file_read_at(AT_FDCWD, path, 64, &text, NULL), fd;

	if (r < 0)
		return !needed && r == -ENOENT ? 0 : err_set(e, ERR_INTERNAL, -r, "read '%s': %s", path, strerror(-r));
	if (strncmp(text, value, strlen(value)) == 0)
		return 0;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	r = fd < 0 ? -errno : fd_write_all(fd, value, strlen(value));
	if (fd >= 0)
		close(fd);
	return r < 0 ? err_set(e, ERR_INTERNAL, -r, "'%s' must be %s: start the sidecar with that sysctl", path, value)
		     : 0;
}

static int forwarding_is_off(struct err *e)
{
	_cleanup_free_ char *text = NULL;
	int r = file_read_at(AT_FDCWD, "/proc/sys/net/ipv4/ip_forward", 64, &text, NULL);

	if (r < 0)
		return err_set(e, ERR_INTERNAL, -r, "read ip_forward: %s", strerror(-r));
	return text[0] == '0' ? 0 : err_set(e, ERR_INTERNAL, EPERM, "ip_forward is on: the sidecar never forwards");
}

int route_capture(const struct links *l, struct err *e)
{
	static const struct {
		const char *path, *value;
		bool needed;
	} sysctls[] = {
		{ "/proc/sys/net/ipv4/ip_forward", "0", true },
		{ "/proc/sys/net/ipv4/icmp_echo_ignore_all", "1", true },
		{ "/proc/sys/net/ipv4/conf/all/accept_redirects", "0", true },
		{ "/proc/sys/net/ipv4/conf/all/accept_source_route", "0", true },
		{ "/proc/sys/net/ipv4/conf/all/route_localnet", "0", true },
		{ "/proc/sys/net/ipv4/conf/all/arp_ignore", "1",
		  true }, /* the agent can't ask for the egress address by ARP */
		{ "/proc/sys/net/ipv6/conf/all/disable_ipv6", "1", false },
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(sysctls) && r == 0; i++)
		r = need_sysctl(sysctls[i].path, sysctls[i].value, sysctls[i].needed, e);
	if (r == 0)
		r = add_rule(l, e);
	if (r == 0)
		r = add_route(e);
	return r < 0 ? r : route_check(l, e);
}

/* A neighbour's address on the internal network: whom the question below pretends to come from. */
static struct in_addr neighbour(const struct links *l)
{
	uint32_t own = ntohl(l->internal_addr.s_addr), host_bits = ~ntohl(l->internal_mask.s_addr);
	uint32_t next = (own & host_bits) + 1 < host_bits ? own + 1 : own - 1;

	return (struct in_addr){ htonl(next) };
}

/* "Where would a packet from the agent to 198.51.100.1 go?" The one good answer is "here". */
int route_check(const struct links *l, struct err *e)
{
	char space[8192] __attribute__((aligned(8))) = { 0 };
	uint32_t iif = if_nametoindex(l->internal);
	struct in_addr to, from = neighbour(l);
	const struct rtmsg *answer;
	struct request q;
	ssize_t n;

	if (!iif)
		return err_set(e, ERR_INTERNAL, ENODEV, "the internal interface %s is gone", l->internal);
	inet_pton(AF_INET, "198.51.100.1", &to);
	request_init(&q, RTM_GETROUTE, 0);
	q.u.route.rtm_dst_len = 32;
	q.u.route.rtm_src_len = 32;
	add_attr(&q, RTA_DST, &to, sizeof(to));
	add_attr(&q, RTA_SRC, &from, sizeof(from));
	add_attr(&q, RTA_IIF, &iif, sizeof(iif));
	n = talk(&q, space, sizeof(space));
	if (n < (ssize_t)NLMSG_LENGTH(sizeof(*answer)))
		return err_set(e, ERR_INTERNAL, n < 0 ? (int)-n : EBADMSG, "the agent's packets are not captured: %s",
			       n < 0 ? strerror((int)-n) : "no answer from the kernel");
	answer = NLMSG_DATA((const struct nlmsghdr *)(const void *)space);
	if (answer->rtm_type != RTN_LOCAL)
		return err_set(e, ERR_INTERNAL, EPERM, "the agent's packets are not captured: route of type %d",
			       answer->rtm_type);
	return forwarding_is_off(e);
}

int route_watch(void)
{
	struct sockaddr_nl nl = {
		.nl_family = AF_NETLINK,
		.nl_groups = RTMGRP_IPV4_RULE | RTMGRP_IPV4_ROUTE | RTMGRP_LINK | RTMGRP_IPV4_IFADDR,
	};
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd < 0 || bind(fd, (struct sockaddr *)&nl, sizeof(nl)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

/* /proc/net/route: Iface Destination Gateway Flags RefCnt Use Metric Mask …, numbers in hexadecimal. */
static int default_device(char ret[IF_NAMESIZE], struct err *e)
{
	_cleanup_free_ char *text = NULL;
	char *rest, *line;

	if (file_read_at(AT_FDCWD, "/proc/net/route", ROUTES_MAX, &text, NULL) < 0)
		return err_set(e, ERR_INTERNAL, EIO, "cannot read /proc/net/route");
	rest = text;
	while ((line = strsep(&rest, "\n"))) {
		char *name = strsep(&line, "\t"), *to = strsep(&line, "\t"), *mask = NULL;

		for (int i = 0; i < 6 && line; i++)
			mask = strsep(&line, "\t");
		if (str_eq(to, "00000000") && str_eq(mask, "00000000")) {
			snprintf(ret, IF_NAMESIZE, "%s", name);
			return 0;
		}
	}
	return err_set(e, ERR_INVALID, ENETUNREACH, "no default route: the sidecar needs an egress network");
}

static struct in_addr sin_of(const struct sockaddr *a)
{
	struct sockaddr_in in;

	memcpy(&in, a, sizeof(in));
	return in.sin_addr;
}

int links_find(struct in_addr internal_addr, struct links *ret, struct err *e)
{
	struct links l = { .internal_addr = internal_addr };
	struct ifaddrs *all;
	int r = default_device(l.egress, e);

	if (r < 0)
		return r;
	if (getifaddrs(&all) < 0)
		return err_errno(e, "list the interfaces");
	for (struct ifaddrs *i = all; i; i = i->ifa_next) {
		if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET || !i->ifa_netmask)
			continue;
		if (sin_of(i->ifa_addr).s_addr == internal_addr.s_addr) {
			snprintf(l.internal, sizeof(l.internal), "%s", i->ifa_name);
			l.internal_mask = sin_of(i->ifa_netmask);
		} else if (str_eq(i->ifa_name, l.egress)) {
			l.egress_addr = sin_of(i->ifa_addr);
		}
	}
	freeifaddrs(all);
	if (!*l.internal)
		return err_set(e, ERR_INVALID, ENODEV, "no interface has the address of BOTTLE_INTERNAL");
	if (!l.egress_addr.s_addr || str_eq(l.internal, l.egress))
		return err_set(e, ERR_INVALID, ENODEV, "the default route does not lead to a network of its own");
	*ret = l;
	return 0;
}
