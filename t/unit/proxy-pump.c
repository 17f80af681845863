/* proxy-pump.c: the pump and classify(): every verdict and outcome, bad input, limits by state */
#include "config.h"

#include "base/clock.h"
#include "base/wr.h"
#include "inspect/classify.h"
#include "inspect/parts.h"
#include "inspect/track.h"
#include "proxy/pump.h"
#include "smb/compress.h"
#include "smb/const.h"
#include "smb/hdr2.h"
#include "smb/nbss.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* A toy protocol for the pump alone: u8 kind, u8 length, bytes. */
struct toy {
	struct buf out;
	bool hold_back;		/* held frames wait */
	unsigned held;
	bool send_fails;
};

static struct verdict
toy_head(void *arg, const uint8_t *p, size_t avail)
{
	struct verdict v = { .act = VERDICT_MORE, .n = 2 };

	(void)arg;
	if (avail < 2)
		return v;
	v.frame = v.n = 2u + p[1];
	switch (p[0]) {
	case 'p':
		v.act = VERDICT_PASS;
		break;
	case 'x':		/* two bytes at a time */
		v.act = VERDICT_PASS;
		v.n = 2;
		break;
	case 'c':
		v.act = VERDICT_CLOSE;
		v.why = CLOSE_BAD_FRAME;
		break;
	default:
		v.act = VERDICT_HOLD;
		break;
	}
	return v;
}

static struct verdict
toy_part(void *arg, const uint8_t *p, size_t avail, size_t left)
{
	(void)arg;
	if (avail < 2 && left >= 2)
		return (struct verdict){ .act = VERDICT_MORE, .n = 2 };
	if (p[0] == 'C')
		return (struct verdict){ .act = VERDICT_CLOSE, .why = CLOSE_UNSEEN_COMPOUND };
	return (struct verdict){ .act = VERDICT_PASS, .n = left < 2 ? (uint32_t)left : 2 };
}

static struct outcome
toy_held(void *arg, const uint8_t *frame, size_t len)
{
	struct toy *t = arg;

	assert_int_equal(len, 2u + frame[1]);
	t->held++;
	switch (frame[0]) {
	case 'd':
		return (struct outcome){ .act = OUTCOME_DROP };
	case 'r':
		return (struct outcome){ .act = OUTCOME_REPLACE, .bytes = (const uint8_t *)"NEW",
			.len = 3 };
	case 'w':
		return (struct outcome){ .act = t->hold_back ? OUTCOME_WAIT : OUTCOME_PASS };
	case 'e':
		return (struct outcome){ .act = OUTCOME_CLOSE, .why = CLOSE_BAD_MESSAGE };
	default:
		return (struct outcome){ .act = OUTCOME_PASS };
	}
}

static int
toy_send(void *arg, const uint8_t *p, size_t n)
{
	struct toy *t = arg;

	return t->send_fails ? -1 : buf_add(&t->out, p, n);
}

static const struct pump_ops toy_ops = { toy_head, toy_part, toy_held, toy_send };

static void
expect_out(struct toy *t, const char *text)
{
	assert_int_equal(buf_len(&t->out), strlen(text));
	if (*text != '\0')
		assert_memory_equal(buf_head(&t->out), text, strlen(text));
	buf_fini(&t->out);
}

static enum pump_result
feed(struct pump *p, struct toy *t, const char *s, enum close_reason *why)
{
	return pump_feed(p, &toy_ops, t, (const uint8_t *)s, strlen(s), why);
}

