/* progress.c: how a connection goes on: its frames judged by its stage, facts followed, waits ended */
#include "config.h"

#include "proxy/progress.h"

#include "base/clock.h"
#include "base/log.h"
#include "inspect/vc_reset.h"
#include "policy/policy.h"
#include "proxy/conn.h"
#include "proxy/conn_priv.h"
#include "proxy/env.h"
#include "proxy/opening.h"
#include "proxy/prelude.h"
#include "proxy/send.h"
#include "proxy/turn.h"
#include "stats/stats.h"

/*
 * smbd hands a connection that opened with SMB1 to the process that holds the client's GUID; for
 * a moment after its NEGOTIATE answer a SESSION_SETUP can be lost between the two, and is never
 * answered. Only such connections wait this long.
 */
#define CALM_MS 50

static struct verdict
head_op(void *arg, const uint8_t *p, size_t avail)
{
	struct side *s = arg;
	struct conn *c = s->conn;
	struct verdict v;

	if (s->dir == C2S && prelude_head(c, p, avail, &v))
		return v;
	if (c->stage < CONN_REPLAY || c->raw)
		return classify_first(&c->mediate.track, p, avail);
	return mediate_head(&c->mediate, s->dir, p, avail);
}

static struct verdict
part_op(void *arg, const uint8_t *p, size_t avail, size_t left)
{
	struct side *s = arg;

	return classify_part(&s->conn->mediate.track, s->dir, p, avail, left);
}

static struct outcome
held_op(void *arg, const uint8_t *frame, size_t len)
{
	struct side *s = arg;
	struct conn *c = s->conn;
	struct outcome o;

	/* Behind a PROXY header that made it wait. */
	if (!c->started)
		return (struct outcome){ .act = OUTCOME_WAIT };
	if (s->dir == C2S && prelude_held(c, frame, len, &o))
		return o;
	switch (c->stage) {
	case CONN_FIRST:
	case CONN_SECOND:
		return opening_frame(c, frame, len);
	case CONN_REPLAY:
		if (s->dir == S2C)
			return opening_swallow(c, frame, len);
		return (struct outcome){ .act = OUTCOME_WAIT };
	case CONN_RELAY:
		if (s->dir == C2S && c->raw)
			return opening_pass_raw(c);
		if (s->dir == C2S && c->calm_until_ms != 0)
			return (struct outcome){ .act = OUTCOME_WAIT };
		return mediate_held(&c->mediate, s->dir, frame, len);
	default:
		return (struct outcome){ .act = OUTCOME_WAIT };
	}
}

const struct pump_ops progress_ops = {
	.head = head_op,
	.part = part_op,
	.held = held_op,
	.send = send_bytes,
};

/* SMB1: the client has logged on with VcNumber 0. */
static void
vc_reset(struct conn *c)
{
	const struct vc_conn self = conn_vc(c);
	struct vc_reset r;

	switch (vc_reset_choose(c->env->policy, &self, &r)) {
	case VC_CHOICE_OFF:
		return;
	case VC_CHOICE_NAT:
		stats_add(c->env->stats, STAT_vc_nat, 1);
		return;
	case VC_CHOICE_OLDER:
		break;
	}
	stats_add(c->env->stats, STAT_vc_resets, 1);
	log_conn(LOG_LEVEL_DEBUG, mediate_log(&c->mediate),
	    "VcNumber 0: older connections of the client end");
	c->env->ops->vc_reset(c->env->worker, &r);
}

/* What the facts now say about the connection's progress. */
static void
progress(struct conn *c)
{
	const struct track *t = &c->mediate.track;

	if (!c->negotiated && (t->negotiated || t->smb1)) {
		c->negotiated = true;
		if (c->kind == FIRST_MULTI && c->route.others > 0)
			c->calm_until_ms = clock_ms() + CALM_MS;
		conn_arm(c);
	}
	if (!c->logged_on && t->logged_on) {
		c->logged_on = true;
		conn_leave_limits(c);
		route_firm(&c->route);
		stats_add(c->env->stats, STAT_logged_on, 1);
		conn_arm(c);
	}
	if (c->mediate.track.vc_reset) {
		c->mediate.track.vc_reset = false;
		vc_reset(c);
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
		progress(c);
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

static void
resume(struct conn *c, enum dir dir)
{
	c->resume[dir] = true;
	(void)progress_settle(c, PUMP_OK, 0);
}

void
progress_wake(void *arg)
{
	struct conn *c = arg;

	if (c->stage != CONN_RELAY)
		return;
	if (c->side[S2C].pump.waiting)
		resume(c, S2C);
	else if (c->calm_until_ms == 0 && c->side[C2S].pump.waiting)
		resume(c, C2S);
	else
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
	c->timer_ms = UINT64_MAX;
	if (!c->started) {
		c->started = true;
		if (c->side[C2S].pump.waiting)
			resume(c, C2S);
		if (conn_over(c))
			return;
		turn_update(c);
	}
	when = conn_deadline(c, &why);
	if (when != 0 && now >= when) {
		conn_end(c, why);
		return;
	}
	if (c->stage == CONN_CONNECT && now >= c->connect_by_ms) {
		opening_connect_failed(c);
		if (conn_over(c))
			return;
	}
	if (c->calm_until_ms != 0 && now >= c->calm_until_ms) {
		c->calm_until_ms = 0;
		if (c->side[C2S].pump.waiting)
			resume(c, C2S);
	}
	conn_arm(c);
}
