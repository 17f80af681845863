/* smb1.c: a connection that speaks SMB1: its logons, and the VcNumber in them */
#include "config.h"

#include "inspect/smb1.h"

#include "auth/keyx.h"
#include "auth/ntlm.h"
#include "auth/spnego.h"
#include "base/magic.h"
#include "inspect/admission.h"
#include "inspect/audit.h"
#include "inspect/env.h"
#include "inspect/identity.h"
#include "inspect/logon1.h"
#include "nodes/node.h"
#include "policy/policy.h"
#include "smb/chain1.h"
#include "smb/const.h"
#include "smb/nbss.h"
#include "smb/raw1.h"
#include "smb/sess1.h"
#include "stats/stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a client without signing writes where the signature is, [MS-SMB] 3.2.4.1.2. */
static const uint8_t unsigned_mark[8] = "BSRSPYL ";

struct smb1 {
	struct mediate *m;
	bool is_signed;			/* the node signs: so may the client */
	struct caller by;		/* of the last logon */
	struct logon1s logons;
};

static struct smb1 *
smb1_state(struct mediate *m)
{
	if (m->smb1 == NULL && (m->smb1 = calloc(1, sizeof(*m->smb1))) != NULL) {
		m->smb1->m = m;
		logon1s_init(&m->smb1->logons);
	}
	return m->smb1;
}

size_t
smb1_size(const struct smb1 *s)
{
	return s == NULL ? 0 : logon1s_size(&s->logons);
}

void
smb1_free(struct smb1 **sp)
{
	if (*sp == NULL)
		return;
	logon1s_fini(&(*sp)->logons);
	free(*sp);
	*sp = NULL;
}

const struct caller *
smb1_caller(const struct smb1 *s)
{
	return &s->by;
}

static void
principal_told(struct logon1 *x, const char *principal)
{
	identity_principal(&x->seen, x->of->m->env->hash, principal);
	snprintf(x->by.user, sizeof(x->by.user), "%.*s", (int)sizeof(x->by.user) - 1, principal);
}

/* The logon is over, and it is known whose it was, as far as it can be. */
static void
smb1_logged_on(struct smb1 *s, struct logon1 *x)
{
	struct mediate *m = s->m;

	if (x->keyx != NULL && keyx_result(x->keyx)->state == KEYX_READY)
		principal_told(x, keyx_result(x->keyx)->principal);
	identity_take(&m->identity, &x->seen);
	s->by = x->by;
	audit_logon1(m, &x->by, x->guest);
	m->track.named = true;
	m->track.vc_reset |= x->zero;
	logon1_drop(&s->logons, x);
}

/* smbgate-keyd has answered. */
static void
smb1_ready_cb(void *arg)
{
	struct logon1 *x = arg;
	struct smb1 *s;

	MAGIC_CHECK(x, LOGON1_MAGIC);
	if (x->state != LOGON1_WHO)
		return;
	s = x->of;
	smb1_logged_on(s, x);
	mediate_wake_answer(s->m);
}

/* A Kerberos ticket hides its client; smbgate-keyd can tell who it is. */
static void
ask_who(struct logon1 *x, const struct sess1_req *r)
{
	const struct mediate *m = x->of->m;
	const struct token t = spnego_token(r->blob, r->blob_len);

	if (t.kind != TOKEN_AP_REQ || m->env->keyc == NULL)
		return;
	if (x->keyx == NULL)
		x->keyx = keyx_new(m->env->keyc, keyx_source(&m->self.client.addr), smb1_ready_cb,
		    x);
	if (x->keyx != NULL)
		keyx_ap_req(x->keyx, t.p, t.len);
}

static bool
nobody(const struct sess1_req *r)
{
	struct ntlm_auth a;
	struct token t;

	if (r->blob == NULL)
		return r->account_len == 0;
	t = spnego_token(r->blob, r->blob_len);
	return t.kind == TOKEN_NTLM_AUTHENTICATE && ntlm_auth_get(&a, t.p, t.len) == 0 &&
	    ntlm_anonymous(&a);
}

/* What a logon's request says: with extended security its token, without it the account. */
static enum mech
smb1_said(bool unicode, const struct sess1_req *r, unsigned words, struct token *t)
{
	struct ntlm_auth a;

	*t = (struct token){ .kind = TOKEN_UNREAD };
	if (words == 12) {
		if (r->blob != NULL)
			*t = spnego_token(r->blob, r->blob_len);
		return mech_said(MECH_UNREAD, t, mech_ntlm(t, &a), unicode);
	}
	/* A hash of the password, or the password itself. */
	t->kind = TOKEN_NTLM_AUTHENTICATE;
	return r->account_len > 0 ? MECH_NTLM_USER : MECH_NTLM;
}

