/* keeper.c: the thread that brings the map of claims to Redis, and what others put there to us */
#include "config.h"

#include "state/keeper.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/magic.h"
#include "state/orders.h"
#include "state/peers.h"
#include "state/queries.h"
#include "state/reply.h"
#include "state/resets.h"
#include "state/shared.h"
#include "state/sync.h"
#include "state/wake.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

/*
 *	woken		what the table has for Redis, as it comes
 *	every TICK	the lease, the clock, the epoch, the operators' drain orders, the peers
 *	every SWEEP	all exceptions
 *	news		an exception, a drain order: at once
 *
 * Nothing is sent but ticks before one was answered on this connection. A new epoch means that the
 * data was lost: everything is said again. So it is after a reconnect.
 */
#define TICK_MS 1000
#define SWEEP_MS 20000
/* Answers of one sweep: more than EXCEPTIONS_MAX of them fill. */
#define PAGES_MAX 8192
/* Calls of SYNC on their way; and of what is only said again, lest a new client wait behind it. */
#define CALLS_MAX 64
#define CALLS_AGAIN 3
/* Between two looks at claims of which there was nothing to say. */
#define BEHIND_MS 2
/* How long the end waits for Redis to hear of it. */
#define FINISH_MS 200
#define WARN_MS 60000
#define APART_TICKS 10

#define KEEPER_MAGIC 0x6b656570u
#define CALL_MAGIC 0x6b63616cu

struct keeper {
	MAGIC_MEMBER
	struct event_base *base;
	pthread_t thread;
	bool running;			/* there is a thread to be joined */
	struct shared *m;
	const struct keeper_ops *ops;
	void *arg;
	struct link *link, *news;
	struct wake *wake;
	struct event *tick, *timer;
	bool ticking, pinging, sweeping;	/* an answer is owed */
	bool sweep_again;		/* who listens since then may have missed something */
	bool usable;			/* a tick was answered on this connection */
	bool look_again;		/* something has changed since the tick under way */
	uint64_t gen;			/* of the connection */
	uint64_t tick_us, swept_ms, refused_ms;
	unsigned pages;			/* of the sweep under way */
	bool swept_any;			/* it has met an exception */
	bool young;			/* the data that it goes through */
	bool unripe;			/* the data was young at the last tick */
	unsigned calls;			/* on their way */
	struct orders *orders;
	char name[PEER_NAME_MAX];	/* of this machine */
	unsigned apart;			/* ticks in a row that others had other nodes or secrets */
	uint64_t apart_ms;
	uint64_t asked_nodes;		/* what the last tick said of our nodes */
	uint64_t told_nodes;		/* what the others were told to look at last */
	pthread_mutex_t lock;		/* a leaf, of what follows */
	struct keeper_info info;
	bool stop, tick_now;
	uint64_t nodes;
	struct rests rests;		/* ours, */
	uint64_t rests_ms;		/* as of then */
	uint64_t peers_ms;		/* as of then the peers are known, */
	bool crowded;			/* of whom there are more */
	struct rests_said said[KEEPER_PEERS_MAX];	/* what the info's peers say of theirs */
};

static void keeper_tick(struct keeper *k);
static void keeper_work(struct keeper *k);

static void
count_command(struct keeper *k)
{
	atomic_fetch_add_explicit(&shared_stats(k->m)->commands, 1, memory_order_relaxed);
}

/* Whoever asks for a report sees what is now. */
static void
keeper_note(struct keeper *k)
{
	pthread_mutex_lock(&k->lock);
	link_describe(k->link, &k->info.link);
	link_describe(k->news, &k->info.news);
	pthread_mutex_unlock(&k->lock);
}

static void
not_usable(struct keeper *k, bool refusing)
{
	k->usable = false;
	shared_online(k->m, false, refusing);
}

static void
note_time(struct keeper *k, uint64_t t)
{
	link_note_time(k->link, t);
	atomic_store(&shared_stats(k->m)->ahead_ms,
	    (int64_t)link_time(k->link) - (int64_t)clock_ms());
}

/* Claims. */

struct call {
	MAGIC_MEMBER
	struct keeper *k;
	size_t n;
	struct shared_op ops[SYNC_MAX];
};

