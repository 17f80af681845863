/* state.h: the map of claims, client to node: one asynchronous interface over its backends */
#ifndef STATE_STATE_H
#define STATE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <endian.h>

/* Longest node identity in the map, with NUL: "name=[address]:port". */
#define STATE_NODE_LEN 128

/* What names a client: its ClientGuid, or its address where the dialect has no GUID. */
enum state_keykind { STATE_KEY_GUID = 1, STATE_KEY_ADDR = 2 };

#define STATE_KEY_CLIENT 17	/* bytes: kind, then the 16 */

struct state_key {
	/* The client, and then the cluster that it has to do with; 0: of which no name is said. */
	uint8_t b[STATE_KEY_CLIENT + 4];
};

static inline uint32_t
state_key_cluster(const struct state_key *k)
{
	uint32_t c;

	memcpy(&c, k->b + STATE_KEY_CLIENT, sizeof(c));
	return le32toh(c);
}

static inline void
state_key_set_cluster(struct state_key *k, uint32_t cluster)
{
	cluster = htole32(cluster);
	memcpy(k->b + STATE_KEY_CLIENT, &cluster, sizeof(cluster));
}

/*
 * A claim: the node that a client is bound to, as the map has it. It is provisional from the moment
 * a NEGOTIATE is sent on and firm after the first successful logon. Claims with live connections
 * are never moved; without, a provisional one is gone, and a firm one stays for its linger time, so
 * that a returning client finds its durable handles.
 */
struct state_claim {
	char node[STATE_NODE_LEN];
	unsigned others;	/* live connections besides the asker's */
	bool firm;
	bool fresh;		/* made by this very call */
	bool blind;		/* made without the map, which is out of reach */
	bool busy;		/* no answer now: nobody can say where the client is to be */
};

/* A fact of a session on a node, that other proxies may ask for; opaque here. */
struct state_fact {
	char node[STATE_NODE_LEN];
	const void *bytes;
	size_t len;
};
#define STATE_FACT_MAX 512	/* bytes */

/* A client has lost the connections that it had before. Who makes the key knows whose it is. */
struct state_reset {
	uint64_t key;
	uint64_t age_ms;		/* of the connection that says so */
};

/* One connection's share in a claim: from state_claim() until state_release(). */
struct state_hold;
struct state_query;
struct state;

/*
 * claim is NULL when the map has no room, or the move cannot be made: the asker goes where the
 * hash sent it. May be called before the asking function returns.
 */
typedef void (*state_claim_f)(void *arg, const struct state_claim *claim);
/* f NULL: nothing is known of it. */
typedef void (*state_fact_f)(void *arg, const struct state_fact *f);

struct state_ops {
	bool shared;	/* with other proxies, whose counts nobody knows */
	void (*claim)(struct state *, const struct state_key *, const char *node, const char *home,
	    state_claim_f, void *arg, struct state_hold **hold_r);
	void (*move)(struct state_hold *, const char *from, const char *to, state_claim_f,
	    void *arg);
	void (*settle)(struct state_hold *);	/* NULL: nobody minds */
	void (*firm)(struct state_hold *, unsigned linger_ms);
	void (*release)(struct state_hold *, unsigned linger_ms);
	unsigned (*clients)(struct state *, const char *node);
	void (*each)(struct state *, void (*f)(void *arg, const struct state_key *,
	    const struct state_claim *, uint64_t left_ms), void *arg);
	/* Where the map is shared; else NULL. */
	void (*fact_put)(struct state_hold *, uint64_t session_id, const struct state_fact *);
	void (*fact_drop)(struct state *, uint64_t session_id, const char *node, bool over);
	struct state_query *(*fact_ask)(struct state *, const struct state_hold *, uint64_t source,
	    uint64_t session_id, state_fact_f, void *arg);
	void (*fact_forget)(struct state_query *);
	void (*reset)(struct state *, const struct state_reset *);
	void (*tell)(struct state *, const void *bytes, size_t len);
	void (*free)(struct state *);
};

/* The first member of every backend's handle. A handle belongs to one thread. */
struct state {
	const struct state_ops *ops;
};

