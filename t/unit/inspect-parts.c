/* inspect-parts.c: frames too long to be held, or mixed: what must be seen in them is seen */
#include "config.h"

#include "t/unit/lib/made.h"
#include "t/unit/lib/talk.h"

#include "auth/crypt.h"
#include "auth/keys.h"
#include "auth/preauth.h"
#include "auth/seal.h"
#include "auth/sign.h"
#include "base/wr.h"
#include "smb/chain2.h"
#include "smb/const.h"
#include "smb/err2.h"
#include "smb/ifinfo.h"
#include "smb/ioctl2.h"
#include "smb/nbss.h"
#include "smb/neg2.h"
#include "stats/stats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NODE "node \"n1\" { address = \"127.0.0.11:445\" }\n"
#define DENY "addresses { deny = { \"127.0.0.9\", \"10.0.0.66\" } }\n"
static const char filter_policy[] = NODE DENY "interfaces \"lan\" { mode = filter }\n";
static const char *const nodes_list[] = { "10.0.0.66", "192.168.7.7", NULL };

/* Another user's, of which nobody here has a key. */
#define OPAQUE 0x77ull
#define BULK 100000

/* A conversation of two users: SESSION, whose keys are known, and OPAQUE. */
struct two {
	struct talk t;
	struct crypt *crypt;
	struct smbkeys *keys, *other;
	uint8_t *b;		/* a frame under construction */
	struct wr w;
	size_t start;
	bool open;
};

static struct channel *
join(struct two *k, uint64_t session_id, struct smbkeys *keys)
{
	struct session_info si = { .session_id = session_id, .dialect = SMB2_DIALECT_311,
		.keyed = keys != NULL, .node = &k->t.node };

	return sesstab_join(k->t.env->sessions, &si, &k->t.conn.mediate.self, false, keys,
	    keys == NULL ? NULL : &keys->signing);
}

static void
begin(struct two *k, const char *policy, uint16_t signing, const char *dialled)
{
	static const struct preauth preauth;
	const struct neg2_resp neg = { .dialect = SMB2_DIALECT_311, .signing = signing,
		.cipher = SMB2_CIPHER_AES128_GCM, .capabilities = SMB2_GLOBAL_CAP_MULTI_CHANNEL };
	struct logon_facts f = { .dialect = SMB2_DIALECT_311, .cipher = SMB2_CIPHER_AES128_GCM,
		.signing = signing, .key = (const uint8_t *)"0123456789abcdef", .key_len = 16,
		.preauth = &preauth };

	memset(k, 0, sizeof(*k));
	k->crypt = crypt_new();
	k->keys = smbkeys_derive(&f, KEYS_STANDARD);
	f.key = (const uint8_t *)"another key here";
	k->other = smbkeys_derive(&f, KEYS_STANDARD);
	talk_init(&k->t, talk_env_new(policy), "lan", dialled);
	track_negotiate_resp(&k->t.conn.mediate.track, &neg);
	k->t.conn.mediate.track.logged_on = true;
	track_channel_add(&k->t.conn.mediate.track, join(k, SESSION, k->keys));
	track_channel_add(&k->t.conn.mediate.track, join(k, OPAQUE, NULL));
	k->b = malloc(5 * BULK);
}

static void
finish(struct two *k)
{
	struct mediate_env *env = k->t.env;

	talk_fini(&k->t);
	talk_env_free(env);
	smbkeys_unref(&k->keys);
	smbkeys_unref(&k->other);
	crypt_free(&k->crypt);
	free(k->b);
}

static void
frame_start(struct two *k)
{
	k->w = wr_init(k->b, 5 * BULK);
	wr_zero(&k->w, NBSS_HDR_LEN);
	k->start = wr_len(&k->w);
	k->open = false;
}

/* The messages of `made` behind those that are there; bulk bytes more belong to the last one. */
static void
add(struct two *k, struct made *m, size_t bulk)
{
	size_t n = made_end(m) - NBSS_HDR_LEN;

	if (k->open)
		wr_u32_at(&k->w, k->start + 20, (uint32_t)(wr_len(&k->w) - k->start));
	k->start = wr_len(&k->w);
	k->open = true;
	wr_bytes(&k->w, m->b + NBSS_HDR_LEN, n);
	wr_zero(&k->w, bulk);
	wr_pad(&k->w, k->start, 8);
	made_init(m);
}

