/* inspect-decisions.c: the way of every interface query, and who is let in, as tables */
#include "config.h"

#include "t/unit/lib/made.h"
#include "t/unit/lib/talk.h"

#include "auth/crypt.h"
#include "auth/keys.h"
#include "auth/ntlm.h"
#include "auth/spnego.h"
#include "inspect/admission.h"
#include "inspect/frame.h"
#include "inspect/query.h"
#include "policy/policy.h"
#include "smb/const.h"
#include "smb/ioctl2.h"
#include "smb/nbss.h"

#include <fnmatch.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NODE "node \"n1\" { address = \"127.0.0.11:445\" }\n"

/*
 * Facts as letters, and tables of patterns of fnmatch(3) over them. Of every combination exactly
 * one row must speak: a table has no holes, and its order says nothing.
 *
 *	1 mode         announce filter pass
 *	2 frame        1: the query alone, n: a compound
 *	3 protection   unsigned; signed, (g)ood or (b)ad; (x) signed, and no key, or no more;
 *	               (o) the same, of a session that the connection does not have; sealed
 *	4 key          0: none  c: CMAC or HMAC  G: GMAC
 *	5 cipher       C, or - for none
 *	6 gmac         pass refuse (s) resign
 *	7 unkeyed      pass refuse
 *	8 neighbours   l: all can be lifted, -
 *	9 node         L: would answer with a list, -
 *	10 company     F: another session's seal may cover the answer, or .
 *	11 session     D: it may be over, or .
 *	12 signing     M: the session must, or .
 *	13 channels    S: it may have others, or .
 */
static const struct query_row {
	const char *facts;
	enum query_way way;
} query_rows[] = {
	/* Policy has the first word, and then nothing is changed. */
	{ "??x???r??????", WAY_UNKEYED },
	{ "p?[ugbs]??????????", WAY_PASS },
	{ "p?[xo]???p??????", WAY_PASS },
	/* The answer may come under a seal that nobody here can open. */
	{ "[af]?[ugb]??????F???", WAY_REFUSE },
	/* Sealed. */
	{ "[af]?s??????.???", WAY_RESEAL },
	/* No key. */
	{ "[af]?u0?????.???", WAY_PLAIN },
	{ "[af]?[xo]???p??????", WAY_OPAQUE },
	{ "??o???r??????", WAY_OPAQUE },
	/* Signed, rightly. */
	{ "[af]?gc?????.???", WAY_RESIGN },
	{ "a1gG????L.?.?", WAY_VOUCH },
	{ "@(an|f?)gG???l?..??", WAY_LIFT },
	{ "a1gG???l-..??", WAY_LIFT },
	{ "a1gG???lL..M.", WAY_LIFT },
	{ "a1gG???lL..MS", WAY_SUBSTITUTE },
	{ "a1gG??[pr]-L..M?", WAY_SUBSTITUTE },
	{ "a1gG-p?--..??", WAY_GMAC },
	{ "@(an|f?)gG-p?-?..??", WAY_GMAC },
	/* There is a way, but not in this company. */
	{ "a1gGCp?--..??", WAY_REFUSE },
	{ "@(an|f?)gGCp?-?..??", WAY_REFUSE },
	{ "a1gG?r?--..??", WAY_REFUSE },
	{ "@(an|f?)gG?r?-?..??", WAY_REFUSE },
	{ "a1gG?s?--..??", WAY_RESIGN },
	{ "@(an|f?)gG?s?-?..??", WAY_RESIGN },
	/* Unsigned or forged on a keyed session: it goes to the node, whatever the policy says. */
	{ "[af]?[ub]c?????.???", WAY_RESIGN },
	{ "[af]?[ub]G?s???.???", WAY_RESIGN },
	{ "[af]?[ub]G?[pr]???..??", WAY_GMAC },
	/* A logon on it has failed, or it has expired: only the node knows whether it lives. */
	{ "[af]?[ub]G?[pr]???.D??", WAY_DOUBT },
	{ "@(an|f?)gG?[pr]???.D??", WAY_DOUBT },
	{ "a1gG?[pr]?[l-]-.D??", WAY_DOUBT },
	{ "a1gG?[pr]??L.DM?", WAY_DOUBT },
	{ "@(an|f?)gG?s???.D??", WAY_RESIGN },
	{ "a1gG?s?[l-]-.D??", WAY_RESIGN },
	{ "a1gG?s??L.DM?", WAY_RESIGN },
};

/* The next combination of one letter out of each set: false after the last one. */
static bool
next_facts(char *facts, const char *const *sets, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *at = strchr(sets[i], facts[i]);

		if (at[1] != '\0') {
			facts[i] = at[1];
			return true;
		}
		facts[i] = sets[i][0];
	}
	return false;
}