/* r NULL: none of it was answered, or done. False: a part of it makes no sense. */
static bool
call_over(struct call *x, const struct redisReply *r)
{
	struct keeper *k = x->k;
	struct state_key lost;
	bool sense = true;

	for (size_t i = 0; i < x->n; i++) {
		struct shared_result res = { .how = -1 };

		if (r != NULL)
			res = sync_result(r, i);
		sense &= r == NULL || res.how != -1;
		if (shared_done(k->m, &x->ops[i], &res, &lost))
			k->ops->lost(k->arg, &lost);
	}
	k->calls--;
	MAGIC_CLEAR(x);
	free(x);
	return sense;
}

static void
called_cb(void *arg, const struct redisReply *r)
{
	struct call *x = arg;
	struct keeper *k = x->k;
	uint64_t t = 0;
	bool good;

	MAGIC_CHECK(x, CALL_MAGIC);
	MAGIC_CHECK(k, KEEPER_MAGIC);
	good = sync_answer(r, x->n, &t);
	if (t != 0)
		note_time(k, t);
	/* The lease is over: this process has stood still, or Redis' clock was set. */
	if (r != NULL && !good && k->usable)
		not_usable(k, false);
	if (!call_over(x, good ? r : NULL) || (r != NULL && t == 0))
		link_fail(k->link, FAULT_PROTOCOL);
	else if (r != NULL && !good && !k->ticking)
		keeper_tick(k);
	if (k->usable)
		keeper_work(k);
}

/* False: there was nothing to say, or no way to say it. */
static bool
call_some(struct keeper *k)
{
	bool hurry = link_returned(k->link, NAMES_GRACE_MS);
	struct call *x = malloc(sizeof(*x));

	if (x == NULL)
		return false;
	x->n = shared_take(k->m, x->ops, SYNC_MAX, k->calls < CALLS_AGAIN);
	if (x->n == 0) {
		free(x);
		return false;
	}
	MAGIC_SET(x, CALL_MAGIC);
	x->k = k;
	k->calls++;
	count_command(k);
	atomic_fetch_add_explicit(&shared_stats(k->m)->said, x->n, memory_order_relaxed);
	if (sync_send(k->link, k->m, k->gen, hurry, x->ops, x->n, called_cb, x))
		return true;
	(void)call_over(x, NULL);
	return false;
}

/* Questions about sessions. */

static void keeper_expire(struct keeper *k);

struct asked {
	struct keeper *k;
	struct state_query *q;
};

static void
query_answered_cb(void *arg, const struct redisReply *r)
{
	struct asked *x = arg;
	struct state_fact f;

	queries_answered(x->q, queries_fact(r, &f) ? &f : NULL, r == NULL);
	keeper_expire(x->k);
	free(x);
}

static void
keeper_queries(struct keeper *k)
{
	uint8_t id[NAMES_ID_LEN], sid[NAMES_ID_LEN];
	char key[NAMES_KEY_MAX], field[NAMES_ID_HEX + 1];
	const char *argv[] = { "HGET", key, field };
	struct state_query *q;

	while ((q = queries_asked(shared_queries(k->m), id, sid)) != NULL) {
		struct asked *x = malloc(sizeof(*x));

		shared_key(k->m, key, "f:", id);
		record_hex(sid, NAMES_ID_LEN, field);
		count_command(k);
		if (x != NULL)
			*x = (struct asked){ .k = k, .q = q };
		if (x != NULL && k->usable &&
		    link_ask(k->link, 3, argv, NULL, query_answered_cb, x))
			continue;
		free(x);
		queries_answered(q, NULL, true);
	}
}

/* Exceptions. */

static void keeper_sweep(struct keeper *k, const char *cursor);

