/* inspect-mediate.c: binds refused, lists rewritten, sessions followed; what ends a connection */
#include "config.h"

#include "t/unit/lib/made.h"
#include "t/unit/lib/talk.h"

#include "base/wr.h"
#include "inspect/barred.h"
#include "smb/chain2.h"
#include "smb/const.h"
#include "smb/err2.h"
#include "smb/ifinfo.h"
#include "smb/ioctl2.h"
#include "smb/nbss.h"
#include "smb/neg2.h"
#include "smb/sess2.h"
#include "stats/stats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NODE "node \"n1\" { address = \"127.0.0.11:445\" }\n"
static const char announce_policy[] = NODE
    "addresses { deny = { \"127.0.0.9\", \"10.0.0.66\" } }\n"
    "interfaces \"lan\" { mode = announce\n"
    "  address \"10.0.0.1\" { speed = \"25G\" rss = true ifindex = 7 }\n"
    "  address \"10.0.0.66\" { speed = \"10G\" }\n"
    "  address \"fd00::1\" { }\n"
    "}\n";
static const char filter_policy[] = NODE
    "addresses { deny = { \"127.0.0.9\", \"10.0.0.66\" } }\n"
    "interfaces \"lan\" { mode = filter }\n";

/* The environment is the talk's own. */
static void
end_talk(struct talk *t)
{
	struct mediate_env *env = t->env;

	talk_fini(t);
	talk_env_free(env);
}

/* A connection that has negotiated 3.0.2 and has one session. */
static void
logged_on(struct talk *t, const char *policy, const char *dialled)
{
	const struct neg2_resp neg = { .dialect = SMB2_DIALECT_302, .max_transact = 1 << 20,
		.max_read = 1 << 20, .max_write = 1 << 20 };
	struct made *m = malloc(sizeof(*m));

	talk_init(t, talk_env_new(policy), "lan", dialled);
	track_negotiate_resp(&t->conn.mediate.track, &neg);
	made_init(m);
	put_session_setup(m, 1, 0, 0);
	assert_true(talk_feed(t, C2S, m->b, made_end(m)));
	made_init(m);
	put_session_setup_resp(m, 1, SESSION, STATUS_SUCCESS, 0);
	assert_true(talk_feed(t, S2C, m->b, made_end(m)));
	assert_true(t->conn.mediate.track.logged_on);
	buf_fini(&t->side[C2S].out);
	buf_fini(&t->side[S2C].out);
	free(m);
}

static uint64_t
count(struct talk *t, enum counter c)
{
	return t->env->stats->count[c];
}

static const char *const nodes_list[] = { "10.0.0.66", "192.168.7.7", "169.254.1.1", "fe80::1",
	NULL };

/* The query at position `at` of `of`, with and without an interim answer in front. */
static void
query(const char *policy, const char *dialled, unsigned at, unsigned of, bool pending,
    const char *want)
{
	struct made *m = malloc(sizeof(*m));
	struct part2 parts[8];
	struct talk t;

	logged_on(&t, policy, dialled);
	made_init(m);
	for (unsigned i = 0; i < of; i++) {
		if (i == at)
			put_query(m, 10 + i, 65536);
		else
			put_echo(m, 10 + i, false);
	}
	assert_true(talk_feed(&t, C2S, m->b, made_end(m)));
	assert_memory_equal(buf_head(&t.side[C2S].out), m->b, made_end(m));
	if (pending) {
		made_init(m);
		put_error(m, 10 + at, STATUS_PENDING, SMB2_FLAGS_ASYNC_COMMAND);
		assert_true(talk_feed(&t, S2C, m->b, made_end(m)));
		assert_memory_equal(buf_head(&t.side[S2C].out), m->b, made_end(m));
		buf_fini(&t.side[S2C].out);
	}
	made_init(m);
	for (unsigned i = 0; i < of; i++) {
		if (i == at)
			put_list_resp(m, 10 + i, pending ? SMB2_FLAGS_ASYNC_COMMAND : 0,
			    nodes_list);
		else
			put_echo(m, 10 + i, true);
	}
	assert_true(talk_feed(&t, S2C, m->b, made_end(m)));
	assert_int_equal(parts_out(&t, S2C, parts, 8), of);
	expect_list(&t, &parts[at], want);
	assert_int_equal(parts[at].hdr.credits, 9);
	for (unsigned i = 0; i < of; i++) {
		assert_int_equal(parts[i].hdr.message_id, 10 + i);
		if (i != at)
			assert_int_equal(parts[i].hdr.command, SMB2_ECHO);
	}
	assert_int_equal(t.conn.mediate.track.npending, 0);
	end_talk(&t);
	free(m);
}