static void
first_facts(char *facts, const char *const *sets, size_t n)
{
	for (size_t i = 0; i < n; i++)
		facts[i] = sets[i][0];
	facts[n] = '\0';
}

/* Some cannot be: a signature that was checked without a key, or not with one. */
static bool
query_possible(const char *f)
{
	bool keyed = f[3] != '0';

	if (f[2] == 's' && f[9] == 'F')
		return false;
	return strchr("gbs", f[2]) != NULL ? keyed : f[2] == 'u' || !keyed;
}

static struct query_facts
query_facts_of(const char *f)
{
	return (struct query_facts){
		.mode = f[0] == 'a' ? POL_IF_ANNOUNCE : f[0] == 'f' ? POL_IF_FILTER : POL_IF_PASS,
		.alone = f[1] == '1',
		.sealed = f[2] == 's',
		.is_signed = strchr("gbxo", f[2]) != NULL,
		.good = f[2] == 'g',
		.known = f[2] != 'o',
		.keyed = f[3] != '0',
		.by_gmac = f[3] == 'G',
		.cipher = f[4] == 'C',
		.gmac = f[5] == 'p'   ? POL_GMAC_PASS
		        : f[5] == 'r' ? POL_GMAC_REFUSE
		                      : POL_GMAC_RESIGN,
		.unkeyed = f[6] == 'p' ? POL_UNKEYED_PASS : POL_UNKEYED_REFUSE,
		.liftable = f[7] == 'l',
		.listed = f[8] == 'L',
		.foreign = f[9] == 'F',
		.doubted = f[10] == 'D',
		.must_sign = f[11] == 'M',
		.shared = f[12] == 'S',
	};
}

static void
test_query_choose(void **state)
{
	static const char *const sets[13] = { "afp", "1n", "ugbxos", "0cG", "C-", "prs", "pr", "l-",
		"L-", "F.", "D.", "M.", "S." };
	const size_t nrows = sizeof(query_rows) / sizeof(query_rows[0]);
	bool seen[WAY_UNKEYED + 1] = { false };
	unsigned n = 0;
	char f[14];

	(void)state;
	first_facts(f, sets, 13);
	do {
		struct query_facts q = query_facts_of(f);
		const struct query_row *row = NULL;
		enum query_way way = query_choose(&q);

		if (!query_possible(f))
			continue;
		for (size_t i = 0; i < nrows; i++) {
			if (fnmatch(query_rows[i].facts, f, FNM_EXTMATCH) != 0)
				continue;
			if (row != NULL)
				fail_msg("%s: %s and %s", f, row->facts, query_rows[i].facts);
			row = &query_rows[i];
		}
		if (row == NULL)
			fail_msg("%s: no row", f);
		if (way != row->way)
			fail_msg("%s (%s): way %d, not %d", f, row->facts, way, row->way);
		seen[way] = true;
		n++;
	} while (next_facts(f, sets, 13));
	print_message("%u combinations\n", n);
	for (unsigned i = WAY_PASS; i <= WAY_UNKEYED; i++)
		assert_true(seen[i]);
}

/* The environment is the talk's own. */
static void
begin_talk(struct talk *t, const char *policy, const char *dialled)
{
	talk_init(t, talk_env_new(policy), "lan", dialled);
}

static void
end_talk(struct talk *t)
{
	struct mediate_env *env = t->env;

	talk_fini(t);
	talk_env_free(env);
}

