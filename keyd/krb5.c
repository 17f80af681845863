/* krb5.c: libkrb5, and what it makes of AP-REQ and AP-REP messages */
#include "config.h"

#include "keyd/krb5.h"

#include "base/keytab.h"
#include "keyd/apreq.h"
#include "keyd/authent.h"
#include "keyd/rules.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <krb5.h>
#include <openssl/crypto.h>
#include <profile.h>

struct kerb {
	profile_t profile;
	krb5_context ctx;
};

/* What the keytab has, for the reason why a ticket cannot be opened. */
#define ENCTYPES_MAX 32

/*
 * What tickets are for is an account or a service. So users' keys, of which there may be thousands
 * for NTLM, come last, and no more of them: each that does not open a ticket takes as long as one
 * that does, and all other logons wait.
 */
#define USERS_MAX 64

struct kerb_key {
	krb5_enctype enctype;
	const uint8_t *p;		/* the keytab's */
	size_t n;
};

/* Without those that are there twice: each name of a host has the same ones. */
struct kerb_keys {
	struct kerb_key *key;
	size_t n, room;
	struct kerb_key user[USERS_MAX];
	size_t nusers;
	uint32_t enctypes;		/* bit n: there is a key of enctype n */
	uint32_t newest[ENCTYPES_MAX], oldest[ENCTYPES_MAX];	/* kvno, by enctype */
};

struct kerb_ap {
	struct kerb *k;
	krb5_keyblock *session;		/* the ticket's key */
	uint64_t digest;
	bool withheld;			/* the key, until the AP-REP shows that the node agreed */
	int64_t ctime;			/* of the authenticator: the AP-REP repeats it */
	uint32_t cusec;
	struct keyd_answer answer;	/* as it is without the AP-REP */
};

/*
 * The configuration. That of the machine is not looked at, and cannot be: there are no files in the
 * sandbox. libkrb5 does no more here than read tickets and decrypt: whether they are in time, and
 * which realms they came through, is for the node to decide; smbgate gives nobody access.
 */
static const struct {
	const char *name, *value;
} settings[] = {
	{ "permitted_enctypes", "aes256-cts-hmac-sha384-192 aes128-cts-hmac-sha256-128 "
	    "aes256-cts-hmac-sha1-96 aes128-cts-hmac-sha1-96 rc4-hmac" },
	{ "allow_rc4", "true" },
	{ "dns_lookup_kdc", "false" },
	{ "dns_lookup_realm", "false" },
	{ "dns_canonicalize_hostname", "false" },
	{ "rdns", "false" },
	{ "default_realm", "SMBGATE.INVALID" },
	{ "default_rcache_name", "none:" },
};

static long
profile_get_cb(void *arg, const char *const *names, char ***values)
{
	char **list = NULL;

	(void)arg;
	if (names[0] == NULL || strcmp(names[0], "libdefaults") != 0)
		return PROF_NO_SECTION;
	if (names[1] == NULL || names[2] != NULL)
		return PROF_NO_RELATION;
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		if (strcmp(settings[i].name, names[1]) != 0)
			continue;
		list = calloc(2, sizeof(*list));
		if (list != NULL && (list[0] = strdup(settings[i].value)) != NULL) {
			*values = list;
			return 0;
		}
		free(list);
		return ENOMEM;
	}
	return PROF_NO_RELATION;
}

static void
profile_free_cb(void *arg, char **values)
{
	(void)arg;
	for (size_t i = 0; values != NULL && values[i] != NULL; i++)
		free(values[i]);
	free(values);
}

static void
explain(struct kerb *k, krb5_error_code e, enum nokey_cause cause, const char *what,
    struct nokey *why)
{
	const char *text = krb5_get_error_message(k->ctx, e);

	nokey_say(why, cause, "%s: %s", what, text);
	krb5_free_error_message(k->ctx, text);
}

