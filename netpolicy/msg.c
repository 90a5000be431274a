/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsing of requests in netpolicyd. The sender is any user of the machine:
 * whatever is not exactly a request as PROTOCOL.netpolicy has it is refused whole.
 */
#include "netpolicy/msg.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/tlv.h"

#define TAG(t) (1U << NET_TAG_##t)

static const struct {
	uint32_t required, optional;
	size_t fds;
} requests[] = {
	[NET_HELLO] = { TAG(VERSION), 0, 0 },
	[NET_NETWORK_ADD] = { TAG(NETWORK) | TAG(KIND), TAG(SUBNET) | TAG(PREFIX) | TAG(GATEWAY) | TAG(INDEX), 0 },
	[NET_NETWORK_DEL] = { TAG(NETWORK), 0, 0 },
	[NET_ENDPOINT_ADD] = { TAG(NETWORK) | TAG(ENDPOINT), TAG(ADDR), 0 },
	[NET_ENDPOINT_DEL] = { TAG(ENDPOINT), 0, 0 },
	[NET_PUBLISH] = { TAG(ENDPOINT) | TAG(PORT), 0, 1 },
	[NET_UNPUBLISH] = { TAG(ENDPOINT) | TAG(PROTO) | TAG(HOST_ADDR) | TAG(HOST_PORT), 0, 0 },
	[NET_LIST] = { 0, 0, 0 },
	[NET_CHECK] = { 0, 0, 0 },
};

enum field_type { FIELD_NONE, FIELD_U32, FIELD_U64, FIELD_ADDR };

#define FIELD(t, k, m) [NET_TAG_##t] = { FIELD_##k, offsetof(struct msg_args, m) }
static const struct {
	enum field_type type;
	size_t at;
} fields[] = {
	FIELD(VERSION, U32, version),     FIELD(NETWORK, U64, network), FIELD(ENDPOINT, U64, endpoint),
	FIELD(KIND, U32, kind),           FIELD(SUBNET, ADDR, subnet),  FIELD(PREFIX, U32, prefix),
	FIELD(GATEWAY, ADDR, gateway),    FIELD(INDEX, U32, index),     FIELD(ADDR, ADDR, addr),
	FIELD(PROTO, U32, proto),         FIELD(PORT, U32, port),       FIELD(HOST_ADDR, ADDR, host_addr),
	FIELD(HOST_PORT, U32, host_port),
};

static bool store(const struct tlv_field *f, enum field_type type, void *at)
{
	uint32_t net;

	switch (type) {
	case FIELD_U32:
		return tlv_get_u32(f, at);
	case FIELD_U64:
		return tlv_get_u64(f, at);
	case FIELD_ADDR:
		if (f->len != sizeof(net))
			return false;
		memcpy(&net, f->data, sizeof(net));
		*(uint32_t *)at = ntohl(net);
		return true;
	case FIELD_NONE:
		break;
	}
	return false;
}

int msg_parse(uint16_t type, const void *body, size_t len, size_t n_fds, struct msg_args *ret)
{
	struct msg_args a = { 0 };
	struct tlv_field f;
	struct tlv_iter it;
	int r;

	if (type >= ARRAY_SIZE(requests) || type < NET_HELLO || requests[type].fds != n_fds)
		return -EBADMSG;
	tlv_iter_init(&it, body, len);
	while ((r = tlv_next(&it, &f)) > 0) {
		uint32_t bit;

		if (f.tag >= ARRAY_SIZE(fields))
			return -EBADMSG;
		bit = 1U << f.tag;
		if (a.seen & bit || !((requests[type].required | requests[type].optional) & bit) ||
		    !store(&f, fields[f.tag].type, (char *)&a + fields[f.tag].at))
			return -EBADMSG;
		a.seen |= bit;
	}
	if (r < 0 || (a.seen & requests[type].required) != requests[type].required)
		return -EBADMSG;
	*ret = a;
	return 0;
}