static void
swept_cb(void *arg, const struct redisReply *r)
{
	struct keeper *k = arg;
	uint8_t id[NAMES_ID_LEN];
	size_t len;
	const char *cursor = reply_string(r, 0, &len);

	MAGIC_CHECK(k, KEEPER_MAGIC);
	k->sweeping = false;
	if (cursor == NULL || len > 20)
		return;
	/* What young data lacks may not have been said again yet. */
	k->young |= reply_number(r, 1) != 0;
	k->swept_any |= reply_elements(r) > 2;
	for (size_t i = 2; i + 1 < reply_elements(r); i += 2) {
		const char *hex = reply_string(r, i, &len), *record;

		if (hex == NULL || len != NAMES_ID_HEX || record_unhex(id, NAMES_ID_LEN, hex) == -1)
			continue;
		record = reply_string(r, i + 1, &len);
		if (record != NULL)
			(void)shared_note_exception(k->m, id, len == 0 ? NULL : record, len);
	}
	if (strcmp(cursor, "0") == 0) {
		/* Somebody has deleted them alone: those that are ours are said again. */
		if (!k->young && !k->swept_any && shared_exceptions(k->m) > 0)
			shared_again(k->m);
		if (!k->young)
			shared_swept(k->m);
		if (k->sweep_again)
			keeper_sweep(k, "0");
	} else if (++k->pages < PAGES_MAX) {
		keeper_sweep(k, cursor);
	}
}

static void
keeper_sweep(struct keeper *k, const char *cursor)
{
	char key[NAMES_KEY_MAX], epoch[NAMES_KEY_MAX], peers[NAMES_KEY_MAX], claims[NAMES_KEY_MAX];
	char news[NAMES_KEY_MAX];
	const bool hurry = link_returned(k->link, NAMES_GRACE_MS);
	const char *argv[] = { key, epoch, peers, cursor, claims, hurry ? "" : shared_out(k->m),
		news };

	if (k->sweeping)
		return;
	shared_key(k->m, key, "x", NULL);
	shared_key(k->m, epoch, "e", NULL);
	shared_key(k->m, peers, "p", NULL);
	shared_key(k->m, claims, "c:", NULL);
	shared_key(k->m, news, "news", NULL);
	count_command(k);
	if (strcmp(cursor, "0") == 0) {
		k->pages = 0;
		k->young = k->swept_any = k->sweep_again = false;
	}
	k->swept_ms = clock_ms();
	k->sweeping = link_run(k->link, SCRIPT_SWEEP, 3, 7, argv, NULL, swept_cb, k);
}

/* Drain orders. */

/* The label of their MACs is "stand": proxies of other versions know it by that. */
static void
send_order(void *arg, const char *node, const struct record *r)
{
	struct keeper *k = arg;
	char key[NAMES_KEY_MAX], news[NAMES_KEY_MAX];
	const char *set[] = { "HSET", key, node, r->bytes }, *tell[] = { "PUBLISH", news, "d" };
	size_t len[] = { 4, 0, strlen(node), r->len };

	shared_key(k->m, key, "d", NULL);
	shared_key(k->m, news, "news", NULL);
	len[1] = strlen(key);
	count_command(k);
	if (link_ask(k->link, 4, set, len, NULL, NULL))
		link_ask(k->link, 3, tell, NULL, NULL, NULL);
}

void
keeper_drain(struct keeper *k, const char *node, const char *stand)
{
	orders_give(k->orders, node, stand, shared_time(k->m));
	wake_up(k->wake);
}

void
keeper_each_drain(struct keeper *k, void (*f)(void *arg, const struct order_said *said), void *arg)
{
	orders_each(k->orders, shared_time(k->m), f, arg);
}

bool
keeper_find_drain(struct keeper *k, const char *node, struct order_said *said)
{
	return orders_find(k->orders, node, shared_time(k->m), said);
}

void
keeper_write_drains(struct keeper *k, struct tlv_out *o)
{
	orders_write(k->orders, o);
}

int
keeper_read_drains(struct keeper *k, const void *record, size_t len)
{
	const int r = orders_read(k->orders, record, len);

	wake_up(k->wake);
	k->ops->drain(k->arg);
	return r;
}

void
keeper_tell_rests(struct keeper *k, const struct rests *r)
{
	pthread_mutex_lock(&k->lock);
	memcpy(k->rests.text, r->text, r->len + 1);
	k->rests.len = r->len;
	k->rests_ms = clock_ms();
	pthread_mutex_unlock(&k->lock);
}

