/* inspect-smb1.c: SMB1 logons: VcNumber in every form and place, and 600,000 random frames */
#include "config.h"

#include "t/unit/lib/made.h"
#include "t/unit/lib/talk.h"

#include "base/wr.h"
#include "inspect/caller.h"
#include "inspect/smb1.h"
#include "inspect/vc_reset.h"
#include "smb/const.h"
#include "smb/nbss.h"
#include "smb/neg2.h"
#include "stats/stats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define POLICY "node \"n1\" { address = \"127.0.0.11:445\" }\nsmb1 = allow\n"
#define FRAME_MAX 70000
#define RANDOM_FRAMES 600000
/* conn_id 1 of talk.c. */
#define OWN 2

struct frame {
	uint8_t b[FRAME_MAX];
	size_t n;
};

static void
begin(struct frame *f, uint8_t command, uint8_t flags, uint16_t flags2, uint32_t status)
{
	struct wr w = wr_init(f->b, sizeof(f->b));

	wr_zero(&w, NBSS_HDR_LEN);
	wr_u32(&w, SMB1_PROTOCOL_ID);
	wr_u8(&w, command);
	wr_u32(&w, status);
	wr_u8(&w, flags);
	wr_u16(&w, flags2);
	wr_zero(&w, SMB1_HDR_LEN - 12);
	f->n = wr_len(&w);
}

static void
u16(struct frame *f, size_t at, uint16_t v)
{
	f->b[at] = (uint8_t)v;
	f->b[at + 1] = (uint8_t)(v >> 8);
}

/* A block at the end of the frame; returns where its WordCount is, in the frame. */
static size_t
block(struct frame *f, unsigned words, unsigned bytes)
{
	size_t at = f->n;

	memset(f->b + at, 0x5a, 1 + 2 * words + 2 + bytes);
	f->b[at] = (uint8_t)words;
	if (words >= 2) {
		f->b[at + 1] = SMB1_NO_ANDX;
		f->b[at + 2] = 0;
	}
	u16(f, at + 1 + 2 * words, (uint16_t)bytes);
	f->n += 1 + 2 * words + 2 + bytes;
	return at;
}

/* The block at `at` is followed by what comes next, which is of that command. */
static void
followed(struct frame *f, size_t at, uint8_t command)
{
	f->b[at + 1] = command;
	u16(f, at + 3, (uint16_t)(f->n - NBSS_HDR_LEN));
}

static size_t
setup_block(struct frame *f, unsigned words, uint16_t vc)
{
	size_t at = block(f, words, 40);

	u16(f, at + 9, vc);
	/* Lengths of nothing, whichever form it is. */
	for (unsigned i = 7; i < words; i++)
		u16(f, at + 1 + 2 * i, 0);
	return at;
}

static void
finish(struct frame *f)
{
	nbss_put(f->b, (uint32_t)(f->n - NBSS_HDR_LEN));
}

static void
smb1_talk(struct talk *t, const char *policy)
{
	talk_init(t, talk_env_new(policy), "lan", "127.0.0.1");
	t->conn.mediate.self.conn_id = 1;
	t->conn.mediate.track.smb1 = true;
	t->conn.mediate.track.max_frame = NBSS_LEN_MAX;
}

static void
end_talk(struct talk *t)
{
	struct mediate_env *env = t->env;

	talk_fini(t);
	talk_env_free(env);
}

static uint64_t
count(const struct talk *t, enum counter c)
{
	return t->env->stats->count[c];
}

/* Feeds it; what comes out is exactly f, but for the VcNumber at `at` (0: nowhere). */
static void
expect(struct talk *t, enum dir d, const struct frame *f, size_t at, uint16_t vc)
{
	struct buf *out = &t->side[d].out;
	struct frame *want = malloc(sizeof(*want));

	*want = *f;
	if (at != 0)
		u16(want, at + 9, vc);
	assert_true(talk_feed(t, d, f->b, f->n));
	assert_int_equal(buf_len(out), f->n);
	assert_memory_equal(buf_head(out), want->b, f->n);
	buf_drain(out, f->n);
	free(want);
}

