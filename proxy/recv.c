/* recv.c: the bytes of a connection: received or spliced, a turn at a time */
#include "config.h"

#include "proxy/recv.h"

#include "base/clock.h"
#include "nodes/node.h"
#include "proxy/awake.h"
#include "proxy/conn.h"
#include "proxy/conn_priv.h"
#include "proxy/env.h"
#include "proxy/opening.h"
#include "proxy/progress.h"
#include "proxy/send.h"
#include "proxy/splice.h"
#include "proxy/strangers.h"
#include "proxy/tapped.h"
#include "proxy/turn.h"

#include <errno.h>
#include <stddef.h>

/*
 *	leg ─ recv ─► scratch (the worker's) ─► pump ─► send ─┬─────────────► other leg
 *	    └ splice ─► pipe (lent) ── the rest of a big PDU ─┘   └► out, while it takes no more
 *
 * A direction is read only while all that it judged has been taken; so of pipe and out one is empty
 * when bytes come, and the pipe's always go first.
 */

/* One turn of a connection; then the worker's others have theirs. */
#define TURN_ROUNDS 8
#define TURN_BYTES (1024 * 1024)
/*
 * What is read to see the next head of a direction that carries big PDUs: the rest is spliced. And
 * at a time before a logon, when a first frame is no longer, and nobody is to be kept more for.
 */
#define HEAD_READ 4096

static enum close_reason
read_failed(const struct side *s)
{
	return s->dir == C2S ? CLOSE_CLIENT_RESET : CLOSE_NODE_RESET;
}

/* The other leg takes bytes again: those of this direction. */
static void
write_on(struct side *s)
{
	struct conn *c = s->conn;

	if (send_pending(s) == -1) {
		conn_end(c, c->send_failed);
		return;
	}
	if (send_owed(s) > 0)
		return;
	if (c->stage == CONN_FLUSH) {
		conn_flushed(c);
		return;
	}
	if (s->dir == C2S && s->eof)
		send_half_close(c);
	turn_update(c);
}

static void
note_byte(struct side *s)
{
	struct conn *c = s->conn;

	if (s->dir == S2C) {
		c->owed_since_ms = 0;
		if (c->stage == CONN_RELAY)
			node_served(c->node);
	} else if (c->owed_since_ms == 0) {
		c->owed_since_ms = clock_ms();
	}
}

/*
 * The rest of a PDU past the pump: how many bytes were moved; 0: nothing comes now, or all is over;
 * -1: they must be received (which also tells what is wrong with the socket).
 */
static ssize_t
splice_round(struct side *s)
{
	struct conn *c = s->conn;
	size_t owed = pump_owed(&s->pump);
	ssize_t n;

	/* There are few pipes; they are for those who have logged on. Captures see every byte. */
	if (owed < SPLICE_MIN || !c->plain)
		return -1;
	if (s->pipe == NULL && (s->pipe = splice_lend(c->env->pipes)) == NULL)
		return -1;
	n = splice_fill(s->pipe, s->leg.edge.fd, owed);
	if (n <= 0) {
		bool none = n == -1 && errno == EAGAIN;

		splice_return(c->env->pipes, &s->pipe);
		if (none)
			s->leg.ready = false;
		return none ? 0 : -1;
	}
	s->bulk = true;
	note_byte(s);
	pump_moved(&s->pump, (size_t)n);
	if (send_spliced(s, (size_t)n) == -1) {
		conn_end(c, c->send_failed);
		return 0;
	}
	turn_update(c);
	return n;
}

/* watched: of a connection that is not plain. */
static inline __attribute__((always_inline)) ssize_t
receive_into(struct side *s, uint8_t *dst, size_t room, bool in_pump, bool watched)
{
	struct conn *c = s->conn;
	enum close_reason why = CLOSE_NO_MEMORY;
	enum pump_result r;
	ssize_t n = leg_recv(&s->leg, dst, room);

	if (n == -1) {
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			conn_end(c, read_failed(s));
		return 0;
	}
	if (n == 0) {
		conn_end_of_file(s);
		return 0;
	}
	note_byte(s);
	if (watched && c->tapped)
		tapped_received(s, dst, (size_t)n);
	r = in_pump ? pump_received(&s->pump, &progress_ops, s, (size_t)n, &why)
	            : pump_feed(&s->pump, &progress_ops, s, dst, (size_t)n, &why);
	return progress_settle(c, r, why) ? n : 0;
}

