/* health.c: a real SMB NEGOTIATE to every node, again and again, and what its answers mean */
#include "config.h"

#include "nodes/health.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/magic.h"
#include "nodes/agent.h"
#include "nodes/doubt.h"
#include "nodes/node.h"
#include "nodes/own.h"
#include "nodes/ports.h"
#include "nodes/probe.h"
#include "policy/policy.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

#include <event2/event.h>

/*
 * Each probe is a new connection. What it ends with, `fall` times in a row (or `rise` answers),
 * changes the node's health:
 *
 *	answered   up
 *	no way     connect() was refused or timed out: nobody new is let in. Down.
 *	silent     connected, but no proper answer in time. Hung.
 *
 * Both mean that nothing new is placed there, and neither ends a connection: those end on their own
 * evidence (proxy/watch.h), which is looked for from the first miss on.
 *
 * Three things are no miss. This machine's own trouble says nothing of a node. A node that refuses
 * this machine's address, and serves clients, whose addresses it sees, is alive. And what comes in
 * at a listener of ours is no node at all.
 *
 * A connection of a client that fails makes its node suspect: it is probed at once, and a refused
 * probe then counts as the last of `fall`.
 */

/* The probe looks at a suspect this often. */
#define SUSPECT_MS 200
/* Times of state changes that are remembered for flap damping. */
#define FLAPS_MAX 16
/* Between two lines of a kind about one node. */
#define HINT_MS 60000

#define WATCH_MAGIC 0x77617463u
#define HEALTH_MAGIC 0x6865616cu

/* A node, its probes, and what they have said. */
struct watch {
	MAGIC_MEMBER
	TAILQ_ENTRY(watch) entry;
	struct health *h;
	struct node *node;		/* a reference */
	struct event *timer;		/* the next probe */
	struct probe probe;
	struct agent agent;
	bool urgent;			/* a client's connection failed */
	bool smb1;			/* ask in SMB1: in SMB2 it did not answer properly */
	unsigned good, bad;		/* in a row */
	unsigned lost;			/* in a row: probes that got nothing at all */
	bool no_way;			/* of which kind the last miss was */
	uint64_t started_ms;
	uint64_t served_ms;		/* a client got an answer about then; 0: never */
	uint64_t flaps[FLAPS_MAX];
	unsigned nflaps;
	uint64_t refusal_hint_ms, ports_hint_ms;	/* the next line about that may come then */
};

struct health {
	MAGIC_MEMBER
	struct event_base *base;
	struct nodes *nodes;
	bool intercept;
	struct policy *policy;
	struct own own;
	struct event *suspects;
	void (*doubt)(void *arg, struct node *node);
	void *arg;
	TAILQ_HEAD(, watch) watches;
};

static void
after(struct event *ev, uint64_t ms)
{
	const struct timeval tv = { (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000) };

	event_add(ev, &tv);
}

static bool
may_hint(uint64_t *next_ms, uint64_t now)
{
	if (now < *next_ms)
		return false;
	*next_ms = now + HINT_MS;
	return true;
}

/* Changes of state. */

static void
count_flap(struct watch *w, uint64_t now)
{
	const struct pol_health *ph = &w->h->policy->health;
	unsigned recent = 0;

	w->flaps[w->nflaps++ % FLAPS_MAX] = now;
	for (unsigned i = 0; i < FLAPS_MAX && i < w->nflaps; i++)
		if (now - w->flaps[i] < ph->flap_window)
			recent++;
	if (ph->flap_changes > 0 && recent >= ph->flap_changes) {
		w->node->hold_ms = now + ph->flap_hold;
		log_about(LOG_LEVEL_WARN, log_of_node(LOG_EVENT_NODE, w->node->name),
		    "node %s changes too often: not up again for %u s", w->node->name,
		    ph->flap_hold / 1000);
	}
}

static const char *
health_str(enum node_health h)
{
	static const char *const words[] = { [NODE_UNKNOWN] = "unknown", [NODE_UP] = "up",
		[NODE_DOWN] = "down", [NODE_HUNG] = "hung", [NODE_LOOP] = "not used" };

	return words[h];
}

static void
set_health(struct watch *w, enum node_health to, const char *why)
{
	struct node *n = w->node;
	enum node_health from = n->health;
	uint64_t now = clock_ms();

	if (from == to)
		return;
	/* The first answer of a node that was taken for up is no change for anybody. */
	if (from != NODE_UNKNOWN || to != NODE_UP) {
		log_about(LOG_LEVEL_WARN, log_of_node(LOG_EVENT_NODE, n->name),
		    "node %s is %s: %s", n->name, health_str(to), why);
		if (from != NODE_UNKNOWN)
			count_flap(w, now);
		n->changed_ms = now;
	}
	if (to == NODE_UP)
		n->up_since_ms = from == NODE_UNKNOWN ? 0 : now;
	n->health = to;
}

