/* health.c: a real SMB NEGOTIATE to every node, again and again, and what its answers mean */
#include "config.h"

#include "nodes/health.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/magic.h"
#include "base/wr.h"
#include "nodes/doubt.h"
#include "nodes/node.h"
#include "policy/policy.h"
#include "smb/const.h"
#include "smb/hdr2.h"
#include "smb/nbss.h"
#include "smb/neg2.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

/*
 * Each probe is a new connection: connect, NEGOTIATE, answer, close. It ends in one of three ways,
 * and `fall` equal misses in a row (or `rise` answers) change the node's health:
 *
 *	answered   up
 *	no way     connect() was refused or timed out: nobody new is let in. Down.
 *	silent     connected, but no proper answer in time. Hung.
 *
 * Both mean that nothing new is placed there, and neither ends a connection: those end on their own
 * evidence (proxy/watch.h), which is looked for from the first miss on.
 *
 * A connection of a client that fails makes its node suspect: it is probed at once, and a refused
 * probe then counts as the last of `fall`.
 */

/* The probe looks at a suspect this often. */
#define SUSPECT_MS 200
/* Times of state changes that are remembered for flap damping. */
#define FLAPS_MAX 16

enum probe_end { PROBE_ANSWERED, PROBE_NO_WAY, PROBE_SILENT };

#define PROBE_MAGIC 0x70726f62u
#define HEALTH_MAGIC 0x6865616cu

struct probe {
	MAGIC_MEMBER
	TAILQ_ENTRY(probe) entry;
	struct health *h;
	struct node *node;		/* a reference */
	struct event *timer;		/* the next probe, or the end of this one's patience */
	struct event *io;
	int fd;				/* -1: between probes */
	bool sent;
	bool urgent;			/* a client's connection failed */
	unsigned good, bad;		/* in a row */
	enum probe_end last;
	uint64_t started_ms, started_us;
	uint64_t flaps[FLAPS_MAX];
	unsigned nflaps;
	uint64_t hold_until_ms;		/* flapping: not up before then; 0 = no */
	size_t have;
	uint8_t answer[4096];
};

struct health {
	MAGIC_MEMBER
	struct event_base *base;
	struct nodes *nodes;
	struct policy *policy;
	struct event *suspects;
	void (*doubt)(void *arg, struct node *node);
	void *arg;
	TAILQ_HEAD(, probe) probes;
};

static void
after(struct event *ev, uint64_t ms)
{
	const struct timeval tv = { (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000) };

	event_add(ev, &tv);
}

/* Changes of state. */

static void
count_flap(struct probe *p, uint64_t now)
{
	const struct pol_health *ph = &p->h->policy->health;
	unsigned recent = 0;

	p->flaps[p->nflaps++ % FLAPS_MAX] = now;
	for (unsigned i = 0; i < FLAPS_MAX && i < p->nflaps; i++)
		if (now - p->flaps[i] < ph->flap_window)
			recent++;
	if (ph->flap_changes > 0 && recent >= ph->flap_changes) {
		p->hold_until_ms = now + ph->flap_hold;
		log_warn("node %s changes too often: not up again for %u s", p->node->name,
		    ph->flap_hold / 1000);
	}
}

static void
set_health(struct probe *p, enum node_health to, const char *why)
{
	struct node *n = p->node;
	enum node_health from = n->health;
	uint64_t now = clock_ms();

	if (from == to)
		return;
	/* The first answer of a node that was taken for up is no change for anybody. */
	if (from != NODE_UNKNOWN || to != NODE_UP) {
		log_warn("node %s is %s: %s", n->name,
		    to == NODE_UP ? "up" : to == NODE_DOWN ? "down" : "hung", why);
		if (from != NODE_UNKNOWN)
			count_flap(p, now);
		n->changed_ms = now;
	}
	if (to == NODE_UP)
		n->up_since_ms = from == NODE_UNKNOWN ? 0 : now;
	n->health = to;
}

/* Is there a node for new clients besides this one? */
static bool
others_take_new(const struct probe *p)
{
	const struct probe *o;

	TAILQ_FOREACH(o, &p->h->probes, entry)
		if (o != p && node_takes_new(o->node))
			return true;
	return false;
}

