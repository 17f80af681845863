/* shared_keeper.c: what the keeper's thread does with the table of claims */
#include "config.h"

#include "state/shared_priv.h"

#include "base/clock.h"
#include "state/exceptions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A claim is said again after a third of its life in Redis. */
#define AGAIN_MS (NAMES_CLAIM_MS / 3)
/* Entries looked at in one call, whether or not something is to be said of them. */
#define LOOK_MAX 256

void
shared_keep(struct shared *m, struct wake *wake, shared_home_f home, void *arg)
{
	table_lock(m);
	m->wake = wake;
	m->home = home;
	m->home_arg = arg;
	table_unlock(m);
}

/* What e was asked or moved with has no answer in time. */
static void
unanswered(struct shared *m, struct shared_entry *e)
{
	struct state_hold *h = e->first;

	if (e->phase == ASKING && !table_disputed(m, e)) {
		table_place_blindly(m, e);
	} else if (e->phase == ASKING || e->phase == MOVING) {
		e->phase = UNSURE;
		e->first = NULL;
		table_queue(m, e);
		if (h != NULL)
			hold_refuse(m, h);
	}
	holds_serve(m, e);
}

/*
 * Another connection has the answer that h waits for, and has not decided yet: now it has to stay
 * where it is.
 */
static void
undecided(struct shared *m, struct state_hold *h)
{
	hold_unlink(m, h);
	hold_admit(h->e, h);
	hold_post(m, h);
}

bool
shared_expire(struct shared *m, uint64_t *next_ms)
{
	uint64_t now = clock_ms();
	struct state_hold *h;
	bool owed = false;

	table_lock(m);
	while ((h = TAILQ_FIRST(&m->timed)) != NULL && h->end_ms <= now) {
		struct shared_entry *e = h->e;

		owed |= e->sent && e->phase != DECIDING;
		if (e->phase == DECIDING)
			undecided(m, h);
		else
			unanswered(m, e);
	}
	*next_ms = h == NULL ? 0 : h->end_ms;
	table_unlock(m);
	return owed;
}

void
shared_online(struct shared *m, bool online, bool refusing)
{
	struct state_hold *h;

	table_lock(m);
	m->online = online;
	m->refusing = refusing;
	m->stats.online = online;
	m->stats.refusing = refusing;
	while (!online) {
		TAILQ_FOREACH(h, &m->timed, timed)
			if (h->e->phase != DECIDING)
				break;
		if (h == NULL)
			break;
		unanswered(m, h->e);
	}
	table_unlock(m);
}

void
shared_leased(struct shared *m, uint64_t ms)
{
	table_lock(m);
	m->leased_ms = ms;
	table_unlock(m);
}

void
shared_again(struct shared *m)
{
	table_lock(m);
	m->round++;
	m->pass++;
	m->unsaid = m->unlooked = HASH_COUNT(m->entries);
	table_unlock(m);
}

bool
shared_all_said(struct shared *m)
{
	bool all;

	table_lock(m);
	all = m->unsaid == 0;
	table_unlock(m);
	return all;
}

void
shared_rehome(struct shared *m, const char *out)
{
	char *copy = strdup(out);

	table_lock(m);
	if (copy != NULL) {
		free(m->next_out);
		m->next_out = copy;
	}
	m->pass++;
	m->unlooked = HASH_COUNT(m->entries);
	wakes_add(&m->wakes, m->wake);
	table_unlock(m);
}

bool
shared_rehomed(struct shared *m)
{
	bool all;

	table_lock(m);
	all = m->unlooked == 0;
	table_unlock(m);
	return all;
}

const char *
shared_out(const struct shared *m)
{
	return m->out == NULL ? "" : m->out;
}

bool
shared_behind(struct shared *m)
{
	bool behind;

	table_lock(m);
	behind = (m->unsaid > 0 || m->unlooked > 0) && !TAILQ_EMPTY(&m->said);
	table_unlock(m);
	return behind;
}

/* By what may count now, or before long. */
static bool
is_exception(const struct shared_entry *e, const struct shared_node *sn)
{
	return sn != e->home || (e->next != NULL && sn != e->next);
}

static void
look_home(struct shared *m, struct shared_entry *e)
{
	const char *home[2] = { NULL, NULL };
	struct shared_node *sn;

	if (m->home == NULL)
		return;
	m->home(m->home_arg, &e->key, home);
	if (home[0] != NULL && (sn = table_node(m, home[0])) != NULL)
		table_set_name(m, &e->home, sn);
	table_set_name(m, &e->next, home[1] == NULL ? NULL : table_node(m, home[1]));
}

static uint64_t
deadline(struct shared *m, const struct state_hold *h)
{
	uint64_t now = clock_ms();

	return shared_time(m) + (h != NULL && h->end_ms > now ? h->end_ms - now : 0);
}

static bool
is_out(const struct shared *m, const struct shared_node *sn)
{
	char line[STATE_NODE_LEN + 2];

	snprintf(line, sizeof(line), "\n%s\n", sn->name);
	return strstr(shared_out(m), line) != NULL;
}