static void
bulk(struct two *k, uint16_t command, uint64_t mid, uint32_t flags)
{
	const struct hdr2 h = { .command = command, .message_id = mid, .session_id = SESSION,
		.flags = flags };
	struct made *m = malloc(sizeof(*m));

	made_init(m);
	hdr2_put(made_next(m), &h);
	wr_u32(&m->w, 4);
	add(k, m, BULK);
	free(m);
}

/* Seals what is behind `from` with the keys of a session. */
static void
seal(struct two *k, size_t from, enum dir dir, uint64_t session_id)
{
	size_t n = wr_len(&k->w) - from;

	wr_zero(&k->w, SMB2_TRANSFORM_LEN);
	memmove(k->b + from + SMB2_TRANSFORM_LEN, k->b + from, n);
	assert_int_equal(seal_make(k->crypt, session_id == SESSION ? k->keys : k->other,
	    dir == C2S ? SEAL_C2S : SEAL_S2C, session_id, k->b + from, n), 0);
	k->open = false;
}

/* Feeds it in pieces; what went out is left in the talk. */
static bool
feed(struct two *k, enum dir dir, size_t step)
{
	size_t n = wr_len(&k->w);

	assert_true(wr_ok(&k->w));
	nbss_put(k->b, (uint32_t)(n - NBSS_HDR_LEN));
	for (size_t at = 0; at < n; at += step)
		if (!talk_feed(&k->t, dir, k->b + at, step < n - at ? step : n - at))
			return false;
	return true;
}

static void
sign_last(struct two *k)
{
	assert_int_equal(sign_make(k->crypt, &k->keys->signing, k->b + k->start,
	    wr_len(&k->w) - k->start), 0);
}

/* The node's answer to what stood in for a refused request. */
static void
put_refused(struct made *m, uint16_t command, uint64_t mid)
{
	const struct hdr2 h = { .command = command, .message_id = mid,
		.status = 0xc0000203, .flags = SMB2_FLAGS_SERVER_TO_REDIR };

	err2_put(made_next(m), &h);
}

static bool
out_is_in(struct two *k, enum dir dir)
{
	return buf_len(&k->t.side[dir].out) == wr_len(&k->w) &&
	    memcmp(buf_head(&k->t.side[dir].out), k->b, wr_len(&k->w)) == 0;
}

/* A query behind 100 KB is noted; its list is exchanged in an answer as long, or in a short one. */
static void
hidden_query(struct two *k, struct made *m, bool is_signed, bool long_answer, size_t step)
{
	struct part2 p[3];

	frame_start(k);
	bulk(k, SMB2_WRITE, 10, 0);
	put_query(m, 11, 65536);
	add(k, m, 0);
	if (is_signed)
		sign_last(k);
	assert_true(feed(k, C2S, step));
	assert_true(out_is_in(k, C2S));
	assert_int_equal(k->t.conn.mediate.track.npending, 1);
	frame_start(k);
	if (long_answer)
		bulk(k, SMB2_READ, 10, SMB2_FLAGS_SERVER_TO_REDIR);
	else
		put_echo(m, 10, true);
	put_list_resp(m, 11, 0, nodes_list);
	add(k, m, 0);
	if (is_signed && long_answer)
		sign_last(k);
	assert_true(feed(k, S2C, step));
	assert_int_equal(parts_out(&k->t, S2C, p, 3), 2);
	expect_list(&k->t, &p[1], "192.168.7.7");
	if (is_signed && long_answer)
		assert_true(sign_good(k->crypt, &k->keys->signing, part_bytes(&k->t, S2C, &p[1]),
		    p[1].len));
	if (long_answer)
		assert_int_equal(buf_len(&k->t.side[S2C].out), wr_len(&k->w));
	assert_int_equal(k->t.conn.mediate.track.npending, 0);
}