/* What becomes of a request, by its way. */
static void
test_query_request(void **state)
{
	enum { RELATED = 100 };
	static const struct {
		enum query_way way;
		unsigned messages;	/* RELATED: two, the second related to the first */
		enum decision_act act;
		enum close_reason why;
		uint32_t status;
	} rows[] = {
		{ WAY_NONE, 1, DECIDE_PASS, 0, 0 },
		{ WAY_PASS, 1, DECIDE_NOTE, 0, 0 },
		{ WAY_PLAIN, 1, DECIDE_NOTE, 0, 0 },
		{ WAY_OPAQUE, 2, DECIDE_NOTE, 0, 0 },
		{ WAY_SUBSTITUTE, 1, DECIDE_STAND_IN, 0, 0 },
		{ WAY_VOUCH, 1, DECIDE_STAND_IN, 0, 0 },
		{ WAY_LIFT, 1, DECIDE_STAND_IN, 0, 0 },
		{ WAY_LIFT, 2, DECIDE_NOTE, 0, 0 },
		{ WAY_RESIGN, 2, DECIDE_NOTE, 0, 0 },
		{ WAY_RESEAL, 2, DECIDE_NOTE, 0, 0 },
		{ WAY_GMAC, 1, DECIDE_NOTE, 0, 0 },
		{ WAY_REFUSE, 1, DECIDE_REFUSE, 0, STATUS_NOT_SUPPORTED },
		{ WAY_REFUSE, 2, DECIDE_REFUSE, 0, STATUS_NOT_SUPPORTED },
		{ WAY_REFUSE, RELATED, DECIDE_CLOSE, CLOSE_GMAC, 0 },
		{ WAY_UNKEYED, 1, DECIDE_CLOSE, CLOSE_UNKEYED, 0 },
	};
	static struct frame f;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct message msg[2] = { { .way = rows[i].way, .max_output = 1000,
			.vouched = rows[i].way == WAY_VOUCH ||
			    (rows[i].way == WAY_LIFT && rows[i].messages == 1) } };
		struct decision d;

		f.n = rows[i].messages == 1 ? 1 : 2;
		f.msg = msg;
		msg[1].part.hdr.flags = rows[i].messages == RELATED
		    ? SMB2_FLAGS_RELATED_OPERATIONS
		    : 0;
		d = query_request(&f, &msg[0]);
		assert_int_equal(d.act, rows[i].act);
		assert_int_equal(d.why, rows[i].why);
		assert_int_equal(d.status, rows[i].status);
		assert_int_equal(d.sign, d.act == DECIDE_REFUSE);
		assert_int_equal(d.ncounts, rows[i].way == WAY_REFUSE);
		if (d.act != DECIDE_NOTE && d.act != DECIDE_STAND_IN)
			continue;
		/* The way and all that it depends on is remembered. */
		assert_int_equal(d.pending.kind, PENDING_IFINFO);
		assert_int_equal(d.pending.way, rows[i].way);
		assert_int_equal(d.pending.max_output, 1000);
	}
}

/* Answers to a query, signed ones on a session without keys, or whose keys were lost since. */
enum answer {
	UNSIGNED,
	SIGNED,
	SEALED,
	ERROR,		/* the node refuses */
	TOO_SMALL,	/* the same: its list does not fit */
	OVERFLOW,	/* a list under STATUS_BUFFER_OVERFLOW */
	REFUSED_LIST,	/* a list under an error */
	BAD_LIST,	/* whose Next leaves it */
	NO_LIST,	/* success, and the body of an error */
};

static size_t
put_answer(struct made *m, enum answer a)
{
	static const char *const nodes[] = { "192.168.7.7", "10.0.0.66", NULL };
	static const uint32_t status[] = { [ERROR] = STATUS_NOT_SUPPORTED,
		[TOO_SMALL] = STATUS_BUFFER_TOO_SMALL, [OVERFLOW] = STATUS_BUFFER_OVERFLOW,
		[REFUSED_LIST] = STATUS_NOT_SUPPORTED, [NO_LIST] = STATUS_SUCCESS };

	made_init(m);
	if (a == ERROR || a == TOO_SMALL || a == NO_LIST)
		put_error(m, 5, status[a], 0);
	else
		put_list_resp(m, 5, a == SIGNED ? SMB2_FLAGS_SIGNED : 0, nodes);
	memcpy(m->b + NBSS_HDR_LEN + 8, &status[a], 4);
	if (a == BAD_LIST)
		m->b[NBSS_HDR_LEN + IOCTL2_RESP_LEN + 1] = 0xff;
	return made_end(m);
}

/* Policies as letters. */
static const char *
answer_policy(char letter)
{
	switch (letter) {
	case 'f':
		return NODE "addresses { deny = { \"10.0.0.66\" } }\n"
		    "interfaces \"lan\" { mode = filter }\n";
	case 'p':
		return NODE "interfaces \"lan\" { mode = pass }\n";
	case 'r':
		return NODE "unkeyed = refuse\ngmac = refuse\n";
	default:
		return NODE;
	}
}

struct answer_row {
	const char *policies;	/* a: announce, filter, pass, r: announce and refuse */
	enum query_way way;
	enum answer answer;
	enum decision_act act;
	enum query_result query;
	unsigned count;		/* enum counter; CLOSE: enum close_reason */
	uint32_t status;	/* CHANGE: what is told; a list, if it is no error */
};

