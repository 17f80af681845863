/* drainer.c: nodes, and smbgate itself, that an operator drains: who does not notice goes */
#include "config.h"

#include "daemon/drainer.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/magic.h"
#include "base/tlv.h"
#include "daemon/census.h"
#include "daemon/clients.h"
#include "daemon/elsewhere.h"
#include "daemon/json.h"
#include "daemon/letgo.h"
#include "nodes/node.h"
#include "proxy/conn.h"
#include "proxy/parting.h"
#include "state/rests.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <event2/event.h>

#define TICK_MS 500
/* Of those that a deadline has cut, so many are named; all are counted. */
#define NAMED_MAX 1000
/* The drain of a node that policy has no longer: so long after the last client, for who waits. */
#define REMOVED_MS 3000
/* Whoever has not ended its clients so long after the deadline is not waited for. */
#define OVERDUE_MS 5000

/* Types are never used again for something else. */
enum {
	DRAINS_DRAIN = 1, DRAIN_NODE = 1, DRAIN_STAND = 2, DRAIN_AGE_MS = 3, DRAIN_ELSEWHERE = 4,
	DRAIN_ORDER_MS = 5 | TLV_OPTIONAL,
};

#define DRAINER_MAGIC 0x64726e72u

struct drain {
	struct node *node;		/* a reference; NULL: smbgate itself */
	struct stand terms;
	bool elsewhere;
	uint64_t order_ms;		/* drainer_order(); 0: not known */
	uint64_t since_ms;
	uint64_t used_ms;		/* the node was in the policy then, or had clients */
	uint32_t nclients;		/* at the last count */
	struct elsewhere_seen seen;
	uint64_t ncut;
	json_t *cut;			/* array: client_json() */
	struct client_ref last;		/* who was asked last: the next one's turn comes */
	TAILQ_ENTRY(drain) entry;
};

struct drainer {
	MAGIC_MEMBER
	struct drainer_env env;
	struct event *tick;
	struct census *census;
	uint64_t asked_ms;		/* for it */
	bool named;		/* it names users: of those who are cut */
	struct drain *asked;	/* for whom letgo_ask() is under way */
	TAILQ_HEAD(, drain) drains;	/* who was asked for last is the last */
};

static struct drain *
drain_of(const struct drainer *d, const struct node *n)
{
	struct drain *x;

	TAILQ_FOREACH(x, &d->drains, entry)
		if (x->node == n)
			break;
	return x;
}

static bool
is_due(const struct drain *x, uint64_t now_ms)
{
	return x->terms.deadline_ms != 0 && now_ms >= x->since_ms + x->terms.deadline_ms;
}

/* A client is on one node. */
static bool
concerned(const struct drain *x, const struct client *c)
{
	return x->node == NULL || c->conns[0]->node_is == x->node;
}

static const char *
drained(const struct drain *x)
{
	return x->node == NULL ? "smbgate" : x->node->name;
}

static void
name_cut(struct drain *x, const struct client *c)
{
	char text[CLIENT_TEXT];

	if (x->ncut++ >= NAMED_MAX)
		return;
	log_about(LOG_LEVEL_WARN, log_of(LOG_EVENT_DRAIN),
	    "drain of %s: cut at the deadline: %s", drained(x), client_text(c, text));
	client_json(c, jadd_object(x->cut));
}

/*
 * Everybody who is there now, those that have come back included; but who has been ended since, and
 * has come back elsewhere, stays there.
 */
static void
cut_rest(struct drainer *d, struct drain *x, const struct clients *all)
{
	struct parting p = { .n = 0, .until_ms = d->asked_ms };

	for (size_t i = 0; i < all->n; i++) {
		if (!concerned(x, &all->all[i]))
			continue;
		name_cut(x, &all->all[i]);
		p.who[p.n++] = all->all[i].ref;
		if (p.n == PARTING_MAX) {
			letgo_end(d->env.letgo, &p, NULL, NULL);
			p.n = 0;
		}
	}
	if (p.n > 0)
		letgo_end(d->env.letgo, &p, NULL, NULL);
}

