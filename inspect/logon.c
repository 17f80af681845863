/* logon.c: the logons under way on one connection, watched for what their keys are made of */
#include "config.h"

#include "inspect/logon.h"

#include "auth/keyc.h"
#include "auth/ntlm.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/magic.h"
#include "inspect/logon_keys.h"
#include "inspect/track.h"
#include "smb/const.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 *	NEGOTIATE, its answer ──► hash of the connection ─┐ copied
 *	SESSION_SETUP request ──► hash of the logon ◄─────┘      token ──► smbgate-keyd
 *	  more processing     ──► hash of the logon              token ──► smbgate-keyd
 *	  ...
 *	  success             ── not hashed ── AP-REP ──► key ──► keys, which must have signed this
 */

/* Windows sends a long token in pieces of what fits a SESSION_SETUP, [MS-SPNG] 3.1.5.4. */
#define TOKEN_MAX 131072
/* Messages that wait to be hashed: many a logon ends without anybody asking for its hash. */
#define UNHASHED_MAX 8192

#define LOGON_MAGIC 0x6c6f676fu

struct logon {
	MAGIC_MEMBER
	LIST_ENTRY(logon) entry;
	struct logons *all;
	uint64_t message_id;		/* of the last request */
	uint64_t session_id;		/* 0: not known yet */
	bool binding;
	bool anonymous;
	bool answered;			/* the last answer's token has been taken */
	uint64_t waits_since_us;	/* the last answer has come, and not yet its key; 0 = no */
	const char *because;		/* there can be no key; NULL: there may */
	struct identity seen;
	struct preauth hash;
	struct buf unhashed;		/* messages for the hash, each behind its length */
	struct keyx *keyx;
	struct buf pieces;		/* of a token */
	bool whole;			/* they are all there */
};

void
logons_init(struct logons *l, struct keyc *keyc, struct crypt *crypt, void (*ready)(void *arg),
    void *arg)
{
	*l = (struct logons){ .keyc = keyc, .crypt = crypt, .ready = ready, .arg = arg };
}

static void
logon_drop(struct logon *x)
{
	LIST_REMOVE(x, entry);
	MAGIC_CLEAR(x);
	x->all->n--;
	keyx_free(&x->keyx);
	buf_fini(&x->unhashed);
	buf_fini(&x->pieces);
	free(x);
}

void
logons_fini(struct logons *l)
{
	struct logon *x;

	while ((x = LIST_FIRST(&l->list)) != NULL)
		logon_drop(x);
}

void
logons_negotiate(struct logons *l, const uint8_t *msg, size_t len)
{
	/* Without smbgate-keyd nobody asks what the hash is. */
	if (l->keyc != NULL && preauth_add(l->crypt, &l->hash, msg, len) == -1)
		l->broken = true;
}

static struct logon *
by_session(const struct logons *l, uint64_t session_id, bool binding)
{
	struct logon *x;

	LIST_FOREACH(x, &l->list, entry)
		if (session_id != 0 && x->session_id == session_id && x->binding == binding)
			return x;
	return NULL;
}

static struct logon *
by_message(const struct logons *l, uint64_t message_id)
{
	struct logon *x;

	LIST_FOREACH(x, &l->list, entry)
		if (x->message_id == message_id)
			return x;
	return NULL;
}

static void
logon_ready_cb(void *arg)
{
	struct logon *x = arg;

	MAGIC_CHECK(x, LOGON_MAGIC);
	x->all->ready(x->all->arg);
}