static void
answered(struct talk *t, uint32_t status, uint16_t flags2, const char *signature)
{
	struct frame *f = calloc(1, sizeof(*f));

	begin(f, SMB1_COM_SESSION_SETUP_ANDX, SMB1_FLAGS_REPLY, flags2, status);
	memcpy(f->b + NBSS_HDR_LEN + 14, signature, 8);
	block(f, 3, 12);
	finish(f);
	expect(t, S2C, f, 0, 0);
	free(f);
}

static void
test_forms(void **state)
{
	static const unsigned words[] = { 10, 12, 13, 5, 20 };
	static const uint16_t numbers[] = { 0, 1, 2, 77, 0xffff };
	struct frame *f = calloc(1, sizeof(*f));

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		for (size_t k = 0; k < sizeof(numbers) / sizeof(numbers[0]); k++) {
			struct talk t;
			size_t at;

			smb1_talk(&t, POLICY);
			begin(f, SMB1_COM_SESSION_SETUP_ANDX, 0, 0xc807, 0);
			at = setup_block(f, words[i], numbers[k]);
			finish(f);
			expect(&t, C2S, f, at, numbers[k] == 0 ? OWN : numbers[k]);
			assert_int_equal(count(&t, STAT_vc_renumbered), numbers[k] == 0);
			end_talk(&t);
			smb1_talk(&t, POLICY "vcnumber = pass\n");
			expect(&t, C2S, f, 0, 0);
			assert_int_equal(count(&t, STAT_vc_renumbered), 0);
			assert_int_equal(count(&t, STAT_vc_zero), numbers[k] == 0);
			end_talk(&t);
		}
	}
	free(f);
}

static void
test_own_numbers(void **state)
{
	static const uint64_t ids[] = { 0, 1, 65533, 65534, 65535, 65536, UINT64_MAX };
	struct frame *f = calloc(1, sizeof(*f));

	(void)state;
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		struct talk t;

		smb1_talk(&t, POLICY);
		t.conn.mediate.self.conn_id = ids[i];
		begin(f, SMB1_COM_SESSION_SETUP_ANDX, 0, 0, 0);
		setup_block(f, 13, 0);
		finish(f);
		assert_true(talk_feed(&t, C2S, f->b, f->n));
		assert_true(
		    buf_head(&t.side[C2S].out)[45] != 0 || buf_head(&t.side[C2S].out)[46] != 0);
		end_talk(&t);
	}
	free(f);
}

static void
test_chains(void **state)
{
	/* A logon behind what may stand in front of it, and in front of what may follow. */
	static const uint8_t before[] = { SMB1_COM_LOGOFF_ANDX, SMB1_COM_TREE_CONNECT_ANDX,
		SMB1_COM_LOCKING_ANDX, SMB1_COM_OPEN_ANDX, SMB1_COM_READ_ANDX, SMB1_COM_WRITE_ANDX,
		SMB1_COM_NT_CREATE_ANDX, SMB1_COM_SESSION_SETUP_ANDX };
	struct frame *f = calloc(1, sizeof(*f));

	(void)state;
	for (size_t i = 0; i < sizeof(before); i++) {
		struct talk t;
		size_t at, next;

		smb1_talk(&t, POLICY);
		begin(f, before[i], 0, 0, 0);
		/* VcNumber of the first block, were it a logon: not 0. */
		next = block(f, 12, 7);
		followed(f, next, SMB1_COM_SESSION_SETUP_ANDX);
		at = setup_block(f, 12, 0);
		followed(f, at, SMB1_COM_TREE_CONNECT_ANDX);
		block(f, 4, 20);
		finish(f);
		expect(&t, C2S, f, at, OWN);
		end_talk(&t);
	}
	free(f);
}

static void
closes(const struct frame *f, enum close_reason why)
{
	struct talk t;

	smb1_talk(&t, POLICY);
	assert_false(talk_feed(&t, C2S, f->b, f->n));
	assert_int_equal(t.why, why);
	assert_int_equal(buf_len(&t.side[C2S].out), 0);
	end_talk(&t);
}

