/* keys.h: one keytab as smbgate-keyd uses it */
#ifndef KEYD_KEYS_H
#define KEYD_KEYS_H

#include "keyd/answer.h"
#include "keyd/arena.h"
#include "keyd/ntlm.h"

struct kerb;
struct kerb_keys;

struct keyd_keys {
	struct arena arena;
	struct kerb_keys *kerb;		/* NULL: why says the reason */
	struct nthashes hashes;
	char why[KEYD_WHY];
};

/*
 * Reads the file from fd (borrowed) and logs what is in it, or why nothing is: then it is a keytab
 * without keys, with the reason. NULL when memory is out.
 */
struct keyd_keys *keyd_keys_load(struct kerb *k, int fd);
/* None, for a reason that is logged. */
struct keyd_keys *keyd_keys_none(const char *why);
void keyd_keys_free(struct keyd_keys **keys);

/* Tries to lock as much memory as a keytab takes. */
int keyd_keys_selftest(char why[KEYD_WHY]) __attribute__((warn_unused_result));

#endif
