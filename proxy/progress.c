/* progress.c: how a connection goes on: frames judged by its stage, facts followed, waits ended */
#include "config.h"

#include "proxy/progress.h"

#include "base/clock.h"
#include "base/log.h"
#include "inspect/vc_reset.h"
#include "nodes/logons.h"
#include "policy/policy.h"
#include "proxy/awake.h"
#include "proxy/conn.h"
#include "proxy/conn_priv.h"
#include "proxy/env.h"
#include "proxy/opening.h"
#include "proxy/prelude.h"
#include "proxy/send.h"
#include "proxy/tapped.h"
#include "proxy/turn.h"
#include "proxy/vc_index.h"
#include "proxy/wait.h"
#include "state/state.h"
#include "stats/stats.h"

/*
 * smbd hands a connection that opened with SMB1 to the process that holds the client's GUID; for
 * a moment after its NEGOTIATE answer a SESSION_SETUP can be lost between the two, and is never
 * answered. Only such connections wait this long.
 */
#define HANDOVER_MS 50

/*
 * The node has not answered an SMB1 NEGOTIATE: whether what the client sends behind it is a message
 * of SMB1 is not known yet.
 */
static bool
sent_ahead(const struct conn *c)
{
	const struct track *t = &c->mediate.track;

	return t->smb1_offered && !t->smb1 && !t->negotiated;
}

static struct verdict
head_op(void *arg, const uint8_t *p, size_t avail)
{
	struct side *s = arg;
	struct conn *c = s->conn;
	struct verdict v;

	MAGIC_CHECK(s, SIDE_MAGIC);
	if (s->dir == C2S && prelude_head(c, p, avail, &v))
		return v;
	if (c->stage < CONN_REPLAY || c->raw || (s->dir == C2S && sent_ahead(c)))
		return classify_first(&c->mediate.track, p, avail);
	return mediate_head(&c->mediate, s->dir, p, avail);
}

static struct verdict
part_op(void *arg, const uint8_t *p, size_t avail, size_t left)
{
	struct side *s = arg;

	MAGIC_CHECK(s, SIDE_MAGIC);
	return mediate_part(&s->conn->mediate, s->dir, p, avail, left);
}

/* A frame that passes between client and node. */
static struct outcome
mediated(struct side *s, const uint8_t *frame, size_t len)
{
	struct outcome o = mediate_held(&s->conn->mediate, s->dir, frame, len);

	if (o.act == OUTCOME_WAIT)
		return wait_for(s, s->dir == C2S ? WAIT_FACTS : WAIT_KEY);
	wait_judged(s);
	return o;
}

static struct outcome
held_op(void *arg, const uint8_t *frame, size_t len)
{
	struct side *s = arg;
	struct conn *c = s->conn;
	struct outcome o;

	MAGIC_CHECK(s, SIDE_MAGIC);
	if (c->stage == CONN_DELAY)
		return wait_for(s, WAIT_ACCEPT);
	if (s->dir == C2S && prelude_held(c, frame, len, &o))
		return o;
	switch (c->stage) {
	case CONN_FIRST:
	case CONN_SESSION:
	case CONN_SECOND:
		return opening_frame(c, frame, len);
	case CONN_REPLAY:
		if (s->dir == S2C)
			return opening_swallow(c, frame, len);
		break;
	case CONN_NEGOTIATE:
		if (s->dir == C2S && c->raw)
			return opening_pass_raw(c);
		if (s->dir == C2S && sent_ahead(c))
			return wait_for(s, WAIT_ANSWER);
		return mediated(s, frame, len);
	case CONN_HANDOVER:
		return s->dir == C2S ? wait_for(s, WAIT_PAUSE) : mediated(s, frame, len);
	case CONN_LOGON:
	case CONN_RELAY:
		return mediated(s, frame, len);
	default:
		break;
	}
	return wait_for(s, WAIT_NODE);
}

const struct pump_ops progress_ops = {
	.head = head_op,
	.part = part_op,
	.held = held_op,
	.send = send_bytes,
};

/* SMB1: the client has logged on with VcNumber 0. */
static void
follow_vc_reset(struct conn *c)
{
	const enum pol_vc_reset by = vc_index_how(c);
	struct vc_reset r = {
		.key = vc_index_key(c),
		.by = c->mediate.self.conn_id,
		.before_ms = c->accepted_ms,
	};
	const struct state_reset other = { .key = r.key, .age_ms = clock_ms() - c->accepted_ms };

	if (by == POL_VC_RESET_OFF)
		return;
	if (r.key == 0) {
		stats_add(c->env->stats,
		    by == POL_VC_RESET_ADDRESS ? STAT_vc_nat : STAT_vc_nameless, 1);
		return;
	}
	stats_add(c->env->stats, STAT_vc_resets, 1);
	log_conn(LOG_LEVEL_DEBUG, mediate_log(&c->mediate, LOG_EVENT_NONE),
	    "VcNumber 0: older connections of the client end");
	c->env->ops->vc_reset(c->env->worker, &r);
	state_reset(c->env->route.state, &other);
}

