/* setup.c: NEGOTIATE, SESSION_SETUP and LOGOFF as they pass: who may enter, and with which keys */
#include "config.h"

#include "inspect/setup.h"

#include "auth/keys.h"
#include "auth/keyx.h"
#include "auth/sign.h"
#include "base/clock.h"
#include "inspect/admission.h"
#include "inspect/audit.h"
#include "inspect/barred.h"
#include "inspect/frame.h"
#include "inspect/session_over.h"
#include "inspect/sharing.h"
#include "inspect/trace.h"
#include "nodes/node.h"
#include "policy/policy.h"
#include "smb/const.h"
#include "smb/neg2.h"
#include "smb/sess2.h"
#include "stats/close.h"
#include "stats/refusals.h"
#include "stats/stats.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct decision
setup_negotiate(struct mediate *m, const struct message *msg)
{
	struct track *t = &m->track;
	enum close_reason why;
	struct neg2_req r;

	/* [MS-SMB2] 3.3.5.3.2, 3.3.5.4: once a dialect is chosen, a NEGOTIATE ends it all. */
	if (t->negotiating || t->negotiated)
		return decide_close(CLOSE_BAD_SEQUENCE);
	if (neg2_req_get(&r, msg->bytes, msg->part.len) == -1)
		return decide_close(CLOSE_BAD_MESSAGE);
	if (track_negotiate_req(t, &r, &why) == -1)
		return decide_close(why);
	t->refuse_sealed = m->env->policy->unkeyed == POL_UNKEYED_REFUSE;
	t->refuse_compressed = m->env->policy->compression == POL_COMPRESSION_REFUSE;
	logons_negotiate(&m->logons, msg->bytes, msg->part.len);
	return decide_note(PENDING_NEGOTIATE);
}

struct decision
setup_negotiate_answer(struct mediate *m, const struct message *msg)
{
	struct neg2_resp r;
	struct decision d;

	/* Nothing has been agreed on, and the client may ask again. */
	if (msg->part.hdr.status != STATUS_SUCCESS) {
		m->track.negotiating = false;
		return decide(DECIDE_PASS);
	}
	if (neg2_resp_get(&r, msg->bytes, msg->part.len) == -1)
		return decide_close(CLOSE_BAD_MESSAGE);
	/* Nor here: smbd takes 0x02ff for a dialect once, and wants to be asked again. */
	if (r.dialect == SMB2_DIALECT_2FF) {
		m->track.negotiating = false;
		return decide(DECIDE_PASS);
	}
	d = admission_dialect(&mediate_rules(m)->auth, r.dialect);
	if (d.act != DECIDE_PASS)
		return d;
	track_negotiate_resp(&m->track, &r);
	logons_negotiated(&m->logons, msg->bytes, msg->part.len);
	return d;
}

struct smbkeys *
setup_session_keys(const struct mediate *m, uint64_t session_id, const struct node *node)
{
	struct smbkeys *keys = sesstab_keys(m->env->sessions, session_id, node);

	return keys != NULL ? keys : sharing_keys(m->sharing, session_id);
}

/*
 * A bind to a session that this proxy does not know: another one may. True: its answer is waited
 * for.
 */
static bool
ask_others(struct mediate *m, const struct frame *f, uint64_t session_id)
{
	if (f->n > 1 || f->sealed || m->env->state == NULL ||
	    sesstab_has(m->env->sessions, session_id, m->node))
		return false;
	return sharing_ask(&m->sharing, m, session_id, mediate_wake_request);
}

/*
 * Has the session gone to the smbgate that goes on, ahead of this connection? There its keys are
 * known, and a client comes again for a channel that it wants.
 */
static bool
went_ahead(const struct mediate *m, uint64_t session_id)
{
	struct smbkeys *keys = setup_session_keys(m, session_id, NULL);
	const bool known = keys != NULL;

	smbkeys_unref(&keys);
	return m->env->leaving && !known && !sesstab_has(m->env->sessions, session_id, m->node);
}

