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
/* [MS-ERREF]: what a node says of a file that is not there, and of a tree. */
#define FILE_CLOSED 0xc0000128u
#define NETWORK_NAME_DELETED 0xc00000c9u
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
	bool lax;		/* the node takes what is not signed, too */
};

static const struct kind kinds[] = {
	{ "3.0.2 CMAC", SMB2_DIALECT_302, SMB2_SIGNING_AES_CMAC,
	    SMB2_CIPHER_AES128_CCM, false, false },
	{ "3.1.1 HMAC", SMB2_DIALECT_311, SMB2_SIGNING_HMAC_SHA256,
	    SMB2_CIPHER_AES128_GCM, false, false },
	{ "3.1.1 CMAC", SMB2_DIALECT_311, SMB2_SIGNING_AES_CMAC, 0, false, false },
	{ "3.1.1 GMAC, GCM", SMB2_DIALECT_311, SMB2_SIGNING_AES_GMAC,
	    SMB2_CIPHER_AES128_GCM, false, false },
	{ "3.1.1 GMAC, CCM-256", SMB2_DIALECT_311, SMB2_SIGNING_AES_GMAC,
	    SMB2_CIPHER_AES256_CCM,
	    false, false },
	{ "sealed 3.0 CCM", SMB2_DIALECT_300, SMB2_SIGNING_AES_CMAC,
	    SMB2_CIPHER_AES128_CCM, true, false },
	{ "sealed CCM", SMB2_DIALECT_311, SMB2_SIGNING_AES_GMAC,
	    SMB2_CIPHER_AES128_CCM, true, false },
	{ "sealed GCM", SMB2_DIALECT_311, SMB2_SIGNING_AES_GMAC,
	    SMB2_CIPHER_AES128_GCM, true, false },
	{ "sealed CCM-256", SMB2_DIALECT_311, SMB2_SIGNING_AES_CMAC,
	    SMB2_CIPHER_AES256_CCM, true, false },
	{ "sealed GCM-256", SMB2_DIALECT_311, SMB2_SIGNING_AES_GMAC,
	    SMB2_CIPHER_AES256_GCM, true, false },
	{ "3.1.1 GMAC, no cipher", SMB2_DIALECT_311, SMB2_SIGNING_AES_GMAC, 0, false, false },
	{ "3.1.1 GMAC, GCM, need not sign", SMB2_DIALECT_311, SMB2_SIGNING_AES_GMAC,
	    SMB2_CIPHER_AES128_GCM, false, true },
	{ "3.1.1 GMAC, no cipher, need not sign", SMB2_DIALECT_311, SMB2_SIGNING_AES_GMAC,
	    0, false,
	    true },
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
	struct session_info si = { .session_id = SESSION, .dialect = kind->dialect, .keyed = true,
		.signing_required = !kind->lax };
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
	track_channel_add(&k->t.conn.mediate.track, ch);
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

static void
put_logoff(struct made *m, uint64_t mid)
{
	const struct hdr2 h = { .command = SMB2_LOGOFF, .message_id = mid, .session_id = SESSION };
	struct wr *w = made_next(m);

	hdr2_put(w, &h);
	wr_u16(w, 4);
	wr_u16(w, 0);
}

/* What the node says of the FLUSH that stands in for a query. */
static void
put_vouch(struct made *m, uint64_t mid, uint32_t status)
{
	put_error(m, mid, status, 0);
	m->b[NBSS_HDR_LEN + 12] = SMB2_FLUSH;
}

/* A query at position `at` of `of`; what the client gets, and how the node was asked. */
static void
one(const struct kind *kind, const char *policy, const char *dialled, unsigned at, unsigned of,
    bool pending, const char *want)
{
	bool announce = strstr(policy, "announce") != NULL;
	bool gmac = kind->signing == SMB2_SIGNING_AES_GMAC && !kind->sealed;
	bool alone = announce && gmac && of == 1;
	bool vouched = alone && (kind->lax || kind->cipher != 0);
	bool lifted = gmac && kind->cipher != 0 && !(alone && kind->lax);
	bool stands_in = vouched || (announce && gmac && !lifted);
	uint16_t command = vouched ? SMB2_FLUSH : stands_in ? SMB2_ECHO : SMB2_IOCTL;
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
	assert_int_equal(opened(&k, C2S), kind->sealed || lifted);
	assert_int_equal(parts_out(&k.t, C2S, parts, 8), of);
	assert_int_equal(parts[at].hdr.command, command);
	assert_int_equal(parts[at].hdr.session_id, command == SMB2_ECHO ? 0 : SESSION);
	for (unsigned i = 0; i < of; i++) {
		bool is_signed = (parts[i].hdr.flags & SMB2_FLAGS_SIGNED) != 0;

		assert_int_equal(is_signed, !kind->sealed && !stands_in && !lifted);
		assert_int_equal(parts[i].hdr.message_id, 10 + i);
	}
	buf_fini(&k.t.side[C2S].out);
	if (pending) {
		made_init(m);
		put_error(m, 10 + at, STATUS_PENDING, SMB2_FLAGS_ASYNC_COMMAND);
		m->b[NBSS_HDR_LEN + 12] = (uint8_t)command;
		feed(&k, S2C, m, kind->sealed || lifted);
		assert_int_equal(opened(&k, S2C), kind->sealed);
		assert_int_equal(parts_out(&k.t, S2C, parts, 8), 1);
		assert_int_equal(parts[0].hdr.command, SMB2_IOCTL);
		assert_int_equal(parts[0].hdr.session_id, SESSION);
		assert_int_equal(parts[0].hdr.status, STATUS_PENDING);
		assert_int_equal(parts[0].hdr.flags,
		    SMB2_FLAGS_SERVER_TO_REDIR | SMB2_FLAGS_ASYNC_COMMAND);
		buf_fini(&k.t.side[S2C].out);
	}
	made_init(m);
	for (unsigned i = 0; i < of; i++) {
		if (i == at && vouched)
			put_vouch(m, 10 + i, FILE_CLOSED);
		else if (i == at && !stands_in)
			put_list_resp(m, 10 + i, pending ? SMB2_FLAGS_ASYNC_COMMAND : 0,
			    nodes_list);
		else
			put_echo(m, 10 + i, true);
	}
	if (stands_in && !lifted) {
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
	assert_int_equal(parts[at].hdr.credits, vouched ? 1 : stands_in ? 5 : 9);
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

static unsigned
at_position(const struct kind *kind, unsigned at, unsigned of, bool pending)
{
	/* GMAC without a cipher leaves no other way than a substitute: see gmac_policy(). */
	const bool stuck = kind->signing == SMB2_SIGNING_AES_GMAC && kind->cipher == 0;

	if (stuck && of > 1)
		return 0;
	one(kind, announce_policy, "10.0.0.5", at, of, pending, "10.0.0.1");
	if (stuck)
		return 1;
	one(kind, filter_policy, "10.0.0.5", at, of, pending, "192.168.7.7");
	one(kind, filter_policy, "127.0.0.9", at, of, pending, "127.0.0.9");
	return 3;
}

static void
every_position(void **state)
{
	unsigned n = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		for (unsigned of = 1; of <= 4; of++)
			for (unsigned at = 0; at < of; at++)
				for (int pending = 0; pending < 2; pending++)
					n += at_position(&kinds[i], at, of, pending);
	print_message("%u conversations\n", n);
}

/* Without a cipher GMAC leaves no way in filter mode: what policy says. */
static void
gmac_alone(const char *policy, struct keyed *k, struct made *m)
{
	static const struct kind kind = { "GMAC", SMB2_DIALECT_311, SMB2_SIGNING_AES_GMAC, 0,
		false, false };

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

/* A query as it is, unsigned; and an answer, signed with the session's key or with another one. */
static void
ask_unsigned(struct keyed *k, struct made *m)
{
	made_init(m);
	put_query(m, 10, 65536);
	assert_true(talk_feed(&k->t, C2S, m->b, made_end(m)));
}

static bool
answer_signed(struct keyed *k, struct made *m, bool good)
{
	size_t n;

	made_init(m);
	put_list_resp(m, 10, 0, nodes_list);
	n = protect(k, S2C, m, false);
	m->b[n - 1] ^= good ? 0 : 1;
	return talk_feed(&k->t, S2C, m->b, n);
}

/* A key proves wrong at this very query: the session is opaque, and policy says what that means. */
static void
wrong_key(void **state)
{
	struct made *m = malloc(sizeof(*m));

	(void)state;
	for (int at_request = 0; at_request < 2; at_request++)
		for (int refuse = 0; refuse < 2; refuse++) {
			struct keyed k;
			size_t n;
			bool goes_on = true;

			keyed_begin(&k, &kinds[0], refuse ? NODE "unkeyed = refuse\n" : NODE,
			    "10.0.0.5");
			if (at_request) {
				made_init(m);
				put_query(m, 10, 65536);
				n = protect(&k, C2S, m, false);
				m->b[n - 1] ^= 1;
				goes_on = talk_feed(&k.t, C2S, m->b, n);
			} else {
				ask_unsigned(&k, m);
			}
			if (goes_on)
				goes_on = answer_signed(&k, m, at_request);
			assert_null(track_signing(&k.t.conn.mediate.track, SESSION));
			assert_int_equal(goes_on, !refuse);
			if (refuse)
				assert_int_equal(k.t.why, CLOSE_UNKEYED);
			else
				assert_int_equal(k.t.env->stats->count[STAT_ifinfo_opaque], 1);
			keyed_end(&k);
		}
	free(m);
}

/* gmac = refuse: what the node signs for an unsigned query is told to nobody, nor signed again. */
static void
gmac_refused_list(void **state)
{
	struct made *m = malloc(sizeof(*m));
	struct part2 p;
	struct keyed k;

	(void)state;
	for (int mode = 0; mode < 2; mode++) {
		keyed_begin(&k, &kinds[3], mode ? NODE "gmac = refuse\n"
		    : NODE "gmac = refuse\ninterfaces \"lan\" { mode = filter }\n", "10.0.0.5");
		ask_unsigned(&k, m);
		assert_true(answer_signed(&k, m, true));
		watch(&k, S2C, m->b, wr_len(&m->w));
		watch(&k, S2C, buf_head(&k.t.side[S2C].out), buf_len(&k.t.side[S2C].out));
		assert_int_equal(parts_out(&k.t, S2C, &p, 1), 1);
		assert_int_equal(p.hdr.status, STATUS_NOT_SUPPORTED);
		assert_int_equal(p.hdr.flags, SMB2_FLAGS_SERVER_TO_REDIR);
		assert_false(k.reuse);
		assert_int_equal(k.t.env->stats->count[STAT_ifinfo_gmac_refused], 1);
		keyed_end(&k);
	}
	free(m);
}

/* A lifted query that the node refuses, plain: its word goes to the client. A list does not. */
static void
plain_answer_to_lifted(void **state)
{
	struct made *m = malloc(sizeof(*m));
	struct keyed k;

	(void)state;
	for (int list = 0; list < 2; list++) {
		keyed_begin(&k, &kinds[3], filter_policy, "10.0.0.5");
		made_init(m);
		put_query(m, 10, 65536);
		feed(&k, C2S, m, false);
		made_init(m);
		if (list)
			put_list_resp(m, 10, 0, nodes_list);
		else
			put_error(m, 10, STATUS_USER_SESSION_DELETED, 0);
		assert_int_equal(talk_feed(&k.t, S2C, m->b, made_end(m)), !list);
		if (list) {
			assert_int_equal(k.t.why, CLOSE_UNEXPECTED_ANSWER);
		} else {
			assert_int_equal(buf_len(&k.t.side[S2C].out), wr_len(&m->w));
			assert_memory_equal(buf_head(&k.t.side[S2C].out), m->b, wr_len(&m->w));
		}
		keyed_end(&k);
	}
	free(m);
}

static void
reauthenticate(struct keyed *k, struct made *m, uint64_t mid, uint32_t status)
{
	made_init(m);
	put_session_setup(m, mid, SESSION, 0);
	assert_true(talk_feed(&k->t, C2S, m->b, made_end(m)));
	if (status == STATUS_PENDING)
		return;
	made_init(m);
	put_session_setup_resp(m, mid, SESSION, status, 0);
	assert_true(talk_feed(&k->t, S2C, m->b, made_end(m)));
}

/* A query: does it go on as the client has signed it? */
static bool
goes_as_it_is(struct keyed *k, struct made *m, uint64_t mid)
{
	size_t n;

	buf_fini(&k->t.side[C2S].out);
	made_init(m);
	put_query(m, mid, 65536);
	n = protect(k, C2S, m, false);
	watch(k, C2S, m->b, n);
	assert_true(talk_feed(&k->t, C2S, m->b, n));
	watch(k, C2S, buf_head(&k->t.side[C2S].out), buf_len(&k->t.side[C2S].out));
	return buf_len(&k->t.side[C2S].out) == n &&
	    memcmp(buf_head(&k->t.side[C2S].out), m->b, n) == 0;
}

/*
 * GMAC, and a SESSION_SETUP on the session is under way, or has failed: the node says whether the
 * session lives, and no list that it has signed is told, nor signed again.
 */
static void
doubted(void **state)
{
	static const uint32_t statuses[] = { STATUS_PENDING, STATUS_ACCESS_DENIED,
		STATUS_NETWORK_SESSION_EXPIRED };
	static const size_t which[] = { 3, 10 };
	struct made *m = malloc(sizeof(*m));
	struct part2 p;
	struct keyed k;

	(void)state;
	for (unsigned i = 0; i < 12; i++) {
		const struct kind *kind = &kinds[which[i & 1]];
		const uint32_t status = statuses[i / 4];
		const bool lives = (i >> 1 & 1) != 0;

		keyed_begin(&k, kind, announce_policy, "10.0.0.5");
		assert_false(goes_as_it_is(&k, m, 5));
		/* Neither one that succeeds, nor one that is not at its end, is any reason. */
		reauthenticate(&k, m, 6, STATUS_MORE_PROCESSING_REQUIRED);
		assert_false(goes_as_it_is(&k, m, 7));
		reauthenticate(&k, m, 8, STATUS_SUCCESS);
		assert_false(goes_as_it_is(&k, m, 9));
		if (status == STATUS_NETWORK_SESSION_EXPIRED) {
			/* As another request was told, and then this one too. */
			made_init(m);
			put_error(m, 20, status, 0);
			feed(&k, S2C, m, false);
			assert_true(goes_as_it_is(&k, m, 21));
			made_init(m);
			put_error(m, 21, status, 0);
			feed(&k, S2C, m, false);
		} else {
			reauthenticate(&k, m, 20, status);
		}
		assert_true(goes_as_it_is(&k, m, 10));
		buf_fini(&k.t.side[S2C].out);
		made_init(m);
		if (lives)
			put_list_resp(m, 10, 0, nodes_list);
		else
			put_error(m, 10, STATUS_USER_SESSION_DELETED, 0);
		if (lives)
			feed(&k, S2C, m, false);
		else
			assert_true(talk_feed(&k.t, S2C, m->b, made_end(m)));
		assert_int_equal(parts_out(&k.t, S2C, &p, 1), 1);
		assert_int_equal(p.hdr.status,
		    lives ? STATUS_NOT_SUPPORTED : STATUS_USER_SESSION_DELETED);
		assert_int_equal(p.hdr.flags & SMB2_FLAGS_SIGNED, 0);
		assert_int_equal(sesstab_has(k.t.env->sessions, SESSION, &k.t.node), lives);
		/* One that lives goes its usual way again; one that is over is nobody's. */
		assert_int_equal(goes_as_it_is(&k, m, 30), !lives);
		if (lives) {
			reauthenticate(&k, m, 31, STATUS_LOGON_FAILURE);
			assert_false(sesstab_has(k.t.env->sessions, SESSION, &k.t.node));
			assert_true(goes_as_it_is(&k, m, 32));
		}
		assert_false(k.reuse);
		keyed_end(&k);
	}
	free(m);
}

/* A query of a session that need not sign, and what the node says of the session. */
static struct part2
ask_vouched(struct keyed *k, struct made *m, uint64_t mid, uint32_t status, bool is_signed)
{
	struct part2 p;

	assert_false(goes_as_it_is(k, m, mid));
	assert_int_equal(parts_out(&k->t, C2S, &p, 1), 1);
	assert_int_equal(p.hdr.command, SMB2_FLUSH);
	assert_int_equal(p.hdr.flags, 0);
	assert_int_equal(p.hdr.session_id, SESSION);
	buf_fini(&k->t.side[S2C].out);
	made_init(m);
	put_vouch(m, mid, status);
	if (is_signed) {
		feed(k, S2C, m, false);
	} else {
		assert_true(talk_feed(&k->t, S2C, m->b, made_end(m)));
		watch(k, S2C, buf_head(&k->t.side[S2C].out), buf_len(&k->t.side[S2C].out));
	}
	assert_int_equal(parts_out(&k->t, S2C, &p, 1), 1);
	assert_int_equal(p.hdr.command, SMB2_IOCTL);
	return p;
}

/* GMAC: what is told depends on what the node thinks of the session, in doubt and out of it. */
static void
vouched(void **state)
{
	struct made *m = malloc(sizeof(*m));
	struct part2 p;
	struct keyed k;

	(void)state;
	for (size_t i = 11; i < 13; i++) {
		keyed_begin(&k, &kinds[i], announce_policy, "10.0.0.5");
		p = ask_vouched(&k, m, 10, STATUS_NETWORK_SESSION_EXPIRED, false);
		assert_int_equal(p.hdr.status, STATUS_NETWORK_SESSION_EXPIRED);
		assert_true(signed_well(&k, S2C, &p));
		/* Logged on anew it is told, whatever else the node says of no file. */
		p = ask_vouched(&k, m, 11, NETWORK_NAME_DELETED, false);
		expect_list(&k.t, &p, "10.0.0.1");
		assert_true(signed_well(&k, S2C, &p));
		/* While it is logged off, too. */
		made_init(m);
		put_logoff(m, 12);
		feed(&k, C2S, m, false);
		p = ask_vouched(&k, m, 13, STATUS_USER_SESSION_DELETED, false);
		assert_int_equal(p.hdr.status, STATUS_USER_SESSION_DELETED);
		assert_false(sesstab_has(k.t.env->sessions, SESSION, &k.t.node));
		assert_true(goes_as_it_is(&k, m, 14));
		assert_false(k.reuse);
		keyed_end(&k);
		/* The node signs that it must sign: no list, and from now on another way. */
		keyed_begin(&k, &kinds[i], announce_policy, "10.0.0.5");
		p = ask_vouched(&k, m, 10, STATUS_ACCESS_DENIED, true);
		assert_int_equal(p.hdr.status, STATUS_NOT_SUPPORTED);
		assert_int_equal(p.hdr.flags & SMB2_FLAGS_SIGNED, 0);
		assert_false(goes_as_it_is(&k, m, 11));
		assert_int_equal(opened(&k, C2S), kinds[i].cipher != 0);
		assert_int_equal(parts_out(&k.t, C2S, &p, 1), 1);
		assert_int_equal(p.hdr.command, kinds[i].cipher != 0 ? SMB2_FLUSH : SMB2_ECHO);
		assert_false(k.reuse);
		keyed_end(&k);
	}
	free(m);
}

/*
 * GMAC, and the session must sign: nothing goes sealed that it has not sealed, if it may end on
 * another connection meanwhile, or is about to end on this one.
 */
static void
lifted_by_one(void **state)
{
	struct made *m = malloc(sizeof(*m));
	struct session_info si = { .session_id = SESSION };
	struct channel_ends ends = { .conn_id = 2 };
	struct channel *second;
	struct keyed k;
	struct part2 p;

	(void)state;
	keyed_begin(&k, &kinds[3], announce_policy, "10.0.0.5");
	assert_false(goes_as_it_is(&k, m, 10));
	assert_true(opened(&k, C2S));
	si.node = &k.t.node;
	second = sesstab_join(k.t.env->sessions, &si, &ends, true, k.keys, &k.keys->signing);
	assert_false(goes_as_it_is(&k, m, 11));
	assert_false(opened(&k, C2S));
	assert_int_equal(parts_out(&k.t, C2S, &p, 1), 1);
	assert_int_equal(p.hdr.command, SMB2_ECHO);
	channel_leave(k.t.env->sessions, &second);
	assert_false(goes_as_it_is(&k, m, 12));
	assert_true(opened(&k, C2S));
	buf_fini(&k.t.side[C2S].out);
	made_init(m);
	put_logoff(m, 13);
	feed(&k, C2S, m, false);
	assert_true(goes_as_it_is(&k, m, 14));
	assert_false(k.reuse);
	keyed_end(&k);
	free(m);
}

/* What is said of the session in a sealed answer that is opened for something else counts, too. */
static void
expiry_in_company(void **state)
{
	struct made *m = malloc(sizeof(*m));
	struct keyed k;

	(void)state;
	keyed_begin(&k, &kinds[3], announce_policy, "10.0.0.5");
	made_init(m);
	put_echo(m, 10, false);
	put_query(m, 11, 65536);
	feed(&k, C2S, m, false);
	assert_true(opened(&k, C2S));
	assert_false(goes_as_it_is(&k, m, 12));
	made_init(m);
	put_error(m, 10, STATUS_NETWORK_SESSION_EXPIRED, 0);
	m->b[NBSS_HDR_LEN + 12] = SMB2_ECHO;
	put_list_resp(m, 11, 0, nodes_list);
	feed(&k, S2C, m, true);
	assert_true(goes_as_it_is(&k, m, 13));
	assert_false(k.reuse);
	keyed_end(&k);
	free(m);
}

/* More room than a held answer has: the node is asked for less, under every protection. */
static void
narrowed(void **state)
{
	struct made *m = malloc(sizeof(*m));
	struct ioctl2_req r;
	struct part2 p;
	struct keyed k;

	(void)state;
	for (size_t i = 0; i < 10; i++)
		for (int charge = 1; charge <= 16; charge += 15) {
			keyed_begin(&k, &kinds[i], filter_policy, "10.0.0.5");
			made_init(m);
			put_query(m, 10, 1 << 20);
			m->b[NBSS_HDR_LEN + 6] = (uint8_t)charge;
			feed(&k, C2S, m, kinds[i].sealed);
			(void)opened(&k, C2S);
			assert_int_equal(parts_out(&k.t, C2S, &p, 1), 1);
			assert_int_equal(ioctl2_req_get(&r, part_bytes(&k.t, C2S, &p), p.len), 0);
			/* One that promises too little is for the node to refuse. */
			assert_int_equal(r.max_output, charge == 1 ? 1 << 20 : 65536);
			if ((p.hdr.flags & SMB2_FLAGS_SIGNED) != 0)
				assert_true(signed_well(&k, C2S, &p));
			assert_false(k.reuse);
			keyed_end(&k);
		}
	free(m);
}

/* AES-256 with a long GSS key: the peers that use 16 bytes of it are found by their first frame. */
static void
short_cipher_keys(void **state)
{
	struct made *m = malloc(sizeof(*m));
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
	assert_int_equal(buf_len(&k.t.side[C2S].out), wr_len(&m->w) + SMB2_TRANSFORM_LEN);
	assert_memory_equal(buf_head(&k.t.side[C2S].out), m->b, buf_len(&k.t.side[C2S].out));
	keyed_end(&k);
	free(m);
}

/* Bulk is peeked at and passes; a long compound is walked, and a query in it is noted. */
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
			struct part2 p;
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
			assert_true(talk_feed(&k.t, C2S, frame, n));
			assert_memory_equal(buf_head(&k.t.side[C2S].out), frame, n);
			if (hidden) {
				made_init(q);
				put_list_resp(q, 21, 0, nodes_list);
				n = protect(&k, S2C, q, true);
				assert_true(talk_feed(&k.t, S2C, q->b, n));
				assert_true(opened(&k, S2C));
				assert_int_equal(parts_out(&k.t, S2C, &p, 1), 1);
				expect_list(&k.t, &p, "10.0.0.1");
			}
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
		cmocka_unit_test(wrong_key),
		cmocka_unit_test(gmac_refused_list),
		cmocka_unit_test(plain_answer_to_lifted),
		cmocka_unit_test(doubted),
		cmocka_unit_test(vouched),
		cmocka_unit_test(lifted_by_one),
		cmocka_unit_test(expiry_in_company),
		cmocka_unit_test(narrowed),
		cmocka_unit_test(short_cipher_keys),
		cmocka_unit_test(long_sealed),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
