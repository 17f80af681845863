/* logon.c: the logons under way on one connection, watched for what their keys are made of */
#include "config.h"

#include "inspect/logon.h"

#include "auth/keyx.h"
#include "auth/ntlm.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/magic.h"
#include "inspect/logon_keys.h"
#include "inspect/logon_priv.h"
#include "inspect/track.h"
#include "smb/const.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 *	NEGOTIATE, its answer ──► hash of the connection ─┐ copied
 *	SESSION_SETUP request ──► hash of the logon ◄─────┘      token ─┐
 *	  more processing     ──► hash of the logon              token ─┤
 *	  ...                                                           ▼
 *	  success             ── not hashed ── AP-REP ──────────► smbgate-keyd
 *	                                     keys, which must have signed this ◄── key
 */

/* Windows sends a long token in pieces of what fits a SESSION_SETUP, [MS-SPNG] 3.1.5.4. */
#define TOKEN_MAX 131072
/* Messages that wait to be hashed: many a logon ends without anybody asking for its hash. */
#define UNHASHED_MAX 8192
/* The same, and tokens in pieces, of all logons of a connection: the longest one fits. */
#define ALL_UNHASHED_MAX 65536
#define ALL_BYTES_MAX (TOKEN_MAX + ALL_UNHASHED_MAX)

void
logons_init(struct logons *l, const struct logon_env *env, void *arg)
{
	*l = (struct logons){ .env = env, .arg = arg };
}

void
logons_fini(struct logons *l)
{
	struct logon *x;

	while ((x = LIST_FIRST(&l->list)) != NULL)
		logon_drop(x);
	free(l->forgotten);
	l->forgotten = NULL;
}

size_t
logons_size(const struct logons *l)
{
	const struct logon *x;
	size_t n = 0;

	if (l->forgotten != NULL)
		n = sizeof(*l->forgotten) + l->forgotten->n * sizeof(l->forgotten->session_id[0]);
	LIST_FOREACH(x, &l->list, entry) {
		n += sizeof(*x) + buf_size(&x->unhashed) + buf_size(&x->pieces);
		if (x->keyx != NULL)
			n += keyx_size(x->keyx);
	}
	return n;
}

void
logons_negotiate(struct logons *l, const uint8_t *msg, size_t len)
{
	l->hash = (struct preauth){ 0 };
	logons_negotiated(l, msg, len);
}

void
logons_negotiated(struct logons *l, const uint8_t *msg, size_t len)
{
	/* Without smbgate-keyd nobody asks what the hash is. */
	if (l->env->keyc != NULL && preauth_add(l->env->crypt, &l->hash, msg, len) == -1)
		l->broken = true;
}

static void
logon_ready_cb(void *arg)
{
	struct logon *x = arg;

	MAGIC_CHECK(x, LOGON_MAGIC);
	x->all->env->ready(x->all->arg);
}

/* NULL when memory is out. */
static struct logon *
logon_begin(struct logons *l, const struct setup_msg *s)
{
	struct logon *x;

	while (l->n >= LOGONS_MAX && (x = logon_oldest(l, false)) != NULL)
		logon_forget(x);
	x = calloc(1, sizeof(*x));
	if (x == NULL)
		return NULL;
	MAGIC_SET(x, LOGON_MAGIC);
	x->all = l;
	x->session_id = s->session_id;
	x->binding = s->binding;
	x->again = s->again;
	x->lost = s->session_id != 0 && ((!s->binding && !s->again) ||
	    logons_forgotten(l, s->session_id) ||
	    logon_by_session(l, s->session_id, !s->binding) != NULL);
	x->hash = l->hash;
	if (l->broken)
		x->because = "out of memory while the logon was watched";
	if (l->env->keyc != NULL && !s->again)
		x->keyx = keyx_new(l->env->keyc, s->source, logon_ready_cb, x);
	if (l->env->keyc != NULL && !s->again && x->keyx == NULL)
		x->because = "out of memory while the logon was watched";
	LIST_INSERT_HEAD(&l->list, x, entry);
	l->n++;
	return x;
}

/* Hashes what waits for it. -1 when memory is out. */
static int
catch_up(struct logon *x)
{
	while (buf_len(&x->unhashed) > 0) {
		const uint8_t *p = buf_head(&x->unhashed);
		size_t n;

		memcpy(&n, p, sizeof(n));
		if (preauth_add(x->all->env->crypt, &x->hash, p + sizeof(n), n) == -1)
			return -1;
		buf_drain(&x->unhashed, sizeof(n) + n);
	}
	return 0;
}

