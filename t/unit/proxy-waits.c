/* proxy-waits.c: every pair of waits, begun and ended in both orders: no byte stands still */
#include "config.h"

#include "t/unit/lib/house.h"

#include "base/wr.h"
#include "nodes/node.h"
#include "proxy/send.h"
#include "proxy/wait.h"
#include "smb/const.h"
#include "smb/nbss.h"
#include "smb/neg1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#define BYSTANDERS 6
/* More than a turn takes. */
#define LONG_BYTES (3 * 512 * 1024)
/* Enough for whatever is under way to come to a stand. */
#define MANY_TURNS 12

#define LOGON_A 0x100
#define LOGON_B 0x200

static void
turns(struct house *h)
{
	for (int i = 0; i < MANY_TURNS; i++)
		house_turn(h);
}

static bool
came(const struct house_link *l, enum dir dir)
{
	const struct house_end *from = dir == C2S ? &l->client : &l->node;
	const struct house_end *to = dir == C2S ? &l->node : &l->client;

	return buf_len(&to->got) == buf_len(&from->said) &&
	    (buf_len(&to->got) == 0 ||
	        memcmp(buf_head(&to->got), buf_head(&from->said), buf_len(&to->got)) == 0);
}

static bool
came_all(void *arg)
{
	return came(arg, C2S) && came(arg, S2C);
}

static void
say(struct house_end *e, struct buf *b)
{
	house_say(e, buf_head(b), buf_len(b));
	buf_fini(b);
}

static void
exchanged(struct house_link *l)
{
	assert_true(house_until(l->house, came_all, l));
}

/* Up to the node's last word on the logon, which is not said. */
static void
logon(struct house_link *l, uint64_t mid, uint64_t session)
{
	struct buf b = { .mem = NULL };

	house_setup(&b, mid, 0, 0, 1);
	say(&l->client, &b);
	exchanged(l);
	house_setup_answer(&b, mid, session, STATUS_MORE_PROCESSING_REQUIRED, 2);
	say(&l->node, &b);
	exchanged(l);
	house_setup(&b, mid + 1, session, 0, 3);
	say(&l->client, &b);
	exchanged(l);
}

/*
 * One user has logged on; the node is about to let a second one in, whose key smbgate-keyd owes,
 * and to refuse a third.
 */
static struct house_link *
ready(struct house *h)
{
	struct house_link *l = house_dial(h, false);
	struct buf b = { .mem = NULL };
	int small = 32768;

	h->keyd_slow = h->facts_slow = false;
	house_negotiate(&b, 0, h->nlinks);
	say(&l->client, &b);
	exchanged(l);
	house_negotiate_answer(&b, 0, false);
	say(&l->node, &b);
	exchanged(l);
	logon(l, 1, LOGON_A);
	house_setup_answer(&b, 2, LOGON_A, STATUS_SUCCESS, 0);
	say(&l->node, &b);
	exchanged(l);
	assert_int_equal(l->conn->stage, CONN_RELAY);
	for (int i = 0; i < 2; i++)
		setsockopt(l->conn->side[i].leg.edge.fd, SOL_SOCKET, SO_SNDBUF, &small,
		    sizeof(small));
	h->keyd_slow = true;
	logon(l, 3, LOGON_B);
	house_setup(&b, 5, 0, 0, 1);
	say(&l->client, &b);
	exchanged(l);
	return l;
}

/* The waits. */

struct run {
	struct house *h;
	struct house_link *l;
	struct buf rest[2];	/* of a frame that has come in part */
	size_t bulk;		/* how long the frames are that nobody looks at */
};

static void
facts_begin(struct run *r)
{
	struct buf b = { .mem = NULL };

	r->h->facts_slow = true;
	house_setup(&b, 10, 0x777, SMB2_SESSION_FLAG_BINDING, 1);
	say(&r->l->client, &b);
}

static void
facts_end(struct run *r)
{
	r->h->facts_slow = false;
}

static void
key_begin(struct run *r)
{
	struct buf b = { .mem = NULL };

	house_setup_answer(&b, 4, LOGON_B, STATUS_SUCCESS, 0);
	say(&r->l->node, &b);
}

static void
key_end(struct run *r)
{
	r->h->keyd_slow = false;
}

static void
bulk(struct run *r, enum dir dir, size_t n)
{
	struct buf b = { .mem = NULL };

	for (size_t i = 0; i < n; i += r->bulk)
		house_bulk(&b, 1000 + i, dir == S2C, r->bulk);
	say(dir == C2S ? &r->l->client : &r->l->node, &b);
}

