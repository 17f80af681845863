/* inspect-keyed.c: lists rewritten on signed and sealed sessions, and no nonce used twice */
#include "config.h"

#include "t/unit/lib/made.h"
#include "t/unit/lib/talk.h"

#include "auth/crypt.h"
#include "auth/keys.h"
#include "auth/preauth.h"
#include "auth/seal.h"
#include "policy/policy.h"
#include "smb/const.h"
#include "smb/ioctl2.h"
#include "smb/nbss.h"
#include "smb/neg2.h"
#include "smb/xform.h"
#include "stats/stats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NODE "node \"n1\" { address = \"127.0.0.11:445\" }\n"
#define DENY "addresses { deny = { \"127.0.0.9\", \"10.0.0.66\" } }\n"

static const char announce_policy[] = NODE DENY "interfaces \"lan\" { mode = announce\n"
    "  address \"10.0.0.1\" { }\n  address \"10.0.0.66\" { }\n}\n";
static const char filter_policy[] = NODE DENY "interfaces \"lan\" { mode = filter }\n";
static const char *const nodes_list[] = { "10.0.0.66", "192.168.7.7", "169.254.1.1", NULL };

/* How a session protects its messages, and what its connection has agreed on. */
struct kind {
	const char *name;
	uint16_t dialect, signing, cipher;
	bool sealed;
};

static const struct kind kinds[] = {
	{ "3.0.2 CMAC", SMB2_DIALECT_302, SMB2_SIGNING_AES_CMAC, SMB2_CIPHER_AES128_CCM, false },
	{ "3.1.1 HMAC", SMB2_DIALECT_311, SMB2_SIGNING_HMAC_SHA256, SMB2_CIPHER_AES128_GCM, false },
	{ "3.1.1 CMAC", SMB2_DIALECT_311, SMB2_SIGNING_AES_CMAC, 0, false },
	{ "3.1.1 GMAC, GCM", SMB2_DIALECT_311, SMB2_SIGNING_AES_GMAC, SMB2_CIPHER_AES128_GCM, false },
	{ "3.1.1 GMAC, CCM-256", SMB2_DIALECT_311, SMB2_SIGNING_AES_GMAC, SMB2_CIPHER_AES256_CCM,
	    false },
	{ "sealed 3.0 CCM", SMB2_DIALECT_300, SMB2_SIGNING_AES_CMAC, SMB2_CIPHER_AES128_CCM, true },
	{ "sealed CCM", SMB2_DIALECT_311, SMB2_SIGNING_AES_GMAC, SMB2_CIPHER_AES128_CCM, true },
	{ "sealed GCM", SMB2_DIALECT_311, SMB2_SIGNING_AES_GMAC, SMB2_CIPHER_AES128_GCM, true },
	{ "sealed CCM-256", SMB2_DIALECT_311, SMB2_SIGNING_AES_CMAC, SMB2_CIPHER_AES256_CCM, true },
	{ "sealed GCM-256", SMB2_DIALECT_311, SMB2_SIGNING_AES_GMAC, SMB2_CIPHER_AES256_GCM, true },
};

/* Everything that an eavesdropper on both legs sees of nonces: a nonce belongs to one message. */
struct seen {
	uint8_t nonce[17];	/* 0: GMAC, 1: AEAD; then role or direction, and the nonce */
	uint8_t *bytes;
	size_t len;
};

struct keyed {
	struct talk t;
	const struct kind *kind;
	struct smbkeys *keys;
	struct crypt *crypt;	/* of client and node */
	struct seen seen[64];
	size_t nseen;
	bool reuse;
};

static void
note(struct keyed *k, uint8_t what, uint8_t role, const uint8_t *nonce, size_t n, const uint8_t *p,
    size_t len)
{
	uint8_t id[17] = { (uint8_t)(what << 4 | role) };

	memcpy(id + 1, nonce, n);
	for (size_t i = 0; i < k->nseen; i++) {
		if (memcmp(k->seen[i].nonce, id, sizeof(id)) != 0)
			continue;
		if (k->seen[i].len != len || memcmp(k->seen[i].bytes, p, len) != 0)
			k->reuse = true;
		return;
	}
	assert_true(k->nseen < sizeof(k->seen) / sizeof(k->seen[0]));
	memcpy(k->seen[k->nseen].nonce, id, sizeof(id));
	k->seen[k->nseen].bytes = malloc(len);
	k->seen[k->nseen].len = len;
	memcpy(k->seen[k->nseen++].bytes, p, len);
}

