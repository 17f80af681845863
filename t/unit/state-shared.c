/* state-shared.c: what a process knows of a shared map; records; answers that no Redis gives */
#include "config.h"

#include "base/clock.h"
#include "state/exceptions.h"
#include "state/fault.h"
#include "state/link.h"
#include "state/queries.h"
#include "state/record.h"
#include "state/reply.h"
#include "state/script.h"
#include "state/shared.h"
#include "state/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <hiredis/hiredis.h>

/* Stands in for HMAC-SHA256: depends on every byte and on where it stands. */
static int
mac(const void *arg, const char *label, const void *a, size_t an, const void *b, size_t bn,
    uint8_t out[32])
{
	const void *part[] = { label, a, b };
	const size_t len[] = { strlen(label), an, bn };
	uint64_t h = 14695981039346656037ull ^ *(const unsigned *)arg;

	for (int i = 0; i < 3; i++) {
		for (size_t k = 0; k < len[i]; k++)
			h = (h ^ ((const uint8_t *)part[i])[k]) * 1099511628211ull;
		h = (h ^ len[i]) * 1099511628211ull;
	}
	for (int i = 0; i < 32; i++, h = h * 6364136223846793005ull + 1442695040888963407ull)
		out[i] = (uint8_t)(h >> 56);
	return 0;
}

static const unsigned secret = 1, other_secret = 2;
static const struct record_seal seal = { .arg = &secret, .mac = mac };

/* Records. */

static void
test_record(void **state)
{
	static const struct record_seal other = { .arg = &other_secret, .mac = mac };
	char text[STATE_NODE_LEN], bytes[RECORD_MAX];
	struct record r;
	uint64_t when;

	(void)state;
	record_make(&r, &seal, "claim", "id", 2, 1700000000123, "n1=10.0.0.1:445");
	assert_int_equal(r.len, RECORD_HEAD + 15 + RECORD_TAG);
	assert_int_equal(record_get(r.bytes, r.len, &seal, "claim", "id", 2, &when, text), 0);
	assert_int_equal(when, 1700000000123);
	assert_string_equal(text, "n1=10.0.0.1:445");
	/* Of another name, for another purpose, by another cluster. */
	assert_int_equal(record_get(r.bytes, r.len, &seal, "claim", "ie", 2, &when, text), -1);
	assert_int_equal(record_get(r.bytes, r.len, &seal, "claim", "id", 1, &when, text), -1);
	assert_int_equal(record_get(r.bytes, r.len, &seal, "stand", "id", 2, &when, text), -1);
	assert_int_equal(record_get(r.bytes, r.len, &other, "claim", "id", 2, &when, text), -1);
	for (size_t i = 0; i < r.len; i++) {
		for (int bit = 0; bit < 8; bit++) {
			memcpy(bytes, r.bytes, r.len);
			bytes[i] = (char)(bytes[i] ^ (1 << bit));
			assert_int_equal(record_get(bytes, r.len, &seal, "claim", "id", 2, &when,
			    text), -1);
		}
	}
	for (size_t n = 0; n < r.len; n++)
		assert_int_equal(record_get(r.bytes, n, &seal, "claim", "id", 2, &when, text), -1);
	assert_int_equal(record_get(bytes, RECORD_MAX, &seal, "claim", "id", 2, &when, text), -1);
	assert_int_equal(record_get(bytes, SIZE_MAX, &seal, "claim", "id", 2, &when, text), -1);
}

static void
test_record_limits(void **state)
{
	char longest[STATE_NODE_LEN + 1], text[STATE_NODE_LEN];
	struct record r;
	uint64_t when;

	(void)state;
	memset(longest, 'n', sizeof(longest));
	longest[STATE_NODE_LEN - 1] = '\0';
	record_make(&r, &seal, "claim", "id", 2, UINT64_MAX, longest);
	assert_int_equal(record_get(r.bytes, r.len, &seal, "claim", "id", 2, &when, text), 0);
	assert_string_equal(text, longest);
	assert_int_equal(when, 999999999999999);
	longest[STATE_NODE_LEN - 1] = 'n';
	longest[STATE_NODE_LEN] = '\0';
	record_make(&r, &seal, "claim", "id", 2, 1, longest);
	assert_int_equal(r.len, 0);
	record_make(&r, &seal, "claim", "id", 2, 1, "");
	assert_int_equal(r.len, 0);
}

static void
test_hex(void **state)
{
	const uint8_t id[4] = { 0x00, 0x9a, 0xff, 0x42 };
	uint8_t back[4];
	char hex[9];

	(void)state;
	record_hex(id, 4, hex);
	assert_string_equal(hex, "009aff42");
	assert_int_equal(record_unhex(back, 4, hex), 0);
	assert_memory_equal(back, id, 4);
	assert_int_equal(record_unhex(back, 4, "009AFF42"), -1);
	assert_int_equal(record_unhex(back, 4, "009aff4"), -1);
	assert_int_equal(record_unhex(back, 4, "009af\0\0\0"), -1);
}

/* Answers. */

/* 1: whole answers came; 0: not yet; -1: refused. */
static int
parse(const char *text, size_t len)
{
	struct reply_parser *p = reply_parser_new();
	redisReply *r;
	int how, any = 0;

	assert_non_null(p);
	assert_int_equal(reply_feed(p, text, len), 0);
	while ((how = reply_next(p, &r)) == 1) {
		any = 1;
		freeReplyObject(r);
	}
	reply_parser_free(&p);
	assert_null(p);
	return how == -1 ? -1 : any;
}

#define PARSE(s) parse(s, sizeof(s) - 1)