bool
keeper_rests(struct keeper *k, uint64_t order, struct keeper_rest all[KEEPER_PEERS_MAX], size_t *n)
{
	bool known;

	*n = 0;
	pthread_mutex_lock(&k->lock);
	known = atomic_load(&shared_stats(k->m)->online) && !k->crowded &&
	    clock_ms() - k->peers_ms < NAMES_LEASE_MS;
	for (size_t i = 0; known && i < k->info.npeers; i++) {
		const struct peer *p = &k->info.peers[i];
		const uint64_t age = p->age_ms + k->said[i].age_ms;
		struct keeper_rest *x = &all[*n];

		/* Who has no lease any more is as dead to all. */
		if (!p->same_secret || p->age_ms >= NAMES_LEASE_MS)
			continue;
		memcpy(x->name, p->name, sizeof(x->name));
		x->says = rests_find(&k->said[i], order, &x->rest);
		x->at_ms = k->peers_ms > age ? k->peers_ms - age : 0;
		++*n;
	}
	pthread_mutex_unlock(&k->lock);
	return known;
}

void
keeper_nodes(struct keeper *k, uint64_t nodes, const char *out)
{
	/* In this order: what the table has not gone by yet is not told to others. */
	shared_rehome(k->m, out);
	pthread_mutex_lock(&k->lock);
	k->tick_now |= k->nodes != nodes;
	k->nodes = nodes;
	pthread_mutex_unlock(&k->lock);
	wake_up(k->wake);
}

/* Once a second. */

static void
take_orders(struct keeper *k, const struct redisReply *r)
{
	orders_begin(k->orders);
	for (size_t i = 0; i + 1 < reply_elements(r); i += 2) {
		size_t node_len, len;
		const char *node = reply_string(r, i, &node_len);
		const char *record = reply_string(r, i + 1, &len);
		struct order_said said;

		if (node == NULL || record == NULL)
			continue;
		switch (orders_take(k->orders, node, node_len, record, len, shared_time(k->m),
		    &said)) {
		case -1:
			fault_add(shared_faults(k->m), FAULT_BAD_VALUE);
			break;
		case 1:
			k->ops->drain(k->arg);
			break;
		}
	}
	orders_missing(k->orders, send_order, k);
}

static void
version_refused(struct keeper *k)
{
	uint64_t now = clock_ms();

	not_usable(k, true);
	if (k->refused_ms != 0 && now - k->refused_ms < WARN_MS)
		return;
	k->refused_ms = now;
	log_about(LOG_LEVEL_ERROR, log_of(LOG_EVENT_REDIS),
	    "not in the map of claims: a proxy of another version is there; no client is "
	          "placed that is not known here");
}

/* The lease is renewed: what was said counts, or does not. */
static void
leased(struct keeper *k, uint64_t epoch, bool lapsed)
{
	if (epoch != k->info.epoch && k->info.epoch != 0)
		log_about(LOG_LEVEL_WARN, log_of(LOG_EVENT_REDIS),
		    "redis has lost its data, or no proxy was there: %zu claims are said "
		         "again",
		    shared_claims(k->m));
	if (lapsed || epoch != k->info.epoch)
		shared_again(k->m);
	shared_leased(k->m, k->tick_us / 1000);
	k->usable = true;
	k->refused_ms = 0;
	pthread_mutex_lock(&k->lock);
	k->info.epoch = epoch;
	k->info.latency_us = clock_us() - k->tick_us;
	pthread_mutex_unlock(&k->lock);
	shared_online(k->m, true, false);
}

/* In young data an older claim may have taken the place of ours, and nobody has told us. */
static void
note_ripe(struct keeper *k, bool ripe)
{
	if (ripe && k->unripe)
		shared_again(k->m);
	k->unripe = !ripe;
}

/* Once a minute, and not for what takes a moment to reach all. */
static void
warn_peer(struct keeper *k, const struct peer *p)
{
	if (k->apart < APART_TICKS || (k->apart_ms != 0 && clock_ms() - k->apart_ms < WARN_MS))
		return;
	k->apart_ms = clock_ms();
	log_about(LOG_LEVEL_WARN, log_of(LOG_EVENT_REDIS),
	    "proxy %s, at this Redis too, has %s: clients may be on two nodes", p->name,
	    p->same_secret ? "other nodes, weights or drains in its policy"
	                   : "another cluster-secret for the same nodes");
}

