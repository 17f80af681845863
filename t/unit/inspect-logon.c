/* inspect-logon.c: logons watched: keys asked for, waited for, verified, and believed or not */
#include "config.h"

#include "t/unit/lib/made.h"
#include "t/unit/lib/talk.h"

#include "auth/crypt.h"
#include "auth/keyc.h"
#include "auth/keymsg.h"
#include "auth/keys.h"
#include "auth/keywatch.h"
#include "auth/preauth.h"
#include "base/clock.h"
#include "policy/policy.h"
#include "smb/const.h"
#include "smb/nbss.h"
#include "smb/neg2.h"
#include "stats/stats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#define NODE "node \"n1\" { address = \"127.0.0.11:445\" }\n"

static const uint8_t gss_key[16] = "0123456789abcdef";

/* A connection, and this test in the place of smbgate-keyd. */
struct watched {
	struct talk t;
	struct event_base *base;
	struct keywatch watch;
	struct keyc *keyc;
	int keyd;
	struct crypt *crypt;
	struct preauth preauth;		/* as client and node have it */
	uint64_t id;			/* of the last exchange */
	size_t pad;			/* bytes behind each message's token */
	struct made m;
};

static void
keyd_says(struct watched *w, struct keymsg msg)
{
	uint8_t b[KEYMSG_ANSWER_MAX];
	size_t n = keymsg_put(b, sizeof(b), &msg);

	assert_true(n > 0);
	assert_int_equal(send(w->keyd, b, n, 0), n);
}

static enum keymsg_type
keyd_hears(struct watched *w)
{
	uint8_t b[KEYMSG_MAX];
	struct keymsg msg;
	ssize_t n = recv(w->keyd, b, sizeof(b), MSG_DONTWAIT);

	assert_true(n > 0);
	assert_int_equal(keymsg_get(&msg, b, (size_t)n), 0);
	w->id = msg.id;
	return msg.type;
}

static void
begin(struct watched *w, const char *policy, bool keytab)
{
	const struct neg2_resp neg = { .dialect = SMB2_DIALECT_311, .max_transact = 1 << 20,
		.max_read = 1 << 20, .max_write = 1 << 20, .signing = SMB2_SIGNING_AES_CMAC,
		.cipher = SMB2_CIPHER_AES128_GCM,
		.security_mode = SMB2_NEGOTIATE_SIGNING_REQUIRED };
	struct mediate_env *env = talk_env_new(policy);
	int pair[2];

	memset(w, 0, sizeof(*w));
	w->base = event_base_new();
	w->crypt = crypt_new();
	w->keyd = -1;
	if (keytab) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
		w->keyd = pair[1];
		w->keyc = env->keyc = keyc_new(w->base, &w->watch);
		assert_non_null(w->keyc);
		evutil_make_socket_nonblocking(pair[0]);
		keyc_attach(w->keyc, pair[0]);
		keyd_says(w, (struct keymsg){ .type = KEYMSG_HELLO, .id = KEYMSG_VERSION });
		event_base_loop(w->base, EVLOOP_NONBLOCK);
	}
	talk_init(&w->t, env, "lan", "10.0.0.5");
	track_negotiate_resp(&w->t.conn.mediate.track, &neg);
}

static void
end(struct watched *w)
{
	struct mediate_env *env = w->t.env;

	talk_fini(&w->t);
	talk_env_free(env);
	keyc_free(&w->keyc);
	if (w->keyd != -1)
		close(w->keyd);
	event_base_free(w->base);
	crypt_free(&w->crypt);
}

static void
put_token(struct wr *w, uint32_t type)
{
	size_t start = wr_len(w);

	wr_bytes(w, "NTLMSSP", 8);
	wr_u32(w, type);
	/* AUTHENTICATE: a user name and an NT response where the fixed fields end. */
	for (int i = 0; type == 3 && i < 6; i++) {
		uint16_t n = i == 1 ? 32 : i == 3 ? 10 : 0;

		wr_u16(w, n);
		wr_u16(w, n);
		wr_u32(w, i == 1 ? 64 : 96);
	}
	wr_u32(w, 1);
	while (wr_len(w) - start < 112)
		wr_u8(w, 'x');
}

