/* recv.c: the bytes of a connection: received, spliced, sent, and whose turn it is */
#include "config.h"

#include "proxy/recv.h"

#include "base/clock.h"
#include "proxy/conn_priv.h"
#include "proxy/env.h"
#include "proxy/splice.h"
#include "stats/stats.h"

#include <errno.h>
#include <sys/socket.h>

/*
 *	leg ─ recv ─► scratch (the worker's) ─► pump ─► send ─┬─────────────► other leg
 *	    └ splice ─► pipe (lent) ── the rest of a big PDU ─┘   └► out, while it takes no more
 *
 * A direction is read only while all that it judged has been taken; so of pipe and out one is empty
 * when bytes come, and the pipe's always go first.
 */

/* One turn of a connection; then the others of the worker have theirs. */
#define TURN_ROUNDS 8
#define TURN_BYTES (1024 * 1024)
/*
 * Splice pays from here on: two more system calls against the copying of so many bytes. Measured,
 * see doc/PERFORMANCE.md.
 */
#define SPLICE_MIN (32 * 1024)
/* What is read to see the next head of a direction that carries big PDUs: the rest is spliced. */
#define HEAD_READ 4096

/* The peer that this side's bytes go to. */
static struct side *
other(const struct side *s)
{
	return &s->conn->side[!s->dir];
}

static enum close_reason
read_failed(const struct side *s)
{
	return s->dir == C2S ? CLOSE_CLIENT_RESET : CLOSE_NODE_RESET;
}

static enum close_reason
write_failed(const struct side *s)
{
	return s->dir == C2S ? CLOSE_NODE_RESET : CLOSE_CLIENT_RESET;
}

static void
count(const struct side *s, size_t n)
{
	stats_add(s->conn->env->stats, s->dir == C2S ? STAT_bytes_to_node : STAT_bytes_to_client, n);
}

/* Turns. */

static void
ask_turn(struct conn *c)
{
	static const struct timeval now = { 0, 0 };
	struct conn_env *env = c->env;

	if (c->has_turn)
		return;
	c->has_turn = true;
	if (env->nturns++ == 0)
		event_add(env->turn, &now);
	TAILQ_INSERT_TAIL(&env->turns, c, turn);
}

static void
take_turn(struct conn *c)
{
	if (!c->has_turn)
		return;
	c->has_turn = false;
	c->env->nturns--;
	TAILQ_REMOVE(&c->env->turns, c, turn);
}

static void
want(struct side *s, bool on)
{
	struct leg *l = &s->leg;

	if (l->fd == -1 || l->reading == on)
		return;
	l->reading = on;
	if (on && l->ready)
		ask_turn(s->conn);
}

void
flow_update(struct conn *c)
{
	struct side *c2s = &c->side[C2S], *s2c = &c->side[S2C];

	if (c->stage == CONN_DEAD)
		return;
	/* A side is read while its last bytes have been taken and no frame of it waits. */
	want(c2s, !conn_over(c) && c->started && !c2s->eof && !c2s->pump.waiting &&
	    flow_owed(c2s) == 0);
	want(s2c, (c->stage == CONN_RELAY || c->stage == CONN_REPLAY) && !s2c->eof &&
	    !s2c->pump.waiting && flow_owed(s2c) == 0);
}

void
flow_stop(struct conn *c)
{
	take_turn(c);
	for (int i = 0; i < 2; i++)
		splice_return(c->env->pipes, &c->side[i].pipe);
}

/* Sending. */

size_t
flow_owed(const struct side *s)
{
	return buf_len(&s->out) + splice_len(s->pipe);
}

int
flow_send(void *arg, const uint8_t *p, size_t n)
{
	struct side *s = arg;
	struct conn *c = s->conn;
	struct leg *to = &other(s)->leg;
	ssize_t sent = 0;

	if (c->stage == CONN_DEAD || to->fd == -1) {
		c->send_failed = write_failed(s);
		return -1;
	}
	/* Write first: writability is waited for when the kernel has said no. */
	if (flow_owed(s) == 0) {
		sent = leg_send(to, p, n, pump_owed(&s->pump) >= SPLICE_MIN);
		if (sent == -1) {
			if (!to->blocked) {
				c->send_failed = write_failed(s);
				return -1;
			}
			sent = 0;
		}
	}
	count(s, n);
	if ((size_t)sent < n && buf_add(&s->out, p + sent, n - (size_t)sent) == -1) {
		c->send_failed = CLOSE_NO_MEMORY;
		return -1;
	}
	return 0;
}

/* The pipe to the other leg; given back when it is empty. -1: the connection has ended. */
static int
drain(struct side *s)
{
	struct leg *to = &other(s)->leg;

	if (splice_drain(s->pipe, to->fd, s->leg.fd != -1 && pump_owed(&s->pump) > 0) == -1) {
		if (errno != EAGAIN && errno != EWOULDBLOCK) {
			conn_end(s->conn, write_failed(s));
			return -1;
		}
		to->blocked = true;
		return 0;
	}
	splice_return(s->conn->env->pipes, &s->pipe);
	return 0;
}