static void
test_lists(void **state)
{
	(void)state;
	for (unsigned of = 1; of <= 8; of++) {
		for (unsigned at = 0; at < of; at++) {
			query(announce_policy, "127.0.0.2", at, of, false, "10.0.0.1 fd00::1");
			query(announce_policy, "127.0.0.9", at, of, true, "127.0.0.9");
			query(filter_policy, "127.0.0.2", at, of, true, "192.168.7.7");
			query(filter_policy, "127.0.0.9", at, of, false, "127.0.0.9");
		}
	}
	query(NODE, "127.0.0.2", 0, 1, false, "127.0.0.2");
	query(NODE "addresses { allow = { \"10.9.0.0/16\" } }\n"
	    "interfaces \"lan\" { mode = filter }\n",
	    "10.9.0.1", 0, 1, false, "");
}

static void
test_too_small(void **state)
{
	struct made *m = malloc(sizeof(*m));
	struct part2 part;
	struct talk t;

	(void)state;
	/* Two entries of ours are 304 bytes. */
	logged_on(&t, announce_policy, "127.0.0.2");
	made_init(m);
	put_query(m, 5, 303);
	assert_true(talk_feed(&t, C2S, m->b, made_end(m)));
	made_init(m);
	put_list_resp(m, 5, 0, nodes_list + 3);
	assert_true(talk_feed(&t, S2C, m->b, made_end(m)));
	assert_int_equal(parts_out(&t, S2C, &part, 1), 1);
	assert_int_equal(part.hdr.status, STATUS_BUFFER_TOO_SMALL);
	assert_int_equal(part.hdr.command, SMB2_IOCTL);
	assert_int_equal(part.len, ERR2_LEN);
	/* The node's own list was too long for the client; ours is not. */
	made_init(m);
	put_query(m, 6, 304);
	assert_true(talk_feed(&t, C2S, m->b, made_end(m)));
	buf_fini(&t.side[S2C].out);
	made_init(m);
	put_error(m, 6, STATUS_BUFFER_TOO_SMALL, 0);
	assert_true(talk_feed(&t, S2C, m->b, made_end(m)));
	assert_int_equal(parts_out(&t, S2C, &part, 1), 1);
	expect_list(&t, &part, "10.0.0.1 fd00::1");
	/* Any other error is the node's own word. */
	made_init(m);
	put_query(m, 7, 65536);
	assert_true(talk_feed(&t, C2S, m->b, made_end(m)));
	buf_fini(&t.side[S2C].out);
	made_init(m);
	put_error(m, 7, 0xc00000bb, 0);
	assert_true(talk_feed(&t, S2C, m->b, made_end(m)));
	assert_memory_equal(buf_head(&t.side[S2C].out), m->b, made_end(m));
	end_talk(&t);
	free(m);
}

static void
test_signed_passes(void **state)
{
	struct made *m = malloc(sizeof(*m));
	struct talk t;

	(void)state;
	logged_on(&t, announce_policy, "127.0.0.2");
	made_init(m);
	put_query(m, 5, 65536);
	assert_true(talk_feed(&t, C2S, m->b, made_end(m)));
	made_init(m);
	put_list_resp(m, 5, SMB2_FLAGS_SIGNED, nodes_list);
	assert_true(talk_feed(&t, S2C, m->b, made_end(m)));
	assert_memory_equal(buf_head(&t.side[S2C].out), m->b, made_end(m));
	assert_int_equal(count(&t, STAT_ifinfo_opaque), 1);
	end_talk(&t);
	free(m);
}