static void
test_query(void **state)
{
	static const size_t steps[] = { 1000000, 65536, 997, 61 };
	struct made *m = malloc(sizeof(*m));
	struct two k;

	(void)state;
	made_init(m);
	for (unsigned i = 0; i < 16; i++) {
		begin(&k, filter_policy, SMB2_SIGNING_AES_CMAC, "10.0.0.5");
		hidden_query(&k, m, i & 1, i & 2, steps[i >> 2]);
		finish(&k);
	}
	free(m);
}

/* Under GMAC a list may not be signed anew: the query is refused alone, whatever is behind it. */
static void
test_query_gmac(void **state)
{
	struct made *m = malloc(sizeof(*m));
	struct part2 p[3];
	struct two k;
	size_t at;

	(void)state;
	made_init(m);
	begin(&k, filter_policy, SMB2_SIGNING_AES_GMAC, "10.0.0.5");
	frame_start(&k);
	bulk(&k, SMB2_WRITE, 10, 0);
	put_query(m, 11, 65536);
	add(&k, m, 0);
	at = k.start;
	put_echo(m, 12, false);
	add(&k, m, 0);
	assert_int_equal(sign_make(k.crypt, &k.keys->signing, k.b + at, k.start - at), 0);
	assert_true(feed(&k, C2S, 4096));
	assert_int_equal(buf_len(&k.t.side[C2S].out), wr_len(&k.w));
	assert_int_equal(parts_out(&k.t, C2S, p, 3), 3);
	assert_int_equal(p[1].hdr.command, SMB2_TREE_DISCONNECT);
	assert_int_equal(p[2].hdr.message_id, 12);
	put_echo(m, 10, true);
	put_refused(m, SMB2_TREE_DISCONNECT, 11);
	put_echo(m, 12, true);
	frame_start(&k);
	add(&k, m, 0);
	assert_true(feed(&k, S2C, 4096));
	assert_int_equal(parts_out(&k.t, S2C, p, 3), 3);
	assert_int_equal(p[1].hdr.command, SMB2_IOCTL);
	assert_int_equal(p[1].hdr.status, STATUS_NOT_SUPPORTED);
	finish(&k);
	free(m);
}

/* So is a bind. */
static void
test_bind(void **state)
{
	struct made *m = malloc(sizeof(*m));
	struct part2 p[3];
	struct two k;

	(void)state;
	made_init(m);
	begin(&k, filter_policy, SMB2_SIGNING_AES_CMAC, "127.0.0.9");
	frame_start(&k);
	bulk(&k, SMB2_WRITE, 10, 0);
	put_session_setup(m, 11, 0xabcd, SMB2_SESSION_FLAG_BINDING);
	add(&k, m, 0);
	bulk(&k, SMB2_WRITE, 12, 0);
	assert_true(feed(&k, C2S, 4096));
	assert_int_equal(buf_len(&k.t.side[C2S].out), wr_len(&k.w));
	assert_int_equal(parts_out(&k.t, C2S, p, 3), 3);
	assert_int_equal(p[0].hdr.command, SMB2_WRITE);
	assert_int_equal(p[1].hdr.command, SMB2_SESSION_SETUP);
	assert_true(p[1].hdr.session_id != 0xabcd);
	assert_int_equal(p[2].hdr.command, SMB2_WRITE);
	/* The answers are too long to be held, too: the refusal fits in the place of the node's. */
	frame_start(&k);
	bulk(&k, SMB2_WRITE, 10, SMB2_FLAGS_SERVER_TO_REDIR);
	put_refused(m, SMB2_SESSION_SETUP, 11);
	add(&k, m, 0);
	bulk(&k, SMB2_WRITE, 12, SMB2_FLAGS_SERVER_TO_REDIR);
	assert_true(feed(&k, S2C, 4096));
	assert_int_equal(buf_len(&k.t.side[S2C].out), wr_len(&k.w));
	assert_int_equal(parts_out(&k.t, S2C, p, 3), 3);
	assert_int_equal(p[1].hdr.command, SMB2_SESSION_SETUP);
	assert_int_equal(p[1].hdr.status, STATUS_REQUEST_NOT_ACCEPTED);
	finish(&k);
	free(m);
}

