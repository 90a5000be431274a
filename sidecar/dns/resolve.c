/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The resolver, in sidecar-dns. Distrusts the nameservers: each question has a
 * random id and a fresh port, an answer must come from the asked server and
 * repeat the question, and only public addresses in it exist for the agent (a
 * name that an attacker owns must not lead to the host, the LAN or a metadata
 * service). Distrusts the agent: new names are rationed, since each one is a
 * message to whoever runs the zone.
 */
#include "sidecar/dns/resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "sidecar/audit.h"

#define RESOLV_CONF     "/etc/resolv.conf"
#define RESOLV_CONF_MAX 65536
#define SERVERS_MAX     3
#define ROUNDS          2
#define TRY_MS          2000
#define STRAY_MAX       8 /* packets that are not the answer, per try */
#define TTL_MIN_S       5
#define TTL_MAX_S       300
#define TTL_NONE_S      30 /* of "no such name" */
#define RATION_SLOTS    256

struct waiter {
	struct lookup *lookup;
	resolved_fn fn;
	void *arg;
	TAILQ_ENTRY(waiter) next;
};

struct lookup {
	char name[DNS_NAME_MAX + 1];
	struct decision decision;
	TAILQ_HEAD(waiter_list, waiter) waiters;
	unsigned int n_waiters, tries, strays;
	uint16_t id;
	bool tcp;
	int fd;
	struct source *io, *timer;
	struct buf out, in; /* TCP only */
	LIST_ENTRY(lookup) next;
};

static struct {
	struct loop *loop;
	char egress_dev[IF_NAMESIZE];
	struct in_addr servers[SERVERS_MAX];
	unsigned int n_servers;
	struct cache *cache;
	LIST_HEAD(, lookup) lookups;
	unsigned int n_lookups;
	uint64_t second_ms, second_names;
	struct {
		uint64_t minute_ms, names;
	} rations[RATION_SLOTS];
} res;

static void try_next(struct lookup *k);

static void read_servers(void)
{
	_cleanup_free_ char *text = NULL;
	char *line, *rest;

	if (file_read_at(AT_FDCWD, RESOLV_CONF, RESOLV_CONF_MAX, &text, NULL) < 0)
		fatal("cannot read " RESOLV_CONF ": the sidecar needs a nameserver in it");
	rest = text;
	while ((line = strsep(&rest, "\n")) && res.n_servers < SERVERS_MAX) {
		char *word = strsep(&line, " \t");

		if (!str_eq(word, "nameserver"))
			continue;
		while (line && (word = strsep(&line, " \t")) && !*word)
			;
		if (word && inet_pton(AF_INET, word, &res.servers[res.n_servers]) == 1)
			res.n_servers++;
	}
	if (!res.n_servers)
		fatal(RESOLV_CONF " names no IPv4 nameserver");
}

void resolve_init(struct loop *l, const char *egress_dev)
{
	res.loop = l;
	res.cache = cache_new();
	LIST_INIT(&res.lookups);
	snprintf(res.egress_dev, sizeof(res.egress_dev), "%s", egress_dev);
	read_servers();
}

static void stop_try(struct lookup *k)
{
	source_free(k->io);
	k->io = NULL;
	if (k->fd >= 0)
		close(TAKE_FD(k->fd));
	buf_done(&k->in);
	buf_done(&k->out);
}

/* The callbacks may ask again: the lookup is out of every list before the first one. */
static void finish(struct lookup *k, const struct name_entry *entry, const char *why)
{
	struct name_entry copy;
	struct waiter *w;

	stop_try(k);
	source_free(k->timer);
	LIST_REMOVE(k, next);
	res.n_lookups--;
	if (entry)
		copy = *entry;
	while ((w = TAILQ_FIRST(&k->waiters))) {
		TAILQ_REMOVE(&k->waiters, w, next);
		w->fn(w->arg, entry ? &copy : NULL, why);
		free(w);
	}
	free(k);
}

static void audit_rebinding(const struct lookup *k, const uint8_t addr[4])
{
	struct audit_event ev = {
		.plane = "dns",
		.host = k->name,
		.address = addr,
		.rule = k->decision.rule,
		.reason = "the nameserver's address for this name is not public: left out",
	};

	audit_write(&ev);
}

