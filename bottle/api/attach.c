/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attaching: the client's connection is taken from the server and handed to
 * the monitor, which serves it alone from then on, also without bottled. One
 * that comes before the start waits here. Runs in bottled.
 */
#include <ctype.h>
#include <errno.h>

#include "api/attach.h"
#include "api/container.h"
#include "api/containers.h"
#include "base/mem.h"

/* One key of "ctrl-p,ctrl-q": its byte, or -1. */
static int detach_key(const char *s, size_t n)
{
	if (n == 1)
		return (unsigned char)*s;
	if (n != 6 || strncmp(s, "ctrl-", 5) != 0)
		return -1;
	if (islower((unsigned char)s[5]))
		return s[5] - 'a' + 1;
	return s[5] >= '@' && s[5] <= '_' ? s[5] - '@' : -1;
}

int detach_keys_parse(const char *s, uint8_t ret[DETACH_KEYS_MAX], size_t *ret_n)
{
	*ret_n = 0;
	if (!s)
		return 0;
	while (*s) {
		size_t n = strcspn(s + 1, ",") + 1; /* a comma can be a key itself */
		int key = detach_key(s, n);

		if (key < 0 || *ret_n == DETACH_KEYS_MAX)
			return -EINVAL;
		ret[(*ret_n)++] = (uint8_t)key;
		s += n;
		if (*s == ',' && !*++s)
			return -EINVAL;
	}
	return 0;
}

static void pass(struct container *c, int fd, uint32_t flags, const struct buf *early, const uint8_t *keys,
		 size_t n_keys)
{
	size_t room = buf_len(early) + 256;
	_cleanup_free_ unsigned char *space = xmalloc(room);
	struct tlv t;

	tlv_init(&t, space, room);
	tlv_u32(&t, MON_TAG_FLAGS, flags);
	if (buf_len(early))
		tlv_bytes(&t, MON_TAG_EARLY, buf_ptr(early), buf_len(early));
	if (n_keys)
		tlv_bytes(&t, MON_TAG_DETACH_KEYS, keys, n_keys);
	mon_request(c->mon, MON_ATTACH, &t, &fd, 1, NULL, NULL);
	close(fd);
}

static void attach_free(struct attach *a)
{
	struct engine *g = a->c->g;

	for (struct attach **at = &a->c->attaches; *at; at = &(*at)->next) {
		if (*at == a) {
			*at = a->next;
			break;
		}
	}
	source_free(a->watch);
	if (a->fd >= 0)
		close(a->fd);
	buf_done(&a->early);
	free(a);
	engine_idle(g);
}

void container_pass_attaches(struct container *c)
{
	struct attach *a, *reversed = NULL;

	while ((a = c->attaches)) { /* first come, first */
		c->attaches = a->next;
		a->next = reversed;
		reversed = a;
	}
	c->attaches = reversed;
	while ((a = c->attaches)) {
		pass(c, TAKE_FD(a->fd), a->flags, &a->early, a->keys, a->n_keys);
		attach_free(a);
	}
	c->passed = true;
}

static void hung_up(struct source *s, uint32_t events, void *arg)
{
	(void)s;
	(void)events;
	attach_free(arg);
}

static void keep(struct container *c, int fd, uint32_t flags, struct buf *early, const uint8_t *keys, size_t n_keys)
{
	struct attach *a = xcalloc(1, sizeof(*a));

	*a = (struct attach){
		.next = c->attaches, .c = c, .early = *early, .flags = flags, .fd = fd, .n_keys = n_keys
	};
	memcpy(a->keys, keys, n_keys);
	*early = (struct buf){ 0 };
	c->attaches = a;
	a->watch = loop_io(c->g->loop, fd, 0, hung_up, a);
	engine_busy(c->g);
}

static uint32_t attach_flags(const struct request *r, const json_t *config)
{
	uint32_t flags = 0;

	if (query_bool(&r->query, "stdin", false) && member_flag(config, "OpenStdin"))
		flags |= MON_F_STDIN | (member_flag(config, "StdinOnce") ? MON_F_STDIN_ONCE : 0);
	if (query_bool(&r->query, "stdout", false))
		flags |= MON_F_STDOUT;
	if (query_bool(&r->query, "stderr", false))
		flags |= MON_F_STDERR;
	if (query_bool(&r->query, "logs", false))
		flags |= MON_F_REPLAY;
	if (member_flag(config, "Tty"))
		flags |= MON_F_TTY;
	return flags;
}