/* What is encrypted, and something behind or before it: read as smbd reads it. */
static void
test_mixed(void **state)
{
	enum { ECHO, QUERY, BIND, KINDS };
	struct made *m = malloc(sizeof(*m));
	struct two k;

	(void)state;
	made_init(m);
	for (unsigned i = 0; i < 2 * 2 * KINDS; i++) {
		uint64_t sealer = i & 1 ? SESSION : OPAQUE;
		unsigned kind = i >> 2;
		bool behind = i & 2;

		begin(&k, filter_policy, SMB2_SIGNING_AES_CMAC, "127.0.0.9");
		frame_start(&k);
		if (!behind) {
			bulk(&k, SMB2_WRITE, 9, 0);
			wr_u32_at(&k.w, NBSS_HDR_LEN + 20,
			    (uint32_t)wr_len(&k.w) - NBSS_HDR_LEN);
		}
		if (kind == QUERY && !behind)
			put_query(m, 10, 65536);
		else
			put_echo(m, 10, false);
		k.open = false;
		add(&k, m, 0);
		seal(&k, k.start, C2S, sealer);
		if (kind == QUERY && behind)
			put_query(m, 11, 65536);
		else if (kind == BIND)
			put_session_setup(m, 11, 0xabcd, SMB2_SESSION_FLAG_BINDING);
		else
			put_echo(m, 11, false);
		add(&k, m, 0);
		if (kind == ECHO || (kind == QUERY && !behind && sealer == OPAQUE)) {
			/* What an opaque session says under its own seal is its own. */
			assert_true(feed(&k, C2S, 333));
			assert_true(out_is_in(&k, C2S));
		} else {
			assert_false(feed(&k, C2S, 333));
			assert_string_equal(close_counter(k.t.why), "unseen_compound");
		}
		finish(&k);
	}
	free(m);
}

/* smbd would answer the list under the seal of the other user, who might be the same person. */
static void
test_foreign(void **state)
{
	struct made *m = malloc(sizeof(*m));
	struct part2 p[2];
	struct two k;
	size_t at;

	(void)state;
	made_init(m);
	for (int is_long = 0; is_long < 2; is_long++) {
		begin(&k, filter_policy, SMB2_SIGNING_AES_CMAC, "10.0.0.5");
		frame_start(&k);
		if (is_long)
			bulk(&k, SMB2_WRITE, 10, 0);
		put_query(m, 11, 65536);
		add(&k, m, 0);
		at = k.start;
		hdr2_put(made_next(m), &(struct hdr2){ .command = SMB2_ECHO, .message_id = 12,
		    .session_id = OPAQUE });
		wr_u32(&m->w, 4);
		add(&k, m, 0);
		assert_int_equal(sign_make(k.crypt, &k.keys->signing, k.b + at, k.start - at), 0);
		assert_int_equal(feed(&k, C2S, 4096), !is_long);
		if (is_long) {
			assert_string_equal(close_counter(k.t.why), "unseen_compound");
		} else {
			assert_int_equal(parts_out(&k.t, C2S, p, 2), 2);
			assert_int_equal(p[0].hdr.command, SMB2_TREE_DISCONNECT);
		}
		finish(&k);
	}
	free(m);
}

/* A query of an opaque session among its own messages is nobody's business but its own. */
static void
test_opaque(void **state)
{
	struct made *m = malloc(sizeof(*m));
	struct two k;

	(void)state;
	made_init(m);
	for (int is_long = 0; is_long < 2; is_long++) {
		begin(&k, filter_policy, SMB2_SIGNING_AES_CMAC, "10.0.0.5");
		frame_start(&k);
		if (is_long)
			bulk(&k, SMB2_WRITE, 10, 0);
		put_query(m, 11, 65536);
		add(&k, m, 0);
		for (size_t i = 0; i < 8; i++) {
			k.b[NBSS_HDR_LEN + 40 + i] = i == 0 ? OPAQUE & 0xff : 0;
			k.b[k.start + 40 + i] = i == 0 ? OPAQUE & 0xff : 0;
		}
		k.b[k.start + 16] |= SMB2_FLAGS_SIGNED;
		assert_true(feed(&k, C2S, 4096));
		assert_true(out_is_in(&k, C2S));
		assert_int_equal(k.t.conn.mediate.track.npending, 1);
		finish(&k);
	}
	free(m);
}

