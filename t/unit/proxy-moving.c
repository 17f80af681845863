/* proxy-moving.c: connections that go to another process, which may refuse, lie or die */
#include "config.h"

#include "t/unit/lib/house.h"

#include "base/clock.h"
#include "base/fdpass.h"
#include "base/tlv.h"
#include "proxy/conn_priv.h"
#include "proxy/conn.h"
#include "proxy/giving.h"
#include "proxy/moving.h"
#include "proxy/send.h"
#include "proxy/taking.h"
#include "smb/const.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>
#include <cmocka.h>

#define SESSION 0x100
#define LINKS 3

static bool
came_all(void *arg)
{
	const struct house_link *l = arg;

	return buf_len(&l->node.got) == buf_len(&l->client.said) &&
	    buf_len(&l->client.got) == buf_len(&l->node.said);
}

static void
say(struct house_link *l, enum dir dir, struct buf *b)
{
	house_say(dir == C2S ? &l->client : &l->node, buf_head(b), buf_len(b));
	buf_fini(b);
}

static void
exchange(struct house_link *l, enum dir dir, struct buf *b)
{
	say(l, dir, b);
	assert_true(house_until(l->house, came_all, l));
}

/* A client that has logged on. */
static struct house_link *
relaying(struct house *h)
{
	struct house_link *l = house_dial(h, false);
	struct buf b = { .mem = NULL };

	h->w->env.listen = &h->listener;
	h->w->env.nlisten = 1;
	house_negotiate(&b, 0, h->nlinks);
	exchange(l, C2S, &b);
	house_negotiate_answer(&b, 0, false);
	exchange(l, S2C, &b);
	house_setup(&b, 1, 0, 0, 1);
	exchange(l, C2S, &b);
	house_setup_answer(&b, 1, SESSION + h->nlinks, STATUS_MORE_PROCESSING_REQUIRED, 2);
	exchange(l, S2C, &b);
	house_setup(&b, 2, SESSION + h->nlinks, 0, 3);
	exchange(l, C2S, &b);
	house_setup_answer(&b, 2, SESSION + h->nlinks, STATUS_SUCCESS, 0);
	exchange(l, S2C, &b);
	assert_int_equal(l->conn->stage, CONN_RELAY);
	assert_null(moving_stays(l->conn));
	return l;
}

/* Bytes come through, both ways. */
static void
works(struct house_link *l)
{
	struct buf b = { .mem = NULL };

	house_bulk(&b, 1000, false, 3000);
	exchange(l, C2S, &b);
	house_bulk(&b, 1000, true, 5000);
	exchange(l, S2C, &b);
	assert_memory_equal(buf_head(&l->node.got), buf_head(&l->client.said),
	    buf_len(&l->node.got));
	assert_memory_equal(buf_head(&l->client.got), buf_head(&l->node.said),
	    buf_len(&l->client.got));
}

struct peer {
	struct house *h;
	struct house_link *l[LINKS];
	int fd;			/* ours */
	struct giving *g;
	struct giving_report said;
	uint8_t offer[TAKING_OFFER_MAX];
	size_t n;
	int fds[2];
};

static void
report_cb(void *arg, const struct giving_report *r)
{
	struct peer *p = arg;

	p->said = *r;
}

static void
way_new(struct peer *p, int *end)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	p->fd = pair[0];
	*end = pair[1];
}

static void
begin(struct peer *p, int *end)
{
	p->h = house_new("");
	for (int i = 0; i < LINKS; i++)
		p->l[i] = relaying(p->h);
	way_new(p, end);
}

static void
giving_begin(struct peer *p)
{
	int end;

	way_new(p, &end);
	p->g = giving_new(&p->h->w->env, &end, 1, report_cb, p);
	assert_non_null(p->g);
}

static struct peer *
giving(void)
{
	struct peer *p = calloc(1, sizeof(*p));
	int end;

	assert_non_null(p);
	begin(p, &end);
	p->g = giving_new(&p->h->w->env, &end, 1, report_cb, p);
	assert_non_null(p->g);
	return p;
}

static void
finish(struct peer *p)
{
	giving_free(&p->g);
	if (p->fd != -1)
		close(p->fd);
	house_free(p->h);
	free(p);
}

