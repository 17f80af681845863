/* inspect-decisions.c: the way of every interface query, and who is let in, as tables */
#include "config.h"

#include "t/unit/lib/made.h"
#include "t/unit/lib/talk.h"

#include "auth/crypt.h"
#include "auth/keys.h"
#include "auth/spnego.h"
#include "inspect/admission.h"
#include "inspect/frame.h"
#include "inspect/query.h"
#include "policy/policy.h"
#include "smb/const.h"
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
 *	3 protection   unsigned; signed, (g)ood or (b)ad; (x) signed, and no key, or no more; sealed
 *	4 key          0: none  c: CMAC or HMAC  G: GMAC
 *	5 cipher       C, or - for none
 *	6 gmac         pass refuse (s) resign
 *	7 unkeyed      pass refuse
 *	8 neighbours   l: all can be lifted, -
 *	9 node         L: would answer with a list, -
 */
static const struct query_row {
	const char *facts;
	enum query_way way;
} query_rows[] = {
	/* Policy has the first word, and then nothing is changed. */
	{ "??x???r??", WAY_UNKEYED },
	{ "p?[ugbs]??????", WAY_PASS },
	{ "p?x???p??", WAY_PASS },
	/* Sealed. */
	{ "a1s?????L", WAY_SUBSTITUTE },
	{ "a1s*-", WAY_RESEAL },
	{ "ans??????", WAY_RESEAL },
	{ "f?s??????", WAY_RESEAL },
	/* No key. */
	{ "[af]?u0?????", WAY_PLAIN },
	{ "[af]?x???p??", WAY_OPAQUE },
	/* Signed, rightly. */
	{ "a1g?????L", WAY_SUBSTITUTE },
	{ "a1gc*-", WAY_RESIGN },
	{ "@(an|f?)gc?????", WAY_RESIGN },
	{ "a1gGC??l-", WAY_LIFT },
	{ "@(an|f?)gGC??l?", WAY_LIFT },
	{ "a1gG@(-p??|Cp?-)-", WAY_GMAC },
	{ "@(an|f?)gG@(-p??|Cp?-)?", WAY_GMAC },
	{ "a1gG@(-r??|Cr?-)-", WAY_REFUSE },
	{ "@(an|f?)gG@(-r??|Cr?-)?", WAY_REFUSE },
	{ "a1gG@(-s??|Cs?-)-", WAY_RESIGN },
	{ "@(an|f?)gG@(-s??|Cs?-)?", WAY_RESIGN },
	/* Unsigned or forged on a keyed session: it goes to the node, whatever the policy says. */
	{ "[af]?[ub]c?????", WAY_RESIGN },
	{ "[af]?[ub]G?s???", WAY_RESIGN },
	{ "[af]?[ub]G?[pr]???", WAY_GMAC },
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

	return strchr("gbs", f[2]) != NULL ? keyed : f[2] == 'u' || !keyed;
}

static struct query_facts
query_facts_of(const char *f)
{
	return (struct query_facts){
		.mode = f[0] == 'a' ? POL_IF_ANNOUNCE : f[0] == 'f' ? POL_IF_FILTER : POL_IF_PASS,
		.alone = f[1] == '1',
		.sealed = f[2] == 's',
		.is_signed = strchr("gbx", f[2]) != NULL,
		.good = f[2] == 'g',
		.keyed = f[3] != '0',
		.by_gmac = f[3] == 'G',
		.cipher = f[4] == 'C',
		.gmac = f[5] == 'p'   ? POL_GMAC_PASS
		        : f[5] == 'r' ? POL_GMAC_REFUSE
		                      : POL_GMAC_RESIGN,
		.unkeyed = f[6] == 'p' ? POL_UNKEYED_PASS : POL_UNKEYED_REFUSE,
		.liftable = f[7] == 'l',
		.listed = f[8] == 'L',
	};
}

