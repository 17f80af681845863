/* keeper.c: keeps in Redis what this process holds, and in memory what the others put there */
#include "config.h"

#include "state/keeper.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/magic.h"
#include "state/command.h"
#include "state/facts.h"
#include "state/reply.h"
#include "state/shared.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <event2/event.h>

/*
 *	every TICK	the epoch, the clock, the operators' drain orders
 *	every WORK	claims and facts that are due, ASSERT_MAX at a time
 *	every SWEEP	all exceptions
 *	news		an exception, a drain order: at once
 *
 * A new epoch means that the data was lost: everything is due. So it is after a reconnect.
 */
#define TICK_MS 1000
#define WORK_MS 100
#define SWEEP_MS (2 * NAMES_REFRESH_MS)
/* Answers of one sweep: more than EXCEPTIONS_MAX of them fill. */
#define PAGES_MAX 8192
/* Nodes that operators have drained at some time. */
#define ORDERS_MAX 256

/* An operator's last word on a node. */
struct drain_order {
	TAILQ_ENTRY(drain_order) entry;
	char node[STATE_NODE_LEN];
	uint64_t when_ms;		/* the latest order counts */
	bool drain;
	bool confirmed;			/* Redis has this one, or a later one, in this tick */
};

#define KEEPER_MAGIC 0x6b656570u

struct keeper {
	MAGIC_MEMBER
	struct event_base *base;
	struct shared *m;
	const struct keeper_ops *ops;
	void *arg;
	struct link *link, *news;
	struct event *tick, *work;
	bool ticking, pinging, sweeping;	/* an answer is owed */
	uint64_t epoch, tick_us, latency_us, asserted, swept_ms;
	unsigned pages;				/* of the sweep under way */
	bool young;				/* the data that it goes through */
	size_t nitems;				/* under way */
	struct shared_item items[ASSERT_MAX];
	TAILQ_HEAD(, drain_order) orders;
	size_t norders;
};

static void
count_command(struct keeper *k)
{
	atomic_fetch_add_explicit(&shared_stats(k->m)->commands, 1, memory_order_relaxed);
}

/* Claims and facts. */

static void keeper_work(struct keeper *k);

static void
asserted_cb(void *arg, const struct redisReply *r)
{
	struct keeper *k = arg;
	size_t n;

	MAGIC_CHECK(k, KEEPER_MAGIC);
	n = k->nitems;
	k->nitems = 0;
	command_asserted(k->link, k->m, k->items, n, r, k->ops->lost, k->arg);
	if (r != NULL) {
		k->asserted += n;
		keeper_work(k);
	}
}

static void
keeper_work(struct keeper *k)
{
	struct facts_item facts[ASSERT_MAX / 4];
	size_t n;

	if (!link_ready(k->link) || k->nitems > 0)
		return;
	n = shared_due(k->m, k->items, ASSERT_MAX);
	if (n > 0) {
		k->nitems = n;
		if (command_assert(k->link, k->m, k->items, n, asserted_cb, k) == 0)
			asserted_cb(k, NULL);
	}
	while ((n = facts_due(shared_facts(k->m), facts, ASSERT_MAX / 4)) > 0)
		if (command_facts(k->link, k->m, facts, n, NULL, NULL) == 0)
			break;
	explicit_bzero(facts, sizeof(facts));
}

static void
everything_due(struct keeper *k)
{
	shared_all_due(k->m);
	facts_all_due(shared_facts(k->m));
	keeper_work(k);
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
	/* What young data lacks may not have been asserted again yet. */
	k->young |= reply_number(r, 1) != 0;
	for (size_t i = 2; i + 1 < reply_elements(r); i += 2) {
		const char *hex = reply_string(r, i, &len), *record;

		if (hex == NULL || len != NAMES_ID_HEX || record_unhex(id, NAMES_ID_LEN, hex) == -1)
			continue;
		record = reply_string(r, i + 1, &len);
		if (record != NULL)
			(void)shared_note_exception(k->m, id, record, len);
	}
	if (strcmp(cursor, "0") == 0) {
		if (!k->young)
			shared_swept(k->m);
	} else if (++k->pages < PAGES_MAX) {
		keeper_sweep(k, cursor);
	}
}

static void
keeper_sweep(struct keeper *k, const char *cursor)
{
	char key[NAMES_KEY_MAX], epoch[NAMES_KEY_MAX], claims[NAMES_KEY_MAX], grace[24];
	const char *argv[] = { key, epoch, cursor, claims, grace };

	if (k->sweeping)
		return;
	shared_key(k->m, key, "x", NULL);
	shared_key(k->m, epoch, "e", NULL);
	shared_key(k->m, claims, "c:", NULL);
	snprintf(grace, sizeof(grace), "%d", NAMES_GRACE_MS);
	count_command(k);
	if (strcmp(cursor, "0") == 0) {
		k->pages = 0;
		k->young = false;
	}
	k->swept_ms = clock_ms();
	k->sweeping = link_run(k->link, SCRIPT_SWEEP, 2, 5, argv, NULL, swept_cb, k) != 0;
}