/* What a probe's end means. */

static void
count_answer(struct watch *w, const char *why)
{
	struct node *n = w->node;

	doubt_over(n, clock_ms());
	w->bad = w->lost = 0;
	w->good++;
	if (n->health == NODE_UP)
		return;
	/* A node that comes and goes is better than none, and others' nodes are none. */
	if (clock_ms() < n->hold_ms && nodes_take_without(w->h->nodes, n, w->h->intercept)) {
		n->held_down = true;
		return;
	}
	n->hold_ms = 0;
	n->held_down = false;
	if (n->health == NODE_UNKNOWN || w->good >= w->h->policy->health.rise)
		set_health(w, NODE_UP, why);
}

static void
count_miss(struct watch *w, enum probe_end end, const char *why)
{
	const struct pol_health *ph = &w->h->policy->health;
	bool no_way = end == PROBE_NO_WAY || end == PROBE_UNHEARD;
	struct node *n = w->node;

	n->probe_failures++;
	if (no_way)
		n->probe_no_way++;
	if (doubt_grows(w->h->nodes, n, w->started_ms, clock_ms()))
		w->h->doubt(w->h->arg, n);
	w->good = 0;
	/* Misses of two kinds in a row do not add up to either. */
	w->bad = no_way == w->no_way ? w->bad + 1 : 1;
	w->no_way = no_way;
	w->lost = end == PROBE_UNHEARD || end == PROBE_SILENT ? w->lost + 1 : 0;
	if (w->urgent && no_way)
		w->bad = ph->fall;
	if (w->bad >= ph->fall)
		set_health(w, no_way ? NODE_DOWN : NODE_HUNG, why);
	else
		log_about(LOG_LEVEL_INFO, log_of_node(LOG_EVENT_NODE, n->name),
		    "node %s: probe failed (%u of %u): %s", n->name, w->bad, ph->fall, why);
}

/* Do clients come from other addresses than the probes? */
static bool
others_come(const struct policy *p)
{
	return policy_source(p, POL_SOURCE_TRANSPARENT) != NULL ||
	    policy_source(p, POL_SOURCE_POOL) != NULL;
}

/* For so long it counts that it served a client, or refused a probe. */
static uint64_t
recently_ms(const struct pol_health *ph)
{
	return (uint64_t)(ph->fall + 1) * ph->interval;
}

/*
 * The node closed the connection or refused it. It knows this machine's address, and clients come
 * from theirs where policy says so: only they can tell, and where they are served all is well.
 *
 * Where clients have this machine's address, what a probe meets a new client would meet as well:
 * the node has as many as it lets in, say. Those that it has stay, and others are placed elsewhere,
 * until no probe has been refused for as long.
 */
static void
count_refusal(struct watch *w, enum probe_end end, const char *why)
{
	const struct policy *p = w->h->policy;
	const uint64_t recent = recently_ms(&p->health);
	const uint64_t now = clock_ms();
	const bool serves = w->served_ms != 0 && now - w->served_ms <= recent;

	if (!serves && (end != PROBE_DENIED || !others_come(p))) {
		count_miss(w, end, why);
		return;
	}
	if (may_hint(&w->refusal_hint_ms, now))
		log_about(LOG_LEVEL_WARN, log_of_node(LOG_EVENT_NODE, w->node->name),
		    "node %s refuses the probes: %s. %s: is this machine's address missing in "
		         "\"hosts allow\" there%s?", w->node->name, why,
		    serves ? "It serves clients"
		           : "Clients come from other addresses, so that says nothing",
		    serves ? ", or does it let in no more than it has" : "");
	if (serves && !others_come(p))
		w->node->full_ms = now + recent;
	if (serves)
		count_answer(w, "it serves clients");
}

static void
judge(struct watch *w, enum probe_end end, const char *why)
{
	struct node *n = w->node;

	if (atomic_exchange(&n->met, false)) {
		n->probes++;
		n->probe_failures++;
		w->good = 0;
		why = "its address is one of smbgate's own listeners";
		snprintf(n->probe_why, sizeof(n->probe_why), "%s", why);
		set_health(w, NODE_LOOP, why);
		return;
	}
	n->unreached = end == PROBE_OWN;
	snprintf(n->probe_why, sizeof(n->probe_why), "%s", end == PROBE_ANSWERED ? "" : why);
	if (end == PROBE_OWN)
		return;
	n->probes++;
	if (end == PROBE_ANSWERED)
		count_answer(w, why);
	else if (end == PROBE_CLOSED || end == PROBE_DENIED)
		count_refusal(w, end, why);
	else
		count_miss(w, end, why);
}