static void
probe_judge(struct probe *p, enum probe_end end, const char *why)
{
	const struct pol_health *ph = &p->h->policy->health;
	struct node *n = p->node;
	uint64_t now = clock_ms();

	n->probes++;
	if (end == PROBE_ANSWERED) {
		doubt_over(n, now);
		p->bad = 0;
		p->good++;
		if (n->health == NODE_UP)
			return;
		/* A node that comes and goes is better than none. */
		if (p->hold_until_ms != 0 && now < p->hold_until_ms && others_take_new(p)) {
			n->held_down = true;
			return;
		}
		p->hold_until_ms = 0;
		n->held_down = false;
		if (n->health == NODE_UNKNOWN || p->good >= ph->rise)
			set_health(p, NODE_UP, why);
		return;
	}
	n->probe_failures++;
	if (doubt_grows(p->h->nodes, n, p->started_ms, now))
		p->h->doubt(p->h->arg, n);
	p->good = 0;
	/* Misses of two kinds in a row do not add up to either. */
	p->bad = end == p->last ? p->bad + 1 : 1;
	if (p->urgent && end == PROBE_NO_WAY)
		p->bad = ph->fall;
	if (p->bad >= ph->fall)
		set_health(p, end == PROBE_NO_WAY ? NODE_DOWN : NODE_HUNG, why);
	else
		log_info("node %s: probe failed (%u of %u): %s", n->name, p->bad, ph->fall, why);
}

/* One probe. */

static void
probe_hang_up(struct probe *p)
{
	if (p->io != NULL)
		event_free(p->io);
	p->io = NULL;
	if (p->fd != -1)
		close(p->fd);
	p->fd = -1;
}

static void
probe_finish(struct probe *p, enum probe_end end, const char *why)
{
	uint64_t next, now;

	probe_hang_up(p);
	probe_judge(p, end, why);
	p->last = end;
	p->urgent = false;
	/* From start to start, so that `fall` misses take `fall` intervals, however they miss. */
	next = p->started_ms + p->h->policy->health.interval;
	now = clock_ms();
	after(p->timer, next > now ? next - now : 0);
}

static void
probe_read(struct probe *p)
{
	ssize_t n = recv(p->fd, p->answer + p->have, sizeof(p->answer) - p->have, 0);
	struct neg2_resp r;
	struct nbss nb;

	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		probe_finish(p, PROBE_SILENT, "it closed before it answered");
		return;
	}
	p->have += (size_t)n;
	if (nbss_get(&nb, p->answer, p->have) == -1)
		return;
	if (nb.type != NBSS_MESSAGE || nb.len > sizeof(p->answer) - NBSS_HDR_LEN) {
		probe_finish(p, PROBE_SILENT, "its answer is not SMB");
		return;
	}
	if (p->have < NBSS_HDR_LEN + nb.len)
		return;
	if (neg2_resp_get(&r, p->answer + NBSS_HDR_LEN, nb.len) == -1) {
		probe_finish(p, PROBE_SILENT, "its answer is not a NEGOTIATE response");
		return;
	}
	node_learn(p->node, &r);
	p->node->probe_us = clock_us() - p->started_us;
	probe_finish(p, PROBE_ANSWERED, "it answers");
}

static void
probe_send(struct probe *p)
{
	uint8_t out[NBSS_HDR_LEN + 512], salt[32];
	struct wr w = wr_init(out, sizeof(out));
	struct guid guid;
	int err = 0;
	socklen_t len = sizeof(err);

	if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &err, &len) == -1 || err != 0) {
		probe_finish(p, PROBE_NO_WAY, strerror(err != 0 ? err : errno));
		return;
	}
	/* A GUID of its own each time: the probe is nobody's client and displaces none. */
	if (getrandom(&guid, sizeof(guid), 0) != sizeof(guid) ||
	    getrandom(salt, sizeof(salt), 0) != sizeof(salt)) {
		probe_finish(p, PROBE_SILENT, "no random numbers");
		return;
	}
	nbss_begin(&w);
	neg2_probe_put(&w, &guid, salt);
	nbss_end(&w);
	/* A few hundred bytes always fit into a new connection's buffer. */
	if (!wr_ok(&w) || send(p->fd, out, wr_len(&w), MSG_NOSIGNAL) != (ssize_t)wr_len(&w)) {
		probe_finish(p, PROBE_SILENT, "the request could not be sent");
		return;
	}
	p->sent = true;
}

static void
probe_io_cb(evutil_socket_t fd, short what, void *arg)
{
	struct probe *p = arg;

	(void)what;
	MAGIC_CHECK(p, PROBE_MAGIC);
	if (p->sent) {
		probe_read(p);
		return;
	}
	probe_send(p);
	if (p->fd == -1)
		return;
	event_free(p->io);
	p->io = event_new(p->h->base, fd, EV_READ | EV_PERSIST, probe_io_cb, p);
	if (p->io == NULL || event_add(p->io, NULL) == -1)
		probe_finish(p, PROBE_SILENT, "out of memory");
}