/* By the way that was chosen, and by what the policy says now. */
static const struct answer_row answer_rows[] = {
	{ "afpr", WAY_PASS, UNSIGNED, DECIDE_PASS, QUERY_NODES, STAT_ifinfo_passed, 0 },
	{ "afpr", WAY_PASS, SIGNED, DECIDE_PASS, QUERY_NODES, STAT_ifinfo_passed, 0 },
	{ "afpr", WAY_PASS, SEALED, DECIDE_PASS, QUERY_NODES, STAT_ifinfo_passed, 0 },
	{ "afpr", WAY_PASS, OVERFLOW, DECIDE_PASS, QUERY_NODES, STAT_ifinfo_passed, 0 },
	{ "afpr", WAY_PASS, BAD_LIST, DECIDE_PASS, QUERY_NODES, STAT_ifinfo_passed, 0 },
	{ "afpr", WAY_PASS, ERROR, DECIDE_PASS, QUERY_ERROR, STAT_ifinfo_errors, 0 },
	/* The node's word, whatever the way. */
	{ "afpr", WAY_PLAIN, ERROR, DECIDE_PASS, QUERY_ERROR, STAT_ifinfo_errors, 0 },
	{ "afpr", WAY_OPAQUE, ERROR, DECIDE_PASS, QUERY_ERROR, STAT_ifinfo_errors, 0 },
	{ "afpr", WAY_RESIGN, ERROR, DECIDE_PASS, QUERY_ERROR, STAT_ifinfo_errors, 0 },
	{ "afpr", WAY_RESEAL, ERROR, DECIDE_PASS, QUERY_ERROR, STAT_ifinfo_errors, 0 },
	{ "afpr", WAY_LIFT, ERROR, DECIDE_PASS, QUERY_ERROR, STAT_ifinfo_errors, 0 },
	{ "afpr", WAY_GMAC, ERROR, DECIDE_PASS, QUERY_ERROR, STAT_ifinfo_errors, 0 },
	{ "fp", WAY_PLAIN, TOO_SMALL, DECIDE_PASS, QUERY_ERROR, STAT_ifinfo_errors, 0 },
	/* But ours may fit where the node's does not. */
	{ "ar", WAY_PLAIN, TOO_SMALL, DECIDE_CHANGE, QUERY_OURS, STAT_ifinfo_announced, 0 },
	/* An unsigned list, on whatever way, under whatever status, of whatever shape. */
	{ "ar", WAY_PLAIN, UNSIGNED, DECIDE_CHANGE, QUERY_OURS, STAT_ifinfo_announced, 0 },
	{ "ar", WAY_PLAIN, OVERFLOW, DECIDE_CHANGE, QUERY_OURS, STAT_ifinfo_announced, 0 },
	{ "ar", WAY_PLAIN, BAD_LIST, DECIDE_CHANGE, QUERY_OURS, STAT_ifinfo_announced, 0 },
	{ "ar", WAY_PLAIN, NO_LIST, DECIDE_CHANGE, QUERY_OURS, STAT_ifinfo_announced, 0 },
	{ "ar", WAY_OPAQUE, UNSIGNED, DECIDE_CHANGE, QUERY_OURS, STAT_ifinfo_announced, 0 },
	{ "ar", WAY_RESIGN, UNSIGNED, DECIDE_CHANGE, QUERY_OURS, STAT_ifinfo_announced, 0 },
	{ "ar", WAY_GMAC, UNSIGNED, DECIDE_CHANGE, QUERY_OURS, STAT_ifinfo_announced, 0 },
	{ "ar", WAY_LIFT, SEALED, DECIDE_CHANGE, QUERY_OURS, STAT_ifinfo_announced, 0 },
	{ "ar", WAY_RESEAL, SEALED, DECIDE_CHANGE, QUERY_OURS, STAT_ifinfo_announced, 0 },
	{ "f", WAY_PLAIN, UNSIGNED, DECIDE_CHANGE, QUERY_OURS, STAT_ifinfo_filtered, 0 },
	{ "f", WAY_PLAIN, OVERFLOW, DECIDE_CHANGE, QUERY_OURS, STAT_ifinfo_filtered,
	    STATUS_BUFFER_OVERFLOW },
	{ "f", WAY_PLAIN, BAD_LIST, DECIDE_CHANGE, QUERY_ERROR, STAT_ifinfo_malformed,
	    STATUS_INVALID_NETWORK_RESPONSE },
	{ "f", WAY_PLAIN, NO_LIST, DECIDE_CHANGE, QUERY_ERROR, STAT_ifinfo_malformed,
	    STATUS_INVALID_NETWORK_RESPONSE },
	{ "f", WAY_RESEAL, SEALED, DECIDE_CHANGE, QUERY_OURS, STAT_ifinfo_filtered, 0 },
	{ "afr", WAY_PLAIN, REFUSED_LIST, DECIDE_CHANGE, QUERY_ERROR, STAT_ifinfo_errors,
	    STATUS_NOT_SUPPORTED },
	{ "p", WAY_PLAIN, UNSIGNED, DECIDE_PASS, QUERY_NODES, STAT_ifinfo_passed, 0 },
	{ "p", WAY_RESEAL, SEALED, DECIDE_PASS, QUERY_NODES, STAT_ifinfo_passed, 0 },
	{ "p", WAY_LIFT, SEALED, DECIDE_PASS, QUERY_NODES, STAT_ifinfo_passed, 0 },
	/* A signed one, and no key. */
	{ "afp", WAY_PLAIN, SIGNED, DECIDE_PASS, QUERY_OPAQUE, STAT_ifinfo_opaque, 0 },
	{ "afp", WAY_OPAQUE, SIGNED, DECIDE_PASS, QUERY_OPAQUE, STAT_ifinfo_opaque, 0 },
	{ "r", WAY_PLAIN, SIGNED, DECIDE_CLOSE, QUERY_NEVER, CLOSE_UNKEYED, 0 },
	{ "r", WAY_OPAQUE, SIGNED, DECIDE_CLOSE, QUERY_NEVER, CLOSE_UNKEYED, 0 },
	{ "afpr", WAY_RESEAL, SIGNED, DECIDE_CLOSE, QUERY_NEVER, CLOSE_UNEXPECTED_ANSWER, 0 },
	{ "afpr", WAY_LIFT, SIGNED, DECIDE_CLOSE, QUERY_NEVER, CLOSE_UNEXPECTED_ANSWER, 0 },
	/* There was a key when it was asked: the session has ended meanwhile. */
	{ "afpr", WAY_RESIGN, SIGNED, DECIDE_CHANGE, QUERY_ERROR, STAT_ifinfo_errors,
	    STATUS_USER_SESSION_DELETED },
	{ "afpr", WAY_GMAC, SIGNED, DECIDE_CHANGE, QUERY_ERROR, STAT_ifinfo_errors,
	    STATUS_USER_SESSION_DELETED },
	/* The ECHO's answer, and the same: never an empty list. */
	{ "afpr", WAY_SUBSTITUTE, NO_LIST, DECIDE_CHANGE, QUERY_ERROR, STAT_ifinfo_errors,
	    STATUS_USER_SESSION_DELETED },
	{ "afpr", WAY_SUBSTITUTE, ERROR, DECIDE_CHANGE, QUERY_ERROR, STAT_ifinfo_errors,
	    STATUS_NOT_SUPPORTED },
	/* The FLUSH's: any error but those of the session, which is not here any more. */
	{ "afpr", WAY_VOUCH, ERROR, DECIDE_CHANGE, QUERY_ERROR, STAT_ifinfo_errors,
	    STATUS_USER_SESSION_DELETED },
	/* Signed it is under the nonce that ours would have. */
	{ "afpr", WAY_VOUCH, SIGNED, DECIDE_CHANGE, QUERY_REFUSED, STAT_ifinfo_gmac_refused,
	    STATUS_NOT_SUPPORTED },
};

