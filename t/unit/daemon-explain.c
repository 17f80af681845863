/* daemon-explain.c: the verdict on a client: every reason, alone and beside others */
#include "config.h"

#include "auth/nokey.h"
#include "daemon/explain.h"
#include "inspect/announce.h"
#include "inspect/caller.h"
#include "inspect/query_seen.h"
#include "inspect/session_info.h"
#include "nodes/node.h"
#include "policy/acl.h"
#include "policy/policy.h"
#include "smb/const.h"
#include "stats/refusals.h"
#include "stats/refused.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/*
 * A client as a text, a letter a fact; without any it is one of SMB 3.1.1 with one channel, keyed,
 * that has asked and was told two addresses of which one has RSS.
 */
static const char facts_text[] =
    "2: two channels, n: no session, 1: SMB1, d: dialect 2.1, g: guest, c: client lacks it, "
    "s: node lacks it, k: no key, e: encrypts, q: not asked, z: zero GUID, v: forbidden address, "
    "b: bound elsewhere; told N: none, O: one, S: one slower, R: no RSS, P: mode = pass; "
    "E: error, L: too small, G: GMAC passed, H: refused, U: opaque; "
    "refused A: address, M: other node, K: no key";

struct world {
	struct policy *policy;
	struct node node;
	struct session_info si;
	struct channel_info channels[2];
	struct refusal refusals[3];
	const struct refusal *refused[3];
	struct query_seen *seen;
	struct explain_facts f;
};

static struct addr
addr_of(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(&a, text), 0);
	return a;
}

static bool
has(const char *facts, char c)
{
	return strchr(facts, c) != NULL;
}

static void
deny(struct world *w, const char *text, int line)
{
	struct prefix p;

	assert_int_equal(prefix_parse(&p, text), 0);
	assert_int_equal(acl_add(w->policy->addresses, &p, true), 0);
	acl_stands(w->policy->addresses, 0, line);
}

static void
tell(struct world *w, const char *facts)
{
	static const struct {
		char letter;
		enum query_result query;
	} results[] = { { 'P', QUERY_NODES }, { 'E', QUERY_ERROR }, { 'L', QUERY_ERROR },
		{ 'G', QUERY_GMAC }, { 'H', QUERY_REFUSED }, { 'U', QUERY_OPAQUE } };
	struct ifinfo told[2] = { { .ifindex = 1, .link_speed = 10 }, { .ifindex = 2 } };
	const struct ifinfo removed = { .addr = addr_of("10.9.0.1") };
	struct query_lists l = { .told = told, .ntold = 2, .removed = &removed };

	told[0].addr = addr_of("10.1.0.5");
	told[1].addr = addr_of("10.1.0.6");
	told[1].link_speed = has(facts, 'S') ? 1 : 10;
	if (!has(facts, 'S') && !has(facts, 'R') && !has(facts, 'O'))
		told[1].capability = IFINFO_RSS_CAPABLE;
	if (has(facts, 'N') || has(facts, 'L') || has(facts, 'E'))
		l.ntold = 0;
	else if (has(facts, 'O'))
		l.ntold = 1;
	l.nremoved = has(facts, 'N');
	w->seen = query_seen_new(&l);
	assert_non_null(w->seen);
	w->seen->at_ms = 2000;
	w->seen->via = w->channels[0].ends.local.addr;
	w->seen->too_small = has(facts, 'L');
	w->si.asked = w->seen;
	w->si.query = QUERY_OURS;
	for (size_t i = 0; i < COUNT(results); i++)
		if (has(facts, results[i].letter))
			w->si.query = results[i].query;
}

static void
refuse(struct world *w, const char *code)
{
	struct refusal *r = &w->refusals[w->f.nrefused];

	*r = (struct refusal){ .at_ms = 5000, .local.addr = addr_of("10.9.0.1") };
	while (strcmp(refusals_code(r->kind), code) != 0)
		r->kind++;
	w->refused[w->f.nrefused++] = r;
}

