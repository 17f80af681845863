/* shown.c: the first message that shows how a session without a key is protected */
#include "config.h"

#include "inspect/shown.h"

#include "base/rd.h"
#include "inspect/env.h"
#include "policy/policy.h"
#include "smb/const.h"

/* Offsets of Flags and SessionId, [MS-SMB2] 2.2.1, and of SessionId in 2.2.41. */
#define HDR2_FLAGS 16
#define HDR2_SESSION 40
#define XFORM_SESSION 44

bool
shown_message(struct mediate *m, uint64_t session_id, bool sealed)
{
	struct channel *c = track_channel(&m->track, session_id);

	if (c == NULL || channel_keyless(c) || channel_keys(c) != NULL)
		return true;
	if (m->env->policy->unkeyed == POL_UNKEYED_REFUSE)
		return false;
	channel_shows(m->env->sessions, c,
	    sealed ? "no key: the client encrypts" : "no key: the client signs");
	return true;
}

static uint64_t
long_at(const uint8_t *p)
{
	struct rd r = rd_init(p, 8);

	return rd_u64(&r);
}

/* Every request of a session without a key comes here: only what is needed is read. */
struct verdict
shown_head(struct mediate *m, struct verdict v, uint64_t session_id, const uint8_t *p,
    size_t avail)
{
	bool pass = true;

	if (v.act != VERDICT_PASS)
		return v;
	if (p[0] == (SMB2_COMPRESSION_ID & 0xff))
		pass = m->env->policy->unkeyed != POL_UNKEYED_REFUSE;
	else if (avail < SMB2_TRANSFORM_LEN)
		return v;
	else if (p[0] == (SMB2_TRANSFORM_ID & 0xff))
		pass = shown_message(m, long_at(p + XFORM_SESSION), true);
	else if (p[0] == (SMB2_PROTOCOL_ID & 0xff) && (p[HDR2_FLAGS] & SMB2_FLAGS_SIGNED) != 0)
		pass = shown_message(m, session_id != 0 ? session_id : long_at(p + HDR2_SESSION),
		    false);
	return pass ? v : (struct verdict){ .act = VERDICT_CLOSE, .why = CLOSE_UNKEYED };
}