static void
test_claims(void **state)
{
	(void)state;
	assert_int_equal(PARSE("+OK\r\n"), 1);
	assert_int_equal(PARSE("*2\r\n$1\r\na\r\n:1\r\n"), 1);
	assert_int_equal(PARSE("*-1\r\n"), 1);
	assert_int_equal(PARSE("*4096\r\n"), 0);
	/* What is claimed is not allocated. */
	assert_int_equal(PARSE("*4097\r\n"), -1);
	assert_int_equal(PARSE("*1000000000\r\n"), -1);
	assert_int_equal(PARSE("*2147483647\r\n"), -1);
	assert_int_equal(PARSE("*99999999999999999999\r\n"), -1);
	assert_int_equal(PARSE("*-2147483648\r\n"), -1);
	/* Neither by many arrays in one another. */
	assert_int_equal(PARSE("*2048\r\n*2048\r\n"), 0);
	assert_int_equal(PARSE("*2048\r\n*2048\r\n*1\r\n"), -1);
	assert_int_equal(PARSE("*2\r\n*2048\r\n*2048\r\n"), -1);
	/* The count begins anew with each answer. */
	assert_int_equal(PARSE("*1\r\n:1\r\n*4096\r\n"), 1);
	/* Deeper than anybody needs. */
	assert_int_equal(PARSE("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n"), -1);
	/* A string that is not there yet costs nothing; one that cannot be is refused. */
	assert_int_equal(PARSE("$1000000000\r\nabc"), 0);
	assert_int_equal(PARSE("$99999999999999999999\r\n"), -1);
	assert_int_equal(PARSE("garbage\r\n"), -1);
	assert_int_equal(PARSE("HTTP/1.1 200 OK\r\n\r\n"), -1);
	assert_int_equal(PARSE("\0\0\0\0"), -1);
}

static void
test_bytes_bound(void **state)
{
	struct reply_parser *p = reply_parser_new();
	static char block[65536];
	redisReply *r;
	size_t fed = 0;
	int how = 0;

	(void)state;
	assert_int_equal(reply_feed(p, "$900000000\r\n", 12), 0);
	memset(block, 'x', sizeof(block));
	while (fed < 4 * REPLY_BYTES_MAX && (how = reply_next(p, &r)) == 0) {
		assert_int_equal(reply_feed(p, block, sizeof(block)), 0);
		fed += sizeof(block);
	}
	assert_int_equal(how, -1);
	assert_in_range(fed, REPLY_BYTES_MAX, REPLY_BYTES_MAX + 2 * sizeof(block));
	reply_parser_free(&p);
}

/* A whole answer, cut at every byte, is the same. */
static void
test_split(void **state)
{
	static const char text[] = "*4\r\n:7\r\n$3\r\na\0b\r\n*1\r\n+x\r\n$-1\r\n";
	size_t len;

	(void)state;
	for (size_t cut = 0; cut < sizeof(text); cut++) {
		struct reply_parser *p = reply_parser_new();
		redisReply *r;

		assert_int_equal(reply_feed(p, text, cut), 0);
		if (cut < sizeof(text) - 1)
			assert_int_equal(reply_next(p, &r), 0);
		assert_int_equal(reply_feed(p, text + cut, sizeof(text) - 1 - cut), 0);
		assert_int_equal(reply_next(p, &r), 1);
		assert_int_equal(reply_elements(r), 4);
		assert_int_equal(reply_number(r, 0), 7);
		assert_memory_equal(reply_string(r, 1, &len), "a\0b", 4);
		assert_int_equal(len, 3);
		assert_int_equal(reply_elements(reply_array(r, 2)), 1);
		/* Of the wrong type, or not there: nothing, and no crash. */
		assert_null(reply_string(r, 0, &len));
		assert_int_equal(len, 0);
		assert_null(reply_string(r, 3, &len));
		assert_null(reply_string(r, 4, &len));
		assert_null(reply_string(NULL, 0, &len));
		assert_int_equal(reply_number(r, 1), 0);
		assert_null(reply_array(r, 1));
		assert_int_equal(reply_elements(NULL), 0);
		freeReplyObject(r);
		reply_parser_free(&p);
	}
}

static void
test_faults(void **state)
{
	(void)state;
	assert_int_equal(fault_of("READONLY You can't write against a read only replica."),
	    FAULT_READONLY);
	assert_int_equal(fault_of("ERR Error running script: -READONLY You can't"), FAULT_READONLY);
	assert_int_equal(fault_of("LOADING Redis is loading the dataset"), FAULT_LOADING);
	assert_int_equal(fault_of("NOSCRIPT No matching script."), FAULT_NOSCRIPT);
	assert_int_equal(fault_of("WRONGTYPE Operation against a key"), FAULT_WRONGTYPE);
	assert_int_equal(fault_of("ERR unknown command"), FAULT_ERROR);
	assert_int_equal(fault_of(""), FAULT_ERROR);
	assert_int_equal(fault_kind(FAULT_READONLY), FAULT_ENDS);
	assert_int_equal(fault_kind(FAULT_NOSCRIPT), FAULT_PASSES);
	assert_int_equal(fault_kind(FAULT_WRONGTYPE), FAULT_PASSES);
	/* What Redis 7.0 and 7.2 say of a script that may not run a command. */
	assert_int_equal(fault_of("ERR The user executing the script can't run this command"),
	    FAULT_NOPERM);
	assert_int_equal(fault_of("ERR ACL failure in script: User gate has no"), FAULT_NOPERM);
	assert_int_equal(fault_kind(FAULT_NOPERM), FAULT_TROUBLES);
}