/* A frame on either leg. */
static void
watch(struct keyed *k, enum dir dir, const uint8_t *frame, size_t len)
{
	const uint8_t *msg = frame + NBSS_HDR_LEN;
	struct chain2 c;
	struct part2 p;
	struct xform x;

	if (xform_get(&x, msg, len - NBSS_HDR_LEN) == 0) {
		note(k, 1, (uint8_t)dir, x.nonce, 16, msg, len - NBSS_HDR_LEN);
		return;
	}
	chain2_init(&c, msg, len - NBSS_HDR_LEN);
	while (chain2_next(&c, &p) == 1)
		if (k->kind->signing == SMB2_SIGNING_AES_GMAC &&
		    (p.hdr.flags & SMB2_FLAGS_SIGNED) != 0)
			note(k, 0, (uint8_t)dir, msg + p.off + 24, 8, msg + p.off, p.len);
}

static void
keyed_begin(struct keyed *k, const struct kind *kind, const char *policy, const char *dialled)
{
	static const uint8_t gss[32] = "0123456789abcdef0123456789abcdef";
	static const struct preauth preauth;
	const struct neg2_resp neg = { .dialect = kind->dialect, .max_transact = 1 << 20,
		.max_read = 1 << 20, .max_write = 1 << 20, .signing = kind->signing,
		.cipher = kind->cipher, .capabilities = SMB2_GLOBAL_CAP_MULTI_CHANNEL };
	const struct logon_facts f = { .dialect = kind->dialect, .cipher = kind->cipher,
		.signing = kind->signing, .key = gss, .key_len = sizeof(gss), .preauth = &preauth };
	struct session_info si = { .session_id = SESSION, .dialect = kind->dialect, .keyed = true };
	enum close_reason why;
	struct channel *ch;

	memset(k, 0, sizeof(*k));
	k->kind = kind;
	k->crypt = crypt_new();
	k->keys = smbkeys_derive(&f, KEYS_STANDARD);
	assert_non_null(k->keys);
	talk_init(&k->t, talk_env_new(policy), "lan", dialled);
	k->t.conn.mediate.track.client_caps = SMB2_GLOBAL_CAP_ENCRYPTION;
	track_negotiate_resp(&k->t.conn.mediate.track, &neg);
	k->t.conn.mediate.track.logged_on = true;
	si.node = &k->t.node;
	ch = sesstab_join(k->t.env->sessions, &si, &k->t.conn.mediate.self, false, k->keys,
	    &k->keys->signing);
	assert_int_equal(track_channel_add(&k->t.conn.mediate.track, ch, &why), 0);
}

static void
keyed_end(struct keyed *k)
{
	struct mediate_env *env = k->t.env;

	talk_fini(&k->t);
	talk_env_free(env);
	for (size_t i = 0; i < k->nseen; i++)
		free(k->seen[i].bytes);
	smbkeys_unref(&k->keys);
	crypt_free(&k->crypt);
}

/* Signs every message of a frame, or seals the whole, as its sender would. Returns its length. */
static size_t
protect(struct keyed *k, enum dir dir, struct made *m, bool sealed)
{
	size_t n = made_end(m);
	struct chain2 c;
	struct part2 p;

	if (sealed) {
		memmove(m->b + NBSS_HDR_LEN + SMB2_TRANSFORM_LEN, m->b + NBSS_HDR_LEN, n);
		assert_int_equal(seal_make(k->crypt, k->keys, dir == C2S ? SEAL_C2S : SEAL_S2C,
		    SESSION, m->b + NBSS_HDR_LEN, n - NBSS_HDR_LEN), 0);
		n += SMB2_TRANSFORM_LEN;
		nbss_put(m->b, (uint32_t)(n - NBSS_HDR_LEN));
		return n;
	}
	chain2_init(&c, m->b + NBSS_HDR_LEN, n - NBSS_HDR_LEN);
	while (chain2_next(&c, &p) == 1)
		if (p.hdr.status != STATUS_PENDING)
			assert_int_equal(sign_make(k->crypt, &k->keys->signing,
			    m->b + NBSS_HDR_LEN + p.off, p.len), 0);
	return n;
}

static void
feed(struct keyed *k, enum dir dir, struct made *m, bool sealed)
{
	size_t n = protect(k, dir, m, sealed);

	watch(k, dir, m->b, n);
	assert_true(talk_feed(&k->t, dir, m->b, n));
	if (buf_len(&k->t.side[dir].out) > 0)
		watch(k, dir, buf_head(&k->t.side[dir].out), buf_len(&k->t.side[dir].out));
}