/* A bind that may not go to the node is refused, signed where its own signature is right. */
static struct decision
judge_bind(struct mediate *m, const struct message *msg)
{
	const uint64_t session_id = msg->part.session_id;
	struct decision d = admission_bind(m->env->policy, &m->self.local.addr,
	    sesstab_elsewhere(m->env->sessions, session_id, m->node, m->intercept) ||
	        sharing_elsewhere(m->sharing, session_id));
	struct smbkeys *keys;

	if (d.act == DECIDE_PASS)
		return d;
	keys = setup_session_keys(m, session_id, NULL);
	d.sign = admission_bind_signed(m->env->crypt, keys, m->track.signing, msg);
	smbkeys_unref(&keys);
	return d;
}

/* Is it signed with the keys that are known of its session? Other keys are not the session's. */
static bool
bind_keyed(const struct mediate *m, const struct message *msg)
{
	struct smbkeys *keys = setup_session_keys(m, msg->part.session_id, m->node);
	struct signkey k;
	bool good;

	if (keys == NULL)
		return false;
	k = keys->signing;
	k.alg = m->track.signing;
	good = sign_good(m->env->crypt, &k, msg->bytes, msg->part.len);
	explicit_bzero(&k, sizeof(k));
	smbkeys_unref(&keys);
	return good;
}

static struct setup_msg
setup_msg_of(const struct frame *f, const struct message *msg, const uint8_t *blob, size_t blob_len)
{
	return (struct setup_msg){
		.msg = msg->bytes,
		.len = msg->part.len,
		.blob = blob,
		.blob_len = blob_len,
		.message_id = msg->part.hdr.message_id,
		.session_id = msg->part.hdr.session_id,
		.alone = frame_alone(f) && !f->sealed,
	};
}

struct decision
setup_session(struct mediate *m, const struct frame *f, const struct message *msg)
{
	const uint64_t session_id = msg->part.session_id;
	struct decision d = decide_note(PENDING_SESSION_SETUP), refused;
	struct logon_heard h;
	struct sess2_req r;
	struct setup_msg s;

	if (sess2_req_get(&r, msg->bytes, msg->part.len) == -1)
		return decide_close(CLOSE_BAD_MESSAGE);
	/* Its answer would not be seen. No client sends a logon in such company. */
	if (frame_foreign(f, &m->track, session_id))
		return decide_close(CLOSE_UNSEEN_COMPOUND);
	d.pending.binding = (r.flags & SMB2_SESSION_FLAG_BINDING) != 0;
	d.pending.signing_required = (r.security_mode & SMB2_NEGOTIATE_SIGNING_REQUIRED) != 0;
	d.pending.previous_session_id = r.previous_session_id;
	if (d.pending.binding) {
		if (ask_others(m, f, session_id))
			return decide(DECIDE_WAIT);
		refused = judge_bind(m, msg);
		if (refused.act != DECIDE_PASS)
			return refused;
		if (went_ahead(m, session_id))
			return decide_close(CLOSE_SHUTDOWN);
		d.pending.sign = bind_keyed(m, msg);
	}
	s = setup_msg_of(f, msg, r.blob, r.blob_len);
	s.binding = d.pending.binding;
	s.source = keyx_source(&m->self.client.addr);
	/* Reauthentication changes no key, [MS-SMB2] 3.3.5.5.1: only its token is judged. */
	s.again = !s.binding && session_here(m, session_id) != NULL;
	if (logons_request(&m->logons, &s, &h) == -1)
		return decide_close(CLOSE_NO_MEMORY);
	if (h.seen != NULL)
		identity_token(h.seen, m->env->hash, &h.token);
	d.pending.mech = (uint8_t)h.mech;
	refused = admission_token(&mediate_rules(m)->auth, &h.token, h.mech);
	if (refused.act == DECIDE_PASS) {
		if (s.again)
			session_doubt(m, session_id, true);
		return d;
	}
	audit_refused(m, logons_caller(&m->logons, s.message_id), session_id, &refused);
	refused.text = NULL;
	logons_refused(&m->logons, s.message_id);
	/* The client of a session that has a key believes nothing else. */
	refused.sign = s.again;
	return refused;
}