/*
 * The bind at position `at` of `of` never reaches the node; the rest does, untouched. answer: what
 * the node says of the SESSION_SETUP that it gets in its place.
 */
static void
refused_bind(unsigned at, unsigned of, uint32_t answer)
{
	struct made *m = malloc(sizeof(*m));
	struct part2 parts[8];
	struct sess2_req setup;
	struct talk t;

	logged_on(&t, announce_policy, "127.0.0.9");
	made_init(m);
	for (unsigned i = 0; i < of; i++) {
		if (i == at)
			put_session_setup(m, 10 + i, 0xabcd, SMB2_SESSION_FLAG_BINDING);
		else
			put_echo(m, 10 + i, false);
	}
	assert_true(talk_feed(&t, C2S, m->b, made_end(m)));
	assert_int_equal(parts_out(&t, C2S, parts, 8), of);
	for (unsigned i = 0; i < of; i++) {
		assert_int_equal(parts[i].hdr.command,
		    i == at ? SMB2_SESSION_SETUP : SMB2_ECHO);
		assert_int_equal(parts[i].hdr.message_id, 10 + i);
	}
	/* One of a session that does not exist, and no bind. */
	assert_int_equal(sess2_req_get(&setup, part_bytes(&t, C2S, &parts[at]), parts[at].len), 0);
	assert_int_equal(setup.flags, 0);
	assert_int_equal(setup.blob_len, 0);
	assert_int_equal(setup.previous_session_id, 0);
	assert_true(parts[at].hdr.session_id == 0xfffffffffffffffe);
	assert_int_equal(parts[at].hdr.flags, 0);
	assert_int_equal(parts[at].hdr.credits, 3);
	made_init(m);
	for (unsigned i = 0; i < of; i++) {
		if (i == at)
			put_session_setup_resp(m, 10 + i, 0xfffffffffffffffe, answer, 0);
		else
			put_echo(m, 10 + i, true);
	}
	assert_true(talk_feed(&t, S2C, m->b, made_end(m)));
	assert_int_equal(parts_out(&t, S2C, parts, 8), of);
	assert_int_equal(parts[at].hdr.command, SMB2_SESSION_SETUP);
	assert_int_equal(parts[at].hdr.status, STATUS_REQUEST_NOT_ACCEPTED);
	assert_int_equal(parts[at].hdr.session_id, 0xabcd);
	assert_int_equal(parts[at].hdr.message_id, 10 + at);
	assert_int_equal(parts[at].hdr.credits, 3);
	assert_int_equal(parts[at].hdr.flags, SMB2_FLAGS_SERVER_TO_REDIR);
	assert_int_equal(count(&t, STAT_binds_refused_address), 1);
	assert_false(t.closed);
	end_talk(&t);
	free(m);
}

static void
test_bind_forbidden(void **state)
{
	(void)state;
	for (unsigned of = 1; of <= 8; of++)
		for (unsigned at = 0; at < of; at++)
			refused_bind(at, of, STATUS_USER_SESSION_DELETED);
	/* A node that takes anybody has a session that nobody knows. */
	refused_bind(0, 1, STATUS_SUCCESS);
	refused_bind(0, 1, STATUS_MORE_PROCESSING_REQUIRED);
}