static void
begin(struct world *w, const char *facts)
{
	*w = (struct world){ .policy = policy_new(), .node.name = "n1" };
	assert_non_null(w->policy);
	deny(w, "10.9.0.0/16", 7);
	w->channels[0].ends.local.addr = addr_of(has(facts, 'v') ? "10.9.0.1" : "10.1.0.5");
	w->channels[1].ends.local.addr = addr_of("10.1.0.6");
	w->channels[0].bound = has(facts, 'b');
	w->si = (struct session_info){
		.node = &w->node,
		.dialect = has(facts, 'd') ? SMB2_DIALECT_210 : SMB2_DIALECT_311,
		.guest = has(facts, 'g'),
		.client_multichannel = !has(facts, 'c'),
		.node_multichannel = !has(facts, 's'),
		.keyed = !has(facts, 'k') && !has(facts, 'e'),
		.sealed = has(facts, 'e'),
		.signing_required = has(facts, 'k'),
		.since_ms = 1000,
	};
	w->f = (struct explain_facts){
		.policy = w->policy,
		.policy_name = "/etc/smbgate/policy.conf",
		.listener = "lan",
		.session = has(facts, 'n') ? NULL : &w->si,
		.channels = has(facts, 'n') ? NULL : w->channels,
		.nchannels = has(facts, 'n') ? 0 : has(facts, '2') ? 2 : 1,
		.smb1 = has(facts, '1'),
		.zero_guid = has(facts, 'z'),
		.refused = w->refused,
	};
	if (!has(facts, 'q') && !has(facts, 'n'))
		tell(w, facts);
	if (has(facts, 'A'))
		refuse(w, "bind_denied_address");
	if (has(facts, 'M'))
		refuse(w, "bind_other_node");
	if (has(facts, 'K'))
		refuse(w, "unkeyed_refused");
}

static void
end(struct world *w)
{
	policy_unref(&w->policy);
	free(w->seen);
}

/* The codes in their order, a dash before those that do not block; where the verdict points. */
static const struct {
	const char *facts, *codes, *where;
} verdicts[] = {
	{ "", "-nothing_in_the_way", "" },
	{ "z", "-zero_guid -nothing_in_the_way", "" },
	{ "2", "-on", "" },
	{ "2O", "-on -told_one", "" },
	{ "2kU", "-on -opaque", "" },
	{ "2A", "-on -bind_denied_address", "" },
	{ "n1", "smb1 not_asked", "" },
	{ "n", "not_asked", "" },
	{ "nK", "unkeyed_refused not_asked", "" },
	{ "nA", "bind_denied_address not_asked", "policy.conf:7" },
	{ "nM", "bind_other_node not_asked", "" },
	{ "dq", "dialect_below_3", "" },
	{ "dgcsq", "dialect_below_3 guest", "" },
	{ "gq", "guest", "" },
	{ "cq", "client_no_multichannel", "" },
	{ "csq", "client_no_multichannel", "" },
	{ "sq", "node_no_multichannel", "" },
	{ "q", "not_asked", "" },
	{ "kq", "opaque not_asked", "" },
	{ "eq", "opaque unseen", "" },
	{ "bq", "unseen", "" },
	{ "kU", "opaque", "" },
	{ "k", "-opaque -nothing_in_the_way", "" },
	{ "kN", "-opaque told_none", "policy.conf:7" },
	{ "A", "bind_denied_address", "policy.conf:7" },
	{ "MkU", "bind_other_node opaque", "" },
	{ "K", "unkeyed_refused", "" },
	{ "G", "gmac_passed", "" },
	{ "H", "gmac_refused", "" },
	{ "v", "asked_via_denied", "policy.conf:7" },
	{ "vO", "asked_via_denied told_one", "policy.conf:7" },
	{ "N", "told_none", "policy.conf:7" },
	{ "L", "list_too_small", "" },
	{ "E", "node_error", "" },
	{ "O", "told_one", "" },
	{ "PO", "told_one", "" },
	{ "PN", "-nothing_in_the_way", "" },
	{ "S", "told_slower", "" },
	{ "R", "told_no_rss", "" },
	{ "Rz", "told_no_rss -zero_guid", "" },
};

static bool seen_codes[EXPLAIN_CODES];

static void
check_verdict(size_t i)
{
	struct explain_reason r[EXPLAIN_CODES];
	const struct explain_reason *v;
	char text[512] = "";
	struct world w;
	size_t n, len = 0;

	begin(&w, verdicts[i].facts);
	n = explain(&w.f, r);
	v = explain_verdict(r, n);
	for (size_t k = 0; k < n; k++) {
		assert_true(r[k].text[0] != '\0');
		assert_true(r[k].fix != NULL || !r[k].blocks);
		/* What blocks and comes before the verdict would be the verdict. */
		assert_true(!r[k].blocks || &r[k] >= v);
		seen_codes[r[k].code] = true;
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s%s",
		    len > 0 ? " " : "", r[k].blocks ? "" : "-", explain_code_str(r[k].code));
	}
	if (strcmp(text, verdicts[i].codes) != 0 || strcmp(v->where, verdicts[i].where) != 0 ||
	    (!v->blocks && v->code != EXPLAIN_on && v != &r[n - 1]))
		fail_msg("\"%s\": %s, at \"%s\" (%s)", verdicts[i].facts, text, v->where,
		    facts_text);
	end(&w);
}