static size_t count_attaches(const struct container *c)
{
	size_t n = 0;

	for (const struct attach *a = c->attaches; a; a = a->next)
		n++;
	return n;
}

const char *stream_content_type(const struct request *r, bool tty)
{
	if (!tty && r->api_version >= 142)
		return "application/vnd.docker.multiplexed-stream";
	return "application/vnd.docker.raw-stream";
}

/* false: the request was answered. */
static bool attachable(struct request *r, const struct container *c, uint8_t *keys, size_t *n_keys)
{
	if (c->state == STATE_PAUSED)
		reply_message(r, 409, "container %s is paused, unpause the container before attach", c->id);
	else if (c->state == STATE_REMOVING || c->removing)
		reply_message(r, 409, "container %s is being removed", c->id);
	else if (detach_keys_parse(query_get(&r->query, "detachKeys"), keys, n_keys) < 0)
		reply_message(r, 400, "Invalid detach keys (%.64s) provided", query_get(&r->query, "detachKeys"));
	else if (count_attaches(c) >= ATTACHES_MAX)
		reply_message(r, 409, "%d clients are attached to container %.12s already", ATTACHES_MAX, c->id);
	else
		return true;
	return false;
}

void container_attach(struct request *r)
{
	struct container *c = container_of_request(r);
	uint8_t keys[DETACH_KEYS_MAX];
	struct buf early = { 0 };
	uint32_t flags;
	size_t n_keys;
	int fd;

	if (!c || !attachable(r, c, keys, &n_keys))
		return;
	if (!query_bool(&r->query, "stream", false)) {
		logs_replay(r, c);
		return;
	}
	flags = attach_flags(r, container_config(c));
	fd = reply_hijack(r, stream_content_type(r, flags & MON_F_TTY), &early);
	if (fd < 0)
		return;
	container_event(c, "attach", NULL, NULL);
	if (buf_len(&early) > EARLY_MAX) /* no client sends so much before it hears anything */
		close(fd);
	else if (c->mon && (container_running(c) || c->passed) && c->state != STATE_EXITED)
		pass(c, fd, flags, &early, keys, n_keys);
	else
		keep(c, fd, flags, &early, keys, n_keys);
	buf_done(&early);
}

/* ---- resize ---- */

bool resize_parameters(struct request *r, uint32_t *ret_rows, uint32_t *ret_cols)
{
	const char *h = query_get(&r->query, "h"), *w = query_get(&r->query, "w");
	uint64_t rows, cols;

	if (!h || !w || str_u64(h, UINT16_MAX, &rows) < 0 || str_u64(w, UINT16_MAX, &cols) < 0) {
		reply_message(r, 400, "invalid terminal size: h and w must be numbers");
		return false;
	}
	*ret_rows = (uint32_t)rows;
	*ret_cols = (uint32_t)cols;
	return true;
}

void resize_send(struct container *c, const char *exec_id, uint32_t rows, uint32_t cols)
{
	unsigned char space[256];
	struct tlv t;

	tlv_init(&t, space, sizeof(space));
	tlv_str(&t, MON_TAG_EXEC_ID, exec_id);
	tlv_u32(&t, MON_TAG_ROWS, rows);
	tlv_u32(&t, MON_TAG_COLS, cols);
	mon_request(c->mon, MON_RESIZE, &t, NULL, 0, NULL, NULL);
}

void container_resize(struct request *r)
{
	struct container *c = container_of_request(r);
	uint32_t rows, cols;

	if (!c || !resize_parameters(r, &rows, &cols))
		return;
	if (!container_running(c) || !c->mon) {
		reply_message(r, 409, "container %s is not running", c->id);
		return;
	}
	resize_send(c, NULL, rows, cols);
	container_event(c, "resize", NULL, NULL);
	reply_empty(r, 200);
}
