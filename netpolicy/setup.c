/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The privileged beginning of netpolicyd: it trusts the command line, the files
 * of root and the kernel, and no client exists yet. Each step finds done what an
 * earlier start has done, so that a start after a crash mends what is missing.
 */
#include "netpolicy/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ip.h>
#include <linux/magic.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "netpolicy/pool.h"
#include "netpolicy/worker.h"

#define UPLINK_ALIAS      "bottle:uplink"
#define LOCK_TRIES        30 /* of 100 ms: the one before may be on its way out */
#define RESOLV_CONF_MAX   (64 * 1024)
#define RESOLVED_UPSTREAM "/run/systemd/resolve/resolv.conf"
#define VETH_PREFIX       30

struct sysctl {
	const char *path, *value;
	bool optional; /* only there with a module */
};

/* Before N has any link. */
static const struct sysctl ns_sysctls[] = {
	{ "ipv6/conf/all/disable_ipv6", "1", true },      { "ipv6/conf/default/disable_ipv6", "1", true },
	{ "bridge/bridge-nf-call-iptables", "0", true },  { "bridge/bridge-nf-call-ip6tables", "0", true },
	{ "bridge/bridge-nf-call-arptables", "0", true }, { "ipv4/ip_forward", "1", false },
	{ "ipv4/conf/all/rp_filter", "1", false },        { "ipv4/conf/default/rp_filter", "1", false },
	{ "ipv4/conf/all/arp_ignore", "1", false },       { "ipv4/conf/all/arp_announce", "2", false },
	{ "ipv4/conf/all/send_redirects", "0", false },   { "ipv4/conf/default/send_redirects", "0", false },
	{ "ipv4/conf/all/accept_redirects", "0", false }, { "ipv4/icmp_echo_ignore_all", "1", false },
};

/* The host's namespace gets these and nothing else; forwarding for all is what routing needs. */
static const struct sysctl host_sysctls[] = {
	{ "ipv4/ip_forward", "1", false },
	{ "ipv6/conf/" RS_LINK_HOST "/disable_ipv6", "1", true },
};

static const struct link_conf host_link_conf[] = {
	{ IPV4_DEVCONF_ROUTE_LOCALNET, 1 }, { IPV4_DEVCONF_RP_FILTER, 1 },        { IPV4_DEVCONF_ARP_IGNORE, 1 },
	{ IPV4_DEVCONF_SEND_REDIRECTS, 0 }, { IPV4_DEVCONF_ACCEPT_REDIRECTS, 0 }, { 0, 0 },
};

/* Written only when it is another: setting ip_forward anew would reset settings that hang on it. */
static int set_sysctl(const struct sysctl *c, struct err *e)
{
	_cleanup_free_ char *path = xasprintf("/proc/sys/net/%s", c->path);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC), out = -1;
	char now[16] = "";

	if (fd < 0)
		return c->optional && errno == ENOENT ? 0 : err_errno(e, "open '%s'", path);
	if (read(fd, now, sizeof(now) - 1) > 0 && strncmp(now, c->value, strlen(c->value)) == 0 &&
	    now[strlen(c->value)] == '\n')
		return 0;
	out = open(path, O_WRONLY | O_CLOEXEC);
	if (out < 0 || write(out, c->value, strlen(c->value)) < 0)
		return err_errno(e, "set '%s' to %s", path, c->value);
	return 0;
}

static int set_sysctls(const struct sysctl *c, size_t n, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = set_sysctl(&c[i], e);
	return r;
}

int setup_lock(const char *netns, struct err *e)
{
	_cleanup_free_ char *path = xasprintf("%s.lock", netns), *dir = xstrdup(netns);
	struct timespec pause = { .tv_nsec = 100 * 1000 * 1000 };
	_cleanup_close_ int fd = -1;
	char *slash = strrchr(dir, '/');

	if (slash && slash != dir) {
		*slash = '\0';
		mkdir_p(AT_FDCWD, dir, 0755);
	}
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_errno(e, "open '%s'", path);
	for (int i = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
		if (errno != EWOULDBLOCK || i == LOCK_TRIES)
			return err_set(e, ERR_CONFLICT, EBUSY,
				       "another netpolicyd serves '%s'; it ends by itself when it is idle", netns);
		nanosleep(&pause, NULL);
	}
	return TAKE_FD(fd);
}

