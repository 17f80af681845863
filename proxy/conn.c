/* conn.c: one client connection: two legs, two pumps, from accept to the last byte */
#include "config.h"

#include "proxy/conn.h"

#include "base/clock.h"
#include "base/log.h"
#include "inspect/filter.h"
#include "inspect/heads.h"
#include "inspect/smb1.h"
#include "nodes/logons.h"
#include "nodes/last.h"
#include "nodes/node.h"
#include "policy/conf.h"
#include "policy/policy.h"
#include "proxy/awake.h"
#include "proxy/conn_priv.h"
#include "proxy/dialled.h"
#include "proxy/env.h"
#include "proxy/limits.h"
#include "proxy/patience.h"
#include "proxy/send.h"
#include "proxy/splice.h"
#include "proxy/strangers.h"
#include "proxy/tapped.h"
#include "proxy/turn.h"
#include "proxy/vc_index.h"
#include "stats/refusals.h"
#include "stats/stats.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* For the last bytes of a connection that has ended on one side; to the second. */
#define FLUSH_MS 5000

/* Most connections have no deadline for most of their life, and an event is 128 bytes. */
static void
disarm(struct conn *c)
{
	if (c->alarm == NULL)
		return;
	event_del(&c->alarm->ev);
	free(c->alarm);
	c->alarm = NULL;
}

static void
alarm_in(struct conn *c, uint64_t ms)
{
	const struct timeval tv = { (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000) };

	if (c->alarm == NULL && (c->alarm = malloc(sizeof(*c->alarm))) != NULL)
		evtimer_assign(&c->alarm->ev, c->env->base, c->env->ops->timer, c);
	if (c->alarm == NULL || event_add(&c->alarm->ev, &tv) == -1)
		conn_kill(c, CLOSE_NO_MEMORY);
	else
		c->alarm->ms = clock_ms() + ms;
}

void
conn_leave_node(struct conn *c)
{
	if (c->node == NULL)
		return;
	c->route.traffic = 0;
	conn_sum(c, c->node, 0, false);
	conn_count_node(c, c->node, -1);
	node_unref(&c->node);
	c->mediate.node = NULL;
}

/* It counts in the limits. */
static bool
conn_counts(const struct conn *c)
{
	return c->standing != STANDING_NONE;
}

bool
conn_stands(struct conn *c, enum standing now)
{
	if (!limits_move(c->env->limits, &c->env->policy->limits, &c->mediate.self.client.addr,
	        (enum standing)c->standing, now))
		return false;
	c->standing = (uint8_t)now;
	/* Of those who still count it is noted with each turn. */
	if (now == STANDING_NONE || now == STANDING_USER)
		strangers_note(c);
	return true;
}

static bool
ordinary(enum close_reason why)
{
	return why == CLOSE_CLIENT_EOF || why == CLOSE_CLIENT_RESET || why == CLOSE_SHUTDOWN ||
	    why == CLOSE_OWN_PROBE;
}

/* It has not said a word: a load balancer that looks whether somebody listens, as a rule. */
static bool
silent(const struct conn *c)
{
	return c->stage <= CONN_FIRST && pump_idle(&c->side[C2S].pump) &&
	    (c->why == CLOSE_CLIENT_EOF || c->why == CLOSE_CLIENT_RESET ||
	        c->why == CLOSE_FIRST_FRAME_TIMEOUT);
}

static void
log_end(struct conn *c)
{
	/* That nobody is taken is said once a minute: daemon/minute.c. */
	const bool quiet = ordinary(c->why) || silent(c) || c->why == CLOSE_NO_NODE;
	struct log_fields f;
	int kind;

	if (silent(c))
		stats_add(c->env->stats, STAT_silent, 1);
	if (quiet && !log_wants(LOG_LEVEL_DEBUG))
		return;
	kind = refusals_of_close(c->why);
	f = mediate_log(&c->mediate, kind < 0 ? LOG_EVENT_CLOSED : LOG_EVENT_REFUSED);
	f.code = kind < 0 ? close_counter(c->why) : refusals_code((size_t)kind);
	f.reason = close_text(c->why);
	if (quiet)
		log_conn(LOG_LEVEL_DEBUG, f, "closed: %s", f.reason);
	else
		log_conn(LOG_LEVEL_INFO, f, "closed in stage %s: %s", conn_stage_str(c->stage),
		    f.reason);
}