/* Drain orders. */

static struct drain_order *
order_of(struct keeper *k, const char *node)
{
	struct drain_order *o;

	TAILQ_FOREACH(o, &k->orders, entry)
		if (strcmp(o->node, node) == 0)
			return o;
	if (k->norders == ORDERS_MAX || (o = calloc(1, sizeof(*o))) == NULL)
		return NULL;
	snprintf(o->node, sizeof(o->node), "%s", node);
	TAILQ_INSERT_TAIL(&k->orders, o, entry);
	k->norders++;
	return o;
}

/* The label of their MACs is "stand": proxies of other versions know it by that. */
static void
send_order(struct keeper *k, const struct drain_order *o)
{
	char key[NAMES_KEY_MAX], news[NAMES_KEY_MAX];
	struct record r;
	const char *set[] = { "HSET", key, o->node, r.bytes }, *tell[] = { "PUBLISH", news, "d" };
	size_t len[] = { 4, 0, strlen(o->node), 0 };

	record_make(&r, shared_seal(k->m), "stand", o->node, strlen(o->node), o->when_ms,
	    o->drain ? "drain" : "active");
	shared_key(k->m, key, "d", NULL);
	shared_key(k->m, news, "news", NULL);
	len[1] = strlen(key);
	len[3] = r.len;
	count_command(k);
	if (r.len > 0 && link_ask(k->link, 4, set, len, NULL, NULL) != 0)
		link_ask(k->link, 3, tell, NULL, NULL, NULL);
}

static void
take_order(struct keeper *k, const char *node, size_t node_len, const char *record, size_t len)
{
	char name[STATE_NODE_LEN], text[STATE_NODE_LEN];
	struct drain_order *o;
	uint64_t when;

	if (node_len == 0 || node_len >= sizeof(name) || memchr(node, 0, node_len) != NULL ||
	    record_get(record, len, shared_seal(k->m), "stand", node, node_len, &when,
	        text) == -1) {
		fault_add(shared_faults(k->m), FAULT_BAD_VALUE);
		return;
	}
	memcpy(name, node, node_len);
	name[node_len] = '\0';
	o = order_of(k, name);
	if (o == NULL)
		return;
	o->confirmed = when >= o->when_ms;
	if (when <= o->when_ms)
		return;
	o->when_ms = when;
	o->drain = strcmp(text, "drain") == 0;
	k->ops->drain(k->arg, o->node, o->drain);
}

void
keeper_drain(struct keeper *k, const char *node, bool drain)
{
	struct drain_order *o = order_of(k, node);
	uint64_t now = command_time(k->link);

	if (o == NULL)
		return;
	o->when_ms = now > o->when_ms ? now : o->when_ms + 1;
	o->drain = drain;
	send_order(k, o);
}

void
keeper_hurry(struct keeper *k)
{
	keeper_work(k);
}

void
keeper_repeat_drains(struct keeper *k)
{
	struct drain_order *o;

	TAILQ_FOREACH(o, &k->orders, entry)
		k->ops->drain(k->arg, o->node, o->drain);
}

/* Once a second. */

static void
ticked_cb(void *arg, const struct redisReply *r)
{
	struct keeper *k = arg;
	uint64_t epoch = reply_number(r, 1);
	struct drain_order *o;

	MAGIC_CHECK(k, KEEPER_MAGIC);
	k->ticking = false;
	if (r == NULL)
		return;
	if (reply_elements(r) < 2 || epoch == 0) {
		link_fail(k->link, FAULT_PROTOCOL);
		return;
	}
	link_note_time(k->link, reply_number(r, 0));
	k->latency_us = clock_us() - k->tick_us;
	if (epoch != k->epoch && k->epoch != 0) {
		log_warn("redis has lost its data: %zu claims are asserted again",
		    shared_claims(k->m));
		everything_due(k);
	}
	k->epoch = epoch;
	TAILQ_FOREACH(o, &k->orders, entry)
		o->confirmed = false;
	for (size_t i = 2; i + 1 < reply_elements(r); i += 2) {
		size_t node_len, len;
		const char *node = reply_string(r, i, &node_len);
		const char *record = reply_string(r, i + 1, &len);

		if (node != NULL && record != NULL)
			take_order(k, node, node_len, record, len);
	}
	TAILQ_FOREACH(o, &k->orders, entry)
		if (!o->confirmed)
			send_order(k, o);
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
	static const char day[] = "86400000";
	char epoch[NAMES_KEY_MAX], drains[NAMES_KEY_MAX];
	const char *argv[] = { epoch, drains, day }, *ping[] = { "PING" };

	if (k->ticking)
		link_fail(k->link, FAULT_TIMEOUT);
	if (k->pinging)
		link_fail(k->news, FAULT_TIMEOUT);
	shared_key(k->m, epoch, "e", NULL);
	shared_key(k->m, drains, "d", NULL);
	count_command(k);
	k->tick_us = clock_us();
	k->ticking = link_run(k->link, SCRIPT_TICK, 2, 3, argv, NULL, ticked_cb, k) != 0;
	k->pinging = link_ask(k->news, 1, ping, NULL, pinged_cb, k) != 0;
	if (clock_ms() - k->swept_ms >= SWEEP_MS)
		keeper_sweep(k, "0");
}