static void
warn_ports(struct watch *w)
{
	uint64_t fit = ports_fit(w->h->policy, w->node), used = w->node->connections;

	if (ports_scarce(used, fit) && may_hint(&w->ports_hint_ms, clock_ms()))
		log_warn("node %s: %" PRIu64 " of about %" PRIu64
		         " local ports toward it are in use: %s",
		    w->node->name, used, fit, dial_cure(DIAL_PORTS));
}

/* One probe. */

static void
watch_probe(struct watch *w)
{
	const struct policy *p = w->h->policy;

	if (!policy_knows_smb1(p))
		w->smb1 = false;
	probe_start(&w->probe, w->smb1, p->health.timeout);
}

/* An answer in SMB2 was not to be had: may it know SMB1 alone? True: it is asked at once. */
static bool
ask_in_smb1(struct watch *w, enum probe_end end)
{
	bool improper = end == PROBE_IMPROPER || end == PROBE_CLOSED;

	if (!policy_knows_smb1(w->h->policy) || atomic_load(&w->node->met))
		return false;
	if (end == PROBE_ANSWERED)
		w->smb1 = w->probe.in_smb1;
	else if (improper || end == PROBE_SILENT)
		w->smb1 = !w->smb1;
	if (!improper || !w->smb1)
		return false;
	watch_probe(w);
	return true;
}

static void
probe_done(void *arg, enum probe_end end, const char *why)
{
	struct watch *w = arg;
	const struct pol_health *ph = &w->h->policy->health;
	uint64_t now, next = ph->interval;

	MAGIC_CHECK(w, WATCH_MAGIC);
	if (ask_in_smb1(w, end))
		return;
	now = clock_ms();
	if (atomic_exchange(&w->node->served, false))
		w->served_ms = now;
	judge(w, end, why);
	warn_ports(w);
	w->urgent = false;
	/* A queue that nobody empties is not filled with probes. */
	if (w->lost >= ph->fall)
		next *= 2;
	/* From start to start, so that `fall` misses take `fall` intervals, however they miss. */
	next += w->started_ms;
	after(w->timer, next > now ? next - now : 0);
}

static void
watch_timer_cb(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(w, WATCH_MAGIC);
	w->started_ms = clock_ms();
	if (node_in_maint(w->node))
		after(w->timer, w->h->policy->health.interval);
	else if (!probe_is_out(&w->probe))
		watch_probe(w);
}

/* The set of nodes. */

static void
watch_free(struct watch *w)
{
	TAILQ_REMOVE(&w->h->watches, w, entry);
	probe_fini(&w->probe);
	agent_fini(&w->agent);
	if (w->timer != NULL)
		event_free(w->timer);
	node_unref(&w->node);
	MAGIC_CLEAR(w);
	free(w);
}

static void
watch_new(struct health *h, struct node *n)
{
	struct watch *w = calloc(1, sizeof(*w));
	bool made;

	if (w == NULL) {
		log_error("out of memory: node %s is not probed", n->name);
		return;
	}
	MAGIC_SET(w, WATCH_MAGIC);
	w->h = h;
	w->node = node_ref(n);
	TAILQ_INSERT_TAIL(&h->watches, w, entry);
	w->timer = evtimer_new(h->base, watch_timer_cb, w);
	/* Both, whatever becomes of either: both are undone. */
	made = probe_init(&w->probe, h->base, n, &h->own, probe_done, w) == 0;
	made &= agent_init(&w->agent, h->base, n, &h->own) == 0;
	if (!made || w->timer == NULL) {
		log_error("out of memory: node %s is not probed", n->name);
		watch_free(w);
		return;
	}
	after(w->timer, 0);
}

/* Its agent says that it is down, or no more; and there is, or is no more, another node. */
static void
review_agent(struct watch *w)
{
	struct node *n = w->node;
	bool leave = node_lets_go(n) && doubt_way_out(w->h->nodes, n);

	if (leave == n->leave)
		return;
	n->leave = leave;
	if (!leave)
		return;
	log_warn("node %s: its clients go to other nodes, for its agent says %s", n->name,
	    agent_word_str((enum agent_word)n->agent_word));
	w->h->doubt(w->h->arg, n);
}

