/* inspect-opens.c: open files, counted on the heads of answers, one by one and in crowds */
#include "config.h"

#include "t/unit/lib/made.h"
#include "t/unit/lib/talk.h"

#include "auth/keys.h"
#include "auth/seal.h"
#include "inspect/heads.h"
#include "inspect/opens.h"
#include "inspect/session_over.h"
#include "smb/const.h"
#include "smb/nbss.h"
#include "smb/neg2.h"
#include "smb/xform.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NODE "node \"n1\" { address = \"127.0.0.11:445\" }\n"
#define ASYNC SMB2_FLAGS_ASYNC_COMMAND
#define OTHER 0x99ull
#define FILE_CLOSED 0xc0000128u

static struct made m;
static uint64_t mid;

static struct smbkeys *
make_keys(void)
{
	struct logon_facts f = { .dialect = SMB2_DIALECT_300, .cipher = SMB2_CIPHER_AES128_CCM,
		.signing = SMB2_SIGNING_AES_CMAC, .key = (const uint8_t *)"0123456789abcdef",
		.key_len = 16 };
	struct smbkeys *k = smbkeys_derive(&f, KEYS_STANDARD);

	assert_non_null(k);
	return k;
}

static void
join(struct talk *t, const struct node *node, uint64_t id, struct smbkeys *keys, bool bound)
{
	const struct session_info si = { .session_id = id, .node = node, .keyed = keys != NULL };
	struct channel *c = sesstab_join(t->env->sessions, &si, &t->conn.mediate.self, bound, keys,
	    keys != NULL ? &keys->signing : NULL);

	assert_non_null(c);
	track_channel_add(&t->conn.mediate.track, c);
}

/* Another connection of the same worker. */
static void
begin_with(struct talk *t, struct mediate_env *env)
{
	const struct neg2_resp neg = { .dialect = SMB2_DIALECT_300, .max_transact = 1 << 20,
		.max_read = 1 << 20, .max_write = 1 << 20, .cipher = SMB2_CIPHER_AES128_CCM,
		.signing = SMB2_SIGNING_AES_CMAC, .capabilities = SMB2_GLOBAL_CAP_ENCRYPTION };

	talk_init(t, env, "lan", "10.0.0.5");
	t->conn.mediate.track.client_caps = SMB2_GLOBAL_CAP_ENCRYPTION;
	track_negotiate_resp(&t->conn.mediate.track, &neg);
	t->conn.mediate.track.logged_on = true;
}

static void
begin(struct talk *t)
{
	begin_with(t, talk_env_new(NODE));
	join(t, &t->node, SESSION, NULL, false);
}

static void
end(struct talk *t)
{
	struct mediate_env *env = t->env;

	talk_fini(t);
	talk_env_free(env);
}

static void
message(uint16_t command, uint64_t session, uint32_t tree, uint32_t status, uint32_t flags)
{
	const struct hdr2 h = { .command = command, .message_id = mid, .session_id = session,
		.tree_id = tree, .async_id = mid, .status = status, .flags = flags, .credits = 1 };
	struct wr *w = made_next(&m);

	hdr2_put(w, &h);
	wr_zero(w, 24);
}

static void
feed(struct talk *t, enum dir dir)
{
	assert_true(talk_feed(t, dir, m.b, made_end(&m)));
	made_init(&m);
}

/* A request, and its answer. */
static void
ask(struct talk *t, uint16_t command, uint64_t session, uint32_t tree)
{
	mid++;
	message(command, session, tree, 0, 0);
	feed(t, C2S);
}

static void
answer(struct talk *t, uint16_t command, uint64_t session, uint32_t tree, uint32_t status,
    uint32_t flags)
{
	message(command, session, tree, status, flags | SMB2_FLAGS_SERVER_TO_REDIR);
	feed(t, S2C);
}

static void
done(struct talk *t, uint16_t command, uint64_t session, uint32_t tree, uint32_t status)
{
	ask(t, command, session, tree);
	answer(t, command, session, tree, status, 0);
}

static int64_t
files(const struct talk *t)
{
	return heads_files(&t->conn.mediate);
}

static int64_t
outstanding(const struct talk *t)
{
	return heads_outstanding(&t->conn.mediate);
}