static bool
is_quiet(const struct drain *x, const struct client *c, uint64_t now_ms)
{
	return concerned(x, c) && c->quiet &&
	    (uint64_t)c->heard_s * 1000 + x->terms.quiet_ms <= now_ms;
}

static void
asked_cb(void *arg, uint32_t gone)
{
	struct drainer *d = arg;
	unsigned n = (unsigned)__builtin_popcount(gone);

	MAGIC_CHECK(d, DRAINER_MAGIC);
	if (n > 0 && d->asked != NULL)
		log_about(LOG_LEVEL_INFO, log_of(LOG_EVENT_DRAIN),
		    "drain of %s: %u quiet client%s let go", drained(d->asked), n,
		    n == 1 ? "" : "s");
	d->asked = NULL;
}

static void
ask_quiet(struct drainer *d, struct drain *x, const struct clients *all, uint64_t now_ms)
{
	struct parting p = { .n = 0 };
	size_t first = 0;

	while (first < all->n && client_ref_cmp(&all->all[first].ref, &x->last) <= 0)
		first++;
	for (size_t i = 0; i < all->n && p.n < PARTING_MAX; i++) {
		const struct client *c = &all->all[(first + i) % all->n];

		if (is_quiet(x, c, now_ms))
			p.who[p.n++] = c->ref;
	}
	if (p.n > 0 && letgo_ask(d->env.letgo, &p, (uint32_t)((x->terms.quiet_ms + 999) / 1000),
	                   asked_cb, d)) {
		x->last = p.who[p.n - 1];
		d->asked = x;
	}
}

static void
count_clients(struct drain *x, const struct clients *all)
{
	x->nclients = 0;
	for (size_t i = 0; i < all->n; i++)
		x->nclients += concerned(x, &all->all[i]);
}

static void
counted_cb(void *arg, const struct census_found *found)
{
	struct drainer *d = arg;
	const uint64_t now = clock_ms();
	const bool free_to_ask = d->asked == NULL;
	struct drain *x;
	bool left = false, due;

	MAGIC_CHECK(d, DRAINER_MAGIC);
	d->census = NULL;
	if (found == NULL)
		return;
	TAILQ_FOREACH(x, &d->drains, entry) {
		count_clients(x, &found->clients);
		due = d->named && is_due(x, now);
		if (due)
			cut_rest(d, x, &found->clients);
		else if (d->asked == NULL)
			ask_quiet(d, x, &found->clients, now);
		left |= x->node == NULL && (found->nconns == 0 || due);
	}
	if (free_to_ask && d->asked != NULL) {
		/* Those of one node may be quiet here and not elsewhere for good. */
		TAILQ_REMOVE(&d->drains, d->asked, entry);
		TAILQ_INSERT_TAIL(&d->drains, d->asked, entry);
	}
	if (left)
		d->env.left(d->env.arg);
}

static void
drain_end(struct drainer *d, struct drain *x)
{
	if (d->asked == x)
		d->asked = NULL;
	TAILQ_REMOVE(&d->drains, x, entry);
	node_unref(&x->node);
	json_decref(x->cut);
	free(x);
	if (TAILQ_EMPTY(&d->drains))
		event_del(d->tick);
}

static unsigned
connections_here(const struct node *n)
{
	return n->connections + n->before;
}

static void
look_elsewhere(const struct drainer *d, const struct drain *x, struct elsewhere *e)
{
	elsewhere_look(e, d->env.keeper == NULL ? NULL : *d->env.keeper, d->env.hash, x->node->id);
}

static void
note_elsewhere(const struct drainer *d, struct drain *x, uint64_t now_ms)
{
	/* Before what the others say: who goes there meanwhile was seen here. */
	const bool here = connections_here(x->node) > 0;
	struct elsewhere e;

	look_elsewhere(d, x, &e);
	elsewhere_note(&x->seen, here, &e, now_ms);
}