static void
test_outcomes(void **state)
{
	struct pump p = { .pass = 0 };
	struct toy t = { .held = 0 };
	enum close_reason why;

	(void)state;
	assert_int_equal(feed(&p, &t, "p\3abch\2xyd\1zr\2..p\1!", &why), PUMP_OK);
	expect_out(&t, "p\3abch\2xyNEWp\1!");
	assert_int_equal(t.held, 3);
	assert_true(pump_idle(&p));
	assert_int_equal(feed(&p, &t, "x\6aabbccp\1z", &why), PUMP_OK);
	expect_out(&t, "x\6aabbccp\1z");
	/* What was good before a bad part has left; what comes behind it has not. */
	assert_int_equal(feed(&p, &t, "p\1ax\6aaCCzz", &why), PUMP_CLOSE);
	assert_int_equal(why, CLOSE_UNSEEN_COMPOUND);
	expect_out(&t, "p\1ax\6aa");
	p = (struct pump){ .pass = 0 };
	assert_int_equal(feed(&p, &t, "p\1ae\1zp\1b", &why), PUMP_CLOSE);
	assert_int_equal(why, CLOSE_BAD_MESSAGE);
	expect_out(&t, "p\1a");
	pump_fini(&p);
}

static void
test_waiting(void **state)
{
	struct pump p = { .pass = 0 };
	struct toy t = { .hold_back = true };
	enum close_reason why;

	(void)state;
	assert_int_equal(feed(&p, &t, "p\1aw\1bp\1cw\1dp\1e", &why), PUMP_OK);
	assert_true(p.waiting);
	expect_out(&t, "p\1a");
	/* Nothing changed: it is shown again and waits again. */
	assert_int_equal(pump_resume(&p, &toy_ops, &t, &why), PUMP_OK);
	assert_true(p.waiting);
	expect_out(&t, "");
	t.hold_back = false;
	assert_int_equal(pump_resume(&p, &toy_ops, &t, &why), PUMP_OK);
	expect_out(&t, "w\1bp\1cw\1dp\1e");
	assert_true(pump_idle(&p));
	assert_null(p.in.mem);
	pump_fini(&p);
}

/* What the pump owes unseen, and nothing else, may be moved past it, at any time and in any cut. */
static void
test_moved(void **state)
{
	static const char text[] = "p\20abcdefghijklmnopx\6aabbcch\3xyzp\1!r\2..p\12" "0123456789";
	static const char want[] = "p\20abcdefghijklmnopx\6aabbcch\3xyzp\1!NEWp\12" "0123456789";
	const size_t len = sizeof(text) - 1;
	enum close_reason why;
	size_t moved = 0;

	(void)state;
	for (unsigned round = 0; round < 2000; round++) {
		struct pump p = { .pass = 0 };
		struct toy t = { .held = 0 };
		size_t pos = 0;

		while (pos < len) {
			size_t owed = pump_owed(&p), n = 1 + (size_t)rand() % 7;

			if (owed > 0 && rand() % 2 == 0) {
				n = n < owed ? n : owed;
				assert_int_equal(buf_add(&t.out, text + pos, n), 0);
				pump_moved(&p, n);
				moved += n;
			} else {
				n = n < len - pos ? n : len - pos;
				assert_int_equal(pump_feed(&p, &toy_ops, &t,
				    (const uint8_t *)text + pos, n, &why), PUMP_OK);
			}
			pos += n;
		}
		assert_true(pump_idle(&p));
		assert_int_equal(t.held, 2);
		expect_out(&t, want);
		pump_fini(&p);
	}
	assert_true(moved > 2000);
}

/* Nothing is owed while a frame waits, or its head is incomplete. */
static void
test_owed(void **state)
{
	struct pump p = { .pass = 0 };
	struct toy t = { .hold_back = true };
	enum close_reason why;

	(void)state;
	assert_int_equal(pump_owed(&p), 0);
	assert_int_equal(feed(&p, &t, "p\7ab", &why), PUMP_OK);
	assert_int_equal(pump_owed(&p), 5);
	assert_int_equal(feed(&p, &t, "cdefgx", &why), PUMP_OK);
	assert_int_equal(pump_owed(&p), 0);
	/* Two bytes of a frame at a time: the next ones are asked about first. */
	assert_int_equal(feed(&p, &t, "\4", &why), PUMP_OK);
	assert_int_equal(pump_owed(&p), 0);
	assert_int_equal(feed(&p, &t, "aab", &why), PUMP_OK);
	assert_int_equal(pump_owed(&p), 0);
	assert_int_equal(feed(&p, &t, "bw\3x", &why), PUMP_OK);
	assert_int_equal(pump_owed(&p), 0);
	assert_int_equal(feed(&p, &t, "yzp\5a", &why), PUMP_OK);
	assert_true(p.waiting);
	assert_int_equal(pump_owed(&p), 0);
	t.hold_back = false;
	assert_int_equal(pump_resume(&p, &toy_ops, &t, &why), PUMP_OK);
	assert_int_equal(pump_owed(&p), 4);
	pump_moved(&p, 4);
	assert_true(pump_idle(&p));
	buf_fini(&t.out);
	pump_fini(&p);
}