static void
setup_message(struct watched *w, bool response, uint64_t mid, uint32_t status, uint16_t flags,
    uint32_t token)
{
	const struct hdr2 h = { .command = SMB2_SESSION_SETUP, .message_id = mid, .status = status,
		.session_id = !response && mid == 1 ? 0 : SESSION, .credits = 1,
		.flags = response ? SMB2_FLAGS_SERVER_TO_REDIR : 0 };
	struct wr *b;

	made_init(&w->m);
	b = made_next(&w->m);
	hdr2_put(b, &h);
	wr_u16(b, response ? 9 : 25);
	if (response) {
		wr_u16(b, flags);
		wr_u16(b, 72);
		wr_u16(b, token == 0 ? 0 : 112);
	} else {
		wr_u16(b, 0x100);
		wr_zero(b, 8);
		wr_u16(b, 88);
		wr_u16(b, 112);
		wr_u64(b, 0);
	}
	if (token != 0)
		put_token(b, token);
	wr_zero(b, w->pad);
	made_end(&w->m);
}

static void
hash(struct watched *w)
{
	assert_int_equal(preauth_add(w->t.env->crypt, &w->preauth, w->m.b + NBSS_HDR_LEN,
	    wr_len(&w->m.w) - NBSS_HDR_LEN), 0);
}

static bool
feed(struct watched *w, enum dir dir)
{
	return talk_feed(&w->t, dir, w->m.b, wr_len(&w->m.w));
}

/* Up to the last answer, which is left in w->m, signed with what key makes of it. */
static void
exchange(struct watched *w, const uint8_t *key)
{
	struct logon_facts f = { .dialect = SMB2_DIALECT_311, .cipher = SMB2_CIPHER_AES128_GCM,
		.signing = SMB2_SIGNING_AES_CMAC, .key = key, .key_len = 16,
		.preauth = &w->preauth };
	struct signkey k;

	setup_message(w, false, 1, 0, 0, 1);
	hash(w);
	assert_true(feed(w, C2S));
	setup_message(w, true, 1, STATUS_MORE_PROCESSING_REQUIRED, 0, 2);
	hash(w);
	assert_true(feed(w, S2C));
	setup_message(w, false, 2, 0, 0, 3);
	hash(w);
	assert_true(feed(w, C2S));
	setup_message(w, true, 2, STATUS_SUCCESS, 0, 0);
	if (key == NULL)
		return;
	assert_int_equal(signkey_derive(&k, &f, KEYS_STANDARD), 0);
	assert_int_equal(sign_make(w->crypt, &k, w->m.b + NBSS_HDR_LEN,
	    wr_len(&w->m.w) - NBSS_HDR_LEN), 0);
}

struct shown {
	struct session_info si;
	char because[SESSION_TEXT_MAX], principal[SESSION_TEXT_MAX];
};

static void
one_info(void *arg, const struct session_info *si, const struct channel_info *ci, size_t n)
{
	struct shown *sh = arg;

	(void)ci;
	(void)n;
	sh->si = *si;
	if (si->opaque_because != NULL)
		snprintf(sh->because, sizeof(sh->because), "%s", si->opaque_because);
	if (si->principal != NULL)
		snprintf(sh->principal, sizeof(sh->principal), "%s", si->principal);
}

static struct shown
shown(struct watched *w)
{
	struct shown sh = { .because = "" };

	sesstab_each(w->t.env->sessions, one_info, &sh);
	return sh;
}

static void
expect_opaque(struct watched *w, const char *because)
{
	const struct shown sh = shown(w);

	assert_int_equal(sh.si.session_id, SESSION);
	assert_false(sh.si.keyed);
	assert_string_equal(sh.because, because);
	assert_null(track_keys(&w->t.conn.mediate.track, SESSION));
}

static void
answer_key(struct watched *w, const uint8_t *key)
{
	assert_int_equal(keyd_hears(w), KEYMSG_NTLM_CHALLENGE);
	assert_int_equal(keyd_hears(w), KEYMSG_NTLM_AUTH);
	keyd_says(w, (struct keymsg){ .type = KEYMSG_KEY, .id = w->id, .data = key, .len = 16,
	    .text = "alice@LAB", .text_len = 9 });
}

/* The node has accepted the logon: now smbgate-keyd is asked, and not before. */
static void
answered(struct watched *w, const uint8_t *key)
{
	uint8_t b[16];

	assert_int_equal(recv(w->keyd, b, sizeof(b), MSG_DONTWAIT), -1);
	assert_true(feed(w, S2C));
	assert_true(w->t.side[S2C].pump.waiting);
	answer_key(w, key);
	event_base_loop(w->base, EVLOOP_ONCE);
	event_base_loop(w->base, EVLOOP_NONBLOCK);
}

