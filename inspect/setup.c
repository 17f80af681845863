/* setup.c: NEGOTIATE, SESSION_SETUP and LOGOFF as they pass: who may enter, and with which keys */
#include "config.h"

#include "inspect/setup.h"

#include "auth/keys.h"
#include "auth/ntlm.h"
#include "auth/sign.h"
#include "base/clock.h"
#include "inspect/announce.h"
#include "inspect/logon.h"
#include "inspect/sharing.h"
#include "inspect/view.h"
#include "nodes/node.h"
#include "policy/policy.h"
#include "smb/const.h"
#include "smb/neg2.h"
#include "smb/sess2.h"
#include "stats/stats.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int
setup_negotiate_req(struct mediate *m, struct view *v, const struct message *msg,
    enum close_reason *why)
{
	struct track *t = &m->track;
	struct neg2_req r;

	/* [MS-SMB2] 3.3.5.4: one NEGOTIATE a connection; a second one ends it. */
	if (t->negotiating || t->negotiated) {
		*why = CLOSE_BAD_SEQUENCE;
		return -1;
	}
	if (neg2_req_get(&r, msg->bytes, msg->part.len) == -1) {
		*why = CLOSE_BAD_MESSAGE;
		return -1;
	}
	track_negotiate_req(t, &r);
	t->refuse_sealed = m->env->policy->unkeyed == POL_UNKEYED_REFUSE;
	logons_negotiate(&m->logons, msg->bytes, msg->part.len);
	return view_ask(m, v, msg, (struct pending){ .kind = PENDING_NEGOTIATE }, why);
}

int
setup_negotiate_resp(struct mediate *m, const struct message *msg, enum close_reason *why)
{
	struct neg2_resp r;

	if (msg->part.hdr.status != STATUS_SUCCESS) {
		m->track.negotiating = false;
		return 0;
	}
	if (neg2_resp_get(&r, msg->bytes, msg->part.len) == -1) {
		*why = CLOSE_BAD_MESSAGE;
		return -1;
	}
	/* 0x02ff answers an SMB1 NEGOTIATE only, and those are not ours to see here. */
	if (r.dialect == SMB2_DIALECT_2FF) {
		*why = CLOSE_UNEXPECTED_ANSWER;
		return -1;
	}
	if (r.dialect < m->env->policy->auth.min_dialect) {
		*why = CLOSE_DIALECT_REFUSED;
		return -1;
	}
	track_negotiate_resp(&m->track, &r);
	logons_negotiate(&m->logons, msg->bytes, msg->part.len);
	return 0;
}

struct smbkeys *
setup_session_keys(struct mediate *m, uint64_t session_id, const struct node *node)
{
	struct smbkeys *keys = sesstab_keys(m->env->sessions, session_id, node);

	return keys != NULL ? keys : sharing_keys(m->sharing, session_id);
}

/*
 * A bind to a session that this proxy does not know: another one may. True: its answer is waited
 * for.
 */
static bool
ask_others(struct mediate *m, const struct view *v, uint64_t session_id)
{
	if (!v->alone || v->sealed || m->env->state == NULL ||
	    sesstab_has(m->env->sessions, session_id, m->node))
		return false;
	return sharing_ask(&m->sharing, m->env, session_id, m->node->id, mediate_wake, m);
}

/* May this bind go to the node? DESIGN: answers, not cuts. */
static bool
bind_allowed(struct mediate *m, uint64_t session_id)
{
	char a[ADDR_STRLEN];

	if (!policy_allows(m->env->policy, &m->self.local.addr)) {
		stats_add(m->env->stats, STAT_binds_refused_address, 1);
		if (mediate_may_log(m))
			log_conn(LOG_LEVEL_INFO, mediate_log(m), "bind to session %016" PRIx64
			    " refused: %s is forbidden", session_id,
			    addr_str(&m->self.local.addr, a));
		return false;
	}
	if (sesstab_elsewhere(m->env->sessions, session_id, m->node) ||
	    sharing_elsewhere(m->sharing, session_id)) {
		stats_add(m->env->stats, STAT_binds_refused_node, 1);
		if (mediate_may_log(m))
			log_conn(LOG_LEVEL_INFO, mediate_log(m), "bind to session %016" PRIx64
			    " refused: it lives on another node", session_id);
		return false;
	}
	return true;
}

/*
 * Is the bind's request signed as it must be, [MS-SMB2] 3.3.5.5.2: with the key of the session and
 * this connection's algorithm? Then its refusal is signed too, so that the client believes it.
 */