static void
test_bad_chains(void **state)
{
	struct frame *f = calloc(1, sizeof(*f));
	size_t at;

	(void)state;
	/* An offset that leads back, to itself, into its own words, to the end, behind it. */
	for (unsigned i = 0; i < 7; i++) {
		begin(f, SMB1_COM_LOGOFF_ANDX, 0, 0, 0);
		at = block(f, 2, 0);
		followed(f, at, SMB1_COM_SESSION_SETUP_ANDX);
		setup_block(f, 13, 0);
		u16(f, at + 3,
		    (const uint16_t[]){ 0, 4, 32, 33, 38, (uint16_t)(f->n - 4), 0xffff }[i]);
		finish(f);
		closes(f, CLOSE_BAD_CHAIN);
	}
	/* A ring of one block, and more blocks than anybody sends. */
	begin(f, SMB1_COM_LOGOFF_ANDX, 0, 0, 0);
	for (unsigned i = 0; i < 40; i++)
		followed(f, block(f, 2, 0), SMB1_COM_LOGOFF_ANDX);
	block(f, 2, 0);
	finish(f);
	closes(f, CLOSE_BAD_CHAIN);
	/* No room for VcNumber; words that are not there; nothing behind the header. */
	begin(f, SMB1_COM_SESSION_SETUP_ANDX, 0, 0, 0);
	block(f, 4, 0);
	finish(f);
	closes(f, CLOSE_BAD_MESSAGE);
	begin(f, SMB1_COM_SESSION_SETUP_ANDX, 0, 0, 0);
	at = block(f, 13, 0);
	f->b[at] = 14;
	finish(f);
	closes(f, CLOSE_BAD_CHAIN);
	begin(f, SMB1_COM_SESSION_SETUP_ANDX, 0, 0, 0);
	finish(f);
	closes(f, CLOSE_BAD_CHAIN);
	/* Too long to be held. */
	begin(f, SMB1_COM_WRITE_ANDX, 0, 0, 0);
	at = block(f, 14, 60000);
	followed(f, at, SMB1_COM_SESSION_SETUP_ANDX);
	setup_block(f, 13, 0);
	f->n += 8000;
	finish(f);
	closes(f, CLOSE_UNSEEN_COMPOUND);
	/* SMB2 on a connection that chose SMB1. */
	begin(f, 0, 0, 0, 0);
	f->b[NBSS_HDR_LEN] = 0xfe;
	block(f, 40, 0);
	finish(f);
	closes(f, CLOSE_BAD_PROTOCOL);
	free(f);
}

static void
test_signed(void **state)
{
	struct frame *f = calloc(1, sizeof(*f));
	struct talk t;
	size_t at;

	(void)state;
	begin(f, SMB1_COM_SESSION_SETUP_ANDX, 0, 0xc807 | SMB1_FLAGS2_SIGNATURE, 0);
	/* A client's own word that it signs. */
	memcpy(f->b + NBSS_HDR_LEN + 14, "whatever", 8);
	at = setup_block(f, 12, 0);
	finish(f);
	smb1_talk(&t, POLICY);
	expect(&t, C2S, f, at, OWN);
	answered(&t, STATUS_MORE_PROCESSING_REQUIRED, 0xc807, "BSRSPYL ");
	assert_false(t.conn.mediate.track.logged_on);
	expect(&t, C2S, f, at, OWN);
	/* A guest's: nobody signs, whatever the flags say. */
	answered(&t, STATUS_SUCCESS, 0xc807, "BSRSPYL ");
	assert_true(t.conn.mediate.track.logged_on);
	expect(&t, C2S, f, at, OWN);
	answered(&t, STATUS_SUCCESS, 0xc807, "\0\0\0\0\0\0\0");
	expect(&t, C2S, f, at, OWN);
	answered(&t, STATUS_SUCCESS, 0xc803, "a true M");
	expect(&t, C2S, f, at, OWN);
	assert_int_equal(count(&t, STAT_vc_signed), 0);
	/* The node signs: what only claims to be signed, or does not, is for the node to judge. */
	answered(&t, STATUS_SUCCESS, 0xc807, "a true M");
	for (unsigned i = 0; i < 3; i++) {
		u16(f, NBSS_HDR_LEN + 10, i == 0 ? 0xc803 : 0xc807);
		memcpy(f->b + NBSS_HDR_LEN + 14, i == 2 ? "BSRSPYL " : "\0\0\0\0\0\0\0", 8);
		expect(&t, C2S, f, at, OWN);
	}
	assert_int_equal(count(&t, STAT_vc_signed), 0);
	assert_int_equal(count(&t, STAT_vc_renumbered), 8);
	/* What may be signed cannot be changed, and does not reach it. */
	memcpy(f->b + NBSS_HDR_LEN + 14, "whatever", 8);
	assert_false(talk_feed(&t, C2S, f->b, f->n));
	assert_int_equal(t.why, CLOSE_SMB1_SIGNED);
	assert_int_equal(buf_len(&t.side[C2S].out), 0);
	assert_int_equal(count(&t, STAT_vc_signed), 1);
	end_talk(&t);
	/* But another number is none of smbgate's business, and policy may let 0 pass. */
	for (unsigned i = 0; i < 2; i++) {
		smb1_talk(&t, i == 0 ? POLICY : POLICY "vcnumber = pass\n");
		t.conn.mediate.track.logged_on = true;
		answered(&t, STATUS_SUCCESS, 0xc807, "a true M");
		u16(f, at + 9, i == 0 ? 1 : 0);
		expect(&t, C2S, f, 0, 0);
		assert_int_equal(count(&t, STAT_vc_signed), 0);
		end_talk(&t);
	}
	free(f);
}