/* Once a minute, with what was left out; and sooner where all was well for a while in between. */
static void
test_faults_said(void **state)
{
	struct faults t = { .lock = PTHREAD_MUTEX_INITIALIZER };
	char last[FAULT_WORDS];

	(void)state;
	fault_last(&t, last);
	assert_string_equal(last, "");
	fault_met(&t, FAULT_OOM, "10.0.0.1:6379", "OOM of\nmemory\xff");
	assert_int_equal(t.said_count[FAULT_OOM], 1);
	fault_last(&t, last);
	assert_string_equal(last, "OOM of?memory?");
	fault_met(&t, FAULT_OOM, "10.0.0.1:6379", "OOM");
	assert_int_equal(t.said_count[FAULT_OOM], 1);
	/* Another trouble is news. */
	fault_met(&t, FAULT_CLOSED, "10.0.0.1:6379", NULL);
	assert_int_equal(t.said_count[FAULT_CLOSED], 1);
	fault_last(&t, last);
	assert_string_equal(last, "closed");
	t.said_ms[FAULT_OOM] -= 60000;
	fault_met(&t, FAULT_OOM, "10.0.0.1:6379", "OOM");
	assert_int_equal(t.said_count[FAULT_OOM], 3);
	fault_over(&t);
	fault_met(&t, FAULT_OOM, "10.0.0.1:6379", "OOM");
	assert_int_equal(t.said_count[FAULT_OOM], 3);
	t.said_ms[FAULT_OOM] -= 6000;
	t.well_ms -= 5000;
	fault_met(&t, FAULT_OOM, "10.0.0.1:6379", "OOM");
	assert_int_equal(t.said_count[FAULT_OOM], 5);
	assert_int_equal(t.count[FAULT_OOM], 5);
}

/* The exceptions. */

static void
test_exceptions(void **state)
{
	const uint8_t a[NAMES_ID_LEN] = { 1 }, b[NAMES_ID_LEN] = { 2 };
	struct exceptions *m = exceptions_new();
	struct record r;
	static char big[RECORD_MAX + 1];

	(void)state;
	assert_int_equal(exceptions_put(m, a, "one", 3), 0);
	assert_int_equal(exceptions_put(m, b, "two", 3), 0);
	assert_int_equal(exceptions_put(m, a, "three", 5), 0);
	assert_int_equal(exceptions_put(m, b, big, sizeof(big)), -1);
	assert_int_equal(exceptions_count(m), 2);
	assert_true(exceptions_get(m, a, &r));
	assert_int_equal(r.len, 5);
	exceptions_drop(m, b);
	assert_false(exceptions_get(m, b, &r));
	/* Not seen once is no reason: Redis may have lost it, and its owner soon says it again. */
	exceptions_swept(m);
	exceptions_swept(m);
	assert_true(exceptions_get(m, a, &r));
	assert_int_equal(exceptions_put(m, a, "three", 5), 0);
	exceptions_swept(m);
	exceptions_swept(m);
	assert_true(exceptions_get(m, a, &r));
	exceptions_swept(m);
	assert_false(exceptions_get(m, a, &r));
	exceptions_free(&m);
	assert_null(m);
}

/* Claims. */

#define N1 "n1=10.0.0.1:445"
#define N2 "n2=10.0.0.2:445"

static struct shared *m;
static struct shared_port port;

static int
setup(void **state)
{
	static struct link_conf conf = { .timeout_ms = 20 };

	(void)state;
	m = shared_new(&conf, &seal, 100);
	TAILQ_INIT(&port.ready);
	if (m != NULL)
		shared_online(m, true, false);
	return m == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	assert_int_equal(shared_claims(m), 0);
	shared_free(&m);
	return m == NULL ? 0 : -1;
}

static struct state_key
key(unsigned n)
{
	struct state_key k = { .b = { STATE_KEY_GUID } };

	memcpy(k.b + 1, &n, sizeof(n));
	return k;
}

static enum shared_when
join(struct state_hold *h, unsigned n, const char *node, const char *home, struct state_claim *c)
{
	const struct state_key k = key(n);

	*h = (struct state_hold){ .m = m, .port = &port };
	return shared_claim(h, &k, node, home, c);
}

/* What is to be sent is of that kind; Redis answers. True: the claim is lost. */
static bool
answer(char kind, int how, const char *node, uint64_t made_ms, unsigned others)
{
	struct shared_op op;
	struct record rec;
	struct shared_result r = { .how = how, .others = others };
	struct state_key lost;

	assert_int_equal(shared_take(m, &op, 1, true), 1);
	assert_int_equal(op.kind, kind);
	if (node != NULL) {
		record_make(&rec, &seal, "claim", op.id, NAMES_ID_LEN, made_ms, node);
		r.record = rec.bytes;
		r.len = rec.len;
	}
	return shared_done(m, &op, &r, &lost);
}

static void
nothing_due(void)
{
	struct shared_op op;

	assert_int_equal(shared_take(m, &op, 1, true), 0);
}

/* The next that is answered is h. */
static void
told(struct state_hold *h, struct state_claim *c)
{
	assert_ptr_equal(shared_next(m, &port, c), h);
}

static void
leave(struct state_hold *h)
{
	shared_leave(h, 1000);
}

/* The last of them leaves, and Redis hears of it. */
static void
leave_last(struct state_hold *h)
{
	leave(h);
	(void)answer('r', HOW_HELD, NULL, 0, 0);
}

static void
wait_over(bool owed)
{
	const uint64_t end = clock_ms() + 5000;
	uint64_t next = 0;
	bool was = false;

	do {
		was |= shared_expire(m, &next);
		if (next > clock_ms())
			usleep((useconds_t)(next - clock_ms()) * 1000);
	} while (next != 0 && clock_ms() < end);
	assert_int_equal(was, owed);
}

static void
test_asked_once(void **state)
{
	struct state_hold h[4];
	struct state_claim c;

	(void)state;
	assert_int_equal(join(&h[0], 1, N1, N1, &c), SHARED_LATER);
	/* While it is asked for nobody else asks, and all have one answer. */
	assert_int_equal(join(&h[1], 1, N1, N1, &c), SHARED_LATER);
	answer('c', HOW_JOINED, N2, 500, 2);
	nothing_due();
	told(&h[0], &c);
	assert_string_equal(c.node, N2);
	assert_int_equal(c.others, 2);
	told(&h[1], &c);
	assert_string_equal(c.node, N2);
	assert_int_equal(c.others, 3);
	/* The client is live here: nobody is asked. */
	assert_int_equal(join(&h[2], 1, N1, N1, &c), SHARED_NOW);
	assert_string_equal(c.node, N2);
	assert_int_equal(shared_clients(m, N2), 1);
	assert_int_equal(shared_clients(m, N1), 0);
	leave(&h[0]);
	leave(&h[1]);
	leave(&h[2]);
	/* Who comes back before Redis has heard of it asks again, behind that. */
	assert_int_equal(join(&h[3], 1, N1, N1, &c), SHARED_LATER);
	answer('c', HOW_JOINED, N2, 500, 0);
	told(&h[3], &c);
	leave_last(&h[3]);
	assert_int_equal(shared_clients(m, N2), 0);
}