static void
test_room(void **state)
{
	struct pump p = { .pass = 0 };
	struct toy t = { .held = 0 };
	enum close_reason why;
	uint8_t *room;
	size_t n;

	(void)state;
	assert_null(pump_room(&p, &n));
	assert_int_equal(n, 0);
	assert_int_equal(feed(&p, &t, "h\4ab", &why), PUMP_OK);
	room = pump_room(&p, &n);
	assert_non_null(room);
	assert_true(n >= 2);
	memcpy(room, "c", 1);
	assert_int_equal(pump_received(&p, &toy_ops, &t, 1, &why), PUMP_OK);
	assert_int_equal(t.held, 0);
	room = pump_room(&p, &n);
	memcpy(room, "dp\1z", 4);
	assert_int_equal(pump_received(&p, &toy_ops, &t, 4, &why), PUMP_OK);
	expect_out(&t, "h\4abcdp\1z");
	t.send_fails = true;
	assert_int_equal(feed(&p, &t, "p\1a", &why), PUMP_SEND);
	pump_fini(&p);
}

/* classify(). */

struct frame {
	uint8_t b[8192];
	size_t n;
};

static void
put_hdr(struct wr *w, uint16_t command, uint32_t next, uint64_t mid, uint32_t status)
{
	const struct hdr2 h = {
		.command = command,
		.next = next,
		.message_id = mid,
		.status = status,
	};

	hdr2_put(w, &h);
}

static struct frame
frame(uint16_t command, uint32_t next, uint64_t mid, size_t body)
{
	struct frame f = { .n = NBSS_HDR_LEN + SMB2_HDR_LEN + body };
	struct wr w = wr_init(f.b, sizeof(f.b));

	wr_zero(&w, NBSS_HDR_LEN);
	put_hdr(&w, command, next, mid, 0);
	nbss_put(f.b, (uint32_t)(SMB2_HDR_LEN + body));
	return f;
}

static struct track
relaying(void)
{
	struct track t;

	track_init(&t);
	t.negotiated = true;
	t.dialect = SMB2_DIALECT_311;
	t.cipher = SMB2_CIPHER_AES128_GCM;
	t.max_frame = 8 * 1024 * 1024 + 65536;
	return t;
}

static void
expect(const struct track *t, enum dir d, const struct frame *f, enum verdict_act act, size_t n)
{
	struct hdr2 peeked;
	struct verdict v;

	/* Before enough has come, and at any length on the way, there is no other answer. */
	for (size_t k = 1; k < f->n; k++) {
		v = classify(t, d, f->b, k, &peeked);
		if (v.act != VERDICT_MORE) {
			assert_int_equal(v.act, act);
			break;
		}
		assert_true(v.n > k);
		assert_true(v.n <= NBSS_HDR_LEN + (t->compression ? COMPRESS_PEEK_LEN : 72));
	}
	v = classify(t, d, f->b, f->n, &peeked);
	assert_int_equal(v.act, act);
	assert_int_equal(v.n, n);
	assert_int_equal(v.frame, f->n);
}

static void
expect_parts(const struct track *t, enum dir d, const struct frame *f)
{
	struct hdr2 peeked;
	struct verdict v = classify(t, d, f->b, f->n, &peeked);

	assert_int_equal(v.act, VERDICT_PARTS);
}

static void
expect_close(const struct track *t, enum dir d, const struct frame *f, enum close_reason why)
{
	struct hdr2 peeked;
	struct verdict v = classify(t, d, f->b, f->n, &peeked);

	assert_int_equal(v.act, VERDICT_CLOSE);
	assert_string_equal(close_counter(v.why), close_counter(why));
}

