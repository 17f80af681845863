/* inspect-sessions.c: many sessions on a connection, and each way in which one ends */
#include "config.h"

#include "t/unit/lib/made.h"
#include "t/unit/lib/talk.h"

#include "auth/crypt.h"
#include "auth/keys.h"
#include "auth/secret.h"
#include "auth/seal.h"
#include "base/clock.h"
#include "inspect/chantab.h"
#include "inspect/ended.h"
#include "inspect/session_over.h"
#include "policy/policy.h"
#include "smb/const.h"
#include "smb/nbss.h"
#include "smb/neg2.h"
#include "smb/xform.h"
#include "stats/stats.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NODE "node \"n1\" { address = \"127.0.0.11:445\" }\n"
#define FILTER NODE "interfaces \"lan\" { mode = filter }\n"

static struct made m;

static struct smbkeys *
make_keys(const char gss[17])
{
	struct logon_facts f = { .dialect = SMB2_DIALECT_300, .cipher = SMB2_CIPHER_AES128_CCM,
		.signing = SMB2_SIGNING_AES_CMAC, .key = (const uint8_t *)gss, .key_len = 16 };
	struct smbkeys *k = smbkeys_derive(&f, KEYS_STANDARD);

	assert_non_null(k);
	return k;
}

static void
begin(struct talk *t, const char *policy)
{
	const struct neg2_resp neg = { .dialect = SMB2_DIALECT_300, .max_transact = 1 << 20,
		.max_read = 1 << 20, .max_write = 1 << 20, .cipher = SMB2_CIPHER_AES128_CCM,
		.signing = SMB2_SIGNING_AES_CMAC,
		.capabilities = SMB2_GLOBAL_CAP_MULTI_CHANNEL | SMB2_GLOBAL_CAP_ENCRYPTION };

	talk_init(t, talk_env_new(policy), "lan", "10.0.0.5");
	t->conn.mediate.track.client_caps = SMB2_GLOBAL_CAP_ENCRYPTION;
	track_negotiate_resp(&t->conn.mediate.track, &neg);
	t->conn.mediate.track.logged_on = true;
}

static void
end(struct talk *t)
{
	struct mediate_env *env = t->env;

	talk_fini(t);
	talk_env_free(env);
}

/* keys NULL: opaque. ends: of another connection, whose the channel then is. */
static struct channel *
join(struct talk *t, uint64_t id, struct smbkeys *keys, bool bound, const struct channel_ends *ends)
{
	const struct session_info si = {
		.session_id = id, .node = &t->node, .keyed = keys != NULL
	};
	struct channel *c = sesstab_join(t->env->sessions, &si,
	    ends != NULL ? ends : &t->conn.mediate.self, bound, keys,
	    keys != NULL ? &keys->signing : NULL);

	assert_non_null(c);
	if (ends == NULL)
		track_channel_add(&t->conn.mediate.track, c);
	return c;
}

static void
count_one(void *arg, const struct session_info *si, const struct channel_info *ci, size_t n)
{
	(void)si;
	(void)ci;
	assert_true(n > 0);
	++*(unsigned *)arg;
}

static unsigned
sessions(struct talk *t)
{
	unsigned n = 0;

	sesstab_each(t->env->sessions, count_one, &n);
	return n;
}

static bool
here(struct talk *t, uint64_t id)
{
	return track_channel(&t->conn.mediate.track, id) != NULL;
}

/* Thousands are found, and leave nothing behind. */
static void
thousands(void **state)
{
	struct channel_ends other = { .conn_id = 2 };
	struct talk t;

	(void)state;
	begin(&t, NODE);
	for (int round = 0; round < 2; round++) {
		for (uint64_t i = 1; i <= 5000; i++) {
			join(&t, i, NULL, false, NULL);
			if (i % 10 == 0) {
				struct channel *c = join(&t, i, NULL, true, &other);

				channel_leave(t.env->sessions, &c);
			}
		}
		assert_int_equal(sessions(&t), 5000);
		assert_false(here(&t, 5001));
		for (uint64_t i = 1; i <= 5000; i++) {
			/* Odd ones first, and most of the others. */
			uint64_t id = i <= 2500 ? 2 * i - 1 : 2 * (i - 2500);

			assert_true(here(&t, id));
			session_over(&t.conn.mediate, id);
			assert_false(here(&t, id));
			assert_int_equal(t.conn.mediate.track.channels.n, 5000 - i);
		}
		assert_int_equal(sessions(&t), 0);
		assert_int_equal(t.conn.mediate.track.channels.mask, 0);
	}
	end(&t);
}