/* It may have been placed, or not, by its GUID before a NEGOTIATE went to a node. */
static void
keep_refusal(const struct conn *c)
{
	const int kind = refusals_of_close(c->why);
	const struct chantab *channels = &c->mediate.track.channels;
	struct guid g = { .b = { 0 } };

	if (kind < 0 || c->mediate.refused)
		return;
	if (c->route.key.b[0] == STATE_KEY_GUID)
		memcpy(g.b, c->route.key.b + 1, sizeof(g.b));
	/* Of several sessions nobody knows here which one it was for. */
	mediate_refused(&c->mediate, kind, &g,
	    channels->n == 1 ? channel_session_id(chantab_first(channels)) : 0, NULL);
}

/* Has the node left a logon without an answer? Half a request is not one. */
static void
judge_logon(const struct conn *c)
{
	const struct track *t = &c->mediate.track;
	uint64_t now = clock_ms();

	if (t->negotiated && !t->logged_on && t->npending > 0 && c->owed_since_ms != 0)
		logons_lost(c->node, c->env->policy, now - c->owed_since_ms, now);
}

/*
 * Might the client come back for what it has lost? Not if it has logged off, and not if it has gone
 * by itself without an open file.
 */
static bool
may_return(const struct conn *c)
{
	const struct mediate *m = &c->mediate;

	return m->track.channels.n > 0 && (c->why != CLOSE_CLIENT_EOF || heads_may_reclaim(m));
}

/* It has nothing on its node any more. */
static void
claim_over(struct conn *c)
{
	const struct conn_env *env = c->env;
	const bool lingers = may_return(c);

	if (c->route.env == NULL)
		return;
	/* Its claim lingers; not for the few seconds of who has nothing to come back for. */
	if (env->lasts != NULL && lingers && c->mediate.track.logged_on)
		lasts_note(env->lasts, &c->route.key, &c->mediate.self.client);
	route_fini(&c->route, lingers);
}

/* Nobody who goes through the connections is left with one that is gone. */
void
conn_unlist(struct conn *c)
{
	struct conn_cursor *k;

	LIST_FOREACH(k, &c->env->cursors, entry)
		if (k->next == c)
			k->next = TAILQ_NEXT(c, entry);
	awake_remove(c);
	TAILQ_REMOVE(&c->env->conns, c, entry);
	c->env->nconns--;
}

/* reset: the client gets RST, to notice at once; not while bytes are on their way to it. */
static void
die(struct conn *c, bool reset)
{
	struct conn_env *env = c->env;

	if (c->stage == CONN_DEAD)
		return;
	log_end(c);
	judge_logon(c);
	if (c->tapped)
		tapped_end(c, c->why);
	stats_closed(env->stats, c->why);
	keep_refusal(c);
	conn_enter(c, CONN_DEAD, 0);
	conn_set_plain(c);
	disarm(c);
	turn_take(c);
	for (int i = 0; i < 2; i++)
		splice_return(env->pipes, &c->side[i].pipe);
	/*
	 * The node's first: a client comes back as soon as it sees its end, and the node that it
	 * comes to must not find it alive on this one. A stranger leaves nothing in TIME_WAIT
	 * toward the node: local ports are few.
	 */
	leg_close(&c->side[S2C].leg, env->edges, !c->mediate.track.logged_on);
	leg_close(&c->side[C2S].leg, env->edges, reset);
	if (conn_counts(c))
		(void)conn_stands(c, STANDING_NONE);
	limits_give(env->limits);
	vc_index_take(c);
	claim_over(c);
	mediate_fini(&c->mediate);
	conn_leave_node(c);
	conn_unlist(c);
	TAILQ_INSERT_TAIL(&env->dead, c, entry);
	listen_closed(&env->listens[c->listener->index]);
	event_active(env->reap, EV_TIMEOUT, 0);
}

void
conn_free(struct conn *c)
{
	assert(c->stage == CONN_DEAD);
	for (int i = 0; i < 2; i++) {
		pump_fini(&c->side[i].pump);
		buf_fini(&c->side[i].out);
		MAGIC_CLEAR(&c->side[i]);
	}
	free(c->calling_name);
	buf_fini(&c->replay);
	MAGIC_CLEAR(c);
	free(c);
}

void
conn_kill(struct conn *c, enum close_reason why)
{
	if (c->stage == CONN_DEAD)
		return;
	if (c->stage != CONN_FLUSH)
		c->why = why;
	die(c, true);
}

/* Deadlines: one timer, set to whatever comes first in this stage. 0: none. */

