/* krb5.c: libkrb5, and what it makes of AP-REQ and AP-REP messages */
#include "config.h"

#include "keyd/krb5.h"

#include "keyd/apreq.h"
#include "keyd/keytab.h"

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
	unsigned nkeytabs;		/* each gets a name of its own */
};

/* What the keytab has, for the reason why a ticket cannot be opened. */
#define ENCTYPES_MAX 32

struct kerb_keys {
	struct kerb *k;
	krb5_keytab keytab;
	uint32_t enctypes;		/* bit n: there is a key of enctype n */
	uint32_t newest[ENCTYPES_MAX], oldest[ENCTYPES_MAX];	/* kvno, by enctype */
};

struct kerb_ap {
	struct kerb *k;
	krb5_auth_context ac;
	char principal[KEYMSG_TEXT_MAX + 1];
};

/*
 * The configuration. That of the machine is not looked at, and cannot be: there are no files in the
 * sandbox. Whether a ticket is in time is for the node to decide; smbgate gives nobody access.
 */
static const struct {
	const char *name, *value;
} settings[] = {
	{ "clockskew", "315360000" },
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
explain(struct kerb *k, krb5_error_code e, const char *what, char why[KEYD_WHY])
{
	const char *text = krb5_get_error_message(k->ctx, e);

	snprintf(why, KEYD_WHY, "%s: %s", what, text);
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
kerb_keys_new(struct kerb *k)
{
	struct kerb_keys *keys = calloc(1, sizeof(*keys));
	char name[32];

	if (keys == NULL)
		return NULL;
	keys->k = k;
	snprintf(name, sizeof(name), "MEMORY:%u", k->nkeytabs++);
	if (krb5_kt_resolve(k->ctx, name, &keys->keytab) != 0)
		kerb_keys_free(&keys);
	return keys;
}

void
kerb_keys_free(struct kerb_keys **keys)
{
	/* libkrb5 wipes the keys of a keytab in memory with its last handle. */
	if (*keys != NULL && (*keys)->keytab != NULL)
		krb5_kt_close((*keys)->k->ctx, (*keys)->keytab);
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

int
kerb_keys_add(struct kerb_keys *keys, const struct keytab_entry *e, char why[KEYD_WHY])
{
	krb5_data parts[KEYTAB_COMPONENTS_MAX], key = as_data(e->key, e->key_len);
	krb5_principal_data principal = {
		.magic = KV5M_PRINCIPAL,
		.realm = as_data(e->realm.p, e->realm.n),
		.data = parts,
		.length = (krb5_int32)e->ncomponents,
		.type = (krb5_int32)e->name_type,
	};
	krb5_keytab_entry entry = {
		.magic = KV5M_KEYTAB_ENTRY,
		.principal = &principal,
		.vno = e->kvno,
		.key = {
			.magic = KV5M_KEYBLOCK,
			.enctype = e->enctype,
			.length = key.length,
			.contents = (krb5_octet *)key.data,
		},
	};
	krb5_error_code err;

	for (size_t i = 0; i < e->ncomponents; i++)
		parts[i] = as_data(e->component[i].p, e->component[i].n);
	err = krb5_kt_add_entry(keys->k->ctx, keys->keytab, &entry);
	if (err != 0) {
		explain(keys->k, err, "keytab", why);
		return -1;
	}
	note_kvno(keys, e);
	return 0;
}

/* What an operator has to do something about. */
static void
explain_no_key(const struct kerb_keys *keys, const struct apreq *req, krb5_error_code err,
    char why[KEYD_WHY])
{
	char name[32], kvno[24] = "no kvno", lack[64];
	uint32_t e = req->enctype;
	int n;

	if (req->has_kvno)
		snprintf(kvno, sizeof(kvno), "kvno %u", req->kvno);
	if (e >= ENCTYPES_MAX || (keys->enctypes & 1u << e) == 0)
		snprintf(lack, sizeof(lack), "it has none of that kind");
	else if (req->has_kvno && (req->kvno < keys->oldest[e] || req->kvno > keys->newest[e]))
		snprintf(lack, sizeof(lack), "it has kvno %u to %u", keys->oldest[e],
		    keys->newest[e]);
	else
		snprintf(lack, sizeof(lack), "its key is another one");
	n = snprintf(why, KEYD_WHY, "keytab: no %s key, %s, for %s: %s",
	    keytab_enctype_str(e, name), kvno, req->server, lack);
	if (n < KEYD_WHY - 24)
		snprintf(why + n, KEYD_WHY - (size_t)n, " (krb5 error %ld)", (long)err);
}

static bool
lacks_key(krb5_error_code e)
{
	switch (e) {
	case KRB5_KT_NOTFOUND:
	case KRB5_KT_KVNONOTFOUND:
	case KRB5KRB_AP_ERR_NOKEY:
	case KRB5KRB_AP_ERR_BADKEYVER:
	case KRB5KRB_AP_WRONG_PRINC:
	case KRB5KRB_AP_ERR_NOT_US:
	case KRB5KRB_AP_ERR_BAD_INTEGRITY:
		return true;
	default:
		return false;
	}
}

/* The subkey that the last message brought, or the ticket's session key. */
static int
get_key(struct kerb *k, krb5_auth_context ac, struct keyd_answer *a, char why[KEYD_WHY])
{
	krb5_keyblock *key = NULL;
	krb5_error_code e = krb5_auth_con_getrecvsubkey(k->ctx, ac, &key);
	int r = -1;

	if (e == 0 && key == NULL)
		e = krb5_auth_con_getkey(k->ctx, ac, &key);
	if (e != 0) {
		explain(k, e, "Kerberos: no key", why);
	} else if (key == NULL || key->length == 0 || key->length > sizeof(a->key)) {
		snprintf(why, KEYD_WHY, "Kerberos: no key of a possible length");
	} else {
		a->key_len = key->length;
		memcpy(a->key, key->contents, key->length);
		r = 0;
	}
	krb5_free_keyblock(k->ctx, key);
	return r;
}

static int
get_principal(struct kerb *k, const krb5_ticket *ticket, struct keyd_answer *a,
    char why[KEYD_WHY])
{
	char *name = NULL;
	krb5_error_code e = krb5_unparse_name(k->ctx, ticket->enc_part2->client, &name);

	if (e != 0) {
		explain(k, e, "Kerberos: the client's name", why);
		return -1;
	}
	if (strlen(name) >= sizeof(a->principal)) {
		snprintf(why, KEYD_WHY, "Kerberos: a client's name of %zu bytes", strlen(name));
		krb5_free_unparsed_name(k->ctx, name);
		return -1;
	}
	snprintf(a->principal, sizeof(a->principal), "%s", name);
	krb5_free_unparsed_name(k->ctx, name);
	return 0;
}

/* Takes over ac if an AP-REP is to come. */
static enum kerb_result
opened(struct kerb *k, krb5_auth_context *ac, const krb5_ticket *ticket, krb5_flags options,
    struct keyd_answer *a, struct kerb_ap **ap, char why[KEYD_WHY])
{
	*a = (struct keyd_answer){ .mutual = (options & AP_OPTS_MUTUAL_REQUIRED) != 0 };
	if (get_key(k, *ac, a, why) == -1 || get_principal(k, ticket, a, why) == -1)
		return KERB_BAD;
	if (!a->mutual)
		return KERB_OPENED;
	*ap = calloc(1, sizeof(**ap));
	if (*ap == NULL) {
		snprintf(why, KEYD_WHY, "out of memory");
		return KERB_BAD;
	}
	(*ap)->k = k;
	(*ap)->ac = *ac;
	memcpy((*ap)->principal, a->principal, sizeof(a->principal));
	*ac = NULL;
	return KERB_OPENED;
}

enum kerb_result
kerb_ap_req(struct kerb *k, struct kerb_keys *keys, const uint8_t *p, size_t n,
    struct keyd_answer *a, struct kerb_ap **ap, char why[KEYD_WHY])
{
	krb5_data data = as_data(p, n);
	krb5_auth_context ac = NULL;
	krb5_ticket *ticket = NULL;
	enum kerb_result r = KERB_BAD;
	krb5_flags options = 0;
	krb5_error_code e;
	struct apreq req;

	*ap = NULL;
	if (apreq_get(&req, p, n) == -1) {
		snprintf(why, KEYD_WHY, "Kerberos: not an AP-REQ");
		return KERB_BAD;
	}
	e = krb5_auth_con_init(k->ctx, &ac);
	/* Without DO_TIME there is no replay cache: that is the node's, which sees it as well. */
	if (e == 0)
		e = krb5_auth_con_setflags(k->ctx, ac, 0);
	if (e == 0)
		e = krb5_rd_req(k->ctx, &ac, &data, NULL, keys->keytab, &options, &ticket);
	if (e == 0) {
		r = opened(k, &ac, ticket, options, a, ap, why);
	} else if (lacks_key(e)) {
		explain_no_key(keys, &req, e, why);
		r = KERB_NO_KEY;
	} else {
		explain(k, e, "Kerberos: AP-REQ", why);
	}
	if (ticket != NULL)
		krb5_free_ticket(k->ctx, ticket);
	if (ac != NULL)
		krb5_auth_con_free(k->ctx, ac);
	return r;
}

int
kerb_ap_rep(struct kerb_ap *ap, const uint8_t *p, size_t n, struct keyd_answer *a,
    char why[KEYD_WHY])
{
	krb5_data data = as_data(p, n);
	krb5_ap_rep_enc_part *part = NULL;
	krb5_error_code e = krb5_rd_rep(ap->k->ctx, ap->ac, &data, &part);

	*a = (struct keyd_answer){ .mutual = false };
	if (part != NULL)
		krb5_free_ap_rep_enc_part(ap->k->ctx, part);
	if (e != 0) {
		explain(ap->k, e, "Kerberos: AP-REP", why);
		return -1;
	}
	memcpy(a->principal, ap->principal, sizeof(a->principal));
	return get_key(ap->k, ap->ac, a, why);
}

void
kerb_ap_free(struct kerb_ap **ap)
{
	if (*ap != NULL) {
		krb5_auth_con_free((*ap)->k->ctx, (*ap)->ac);
		free(*ap);
	}
	*ap = NULL;
}