/* The most that are kept: opaque ones make room, and those in doubt; keyed ones stay. */
static void
full(void **state)
{
	struct smbkeys *keys = make_keys("0123456789abcdef");
	struct talk t;

	(void)state;
	begin(&t, NODE);
	for (uint64_t i = 1; i <= TRACK_SESSIONS_MAX; i++) {
		assert_true(session_room(&t.conn.mediate));
		join(&t, i, i % 2 == 0 ? keys : NULL, false, NULL);
	}
	assert_true(session_room(&t.conn.mediate));
	assert_int_equal(sessions(&t), TRACK_SESSIONS_MAX / 2);
	for (uint64_t i = 1; i <= TRACK_SESSIONS_MAX / 2; i++)
		join(&t, 2 * i - 1, keys, false, NULL);
	assert_false(session_room(&t.conn.mediate));
	assert_int_equal(sessions(&t), TRACK_SESSIONS_MAX);
	session_doubt(&t.conn.mediate, 7, true);
	assert_true(session_room(&t.conn.mediate));
	assert_int_equal(sessions(&t), TRACK_SESSIONS_MAX - 1);
	assert_false(here(&t, 7));
	end(&t);
	assert_int_equal(keys->refs, 1);
	smbkeys_unref(&keys);
}

static void
node_says(struct talk *t, uint64_t mid, uint64_t id, uint32_t status)
{
	size_t n;

	made_init(&m);
	put_error(&m, mid, status, 0);
	n = made_end(&m);
	for (int i = 0; i < 8; i++)
		m.b[NBSS_HDR_LEN + 40 + i] = (uint8_t)(id >> 8 * i);
	assert_true(talk_feed(t, S2C, m.b, n));
	assert_int_equal(buf_len(&t->side[S2C].out), n);
	buf_fini(&t->side[S2C].out);
}

/* STATUS_USER_SESSION_DELETED: for whom it counts, and for whom not. */
static void
deleted(void **state)
{
	struct smbkeys *keys = make_keys("0123456789abcdef");
	struct channel_ends other = { .conn_id = 2 };
	struct channel *c;
	struct talk t;

	(void)state;
	begin(&t, NODE);
	join(&t, 1, keys, false, NULL);
	join(&t, 2, keys, false, NULL);
	/* Somebody else's session, that this client asked for: no word on it. */
	c = join(&t, 3, keys, false, &other);
	node_says(&t, 7, 3, STATUS_USER_SESSION_DELETED);
	assert_false(channel_over(c));
	channel_leave(t.env->sessions, &c);
	/* Another status is not the end, least of all a ticket that has run out. */
	node_says(&t, 8, 1, 0xc000035cu);
	assert_true(here(&t, 1));
	node_says(&t, 9, 1, STATUS_USER_SESSION_DELETED);
	assert_false(here(&t, 1));
	assert_true(here(&t, 2));
	assert_int_equal(sessions(&t), 1);
	assert_int_equal(t.closed, false);
	end(&t);
	assert_int_equal(keys->refs, 1);
	smbkeys_unref(&keys);
}