/* The session as it is shown; what keys it has is added by its logon's end. */
static void
session_info(const struct mediate *m, const struct message *msg, const struct pending *asked,
    uint16_t flags, struct session_info *si)
{
	const struct track *t = &m->track;

	*si = (struct session_info){
		.node = m->node,
		.session_id = msg->part.hdr.session_id,
		.dialect = t->dialect,
		.cipher = t->cipher,
		.signing = t->signing,
		.guest = (flags & SMB2_SESSION_FLAG_IS_GUEST) != 0,
		.anonymous = (flags & SMB2_SESSION_FLAG_IS_NULL) != 0,
		.sealed = (flags & SMB2_SESSION_FLAG_ENCRYPT_DATA) != 0,
		.client_guid = t->client_guid,
		.client_multichannel = (t->client_caps & SMB2_GLOBAL_CAP_MULTI_CHANNEL) != 0,
		.node_multichannel = (t->server_caps & SMB2_GLOBAL_CAP_MULTI_CHANNEL) != 0,
		.since_ms = clock_ms(),
	};

	si->signing_required = !si->guest && !si->anonymous &&
	    (asked->signing_required ||
	        ((t->server_mode | t->client_mode) & SMB2_NEGOTIATE_SIGNING_REQUIRED) != 0);
}

static void
log_session(struct mediate *m, const struct session_info *si)
{
	struct log_fields f = mediate_log(m, LOG_EVENT_KEYD);

	f.session = si->session_id;
	f.user = si->principal;
	f.reason = si->keyed ? NULL : si->opaque_because;
	if (si->keyed)
		log_conn(LOG_LEVEL_DEBUG, f, "session 0x%016" PRIx64 " of %s is keyed",
		    si->session_id, si->principal != NULL ? si->principal : "?");
	else if (m->env->keyc != NULL && si->opaque_because != NULL)
		log_conn(LOG_LEVEL_WARN, f, "session 0x%016" PRIx64 "%s%s is opaque: %s",
		    si->session_id, si->principal != NULL ? " of " : "",
		    si->principal != NULL ? si->principal : "", si->opaque_because);
}

/*
 * The node has let in whom the policy does not, which is no matter of the others on the connection:
 * the client is told that it may not log on, and nothing that names the session goes to the node
 * any more. Where that cannot be the connection ends: d.
 */
static struct decision
session_refused(struct mediate *m, const struct frame *f, const struct session_info *si,
    struct decision d)
{
	const int kind = refusals_of_close(d.why);
	struct decision told = decide(DECIDE_CHANGE);

	if (kind < 0 || si->session_id == 0 || !frame_alone(f) || f->sealed ||
	    session_here(m, si->session_id) != NULL ||
	    barred_add(&m->track.barred, si->session_id) == -1)
		return d;
	told.status = STATUS_ACCESS_DENIED;
	told.text = close_text(d.why);
	decision_count(&told, d.counts[0]);
	audit_refused(m, si->by, si->session_id, &told);
	/* Here is known whom it is about. */
	mediate_refused(m, kind, &m->track.client_guid, si->session_id, session_info_user(si));
	stats_add(m->env->stats, told.counts[0], 1);
	told.ncounts = 0;
	told.text = NULL;
	return told;
}

/*
 * One more session than is kept of a connection: it is opaque, and nobody else's business. Where
 * the policy wants to see all, its connection ends.
 */
static struct decision
session_beyond(struct mediate *m, struct decision d)
{
	if (m->env->policy->unkeyed == POL_UNKEYED_REFUSE)
		return decide_close(CLOSE_SESSIONS_FULL);
	m->track.unseen = true;
	node_logon(m->node, true);
	decision_count(&d, STAT_sessions);
	decision_count(&d, STAT_channels_opaque);
	return d;
}

