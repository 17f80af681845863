/* lost.h: a worker's connections of clients that live elsewhere by now, found over several turns */
#ifndef PROXY_LOST_H
#define PROXY_LOST_H

struct conn_env;
struct lost;
struct state_key;

/* One a worker, on its thread. NULL: memory is out. */
struct lost *lost_new(struct conn_env *env);
void lost_free(struct lost **l);

/* The connections of that client that are there now end, a few in each turn. -1: out of memory. */
int lost_add(struct lost *l, const struct state_key *key) __attribute__((warn_unused_result));

#endif