/* The reset is due after the logon that asked for it, and only if it succeeds. */
static void
test_reset(void **state)
{
	struct frame *zero = calloc(1, sizeof(*zero)), *one = calloc(1, sizeof(*one));
	struct talk t;

	(void)state;
	begin(zero, SMB1_COM_SESSION_SETUP_ANDX, 0, 0, 0);
	setup_block(zero, 13, 0);
	finish(zero);
	begin(one, SMB1_COM_SESSION_SETUP_ANDX, 0, 0, 0);
	setup_block(one, 13, 1);
	finish(one);
	smb1_talk(&t, POLICY);
	assert_true(talk_feed(&t, C2S, zero->b, zero->n));
	assert_false(t.conn.mediate.track.vc_reset);
	answered(&t, 0xc000006d, 0, "\0\0\0\0\0\0\0");
	assert_false(t.conn.mediate.track.vc_reset);
	/* The failed one is forgotten. */
	assert_true(talk_feed(&t, C2S, one->b, one->n));
	answered(&t, STATUS_SUCCESS, 0, "\0\0\0\0\0\0\0");
	assert_false(t.conn.mediate.track.vc_reset);
	/* Two legs, the second says something else. */
	assert_true(talk_feed(&t, C2S, zero->b, zero->n));
	answered(&t, STATUS_MORE_PROCESSING_REQUIRED, 0, "\0\0\0\0\0\0\0");
	assert_false(t.conn.mediate.track.vc_reset);
	assert_true(talk_feed(&t, C2S, one->b, one->n));
	answered(&t, STATUS_SUCCESS, 0, "\0\0\0\0\0\0\0");
	assert_true(t.conn.mediate.track.vc_reset);
	end_talk(&t);
	free(zero);
	free(one);
}

/* WordCount 13 with names, in Unicode or not. */
static void
with_names(struct frame *f, const char *account, const char *domain, bool unicode)
{
	const char *names[] = { account, domain };
	size_t at, bytes, passwords = 5;

	begin(f, SMB1_COM_SESSION_SETUP_ANDX, 0, unicode ? SMB1_FLAGS2_UNICODE : 0, 0);
	at = block(f, 13, 0);
	u16(f, at + 9, 1);
	u16(f, at + 15, 2);
	u16(f, at + 17, 3);
	bytes = f->n;
	f->n += passwords;
	if (unicode && (f->n - NBSS_HDR_LEN) % 2 != 0)
		f->b[f->n++] = 0;
	for (int i = 0; i < 2; i++) {
		for (const char *c = names[i];; c++) {
			f->b[f->n++] = (uint8_t)*c;
			if (unicode)
				f->b[f->n++] = 0;
			if (*c == '\0')
				break;
		}
	}
	u16(f, at + 1 + 26, (uint16_t)(f->n - bytes));
	finish(f);
}

