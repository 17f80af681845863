/* conn_priv.h: the inside of a connection, for the files of proxy/ that are parts of it */
#ifndef PROXY_CONN_PRIV_H
#define PROXY_CONN_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <event2/event_struct.h>
#include <event2/util.h>

#include "base/buf.h"
#include "base/magic.h"
#include "inspect/mediate.h"
#include "nodes/node.h"
#include "nodes/route.h"
#include "policy/conf.h"
#include "proxy/first.h"
#include "proxy/leg.h"
#include "proxy/pump.h"
#include "proxy/stage.h"

struct conn;
struct conn_env;
struct keeping;
struct splice_pipe;
struct vc_entry;

/* What the void * of a callback points to. */
#define SIDE_MAGIC 0x51de51deu
#define CONN_MAGIC 0xc0110c01u

/* One direction: read from its leg, judged by its pump, written to the other side's leg. */
struct side {
	MAGIC_MEMBER
	struct conn *conn;
	enum dir dir : 8;
	bool eof;
	bool bulk;		/* its last PDU was spliced */
	uint8_t wait;		/* enum wait: what its held frame waits for */
	uint32_t heard_s;	/* the last of them came then, give or take a second */
	uint64_t bytes;		/* that go on to the other side, or have gone */
	struct leg leg;
	struct pump pump;
	struct splice_pipe *pipe;	/* with bytes that were judged, and not yet taken, ... */
	struct buf out;			/* and with those behind them: see recv.c */
};

/* The timer of a connection with a deadline. */
struct alarm {
	struct event ev;
	uint64_t ms;		/* when it fires: not later than the deadline */
};

/*
 * What every byte asks for is in one piece, of as few lines of the cache as can be: from `traffic`,
 * which is the last of the route, to the beginning of mediate. t/e2e/speed-instructions.t counts
 * them.
 */
struct conn {
	MAGIC_MEMBER
	TAILQ_ENTRY(conn) entry;
	TAILQ_ENTRY(conn) look;	/* of those that the tick looks at, if it is awake */
	TAILQ_ENTRY(conn) turn;	/* of the worker's turns, if it has one */
	const struct conf_listen *listener;
	uint32_t end_by_s;	/* while something is flushed or half closed; 0 = no */
	uint32_t outstanding;	/* conn_sum(): they count in the node's sum */
	uint64_t accepted_ms;
	uint64_t until_ms;	/* the stage is over then, whatever comes; 0 = no */
	char *calling_name;	/* NULL: no NetBIOS session request */
	struct vc_entry *vc;		/* of one with a logon; NULL: no VcNumber 0 ends it */
	struct alarm *alarm;	/* NULL: there is no deadline, as for most of its life */
	struct route route;
	struct conn_env *env;
	struct node *node;	/* a reference, and counted in its connections */
	uint64_t owed_since_ms;	/* the client asked then and the node has not sent a byte since */
	struct keeping *keeping;	/* of one without a logon, see proxy/strangers.h */
	struct buf replay;	/* the SMB1 NEGOTIATE of a multi-protocol opening */
	enum conn_stage stage : 8;
	enum first_kind kind : 8;
	enum close_reason why : 8;	/* of the end, once it is decided */
	enum close_reason send_failed : 8;
	uint8_t standing;	/* enum standing, see proxy/limits.h */
	bool resume[2];		/* the wait of that direction's frame is over: wait_over() */
	bool raw;		/* the frame that waits is SMB1 and goes to the node unjudged */
	bool has_turn;
	bool awake;		/* see proxy/awake.h */
	bool was_held;		/* no node took it; the next time it ends */
	bool tapped;		/* somebody looks: proxy/tapped.h */
	bool plain;		/* conn_set_plain() */
	bool half_closed;	/* the client has sent FIN, and the node has been sent ours */
	uint8_t parked_s;	/* so long yet the client is not read: parting.h */
	bool unseen;		/* as outstanding */
	struct side side[2];
	struct mediate mediate;
};

/* The peer that this side's bytes go to. */
static inline struct side *
side_other(const struct side *s)
{
	return &s->conn->side[!s->dir];
}

/* until_ms: progress_timer_cb() takes it on from there; 0: never. */
static inline void
conn_enter(struct conn *c, enum conn_stage s, uint64_t until_ms)
{
	c->stage = s;
	c->until_ms = until_ms;
}

/*
 * Logged on, alive, and nobody looks: the one thing that is asked for each of its bytes. To be set
 * again when one of the three changes.
 */
static inline void
conn_set_plain(struct conn *c)
{
	c->plain = c->mediate.track.logged_on && c->stage != CONN_DEAD && !c->tapped;
}

/* The connection is one of the node's, by 1, or is no longer, by -1. */
static inline void
conn_count_node(const struct conn *c, struct node *n, int by)
{
	atomic_fetch_add(&n->connections, (unsigned)by);
	atomic_fetch_add(&n->at_listener[c->listener->index], (unsigned)by);
}

/* It counts in its node's sums with that from now on. */
static inline void
conn_sum(struct conn *c, struct node *n, uint32_t outstanding, bool unseen)
{
	if (outstanding != c->outstanding)
		atomic_fetch_add_explicit(&n->outstanding, outstanding - c->outstanding,
		    memory_order_relaxed);
	if (unseen != c->unseen)
		atomic_fetch_add_explicit(&n->unseen, unseen ? 1u : -1u, memory_order_relaxed);
	c->outstanding = outstanding;
	c->unseen = unseen;
}

/* Nothing more is read, judged or asked. */
static inline bool
conn_over(const struct conn *c)
{
	return c->stage >= CONN_FLUSH;
}

#endif