static void
single(void **state)
{
	struct talk t;

	(void)state;
	begin(&t);
	made_init(&m);
	done(&t, SMB2_CREATE, SESSION, 7, STATUS_SUCCESS);
	done(&t, SMB2_CREATE, SESSION, 7, STATUS_ACCESS_DENIED);
	assert_int_equal(files(&t), 1);
	ask(&t, SMB2_CREATE, SESSION, 8);
	assert_int_equal(outstanding(&t), 1);
	answer(&t, SMB2_CREATE, SESSION, 8, STATUS_PENDING, ASYNC);
	assert_int_equal(outstanding(&t), 1);
	assert_int_equal(files(&t), 1);
	ask(&t, SMB2_CANCEL, SESSION, 8);
	assert_int_equal(outstanding(&t), 1);
	answer(&t, SMB2_CREATE, SESSION, 8, STATUS_SUCCESS, ASYNC);
	assert_int_equal(outstanding(&t), 0);
	assert_int_equal(files(&t), 2);
	/* What is closed twice, and what never was open. */
	done(&t, SMB2_CLOSE, SESSION, 7, STATUS_SUCCESS);
	done(&t, SMB2_CLOSE, SESSION, 7, FILE_CLOSED);
	assert_int_equal(files(&t), 1);
	done(&t, SMB2_TREE_DISCONNECT, SESSION, 7, STATUS_SUCCESS);
	assert_int_equal(files(&t), 1);
	assert_true(heads_may_reclaim(&t.conn.mediate));
	done(&t, SMB2_CLOSE, SESSION, 8, STATUS_SUCCESS);
	assert_int_equal(files(&t), 0);
	assert_false(heads_may_reclaim(&t.conn.mediate));
	/* An answer that is lost may have been a file. */
	ask(&t, SMB2_CREATE, SESSION, 7);
	assert_true(heads_may_reclaim(&t.conn.mediate));
	answer(&t, SMB2_CREATE, SESSION, 7, STATUS_SUCCESS, 0);
	done(&t, SMB2_CREATE, SESSION, 8, STATUS_SUCCESS);
	done(&t, SMB2_CREATE, SESSION, 8, STATUS_SUCCESS);
	done(&t, SMB2_READ, SESSION, 8, STATUS_NETWORK_NAME_DELETED);
	assert_int_equal(files(&t), 3);
	done(&t, SMB2_CLOSE, SESSION, 8, STATUS_NETWORK_NAME_DELETED);
	assert_int_equal(files(&t), 1);
	session_over(&t.conn.mediate, SESSION);
	assert_int_equal(files(&t), 0);
	assert_false(heads_may_reclaim(&t.conn.mediate));
	end(&t);
}

/* Open, read and close in one frame, related, as every client does. */
static void
compounds(void **state)
{
	struct talk t;

	(void)state;
	begin(&t);
	made_init(&m);
	for (int keep = 0; keep < 2; keep++) {
		for (int dir = C2S; dir <= S2C; dir++) {
			const uint32_t f = dir == C2S ? 0 : SMB2_FLAGS_SERVER_TO_REDIR;
			const uint32_t related = f | SMB2_FLAGS_RELATED_OPERATIONS;

			mid++;
			message(SMB2_CREATE, SESSION, 7, 0, f);
			message(SMB2_QUERY_INFO, UINT64_MAX, OPENS_NO_TREE, 0, related);
			if (keep == 0)
				message(SMB2_CLOSE, UINT64_MAX, OPENS_NO_TREE, 0, related);
			feed(&t, (enum dir)dir);
			if (dir == C2S)
				assert_int_equal(outstanding(&t), 3 - keep);
		}
		assert_int_equal(outstanding(&t), 0);
		assert_int_equal(files(&t), keep);
	}
	/* The last of a compound comes later, and alone. */
	ask(&t, SMB2_CLOSE, SESSION, 7);
	answer(&t, SMB2_CLOSE, UINT64_MAX, OPENS_NO_TREE, 0, SMB2_FLAGS_RELATED_OPERATIONS);
	assert_int_equal(files(&t), 0);
	end(&t);
}

/* What is in m, sealed. */
static void
feed_sealed(struct talk *t, enum dir dir, const struct smbkeys *k)
{
	size_t n = made_end(&m);

	memmove(m.b + NBSS_HDR_LEN + SMB2_TRANSFORM_LEN, m.b + NBSS_HDR_LEN, n - NBSS_HDR_LEN);
	assert_int_equal(seal_make(t->env->crypt, k, dir == C2S ? SEAL_C2S : SEAL_S2C, SESSION,
	    m.b + NBSS_HDR_LEN, n - NBSS_HDR_LEN), 0);
	n += SMB2_TRANSFORM_LEN;
	nbss_put(m.b, (uint32_t)(n - NBSS_HDR_LEN));
	assert_true(talk_feed(t, dir, m.b, n));
	made_init(&m);
}