static void
keeper_tick_cb(evutil_socket_t fd, short what, void *arg)
{
	struct keeper *k = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(k, KEEPER_MAGIC);
	keeper_tick(k);
}

static void
keeper_work_cb(evutil_socket_t fd, short what, void *arg)
{
	struct keeper *k = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(k, KEEPER_MAGIC);
	keeper_work(k);
}

/* Links. */

static void
link_ready_cb(void *arg, bool ready)
{
	struct keeper *k = arg;

	MAGIC_CHECK(k, KEEPER_MAGIC);
	if (!ready)
		return;
	everything_due(k);
	k->ticking = false;
	keeper_tick(k);
	keeper_sweep(k, "0");
}

static void
news_ready_cb(void *arg, bool ready)
{
	struct keeper *k = arg;
	char news[NAMES_KEY_MAX];
	const char *argv[] = { "SUBSCRIBE", news };

	MAGIC_CHECK(k, KEEPER_MAGIC);
	if (!ready)
		return;
	k->pinging = false;
	shared_key(k->m, news, "news", NULL);
	link_ask(k->news, 2, argv, NULL, NULL, NULL);
	/* What was published before is in x. */
	keeper_sweep(k, "0");
}

static void
news_push_cb(void *arg, const struct redisReply *r)
{
	struct keeper *k = arg;
	uint8_t id[NAMES_ID_LEN];
	size_t len;
	const char *text = reply_string(r, 2, &len);

	MAGIC_CHECK(k, KEEPER_MAGIC);
	if (text != NULL && len == 1 && text[0] == 'd') {
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

struct keeper *
keeper_new(struct event_base *base, struct shared *m, const struct keeper_ops *ops, void *arg)
{
	const struct timeval tick_tv = { TICK_MS / 1000, 0 }, work_tv = { 0, WORK_MS * 1000 };
	struct keeper *k = calloc(1, sizeof(*k));

	if (k == NULL)
		return NULL;
	MAGIC_SET(k, KEEPER_MAGIC);
	k->base = base;
	k->m = m;
	k->ops = ops;
	k->arg = arg;
	TAILQ_INIT(&k->orders);
	k->link = link_new(base, shared_link(m), shared_faults(m), &link_ops, k);
	k->news = link_new(base, shared_link(m), shared_faults(m), &news_ops, k);
	k->tick = event_new(base, -1, EV_PERSIST, keeper_tick_cb, k);
	k->work = event_new(base, -1, EV_PERSIST, keeper_work_cb, k);
	if (k->link == NULL || k->news == NULL || k->tick == NULL || k->work == NULL ||
	    event_add(k->tick, &tick_tv) == -1 || event_add(k->work, &work_tv) == -1)
		keeper_free(&k);
	return k;
}

void
keeper_free(struct keeper **kp)
{
	struct keeper *k = *kp;
	struct drain_order *o;

	if (k == NULL)
		return;
	if (k->tick != NULL)
		event_free(k->tick);
	if (k->work != NULL)
		event_free(k->work);
	link_free(&k->link);
	link_free(&k->news);
	while ((o = TAILQ_FIRST(&k->orders)) != NULL) {
		TAILQ_REMOVE(&k->orders, o, entry);
		free(o);
	}
	MAGIC_CLEAR(k);
	free(k);
	*kp = NULL;
}

void
keeper_describe(struct keeper *k, struct keeper_info *info)
{
	*info = (struct keeper_info){ .epoch = k->epoch, .latency_us = k->latency_us,
		.asserted = k->asserted };
	link_describe(k->link, &info->link);
	link_describe(k->news, &info->news);
}