/* A bind that the node refuses is not the end of the session, on its own connection neither. */
static void
bind_refused(void **state)
{
	struct smbkeys *keys = make_keys("0123456789abcdef");
	struct talk t;

	(void)state;
	begin(&t, NODE);
	join(&t, SESSION, keys, false, NULL);
	made_init(&m);
	put_session_setup(&m, 5, SESSION, SMB2_SESSION_FLAG_BINDING);
	assert_true(talk_feed(&t, C2S, m.b, made_end(&m)));
	made_init(&m);
	put_session_setup_resp(&m, 5, SESSION, STATUS_USER_SESSION_DELETED, 0);
	assert_true(talk_feed(&t, S2C, m.b, made_end(&m)));
	mediate_tick(&t.conn.mediate, clock_ms());
	assert_true(here(&t, SESSION));
	assert_int_equal(sessions(&t), 1);
	end(&t);
	smbkeys_unref(&keys);
}

/* Keys that the bind is not signed with are of an older session of its number. */
static void
bind_of_another(void **state)
{
	struct smbkeys *keys = make_keys("0123456789abcdef"), *old = make_keys("fedcba9876543210");
	struct channel_ends other = { .conn_id = 2 };
	struct crypt *crypt = crypt_new();

	(void)state;
	for (int stale = 0; stale < 2; stale++) {
		const struct pending *asked;
		struct channel *c;
		struct talk t;
		size_t n;

		begin(&t, NODE);
		c = join(&t, SESSION, stale ? old : keys, false, &other);
		made_init(&m);
		put_session_setup(&m, 5, SESSION, SMB2_SESSION_FLAG_BINDING);
		n = made_end(&m);
		assert_int_equal(sign_make(crypt, &keys->signing, m.b + NBSS_HDR_LEN,
		    n - NBSS_HDR_LEN), 0);
		assert_true(talk_feed(&t, C2S, m.b, n));
		asked = track_asked(&t.conn.mediate.track, 5);
		assert_non_null(asked);
		assert_true(asked->binding);
		assert_int_equal(asked->sign, !stale);
		channel_leave(t.env->sessions, &c);
		end(&t);
	}
	smbkeys_unref(&keys);
	smbkeys_unref(&old);
	crypt_free(&crypt);
}

/* Another connection's channel has its keys until it is told, and while an answer is owed. */
static void
other_channel(void **state)
{
	struct smbkeys *keys = make_keys("0123456789abcdef");
	struct pending p = { .kind = PENDING_IFINFO, .message_id = 4, .session_id = SESSION };
	struct channel_ends other = { .conn_id = 2 };
	enum close_reason why;
	struct channel *c;
	struct talk t;

	(void)state;
	begin(&t, NODE);
	join(&t, 1, NULL, false, NULL);
	c = join(&t, SESSION, keys, false, &other);
	join(&t, SESSION, keys, true, NULL);
	assert_int_equal(track_ask(&t.conn.mediate.track, &p, &why), 0);
	assert_true(sesstab_end(t.env->sessions, SESSION, &t.node));
	assert_false(sesstab_end(t.env->sessions, SESSION, &t.node));
	assert_null(sesstab_keys(t.env->sessions, SESSION, NULL));
	for (int i = 0; i < 3; i++) {
		mediate_tick(&t.conn.mediate, clock_ms());
		assert_ptr_equal(track_keys(&t.conn.mediate.track, SESSION), keys);
	}
	track_answered(&t.conn.mediate.track, 4);
	mediate_tick(&t.conn.mediate, clock_ms());
	assert_null(track_keys(&t.conn.mediate.track, SESSION));
	assert_false(here(&t, SESSION));
	assert_true(here(&t, 1));
	channel_leave(t.env->sessions, &c);
	assert_int_equal(keys->refs, 1);
	end(&t);
	smbkeys_unref(&keys);
}

static void
put_logoff(uint64_t mid, bool response)
{
	const struct hdr2 h = { .command = SMB2_LOGOFF, .message_id = mid, .session_id = SESSION,
		.credits = 1, .flags = response ? SMB2_FLAGS_SERVER_TO_REDIR : 0 };
	struct wr *w = made_next(&m);

	hdr2_put(w, &h);
	wr_u16(w, 4);
	wr_u16(w, 0);
}