/* As many messages as fit into a frame, and NextCommand as smbd takes it. */
static void
test_many(void **state)
{
	struct made *m = malloc(sizeof(*m));
	struct part2 *p = calloc(CHAIN2_MAX_PARTS, sizeof(*p));
	struct two k;

	(void)state;
	begin(&k, filter_policy, SMB2_SIGNING_AES_CMAC, "10.0.0.5");
	made_init(m);
	for (unsigned i = 0; i < 900; i++)
		put_echo(m, i, false);
	frame_start(&k);
	add(&k, m, 0);
	assert_true(feed(&k, C2S, 4096));
	assert_true(out_is_in(&k, C2S));
	buf_fini(&k.t.side[C2S].out);
	/* The next message is 3 bytes behind a multiple of 8. */
	frame_start(&k);
	put_echo(m, 900, false);
	add(&k, m, 0);
	wr_zero(&k.w, 3);
	put_query(m, 901, 65536);
	add(&k, m, 0);
	assert_true(feed(&k, C2S, 4096));
	assert_true(out_is_in(&k, C2S));
	assert_int_equal(k.t.conn.mediate.track.npending, 1);
	finish(&k);
	free(p);
	free(m);
}

/* Compresses what is behind `from`: chained with LZ77, or all literally, as nobody would. */
static void
compress(struct two *k, size_t from, bool chained)
{
	const size_t len = wr_len(&k->w) - from;
	uint8_t *in = malloc(len);
	struct wr o = wr_init(k->b + from, 5 * BULK - from);
	size_t at = 0;

	memcpy(in, k->b + from, len);
	wr_u32(&o, SMB2_COMPRESSION_ID);
	wr_u32(&o, (uint32_t)len);
	wr_u16(&o, SMB2_COMPRESSION_LZ77);
	wr_u16(&o, chained);
	wr_u32(&o, 0);
	if (chained)
		wr_u32(&o, (uint32_t)len);
	for (; at < len; at++) {
		if (at % 32 == 0)
			wr_u32(&o, 0);
		wr_u8(&o, in[at]);
	}
	if (chained)
		wr_u32_at(&o, 12, (uint32_t)wr_len(&o) - 16);
	k->w.pos = from + wr_len(&o);
	free(in);
}

static void
begin_compressed(struct two *k, const char *dialled, bool chained)
{
	begin(k, filter_policy, SMB2_SIGNING_AES_CMAC, dialled);
	k->t.conn.mediate.track.compression = true;
	k->t.conn.mediate.track.chained = chained;
	k->t.conn.mediate.track.refuse_compressed = true;
	frame_start(k);
}

/* bits: 1 sealed, 2 chained, 4 signed. */
static void
compressed_query(unsigned bits, struct made *m, size_t step)
{
	struct part2 p;
	struct two k;

	begin_compressed(&k, "10.0.0.5", bits & 2);
	put_query(m, 11, 65536);
	add(&k, m, 0);
	if (bits & 4)
		sign_last(&k);
	compress(&k, NBSS_HDR_LEN, bits & 2);
	if (bits & 1)
		seal(&k, NBSS_HDR_LEN, C2S, SESSION);
	assert_true(feed(&k, C2S, step));
	assert_true(out_is_in(&k, C2S));
	assert_int_equal(k.t.conn.mediate.track.npending, 1);
	frame_start(&k);
	put_list_resp(m, 11, 0, nodes_list);
	add(&k, m, 0);
	if (bits & 4)
		sign_last(&k);
	compress(&k, NBSS_HDR_LEN, bits & 2);
	if (bits & 1)
		seal(&k, NBSS_HDR_LEN, S2C, SESSION);
	assert_true(feed(&k, S2C, step));
	assert_int_equal(k.t.conn.mediate.track.npending, 0);
	if (bits & 1) {
		struct buf *o = &k.t.side[S2C].out;
		size_t n = buf_len(o) - NBSS_HDR_LEN;
		uint8_t *plain = malloc(BULK);

		/* Sealed anew, and uncompressed. */
		assert_int_equal(seal_open(k.crypt, k.keys, SEAL_S2C, buf_head(o) + NBSS_HDR_LEN, n,
		    plain), 0);
		memcpy(buf_head(o) + NBSS_HDR_LEN, plain, n - SMB2_TRANSFORM_LEN);
		nbss_put(buf_head(o), (uint32_t)(n - SMB2_TRANSFORM_LEN));
		o->mem->len -= SMB2_TRANSFORM_LEN;
		free(plain);
	}
	assert_int_equal(parts_out(&k.t, S2C, &p, 1), 1);
	expect_list(&k.t, &p, "192.168.7.7");
	if ((bits & 5) == 4)
		assert_true(sign_good(k.crypt, &k.keys->signing, part_bytes(&k.t, S2C, &p), p.len));
	finish(&k);
}