/* Who is told of nobody else decides; the client's other connections wait for that. */
static void
test_decides_first(void **state)
{
	struct state_hold h[3];
	struct state_claim c;

	(void)state;
	join(&h[0], 1, N2, N2, &c);
	join(&h[1], 1, N2, N2, &c);
	answer('c', HOW_JOINED, N1, 500, 0);
	told(&h[0], &c);
	assert_int_equal(c.others, 0);
	assert_null(shared_next(m, &port, &c));
	assert_int_equal(join(&h[2], 1, N2, N2, &c), SHARED_LATER);
	/* It does not like N1: all of them go to N2. */
	assert_int_equal(shared_move(&h[0], N1, N2, &c), SHARED_LATER);
	answer('m', HOW_MOVED, N2, 900, 0);
	told(&h[0], &c);
	assert_string_equal(c.node, N2);
	assert_null(shared_next(m, &port, &c));
	shared_settle(&h[0]);
	told(&h[1], &c);
	assert_string_equal(c.node, N2);
	assert_int_equal(c.others, 1);
	told(&h[2], &c);
	assert_int_equal(c.others, 2);
	/* Several: it stays. */
	assert_int_equal(shared_move(&h[1], N2, N1, &c), SHARED_NOW);
	assert_string_equal(c.node, N2);
	assert_int_equal(c.others, 2);
	leave(&h[0]);
	leave(&h[1]);
	leave_last(&h[2]);
}

/* Who decides too slowly stays where it is. */
static void
test_decides_late(void **state)
{
	struct state_hold h[2];
	struct state_claim c;

	(void)state;
	join(&h[0], 1, N2, N2, &c);
	join(&h[1], 1, N2, N2, &c);
	answer('c', HOW_JOINED, N1, 500, 0);
	told(&h[0], &c);
	wait_over(false);
	told(&h[1], &c);
	assert_string_equal(c.node, N1);
	assert_int_equal(c.others, 1);
	assert_int_equal(shared_move(&h[0], N1, N2, &c), SHARED_NOW);
	assert_string_equal(c.node, N1);
	assert_int_equal(c.others, 1);
	leave(&h[0]);
	shared_settle(&h[1]);
	leave_last(&h[1]);
}

/* One that is gone before it has decided keeps nobody waiting. */
static void
test_decider_leaves(void **state)
{
	struct state_hold h[2];
	struct state_claim c;

	(void)state;
	join(&h[0], 1, N1, N1, &c);
	join(&h[1], 1, N1, N1, &c);
	answer('c', HOW_MADE, N1, 500, 0);
	told(&h[0], &c);
	assert_true(c.fresh);
	leave(&h[0]);
	told(&h[1], &c);
	assert_int_equal(c.others, 0);
	assert_int_equal(shared_move(&h[1], N1, N2, &c), SHARED_LATER);
	/* Also while it moves: what Redis says of that is for the next. */
	join(&h[0], 1, N1, N1, &c);
	leave(&h[1]);
	(void)answer('m', HOW_MOVED, N2, 900, 0);
	told(&h[0], &c);
	assert_string_equal(c.node, N2);
	leave_last(&h[0]);
}

/* No answer in time: home, or where it is known to be; and whatever Redis says later. */
static void
test_blind(void **state)
{
	struct state_hold h[2];
	struct shared_op op;
	struct shared_result r = { .how = HOW_JOINED };
	struct state_key lost;
	struct state_claim c;
	struct record rec;

	(void)state;
	join(&h[0], 1, N2, N1, &c);
	assert_int_equal(shared_take(m, &op, 1, true), 1);
	assert_true(op.exception);
	assert_int_not_equal(op.other.len, 0);
	wait_over(true);
	told(&h[0], &c);
	assert_true(c.blind);
	assert_string_equal(c.node, N1);
	record_make(&rec, &seal, "claim", op.id, NAMES_ID_LEN, 500, N2);
	r.record = rec.bytes;
	r.len = rec.len;
	assert_false(shared_done(m, &op, &r, &lost));
	assert_int_equal(join(&h[1], 1, N1, N1, &c), SHARED_LATER);
	shared_settle(&h[0]);
	told(&h[1], &c);
	assert_string_equal(c.node, N1);
	/* And Redis is told at once. */
	assert_false(answer('s', HOW_HELD, N1, 600, 0));
	nothing_due();
	leave(&h[0]);
	leave_last(&h[1]);
	/* An exception that is known, with Redis away. */
	assert_int_equal(shared_note_exception(m, op.id, rec.bytes, rec.len), 0);
	assert_int_equal(shared_exceptions(m), 1);
	shared_online(m, false, false);
	assert_int_equal(join(&h[0], 1, N1, N1, &c), SHARED_NOW);
	assert_true(c.blind);
	assert_string_equal(c.node, N2);
	leave(&h[0]);
	/* What nobody of us has written is not heard. */
	rec.bytes[20] = 'X';
	assert_int_equal(shared_note_exception(m, op.id, rec.bytes, rec.len), -1);
	assert_int_equal(shared_faults(m)->count[FAULT_BAD_VALUE], 1);
	assert_int_equal(shared_note_exception(m, op.id, NULL, 0), 0);
	assert_int_equal(shared_exceptions(m), 0);
}