static void
test_bind_elsewhere(void **state)
{
	struct made *m = malloc(sizeof(*m));
	struct session_info si = { .session_id = 0xabcd };
	struct channel_ends ci = { .conn_id = 2 };
	struct node other_node;
	struct channel *c;
	struct part2 part;
	struct talk t;

	(void)state;
	memset(&other_node, 0, sizeof(other_node));
	logged_on(&t, announce_policy, "127.0.0.2");
	/* Unknown to us: the node's business. */
	made_init(m);
	put_session_setup(m, 10, 0xabcd, SMB2_SESSION_FLAG_BINDING);
	assert_true(talk_feed(&t, C2S, m->b, made_end(m)));
	assert_memory_equal(buf_head(&t.side[C2S].out), m->b, made_end(m));
	buf_fini(&t.side[C2S].out);
	/* Known on another node: refused here. */
	si.node = &other_node;
	c = sesstab_join(t.env->sessions, &si, &ci, false, NULL, NULL);
	made_init(m);
	put_session_setup(m, 11, 0xabcd, SMB2_SESSION_FLAG_BINDING);
	assert_true(talk_feed(&t, C2S, m->b, made_end(m)));
	assert_int_equal(parts_out(&t, C2S, &part, 1), 1);
	assert_int_equal(part.hdr.command, SMB2_SESSION_SETUP);
	assert_int_not_equal(part.hdr.session_id, 0xabcd);
	buf_fini(&t.side[C2S].out);
	channel_leave(t.env->sessions, &c);
	/* Known on this one: it goes. */
	si.node = &t.node;
	c = sesstab_join(t.env->sessions, &si, &ci, false, NULL, NULL);
	made_init(m);
	put_session_setup(m, 12, 0xabcd, SMB2_SESSION_FLAG_BINDING);
	assert_true(talk_feed(&t, C2S, m->b, made_end(m)));
	assert_memory_equal(buf_head(&t.side[C2S].out), m->b, made_end(m));
	channel_leave(t.env->sessions, &c);
	end_talk(&t);
	free(m);
}

struct seen {
	unsigned sessions, channels;
};

static void
count_cb(void *arg, const struct session_info *si, const struct channel_info *ci, size_t n)
{
	struct seen *s = arg;

	(void)si;
	(void)ci;
	s->sessions++;
	s->channels += (unsigned)n;
}

static void
test_sessions(void **state)
{
	struct made *m = malloc(sizeof(*m));
	struct seen seen = { 0, 0 };
	struct hdr2 h = { .command = SMB2_LOGOFF, .message_id = 30, .session_id = SESSION };
	struct talk t;

	(void)state;
	logged_on(&t, announce_policy, "127.0.0.2");
	sesstab_each(t.env->sessions, count_cb, &seen);
	assert_int_equal(seen.sessions, 1);
	assert_int_equal(seen.channels, 1);
	/* A failed second logon, MORE_PROCESSING, a reauthentication: none changes anything. */
	for (unsigned i = 0; i < 3; i++) {
		static const uint32_t status[] = { 0xc000006d, STATUS_MORE_PROCESSING_REQUIRED,
			STATUS_SUCCESS };

		made_init(m);
		put_session_setup(m, 20 + i, i == 2 ? SESSION : 0, 0);
		assert_true(talk_feed(&t, C2S, m->b, made_end(m)));
		made_init(m);
		put_session_setup_resp(m, 20 + i, i == 2 ? SESSION : 99, status[i], 0);
		assert_true(talk_feed(&t, S2C, m->b, made_end(m)));
	}
	seen = (struct seen){ 0, 0 };
	sesstab_each(t.env->sessions, count_cb, &seen);
	assert_int_equal(seen.sessions, 1);
	assert_int_equal(seen.channels, 1);
	made_init(m);
	hdr2_put(made_next(m), &h);
	wr_u32(&m->w, 4);
	assert_true(talk_feed(&t, C2S, m->b, made_end(m)));
	h.flags = SMB2_FLAGS_SERVER_TO_REDIR;
	made_init(m);
	hdr2_put(made_next(m), &h);
	wr_u32(&m->w, 4);
	assert_true(talk_feed(&t, S2C, m->b, made_end(m)));
	seen = (struct seen){ 0, 0 };
	sesstab_each(t.env->sessions, count_cb, &seen);
	assert_int_equal(seen.sessions, 0);
	end_talk(&t);
	free(m);
}

/* What ends a connection. */
static void
expect_end(struct talk *t, enum dir d, struct made *m, enum close_reason why)
{
	assert_false(talk_feed(t, d, m->b, made_end(m)));
	assert_string_equal(close_counter(t->why), close_counter(why));
	end_talk(t);
	free(m);
}

