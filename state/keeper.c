/* keeper.c: keeps in Redis what this process holds, and at heart what the others do */
#include "config.h"

#include "state/keeper.h"

#include "base/clock.h"
#include "base/log.h"
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
 *	every TICK	the epoch, the clock, what operators said of nodes
 *	every WORK	claims and facts that are due, SAY_MAX at a time, one question at a time
 *	every SWEEP	all exceptions
 *	news		an exception, a stand: at once
 *
 * A new epoch means that the data was lost: everything is due. So it is after a reconnect.
 */
#define TICK_MS 1000
#define WORK_MS 100
#define SWEEP_MS (2 * NAMES_REFRESH_MS)
/* Answers of one sweep: more than all exceptions that are remembered fill. */
#define PAGES_MAX 8192
/* Nodes that operators have said something of. */
#define STANDS_MAX 256

struct stand {
	TAILQ_ENTRY(stand) entry;
	char node[STATE_NODE_LEN];
	uint64_t when_ms;		/* the later word is the one that counts */
	bool drain;
	bool there;			/* Redis said the same, or later, in this tick */
};

struct keeper {
	struct event_base *base;
	struct shared *m;
	const struct keeper_ops *ops;
	void *arg;
	struct link *link, *news;
	struct event *tick, *work;
	bool ticking, pinging, sweeping;	/* an answer is owed */
	uint64_t epoch, tick_us, latency_us, said, swept_ms;
	unsigned pages;				/* of the sweep under way */
	bool young;				/* the data that it goes through */
	size_t nitems;				/* under way */
	struct shared_item items[SAY_MAX];
	TAILQ_HEAD(, stand) stands;
	size_t nstands;
};

static void
count_command(struct keeper *k)
{
	atomic_fetch_add_explicit(&shared_stats(k->m)->commands, 1, memory_order_relaxed);
}

/* Claims and facts. */

static void work(struct keeper *k);

static void
asserted_cb(void *arg, const struct redisReply *r)
{
	struct keeper *k = arg;
	size_t n = k->nitems;

	k->nitems = 0;
	command_asserted(k->link, k->m, k->items, n, r, k->ops->lost, k->arg);
	if (r != NULL) {
		k->said += n;
		work(k);
	}
}

static void
work(struct keeper *k)
{
	struct facts_item facts[SAY_MAX / 4];
	size_t n;

	if (!link_ready(k->link) || k->nitems > 0)
		return;
	n = shared_due(k->m, k->items, SAY_MAX);
	if (n > 0) {
		k->nitems = n;
		if (command_assert(k->link, k->m, k->items, n, asserted_cb, k) == 0)
			asserted_cb(k, NULL);
	}
	while ((n = facts_due(shared_facts(k->m), facts, SAY_MAX / 4)) > 0)
		if (command_facts(k->link, k->m, facts, n, NULL, NULL) == 0)
			break;
	explicit_bzero(facts, sizeof(facts));
}

static void
everything_due(struct keeper *k)
{
	shared_all_due(k->m);
	facts_all_due(shared_facts(k->m));
	work(k);
}

/* Exceptions. */

static void sweep(struct keeper *k, const char *cursor);

static void
swept_cb(void *arg, const struct redisReply *r)
{
	struct keeper *k = arg;
	uint8_t id[NAMES_ID_LEN];
	size_t len;
	const char *cursor = reply_string(r, 0, &len);

	k->sweeping = false;
	if (cursor == NULL || len > 20)
		return;
	/* What young data lacks has not been said again yet: that it was not seen there says nothing. */
	k->young |= reply_number(r, 1) != 0;
	for (size_t i = 2; i + 1 < reply_elements(r); i += 2) {
		const char *hex = reply_string(r, i, &len), *record;

		if (hex == NULL || len != NAMES_ID_HEX || record_unhex(id, NAMES_ID_LEN, hex) == -1)
			continue;
		record = reply_string(r, i + 1, &len);
		if (record != NULL)
			(void)shared_hear(k->m, id, record, len);
	}
	if (strcmp(cursor, "0") == 0) {
		if (!k->young)
			shared_swept(k->m);
	} else if (++k->pages < PAGES_MAX) {
		sweep(k, cursor);
	}
}

static void
sweep(struct keeper *k, const char *cursor)
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

/* What operators said. */