static void take_answer(struct lookup *k, const struct dns_answer *a)
{
	uint32_t ttl = a->ttl < TTL_MIN_S ? TTL_MIN_S : a->ttl > TTL_MAX_S ? TTL_MAX_S : a->ttl;
	uint8_t addrs[SIDE_FRESH_MAX][4];
	size_t n = 0;

	for (size_t i = 0; i < a->n_addrs; i++) {
		if (address_is_public(a->addrs[i]))
			memcpy(addrs[n++], a->addrs[i], 4);
		else
			audit_rebinding(k, a->addrs[i]);
	}
	if (!n)
		ttl = TTL_NONE_S;
	finish(k, cache_put(res.cache, k->name, (const uint8_t(*)[4])addrs, n, ttl * 1000ULL, now_mono_ms()), NULL);
}

/* true: the lookup went on or ended; false: a stray packet. */
static bool take_packet(struct lookup *k, const uint8_t *p, size_t n)
{
	struct dns_answer a;

	if (dns_parse_answer(p, n, k->id, k->name, &a) < 0)
		return false;
	if (a.truncated) {
		if (k->tcp)
			return false;
		k->tcp = true;
		k->tries--; /* the same server again, by TCP */
		try_next(k);
	} else if (a.rcode == DNS_NOERROR || a.rcode == DNS_NXDOMAIN) {
		take_answer(k, &a);
	} else {
		k->tcp = false;
		try_next(k);
	}
	return true;
}

static void on_udp(struct source *s, uint32_t events, void *arg)
{
	uint8_t packet[DNS_ANSWER_MAX];
	struct lookup *k = arg;
	ssize_t n = recv(source_fd(s), packet, sizeof(packet), MSG_DONTWAIT);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0 || (!take_packet(k, packet, (size_t)n) && ++k->strays > STRAY_MAX))
		try_next(k);
}

static void on_tcp(struct source *s, uint32_t events, void *arg)
{
	struct lookup *k = arg;
	size_t len;
	ssize_t n;

	if (buf_len(&k->out) && events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
		n = buf_write(&k->out, k->fd);
		if (n < 0 && n != -EAGAIN)
			goto next;
		if (!buf_len(&k->out))
			source_events(s, EPOLLIN);
	}
	if (!(events & EPOLLIN))
		return;
	n = buf_read(&k->in, k->fd, DNS_ANSWER_MAX);
	if (n == -EAGAIN)
		return;
	if (n <= 0)
		goto next;
	if (buf_len(&k->in) < 2)
		return;
	len = (size_t)((uint8_t)buf_ptr(&k->in)[0] << 8 | (uint8_t)buf_ptr(&k->in)[1]);
	if (len > DNS_ANSWER_MAX)
		goto next;
	if (buf_len(&k->in) < len + 2)
		return;
	if (take_packet(k, (uint8_t *)buf_ptr(&k->in) + 2, len))
		return;
next:
	k->tcp = false;
	try_next(k);
}

static int open_try(struct lookup *k, const uint8_t *query, size_t n)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons(53),
		.sin_addr = res.servers[(k->tries - 1) % res.n_servers],
	};
	int type = k->tcp ? SOCK_STREAM : SOCK_DGRAM;

	/* A new socket each time: the kernel picks a random port, and a connected one takes only the server's packets. */
	k->fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (k->fd < 0 ||
	    setsockopt(k->fd, SOL_SOCKET, SO_BINDTODEVICE, res.egress_dev, (socklen_t)strlen(res.egress_dev)) < 0 ||
	    (connect(k->fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS))
		return -1;
	if (k->tcp) {
		uint8_t len[2] = { (uint8_t)(n >> 8), (uint8_t)n };

		buf_append(&k->out, len, 2);
		buf_append(&k->out, query, n);
		k->io = loop_io(res.loop, k->fd, EPOLLIN | EPOLLOUT, on_tcp, k);
		return 0;
	}
	if (send(k->fd, query, n, MSG_NOSIGNAL) != (ssize_t)n)
		return -1;
	k->io = loop_io(res.loop, k->fd, EPOLLIN, on_udp, k);
	return 0;
}

