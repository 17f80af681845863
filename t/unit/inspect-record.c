/* inspect-record.c: all that an inspected connection is made of comes back from its record */
#include "config.h"

#include "t/unit/lib/talk.h"

#include "auth/keys.h"
#include "base/tlv.h"
#include "inspect/barred.h"
#include "inspect/opens.h"
#include "inspect/query_seen.h"
#include "inspect/record.h"
#include "inspect/session_rows.h"
#include "smb/const.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define POLICY "node \"n1\" { address = \"127.0.0.11:445\" }\n"
#define SESSION 0x1122334455667788ull

/*
 * A structure of which every byte that counts is 1: one that is forgotten comes back as 0. Where
 * the compiler cannot tell padding, there is none that is looked at.
 */
#if defined(__has_builtin)
#if __has_builtin(__builtin_clear_padding)
#define CLEAR_PADDING(p) __builtin_clear_padding(p)
#endif
#endif
#ifdef CLEAR_PADDING
#define ONES(p) (memset((p), 1, sizeof(*(p))), CLEAR_PADDING(p))
#endif

static struct smbkeys *
keys_of(uint8_t salt)
{
	uint8_t key[16] = { salt, 2, 3 };
	const struct logon_facts f = { .dialect = SMB2_DIALECT_302,
		.cipher = SMB2_CIPHER_AES128_CCM, .signing = SMB2_SIGNING_AES_CMAC, .key = key,
		.key_len = sizeof(key) };
	struct smbkeys *k = smbkeys_derive(&f, KEYS_STANDARD);

	assert_non_null(k);
	smbkeys_prove(k, SMBKEYS_SIGN);
	return k;
}

#ifdef ONES
static void
every_fact_comes_back(void **state)
{
	struct track t, back = { .smb1 = false };
	struct tlv_out o = { .len = 0 };

	(void)state;
	ONES(&t);
	t.pending = NULL;
	t.npending = t.pending_cap = 0;
	t.channels = (struct chantab){ .n = 0 };
	t.crypt = NULL;
	t.parts[0] = t.parts[1] = NULL;
	t.barred = NULL;
	track_put(&t, &o);
	assert_false(o.bad);
	assert_int_equal(track_get(&back, tlv_in(o.data, o.len)), 0);
	assert_memory_equal(&back, &t, sizeof(t));
	tlv_out_fini(&o);
}

static void
every_request_comes_back(void **state)
{
	struct track t = { .logged_on = true }, back = { .smb1 = false };
	struct tlv_out o = { .len = 0 };
	enum close_reason why;
	struct pending p;

	(void)state;
	for (unsigned i = 0; i < 40; i++) {
		ONES(&p);
		p.message_id = 7 * i;
		assert_int_equal(track_ask(&t, &p, &why), 0);
	}
	track_put(&t, &o);
	assert_int_equal(track_get(&back, tlv_in(o.data, o.len)), 0);
	assert_int_equal(back.npending, 40);
	for (unsigned i = 0; i < 40; i++) {
		const struct pending *a = track_asked(&t, 7 * i), *b = track_asked(&back, 7 * i);

		assert_non_null(b);
		assert_memory_equal(a, b, sizeof(*a));
	}
	tlv_out_fini(&o);
	track_fini(&t);
	track_fini(&back);
}
#endif

/* A query with lists of all three kinds. */
static struct query_seen *
seen_all(void)
{
	struct ifinfo list[6];
	const struct query_lists l = { .told = list, .node = list + 1, .removed = list + 3,
		.ntold = 1, .nnode = 2, .nremoved = 3 };
	struct query_seen *s;

	for (uint8_t i = 0; i < 6; i++)
		list[i] = (struct ifinfo){ .ifindex = i + 1u, .capability = 3,
			.link_speed = 1ull << 40, .addr.b = { 9, i } };
	s = query_seen_new(&l);
	assert_non_null(s);
	s->at_ms = 1ull << 33;
	s->count = 5;
	s->via.b[3] = 7;
	s->too_small = true;
	return s;
}

static void
seen_equal(const struct query_seen *a, const struct query_seen *b)
{
	assert_non_null(b);
	assert_memory_equal(a, b, offsetof(struct query_seen, list) +
	    ((size_t)a->ntold + a->nnode + a->nremoved) * sizeof(a->list[0]));
}

static void
fill(struct session_info *si, const struct caller *by, const struct query_seen *asked,
    const struct node *node)
{
#ifdef ONES
	ONES(si);
#else
	memset(si, 0, sizeof(*si));
#endif
	si->node = node;
	si->session_id = SESSION;
	si->opaque_because = "a reason";
	si->principal = "alice@LAB";
	si->by = by;
	si->asked = asked;
}