/* The peer reads nothing, until smbgate has to keep what it cannot get rid of. */
static void
room_begin(struct run *r, enum dir dir)
{
	struct house_end *to = dir == C2S ? &r->l->node : &r->l->client;

	to->deaf = true;
	bulk(r, dir, 256 * 1024);
	if (r->l->conn->side[dir].pump.waiting)
		return;
	for (int i = 0; i < 1000 && send_owed(&r->l->conn->side[dir]) == 0; i++) {
		if (buf_len(dir == C2S ? &r->l->client.out : &r->l->node.out) == 0)
			bulk(r, dir, 256 * 1024);
		house_turn(r->h);
	}
	assert_true(send_owed(&r->l->conn->side[dir]) > 0);
}

static void
node_room_begin(struct run *r)
{
	room_begin(r, C2S);
}

static void
node_room_end(struct run *r)
{
	r->l->node.deaf = false;
}

static void
client_room_begin(struct run *r)
{
	room_begin(r, S2C);
}

static void
client_room_end(struct run *r)
{
	r->l->client.deaf = false;
}

static void
half(struct run *r, enum dir dir, struct buf *b)
{
	const size_t n = buf_len(b) / 2;

	house_say(dir == C2S ? &r->l->client : &r->l->node, buf_head(b), n);
	buf_drain(b, n);
	r->rest[dir] = *b;
}

static void
request_begin(struct run *r)
{
	struct buf b = { .mem = NULL };

	house_setup(&b, 11, 0, 0, 1);
	half(r, C2S, &b);
}

static void
request_end(struct run *r)
{
	say(&r->l->client, &r->rest[C2S]);
}

static void
answer_begin(struct run *r)
{
	struct buf b = { .mem = NULL };

	house_setup_answer(&b, 5, 0, STATUS_ACCESS_DENIED, 0);
	half(r, S2C, &b);
}

static void
answer_end(struct run *r)
{
	say(&r->l->node, &r->rest[S2C]);
}

static void
long_request_begin(struct run *r)
{
	bulk(r, C2S, LONG_BYTES);
}

static void
long_answer_begin(struct run *r)
{
	bulk(r, S2C, LONG_BYTES);
}

static void
half_close_begin(struct run *r)
{
	r->l->client.fin = true;
}

static void
flush_begin(struct run *r)
{
	r->l->node.fin = true;
}

static void
nothing(struct run *r)
{
	(void)r;
}

/*
 * All that a connection which relays can wait for. stands: nothing of that direction arrives until
 * it has ended; last: nothing of that direction can come behind it; over: the connection ends with
 * it, once the client has all that the node sent.
 */