/* A recorded server answers LOGOFF with an ECHO's answer: it is the LOGOFF's all the same. */
static void
test_logoff_misnamed(void **state)
{
	static const uint32_t status[] = { STATUS_SUCCESS, STATUS_ACCESS_DENIED };
	const struct hdr2 h = { .command = SMB2_LOGOFF, .message_id = 30, .session_id = SESSION };
	struct made *m = malloc(sizeof(*m));

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		const bool good = status[i] == STATUS_SUCCESS;
		struct talk t;
		size_t n;

		logged_on(&t, announce_policy, "127.0.0.2");
		made_init(m);
		hdr2_put(made_next(m), &h);
		wr_u32(&m->w, 4);
		assert_true(talk_feed(&t, C2S, m->b, made_end(m)));
		made_init(m);
		if (good)
			put_echo(m, 30, true);
		else
			put_error(m, 30, status[i], 0);
		n = made_end(m);
		assert_true(talk_feed(&t, S2C, m->b, n));
		assert_int_equal(buf_len(&t.side[S2C].out), n);
		assert_memory_equal(buf_head(&t.side[S2C].out), m->b, n);
		assert_int_equal(t.conn.mediate.track.channels.n, good ? 0 : 1);
		assert_int_equal(t.conn.mediate.track.npending, 0);
		end_talk(&t);
	}
	free(m);
}

static void
test_ends(void **state)
{
	struct made *m;
	struct talk t;

	(void)state;
#define BEGIN()                                                                                    \
	m = malloc(sizeof(*m));                                                                    \
	logged_on(&t, announce_policy, "127.0.0.2");                                               \
	made_init(m)

	/* A list that nobody asked for, alone and behind another answer. */
	BEGIN();
	put_list_resp(m, 5, 0, nodes_list);
	expect_end(&t, S2C, m, CLOSE_UNEXPECTED_ANSWER);
	BEGIN();
	put_echo(m, 4, true);
	put_list_resp(m, 5, 0, nodes_list);
	expect_end(&t, S2C, m, CLOSE_UNEXPECTED_ANSWER);
	/* A logon that nobody asked for. */
	BEGIN();
	put_session_setup_resp(m, 5, 77, STATUS_SUCCESS, 0);
	expect_end(&t, S2C, m, CLOSE_UNEXPECTED_ANSWER);
	/* An answer of another kind. */
	BEGIN();
	put_query(m, 5, 65536);
	assert_true(talk_feed(&t, C2S, m->b, made_end(m)));
	made_init(m);
	put_session_setup_resp(m, 5, 77, STATUS_SUCCESS, 0);
	expect_end(&t, S2C, m, CLOSE_UNEXPECTED_ANSWER);
	/* The same MessageId twice. */
	BEGIN();
	put_query(m, 5, 65536);
	assert_true(talk_feed(&t, C2S, m->b, made_end(m)));
	made_init(m);
	put_query(m, 5, 65536);
	expect_end(&t, C2S, m, CLOSE_BAD_SEQUENCE);
	/* A second NEGOTIATE. */
	BEGIN();
	neg2_probe_put(made_next(m), &(struct guid){ .b = { 1 } }, (const uint8_t[32]){ 1 });
	expect_end(&t, C2S, m, CLOSE_BAD_SEQUENCE);
	/* A compound that goes back. */
	BEGIN();
	put_echo(m, 4, false);
	put_echo(m, 5, false);
	m->b[NBSS_HDR_LEN + 20] = 8;
	expect_end(&t, C2S, m, CLOSE_BAD_CHAIN);
#undef BEGIN
}

/* The client is told no, and nothing of the session. */
static void
is_refused(struct talk *t, uint64_t mid)
{
	struct part2 p;

	assert_int_equal(parts_out(t, S2C, &p, 1), 1);
	assert_int_equal(p.hdr.command, SMB2_SESSION_SETUP);
	assert_int_equal(p.hdr.status, STATUS_ACCESS_DENIED);
	assert_int_equal(p.hdr.message_id, mid);
	assert_int_equal(p.hdr.flags & SMB2_FLAGS_SIGNED, 0);
	assert_true(err2_is(part_bytes(t, S2C, &p), p.len));
}