/* A SESSION_SETUP with that MID and UID, and one that names somebody. */
static void
asked_as(struct talk *t, uint16_t mid, uint16_t uid, uint16_t vc, const char *account)
{
	struct frame *f = calloc(1, sizeof(*f));

	with_names(f, account, "LAB", true);
	u16(f, NBSS_HDR_LEN + 28, uid);
	u16(f, NBSS_HDR_LEN + 30, mid);
	u16(f, NBSS_HDR_LEN + SMB1_HDR_LEN + 9, vc);
	assert_true(talk_feed(t, C2S, f->b, f->n));
	buf_fini(&t->side[C2S].out);
	free(f);
}

/* Its answer: with a block of words, chained to a TREE_CONNECT, or not. */
static void
answer_to(struct talk *t, uint16_t mid, uint16_t uid, uint32_t status, unsigned words, bool chain)
{
	struct frame *f = calloc(1, sizeof(*f));
	size_t at;

	begin(f, SMB1_COM_SESSION_SETUP_ANDX, SMB1_FLAGS_REPLY, 0, status);
	u16(f, NBSS_HDR_LEN + 28, uid);
	u16(f, NBSS_HDR_LEN + 30, mid);
	at = block(f, words, 0);
	if (words >= 3)
		u16(f, at + 5, 0);
	if (chain) {
		followed(f, at, SMB1_COM_TREE_CONNECT_ANDX);
		block(f, 0, 0);
	}
	finish(f);
	expect(t, S2C, f, 0, 0);
	free(f);
}

static uint64_t
name_of(const char *account)
{
	struct identity id = { 0 };
	struct talk t;

	smb1_talk(&t, POLICY);
	asked_as(&t, 1, 0, 1, account);
	answer_to(&t, 1, 7, STATUS_SUCCESS, 3, false);
	id = t.conn.mediate.identity;
	end_talk(&t);
	return id.principal;
}

/* Many logons at once on one connection: what is known of one is not another's. */
static void
test_by_mid(void **state)
{
	const uint64_t alice = name_of("alice"), bob = name_of("bob");
	struct track *track;
	struct talk t;

	(void)state;
	assert_true(alice != 0 && bob != 0 && alice != bob);
	smb1_talk(&t, POLICY);
	track = &t.conn.mediate.track;
	asked_as(&t, 1, 0, 0, "alice");
	asked_as(&t, 2, 0, 1, "bob");
	answer_to(&t, 2, 0, 0xc000006d, 0, false);
	assert_true(!track->vc_reset && !track->logged_on);
	assert_true(t.conn.mediate.identity.principal == 0);
	answer_to(&t, 1, 7, STATUS_SUCCESS, 3, false);
	assert_true(track->vc_reset && track->logged_on && track->user);
	assert_true(t.conn.mediate.identity.principal == alice);
	assert_string_equal(smb1_caller(t.conn.mediate.smb1)->user, "LAB\\alice");
	assert_int_equal(smb1_caller(t.conn.mediate.smb1)->how, CALLER_PLAIN);
	/* In the other order, and the one with VcNumber 0 fails. */
	track->vc_reset = false;
	asked_as(&t, 3, 0, 0, "alice");
	asked_as(&t, 4, 0, 1, "bob");
	answer_to(&t, 4, 8, STATUS_SUCCESS, 3, false);
	assert_true(!track->vc_reset && t.conn.mediate.identity.principal == bob);
	answer_to(&t, 3, 0, 0xc000006d, 0, false);
	assert_false(track->vc_reset);
	/* Two of one MID are answered in their order; the second leg of one comes by its UID. */
	asked_as(&t, 5, 0, 0, "alice");
	asked_as(&t, 5, 0, 1, "bob");
	answer_to(&t, 5, 9, STATUS_MORE_PROCESSING_REQUIRED, 4, false);
	answer_to(&t, 5, 10, STATUS_MORE_PROCESSING_REQUIRED, 4, false);
	asked_as(&t, 6, 10, 1, "bob");
	asked_as(&t, 7, 9, 1, "alice");
	answer_to(&t, 6, 10, STATUS_SUCCESS, 4, false);
	assert_false(track->vc_reset);
	answer_to(&t, 7, 9, STATUS_SUCCESS, 4, false);
	assert_true(track->vc_reset && t.conn.mediate.identity.principal == alice);
	end_talk(&t);
}