static bool is_namespace(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type == NSFS_MAGIC;
}

/* A namespace by path; -ENOENT when nothing is pinned there. */
static int open_pinned(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return -errno;
	return is_namespace(fd) ? TAKE_FD(fd) : -ENOENT;
}

/* Makes N and pins it; the process is in N afterwards. */
static int make_pinned(const char *path, struct err *e)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0444);

	if (fd < 0)
		return err_errno(e, "make '%s'", path);
	if (unshare(CLONE_NEWNET) < 0)
		return err_errno(e, "make a network namespace");
	if (mount("/proc/self/ns/net", path, NULL, MS_BIND, NULL) < 0)
		return err_errno(e, "pin the network namespace at '%s'", path);
	return 0;
}

static int open_ns_sockets(struct state *s, struct err *e)
{
	int r = nl_open(&s->ns_rt, NETLINK_ROUTE, 0, e);

	if (r == 0)
		r = nl_open(&s->ns_nf, NETLINK_NETFILTER, 0, e);
	return r < 0 ? r : nl_open(&s->ns_events, NETLINK_ROUTE, RTMGRP_LINK, e);
}

static int open_host_sockets(struct state *s, struct err *e)
{
	socklen_t len = sizeof(s->host_cookie);
	int r = nl_open(&s->host_rt, NETLINK_ROUTE, 0, e);

	if (r == 0)
		r = nl_open(&s->host_nf, NETLINK_NETFILTER, 0, e);
	if (r == 0)
		r = nl_open(&s->host_events, NETLINK_ROUTE, RTMGRP_IPV4_IFADDR, e);
	if (r == 0 && getsockopt(nl_fd(&s->host_rt), SOL_SOCKET, SO_NETNS_COOKIE, &s->host_cookie, &len) < 0)
		r = err_errno(e, "the host's network namespace cookie");
	return r;
}

/* In N: settings, tap opener, sockets. Ends in H again, whatever happens. */
static int enter_ns(const struct setup *c, int host_fd, struct state *s, int *ret_ns_fd, struct err *e)
{
	_cleanup_close_ int fd = open_pinned(c->netns);
	int r = 0;

	if (fd == -ENOENT)
		r = make_pinned(c->netns, e);
	else if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		r = err_errno(e, "enter the network namespace '%s'", c->netns);
	if (r == 0)
		r = set_sysctls(ns_sysctls, ARRAY_SIZE(ns_sysctls), e);
	if (r == 0)
		r = s->worker_fd = worker_start(e);
	if (r >= 0)
		r = open_ns_sockets(s, e);
	if (setns(host_fd, CLONE_NEWNET) < 0)
		fatal("return to the host's network namespace: %s", strerror(errno));
	if (r < 0)
		return r;
	if (fd < 0)
		fd = open_pinned(c->netns);
	*ret_ns_fd = TAKE_FD(fd);
	return 0;
}

struct find {
	int ifindex;
	bool ours;
};

static void find_host_link(const struct link_info *l, void *arg)
{
	struct find *f = arg;

	if (str_eq(l->name, RS_LINK_HOST))
		*f = (struct find){ .ifindex = l->ifindex, .ours = str_eq(l->alias, UPLINK_ALIAS) };
}

/* A pair, each end where it belongs; half a pair (its other end went with an N that is no more) is made anew. */
static int make_uplink(struct state *s, int ns_fd, struct err *e)
{
	struct find f = { 0 };
	int r;

	link_list(&s->host_rt, find_host_link, &f);
	s->ns_link = link_index(&s->ns_rt, RS_LINK_NS);
	s->host_link = f.ifindex;
	if (f.ifindex && f.ours && s->ns_link)
		return 0;
	if (f.ifindex && !f.ours)
		return err_set(e, ERR_CONFLICT, EEXIST, "the host has a link '%s' that is not ours; rename it",
			       RS_LINK_HOST);
	if (f.ifindex)
		link_del(&s->host_rt, f.ifindex);
	if (s->ns_link)
		link_del(&s->ns_rt, s->ns_link);
	r = link_add_veth(&s->host_rt, RS_LINK_HOST, RS_LINK_NS, ns_fd);
	s->host_link = link_index(&s->host_rt, RS_LINK_HOST);
	s->ns_link = link_index(&s->ns_rt, RS_LINK_NS);
	errno = r < 0 ? -r : ENODEV;
	return r < 0 || !s->host_link || !s->ns_link
		       ? err_errno(e, "make the links %s and %s", RS_LINK_HOST, RS_LINK_NS)
		       : 0;
}

