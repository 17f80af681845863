/* mover.h: a client is moved to another node, on an operator's word */
#ifndef DAEMON_MOVER_H
#define DAEMON_MOVER_H

#include <stdbool.h>
#include <stdint.h>

struct client_ref;
struct event_base;
struct keyhash;
struct letgo;
struct mover;
struct node;
struct nodes;
struct state;

struct mover_env {
	struct event_base *base;
	struct state *state;
	struct letgo *letgo;
	struct nodes *nodes;
	const struct keyhash *hash;	/* of homes, where the map is shared; else NULL */
};

/*
 * Its connections end, on all proxies, and once none is left the claim is moved, with which no
 * connection lives: the map sees to that, so it is never live on two nodes. It finds the claim at
 * the new node when it comes back. A connection that it has made before that ends as well.
 *
 * Runs on the main thread; all is borrowed. NULL: memory is out.
 */
struct mover *mover_new(const struct mover_env *env);
void mover_free(struct mover **m);

/* Its number, for mover_how(); 0: memory is out, or as many as can be are under way. */
uint64_t mover_start(struct mover *m, const struct client_ref *who, struct node *to,
    unsigned linger_ms);

/* NULL: nobody has that number any more. */
const char *mover_how(const struct mover *m, uint64_t number, bool *over, bool *moved);

#endif
