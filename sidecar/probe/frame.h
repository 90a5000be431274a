/* SPDX-License-Identifier: Apache-2.0 */
/* Frames that the probe sends, and the verdict on each frame that comes in. Pure. */
#ifndef SIDECAR_PROBE_FRAME_H
#define SIDECAR_PROBE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_MAX    400 /* the longest that is built: DHCP's */
#define OWN_MAX      8
#define WHAT_MAX     24
#define TARGET_MAX   64
#define ANSWER_MAX   96
#define SYN_PORT     20000 /* the first source port of our own SYNs; the kernel's begin at 32768 */
#define SIDECAR_PORT 3128

/* Who is who on the internal network. Addresses are in network order. */
struct segment {
	uint8_t mac[6], gateway_mac[6];
	uint32_t self, gateway;
	uint32_t own[OWN_MAX]; /* the sidecar's other addresses: a refusal from there is its kernel's */
	size_t n_own;
	bool gateway_known;
};

struct finding {
	char what[WHAT_MAX];     /* "arp", "tcp", "dns" … */
	char target[TARGET_MAX]; /* who was asked */
	char answer[ANSWER_MAX];
};
void finding_set(struct finding *f, const char *what, uint32_t addr, uint16_t port, const char *answer);

/* Each writes a whole frame and gives its length. */
size_t frame_arp(uint8_t out[FRAME_MAX], const struct segment *s, uint32_t target);
size_t frame_syn(uint8_t out[FRAME_MAX], const struct segment *s, uint32_t target, uint16_t from, uint16_t port);
size_t frame_echo(uint8_t out[FRAME_MAX], const struct segment *s, uint32_t target);
size_t frame_dhcp(uint8_t out[FRAME_MAX], const struct segment *s);
size_t frame_echo6(uint8_t out[FRAME_MAX], const struct segment *s);   /* to all nodes */
size_t frame_router6(uint8_t out[FRAME_MAX], const struct segment *s); /* router solicitation */

/* Is it an ARP answer of the gateway's? Its MAC then goes to ret_mac. */
bool frame_is_gateway(const struct segment *s, const uint8_t *p, size_t n, uint8_t ret_mac[6]);
/* True: this frame must not be here, and f says why. */
bool frame_judge(const struct segment *s, const uint8_t *p, size_t n, struct finding *f);

#endif