static int route_uplink(struct state *s, struct err *e)
{
	uint32_t host = pool_veth_host(s->pool), ns = pool_veth_ns(s->pool);
	int r = link_set(&s->host_rt, s->host_link, UPLINK_ALIAS, NULL, 0, host_link_conf);

	if (r == 0)
		r = link_addr(&s->host_rt, s->host_link, host, VETH_PREFIX);
	if (r == 0)
		r = link_addr(&s->ns_rt, s->ns_link, ns, VETH_PREFIX);
	if (r == 0)
		r = link_up(&s->host_rt, s->host_link);
	if (r == 0)
		r = link_up(&s->ns_rt, s->ns_link);
	if (r == 0)
		r = link_route(&s->host_rt, s->host_link, s->pool, POOL_PREFIX, ns);
	if (r == 0)
		r = link_route(&s->ns_rt, s->ns_link, 0, 0, host);
	if (r == 0) /* an address that nobody has must not travel back to the host */
		r = link_route(&s->ns_rt, 0, s->pool, POOL_PREFIX, 0);
	errno = -r;
	return r < 0 ? err_errno(e, "set up the links %s and %s", RS_LINK_HOST, RS_LINK_NS) : 0;
}

static void read_resolvers(struct state *s, const char *path)
{
	_cleanup_free_ char *text = NULL;
	char *save = NULL;
	size_t len;

	if (file_read_at(AT_FDCWD, path, RESOLV_CONF_MAX, &text, &len) < 0)
		return;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char addr[ADDR_TEXT];
		uint32_t a;

		if (sscanf(line, " nameserver %15[0-9.]", addr) != 1 || !addr_parse(addr, &a))
			continue;
		if (a >> 24 == 127)
			s->loopback_resolver = true;
		else if (s->n_resolvers < RESOLVERS_MAX)
			s->resolvers[s->n_resolvers++] = a;
	}
}

int setup_open(const struct setup *c, struct state *s, struct err *e)
{
	_cleanup_close_ int host_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), ns_fd = -1;
	int r;

	if (host_fd < 0)
		return err_errno(e, "open '/proc/self/ns/net'");
	r = enter_ns(c, host_fd, s, &ns_fd, e);
	if (r == 0)
		r = open_host_sockets(s, e);
	if (r == 0)
		r = make_uplink(s, ns_fd, e);
	if (r == 0)
		r = set_sysctls(host_sysctls, ARRAY_SIZE(host_sysctls), e);
	/* The tables before the links are up and anything is forwarded. */
	read_resolvers(s, c->resolv_conf);
	if (!s->n_resolvers && s->loopback_resolver)
		read_resolvers(s, RESOLVED_UPSTREAM);
	if (r == 0)
		r = state_load(s, e);
	return r < 0 ? r : route_uplink(s, e);
}

int setup_open_existing(const struct setup *c, struct state *s, struct err *e)
{
	_cleanup_close_ int host_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), fd = open_pinned(c->netns);
	int r = open_host_sockets(s, e);

	s->host_link = r < 0 ? 0 : link_index(&s->host_rt, RS_LINK_HOST);
	if (r < 0 || fd == -ENOENT)
		return r;
	if (host_fd < 0 || fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		return err_errno(e, "enter the network namespace '%s'", c->netns);
	r = open_ns_sockets(s, e);
	if (setns(host_fd, CLONE_NEWNET) < 0)
		fatal("return to the host's network namespace: %s", strerror(errno));
	return r < 0 ? r : 1;
}

int setup_unpin(const char *netns, struct err *e)
{
	_cleanup_free_ char *lock = xasprintf("%s.lock", netns);

	if (umount2(netns, MNT_DETACH) < 0 && errno != EINVAL && errno != ENOENT)
		return err_errno(e, "unpin the network namespace '%s'", netns);
	if ((unlink(netns) < 0 && errno != ENOENT) || (unlink(lock) < 0 && errno != ENOENT))
		return err_errno(e, "remove '%s'", netns);
	return 0;
}