/* It has someone to end, now or later. A node that is neither listed nor used is forgotten. */
static bool
review(struct drainer *d, struct drain *x, uint64_t now_ms)
{
	const bool used = x->node == NULL || x->node->connections > 0;

	if (used || x->node->listed) {
		x->used_ms = now_ms;
	} else if (now_ms >= x->used_ms + REMOVED_MS) {
		/* Should it come back before it is swept, it is a new one. */
		x->node->drain = x->node->maint_operator = false;
		drain_end(d, x);
	}
	return used;
}

static void
take_census(struct drainer *d, bool named)
{
	const struct census_env env = { d->env.connlist, d->env.scribe, d->env.sessions };
	const char *why;

	d->named = named;
	d->asked_ms = clock_ms();
	/* When there are too many questions, the next tick asks. */
	d->census = census_ask(&env, named, NULL, counted_cb, d, &why);
}

static void
drainer_tick_cb(evutil_socket_t fd, short what, void *arg)
{
	const uint64_t now = clock_ms();
	struct drainer *d = arg;
	struct drain *x, *next;
	bool any = false, due = false;

	(void)fd;
	(void)what;
	MAGIC_CHECK(d, DRAINER_MAGIC);
	for (x = TAILQ_FIRST(&d->drains); x != NULL; x = next) {
		next = TAILQ_NEXT(x, entry);
		due |= is_due(x, now);
		if (x->node != NULL)
			note_elsewhere(d, x, now);
		any |= review(d, x, now);
	}
	if (any && d->census == NULL)
		take_census(d, due);
}

/* A new order takes the place of an old one. */
static void
drain_begin(struct drainer *d, struct node *n, const struct stand *s, bool elsewhere,
    uint64_t age_ms)
{
	const struct timeval tv = { 0, TICK_MS * 1000 };
	const uint64_t now = clock_ms();
	struct drain *x = drain_of(d, n);

	if (x == NULL) {
		x = calloc(1, sizeof(*x));
		if (x == NULL) {
			log_error("out of memory: a drain ends no connection");
			return;
		}
		x->node = n == NULL ? NULL : node_ref(n);
		if (TAILQ_EMPTY(&d->drains))
			event_add(d->tick, &tv);
		TAILQ_INSERT_HEAD(&d->drains, x, entry);
	}
	x->terms = *s;
	x->elsewhere = elsewhere;
	x->order_ms = 0;
	x->since_ms = now > age_ms ? now - age_ms : 0;
	x->used_ms = now;
	x->ncut = 0;
	json_decref(x->cut);
	x->cut = json_array();
}

void
drainer_node(struct drainer *d, struct node *n, const struct stand *s, bool elsewhere,
    uint64_t age_ms)
{
	struct drain *x = drain_of(d, n);

	if (s->kind != STAND_ACTIVE)
		drain_begin(d, n, s, elsewhere, age_ms);
	else if (x != NULL)
		drain_end(d, x);
}

void
drainer_leave(struct drainer *d, const struct stand *s)
{
	drain_begin(d, NULL, s, false, 0);
}

void
drainer_write(struct tlv_out *o, const struct drainer *d, uint64_t now_ms)
{
	char text[STAND_TEXT];
	struct drain *x;

	TAILQ_FOREACH(x, &d->drains, entry) {
		size_t at = tlv_begin(o, DRAINS_DRAIN);
		uint64_t age_ms = now_ms - x->since_ms;

		/* Without a name: smbgate itself. */
		if (x->node != NULL)
			tlv_put_text(o, DRAIN_NODE, x->node->id);
		tlv_put_text(o, DRAIN_STAND, stand_text(&x->terms, text));
		tlv_put_uint(o, DRAIN_AGE_MS,
		    age_ms < STAND_TIME_MAX_MS ? age_ms : STAND_TIME_MAX_MS);
		tlv_put_uint(o, DRAIN_ELSEWHERE, x->elsewhere);
		tlv_put_uint(o, DRAIN_ORDER_MS, x->order_ms);
		tlv_end(o, at);
	}
}