static bool
offered(void *arg)
{
	struct peer *p = arg;
	ssize_t n = fdpass_recv2(p->fd, p->offer, sizeof(p->offer), p->fds, MSG_DONTWAIT);

	p->n = n > 0 ? (size_t)n : 0;
	return n > 0;
}

static void
next_offer(struct peer *p)
{
	assert_true(house_until(p->h, offered, p));
	assert_true(p->fds[0] != -1 && p->fds[1] != -1);
}

static void
answer(struct peer *p, uint64_t serial, const char *why)
{
	struct tlv_out o = { .len = 0 };

	tlv_put_uint(&o, 1, serial);
	tlv_put_text(&o, 2, why);
	assert_int_equal(send(p->fd, o.data, o.len, 0), o.len);
	tlv_out_fini(&o);
}

static void
close_offer(struct peer *p)
{
	close(p->fds[0]);
	close(p->fds[1]);
}

static bool
is_broken(void *arg)
{
	return ((struct peer *)arg)->said.broken;
}

static void
all_work(struct peer *p, int from)
{
	for (int i = from; i < LINKS; i++) {
		assert_true(house_lives(p->l[i]));
		works(p->l[i]);
	}
}

/* One is taken, one is refused, and of the third nothing is said when the other one dies. */
static void
each_has_one_owner(void **state)
{
	struct peer *p = giving();
	int fds[2];

	(void)state;
	next_offer(p);
	memcpy(fds, p->fds, sizeof(fds));
	answer(p, 1, NULL);
	next_offer(p);
	close_offer(p);
	answer(p, 2, "no such listener");
	next_offer(p);
	close_offer(p);
	close(p->fd);
	p->fd = -1;
	assert_true(house_until(p->h, is_broken, p));
	assert_false(house_lives(p->l[0]));
	assert_int_equal(p->said.left, LINKS - 1);
	all_work(p, 1);
	/* The first one's sockets are open here alone. */
	assert_false(p->l[0]->client.eof || p->l[0]->node.eof);
	close(fds[0]);
	close(fds[1]);
	finish(p);
}

static void
nobody_answers(void **state)
{
	struct peer *p = giving();

	(void)state;
	for (int i = 0; i < LINKS; i++) {
		next_offer(p);
		close_offer(p);
	}
	assert_int_equal(p->h->w->env.nconns, 0);
	/* What the client says in between waits. */
	giving_free(&p->g);
	all_work(p, 0);
	finish(p);
}

/*
 * Strangers cannot go, and there may be as many of them as of those who can: these are not looked
 * for from the first one again with each answer.
 */
#define STRANGERS 100000
#define GUESTS 240
#define LONGEST_US 100000

static void
strangers_hold_nothing_up(void **state)
{
	struct peer *p = calloc(1, sizeof(*p));
	struct conn *c = calloc(STRANGERS, sizeof(*c));
	struct conn_env *env;
	uint64_t took;

	(void)state;
	assert_true(p != NULL && c != NULL);
	p->h = house_new("");
	env = &p->h->w->env;
	/* It would look at those that are only in the list. */
	event_del(p->h->w->tick);
	for (unsigned i = 0; i < GUESTS; i++)
		(void)relaying(p->h);
	for (unsigned i = 0; i < STRANGERS; i++)
		TAILQ_INSERT_HEAD(&env->conns, &c[i], entry);
	env->nconns += STRANGERS;
	took = clock_thread_us();
	giving_begin(p);
	for (uint64_t i = 1; i <= GUESTS; i++) {
		next_offer(p);
		close_offer(p);
		answer(p, i, NULL);
	}
	took = clock_thread_us() - took;
	print_message("# %d went: %u ms of CPU time\n", GUESTS, (unsigned)(took / 1000));
	assert_true(took < LONGEST_US);
	giving_free(&p->g);
	for (unsigned i = 0; i < STRANGERS; i++)
		TAILQ_REMOVE(&env->conns, &c[i], entry);
	env->nconns -= STRANGERS;
	free(c);
	finish(p);
}

