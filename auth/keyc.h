/* keyc.h: a worker's side of smbgate-keyd: asks for the key of a logon, asynchronously */
#ifndef AUTH_KEYC_H
#define AUTH_KEYC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct keyc;
struct keyx;

/* The longest GSS key: AES-256's. */
#define KEYC_KEY_MAX 64
#define KEYC_PRINCIPAL_MAX 256

enum keyx_state {
	KEYX_NOTHING,		/* nothing has been asked yet */
	KEYX_ASKING,		/* an answer is on its way */
	KEYX_READY,
	KEYX_FAILED,
};

struct keyx_result {
	enum keyx_state state;
	bool mutual;			/* Kerberos: the AP-REP that must come decides the key */
	size_t key_len;			/* READY: the GSS key at its real length */
	uint8_t key[KEYC_KEY_MAX];
	char principal[KEYC_PRINCIPAL_MAX];	/* who logs on; "" while not known */
	char why[160];			/* FAILED: for people */
};

/* One a worker; runs on its loop. NULL when memory is out. */
struct keyc *keyc_new(struct event_base *base);
/* Every exchange must be gone. */
void keyc_free(struct keyc **c);

/*
 * smbgate-keyd has been started; fd is the connection to it and taken over. What the one before it
 * had not answered has failed.
 */
void keyc_attach(struct keyc *c, int fd);

/*
 * One logon. ready(arg) runs, from the loop and never out of a call of these functions, each time
 * that the state has left ASKING: on an answer, when smbgate-keyd has died, and on a timeout.
 * NULL when memory is out.
 */
struct keyx *keyx_new(struct keyc *c, void (*ready)(void *arg), void *arg);
/* Forgets it here and in smbgate-keyd, wipes the key. */
void keyx_free(struct keyx **x);

/*
 * What was seen, in this order: an AP-REQ and, if it asks for one, its AP-REP, both without the GSS
 * wrapper; or an NTLM CHALLENGE and an NTLM AUTHENTICATE message, from "NTLMSSP" on, of which the
 * first goes to smbgate-keyd with the second. A new AP-REQ or CHALLENGE begins anew. What is out of
 * order, or too long to be real, fails.
 */
void keyx_ap_req(struct keyx *x, const uint8_t *p, size_t n);
void keyx_ap_rep(struct keyx *x, const uint8_t *p, size_t n);
void keyx_ntlm_challenge(struct keyx *x, const uint8_t *p, size_t n);
void keyx_ntlm_auth(struct keyx *x, const uint8_t *p, size_t n);

/*
 * As it stands now, `mutual` being false again once the AP-REP was answered; valid until the next
 * call about x, or the next turn of the loop.
 */
const struct keyx_result *keyx_result(const struct keyx *x);

#endif
