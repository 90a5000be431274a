/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets up links by rtnetlink; in bottle-init, once. One request at a time,
 * each acknowledged by the kernel. A NIC is found by the placeholder address
 * that QEMU made it with, which is then replaced by the configured one.
 */
#include "guest/net.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/str.h"
#include "guest/devices.h"

#define SYS_NET    "/sys/class/net"
#define NET_NONE   0 /* no interface has this index */
#define MAC_FORMAT "02:b0:77:00:00:%02x"

struct request {
	struct nlmsghdr h;
	union {
		struct ifinfomsg link;
		struct ifaddrmsg addr;
		struct rtmsg route;
		struct ndmsg neigh;
	};
	char attrs[256];
};

static struct request *request_init(struct request *r, uint16_t type, uint16_t flags, size_t body)
{
	memset(r, 0, sizeof(*r));
	r->h.nlmsg_type = type;
	r->h.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	r->h.nlmsg_len = NLMSG_LENGTH(body);
	return r;
}

/* Attributes are a handful of addresses and a name: they always fit. */
static void put(struct request *r, uint16_t type, const void *data, size_t n)
{
	struct rtattr *a = (struct rtattr *)(void *)((char *)r + NLMSG_ALIGN(r->h.nlmsg_len));

	a->rta_type = type;
	a->rta_len = (uint16_t)RTA_LENGTH(n);
	memcpy(RTA_DATA(a), data, n);
	r->h.nlmsg_len = (uint32_t)(NLMSG_ALIGN(r->h.nlmsg_len) + RTA_ALIGN(a->rta_len));
}

static int ask(int fd, const struct request *r)
{
	struct {
		struct nlmsghdr h;
		struct nlmsgerr err;
		char rest[1024];
	} answer;
	ssize_t n;

	if (send(fd, r, r->h.nlmsg_len, 0) < 0)
		return -errno;
	n = recv(fd, &answer, sizeof(answer), 0);
	if (n < 0)
		return -errno;
	if ((size_t)n < NLMSG_LENGTH(sizeof(answer.err)) || answer.h.nlmsg_type != NLMSG_ERROR)
		return -EPROTO;
	return answer.err.error;
}

static int set_link(int fd, unsigned index, const struct config_nic *nic, bool up)
{
	static const unsigned char no_mac[6];
	struct request r;

	request_init(&r, RTM_NEWLINK, 0, sizeof(r.link));
	r.link.ifi_index = (int)index;
	if (up) {
		r.link.ifi_flags = IFF_UP;
		r.link.ifi_change = IFF_UP;
	}
	if (nic && !up && nic->name)
		put(&r, IFLA_IFNAME, nic->name, strlen(nic->name) + 1);
	if (nic && !up && memcmp(nic->mac, no_mac, 6) != 0)
		put(&r, IFLA_ADDRESS, nic->mac, 6);
	if (nic && !up && nic->mtu)
		put(&r, IFLA_MTU, &nic->mtu, 4);
	return ask(fd, &r);
}

static int add_address(int fd, unsigned index, const struct config_nic *nic)
{
	uint32_t mask = nic->prefix ? htonl(~0U << (32 - nic->prefix)) : 0, broadcast = nic->addr | ~mask;
	struct request r;

	request_init(&r, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, sizeof(r.addr));
	r.addr.ifa_family = AF_INET;
	r.addr.ifa_prefixlen = (unsigned char)nic->prefix;
	r.addr.ifa_index = index;
	put(&r, IFA_LOCAL, &nic->addr, 4);
	put(&r, IFA_ADDRESS, &nic->addr, 4);
	if (nic->prefix < 31)
		put(&r, IFA_BROADCAST, &broadcast, 4);
	return ask(fd, &r);
}