static uint64_t
sooner(uint64_t a, uint64_t b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

uint64_t
conn_deadline(const struct conn *c, enum close_reason *why)
{
	const struct pol_limits *l = &c->env->policy->limits;
	unsigned share = c->env->patience;

	/* It is ending: conn_tick() sees to that. */
	if (c->end_by_s != 0)
		return 0;
	switch ((enum stage_deadline)stages[c->stage].deadline) {
	case STAGE_DEADLINE_FIRST_FRAME:
		*why = CLOSE_FIRST_FRAME_TIMEOUT;
		return c->accepted_ms + patience_of(l->first_frame, share);
	case STAGE_DEADLINE_NEGOTIATE:
		*why = CLOSE_NEGOTIATE_TIMEOUT;
		return c->accepted_ms + patience_of(l->negotiate, share);
	case STAGE_DEADLINE_LOGON:
		*why = CLOSE_LOGON_TIMEOUT;
		return c->accepted_ms + patience_of(l->logon, share);
	case STAGE_DEADLINE_NONE:
		break;
	}
	return 0;
}

void
conn_arm(struct conn *c)
{
	enum close_reason why;
	uint64_t when = conn_deadline(c, &why), now;

	if (c->stage == CONN_DEAD)
		return;
	awake_stir(c);
	when = sooner(when, c->until_ms);
	if (when == 0) {
		disarm(c);
		return;
	}
	/* Most deadlines only move further away: the timer fires early once, and looks again. */
	if (c->alarm != NULL && c->alarm->ms <= when)
		return;
	now = clock_ms();
	alarm_in(c, when > now ? when - now : 0);
}

static uint32_t
flush_end(void)
{
	return (uint32_t)((clock_ms() + FLUSH_MS + 999) / 1000);
}

void
conn_end(struct conn *c, enum close_reason why)
{
	struct side *s2c = &c->side[S2C];

	if (c->stage == CONN_DEAD)
		return;
	/* It was the client who began the end. */
	if (c->half_closed)
		why = CLOSE_CLIENT_EOF;
	if (c->stage == CONN_FLUSH || send_owed(s2c) == 0 || c->side[C2S].leg.edge.fd == -1 ||
	    why == CLOSE_CLIENT_RESET) {
		if (c->stage != CONN_FLUSH)
			c->why = why;
		/* RST tells the client soonest, but destroys bytes that are on their way. */
		die(c,
		    (why == CLOSE_NODE_RESET || why == CLOSE_NODE_DOWN || why == CLOSE_NODE_HUNG) &&
		        send_owed(s2c) == 0 && leg_sent_all(&c->side[C2S].leg));
		return;
	}
	/* Answers that the node gave are delivered, whatever else went wrong. */
	c->why = why;
	conn_enter(c, CONN_FLUSH, 0);
	leg_close(&s2c->leg, c->env->edges, !c->mediate.track.logged_on);
	/* For as long as it reads, its client may come back by another connection. */
	claim_over(c);
	turn_update(c);
	c->end_by_s = flush_end();
	conn_arm(c);
}

void
conn_flushed(struct conn *c)
{
	die(c, false);
}

/*
 * The client has logged off everywhere, and nothing is known to be unanswered. What it asked
 * without a session is taken for answered with the node's next byte.
 */
static bool
logged_off(const struct conn *c)
{
	const struct side *c2s = &c->side[C2S];

	return c->stage == CONN_RELAY && c->mediate.track.channels.n == 0 &&
	    c->mediate.track.npending == 0 && !c->mediate.track.smb1 && c->owed_since_ms == 0 &&
	    send_owed(c2s) == 0 && pump_idle(&c2s->pump);
}

void
conn_end_of_file(struct side *s)
{
	struct conn *c = s->conn;

	s->eof = true;
	if (s->dir == S2C) {
		conn_end(c, CLOSE_NODE_EOF);
		return;
	}
	c->why = CLOSE_CLIENT_EOF;
	if (c->stage != CONN_RELAY || logged_off(c)) {
		conn_end(c, CLOSE_CLIENT_EOF);
		return;
	}
	/* SMB has no half-closed state. The node gets FIN once it has all that the client sent. */
	c->end_by_s = flush_end();
	send_half_close(c);
	turn_update(c);
	conn_arm(c);
}

/* For whoever asks of its node: nobody need ask the connections. */
static void
sum_up(struct conn *c)
{
	const int64_t asked = heads_outstanding(&c->mediate);

	if (c->node != NULL)
		conn_sum(c, c->node, asked > 0 ? (uint32_t)asked : 0,
		    c->mediate.track.logged_on && !heads_seen(&c->mediate));
}

/*
 * A slow client gets what it is owed, as it would of a node that closes. But an operator waits for
 * whom he ends, and for a node that he drains, and the client may be as slow as it likes.
 */
static bool
awaited(const struct conn *c)
{
	return c->why == CLOSE_OPERATOR ||
	    (c->node != NULL && (atomic_load(&c->node->drain) ||
	        atomic_load(&c->node->drain_policy)));
}

void
conn_tick(struct conn *c, uint64_t now_ms)
{
	enum close_reason why;
	uint64_t when;

	if (c->stage == CONN_DEAD)
		return;
	if (c->end_by_s != 0 && now_ms / 1000 >= c->end_by_s) {
		if (c->stage == CONN_FLUSH && !awaited(c) &&
		    leg_sends(&c->side[C2S].leg, FLUSH_MS)) {
			c->end_by_s = flush_end();
			return;
		}
		/*
		 * A client that closed got what there was; a flush that does not move is given up.
		 */
		conn_kill(c, c->why == CLOSE_CLIENT_EOF ? CLOSE_CLIENT_EOF : CLOSE_FLUSH_TIMEOUT);
		return;
	}
	when = c->env->patience < PATIENCE_ALL ? conn_deadline(c, &why) : 0;
	if (when != 0 && now_ms >= when) {
		conn_end(c, why);
		return;
	}
	sum_up(c);
	leg_keep(&c->side[C2S].leg, &c->env->policy->tcp);
	mediate_tick(&c->mediate, now_ms);
}

void
conn_delay(struct conn *c, unsigned delay_ms)
{
	c->accepted_ms += delay_ms;
	stats_add(c->env->stats, STAT_accept_delayed, 1);
	conn_enter(c, CONN_DELAY, clock_ms() + delay_ms);
	conn_arm(c);
}

/* Which of our addresses did the client dial? -1: it has gone. */
static int
dialled_address(int fd, const struct conf_listen *listener, struct addrport *local)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	if (!listener->intercept && !addr_is_unspecified(&listener->address.addr)) {
		*local = listener->address;
		return 0;
	}
	return getsockname(fd, (struct sockaddr *)&ss, &len) == -1 ? -1 :
	    addrport_from_sa(local, (struct sockaddr *)&ss);
}