/*
 * Asks for the claim of key, making one for node if there is none. home: the node that every proxy
 * chooses whatever it sees of the nodes, where a client goes while a shared map is out of reach.
 * *hold_r is set before cb can be called (to NULL only when memory is out, and then cb never is).
 * The answer comes once, unless the hold is released before. Whoever is told of no other live
 * connection decides next: state_settle(), state_move() or state_release(). Until then the client's
 * other connections wait.
 */
static inline void
state_claim(struct state *s, const struct state_key *key, const char *node, const char *home,
    state_claim_f cb, void *arg, struct state_hold **hold_r)
{
	s->ops->claim(s, key, node, home, cb, arg, hold_r);
}

/*
 * Moves the claim of a hold to node `to`, if it is still for `from` and nobody else holds it live.
 * Answers with the claim as it is then, moved or not. Both names are copied where needed.
 */
static inline void
state_move(struct state *s, struct state_hold *h, const char *from, const char *to,
    state_claim_f cb, void *arg)
{
	s->ops->move(h, from, to, cb, arg);
}

/*
 * The connection goes to the claim's node, for now: others of its client, which may have waited for
 * that, do the same.
 */
static inline void
state_settle(struct state *s, struct state_hold *h)
{
	if (s->ops->settle != NULL)
		s->ops->settle(h);
}

/*
 * A logon succeeded on this connection: the claim is firm, and lingers so long should this process
 * not live to release it.
 */
static inline void
state_firm(struct state *s, struct state_hold *h, unsigned linger_ms)
{
	s->ops->firm(h, linger_ms);
}

/*
 * The connection is gone. Had it logged on, its claim stays for linger_ms from now on; of several
 * connections, as long as the one that needs it longest. An unauthenticated NEGOTIATE extends
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

/*
 * Facts of a session, for other proxies, which find them with the claim of its client: put once,
 * kept while it lives, dropped at its end: over. A proxy that has only lost its own part of it
 * drops it as well, but not for the others: it stays while the client has connections with one of
 * them. f is copied. Without a shared map nothing happens.
 */
static inline void
state_fact_put(struct state *s, struct state_hold *h, uint64_t session_id,
    const struct state_fact *f)
{
	if (s->ops->fact_put != NULL)
		s->ops->fact_put(h, session_id, f);
}

static inline void
state_fact_drop(struct state *s, uint64_t session_id, const char *node, bool over)
{
	if (s->ops->fact_drop != NULL)
		s->ops->fact_drop(s, session_id, node, over);
}

/*
 * What is known of that session of h's client. cb is called once, never before this returns, with
 * NULL where nothing is known or the map is out of reach; unless the query is forgotten before.
 * NULL: nobody can be asked, and cb is never called. source: where the client is, a number that
 * has its share of what can be asked.
 */
static inline struct state_query *
state_fact_ask(struct state *s, const struct state_hold *h, uint64_t source, uint64_t session_id,
    state_fact_f cb, void *arg)
{
	return s->ops->fact_ask == NULL ? NULL
	                                : s->ops->fact_ask(s, h, source, session_id, cb, arg);
}

/* Clears the caller's pointer; NULL is allowed. */
static inline void
state_fact_forget(struct state *s, struct state_query **q)
{
	if (*q != NULL)
		s->ops->fact_forget(*q);
	*q = NULL;
}

/* Tells the other proxies, if there are any, and they can be told now. */
static inline void
state_reset(struct state *s, const struct state_reset *r)
{
	if (s->ops->reset != NULL)
		s->ops->reset(s, r);
}

/*
 * The same of what is opaque here, and no longer than STATE_FACT_MAX; whoever is told sees to it
 * that it is authentic.
 */
static inline void
state_tell(struct state *s, const void *bytes, size_t len)
{
	if (s->ops->tell != NULL)
		s->ops->tell(s, bytes, len);
}

static inline void
state_free(struct state **s)
{
	if (*s != NULL)
		(*s)->ops->free(*s);
	*s = NULL;
}

#endif
