/* krb5.h: libkrb5, and what it makes of AP-REQ and AP-REP messages */
#ifndef KEYD_KRB5_H
#define KEYD_KRB5_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "keyd/answer.h"

struct keytab_entry;
struct rules;
struct kerb;			/* the library: set up once, opens no file afterwards */
struct kerb_keys;		/* the keys of one keytab */
struct kerb_ap;			/* an AP-REQ that has been opened, until its AP-REP comes */

enum kerb_result {
	KERB_OPENED,
	KERB_NO_KEY,		/* another keytab might do */
	KERB_BAD,		/* no keytab can help */
};

/* NULL: why says what is missing. */
struct kerb *kerb_new(char why[KEYD_WHY]);
void kerb_free(struct kerb **k);

/* NULL when memory is out. */
struct kerb_keys *kerb_keys_new(void);
/* The bytes of the key are borrowed. -1: memory is out, and why says so. */
int kerb_keys_add(struct kerb_keys *keys, const struct keytab_entry *e, struct nokey *why)
    __attribute__((warn_unused_result));
void kerb_keys_free(struct kerb_keys **keys);

/*
 * OPENED: *a has the key as far as it is known, and *ap, if an AP-REP is to come, what is needed to
 * read that; the caller frees it. Else why is set. Where the client wants the service to prove
 * itself, and has said so under encryption, *a has no key yet: kerb_ap_withheld().
 */
enum kerb_result kerb_ap_req(struct kerb *k, struct kerb_keys *keys, struct rules *rules,
    const uint8_t *p, size_t n, struct keyd_answer *a, struct kerb_ap **ap, struct nokey *why);
/* The final key. 0, or -1: why is set. */
int kerb_ap_rep(struct kerb_ap *ap, struct rules *rules, const uint8_t *p, size_t n,
    struct keyd_answer *a, struct nokey *why) __attribute__((warn_unused_result));
bool kerb_ap_withheld(const struct kerb_ap *ap);
/* Who logs on. */
const char *kerb_ap_principal(const struct kerb_ap *ap);
void kerb_ap_free(struct kerb_ap **ap);

#endif