static void
test_commands(void **state)
{
	struct track t = relaying();
	struct pending p = { .kind = PENDING_IFINFO, .message_id = 7, .command = SMB2_IOCTL };
	enum close_reason why;
	struct frame f;

	(void)state;
	for (unsigned c = SMB2_NEGOTIATE; c <= SMB2_OPLOCK_BREAK; c++) {
		bool seen = c == SMB2_NEGOTIATE || c == SMB2_SESSION_SETUP || c == SMB2_LOGOFF;

		f = frame((uint16_t)c, 0, 5, 100);
		expect(&t, C2S, &f, seen ? VERDICT_HOLD : VERDICT_PASS, f.n);
		expect(&t, S2C, &f, seen ? VERDICT_HOLD : VERDICT_PASS, f.n);
	}
	/* The query and its answer by CtlCode; the answer by MessageId too. */
	f = frame(SMB2_IOCTL, 0, 5, 100);
	memcpy(f.b + NBSS_HDR_LEN + 68, "\xfc\x01\x14\x00", 4);
	expect(&t, C2S, &f, VERDICT_HOLD, f.n);
	expect(&t, S2C, &f, VERDICT_HOLD, f.n);
	assert_int_equal(track_ask(&t, &p, &why), 0);
	f = frame(SMB2_IOCTL, 0, 7, 9);
	expect(&t, S2C, &f, VERDICT_HOLD, f.n);
	expect(&t, C2S, &f, VERDICT_PASS, f.n);
	f = frame(SMB2_ECHO, 0, 7, 4);
	expect(&t, S2C, &f, VERDICT_HOLD, f.n);
	track_answered(&t, 7);
	expect(&t, S2C, &f, VERDICT_PASS, f.n);
	track_fini(&t);
}

static void
test_compounds(void **state)
{
	struct track t = relaying();
	struct pending p = { .kind = PENDING_IFINFO, .message_id = 7, .command = SMB2_IOCTL };
	enum close_reason why;
	struct frame f = frame(SMB2_CREATE, 128, 5, 1000);
	struct verdict v;

	(void)state;
	/* The client's is held, the node's only while something is asked. */
	expect(&t, C2S, &f, VERDICT_HOLD, f.n);
	expect_parts(&t, S2C, &f);
	assert_int_equal(track_ask(&t, &p, &why), 0);
	expect(&t, S2C, &f, VERDICT_HOLD, f.n);
	/* Too long to be held: part by part; what must be seen is held alone. */
	nbss_put(f.b, 1000000);
	expect_parts(&t, C2S, &f);
	v = parts_head(&t, C2S, f.b, f.n);
	assert_int_equal(v.act, VERDICT_PASS);
	assert_int_equal(v.n, NBSS_HDR_LEN + 128);
	assert_int_equal(v.frame, NBSS_HDR_LEN + 1000000);
	f = frame(SMB2_SESSION_SETUP, 168, 6, 104);
	v = parts_next(&t, C2S, f.b + NBSS_HDR_LEN, f.n - NBSS_HDR_LEN, 999872);
	assert_int_equal(v.act, VERDICT_HOLD);
	assert_int_equal(v.n, 168);
	parts_taken(t.parts[C2S]);
	f = frame(SMB2_WRITE, 0, 6, 100);
	v = parts_next(&t, C2S, f.b + NBSS_HDR_LEN, f.n - NBSS_HDR_LEN, 999704);
	assert_int_equal(v.act, VERDICT_PASS);
	assert_int_equal(v.n, 999704);
	/* Unless that is too long itself. */
	f = frame(SMB2_SESSION_SETUP, 0, 6, 104);
	v = parts_next(&t, C2S, f.b + NBSS_HDR_LEN, f.n - NBSS_HDR_LEN, 999704);
	assert_int_equal(v.act, VERDICT_CLOSE);
	assert_int_equal(v.why, CLOSE_UNSEEN_COMPOUND);
	track_fini(&t);
}