/* The last answer waits for the key, and for nothing else. */
static void
keyed(void **state)
{
	struct watched w;
	size_t before;

	(void)state;
	begin(&w, NODE, true);
	exchange(&w, gss_key);
	before = buf_len(&w.t.side[S2C].out);
	answered(&w, gss_key);
	assert_false(w.t.side[S2C].pump.waiting);
	assert_int_equal(buf_len(&w.t.side[S2C].out), before + wr_len(&w.m.w));
	assert_true(shown(&w).si.keyed);
	assert_string_equal(shown(&w).principal, "alice@LAB");
	assert_non_null(track_keys(&w.t.conn.mediate.track, SESSION));
	end(&w);
}

/* Whom the node makes a guest, or nobody, waits for no key: there is none. */
static void
keyless(void **state)
{
	static const uint16_t flags[] = { SMB2_SESSION_FLAG_IS_GUEST, SMB2_SESSION_FLAG_IS_NULL };
	struct watched w;
	uint8_t b[16];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		begin(&w, NODE, true);
		exchange(&w, NULL);
		setup_message(&w, true, 2, STATUS_SUCCESS, flags[i], 0);
		assert_true(feed(&w, S2C));
		assert_false(w.t.side[S2C].pump.waiting);
		event_base_loop(w.base, EVLOOP_NONBLOCK);
		assert_int_equal(recv(w.keyd, b, sizeof(b), MSG_DONTWAIT), -1);
		assert_int_equal(w.watch.accepted, 0);
		expect_opaque(&w, "");
		end(&w);
	}
}

/* What the node refuses costs smbgate-keyd nothing. */
static void
refused(void **state)
{
	struct watched w;
	uint8_t b[16];

	(void)state;
	begin(&w, NODE, true);
	exchange(&w, NULL);
	setup_message(&w, true, 2, STATUS_ACCESS_DENIED, 0, 0);
	assert_true(feed(&w, S2C));
	assert_false(w.t.side[S2C].pump.waiting);
	event_base_loop(w.base, EVLOOP_NONBLOCK);
	assert_int_equal(recv(w.keyd, b, sizeof(b), MSG_DONTWAIT), -1);
	end(&w);
}

/* The hash is that of the messages, however long they and all of them are. */
static void
hashed(void **state)
{
	static const size_t pad[] = { 0, 1, 2000, 3000, 5000, 8100, 20000 };

	(void)state;
	for (size_t i = 0; i < sizeof(pad) / sizeof(pad[0]); i++) {
		struct watched w;

		begin(&w, NODE, true);
		w.pad = pad[i];
		exchange(&w, gss_key);
		answered(&w, gss_key);
		assert_true(shown(&w).si.keyed);
		end(&w);
	}
}

/* Whatever goes wrong with the key, the logon goes on. */
static void
opaque(void **state)
{
	static const uint8_t other[16] = "fedcba9876543210";
	struct watched w;

	(void)state;
	/* A key that did not sign. */
	begin(&w, NODE, true);
	exchange(&w, other);
	answered(&w, gss_key);
	expect_opaque(&w, "the node signed with a key that could not be derived");
	end(&w);
	/* No key. */
	begin(&w, NODE, true);
	exchange(&w, gss_key);
	assert_true(feed(&w, S2C));
	assert_int_equal(keyd_hears(&w), KEYMSG_NTLM_CHALLENGE);
	assert_int_equal(keyd_hears(&w), KEYMSG_NTLM_AUTH);
	keyd_says(&w, (struct keymsg){ .type = KEYMSG_FAIL, .id = w.id, .text = "no such key",
	    .text_len = 11 });
	event_base_loop(w.base, EVLOOP_ONCE);
	event_base_loop(w.base, EVLOOP_NONBLOCK);
	expect_opaque(&w, "no such key");
	end(&w);
	/* smbgate-keyd dies while the answer waits. */
	begin(&w, NODE, true);
	w.t.conn.mediate.track.logged_on = true;
	exchange(&w, gss_key);
	assert_true(feed(&w, S2C));
	assert_true(w.t.side[S2C].pump.waiting);
	close(w.keyd);
	w.keyd = -1;
	event_base_loop(w.base, EVLOOP_ONCE);
	event_base_loop(w.base, EVLOOP_NONBLOCK);
	assert_false(w.t.side[S2C].pump.waiting);
	expect_opaque(&w, "smbgate-keyd died");
	end(&w);
	/* No keytab: nothing waits. */
	begin(&w, NODE, false);
	exchange(&w, gss_key);
	assert_true(feed(&w, S2C));
	expect_opaque(&w, "");
	end(&w);
	/* Policy wants all sessions seen. */
	begin(&w, NODE "unkeyed = refuse\n", true);
	exchange(&w, other);
	answered(&w, gss_key);
	assert_false(w.t.closed);
	assert_int_equal(w.t.env->stats->count[STAT_unkeyed_refused], 1);
	assert_int_equal(w.t.conn.mediate.track.channels.n, 0);
	end(&w);
}