static void
take_peers(struct keeper *k, const struct redisReply *r, uint64_t t)
{
	struct peer *p = k->info.peers;
	/* In young data somebody may not be back yet. */
	bool agreed = k->usable && !k->unripe, apart = false;
	size_t n = 0, len;
	const char *rest;

	pthread_mutex_lock(&k->lock);
	k->crowded = false;
	for (size_t i = 0; i + 2 < reply_elements(r); i += 3) {
		k->crowded = n == KEEPER_PEERS_MAX;
		if (k->crowded)
			break;
		if (!peer_read(r, i, t, shared_tag(k->m), k->asked_nodes, &p[n]))
			continue;
		rest = reply_string(r, i + 2, &len);
		rests_read(&k->said[n++], rest, len);
	}
	k->info.npeers = n;
	k->peers_ms = k->tick_us / 1000;
	agreed &= k->asked_nodes == k->nodes;
	pthread_mutex_unlock(&k->lock);
	for (size_t i = 0; i < n; i++) {
		if (p[i].same_secret && !p[i].same_nodes)
			agreed = false;
		/* Neither the same: another cluster, which is well. */
		if (p[i].same_secret == p[i].same_nodes || p[i].age_ms > NAMES_LEASE_MS)
			continue;
		apart = true;
		warn_peer(k, &p[i]);
	}
	k->apart = apart ? k->apart + 1 : 0;
	if (!agreed)
		return;
	atomic_store(&shared_stats(k->m)->unsure, false);
	k->ops->agreed(k->arg, k->asked_nodes);
}

/* They look at once: the shorter proxies go by different homes, the better. */
static void
tell_nodes(struct keeper *k)
{
	char news[NAMES_KEY_MAX];
	const char *tell[] = { "PUBLISH", news, "d" };

	if (k->told_nodes == k->asked_nodes)
		return;
	k->told_nodes = k->asked_nodes;
	shared_key(k->m, news, "news", NULL);
	count_command(k);
	link_ask(k->link, 3, tell, NULL, NULL, NULL);
}

static void
ticked_cb(void *arg, const struct redisReply *r)
{
	struct keeper *k = arg;
	uint64_t t = reply_number(r, 0), epoch = reply_number(r, 1), status = reply_number(r, 2);

	MAGIC_CHECK(k, KEEPER_MAGIC);
	k->ticking = false;
	if (r == NULL)
		return;
	if (reply_elements(r) != 6 || epoch == 0 || t == 0) {
		link_fail(k->link, FAULT_PROTOCOL);
		return;
	}
	note_time(k, t);
	tell_nodes(k);
	if (status > TICK_REFUSED) {
		link_fail(k->link, FAULT_PROTOCOL);
		return;
	}
	if (status == TICK_REFUSED)
		version_refused(k);
	else
		leased(k, epoch, status == TICK_LAPSED);
	pthread_mutex_lock(&k->lock);
	k->info.refused = status == TICK_REFUSED;
	pthread_mutex_unlock(&k->lock);
	/* What a proxy of another version has said is not for us, and ours is not for it. */
	if (status != TICK_REFUSED) {
		note_ripe(k, reply_number(r, 5) != 0);
		take_orders(k, reply_array(r, 3));
	}
	take_peers(k, reply_array(r, 4), t);
	if (clock_ms() - k->swept_ms >= SWEEP_MS)
		keeper_sweep(k, "0");
	if (k->look_again)
		keeper_tick(k);
	k->look_again = false;
	keeper_work(k);
}

static void
pinged_cb(void *arg, const struct redisReply *r)
{
	struct keeper *k = arg;

	MAGIC_CHECK(k, KEEPER_MAGIC);
	(void)r;
	k->pinging = false;
}

static void
keeper_tick(struct keeper *k)
{
	char e[NAMES_KEY_MAX], d[NAMES_KEY_MAX], p[NAMES_KEY_MAX], w[NAMES_KEY_MAX];
	char gen[24], nodes[24], said[24], rests[RESTS_LINE];
	static const char version[] = { RECORD_VERSION, '\0' };
	const char *argv[] = { e, d, p, NAMES_PEERS, w, shared_token(k->m), gen, version,
		shared_tag(k->m), nodes, k->name, said, rests };
	const uint64_t before = k->asked_nodes;
	const bool unsure = shared_stats(k->m)->unsure;

	shared_key(k->m, e, "e", NULL);
	shared_key(k->m, d, "d", NULL);
	shared_key(k->m, p, "p", NULL);
	shared_key(k->m, w, "w", NULL);
	snprintf(gen, sizeof(gen), "%" PRIu64, k->gen);
	pthread_mutex_lock(&k->lock);
	if (shared_rehomed(k->m)) {
		if (k->asked_nodes != k->nodes)
			atomic_store(&shared_stats(k->m)->unsure, true);
		k->asked_nodes = k->nodes;
		k->tick_now = false;
	}
	snprintf(nodes, sizeof(nodes), "%016" PRIx64, k->asked_nodes);
	snprintf(said, sizeof(said), "%" PRIu64,
	    k->usable && shared_all_said(k->m) ? k->info.epoch : 0);
	(void)rests_line(&k->rests, clock_ms() - k->rests_ms, rests);
	pthread_mutex_unlock(&k->lock);
	count_command(k);
	k->tick_us = clock_us();
	k->ticking = link_run(k->link, SCRIPT_TICK, 5, 13, argv, NULL, ticked_cb, k);
	if (!k->ticking) {
		/* Nobody has been told anything. */
		k->asked_nodes = before;
		atomic_store(&shared_stats(k->m)->unsure, unsure);
	}
}

