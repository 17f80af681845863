/* inspect-sharing.c: what other proxies know of a session: facts of its cluster count, no others */
#include "config.h"

#include "t/unit/lib/talk.h"

#include "auth/keys.h"
#include "auth/secret.h"
#include "inspect/env.h"
#include "inspect/sharing.h"
#include "nodes/node.h"
#include "smb/const.h"
#include "state/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CROWD 200
#define ID 0x1234

/* n1 and n2 are one cluster, n3 is another, n4 and n5 are in none. */
static const char policy[] =
    "node \"n1\" { address = \"127.0.0.11:445\" cluster = \"nas\" }\n"
    "node \"n2\" { address = \"127.0.0.12:445\" cluster = \"nas\" }\n"
    "node \"n3\" { address = \"127.0.0.13:445\" cluster = \"other\" }\n"
    "node \"n4\" { address = \"127.0.0.14:445\" }\n"
    "node \"n5\" { address = \"127.0.0.15:445\" }\n";

/* A client's share in its claim: what it is does not matter here. */
struct state_hold {
	int client;
};

/* A map that proxies share: it keeps what it is given, and answers when the test says so. */
struct state_query {
	struct map *map;
	const struct state_hold *hold;
	uint64_t id;
	state_fact_f cb;		/* NULL: it was forgotten */
	void *arg;
};

struct map {
	struct state state;
	struct known {
		const struct state_hold *hold;
		uint64_t id;
		struct state_fact f;
		uint8_t bytes[STATE_FACT_MAX];
	} facts[8];
	size_t nfacts, nasked;
	bool crowded;			/* nobody can ask now */
	struct state_query asked[CROWD];
};

static struct map *the_map;

static struct known *
known(struct map *m, const struct state_hold *h, uint64_t id)
{
	for (size_t i = 0; i < m->nfacts; i++)
		if (m->facts[i].hold == h && m->facts[i].id == id)
			return &m->facts[i];
	return NULL;
}

static void
map_put(struct state_hold *h, uint64_t id, const struct state_fact *f)
{
	struct map *m = the_map;
	struct known *k = known(m, h, id);

	if (k == NULL)
		k = &m->facts[m->nfacts++];
	assert_true(m->nfacts < 8 && f->len <= STATE_FACT_MAX);
	*k = (struct known){ .hold = h, .id = id, .f = *f };
	memcpy(k->bytes, f->bytes, f->len);
	k->f.bytes = k->bytes;
}

static void
map_drop(struct state *s, uint64_t id, const char *node, bool over)
{
	struct map *m = (struct map *)s;

	for (size_t i = 0; i < m->nfacts; i++)
		if (over && m->facts[i].id == id && strcmp(m->facts[i].f.node, node) == 0)
			m->facts[i].hold = NULL;
}

static struct state_query *
map_ask(struct state *s, const struct state_hold *h, uint64_t source, uint64_t id, state_fact_f cb,
    void *arg)
{
	struct map *m = (struct map *)s;

	(void)source;
	assert_true(m->nasked < CROWD);
	if (m->crowded)
		return NULL;
	m->asked[m->nasked] = (struct state_query){ m, h, id, cb, arg };
	return &m->asked[m->nasked++];
}

static void
map_forget(struct state_query *q)
{
	q->cb = NULL;
}

static void
map_answer(struct state_query *q)
{
	struct known *k = known(q->map, q->hold, q->id);

	if (q->cb != NULL)
		q->cb(q->arg, k == NULL ? NULL : &k->f);
}

static const struct state_ops map_ops = {
	.shared = true,
	.fact_put = map_put,
	.fact_drop = map_drop,
	.fact_ask = map_ask,
	.fact_forget = map_forget,
};

struct world {
	struct map map;
	struct secret secret;
	struct mediate_env *env;
	struct nodes *nodes;
	struct state_hold client;
	unsigned woken;
};

/* Connections are told apart by their client alone. */
static struct state_hold *
hold_of_owner(void *arg)
{
	return arg;
}

static void
begin(struct world *w)
{
	*w = (struct world){ .map.state.ops = &map_ops, .secret = { 20, "twenty bytes of it.." } };
	the_map = &w->map;
	w->env = talk_env_new(policy);
	w->env->state = &w->map.state;
	w->env->secret = &w->secret;
	w->env->hold = hold_of_owner;
	w->nodes = nodes_new();
	nodes_apply(w->nodes, w->env->policy, 1);
}

/* A connection of the client that has reached that node. */
static struct mediate
reach(struct world *w, const char *node, bool intercept)
{
	struct mediate m = { .env = w->env, .node = nodes_find_name(w->nodes, node),
		.intercept = intercept, .owner = &w->client };

	assert_non_null(m.node);
	return m;
}

static void
end(struct world *w)
{
	nodes_free(&w->nodes);
	talk_env_free(w->env);
}

