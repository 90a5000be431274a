/* SPDX-License-Identifier: Apache-2.0 */
/* The channel to sidecar-dns, in sidecar-egress: names out, addresses back. What dns says is what may be dialled, nothing else. */
#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "base/ipc.h"
#include "base/log.h"
#include "sidecar/egress/egress.h"

struct answer {
	const uint8_t *fresh, *pins;
	size_t n_fresh, n_pins;
	char *why;
};

int names_ask(struct conn *c)
{
	unsigned char space[512];
	struct tlv t;

	tlv_init(&t, space, sizeof(space));
	tlv_str(&t, SIDE_TAG_NAME, c->host);
	c->resolve_seq = ++egress.seq;
	return ipc_send(EGRESS_FD_DNS, SIDE_RESOLVE, c->resolve_seq, &t, NULL, 0);
}

static int read_answer(const struct ipc_msg *m, struct answer *ret)
{
	struct tlv_field f;
	struct tlv_iter it;
	int r;

	tlv_iter_init(&it, m->body, m->len);
	while ((r = tlv_next(&it, &f)) > 0) {
		if (f.tag == SIDE_TAG_FRESH && f.len % 4 == 0 && f.len / 4 <= SIDE_FRESH_MAX) {
			ret->fresh = f.data;
			ret->n_fresh = f.len / 4;
		} else if (f.tag == SIDE_TAG_PINS && f.len % 4 == 0 && f.len / 4 <= SIDE_PINS_MAX) {
			ret->pins = f.data;
			ret->n_pins = f.len / 4;
		} else if (f.tag == SIDE_TAG_TEXT && !ret->why) {
			ret->why = tlv_get_str(&f, SIDE_TEXT_MAX);
		} else {
			return -EBADMSG;
		}
	}
	if (r == 0 && m->head.type == SIDE_FAILED)
		return ret->why ? 0 : -EBADMSG;
	return r < 0 || m->head.type != SIDE_ADDRESSES || ret->why ? -EBADMSG : 0;
}

static void on_dns(struct source *s, uint32_t events, void *arg)
{
	static struct ipc_msg m;
	int r = ipc_recv(EGRESS_FD_DNS, &m);
	struct answer a = { 0 };
	struct conn *c;

	(void)events, (void)arg;
	if (r == -EAGAIN)
		return;
	ipc_close_fds(&m);
	if (r <= 0) {
		loop_quit(source_loop(s), 1);
		return;
	}
	if (read_answer(&m, &a) < 0)
		fatal("dns sent a malformed answer");
	LIST_FOREACH(c, &egress.conns, next)
		if (c->state == STATE_RESOLVE && c->resolve_seq == m.head.seq)
			break;
	if (c)
		conn_resolved(c, a.fresh, a.n_fresh, a.pins, a.n_pins, a.why);
	free(a.why);
}

void names_start(void)
{
	fd_nonblock(EGRESS_FD_DNS);
	loop_io(egress.loop, EGRESS_FD_DNS, EPOLLIN, on_dns, NULL);
}