/* Timers, and being woken. */

static void
set_timer(struct keeper *k, uint64_t next_ms)
{
	uint64_t now = clock_ms(), ms = next_ms > now ? next_ms - now : 1;
	const struct timeval tv = { (time_t)(ms / 1000), (suseconds_t)(ms % 1000) * 1000 };

	event_add(k->timer, &tv);
}

static void
keeper_expire(struct keeper *k)
{
	uint64_t claim, query = queries_expire(shared_queries(k->m));
	bool owed = shared_expire(k->m, &claim);

	if (claim == 0 || (query != 0 && query < claim))
		claim = query;
	if (claim != 0 && (!k->usable || !shared_behind(k->m)))
		set_timer(k, claim);
	/*
	 * Nobody waits again before Redis has shown, to link.c alone, that it answers. A question
	 * about a session is no reason: who may ask it is not known to anybody.
	 */
	if (owed)
		link_fail(k->link, FAULT_TIMEOUT);
}

static void
tell_others(struct keeper *k, const uint8_t *bytes, size_t len)
{
	char news[NAMES_KEY_MAX], text[1 + NAMES_TOKEN_LEN + STATE_FACT_MAX];
	const char *argv[] = { "PUBLISH", news, text };
	size_t n[] = { 7, 0, 1 + NAMES_TOKEN_LEN + len };

	text[0] = 'o';
	memcpy(text + 1, shared_token(k->m), NAMES_TOKEN_LEN);
	memcpy(text + 1 + NAMES_TOKEN_LEN, bytes, len);
	shared_key(k->m, news, "news", NULL);
	n[1] = strlen(news);
	atomic_fetch_add_explicit(&shared_stats(k->m)->commands, 1, memory_order_relaxed);
	link_ask(k->link, 3, argv, n, NULL, NULL);
}

/* All that is to be sent. */
static void
keeper_work(struct keeper *k)
{
	uint8_t bytes[STATE_FACT_MAX];
	struct state_reset reset;
	size_t len;

	while (k->usable && k->calls < CALLS_MAX && call_some(k))
		;
	if (k->usable)
		orders_given(k->orders, send_order, k);
	while (k->usable && shared_take_news(k->m, &reset, bytes, &len)) {
		if (len == 0)
			resets_tell(k->link, k->m, &reset);
		else
			tell_others(k, bytes, len);
	}
	keeper_queries(k);
	if (k->usable && shared_behind(k->m))
		set_timer(k, clock_ms() + BEHIND_MS);
}

static void
finished_cb(void *arg, const struct redisReply *r)
{
	struct keeper *k = arg;

	MAGIC_CHECK(k, KEEPER_MAGIC);
	(void)r;
	event_base_loopbreak(k->base);
}

/* Every claim is given up by the end of the lease. */
static void
keeper_finish(struct keeper *k)
{
	const struct timeval tv = { 0, FINISH_MS * 1000 };
	char p[NAMES_KEY_MAX], w[NAMES_KEY_MAX];
	const char *argv[] = { p, NAMES_PEERS, w, shared_token(k->m) };

	shared_key(k->m, p, "p", NULL);
	shared_key(k->m, w, "w", NULL);
	k->usable = false;
	event_del(k->tick);
	event_base_loopexit(k->base, &tv);
	if (!link_run(k->link, SCRIPT_FINISH, 3, 4, argv, NULL, finished_cb, k))
		event_base_loopbreak(k->base);
}