static void
test_query_choose(void **state)
{
	static const char *const sets[9] = { "afp", "1n", "ugbxs", "0cG", "C-", "prs", "pr", "l-",
		"L-" };
	const size_t nrows = sizeof(query_rows) / sizeof(query_rows[0]);
	bool seen[WAY_MALFORMED + 1] = { false };
	unsigned n = 0;
	char f[10];

	(void)state;
	first_facts(f, sets, 9);
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
	} while (next_facts(f, sets, 9));
	print_message("%u combinations\n", n);
	for (unsigned i = WAY_PASS; i < WAY_MALFORMED; i++)
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
	static const struct {
		enum query_way way;
		unsigned messages;
		enum decision_act act;
		enum close_reason why;
		uint32_t status;
	} rows[] = {
		{ WAY_NONE, 1, DECIDE_PASS, 0, 0 },
		{ WAY_PASS, 1, DECIDE_NOTE, 0, 0 },
		{ WAY_PLAIN, 1, DECIDE_NOTE, 0, 0 },
		{ WAY_OPAQUE, 2, DECIDE_NOTE, 0, 0 },
		{ WAY_SUBSTITUTE, 1, DECIDE_STAND_IN, 0, 0 },
		{ WAY_LIFT, 2, DECIDE_NOTE, 0, 0 },
		{ WAY_RESIGN, 2, DECIDE_NOTE, 0, 0 },
		{ WAY_RESEAL, 2, DECIDE_NOTE, 0, 0 },
		{ WAY_GMAC, 1, DECIDE_NOTE, 0, 0 },
		{ WAY_REFUSE, 1, DECIDE_REFUSE, 0, STATUS_NOT_SUPPORTED },
		{ WAY_REFUSE, 2, DECIDE_CLOSE, CLOSE_GMAC, 0 },
		{ WAY_UNKEYED, 1, DECIDE_CLOSE, CLOSE_UNKEYED, 0 },
		{ WAY_MALFORMED, 1, DECIDE_CLOSE, CLOSE_BAD_MESSAGE, 0 },
	};
	static struct frame f;
	struct talk t;

	(void)state;
	begin_talk(&t, NODE "interfaces \"lan\" { mode = filter }\n", "10.0.0.5");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct message msg = { .way = rows[i].way, .max_output = 1000 };
		struct decision d;

		f.n = rows[i].messages;
		d = query_request(&t.conn.mediate, &f, &msg);
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
		assert_int_equal(d.pending.mode, POL_IF_FILTER);
		assert_int_equal(d.pending.max_output, 1000);
	}
	end_talk(&t);
}

/*
 * What becomes of the answer on a session without keys, or whose keys were lost since: by the way
 * and the mode that were remembered, whatever the policy says now.
 */