static void
answered(struct talk *t, const struct answer_row *row)
{
	const struct pending asked = { .kind = PENDING_IFINFO, .way = (uint8_t)row->way,
		.max_output = 65536, .session_id = SESSION,
		.stand_in = row->way == WAY_SUBSTITUTE || row->way == WAY_VOUCH,
		.sent = row->way == WAY_SUBSTITUTE ? SMB2_ECHO : SMB2_FLUSH };
	static struct ifinfo list[IFINFO_MAX];
	static struct frame f;
	static struct made m;
	struct decision d;
	struct outcome o;

	o = frame_read(&f, &t->conn.mediate, S2C, m.b, put_answer(&m, row->answer));
	assert_int_equal(o.act, OUTCOME_PASS);
	assert_int_equal(f.n, 1);
	f.sealed = row->answer == SEALED;
	d = query_answer(&t->conn.mediate, &f, &f.msg[0], &asked, list);
	assert_int_equal(d.act, row->act);
	assert_int_equal(d.query, row->query);
	if (d.act == DECIDE_CLOSE) {
		assert_int_equal(d.why, row->count);
		return;
	}
	assert_int_equal(d.ncounts, 1);
	assert_int_equal(d.counts[0], row->count);
	assert_int_equal(d.status, row->status);
	assert_int_equal(d.has_list, d.act == DECIDE_CHANGE && d.query == QUERY_OURS);
	/* One of the node's two is forbidden, and announced is the dialled one. */
	assert_int_equal(d.nlist, d.has_list);
}

