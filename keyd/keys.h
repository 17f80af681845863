/* keys.h: one keytab as smbgate-keyd uses it */
#ifndef KEYD_KEYS_H
#define KEYD_KEYS_H

#include "keyd/answer.h"
#include "keyd/arena.h"
#include "keyd/ntlm.h"

struct kerb;
struct kerb_keys;
struct rules;

struct keyd_keys {
	struct arena arena;
	struct kerb_keys *kerb;		/* NULL: why says the reason */
	struct nthashes hashes;
	struct nokey why;
};

/*
 * Reads the file from fd (borrowed) and logs what is in it, or why nothing is: then it is a keytab
 * without keys, with the reason. Keys of services that are not to be answered about are left out.
 * NULL when memory is out.
 */
struct keyd_keys *keyd_keys_load(const struct rules *rules, int fd);
/* None, for a reason that is logged. */
struct keyd_keys *keyd_keys_none(const char *why);
void keyd_keys_free(struct keyd_keys **keys);

/* So many bytes are locked, at most, for one keytab and the next. */
size_t keyd_keys_reserve(void);
/* Tries to lock as many. */
int keyd_keys_selftest(char why[KEYD_WHY]) __attribute__((warn_unused_result));

#endif