static void
feed_sealed(struct talk *t, struct crypt *crypt, const struct smbkeys *k, enum dir dir)
{
	size_t n = made_end(&m);

	memmove(m.b + NBSS_HDR_LEN + SMB2_TRANSFORM_LEN, m.b + NBSS_HDR_LEN, n);
	assert_int_equal(seal_make(crypt, k, dir == C2S ? SEAL_C2S : SEAL_S2C, SESSION,
	    m.b + NBSS_HDR_LEN, n - NBSS_HDR_LEN), 0);
	n += SMB2_TRANSFORM_LEN;
	nbss_put(m.b, (uint32_t)(n - NBSS_HDR_LEN));
	assert_true(talk_feed(t, dir, m.b, n));
}

/* An old session ends here when its number is another connection's new one already: that stays. */
static void
ends_late(void **state)
{
	static const uint32_t deleted = STATUS_USER_SESSION_DELETED;
	struct smbkeys *old = make_keys("0123456789abcdef"), *new = make_keys("fedcba9876543210");
	struct channel_ends other = { .conn_id = 2 };

	(void)state;
	for (int how = 0; how < 3; how++) {
		struct channel *c;
		struct talk t;

		begin(&t, NODE);
		join(&t, SESSION, old, false, NULL);
		made_init(&m);
		if (how == 0)
			put_logoff(5, false);
		else if (how == 1)
			put_session_setup(&m, 5, SESSION, 0);
		else
			put_echo(&m, 5, false);
		assert_true(talk_feed(&t, C2S, m.b, made_end(&m)));
		c = join(&t, SESSION, new, false, &other);
		made_init(&m);
		if (how == 0)
			put_logoff(5, true);
		else if (how == 1)
			put_session_setup_resp(&m, 5, SESSION, STATUS_LOGON_FAILURE, 0);
		else
			put_error(&m, 5, deleted, 0);
		assert_true(talk_feed(&t, S2C, m.b, made_end(&m)));
		mediate_tick(&t.conn.mediate, clock_ms());
		assert_false(here(&t, SESSION));
		assert_false(channel_over(c));
		assert_int_equal(sessions(&t), 1);
		/* And so it does when it is bound here, where its number was known. */
		join(&t, SESSION, new, true, NULL);
		assert_ptr_equal(track_keys(&t.conn.mediate.track, SESSION), new);
		channel_leave(t.env->sessions, &c);
		end(&t);
	}
	assert_int_equal(old->refs, 1);
	assert_int_equal(new->refs, 1);
	smbkeys_unref(&old);
	smbkeys_unref(&new);
}

/* A connection that has a channel of an old session binds itself to the number's next one. */
static void
bound_again(void **state)
{
	struct smbkeys *old = make_keys("0123456789abcdef"), *new = make_keys("fedcba9876543210");
	struct channel_ends other = { .conn_id = 2 };
	struct channel *c;
	struct talk t;

	(void)state;
	begin(&t, NODE);
	join(&t, SESSION, old, false, NULL);
	c = join(&t, SESSION, new, false, &other);
	made_init(&m);
	put_session_setup(&m, 5, SESSION, SMB2_SESSION_FLAG_BINDING);
	assert_true(talk_feed(&t, C2S, m.b, made_end(&m)));
	made_init(&m);
	put_session_setup_resp(&m, 5, SESSION, STATUS_SUCCESS, 0);
	assert_true(talk_feed(&t, S2C, m.b, made_end(&m)));
	assert_int_equal(t.conn.mediate.track.channels.n, 1);
	/* Opaque, for nobody knows how it was made; but not with the old one's keys. */
	assert_null(track_keys(&t.conn.mediate.track, SESSION));
	assert_int_equal(sessions(&t), 1);
	channel_leave(t.env->sessions, &c);
	end(&t);
	assert_int_equal(old->refs, 1);
	smbkeys_unref(&old);
	smbkeys_unref(&new);
}