/* NULL when memory is out. */
static struct logon *
logon_begin(struct logons *l, const struct setup_msg *s)
{
	struct logon *x = calloc(1, sizeof(*x));

	if (x == NULL)
		return NULL;
	MAGIC_SET(x, LOGON_MAGIC);
	x->all = l;
	x->session_id = s->session_id;
	x->binding = s->binding;
	x->hash = l->hash;
	if (l->broken)
		x->because = "out of memory while the logon was watched";
	if (l->keyc != NULL)
		x->keyx = keyx_new(l->keyc, logon_ready_cb, x);
	if (l->keyc != NULL && x->keyx == NULL)
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
		if (preauth_add(x->all->crypt, &x->hash, p + sizeof(n), n) == -1)
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
	if (buf_len(&x->unhashed) + s->len <= UNHASHED_MAX)
		good = buf_add(&x->unhashed, &s->len, sizeof(s->len)) == 0 &&
		    buf_add(&x->unhashed, s->msg, s->len) == 0;
	else
		good = catch_up(x) == 0 &&
		    preauth_add(x->all->crypt, &x->hash, s->msg, s->len) == 0;
	if (!s->alone)
		x->because = "its SESSION_SETUP was part of a compound";
	else if (!good)
		x->because = "out of memory while the logon was watched";
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
		return (struct token){ .kind = TOKEN_NONE };
	if (buf_len(&x->pieces) + s->blob_len > TOKEN_MAX ||
	    buf_add(&x->pieces, s->blob, s->blob_len) == -1) {
		buf_fini(&x->pieces);
		x->because = "its token is too long";
		return (struct token){ .kind = TOKEN_NONE };
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
	struct ntlm_auth a;

	if (t->kind == TOKEN_NTLM_AUTHENTICATE)
		x->anonymous = ntlm_auth_get(&a, t->p, t->len) == 0 && ntlm_anonymous(&a);
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

	if (x->keyx == NULL)
		return;
	if (t.kind == TOKEN_AP_REP)
		keyx_ap_rep(x->keyx, t.p, t.len);
	else if (t.kind == TOKEN_NTLM_CHALLENGE)
		keyx_ntlm_challenge(x->keyx, t.p, t.len);
}

int
logons_request(struct logons *l, const struct setup_msg *s, struct token *t, enum close_reason *why)
{
	struct logon *x = by_session(l, s->session_id, s->binding);

	if (x == NULL) {
		if (l->n == LOGONS_MAX) {
			*why = CLOSE_PENDING_FULL;
			return -1;
		}
		x = logon_begin(l, s);
	}
	if (x == NULL) {
		*why = CLOSE_NO_MEMORY;
		return -1;
	}
	x->message_id = s->message_id;
	x->answered = false;
	logon_hash(x, s);
	*t = assemble(x, s);
	from_client(x, t);
	return 0;
}

struct identity *
logons_seen(struct logons *l, uint64_t message_id)
{
	struct logon *x = by_message(l, message_id);

	return x == NULL ? NULL : &x->seen;
}

void
logons_more(struct logons *l, const struct setup_msg *s)
{
	struct logon *x = by_message(l, s->message_id);

	if (x == NULL)
		return;
	x->session_id = s->session_id;
	logon_hash(x, s);
	from_node(x, s);
}

void
logons_drop(struct logons *l, uint64_t message_id)
{
	struct logon *x = by_message(l, message_id);

	if (x != NULL)
		logon_drop(x);
}

static void
logon_opaque(struct logon_end *e, const char *because)
{
	e->state = LOGON_OPAQUE;
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
	    ? logon_keys_bound(&f, x->all->crypt, s->msg, s->len, session, &e->signing)
	    : logon_keys(&f, x->all->crypt, s->msg, s->len, &e->keys, &e->signing);

	e->state = LOGON_KEYED;
	if (because != NULL)
		logon_opaque(e, because);
	else if (x->binding)
		e->keys = smbkeys_ref(session);
}

void
logons_success(struct logons *l, const struct setup_msg *s, const struct track *t,
    struct smbkeys *session, struct logon_end *e)
{
	struct logon *x = by_message(l, s->message_id);
	const struct keyx_result *r;

	*e = (struct logon_end){ .state = LOGON_OPAQUE };
	if (x == NULL) {
		logon_opaque(e, "its logon was not seen");
		return;
	}
	e->anonymous = x->anonymous;
	e->seen = x->seen;
	if (x->because != NULL || x->anonymous || x->keyx == NULL) {
		logon_opaque(e, x->because == NULL ? "" : x->because);
		logon_drop(x);
		return;
	}
	/* Shown again after a wait: the AP-REP must not be sent twice. */
	if (!x->answered) {
		x->answered = true;
		from_node(x, s);
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
		logon_opaque(e, "out of memory while the logon was watched");
	else if (r->state == KEYX_READY)
		logon_derive(x, r, s, t, session, e);
	else if (r->state == KEYX_FAILED)
		logon_opaque(e, r->why);
	else
		logon_opaque(e, "neither Kerberos nor NTLM was seen");
	logon_drop(x);
}