static void
test_bad(void **state)
{
	static const uint32_t next[] = { 1, 8, 56, 63, 65, 68, 1000, 0x7ffffff8, 0xfffffff8,
		0xffffffff };
	struct track t = relaying();
	struct frame f;

	(void)state;
	/* Wrong transport headers. */
	for (unsigned type = 1; type < 256; type++) {
		f = frame(SMB2_READ, 0, 5, 100);
		f.b[0] = (uint8_t)type;
		expect_close(&t, C2S, &f, CLOSE_BAD_FRAME);
	}
	for (uint32_t len = 1; len < 64; len++) {
		f = frame(SMB2_READ, 0, 5, 100);
		nbss_put(f.b, len);
		expect_close(&t, C2S, &f, CLOSE_SHORT_FRAME);
		expect_close(&t, S2C, &f, CLOSE_SHORT_FRAME);
	}
	/* Empty messages and keepalives pass. */
	f = (struct frame){ .n = 4 };
	expect(&t, C2S, &f, VERDICT_PASS, 4);
	f.b[0] = NBSS_KEEPALIVE;
	expect(&t, S2C, &f, VERDICT_PASS, 4);
	/* Lengths beyond what was agreed on. */
	f = frame(SMB2_WRITE, 0, 5, 100);
	nbss_put(f.b, t.max_frame + 1);
	expect_close(&t, C2S, &f, CLOSE_LONG_FRAME);
	expect_close(&t, S2C, &f, CLOSE_LONG_FRAME);
	/* NextCommand, in a frame that cannot be held and so is judged at once. */
	for (size_t i = 0; i < sizeof(next) / sizeof(next[0]); i++) {
		struct verdict v;
		bool bad = next[i] < 64 || next[i] > 1000000;

		f = frame(SMB2_READ, next[i], 5, 100);
		nbss_put(f.b, 1000000);
		v = parts_head(&t, C2S, f.b, f.n);
		assert_int_equal(v.act, bad ? VERDICT_CLOSE : VERDICT_PASS);
		assert_int_equal(bad ? v.why : v.n, bad ? CLOSE_BAD_CHAIN : 4 + next[i]);
	}
	/* Protocols that do not belong here. */
	f = frame(SMB2_READ, 0, 5, 100);
	f.b[4] = 0xff;
	expect_close(&t, C2S, &f, CLOSE_BAD_PROTOCOL);
	f.b[4] = 0xfc;
	expect_close(&t, C2S, &f, CLOSE_BAD_PROTOCOL);
	/* What is in it is no message, and so for whoever holds it. */
	t.compression = true;
	expect(&t, S2C, &f, VERDICT_PASS, f.n);
	expect(&t, C2S, &f, VERDICT_HOLD, f.n);
	f.b[11] = 1;
	expect(&t, C2S, &f, VERDICT_PASS, f.n);
	t.refuse_compressed = true;
	expect_close(&t, C2S, &f, CLOSE_COMPRESSION);
	t.compression = false;
	f.b[11] = 0;
	f.b[4] = 0xfd;
	nbss_put(f.b + 36, 0);
	f.b[40] = (uint8_t)(f.n - NBSS_HDR_LEN - SMB2_TRANSFORM_LEN);
	expect(&t, C2S, &f, VERDICT_PASS, f.n);
	t.refuse_sealed = true;
	expect_close(&t, C2S, &f, CLOSE_UNKEYED);
	t.dialect = SMB2_DIALECT_210;
	expect_close(&t, C2S, &f, CLOSE_BAD_PROTOCOL);
	f.b[4] = 0x00;
	expect_close(&t, C2S, &f, CLOSE_BAD_PROTOCOL);
	f = frame(SMB2_READ, 0, 5, 100);
	f.b[8] = 63;		/* StructureSize */
	expect_close(&t, C2S, &f, CLOSE_BAD_MESSAGE);
	track_fini(&t);
}