static void
probe_start(struct probe *p)
{
	struct sockaddr_storage ss;
	socklen_t len = addrport_to_sa(&p->node->address, &ss);

	p->started_ms = clock_ms();
	p->started_us = clock_us();
	p->have = 0;
	p->sent = false;
	p->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (p->fd == -1) {
		/* Our own want of descriptors is not the node's fault. */
		after(p->timer, p->h->policy->health.interval);
		return;
	}
	if (connect(p->fd, (struct sockaddr *)&ss, len) == -1 && errno != EINPROGRESS) {
		probe_finish(p, PROBE_NO_WAY, strerror(errno));
		return;
	}
	p->io = event_new(p->h->base, p->fd, EV_WRITE, probe_io_cb, p);
	if (p->io == NULL || event_add(p->io, NULL) == -1) {
		probe_finish(p, PROBE_SILENT, "out of memory");
		return;
	}
	after(p->timer, p->h->policy->health.timeout);
}

static void
probe_timer_cb(evutil_socket_t fd, short what, void *arg)
{
	struct probe *p = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(p, PROBE_MAGIC);
	if (p->fd != -1)
		probe_finish(p, p->sent ? PROBE_SILENT : PROBE_NO_WAY,
		    p->sent ? "no answer in time" : "no connection in time");
	else if (p->node->maint)
		after(p->timer, p->h->policy->health.interval);
	else
		probe_start(p);
}

/* The set of probes. */

static void
probe_free(struct probe *p)
{
	TAILQ_REMOVE(&p->h->probes, p, entry);
	probe_hang_up(p);
	if (p->timer != NULL)
		event_free(p->timer);
	node_unref(&p->node);
	MAGIC_CLEAR(p);
	free(p);
}

static void
probe_new(struct health *h, struct node *n)
{
	struct probe *p = calloc(1, sizeof(*p));

	if (p == NULL) {
		log_error("out of memory: node %s is not probed", n->name);
		return;
	}
	MAGIC_SET(p, PROBE_MAGIC);
	p->h = h;
	p->fd = -1;
	p->node = node_ref(n);
	TAILQ_INSERT_TAIL(&h->probes, p, entry);
	p->timer = evtimer_new(h->base, probe_timer_cb, p);
	if (p->timer == NULL) {
		log_error("out of memory: node %s is not probed", n->name);
		probe_free(p);
		return;
	}
	after(p->timer, 0);
}

/* Nodes that a client found wanting are probed at once; removed ones are forgotten when idle. */
static void
suspects_cb(evutil_socket_t fd, short what, void *arg)
{
	struct health *h = arg;
	struct probe *p, *next;

	(void)fd;
	(void)what;
	MAGIC_CHECK(h, HEALTH_MAGIC);
	for (p = TAILQ_FIRST(&h->probes); p != NULL; p = next) {
		next = TAILQ_NEXT(p, entry);
		if (!p->node->listed && p->node->connections == 0) {
			probe_free(p);
			continue;
		}
		doubt_review(h->nodes, p->node, clock_ms());
		if (p->node->gone)
			set_health(p, NODE_DOWN, "its connections are dead");
		if (atomic_exchange(&p->node->suspect_ms, 0) == 0 || p->node->maint)
			continue;
		p->urgent = true;
		if (p->fd == -1)
			after(p->timer, 0);
	}
	nodes_sweep(h->nodes);
}

static struct probe *
probe_of(struct health *h, const struct node *n)
{
	struct probe *p;

	TAILQ_FOREACH(p, &h->probes, entry)
		if (p->node == n)
			return p;
	return NULL;
}

void
health_policy(struct health *h, struct policy *policy)
{
	struct policy *old = h->policy;
	struct node *all[2 * POL_NODES_MAX];
	size_t n = nodes_all(h->nodes, all, 2 * POL_NODES_MAX);

	h->policy = policy_ref(policy);
	policy_unref(&old);
	for (size_t i = 0; i < n; i++) {
		if (all[i]->listed && probe_of(h, all[i]) == NULL)
			probe_new(h, all[i]);
		node_unref(&all[i]);
	}
	/* A removed node is probed while it has connections: its death must still be seen. */
}

struct health *
health_new(struct event_base *base, struct nodes *nodes,
    void (*doubt)(void *arg, struct node *node), void *arg)
{
	const struct timeval tv = { 0, SUSPECT_MS * 1000 };
	struct health *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return NULL;
	MAGIC_SET(h, HEALTH_MAGIC);
	h->base = base;
	h->nodes = nodes;
	h->doubt = doubt;
	h->arg = arg;
	TAILQ_INIT(&h->probes);
	h->suspects = event_new(base, -1, EV_PERSIST, suspects_cb, h);
	if (h->suspects == NULL || event_add(h->suspects, &tv) == -1)
		health_free(&h);
	return h;
}

void
health_free(struct health **hp)
{
	struct health *h = *hp;

	if (h == NULL)
		return;
	while (!TAILQ_EMPTY(&h->probes))
		probe_free(TAILQ_FIRST(&h->probes));
	if (h->suspects != NULL)
		event_free(h->suspects);
	policy_unref(&h->policy);
	MAGIC_CLEAR(h);
	free(h);
	*hp = NULL;
}