static void
test_query_answer(void **state)
{
	(void)state;
	for (const char *p = "afpr"; *p != '\0'; p++) {
		struct talk t;

		begin_talk(&t, answer_policy(*p), "10.0.0.5");
		for (size_t i = 0; i < sizeof(answer_rows) / sizeof(answer_rows[0]); i++)
			if (strchr(answer_rows[i].policies, *p) != NULL)
				answered(&t, &answer_rows[i]);
		end_talk(&t);
	}
}

static void
test_bind(void **state)
{
	static const struct {
		const char *dialled;
		bool elsewhere, refused;
		enum counter count;
	} rows[] = {
		{ "10.0.0.5", false, false, 0 },
		{ "10.0.0.5", true, true, STAT_binds_refused_node },
		{ "10.0.0.66", false, true, STAT_binds_refused_address },
		{ "10.0.0.66", true, true, STAT_binds_refused_address },
		{ "::ffff:10.0.0.66", false, true, STAT_binds_refused_address },
	};
	struct mediate_env *env = talk_env_new(NODE "addresses { deny = { \"10.0.0.66\" } }\n");

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct decision d;
		struct addr a;

		assert_int_equal(addr_parse(&a, rows[i].dialled), 0);
		d = admission_bind(env->policy, &a, rows[i].elsewhere);
		assert_int_equal(d.act, rows[i].refused ? DECIDE_REFUSE : DECIDE_PASS);
		assert_int_equal(d.ncounts, rows[i].refused);
		assert_int_equal(d.text != NULL, rows[i].refused);
		if (!rows[i].refused)
			continue;
		assert_int_equal(d.status, STATUS_REQUEST_NOT_ACCEPTED);
		assert_int_equal(d.counts[0], rows[i].count);
		assert_false(d.sign);
	}
	talk_env_free(env);
}

static void
test_bind_signed(void **state)
{
	static const uint16_t algs[] = { SMB2_SIGNING_HMAC_SHA256, SMB2_SIGNING_AES_CMAC,
		SMB2_SIGNING_AES_GMAC };
	struct crypt *c = crypt_new();

	(void)state;
	for (size_t i = 0; i < sizeof(algs) / sizeof(algs[0]); i++) {
		const bool may = algs[i] != SMB2_SIGNING_AES_GMAC;
		struct smbkeys session = { .signing = { .key = "0123456789abcde" } };
		struct signkey k = session.signing;
		struct message msg;
		struct made m;
		size_t n;

		made_init(&m);
		put_session_setup(&m, 7, SESSION, SMB2_SESSION_FLAG_BINDING);
		n = made_end(&m) - NBSS_HDR_LEN;
		k.alg = algs[i];
		assert_int_equal(sign_make(c, &k, m.b + NBSS_HDR_LEN, n), 0);
		msg = (struct message){ .bytes = m.b + NBSS_HDR_LEN, .part = { .len = n } };
		assert_int_equal(admission_bind_signed(c, &session, algs[i], &msg), may);
		assert_false(admission_bind_signed(c, NULL, algs[i], &msg));
		assert_false(admission_bind_signed(NULL, &session, algs[i], &msg));
		m.b[NBSS_HDR_LEN + n - 1] ^= 1;
		assert_false(admission_bind_signed(c, &session, algs[i], &msg));
	}
	crypt_free(&c);
}

/* An NTLM AUTHENTICATE message with a name and a response of these lengths. */
static size_t
put_authenticate(uint8_t *b, size_t cap, uint16_t response, uint16_t name)
{
	struct wr w = wr_init(b, cap);

	wr_bytes(&w, "NTLMSSP", 8);
	wr_u32(&w, 3);
	for (int i = 0; i < 6; i++) {
		uint16_t n = i == 1 ? response : i == 3 ? name : 0;

		wr_u16(&w, n);
		wr_u16(&w, n);
		wr_u32(&w, 64);
	}
	wr_u32(&w, 1);
	wr_zero(&w, response > name ? response : name);
	assert_true(wr_ok(&w));
	return wr_len(&w);
}

/*
 *	1 ntlm   allow refuse
 *	2 guest  allow refuse
 *	3 token  0: none, o: unread, kerberos; NTLM: negotiate, user, x: nobody, broken
 *	4        what the logon was before: -: unread, Kerberos, (N)TLM
 */