/*
 * SMB1 has its own answers, which cannot be made here: what is refused ends the connection. x NULL:
 * memory is out.
 */
static struct decision
smb1_admit(struct mediate *m, struct logon1 *x, const struct sess1_req *r, unsigned words)
{
	struct token t;
	const enum mech mech = smb1_said(x != NULL && x->unicode, r, words, &t);
	const struct decision d = admission_token(&mediate_rules(m)->auth, &t, mech);

	if (d.act == DECIDE_PASS) {
		if (x != NULL)
			x->understood |= mech == MECH_KERBEROS || mech == MECH_NTLM_USER;
		return d;
	}
	stats_add(m->env->stats, d.counts[0], 1);
	return decide_close(d.counts[0] == STAT_ntlm_refused ? CLOSE_NTLM_REFUSED
	        : d.counts[0] == STAT_guests_refused         ? CLOSE_GUEST_REFUSED
	                                                     : CLOSE_LOGON_UNREAD);
}

/* A number that is this connection's and not 0. */
static uint16_t
own_number(const struct mediate *m)
{
	return (uint16_t)(m->self.conn_id % UINT16_MAX + 1);
}

/*
 * Is it signed, [MS-SMB] 3.2.4.1.2? FLAGS2 alone is a claim, and what is there while nobody signs
 * says nothing.
 */
static bool
carries_signature(const struct hdr1 *h)
{
	static const uint8_t nothing[8];

	return (h->flags2 & SMB1_FLAGS2_SIGNATURE) != 0 &&
	    memcmp(h->signature, nothing, sizeof(nothing)) != 0 &&
	    memcmp(h->signature, unsigned_mark, sizeof(unsigned_mark)) != 0;
}

/*
 * Where the node checks no signatures, all is free to be changed. Where it does, what carries one
 * is not; what does not is for the node to judge as it is judged directly.
 */
static bool
beyond_change(const struct smb1 *s, const struct hdr1 *h)
{
	return s->is_signed && carries_signature(h);
}

/* Who asks to be let in. x NULL: memory is out. */
static void
setup_noted(struct mediate *m, struct logon1 *x, const struct sess1_req *r)
{
	if (x == NULL)
		return;
	identity_sess1(&x->seen, m->env->hash, r);
	caller_sess1(&x->by, r);
	x->anonymous = nobody(r);
	x->zero |= r->vc_number == 0;
	if (r->blob != NULL)
		ask_who(x, r);
}

/*
 * VcNumber 0 must not reach the node, whatever else the message says: it acts on that before it
 * looks at who asks.
 */
static struct decision
setup_zero(struct mediate *m, const struct smb1 *s, const struct hdr1 *h, struct decision d)
{
	stats_add(m->env->stats, STAT_vc_zero, 1);
	if (m->env->policy->vcnumber == POL_VCNUMBER_PASS)
		return d;
	if (beyond_change(s, h)) {
		stats_add(m->env->stats, STAT_vc_signed, 1);
		return decide_close(CLOSE_SMB1_SIGNED);
	}
	d.act = DECIDE_CHANGE;
	d.vc_number = own_number(m);
	return d;
}

static struct decision
smb1_request(struct mediate *m, struct smb1 *s, struct chain1 *c)
{
	struct decision d = decide(DECIDE_PASS), admitted;
	bool chained = false;
	struct sess1_req r;
	struct logon1 *x;
	struct block1 b;
	int more;

	while ((more = chain1_next(c, &b)) == 1 && d.act != DECIDE_CLOSE) {
		if (raw1_asked(c->msg, c->len, &b) != 0) {
			stats_add(m->env->stats, STAT_smb1_raw, 1);
			if (beyond_change(s, &c->hdr))
				return decide_close(CLOSE_SMB1_SIGNED);
			d.act = DECIDE_CHANGE;
		}
		if (b.command != SMB1_COM_SESSION_SETUP_ANDX)
			continue;
		if (sess1_req_get(&r, c, &b) == -1)
			return decide_close(CLOSE_BAD_MESSAGE);
		x = logon1_asked(&s->logons, s, &c->hdr, chained);
		admitted = smb1_admit(m, x, &r, b.words);
		if (admitted.act != DECIDE_PASS)
			return admitted;
		setup_noted(m, x, &r);
		chained = true;
		if (r.vc_number == 0)
			d = setup_zero(m, s, &c->hdr, d);
	}
	return more == -1 ? decide_close(CLOSE_BAD_CHAIN) : d;
}