static struct stand *
stand_of(struct keeper *k, const char *node)
{
	struct stand *s;

	TAILQ_FOREACH(s, &k->stands, entry)
		if (strcmp(s->node, node) == 0)
			return s;
	if (k->nstands == STANDS_MAX || (s = calloc(1, sizeof(*s))) == NULL)
		return NULL;
	snprintf(s->node, sizeof(s->node), "%s", node);
	TAILQ_INSERT_TAIL(&k->stands, s, entry);
	k->nstands++;
	return s;
}

static void
send_stand(struct keeper *k, const struct stand *s)
{
	char key[NAMES_KEY_MAX], news[NAMES_KEY_MAX];
	struct record r;
	const char *set[] = { "HSET", key, s->node, r.bytes }, *tell[] = { "PUBLISH", news, "d" };
	size_t len[] = { 4, 0, strlen(s->node), 0 };

	record_make(&r, shared_seal(k->m), "stand", s->node, strlen(s->node), s->when_ms,
	    s->drain ? "drain" : "active");
	shared_key(k->m, key, "d", NULL);
	shared_key(k->m, news, "news", NULL);
	len[1] = strlen(key);
	len[3] = r.len;
	count_command(k);
	if (r.len > 0 && link_ask(k->link, 4, set, len, NULL, NULL) != 0)
		link_ask(k->link, 3, tell, NULL, NULL, NULL);
}

static void
take_stand(struct keeper *k, const char *node, size_t node_len, const char *record, size_t len)
{
	char name[STATE_NODE_LEN], text[STATE_NODE_LEN];
	struct stand *s;
	uint64_t when;

	if (node_len == 0 || node_len >= sizeof(name) || memchr(node, 0, node_len) != NULL ||
	    record_get(record, len, shared_seal(k->m), "stand", node, node_len, &when, text) == -1) {
		fault_add(shared_faults(k->m), FAULT_BAD_VALUE);
		return;
	}
	memcpy(name, node, node_len);
	name[node_len] = '\0';
	s = stand_of(k, name);
	if (s == NULL)
		return;
	s->there = when >= s->when_ms;
	if (when <= s->when_ms)
		return;
	s->when_ms = when;
	s->drain = strcmp(text, "drain") == 0;
	k->ops->stand(k->arg, s->node, s->drain);
}

void
keeper_stand(struct keeper *k, const char *node, bool drain)
{
	struct stand *s = stand_of(k, node);
	uint64_t now = command_time(k->link);

	if (s == NULL)
		return;
	s->when_ms = now > s->when_ms ? now : s->when_ms + 1;
	s->drain = drain;
	send_stand(k, s);
}

void
keeper_hurry(struct keeper *k)
{
	work(k);
}

void
keeper_repeat(struct keeper *k)
{
	struct stand *s;

	TAILQ_FOREACH(s, &k->stands, entry)
		k->ops->stand(k->arg, s->node, s->drain);
}

/* Once a second. */

static void
ticked_cb(void *arg, const struct redisReply *r)
{
	struct keeper *k = arg;
	uint64_t epoch = reply_number(r, 1);
	struct stand *s;

	k->ticking = false;
	if (r == NULL)
		return;
	if (reply_elements(r) < 2 || epoch == 0) {
		link_fail(k->link, FAULT_PROTOCOL);
		return;
	}
	link_heard_time(k->link, reply_number(r, 0));
	k->latency_us = clock_us() - k->tick_us;
	if (epoch != k->epoch && k->epoch != 0) {
		log_warn("redis has lost its data: saying again %zu claims", shared_claims(k->m));
		everything_due(k);
	}
	k->epoch = epoch;
	TAILQ_FOREACH(s, &k->stands, entry)
		s->there = false;
	for (size_t i = 2; i + 1 < reply_elements(r); i += 2) {
		size_t node_len, len;
		const char *node = reply_string(r, i, &node_len), *record = reply_string(r, i + 1, &len);

		if (node != NULL && record != NULL)
			take_stand(k, node, node_len, record, len);
	}
	TAILQ_FOREACH(s, &k->stands, entry)
		if (!s->there)
			send_stand(k, s);
}

static void
pinged_cb(void *arg, const struct redisReply *r)
{
	struct keeper *k = arg;

	(void)r;
	k->pinging = false;
}