/* A connection that ends in the middle asks nobody any more. */
static void
ends_early(void **state)
{
	struct watched w;

	(void)state;
	begin(&w, NODE, true);
	w.t.conn.mediate.track.logged_on = true;
	exchange(&w, gss_key);
	assert_true(feed(&w, S2C));
	assert_true(w.t.side[S2C].pump.waiting);
	end(&w);
}

static void
set_mid(struct watched *w, uint64_t mid)
{
	for (int i = 0; i < 8; i++)
		w->m.b[NBSS_HDR_LEN + 24 + i] = (uint8_t)(mid >> 8 * i);
}

static void
set_session(struct watched *w, uint64_t session_id)
{
	for (int i = 0; i < 8; i++)
		w->m.b[NBSS_HDR_LEN + 40 + i] = (uint8_t)(session_id >> 8 * i);
}

/* So many at once that the first are forgotten: those are opaque, and no other pays for it. */
static void
many(void **state)
{
	const uint64_t all = LOGONS_MAX + 40;
	struct watched w;

	(void)state;
	begin(&w, NODE, true);
	w.t.conn.mediate.track.logged_on = true;
	for (uint64_t i = 0; i < all; i++) {
		setup_message(&w, false, 1, 0, 0, 1);
		set_mid(&w, 10 + i);
		assert_true(feed(&w, C2S));
	}
	assert_int_equal(w.t.conn.mediate.logons.n, LOGONS_MAX);
	for (uint64_t i = 0; i < all; i++) {
		/* One that is refused makes room. */
		setup_message(&w, true, 2, i == all - 1 ? STATUS_ACCESS_DENIED
		                                        : STATUS_MORE_PROCESSING_REQUIRED, 0, 2);
		set_mid(&w, 10 + i);
		set_session(&w, 1000 + i);
		assert_true(feed(&w, S2C));
	}
	assert_int_equal(w.t.conn.mediate.logons.n, LOGONS_MAX - 1);
	/* The first: begun, and forgotten. */
	setup_message(&w, false, 2, 0, 0, 3);
	set_mid(&w, 5000);
	set_session(&w, 1000);
	assert_true(feed(&w, C2S));
	setup_message(&w, true, 2, STATUS_SUCCESS, 0, 0);
	set_mid(&w, 5000);
	set_session(&w, 1000);
	assert_true(feed(&w, S2C));
	assert_string_equal(shown(&w).because, "its logon was not seen from its beginning");
	/* Nobody goes on with the others. */
	mediate_tick(&w.t.conn.mediate, clock_ms());
	assert_int_equal(w.t.conn.mediate.logons.n, LOGONS_MAX - 1);
	mediate_tick(&w.t.conn.mediate, clock_ms() + LOGON_AGE_MS + 1000);
	assert_int_equal(w.t.conn.mediate.logons.n, 0);
	assert_int_equal(w.t.conn.mediate.logons.bytes, 0);
	end(&w);
}

/* A logon is forgotten for room, but not while its answer waits for its key. */
static void
waiting_stays(void **state)
{
	struct watched w;

	(void)state;
	begin(&w, NODE, true);
	w.t.conn.mediate.track.logged_on = true;
	exchange(&w, gss_key);
	assert_true(feed(&w, S2C));
	assert_true(w.t.side[S2C].pump.waiting);
	for (uint64_t i = 0; i < 2 * LOGONS_MAX; i++) {
		struct made last = w.m;

		setup_message(&w, false, 1, 0, 0, 1);
		set_mid(&w, 10 + i);
		assert_true(feed(&w, C2S));
		w.m = last;
	}
	answer_key(&w, gss_key);
	event_base_loop(w.base, EVLOOP_NONBLOCK);
	assert_false(w.t.side[S2C].pump.waiting);
	assert_true(shown(&w).si.keyed);
	end(&w);
}