/* A logon in one message with what fails is one; and what never comes is forgotten. */
static void
test_chained_logon(void **state)
{
	struct talk t;
	size_t size;

	(void)state;
	smb1_talk(&t, POLICY);
	asked_as(&t, 1, 0, 0, "alice");
	answer_to(&t, 1, 0, 0xc00000cc, 0, false);
	assert_false(t.conn.mediate.track.logged_on);
	asked_as(&t, 1, 0, 0, "alice");
	answer_to(&t, 1, 7, 0xc00000cc, 3, true);
	assert_true(t.conn.mediate.track.logged_on && t.conn.mediate.track.vc_reset);
	assert_int_equal(count(&t, STAT_logon_failures), 1);
	assert_int_equal(mediate_size(&t.conn.mediate), 0);
	/* A thousand that are not answered keep no more than a hundred and twenty-eight. */
	for (uint16_t mid = 1; mid <= 128; mid++)
		asked_as(&t, mid, 0, 1, "bob");
	size = mediate_size(&t.conn.mediate);
	for (uint16_t mid = 129; mid <= 1000; mid++)
		asked_as(&t, mid, 0, 1, "bob");
	assert_int_equal(mediate_size(&t.conn.mediate), size);
	/* One that was forgotten lets its client in all the same. */
	answer_to(&t, 1, 8, STATUS_SUCCESS, 3, false);
	end_talk(&t);
}

static struct identity
identity_of(const char *account, const char *domain, bool unicode, uint32_t status)
{
	struct frame *f = calloc(1, sizeof(*f));
	struct identity id;
	struct talk t;

	with_names(f, account, domain, unicode);
	smb1_talk(&t, POLICY);
	assert_true(talk_feed(&t, C2S, f->b, f->n));
	answered(&t, status, 0, "\0\0\0\0\0\0\0");
	id = t.conn.mediate.identity;
	end_talk(&t);
	free(f);
	return id;
}

/* The same client, where machines count, and users where none is named? */
static bool
identity_same(const struct identity *a, const struct identity *b)
{
	struct mediate_env *env = talk_env_new(POLICY);
	const enum pol_vc_reset how = POL_VC_RESET_USER;
	const struct addr here = { { 10 } };
	const uint64_t key = vc_reset_key(env->policy, how, env->hash, &here, a, 0);
	const bool same = key != 0 &&
	    key == vc_reset_key(env->policy, how, env->hash, &here, b, 0);

	talk_env_free(env);
	return same;
}

static void
test_identity(void **state)
{
	struct identity a = identity_of("alice", "LAB", true, STATUS_SUCCESS);
	struct identity same = identity_of("ALICE", "lab", true, STATUS_SUCCESS);
	struct identity oem = identity_of("Alice", "Lab", false, STATUS_SUCCESS);
	struct identity bob = identity_of("bob", "LAB", true, STATUS_SUCCESS);
	struct identity other = identity_of("alice", "LAB2", true, STATUS_SUCCESS);
	struct identity shifted = identity_of("alicel", "AB", true, STATUS_SUCCESS);
	struct identity failed = identity_of("alice", "LAB", true, 0xc000006d);
	struct identity nobody = identity_of("", "", true, STATUS_SUCCESS);
	struct identity pc1 = a, pc2 = a;

	(void)state;
	assert_true(identity_same(&a, &same));
	assert_true(identity_same(&a, &oem));
	assert_false(identity_same(&a, &bob));
	assert_false(identity_same(&a, &other));
	assert_false(identity_same(&a, &shifted));
	assert_false(identity_same(&a, &failed));
	assert_false(identity_same(&failed, &failed));
	assert_false(identity_same(&nobody, &nobody));
	/* One user on two machines, and one machine with two users. */
	pc1.machine = 1;
	pc2.machine = 2;
	assert_false(identity_same(&pc1, &pc2));
	pc2.machine = 1;
	pc2.principal = bob.principal;
	assert_true(identity_same(&pc1, &pc2));
	/* A machine is not told from one without a name. */
	assert_false(identity_same(&pc1, &a));
}