struct kerb *
kerb_new(char why[KEYD_WHY])
{
	struct profile_vtable vt = {
		.minor_ver = 1,
		.get_values = profile_get_cb,
		.free_values = profile_free_cb,
	};
	struct kerb *k = calloc(1, sizeof(*k));

	if (k != NULL && profile_init_vtable(&vt, NULL, &k->profile) == 0 &&
	    krb5_init_context_profile(k->profile, 0, &k->ctx) == 0)
		return k;
	snprintf(why, KEYD_WHY, "libkrb5 cannot be set up");
	kerb_free(&k);
	return NULL;
}

void
kerb_free(struct kerb **k)
{
	if (*k != NULL) {
		if ((*k)->ctx != NULL)
			krb5_free_context((*k)->ctx);
		if ((*k)->profile != NULL)
			profile_release((*k)->profile);
		free(*k);
	}
	*k = NULL;
}

struct kerb_keys *
kerb_keys_new(void)
{
	return calloc(1, sizeof(struct kerb_keys));
}

void
kerb_keys_free(struct kerb_keys **keys)
{
	if (*keys != NULL)
		free((*keys)->key);
	free(*keys);
	*keys = NULL;
}

static void
note_kvno(struct kerb_keys *keys, const struct keytab_entry *e)
{
	uint32_t bit, *newest, *oldest;

	if (e->enctype >= ENCTYPES_MAX)
		return;
	bit = 1u << e->enctype;
	newest = &keys->newest[e->enctype];
	oldest = &keys->oldest[e->enctype];
	if ((keys->enctypes & bit) == 0 || e->kvno > *newest)
		*newest = e->kvno;
	if ((keys->enctypes & bit) == 0 || e->kvno < *oldest)
		*oldest = e->kvno;
	keys->enctypes |= bit;
}

/* The library only reads what it is given here; its types do not say so. */
static krb5_data
as_data(const void *p, size_t n)
{
	union { const void *in; char *out; } u = { .in = p };

	return (krb5_data){ .magic = KV5M_DATA, .length = (unsigned)n, .data = u.out };
}

/* Accounts of machines end in a "$". */
static bool
of_user(const struct keytab_entry *e)
{
	const struct keytab_text *name = &e->component[0];

	return e->ncomponents == 1 && (name->n == 0 || name->p[name->n - 1] != '$');
}

static bool
has_key(const struct kerb_key *all, size_t n, const struct kerb_key *k)
{
	for (size_t i = 0; i < n; i++)
		if (all[i].enctype == k->enctype && all[i].n == k->n &&
		    memcmp(all[i].p, k->p, k->n) == 0)
			return true;
	return false;
}

int
kerb_keys_add(struct kerb_keys *keys, const struct keytab_entry *e, struct nokey *why)
{
	const struct kerb_key k = { e->enctype, e->key, e->key_len };

	note_kvno(keys, e);
	if (of_user(e)) {
		if (keys->nusers < USERS_MAX && !has_key(keys->user, keys->nusers, &k))
			keys->user[keys->nusers++] = k;
		return 0;
	}
	if (has_key(keys->key, keys->n, &k))
		return 0;
	if (keys->n == keys->room) {
		size_t room = keys->room == 0 ? 64 : 2 * keys->room;
		struct kerb_key *more = realloc(keys->key, room * sizeof(*more));

		if (more == NULL) {
			nokey_say(why, NOKEY_no_keytab, "keytab: out of memory");
			return -1;
		}
		keys->key = more;
		keys->room = room;
	}
	keys->key[keys->n++] = k;
	return 0;
}

/* What an operator has to do something about. */
static void
explain_no_key(const struct kerb_keys *keys, const struct apreq *req, krb5_error_code err,
    struct nokey *why)
{
	char name[32], kvno[24] = "no kvno", lack[64];
	uint32_t e = req->enctype;
	size_t n;

	if (req->has_kvno)
		snprintf(kvno, sizeof(kvno), "kvno %u", req->kvno);
	if (e >= ENCTYPES_MAX || (keys->enctypes & 1u << e) == 0)
		snprintf(lack, sizeof(lack), "it has none of that kind");
	else if (req->has_kvno && (req->kvno < keys->oldest[e] || req->kvno > keys->newest[e]))
		snprintf(lack, sizeof(lack), "it has kvno %u to %u", keys->oldest[e],
		    keys->newest[e]);
	else
		snprintf(lack, sizeof(lack), "its key is another one");
	nokey_say(why, NOKEY_no_key_for_ticket, "keytab: no %s key, %s, for %s: %s",
	    keytab_enctype_str(e, name), kvno, req->server, lack);
	n = strlen(why->text);
	if (n < sizeof(why->text) - 24)
		snprintf(why->text + n, sizeof(why->text) - n, " (krb5 error %ld)", (long)err);
}

