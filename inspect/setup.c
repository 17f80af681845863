/* setup.c: NEGOTIATE, SESSION_SETUP and LOGOFF as they pass: who may enter, and with which keys */
#include "config.h"

#include "inspect/setup.h"

#include "auth/keys.h"
#include "base/clock.h"
#include "inspect/admission.h"
#include "inspect/announce.h"
#include "inspect/frame.h"
#include "inspect/sharing.h"
#include "nodes/node.h"
#include "policy/policy.h"
#include "smb/const.h"
#include "smb/neg2.h"
#include "smb/sess2.h"
#include "stats/stats.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct decision
setup_negotiate(struct mediate *m, const struct message *msg)
{
	struct track *t = &m->track;
	struct neg2_req r;

	/* [MS-SMB2] 3.3.5.4: one NEGOTIATE a connection; a second one ends it. */
	if (t->negotiating || t->negotiated)
		return decide_close(CLOSE_BAD_SEQUENCE);
	if (neg2_req_get(&r, msg->bytes, msg->part.len) == -1)
		return decide_close(CLOSE_BAD_MESSAGE);
	track_negotiate_req(t, &r);
	t->refuse_sealed = m->env->policy->unkeyed == POL_UNKEYED_REFUSE;
	logons_negotiate(&m->logons, msg->bytes, msg->part.len);
	return decide_note(PENDING_NEGOTIATE);
}

struct decision
setup_negotiate_answer(struct mediate *m, const struct message *msg)
{
	struct neg2_resp r;
	struct decision d;

	if (msg->part.hdr.status != STATUS_SUCCESS) {
		m->track.negotiating = false;
		return decide(DECIDE_PASS);
	}
	if (neg2_resp_get(&r, msg->bytes, msg->part.len) == -1)
		return decide_close(CLOSE_BAD_MESSAGE);
	/* 0x02ff answers an SMB1 NEGOTIATE only, and those are not ours to see here. */
	if (r.dialect == SMB2_DIALECT_2FF)
		return decide_close(CLOSE_UNEXPECTED_ANSWER);
	d = admission_dialect(m->env->policy, r.dialect);
	if (d.act != DECIDE_PASS)
		return d;
	track_negotiate_resp(&m->track, &r);
	logons_negotiate(&m->logons, msg->bytes, msg->part.len);
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
	return sharing_ask(&m->sharing, m->env, session_id, m->node->id, mediate_wake, m);
}

/* A bind that may not go to the node is refused, signed where its own signature is right. */
static struct decision
judge_bind(struct mediate *m, const struct message *msg)
{
	const uint64_t session_id = msg->part.session_id;
	struct decision d = admission_bind(m->env->policy, &m->self.local.addr,
	    sesstab_elsewhere(m->env->sessions, session_id, m->node) ||
	        sharing_elsewhere(m->sharing, session_id));
	struct smbkeys *keys;

	if (d.act == DECIDE_PASS)
		return d;
	keys = setup_session_keys(m, session_id, NULL);
	d.sign = admission_bind_signed(m->env->crypt, keys, m->track.signing, msg);
	smbkeys_unref(&keys);
	return d;
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
		.alone = f->n == 1 && !f->sealed,
	};
}

struct decision
setup_session(struct mediate *m, const struct frame *f, const struct message *msg)
{
	const uint64_t session_id = msg->part.session_id;
	struct decision d = decide_note(PENDING_SESSION_SETUP), refused;
	enum close_reason why;
	struct identity *seen;
	struct sess2_req r;
	struct setup_msg s;
	struct token t;

	if (sess2_req_get(&r, msg->bytes, msg->part.len) == -1)
		return decide_close(CLOSE_BAD_MESSAGE);
	d.pending.binding = (r.flags & SMB2_SESSION_FLAG_BINDING) != 0;
	d.pending.signing_required = (r.security_mode & SMB2_NEGOTIATE_SIGNING_REQUIRED) != 0;
	if (d.pending.binding) {
		if (ask_others(m, f, session_id))
			return decide(DECIDE_WAIT);
		refused = judge_bind(m, msg);
		if (refused.act != DECIDE_PASS)
			return refused;
	}
	s = setup_msg_of(f, msg, r.blob, r.blob_len);
	s.binding = d.pending.binding;
	/* Reauthentication changes no key, [MS-SMB2] 3.3.5.5.1: only its token is judged. */
	if (!s.binding && track_channel(&m->track, session_id) != NULL)
		t = spnego_token(r.blob, r.blob_len);
	else if (logons_request(&m->logons, &s, &t, &why) == -1)
		return decide_close(why);
	seen = logons_seen(&m->logons, s.message_id);
	if (seen != NULL)
		identity_token(seen, m->env->hash, &t);
	refused = admission_token(m->env->policy, &t);
	if (refused.act == DECIDE_PASS)
		return d;
	logons_drop(&m->logons, s.message_id);
	return refused;
}