static struct decision
session_opened(struct mediate *m, const struct frame *f, const struct session_info *si,
    const struct pending *asked, const struct logon_end *e)
{
	struct track *t = &m->track;
	struct decision d = admission_session(m->env->policy, si);
	struct identity seen = e->seen;
	bool bound = asked->binding;
	struct channel *c;

	if (d.act != DECIDE_PASS)
		d = session_refused(m, f, si, d);
	if (d.act == DECIDE_CHANGE)
		return d;
	if (d.act != DECIDE_PASS) {
		/* Nobody knows its user any more when the connection ends. */
		mediate_refused(m, refusals_of_close(d.why), &m->track.client_guid, si->session_id,
		    session_info_user(si));
		m->refused = true;
		/* Counted as an end. */
		d.ncounts = 0;
		return d;
	}
	if (!session_room(m))
		return session_beyond(m, d);
	t->logged_on = true;
	t->user |= !si->guest && !si->anonymous;
	t->bare |= !si->keyed && !si->guest && !si->anonymous;
	if (seen.principal == 0 && si->principal != NULL)
		identity_principal(&seen, m->env->hash, si->principal);
	identity_take(&m->identity, &seen);
	t->named = true;
	log_session(m, si);
	if (m->traced)
		trace_session(m, si, bound);
	/* Its files are opened and closed through another proxy, too. */
	t->unseen |= bound && !sesstab_has(m->env->sessions, si->session_id, m->node);
	c = sesstab_join(m->env->sessions, si, &m->self, bound, e->keys,
	    e->keys == NULL ? NULL : &e->signing);
	if (c == NULL)
		return decide_close(CLOSE_NO_MEMORY);
	session_joined(m, c);
	if (!bound)
		node_logon(m->node, true);
	if (!bound)
		session_replaced(m, asked->previous_session_id, si);
	/*
	 * Also of a bound channel: its session may outlive the first one, with another proxy. One
	 * that lacks the keys says nothing: the others may have them.
	 */
	if (session_may_be_bound(si) && (!bound || e->keys != NULL))
		sharing_put(m, si->session_id, e->keys);
	decision_count(&d, bound ? STAT_channels_bound : STAT_sessions);
	decision_count(&d, si->keyed ? STAT_channels_keyed : STAT_channels_opaque);
	return d;
}

/* *e: the keys of a logon that the node has accepted; LOGON_WAIT while they are not there yet. */
static void
setup_logon_keys(struct mediate *m, struct setup_msg *s, const struct pending *asked,
    struct session_info *si, struct logon_end *e)
{
	struct smbkeys *session = NULL;

	/* [MS-SMB2] 3.3.5.5.3: it has no keys, whatever the exchange agreed on. */
	s->keyless = si->guest || si->anonymous;
	/* The node goes by the signature too: other keys are of an older session of that number. */
	if (asked->binding && asked->sign)
		session = setup_session_keys(m, si->session_id, m->node);
	logons_success(&m->logons, s, &m->track, session, e);
	smbkeys_unref(&session);
	if (e->waited_us > 0) {
		stats_add(m->env->stats, STAT_logons_waited, 1);
		stats_add(m->env->stats, STAT_logons_waited_us, e->waited_us);
	}
	si->anonymous |= e->anonymous;
	si->keyed = e->state == LOGON_KEYED;
	if (!si->keyed && (si->guest || si->anonymous))
		e->because[0] = '\0';
	if (si->guest || si->anonymous)
		si->signing_required = false;
	si->opaque_because = e->because[0] == '\0' ? NULL : e->because;
	si->cause = (uint8_t)e->cause;
	si->principal = e->principal[0] == '\0' ? NULL : e->principal;
	si->how = e->by.how;
	si->by = e->by.user[0] != '\0' || e->by.machine[0] != '\0' ? &e->by : NULL;
}