/* It does not get as far as being a connection. */
static void
refused(struct conn_env *env, int fd, const struct addrport *client, enum standing standing,
    enum close_reason why)
{
	stats_closed(env->stats, why);
	(void)limits_move(env->limits, &env->policy->limits, &client->addr, standing,
	    STANDING_NONE);
	limits_give(env->limits);
	evutil_closesocket(fd);
}

void
conn_new(struct conn_env *env, int fd, const struct conf_listen *listener,
    const struct addrport *client, unsigned delay_ms)
{
	struct channel_ends self = {
		.conn_id = env->next_id,
		.client = *client,
		.intercept = listener->intercept,
	};
	enum standing standing = conf_is_proxy(listener, &client->addr) ? STANDING_NONE
	                                                                : STANDING_STRANGER;
	struct conn *c = calloc(1, sizeof(*c));

	if (c == NULL || dialled_address(fd, listener, &self.local) == -1) {
		refused(env, fd, client, standing,
		    c == NULL ? CLOSE_NO_MEMORY : CLOSE_CLIENT_RESET);
		free(c);
		return;
	}
	env->next_id += env->id_step;
	MAGIC_SET(c, CONN_MAGIC);
	c->env = env;
	c->listener = listener;
	c->standing = (uint8_t)standing;
	c->stage = standing == STANDING_NONE ? CONN_HEADER : CONN_FIRST;
	c->accepted_ms = clock_ms();
	mediate_init(&c->mediate, &env->mediate, listener->name, &self, c);
	c->mediate.intercept = listener->intercept;
	c->side[C2S].heard_s = env->now_s;
	for (int i = 0; i < 2; i++) {
		MAGIC_SET(&c->side[i], SIDE_MAGIC);
		c->side[i].conn = c;
		c->side[i].dir = (enum dir)i;
		leg_init(&c->side[i].leg);
	}
	if (leg_open(&c->side[C2S].leg, env->edges, fd) == -1) {
		refused(env, fd, client, standing, CLOSE_NO_MEMORY);
		mediate_fini(&c->mediate);
		free(c);
		return;
	}
	TAILQ_INSERT_TAIL(&env->conns, c, entry);
	env->nconns++;
	listen_accepted(&env->listens[listener->index]);
	if (env->ntaps > 0)
		tapped_match(c);
	stats_add(env->stats, STAT_accepted, 1);
	awake_stir(c);
	if (delay_ms > 0)
		conn_delay(c, delay_ms);
	else
		conn_arm(c);
	turn_update(c);
}