/* What went out, decrypted in place if it was sealed; tells whether it was. */
static bool
opened(struct keyed *k, enum dir dir)
{
	struct buf *out = &k->t.side[dir].out;
	uint8_t *msg = buf_head(out) + NBSS_HDR_LEN, *plain;
	size_t n = buf_len(out) - NBSS_HDR_LEN;
	struct xform x;

	if (xform_get(&x, msg, n) == -1)
		return false;
	plain = malloc(n);
	assert_int_equal(x.session_id, SESSION);
	assert_int_equal(
	    seal_open(k->crypt, k->keys, dir == C2S ? SEAL_C2S : SEAL_S2C, msg, n, plain), 0);
	n -= SMB2_TRANSFORM_LEN;
	memcpy(msg, plain, n);
	free(plain);
	nbss_put(buf_head(out), (uint32_t)n);
	out->mem->len = out->mem->done + NBSS_HDR_LEN + n;
	return true;
}

static bool
signed_well(struct keyed *k, enum dir dir, const struct part2 *p)
{
	return sign_good(k->crypt, &k->keys->signing, part_bytes(&k->t, dir, p), p->len);
}

/* A query at position `at` of `of`; what the client gets, and how the node was asked. */
static void
one(const struct kind *kind, const char *policy, const char *dialled, unsigned at, unsigned of,
    bool pending, const char *want)
{
	bool announce = strstr(policy, "announce") != NULL;
	bool gmac = kind->signing == SMB2_SIGNING_AES_GMAC && !kind->sealed;
	bool substituted = announce && of == 1, lifted = gmac && !substituted;
	struct made *m = malloc(sizeof(*m));
	struct part2 parts[8];
	struct keyed k;

	keyed_begin(&k, kind, policy, dialled);
	made_init(m);
	for (unsigned i = 0; i < of; i++) {
		if (i == at)
			put_query(m, 10 + i, 65536);
		else
			put_echo(m, 10 + i, false);
	}
	feed(&k, C2S, m, kind->sealed);
	/* What the node is asked. */
	assert_int_equal(opened(&k, C2S), (kind->sealed && !substituted) || lifted);
	assert_int_equal(parts_out(&k.t, C2S, parts, 8), of);
	assert_int_equal(parts[at].hdr.command, substituted ? SMB2_ECHO : SMB2_IOCTL);
	for (unsigned i = 0; i < of; i++) {
		bool is_signed = (parts[i].hdr.flags & SMB2_FLAGS_SIGNED) != 0;

		assert_int_equal(is_signed, !kind->sealed && !substituted && !lifted);
		assert_int_equal(parts[i].hdr.message_id, 10 + i);
	}
	buf_fini(&k.t.side[C2S].out);
	if (pending) {
		made_init(m);
		put_error(m, 10 + at, STATUS_PENDING, SMB2_FLAGS_ASYNC_COMMAND);
		feed(&k, S2C, m, kind->sealed || lifted);
		assert_int_equal(opened(&k, S2C), kind->sealed);
		assert_int_equal(parts_out(&k.t, S2C, parts, 8), 1);
		assert_int_equal(parts[0].hdr.status, STATUS_PENDING);
		assert_int_equal(parts[0].hdr.flags & SMB2_FLAGS_SIGNED, 0);
		buf_fini(&k.t.side[S2C].out);
	}
	made_init(m);
	for (unsigned i = 0; i < of; i++) {
		if (i == at && !substituted)
			put_list_resp(m, 10 + i, pending ? SMB2_FLAGS_ASYNC_COMMAND : 0,
			    nodes_list);
		else
			put_echo(m, 10 + i, true);
	}
	if (substituted) {
		/* Unsigned, as it was asked. */
		size_t n = made_end(m);

		assert_true(talk_feed(&k.t, S2C, m->b, n));
		watch(&k, S2C, buf_head(&k.t.side[S2C].out), buf_len(&k.t.side[S2C].out));
	} else {
		feed(&k, S2C, m, kind->sealed || lifted);
	}
	/* What the client gets. */
	assert_int_equal(opened(&k, S2C), kind->sealed);
	assert_int_equal(parts_out(&k.t, S2C, parts, 8), of);
	expect_list(&k.t, &parts[at], want);
	assert_int_equal(parts[at].hdr.message_id, 10 + at);
	assert_int_equal(parts[at].hdr.credits, substituted ? 5 : 9);
	for (unsigned i = 0; i < of && !kind->sealed; i++)
		assert_true(signed_well(&k, S2C, &parts[i]));
	buf_fini(&k.t.side[S2C].out);
	assert_false(k.reuse);
	assert_int_equal(k.t.conn.mediate.track.npending, 0);
	/* Later traffic of the session goes on untouched. */
	made_init(m);
	put_echo(m, 40, false);
	feed(&k, C2S, m, kind->sealed);
	assert_int_equal(buf_len(&k.t.side[C2S].out),
	    wr_len(&m->w) + (kind->sealed ? SMB2_TRANSFORM_LEN : 0));
	keyed_end(&k);
	free(m);
}