/* A frame whose first answer is changed, and whose last one ends the session: still sealed. */
static void
logoff_in_changed(void **state)
{
	static const char *const nodes_list[] = { "192.168.7.7", "169.254.1.1", NULL };
	struct smbkeys *peer = make_keys("0123456789abcdef"), *keys;
	struct crypt *crypt = crypt_new();
	uint8_t plain[2000];
	struct talk t;

	(void)state;
	begin(&t, FILTER);
	keys = make_keys("0123456789abcdef");
	join(&t, SESSION, keys, false, NULL);
	/* The session's is the only reference. */
	smbkeys_unref(&keys);
	made_init(&m);
	put_query(&m, 4, 65536);
	put_logoff(5, false);
	feed_sealed(&t, crypt, peer, C2S);
	made_init(&m);
	put_list_resp(&m, 4, 0, nodes_list);
	put_logoff(5, true);
	feed_sealed(&t, crypt, peer, S2C);
	assert_false(here(&t, SESSION));
	assert_int_equal(sessions(&t), 0);
	assert_int_equal(seal_open(crypt, peer, SEAL_S2C,
	    buf_head(&t.side[S2C].out) + NBSS_HDR_LEN,
	    buf_len(&t.side[S2C].out) - NBSS_HDR_LEN, plain), 0);
	assert_int_equal(t.env->stats->count[STAT_ifinfo_filtered], 1);
	end(&t);
	smbkeys_unref(&peer);
	crypt_free(&crypt);
}

/* So much is unanswered that one more is answered alone. */
static void
crowded(void **state)
{
	struct part2 p;
	struct talk t;

	(void)state;
	begin(&t, FILTER);
	t.conn.mediate.track.logged_on = false;
	join(&t, SESSION, NULL, false, NULL);
	for (uint64_t i = 0; i < TRACK_PENDING_STRANGER + 2; i++) {
		made_init(&m);
		if (i == TRACK_PENDING_STRANGER)
			put_session_setup(&m, 10 + i, 0, 0);
		else
			put_query(&m, 10 + i, 65536);
		buf_fini(&t.side[C2S].out);
		assert_true(talk_feed(&t, C2S, m.b, made_end(&m)));
		assert_int_equal(parts_out(&t, C2S, &p, 1), 1);
		/* What stands in for a logon is one that no node lets in. */
		assert_int_equal(p.hdr.command, i < TRACK_PENDING_STRANGER ? SMB2_IOCTL :
		    i == TRACK_PENDING_STRANGER ? SMB2_SESSION_SETUP : SMB2_ECHO);
	}
	assert_int_equal(t.conn.mediate.logons.n, 0);
	for (uint64_t i = TRACK_PENDING_STRANGER; i < TRACK_PENDING_STRANGER + 2; i++) {
		made_init(&m);
		if (i == TRACK_PENDING_STRANGER)
			put_session_setup_resp(&m, 10 + i, UINT64_MAX - 1,
			    STATUS_USER_SESSION_DELETED, 0);
		else
			put_echo(&m, 10 + i, true);
		buf_fini(&t.side[S2C].out);
		assert_true(talk_feed(&t, S2C, m.b, made_end(&m)));
		assert_int_equal(parts_out(&t, S2C, &p, 1), 1);
		assert_int_equal(p.hdr.command,
		    i == TRACK_PENDING_STRANGER ? SMB2_SESSION_SETUP : SMB2_IOCTL);
		assert_int_equal(p.hdr.status, STATUS_INSUFFICIENT_RESOURCES);
	}
	end(&t);
}

/* A map that keeps what was told last. */
struct hearing {
	struct state state;
	uint8_t bytes[STATE_FACT_MAX];
	size_t len;
};

static void
hear(struct state *st, const void *bytes, size_t len)
{
	struct hearing *h = (struct hearing *)st;

	assert_true(len <= sizeof(h->bytes));
	memcpy(h->bytes, bytes, len);
	h->len = len;
}

static const struct state_ops hearing_ops = { .shared = true, .tell = hear };