/* An answer to what was not asked, and one that is none. */
static void
liars_get_nothing(void **state)
{
	(void)state;
	for (int how = 0; how < 2; how++) {
		struct peer *p = giving();

		for (int i = 0; i < LINKS; i++) {
			next_offer(p);
			close_offer(p);
		}
		if (how == 0)
			answer(p, 2, NULL);
		else
			assert_int_equal(send(p->fd, "hello", 5, 0), 5);
		assert_true(house_until(p->h, is_broken, p));
		all_work(p, 0);
		finish(p);
	}
}

/* Of which the parts that nothing shows are looked at. */
struct was {
	struct conn_info info;
	struct pump pump[2];
	size_t in[2], out[2];
	uint64_t owed, bytes[2];
	uint32_t heard[2];
	struct state_key key;
	uint16_t oldest;
	uint8_t standing, kind, by, care[2];
	unsigned timeout[2];	/* TCP_USER_TIMEOUT */
};

static unsigned
user_timeout(int fd)
{
	unsigned ms = 1;
	socklen_t len = sizeof(ms);

	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, &len), 0);
	return ms;
}

static struct was
look(const struct conn *c)
{
	struct was w = { .owed = c->owed_since_ms, .key = c->route.key, .oldest = c->route.oldest,
		.standing = c->standing, .kind = (uint8_t)c->kind, .by = c->route.by };

	conn_describe(c, NULL, &w.info);
	for (int i = 0; i < 2; i++) {
		w.pump[i] = c->side[i].pump;
		w.in[i] = buf_len(&c->side[i].pump.in);
		w.out[i] = buf_len(&c->side[i].out);
		w.bytes[i] = c->side[i].bytes;
		w.heard[i] = c->side[i].heard_s;
		w.care[i] = c->side[i].leg.care;
		w.timeout[i] = user_timeout(c->side[i].leg.edge.fd);
	}
	return w;
}

static void
same(const struct was *a, const struct was *b)
{
	for (int i = 0; i < 2; i++) {
		assert_int_equal(a->pump[i].pass, b->pump[i].pass);
		assert_int_equal(a->pump[i].left, b->pump[i].left);
		assert_int_equal(a->pump[i].need, b->pump[i].need);
		assert_int_equal(a->in[i], b->in[i]);
		assert_int_equal(a->out[i], b->out[i]);
		assert_int_equal(a->bytes[i], b->bytes[i]);
		assert_int_equal(a->heard[i], b->heard[i]);
		assert_int_equal(a->care[i], b->care[i]);
		assert_int_equal(a->timeout[i], b->timeout[i]);
	}
	assert_memory_equal(&a->key, &b->key, sizeof(a->key));
	assert_int_equal(a->oldest, b->oldest);
	assert_int_equal(a->standing, b->standing);
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->by, b->by);
	assert_true(a->owed == b->owed);
	assert_memory_equal(&a->info, &b->info, sizeof(a->info));
}

static bool
one_is_back(void *arg)
{
	return ((struct peer *)arg)->h->w->env.nconns == LINKS;
}

static bool
both_in_a_frame(void *arg)
{
	const struct conn *c = ((struct house_link *)arg)->conn;

	return !pump_idle(&c->side[C2S].pump) && c->side[S2C].pump.pass > 0;
}

/* The first n bytes of a frame are said; the rest of it is kept. */
static void
cut(struct house_link *l, enum dir dir, struct buf *b, size_t n)
{
	house_say(dir == C2S ? &l->client : &l->node, buf_head(b), n);
	buf_drain(b, n);
}

