/* claims.h: a process's part of a shared map, with a test in the place of Redis */
#ifndef T_UNIT_LIB_CLAIMS_H
#define T_UNIT_LIB_CLAIMS_H

#include <stdbool.h>
#include <stdint.h>

#include "state/shared.h"
#include "state/state.h"

#define N1 "n1=10.0.0.1:445"
#define N2 "n2=10.0.0.2:445"

/* Of claims_begin(): the map, online, with room for 100 clients, and the port of all who join. */
extern struct shared *map;
extern struct shared_port port;

/* A fixture of cmocka's. At its end nobody holds a claim any more. */
int claims_begin(void **state);
int claims_end(void **state);

/* A connection of client n comes. */
enum shared_when join(struct state_hold *h, unsigned n, const char *node, const char *home,
    struct state_claim *c);

/* What is to be sent is of that kind; Redis answers. True: the claim is lost. */
bool answer(char kind, int how, const char *node, uint64_t made_ms, unsigned others);
void nothing_due(void);

/* The next that is answered is h. */
void told(struct state_hold *h, struct state_claim *c);

void leave(struct state_hold *h);
/* The last of them leaves, and Redis hears of it. */
void leave_last(struct state_hold *h);

#endif