/* What has SMB1's VcNumber at its offset in SMB2 is Flags, and the frame is nobody's business. */
static void
test_smb2_untouched(void **state)
{
	const struct neg2_resp neg = { .dialect = SMB2_DIALECT_302, .max_transact = 1 << 20,
		.max_read = 1 << 20, .max_write = 1 << 20 };
	struct made *m = malloc(sizeof(*m));
	size_t n, seen = 0;

	(void)state;
	for (unsigned command = SMB2_SESSION_SETUP; command <= SMB2_OPLOCK_BREAK; command++) {
		struct talk t;

		talk_init(&t, talk_env_new(POLICY), "lan", "127.0.0.1");
		track_negotiate_resp(&t.conn.mediate.track, &neg);
		made_init(m);
		put_session_setup(m, 1, 0, 0);
		n = made_end(m);
		if (command != SMB2_SESSION_SETUP) {
			/* All zeros but the header: VcNumber 0 wherever it is looked for. */
			m->b[NBSS_HDR_LEN + 12] = (uint8_t)command;
			memset(m->b + NBSS_HDR_LEN + 40, 0, 8);
		}
		assert_int_equal(m->b[45] | m->b[46], 0);
		if (talk_feed(&t, C2S, m->b, n)) {
			assert_int_equal(buf_len(&t.side[C2S].out), n);
			assert_memory_equal(buf_head(&t.side[C2S].out), m->b, n);
			seen++;
		}
		assert_int_equal(count(&t, STAT_vc_zero), 0);
		end_talk(&t);
	}
	assert_true(seen > 10);
	free(m);
}

/* Random frames against a second reading of the rules. */