/*
 * What a new claim would be made of: an exception that is known keeps its age. In young data alone
 * if nobody new may go there: else the client has gone, and nobody has told us yet.
 */
static void
fill_claim(struct shared *m, struct shared_entry *e, struct shared_op *op)
{
	uint64_t when = e->made_ms;
	struct shared_node *x = table_exception(m, e, &when), *sn = e->want, *other = e->home;

	if (x != NULL && is_out(m, x))
		other = x;
	else if (x != NULL)
		sn = other = x;
	op->kind = 'c';
	op->deadline_ms = deadline(m, TAILQ_FIRST(&e->waiting));
	op->exception = is_exception(e, sn);
	table_record(m, e, sn == x ? when : e->made_ms, sn, &op->record);
	if (sn != other)
		table_record(m, e, when, other, &op->other);
	e->said_exception = op->exception;
	e->known = true;
	atomic_fetch_add(&m->stats.asked, 1);
}

static void
fill_move(struct shared *m, struct shared_entry *e, struct shared_op *op)
{
	op->kind = 'm';
	op->deadline_ms = deadline(m, e->first);
	op->exception = is_exception(e, e->to);
	op->stay_ms = e->firm > 0 ? (int64_t)e->linger_ms : -1;
	table_record(m, e, e->made_ms, e->node, &op->other);
	/* Never as old as what it replaces. */
	e->made_ms = shared_time(m) > e->made_ms ? shared_time(m) : e->made_ms + 1;
	table_record(m, e, e->made_ms, e->to, &op->record);
	e->said_exception = op->exception;
	atomic_fetch_add(&m->stats.asked, 1);
}

/* room: of facts. */
static void
fill_op(struct shared *m, struct shared_entry *e, struct shared_op *op, size_t *room)
{
	uint64_t now = clock_ms();

	*op = (struct shared_op){ .e = e, .kind = 's', .stay_ms = -1, .round = m->round,
		.pass = m->pass };
	memcpy(op->id, e->id, NAMES_ID_LEN);
	if (e->bad != NULL)
		op->bad = *e->bad;
	if (e->phase == ASKING) {
		fill_claim(m, e, op);
	} else if (e->phase == MOVING) {
		fill_move(m, e, op);
	} else if (e->phase == LEAVING) {
		op->kind = 'r';
		if (e->until_ms > 0)
			op->stay_ms = e->until_ms > now ? (int64_t)(e->until_ms - now) : 0;
		if (op->stay_ms > 0 && e->node != NULL) {
			op->exception = is_exception(e, e->node);
			table_record(m, e, e->made_ms, e->node, &op->record);
		}
		e->known = true;
	} else {
		look_home(m, e);
		op->exception = e->said_exception = is_exception(e, e->node);
		op->stay_ms = e->firm > 0 ? (int64_t)e->linger_ms : -1;
		table_record(m, e, e->made_ms, e->node, &op->record);
		op->facts = facts_due(m, e, *room, &op->nfacts, &e->dirty);
		*room -= op->nfacts;
		e->known = true;
	}
	e->sent = true;
	table_queue(m, e);
}

/* Its turn has come: is there anything to say? */
static bool
look_again(struct shared *m, struct shared_entry *e, uint64_t now)
{
	look_home(m, e);
	if (e->round != m->round || e->said_ms + AGAIN_MS <= now ||
	    e->said_exception != is_exception(e, e->node))
		return true;
	m->unlooked -= e->pass != m->pass;
	e->pass = m->pass;
	return false;
}

size_t
shared_take(struct shared *m, struct shared_op *ops, size_t max, bool again)
{
	uint64_t now = clock_ms();
	struct shared_entry *e;
	size_t n = 0, room = SHARED_FACTS_MAX;

	table_lock(m);
	if (m->next_out != NULL) {
		free(m->out);
		m->out = m->next_out;
		m->next_out = NULL;
	}
	while (n < max && (e = TAILQ_FIRST(&m->dirty)) != NULL)
		fill_op(m, e, &ops[n++], &room);
	for (int looked = 0; again && n < max && looked < LOOK_MAX; looked++) {
		e = TAILQ_FIRST(&m->said);
		if (e == NULL ||
		    (m->unsaid == 0 && m->unlooked == 0 && e->said_ms + AGAIN_MS > now))
			break;
		if (look_again(m, e, now))
			fill_op(m, e, &ops[n++], &room);
		else
			table_queue(m, e);
	}
	table_unlock(m);
	return n;
}

static void
note_bad(struct shared *m, struct shared_entry *e, const struct shared_result *r)
{
	fault_add(&m->faults, FAULT_BAD_VALUE);
	if (e->bad == NULL)
		e->bad = calloc(1, sizeof(*e->bad));
	/* Too long for a record: a part of it could not name it to the script. */
	if (e->bad == NULL || r->len == 0 || r->len > sizeof(e->bad->bytes))
		return;
	memcpy(e->bad->bytes, r->record, r->len);
	e->bad->len = r->len;
}