/* The stages up to the logon end when the facts say so. */
static void
follow_opening(struct conn *c)
{
	const struct track *t = &c->mediate.track;

	if (c->stage == CONN_NEGOTIATE && !sent_ahead(c))
		wait_over(c, WAIT_ANSWER);
	if (c->stage == CONN_NEGOTIATE && (t->negotiated || t->smb1)) {
		if (c->kind == FIRST_MULTI && c->route.others)
			conn_enter(c, CONN_HANDOVER, clock_ms() + HANDOVER_MS);
		else
			conn_enter(c, CONN_LOGON, 0);
		conn_arm(c);
	}
	if (c->stage == CONN_LOGON && t->logged_on) {
		conn_enter(c, CONN_RELAY, 0);
		conn_set_plain(c);
		route_firm(&c->route);
		logons_answered(c->node);
		stats_add(c->env->stats, STAT_logged_on, 1);
		conn_arm(c);
	}
	if (c->env->ntaps > 0) {
		tapped_match(c);
		tapped_stage(c);
	}
}

/* Who has logged on: a guest is as good as a stranger to the limits, until a user joins him. */
static void
follow_standing(struct conn *c)
{
	const struct track *t = &c->mediate.track;
	enum standing now = t->user ? STANDING_USER : STANDING_GUEST;

	if (t->logged_on && c->standing != now && !conn_stands(c, now))
		conn_end(c, CLOSE_UNAUTH_LIMIT);
}

static void
follow(struct conn *c)
{
	if (c->stage != CONN_RELAY)
		follow_opening(c);
	if (c->standing == STANDING_STRANGER || c->standing == STANDING_GUEST)
		follow_standing(c);
	if (c->mediate.track.named) {
		c->mediate.track.named = false;
		vc_index_put(c);
		if (c->env->ntaps > 0)
			tapped_match(c);
	}
	if (c->mediate.track.vc_reset) {
		c->mediate.track.vc_reset = false;
		follow_vc_reset(c);
	}
}

bool
progress_settle(struct conn *c, enum pump_result r, enum close_reason why)
{
	for (;;) {
		if (conn_over(c))
			return false;
		if (r != PUMP_OK) {
			conn_end(c, r == PUMP_CLOSE ? why : c->send_failed);
			return false;
		}
		follow(c);
		if (conn_over(c))
			return false;
		if (c->resume[C2S] || c->resume[S2C]) {
			struct side *s = &c->side[c->resume[C2S] ? C2S : S2C];

			c->resume[s->dir] = false;
			r = pump_resume(&s->pump, &progress_ops, s, &why);
			continue;
		}
		break;
	}
	turn_update(c);
	return true;
}

void
progress_wake(void *arg, enum dir dir)
{
	struct conn *c = arg;

	MAGIC_CHECK(c, CONN_MAGIC);
	if (!stage_relays(c->stage))
		return;
	awake_stir(c);
	wait_over(c, dir == C2S ? WAIT_FACTS : WAIT_KEY);
	(void)progress_settle(c, PUMP_OK, 0);
}

/* The stage has had its time. */
static void
time_over(struct conn *c)
{
	switch (c->stage) {
	case CONN_DELAY:
		conn_enter(c, CONN_FIRST, 0);
		wait_over(c, WAIT_ACCEPT);
		break;
	case CONN_CONNECT:
		opening_connect_failed(c);
		break;
	case CONN_HELD:
		opening_route_again(c);
		break;
	case CONN_HANDOVER:
		conn_enter(c, CONN_LOGON, 0);
		wait_over(c, WAIT_PAUSE);
		break;
	default:
		break;
	}
	(void)progress_settle(c, PUMP_OK, 0);
}

void
progress_timer_cb(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	enum close_reason why;
	uint64_t now = clock_ms(), when;

	(void)fd;
	(void)what;
	MAGIC_CHECK(c, CONN_MAGIC);
	when = conn_deadline(c, &why);
	c->alarm->ms = UINT64_MAX;
	if (when != 0 && now >= when) {
		conn_end(c, why);
		return;
	}
	if (c->until_ms != 0 && now >= c->until_ms) {
		time_over(c);
		if (conn_over(c))
			return;
	}
	conn_arm(c);
}