static uint64_t
next_random(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

enum fate { REFUSED, RELAYED };

/* msg becomes what must come out. */
static enum fate
fate(uint8_t *msg, size_t len)
{
	static const char andx[] = "\x24\x2d\x2e\x2f\x73\x74\x75\xa2";
	uint8_t command;
	size_t off = 32;

	if (len < 32)
		return REFUSED;
	command = msg[4];
	/* It may ask for encryption: looked at, so its words have to be there. */
	if (command == 0x32 && len >= 63 && msg[61] == 4 && msg[62] == 0)
		return 32 + 1 + 2 * (size_t)msg[32] + 2 > len ? REFUSED : RELAYED;
	if (command != 0x73 && command != 0x74 && command != 0x1a && command != 0x1d &&
	    (len < 34 || command == 0 || strchr(andx, command) == NULL || msg[32] < 2 || msg[33] == 0xff))
		return RELAYED;
	for (int i = 0; i < 32; i++) {
		size_t words, next;

		if (off >= len)
			return REFUSED;
		words = msg[off];
		if (off + 1 + 2 * words + 2 > len)
			return REFUSED;
		if (command == 0x73) {
			if (words < 5)
				return REFUSED;
			if (msg[off + 9] == 0 && msg[off + 10] == 0)
				msg[off + 9] = OWN;
		}
		if ((command == 0x1a || command == 0x1d) && words > 0)
			msg[off + 1] = msg[off + 2] = 0xff;
		if (command == 0 || strchr(andx, command) == NULL || words < 2)
			return RELAYED;
		if (msg[off + 1] == 0xff)
			return RELAYED;
		next = msg[off + 3] | (size_t)msg[off + 4] << 8;
		if (next < off + 1 + 2 * words + 2 || next >= len)
			return REFUSED;
		command = msg[off + 1];
		off = next;
	}
	return REFUSED;
}

static void
random_frame(struct frame *f, uint64_t *seed)
{
	static const uint8_t commands[] = { 0x73, 0x73, 0x73, 0x73, 0x73, 0x74, 0x75, 0x2e, 0x2f,
		0x24, 0x2d, 0xa2, 0x25, 0x32, 0x1a, 0x1d };
	unsigned blocks = 1 + (unsigned)(next_random(seed) % 4);
	size_t last = 0;

	begin(f, commands[next_random(seed) % sizeof(commands)], 0, (uint16_t)next_random(seed), 0);
	for (unsigned i = 0; i < blocks; i++) {
		unsigned words =
		    (const unsigned[]){ 2, 4, 10, 12, 13, 14, 5, 0 }[next_random(seed) % 8];

		if (last != 0 && f->b[last] >= 2)
			followed(f, last, commands[next_random(seed) % sizeof(commands)]);
		last = block(f, words, (unsigned)(next_random(seed) % 64));
		if (words >= 5 && next_random(seed) % 2 == 0)
			u16(f, last + 9, (uint16_t)(next_random(seed) % 2));
	}
	/* Now and then a few bytes of it are anything. */
	for (unsigned i = (unsigned)(next_random(seed) % 4); i > 0; i--)
		f->b[8 + next_random(seed) % (f->n - 8)] = (uint8_t)next_random(seed);
	if (next_random(seed) % 8 == 0)
		f->n -= next_random(seed) % (f->n - 8);
	finish(f);
}

static void
test_random(void **state)
{
	const char *given = getenv("SMBGATE_SEED");
	uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
	struct frame *f = calloc(1, sizeof(*f)), *want = calloc(1, sizeof(*want));
	struct mediate_env *env = talk_env_new(POLICY);
	unsigned long refused = 0, changed = 0;
	struct talk t = { .closed = true };

	(void)state;
	print_message("# SMBGATE_SEED=%llu\n", (unsigned long long)seed);
	seed |= 1;
	for (unsigned long i = 0; i < RANDOM_FRAMES; i++) {
		enum fate x;
		bool ok;

		if (t.closed) {
			if (i > 0)
				talk_fini(&t);
			talk_init(&t, env, "lan", "127.0.0.1");
			t.conn.mediate.self.conn_id = 1;
			t.conn.mediate.track.smb1 = true;
			t.conn.mediate.track.max_frame = NBSS_LEN_MAX;
		}
		random_frame(f, &seed);
		memcpy(want->b, f->b, f->n);
		x = fate(want->b + NBSS_HDR_LEN, f->n - NBSS_HDR_LEN);
		ok = talk_feed(&t, C2S, f->b, f->n);
		if (ok != (x == RELAYED) ||
		    (ok && (buf_len(&t.side[C2S].out) != f->n ||
		               memcmp(buf_head(&t.side[C2S].out), want->b, f->n) != 0)))
			fail_msg("frame %lu: %s", i, ok ? "relayed wrongly" : close_text(t.why));
		refused += !ok;
		changed += ok && memcmp(f->b, want->b, f->n) != 0;
		if (ok)
			buf_drain(&t.side[C2S].out, f->n);
	}
	print_message("# %d frames: %lu refused, %lu renumbered or raw\n", RANDOM_FRAMES, refused,
	    changed);
	assert_true(refused > RANDOM_FRAMES / 10 && changed > RANDOM_FRAMES / 20);
	assert_true(env->stats->count[STAT_vc_renumbered] > RANDOM_FRAMES / 20);
	assert_true(env->stats->count[STAT_smb1_raw] > RANDOM_FRAMES / 20);
	talk_fini(&t);
	talk_env_free(env);
	free(f);
	free(want);
}

/* Whatever a node answers goes to the client as it is. */
static void
test_random_answers(void **state)
{
	struct frame *f = calloc(1, sizeof(*f));
	struct mediate_env *env = talk_env_new(POLICY);
	uint64_t seed = (uint64_t)time(NULL) | 1;
	struct talk t;

	(void)state;
	print_message("# seed %llu\n", (unsigned long long)seed);
	for (unsigned long i = 0; i < RANDOM_FRAMES / 6; i++) {
		size_t len;
		bool ok;

		talk_init(&t, env, "lan", "127.0.0.1");
		t.conn.mediate.track.smb1 = true;
		t.conn.mediate.track.max_frame = NBSS_LEN_MAX;
		random_frame(f, &seed);
		f->b[NBSS_HDR_LEN + 9] |= SMB1_FLAGS_REPLY;
		len = f->n - NBSS_HDR_LEN;
		ok = talk_feed(&t, S2C, f->b, f->n);
		if (ok != (len >= SMB1_HDR_LEN) ||
		    (ok && (buf_len(&t.side[S2C].out) != f->n ||
		               memcmp(buf_head(&t.side[S2C].out), f->b, f->n) != 0)))
			fail_msg("answer %lu: %s", i, ok ? "changed" : close_text(t.why));
		talk_fini(&t);
	}
	talk_env_free(env);
	free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_own_numbers),
		cmocka_unit_test(test_chains),
		cmocka_unit_test(test_bad_chains),
		cmocka_unit_test(test_signed),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_by_mid),
		cmocka_unit_test(test_chained_logon),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_smb2_untouched),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_random_answers),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