/* Tokens in pieces: whoever has begun most of them is not kept all of them. */
static void
pieces(void **state)
{
	static const uint8_t first[] = { 0x60, 0x83, 0x00, 0xff, 0xf0 };
	struct watched w;

	(void)state;
	begin(&w, NODE, true);
	for (uint64_t i = 0; i < 40; i++) {
		struct setup_msg s = { .message_id = 10 + i, .alone = true };
		static uint8_t msg[64100];
		struct logon_heard h;

		memcpy(msg, first, sizeof(first));
		s.msg = s.blob = msg;
		s.len = s.blob_len = 64000;
		assert_int_equal(logons_request(&w.t.conn.mediate.logons, &s, &h), 0);
		assert_true(w.t.conn.mediate.logons.bytes <= 131072 + 65536);
	}
	assert_true(w.t.conn.mediate.logons.n < 4);
	end(&w);
}

/* The node has given the number of a session to a new one: new keys, wherever the old one was. */
static void
number_again(void **state)
{
	static const uint8_t other[16] = "another session!";

	(void)state;
	for (int here = 0; here < 2; here++) {
		struct channel_ends ends = { .conn_id = 9 };
		struct session_info si = { .session_id = SESSION, .keyed = true };
		struct logon_facts f = { .dialect = SMB2_DIALECT_300,
			.cipher = SMB2_CIPHER_AES128_CCM, .signing = SMB2_SIGNING_AES_CMAC,
			.key = other, .key_len = 16 };
		struct smbkeys *old = smbkeys_derive(&f, KEYS_STANDARD);
		struct channel *c;
		struct watched w;

		begin(&w, NODE, true);
		si.node = &w.t.node;
		c = sesstab_join(w.t.env->sessions, &si, &ends, false, old, &old->signing);
		if (here)
			track_channel_add(&w.t.conn.mediate.track, c);
		exchange(&w, gss_key);
		answered(&w, gss_key);
		assert_true(shown(&w).si.keyed);
		assert_string_equal(shown(&w).principal, "alice@LAB");
		assert_ptr_not_equal(track_keys(&w.t.conn.mediate.track, SESSION), NULL);
		assert_ptr_not_equal(track_keys(&w.t.conn.mediate.track, SESSION), old);
		assert_int_equal(w.t.conn.mediate.track.channels.n, 1);
		if (!here) {
			assert_true(channel_over(c));
			assert_false(channel_leave(w.t.env->sessions, &c));
		}
		/* Nobody else has them. */
		assert_int_equal(old->refs, 1);
		smbkeys_unref(&old);
		end(&w);
	}
}

/* PreviousSessionId ends the same user's session, and nobody else's. */
static void
replaced(void **state)
{
	static const char *const whose[] = { "ALICE@lab", "bob@LAB", NULL };
	struct smbkeys none = { .refs = 1 };

	(void)state;
	for (int i = 0; i < 3; i++)
		for (int node = 0; node < 2; node++) {
			struct channel_ends ends = { .conn_id = 9 };
			struct watched w;
			static struct node other;
			struct session_info si = { .session_id = 77, .keyed = i < 2,
				.principal = whose[i], .client_guid = { { 1 } } };
			struct channel *c;
			bool same;

			begin(&w, NODE, true);
			w.t.conn.mediate.track.client_guid = (struct guid){ { 1 } };
			si.node = node == 0 ? &w.t.node : &other;
			c = sesstab_join(w.t.env->sessions, &si, &ends, false,
			    i < 2 ? &none : NULL, i < 2 ? &none.signing : NULL);
			exchange(&w, gss_key);
			/* As the request of the last leg said. */
			((struct pending *)(uintptr_t)track_asked(&w.t.conn.mediate.track, 2))
			    ->previous_session_id = 77;
			answered(&w, gss_key);
			same = node == 0 && i != 1;
			assert_int_equal(channel_over(c), same);
			assert_int_equal(sesstab_has(w.t.env->sessions, 77, si.node), !same);
			channel_leave(w.t.env->sessions, &c);
			assert_int_equal(none.refs, 1);
			end(&w);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keyed),
		cmocka_unit_test(keyless),
		cmocka_unit_test(refused),
		cmocka_unit_test(hashed),
		cmocka_unit_test(opaque),
		cmocka_unit_test(ends_early),
		cmocka_unit_test(many),
		cmocka_unit_test(waiting_stays),
		cmocka_unit_test(pieces),
		cmocka_unit_test(number_again),
		cmocka_unit_test(replaced),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
