/* SPDX-License-Identifier: Apache-2.0 */
/* rtnetlink requests of netpolicyd. Everything that goes into them was made by the caller from checked numbers. */
#include "netpolicy/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netconf.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <string.h>
#include <sys/socket.h>

#include "base/str.h"

static struct nlmsghdr *start_link(struct nl *rt, uint16_t type, uint16_t flags, unsigned char family, int ifindex,
				   bool up)
{
	struct nlmsghdr *h = nl_start(rt, type, (uint16_t)(flags | NLM_F_ACK));
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(h, sizeof(*ifi));

	ifi->ifi_family = family;
	ifi->ifi_index = ifindex;
	ifi->ifi_flags = ifi->ifi_change = up ? IFF_UP : 0;
	return h;
}

int link_add_bridge(struct nl *rt, const char *name, const uint8_t mac[MAC_LEN])
{
	struct nlmsghdr *h = start_link(rt, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, AF_UNSPEC, 0, false);
	struct nlattr *info, *data;

	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	/* Its own, or the first port's would be taken, and change with the ports. */
	mnl_attr_put(h, IFLA_ADDRESS, MAC_LEN, mac);
	info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_strz(h, IFLA_INFO_KIND, "bridge");
	data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
	mnl_attr_put_u32(h, IFLA_BR_STP_STATE, 0);
	mnl_attr_put_u8(h, IFLA_BR_MCAST_SNOOPING, 0);
	mnl_attr_nest_end(h, data);
	mnl_attr_nest_end(h, info);
	return nl_run(rt, h, NULL, NULL);
}