/* The node has let the client in. x NULL: nothing is known of the logon. */
static struct decision
setup_success(struct mediate *m, struct smb1 *s, struct logon1 *x, bool guest,
    const struct hdr1 *h)
{
	const struct session_info si = { .guest = guest };
	const struct decision d = admission_logon(&mediate_rules(m)->auth, &si,
	    x != NULL && x->understood ? MECH_NTLM_USER : MECH_UNREAD);

	if (d.act != DECIDE_PASS) {
		stats_add(m->env->stats, d.counts[0], 1);
		return d;
	}
	node_logon(m->node, true);
	m->track.logged_on = true;
	m->track.user |= x != NULL && !guest && !x->anonymous;
	s->is_signed |= carries_signature(h);
	if (x == NULL) {
		audit_logon1(m, NULL, guest);
		return d;
	}
	x->guest = guest;
	x->state = LOGON1_WHO;
	if (x->keyx != NULL)
		keyx_ask(x->keyx);
	if (x->keyx == NULL || keyx_result(x->keyx)->state != KEYX_ASKING)
		smb1_logged_on(s, x);
	return d;
}

/* What the node says to a logon's token. */
static void
setup_token(struct logon1 *x, const struct chain1 *c, const struct block1 *b)
{
	const uint8_t *blob;
	struct token t;
	size_t n;

	blob = sess1_resp_blob(c, b, &n);
	if (blob == NULL)
		return;
	t = spnego_token(blob, n);
	if (t.kind == TOKEN_NTLM_CHALLENGE)
		x->unicode = ntlm_challenge_unicode(t.p, t.len);
	if (t.kind == TOKEN_AP_REP && x->keyx != NULL)
		keyx_ap_rep(x->keyx, t.p, t.len);
}

/*
 * The answer to one SESSION_SETUP. Status is of the last command that the node has come to: where
 * another one follows, this one has succeeded, and the words say so. An error has none.
 */
static struct decision
setup_answer(struct mediate *m, struct smb1 *s, const struct chain1 *c, const struct block1 *b)
{
	const uint32_t status = c->end ? c->hdr.status : STATUS_SUCCESS;
	struct logon1 *x = logon1_answered(&s->logons, &c->hdr);

	if (x != NULL)
		setup_token(x, c, b);
	if (status == STATUS_MORE_PROCESSING_REQUIRED) {
		if (x != NULL)
			logon1_more(x, &c->hdr);
		return decide(DECIDE_PASS);
	}
	if (status == STATUS_SUCCESS && b->words >= SESS1_RESP_WORDS_MIN)
		return setup_success(m, s, x, sess1_resp_guest(c, b), &c->hdr);
	stats_add(m->env->stats, STAT_logon_failures, 1);
	audit_failed(m, x == NULL ? NULL : &x->by, 0, false, status);
	node_logon(m->node, false);
	if (x != NULL)
		logon1_drop(&s->logons, x);
	return decide(DECIDE_PASS);
}

/* What the node sends is not judged: where it cannot be followed, nothing is noted. */
static struct decision
smb1_answer(struct mediate *m, struct smb1 *s, struct chain1 *c)
{
	struct decision d = decide(DECIDE_PASS);
	struct block1 b;

	while (d.act == DECIDE_PASS && chain1_next(c, &b) == 1)
		if (b.command == SMB1_COM_SESSION_SETUP_ANDX)
			d = setup_answer(m, s, c, &b);
	if (d.act == DECIDE_PASS)
		logon1s_cut(&s->logons, &c->hdr);
	return d;
}

/*
 * The answer to an SMB1 NEGOTIATE. It is in no hash, and nobody validates it later: what could not
 * be followed is taken out of it.
 */
static struct decision
smb1_negotiated(struct mediate *m, struct chain1 *c)
{
	struct decision d = decide(DECIDE_PASS);
	struct track *t = &m->track;
	struct block1 b;

	track_answered(t, 0);
	t->negotiating = t->smb1_offered = false;
	/* The node knows none of the dialects. */
	if (!neg1_resp_good(c->msg, c->len))
		return d;
	if (mediate_rules(m)->smb1 == POL_SMB1_REFUSE)
		return decide_close(CLOSE_SMB1_REFUSED);
	t->smb1 = true;
	t->max_frame = NBSS_LEN_MAX;
	if (chain1_next(c, &b) == 1 && raw1_offered(c->msg, &b))
		d.act = DECIDE_CHANGE;
	return d;
}

struct decision
smb1_judge(struct mediate *m, enum dir dir, const uint8_t *msg, size_t len)
{
	struct smb1 *s = smb1_state(m);
	struct chain1 c;

	if (chain1_init(&c, msg, len) == -1)
		return decide_close(CLOSE_BAD_MESSAGE);
	if (s == NULL)
		return decide_close(CLOSE_NO_MEMORY);
	if (!m->track.smb1)
		return dir == S2C ? smb1_negotiated(m, &c) : decide_close(CLOSE_BAD_PROTOCOL);
	return dir == C2S ? smb1_request(m, s, &c) : smb1_answer(m, s, &c);
}
