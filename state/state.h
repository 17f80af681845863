/* state.h: the map of claims, client to node: one asynchronous interface over its backends */
#ifndef STATE_STATE_H
#define STATE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Longest node identity in the map, with NUL: "name=[address]:port". */
#define STATE_NODE_LEN 128

/* A client's name: its ClientGuid, or its address where the dialect has no GUID. */
enum state_keykind { STATE_KEY_GUID = 1, STATE_KEY_ADDR = 2 };

struct state_key {
	uint8_t b[17];	/* kind, then the 16 bytes */
};

/*
 * What the map says of a key. A claim is provisional from the moment a NEGOTIATE is sent on and
 * firm after the first successful logon. Claims with live connections are never moved; without,
 * a provisional one is gone, and a firm one stays for its linger time, so that a returning client
 * finds its durable handles.
 */
struct state_claim {
	char node[STATE_NODE_LEN];
	unsigned others;	/* live connections besides the asker's */
	bool firm;
	bool fresh;		/* made by this very call */
};

/* One connection's share in a claim: from state_claim() until state_release(). */
struct state_hold;
struct state;

/*
 * claim is NULL when the map cannot take or tell (full, out of reach): the asker goes where the
 * hash sent it. May be called before the asking function returns.
 */
typedef void (*state_claim_f)(void *arg, const struct state_claim *claim);

struct state_ops {
	void (*claim)(struct state *, const struct state_key *, const char *node, state_claim_f,
	    void *arg, struct state_hold **hold_r);
	void (*move)(struct state_hold *, const char *from, const char *to, state_claim_f, void *arg);
	void (*firm)(struct state_hold *);
	void (*release)(struct state_hold *, unsigned linger_ms);
	unsigned (*clients)(struct state *, const char *node);
	void (*each)(struct state *, void (*f)(void *arg, const struct state_key *,
	    const struct state_claim *, uint64_t left_ms), void *arg);
	void (*free)(struct state *);
};

/* The first member of every backend's handle. A handle belongs to one thread. */
struct state {
	const struct state_ops *ops;
};

/*
 * Asks for the claim of key, making one for node if there is none. *hold_r is set before cb can be
 * called (to NULL only when memory is out, and then cb never is). The answer comes once, unless
 * the hold is released before.
 */
static inline void
state_claim(struct state *s, const struct state_key *key, const char *node, state_claim_f cb,
    void *arg, struct state_hold **hold_r)
{
	s->ops->claim(s, key, node, cb, arg, hold_r);
}

/*
 * Moves the claim of a hold to node `to`, if it still says `from` and nobody else holds it live.
 * Answers with the claim as it is then, moved or not. Both names are copied where needed.
 */
static inline void
state_move(struct state *s, struct state_hold *h, const char *from, const char *to,
    state_claim_f cb, void *arg)
{
	s->ops->move(h, from, to, cb, arg);
}

/* A logon succeeded on this connection: the claim is firm. */
static inline void
state_firm(struct state *s, struct state_hold *h)
{
	s->ops->firm(h);
}

/*
 * The connection is gone. The last release of a firm claim starts its linger time, provided that
 * the connection had made it firm or found others that had: an unauthenticated NEGOTIATE extends
 * nothing. Clears the caller's pointer; NULL is allowed.
 */
static inline void
state_release(struct state *s, struct state_hold **h, unsigned linger_ms)
{
	if (*h != NULL)
		s->ops->release(*h, linger_ms);
	*h = NULL;
}

/* Clients claimed for a node, lingering ones included: the load that placement is bounded by. */
static inline unsigned
state_clients(struct state *s, const char *node)
{
	return s->ops->clients(s, node);
}

/* Every claim (others = all live connections; left_ms of the linger time, 0 while live). */
static inline void
state_each(struct state *s, void (*f)(void *arg, const struct state_key *,
    const struct state_claim *, uint64_t left_ms), void *arg)
{
	s->ops->each(s, f, arg);
}

static inline void
state_free(struct state **s)
{
	if (*s != NULL)
		(*s)->ops->free(*s);
	*s = NULL;
}

#endif