/* Nodes that a client found wanting are probed at once; removed ones are forgotten when idle. */
static void
suspects_cb(evutil_socket_t fd, short what, void *arg)
{
	struct health *h = arg;
	struct watch *w, *next;

	(void)fd;
	(void)what;
	MAGIC_CHECK(h, HEALTH_MAGIC);
	for (w = TAILQ_FIRST(&h->watches); w != NULL; w = next) {
		next = TAILQ_NEXT(w, entry);
		if (!w->node->listed && w->node->connections == 0) {
			watch_free(w);
			continue;
		}
		doubt_review(h->nodes, w->node, clock_ms());
		if (w->node->gone)
			set_health(w, NODE_DOWN, "its connections are dead");
		review_agent(w);
		(void)node_state_since(w->node, clock_ms());
		if (atomic_exchange(&w->node->suspect_ms, 0) == 0 || node_in_maint(w->node))
			continue;
		/* Nothing is placed there: its probes have time. */
		if (w->node->health > NODE_UP)
			continue;
		w->urgent = true;
		if (!probe_is_out(&w->probe))
			after(w->timer, 0);
	}
	nodes_sweep(h->nodes);
}

static struct watch *
watch_of(struct health *h, const struct node *n)
{
	struct watch *w;

	TAILQ_FOREACH(w, &h->watches, entry)
		if (w->node == n)
			return w;
	return NULL;
}

/* A node that has left the policy keeps its agent while it has clients. */
static void
watch_agent(struct watch *w, const struct policy *p)
{
	const struct addrport *agent = &w->agent.address;

	for (size_t i = 0; i < p->nnodes; i++)
		if (node_is(w->node, &p->nodes[i]))
			agent = &p->nodes[i].agent;
	agent_policy(&w->agent, agent->port == 0 ? NULL : agent, &p->health);
}

static uint64_t
no_later(uint64_t ms, uint64_t than_ms)
{
	return ms < than_ms ? ms : than_ms;
}

/* What was to last, or to wait, for longer by the policy before. */
static void
watch_sooner(struct watch *w, const struct pol_health *before)
{
	const struct pol_health *ph = &w->h->policy->health;
	const uint64_t now = clock_ms(), next = w->started_ms + ph->interval;
	struct node *n = w->node;

	n->hold_ms = ph->flap_changes == 0 ? 0 : no_later(n->hold_ms, now + ph->flap_hold);
	atomic_store(&n->logon_hold_ms,
	    ph->logon_fall == 0 ? 0 : no_later(n->logon_hold_ms, now + ph->logon_hold));
	atomic_store(&n->full_ms,
	    others_come(w->h->policy) ? 0 : no_later(n->full_ms, now + recently_ms(ph)));
	if (ph->interval < before->interval && !probe_is_out(&w->probe))
		after(w->timer, next > now ? next - now : 0);
}

void
health_policy(struct health *h, struct policy *policy)
{
	struct policy *old = h->policy;
	struct node *all[2 * POL_NODES_MAX];
	size_t n = nodes_all(h->nodes, all, 2 * POL_NODES_MAX);
	struct watch *w;

	h->policy = policy_ref(policy);
	TAILQ_FOREACH(w, &h->watches, entry)
		watch_sooner(w, &old->health);
	policy_unref(&old);
	for (size_t i = 0; i < n; i++) {
		if (all[i]->listed && watch_of(h, all[i]) == NULL)
			watch_new(h, all[i]);
		node_unref(&all[i]);
	}
	TAILQ_FOREACH(w, &h->watches, entry)
		watch_agent(w, policy);
	/* A removed node is probed while it has connections: its death must still be seen. */
}

struct health *
health_new(struct event_base *base, struct nodes *nodes, bool intercept, struct stats *stats,
    void (*doubt)(void *arg, struct node *node), void *arg)
{
	const struct timeval tv = { 0, SUSPECT_MS * 1000 };
	struct health *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return NULL;
	MAGIC_SET(h, HEALTH_MAGIC);
	h->base = base;
	h->nodes = nodes;
	h->intercept = intercept;
	h->own.stats = stats;
	h->doubt = doubt;
	h->arg = arg;
	TAILQ_INIT(&h->watches);
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
	while (!TAILQ_EMPTY(&h->watches))
		watch_free(TAILQ_FIRST(&h->watches));
	if (h->suspects != NULL)
		event_free(h->suspects);
	policy_unref(&h->policy);
	MAGIC_CLEAR(h);
	free(h);
	*hp = NULL;
}