static struct world *woken;

static void
woken_cb(void *m)
{
	(void)m;
	woken->woken++;
}

static void
put(struct world *w, const char *node, const struct smbkeys *keys)
{
	struct mediate m = reach(w, node, false);

	sharing_put(&m, ID, keys);
	node_unref(&m.node);
}

/* As the map has it, on that node: whatever it is. */
static void
forge(struct world *w, const char *node)
{
	struct known *k = known(&w->map, &w->client, ID);

	assert_non_null(k);
	snprintf(k->f.node, sizeof(k->f.node), "%s", node);
}

static bool
elsewhere(struct world *w, const char *node, bool intercept)
{
	struct mediate m = reach(w, node, intercept);
	struct sharing *s = NULL;
	bool is;

	woken = w;
	w->woken = 0;
	w->map.nasked = 0;
	assert_true(sharing_ask(&s, &m, ID, woken_cb));
	assert_false(sharing_elsewhere(s, ID));
	map_answer(&w->map.asked[0]);
	assert_int_equal(w->woken, 1);
	/* It is known now, of this session alone. */
	assert_false(sharing_ask(&s, &m, ID, woken_cb));
	is = sharing_elsewhere(s, ID);
	assert_false(sharing_elsewhere(s, ID + 1));
	sharing_free(&s);
	node_unref(&m.node);
	return is;
}

/* Another proxy says that the session lives on one node, and a client binds to it on another. */
static void
clusters(void **state)
{
	static const struct {
		const char *lives, *asked;
		bool balanced, intercepted;
	} rows[] = {
		{ "n1", "n1", false, false },
		{ "n1", "n2", true, true },
		{ "n1", "n3", false, false },
		{ "n1", "n4", false, false },
		{ "n3", "n1", false, false },
		{ "n4", "n1", false, false },
		/* All without a cluster are one, to those that do not dial them. */
		{ "n4", "n5", true, false },
		{ "n4", "n4", false, false },
	};
	struct world w;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		begin(&w);
		put(&w, rows[i].lives, NULL);
		if (elsewhere(&w, rows[i].asked, false) != rows[i].balanced ||
		    elsewhere(&w, rows[i].asked, true) != rows[i].intercepted)
			fail_msg("on %s, asked for on %s", rows[i].lives, rows[i].asked);
		end(&w);
	}
}

/* The keys of a session are its client's, on its node; nobody else is told of them. */
static void
keys(void **state)
{
	struct logon_facts f = { .dialect = SMB2_DIALECT_300, .cipher = SMB2_CIPHER_AES128_CCM,
		.signing = SMB2_SIGNING_AES_CMAC, .key = (const uint8_t *)"0123456789abcdef",
		.key_len = 16 };
	struct smbkeys *k = smbkeys_derive(&f, KEYS_STANDARD), *got;
	static const char *const nodes[] = { "n1", "n2", "n1", "n1" };
	struct state_hold other = { 1 };
	struct world w;

	(void)state;
	begin(&w);
	woken = &w;
	put(&w, "n2", NULL);
	put(&w, "n1", k);
	for (unsigned i = 0; i < 4; i++) {
		struct mediate m = reach(&w, nodes[i], false);
		struct sharing *s = NULL;

		if (i == 2)
			m.owner = &other;
		if (i == 3)
			sharing_drop(&m, ID);
		w.map.nasked = 0;
		assert_true(sharing_ask(&s, &m, ID, woken_cb));
		map_answer(&w.map.asked[0]);
		got = sharing_keys(s, ID);
		assert_int_equal(got != NULL, i == 0);
		if (got != NULL)
			assert_memory_equal(&got->signing, &k->signing, sizeof(k->signing));
		smbkeys_unref(&got);
		sharing_free(&s);
		node_unref(&m.node);
	}
	smbkeys_unref(&k);
	end(&w);
}

/* Whoever has no claim, because there was no room, shares nothing. */
static void
no_claim(void **state)
{
	struct sharing *s = NULL;
	struct mediate m;
	struct world w;

	(void)state;
	begin(&w);
	m = reach(&w, "n1", false);
	m.owner = NULL;
	sharing_put(&m, ID, NULL);
	assert_int_equal(w.map.nfacts, 0);
	assert_false(sharing_ask(&s, &m, ID, woken_cb));
	assert_false(sharing_elsewhere(s, ID));
	assert_null(sharing_keys(s, ID));
	node_unref(&m.node);
	end(&w);
}