static void
names(const struct record *r, const uint8_t *id, const char *node)
{
	char text[STATE_NODE_LEN];
	uint64_t when;

	assert_int_equal(
	    record_get(r->bytes, r->len, &seal, "claim", id, NAMES_ID_LEN, &when, text), 0);
	assert_string_equal(text, node);
}

/* An exception of a node that takes no new clients counts in young data alone. */
static void
test_out(void **state)
{
	struct shared_result none = { .how = -1 };
	struct state_key lost;
	struct state_hold h;
	struct shared_op op;
	struct state_claim c;
	struct record rec;

	(void)state;
	for (int out = 0; out < 2; out++) {
		shared_rehome(m, out ? "\n" N2 "\n" : "");
		join(&h, 1, N1, N1, &c);
		assert_int_equal(shared_take(m, &op, 1, true), 1);
		assert_string_equal(shared_out(m), out ? "\n" N2 "\n" : "");
		names(&op.record, op.id, N1);
		assert_int_equal(op.other.len, 0);
		shared_done(m, &op, &none, &lost);
		told(&h, &c);
		leave_last(&h);
		record_make(&rec, &seal, "claim", op.id, NAMES_ID_LEN, 500, N2);
		assert_int_equal(shared_note_exception(m, op.id, rec.bytes, rec.len), 0);
		join(&h, 1, N1, N1, &c);
		assert_int_equal(shared_take(m, &op, 1, true), 1);
		names(&op.record, op.id, out ? N1 : N2);
		if (out)
			names(&op.other, op.id, N2);
		else
			assert_int_equal(op.other.len, 0);
		shared_done(m, &op, &none, &lost);
		told(&h, &c);
		assert_string_equal(c.node, N2);
		leave_last(&h);
		assert_int_equal(shared_note_exception(m, op.id, NULL, 0), 0);
	}
}

/* A move without answer: nobody knows where the client is, and nobody is sent anywhere. */
static void
test_unsure(void **state)
{
	struct state_hold h[3];
	struct shared_op op;
	struct shared_result none = { .how = -1 };
	struct state_key lost;
	struct state_claim c;

	(void)state;
	join(&h[0], 1, N1, N1, &c);
	answer('c', HOW_JOINED, N1, 500, 0);
	told(&h[0], &c);
	shared_move(&h[0], N1, N2, &c);
	join(&h[1], 1, N1, N1, &c);
	assert_int_equal(shared_take(m, &op, 1, true), 1);
	wait_over(true);
	told(&h[0], &c);
	assert_true(c.busy);
	told(&h[1], &c);
	assert_true(c.busy);
	assert_int_equal(join(&h[2], 1, N1, N1, &c), SHARED_NOW);
	assert_true(c.busy);
	shared_done(m, &op, &none, &lost);
	leave(&h[0]);
	leave(&h[1]);
	leave_last(&h[2]);
	/* With Redis away it is not even tried, while our lease may still count. */
	join(&h[0], 1, N1, N1, &c);
	answer('c', HOW_JOINED, N1, 500, 0);
	told(&h[0], &c);
	shared_leased(m, clock_ms());
	shared_online(m, false, false);
	assert_int_equal(shared_move(&h[0], N1, N2, &c), SHARED_NOW);
	assert_true(c.busy);
	shared_online(m, true, false);
	leave_last(&h[0]);
	/* One that Redis has never heard of is moved. */
	shared_online(m, false, false);
	join(&h[0], 1, N1, N1, &c);
	assert_int_equal(shared_move(&h[0], N1, N2, &c), SHARED_NOW);
	assert_false(c.busy);
	assert_string_equal(c.node, N2);
	leave(&h[0]);
}

static void
test_lost(void **state)
{
	struct state_hold h[2];
	struct state_claim c;
	struct shared_op op;
	struct shared_result bad = { .how = HOW_LOST, .record = "rubbish", .len = 7 };
	struct state_key lost;

	(void)state;
	shared_online(m, false, false);
	join(&h[0], 1, N1, N1, &c);
	shared_online(m, true, false);
	assert_int_equal(shared_take(m, &op, 1, true), 1);
	/* A record that is bad is no reason to give up: it is said so, and overwritten. */
	assert_false(shared_done(m, &op, &bad, &lost));
	assert_int_equal(shared_take(m, &op, 1, true), 1);
	assert_int_equal(op.bad.len, 7);
	bad.how = -1;
	assert_false(shared_done(m, &op, &bad, &lost));
	assert_true(answer('s', HOW_LOST, N2, 1, 1));
	assert_int_equal(shared_stats(m)->lost, 1);
	/* Until its connections are gone. */
	assert_int_equal(join(&h[1], 1, N1, N1, &c), SHARED_NOW);
	assert_true(c.busy);
	nothing_due();
	leave(&h[1]);
	leave(&h[0]);
}

/* After a reconnect all is said again, once, and not what is new. */
static void
test_said_again(void **state)
{
	struct state_hold h[3];
	struct state_claim c;
	struct shared_op op;
	struct shared_result none = { .how = -1 };
	struct state_key lost;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		join(&h[i], i, N1, N1, &c);
		answer('c', HOW_MADE, N1, 500, 0);
		told(&h[i], &c);
	}
	assert_true(shared_all_said(m));
	shared_again(m);
	join(&h[2], 2, N1, N1, &c);
	assert_false(shared_all_said(m));
	answer('c', HOW_MADE, N1, 500, 0);
	told(&h[2], &c);
	/* Only if that has room. */
	assert_int_equal(shared_take(m, &op, 1, false), 0);
	assert_int_equal(shared_take(m, &op, 1, true), 1);
	shared_done(m, &op, &none, &lost);
	answer('s', HOW_HELD, N1, 500, 0);
	assert_false(shared_all_said(m));
	/* One that ends meanwhile is said in that way. */
	leave_last(&h[1]);
	leave(&h[0]);
	if (!shared_all_said(m))
		answer('r', HOW_HELD, NULL, 0, 0);
	assert_true(shared_all_said(m));
	leave(&h[2]);
	while (shared_take(m, &op, 1, true) == 1) {
		struct shared_result held = { .how = HOW_HELD };

		assert_int_equal(op.kind, 'r');
		shared_done(m, &op, &held, &lost);
	}
}