static void
test_first(void **state)
{
	struct frame f = frame(SMB2_NEGOTIATE, 0, 0, 100);
	struct verdict v;
	struct track t;

	(void)state;
	track_init(&t);
	v = classify_first(&t, f.b, 3);
	assert_int_equal(v.act, VERDICT_MORE);
	v = classify_first(&t, f.b, 4);
	assert_int_equal(v.act, VERDICT_HOLD);
	assert_int_equal(v.n, f.n);
	nbss_put(f.b, 4097);
	v = classify_first(&t, f.b, f.n);
	assert_int_equal(v.why, CLOSE_LONG_FRAME);
	nbss_put(f.b, 0xffffff);
	v = classify_first(&t, f.b, f.n);
	assert_int_equal(v.why, CLOSE_LONG_FRAME);
	nbss_put(f.b, 31);
	v = classify_first(&t, f.b, f.n);
	assert_int_equal(v.why, CLOSE_SHORT_FRAME);
	f.b[0] = NBSS_REQUEST;
	v = classify_first(&t, f.b, f.n);
	assert_int_equal(v.why, CLOSE_BAD_FRAME);
}

/* A stranger has fewer; beyond many more is answered alone, and twice as many are the end. */
static void
test_pending(void **state)
{
	for (int logged_on = 0; logged_on < 2; logged_on++) {
		const uint64_t many = logged_on ? TRACK_PENDING_MANY : TRACK_PENDING_STRANGER;
		struct track t;
		struct pending p = { .kind = PENDING_LOGOFF };
		enum close_reason why;

		(void)state;
		track_init(&t);
		t.logged_on = logged_on;
		for (uint64_t i = 0; i < 2 * many; i++) {
			assert_int_equal(track_crowded(&t), i >= many);
			p.message_id = i * 3;
			p.session_id = i;
			assert_int_equal(track_ask(&t, &p, &why), 0);
		}
		p.message_id = 1;
		assert_int_equal(track_ask(&t, &p, &why), -1);
		assert_int_equal(why, CLOSE_PENDING_FULL);
		p.message_id = 3;
		assert_int_equal(track_ask(&t, &p, &why), -1);
		assert_int_equal(why, CLOSE_BAD_SEQUENCE);
		assert_true(track_owed(&t, 5));
		/* The odd ones first: what is left must still be found. */
		for (uint64_t i = 0; i < 4 * many; i++) {
			uint64_t j = i < 2 * many ? i | 1 : (i - 2 * many) & ~UINT64_C(1);

			if (track_asked(&t, j * 3) == NULL)
				continue;
			assert_int_equal(track_asked(&t, j * 3)->session_id, j);
			track_answered(&t, j * 3);
			assert_null(track_asked(&t, j * 3));
		}
		assert_false(track_owed(&t, 5));
		assert_int_equal(t.npending, 0);
		assert_null(t.pending);
		track_fini(&t);
	}
}

/* What is never answered is forgotten, and what was asked lately is not. */
static void
test_pending_expires(void **state)
{
	struct track t;
	struct pending p = { .kind = PENDING_IFINFO };
	enum close_reason why;
	uint64_t now = clock_ms(), slot = 64 * 1000;

	(void)state;
	track_init(&t);
	for (uint64_t i = 0; i < 100; i++) {
		p.message_id = i;
		assert_int_equal(track_ask(&t, &p, &why), 0);
	}
	for (unsigned i = 0; i < 50; i++)
		t.pending[i].since_s += 3600;
	now = (now + TRACK_PENDING_AGE_MS + slot) / slot * slot;
	track_expire(&t, now - 2 * slot);
	assert_int_equal(t.npending, 100);
	track_expire(&t, now + slot);
	assert_in_range(t.npending, 1, 50);
	for (uint64_t i = 0; i < 100; i++)
		track_answered(&t, i);
	assert_null(t.pending);
	track_fini(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outcomes),
		cmocka_unit_test(test_waiting),
		cmocka_unit_test(test_moved),
		cmocka_unit_test(test_owed),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_compounds),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_first),
		cmocka_unit_test(test_pending),
		cmocka_unit_test(test_pending_expires),
	};

	unsigned seed =
	    getenv("SEED") != NULL ? (unsigned)atoi(getenv("SEED")) : (unsigned)time(NULL);

	cmocka_set_message_output(CM_OUTPUT_TAP);
	printf("# SEED=%u\n", seed);
	srand(seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