static void
logon_hash(struct logon *x, const struct setup_msg *s)
{
	bool good;

	if (x->keyx == NULL)
		return;
	if (buf_len(&x->unhashed) + s->len <= UNHASHED_MAX &&
	    x->all->bytes + s->len <= ALL_UNHASHED_MAX)
		good = buf_add(&x->unhashed, &s->len, sizeof(s->len)) == 0 &&
		    buf_add(&x->unhashed, s->msg, s->len) == 0;
	else
		good = catch_up(x) == 0 &&
		    preauth_add(x->all->env->crypt, &x->hash, s->msg, s->len) == 0;
	if (!s->alone)
		x->because = "its SESSION_SETUP was part of a compound";
	else if (!good)
		x->because = "out of memory while the logon was watched";
	logon_account(x);
}

/* Room for one more piece of a token: others that never came to an end make it. */
static bool
make_room(struct logon *x, size_t n)
{
	struct logon *y;

	logon_account(x);
	while (x->all->bytes + n > ALL_BYTES_MAX && (y = logon_oldest(x->all, true)) != NULL &&
	    y != x)
		logon_forget(y);
	return buf_len(&x->pieces) + n <= TOKEN_MAX;
}

/* The token of a security buffer, which may be the last piece of several. */
static struct token
assemble(struct logon *x, const struct setup_msg *s)
{
	size_t whole = spnego_len(s->blob, s->blob_len);

	if (x->whole)
		buf_fini(&x->pieces);
	x->whole = false;
	if (buf_len(&x->pieces) == 0 && whole <= s->blob_len)
		return spnego_token(s->blob, s->blob_len);
	if (buf_len(&x->pieces) == 0 && whole > TOKEN_MAX)
		return (struct token){ .kind = TOKEN_UNREAD };
	if (!make_room(x, s->blob_len) ||
	    buf_add(&x->pieces, s->blob, s->blob_len) == -1) {
		buf_fini(&x->pieces);
		x->because = "its token is too long";
		return (struct token){ .kind = TOKEN_UNREAD };
	}
	whole = spnego_len(buf_head(&x->pieces), buf_len(&x->pieces));
	if (whole > buf_len(&x->pieces))
		return (struct token){ .kind = TOKEN_NONE };
	x->whole = true;
	return spnego_token(buf_head(&x->pieces), buf_len(&x->pieces));
}

static void
from_client(struct logon *x, const struct token *t)
{
	struct ntlm_auth room;
	const struct ntlm_auth *a = mech_ntlm(t, &room);

	x->mech = mech_said(x->mech, t, a, x->unicode);
	caller_token(&x->by, t, a);
	if (t->kind == TOKEN_NTLM_AUTHENTICATE)
		x->anonymous = a != NULL && ntlm_anonymous(a);
	if (x->keyx == NULL || x->anonymous)
		return;
	/* A client's AP-REP, the third leg of DCE style, carries no key. */
	if (t->kind == TOKEN_AP_REQ)
		keyx_ap_req(x->keyx, t->p, t->len);
	else if (t->kind == TOKEN_NTLM_AUTHENTICATE)
		keyx_ntlm_auth(x->keyx, t->p, t->len);
}

static void
from_node(struct logon *x, const struct setup_msg *s)
{
	const struct token t = spnego_token(s->blob, s->blob_len);

	if (t.kind == TOKEN_NTLM_CHALLENGE) {
		x->mech = MECH_NTLM;
		x->unicode = ntlm_challenge_unicode(t.p, t.len);
	}
	if (x->keyx == NULL)
		return;
	if (t.kind == TOKEN_AP_REP)
		keyx_ap_rep(x->keyx, t.p, t.len);
	else if (t.kind == TOKEN_NTLM_CHALLENGE)
		keyx_ntlm_challenge(x->keyx, t.p, t.len);
}