/* How it ends the connection that is sealed and of that session; more: and something follows. */
static enum close_reason
ends_sealed(struct talk *t, enum dir dir, uint64_t session, bool more)
{
	uint8_t b[NBSS_HDR_LEN + SMB2_TRANSFORM_LEN + 2 * SMB2_HDR_LEN] = { 0 };
	const size_t len = sizeof(b) - (more ? 0 : SMB2_HDR_LEN);
	struct wr w = wr_init(b, sizeof(b));
	struct verdict v;

	wr_zero(&w, NBSS_HDR_LEN);
	wr_u32(&w, SMB2_TRANSFORM_ID);
	wr_zero(&w, 32);
	wr_u32(&w, SMB2_HDR_LEN);
	wr_u16(&w, 0);
	wr_u16(&w, 1);
	wr_u64(&w, session);
	nbss_put(b, len - NBSS_HDR_LEN);
	t->conn.mediate.track.cipher = SMB2_CIPHER_AES128_CCM;
	v = mediate_head(&t->conn.mediate, dir, b, len);
	return v.act == VERDICT_CLOSE ? v.why : CLOSE_COUNT;
}

static void
test_unkeyed_refused(void **state)
{
	static const char refuse[] = NODE "unkeyed = refuse\n";
	struct made *m = malloc(sizeof(*m));
	struct talk t;

	(void)state;
	/* Neither signed nor sealed: it can be seen. */
	logged_on(&t, refuse, "127.0.0.2");
	/* The client requires signing: SecurityMode 2. */
	made_init(m);
	put_session_setup(m, 9, 0, 0);
	m->b[NBSS_HDR_LEN + SMB2_HDR_LEN + 3] = 2;
	assert_true(talk_feed(&t, C2S, m->b, made_end(m)));
	made_init(m);
	put_session_setup_resp(m, 9, 77, STATUS_SUCCESS, SMB2_SESSION_FLAG_IS_GUEST);
	assert_true(talk_feed(&t, S2C, m->b, made_end(m)));
	made_init(m);
	put_session_setup(m, 10, 0, 0);
	assert_true(talk_feed(&t, C2S, m->b, made_end(m)));
	buf_fini(&t.side[S2C].out);
	made_init(m);
	put_session_setup_resp(m, 10, 78, STATUS_SUCCESS, SMB2_SESSION_FLAG_ENCRYPT_DATA);
	assert_true(talk_feed(&t, S2C, m->b, made_end(m)));
	is_refused(&t, 10);
	assert_int_equal(count(&t, STAT_unkeyed_refused), 1);
	/* Sealed it would have been. The connection may be older than that policy. */
	t.conn.mediate.track.refuse_sealed = false;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(ends_sealed(&t, i < 2 ? C2S : S2C, 78, i % 2 == 1),
		    CLOSE_SESSION_REFUSED);
	assert_int_equal(ends_sealed(&t, C2S, 79, true), CLOSE_COUNT);
	end_talk(&t);
	free(m);
}

/* The node lets a guest in, with that session, under that policy. */
static void
guest(struct talk *t, struct made *m, struct policy *p, uint64_t mid, uint64_t session)
{
	struct policy *lax = t->env->policy;

	made_init(m);
	put_session_setup(m, mid, 0, 0);
	assert_true(talk_feed(t, C2S, m->b, made_end(m)));
	t->env->policy = p;
	buf_fini(&t->side[S2C].out);
	made_init(m);
	put_session_setup_resp(m, mid, session, STATUS_SUCCESS, SMB2_SESSION_FLAG_IS_GUEST);
	(void)talk_feed(t, S2C, m->b, made_end(m));
	t->env->policy = lax;
}

static void
put_echo_of(struct made *m, uint64_t mid, uint64_t session, bool response)
{
	put_echo(m, mid, response);
	for (unsigned i = 0; i < 8; i++)
		m->w.base[m->start + 40 + i] = (uint8_t)(session >> 8 * i);
}

