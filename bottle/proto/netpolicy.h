/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channel between bottled (or a test) and netpolicyd: SOCK_SEQPACKET
 * messages (base/ipc.h) on NET_SOCKET, mode 0666: who asks is known by
 * SO_PEERCRED, and a uid sees and changes only what is its own.
 *
 * A request names things by ids that the caller chose (64-bit, random); it
 * never carries an interface name, a rule or an address outside the caller's
 * slice. Each request has a seq and gets NET_OK or NET_ERR with it.
 * All requests are idempotent: adding what is there with the same values, and
 * deleting what is not there, are OK. One exception: an endpoint whose tap is
 * held is CONFLICT, since a tap is handed out once; when it is closed, the
 * endpoint is gone, with its publishes.
 *
 * Objects belong to the uid, not to the connection: they outlive bottled and
 * netpolicyd. A tap lives as long as its descriptor; its rules until NET_ENDPOINT_DEL
 * or until netpolicyd sees the tap gone (at its next start or link event).
 */
#ifndef PROTO_NETPOLICY_H
#define PROTO_NETPOLICY_H

#include <stdint.h>

#define NET_SOCKET        "/run/bottle/netpolicyd.sock"
#define NET_NAMESPACE     "/run/bottle/netns"
#define NET_PROTO_VERSION 1

enum net_type {
	NET_HELLO =
		1, /* NET_TAG_VERSION. OK: _VERSION, _SLICE (address and prefix of the caller's NATed addresses), quotas */
	NET_NETWORK_ADD, /* _NETWORK, _KIND; INTERNAL: _SUBNET, _PREFIX (any private range), _GATEWAY (or none: the endpoint with this
			     address may answer in the name of public addresses, as a transparent proxy does); BRIDGE: _INDEX or none (netpolicyd
			     picks a free /24 of the slice). OK: _SUBNET, _PREFIX, _GATEWAY (BRIDGE only) */
	NET_NETWORK_DEL, /* _NETWORK. ERR CONFLICT while it has endpoints */
	NET_ENDPOINT_ADD, /* _NETWORK, _ENDPOINT, _ADDR (inside the network; absent: netpolicyd picks; EGRESS always picks).
			     OK: _ADDR, _PREFIX, _GATEWAY, _MAC, _GATEWAY_MAC and one fd: the tap */
	NET_ENDPOINT_DEL, /* _ENDPOINT: pins, publishes and flows go first, then the link */
	NET_PUBLISH, /* _ENDPOINT, _PORT (guest's), fd 0: a socket bound (not listening, or UDP) to the host address and port */
	NET_UNPUBLISH, /* _ENDPOINT, _PROTO, _HOST_ADDR, _HOST_PORT */
	NET_LIST, /* OK: every network (_NETWORK, _KIND, _SUBNET, _PREFIX), endpoint (_ENDPOINT, _NETWORK, _ADDR, _MAC, _ALIVE)
			     and publish (_PUBLISHED, _PROTO, _HOST_ADDR, _HOST_PORT, _PORT) of the caller */
	NET_CHECK, /* OK with _TEXT lines: what is missing or foreign (forward policy drop, no ip_forward, table lost) */
	NET_OK = 64,
	NET_ERR, /* _CODE (errno), _CLASS (enum err_class), _TEXT */
};

enum net_tag {
	NET_TAG_VERSION = 1,     /* u32 */
	NET_TAG_CODE,            /* u32 */
	NET_TAG_CLASS,           /* u32 */
	NET_TAG_TEXT,            /* str */
	NET_TAG_NETWORK,         /* u64 */
	NET_TAG_ENDPOINT,        /* u64 */
	NET_TAG_PUBLISHED,       /* u64: the endpoint of a publish, in LIST */
	NET_TAG_KIND,            /* u32 enum net_kind */
	NET_TAG_SUBNET,          /* 4 bytes */
	NET_TAG_PREFIX,          /* u32 */
	NET_TAG_GATEWAY,         /* 4 bytes */
	NET_TAG_INDEX,           /* u32 */
	NET_TAG_ADDR,            /* 4 bytes */
	NET_TAG_MAC,             /* 6 bytes */
	NET_TAG_GATEWAY_MAC,     /* 6 bytes: for a permanent neighbour entry in the guest */
	NET_TAG_PROTO,           /* u32 6 or 17 */
	NET_TAG_PORT,            /* u32 */
	NET_TAG_HOST_ADDR,       /* 4 bytes */
	NET_TAG_HOST_PORT,       /* u32 */
	NET_TAG_ALIVE,           /* u32: the tap exists */
	NET_TAG_SLICE,           /* 4 bytes */
	NET_TAG_QUOTA_NETWORKS,  /* u32 */
	NET_TAG_QUOTA_ENDPOINTS, /* u32 */
	NET_TAG_QUOTA_PUBLISHES, /* u32 */
};

enum net_kind {
	NET_KIND_INTERNAL = 1, /* a bridge on which nobody but its endpoints has an address */
	NET_KIND_BRIDGE,       /* a NATed bridge: public addresses and each other; not the host, not private ranges */
	NET_KIND_EGRESS, /* routed taps, one each: public addresses and the host's resolvers (UDP and TCP 53); not each other */
};

/* Quotas of one uid. */
#define NET_NETWORKS_MAX  128
#define NET_BRIDGES_MAX   14
#define NET_ENDPOINTS_MAX 512
#define NET_EGRESS_MAX    250
#define NET_PUBLISHES_MAX 256

#endif
