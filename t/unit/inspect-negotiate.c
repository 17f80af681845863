/* inspect-negotiate.c: NEGOTIATE in SMB2 and SMB1: what is agreed on, with whom, and when */
#include "config.h"

#include "t/unit/lib/made.h"
#include "t/unit/lib/talk.h"

#include "auth/crypt.h"
#include "auth/keyc.h"
#include "auth/keywatch.h"
#include "auth/preauth.h"
#include "base/guid.h"
#include "base/wr.h"
#include "smb/const.h"
#include "smb/hdr2.h"
#include "smb/nbss.h"
#include "stats/stats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>

#define NODE "node \"n1\" { address = \"127.0.0.11:445\" }\n"

static const struct guid alice = { .b = { 0xa1 } }, bob = { .b = { 0xb0 } }, zero;

/* A connection that has its node, with everything that makes smbgate keep a hash. */
struct opened {
	struct talk t;
	struct event_base *base;
	struct keywatch watch;
	struct keyc *keyc;
	struct crypt *crypt;
	uint64_t mid;
	size_t len;		/* of the last frame made */
	struct made m;
};

static void
begin(struct opened *o, const char *policy)
{
	struct mediate_env *env = talk_env_new(policy);

	memset(o, 0, sizeof(*o));
	o->base = event_base_new();
	o->crypt = crypt_new();
	o->keyc = env->keyc = keyc_new(o->base, &o->watch);
	talk_init(&o->t, env, "lan", "10.0.0.5");
}

static void
end(struct opened *o)
{
	struct mediate_env *env = o->t.env;

	talk_fini(&o->t);
	talk_env_free(env);
	keyc_free(&o->keyc);
	event_base_free(o->base);
	crypt_free(&o->crypt);
}

static struct track *
track(struct opened *o)
{
	return &o->t.conn.mediate.track;
}

/* The client's NEGOTIATE with that one dialect: false when it ends the connection. */
static bool
asks(struct opened *o, const struct guid *guid, uint16_t dialect)
{
	const struct hdr2 h = { .command = SMB2_NEGOTIATE, .message_id = o->mid, .credits = 1 };
	struct wr *w;

	made_init(&o->m);
	w = made_next(&o->m);
	hdr2_put(w, &h);
	wr_u16(w, 36);
	wr_u16(w, 1);
	wr_u16(w, SMB2_NEGOTIATE_SIGNING_ENABLED);
	wr_u16(w, 0);
	wr_u32(w, (uint32_t)(o->mid + 1));
	wr_bytes(w, guid->b, sizeof(guid->b));
	wr_zero(w, 8);
	wr_u16(w, dialect);
	o->len = made_end(&o->m);
	return talk_feed(&o->t, C2S, o->m.b, o->len);
}

/* The node's answer. */
static void
answers(struct opened *o, uint32_t status, uint16_t dialect)
{
	const struct hdr2 h = { .command = SMB2_NEGOTIATE, .message_id = o->mid++, .credits = 1,
		.status = status, .flags = SMB2_FLAGS_SERVER_TO_REDIR };
	struct wr *w;

	made_init(&o->m);
	w = made_next(&o->m);
	hdr2_put(w, &h);
	if (status != STATUS_SUCCESS) {
		wr_u16(w, 9);
		wr_zero(w, 7);
	} else {
		wr_u16(w, 65);
		wr_u16(w, SMB2_NEGOTIATE_SIGNING_ENABLED);
		wr_u16(w, dialect);
		wr_zero(w, 2 + 16 + 4);
		for (int i = 0; i < 3; i++)
			wr_u32(w, 1 << 20);
		wr_zero(w, 16);
		wr_u16(w, 128);
		wr_zero(w, 6);
	}
	o->len = made_end(&o->m);
	assert_true(talk_feed(&o->t, S2C, o->m.b, o->len));
}

static void
hashed(struct opened *o, struct preauth *p)
{
	assert_int_equal(preauth_add(o->crypt, p, o->m.b + NBSS_HDR_LEN, o->len - NBSS_HDR_LEN), 0);
}