static void
test_token(void **state)
{
	static const struct {
		const char *facts;
		uint32_t status;
		enum counter count;
	} rows[] = {
		{ "??k?", STATUS_SUCCESS, 0 },
		{ "??0[-K]", STATUS_SUCCESS, 0 },
		{ "a?0N", STATUS_SUCCESS, 0 },
		{ "r?0N", STATUS_NTLM_BLOCKED, STAT_ntlm_refused },
		{ "r?[nuxb]?", STATUS_NTLM_BLOCKED, STAT_ntlm_refused },
		{ "r?oN", STATUS_NTLM_BLOCKED, STAT_ntlm_refused },
		{ "r?o[-K]", STATUS_ACCESS_DENIED, STAT_logons_unread },
		{ "aro?", STATUS_ACCESS_DENIED, STAT_logons_unread },
		{ "aao?", STATUS_SUCCESS, 0 },
		{ "a?[nu]?", STATUS_SUCCESS, 0 },
		{ "aa[xb]?", STATUS_SUCCESS, 0 },
		{ "ar[xb]?", STATUS_ACCESS_DENIED, STAT_guests_refused },
	};
	static const char *const sets[] = { "ar", "ar", "0oknuxb", "-KN" };
	static const enum mech before[] = { MECH_UNREAD, MECH_KERBEROS, MECH_NTLM };
	uint8_t user[256], anonymous[256];
	const size_t user_len = put_authenticate(user, sizeof(user), 32, 10);
	const size_t anonymous_len = put_authenticate(anonymous, sizeof(anonymous), 0, 0);
	struct policy *p = policy_new();
	char f[5];

	(void)state;
	user[64] = 'x';
	first_facts(f, sets, 4);
	do {
		const struct token tokens[] = {
			{ .kind = TOKEN_NONE },
			{ .kind = TOKEN_UNREAD },
			{ .kind = TOKEN_AP_REQ, .p = user, .len = user_len },
			{ .kind = TOKEN_NTLM_NEGOTIATE, .p = user, .len = user_len },
			{ .kind = TOKEN_NTLM_AUTHENTICATE, .p = user, .len = user_len },
			{ .kind = TOKEN_NTLM_AUTHENTICATE, .p = anonymous, .len = anonymous_len },
			{ .kind = TOKEN_NTLM_AUTHENTICATE, .p = anonymous, .len = 20 },
		};
		const struct token *t = &tokens[strchr(sets[2], f[2]) - sets[2]];
		const enum mech was = before[strchr(sets[3], f[3]) - sets[3]];
		struct ntlm_auth auth;
		unsigned rows_found = 0;
		struct decision d;

		p->common.auth.ntlm = f[0] == 'a' ? POL_AUTH_ALLOW : POL_AUTH_REFUSE;
		p->common.auth.guest = f[1] == 'a' ? POL_AUTH_ALLOW : POL_AUTH_REFUSE;
		d = admission_token(&p->common.auth, t,
		    mech_said(was, t, mech_ntlm(t, &auth), true));
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			if (fnmatch(rows[i].facts, f, 0) != 0)
				continue;
			rows_found++;
			if (d.status != rows[i].status)
				fail_msg("%s (%s): %08x", f, rows[i].facts, d.status);
			if (rows[i].status == STATUS_SUCCESS) {
				assert_int_equal(d.act, DECIDE_PASS);
				assert_int_equal(d.ncounts, 0);
				continue;
			}
			assert_int_equal(d.act, DECIDE_REFUSE);
			assert_int_equal(d.counts[0], rows[i].count);
			assert_non_null(d.text);
		}
		if (rows_found != 1)
			fail_msg("%s: %u rows", f, rows_found);
	} while (next_facts(f, sets, 4));
	policy_unref(&p);
}

/*
 *	1 ntlm     allow refuse
 *	2 guest    allow refuse
 *	3 session  user guest (x) anonymous, says the node
 *	4 mech     -: unread, kerberos, ntlm without a user, u: with one
 */