static void
sealed(void **state)
{
	struct smbkeys *k = make_keys();
	struct talk t;

	(void)state;
	begin_with(&t, talk_env_new(NODE));
	join(&t, &t.node, SESSION, k, false);
	made_init(&m);
	for (int i = 0; i < 20; i++) {
		const bool compound = i % 2 != 0;

		for (int dir = C2S; dir <= S2C; dir++) {
			const uint32_t f = dir == C2S ? 0 : SMB2_FLAGS_SERVER_TO_REDIR;

			mid++;
			message(SMB2_CREATE, SESSION, 7, 0, f);
			if (compound) {
				message(SMB2_CREATE, SESSION, 8, 0, f);
				message(SMB2_CLOSE, SESSION, 8, 0, f);
			}
			feed_sealed(&t, (enum dir)dir, k);
		}
		assert_int_equal(files(&t), i + 1);
		assert_int_equal(t.conn.mediate.track.asked, 0);
		/* Nobody looks at what comes then. */
		mid++;
		message(SMB2_READ, SESSION, 7, 0, 0);
		feed_sealed(&t, C2S, k);
		message(SMB2_READ, SESSION, 7, 0, SMB2_FLAGS_SERVER_TO_REDIR);
		feed_sealed(&t, S2C, k);
	}
	assert_int_equal(outstanding(&t), -1);
	/* Without a key nothing is known. */
	channel_opaque(t.env->sessions, track_channel(&t.conn.mediate.track, SESSION),
	    NOKEY_other, "test");
	mid++;
	message(SMB2_READ, SESSION, 7, 0, 0);
	feed_sealed(&t, C2S, k);
	assert_int_equal(files(&t), -1);
	assert_true(heads_may_reclaim(&t.conn.mediate));
	smbkeys_unref(&k);
	end(&t);
}

/* Two channels of a session: what one opens the other closes; and each session is shown once. */
static void
channels(void **state)
{
	struct talk a, b;

	(void)state;
	begin(&a);
	begin_with(&b, a.env);
	join(&b, &a.node, SESSION, NULL, true);
	join(&b, &b.node, OTHER, NULL, false);
	made_init(&m);
	for (int i = 0; i < 5; i++)
		done(&a, SMB2_CREATE, SESSION, 7, STATUS_SUCCESS);
	for (int i = 0; i < 3; i++)
		done(&b, SMB2_CLOSE, SESSION, 7, STATUS_SUCCESS);
	done(&b, SMB2_CREATE, OTHER, 7, STATUS_SUCCESS);
	assert_int_equal(files(&a), 2);
	assert_int_equal(files(&b), 1);
	talk_end(&a);
	assert_int_equal(files(&b), 3);
	done(&b, SMB2_CLOSE, OTHER, 7, STATUS_SUCCESS);
	assert_true(heads_may_reclaim(&b.conn.mediate));
	talk_fini(&a);
	end(&b);
}

#define TREES 90
#define FILES 400

/* Thousands of conversations, and what is true of each: honest nodes, and such as lie. */
static void
crowd(void **state)
{
	(void)state;
	srand(17);
	for (int round = 0; round < 4000; round++) {
		const bool async = round % 2 != 0, lies = round % 5 == 0;
		const uint32_t trees = (uint32_t)(round % 3 == 0 ? TREES : 1 + rand() % 5);
		unsigned open[TREES] = { 0 }, truth = 0, said = 0;
		struct opens *o = NULL;

		for (int i = 0; i < FILES; i++) {
			const uint32_t tree = (uint32_t)rand() % trees;
			const uint32_t shown = async && rand() % 3 == 0 ? OPENS_NO_TREE : tree + 1;

			if (rand() % 2 == 0) {
				assert_int_equal(opens_opened(&o, shown), 0);
				open[tree]++;
				truth++;
				said++;
			} else if (open[tree] > 0) {
				opens_closed(o, shown);
				open[tree]--;
				truth--;
			} else if (lies) {
				opens_closed(o, shown);
			}
			if (rand() % 60 == 0) {
				opens_disconnected(o, tree + 1);
				truth -= open[tree];
				open[tree] = 0;
			}
			assert_true(opens_total(o) <= said);
			if (!lies)
				assert_true(opens_total(o) >= truth);
			if (!lies && !async && trees < 64)
				assert_int_equal(opens_total(o), truth);
		}
		opens_free(&o);
		assert_null(o);
	}
}

/* With whatever is closed in whatever order nothing is left. */
static void
all_closed(void **state)
{
	(void)state;
	for (int round = 0; round < 2000; round++) {
		unsigned open[TREES] = { 0 }, n = 0;
		struct opens *o = NULL;

		for (int i = 0; i < FILES || n > 0; i++) {
			const uint32_t tree = (uint32_t)rand() % TREES;
			const uint32_t shown = rand() % 4 == 0 ? OPENS_NO_TREE : tree + 1;

			if (i < FILES && rand() % 3 != 0) {
				assert_int_equal(opens_opened(&o, shown), 0);
				open[tree]++;
				n++;
			} else if (open[tree] > 0) {
				opens_closed(o, shown);
				open[tree]--;
				n--;
			}
			assert_int_equal(opens_total(o), n);
		}
		opens_free(&o);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(single),
		cmocka_unit_test(compounds),
		cmocka_unit_test(sealed),
		cmocka_unit_test(channels),
		cmocka_unit_test(crowd),
		cmocka_unit_test(all_closed),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