/* Another proxy, with a session of its client's. */
static struct channel *
other_row(struct sesstab *t, struct node *n, struct smbkeys *keys, const char *principal)
{
	static const struct channel_ends ends = { .conn_id = 3 };
	const struct session_info si = {
		.session_id = SESSION, .node = n, .keyed = keys != NULL, .principal = principal
	};
	struct channel *c = sesstab_join(t, &si, &ends, false, keys,
	    keys == NULL ? NULL : &keys->signing);

	assert_non_null(c);
	return c;
}

/* What ends a session at one proxy ends it at another: that one, and no other of its number. */
static void
told_to_others(void **state)
{
	struct smbkeys *keys = make_keys("0123456789abcdef");
	struct smbkeys *others = make_keys("fedcba9876543210");
	static struct secret secret = { .len = 16, .bytes = "a cluster secret" };
	static struct secret wrong = { .len = 16, .bytes = "another secret.." };
	struct hearing h = { .state.ops = &hearing_ops };
	struct sesstab *table = sesstab_new();
	struct nodes *nodes = nodes_new();
	struct session_info si = {
		.session_id = SESSION + 1, .keyed = true, .principal = "alice@A"
	};
	struct ended_session e;
	struct channel *c;
	struct talk t;

	(void)state;
	begin(&t, FILTER);
	nodes_apply(nodes, t.env->policy, 1);
	t.conn.mediate.node = nodes_find_name(nodes, "n1");
	si.node = t.conn.mediate.node;
	t.env->state = &h.state;
	/* Without a secret nobody is told. */
	ended_tell(t.env, SESSION, si.node, keys);
	assert_int_equal(h.len, 0);
	t.env->secret = &secret;
	/* A LOGOFF, in the name of these keys. */
	c = other_row(table, t.conn.mediate.node, others, "alice@A");
	ended_tell(t.env, SESSION, si.node, keys);
	assert_true(h.len > 0);
	assert_int_equal(ended_heard(&secret, table, nodes, h.bytes, h.len, &e), 0);
	assert_false(channel_over(c));
	ended_tell(t.env, SESSION, si.node, others);
	assert_int_equal(ended_heard(&wrong, table, nodes, h.bytes, h.len, &e), -1);
	assert_int_equal(ended_heard(&secret, table, nodes, h.bytes, h.len - 1, &e), -1);
	for (size_t i = 0; i < h.len; i++) {
		h.bytes[i] ^= 1;
		assert_int_equal(ended_heard(&secret, table, nodes, h.bytes, h.len, &e), -1);
		h.bytes[i] ^= 1;
	}
	assert_false(channel_over(c));
	assert_int_equal(ended_heard(&secret, table, nodes, h.bytes, h.len, &e), 1);
	assert_int_equal(e.session_id, SESSION);
	assert_string_equal(e.node, si.node->id);
	assert_true(channel_over(c));
	assert_null(sesstab_keys(table, SESSION, si.node));
	/* Heard again it ends nobody. */
	assert_int_equal(ended_heard(&secret, table, nodes, h.bytes, h.len, &e), 0);
	channel_leave(table, &c);
	/* Named by a new session: of the same user's, and no other's. */
	c = other_row(table, t.conn.mediate.node, keys, "bob@A");
	ended_tell_previous(t.env, SESSION, &si);
	assert_int_equal(ended_heard(&secret, table, nodes, h.bytes, h.len, &e), 0);
	si.principal = "BOB@A";
	ended_tell_previous(t.env, SESSION, &si);
	assert_int_equal(ended_heard(&secret, table, nodes, h.bytes, h.len, &e), 1);
	assert_true(channel_over(c));
	channel_leave(table, &c);
	/* A session that is over on its connection is told; one that it only leaves is not. */
	h.len = 0;
	track_channel_add(&t.conn.mediate.track, other_row(t.env->sessions, t.conn.mediate.node,
	    keys, NULL));
	session_over(&t.conn.mediate, SESSION);
	assert_true(h.len > 0);
	t.env->state = NULL;
	node_unref(&t.conn.mediate.node);
	t.conn.mediate.node = &t.node;
	end(&t);
	sesstab_free(&table);
	nodes_free(&nodes);
	smbkeys_unref(&keys);
	smbkeys_unref(&others);
}