/* All of the session's row but what points anywhere is the same. */
static void
session_equal(const struct session *a, const struct session *b)
{
	struct session_info x = a->info, y = b->info;

	assert_string_equal(x.opaque_because, y.opaque_because);
	assert_string_equal(x.principal, y.principal);
	assert_memory_equal(x.by, y.by, sizeof(*x.by));
	seen_equal(x.asked, y.asked);
	x.node = y.node = NULL;
	x.opaque_because = y.opaque_because = x.principal = y.principal = NULL;
	x.by = y.by = NULL;
	x.asked = y.asked = NULL;
	assert_memory_equal(&x, &y, sizeof(x));
	assert_true(opens_same(a->opens, b->opens));
	assert_int_equal(a->must_sign, b->must_sign);
	assert_int_equal(a->doubted, b->doubted);
	assert_int_equal(a->again, b->again);
	assert_memory_equal(&a->keys->signing, &b->keys->signing, sizeof(a->keys->signing));
	assert_memory_equal(&a->keys->cipher_key, &b->keys->cipher_key,
	    sizeof(a->keys->cipher_key));
	assert_int_equal(a->keys->proven, b->keys->proven);
}

/* A session with two channels, of which the second has a key of its own. */
static void
make_session(struct talk *t, struct channel *c[2])
{
	const struct caller by = { .how = CALLER_NTLMV2, .user = "LAB\\alice", .machine = "PC" };
	struct smbkeys *k = keys_of(1), *other = keys_of(9);
	struct query_seen *asked = seen_all();
	struct session_info si;

	fill(&si, &by, asked, &t->node);
	c[0] = sesstab_join(t->env->sessions, &si, &t->conn.mediate.self, false, k, &k->signing);
	c[1] = sesstab_join(t->env->sessions, &si, &t->conn.mediate.self, true, NULL,
	    &other->signing);
	assert_true(c[0] != NULL && c[1] != NULL);
	for (uint32_t tree = 1; tree <= 5; tree++)
		for (uint32_t n = 0; n <= tree; n++)
			assert_int_equal(channel_opened(t->env->sessions, c[0], tree), 0);
	assert_int_equal(channel_opened(t->env->sessions, c[0], OPENS_NO_TREE), 0);
	channel_doubt(c[0], true);
	channel_sign_always(c[0]);
	c[1]->shown = true;
	c[1]->rebound = true;
	smbkeys_unref(&k);
	smbkeys_unref(&other);
	free(asked);
}

static struct channel *
moved(struct talk *from, const struct channel *c, struct talk *to, bool *doubt)
{
	struct tlv_out o = { .len = 0 };
	struct channel *back;

	channel_put(from->env->sessions, c, &o);
	assert_false(o.bad);
	back = channel_get(to->env->sessions, tlv_in(o.data, o.len), &to->node,
	    &to->conn.mediate.self, doubt);
	tlv_out_fini(&o);
	return back;
}

static void
begin(struct talk *t)
{
	talk_init(t, talk_env_new(POLICY), "lan", "10.9.9.1");
}

static void
end(struct talk *t)
{
	struct mediate_env *env = t->env;

	talk_end(t);
	talk_fini(t);
	talk_env_free(env);
}

static void
every_session_comes_back(void **state)
{
	struct channel *c[2], *d[2];
	struct talk old, new;
	bool doubt;

	(void)state;
	begin(&old);
	begin(&new);
	make_session(&old, c);
	for (int i = 0; i < 2; i++) {
		d[i] = moved(&old, c[i], &new, &doubt);
		assert_non_null(d[i]);
		assert_false(doubt);
		assert_int_equal(d[i]->bound, c[i]->bound);
		assert_int_equal(d[i]->shown, c[i]->shown);
		assert_int_equal(d[i]->rebound, c[i]->rebound);
		assert_memory_equal(channel_signing(d[i]), channel_signing(c[i]),
		    sizeof(struct signkey));
	}
	assert_ptr_equal(d[0]->session, d[1]->session);
	assert_int_equal(d[0]->session->nchannels, 2);
	session_equal(c[0]->session, d[0]->session);
	for (int i = 0; i < 2; i++) {
		(void)channel_leave(old.env->sessions, &c[i]);
		(void)channel_leave(new.env->sessions, &d[i]);
	}
	end(&old);
	end(&new);
}

/* Between the two channels a file is opened by that one which has not gone yet. */
static void
files_in_between_are_in_doubt(void **state)
{
	struct channel *c[2], *d[2];
	struct talk old, new;
	bool doubt;

	(void)state;
	begin(&old);
	begin(&new);
	make_session(&old, c);
	d[0] = moved(&old, c[0], &new, &doubt);
	assert_false(doubt);
	assert_int_equal(channel_opened(old.env->sessions, c[1], 1), 0);
	d[1] = moved(&old, c[1], &new, &doubt);
	assert_true(doubt);
	for (int i = 0; i < 2; i++) {
		(void)channel_leave(old.env->sessions, &c[i]);
		(void)channel_leave(new.env->sessions, &d[i]);
	}
	end(&old);
	end(&new);
}