static void
every_position(void **state)
{
	unsigned n = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		for (unsigned of = 1; of <= 4; of++)
			for (unsigned at = 0; at < of; at++)
				for (int pending = 0; pending < 2; pending++) {
					if (of > 1 || !pending)
						one(&kinds[i], announce_policy, "10.0.0.5", at, of,
						    pending, "10.0.0.1");
					one(&kinds[i], filter_policy, "10.0.0.5", at, of, pending,
					    "192.168.7.7");
					one(&kinds[i], filter_policy, "127.0.0.9", at, of, pending,
					    "127.0.0.9");
					n += 3;
				}
	print_message("%u conversations\n", n);
}

/* Without a cipher GMAC leaves no way in filter mode: what policy says. */
static void
gmac_alone(const char *policy, struct keyed *k, struct made *m)
{
	static const struct kind kind = { "GMAC", SMB2_DIALECT_311, SMB2_SIGNING_AES_GMAC, 0,
		false };

	keyed_begin(k, &kind, policy, "10.0.0.5");
	made_init(m);
	put_query(m, 10, 65536);
	feed(k, C2S, m, false);
}

static void
gmac_policy(void **state)
{
	struct made *m = malloc(sizeof(*m));
	struct part2 p;
	struct keyed k;
	size_t n;

	(void)state;
	gmac_alone(NODE DENY "gmac = pass\ninterfaces \"lan\" { mode = filter }\n", &k, m);
	made_init(m);
	put_list_resp(m, 10, 0, nodes_list);
	feed(&k, S2C, m, false);
	assert_int_equal(parts_out(&k.t, S2C, &p, 1), 1);
	expect_list(&k.t, &p, "10.0.0.66 192.168.7.7 169.254.1.1");
	assert_true(signed_well(&k, S2C, &p));
	assert_false(k.reuse);
	assert_int_equal(k.t.env->stats->count[STAT_ifinfo_gmac_passed], 1);
	keyed_end(&k);

	gmac_alone(NODE DENY "gmac = resign\ninterfaces \"lan\" { mode = filter }\n", &k, m);
	made_init(m);
	put_list_resp(m, 10, 0, nodes_list);
	buf_fini(&k.t.side[S2C].out);
	feed(&k, S2C, m, false);
	assert_int_equal(parts_out(&k.t, S2C, &p, 1), 1);
	expect_list(&k.t, &p, "192.168.7.7");
	assert_true(signed_well(&k, S2C, &p));
	/* What the policy of this name accepts, and what tells that this test can see it. */
	assert_true(k.reuse);
	keyed_end(&k);

	gmac_alone(NODE DENY "gmac = refuse\ninterfaces \"lan\" { mode = filter }\n", &k, m);
	assert_int_equal(parts_out(&k.t, C2S, &p, 1), 1);
	assert_int_equal(p.hdr.command, SMB2_ECHO);
	made_init(m);
	put_echo(m, 10, true);
	n = made_end(m);
	assert_true(talk_feed(&k.t, S2C, m->b, n));
	assert_int_equal(parts_out(&k.t, S2C, &p, 1), 1);
	assert_int_equal(p.hdr.status, STATUS_NOT_SUPPORTED);
	assert_int_equal(p.hdr.command, SMB2_IOCTL);
	assert_true(signed_well(&k, S2C, &p));
	keyed_end(&k);
	free(m);
}