static void
test_verdicts(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(verdicts); i++)
		check_verdict(i);
	for (enum explain_code c = 0; c < EXPLAIN_CODES; c++)
		if (!seen_codes[c])
			fail_msg("no row has %s", explain_code_str(c));
}

/* What was refused before somebody logged on is over. */
static void
test_over(void **state)
{
	struct explain_reason r[EXPLAIN_CODES];
	struct world w;
	size_t n;

	(void)state;
	begin(&w, "K");
	w.si.since_ms = 6000;
	n = explain(&w.f, r);
	assert_int_equal(explain_verdict(r, n)->code, EXPLAIN_nothing_in_the_way);
	end(&w);
}

/* Each word is known, and has its cure; what has none says so. */
static void
test_causes(void **state)
{
	struct nokey n;

	(void)state;
	for (int c = 0; c < NOKEY_CAUSES; c++) {
		assert_true((nokey_word((enum nokey_cause)c) == NULL) == (c == NOKEY_other));
		assert_true((nokey_fix((enum nokey_cause)c) == NULL) == (c == NOKEY_other));
	}
	assert_string_equal(nokey_word(NOKEY_keyd_died), "keyd_died");
	nokey_say(&n, NOKEY_ntlmv1, "%0300d", 7);
	assert_int_equal(n.cause, NOKEY_ntlmv1);
	assert_int_equal(strlen(n.text), NOKEY_TEXT - 1);
}

/* Each address that did not reach the client is named once, and where it was taken away. */
static void
test_removed(void **state)
{
	static struct pol_iface own[2];
	static struct pol_interfaces sec = { .listener = "lan", .mode_line = 3, .n = 2 };
	const struct ifinfo node[] = { { .addr = addr_of("10.2.0.1") },
		{ .addr = addr_of("10.2.0.1") }, { .addr = addr_of("10.1.0.5") } };
	struct ifinfo told, out[8];
	struct query_lists l = { .told = &told, .ntold = 1, .node = node, .nnode = 3 };
	struct world w;
	char where[EXPLAIN_WHERE];

	(void)state;
	begin(&w, "");
	own[0].addr = told.addr = addr_of("10.1.0.5");
	own[1].addr = addr_of("10.9.0.1");
	sec.list = own;
	w.policy->interfaces = &sec;
	w.policy->ninterfaces = 1;
	assert_int_equal(announce_removed(w.policy, "lan", false, &l, out, COUNT(out)), 2);
	explain_where_removed(&w.f, &out[0].addr, where);
	assert_string_equal(where, "policy.conf:7");
	explain_where_removed(&w.f, &out[1].addr, where);
	assert_string_equal(where, "policy.conf:3");
	/* No more than there is room for; and of a node's list filtered, that alone. */
	assert_int_equal(announce_removed(w.policy, "lan", false, &l, out, 1), 1);
	sec.mode = POL_IF_FILTER;
	assert_int_equal(announce_removed(w.policy, "lan", false, &l, out, COUNT(out)), 1);
	assert_true(addr_equal(&out[0].addr, &node[0].addr));
	explain_where_removed(&w.f, &out[0].addr, where);
	assert_string_equal(where, "");
	w.policy->interfaces = NULL;
	w.policy->ninterfaces = 0;
	end(&w);
}

/* More than is kept is cut, and a copy is the same. */
static void
test_seen(void **state)
{
	static struct ifinfo many[40];
	struct query_lists l = { .told = many, .ntold = 40, .node = many + 1, .nnode = 2,
		.removed = many + 20, .nremoved = 3 };
	struct query_seen *s, *copy;

	(void)state;
	for (size_t i = 0; i < COUNT(many); i++)
		many[i].ifindex = (uint32_t)i;
	s = query_seen_new(&l);
	assert_non_null(s);
	s->count = 9;
	s->too_small = true;
	copy = query_seen_dup(s);
	assert_non_null(copy);
	assert_int_equal(copy->ntold, SESSION_LIST_MAX);
	assert_int_equal(copy->list[15].ifindex, 15);
	assert_int_equal(query_seen_node(copy)[1].ifindex, 2);
	assert_int_equal(query_seen_removed(copy)[2].ifindex, 22);
	assert_int_equal(copy->count, 9);
	assert_true(copy->too_small);
	free(s);
	free(copy);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_over),
		cmocka_unit_test(test_causes),
		cmocka_unit_test(test_removed),
		cmocka_unit_test(test_seen),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