static void
query_answers(const char *policy)
{
	enum answer { UNSIGNED, SIGNED, SEALED, ERROR, TOO_SMALL };
	static const struct {
		enum query_way way;
		enum answer answer;
		enum decision_act act;
		enum query_result query;
		enum counter count;
	} rows[] = {
		{ WAY_PASS, UNSIGNED, DECIDE_PASS, QUERY_NODES, STAT_ifinfo_passed },
		{ WAY_PASS, SIGNED, DECIDE_PASS, QUERY_NODES, STAT_ifinfo_passed },
		{ WAY_PASS, SEALED, DECIDE_PASS, QUERY_NODES, STAT_ifinfo_passed },
		{ WAY_PASS, ERROR, DECIDE_PASS, QUERY_ERROR, STAT_ifinfo_errors },
		{ WAY_PLAIN, UNSIGNED, DECIDE_CHANGE, QUERY_OURS, STAT_ifinfo_announced },
		{ WAY_PLAIN, SIGNED, DECIDE_PASS, QUERY_OPAQUE, STAT_ifinfo_opaque },
		{ WAY_PLAIN, ERROR, DECIDE_PASS, QUERY_ERROR, STAT_ifinfo_errors },
		{ WAY_PLAIN, TOO_SMALL, DECIDE_CHANGE, QUERY_OURS, STAT_ifinfo_announced },
		{ WAY_OPAQUE, UNSIGNED, DECIDE_CHANGE, QUERY_OURS, STAT_ifinfo_announced },
		{ WAY_OPAQUE, SIGNED, DECIDE_PASS, QUERY_OPAQUE, STAT_ifinfo_opaque },
		{ WAY_OPAQUE, ERROR, DECIDE_PASS, QUERY_ERROR, STAT_ifinfo_errors },
		{ WAY_RESIGN, UNSIGNED, DECIDE_CHANGE, QUERY_OURS, STAT_ifinfo_announced },
		{ WAY_RESIGN, SIGNED, DECIDE_PASS, QUERY_OPAQUE, STAT_ifinfo_opaque },
		{ WAY_GMAC, SIGNED, DECIDE_PASS, QUERY_OPAQUE, STAT_ifinfo_opaque },
		{ WAY_LIFT, SEALED, DECIDE_CHANGE, QUERY_OURS, STAT_ifinfo_announced },
		{ WAY_LIFT, ERROR, DECIDE_PASS, QUERY_ERROR, STAT_ifinfo_errors },
		{ WAY_RESEAL, SEALED, DECIDE_CHANGE, QUERY_OURS, STAT_ifinfo_announced },
		{ WAY_RESEAL, SIGNED, DECIDE_CLOSE, QUERY_NEVER, 0 },
		{ WAY_SUBSTITUTE, UNSIGNED, DECIDE_CLOSE, QUERY_NEVER, 0 },
	};
	static const char *const nodes[] = { "192.168.7.7", NULL };
	static struct ifinfo list[IFINFO_MAX];
	static struct frame f;
	static struct made m;
	struct talk t;

	begin_talk(&t, policy, "10.0.0.5");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct pending asked = { .kind = PENDING_IFINFO, .way = (uint8_t)rows[i].way,
			.mode = POL_IF_ANNOUNCE, .max_output = 65536, .session_id = SESSION };
		struct decision d;
		struct outcome o;

		made_init(&m);
		if (rows[i].answer == ERROR)
			put_error(&m, 5, STATUS_NOT_SUPPORTED, 0);
		else if (rows[i].answer == TOO_SMALL)
			put_error(&m, 5, STATUS_BUFFER_TOO_SMALL, 0);
		else
			put_list_resp(&m, 5, rows[i].answer == SIGNED ? SMB2_FLAGS_SIGNED : 0,
			    nodes);
		o = frame_read(&f, &t.conn.mediate, S2C, m.b, made_end(&m));
		assert_int_equal(o.act, OUTCOME_PASS);
		assert_int_equal(f.n, 1);
		f.sealed = rows[i].answer == SEALED;
		d = query_answer(&t.conn.mediate, &f, &f.msg[0], &asked, list);
		assert_int_equal(d.act, rows[i].act);
		assert_int_equal(d.query, rows[i].query);
		if (d.act == DECIDE_CLOSE) {
			assert_int_equal(d.why, CLOSE_UNEXPECTED_ANSWER);
			continue;
		}
		assert_int_equal(d.ncounts, 1);
		assert_int_equal(d.counts[0], rows[i].count);
		assert_int_equal(d.has_list, d.act == DECIDE_CHANGE);
		assert_int_equal(d.nlist, d.act == DECIDE_CHANGE);
	}
	end_talk(&t);
}

