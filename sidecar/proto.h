/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages inside the sidecar (base/ipc.h, SOCK_SEQPACKET). Three channels:
 *
 *	main - dns, main - egress:  SIDE_POLICY down, SIDE_ACK or SIDE_NAK up, nothing else
 *	egress - dns:               SIDE_RESOLVE down, SIDE_ADDRESSES or SIDE_FAILED up
 *	ctl - main:                 one CTL_* request on a connection, CTL_OK or CTL_ERR back
 *
 * A child that breaks this is dead to main, and with it the whole sidecar.
 */
#ifndef SIDECAR_PROTO_H
#define SIDECAR_PROTO_H

#include <stdatomic.h>
#include <stdint.h>

#define SIDECAR_SOCKET "/run/sidecar.sock"

enum side_type {
	SIDE_POLICY = 1, /* one fd: a sealed memfd with the compiled policy */
	SIDE_ACK,        /* _TEXT: the hash of the policy that is in force now */
	SIDE_NAK,        /* _TEXT */
	SIDE_RESOLVE,    /* _NAME */
	SIDE_ADDRESSES,  /* _FRESH: what to dial; _PINS: what may be dialled for this name */
	SIDE_FAILED,     /* _TEXT */
	CTL_APPLY = 32,  /* one fd, as SIDE_POLICY */
	CTL_STATUS,      /* empty. CTL_OK when healthy, CTL_ERR when not; _TEXT is JSON */
	CTL_WHY,         /* _NAME, _PORT */
	CTL_OK,          /* _TEXT */
	CTL_ERR,         /* _TEXT */
};

enum side_tag {
	SIDE_TAG_TEXT = 1, /* str <= SIDE_TEXT_MAX */
	SIDE_TAG_NAME,     /* str <= HOST_MAX */
	SIDE_TAG_PORT,     /* u32 */
	SIDE_TAG_FRESH,    /* 4 bytes each, up to SIDE_FRESH_MAX */
	SIDE_TAG_PINS,     /* 4 bytes each, up to SIDE_PINS_MAX */
};

#define SIDE_TEXT_MAX  4096
#define SIDE_FRESH_MAX 12 /* with the longest name, an answer of 12 A records still fits 512 bytes */
#define SIDE_PINS_MAX  32

/* A page that a child writes and main (for status) reads: figures only, believed by nobody. */
struct side_counters {
	_Atomic uint64_t allowed, denied, open, bytes_in, bytes_out;
	_Atomic uint64_t healthy; /* egress' page: written by main, shown by the status port */
};

/* Descriptors that the children are started with. argv[1] is the egress interface's name. */
enum dns_fd { DNS_FD_MAIN = 3, DNS_FD_EGRESS, DNS_FD_UDP, DNS_FD_TCP, DNS_FD_COUNTERS, DNS_FD_END };
enum egress_fd {
	EGRESS_FD_MAIN = 3,
	EGRESS_FD_DNS,
	EGRESS_FD_PROXY,
	EGRESS_FD_HTTP,
	EGRESS_FD_TLS,
	EGRESS_FD_COUNTERS,
	EGRESS_FD_STATUS, /* only with a status port */
	EGRESS_FD_END,
};

#endif