static void
test_logon(void **state)
{
	static const struct {
		const char *facts;
		enum close_reason why;	/* CLOSE_COUNT: let in */
	} rows[] = {
		{ "?r[gx]?", CLOSE_GUEST_REFUSED },
		{ "?run", CLOSE_GUEST_REFUSED },
		{ "?ru-", CLOSE_LOGON_UNREAD },
		{ "ra?-", CLOSE_LOGON_UNREAD },
		{ "?ru[ku]", CLOSE_COUNT },
		{ "ra?[knu]", CLOSE_COUNT },
		{ "aa??", CLOSE_COUNT },
	};
	static const char *const sets[] = { "ar", "ar", "ugx", "-knu" };
	static const enum mech mechs[] = { MECH_UNREAD, MECH_KERBEROS, MECH_NTLM, MECH_NTLM_USER };
	struct policy *p = policy_new();
	char f[5];

	(void)state;
	first_facts(f, sets, 4);
	do {
		const struct session_info si = { .guest = f[2] == 'g', .anonymous = f[2] == 'x' };
		unsigned rows_found = 0;
		struct decision d;

		p->common.auth.ntlm = f[0] == 'a' ? POL_AUTH_ALLOW : POL_AUTH_REFUSE;
		p->common.auth.guest = f[1] == 'a' ? POL_AUTH_ALLOW : POL_AUTH_REFUSE;
		d = admission_logon(&p->common.auth, &si, mechs[strchr(sets[3], f[3]) - sets[3]]);
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			if (fnmatch(rows[i].facts, f, 0) != 0)
				continue;
			rows_found++;
			if (d.act != (rows[i].why == CLOSE_COUNT ? DECIDE_PASS : DECIDE_CLOSE) ||
			    (d.act == DECIDE_CLOSE && (d.why != rows[i].why || d.ncounts != 1)))
				fail_msg("%s (%s): act %d, why %d", f, rows[i].facts, d.act, d.why);
		}
		if (rows_found != 1)
			fail_msg("%s: %u rows", f, rows_found);
	} while (next_facts(f, sets, 4));
	policy_unref(&p);
}

/*
 *	1 session      user guest (x) anonymous
 *	2 key          k: keyed, -
 *	3 protection   signing required, (e)ncrypted, -
 *	4 unkeyed      pass refuse
 *	5 dialect      (n)ew: 3.1.1, old
 */
static void
test_session(void **state)
{
	static const struct {
		const char *facts;
		enum close_reason why;	/* CLOSE_COUNT: let in */
	} rows[] = {
		{ "?-[se]r?", CLOSE_UNKEYED },
		{ "u--rn", CLOSE_UNKEYED },
		{ "u--ro", CLOSE_COUNT },
		{ "[gx]--r?", CLOSE_COUNT },
		{ "?-?p?", CLOSE_COUNT },
		{ "?k???", CLOSE_COUNT },
	};
	static const char *const sets[] = { "ugx", "k-", "se-", "pr", "no" };
	struct policy *p = policy_new();
	unsigned n = 0;
	char f[6];

	(void)state;
	first_facts(f, sets, 5);
	do {
		const struct session_info si = { .guest = f[0] == 'g', .anonymous = f[0] == 'x',
			.keyed = f[1] == 'k', .signing_required = f[2] == 's',
			.sealed = f[2] == 'e',
			.dialect = f[4] == 'n' ? SMB2_DIALECT_311 : SMB2_DIALECT_302 };
		unsigned rows_found = 0;
		struct decision d;

		p->unkeyed = f[3] == 'p' ? POL_UNKEYED_PASS : POL_UNKEYED_REFUSE;
		d = admission_session(p, &si);
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			if (fnmatch(rows[i].facts, f, FNM_EXTMATCH) != 0)
				continue;
			rows_found++;
			if (d.act != (rows[i].why == CLOSE_COUNT ? DECIDE_PASS : DECIDE_CLOSE) ||
			    (d.act == DECIDE_CLOSE && d.why != rows[i].why))
				fail_msg("%s (%s): act %d, why %d", f, rows[i].facts, d.act, d.why);
		}
		if (rows_found != 1)
			fail_msg("%s: %u rows", f, rows_found);
		assert_int_equal(d.ncounts, d.act == DECIDE_CLOSE);
		n++;
	} while (next_facts(f, sets, 5));
	print_message("%u sessions\n", n);
	policy_unref(&p);
}

static void
test_dialect(void **state)
{
	static const uint16_t dialects[] = { SMB2_DIALECT_202, SMB2_DIALECT_210, SMB2_DIALECT_300,
		SMB2_DIALECT_302, SMB2_DIALECT_311 };
	struct policy *p = policy_new();

	(void)state;
	for (size_t i = 0; i < sizeof(dialects) / sizeof(dialects[0]); i++)
		for (size_t k = 0; k < sizeof(dialects) / sizeof(dialects[0]); k++) {
			struct decision d;

			p->common.auth.min_dialect = dialects[k];
			d = admission_dialect(&p->common.auth, dialects[i]);
			assert_int_equal(d.act, i < k ? DECIDE_CLOSE : DECIDE_PASS);
			if (i < k)
				assert_int_equal(d.why, CLOSE_DIALECT_REFUSED);
		}
	policy_unref(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_query_choose),
		cmocka_unit_test(test_query_request),
		cmocka_unit_test(test_query_answer),
		cmocka_unit_test(test_dialect),
		cmocka_unit_test(test_bind),
		cmocka_unit_test(test_bind_signed),
		cmocka_unit_test(test_token),
		cmocka_unit_test(test_logon),
		cmocka_unit_test(test_session),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
