/* last.h: the address from which each client came last, while its claim may linger */
#ifndef NODES_LAST_H
#define NODES_LAST_H

#include <stdbool.h>

struct addrport;
struct lasts;
struct state_key;

/*
 * For people. One a process, used by all threads. It has room for many, not for all: of more than
 * that some are forgotten. NULL: out of memory.
 */
struct lasts *lasts_new(void);
void lasts_free(struct lasts **l);

void lasts_note(struct lasts *l, const struct state_key *key, const struct addrport *client);
/* False: it is not known. */
bool lasts_find(struct lasts *l, const struct state_key *key, struct addrport *client);

#endif
