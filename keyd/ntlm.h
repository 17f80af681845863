/* ntlm.h: session keys of NTLM logons, from the NT hashes of a keytab */
#ifndef KEYD_NTLM_H
#define KEYD_NTLM_H

#include <stddef.h>
#include <stdint.h>

#include "keyd/answer.h"

struct arena;
struct keytab_entry;
struct nthash;
struct rules;

#define NTLM_CHALLENGE_LEN 8

/* The hashes of one keytab, all of them in its arena. All zero: none. */
struct nthashes {
	struct nthash *first;
	size_t n;
};

/* Does this machine have what NTLM needs? -1: why says what it lacks. */
int ntlm_selftest(char why[KEYD_WHY]) __attribute__((warn_unused_result));

/* Is this entry a user's hash: rc4-hmac, and a name of one component? */
bool nthashes_fits(const struct keytab_entry *e);
/* Of an entry that fits. 0, or -1 when the arena is full; a name that is not UTF-8 is left out. */
int nthashes_add(struct nthashes *h, struct arena *a, const struct keytab_entry *e)
    __attribute__((warn_unused_result));

/* The server's challenge out of a CHALLENGE message. */
int ntlm_challenge_get(uint8_t challenge[NTLM_CHALLENGE_LEN], const uint8_t *p, size_t n,
    struct nokey *why) __attribute__((warn_unused_result));

/* The key that an AUTHENTICATE message has led to, where the rules allow it. */
int ntlm_open(const struct nthashes *h, struct rules *rules,
    const uint8_t challenge[NTLM_CHALLENGE_LEN], const uint8_t *p, size_t n, struct keyd_answer *a,
    struct nokey *why) __attribute__((warn_unused_result));

#endif
