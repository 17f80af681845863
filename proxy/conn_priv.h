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
#include "nodes/route.h"
#include "proxy/first.h"
#include "proxy/leg.h"
#include "proxy/pump.h"
#include "proxy/stage.h"

struct conf_listen;
struct conn;
struct conn_env;
struct node;
struct splice_pipe;

/* What the void * of a callback points to. */
#define SIDE_MAGIC 0x51de51deu
#define CONN_MAGIC 0xc0110c01u

/* One direction: read from its leg, judged by its pump, written to the other side's leg. */
struct side {
	MAGIC_MEMBER
	struct conn *conn;
	enum dir dir;
	bool eof;
	bool bulk;		/* its last PDU was spliced */
	struct leg leg;
	struct pump pump;
	struct splice_pipe *pipe;	/* with bytes that were judged, and not yet taken, ... */
	struct buf out;			/* and with those behind them: see recv.c */
};

struct conn {
	MAGIC_MEMBER
	TAILQ_ENTRY(conn) entry;
	TAILQ_ENTRY(conn) turn;	/* of the worker's turns, if it has one */
	struct conn_env *env;
	const struct conf_listen *listener;
	enum conn_stage stage;
	enum first_kind kind;
	enum close_reason why;	/* of the end, once it is decided */
	bool counted;		/* among those without a logon, see proxy/limits.h */
	bool resume[2];		/* the frame of that direction that waits may be shown again */
	bool raw;		/* the frame that waits is SMB1 and goes to the node unjudged */
	bool has_turn;
	bool was_held;		/* no node took it; the next time it ends */
	bool half_closed;	/* the client has sent FIN, and the node has been sent ours */
	enum close_reason send_failed;
	uint64_t accepted_ms;
	uint64_t until_ms;	/* the stage is over then, whatever comes; 0 = no */
	uint64_t end_by_ms;	/* while something is flushed or half closed; 0 = no */
	uint64_t owed_since_ms;	/* the client asked then and the node has not sent a byte since */
	char *calling_name;	/* NULL: no NetBIOS session request */
	struct buf replay;	/* the SMB1 NEGOTIATE of a multi-protocol opening */
	struct node *node;	/* a reference, and counted in its connections */
	struct route route;
	struct mediate mediate;
	struct event *timer;	/* NULL: there is no deadline, as for most of its life */
	uint64_t timer_ms;	/* when it fires: not later than the deadline */
	struct side side[2];
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

/* Nothing more is read, judged or asked. */
static inline bool
conn_over(const struct conn *c)
{
	return c->stage >= CONN_FLUSH;
}

#endif