/* However many were refused: what counts is the one that the node took. */
static void
test_refused(void **state)
{
	(void)state;
	for (unsigned refused = 0; refused < 4; refused++) {
		struct preauth want = { .hash = { 0 } };
		struct opened o;

		begin(&o, NODE);
		for (unsigned i = 0; i < refused; i++) {
			assert_true(asks(&o, &alice, 0x0999));
			answers(&o, STATUS_NOT_SUPPORTED, 0);
			assert_false(track(&o)->negotiated);
		}
		assert_true(asks(&o, &alice, SMB2_DIALECT_311));
		hashed(&o, &want);
		answers(&o, STATUS_SUCCESS, SMB2_DIALECT_311);
		hashed(&o, &want);
		assert_true(track(&o)->negotiated);
		assert_int_equal(track(&o)->dialect, SMB2_DIALECT_311);
		assert_int_equal(track(&o)->client_caps, refused + 1);
		assert_true(guid_equal(&track(&o)->client_guid, &alice));
		assert_memory_equal(&o.t.conn.mediate.logons.hash, &want, sizeof(want));
		/* And that was the last. */
		assert_false(asks(&o, &alice, SMB2_DIALECT_311));
		assert_int_equal(o.t.why, CLOSE_BAD_SEQUENCE);
		end(&o);
	}
}

/* smbd takes 0x02ff in an SMB2 NEGOTIATE once, and chooses nothing by it. */
static void
test_wildcard(void **state)
{
	struct preauth want = { .hash = { 0 } };
	struct opened o;

	(void)state;
	begin(&o, NODE);
	assert_true(asks(&o, &alice, SMB2_DIALECT_2FF));
	answers(&o, STATUS_SUCCESS, SMB2_DIALECT_2FF);
	assert_false(track(&o)->negotiated);
	assert_true(asks(&o, &alice, SMB2_DIALECT_311));
	hashed(&o, &want);
	answers(&o, STATUS_SUCCESS, SMB2_DIALECT_311);
	hashed(&o, &want);
	assert_memory_equal(&o.t.conn.mediate.logons.hash, &want, sizeof(want));
	end(&o);
}