/* The subkey that a message brought, or the ticket's session key. */
static int
take_key(struct keyd_answer *a, const struct authent *m, const krb5_keyblock *session,
    struct nokey *why)
{
	const uint8_t *p = m->subkey != NULL ? m->subkey : session->contents;
	size_t n = m->subkey != NULL ? m->subkey_len : session->length;

	if (n == 0 || n > sizeof(a->key)) {
		nokey_say(why, NOKEY_other, "Kerberos: no key of a possible length");
		return -1;
	}
	memcpy(a->key, p, n);
	a->key_len = n;
	return 0;
}

static int
get_principal(struct kerb *k, const struct authent_ticket *t, struct keyd_answer *a,
    struct nokey *why)
{
	krb5_data parts[AUTHENT_COMPONENTS_MAX];
	const krb5_principal_data client = {
		.magic = KV5M_PRINCIPAL,
		.realm = as_data(t->realm.p, t->realm.n),
		.data = parts,
		.length = (krb5_int32)t->ncomponents,
	};
	char *name = NULL;
	krb5_error_code e;

	for (size_t i = 0; i < t->ncomponents; i++)
		parts[i] = as_data(t->component[i].p, t->component[i].n);
	e = krb5_unparse_name(k->ctx, &client, &name);
	if (e != 0) {
		explain(k, e, NOKEY_other, "Kerberos: the client's name", why);
		return -1;
	}
	if (strlen(name) >= sizeof(a->principal)) {
		nokey_say(why, NOKEY_other, "Kerberos: a client's name of %zu bytes",
		    strlen(name));
		krb5_free_unparsed_name(k->ctx, name);
		return -1;
	}
	snprintf(a->principal, sizeof(a->principal), "%s", name);
	krb5_free_unparsed_name(k->ctx, name);
	return 0;
}

/* *n bytes; the caller wipes and frees them. NULL: why is set. */
static uint8_t *
decrypt(struct kerb *k, const krb5_keyblock *key, krb5_keyusage usage, const struct apreq_enc *enc,
    size_t *n, struct nokey *why)
{
	krb5_enc_data in = {
		.magic = KV5M_ENC_DATA,
		.enctype = (krb5_enctype)enc->enctype,
		.ciphertext = as_data(enc->p, enc->n),
	};
	krb5_data out = { .magic = KV5M_DATA, .length = (unsigned)enc->n };
	krb5_error_code e = ENOMEM;

	out.data = malloc(enc->n + 1);
	if (out.data != NULL)
		e = krb5_c_decrypt(k->ctx, key, usage, NULL, &in, &out);
	if (e != 0) {
		if (usage == KRB5_KEYUSAGE_AP_REQ_AUTH)
			explain(k, e, NOKEY_no_key_for_ticket, "Kerberos: AP-REQ", why);
		else
			explain(k, e, NOKEY_other, "Kerberos: AP-REP", why);
		if (out.data != NULL)
			OPENSSL_cleanse(out.data, enc->n);
		free(out.data);
		return NULL;
	}
	*n = out.length;
	return (uint8_t *)out.data;
}

/* What tells this logon from all others. */
static uint64_t
digest_of(const struct rules *rules, const krb5_keyblock *session, const uint8_t *authenticator,
    size_t n)
{
	return seen_digest(&rules->seen, session->contents, session->length, authenticator, n);
}

/* Is there to be an answer, now that it is known whose logon it is, and how old? */
static enum kerb_result
ap_authenticated(struct rules *rules, const struct apreq *req, const struct authent *m,
    struct kerb_ap *ap, struct nokey *why)
{
	struct keyd_answer *a = &ap->answer;