/* A connection goes, and comes back to the same house: nothing of it is lost on the way. */
static void
all_of_it_arrives(void **state)
{
	struct buf rest[2] = { { .mem = NULL }, { .mem = NULL } };
	struct taking *taking = NULL;
	struct peer *p = calloc(1, sizeof(*p));
	struct was before, after;
	int end, back[2];

	(void)state;
	assert_non_null(p);
	begin(p, &end);
	house_setup(&rest[C2S], 7, SESSION + 1, 0, 1);
	cut(p->l[0], C2S, &rest[C2S], 40);
	house_bulk(&rest[S2C], 6, true, 9000);
	cut(p->l[0], S2C, &rest[S2C], 5000);
	assert_true(house_until(p->h, both_in_a_frame, p->l[0]));
	/* The node is in doubt, and nothing ends a connection of it for silence. */
	p->l[0]->conn->node->doubt_ms = 1;
	leg_care_set(&p->l[0]->conn->side[S2C].leg, LEG_PATIENT, &p->h->policy->tcp);
	before = look(p->l[0]->conn);
	assert_int_equal(before.in[C2S], 40);
	assert_int_equal(before.timeout[S2C], 0);

	p->g = giving_new(&p->h->w->env, &end, 1, report_cb, p);
	assert_non_null(p->g);
	next_offer(p);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, back), 0);
	assert_int_equal(fdpass_send2(back[0], p->offer, p->n, p->fds, 0), 0);
	close_offer(p);
	answer(p, 1, NULL);
	for (int i = 0; i < 12; i++)
		house_turn(p->h);
	assert_false(house_lives(p->l[0]));
	giving_free(&p->g);
	assert_int_equal(taking_add(&taking, &p->h->w->env, back[1]), 0);
	assert_true(house_until(p->h, one_is_back, p));
	p->l[0]->conn = TAILQ_LAST(&p->h->w->env.conns, conn_list);
	after = look(p->l[0]->conn);
	same(&before, &after);
	assert_true(recv(back[0], p->offer, sizeof(p->offer), MSG_DONTWAIT) > 0);
	say(p->l[0], S2C, &rest[S2C]);
	exchange(p->l[0], C2S, &rest[C2S]);
	taking_free(&taking);
	close(back[0]);
	finish(p);
}

static FILE *
kept(const char *mode)
{
	const char *src = getenv("srcdir");
	char path[4096];

	snprintf(path, sizeof(path), "%s/t/records/connection-1", src != NULL ? src : "../..");
	return fopen(path, mode);
}

/* Its name in records that are kept: its port is another one each time. */
static void
name_node(struct house *h)
{
	struct node *n = nodes_find_name(h->parts.nodes, "n1");

	assert_non_null(n);
	snprintf(n->id, sizeof(n->id), "n1=10.0.0.1:445");
	node_unref(&n);
}

/* Once for each version of the record. */
static void
keep_record(void)
{
	struct buf rest[2] = { { .mem = NULL }, { .mem = NULL } };
	struct house *h = house_new("");
	struct house_link *l = relaying(h);
	struct tlv_out o = { .len = 0 };
	FILE *f = kept("wb");
	int fds[2];

	house_setup(&rest[C2S], 7, SESSION + 1, 0, 1);
	cut(l, C2S, &rest[C2S], 40);
	house_bulk(&rest[S2C], 6, true, 9000);
	cut(l, S2C, &rest[S2C], 5000);
	assert_true(house_until(h, both_in_a_frame, l));
	l->conn->node->doubt_ms = 1;
	leg_care_set(&l->conn->side[S2C].leg, LEG_PATIENT, &h->policy->tcp);
	l->conn->calling_name = strdup("PC1");
	name_node(h);
	moving_put(l->conn, &o, &fds[0], &fds[1]);
	assert_non_null(f);
	assert_int_equal(fwrite(o.data, 1, o.len, f), o.len);
	fclose(f);
	tlv_out_fini(&o);
	buf_fini(&rest[C2S]);
	buf_fini(&rest[S2C]);
	house_free(h);
}

/* A connection as the first smbgate that could hand over wrote it is taken by every later one. */
static void
the_first_record_is_taken(void **state)
{
	struct house *h;
	const char *why = NULL;
	uint8_t bytes[8192];
	struct conn *c;
	int a[2], b[2];
	size_t n;
	FILE *f;

	(void)state;
	if (getenv("SMBGATE_WRITE_RECORD") != NULL)
		keep_record();
	f = kept("rb");
	assert_non_null(f);
	n = fread(bytes, 1, sizeof(bytes), f);
	fclose(f);
	assert_true(n > 300 && n < sizeof(bytes));
	h = house_new("");
	name_node(h);
	h->w->env.listen = &h->listener;
	h->w->env.nlisten = 1;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, a), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, b), 0);
	c = moving_get(&h->w->env, tlv_in(bytes, n), a[1], b[1], &why);
	assert_non_null(c);
	assert_string_equal(c->calling_name, "PC1");
	assert_int_equal(buf_len(&c->side[C2S].pump.in), 40);
	assert_true(c->side[S2C].pump.pass > 3000 && c->side[S2C].bytes > 5000);
	assert_int_equal(c->side[S2C].leg.care, LEG_PATIENT);
	assert_true(c->mediate.track.logged_on && !c->mediate.track.smb1);
	moving_drop(c);
	close(a[0]);
	close(b[0]);
	house_free(h);
}