static void
test_query_answer(void **state)
{
	(void)state;
	query_answers(NODE);
	query_answers(NODE "interfaces \"lan\" { mode = pass }\ngmac = resign\nunkeyed = refuse\n");
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

/* 1 ntlm, 2 guest: allow, refuse; 3 token: 0, kerberos; NTLM: negotiate, user, x: nobody, broken */
static void
test_token(void **state)
{
	static const struct {
		const char *facts;
		uint32_t status;
		enum counter count;
	} rows[] = {
		{ "?[ar][0k]", STATUS_SUCCESS, 0 },
		{ "r?[nuxb]", STATUS_NTLM_BLOCKED, STAT_ntlm_refused },
		{ "a?[nub]", STATUS_SUCCESS, 0 },
		{ "aax", STATUS_SUCCESS, 0 },
		{ "arx", STATUS_ACCESS_DENIED, STAT_guests_refused },
	};
	static const char *const sets[] = { "ar", "ar", "0knuxb" };
	uint8_t user[256], anonymous[256];
	const size_t user_len = put_authenticate(user, sizeof(user), 32, 10);
	const size_t anonymous_len = put_authenticate(anonymous, sizeof(anonymous), 0, 0);
	struct policy *p = policy_new();
	char f[4];

	(void)state;
	first_facts(f, sets, 3);
	do {
		const struct token tokens[] = {
			{ .kind = TOKEN_NONE },
			{ .kind = TOKEN_AP_REQ, .p = user, .len = user_len },
			{ .kind = TOKEN_NTLM_NEGOTIATE, .p = user, .len = user_len },
			{ .kind = TOKEN_NTLM_AUTHENTICATE, .p = user, .len = user_len },
			{ .kind = TOKEN_NTLM_AUTHENTICATE, .p = anonymous, .len = anonymous_len },
			{ .kind = TOKEN_NTLM_AUTHENTICATE, .p = anonymous, .len = 20 },
		};
		unsigned rows_found = 0;
		struct decision d;

		p->auth.ntlm = f[0] == 'a' ? POL_AUTH_ALLOW : POL_AUTH_REFUSE;
		p->auth.guest = f[1] == 'a' ? POL_AUTH_ALLOW : POL_AUTH_REFUSE;
		d = admission_token(p, &tokens[strchr(sets[2], f[2]) - sets[2]]);
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			if (fnmatch(rows[i].facts, f, 0) != 0)
				continue;
			rows_found++;
			if (rows[i].status == STATUS_SUCCESS) {
				assert_int_equal(d.act, DECIDE_PASS);
				assert_int_equal(d.ncounts, 0);
				continue;
			}
			assert_int_equal(d.act, DECIDE_REFUSE);
			assert_int_equal(d.status, rows[i].status);
			assert_int_equal(d.counts[0], rows[i].count);
			assert_non_null(d.text);
		}
		assert_int_equal(rows_found, 1);
	} while (next_facts(f, sets, 3));
	policy_unref(&p);
}

/*
 *	1 session      user guest (x) anonymous
 *	2 key          k: keyed, -
 *	3 protection   signing required, (e)ncrypted, -
 *	4 guest        allow refuse
 *	5 unkeyed      pass refuse
 *	6 compression  pass refuse, by policy
 *	7              C: it was negotiated, -
 *	8 mode         announce filter pass
 */
static void
test_session(void **state)
{
	static const struct {
		const char *facts;
		enum close_reason why;	/* CLOSE_COUNT: let in */
	} rows[] = {
		{ "[gx]??r????", CLOSE_GUEST_REFUSED },
		{ "@(u-[se][ar]|[gx]-[se]a)r???", CLOSE_UNKEYED },
		{ "@(uk?[ar]|[gx]k?a)?rC[af]", CLOSE_COMPRESSION },
		{ "@(u--[ar]|[gx]--a)????", CLOSE_COUNT },
		{ "@(u-[se][ar]|[gx]-[se]a)p???", CLOSE_COUNT },
		{ "@(uk?[ar]|[gx]k?a)?@(p??|r-?|rCp)", CLOSE_COUNT },
	};
	static const char *const sets[] = { "ugx", "k-", "se-", "ar", "pr", "pr", "C-", "afp" };
	struct policy *p = policy_new();
	unsigned n = 0;
	char f[9];

	(void)state;
	first_facts(f, sets, 8);
	do {
		const struct session_info si = { .guest = f[0] == 'g', .anonymous = f[0] == 'x',
			.keyed = f[1] == 'k', .signing_required = f[2] == 's',
			.sealed = f[2] == 'e' };
		unsigned rows_found = 0;
		struct decision d;

		p->auth.guest = f[3] == 'a' ? POL_AUTH_ALLOW : POL_AUTH_REFUSE;
		p->unkeyed = f[4] == 'p' ? POL_UNKEYED_PASS : POL_UNKEYED_REFUSE;
		p->compression = f[5] == 'p' ? POL_COMPRESSION_PASS : POL_COMPRESSION_REFUSE;
		d = admission_session(p, &si, f[6] == 'C',
		    f[7] == 'a' ? POL_IF_ANNOUNCE : f[7] == 'f' ? POL_IF_FILTER : POL_IF_PASS);
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
		assert_int_equal(d.ncounts, d.act == DECIDE_CLOSE && d.why == CLOSE_GUEST_REFUSED);
		n++;
	} while (next_facts(f, sets, 8));
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

			p->auth.min_dialect = dialects[k];
			d = admission_dialect(p, dialects[i]);
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
		cmocka_unit_test(test_session),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