/* The connection is that client's that it was placed for. */
static void
test_other_guid(void **state)
{
	static const struct {
		const struct guid *first;
		uint16_t first_dialect;
		const struct guid *then;
		uint16_t dialect;
		bool good;
	} rows[] = {
		{ &alice, 0x0999, &alice, SMB2_DIALECT_311, true },
		{ &alice, 0x0999, &bob, SMB2_DIALECT_311, false },
		{ &alice, 0x0999, &bob, SMB2_DIALECT_210, false },
		{ &alice, 0x0999, &bob, SMB2_DIALECT_2FF, false },
		{ &alice, 0x0999, &bob, 0x0998, false },
		{ &alice, 0x0999, &zero, SMB2_DIALECT_210, false },
		{ &zero, SMB2_DIALECT_300, &bob, SMB2_DIALECT_311, false },
		{ &zero, SMB2_DIALECT_300, &zero, SMB2_DIALECT_311, true },
		/* 2.0.2 knows no GUIDs: it names nobody, and nobody is placed by it. */
		{ &alice, 0x0999, &bob, SMB2_DIALECT_202, true },
		{ &alice, SMB2_DIALECT_202, &bob, SMB2_DIALECT_202, true },
		{ &alice, SMB2_DIALECT_202, &bob, SMB2_DIALECT_210, false },
		{ &alice, SMB2_DIALECT_202, &alice, SMB2_DIALECT_210, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct opened o;

		begin(&o, NODE);
		assert_true(asks(&o, rows[i].first, rows[i].first_dialect));
		answers(&o, STATUS_NOT_SUPPORTED, 0);
		buf_fini(&o.t.side[C2S].out);
		if (asks(&o, rows[i].then, rows[i].dialect) != rows[i].good)
			fail_msg("row %zu: %s", i, o.t.closed ? close_text(o.t.why) : "open");
		if (!rows[i].good) {
			assert_int_equal(o.t.why, CLOSE_OTHER_GUID);
			assert_int_equal(buf_len(&o.t.side[C2S].out), 0);
		}
		end(&o);
	}
}

/* SMB1's NEGOTIATE has no GUID either. */
static void
test_after_smb1(void **state)
{
	struct opened o;

	(void)state;
	begin(&o, NODE);
	track_negotiate_smb1(track(&o));
	/* As where the node has refused it in SMB2. */
	track(&o)->negotiating = false;
	assert_false(asks(&o, &alice, SMB2_DIALECT_311));
	assert_int_equal(o.t.why, CLOSE_OTHER_GUID);
	end(&o);
}

/* Before the first is answered: whose answer is whose? */
static void
test_sent_ahead(void **state)
{
	struct opened o;

	(void)state;
	begin(&o, NODE);
	assert_true(asks(&o, &alice, SMB2_DIALECT_311));
	assert_false(asks(&o, &alice, SMB2_DIALECT_311));
	assert_int_equal(o.t.why, CLOSE_BAD_SEQUENCE);
	end(&o);
}

/* SMB1: an answer of that form, with every bit set. */
static size_t
smb1_answer(uint8_t b[256], uint8_t words, uint16_t index)
{
	struct wr w = wr_init(b, 256);

	wr_zero(&w, NBSS_HDR_LEN);
	wr_u32(&w, SMB1_PROTOCOL_ID);
	wr_u8(&w, SMB1_COM_NEGOTIATE);
	wr_u32(&w, STATUS_SUCCESS);
	wr_u8(&w, SMB1_FLAGS_REPLY);
	wr_zero(&w, SMB1_HDR_LEN - 10);
	wr_u8(&w, words);
	wr_u16(&w, index);
	for (unsigned i = 1; i < words; i++)
		wr_u16(&w, 0xffff);
	wr_u16(&w, 8);
	wr_zero(&w, 8);
	nbss_put(b, (uint32_t)(wr_len(&w) - NBSS_HDR_LEN));
	return wr_len(&w);
}

static void
test_smb1_answers(void **state)
{
	/* at: the byte, from the SMB1 header on, that must be another; bits: what it loses */
	static const struct {
		uint8_t words;
		uint16_t index;
		bool allowed, chosen;
		size_t at;
		uint8_t bits;
	} rows[] = {
		{ 17, 5, true, true, 52, 0x01 },
		{ 13, 2, true, true, 43, 0xff },
		{ 1, 0, true, true, 0, 0 },
		{ 1, 0xffff, true, false, 0, 0 },
		{ 17, 0xffff, true, false, 0, 0 },
		{ 1, 0xffff, false, false, 0, 0 },
		{ 17, 5, false, true, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t b[256];
		struct opened o;
		struct buf *out;
		size_t n = smb1_answer(b, rows[i].words, rows[i].index);

		begin(&o, rows[i].allowed ? NODE "smb1 = allow\n" : NODE);
		out = &o.t.side[S2C].out;
		track_negotiate_smb1(track(&o));
		if (talk_feed(&o.t, S2C, b, n) != (rows[i].allowed || !rows[i].chosen))
			fail_msg("row %zu", i);
		assert_int_equal(track(&o)->smb1, rows[i].allowed && rows[i].chosen);
		if (!o.t.closed) {
			if (rows[i].at != 0)
				b[NBSS_HDR_LEN + rows[i].at] &= (uint8_t)~rows[i].bits;
			assert_int_equal(buf_len(out), n);
			assert_memory_equal(buf_head(out), b, n);
		} else {
			assert_int_equal(o.t.why, CLOSE_SMB1_REFUSED);
		}
		end(&o);
	}
}

/* An answer in SMB1 to an SMB2 NEGOTIATE. */
static void
test_smb1_unasked(void **state)
{
	uint8_t b[256];
	struct opened o;

	(void)state;
	begin(&o, NODE "smb1 = allow\n");
	assert_true(asks(&o, &alice, SMB2_DIALECT_311));
	assert_false(talk_feed(&o.t, S2C, b, smb1_answer(b, 17, 0)));
	assert_int_equal(o.t.why, CLOSE_BAD_PROTOCOL);
	end(&o);
}

/* READ_RAW, WRITE_RAW: the node gets a FID that it does not know, and all else as it was. */
static void
test_raw(void **state)
{
	static const struct {
		uint8_t command, words;
		bool raw;
	} rows[] = { { 0x1a, 8, true }, { 0x1a, 10, true }, { 0x1d, 12, true }, { 0x1d, 14, true },
		{ 0x1a, 0, false }, { 0x0a, 5, false }, { 0x1e, 12, false } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t b[256];
		struct opened o;
		struct buf *out;
		size_t n = smb1_answer(b, rows[i].words, 0x1234);

		begin(&o, NODE "smb1 = allow\n");
		out = &o.t.side[C2S].out;
		track(&o)->smb1 = true;
		b[NBSS_HDR_LEN + 4] = rows[i].command;
		b[NBSS_HDR_LEN + 9] = 0;
		assert_true(talk_feed(&o.t, C2S, b, n));
		if (rows[i].raw)
			b[NBSS_HDR_LEN + 33] = b[NBSS_HDR_LEN + 34] = 0xff;
		assert_int_equal(buf_len(out), n);
		assert_memory_equal(buf_head(out), b, n);
		assert_int_equal(o.t.env->stats->count[STAT_smb1_raw], rows[i].raw);
		end(&o);
	}
}

/* Samba's encryption: the level of information that begins it becomes one that nobody knows. */
static void
test_encryption(void **state)
{
	static const struct {
		uint16_t setup, level;
		uint8_t offset;
		bool asked;
	} rows[] = { { 4, 0x203, 68, true }, { 4, 0x203, 66, true }, { 4, 0x200, 68, false },
		{ 3, 0x203, 68, false }, { 4, 0x203, 70, false }, { 4, 0x203, 20, false },
		{ 4, 0x203, 71, false }, { 4, 0x203, 0xff, false } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t b[256], *msg = b + NBSS_HDR_LEN;
		struct opened o;
		struct buf *out;
		size_t n = smb1_answer(b, 15, 4), at = rows[i].offset + 2u;

		begin(&o, NODE "smb1 = allow\n");
		out = &o.t.side[C2S].out;
		track(&o)->smb1 = true;
		msg[4] = SMB1_COM_TRANSACTION2;
		msg[9] = 0;
		msg[33 + 20] = rows[i].offset;
		msg[33 + 21] = 0;
		msg[33 + 28] = (uint8_t)rows[i].setup;
		msg[33 + 29] = 0;
		/* A node would not find it at 70, nor is it behind the words at 20. */
		if (rows[i].offset == 68 || rows[i].offset == 66) {
			msg[at] = (uint8_t)rows[i].level;
			msg[at + 1] = (uint8_t)(rows[i].level >> 8);
		}
		assert_true(talk_feed(&o.t, C2S, b, n));
		if (rows[i].asked)
			msg[at] = msg[at + 1] = 0xff;
		assert_int_equal(buf_len(out), n);
		assert_memory_equal(buf_head(out), b, n);
		assert_int_equal(o.t.env->stats->count[STAT_smb1_raw], rows[i].asked);
		end(&o);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_wildcard),
		cmocka_unit_test(test_other_guid),
		cmocka_unit_test(test_after_smb1),
		cmocka_unit_test(test_sent_ahead),
		cmocka_unit_test(test_smb1_answers),
		cmocka_unit_test(test_smb1_unasked),
		cmocka_unit_test(test_raw),
		cmocka_unit_test(test_encryption),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