static void
full(struct talk *t, struct channel *c[2])
{
	struct mediate *m = &t->conn.mediate;
	const struct pending p = { .message_id = 3, .kind = PENDING_IFINFO, .way = WAY_LIFT };
	enum close_reason why;

	make_session(t, c);
	track_channel_add(&m->track, c[0]);
	m->track.logged_on = m->track.negotiated = true;
	m->track.dialect = SMB2_DIALECT_302;
	assert_int_equal(track_ask(&m->track, &p, &why), 0);
	m->outstanding = 3;
	m->uncounted = true;
	m->identity = (struct identity){ 5, 6 };
	memset(&m->logons.hash, 7, sizeof(m->logons.hash));
	m->logons.broken = m->logons.forgot = true;
	assert_int_equal(barred_add(&m->track.barred, 0xfedcba9876543210), 0);
	assert_int_equal(barred_add(&m->track.barred, 77), 0);
}

static void
is_full(const struct mediate *m)
{
	const struct identity who = { 5, 6 };
	struct preauth hash;

	memset(&hash, 7, sizeof(hash));
	assert_int_equal(m->outstanding, 3);
	assert_true(m->uncounted && m->logons.broken && m->logons.forgot);
	assert_memory_equal(&m->identity, &who, sizeof(who));
	assert_memory_equal(&m->logons.hash, &hash, sizeof(hash));
	assert_int_equal(m->track.dialect, SMB2_DIALECT_302);
	assert_non_null(track_asked(&m->track, 3));
	assert_int_equal(track_asked(&m->track, 3)->way, WAY_LIFT);
	assert_non_null(track_keys(&m->track, SESSION));
}

/* Cut anywhere, or with any byte another one, it is refused, or read without harm. */
static void
spoilt(struct talk *new, const struct tlv_out *o)
{
	size_t refused = 0;

	for (size_t i = 0; i < o->len; i++) {
		uint8_t *copy = malloc(o->len);
		struct talk t;

		assert_non_null(copy);
		memcpy(copy, o->data, o->len);
		copy[i] ^= (uint8_t)(1 + i % 255);
		talk_init(&t, new->env, "lan", "10.9.9.1");
		refused += mediate_get(&t.conn.mediate,
		               tlv_in(copy, i % 2 == 0 ? o->len : i)) == -1;
		talk_end(&t);
		talk_fini(&t);
		free(copy);
	}
	assert_true(refused > o->len / 4);
}

static FILE *
kept(const char *mode)
{
	const char *src = getenv("srcdir");
	char path[4096];

	snprintf(path, sizeof(path), "%s/t/records/takeover-1", src != NULL ? src : "../..");
	return fopen(path, mode);
}

static void
a_connection_comes_back(void **state)
{
	struct tlv_out o = { .len = 0 };
	struct talk old, new;
	struct channel *c[2];
	FILE *f;

	(void)state;
	begin(&old);
	begin(&new);
	full(&old, c);
	assert_null(mediate_stays(&old.conn.mediate));
	mediate_put(&old.conn.mediate, &o);
	/* Once for each version of the record. */
	if (getenv("SMBGATE_WRITE_RECORD") != NULL && (f = kept("wb")) != NULL) {
		fwrite(o.data, 1, o.len, f);
		fclose(f);
	}
	assert_int_equal(mediate_get(&new.conn.mediate, tlv_in(o.data, o.len)), 0);
	is_full(&new.conn.mediate);
	/* The first smbgate barred nobody. */
	assert_int_equal(barred_count(new.conn.mediate.track.barred), 2);
	assert_true(barred_has(new.conn.mediate.track.barred, 0xfedcba9876543210));
	spoilt(&new, &o);
	tlv_out_fini(&o);
	(void)channel_leave(old.env->sessions, &c[1]);
	end(&old);
	end(&new);
}

/* What the first smbgate that could hand over wrote is read by every later one. */
static void
the_first_record_is_read(void **state)
{
	uint8_t bytes[8192];
	struct talk new;
	FILE *f = kept("rb");
	size_t n;

	(void)state;
	assert_non_null(f);
	n = fread(bytes, 1, sizeof(bytes), f);
	fclose(f);
	assert_true(n > 500 && n < sizeof(bytes));
	begin(&new);
	assert_int_equal(mediate_get(&new.conn.mediate, tlv_in(bytes, n)), 0);
	is_full(&new.conn.mediate);
	end(&new);
}

/* Written by hand, as M_TRACK and T_MAX_FRAME: what a writer leaves out cannot be said to be 0. */
static void
frames_have_a_length(void **state)
{
	struct tlv_out o = { .len = 0 };
	struct talk new;
	size_t at = tlv_begin(&o, 1);

	(void)state;
	tlv_put_uint(&o, 20, 0);
	tlv_end(&o, at);
	begin(&new);
	assert_int_equal(mediate_get(&new.conn.mediate, tlv_in(o.data, o.len)), -1);
	end(&new);
	tlv_out_fini(&o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#ifdef ONES
		cmocka_unit_test(every_fact_comes_back),
		cmocka_unit_test(every_request_comes_back),
#endif
		cmocka_unit_test(every_session_comes_back),
		cmocka_unit_test(files_in_between_are_in_doubt),
		cmocka_unit_test(a_connection_comes_back),
		cmocka_unit_test(the_first_record_is_read),
		cmocka_unit_test(frames_have_a_length),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