/* The node's no. */
static struct decision
session_failed(struct mediate *m, const struct message *msg, const struct pending *asked)
{
	const uint32_t status = msg->part.hdr.status;
	struct decision d = decide(DECIDE_PASS);

	audit_failed(m, logons_caller(&m->logons, asked->message_id), msg->part.hdr.session_id,
	    asked->binding, status);
	decision_count(&d, STAT_logon_failures);
	logons_drop(&m->logons, asked->message_id);
	if (!asked->binding)
		node_logon(m->node, false);
	if (asked->binding)
		session_bind_failed(m, asked->session_id);
	else
		session_setup_failed(m, asked->session_id, status);
	return d;
}

/* Reauthentication of a session that this connection has. */
static void
session_again(struct mediate *m, struct session_info *si, const struct pending *asked)
{
	struct channel *c = track_channel(&m->track, si->session_id);

	si->by = logons_caller(&m->logons, asked->message_id);
	si->keyed = channel_keys(c) != NULL;
	audit_logon(m, si, true);
	logons_drop(&m->logons, asked->message_id);
	channel_again(c);
	m->track.user |= !si->guest && !si->anonymous;
	if (si->signing_required)
		channel_sign_always(c);
	session_replaced(m, asked->previous_session_id, si);
}

struct decision
setup_session_answer(struct mediate *m, const struct frame *f, const struct message *msg,
    const struct pending *asked)
{
	uint32_t status = msg->part.hdr.status;
	struct decision d = decide(DECIDE_PASS);
	struct session_info si;
	struct sess2_resp r;
	struct logon_end e;
	struct setup_msg s;

	if (status != STATUS_SUCCESS && status != STATUS_MORE_PROCESSING_REQUIRED)
		return session_failed(m, msg, asked);
	if (sess2_resp_get(&r, msg->bytes, msg->part.len) == -1)
		return decide_close(CLOSE_BAD_MESSAGE);
	s = setup_msg_of(f, msg, r.blob, r.blob_len);
	/* A number that the node gives to a new session is no other one's any more. */
	if (asked->session_id == 0 && !asked->binding) {
		session_renumbered(m, s.session_id);
		barred_drop(&m->track.barred, s.session_id);
	}
	if (!asked->binding)
		session_doubt(m, asked->session_id, false);
	if (status == STATUS_MORE_PROCESSING_REQUIRED) {
		logons_more(&m->logons, &s);
		return d;
	}
	session_info(m, msg, asked, r.session_flags, &si);
	d = admission_logon(&mediate_rules(m)->auth, &si, (enum mech)asked->mech);
	if (d.act != DECIDE_PASS) {
		si.by = logons_caller(&m->logons, asked->message_id);
		d = session_refused(m, f, &si, d);
		logons_drop(&m->logons, asked->message_id);
		return d;
	}
	if (!asked->binding && session_here(m, si.session_id) != NULL) {
		session_again(m, &si, asked);
		return d;
	}
	setup_logon_keys(m, &s, asked, &si, &e);
	if (e.state == LOGON_WAIT)
		return decide(DECIDE_WAIT);
	d = session_opened(m, f, &si, asked, &e);
	if (d.act == DECIDE_PASS && asked->binding)
		audit_bind(m, &si);
	else if (d.act == DECIDE_PASS)
		audit_logon(m, &si, false);
	smbkeys_unref(&e.keys);
	explicit_bzero(&e.signing, sizeof(e.signing));
	return d;
}

/* Until it is answered nobody here knows whether the session lives. */
struct decision
setup_logoff(struct mediate *m, const struct message *msg)
{
	session_doubt(m, msg->part.session_id, true);
	return decide_note(PENDING_LOGOFF);
}

struct decision
setup_logoff_answer(struct mediate *m, const struct message *msg, const struct pending *asked)
{
	if (msg->part.hdr.status == STATUS_SUCCESS &&
	    track_channel(&m->track, asked->session_id) != NULL) {
		audit_logoff(m, asked->session_id);
		session_over(m, asked->session_id);
	}
	return decide(DECIDE_PASS);
}