/* The old one is gone before it can be told: it was its own, and is closed here. */
static void
an_answer_that_nobody_hears(void **state)
{
	struct taking *taking = NULL;
	struct peer *p = giving();
	int back[2];

	(void)state;
	next_offer(p);
	giving_free(&p->g);
	assert_int_equal(p->h->w->env.nconns, LINKS);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, back), 0);
	assert_int_equal(fdpass_send2(back[0], p->offer, p->n, p->fds, 0), 0);
	close_offer(p);
	close(back[0]);
	assert_int_equal(taking_add(&taking, &p->h->w->env, back[1]), 0);
	for (int i = 0; i < 12; i++)
		house_turn(p->h);
	assert_int_equal(p->h->w->env.nconns, LINKS);
	taking_free(&taking);
	all_work(p, 0);
	finish(p);
}

/* Records that are wrong are refused with a word, and their sockets closed. */
static void
wrong_records_are_refused(void **state)
{
	struct taking *taking = NULL;
	struct taking_answer a;
	struct peer *p = giving();
	unsigned refused = 0, asked = 0;
	int back[2];

	(void)state;
	next_offer(p);
	close_offer(p);
	giving_free(&p->g);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, back), 0);
	assert_int_equal(taking_add(&taking, &p->h->w->env, back[1]), 0);
	for (size_t n = 7; n < p->n; n += 5, asked++) {
		int fds[2];
		uint8_t msg[TAKING_ANSWER_MAX];
		ssize_t got = -1;

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
		assert_int_equal(fdpass_send2(back[0], p->offer, n, fds, 0), 0);
		close(fds[0]);
		close(fds[1]);
		for (int i = 0; i < 1000 && got == -1; i++) {
			house_turn(p->h);
			got = recv(back[0], msg, sizeof(msg), MSG_DONTWAIT);
		}
		assert_true(got > 0 && taking_answer_get(&a, msg, (size_t)got));
		refused += a.why[0] != '\0';
	}
	assert_int_equal(refused, asked);
	assert_int_equal(p->h->w->env.nconns, LINKS);
	taking_free(&taking);
	close(back[0]);
	all_work(p, 0);
	finish(p);
}

static int events_left;

static void *
scarce(size_t n)
{
	return events_left-- > 0 ? malloc(n) : NULL;
}

/* No event for a way, nor one for the timer: the connections are still served. */
static void
memory_is_out(void **state)
{
	struct peer *p = calloc(1, sizeof(*p));
	int end;

	(void)state;
	assert_non_null(p);
	begin(p, &end);
	for (int n = 1; n >= 0; n--) {
		const int fd = dup(end);

		events_left = n;
		event_set_mem_functions(scarce, realloc, free);
		p->g = giving_new(&p->h->w->env, &fd, 1, report_cb, p);
		event_set_mem_functions(malloc, realloc, free);
		assert_null(p->g);
		assert_int_equal(events_left, n == 1 ? -1 : -2);
	}
	close(end);
	all_work(p, 0);
	finish(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_has_one_owner),
		cmocka_unit_test(nobody_answers),
		cmocka_unit_test(strangers_hold_nothing_up),
		cmocka_unit_test(liars_get_nothing),
		cmocka_unit_test(all_of_it_arrives),
		cmocka_unit_test(the_first_record_is_taken),
		cmocka_unit_test(an_answer_that_nobody_hears),
		cmocka_unit_test(wrong_records_are_refused),
		cmocka_unit_test(memory_is_out),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
