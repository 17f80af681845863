/* conn.c: one client connection: two legs, two pumps, from accept to the last byte */
#include "config.h"

#include "proxy/conn.h"

#include "base/clock.h"
#include "base/log.h"
#include "nodes/logons.h"
#include "nodes/node.h"
#include "policy/conf.h"
#include "policy/policy.h"
#include "proxy/conn_priv.h"
#include "proxy/env.h"
#include "proxy/limits.h"
#include "proxy/patience.h"
#include "proxy/send.h"
#include "proxy/splice.h"
#include "proxy/turn.h"
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
	if (c->timer != NULL)
		event_free(c->timer);
	c->timer = NULL;
}

static void
alarm_in(struct conn *c, uint64_t ms)
{
	const struct timeval tv = { (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000) };

	if (c->timer == NULL)
		c->timer = evtimer_new(c->env->base, c->env->ops->timer, c);
	c->timer_ms = clock_ms() + ms;
	if (c->timer == NULL || event_add(c->timer, &tv) == -1)
		conn_kill(c, CLOSE_NO_MEMORY);
}

static void
node_leave(struct conn *c)
{
	if (c->node == NULL)
		return;
	atomic_fetch_sub(&c->node->connections, 1);
	node_unref(&c->node);
	c->mediate.node = NULL;
}

void
conn_leave_limits(struct conn *c)
{
	if (!c->counted)
		return;
	c->counted = false;
	limits_leave(c->env->limits, &c->mediate.self.client.addr);
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
	unsigned left_out;

	if (silent(c))
		stats_add(c->env->stats, STAT_silent, 1);
	/* That nobody is taken is said once a minute: daemon/minute.c. */
	if (ordinary(c->why) || silent(c) || c->why == CLOSE_NO_NODE) {
		log_conn(LOG_LEVEL_DEBUG, mediate_log(&c->mediate), "closed: %s",
		    close_text(c->why));
		return;
	}
	if (!log_allow(&c->env->log, clock_ms(), &left_out))
		return;
	if (left_out > 0)
		log_info("%u lines about closed connections left out", left_out);
	log_conn(LOG_LEVEL_INFO, mediate_log(&c->mediate), "closed in stage %s: %s",
	    conn_stage_str(c->stage), close_text(c->why));
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

/* reset: the client gets RST, to notice at once; not while bytes are on their way to it. */
static void
die(struct conn *c, bool reset)
{
	struct conn_env *env = c->env;

	if (c->stage == CONN_DEAD)
		return;
	log_end(c);
	judge_logon(c);
	stats_closed(env->stats, c->why);
	conn_enter(c, CONN_DEAD, 0);
	disarm(c);
	turn_take(c);
	for (int i = 0; i < 2; i++)
		splice_return(env->pipes, &c->side[i].pipe);
	leg_close(&c->side[C2S].leg, reset);
	/* A stranger leaves nothing in TIME_WAIT toward the node: local ports are few. */
	leg_close(&c->side[S2C].leg, !c->mediate.track.logged_on);
	conn_leave_limits(c);
	limits_give(env->limits);
	route_fini(&c->route);
	mediate_fini(&c->mediate);
	node_leave(c);
	TAILQ_REMOVE(&env->conns, c, entry);
	TAILQ_INSERT_TAIL(&env->dead, c, entry);
	env->nconns--;
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
	if (c->end_by_ms != 0)
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
	when = sooner(when, c->until_ms);
	if (when == 0) {
		disarm(c);
		return;
	}
	/* Most deadlines only move further away: the timer fires early once, and looks again. */
	if (c->timer != NULL && c->timer_ms <= when)
		return;
	now = clock_ms();
	alarm_in(c, when > now ? when - now : 0);
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
	if (c->stage == CONN_FLUSH || send_owed(s2c) == 0 || c->side[C2S].leg.fd == -1 ||
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
	leg_close(&s2c->leg, !c->mediate.track.logged_on);
	turn_update(c);
	c->end_by_ms = clock_ms() + FLUSH_MS;
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

	return c->stage == CONN_RELAY && c->mediate.track.nchannels == 0 &&
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
	c->end_by_ms = clock_ms() + FLUSH_MS;
	send_half_close(c);
	turn_update(c);
	conn_arm(c);
}

struct vc_conn
conn_vc(const struct conn *c)
{
	return (struct vc_conn){
		.id = c->mediate.self.conn_id,
		.accepted_ms = c->accepted_ms,
		.client = c->mediate.self.client.addr,
		.identity = c->mediate.identity,
	};
}

void
conn_tick(struct conn *c, uint64_t now_ms)
{
	enum close_reason why;
	uint64_t when;

	if (c->stage == CONN_DEAD)
		return;
	if (c->end_by_ms != 0 && now_ms >= c->end_by_ms) {
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
	leg_keep(&c->side[C2S].leg, &c->env->policy->tcp);
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

void
conn_new(struct conn_env *env, int fd, const struct conf_listen *listener,
    const struct addrport *client, unsigned delay_ms)
{
	struct channel_ends self = { .conn_id = env->next_id, .client = *client };
	bool proxied = conf_is_proxy(listener, &client->addr);
	struct conn *c = calloc(1, sizeof(*c));

	if (c == NULL || dialled_address(fd, listener, &self.local) == -1) {
		stats_closed(env->stats, c == NULL ? CLOSE_NO_MEMORY : CLOSE_CLIENT_RESET);
		if (!proxied)
			limits_leave(env->limits, &client->addr);
		limits_give(env->limits);
		evutil_closesocket(fd);
		free(c);
		return;
	}
	env->next_id += env->id_step;
	MAGIC_SET(c, CONN_MAGIC);
	c->env = env;
	c->listener = listener;
	c->counted = !proxied;
	c->stage = proxied ? CONN_HEADER : CONN_FIRST;
	c->accepted_ms = clock_ms();
	mediate_init(&c->mediate, &env->mediate, listener->name, &self, env->ops->wake, c);
	c->mediate.intercept = listener->intercept;
	for (int i = 0; i < 2; i++) {
		MAGIC_SET(&c->side[i], SIDE_MAGIC);
		c->side[i].conn = c;
		c->side[i].dir = (enum dir)i;
		leg_init(&c->side[i].leg);
	}
	if (leg_open(&c->side[C2S].leg, env->base, fd, env->ops->leg, &c->side[C2S]) == -1) {
		stats_closed(env->stats, CLOSE_NO_MEMORY);
		if (!proxied)
			limits_leave(env->limits, &client->addr);
		limits_give(env->limits);
		mediate_fini(&c->mediate);
		evutil_closesocket(fd);
		free(c);
		return;
	}
	TAILQ_INSERT_TAIL(&env->conns, c, entry);
	env->nconns++;
	stats_add(env->stats, STAT_accepted, 1);
	if (delay_ms > 0)
		conn_delay(c, delay_ms);
	else
		conn_arm(c);
	turn_update(c);
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

void
conn_describe(const struct conn *c, struct conn_info *info)
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
		.since_ms = c->accepted_ms,
		.sessions = t->nchannels,
	};
	memcpy(info->client_guid.b, c->route.key.b + 1, sizeof(info->client_guid.b));
	snprintf(info->listener, sizeof(info->listener), "%s", c->mediate.listener);
	snprintf(info->netbios_name, sizeof(info->netbios_name), "%s",
	    c->calling_name != NULL ? c->calling_name : "");
	snprintf(info->node, sizeof(info->node), "%s", c->node != NULL ? c->node->name : "");
}