int link_add_veth(struct nl *rt, const char *name, const char *peer, int peer_ns_fd)
{
	struct nlmsghdr *h = start_link(rt, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, AF_UNSPEC, 0, false);
	struct nlattr *info, *data, *end;
	struct ifinfomsg zero = { 0 };

	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_strz(h, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
	end = mnl_attr_nest_start(h, VETH_INFO_PEER);
	memcpy(mnl_nlmsg_put_extra_header(h, sizeof(zero)), &zero, sizeof(zero));
	mnl_attr_put_strz(h, IFLA_IFNAME, peer);
	mnl_attr_put_u32(h, IFLA_NET_NS_FD, (uint32_t)peer_ns_fd);
	mnl_attr_nest_end(h, end);
	mnl_attr_nest_end(h, data);
	mnl_attr_nest_end(h, info);
	return nl_run(rt, h, NULL, NULL);
}

int link_del(struct nl *rt, int ifindex)
{
	return nl_run(rt, start_link(rt, RTM_DELLINK, 0, AF_UNSPEC, ifindex, false), NULL, NULL);
}

static void put_conf(struct nlmsghdr *h, const struct link_conf *conf)
{
	struct nlattr *spec = mnl_attr_nest_start(h, IFLA_AF_SPEC), *inet, *values;

	inet = mnl_attr_nest_start(h, AF_INET);
	values = mnl_attr_nest_start(h, IFLA_INET_CONF);
	for (; conf->index; conf++)
		mnl_attr_put_u32(h, (uint16_t)conf->index, conf->value);
	mnl_attr_nest_end(h, values);
	mnl_attr_nest_end(h, inet);
	mnl_attr_nest_end(h, spec);
}

int link_set(struct nl *rt, int ifindex, const char *alias, const uint8_t *mac, int master,
	     const struct link_conf *conf)
{
	struct nlmsghdr *h = start_link(rt, RTM_SETLINK, 0, AF_UNSPEC, ifindex, false);

	if (alias)
		mnl_attr_put(h, IFLA_IFALIAS, strlen(alias), alias);
	if (mac)
		mnl_attr_put(h, IFLA_ADDRESS, MAC_LEN, mac);
	if (master)
		mnl_attr_put_u32(h, IFLA_MASTER, (uint32_t)master);
	if (conf)
		put_conf(h, conf);
	return nl_run(rt, h, NULL, NULL);
}

int link_up(struct nl *rt, int ifindex)
{
	return nl_run(rt, start_link(rt, RTM_SETLINK, 0, AF_UNSPEC, ifindex, true), NULL, NULL);
}

int link_port(struct nl *rt, int ifindex)
{
	struct nlmsghdr *h = start_link(rt, RTM_SETLINK, 0, AF_BRIDGE, ifindex, false);
	struct nlattr *port = mnl_attr_nest_start(h, IFLA_PROTINFO | NLA_F_NESTED);

	mnl_attr_put_u8(h, IFLA_BRPORT_LEARNING, 0);
	mnl_attr_put_u8(h, IFLA_BRPORT_UNICAST_FLOOD, 0);
	mnl_attr_put_u8(h, IFLA_BRPORT_MCAST_FLOOD, 0);
	mnl_attr_nest_end(h, port);
	return nl_run(rt, h, NULL, NULL);
}

static struct nlmsghdr *start_neigh(struct nl *rt, unsigned char family, int ifindex, uint16_t state, uint8_t flags)
{
	struct nlmsghdr *h = nl_start(rt, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE | NLM_F_ACK);
	struct ndmsg *nd = mnl_nlmsg_put_extra_header(h, sizeof(*nd));

	nd->ndm_family = family;
	nd->ndm_ifindex = ifindex;
	nd->ndm_state = state;
	nd->ndm_flags = flags;
	return h;
}

int link_fdb(struct nl *rt, int ifindex, const uint8_t mac[MAC_LEN])
{
	struct nlmsghdr *h = start_neigh(rt, AF_BRIDGE, ifindex, NUD_NOARP, NTF_MASTER);

	mnl_attr_put(h, NDA_LLADDR, MAC_LEN, mac);
	return nl_run(rt, h, NULL, NULL);
}

int link_neigh(struct nl *rt, int ifindex, uint32_t addr, const uint8_t mac[MAC_LEN])
{
	struct nlmsghdr *h = start_neigh(rt, AF_INET, ifindex, NUD_PERMANENT, 0);

	mnl_attr_put_u32(h, NDA_DST, htonl(addr));
	mnl_attr_put(h, NDA_LLADDR, MAC_LEN, mac);
	return nl_run(rt, h, NULL, NULL);
}

int link_neigh_del(struct nl *rt, int ifindex, uint32_t addr)
{
	struct nlmsghdr *h = nl_start(rt, RTM_DELNEIGH, NLM_F_ACK);
	struct ndmsg *nd = mnl_nlmsg_put_extra_header(h, sizeof(*nd));

	nd->ndm_family = AF_INET;
	nd->ndm_ifindex = ifindex;
	mnl_attr_put_u32(h, NDA_DST, htonl(addr));
	return nl_run(rt, h, NULL, NULL);
}

int link_addr(struct nl *rt, int ifindex, uint32_t addr, unsigned prefix)
{
	struct nlmsghdr *h = nl_start(rt, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE | NLM_F_ACK);
	struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(h, sizeof(*ifa));

	ifa->ifa_family = AF_INET;
	ifa->ifa_prefixlen = (uint8_t)prefix;
	ifa->ifa_index = (uint32_t)ifindex;
	mnl_attr_put_u32(h, IFA_LOCAL, htonl(addr));
	mnl_attr_put_u32(h, IFA_ADDRESS, htonl(addr));
	return nl_run(rt, h, NULL, NULL);
}

int link_route(struct nl *rt, int ifindex, uint32_t dst, unsigned prefix, uint32_t via)
{
	struct nlmsghdr *h = nl_start(rt, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE | NLM_F_ACK);
	struct rtmsg *r = mnl_nlmsg_put_extra_header(h, sizeof(*r));

	r->rtm_family = AF_INET;
	r->rtm_dst_len = (uint8_t)prefix;
	r->rtm_table = RT_TABLE_MAIN;
	r->rtm_protocol = RTPROT_STATIC;
	r->rtm_scope = via || !ifindex ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
	r->rtm_type = ifindex ? RTN_UNICAST : RTN_UNREACHABLE;
	if (prefix)
		mnl_attr_put_u32(h, RTA_DST, htonl(dst));
	if (via)
		mnl_attr_put_u32(h, RTA_GATEWAY, htonl(via));
	if (ifindex)
		mnl_attr_put_u32(h, RTA_OIF, (uint32_t)ifindex);
	return nl_run(rt, h, NULL, NULL);
}

static void take_attr(const struct nlattr *a, struct link_info *l)
{
	switch (mnl_attr_get_type(a)) {
	case IFLA_IFNAME:
		snprintf(l->name, sizeof(l->name), "%.*s", (int)mnl_attr_get_payload_len(a), mnl_attr_get_str(a));
		break;
	case IFLA_IFALIAS:
		snprintf(l->alias, sizeof(l->alias), "%.*s", (int)mnl_attr_get_payload_len(a), mnl_attr_get_str(a));
		break;
	case IFLA_CARRIER:
		l->carrier = mnl_attr_get_u8(a);
		break;
	case IFLA_LINK:
		l->peer_ifindex = (int)mnl_attr_get_u32(a);
		break;
	}
}

bool link_parse(const struct nlmsghdr *h, struct link_info *ret)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(h);
	const struct nlattr *a;

	if ((h->nlmsg_type != RTM_NEWLINK && h->nlmsg_type != RTM_DELLINK) ||
	    mnl_nlmsg_get_payload_len(h) < sizeof(*ifi))
		return false;
	*ret = (struct link_info){ .ifindex = ifi->ifi_index, .up = ifi->ifi_flags & IFF_UP };
	mnl_attr_for_each(a, h, sizeof(*ifi)) take_attr(a, ret);
	/* A bridge tells of its ports in messages of its own family, which are not about the link's life. */
	return ifi->ifi_family != AF_BRIDGE;
}