/* A request that is not what its session signs or seals is never acted upon. */
static void
forged(void **state)
{
	struct made *m = malloc(sizeof(*m));
	struct keyed k;
	size_t n;

	(void)state;
	/* A bad signature: to the node as it is, which knows what to do. */
	keyed_begin(&k, &kinds[3], announce_policy, "10.0.0.5");
	smbkeys_prove(k.keys, SMBKEYS_SIGN);
	made_init(m);
	put_query(m, 10, 65536);
	n = protect(&k, C2S, m, false);
	m->b[n - 1] ^= 1;
	assert_true(talk_feed(&k.t, C2S, m->b, n));
	assert_int_equal(buf_len(&k.t.side[C2S].out), n);
	assert_memory_equal(buf_head(&k.t.side[C2S].out), m->b, n);
	assert_int_equal(k.t.env->stats->count[STAT_bad_signatures], 1);
	keyed_end(&k);
	/* A bad tag under keys that have opened messages before: the connection ends. */
	keyed_begin(&k, &kinds[7], announce_policy, "10.0.0.5");
	smbkeys_prove(k.keys, SMBKEYS_SEAL);
	made_init(m);
	put_query(m, 10, 65536);
	n = protect(&k, C2S, m, true);
	m->b[n - 1] ^= 1;
	assert_false(talk_feed(&k.t, C2S, m->b, n));
	assert_int_equal(k.t.why, CLOSE_BAD_SEAL);
	keyed_end(&k);
	/* Under keys that never have: they were wrong, and the session is opaque. */
	keyed_begin(&k, &kinds[7], announce_policy, "10.0.0.5");
	assert_true(talk_feed(&k.t, C2S, m->b, n));
	assert_int_equal(buf_len(&k.t.side[C2S].out), n);
	assert_null(track_keys(&k.t.conn.mediate.track, SESSION));
	keyed_end(&k);
	/* An answer with a bad signature is not made good. */
	keyed_begin(&k, &kinds[0], filter_policy, "10.0.0.5");
	made_init(m);
	put_query(m, 10, 65536);
	feed(&k, C2S, m, false);
	made_init(m);
	put_list_resp(m, 10, 0, nodes_list);
	n = protect(&k, S2C, m, false);
	m->b[n - 1] ^= 1;
	assert_false(talk_feed(&k.t, S2C, m->b, n));
	assert_int_equal(k.t.why, CLOSE_BAD_SIGNATURE);
	keyed_end(&k);
	free(m);
}

/* AES-256 with a long GSS key: the peers that use 16 bytes of it are found by their first frame. */
static void
short_cipher_keys(void **state)
{
	struct made *m = malloc(sizeof(*m));
	struct part2 p;
	struct keyed k;

	(void)state;
	keyed_begin(&k, &kinds[9], announce_policy, "10.0.0.5");
	/* The peers' own view of the keys; smbgate's copy still has the standard ones. */
	made_init(m);
	put_query(m, 10, 65536);
	k.keys->short_cipher_keys = 1;
	protect(&k, C2S, m, true);
	k.keys->short_cipher_keys = 0;
	assert_true(talk_feed(&k.t, C2S, m->b, wr_len(&m->w) + SMB2_TRANSFORM_LEN));
	assert_int_equal(k.keys->short_cipher_keys, 1);
	assert_int_equal(parts_out(&k.t, C2S, &p, 1), 1);
	assert_int_equal(p.hdr.command, SMB2_ECHO);
	keyed_end(&k);
	free(m);
}

/* Bulk is peeked at and passes; a long compound is walked, and its query ends the connection. */
static void
long_sealed(void **state)
{
	const struct hdr2 h = { .command = SMB2_WRITE, .message_id = 20, .session_id = SESSION };
	size_t body = 200000;
	struct keyed k;

	(void)state;
	for (int hidden = 0; hidden < 2; hidden++)
		for (size_t i = 5; i < 10; i++) {
			uint8_t *frame = calloc(1, body + 4096);
			struct made *q = malloc(sizeof(*q));
			struct wr w;
			size_t n;

			keyed_begin(&k, &kinds[i], announce_policy, "10.0.0.5");
			w = wr_init(frame + NBSS_HDR_LEN + SMB2_TRANSFORM_LEN, body + 2048);
			hdr2_put(&w, &h);
			wr_zero(&w, body - SMB2_HDR_LEN);
			wr_u32_at(&w, 20, (uint32_t)body);
			made_init(q);
			if (hidden)
				put_query(q, 21, 65536);
			else
				put_echo(q, 21, false);
			n = made_end(q);
			wr_bytes(&w, q->b + NBSS_HDR_LEN, n - NBSS_HDR_LEN);
			n = wr_len(&w);
			assert_int_equal(seal_make(k.crypt, k.keys, SEAL_C2S, SESSION,
			    frame + NBSS_HDR_LEN, n), 0);
			nbss_put(frame, (uint32_t)(n + SMB2_TRANSFORM_LEN));
			n += NBSS_HDR_LEN + SMB2_TRANSFORM_LEN;
			assert_int_equal(talk_feed(&k.t, C2S, frame, n), !hidden);
			if (hidden)
				assert_int_equal(k.t.why, CLOSE_UNSEEN_COMPOUND);
			else
				assert_memory_equal(buf_head(&k.t.side[C2S].out), frame, n);
			assert_int_equal(k.t.side[C2S].frames_held, 0);
			keyed_end(&k);
			free(frame);
			free(q);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_position),
		cmocka_unit_test(gmac_policy),
		cmocka_unit_test(forged),
		cmocka_unit_test(short_cipher_keys),
		cmocka_unit_test(long_sealed),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