/* Whoever can write into the map, and does not know the secret, says nothing with it. */
static void
lies(void **state)
{
	struct known *k;
	struct mediate m;
	struct world w;

	(void)state;
	begin(&w);
	/* n3's fact under n2's name, other bytes, that of another number, and none at all. */
	put(&w, "n3", NULL);
	forge(&w, "n2=127.0.0.12:445");
	assert_false(elsewhere(&w, "n1", false));
	put(&w, "n2", NULL);
	known(&w.map, &w.client, ID)->bytes[3] ^= 1;
	assert_false(elsewhere(&w, "n1", false));
	m = reach(&w, "n2", false);
	sharing_put(&m, ID + 1, NULL);
	node_unref(&m.node);
	k = known(&w.map, &w.client, ID);
	k->id = ID + 2;
	known(&w.map, &w.client, ID + 1)->id = ID;
	assert_false(elsewhere(&w, "n1", false));
	put(&w, "n2", NULL);
	known(&w.map, &w.client, ID)->f.len = 0;
	assert_false(elsewhere(&w, "n1", false));
	/* Another secret. */
	put(&w, "n2", NULL);
	assert_true(elsewhere(&w, "n1", false));
	w.secret.bytes[0] ^= 1;
	assert_false(elsewhere(&w, "n1", false));
	end(&w);
}

/* Many ask at once, answers come in another order, and who has gone is not told. */
static void
crowd(void **state)
{
	struct sharing *s[CROWD] = { NULL };
	struct mediate m;
	struct world w;

	(void)state;
	begin(&w);
	woken = &w;
	put(&w, "n2", NULL);
	m = reach(&w, "n1", false);
	for (unsigned i = 0; i < CROWD; i++)
		assert_true(sharing_ask(&s[i], &m, i % 2 ? ID : ID + 1, woken_cb));
	for (unsigned i = 0; i < CROWD; i += 3)
		sharing_free(&s[i]);
	for (unsigned i = CROWD; i-- > 0;) {
		unsigned before = w.woken;

		map_answer(&w.map.asked[i]);
		assert_int_equal(w.woken - before, i % 3 != 0);
	}
	for (unsigned i = 0; i < CROWD; i++) {
		assert_int_equal(sharing_elsewhere(s[i], ID), i % 3 != 0 && i % 2 == 1);
		sharing_free(&s[i]);
	}
	node_unref(&m.node);
	end(&w);
}

/* Where too many ask, the next leg of a bind may do. */
static void
asked_later(void **state)
{
	struct sharing *s = NULL;
	struct mediate m;
	struct world w;

	(void)state;
	begin(&w);
	woken = &w;
	put(&w, "n2", NULL);
	m = reach(&w, "n1", false);
	w.map.crowded = true;
	assert_false(sharing_ask(&s, &m, ID, woken_cb));
	w.map.crowded = false;
	assert_true(sharing_ask(&s, &m, ID, woken_cb));
	map_answer(&w.map.asked[0]);
	assert_true(sharing_elsewhere(s, ID));
	sharing_free(&s);
	node_unref(&m.node);
	end(&w);
}

/* The session is known; a bind to it goes to the node, which has not answered. */
static void
bind_sent(struct world *w, struct sharing **s, struct mediate *m, uint64_t session_id)
{
	const struct pending p = { .message_id = session_id, .session_id = session_id };
	enum close_reason why;

	assert_true(sharing_ask(s, m, session_id, woken_cb));
	map_answer(&w->map.asked[w->map.nasked - 1]);
	assert_false(sharing_ask(s, m, session_id, woken_cb));
	assert_int_equal(track_ask(&m->track, &p, &why), 0);
}

/*
 * Binds to many sessions at once on one connection: what is known of one stays known until its bind
 * is answered, and there is an end to what is kept.
 */
static void
binds(void **state)
{
	struct sharing *s = NULL;
	struct mediate m;
	struct world w;

	(void)state;
	begin(&w);
	woken = &w;
	put(&w, "n2", NULL);
	m = reach(&w, "n1", false);
	track_init(&m.track);
	bind_sent(&w, &s, &m, ID);
	for (uint64_t i = 1; i < 20; i++)
		bind_sent(&w, &s, &m, ID + i);
	assert_true(sharing_elsewhere(s, ID));
	assert_true(sharing_owed(s));
	track_answered(&m.track, ID);
	bind_sent(&w, &s, &m, ID + 20);
	assert_false(sharing_elsewhere(s, ID));
	bind_sent(&w, &s, &m, ID);
	assert_true(sharing_elsewhere(s, ID));
	for (uint64_t i = 21; i < 60; i++)
		bind_sent(&w, &s, &m, ID + i);
	assert_false(sharing_elsewhere(s, ID));
	track_fini(&m.track);
	assert_false(sharing_owed(s));
	sharing_free(&s);
	assert_null(s);
	node_unref(&m.node);
	end(&w);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(clusters),
		cmocka_unit_test(keys),
		cmocka_unit_test(no_claim),
		cmocka_unit_test(lies),
		cmocka_unit_test(crowd),
		cmocka_unit_test(asked_later),
		cmocka_unit_test(binds),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