static void try_next(struct lookup *k)
{
	uint8_t query[DNS_PACKET_MAX];
	size_t n;

	do {
		stop_try(k);
		if (k->tries >= ROUNDS * res.n_servers) {
			finish(k, NULL, "no nameserver answered");
			return;
		}
		k->tries++;
		k->strays = 0;
		random_bytes(&k->id, sizeof(k->id));
		n = dns_build_query(query, k->id, k->name);
	} while (open_try(k, query, n) < 0);
	source_timer(k->timer, TRY_MS);
}

static void on_timeout(struct source *s, void *arg)
{
	struct lookup *k = arg;

	(void)s;
	k->tcp = false;
	try_next(k);
}

/* NULL, or why a name that is in no cache may not go out now. Names that a rule spells out are few: always. */
static const char *ration(const struct decision *d)
{
	uint64_t now = now_mono_ms(), h = 0xcbf29ce484222325ULL;
	size_t slot;

	if (!d->wildcard)
		return NULL;
	if (now - res.second_ms >= 1000) {
		res.second_ms = now;
		res.second_names = 0;
	}
	if (res.second_names >= NEW_NAMES_PER_SECOND)
		return "too many new names in this second";
	for (const char *p = d->rule; *p; p++)
		h = (h ^ (unsigned char)*p) * 0x100000001b3ULL;
	slot = (h >> 32) % RATION_SLOTS;
	if (now - res.rations[slot].minute_ms >= 60000) {
		res.rations[slot].minute_ms = now;
		res.rations[slot].names = 0;
	}
	if (res.rations[slot].names >= WILDCARD_NAMES_PER_MIN)
		return "too many different names under one wildcard in this minute";
	res.rations[slot].names++;
	res.second_names++;
	return NULL;
}

static struct lookup *lookup_new(const char *name, const struct decision *d)
{
	struct lookup *k = xcalloc(1, sizeof(*k));

	snprintf(k->name, sizeof(k->name), "%s", name);
	k->decision = *d;
	k->decision.rule = ""; /* its owner may be replaced while this waits */
	k->fd = -1;
	k->timer = loop_timer(res.loop, UINT64_MAX, on_timeout, k);
	TAILQ_INIT(&k->waiters);
	LIST_INSERT_HEAD(&res.lookups, k, next);
	res.n_lookups++;
	return k;
}

static void on_start(void *arg)
{
	struct lookup *k;

	LIST_FOREACH(k, &res.lookups, next) {
		if (k == arg && !k->tries) {
			try_next(k);
			return;
		}
	}
}

struct waiter *resolve_name(const char *name, const struct decision *d, resolved_fn fn, void *arg)
{
	const struct name_entry *known = cache_find(res.cache, name, now_mono_ms());
	const char *why = NULL;
	struct lookup *k;
	struct waiter *w;

	if (known && known->expires_ms > now_mono_ms()) {
		fn(arg, known, NULL);
		return NULL;
	}
	LIST_FOREACH(k, &res.lookups, next)
		if (str_eq(k->name, name))
			break;
	if (k ? k->n_waiters >= WAITERS_MAX : res.n_lookups >= LOOKUPS_MAX)
		why = "too many names are being looked up";
	if (!why && !k && !known)
		why = ration(d);
	if (why) {
		fn(arg, NULL, why);
		return NULL;
	}
	if (!k) {
		k = lookup_new(name, d);
		loop_defer(res.loop, on_start, k); /* so that fn is never called from in here for a lookup */
	}
	w = xcalloc(1, sizeof(*w));
	*w = (struct waiter){ .lookup = k, .fn = fn, .arg = arg };
	k->n_waiters++;
	TAILQ_INSERT_TAIL(&k->waiters, w, next);
	return w;
}

void resolve_cancel(struct waiter *w)
{
	if (!w)
		return;
	w->lookup->n_waiters--;
	TAILQ_REMOVE(&w->lookup->waiters, w, next);
	free(w);
}