/* A node that policy has no longer, and its last connection, which ends while it is looked at. */
struct looked_at {
	struct nodes *nodes;
	struct node *node;	/* the connection's reference */
	struct channel *channel;
	struct talk *talk;
	struct session_info kept;
};

static void
look_at_node(void *arg, const struct session_info *si, const struct channel_info *ci, size_t n)
{
	struct looked_at *l = arg;

	(void)ci;
	assert_int_equal(n, 1);
	channel_leave(l->talk->env->sessions, &l->channel);
	node_unref(&l->node);
	nodes_sweep(l->nodes);
	assert_string_equal(si->node->name, "n1");
	l->kept = *si;
	session_info_own(&l->kept);
}

/* Sessions are shown on another thread than that which forgets nodes: each keeps its own. */
static void
node_forgotten(void **state)
{
	static const struct policy nobody = { .nnodes = 0 };
	struct looked_at l = { .nodes = nodes_new() };
	struct session_info si = { .session_id = SESSION };
	struct node *n;
	struct talk t;

	(void)state;
	begin(&t, NODE);
	l.talk = &t;
	nodes_apply(l.nodes, t.env->policy, 1);
	si.node = l.node = nodes_find_name(l.nodes, "n1");
	l.channel = sesstab_join(t.env->sessions, &si, &t.conn.mediate.self, false, NULL, NULL);
	assert_non_null(l.channel);
	nodes_apply(l.nodes, &nobody, 2);
	sesstab_each(t.env->sessions, look_at_node, &l);
	nodes_sweep(l.nodes);
	assert_int_equal(nodes_all(l.nodes, &n, 1), 1);
	node_unref(&n);
	assert_string_equal(l.kept.node->name, "n1");
	session_info_fini(&l.kept);
	nodes_sweep(l.nodes);
	assert_int_equal(nodes_all(l.nodes, &n, 1), 0);
	end(&t);
	nodes_free(&l.nodes);
}

/* A table that changes while somebody goes through it. */

#define ROWS 64			/* of one shard of the table, whose number is its id's product */
#define ROW_NODES 3

struct row {
	struct channel *channel;	/* NULL: it is not there */
	bool stays;
	unsigned shown;
};

struct changing {
	struct sesstab *table;
	struct node nodes[ROW_NODES];
	struct row rows[ROWS][ROW_NODES];
	unsigned shown, come;
	atomic_bool end;
};

/* Sessions of all these numbers are in one shard. */
static uint64_t
row_id(unsigned i)
{
	uint64_t id = 0, found = 0;

	while (found <= i)
		found += (++id * 0x9e3779b97f4a7c15ull) >> 58 == 0;
	return id;
}

static struct channel *
row_join(struct changing *c, uint64_t id, unsigned node)
{
	static const struct channel_ends ends = { .conn_id = 3 };
	const struct session_info si = {
		.session_id = id, .node = &c->nodes[node], .since_ms = node
	};
	struct channel *ch = sesstab_join(c->table, &si, &ends, false, NULL, NULL);

	assert_non_null(ch);
	return ch;
}

static void
changing_begin(struct changing *c)
{
	*c = (struct changing){ .table = sesstab_new() };
	for (unsigned i = 0; i < ROWS; i++)
		for (unsigned n = 0; n < ROW_NODES; n++)
			c->rows[i][n].channel = row_join(c, row_id(i), n);
}

static void
rows_leave(struct changing *c, bool those_that_stay)
{
	for (unsigned i = 0; i < ROWS; i++)
		for (unsigned n = 0; n < ROW_NODES; n++)
			if (!c->rows[i][n].stays || those_that_stay)
				channel_leave(c->table, &c->rows[i][n].channel);
}

static void
changing_end(struct changing *c)
{
	rows_leave(c, true);
	sesstab_free(&c->table);
}

