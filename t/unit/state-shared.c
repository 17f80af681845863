/* state-shared.c: what a process knows of a shared map; records; answers that no Redis gives */
#include "config.h"

#include "state/exceptions.h"
#include "state/facts.h"
#include "state/fault.h"
#include "state/link.h"
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
	assert_true(fault_fatal(FAULT_READONLY));
	assert_false(fault_fatal(FAULT_NOSCRIPT));
	assert_false(fault_fatal(FAULT_WRONGTYPE));
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

static int
setup(void **state)
{
	static struct link_conf conf;

	(void)state;
	m = shared_new(&conf, &seal, 100);
	return m == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
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

static enum shared_join
join(unsigned n, const char *node, const char *home, struct shared_entry **e,
    struct shared_request *w, struct state_claim *c)
{
	const struct state_key k = key(n);

	return shared_join(m, &k, node, home, 1000, e, w, c);
}

/* What Redis would answer. */
static struct shared_answer
answer(const struct shared_request *w, const char *node, uint64_t made_ms)
{
	struct shared_answer a = { .made_ms = made_ms };

	record_make(&a.record, &seal, "claim", w->id, NAMES_ID_LEN, made_ms, node);
	snprintf(a.node, sizeof(a.node), "%s", node);
	return a;
}

static void
leave(struct shared_entry *e, bool told)
{
	struct shared_item it;

	(void)shared_leave(m, e, told, false, &it);
}

static void
test_asked_once(void **state)
{
	struct shared_entry *e[3];
	struct shared_request w;
	struct shared_answer a;
	struct state_claim c;
	struct shared_item it;

	(void)state;
	assert_int_equal(join(1, N1, N1, &e[0], &w, &c), SHARED_ASK);
	assert_false(w.exception);
	assert_int_equal(w.home.len, 0);
	a = answer(&w, N2, 500);
	a.others = 2;
	shared_answered(m, e[0], &a, &c);
	assert_string_equal(c.node, N2);
	assert_int_equal(c.others, 2);
	/* The client is live here: nobody is asked. */
	assert_int_equal(join(1, N1, N1, &e[1], &w, &c), SHARED_KNOWN);
	assert_ptr_equal(e[0], e[1]);
	assert_string_equal(c.node, N2);
	assert_int_equal(c.others, 1);
	assert_int_equal(shared_clients(m, N2), 1);
	assert_int_equal(shared_clients(m, N1), 0);
	assert_false(shared_leave(m, e[0], true, false, &it));
	assert_true(shared_leave(m, e[1], true, true, &it));
	assert_true(it.firm);
	assert_int_equal(shared_claims(m), 0);
	assert_int_equal(shared_clients(m, N2), 0);
	assert_int_equal(join(1, N1, N1, &e[2], &w, &c), SHARED_ASK);
	assert_int_not_equal(w.gen, it.gen);
	leave(e[2], false);
}

/* Two connections ask; whatever the second answer is, they go to one node. */
static void
test_first_answer_binds(void **state)
{
	struct shared_entry *e[2];
	struct shared_request w[2];
	struct shared_answer a;
	struct state_claim c;
	struct shared_item it;

	(void)state;
	assert_int_equal(join(1, N1, N1, &e[0], &w[0], &c), SHARED_ASK);
	assert_int_equal(join(1, N1, N1, &e[1], &w[1], &c), SHARED_ASK);
	shared_blind(m, e[0], &c);
	assert_true(c.blind);
	assert_string_equal(c.node, N1);
	a = answer(&w[1], N2, 500);
	shared_answered(m, e[1], &a, &c);
	assert_string_equal(c.node, N1);
	/* And Redis is told at once: whoever is older wins. */
	assert_int_equal(shared_due(m, &it, 1), 1);
	assert_false(shared_asserted(m, &it, 0, it.record.bytes, it.record.len));
	assert_int_equal(shared_due(m, &it, 1), 0);
	leave(e[0], true);
	leave(e[1], true);
}

static void
test_blind_exception(void **state)
{
	struct shared_entry *e;
	struct shared_request w;
	struct state_claim c;
	struct record r;

	(void)state;
	assert_int_equal(join(1, N2, N1, &e, &w, &c), SHARED_ASK);
	assert_true(w.exception);
	assert_int_not_equal(w.home.len, 0);
	/* Without Redis it is home, wherever this proxy would like to send it. */
	shared_blind(m, e, &c);
	assert_string_equal(c.node, N1);
	leave(e, true);
	/* Unless it is known that it lives elsewhere. */
	record_make(&r, &seal, "claim", w.id, NAMES_ID_LEN, 77, N2);
	assert_int_equal(shared_note_exception(m, w.id, r.bytes, r.len), 0);
	assert_int_equal(shared_exceptions(m), 1);
	assert_int_equal(join(1, N1, N1, &e, &w, &c), SHARED_ASK);
	assert_true(w.exception);
	assert_int_equal(w.home.len, 0);
	assert_memory_equal(w.record.bytes, r.bytes, r.len);
	shared_blind(m, e, &c);
	assert_string_equal(c.node, N2);
	leave(e, true);
	/* What nobody of us has written is not heard. */
	r.bytes[20] = 'X';
	assert_int_equal(shared_note_exception(m, w.id, r.bytes, r.len), -1);
	assert_int_equal(shared_faults(m)->count[FAULT_BAD_VALUE], 1);
	assert_int_equal(shared_note_exception(m, w.id, NULL, 0), 0);
	assert_int_equal(shared_exceptions(m), 0);
}

static void
test_move(void **state)
{
	struct shared_entry *e[2];
	struct shared_request w;
	struct shared_answer a;
	struct state_claim c;
	struct record old;

	(void)state;
	join(1, N1, N1, &e[0], &w, &c);
	a = answer(&w, N1, 500);
	shared_answered(m, e[0], &a, &c);
	assert_true(shared_move(m, e[0], N1, N2, 2000, &w, &old, &c));
	assert_memory_equal(old.bytes, a.record.bytes, a.record.len);
	/* Nobody can say where to go while it moves. */
	assert_int_equal(join(1, N1, N1, &e[1], &w, &c), SHARED_BUSY);
	leave(e[1], false);
	a = answer(&w, N2, 2000);
	shared_moved(m, e[0], N2, NULL, &a, &c);
	assert_string_equal(c.node, N2);
	assert_int_equal(c.others, 0);
	/* Two connections: it stays. */
	assert_int_equal(join(1, N1, N1, &e[1], &w, &c), SHARED_KNOWN);
	assert_false(shared_move(m, e[0], N2, N1, 3000, &w, &old, &c));
	assert_string_equal(c.node, N2);
	leave(e[1], true);
	/* Redis does not answer: it is moved, and said. */
	assert_true(shared_move(m, e[0], N2, N1, 3000, &w, &old, &c));
	shared_moved(m, e[0], N1, &w.record, NULL, &c);
	assert_string_equal(c.node, N1);
	leave(e[0], true);
}

static void
test_lost(void **state)
{
	struct shared_entry *e, *f;
	struct shared_request w;
	struct shared_item it;
	struct shared_answer a;
	struct state_claim c;

	(void)state;
	join(1, N1, N1, &e, &w, &c);
	shared_blind(m, e, &c);
	assert_int_equal(shared_due(m, &it, 1), 1);
	/* A record that is bad is no reason to give up: it is said so, and overwritten. */
	assert_false(shared_asserted(m, &it, 1, "rubbish", 7));
	assert_int_equal(shared_due(m, &it, 1), 1);
	assert_int_equal(it.bad.len, 7);
	a = answer(&w, N2, 1);
	assert_true(shared_asserted(m, &it, 1, a.record.bytes, a.record.len));
	assert_int_equal(shared_stats(m)->lost, 1);
	/* Until its connections are gone. */
	assert_int_equal(join(1, N1, N1, &f, &w, &c), SHARED_BUSY);
	leave(f, false);
	assert_int_equal(shared_due(m, &it, 1), 0);
	assert_false(shared_leave(m, e, true, false, &it));
	assert_int_equal(join(1, N1, N1, &f, &w, &c), SHARED_ASK);
	leave(f, false);
}

/* An answer to a claim that is gone, or another one by now, changes nothing. */
static void
test_late(void **state)
{
	struct shared_entry *e;
	struct shared_request w;
	struct shared_item old, it;
	struct shared_answer a;
	struct state_claim c;

	(void)state;
	join(1, N1, N1, &e, &w, &c);
	shared_blind(m, e, &c);
	shared_due(m, &old, 1);
	leave(e, true);
	join(1, N1, N1, &e, &w, &c);
	shared_blind(m, e, &c);
	a = answer(&w, N2, 1);
	assert_false(shared_asserted(m, &old, 1, a.record.bytes, a.record.len));
	assert_int_equal(shared_due(m, &it, 1), 1);
	assert_int_equal(shared_due(m, &it, 1), 0);
	shared_all_due(m);
	assert_int_equal(shared_due(m, &it, 1), 1);
	/* It was not said: soon again. */
	assert_false(shared_asserted(m, &it, -1, NULL, 0));
	assert_int_equal(shared_due(m, &it, 1), 1);
	leave(e, true);
}

static const char *
always_n2(void *arg, const struct state_key *k)
{
	(void)arg;
	(void)k;
	return N2;
}

static void
test_rehome(void **state)
{
	struct shared_entry *e;
	struct shared_request w;
	struct shared_item it;
	struct shared_answer a;
	struct state_claim c;

	(void)state;
	join(1, N1, N1, &e, &w, &c);
	a = answer(&w, N1, 500);
	shared_answered(m, e, &a, &c);
	assert_int_equal(shared_due(m, &it, 1), 0);
	/* With another policy its home is elsewhere: it is an exception, and all shall know. */
	shared_rehome(m, always_n2, NULL);
	assert_int_equal(shared_due(m, &it, 1), 1);
	assert_true(it.exception);
	leave(e, true);
}

static void
test_full(void **state)
{
	struct shared_entry *e[101];
	struct shared_request w;
	struct state_claim c;

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(join(i, N1, N1, &e[i], &w, &c), SHARED_ASK);
	assert_int_equal(join(100, N1, N1, &e[100], &w, &c), SHARED_FULL);
	assert_null(e[100]);
	for (unsigned i = 0; i < 100; i++)
		leave(e[i], false);
	assert_int_equal(shared_claims(m), 0);
}

static void
test_facts(void **state)
{
	struct facts *f = facts_new();
	struct facts_item it = { .sid = { 1 }, .node = N1, .len = 3, .bytes = "abc" }, out[4];

	(void)state;
	assert_int_equal(facts_put(f, &it), 0);
	snprintf(it.node, sizeof(it.node), "%s", N2);
	assert_int_equal(facts_put(f, &it), 0);
	assert_int_equal(facts_put(f, &it), 0);
	assert_int_equal(facts_count(f), 2);
	assert_int_equal(facts_due(f, out, 4), 0);
	facts_all_due(f);
	assert_int_equal(facts_due(f, out, 1), 1);
	assert_int_equal(facts_due(f, out, 4), 1);
	assert_int_equal(facts_due(f, out, 4), 0);
	/* The head of the list goes first, then the rest. */
	assert_true(facts_drop(f, it.sid, N1));
	assert_false(facts_drop(f, it.sid, N1));
	assert_true(facts_drop(f, it.sid, N2));
	assert_int_equal(facts_count(f), 0);
	assert_int_equal(facts_put(f, &it), 0);
	facts_free(&f);
	assert_null(f);
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
	assert_non_null(strstr(script_text(SCRIPT_TICK), "HGETALL', drains"));
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
		cmocka_unit_test(test_exceptions),
		cmocka_unit_test_setup_teardown(test_asked_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_first_answer_binds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_blind_exception, setup, teardown),
		cmocka_unit_test_setup_teardown(test_move, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(test_late, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rehome, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full, setup, teardown),
		cmocka_unit_test(test_facts),
		cmocka_unit_test(test_scripts),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