/* The session as it is shown; what keys it has is added by its logon's end. */
static struct session_info
session_info(const struct mediate *m, const struct message *msg, const struct pending *asked,
    uint16_t flags)
{
	const struct track *t = &m->track;
	struct session_info si = {
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

	si.signing_required = !si.guest && !si.anonymous &&
	    (asked->signing_required ||
	        ((t->server_mode | t->client_mode) & SMB2_NEGOTIATE_SIGNING_REQUIRED) != 0);
	return si;
}

static void
log_session(struct mediate *m, const struct session_info *si)
{
	if (si->keyed)
		log_conn(LOG_LEVEL_DEBUG, mediate_log(m), "session %016" PRIx64 " of %s is keyed",
		    si->session_id, si->principal != NULL ? si->principal : "?");
	else if (m->env->keyc != NULL && si->opaque_because != NULL && mediate_may_log(m))
		log_conn(LOG_LEVEL_WARN, mediate_log(m), "session %016" PRIx64 "%s%s is opaque: %s",
		    si->session_id, si->principal != NULL ? " of " : "",
		    si->principal != NULL ? si->principal : "", si->opaque_because);
}

/* May there be another channel, perhaps through another proxy? [MS-SMB2] 3.3.5.5. */
static bool
may_be_bound(const struct session_info *si)
{
	return si->dialect >= SMB2_DIALECT_300 && !si->guest && !si->anonymous;
}

static struct decision
session_opened(struct mediate *m, const struct session_info *si, const struct pending *asked,
    const struct logon_end *e)
{
	struct track *t = &m->track;
	struct decision d = admission_session(m->env->policy, si, t->compression,
	    announce_mode(m->env->policy, m->listener, m->intercept));
	struct identity seen = e->seen;
	bool bound = asked->binding;
	enum close_reason why;
	struct channel *c;

	if (d.act != DECIDE_PASS)
		return d;
	t->logged_on = true;
	if (seen.principal == 0 && si->principal != NULL)
		identity_principal(&seen, m->env->hash, si->principal);
	identity_take(&m->identity, &seen);
	log_session(m, si);
	c = sesstab_join(m->env->sessions, si, &m->self, bound, e->keys,
	    e->keys == NULL ? NULL : &e->signing);
	if (c == NULL)
		return decide_close(CLOSE_NO_MEMORY);
	if (track_channel_add(t, c, &why) == -1) {
		channel_leave(m->env->sessions, &c);
		return decide_close(why);
	}
	/*
	 * Also of a bound channel: its session may outlive the first one, with another proxy. One
	 * that lacks the keys says nothing: the others may have them.
	 */
	if (may_be_bound(si) && (!bound || e->keys != NULL))
		sharing_put(m->env, si->session_id, m->node->id, e->keys);
	decision_count(&d, bound ? STAT_channels_bound : STAT_sessions);
	decision_count(&d, si->keyed ? STAT_channels_keyed : STAT_channels_opaque);
	return d;
}

/* *e: the keys of a logon that the node has accepted; LOGON_WAIT while they are not there yet. */
static void
setup_logon_keys(struct mediate *m, const struct setup_msg *s, const struct pending *asked,
    struct session_info *si, struct logon_end *e)
{
	struct smbkeys *session = NULL;

	if (asked->binding)
		session = setup_session_keys(m, si->session_id, m->node);
	logons_success(&m->logons, s, &m->track, session, e);
	smbkeys_unref(&session);
	if (e->waited_us > 0) {
		stats_add(m->env->stats, STAT_logons_waited, 1);
		stats_add(m->env->stats, STAT_logons_waited_us, e->waited_us);
	}
	si->anonymous |= e->anonymous;
	si->keyed = e->state == LOGON_KEYED;
	/* [MS-SMB2] 3.3.5.5.3: a guest's session has no keys, whatever the exchange agreed on. */
	if (si->keyed && (si->guest || si->anonymous)) {
		smbkeys_unref(&e->keys);
		si->keyed = false;
	}
	if (!si->keyed && (si->guest || si->anonymous))
		e->because[0] = '\0';
	if (si->guest || si->anonymous)
		si->signing_required = false;
	si->opaque_because = e->because[0] == '\0' ? NULL : e->because;
	si->principal = e->principal[0] == '\0' ? NULL : e->principal;
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

	if (status != STATUS_SUCCESS && status != STATUS_MORE_PROCESSING_REQUIRED) {
		decision_count(&d, STAT_logon_failures);
		logons_drop(&m->logons, asked->message_id);
		return d;
	}
	if (sess2_resp_get(&r, msg->bytes, msg->part.len) == -1)
		return decide_close(CLOSE_BAD_MESSAGE);
	s = setup_msg_of(f, msg, r.blob, r.blob_len);
	if (status == STATUS_MORE_PROCESSING_REQUIRED) {
		logons_more(&m->logons, &s);
		return d;
	}
	si = session_info(m, msg, asked, r.session_flags);
	/* Reauthentication of a session that this connection has. */
	if (track_channel(&m->track, si.session_id) != NULL) {
		logons_drop(&m->logons, asked->message_id);
		return d;
	}
	setup_logon_keys(m, &s, asked, &si, &e);
	if (e.state == LOGON_WAIT)
		return decide(DECIDE_WAIT);
	d = session_opened(m, &si, asked, &e);
	smbkeys_unref(&e.keys);
	explicit_bzero(&e.signing, sizeof(e.signing));
	return d;
}

void
setup_leave(struct mediate *m, struct channel **c)
{
	uint64_t session_id = channel_session_id(*c);

	if (channel_leave(m->env->sessions, c))
		sharing_drop(m->env, session_id, m->node->id);
}

struct decision
setup_logoff_answer(struct mediate *m, const struct message *msg, const struct pending *asked)
{
	struct channel *c;

	if (msg->part.hdr.status != STATUS_SUCCESS)
		return decide(DECIDE_PASS);
	c = track_channel_take(&m->track, asked->session_id);
	if (c == NULL)
		return decide(DECIDE_PASS);
	channel_logoff(m->env->sessions, c);
	sharing_drop(m->env, asked->session_id, m->node->id);
	channel_leave(m->env->sessions, &c);
	return decide(DECIDE_PASS);
}