static void
keeper_woken_cb(void *arg)
{
	struct keeper *k = arg;
	bool stop, tick_now;

	MAGIC_CHECK(k, KEEPER_MAGIC);
	pthread_mutex_lock(&k->lock);
	stop = k->stop;
	tick_now = k->tick_now;
	pthread_mutex_unlock(&k->lock);
	if (stop) {
		keeper_finish(k);
		return;
	}
	keeper_work(k);
	keeper_expire(k);
	if (tick_now && k->usable && !k->ticking && shared_rehomed(k->m))
		keeper_tick(k);
}

static void
keeper_timer_cb(evutil_socket_t fd, short what, void *arg)
{
	struct keeper *k = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(k, KEEPER_MAGIC);
	keeper_work(k);
	keeper_expire(k);
}

static void
keeper_tick_cb(evutil_socket_t fd, short what, void *arg)
{
	struct keeper *k = arg;
	const char *ping[] = { "PING" };

	(void)fd;
	(void)what;
	MAGIC_CHECK(k, KEEPER_MAGIC);
	if (k->ticking)
		link_fail(k->link, FAULT_TIMEOUT);
	if (k->pinging)
		link_fail(k->news, FAULT_TIMEOUT);
	k->pinging = link_ask(k->news, 1, ping, NULL, pinged_cb, k);
	keeper_tick(k);
	keeper_note(k);
}

/* Links. */

static void
link_ready_cb(void *arg, bool ready)
{
	struct keeper *k = arg;

	MAGIC_CHECK(k, KEEPER_MAGIC);
	not_usable(k, false);
	keeper_note(k);
	if (!ready)
		return;
	k->gen++;
	k->ticking = k->sweeping = false;
	shared_again(k->m);
	keeper_tick(k);
	keeper_sweep(k, "0");
}

/* Now whatever is published comes; what was before is in x. */
static void
listening_cb(void *arg, const struct redisReply *r)
{
	struct keeper *k = arg;

	MAGIC_CHECK(k, KEEPER_MAGIC);
	if (r == NULL)
		return;
	k->sweep_again = k->sweeping;
	keeper_sweep(k, "0");
}

static void
news_ready_cb(void *arg, bool ready)
{
	struct keeper *k = arg;
	char news[NAMES_KEY_MAX];
	const char *argv[] = { "SUBSCRIBE", news }, *ping[] = { "PING" };

	MAGIC_CHECK(k, KEEPER_MAGIC);
	keeper_note(k);
	if (!ready)
		return;
	k->pinging = false;
	shared_key(k->m, news, "news", NULL);
	link_ask(k->news, 2, argv, NULL, NULL, NULL);
	link_ask(k->news, 1, ping, NULL, listening_cb, k);
}

/* What this process has told is told to it, too. */
static bool
news_told(struct keeper *k, const char *text, size_t len)
{
	if (len <= NAMES_TOKEN_LEN)
		return false;
	return memcmp(text, shared_token(k->m), NAMES_TOKEN_LEN) == 0 ||
	    k->ops->told(k->arg, text + NAMES_TOKEN_LEN, len - NAMES_TOKEN_LEN);
}

static void
news_push_cb(void *arg, const struct redisReply *r)
{
	struct keeper *k = arg;
	uint8_t id[NAMES_ID_LEN];
	struct state_reset reset;
	int theirs;
	size_t len;
	const char *text = reply_string(r, 2, &len);

	MAGIC_CHECK(k, KEEPER_MAGIC);
	if (text != NULL && len > 1 && text[0] == 'v') {
		theirs = resets_told(k->m, text + 1, len - 1, &reset);
		if (theirs == -1)
			fault_add(shared_faults(k->m), FAULT_BAD_VALUE);
		else if (theirs == 1)
			k->ops->reset(k->arg, &reset);
	} else if (text != NULL && len > 1 && text[0] == 'o') {
		if (!news_told(k, text + 1, len - 1))
			fault_add(shared_faults(k->m), FAULT_BAD_VALUE);
	} else if (text != NULL && len == 1 && text[0] == 'd') {
		k->look_again = k->ticking;
		if (!k->ticking)
			keeper_tick(k);
	} else if (text != NULL && len >= 1 + NAMES_ID_HEX && text[0] == 'x' &&
	    record_unhex(id, NAMES_ID_LEN, text + 1) == 0) {
		const char *record = len == 1 + NAMES_ID_HEX ? NULL : text + 1 + NAMES_ID_HEX;

		(void)shared_note_exception(k->m, id, record, len - 1 - NAMES_ID_HEX);
	} else {
		fault_add(shared_faults(k->m), FAULT_BAD_VALUE);
	}
}