struct state_hold *
conn_hold(void *arg)
{
	const struct conn *c = arg;

	MAGIC_CHECK(c, CONN_MAGIC);
	return c->route.hold;
}

const struct node *
conn_node(const struct conn *c)
{
	return c->node;
}

bool
conn_is_of(const struct conn *c, const struct state_key *key)
{
	return memcmp(c->route.key.b, key->b, sizeof(key->b)) == 0;
}

struct conn *
conn_next(const struct conn *c)
{
	return TAILQ_NEXT(c, entry);
}

bool
conn_quiet(const struct conn *c, uint32_t quiet_s)
{
	const struct mediate *m = &c->mediate;

	/* Who has not logged on has nothing to lose: a stranger is not to keep a client here. */
	if (!stage_relays(c->stage) || (m->track.smb1 && m->track.logged_on) ||
	    m->track.npending > 0 || c->owed_since_ms != 0 ||
	    c->env->now_s - c->side[C2S].heard_s < quiet_s)
		return false;
	for (int i = 0; i < 2; i++)
		if (!pump_idle(&c->side[i].pump) || send_owed(&c->side[i]) > 0)
			return false;
	/* Where not every answer was seen, the node has said something since the last request. */
	return heads_outstanding(m) <= 0 && !heads_may_reclaim(m);
}

struct wanted {
	struct sesstab *sessions;
	const struct filter *filter;
};

static bool
is_wanted(const void *arg, const struct channel *c)
{
	const struct wanted *w = arg;

	return channel_wanted(w->sessions, c, w->filter);
}

/* Its sessions, and whether they and it are wanted. */
static void
describe_sessions(const struct conn *c, const struct filter *f, struct conn_info *info)
{
	const struct track *t = &c->mediate.track;
	const struct channel *one = chantab_first(&t->channels);
	const struct wanted w = { c->mediate.env->sessions, f };

	info->protection = -1;
	if (one != NULL)
		info->protection = (int8_t)channel_look(w.sessions, one, info->user);
	else if (t->smb1)
		snprintf(info->user, sizeof(info->user), "%s", info->by.user);
	info->ends_wanted = f == NULL || filter_ends(f, &info->client,
	    info->has_guid ? &info->client_guid : NULL, info->listener);
	info->session_wanted = f == NULL || !filter_has_session(f) ||
	    chantab_has(&t->channels, is_wanted, &w) ||
	    (t->smb1 && !f->has_protection && who_is_user(&f->user, info->user));
}

void
conn_describe(const struct conn *c, const struct filter *f, struct conn_info *info)
{
	const struct track *t = &c->mediate.track;

	*info = (struct conn_info){
		.id = c->mediate.self.conn_id,
		.stage = c->stage,
		.client = c->mediate.self.client,
		.local = c->mediate.self.local,
		.dialect = t->negotiated ? t->dialect : 0,
		.smb1 = t->smb1,
		.logged_on = t->logged_on,
		.has_guid = c->route.key.b[0] == STATE_KEY_GUID,
		.cluster = route_cluster(&c->route),
		.placed = c->route.by,
		.since_ms = c->accepted_ms,
		.sessions = t->channels.n,
		.node_is = c->node,
		.bytes_to_node = c->side[C2S].bytes,
		.bytes_to_client = c->side[S2C].bytes,
		.heard_s = c->side[C2S].heard_s,
		.captured = tapped_copies(c),
		.open_files = heads_files(&c->mediate),
		.outstanding = heads_outstanding(&c->mediate),
		.quiet = conn_quiet(c, 0),
	};
	memcpy(info->client_guid.b, c->route.key.b + 1, sizeof(info->client_guid.b));
	if (c->mediate.smb1 != NULL)
		info->by = *smb1_caller(c->mediate.smb1);
	dialled_name(c, info->dialled);
	snprintf(info->listener, sizeof(info->listener), "%s", c->mediate.self.listener);
	snprintf(info->netbios_name, sizeof(info->netbios_name), "%s",
	    c->calling_name != NULL ? c->calling_name : "");
	snprintf(info->node, sizeof(info->node), "%s", c->node != NULL ? c->node->name : "");
	describe_sessions(c, f, info);
}