/* The linger time is that of the connection that needs it longest, whichever leaves last. */
static void
test_stays(void **state)
{
	struct state_hold h[2];
	struct state_claim c;
	struct shared_op op;
	struct shared_result held = { .how = HOW_HELD };
	struct state_key lost;

	(void)state;
	join(&h[0], 1, N1, N1, &c);
	answer('c', HOW_MADE, N1, 500, 0);
	told(&h[0], &c);
	shared_settle(&h[0]);
	join(&h[1], 1, N1, N1, &c);
	shared_firm(&h[0], 5000);
	assert_int_equal(shared_take(m, &op, 1, true), 1);
	assert_int_equal(op.kind, 's');
	assert_int_equal(op.stay_ms, 5000);
	shared_done(m, &op, &held, &lost);
	/* (That answer had no record: it is said once more.) */
	shared_leave(&h[0], 5000);
	shared_leave(&h[1], 90000);
	for (int i = 0; i < 2 && shared_take(m, &op, 1, true) == 1; i++) {
		if (op.kind == 'r') {
			assert_true(op.stay_ms > 3000);
			assert_true(op.stay_ms <= 5000);
		}
		shared_done(m, &op, &held, &lost);
	}
}

static void
n2_soon(void *arg, const struct state_key *k, const char *home[2])
{
	(void)arg;
	(void)k;
	home[0] = N1;
	home[1] = N2;
}

static void
always_n2(void *arg, const struct state_key *k, const char *home[2])
{
	n2_soon(arg, k, home);
	home[0] = N2;
}

static void
test_rehome(void **state)
{
	struct state_hold h;
	struct state_claim c;
	struct shared_op op;
	struct shared_result none = { .how = -1 };
	struct state_key lost;

	(void)state;
	join(&h, 1, N1, N1, &c);
	answer('c', HOW_MADE, N1, 500, 0);
	told(&h, &c);
	nothing_due();
	/*
	 * With another policy its home is elsewhere before long: it is an exception, and all shall
	 * know, before the others go by that.
	 */
	shared_keep(m, NULL, n2_soon, NULL);
	shared_rehome(m, "");
	assert_false(shared_rehomed(m));
	assert_int_equal(shared_take(m, &op, 1, true), 1);
	assert_int_equal(op.kind, 's');
	assert_true(op.exception);
	shared_done(m, &op, &none, &lost);
	assert_false(shared_rehomed(m));
	answer('s', HOW_HELD, N1, 500, 0);
	assert_true(shared_rehomed(m));
	/* As it is already: there is nothing to say. */
	shared_keep(m, NULL, always_n2, NULL);
	shared_rehome(m, "");
	assert_true(shared_behind(m));
	nothing_due();
	assert_true(shared_rehomed(m));
	leave_last(&h);
}

/* A proxy that is not in the map sends nobody anywhere. */
static void
test_refusing(void **state)
{
	struct state_hold h[2];
	struct state_claim c;

	(void)state;
	join(&h[0], 1, N1, N1, &c);
	answer('c', HOW_MADE, N1, 500, 0);
	told(&h[0], &c);
	shared_settle(&h[0]);
	shared_online(m, false, true);
	assert_int_equal(join(&h[1], 1, N1, N1, &c), SHARED_NOW);
	assert_false(c.busy);
	leave(&h[1]);
	assert_int_equal(join(&h[1], 2, N1, N1, &c), SHARED_NOW);
	assert_true(c.busy);
	leave(&h[1]);
	shared_online(m, true, false);
	leave_last(&h[0]);
}

struct going {
	struct state_hold held[90];
	unsigned seen[90];
};

/* Whoever is told of a claim may let go of others, and of this one. */
static void
let_go_cb(void *arg, const struct state_key *k, const struct state_claim *claim, uint64_t left_ms)
{
	struct going *g = arg;
	unsigned n = k->b[1];

	assert_string_equal(claim->node, N1);
	assert_int_equal(left_ms, 0);
	assert_true(n < 90);
	g->seen[n]++;
	for (; n < 90; n += 7)
		if (n % 3 == 0 && g->held[n].m != NULL) {
			leave(&g->held[n]);
			g->held[n].m = NULL;
		}
}

static void
test_each_while_they_go(void **state)
{
	static struct going g;
	struct state_claim c;
	unsigned none = 0;

	(void)state;
	shared_online(m, false, false);
	for (unsigned i = 0; i < 90; i++)
		assert_int_equal(join(&g.held[i], i, N1, N1, &c), SHARED_NOW);
	shared_each(m, let_go_cb, &g);
	/* None twice; whoever has stayed, once. */
	for (unsigned i = 0; i < 90; i++) {
		assert_true(g.seen[i] == 1 || (g.seen[i] == 0 && g.held[i].m == NULL));
		none += g.seen[i] == 0;
		if (g.held[i].m != NULL)
			leave(&g.held[i]);
	}
	assert_true(none > 0);
}

/* Others may go by another home already: a client that would be there is sent nowhere. */
static void
test_disputed(void **state)
{
	struct state_hold h;
	struct state_claim c;

	(void)state;
	shared_stats(m)->unsure = true;
	shared_online(m, false, false);
	assert_int_equal(join(&h, 1, N2, N1, &c), SHARED_NOW);
	assert_true(c.busy);
	leave(&h);
	assert_int_equal(join(&h, 2, N1, N1, &c), SHARED_NOW);
	assert_false(c.busy);
	leave(&h);
	shared_online(m, true, false);
	join(&h, 1, N2, N1, &c);
	answer('c', -1, NULL, 0, 0);
	told(&h, &c);
	assert_true(c.busy);
	leave_last(&h);
	shared_stats(m)->unsure = false;
	shared_online(m, false, false);
	assert_int_equal(join(&h, 1, N2, N1, &c), SHARED_NOW);
	assert_false(c.busy);
	leave(&h);
}