/* What is compressed is seen as if it were not, alone or before it is encrypted. */
static void
test_compressed(void **state)
{
	static const size_t steps[] = { 100000, 61, 7 };
	struct made *m = malloc(sizeof(*m));
	struct part2 p;
	struct two k;

	(void)state;
	made_init(m);
	for (unsigned i = 0; i < 24; i++)
		compressed_query(i & 7, m, steps[i >> 3]);
	for (unsigned i = 0; i < 2; i++) {
		/* A bind to where it may not come in. */
		begin_compressed(&k, "127.0.0.9", i & 1);
		put_session_setup(m, 11, 0xabcd, SMB2_SESSION_FLAG_BINDING);
		add(&k, m, 0);
		compress(&k, NBSS_HDR_LEN, i & 1);
		assert_true(feed(&k, C2S, 4096));
		assert_int_equal(parts_out(&k.t, C2S, &p, 1), 1);
		assert_true(p.hdr.session_id != 0xabcd);
		finish(&k);
		/* What concerns nobody passes, however long. */
		begin_compressed(&k, "127.0.0.9", i & 1);
		bulk(&k, SMB2_WRITE, 10, 0);
		compress(&k, NBSS_HDR_LEN, i & 1);
		if (i & 1)
			seal(&k, NBSS_HDR_LEN, C2S, SESSION);
		assert_true(feed(&k, C2S, 4096));
		assert_true(out_is_in(&k, C2S));
		assert_int_equal(k.t.side[C2S].frames_held, 0);
		finish(&k);
	}
	free(m);
}

/* What cannot be read: bits 1 sealed, 2 negotiated at all, 4 policy refuses, 8 too long to try. */
static void
test_unreadable(void **state)
{
	struct two k;

	(void)state;
	for (unsigned bits = 0; bits < 16; bits++) {
		begin_compressed(&k, "127.0.0.9", false);
		k.t.conn.mediate.track.compression = bits & 2;
		k.t.conn.mediate.track.refuse_compressed = bits & 4;
		wr_bytes(&k.w, "\xfcSMB\0\1\0\0\3\0\0\0\0\0\0\0", 16);
		wr_zero(&k.w, bits & 8 ? BULK : 300);
		if (bits & 1)
			seal(&k, NBSS_HDR_LEN, C2S, SESSION);
		if ((bits & 6) == 2) {
			assert_true(feed(&k, C2S, 1000));
			assert_true(out_is_in(&k, C2S));
		} else {
			assert_false(feed(&k, C2S, 1000));
			assert_int_equal(k.t.why, bits & 2 ? CLOSE_COMPRESSION
			    : !(bits & 1)                  ? CLOSE_BAD_PROTOCOL
			    : bits & 8                     ? CLOSE_BAD_MESSAGE
			                                   : CLOSE_BAD_CHAIN);
		}
		finish(&k);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_query),
		cmocka_unit_test(test_query_gmac),
		cmocka_unit_test(test_bind),
		cmocka_unit_test(test_mixed),
		cmocka_unit_test(test_foreign),
		cmocka_unit_test(test_opaque),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_compressed),
		cmocka_unit_test(test_unreadable),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