/* The node makes guests of some of a connection's users: the others go on. */
static void
test_guest_refused(void **state)
{
	struct mediate_env *strict = talk_env_new(NODE "auth { guest = refuse }\n");
	struct made *m = malloc(sizeof(*m));
	struct talk t;

	(void)state;
	for (unsigned how = 0; how < 5; how++) {
		logged_on(&t, NODE, "127.0.0.2");
		for (unsigned i = 0; i < BARRED_MAX; i++) {
			guest(&t, m, strict->policy, 10 + i, 100 + i);
			is_refused(&t, 10 + i);
		}
		assert_int_equal(count(&t, STAT_guests_refused), BARRED_MAX);
		made_init(m);
		put_echo(m, 200, false);
		put_echo(m, 201, false);
		assert_true(talk_feed(&t, C2S, m->b, made_end(m)));
		made_init(m);
		switch (how) {
		case 0:
			put_echo_of(m, 210, 100, false);
			break;
		case 1:
			put_echo(m, 210, false);
			put_echo_of(m, 211, 100 + BARRED_MAX - 1, false);
			break;
		case 2:
			/* More than are kept. */
			guest(&t, m, strict->policy, 210, 99);
			break;
		case 3:
			/* The node gives the number to a user. */
			put_session_setup(m, 210, 0, 0);
			assert_true(talk_feed(&t, C2S, m->b, made_end(m)));
			made_init(m);
			put_session_setup_resp(m, 210, 100, STATUS_SUCCESS, 0);
			assert_true(talk_feed(&t, S2C, m->b, made_end(m)));
			made_init(m);
			put_echo_of(m, 211, 100, false);
			assert_true(talk_feed(&t, C2S, m->b, made_end(m)));
			made_init(m);
			put_echo_of(m, 212, 101, false);
			break;
		default:
			/* And no session at all: its number is everybody's. */
			guest(&t, m, strict->policy, 210, 0);
		}
		assert_false(talk_feed(&t, C2S, m->b, made_end(m)));
		assert_string_equal(close_counter(t.why), close_counter(how == 2 || how == 4
		                                              ? CLOSE_GUEST_REFUSED
		                                              : CLOSE_SESSION_REFUSED));
		end_talk(&t);
	}
	talk_env_free(strict);
	free(m);
}

/* A guest has asked for more before it was told no, and the node has answered that. */
static void
test_refused_asks_ahead(void **state)
{
	struct mediate_env *strict = talk_env_new(NODE "auth { guest = refuse }\n");
	struct made *m = malloc(sizeof(*m));
	struct talk t;

	(void)state;
	for (unsigned how = 0; how < 2; how++) {
		logged_on(&t, NODE, "127.0.0.2");
		made_init(m);
		put_echo_of(m, 20, 100, false);
		put_echo_of(m, 21, 100, false);
		assert_true(talk_feed(&t, C2S, m->b, made_end(m)));
		guest(&t, m, strict->policy, 10, 100);
		is_refused(&t, 10);
		/* Others are answered, and what the node says by itself means nothing. */
		made_init(m);
		put_echo_of(m, 22, SESSION, true);
		put_echo_of(m, UINT64_MAX, 100, true);
		assert_true(talk_feed(&t, S2C, m->b, made_end(m)));
		made_init(m);
		if (how == 1)
			put_echo_of(m, 22, SESSION, true);
		put_echo_of(m, 20, 100, true);
		assert_false(talk_feed(&t, S2C, m->b, made_end(m)));
		assert_int_equal(t.why, CLOSE_SESSION_REFUSED);
		end_talk(&t);
	}
	talk_env_free(strict);
	free(m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_too_small),
		cmocka_unit_test(test_signed_passes),
		cmocka_unit_test(test_bind_forbidden),
		cmocka_unit_test(test_bind_elsewhere),
		cmocka_unit_test(test_sessions),
		cmocka_unit_test(test_logoff_misnamed),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_unkeyed_refused),
		cmocka_unit_test(test_guest_refused),
		cmocka_unit_test(test_refused_asks_ahead),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