struct visit {
	link_fn link;
	link_addr_fn addr;
	void *arg;
};

static int on_link(const struct nlmsghdr *h, void *arg)
{
	struct visit *v = arg;
	struct link_info l;

	if (link_parse(h, &l))
		v->link(&l, v->arg);
	return MNL_CB_OK;
}

int link_list(struct nl *rt, link_fn fn, void *arg)
{
	struct nlmsghdr *h = nl_start(rt, RTM_GETLINK, NLM_F_DUMP);
	struct visit v = { .link = fn, .arg = arg };
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(h, sizeof(*ifi));

	ifi->ifi_family = AF_UNSPEC;
	return nl_run(rt, h, on_link, &v);
}

static void keep_index(const struct link_info *l, void *arg)
{
	*(int *)arg = l->ifindex;
}

int link_index(struct nl *rt, const char *name)
{
	struct nlmsghdr *h = start_link(rt, RTM_GETLINK, 0, AF_UNSPEC, 0, false);
	int index = 0;
	struct visit v = { .link = keep_index, .arg = &index };

	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	return nl_run(rt, h, on_link, &v) < 0 ? 0 : index;
}

static int on_addr(const struct nlmsghdr *h, void *arg)
{
	struct visit *v = arg;
	const struct nlattr *a;

	if (h->nlmsg_type == RTM_NEWADDR)
		mnl_attr_for_each(a, h, sizeof(struct ifaddrmsg)) if (mnl_attr_get_type(a) == IFA_LOCAL &&
								      mnl_attr_get_payload_len(a) == 4)
			v->addr(ntohl(mnl_attr_get_u32(a)), v->arg);
	return MNL_CB_OK;
}

int link_addr_list(struct nl *rt, link_addr_fn fn, void *arg)
{
	struct nlmsghdr *h = nl_start(rt, RTM_GETADDR, NLM_F_DUMP);
	struct visit v = { .addr = fn, .arg = arg };
	struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(h, sizeof(*ifa));

	ifa->ifa_family = AF_INET;
	return nl_run(rt, h, on_addr, &v);
}

static int on_conf(const struct nlmsghdr *h, void *arg)
{
	const struct nlattr *a;

	mnl_attr_for_each(a, h, sizeof(struct netconfmsg)) if (mnl_attr_get_type(a) == NETCONFA_FORWARDING) *
		(int *)arg = mnl_attr_get_u32(a) != 0;
	return MNL_CB_OK;
}

int link_forwarding(struct nl *rt, int ifindex)
{
	struct nlmsghdr *h = nl_start(rt, RTM_GETNETCONF, NLM_F_ACK);
	struct netconfmsg *nc = mnl_nlmsg_put_extra_header(h, sizeof(*nc));
	int on = -ENODATA, r;

	nc->ncm_family = AF_INET;
	mnl_attr_put_u32(h, NETCONFA_IFINDEX, (uint32_t)ifindex);
	r = nl_run(rt, h, on_conf, &on);
	return r < 0 ? r : on;
}