static void
all_leave(void *arg, const struct session_info *si, const struct channel_info *ci, size_t n)
{
	struct changing *c = arg;

	(void)ci;
	assert_int_equal(n, 1);
	assert_non_null(si->node);
	c->shown++;
	rows_leave(c, true);
}

/* While some are copied, whoever opens a file in a session of theirs waits: they are few. */
static void
few_at_a_time(void **state)
{
	struct changing c;

	(void)state;
	changing_begin(&c);
	sesstab_each(c.table, all_leave, &c);
	assert_in_range(c.shown, 1, 16);
	changing_end(&c);
}

/* New ones come as fast as they are looked at, and of the others most go. */
static void
some_leave(void *arg, const struct session_info *si, const struct channel_info *ci, size_t k)
{
	struct changing *c = arg;
	unsigned n = (unsigned)si->since_ms;

	(void)ci;
	assert_int_equal(k, 1);
	assert_true(++c->shown <= ROWS * ROW_NODES);
	for (unsigned i = 0; i < ROWS; i++)
		if (row_id(i) == si->session_id)
			c->rows[i][n].shown++;
	for (unsigned i = 0; i < 2; i++) {
		unsigned at = (c->come * 7 + 3) % ROWS;
		struct row *r = &c->rows[at][c->come % ROW_NODES];

		c->come++;
		if (!r->stays) {
			channel_leave(c->table, &r->channel);
			r->channel = row_join(c, row_id(at), (unsigned)(r - c->rows[at]));
		}
	}
}

/* Of several of one number, any may be the one that the table has first, and that goes. */
static void
changed_between(void **state)
{
	(void)state;
	for (unsigned stays = 0; stays < ROW_NODES; stays++) {
		struct changing c;

		changing_begin(&c);
		for (unsigned i = 0; i < ROWS; i++)
			c.rows[i][(i + stays) % ROW_NODES].stays = true;
		sesstab_each(c.table, some_leave, &c);
		for (unsigned i = 0; i < ROWS; i++)
			for (unsigned n = 0; n < ROW_NODES; n++)
				if (c.rows[i][n].stays)
					assert_int_equal(c.rows[i][n].shown, 1);
				else
					assert_in_range(c.rows[i][n].shown, 0, 1);
		changing_end(&c);
	}
}

static void *
look_again(void *arg)
{
	struct changing *c = arg;

	while (!atomic_load(&c->end)) {
		unsigned n = 0;

		sesstab_each(c->table, count_one, &n);
		if (n < ROWS || n > ROWS * ROW_NODES)
			return c;
	}
	return NULL;
}

/* Two threads look at what a third one changes. */
static void
changed_by_others(void **state)
{
	struct changing c;
	pthread_t look[2];
	void *wrong;

	(void)state;
	changing_begin(&c);
	for (unsigned i = 0; i < ROWS; i++)
		c.rows[i][i % ROW_NODES].stays = true;
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&look[i], NULL, look_again, &c), 0);
	for (unsigned round = 0; round < 50; round++) {
		rows_leave(&c, false);
		for (unsigned i = 0; i < ROWS; i++)
			for (unsigned n = 0; n < ROW_NODES; n++)
				if (!c.rows[i][n].stays)
					c.rows[i][n].channel = row_join(&c, row_id(i), n);
	}
	atomic_store(&c.end, true);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(look[i], &wrong), 0);
		assert_null(wrong);
	}
	changing_end(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(thousands),
		cmocka_unit_test(full),
		cmocka_unit_test(deleted),
		cmocka_unit_test(bind_refused),
		cmocka_unit_test(bind_of_another),
		cmocka_unit_test(other_channel),
		cmocka_unit_test(ends_late),
		cmocka_unit_test(bound_again),
		cmocka_unit_test(logoff_in_changed),
		cmocka_unit_test(crowded),
		cmocka_unit_test(told_to_others),
		cmocka_unit_test(node_forgotten),
		cmocka_unit_test(few_at_a_time),
		cmocka_unit_test(changed_between),
		cmocka_unit_test(changed_by_others),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