static const struct link_ops link_ops = { .ready = link_ready_cb };
static const struct link_ops news_ops = { .ready = news_ready_cb, .push = news_push_cb };

static void *
keeper_thread(void *arg)
{
	struct keeper *k = arg;

	event_base_dispatch(k->base);
	return NULL;
}

/* Signals are the main thread's. */
static int
start_thread(struct keeper *k)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&k->thread, NULL, keeper_thread, k);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	k->running = r == 0;
	return r == 0 ? 0 : -1;
}

/* Nothing but wake.c reaches the loop from outside. */
static struct event_base *
keeper_loop(void)
{
	struct event_config *cfg = event_config_new();
	struct event_base *base;

	if (cfg == NULL)
		return NULL;
	event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
	base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	return base;
}

/* All but the thread. -1: out of memory. */
static int
keeper_parts(struct keeper *k)
{
	const struct timeval tick_tv = { TICK_MS / 1000, 0 };
	char key[NAMES_KEY_MAX];

	shared_key(k->m, key, "t", NULL);
	k->base = keeper_loop();
	k->orders = orders_new(shared_seal(k->m));
	if (k->base == NULL || k->orders == NULL)
		return -1;
	if (gethostname(k->name, sizeof(k->name) - 1) == -1 || k->name[0] == '\0')
		snprintf(k->name, sizeof(k->name), "?");
	k->wake = wake_new(k->base, keeper_woken_cb, k);
	k->tick = event_new(k->base, -1, EV_PERSIST, keeper_tick_cb, k);
	k->timer = event_new(k->base, -1, 0, keeper_timer_cb, k);
	if (k->wake == NULL || k->tick == NULL || k->timer == NULL ||
	    event_add(k->tick, &tick_tv) == -1)
		return -1;
	k->link = link_new(k->base, shared_link(k->m), key, shared_faults(k->m), &link_ops, k);
	k->news = link_new(k->base, shared_link(k->m), key, shared_faults(k->m), &news_ops, k);
	return k->link == NULL || k->news == NULL ? -1 : 0;
}

struct keeper *
keeper_new(struct shared *m, const struct keeper_ops *ops, void *arg)
{
	struct keeper *k = calloc(1, sizeof(*k));

	if (k == NULL)
		return NULL;
	MAGIC_SET(k, KEEPER_MAGIC);
	pthread_mutex_init(&k->lock, NULL);
	k->m = m;
	k->ops = ops;
	k->arg = arg;
	if (keeper_parts(k) == -1) {
		keeper_free(&k);
		return NULL;
	}
	shared_keep(m, k->wake, ops->home, arg);
	queries_keep(shared_queries(m), k->wake);
	if (start_thread(k) == -1)
		keeper_free(&k);
	return k;
}

void
keeper_free(struct keeper **kp)
{
	struct keeper *k = *kp;

	if (k == NULL)
		return;
	if (k->running) {
		pthread_mutex_lock(&k->lock);
		k->stop = true;
		pthread_mutex_unlock(&k->lock);
		wake_up(k->wake);
		pthread_join(k->thread, NULL);
	}
	shared_keep(k->m, NULL, NULL, NULL);
	queries_keep(shared_queries(k->m), NULL);
	link_free(&k->link);
	link_free(&k->news);
	shared_online(k->m, false, false);
	wake_free(&k->wake);
	if (k->tick != NULL)
		event_free(k->tick);
	if (k->timer != NULL)
		event_free(k->timer);
	orders_free(&k->orders);
	if (k->base != NULL)
		event_base_free(k->base);
	pthread_mutex_destroy(&k->lock);
	MAGIC_CLEAR(k);
	free(k);
	*kp = NULL;
}

void
keeper_describe(struct keeper *k, struct keeper_info *info)
{
	pthread_mutex_lock(&k->lock);
	*info = k->info;
	pthread_mutex_unlock(&k->lock);
}
