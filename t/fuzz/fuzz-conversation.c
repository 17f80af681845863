/* fuzz-conversation.c: libFuzzer target: client and node talk through the gate */
/* for: inspect/frame.c inspect/parts.c inspect/classify.c */
/* drives: inspect/mediate.c inspect/carry.c inspect/query.c inspect/setup.c */
#include "config.h"

#include "smb/const.h"
#include "t/fuzz/world.h"

#include <stdlib.h>
#include <string.h>

/*
 *	client ──► in[C2S] ──► the gate ──► node	reads as smbd does (reader.c), and answers
 *	client ◄── the gate ◄── in[S2C] ◄── node
 *
 * There may be a second connection, with channels of the same sessions: it can be bound to them,
 * and what ends one ends it there.
 *
 * The input is dice. Nobody lies in three conversations of four: then nothing may be cut, dropped,
 * inserted or changed but lists and refused binds, and every request is answered once. In the
 * fourth, frames are broken, mixed and put together as nobody would. In all of them no forbidden
 * address reaches the client where there is a way to prevent it, and no forbidden bind the node.
 *
 * CONVERSATION=1 in the environment: it is told on stderr.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What has come through, frame by frame. */
static void
deliver(struct world *w, enum dir dir)
{
	struct buf *b = &w->t.side[dir].out;

	while (buf_len(b) >= NBSS_HDR_LEN && !w->gone) {
		uint8_t *p = buf_head(b);
		size_t n = NBSS_HDR_LEN + ((size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3]);

		if (buf_len(b) < n)
			return;
		if (dir == C2S)
			node_reads(w, p + NBSS_HDR_LEN, n - NBSS_HDR_LEN);
		else
			client_reads(w, p + NBSS_HDR_LEN, n - NBSS_HDR_LEN);
		buf_drain(b, n);
	}
}

/* Some bytes of a direction, or all of them, reach the gate, in memory of their own. */
static void
move(struct world *w, enum dir dir, bool all)
{
	struct buf *b = &w->in[dir];
	size_t n = buf_len(b), step = n;
	uint8_t *copy;

	if (n == 0 || w->t.closed || w->t.side[dir].pump.waiting)
		return;
	if (!all && dice_one_in(w->dice, 2))
		step = 1 + dice_byte(w->dice) * (dice_one_in(w->dice, 2) ? 1u : 257u);
	if (step > n)
		step = n;
	copy = malloc(step);
	if (copy == NULL)
		abort();
	memcpy(copy, buf_head(b), step);
	buf_drain(b, step);
	(void)talk_feed(&w->t, dir, copy, step);
	free(copy);
	deliver(w, C2S);
	deliver(w, S2C);
	if (w->t.closed && !w->dirty)
		world_wrong(w, "a conversation was cut", w->nasked);
}

static bool
talking(const struct world *w)
{
	return !w->t.closed && !w->gone &&
	    (buf_len(&w->in[C2S]) > 0 || buf_len(&w->in[S2C]) > 0 || w->ntodo > 0);
}

/* Everything that was said is heard and answered. */
static void
settle(struct world *w)
{
	while (talking(w)) {
		move(w, C2S, true);
		node_answers(w);
		move(w, S2C, true);
	}
}

static void
check(struct world *w)
{
	if (w->dirty)
		return;
	for (unsigned i = 0; i < w->nasked; i++) {
		if (w->asked[i].reached != 1)
			world_wrong(w, "a request did not reach the node", FIRST_MID + i);
		if (w->asked[i].answered != 1)
			world_wrong(w, "a request was not answered", FIRST_MID + i);
	}
	if (w->cancels_reached != w->cancels)
		world_wrong(w, "a CANCEL did not reach the node", 0);
	if (w->breaks_told != w->breaks)
		world_wrong(w, "the client was not told of a break", 0);
	if (w->t.conn.mediate.track.npending > 0)
		world_wrong(w, "something answered is still waited for", 0);
	world_facts(w);
}

static bool
goes_on(const struct world *w)
{
	return !w->t.closed && !w->gone && w->nasked < ASKED_MAX;
}

static void
step(struct world *w, uint8_t x)
{
	switch (x & 7) {
	case 0:
	case 1:
		if ((x & 0xe0) != 0xe0 || !client_cancels(w))
			client_asks(w);
		break;
	case 2:
	case 3:
		if ((x & 0xe8) == 0xe0)
			node_expires(w);
		if ((x & 0xe8) != 0xe8 || !node_breaks(w))
			node_answers(w);
		break;
	default:
		move(w, x & 8 ? C2S : S2C, false);
		/* What a connection does now and then by itself. */
		if ((x & 0xe0) == 0xe0 && !w->t.closed)
			mediate_tick(&w->t.conn.mediate, 1);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dice dice = { data, size };
	static struct world w[2];
	unsigned n = world_begin(w, &dice), i;

	while (dice.n > 0 && (goes_on(&w[0]) || (n == 2 && goes_on(&w[1])))) {
		uint8_t x = dice_byte(&dice);

		i = n == 2 && (x & 0x10) != 0;
		if (!goes_on(&w[i]))
			i = n - 1 - i;
		if (goes_on(&w[i]))
			step(&w[i], x);
	}
	for (i = 0; i < n; i++)
		settle(&w[i]);
	for (i = 0; i < n; i++)
		check(&w[i]);
	while (n > 0)
		world_end(&w[--n]);
	return 0;
}