/* ONLINK: the gateway may lie outside the prefix (a routed tap with a /32). */
static int add_gateway(int fd, unsigned index, const struct config_nic *nic)
{
	struct request r;

	request_init(&r, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, sizeof(r.route));
	r.route.rtm_family = AF_INET;
	r.route.rtm_table = RT_TABLE_MAIN;
	r.route.rtm_protocol = RTPROT_BOOT;
	r.route.rtm_scope = RT_SCOPE_UNIVERSE;
	r.route.rtm_type = RTN_UNICAST;
	r.route.rtm_flags = RTNH_F_ONLINK;
	put(&r, RTA_GATEWAY, &nic->gateway, 4);
	put(&r, RTA_OIF, &index, 4);
	return ask(fd, &r);
}

static int add_neighbour(int fd, unsigned index, const struct config_neigh *neigh)
{
	struct request r;

	request_init(&r, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, sizeof(r.neigh));
	r.neigh.ndm_family = AF_INET;
	r.neigh.ndm_ifindex = (int)index;
	r.neigh.ndm_state = NUD_PERMANENT;
	put(&r, NDA_DST, &neigh->addr, 4);
	put(&r, NDA_LLADDR, neigh->mac, 6);
	return ask(fd, &r);
}

static unsigned known_nic(uint32_t index)
{
	DIR *dir = opendir(SYS_NET);
	unsigned found = NET_NONE;
	struct dirent *d;
	char mac[32];

	snprintf(mac, sizeof(mac), MAC_FORMAT "\n", index);
	while (dir && !found && (d = readdir(dir))) {
		_cleanup_free_ char *text = NULL;
		char path[300];
		size_t len;

		snprintf(path, sizeof(path), "%s/address", d->d_name);
		if (d->d_name[0] != '.' && file_read_at(dirfd(dir), path, 64, &text, &len) == 0 && str_eq(text, mac))
			found = if_nametoindex(d->d_name);
	}
	if (dir)
		closedir(dir);
	return found;
}

static unsigned find_nic(uint32_t index)
{
	unsigned found;

	do
		found = known_nic(index);
	while (found == NET_NONE && devices_probe_nic());
	return found;
}

static int nic_configure(int fd, const struct config_nic *nic, struct err *e)
{
	unsigned index = find_nic(nic->index);
	const char *name = nic->name ? nic->name : "the interface";
	int r;

	if (index == NET_NONE)
		return err_set(e, ERR_UNAVAILABLE, ENODEV, "the VM has no network device " MAC_FORMAT, nic->index);
	if ((r = set_link(fd, index, nic, false)) < 0)
		return err_set(e, ERR_INTERNAL, -r, "set name, address or MTU of %s: %s", name, strerror(-r));
	if ((r = set_link(fd, index, nic, true)) < 0)
		return err_set(e, ERR_INTERNAL, -r, "bring %s up: %s", name, strerror(-r));
	if (nic->addr && (r = add_address(fd, index, nic)) < 0)
		return err_set(e, ERR_INTERNAL, -r, "give %s its address: %s", name, strerror(-r));
	for (size_t i = 0; i < nic->n_neigh; i++)
		if ((r = add_neighbour(fd, index, &nic->neigh[i])) < 0)
			return err_set(e, ERR_INTERNAL, -r, "add a neighbour on %s: %s", name, strerror(-r));
	if (nic->gateway && (r = add_gateway(fd, index, nic)) < 0)
		return err_set(e, ERR_INTERNAL, -r, "set the default route through %s: %s", name, strerror(-r));
	return 0;
}

int net_loopback(struct err *e)
{
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	int r;

	if (fd < 0)
		return err_errno(e, "open rtnetlink");
	r = set_link(fd, if_nametoindex("lo"), NULL, true);
	if (r < 0)
		return err_set(e, ERR_INTERNAL, -r, "bring lo up: %s", strerror(-r));
	return 0;
}

int net_configure(const struct guest_config *c, struct err *e)
{
	_cleanup_close_ int fd = -1;
	int r;

	if (!c->n_nics)
		return 0;
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0)
		return err_errno(e, "open rtnetlink");
	for (size_t i = 0; i < c->n_nics; i++) {
		r = nic_configure(fd, &c->nics[i], e);
		if (r < 0)
			return r;
	}
	return 0;
}