/* Redis has heard that it was given up: where it was then is nothing to go by. */
static void
test_given_up(void **state)
{
	struct state_hold h;
	struct state_claim c;

	(void)state;
	join(&h, 1, N1, N1, &c);
	answer('c', HOW_MADE, N1, 500, 0);
	told(&h, &c);
	leave(&h);
	/* It is back before the answer is, and Redis goes before it has one. */
	{
		struct shared_op op;
		struct shared_result r = { .how = HOW_HELD };
		struct state_key lost;

		assert_int_equal(shared_take(m, &op, 1, true), 1);
		assert_int_equal(op.kind, 'r');
		assert_int_equal(join(&h, 1, N2, N2, &c), SHARED_LATER);
		assert_false(shared_done(m, &op, &r, &lost));
	}
	shared_online(m, false, false);
	told(&h, &c);
	assert_string_equal(c.node, N2);
	leave(&h);
}

static void
test_full(void **state)
{
	static struct state_hold h[101];
	struct state_claim c;

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(join(&h[i], i, N1, N1, &c), SHARED_LATER);
	assert_int_equal(join(&h[100], 100, N1, N1, &c), SHARED_FULL);
	assert_null(h[100].e);
	for (unsigned i = 0; i <= 100; i++)
		leave(&h[i]);
}

/* One client lives on N1, and all of it is said. */
static void
live(struct state_hold *h, unsigned n)
{
	struct state_claim c;

	join(h, n, N1, N1, &c);
	answer('c', HOW_MADE, N1, 500, 0);
	told(h, &c);
	shared_settle(h);
}

static void
put_fact(struct state_hold *h, uint64_t session_id, const char *node, const char *text)
{
	struct state_fact f = { .bytes = text, .len = strlen(text) };

	snprintf(f.node, sizeof(f.node), "%s", node);
	shared_fact_put(h, session_id, &f);
}

/* What is to be said now of sessions, as text: "node fact", and a letter for what has ended. */
static size_t
said_facts(char text[][64], size_t max)
{
	struct shared_op op;
	struct record rec;
	struct shared_result r = { .how = HOW_HELD };
	struct state_key lost;
	size_t n;

	assert_int_equal(shared_take(m, &op, 1, true), 1);
	assert_int_equal(op.kind, 's');
	n = op.nfacts;
	assert_true(n <= max);
	for (size_t i = 0; i < n; i++) {
		const char *said = (const char *)op.facts[i].bytes;
		size_t name = op.facts[i].len == 1 ? 0 : strlen(said) + 1;

		snprintf(text[i], 64, "%.31s%s%.*s", name == 0 ? "" : said,
		    name == 0 ? "" : " ", (int)(op.facts[i].len - name), said + name);
	}
	record_make(&rec, &seal, "claim", op.id, NAMES_ID_LEN, 500, N1);
	r.record = rec.bytes;
	r.len = rec.len;
	assert_false(shared_done(m, &op, &r, &lost));
	return n;
}

static void
test_facts(void **state)
{
	uint8_t id[2][NAMES_ID_LEN], sid[2][NAMES_ID_LEN];
	struct state_hold h[2], none = { .m = m };
	char text[4][64];

	(void)state;
	live(&h[0], 1);
	live(&h[1], 2);
	put_fact(&h[0], 7, N1, "abc");
	assert_int_equal(said_facts(text, 4), 1);
	assert_string_equal(text[0], N1 " abc");
	nothing_due();
	/* The same number on another node, of another client, is another session. */
	put_fact(&h[0], 7, N1, "new");
	put_fact(&h[1], 7, N2, "two");
	assert_int_equal(shared_facts(m), 2);
	assert_int_equal(said_facts(text, 4), 1);
	assert_string_equal(text[0], N1 " new");
	assert_int_equal(said_facts(text, 4), 1);
	assert_string_equal(text[0], N2 " two");
	assert_int_equal(shared_fact_id(&h[0], 7, id[0], sid[0]), 0);
	assert_int_equal(shared_fact_id(&h[1], 7, id[1], sid[1]), 0);
	assert_memory_equal(sid[0], sid[1], NAMES_ID_LEN);
	assert_memory_not_equal(id[0], id[1], NAMES_ID_LEN);
	/* What is over is said to be, once; what we have left may still be another proxy's. */
	shared_fact_drop(m, 7, N1, true);
	shared_fact_drop(m, 7, N1, false);
	shared_fact_drop(m, 7, N2, false);
	shared_fact_drop(m, 7, N2, false);
	assert_int_equal(said_facts(text, 4), 1);
	assert_string_equal(text[0], "-");
	assert_int_equal(said_facts(text, 4), 1);
	assert_string_equal(text[0], "?");
	assert_int_equal(shared_facts(m), 0);
	nothing_due();
	/* Nobody has heard of it. */
	shared_fact_drop(m, 8, N1, true);
	shared_fact_drop(m, 7, "n9=9", true);
	put_fact(&h[0], 8, N1, "");
	put_fact(&none, 8, N1, "abc");
	assert_int_equal(shared_fact_id(&none, 8, id[0], sid[0]), -1);
	assert_int_equal(shared_facts(m), 0);
	nothing_due();
	leave_last(&h[0]);
	leave_last(&h[1]);
}