/* Apart, so that what is asked of such a connection costs the others nothing. */
static __attribute__((cold, noinline)) ssize_t
receive_watched(struct side *s, uint8_t *dst, size_t room, bool in_pump)
{
	if (!s->conn->mediate.track.logged_on && room > HEAD_READ)
		room = HEAD_READ;
	return receive_into(s, dst, room, in_pump, true);
}

/* As splice_round(), through the pump. */
static ssize_t
receive_round(struct side *s)
{
	struct conn *c = s->conn;
	size_t room;
	uint8_t *dst = pump_room(&s->pump, &room);
	bool in_pump = dst != NULL;

	if (!in_pump && room != 0) {
		conn_end(c, CLOSE_NO_MEMORY);
		return 0;
	}
	if (!in_pump) {
		dst = c->env->scratch;
		room = s->bulk ? HEAD_READ : sizeof(c->env->scratch);
		s->bulk = false;
	}
	if (!c->plain)
		return receive_watched(s, dst, room, in_pump);
	return receive_into(s, dst, room, in_pump, false);
}

static void
read_on(struct side *s)
{
	size_t moved = 0;

	for (int i = 0; i < TURN_ROUNDS && moved < TURN_BYTES; i++) {
		ssize_t n;

		if (!s->leg.reading || !s->leg.ready)
			return;
		n = splice_round(s);
		if (n == -1)
			n = receive_round(s);
		if (n == 0)
			return;
		moved += (size_t)n;
	}
	if (s->leg.reading && s->leg.ready)
		turn_ask(s->conn);
}

void
recv_edge_cb(evutil_socket_t fd, short what, void *arg)
{
	struct side *s = (struct side *)((char *)arg - offsetof(struct side, leg.edge));
	struct conn *c = s->conn;

	(void)fd;
	MAGIC_CHECK(s, SIDE_MAGIC);
	/* Those before it in this turn: none of them is in the middle of anything. */
	if (c->env->strangers_over) {
		strangers_settle(c->env->strangers);
		if (c->stage == CONN_DEAD)
			return;
	}
	leg_note(&s->leg, what);
	awake_stir(c);
	if (c->stage == CONN_CONNECT && s->dir == S2C) {
		opening_dialled(c, what);
		(void)progress_settle(c, PUMP_OK, 0);
		return;
	}
	if ((what & EV_WRITE) != 0 && send_owed(side_other(s)) > 0)
		write_on(side_other(s));
	if (c->stage == CONN_DEAD)
		return;
	if (s->leg.reading)
		read_on(s);
	else if ((what & EV_READ) != 0 && leg_broken(&s->leg))
		conn_end(c, read_failed(s));
}

void
recv_turns(struct conn_env *env)
{
	static const struct timeval now = { 0, 0 };
	struct conn *c;

	/* A connection that asks for another turn is behind those that wait for their first. */
	for (size_t n = env->nturns; n > 0 && (c = TAILQ_FIRST(&env->turns)) != NULL; n--) {
		turn_take(c);
		for (int i = 0; i < 2; i++)
			if (c->stage != CONN_DEAD)
				read_on(&c->side[i]);
		if (env->strangers_over)
			strangers_settle(env->strangers);
	}
	if (env->nturns > 0)
		event_add(env->turn, &now);
}

void
recv_tick(struct conn *c)
{
	for (int i = 0; i < 2; i++) {
		struct side *s = &c->side[i];

		if (c->stage == CONN_DEAD)
			return;
		if (s->leg.reading && s->leg.recheck) {
			s->leg.ready = true;
			read_on(s);
		} else if (s->leg.edge.fd != -1 && !s->leg.reading && c->stage != CONN_CONNECT &&
		    leg_broken(&s->leg)) {
			conn_end(c, read_failed(s));
		}
	}
}