static bool
bind_signed(struct mediate *m, const struct message *msg)
{
	struct smbkeys *keys = setup_session_keys(m, msg->part.session_id, NULL);
	struct signkey k;
	bool good;

	if (keys == NULL || m->env->crypt == NULL)
		return false;
	k = keys->signing;
	k.alg = m->track.signing;
	/* GMAC's nonce is the MessageId, and the first channel has used these small ones. */
	good = k.alg != SMB2_SIGNING_AES_GMAC &&
	    sign_good(m->env->crypt, &k, msg->bytes, msg->part.len);
	explicit_bzero(&k, sizeof(k));
	smbkeys_unref(&keys);
	return good;
}

static struct setup
setup_of(const struct view *v, const struct message *msg, const uint8_t *blob, size_t blob_len)
{
	return (struct setup){
		.msg = msg->bytes,
		.len = msg->part.len,
		.blob = blob,
		.blob_len = blob_len,
		.message_id = msg->part.hdr.message_id,
		.session_id = msg->part.hdr.session_id,
		.alone = v->alone && !v->sealed,
	};
}

static bool
is_ntlm(const struct token *t)
{
	return t->kind == TOKEN_NTLM_NEGOTIATE || t->kind == TOKEN_NTLM_AUTHENTICATE;
}

/* What the policy has against the token, as a status; STATUS_SUCCESS: nothing. */
static uint32_t
door(struct mediate *m, const struct token *t)
{
	const struct pol_auth *a = &m->env->policy->auth;
	struct ntlm_auth n;

	if (is_ntlm(t) && a->ntlm == POL_AUTH_REFUSE) {
		stats_add(m->env->stats, STAT_ntlm_refused, 1);
		if (mediate_may_log(m))
			log_conn(LOG_LEVEL_INFO, mediate_log(m), "NTLM is refused");
		return STATUS_NTLM_BLOCKED;
	}
	if (t->kind == TOKEN_NTLM_AUTHENTICATE && a->guest == POL_AUTH_REFUSE &&
	    ntlm_auth_get(&n, t->p, t->len) == 0 && ntlm_anonymous(&n)) {
		stats_add(m->env->stats, STAT_guests_refused, 1);
		if (mediate_may_log(m))
			log_conn(LOG_LEVEL_INFO, mediate_log(m), "an anonymous logon is refused");
		return STATUS_ACCESS_DENIED;
	}
	return STATUS_SUCCESS;
}

int
setup_session_req(struct mediate *m, struct view *v, const struct message *msg,
    enum close_reason *why)
{
	struct pending p = { .kind = PENDING_SESSION_SETUP };
	uint64_t session_id = msg->part.session_id;
	struct identity *seen;
	struct sess2_req r;
	struct setup s;
	struct token t;
	uint32_t status;