/* Redis has the claim at sn, since when_ms, with us. */
static void
stands_at(struct shared *m, struct shared_entry *e, const struct shared_result *r,
    struct shared_node *sn, uint64_t when_ms)
{
	table_set_node(m, e, sn);
	e->made_ms = when_ms;
	e->elsewhere = r->others;
	e->phase = PLACED;
	look_home(m, e);
	/* Who lives on it has said what it is. */
	if (r->how == HOW_JOINED)
		e->said_exception = r->others > 0 && is_exception(e, sn);
	e->dirty |= e->said_exception != is_exception(e, sn);
}

static void
claimed(struct shared *m, struct shared_entry *e, const struct shared_result *r,
    struct shared_node *sn, uint64_t when_ms)
{
	if (e->phase == ASKING) {
		stands_at(m, e, r, sn, when_ms);
		e->remote_firm = r->firm;
		e->fresh = r->how != HOW_JOINED;
		e->blind = r->how == HOW_MADE_BLIND;
		holds_serve(m, e);
	} else if (sn != e->node) {
		/* It was placed meanwhile. */
		e->dirty = true;
	}
}

static void
moved(struct shared *m, struct shared_entry *e, const struct shared_result *r,
    struct shared_node *sn, uint64_t when_ms)
{
	struct state_hold *h = e->first;

	if (e->phase != MOVING)
		return;
	stands_at(m, e, r, sn, when_ms);
	e->first = NULL;
	e->remote_firm = r->how != HOW_MOVED && r->firm;
	e->until_ms = 0;
	if (h != NULL) {
		hold_unlink(m, h);
		hold_admit(e, h);
		hold_post(m, h);
	}
	holds_serve(m, e);
}

/* True: the claim is lost. */
static bool
said(struct shared *m, struct shared_entry *e, const struct shared_result *r,
    struct shared_node *sn, uint64_t when_ms)
{
	if (r->how == HOW_LOST && sn != e->node && (table_stands(e) || e->phase == ASKING)) {
		e->phase = LOST;
		e->known = false;
		e->first = NULL;
		atomic_fetch_add(&m->stats.lost, 1);
		holds_serve(m, e);
		return true;
	}
	if (r->how == HOW_HELD && sn == e->node)
		e->made_ms = when_ms;
	else if (r->how == HOW_LOST)
		e->dirty = true;
	return false;
}

/* There is an answer; its record may be a bad one. True: the claim is lost. */
static bool
took(struct shared *m, struct shared_entry *e, const struct shared_op *op,
    const struct shared_result *r)
{
	char text[STATE_NODE_LEN];
	struct shared_node *sn;
	uint64_t when;

	if (op->kind == 's' && r->how == HOW_HELD && r->record == NULL) {
		/* What was said stands. */
		free(e->bad);
		e->bad = NULL;
		return false;
	}
	if (record_get(r->record, r->len, m->seal, "claim", e->id, NAMES_ID_LEN, &when,
	        text) == -1) {
		/* Said again, with what is bad; if that does not help, when its turn comes. */
		e->dirty |= e->bad == NULL;
		note_bad(m, e, r);
		return false;
	}
	sn = table_node(m, text);
	if (sn == NULL) {
		unanswered(m, e);
		return false;
	}
	free(e->bad);
	e->bad = NULL;
	if (op->kind == 'c')
		claimed(m, e, r, sn, when);
	else if (op->kind == 'm')
		moved(m, e, r, sn, when);
	return op->kind == 's' && said(m, e, r, sn, when);
}

bool
shared_done(struct shared *m, const struct shared_op *op, const struct shared_result *r,
    struct state_key *lost)
{
	struct shared_entry *e = op->e;
	bool is_lost = false;

	free(op->facts);
	table_lock(m);
	e->sent = false;
	facts_done(m, e, op->round, op->nfacts, r->how == HOW_HELD);
	if (r->how == -1 || r->how == HOW_LATE) {
		if (r->how == HOW_LATE)
			fault_add(&m->faults, FAULT_LATE);
		if (op->kind != 'r' && (e->phase == ASKING || e->phase == MOVING))
			unanswered(m, e);
		/* What is said has no time. */
		e->dirty |= op->kind != 's' || r->how == -1;
	} else {
		e->said_ms = clock_ms();
		if (e->round != m->round && op->round == m->round) {
			e->round = m->round;
			m->unsaid--;
		}
		if (op->kind == 's' && e->pass != m->pass && op->pass == m->pass) {
			e->pass = m->pass;
			m->unlooked--;
		}
		if (op->kind == 'r') {
			e->known = false;
			/* Others may move it from now on. */
			if (e->phase == ASKING || e->phase == LEAVING)
				table_set_node(m, e, NULL);
		} else {
			is_lost = took(m, e, op, r);
		}
	}
	*lost = e->key;
	if (e->live == 0 && !e->known)
		table_entry_free(m, e);
	else
		table_queue(m, e);
	table_unlock(m);
	return is_lost;
}