	if (take_key(a, m, ap->session, why) == -1 ||
	    rules_fresh(rules, m->ctime, a->principal, why) == -1)
		return KERB_BAD;
	ap->ctime = m->ctime;
	ap->cusec = m->cusec;
	/* Servers go by the flags of GSS-API; without them by ap-options, which nobody protects. */
	ap->withheld = m->has_flags && (m->flags & AUTHENT_GSS_MUTUAL) != 0;
	a->mutual = ap->withheld || req->mutual;
	if (ap->withheld)
		return rules_unseen(rules, ap->digest, a->principal, why) == 0 ? KERB_OPENED :
		    KERB_BAD;
	return rules_once(rules, ap->digest, a->principal, why) == 0 ? KERB_OPENED : KERB_BAD;
}

/* Of a ticket that is open: who logs on, and by which key. */
static int
ap_ticket(struct kerb *k, const uint8_t *plain, size_t n, struct kerb_ap *ap, struct nokey *why)
{
	struct authent_ticket t;
	krb5_keyblock session = { .magic = KV5M_KEYBLOCK };

	if (authent_ticket_get(&t, plain, n) == -1) {
		nokey_say(why, NOKEY_no_key_for_ticket,
		    "Kerberos: AP-REQ: its ticket cannot be read");
		return -1;
	}
	if (get_principal(k, &t, &ap->answer, why) == -1)
		return -1;
	session.enctype = (krb5_enctype)t.enctype;
	session.length = (unsigned)t.key_len;
	session.contents = (krb5_octet *)as_data(t.key, t.key_len).data;
	if (krb5_copy_keyblock(k->ctx, &session, &ap->session) == 0)
		return 0;
	nokey_say(why, NOKEY_other, "out of memory");
	return -1;
}

static enum kerb_result
ap_authenticator(struct kerb *k, struct rules *rules, const struct apreq *req, struct kerb_ap *ap,
    struct nokey *why)
{
	enum kerb_result r = KERB_BAD;
	struct authent m;
	size_t n;
	uint8_t *plain = decrypt(k, ap->session, KRB5_KEYUSAGE_AP_REQ_AUTH, &req->authenticator, &n,
	    why);

	if (plain == NULL)
		return KERB_BAD;
	ap->digest = digest_of(rules, ap->session, plain, n);
	if (authent_get(&m, plain, n) == 0)
		r = ap_authenticated(rules, req, &m, ap, why);
	else
		nokey_say(why, NOKEY_no_key_for_ticket,
		    "Kerberos: AP-REQ: its authenticator cannot be read");
	OPENSSL_cleanse(plain, n);
	free(plain);
	return r;
}

/* By one of these. NULL: why says the reason, where one was tried: then *e is another one. */
static uint8_t *
open_ticket_by(struct kerb *k, const struct kerb_key *all, size_t nkeys, const struct apreq *req,
    size_t *n, krb5_error_code *e, struct nokey *why)
{
	uint8_t *plain = NULL;

	for (size_t i = 0; plain == NULL && i < nkeys; i++) {
		const krb5_keyblock key = {
			.magic = KV5M_KEYBLOCK,
			.enctype = all[i].enctype,
			.length = (unsigned)all[i].n,
			.contents = (krb5_octet *)as_data(all[i].p, all[i].n).data,
		};

		if ((uint32_t)key.enctype != req->enctype)
			continue;
		plain = decrypt(k, &key, KRB5_KEYUSAGE_KDC_REP_TICKET, &req->ticket, n, why);
		*e = KRB5KRB_AP_ERR_BAD_INTEGRITY;
	}
	return plain;
}

/*
 * By the key that opens it, whatever its number says. libkrb5 would refuse tickets whose path
 * through realms it does not know, which is for the node to judge. NULL: why says the reason.
 */
static uint8_t *
open_ticket(struct kerb *k, const struct kerb_keys *keys, const struct apreq *req, size_t *n,
    struct nokey *why)
{
	krb5_error_code e = KRB5_KT_NOTFOUND;
	uint8_t *plain = open_ticket_by(k, keys->key, keys->n, req, n, &e, why);