	if (sess2_req_get(&r, msg->bytes, msg->part.len) == -1) {
		*why = CLOSE_BAD_MESSAGE;
		return -1;
	}
	p.binding = (r.flags & SMB2_SESSION_FLAG_BINDING) != 0;
	p.signing_required = (r.security_mode & SMB2_NEGOTIATE_SIGNING_REQUIRED) != 0;
	if (p.binding && ask_others(m, v, session_id)) {
		v->wait = true;
		return 0;
	}
	if (p.binding && !bind_allowed(m, session_id))
		return view_refuse(m, v, msg, STATUS_REQUEST_NOT_ACCEPTED, bind_signed(m, msg), why);
	s = setup_of(v, msg, r.blob, r.blob_len);
	s.binding = p.binding;
	/* Reauthentication changes no key, [MS-SMB2] 3.3.5.5.1: it passes the door, and that is all. */
	if (!p.binding && track_channel(&m->track, session_id) != NULL)
		t = spnego_token(r.blob, r.blob_len);
	else if (logons_request(&m->logons, &s, &t, why) == -1)
		return -1;
	seen = logons_seen(&m->logons, s.message_id);
	if (seen != NULL)
		identity_token(seen, m->env->hash, &t);
	status = door(m, &t);
	if (status != STATUS_SUCCESS) {
		logons_drop(&m->logons, s.message_id);
		return view_refuse(m, v, msg, status, false, why);
	}
	return view_ask(m, v, msg, p, why);
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

/* Is there anything that this session's connection may not do under the policy? */
static int
admit(struct mediate *m, const struct session_info *si, enum close_reason *why)
{
	const struct policy *p = m->env->policy;

	if ((si->guest || si->anonymous) && p->auth.guest == POL_AUTH_REFUSE) {
		/* The node has said yes; a success is never swallowed, so there is only the end. */
		stats_add(m->env->stats, STAT_guests_refused, 1);
		*why = CLOSE_GUEST_REFUSED;
		return -1;
	}
	/* Policy wants every session seen, and this one will hide its messages or seal them. */
	if (!si->keyed && p->unkeyed == POL_UNKEYED_REFUSE && (si->signing_required || si->sealed)) {
		*why = CLOSE_UNKEYED;
		return -1;
	}
	/* What is compressed cannot be seen, and on this session it must be. */
	if (si->keyed && m->track.compression && p->compression == POL_COMPRESSION_REFUSE &&
	    announce_mode(p, m->listener, m->intercept) != POL_IF_PASS) {
		*why = CLOSE_COMPRESSION;
		return -1;
	}
	return 0;
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

static int
session_opened(struct mediate *m, const struct session_info *si, const struct pending *asked,
    const struct logon_end *e, enum close_reason *why)
{
	struct track *t = &m->track;
	struct identity seen = e->seen;
	bool bound = asked->binding;
	struct channel *c;

	if (admit(m, si, why) == -1)
		return -1;
	t->logged_on = true;
	if (seen.principal == 0 && si->principal != NULL)
		identity_principal(&seen, m->env->hash, si->principal);
	identity_take(&m->identity, &seen);
	log_session(m, si);
	c = sesstab_join(m->env->sessions, si, &m->self, bound, e->keys,
	    e->keys == NULL ? NULL : &e->signing);
	if (c == NULL) {
		*why = CLOSE_NO_MEMORY;
		return -1;
	}
	if (track_channel_add(t, c, why) == -1) {
		channel_leave(m->env->sessions, &c);
		return -1;
	}
	/*
	 * Also of a bound channel: its session may outlive the first one, with another proxy. But one
	 * that lacks the keys says nothing: the others may have them.
	 */
	if (may_be_bound(si) && (!bound || e->keys != NULL))
		sharing_put(m->env, si->session_id, m->node->id, e->keys);
	stats_add(m->env->stats, bound ? STAT_channels_bound : STAT_sessions, 1);
	stats_add(m->env->stats, si->keyed ? STAT_channels_keyed : STAT_channels_opaque, 1);
	return 0;
}

/* *e: the keys of a logon that the node has accepted; LOGON_WAIT while they are not there yet. */
static void
logon_keys(struct mediate *m, const struct setup *s, const struct pending *asked,
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

int
setup_session_resp(struct mediate *m, struct view *v, const struct message *msg,
    const struct pending *asked, enum close_reason *why)
{
	uint32_t status = msg->part.hdr.status;
	struct session_info si;
	struct sess2_resp r;
	struct logon_end e;
	struct setup s;
	int ret;

	if (status != STATUS_SUCCESS && status != STATUS_MORE_PROCESSING_REQUIRED) {
		stats_add(m->env->stats, STAT_logon_failures, 1);
		logons_drop(&m->logons, asked->message_id);
		return 0;
	}
	if (sess2_resp_get(&r, msg->bytes, msg->part.len) == -1) {
		*why = CLOSE_BAD_MESSAGE;
		return -1;
	}
	s = setup_of(v, msg, r.blob, r.blob_len);
	if (status == STATUS_MORE_PROCESSING_REQUIRED) {
		logons_more(&m->logons, &s);
		return 0;
	}
	si = session_info(m, msg, asked, r.session_flags);
	/* Reauthentication of a session that this connection has. */
	if (track_channel(&m->track, si.session_id) != NULL) {
		logons_drop(&m->logons, asked->message_id);
		return 0;
	}
	logon_keys(m, &s, asked, &si, &e);
	if (e.state == LOGON_WAIT) {
		v->wait = true;
		return 0;
	}
	ret = session_opened(m, &si, asked, &e, why);
	smbkeys_unref(&e.keys);
	explicit_bzero(&e.signing, sizeof(e.signing));
	return ret;
}

void
setup_leave(struct mediate *m, struct channel **c)
{
	uint64_t session_id = channel_session_id(*c);

	if (channel_leave(m->env->sessions, c))
		sharing_drop(m->env, session_id, m->node->id);
}

void
setup_logoff_resp(struct mediate *m, const struct message *msg, const struct pending *asked)
{
	struct channel *c;

	if (msg->part.hdr.status != STATUS_SUCCESS)
		return;
	c = track_channel_take(&m->track, asked->session_id);
	if (c == NULL)
		return;
	channel_logoff(m->env->sessions, c);
	sharing_drop(m->env, asked->session_id, m->node->id);
	channel_leave(m->env->sessions, &c);
}
