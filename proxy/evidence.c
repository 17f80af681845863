/* evidence.c: pure: what is to be done about a live connection whose node is in doubt */
#include "config.h"

#include "proxy/evidence.h"

/*
 * Silence alone says nothing: the peer of an idle connection has no reason to speak. What counts is
 * what its kernel was asked (keepalives, a second apart; bytes, sent again and again) and did not
 * answer, and that this took a moment of which no part lies before the way out: a network that was
 * away for all nodes comes back to one a little earlier than to another.
 */
#define UNANSWERED_IDLE 4
#define UNANSWERED_BUSY 3
#define SILENCE_MS 2000

/*
 * Bytes that were repeated all through an outage are repeated at last two minutes later; until they
 * are answered, or that time has passed, TCP_USER_TIMEOUT would end the connection at the next one.
 */
#define MENDED_MS 130000

static bool
machine_gone(const struct evidence *e)
{
	bool busy = e->owed || e->news.unacked || e->gone;

	return e->way_out_for_ms >= SILENCE_MS && e->news.silence_ms >= SILENCE_MS &&
	    e->news.unanswered >= (busy ? UNANSWERED_BUSY : UNANSWERED_IDLE);
}

static enum leg_care
care_without_doubt(const struct evidence *e)
{
	/* A server that reads nothing is slow; to TCP_USER_TIMEOUT it is as good as dead. */
	if (e->news.stalled)
		return LEG_ASKING;
	if (e->care <= LEG_AS_POLICY || e->news.unanswered == 0 || e->trusted_for_ms >= MENDED_MS)
		return LEG_AS_POLICY;
	return LEG_ASKING;
}

struct evidence_verdict
evidence_judge(const struct evidence *e)
{
	struct evidence_verdict v = { .act = EVIDENCE_CARE };

	if (!e->doubt) {
		v.care = care_without_doubt(e);
		return v;
	}
	v.care = e->way_out ? LEG_ASKING : LEG_PATIENT;
	if (!e->way_out)
		return v;
	if (machine_gone(e))
		v.act = EVIDENCE_GONE;
	else if (e->hung && e->owed && e->owed_for_ms >= e->hang_ms)
		v.act = EVIDENCE_HUNG;
	return v;
}