static void
drain_again(struct drainer *d, struct nodes *nodes, const char *id, const struct stand *s,
    bool elsewhere, uint64_t order_ms, uint64_t age_ms)
{
	struct node *n;

	if (s->kind == STAND_ACTIVE)
		return;
	if (id[0] == '\0') {
		drain_begin(d, NULL, s, elsewhere, age_ms);
		return;
	}
	n = nodes_find(nodes, id);
	if (n == NULL)
		return;
	n->drain = true;
	n->maint_operator = s->kind == STAND_MAINT;
	drain_begin(d, n, s, elsewhere, age_ms);
	drainer_order(d, n, order_ms);
	node_unref(&n);
}

static void
read_drain(struct tlv_in *in, struct drainer *d, struct nodes *nodes)
{
	char id[STATE_NODE_LEN] = "", text[STAND_TEXT] = "";
	struct tlv_in x = tlv_sub(in);
	bool elsewhere = false;
	struct stand s;
	uint64_t age_ms = 0, order_ms = 0;

	while (tlv_next(&x)) {
		if (x.type == DRAIN_NODE)
			tlv_text(&x, id, sizeof(id));
		else if (x.type == DRAIN_STAND)
			tlv_text(&x, text, sizeof(text));
		else if (x.type == DRAIN_AGE_MS)
			age_ms = tlv_uint(&x, STAND_TIME_MAX_MS);
		else if (x.type == DRAIN_ELSEWHERE)
			elsewhere = tlv_uint(&x, 1) == 1;
		else if (x.type == DRAIN_ORDER_MS)
			order_ms = tlv_uint(&x, INT64_MAX);
		else
			tlv_unknown(&x);
	}
	in->bad |= x.bad;
	s = stand_read(text);
	if (!in->bad)
		drain_again(d, nodes, id, &s, elsewhere, order_ms, age_ms);
}

int
drainer_read(struct drainer *d, struct nodes *nodes, const void *record, size_t len)
{
	struct tlv_in in = tlv_in(record, len);

	while (tlv_next(&in)) {
		if (in.type == DRAINS_DRAIN)
			read_drain(&in, d, nodes);
		else
			tlv_unknown(&in);
	}
	return in.bad ? -1 : 0;
}

void
drainer_order(struct drainer *d, const struct node *n, uint64_t when_ms)
{
	struct drain *x = drain_of(d, n);

	if (x != NULL)
		x->order_ms = when_ms;
}

bool
drainer_has(const struct drainer *d, const struct node *n, const struct stand *s, uint64_t when_ms)
{
	const struct drain *x = drain_of(d, n);

	return x != NULL && x->terms.kind == s->kind && x->terms.quiet_ms == s->quiet_ms &&
	    x->terms.deadline_ms == s->deadline_ms &&
	    (x->order_ms == 0 || x->order_ms == when_ms);
}

bool
drainer_leaving(const struct drainer *d)
{
	return drain_of(d, NULL) != NULL;
}

bool
drainer_overdue(const struct drainer *d, uint64_t now_ms)
{
	const struct drain *x = drain_of(d, NULL);

	return x != NULL && now_ms >= OVERDUE_MS && is_due(x, now_ms - OVERDUE_MS);
}

static uint64_t
remaining_ms(const struct drain *x, uint64_t now_ms)
{
	return is_due(x, now_ms) ? 0 : x->since_ms + x->terms.deadline_ms - now_ms;
}

static void
set_remaining(json_t *o, const char *key, const struct drain *x, uint64_t now_ms)
{
	if (x->terms.deadline_ms == 0)
		jset_text(o, key, NULL);
	else
		jset_int(o, key, (remaining_ms(x, now_ms) + 999) / 1000);
}