	if (plain == NULL)
		plain = open_ticket_by(k, keys->user, keys->nusers, req, n, &e, why);
	if (plain == NULL)
		explain_no_key(keys, req, e, why);
	return plain;
}

static enum kerb_result
ap_open(struct kerb *k, const struct kerb_keys *keys, struct rules *rules, const struct apreq *req,
    struct kerb_ap *ap, struct nokey *why)
{
	size_t n;
	uint8_t *plain = open_ticket(k, keys, req, &n, why);
	int r;

	if (plain == NULL)
		return KERB_NO_KEY;
	r = ap_ticket(k, plain, n, ap, why);
	OPENSSL_cleanse(plain, n);
	free(plain);
	return r == -1 ? KERB_BAD : ap_authenticator(k, rules, req, ap, why);
}

enum kerb_result
kerb_ap_req(struct kerb *k, struct kerb_keys *keys, struct rules *rules, const uint8_t *p,
    size_t n, struct keyd_answer *a, struct kerb_ap **ap, struct nokey *why)
{
	enum kerb_result r;
	struct apreq req;

	*ap = NULL;
	if (apreq_get(&req, p, n) == -1) {
		nokey_say(why, NOKEY_other, "Kerberos: not an AP-REQ");
		return KERB_BAD;
	}
	if (rules_service(rules, req.server, why) == -1)
		return KERB_BAD;
	*ap = calloc(1, sizeof(**ap));
	if (*ap == NULL) {
		nokey_say(why, NOKEY_other, "out of memory");
		return KERB_BAD;
	}
	(*ap)->k = k;
	r = ap_open(k, keys, rules, &req, *ap, why);
	if (r == KERB_OPENED) {
		*a = (*ap)->answer;
		if ((*ap)->withheld) {
			OPENSSL_cleanse(a->key, sizeof(a->key));
			a->key_len = 0;
		}
	}
	if (r != KERB_OPENED || !a->mutual)
		kerb_ap_free(ap);
	return r;
}

/* The node's answer to the authenticator of ap: it goes first, where it brings a key. */
static int
reply_key(const struct kerb_ap *ap, const uint8_t *plain, size_t n, struct keyd_answer *a,
    struct nokey *why)
{
	struct authent m;

	if (authent_reply_get(&m, plain, n) == -1 || m.ctime != ap->ctime || m.cusec != ap->cusec) {
		nokey_say(why, NOKEY_other, "Kerberos: AP-REP: it answers another AP-REQ");
		return -1;
	}
	*a = ap->answer;
	a->mutual = false;
	return m.subkey == NULL ? 0 : take_key(a, &m, ap->session, why);
}

int
kerb_ap_rep(struct kerb_ap *ap, struct rules *rules, const uint8_t *p, size_t n,
    struct keyd_answer *a, struct nokey *why)
{
	struct apreq_enc enc;
	uint8_t *plain;
	int r;

	*a = (struct keyd_answer){ .mutual = false };
	if (aprep_get(&enc, p, n) == -1) {
		nokey_say(why, NOKEY_other, "Kerberos: AP-REP: it cannot be read");
		return -1;
	}
	plain = decrypt(ap->k, ap->session, KRB5_KEYUSAGE_AP_REP_ENCPART, &enc, &n, why);
	if (plain == NULL)
		return -1;
	r = reply_key(ap, plain, n, a, why);
	OPENSSL_cleanse(plain, n);
	free(plain);
	if (r == 0 && ap->withheld)
		r = rules_once(rules, ap->digest, a->principal, why);
	return r;
}

bool
kerb_ap_withheld(const struct kerb_ap *ap)
{
	return ap->withheld;
}

const char *
kerb_ap_principal(const struct kerb_ap *ap)
{
	return ap->answer.principal;
}

void
kerb_ap_free(struct kerb_ap **ap)
{
	if (*ap != NULL) {
		if ((*ap)->session != NULL)
			krb5_free_keyblock((*ap)->k->ctx, (*ap)->session);
		OPENSSL_cleanse(*ap, sizeof(**ap));
		free(*ap);
	}
	*ap = NULL;
}