void
flow_half_close(struct conn *c)
{
	if (c->half_closed || flow_owed(&c->side[C2S]) > 0 || c->side[S2C].leg.fd == -1)
		return;
	c->half_closed = true;
	shutdown(c->side[S2C].leg.fd, SHUT_WR);
}

/* The other leg takes bytes again: those of this direction. */
static void
write_on(struct side *s)
{
	struct conn *c = s->conn;
	struct leg *to = &other(s)->leg;

	if (s->pipe != NULL && drain(s) == -1)
		return;
	if (s->pipe == NULL && buf_len(&s->out) > 0) {
		ssize_t n = leg_send(to, buf_head(&s->out), buf_len(&s->out), false);

		if (n == -1 && !to->blocked) {
			conn_end(c, write_failed(s));
			return;
		}
		if (n > 0)
			buf_drain(&s->out, (size_t)n);
	}
	if (flow_owed(s) > 0)
		return;
	if (c->stage == CONN_FLUSH) {
		conn_flushed(c);
		return;
	}
	if (s->dir == C2S && s->eof)
		flow_half_close(c);
	flow_update(c);
}

/* Receiving. */

static void
note_byte(struct side *s)
{
	struct conn *c = s->conn;

	if (s->dir == S2C)
		c->owed_since_ms = 0;
	else if (c->owed_since_ms == 0)
		c->owed_since_ms = clock_ms();
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

	if (owed < SPLICE_MIN)
		return -1;
	if (s->pipe == NULL && (s->pipe = splice_lend(c->env->pipes)) == NULL)
		return -1;
	n = splice_fill(s->pipe, s->leg.fd, owed);
	if (n <= 0) {
		bool none = n == -1 && errno == EAGAIN;

		splice_return(c->env->pipes, &s->pipe);
		if (none)
			s->leg.ready = false;
		return none ? 0 : -1;
	}
	s->bulk = true;
	note_byte(s);
	count(s, (size_t)n);
	stats_add(c->env->stats, STAT_bytes_spliced, (uint64_t)n);
	pump_moved(&s->pump, (size_t)n);
	if (drain(s) == -1)
		return 0;
	flow_update(c);
	return n;
}

/* As splice_round(), through the pump. */
static ssize_t
receive_round(struct side *s)
{
	struct conn *c = s->conn;
	enum close_reason why = CLOSE_NO_MEMORY;
	enum pump_result r;
	size_t room;
	uint8_t *dst = pump_room(&s->pump, &room);
	bool kept = dst != NULL;
	ssize_t n;

	if (!kept && room != 0) {
		conn_end(c, CLOSE_NO_MEMORY);
		return 0;
	}
	if (!kept) {
		dst = c->env->scratch;
		room = s->bulk ? HEAD_READ : sizeof(c->env->scratch);
		s->bulk = false;
	}
	n = leg_recv(&s->leg, dst, room);
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
	r = kept ? pump_received(&s->pump, conn_pump_ops(), s, (size_t)n, &why)
	         : pump_feed(&s->pump, conn_pump_ops(), s, dst, (size_t)n, &why);
	return conn_settle(c, r, why) ? n : 0;
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
		ask_turn(s->conn);
}

void
flow_leg_cb(evutil_socket_t fd, short what, void *arg)
{
	struct side *s = arg;
	struct conn *c = s->conn;

	(void)fd;
	leg_note(&s->leg, what);
	if ((what & EV_WRITE) != 0 && flow_owed(other(s)) > 0)
		write_on(other(s));
	if (c->stage == CONN_DEAD)
		return;
	if (s->leg.reading)
		read_on(s);
	else if ((what & EV_READ) != 0 && leg_broken(&s->leg))
		conn_end(c, read_failed(s));
}

void
flow_turns(struct conn_env *env)
{
	static const struct timeval now = { 0, 0 };
	struct conn *c;

	/* Who asks for another one is behind those that wait for their first. */
	for (size_t n = env->nturns; n > 0 && (c = TAILQ_FIRST(&env->turns)) != NULL; n--) {
		take_turn(c);
		for (int i = 0; i < 2; i++)
			if (c->stage != CONN_DEAD)
				read_on(&c->side[i]);
	}
	if (env->nturns > 0)
		event_add(env->turn, &now);
}

void
flow_tick(struct conn *c)
{
	for (int i = 0; i < 2; i++) {
		struct side *s = &c->side[i];

		if (c->stage == CONN_DEAD)
			return;
		if (s->leg.reading && s->leg.doubt) {
			s->leg.ready = true;
			read_on(s);
		} else if (s->leg.fd != -1 && !s->leg.reading && c->stage != CONN_CONNECT &&
		    leg_broken(&s->leg)) {
			conn_end(c, read_failed(s));
		}
	}
}