void
drainer_json(const struct drainer *d, const struct node *n, uint64_t now_ms, json_t *o)
{
	const struct drain *x = d == NULL ? NULL : drain_of(d, n);
	struct elsewhere e;
	json_t *v;

	if (x == NULL) {
		jset_text(o, "drain", NULL);
		return;
	}
	v = jset_object(o, "drain");
	jset_text(v, "by", x->elsewhere ? "operator of another proxy" : "operator");
	jset_age(v, "since_s", x->since_ms, now_ms);
	set_remaining(v, "deadline_s", x, now_ms);
	look_elsewhere(d, x, &e);
	elsewhere_json(v, "elsewhere", &e);
}

/* The node in the policy, of several. NULL: smbgate itself. */
static const struct drain *
drain_named(const struct drainer *d, const char *name)
{
	const struct drain *x, *found = NULL;

	if (name == NULL)
		return drain_of(d, NULL);
	TAILQ_FOREACH(x, &d->drains, entry)
		if (x->node != NULL && strcmp(x->node->name, name) == 0 &&
		    (found == NULL || x->node->listed))
			found = x;
	return found;
}

static void
set_cut(json_t *o, const struct drain *x)
{
	jset_int(o, "cut_total", x->ncut);
	json_object_set(o, "cut", x->cut);
}

void
drainer_rest(const struct drainer *d, const struct node *n, struct rest *r)
{
	const struct drain *x = drain_of(d, n);

	r->connections = connections_here(n);
	r->clients = r->cut = 0;
	if (x == NULL)
		return;
	/* The last count may be of a moment ago. */
	r->clients = n->connections == 0 ? 0 : x->nclients;
	r->cut = x->ncut < UINT32_MAX ? (uint32_t)x->ncut : UINT32_MAX;
}

/* connections: that were counted here now. */
static void
set_elsewhere(json_t *o, const struct drainer *d, const struct drain *x, uint64_t connections)
{
	struct elsewhere e;

	look_elsewhere(d, x, &e);
	elsewhere_json(o, "elsewhere", &e);
	jset_bool(o, "over", connections == 0 && connections_here(x->node) == 0 &&
	        elsewhere_over(&x->seen, &e));
}

bool
drainer_progress(const struct drainer *d, const char *name, const struct clients *all,
    uint64_t now_ms, json_t *o)
{
	const struct drain *x = d == NULL ? NULL : drain_named(d, name);
	uint64_t clients = 0, connections = 0, files = 0, unseen = 0;

	if (x == NULL)
		return false;
	for (size_t i = 0; i < all->n; i++) {
		const struct client *c = &all->all[i];

		if (!concerned(x, c))
			continue;
		clients++;
		connections += c->n;
		files += c->open_files > 0 ? (uint64_t)c->open_files : 0;
		unseen += c->open_files < 0;
	}
	jset_text(o, "node", name);
	jset_int(o, "clients", clients);
	jset_int(o, "connections", connections);
	jset_int(o, "open_files", files);
	jset_int(o, "unseen", unseen);
	set_remaining(o, "remaining_s", x, now_ms);
	set_cut(o, x);
	if (x->node != NULL)
		set_elsewhere(o, d, x, connections);
	return true;
}

json_t *
drainer_end(const struct drainer *d)
{
	const struct drain *x = drain_of(d, NULL);
	json_t *o = json_object();

	jset_bool(o, "stopped", true);
	if (x != NULL)
		set_cut(o, x);
	return o;
}

struct drainer *
drainer_new(const struct drainer_env *env)
{
	struct drainer *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	MAGIC_SET(d, DRAINER_MAGIC);
	d->env = *env;
	TAILQ_INIT(&d->drains);
	d->tick = event_new(env->base, -1, EV_PERSIST, drainer_tick_cb, d);
	if (d->tick == NULL)
		drainer_free(&d);
	return d;
}

void
drainer_free(struct drainer **dp)
{
	struct drainer *d = *dp;

	if (d == NULL)
		return;
	census_forget(&d->census);
	while (!TAILQ_EMPTY(&d->drains))
		drain_end(d, TAILQ_FIRST(&d->drains));
	if (d->tick != NULL)
		event_free(d->tick);
	MAGIC_CLEAR(d);
	free(d);
	*dp = NULL;
}