int
logons_request(struct logons *l, const struct setup_msg *s, struct logon_heard *h)
{
	struct logon *x = logon_by_session(l, s->session_id, s->binding);

	if (x != NULL) {
		x->begun = true;
	} else {
		x = logon_begin(l, s);
		if (x == NULL)
			return -1;
		if (s->session_id != 0 && !s->binding)
			x->because = "its logon was not seen from its beginning";
	}
	logon_heard(x);
	x->message_id = s->message_id;
	x->asked = true;
	x->answered = false;
	logon_hash(x, s);
	h->token = assemble(x, s);
	logon_account(x);
	from_client(x, &h->token);
	if (x->lost) {
		h->token = (struct token){ .kind = TOKEN_UNREAD };
		x->mech = mech_said(x->mech, &h->token, NULL, false);
	}
	h->mech = x->mech;
	h->seen = x->anonymous ? NULL : &x->seen;
	return 0;
}

void
logons_more(struct logons *l, const struct setup_msg *s)
{
	struct logon *x = logon_by_message(l, s->message_id);

	if (x == NULL)
		return;
	x->asked = false;
	x->session_id = s->session_id;
	logon_heard(x);
	logon_hash(x, s);
	from_node(x, s);
}

static void
logon_opaque(struct logon_end *e, enum nokey_cause cause, const char *because)
{
	e->state = LOGON_OPAQUE;
	e->cause = cause;
	snprintf(e->because, sizeof(e->because), "%.*s", SESSION_TEXT_MAX - 1, because);
}

static void
logon_derive(const struct logon *x, const struct keyx_result *r, const struct setup_msg *s,
    const struct track *t, struct smbkeys *session, struct logon_end *e)
{
	const struct logon_facts f = {
		.dialect = t->dialect,
		.cipher = t->cipher,
		.signing = t->signing,
		.key = r->key,
		.key_len = r->key_len,
		.preauth = t->dialect >= SMB2_DIALECT_311 ? &x->hash : NULL,
	};
	const char *because = x->binding
	    ? logon_keys_bound(&f, x->all->env->crypt, s->msg, s->len, session, &e->signing)
	    : logon_keys(&f, x->all->env->crypt, s->msg, s->len, &e->keys, &e->signing);

	e->state = LOGON_KEYED;
	if (because != NULL)
		logon_opaque(e,
		    x->binding && session == NULL ? NOKEY_other : NOKEY_wrong_key, because);
	else if (x->binding)
		e->keys = smbkeys_ref(session);
}

void
logons_success(struct logons *l, const struct setup_msg *s, const struct track *t,
    struct smbkeys *session, struct logon_end *e)
{
	struct logon *x = logon_by_message(l, s->message_id);
	const struct keyx_result *r;

	*e = (struct logon_end){ .state = LOGON_OPAQUE };
	if (x == NULL) {
		logon_opaque(e, NOKEY_other, "its logon was not seen");
		return;
	}
	e->anonymous = x->anonymous;
	e->seen = x->seen;
	e->by = x->by;
	if (x->because != NULL || x->anonymous || s->keyless || x->keyx == NULL) {
		/* Without a keytab there is nobody to ask. */
		logon_opaque(e, x->all->env->keyc == NULL ? NOKEY_no_keytab : NOKEY_other,
		    x->because == NULL ? "" : x->because);
		logon_drop(x);
		return;
	}
	/* Shown again after a wait: the AP-REP must not be sent twice. */
	if (!x->answered) {
		x->answered = true;
		from_node(x, s);
		keyx_ask(x->keyx);
	}
	r = keyx_result(x->keyx);
	if (r->state == KEYX_ASKING && s->alone) {
		e->state = LOGON_WAIT;
		if (x->waits_since_us == 0)
			x->waits_since_us = clock_us();
		return;
	}
	if (x->waits_since_us != 0)
		e->waited_us = clock_us() - x->waits_since_us;
	snprintf(e->principal, sizeof(e->principal), "%.*s", SESSION_TEXT_MAX - 1, r->principal);
	if (r->state == KEYX_READY && t->dialect >= SMB2_DIALECT_311 && catch_up(x) == -1)
		logon_opaque(e, NOKEY_other, "out of memory while the logon was watched");
	else if (r->state == KEYX_READY && r->key_len == 0)
		logon_opaque(e, NOKEY_other, "the node sent no AP-REP, which the client wanted");
	else if (r->state == KEYX_READY)
		logon_derive(x, r, s, t, session, e);
	else if (r->state == KEYX_FAILED)
		logon_opaque(e, r->why.cause, r->why.text);
	else
		logon_opaque(e, NOKEY_mechanism, "neither Kerberos nor NTLM was seen");
	logon_drop(x);
}