static const struct {
	const char *name;
	enum dir dir;
	bool stands, last, over;
	void (*begin)(struct run *r);
	void (*end)(struct run *r);
} waits[] = {
	{ "the map (facts)", C2S, true, false, false, facts_begin, facts_end },
	{ "room at the node", C2S, true, false, false, node_room_begin, node_room_end },
	{ "the rest of a request", C2S, true, true, false, request_begin, request_end },
	{ "a turn for requests", C2S, false, false, false, long_request_begin, nothing },
	{ "half-close", C2S, false, true, false, half_close_begin, nothing },
	{ "smbgate-keyd", S2C, true, false, false, key_begin, key_end },
	{ "room at the client", S2C, true, false, false, client_room_begin, client_room_end },
	{ "the rest of an answer", S2C, true, true, false, answer_begin, answer_end },
	{ "a turn for answers", S2C, false, false, false, long_answer_begin, nothing },
	{ "flush", S2C, false, true, true, flush_begin, nothing },
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Others have a message each answered, whatever waits here. */
static void
bystanders_go_on(struct house_link *const *crowd)
{
	struct buf b = { .mem = NULL };

	for (int i = 0; i < BYSTANDERS; i++) {
		house_bulk(&b, 77, false, 100);
		say(&crowd[i]->client, &b);
	}
	for (int i = 0; i < BYSTANDERS; i++) {
		exchanged(crowd[i]);
		house_bulk(&b, 77, true, 3000);
		say(&crowd[i]->node, &b);
		exchanged(crowd[i]);
	}
}

static const char *
where(const struct house_link *l)
{
	return house_lives(l) ? conn_stage_str(l->conn->stage) : "over";
}

static bool
finished(void *arg)
{
	const struct run *r = arg;

	return came(r->l, S2C) && (!r->l->node.fin || r->l->client.eof) &&
	    (r->l->node.fin || (came(r->l, C2S) && (!r->l->client.fin || r->l->node.eof)));
}

static void
pair(struct house *h, struct house_link *const *crowd, size_t a, size_t b, bool ends_first,
    unsigned number)
{
	const size_t first = ends_first ? a : b, second = ends_first ? b : a;
	struct run r = { .h = h, .l = ready(h), .bulk = number % 2 == 0 ? 8000 : 48000 };
	bool over;

	waits[a].begin(&r);
	turns(h);
	waits[b].begin(&r);
	turns(h);
	bystanders_go_on(crowd);
	over = r.l->node.fin;
	if (waits[a].stands && (waits[a].dir == S2C || !over) && came(r.l, waits[a].dir))
		fail_msg("%s does not wait", waits[a].name);
	waits[first].end(&r);
	turns(h);
	if (waits[second].stands && (waits[second].dir == S2C || !over) &&
	    came(r.l, waits[second].dir))
		fail_msg("%s has ended with %s", waits[second].name, waits[first].name);
	waits[second].end(&r);
	if (!house_until(h, finished, &r))
		fail_msg("%s, then %s; %s ended first: requests %zu of %zu, answers %zu of %zu; %s",
		    waits[a].name, waits[b].name, waits[first].name, buf_len(&r.l->node.got),
		    buf_len(&r.l->client.said), buf_len(&r.l->client.got), buf_len(&r.l->node.said),
		    where(r.l));
	buf_fini(&r.rest[C2S]);
	buf_fini(&r.rest[S2C]);
	house_hang_up(r.l);
}

static void
test_pairs(void **state)
{
	struct house *h = house_new("");
	struct house_link *crowd[BYSTANDERS];
	unsigned n = 0;

	(void)state;
	for (int i = 0; i < BYSTANDERS; i++)
		crowd[i] = ready(h);
	for (size_t a = 0; a < COUNT(waits); a++)
		for (size_t b = 0; b < COUNT(waits); b++) {
			if (a == b || waits[a].over ||
			    (waits[a].dir == waits[b].dir && waits[a].last))
				continue;
			pair(h, crowd, a, b, true, n);
			pair(h, crowd, a, b, false, n++);
		}
	print_message("# %u pairs, each ended in both orders\n", n);
	house_free(h);
}

/* The logon whose answer waits for its key is given up: nothing will come for it. */
static void
test_given_up(void **state)
{
	struct house *h = house_new("auth { guest = refuse }\n");
	struct house_link *l = ready(h);
	struct run r = { .h = h, .l = l };
	struct buf b = { .mem = NULL };
	size_t was;

	(void)state;
	key_begin(&r);
	turns(h);
	assert_int_equal(l->conn->side[S2C].wait, WAIT_KEY);
	was = buf_len(&l->client.got);
	/* On the same session, and refused. */
	house_setup(&b, 6, LOGON_B, 0, 4);
	say(&l->client, &b);
	turns(h);
	assert_int_equal(l->conn->side[S2C].wait, WAIT_NONE);
	assert_true(came(l, S2C) && buf_len(&l->client.got) > was);
	house_free(h);
}

/* Before the logon, what is waited for comes in turn: all of it, in every mixture. */
enum opening { OPEN_ACCEPT, OPEN_HELD, OPEN_CLAIM, OPEN_REPLAY, OPEN_PAUSE, OPENINGS };
enum tail { TAIL_NONE, TAIL_CUT, TAIL_MORE, TAIL_FIN, TAILS };

static void
hold(struct house *h, enum opening o, bool on)
{
	struct node *n = nodes_find_name(h->parts.nodes, "n1");

	if (o == OPEN_HELD)
		n->drain = on;
	else if (o == OPEN_CLAIM)
		h->claims_slow = on;
	else if (o == OPEN_PAUSE)
		h->others = on;
	node_unref(&n);
}

/* The SMB1 NEGOTIATE of a client that knows SMB2. */
static void
put_multi(struct buf *b)
{
	uint8_t out[512];
	struct wr w = wr_init(out, sizeof(out));

	wr_zero(&w, NBSS_HDR_LEN);
	neg1_probe_put(&w);
	assert_true(wr_ok(&w));
	nbss_put(out, (uint32_t)(wr_len(&w) - NBSS_HDR_LEN));
	assert_int_equal(buf_add(b, out, wr_len(&w)), 0);
}

struct opened {
	struct house_link *l;
	struct buf rest;
	size_t multi;		/* length of the SMB1 NEGOTIATE, 0: there is none */
	size_t all;		/* of what the client says */
	bool replay_slow;
	bool swallowed, answered;
};

/* The node does its part. */
static void
node_answers(struct opened *o)
{
	struct house_end *node = &o->l->node;
	struct buf b = { .mem = NULL };

	if (o->multi > 0 && !o->swallowed) {
		if (buf_len(&node->got) < o->multi || o->replay_slow)
			return;
		assert_int_equal(buf_len(&node->got), o->multi);
		o->swallowed = true;
		house_negotiate_answer(&b, 0, true);
		say(node, &b);
	}
	if (!o->answered && buf_len(&node->got) > o->multi + 100) {
		o->answered = true;
		house_negotiate_answer(&b, o->multi > 0, false);
		say(node, &b);
	}
}

/* Of those waits that are a connection's own, and not the whole house's, every mixture at once. */
#define OWN (1u << OPEN_ACCEPT | 1u << OPEN_REPLAY)
#define AT_ONCE (4 * TAILS)

static bool
opened_all(void *arg)
{
	struct opened *all = arg;
	bool done = true;

	for (int i = 0; i < AT_ONCE; i++) {
		struct opened *o = &all[i];

		node_answers(o);
		if (i % TAILS == TAIL_FIN)
			done &= !house_lives(o->l);
		else
			done &= o->answered && came(o->l, C2S) &&
			    o->l->conn->stage == CONN_LOGON && buf_len(&o->l->client.got) > 120;
	}
	return done;
}

static void
open_one(struct house *h, struct opened *o, unsigned mask, enum tail tail)
{
	struct buf b = { .mem = NULL };

	*o = (struct opened){ .l = house_dial(h, (mask & 1u << OPEN_ACCEPT) != 0) };
	o->replay_slow = (mask & 1u << OPEN_REPLAY) != 0;
	if ((mask & (1u << OPEN_REPLAY | 1u << OPEN_PAUSE)) != 0)
		put_multi(&b);
	o->multi = buf_len(&b);
	house_negotiate(&b, o->multi > 0, 0x1000 * mask + tail + 1);
	if (tail == TAIL_CUT) {
		house_say(&o->l->client, buf_head(&b), buf_len(&b) - 20);
		buf_drain(&b, buf_len(&b) - 20);
		o->rest = b;
		return;
	}
	if (tail != TAIL_NONE)
		house_setup(&b, 2, 0, 0, 1);
	for (int i = 0; i < 6 && tail == TAIL_MORE; i++)
		house_bulk(&b, 3, false, 3000);
	say(&o->l->client, &b);
	o->l->client.fin = tail == TAIL_FIN;
}

/* held: the waits of the whole house. */
static void
openings(struct house *h, unsigned held, bool backwards)
{
	static const unsigned own[] = { 0, 1u << OPEN_ACCEPT, 1u << OPEN_REPLAY, OWN };
	struct opened o[AT_ONCE];

	for (int k = 0; k < OPENINGS; k++)
		hold(h, (enum opening)k, (held & 1u << k) != 0);
	for (int i = 0; i < AT_ONCE; i++)
		open_one(h, &o[i], held | own[i / TAILS], (enum tail)(i % TAILS));
	turns(h);
	for (int i = TAIL_CUT; i < AT_ONCE; i += TAILS)
		say(&o[i].l->client, &o[i].rest);
	for (int k = 0; k < OPENINGS; k++) {
		enum opening it = (enum opening)(backwards ? OPENINGS - 1 - k : k);

		if (it != OPEN_PAUSE)
			hold(h, it, false);
		for (int i = 0; i < AT_ONCE; i++)
			o[i].replay_slow &= it != OPEN_REPLAY;
		turns(h);
	}
	if (!house_until(h, opened_all, o))
		for (int i = 0; i < AT_ONCE; i++)
			print_message("# waits %#x%s, %d: %s\n", held | own[i / TAILS],
			    backwards ? ", backwards" : "", i % TAILS, where(o[i].l));
	assert_true(opened_all(o));
	for (int i = 0; i < AT_ONCE; i++)
		house_hang_up(o[i].l);
}

static void
test_openings(void **state)
{
	struct house *h = house_new("limits { accept-rate = 50  accept-burst = 1 }\n");

	(void)state;
	for (unsigned held = 0; held < 1u << OPENINGS; held++)
		if ((held & OWN) == 0) {
			openings(h, held, false);
			openings(h, held, true);
		}
	house_free(h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_given_up),
		cmocka_unit_test(test_openings),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
