/* smb1.c: a connection that speaks SMB1: its logons, and the VcNumber in them */
#include "config.h"

#include "inspect/smb1.h"

#include "auth/keyc.h"
#include "auth/spnego.h"
#include "base/magic.h"
#include "inspect/env.h"
#include "inspect/identity.h"
#include "policy/policy.h"
#include "smb/chain1.h"
#include "smb/const.h"
#include "smb/nbss.h"
#include "smb/sess1.h"
#include "stats/stats.h"

#include <stdlib.h>
#include <string.h>

/* What a client without signing writes where the signature is, [MS-SMB] 3.2.4.1.2. */
static const uint8_t unsigned_mark[8] = "BSRSPYL ";

#define SMB1_MAGIC 0x736d6231u

struct smb1 {
	MAGIC_MEMBER
	struct mediate *m;
	bool is_signed;			/* the node signs: so does the client */
	bool zero;			/* a logon under way said VcNumber 0 */
	bool succeeded;			/* it has; smbgate-keyd owes who it was */
	struct identity seen;		/* in the logon under way */
	struct keyx *keyx;		/* NULL: no Kerberos logon, or no keytab */
};

static struct smb1 *
smb1_state(struct mediate *m)
{
	if (m->smb1 == NULL && (m->smb1 = calloc(1, sizeof(*m->smb1))) != NULL) {
		MAGIC_SET(m->smb1, SMB1_MAGIC);
		m->smb1->m = m;
	}
	return m->smb1;
}

void
smb1_free(struct smb1 **sp)
{
	if (*sp == NULL)
		return;
	keyx_free(&(*sp)->keyx);
	MAGIC_CLEAR(*sp);
	free(*sp);
	*sp = NULL;
}

/* The logon is over, and it is known whose it was, as far as it can be. */
static void
smb1_logged_on(struct smb1 *s)
{
	struct mediate *m = s->m;

	if (s->keyx != NULL && keyx_result(s->keyx)->state == KEYX_READY)
		identity_principal(&s->seen, m->env->hash, keyx_result(s->keyx)->principal);
	keyx_free(&s->keyx);
	identity_take(&m->identity, &s->seen);
	s->seen = (struct identity){ 0 };
	s->succeeded = false;
	m->track.vc_reset |= s->zero;
	s->zero = false;
}

/* smbgate-keyd has answered. */
static void
smb1_ready_cb(void *arg)
{
	struct smb1 *s = arg;

	MAGIC_CHECK(s, SMB1_MAGIC);
	if (!s->succeeded)
		return;
	smb1_logged_on(s);
	mediate_wake(s->m);
}

/* A Kerberos ticket hides its client; smbgate-keyd can tell who it is. */
static void
ask_who(struct smb1 *s, const struct sess1_req *r)
{
	const struct token t = spnego_token(r->blob, r->blob_len);

	if (t.kind != TOKEN_AP_REQ || s->m->env->keyc == NULL)
		return;
	if (s->keyx == NULL)
		s->keyx = keyx_new(s->m->env->keyc, smb1_ready_cb, s);
	if (s->keyx != NULL)
		keyx_ap_req(s->keyx, t.p, t.len);
}

/* A number that is this connection's and not 0. */
static uint16_t
own_number(const struct mediate *m)
{
	return (uint16_t)(m->self.conn_id % UINT16_MAX + 1);
}

static struct decision
smb1_request(struct mediate *m, struct smb1 *s, struct chain1 *c)
{
	struct decision d = decide(DECIDE_PASS);
	struct sess1_req r;
	struct block1 b;
	int more;

	while ((more = chain1_next(c, &b)) == 1) {
		if (b.command != SMB1_COM_SESSION_SETUP_ANDX)
			continue;
		if (sess1_req_get(&r, c, &b) == -1)
			return decide_close(CLOSE_BAD_MESSAGE);
		identity_sess1(&s->seen, m->env->hash, &r);
		if (r.blob != NULL)
			ask_who(s, &r);
		if (r.vc_number != 0)
			continue;
		s->zero = true;
		stats_add(m->env->stats, STAT_vc_zero, 1);
		if (m->env->policy->vcnumber == POL_VCNUMBER_PASS)
			continue;
		/* Changed, it would end the connection: only its first logon is free to be. */
		if (s->is_signed) {
			stats_add(m->env->stats, STAT_vc_signed, 1);
			continue;
		}
		d.act = DECIDE_CHANGE;
		d.vc_number = own_number(m);
	}
	return more == -1 ? decide_close(CLOSE_BAD_CHAIN) : d;
}

/*
 * Has the node begun to sign, [MS-SMB] 3.3.5.3? Only its word counts: a client could claim a
 * signature to keep its VcNumber 0.
 */
static bool
node_signs(const struct hdr1 *h)
{
	static const uint8_t nothing[8];

	return (h->flags2 & SMB1_FLAGS2_SIGNATURE) != 0 &&
	    memcmp(h->signature, nothing, sizeof(nothing)) != 0 &&
	    memcmp(h->signature, unsigned_mark, sizeof(unsigned_mark)) != 0;
}

static struct decision
smb1_answer(struct mediate *m, struct smb1 *s, struct chain1 *c)
{
	bool setup = false;
	struct block1 b;
	struct token t;
	const uint8_t *blob;
	size_t n;

	/* What the node sends is not judged: where it cannot be followed, nothing is noted. */
	while (chain1_next(c, &b) == 1) {
		if (b.command != SMB1_COM_SESSION_SETUP_ANDX)
			continue;
		setup = true;
		blob = sess1_resp_blob(c, &b, &n);
		if (blob == NULL || s->keyx == NULL)
			continue;
		t = spnego_token(blob, n);
		if (t.kind == TOKEN_AP_REP)
			keyx_ap_rep(s->keyx, t.p, t.len);
	}
	if (!setup || c->hdr.status == STATUS_MORE_PROCESSING_REQUIRED)
		return decide(DECIDE_PASS);
	if (c->hdr.status != STATUS_SUCCESS) {
		stats_add(m->env->stats, STAT_logon_failures, 1);
		s->zero = false;
		s->seen = (struct identity){ 0 };
		keyx_free(&s->keyx);
		return decide(DECIDE_PASS);
	}
	m->track.logged_on = true;
	s->is_signed |= node_signs(&c->hdr);
	s->succeeded = s->keyx != NULL && keyx_result(s->keyx)->state == KEYX_ASKING;
	if (!s->succeeded)
		smb1_logged_on(s);
	return decide(DECIDE_PASS);
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
	if (!m->track.smb1) {
		/* The answer that chooses SMB1. */
		m->track.smb1 = true;
		m->track.max_frame = NBSS_LEN_MAX;
		return decide(DECIDE_PASS);
	}
	return dir == C2S ? smb1_request(m, s, &c) : smb1_answer(m, s, &c);
}