/* Many sessions of one client: in parts, each once, and all again when everything is. */
static void
test_facts_crowd(void **state)
{
	static char text[SHARED_FACTS_MAX][64];
	unsigned times[200] = { 0 };
	struct state_hold h;
	size_t n = 0;

	(void)state;
	live(&h, 1);
	for (unsigned i = 0; i < 200; i++) {
		char fact[8];

		snprintf(fact, sizeof(fact), "%u", i);
		put_fact(&h, i, N1, fact);
	}
	for (int part = 0; part < 2; part++)
		assert_int_equal(said_facts(text, SHARED_FACTS_MAX), SHARED_FACTS_MAX);
	/* All again, while some wait for their first time; one is new, one is left. */
	shared_again(m);
	put_fact(&h, 50, N1, "50");
	shared_fact_drop(m, 199, N1, false);
	while (n < 199) {
		size_t some = said_facts(text, SHARED_FACTS_MAX);

		assert_true(some > 0);
		n += some;
		for (size_t i = 0; i < some; i++)
			times[text[i][0] == '?' ? 199 : atoi(text[i] + strlen(N1) + 1)]++;
	}
	for (unsigned i = 0; i < 199; i++)
		assert_int_equal(times[i], 1);
	assert_int_equal(shared_facts(m), 199);
	while (times[199] == 0)
		times[199] = said_facts(text, SHARED_FACTS_MAX) == 1 && text[0][0] == '?';
	assert_true(shared_all_said(m));
	nothing_due();
	leave_last(&h);
}

/* A client without connections has no sessions, and one that is lost has none here. */
static void
test_facts_end(void **state)
{
	struct state_hold h, again;
	char text[4][64];
	struct state_claim c;

	(void)state;
	live(&h, 1);
	put_fact(&h, 7, N1, "abc");
	put_fact(&h, 8, N1, "def");
	assert_int_equal(said_facts(text, 4), 2);
	leave(&h);
	assert_int_equal(shared_facts(m), 0);
	(void)answer('r', HOW_HELD, NULL, 0, 0);
	live(&again, 1);
	put_fact(&again, 7, N1, "abc");
	assert_int_equal(shared_facts(m), 1);
	assert_true(answer('s', HOW_LOST, N2, 400, 1));
	put_fact(&again, 9, N1, "abc");
	assert_int_equal(shared_facts(m), 1);
	shared_fact_drop(m, 7, N1, true);
	assert_int_equal(shared_facts(m), 0);
	nothing_due();
	leave(&again);
	assert_null(shared_next(m, &port, &c));
}

/* True: there is a fact in that answer. What f points to is gone. */
static bool
fact_in(const char *bytes, size_t len, struct state_fact *f)
{
	struct reply_parser *p = reply_parser_new();
	redisReply *r;
	bool good;

	assert_non_null(p);
	assert_int_equal(reply_feed(p, bytes, len), 0);
	assert_int_equal(reply_next(p, &r), 1);
	good = queries_fact(r, f);
	if (good)
		assert_true(f->len > 0 && strlen(f->node) < STATE_NODE_LEN);
	freeReplyObject(r);
	reply_parser_free(&p);
	return good;
}

/* What Redis may have of a session, or claim to. */
static void
test_fact_answers(void **state)
{
	char longest[3 + STATE_NODE_LEN + STATE_FACT_MAX], text[sizeof(longest) + 32];
	static const struct {
		const char *bytes;
		size_t len;
		bool good;
	} rows[] = {
		{ "$-1\r\n", 5, false },
		{ ":7\r\n", 4, false },
		{ "$0\r\n\r\n", 6, false },
		{ "$3\r\nn1=\r\n", 9, false },
		{ "$4\r\nn1=\0\r\n", 10, false },
		{ "$5\r\nn1=\0x\r\n", 11, true },
		{ "$2\r\n\0x\r\n", 8, true },
	};
	struct state_fact f;
	int head;

	(void)state;
	assert_false(queries_fact(NULL, &f));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(fact_in(rows[i].bytes, rows[i].len, &f), rows[i].good);
	/* A name, or a fact, that is one byte too long; and neither. */
	for (int name = 0; name < 2; name++)
		for (int fact = 0; fact < 2; fact++) {
			size_t n = STATE_NODE_LEN - 1 + (size_t)name;
			size_t len = n + 1 + STATE_FACT_MAX + (size_t)fact;

			memset(longest, 'x', sizeof(longest));
			longest[n] = '\0';
			head = snprintf(text, 16, "$%zu\r\n", len);
			memcpy(text + head, longest, len);
			memcpy(text + head + len, "\r\n", 2);
			assert_int_equal(fact_in(text, (size_t)head + len + 2, &f),
			    name == 0 && fact == 0);
		}
}
/* Whether they do the right thing is for a real Redis to show; that all of them are there, here. */
static void
test_scripts(void **state)
{
	static const char common[] = "local function time()\n";

	(void)state;
	for (int i = 0; i < SCRIPT_COUNT; i++) {
		const char *text = script_text((enum script)i);

		assert_non_null(text);
		assert_int_equal(strncmp(text, common, sizeof(common) - 1), 0);
		assert_null(strstr(text, "--"));
		assert_null(strstr(text, "HOW_"));
		assert_null(strstr(text, "NAMES_"));
	}
	assert_non_null(strstr(script_text(SCRIPT_TICK), "all(drains)"));
	assert_non_null(strstr(script_text(SCRIPT_SWEEP), "\n\tlocal id, rec = s[2][i]"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_record),
		cmocka_unit_test(test_record_limits),
		cmocka_unit_test(test_hex),
		cmocka_unit_test(test_claims),
		cmocka_unit_test(test_bytes_bound),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_faults_said),
		cmocka_unit_test(test_exceptions),
		cmocka_unit_test_setup_teardown(test_asked_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_decides_first, setup, teardown),
		cmocka_unit_test_setup_teardown(test_decides_late, setup, teardown),
		cmocka_unit_test_setup_teardown(test_decider_leaves, setup, teardown),
		cmocka_unit_test_setup_teardown(test_blind, setup, teardown),
		cmocka_unit_test_setup_teardown(test_out, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unsure, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(test_said_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rehome, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_each_while_they_go, setup, teardown),
		cmocka_unit_test_setup_teardown(test_disputed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_given_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_facts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_facts_crowd, setup, teardown),
		cmocka_unit_test_setup_teardown(test_facts_end, setup, teardown),
		cmocka_unit_test(test_fact_answers),
		cmocka_unit_test(test_scripts),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