static void
tick(struct keeper *k)
{
	static const char day[] = "86400000";
	char epoch[NAMES_KEY_MAX], stands[NAMES_KEY_MAX];
	const char *argv[] = { epoch, stands, day }, *ping[] = { "PING" };

	if (k->ticking)
		link_fail(k->link, FAULT_TIMEOUT);
	if (k->pinging)
		link_fail(k->news, FAULT_TIMEOUT);
	shared_key(k->m, epoch, "e", NULL);
	shared_key(k->m, stands, "d", NULL);
	count_command(k);
	k->tick_us = clock_us();
	k->ticking = link_run(k->link, SCRIPT_TICK, 2, 3, argv, NULL, ticked_cb, k) != 0;
	k->pinging = link_ask(k->news, 1, ping, NULL, pinged_cb, k) != 0;
	if (clock_ms() - k->swept_ms >= SWEEP_MS)
		sweep(k, "0");
}

static void
tick_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	tick(arg);
}

static void
work_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	work(arg);
}

/* Links. */

static void
link_is(void *arg, bool ready)
{
	struct keeper *k = arg;

	if (!ready)
		return;
	everything_due(k);
	k->ticking = false;
	tick(k);
	sweep(k, "0");
}

static void
news_is(void *arg, bool ready)
{
	struct keeper *k = arg;
	char news[NAMES_KEY_MAX];
	const char *argv[] = { "SUBSCRIBE", news };

	if (!ready)
		return;
	k->pinging = false;
	shared_key(k->m, news, "news", NULL);
	link_ask(k->news, 2, argv, NULL, NULL, NULL);
	/* What was said before is in x. */
	sweep(k, "0");
}

static void
news_push(void *arg, const struct redisReply *r)
{
	struct keeper *k = arg;
	uint8_t id[NAMES_ID_LEN];
	size_t len;
	const char *text = reply_string(r, 2, &len);

	if (text != NULL && len == 1 && text[0] == 'd') {
		if (!k->ticking)
			tick(k);
	} else if (text != NULL && len >= 1 + NAMES_ID_HEX && text[0] == 'x' &&
	    record_unhex(id, NAMES_ID_LEN, text + 1) == 0) {
		const char *record = len == 1 + NAMES_ID_HEX ? NULL : text + 1 + NAMES_ID_HEX;

		(void)shared_hear(k->m, id, record, len - 1 - NAMES_ID_HEX);
	} else {
		fault_add(shared_faults(k->m), FAULT_BAD_VALUE);
	}
}

static const struct link_ops link_ops = { .ready = link_is };
static const struct link_ops news_ops = { .ready = news_is, .push = news_push };

struct keeper *
keeper_new(struct event_base *base, struct shared *m, const struct keeper_ops *ops, void *arg)
{
	const struct timeval tick_tv = { TICK_MS / 1000, 0 }, work_tv = { 0, WORK_MS * 1000 };
	struct keeper *k = calloc(1, sizeof(*k));

	if (k == NULL)
		return NULL;
	k->base = base;
	k->m = m;
	k->ops = ops;
	k->arg = arg;
	TAILQ_INIT(&k->stands);
	k->link = link_new(base, shared_link(m), shared_faults(m), &link_ops, k);
	k->news = link_new(base, shared_link(m), shared_faults(m), &news_ops, k);
	k->tick = event_new(base, -1, EV_PERSIST, tick_cb, k);
	k->work = event_new(base, -1, EV_PERSIST, work_cb, k);
	if (k->link == NULL || k->news == NULL || k->tick == NULL || k->work == NULL ||
	    event_add(k->tick, &tick_tv) == -1 || event_add(k->work, &work_tv) == -1)
		keeper_free(&k);
	return k;
}

void
keeper_free(struct keeper **kp)
{
	struct keeper *k = *kp;
	struct stand *s;

	if (k == NULL)
		return;
	if (k->tick != NULL)
		event_free(k->tick);
	if (k->work != NULL)
		event_free(k->work);
	link_free(&k->link);
	link_free(&k->news);
	while ((s = TAILQ_FIRST(&k->stands)) != NULL) {
		TAILQ_REMOVE(&k->stands, s, entry);
		free(s);
	}
	free(k);
	*kp = NULL;
}

void
keeper_describe(struct keeper *k, struct keeper_info *info)
{
	*info = (struct keeper_info){ .epoch = k->epoch, .latency_us = k->latency_us, .said = k->said };
	link_describe(k->link, &info->link);
	link_describe(k->news, &info->news);
}
