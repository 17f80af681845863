/* policy-policy.c: unit tests of policy.conf: address rules, loading, errors, printing, diffs */
#include "config.h"

#include "policy/acl.h"
#include "policy/addrwords.h"
#include "policy/conffile.h"
#include "policy/diff.h"
#include "policy/policy.h"
#include "policy/print.h"
#include "policy/schema.h"
#include "policy/units.h"
#include "t/unit/lib/memory.h"
#include "t/unit/lib/policy.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>

#include <cmocka.h>

static char dir[PATH_MAX], path[PATH_MAX];

/* Rules for addresses. */

struct acl_case {
	const char *rules;	/* "+prefix" allows, "-prefix" denies, in this order */
	const char *addr;
	bool allowed;
};

static const struct acl_case acl_cases[] = {
	{ "", "10.0.0.1", true },
	{ "", "fd00::1", true },
	{ "-10.0.0.1", "10.0.0.1", false },
	{ "-10.0.0.1", "10.0.0.2", true },
	{ "+10.0.0.0/24", "10.0.0.1", true },
	{ "+10.0.0.0/24", "10.0.1.1", false },
	{ "+10.0.0.0/24", "fd00::1", false },
	/* The longer prefix decides, wherever it stands. */
	{ "+10.0.0.0/8 -10.1.0.0/16", "10.1.0.1", false },
	{ "-10.1.0.0/16 +10.0.0.0/8", "10.1.0.1", false },
	{ "+10.0.0.0/8 -10.1.0.0/16", "10.2.0.1", true },
	{ "-10.0.0.0/8 +10.1.0.0/16", "10.1.0.1", true },
	{ "+10.1.0.0/16 -10.0.0.0/8", "10.1.0.1", true },
	{ "+10.0.0.0/8 -10.1.0.0/16 +10.1.2.0/24 -10.1.2.3", "10.1.2.3", false },
	{ "+10.0.0.0/8 -10.1.0.0/16 +10.1.2.0/24 -10.1.2.3", "10.1.2.4", true },
	{ "-10.1.2.3 +10.1.2.0/24 -10.1.0.0/16 +10.0.0.0/8", "10.1.2.4", true },
	{ "-10.1.2.3 +10.1.2.0/24 -10.1.0.0/16 +10.0.0.0/8", "10.1.3.4", false },
	/* A tie is denied, in both orders. */
	{ "+10.0.0.1 -10.0.0.1", "10.0.0.1", false },
	{ "-10.0.0.1 +10.0.0.1", "10.0.0.1", false },
	{ "-10.0.0.0/24 +10.0.0.0/24", "10.0.0.9", false },
	{ "+10.0.0.1 -10.0.0.1 +10.0.0.1", "10.0.0.1", false },
	/* No allow rule that matches: only with no allow rule at all it is allowed. */
	{ "-10.0.0.0/8", "11.0.0.1", true },
	{ "-10.0.0.0/8 +12.0.0.0/8", "11.0.0.1", false },
	/* IPv6, and IPv4 in its clothes. */
	{ "+fd00:1::/64", "fd00:1::9", true },
	{ "+fd00:1::/64", "fd00:1:0:1::9", false },
	{ "+fd00:1::/64 -fd00:1::9", "fd00:1::9", false },
	{ "+::/0 -fd00::/8", "fd00::1", false },
	{ "+::/0 -fd00::/8", "2001:db8::1", true },
	{ "-10.0.0.1", "::ffff:10.0.0.1", false },
	{ "-::ffff:10.0.0.1", "10.0.0.1", false },
	{ "-::ffff:10.0.0.0/104", "10.200.0.1", false },
	{ "+0.0.0.0/0", "10.0.0.1", true },
	{ "+0.0.0.0/0", "fd00::1", false },
	{ "+::/0", "10.0.0.1", false },
	{ "-::/0", "10.0.0.1", true },
	{ "+::/0 +0.0.0.0/0", "10.0.0.1", true },
	{ "+10.0.0.0/31 -10.0.0.0/32", "10.0.0.1", true },
	{ "+10.0.0.128/25", "10.0.0.127", false },
	{ "+10.0.0.128/25", "10.0.0.128", true },
};

static void
test_acl(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(acl_cases); i++) {
		const struct acl_case *c = &acl_cases[i];
		char *rules = strdup(c->rules), *rest = rules, *word;
		struct acl a = { .n = 0 };
		struct addr addr;

		while ((word = strsep(&rest, " ")) != NULL && *word != '\0') {
			struct prefix p;

			assert_int_equal(prefix_parse(&p, word + 1), 0);
			assert_int_equal(acl_add(&a, &p, *word == '-'), 0);
		}
		assert_int_equal(addr_parse(&addr, c->addr), 0);
		if (acl_allows(&a, &addr) != c->allowed)
			fail_msg("\"%s\" and %s", c->rules, c->addr);
		acl_fini(&a);
		assert_int_equal(a.n, 0);
		free(rules);
	}
}

static void
test_acl_full(void **state)
{
	struct acl a = { .n = 0 };
	struct prefix p;

	(void)state;
	assert_int_equal(prefix_parse(&p, "10.0.0.1"), 0);
	for (int i = 0; i < ACL_RULES_MAX; i++)
		assert_int_equal(acl_add(&a, &p, true), 0);
	assert_int_equal(acl_add(&a, &p, true), -1);
	assert_int_equal(a.n, ACL_RULES_MAX);
	acl_fini(&a);
}

/* Values. */

#define NONE (UINT64_MAX - 1)

static const struct {
	const char *text;
	uint64_t ms, bps;	/* NONE: not of that kind */
} values[] = {
	{ "0", 0, 0 },
	{ "00", 0, 0 },
	{ "0s", 0, NONE },
	{ "0h", 0, NONE },
	{ "1ms", 1, NONE },
	{ "500ms", 500, NONE },
	{ "2s", 2000, NONE },
	{ "15m", 900000, NONE },
	{ "1h", 3600000, NONE },
	{ "1d", 86400000, NONE },
	{ "30", NONE, 30 },
	{ "1000000000", NONE, 1000000000 },
	{ "25G", NONE, 25000000000 },
	{ "2.5G", NONE, 2500000000 },
	{ "2.5K", NONE, 2500 },
	{ "100M", NONE, 100000000 },
	{ "1T", NONE, 1000000000000 },
	{ "007s", 7000, NONE },
	{ "", NONE, NONE },
	{ "s", NONE, NONE },
	{ "G", NONE, NONE },
	{ ".5G", NONE, NONE },
	{ "2.", NONE, NONE },
	{ "2.5", NONE, NONE },
	{ "2.55G", NONE, NONE },
	{ "2.5s", NONE, NONE },
	{ "-1s", NONE, NONE },
	{ "+1s", NONE, NONE },
	{ " 1s", NONE, NONE },
	{ "1s ", NONE, NONE },
	{ "1 s", NONE, NONE },
	{ "1S", NONE, NONE },
	{ "1sec", NONE, NONE },
	{ "1g", NONE, NONE },
	{ "1GB", NONE, NONE },
	{ "1h30m", NONE, NONE },
	{ "0x10", NONE, NONE },
	{ "1e3", NONE, NONE },
	{ "18446744073709551615ms", UINT64_MAX, NONE },
	{ "18446744073709551616ms", UINT64_MAX, NONE },
	{ "99999999999999999999999h", UINT64_MAX, NONE },
	{ "18446744073709551615", NONE, UINT64_MAX },
	{ "99999999999999999999999.9G", NONE, UINT64_MAX },
	{ "99999999999G", NONE, UINT64_MAX },
};

static void
test_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(values); i++) {
		char *text = strdup(values[i].text);
		uint64_t v = NONE;

		if (units_duration(&v, text) == -1)
			v = NONE;
		if (v != values[i].ms)
			fail_msg("\"%s\" as a time", text);
		v = NONE;
		if (units_speed(&v, text) == -1)
			v = NONE;
		if (v != values[i].bps)
			fail_msg("\"%s\" as a speed", text);
		free(text);
	}
}

static void
test_duration_str(void **state)
{
	static const struct {
		uint64_t ms;
		const char *text;
	} cases[] = { { 0, "0" }, { 1, "1ms" }, { 1500, "1500ms" }, { 2000, "2s" },
		{ 90000, "90s" }, { 900000, "15m" }, { 3600000, "1h" }, { 86400000, "24h" } };
	char text[UNITS_STRLEN];
	uint64_t v;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_string_equal(units_duration_str(cases[i].ms, text), cases[i].text);
		assert_int_equal(units_duration(&v, cases[i].text), 0);
		assert_true(v == cases[i].ms);
	}
}

static void
test_paths(void **state)
{
	static const struct {
		const char *file, *path, *joined;
	} cases[] = {
		{ "policy.conf", "x", "x" },
		{ "policy.conf", "/x", "/x" },
		{ "/etc/smbgate/policy.conf", "x", "/etc/smbgate/x" },
		{ "/etc/smbgate/policy.conf", "../x", "/etc/smbgate/../x" },
		{ "/etc/smbgate/policy.conf", "/x", "/x" },
		{ "/policy.conf", "x", "/x" },
		{ "a/b", "c/d", "a/c/d" },
	};
	char cwd[PATH_MAX], want[PATH_MAX + 8], *p;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		p = conffile_path(cases[i].file, cases[i].path);
		assert_string_equal(p, cases[i].joined);
		free(p);
	}
	assert_non_null(getcwd(cwd, sizeof(cwd)));
	snprintf(want, sizeof(want), "%s/x/y", cwd);
	p = conffile_absolute("x/y");
	assert_string_equal(p, want);
	free(p);
	p = conffile_absolute("/x/y");
	assert_string_equal(p, "/x/y");
	free(p);
}

static void
test_names(void **state)
{
	char name[66];

	(void)state;
	assert_true(setting_name("n1"));
	assert_true(setting_name("A.b_c-9"));
	assert_false(setting_name(""));
	assert_false(setting_name("a b"));
	assert_false(setting_name("a/b"));
	assert_false(setting_name("\xc3\xa4"));
	memset(name, 'x', sizeof(name));
	name[64] = '\0';
	assert_false(setting_name(name));
	name[63] = '\0';
	assert_true(setting_name(name));
}

/* Good files. */

static struct policy *
load(const char *text, struct errlist *e)
{
	file_write(path, text, strlen(text));
	*e = (struct errlist){ .n = 0 };
	return schema_load(path, e);
}

static struct policy *
load_good(const char *text)
{
	struct errlist e;
	struct policy *p = load(text, &e);

	if (p == NULL)
		fail_msg("%s", e.n > 0 ? e.text[0] : "no policy and no error");
	assert_int_equal(e.total, 0);
	errlist_fini(&e);
	return p;
}

#define NODE "node \"n1\" { address = \"127.0.0.11:1445\" }\n"

static const char full[] =
    "# everything, with no default in it\n"
    "node \"n1\" { address = \"127.0.0.11:1445\" weight = 2 }\n"
    "node n2 {\n"
    "\taddress = '[fd00::2]:1445'  // in brackets\n"
    "\tstate = drain\n"
    "}\n"
    "/* three nodes;\n"
    "   the last \"one\n"
    "   has no port */\n"
    "node \"n-3.x_Y\" { address = \"127.0.0.13\" state = \"maint\" weight = \"1000\" }\n"
    "addresses {\n"
    "\tallow = { \"10.1.0.0/24\", \"fd00:1::/64\",\n"
    "\t\t10.2.0.0/16 }\n"
    "\tdeny = { \"10.1.0.100\" }\n"
    "\tdeny += { \"10.1.0.101\" }\n"
    "}\n"
    "interfaces \"lan\" {\n"
    "\tmode = announce\n"
    "\taddress \"10.1.0.5\" { speed = \"25G\" rss = true ifindex = 2 }\n"
    "\taddress \"10.1.0.6\" { speed = 2.5G rss = no }\n"
    "\taddress \"fd00:1::5\" { }\n"
    "\taddress \"::ffff:10.1.0.7\" { ifindex = 1 rss = on }\n"
    "}\n"
    "interfaces \"dmz\" { mode = filter }\n"
    "interfaces \"vpn\" { mode = \"pass\" }\n"
    "interfaces \"bare\" { }\n"
    "smb1 = allow unkeyed = \"refuse\"\n"
    "gmac=resign compression = pass\n"
    "auth { ntlm = refuse guest = \"refuse\" min-dialect = 3.0.2 }\n"
    "pin-linger = \"1h\" no-node = reset\n"
    "health { interval = 50ms timeout = \"1s\" rise = 1 fall = 2 slow-start = 0\n"
    "\tflap-changes = 4 flap-window = \"61s\" flap-hold = \"62s\"\n"
    "\tlogon-fall = 5 logon-hold = \"63s\" hang = \"33s\" }\n"
    "limits { first-frame = \"6s\" negotiate = \"11s\" logon = \"31s\" unauthenticated = 100\n"
    "\tunauthenticated-per-source = 10 connections-per-source = 200\n"
    "\tunauthenticated-memory = 4M accept-rate = 0 accept-burst = 7 }\n"
    "tcp { keepalive-idle = \"31s\" keepalive-interval = \"11s\" keepalive-count = 4\n"
    "\tclient-timeout = \"61s\" node-timeout = \"12s\" connect-timeout = \"1500ms\" }";

static void
check_addr(const struct addr *a, const char *text)
{
	char s[ADDR_STRLEN];

	assert_string_equal(addr_str(a, s), text);
}

static void
check_node(const struct pol_node *n, const char *name, const char *address, unsigned weight,
    enum pol_nodestate node_state)
{
	char s[ADDR_STRLEN];

	assert_string_equal(n->name, name);
	assert_string_equal(addrport_str(&n->address, s), address);
	assert_int_equal(n->weight, weight);
	assert_int_equal(n->state, node_state);
}

static void
test_full(void **state)
{
	struct policy *p = load_good(full);
	const struct pol_interfaces *ifs;
	struct addr a;

	(void)state;
	assert_int_equal(p->refs, 1);
	assert_int_equal(p->nnodes, 3);
	check_node(&p->nodes[0], "n1", "127.0.0.11:1445", 2, POL_NODE_ACTIVE);
	check_node(&p->nodes[1], "n2", "[fd00::2]:1445", 1, POL_NODE_DRAIN);
	check_node(&p->nodes[2], "n-3.x_Y", "127.0.0.13:445", 1000, POL_NODE_MAINT);
	assert_ptr_equal(policy_node(p, "n2"), &p->nodes[1]);
	assert_null(policy_node(p, "n"));

	assert_int_equal(p->addresses->n, 5);
	assert_false(p->addresses->rules[2].deny);
	assert_true(p->addresses->rules[3].deny);
	assert_int_equal(addr_parse(&a, "10.1.0.101"), 0);
	assert_false(policy_allows(p, &a));
	assert_int_equal(addr_parse(&a, "10.2.3.4"), 0);
	assert_true(policy_allows(p, &a));

	assert_int_equal(p->ninterfaces, 4);
	ifs = policy_interfaces(p, "lan");
	assert_ptr_equal(ifs, &p->interfaces[0]);
	assert_null(policy_interfaces(p, "wan"));
	assert_int_equal(ifs->mode, POL_IF_ANNOUNCE);
	assert_int_equal(ifs->n, 4);
	check_addr(&ifs->list[0].addr, "10.1.0.5");
	check_addr(&ifs->list[2].addr, "fd00:1::5");
	check_addr(&ifs->list[3].addr, "10.1.0.7");
	assert_true(ifs->list[0].speed == 25000000000);
	assert_true(ifs->list[1].speed == 2500000000);
	assert_true(ifs->list[2].speed == 1000000000);
	assert_true(ifs->list[0].rss && !ifs->list[1].rss && !ifs->list[2].rss && ifs->list[3].rss);
	assert_int_equal(ifs->list[0].ifindex, 2);
	assert_int_equal(ifs->list[1].ifindex, 3);
	assert_int_equal(ifs->list[2].ifindex, 4);
	assert_int_equal(ifs->list[3].ifindex, 1);
	assert_int_equal(policy_interfaces(p, "dmz")->mode, POL_IF_FILTER);
	assert_int_equal(policy_interfaces(p, "vpn")->mode, POL_IF_PASS);
	assert_int_equal(policy_interfaces(p, "bare")->mode, POL_IF_ANNOUNCE);
	assert_int_equal(policy_interfaces(p, "bare")->n, 0);

	assert_int_equal(p->common.smb1, POL_SMB1_ALLOW);
	assert_int_equal(p->unkeyed, POL_UNKEYED_REFUSE);
	assert_int_equal(p->gmac, POL_GMAC_RESIGN);
	assert_int_equal(p->compression, POL_COMPRESSION_PASS);
	assert_int_equal(p->common.auth.ntlm, POL_AUTH_REFUSE);
	assert_int_equal(p->common.auth.guest, POL_AUTH_REFUSE);
	assert_int_equal(p->common.auth.min_dialect, 0x0302);
	assert_int_equal(p->pin_linger, 3600000);
	assert_int_equal(p->no_node, POL_NO_NODE_RESET);
	assert_memory_equal(&p->health,
	    (&(struct pol_health){ .interval = 50, .timeout = 1000, .rise = 1, .fall = 2,
	        .slow_start = 0, .flap_changes = 4, .flap_window = 61000, .flap_hold = 62000,
	        .hang = 33000, .logon_fall = 5, .logon_hold = 63000 }),
	    sizeof(p->health));
	assert_memory_equal(&p->limits,
	    (&(struct pol_limits){ 6000, 11000, 31000, 100, 10, 200, 4000000, 0, 7 }),
	    sizeof(p->limits));
	assert_memory_equal(&p->tcp,
	    (&(struct pol_tcp){ 31000, 11000, 4, 61000, 12000, 1500 }), sizeof(p->tcp));
	policy_unref(&p);
	assert_null(p);
	policy_unref(&p);
}

/* The defaults are those that policy_new() has and the manual page names. */
static void
test_defaults(void **state)
{
	struct policy *p = load_good(NODE), *d = policy_new();

	(void)state;
	assert_non_null(d);
	check_node(&p->nodes[0], "n1", "127.0.0.11:1445", 1, POL_NODE_ACTIVE);
	assert_int_equal(p->ninterfaces, 0);
	assert_int_equal(p->addresses->n, 0);
	for (int i = 0; i < 2; i++) {
		const struct policy *x = i == 0 ? p : d;

		assert_int_equal(x->common.smb1, POL_SMB1_REFUSE);
		assert_int_equal(x->unkeyed, POL_UNKEYED_PASS);
		assert_int_equal(x->gmac, POL_GMAC_PASS);
		assert_int_equal(x->compression, POL_COMPRESSION_REFUSE);
		assert_int_equal(x->common.auth.ntlm, POL_AUTH_ALLOW);
		assert_int_equal(x->common.auth.guest, POL_AUTH_ALLOW);
		assert_int_equal(x->common.auth.min_dialect, 0x0202);
		assert_int_equal(x->pin_linger, 900000);
		assert_int_equal(x->no_node, POL_NO_NODE_HOLD);
		assert_memory_equal(&x->health,
		    (&(struct pol_health){ .interval = 2000, .timeout = 2000, .rise = 2, .fall = 3,
		        .slow_start = 30000, .flap_changes = 3, .flap_window = 60000,
		        .flap_hold = 60000, .hang = 30000, .logon_fall = 3, .logon_hold = 60000 }),
		    sizeof(x->health));
		assert_memory_equal(&x->limits,
		    (&(struct pol_limits){ 60000, 60000, 300000, 16384, 12288, 32768, 32000000,
		        1000, 10000 }),
		    sizeof(x->limits));
		assert_memory_equal(&x->tcp,
		    (&(struct pol_tcp){ 30000, 10000, 3, 900000, 10000, 3000 }), sizeof(x->tcp));
	}
	policy_unref(&p);
	policy_unref(&d);
}

/* Interception, and whose address the nodes see. */
#define SOURCED \
	"node n1 { address = \"10.2.0.11\"" \
	" other-addresses = { \"fd00:2::11\", \"10.3.0.11\" } }\n" \
	"node n2 { address = \"10.2.0.12:1445\" other-addresses = \"::ffff:10.3.0.12\" }\n" \
	"node n3 { address = \"10.2.0.11:1445\" }\n" \
	"rebalance = true\n" \
	"source = pool source-pool = { \"10.2.0.101\", \"fd00:2::101\", \"::ffff:10.2.0.102\" }\n"

static void
check_node_at(const struct policy *p, const char *address, const char *name)
{
	const struct pol_node *n;
	struct addrport a;

	assert_int_equal(addrport_parse(&a, address, 445), 0);
	n = policy_node_at(p, &a);
	if (name == NULL) {
		assert_null(n);
		return;
	}
	assert_non_null(n);
	assert_string_equal(n->name, name);
	assert_true(pol_node_has(n, &a.addr));
}

static void
test_source(void **state)
{
	struct policy *p = load_good(NODE), *q = load_good(SOURCED);

	(void)state;
	assert_int_equal(p->common.source, POL_SOURCE_OWN);
	assert_int_equal(p->common.source_line, 0);
	assert_int_equal(p->npool, 0);
	assert_int_equal(p->nodes[0].nothers, 0);
	assert_false(p->rebalance);

	assert_true(q->rebalance);
	assert_int_equal(q->common.source, POL_SOURCE_POOL);
	assert_int_equal(q->common.source_line, 5);
	assert_int_equal(q->npool, 3);
	check_addr(&q->pool[0], "10.2.0.101");
	check_addr(&q->pool[1], "fd00:2::101");
	check_addr(&q->pool[2], "10.2.0.102");
	assert_int_equal(q->nodes[0].nothers, 2);
	check_addr(&q->nodes[0].others[0], "fd00:2::11");
	check_addr(&q->nodes[0].others[1], "10.3.0.11");
	check_addr(&q->nodes[1].others[0], "10.3.0.12");

	check_node_at(q, "10.2.0.11", "n1");
	check_node_at(q, "10.2.0.11:1445", "n3");
	check_node_at(q, "10.2.0.11:139", "n1");
	check_node_at(q, "10.3.0.11:9", "n1");
	check_node_at(q, "[fd00:2::11]", "n1");
	check_node_at(q, "10.3.0.12", "n2");
	check_node_at(q, "10.2.0.12", "n2");
	check_node_at(q, "10.2.0.13", NULL);
	check_node_at(q, "[fd00:2::12]", NULL);
	policy_unref(&p);
	policy_unref(&q);
	p = load_good(NODE "\nsource = transparent rebalance = no\n");
	assert_int_equal(p->common.source, POL_SOURCE_TRANSPARENT);
	assert_int_equal(p->common.source_line, 3);
	assert_false(p->rebalance);
	policy_unref(&p);
}

static bool
same_rules(const struct pol_listener *a, const struct pol_listener *b)
{
	return strcmp(a->name, b->name) == 0 && a->smb1 == b->smb1 && a->source == b->source &&
	    a->vc_reset == b->vc_reset && a->auth.ntlm == b->auth.ntlm &&
	    a->auth.guest == b->auth.guest && a->auth.min_dialect == b->auth.min_dialect;
}

/* What a listener does not say is what the file says, before or behind it. */
#define LISTENED \
	NODE "smb1 = allow\n" \
	"listener vpn4 { smb1 = refuse ntlm = refuse\nsource = transparent }\n" \
	"listener lan { vc-reset = identity min-dialect = 3.1.1 }\nlistener bare { }\n" \
	"vc-reset = address auth { guest = refuse }\n"

static void
test_listeners(void **state)
{
	struct policy *p = load_good(LISTENED), *q = load_good(NODE), *r;
	const struct pol_listener *l;

	(void)state;
	l = policy_listener(p, "vpn4");
	assert_string_equal(l->name, "vpn4");
	assert_int_equal(l->smb1, POL_SMB1_REFUSE);
	assert_int_equal(l->source, POL_SOURCE_TRANSPARENT);
	assert_int_equal(l->source_line, 4);
	assert_int_equal(l->vc_reset, POL_VC_RESET_ADDRESS);
	assert_int_equal(l->auth.ntlm, POL_AUTH_REFUSE);
	assert_int_equal(l->auth.guest, POL_AUTH_REFUSE);
	assert_int_equal(l->auth.min_dialect, 0x0202);
	l = policy_listener(p, "lan");
	assert_int_equal(l->smb1, POL_SMB1_ALLOW);
	assert_int_equal(l->source, POL_SOURCE_OWN);
	assert_int_equal(l->vc_reset, POL_VC_RESET_IDENTITY);
	assert_int_equal(l->auth.ntlm, POL_AUTH_ALLOW);
	assert_int_equal(l->auth.min_dialect, 0x0311);
	l = policy_listener(p, "bare");
	assert_string_equal(l->name, "bare");
	assert_true(same_rules(&(struct pol_listener){ .name = "", .smb1 = l->smb1,
	    .vc_reset = l->vc_reset, .auth = l->auth }, &p->common));
	assert_ptr_equal(policy_listener(p, "another"), &p->common);
	assert_ptr_equal(policy_listener(p, ""), &p->common);

	assert_true(policy_knows_smb1(p));
	assert_ptr_equal(policy_source(p, POL_SOURCE_OWN), &p->common);
	assert_ptr_equal(policy_source(p, POL_SOURCE_TRANSPARENT), &p->listeners[0]);
	assert_null(policy_source(p, POL_SOURCE_POOL));
	assert_false(policy_knows_smb1(q));
	assert_null(policy_source(q, POL_SOURCE_TRANSPARENT));
	r = load_good(NODE "listener old { smb1 = allow }\n");
	assert_true(policy_knows_smb1(r));
	assert_int_equal(policy_listener(r, "new")->smb1, POL_SMB1_REFUSE);
	policy_unref(&p);
	policy_unref(&q);
	policy_unref(&r);
}

/* Files that are odd but right. */
static const char *const odd[] = {
	NODE,
	"node \"n1\" { address = \"127.0.0.11:1445\" }", /* no newline at the end */
	"\xef\xbb\xbf" NODE,
	"node \"n1\" { address = \"127.0.0.11:1445\" }\r\nsmb1 = allow\r\n",
	"node\n\"n1\"\n{\naddress\n=\n\"127.0.0.11:1445\"\n}\n",
	NODE "smb1 = 'allow'\n",
	NODE "smb1 = \"al\\x6cow\"\n",
	NODE "source = own source-pool = { \"10.0.0.1\" }\n",
	NODE "source = pool source-pool = \"10.0.0.1\"\n",
	NODE "node n2 { address = \"10.0.0.2\" other-addresses = { } }\n",
	NODE "node n2 { address = \"10.0.0.2\" "
	    "other-addresses = { \"10.0.0.2\", \"10.0.0.3\" } }\n",
	NODE "smb1=allow//now\nunkeyed=pass#then\ngmac=/*last*/pass",
	NODE "/**/ /***/ /* /* */ # */\n",
	NODE "addresses { }\n",
	NODE "addresses { allow = { } deny = { } }\n",
	NODE "addresses { allow = \"10.0.0.1\" }\n",
	NODE "addresses {\n allow =\n {\n \"10.0.0.1\"\n ,\n }\n}\n",
	NODE "addresses { allow = { \"10.0.0.1\" } }\naddresses { deny = { \"10.0.0.1\" } }\n",
	NODE "health { } limits { } tcp { }\n",
	NODE "health { rise = 1 }\nhealth { fall = 1 }\n",
	NODE "interfaces lan { address 10.0.0.1 { } address fd00::1 { } }\n",
	NODE "interfaces lan { address \"10.0.0.1\" { ifindex = 7 } "
	    "address fd00::1 { ifindex = 7 } }\n",
	NODE "pin-linger = 0\n",
	NODE "pin-linger = \"24h\"\n",
	NODE "tcp { keepalive-idle = 0 client-timeout = 0 }\n",
	NODE "smb1 = \"${SMBGATE_T_NONE:-refuse}\"\n",
	NODE "smb1 = \"al${SMBGATE_T_LOW}\" gmac = ${SMBGATE_T_NONE:-pass}\n",
	NODE "smb1 = \"${SMBGATE_T_NONE:-allow}\" pin-linger = \"${SMBGATE_T_NONE:-}15m\"\n",
	NODE "smb1 = \"refuse\\x00${SMBGATE_T_NONE:-\"}\"\n",
	NODE "# ${HOME} \" ' { /* not read\n",
	NODE "// '\"{ ${X}\n",
	NODE "/* '\"{\n ${X} */\n",
	NODE "\n\n\n\n",
};

static void
test_odd(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(odd); i++) {
		struct policy *p = load_good(odd[i]);

		check_node(&p->nodes[0], "n1", "127.0.0.11:1445", 1, POL_NODE_ACTIVE);
		policy_unref(&p);
	}
}

static void
test_many(void **state)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	struct policy *p;
	uint32_t seen[POL_IFACES_MAX + 1] = { 0 };

	(void)state;
	for (int i = 0; i < POL_NODES_MAX; i++)
		fprintf(f, "node \"n%d\" { address = \"10.0.0.%d\" }\n", i, i);
	fprintf(f, "interfaces \"lan\" {\n");
	for (int i = 0; i < POL_IFACES_MAX; i++)
		fprintf(f, "address \"10.1.0.%d\" { %s }\n", i, i == 60 ? "ifindex = 3" : "");
	fprintf(f, "}\naddresses { deny = { ");
	for (int i = 0; i < ACL_RULES_MAX; i++)
		fprintf(f, "%s\"10.2.%d.%d\"", i == 0 ? "" : ",\n", i / 256, i % 256);
	fprintf(f, " } }\n");
	fclose(f);
	p = load_good(text);
	assert_int_equal(p->nnodes, POL_NODES_MAX);
	assert_int_equal(p->addresses->n, ACL_RULES_MAX);
	for (int i = 0; i < POL_IFACES_MAX; i++) {
		assert_in_range(p->interfaces[0].list[i].ifindex, 1, POL_IFACES_MAX);
		assert_int_equal(seen[p->interfaces[0].list[i].ifindex]++, 0);
	}
	assert_int_equal(p->interfaces[0].list[60].ifindex, 3);
	policy_unref(&p);
	free(text);
}

/* Bad files. */

#define IFS(x) NODE "interfaces \"lan\" {\n" x "\n}\n"

static const struct bad bads[] = {
	{ "an empty file", "", { { 1, "no node: there must be at least one node" } } },
	{ "blanks alone", " \t\r\n\n", { { 3, "no node: there must be at least one node" } } },
	{ "comments alone", "# a\n/* b\n c */", { { 4, "no node: there must be at least one node" } } },
	{ "a wrong word", NODE "smb1 = maybe\n", { { 2, "smb1: \"maybe\" is not refuse or allow" } } },
	{ "a word in the wrong case", NODE "smb1 = Allow\n", { { 2, "\"Allow\" is not" } } },
	{ "an empty value", NODE "gmac = \"\"\n", { { 2, "gmac: \"\" is not pass, refuse or resign" } } },
	{ "unkeyed", NODE "\nunkeyed = yes\n", { { 3, "unkeyed: \"yes\" is not pass or refuse" } } },
	{ "compression", NODE "compression = on\n", { { 2, "compression: \"on\" is not refuse or pass" } } },
	{ "words of auth", NODE "auth {\n ntlm = no\n guest = maybe\n min-dialect = \"3.1\"\n}\n",
	    { { 3, "ntlm: \"no\" is not allow or refuse" }, { 4, "guest" },
	      { 5, "min-dialect: \"3.1\" is not 2.0.2, 2.1, 3.0, 3.0.2 or 3.1.1" } } },
	{ "an unknown option of auth", NODE "auth { kerberos = allow }\n", { { 2, "kerberos" } } },
	{ "a word twice", NODE "smb1 = allow\nsmb1 = refuse\n",
	    { { 3, "smb1 is already set on line 2" } } },
	{ "a time without unit", NODE "pin-linger = 15\n", { { 2, "with its unit" } } },
	{ "a time with a wrong unit", NODE "pin-linger = \"15x\"\n", { { 2, "pin-linger: \"15x\"" } } },
	{ "a negative time", NODE "pin-linger = \"-1s\"\n", { { 2, "\"-1s\" is not a time" } } },
	{ "a time too long", NODE "pin-linger = \"25h\"\n",
	    { { 2, "pin-linger: 25h is out of range (0 to 24h)" } } },
	{ "a time beyond 64 bits", NODE "pin-linger = \"99999999999999999999h\"\n",
	    { { 2, "is out of range (0 to 24h)" } } },
	{ "a time too short", NODE "health {\n interval = \"49ms\"\n}\n",
	    { { 3, "interval: 49ms is out of range (50ms to 24h)" } } },
	{ "half a second of keepalive", NODE "tcp {\n keepalive-idle = \"1500ms\"\n}\n",
	    { { 3, "whole seconds" } } },
	{ "keepalive beyond the kernel's", NODE "tcp { keepalive-interval = \"10h\" }\n",
	    { { 2, "keepalive-interval: 10h is out of range (1s to 32767s)" } } },
	{ "a number with letters", NODE "health { rise = abc }\n",
	    { { 2, "rise: \"abc\" is not a number (1 to 100)" } } },
	{ "a number too small", NODE "health { fall = 0 }\n", { { 2, "fall: 0 is out of range (1 to 100)" } } },
	{ "no size", NODE "limits { unauthenticated-memory = some }\n",
	    { { 2, "unauthenticated-memory: \"some\" is not a size in bytes" } } },
	{ "a size too small", NODE "limits { unauthenticated-memory = \"999K\" }\n",
	    { { 2, "unauthenticated-memory: 999K is out of range (1M to 1T)" } } },
	{ "a number too large", NODE "limits { accept-rate = 1000001 }\n",
	    { { 2, "accept-rate: 1000001 is out of range (0 to 1000000)" } } },
	{ "a number beyond 64 bits", NODE "limits { accept-burst = 18446744073709551617 }\n",
	    { { 2, "accept-burst: 18446744073709551617 is out of range" } } },
	{ "a negative number", NODE "limits { unauthenticated = -1 }\n",
	    { { 2, "unauthenticated: \"-1\" is not a number" } } },
	{ "a hexadecimal number", NODE "limits { unauthenticated = 0x10 }\n", { { 2, "\"0x10\"" } } },
	{ "a fraction", NODE "limits { unauthenticated = 1.5 }\n", { { 2, "\"1.5\"" } } },
	{ "weight 0", "node a { address = \"10.0.0.1\" weight = 0 }\n",
	    { { 1, "weight: 0 is out of range (1 to 1000)" } } },
	{ "weight 1001", "node a {\n weight = 1001\n address = \"10.0.0.1\" }\n",
	    { { 2, "weight: 1001 is out of range" } } },
	{ "a wrong node state", "node a { address = \"10.0.0.1\" state = off }\n",
	    { { 1, "state: \"off\" is not active, drain or maint" } } },
	{ "a node without an address", NODE "\nnode \"n2\" {\n weight = 2\n\n}\n",
	    { { 3, "node \"n2\" has no address" } } },
	{ "a node's wrong address", "node a {\n\n address = \"10.0.0.300:445\"\n}\n",
	    { { 3, "address: \"10.0.0.300:445\" is not an address: 300 is more than 255" } } },
	{ "a node by name", "node a { address = \"localhost:445\" }\n", { { 1, "\"localhost:445\"" } } },
	{ "a node's wrong port", "node a { address = \"10.0.0.1:65536\" }\n", { { 1, "65536" } } },
	{ "a node's port 0", "node a { address = \"10.0.0.1:0\" }\n", { { 1, ":0\" is not" } } },
	{ "a node at 0.0.0.0", "node a {\n address = \"0.0.0.0:445\" }\n",
	    { { 2, "node \"a\": 0.0.0.0:445 is the unspecified address" } } },
	{ "a node at everybody", "node a { address = \"255.255.255.255\" }\n", { { 1, "broadcast" } } },
	{ "a node at no link", "node a { address = \"[fe80::1]:445\" }\n", { { 1, "link-local" } } },
	{ "a semicolon", "node a { address = \"10.0.0.1\"; }\n", { { 1, "a semicolon" } } },
	{ "a node at a group", "node a { address = \"224.0.0.1\" }\n", { { 1, "multicast" } } },
	{ "a node twice", NODE "node \"n2\" {\n address = \"10.0.0.2\"\n}\nnode \"n1\" {\n"
	    " address = \"10.0.0.3\"\n}\nsmb1 = x\n",
	    { { 5, "found duplicate title 'n1'" }, { 8, "smb1" } } },
	{ "a node twice, its brace below",
	    NODE "node \"n1\"\n\n{\n address = \"10.0.0.3\"\n}\nsmb1 = x\n",
	    { { 2, "found duplicate title 'n1'" }, { 7, "smb1" } } },
	{ "two nodes at one address", NODE "node b {\n address = \"127.0.0.11:1445\"\n}\n",
	    { { 3, "node \"b\" has the same address as node \"n1\"" } } },
	{ "two spellings of one address",
	    "node a { address = \"10.0.0.1\" }\nnode b { address = \"[::ffff:10.0.0.1]:445\" }\n",
	    { { 2, "node \"b\" has the same address as node \"a\"" } } },
	{ "a node without a name", NODE "node \"\" { address = \"10.0.0.2\" }\n",
	    { { 2, "node \"\": a name has 1 to 63 letters" } } },
	{ "a node's strange name", NODE "node \"a b\" { address = \"10.0.0.2\" }\n",
	    { { 2, "node \"a b\": a name has" } } },
	{ "a node's long name",
	    "node x234567890123456789012345678901234567890123456789012345678901234\n{\n"
	    " address = \"10.0.0.2\" }\n", { { 2, "a name has 1 to 63 letters" } } },
	{ "a node without a title", NODE "node { address = \"10.0.0.2\" }\nsmb1 = x\n",
	    { { 2, "missing title" }, { 3, "smb1" } } },
	{ "a wrong source", NODE "source = client\n",
	    { { 2, "source: \"client\" is not own, transparent or pool" } } },
	{ "no pool", NODE "\nsource = pool\n", { { 3, "source = pool needs a source-pool" } } },
	{ "no pool of a listener", NODE "\nlistener lan {\n source = pool\n}\n",
	    { { 4, "source = pool needs a source-pool" } } },
	{ "a listener's wrong word", NODE "listener lan {\n smb1 = yes\n}\n",
	    { { 3, "smb1: \"yes\" is not refuse or allow" } } },
	{ "a listener twice", NODE "listener lan { }\nlistener lan {\n}\n",
	    { { 3, "found duplicate title 'lan'" } } },
	{ "a listener's wrong name", NODE "listener \"a b\" { }\n",
	    { { 2, "listener \"a b\": a name has" } } },
	{ "a listener with what is the file's", NODE "listener lan {\n rebalance = true\n}\n",
	    { { 3, "'rebalance'" } } },
	{ "a pool of names", NODE "source-pool = { \"10.0.0.1\",\n gate }\n",
	    { { 3, "\"gate\"" } } },
	{ "a pool of prefixes", NODE "source-pool = { \"10.0.0.0/24\" }\n",
	    { { 2, "10.0.0.0/24" } } },
	{ "a pool with a group",
	    NODE "source = pool source-pool = { \"10.0.0.1\",\n\"ff02::1\" }\n",
	    { { 3, "source-pool: ff02::1 is a multicast address" } } },
	{ "a pool with nobody", NODE "source-pool = { \"0.0.0.0\" }\n", { { 2, "0.0.0.0" } } },
	{ "rebalance", NODE "rebalance = maybe\n", { { 2, "rebalance" } } },
	{ "another address with a port",
	    "node a { address = \"10.0.0.1\"\n other-addresses = { \"10.0.0.2:445\" } }\n",
	    { { 2, "10.0.0.2:445" } } },
	{ "another address that is a group",
	    "node a { address = \"10.0.0.1\"\n other-addresses = { \"224.0.0.1\" } }\n",
	    { { 2, "node \"a\": 224.0.0.1 is a multicast address" } } },
	{ "another address that is another node's",
	    "node a { address = \"10.0.0.1\"\n"
	    " other-addresses = { \"10.0.0.9\",\n\"10.0.0.2\" } }\n"
	    "node b { address = \"10.0.0.2:1445\" }\n",
	    { { 3, "node \"a\": 10.0.0.2 is also an address of node \"b\"" } } },
	{ "another address of two nodes",
	    "node a { address = \"10.0.0.1\" other-addresses = { \"10.0.0.9\" } }\n"
	    "node b { address = \"10.0.0.2\" other-addresses = { \"::ffff:10.0.0.9\" } }\n",
	    { { 1, "10.0.0.9 is also an address of node \"b\"" },
	      { 2, "10.0.0.9 is also an address of node \"a\"" } } },
	{ "an unknown option", NODE "smb2 = allow\nsmb1 = x\n",
	    { { 2, "no such option 'smb2'" }, { 3, "smb1" } } },
	{ "unknown options", NODE "a = 1\n\nb = { 2 }\n\nc { d = 3 }\ne \"f\" {\n g = 4 }\n",
	    { { 2, "'a'" }, { 4, "'b'" }, { 6, "'c'" }, { 7, "'e'" } } },
	{ "an unknown option in a section", NODE "health {\n rise = 2\n rice = 2\n fall = x\n}\n",
	    { { 4, "no such option 'rice'" }, { 5, "fall" } } },
	{ "unknown options in short sections",
	    "node a { adress = \"10.0.0.1\" }\n"
	    "node b { wait = 3 address = \"10.0.0.2\" }\nsmb1 = x\n",
	    { { 1, "'adress'" }, { 2, "'wait'" }, { 3, "smb1" } } },
	{ "a wrong value before an unknown option", "node a { weight = 0 adress = \"10.0.0.1\" }\n",
	    { { 1, "weight" }, { 1, "'adress'" } } },
	{ "an option of another section", NODE "health { weight = 1 }\n", { { 2, "'weight'" } } },
	{ "an option by its path", NODE "health|rise = 0\n", { { 2, "no such option 'rise' here" } } },
	{ "an option by the path of a title", NODE "\"node=n1|weight\" = 5\n",
	    { { 2, "no such option 'weight' here" } } },
	{ "an option without a name", NODE "health {\n \"\" = 5\n}\nsmb1 = x\n",
	    { { 3, "syntax error" }, { 5, "smb1" } } },
	{ "the inner mark of sections",
	    NODE "node b { \"\\1\" { } address = \"10.0.0.2\" \"\\1\" = 2 }\n",
	    { { 2, "missing opening brace" } } },
	{ "include", NODE "include(\"/etc/passwd\")\nsmb1 = x\n",
	    { { 2, "no such option 'include'" }, { 3, "smb1" } } },
	{ "no equal sign", NODE "smb1 allow\nunkeyed = x\n",
	    { { 2, "missing equal sign after option 'smb1'" }, { 3, "unkeyed" } } },
	{ "nothing but a name", NODE "smb1\nunkeyed = pass\ngmac = x\n",
	    { { 2, "missing equal sign after option 'smb1'" }, { 4, "gmac" } } },
	{ "no value", NODE "smb1 =\nunkeyed = pass\ngmac = x\n",
	    { { 2, "missing value after the equal sign" }, { 4, "gmac" } } },
	{ "no value, and the next line is empty", NODE "smb1 = # which?\n\n\ngmac = x\n",
	    { { 2, "missing value after the equal sign" }, { 5, "gmac" } } },
	{ "no value at the end", NODE "gmac = x\nsmb1 =", { { 2, "gmac" }, { 3, "missing value after the equal sign" } } },
	{ "a name at the end", NODE "gmac = x\nsmb1\n\n", { { 2, "gmac" }, { 3, "end of file" } } },
	{ "no value at the end of a section", "node a {\n address =\n}\nsmb1 = x\n",
	    { { 2, "missing value after the equal sign" }, { 4, "smb1" } } },
	{ "no value in a short section", "node a { address = }\nsmb1 = x\n",
	    { { 1, "unexpected token '}'" }, { 2, "smb1" } } },
	{ "two values", NODE "smb1 = allow refuse\ngmac = x\n",
	    { { 2, "no such option 'refuse'" }, { 3, "gmac" } } },
	{ "an equal sign alone", NODE "= 3\nsmb1 = x\n", { { 2, "unexpected token '='" }, { 3, "smb1" } } },
	{ "more for what is no list", NODE "smb1 += allow\n", { { 2, "non-list option 'smb1'" } } },
	{ "no brace", NODE "health rise = 3\nsmb1 = x\n",
	    { { 2, "missing opening brace for section 'health'" }, { 3, "smb1" } } },
	{ "no brace for a section of lines", NODE "health\n rise = 3\n}\nsmb1 = x\n",
	    { { 2, "missing opening brace" }, { 3, "'rise'" }, { 4, "unexpected closing brace" }, { 5, "smb1" } } },
	{ "a brace too many", NODE "}\nsmb1 = x\n", { { 2, "unexpected closing brace" }, { 3, "smb1" } } },
	{ "a brace too few", NODE "smb1 = x\nhealth {\n rise = 0\nfall = 2\n",
	    { { 2, "smb1" }, { 3, "this opening brace is never closed" }, { 4, "rise" } } },
	{ "a brace too few, more behind", NODE "health {\n rise = 0\nsmb1 = refuse\ngmac = pass\n",
	    { { 2, "never closed" }, { 3, "rise" }, { 4, "no such option 'smb1'" } } },
	{ "half a file, in a section", NODE "addresses {\n allow = { \"10.0.0.0/8\" }\n",
	    { { 2, "never closed" } } },
	{ "half a file, in a list", NODE "addresses {\n allow = { \"10.0.0.0/8\",\n",
	    { { 3, "never closed" } } },
	{ "half a file, in a string", NODE "addresses {\n allow = { \"10.0.0",
	    { { 3, "missing closing quote" } } },
	{ "half a file, in a node", "node \"n1\" { address", { { 1, "never closed" } } },
	{ "half a file, in a comment", NODE "smb1 = x\n/* half\n of it", { { 2, "smb1" },
	    { 3, "this comment is never closed" } } },
	{ "a comment that swallows a brace", NODE "health { /* never\n rise = 2\n}\n",
	    { { 2, "this comment is never closed" } } },
	{ "an open string", NODE "smb1 = \"allow\ngmac = \"x\"\nunkeyed = 'pass\npin-linger = y\n",
	    { { 2, "missing closing quote" }, { 3, "gmac" }, { 4, "missing closing quote" },
	        { 5, "pin-linger" } } },
	{ "an open title", NODE "node \"n2 { address = \"10.0.0.2\" }\nsmb1 = x\n",
	    { { 2, "missing closing quote" }, { 3, "smb1" } } },
	{ "an open title of a section of lines",
	    NODE "smb1 = x\nhealth {\n rise = 0 }\n"
	    "interfaces \"lan {\n address \"10.0.0.1\" { }\n}\n",
	    { { 2, "smb1" }, { 4, "rise" }, { 5, "missing closing quote" } } },
	{ "a string of two lines", NODE "smb1 = \"al\\\nlow\"\n",
	    { { 2, "missing closing quote" }, { 3, "missing closing quote" } } },
	{ "a backslash at the end", NODE "smb1 = \"x\\", { { 2, "missing closing quote" } } },
	{ "a wrong escape", NODE "smb1 = \"\\999\"\ngmac = x\n",
	    { { 2, "bad escape sequence '\\999'" }, { 3, "gmac" } } },
	{ "an octal number too large", NODE "smb1 = \"\\777\"\ngmac = x\n",
	    { { 2, "invalid octal number" }, { 3, "gmac" } } },
	{ "bytes that are no text", NODE "\x01\x02\xff = 1\nsmb1 = x\n",
	    { { 2, "no such option '??\xff'" }, { 3, "smb1" } } },
	{ "an escaped newline in a value", NODE "smb1 = \"a\\nb\"\n",
	    { { 2, "smb1: \"a?b\" is not" } } },
	{ "the environment",
	    NODE "smb1 = \"${SMBGATE_T_BAD}\"\ngmac = ${SMBGATE_T_BAD}\nunkeyed = x\n",
	    { { 2, "smb1: \"a\"b}\" is not" }, { 3, "gmac: \"a\"b}\"" }, { 4, "unkeyed" } } },
	{ "a variable that does not end", NODE "smb1 = \"${HOME\"\ngmac = x\n\n}",
	    { { 2, "missing closing quote" }, { 3, "gmac" }, { 5, "unexpected closing brace" } } },
	{ "a variable without quotes that does not end", NODE "smb1 = ${HOME\ngmac = x\n",
	    { { 2, "missing closing brace: \"${\" must end on" }, { 3, "gmac" } } },
	{ "a variable that is not set",
	    NODE "smb1 = \"${SMBGATE_T_NONE}\"\ngmac = ${SMBGATE_T_NONE}\nunkeyed = x\n",
	    { { 2, "the environment has no variable SMBGATE_T_NONE: set it where" },
	        { 3, "the environment has no variable SMBGATE_T_NONE" }, { 4, "unkeyed" } } },
	{ "two variables in one text", NODE "smb1 = \"a${SMBGATE_T_NONE:-}b${SMBGATE_T_NO}\"\n",
	    { { 2, "no variable SMBGATE_T_NO:" } } },
	{ "typographic quotation marks",
	    "node \xe2\x80\x9cn1\xe2\x80\x9d { address = \xe2\x80\x9e" "10.0.0.1\xe2\x80\x9c }\n"
	    "smb1 = \xe2\x80\x98" "allow\xe2\x80\x99\ngmac = x\n",
	    { { 1, "a typographic quotation mark: it must be a plain \"" },
	        { 2, "a typographic quotation mark: it must be a plain '" }, { 3, "gmac" } } },
	{ "a no-break space", NODE "smb1\xc2\xa0= allow\ngmac = x\n",
	    { { 2, "a no-break space" }, { 3, "gmac" } } },
	{ "lines that end in CR alone", NODE "# all of it\rsmb1 = allow\rgmac = x\r",
	    { { 2, "a line ends in CR alone" } } },
	{ "a mistyped option", NODE "zzz { rise = 2 }\nhealth { rice = 2 }\n",
	    { { 2, "no such option 'zzz'" }, { 3, "no such option 'rice'; rise?" } } },
	{ "an option of a section, outside", NODE "weight = 2\nhealth { smb1 = allow }\n",
	    { { 2, "no such option 'weight' here: it belongs into a section \"node\"" },
	        { 3, "no such option 'smb1' here: it belongs outside all sections" } } },
	{ "a stray star", NODE "smb1 = *refuse\ngmac = x\n", { { 2, "unexpected \"*\"" }, { 3, "gmac" } } },
	{ "a stray plus", NODE "smb1 = refuse +\n", { { 2, "unexpected \"+\"" } } },
	{ "a bad prefix", NODE "addresses {\n deny = { \"10.0.0.0/33\" }\n}\n",
	    { { 3, "deny: \"10.0.0.0/33\" is not an address: \"33\" is not a length" } } },
	{ "a prefix with host bits", NODE "addresses { allow = { \"10.0.0.1/24\" } }\n",
	    { { 2, "host bits are set: for the network write \"10.0.0.0/24\", for the address "
	           "\"10.0.0.1\"" } } },
	{ "bad entries of a long list",
	    NODE "addresses {\n deny = { \"10.0.0.1\",\n \"x\",\n \"10.0.0.2\", \"y\"\n, z }\n}\n",
	    { { 4, "\"x\"" }, { 5, "\"y\"" }, { 6, "\"z\"" } } },
	{ "a list without a comma",
	    NODE "addresses {\n deny = { \"10.0.0.1\"\n \"10.0.0.2\" }\n}\nsmb1 = x\n",
	    { { 4, "unexpected token '10.0.0.2'" }, { 6, "smb1" } } },
	{ "a list twice",
	    NODE "addresses {\n deny = { \"10.0.0.1\" }\n deny = { \"10.0.0.2\" }\n}\n",
	    { { 4, "deny is already set on line 3" } } },
	{ "a list twice, in two sections",
	    NODE "addresses { deny = { \"10.0.0.1\" } }\naddresses { deny = { \"10.0.0.2\" } }\n",
	    { { 3, "deny is already set on line 2" } } },
	{ "a list made empty", NODE "addresses {\n deny = { \"10.0.0.1\" }\n deny = { }\n}\n",
	    { { 3, "deny is emptied again further down" } } },
	{ "a deny-file that is not there",
	    NODE "addresses {\n deny-file = {\n \"good\",\n \"gone\" }\n}\n",
	    { { 5, "gone: No such file or directory" } } },
	{ "a deny-file that is a directory", NODE "addresses { deny-file = { \"/\" } }\n",
	    { { 2, "deny-file /: not a regular file" } } },
	{ "a deny-file without a name", NODE "addresses { deny-file = { \"\" } }\n",
	    { { 2, "deny-file: the value is empty" } } },
	{ "interfaces twice", NODE "interfaces a { }\ninterfaces a { mode = x }\nsmb1 = x\n",
	    { { 3, "found duplicate title 'a'" }, { 4, "smb1" } } },
	{ "interfaces without a name", NODE "interfaces { }\n", { { 2, "missing title" } } },
	{ "interfaces with a strange name", NODE "interfaces \"a:b\" { }\n",
	    { { 2, "interfaces \"a:b\": a name has 1 to 63 letters" } } },
	{ "a wrong mode", IFS("mode = silent"), { { 3, "mode: \"silent\" is not announce, filter or pass" } } },
	{ "no address at all", IFS("address \"here\" { }"), { { 3, "address \"here\" is not an IPv4" } } },
	{ "multicast, IPv4", IFS("address \"239.1.1.1\" { }"), { { 3, "multicast" } } },
	{ "multicast, IPv6", IFS("address \"ff02::1\" { }"), { { 3, "multicast" } } },
	{ "an address twice", IFS("address \"10.0.0.1\" { }\naddress \"10.0.0.1\" { }"),
	    { { 4, "found duplicate title '10.0.0.1'" } } },
	{ "an address in two spellings", IFS("address \"fd00::1\" { }\naddress \"fd00:0::1\" {\n}"),
	    { { 4, "is listed twice" } } },
	{ "an address with its port", IFS("address \"10.0.0.1:445\" { }"), { { 3, "is not an IPv4" } } },
	{ "a wrong speed", IFS("address \"10.0.0.1\" {\n speed = fast\n}"), { { 4, "speed: \"fast\"" } } },
	{ "no speed", IFS("address \"10.0.0.1\" { speed = 0 }"), { { 3, "speed: 0 is out of range" } } },
	{ "a speed too large", IFS("address \"10.0.0.1\" { speed = 9999999999999999999999G }"),
	    { { 3, "is out of range" } } },
	{ "a wrong rss", IFS("address \"10.0.0.1\" { rss = 2 }"), { { 3, "rss: \"2\" is not true or false" } } },
	{ "ifindex 0", IFS("address \"10.0.0.1\" { ifindex = 0 }"), { { 3, "ifindex: 0 is out of range" } } },
	{ "ifindex too large", IFS("address \"10.0.0.1\" { ifindex = 4294967296 }"),
	    { { 3, "ifindex: 4294967296 is out of range (1 to 4294967295)" } } },
	{ "much at once",
	    "node a { adress = \"10.0.0.1\" }\n/* two\n lines */ pin-linger = 3\n"
	    "health {\n  rise = 0\n"
	    "  interval\n  fall = 0\n}\naddresses { deny-file = { gone } }\ngmac = x\n",
	    { { 1, "'adress'" }, { 3, "pin-linger" }, { 5, "rise" }, { 6, "missing equal sign" },
	        { 7, "fall" }, { 9, "gone" } } },
};

/* "fd00::1:445" is an address, and a port was hardly meant to be a part of it. */
static void
test_brackets(void **state)
{
	static const struct {
		const char *text;
		bool lacks;
	} cases[] = {
		{ "fd00::1:445", true }, { "fd00:1:2:3:4::6:139", true },
		{ "fd00::2:11:9446", true }, { "[fd00::1:445]:445", false },
		{ "[fd00::1]:445", false }, { "fd00::445", false }, { "fd00::1:4450", false },
		{ "fd00:1:2:3:4:5:6:445", false }, { "10.2.0.11:445", false },
		{ "::ffff:10.2.0.11", false }, { ":445", false }, { "445", false }, { "", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (addrwords_lacks_brackets(cases[i].text) != cases[i].lacks)
			fail_msg("%s", cases[i].text);
}

/* What people write in place of an address, and the words that they get. */
static void
test_addrwords(void **state)
{
	static const struct {
		enum addrwords_form form;
		const char *text, *part;
	} cases[] = {
		{ ADDRWORDS_ADDRPORT, "nas1.example.com", "a name; names are not looked up" },
		{ ADDRWORDS_ADDRPORT, "nas-1", "a name" },
		{ ADDRWORDS_ADDRPORT, "nas1:445", "a name" },
		{ ADDRWORDS_ADDRPORT, "eth0", "a name" },
		{ ADDRWORDS_ADDRPORT, "10.2.0.11:0", "\"0\" is not a port, which is 1 to 65535" },
		{ ADDRWORDS_ADDRPORT, "10.2.0.11:70000", "\"70000\" is not a port" },
		{ ADDRWORDS_ADDRPORT, "10.2.0.11:", "\"\" is not a port" },
		{ ADDRWORDS_ADDRPORT, "10.2.0.11:smb", "\"smb\" is not a port" },
		{ ADDRWORDS_ADDRPORT, "[fe80::1]:99999", "\"99999\" is not a port" },
		{ ADDRWORDS_ADDRPORT, "10.2.0.011", "a leading zero" },
		{ ADDRWORDS_ADDRPORT, "10.2.0.300:445", "300 is more than 255" },
		{ ADDRWORDS_ADDRPORT, "10.2.0", "four numbers, and not 3" },
		{ ADDRWORDS_ADDRPORT, "10.2.0.1.1", "four numbers, and not 5" },
		{ ADDRWORDS_ADDRPORT, " 10.2.0.11", "a blank stands before or behind it" },
		{ ADDRWORDS_ADDRPORT, "10.2.0.11 ", "a blank stands before or behind it" },
		{ ADDRWORDS_ADDRPORT, "fe80::1%eth0", "zone id" },
		{ ADDRWORDS_ADDRPORT, "[fe80::1%eth0]:445", "zone id" },
		{ ADDRWORDS_ADDRPORT, "10.2.0.11/24", "a length (from / on) has no place here" },
		{ ADDRWORDS_ADDRPORT, "smb://10.2.0.11", "a URL" },
		{ ADDRWORDS_ADDRPORT, "redis://10.3.0.1:6379", "a URL" },
		{ ADDRWORDS_ADDRPORT, "\\\\10.2.0.11", "a UNC path" },
		{ ADDRWORDS_ADDRPORT, "10.2.0.11,10.2.0.12", "quotes of its own" },
		{ ADDRWORDS_ADDRPORT, "10.2.0.11 10.2.0.12", "quotes of its own" },
		{ ADDRWORDS_ADDRPORT, "*:445", "for all addresses write 0.0.0.0 or [::]" },
		{ ADDRWORDS_ADDRPORT, "*", "for all addresses write 0.0.0.0 or [::]" },
		{ ADDRWORDS_ADDRPORT, ":445", "for all addresses write 0.0.0.0 or [::]" },
		{ ADDRWORDS_ADDRPORT, "445", "a number alone" },
		{ ADDRWORDS_ADDRPORT, "[fd00::1:445", "the closing bracket is missing" },
		{ ADDRWORDS_ADDRPORT, "fd00::1]:445", "the opening bracket is missing" },
		{ ADDRWORDS_ADDRPORT, "[10.2.0.1]:445", "brackets are for IPv6 addresses only" },
		{ ADDRWORDS_ADDRPORT, "[fd00::1]445", "behind the bracket is no port" },
		{ ADDRWORDS_ADDRPORT, "::1::445", "one with a port needs brackets" },
		{ ADDRWORDS_ADDRPORT, "fd00:1:2:3:4:5:6:7:445", "one with a port needs brackets" },
		{ ADDRWORDS_ADDR, "10.2.0.11:445", "a port has no place here" },
		{ ADDRWORDS_ADDR, "[fd00::1]", "brackets have no place here" },
		{ ADDRWORDS_ADDR, "10.2.0.11/24", "a length (from / on) has no place here" },
		{ ADDRWORDS_ADDR, "nas1", "a name" },
		{ ADDRWORDS_PREFIX, "10.0.0.1/24", "for the network write \"10.0.0.0/24\", for" },
		{ ADDRWORDS_PREFIX, "fd00::1/64", "write \"fd00::/64\", for the address \"fd00::1\"" },
		{ ADDRWORDS_PREFIX, "::ffff:10.0.0.1/104", "write \"10.0.0.0/8\"" },
		{ ADDRWORDS_PREFIX, "10.0.0.0/33", "\"33\" is not a length, which is 0 to 32 here" },
		{ ADDRWORDS_PREFIX, "fd00::/129", "which is 0 to 128 here" },
		{ ADDRWORDS_PREFIX, "10.0.0.0/", "\"\" is not a length" },
		{ ADDRWORDS_PREFIX, "10.0.0.0/255.0.0.0", "a mask in dots" },
		{ ADDRWORDS_PREFIX, "10.0.0", "four numbers, and not 3" },
		{ ADDRWORDS_PREFIX, "10.0.0/8", "four numbers, and not 3" },
		{ ADDRWORDS_PREFIX, "lb.example", "a name" },
		{ ADDRWORDS_PREFIX, "10.0.0.1:445", "a port has no place here" },
		{ ADDRWORDS_ADDRPORT, "", NULL }, { ADDRWORDS_PREFIX, "", NULL },
		{ ADDRWORDS_ADDR, "", NULL }, { ADDRWORDS_ADDRPORT, "!", NULL },
	};
	char dst[256];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		const char *why = addrwords(cases[i].form, cases[i].text, dst, sizeof(dst));

		if ((why == NULL) != (cases[i].part == NULL) ||
		    (why != NULL && strstr(why, cases[i].part) == NULL))
			fail_msg("%s: %s", cases[i].text, why == NULL ? "nothing" : why);
	}
	/* Cut anywhere, or with any byte changed: within the room that there is. */
	for (size_t i = 0; i < COUNT(cases); i++) {
		for (size_t k = 0; k < strlen(cases[i].text); k++) {
			char *cut = strndup(cases[i].text, k), *other = strdup(cases[i].text);
			char *small = malloc(8);

			addrwords(cases[i].form, cut, dst, sizeof(dst));
			for (int c = 1; c < 256; c += 3) {
				other[k] = (char)c;
				(void)addrwords((enum addrwords_form)(c % 3), other, small, 8);
			}
			free(cut);
			free(other);
			free(small);
		}
	}
}

static void
test_bad(void **state)
{
	size_t failed = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(bads); i++) {
		struct errlist e;
		struct policy *p = load(bads[i].text, &e);

		if (p != NULL) {
			fprintf(stderr, "# %s: there is a policy\n", bads[i].name);
			failed++;
		}
		policy_unref(&p);
		failed +=
		    strncmp(bads[i].name, "much", 4) != 0 && !errors_match(&bads[i], path, &e);
		/* More than there is room for in a row: the first of them. */
		if (strncmp(bads[i].name, "much", 4) == 0) {
			assert_int_equal(e.n, 7);
			errlist_fini(&(struct errlist){ .n = 1, .text = { e.text[--e.n] } });
			e.total--;
			failed += !errors_match(&bads[i], path, &e);
		}
		errlist_fini(&e);
		/* Whatever state it left the scanner in, a good file is good. */
		p = load_good(full);
		assert_int_equal(p->nnodes, 3);
		policy_unref(&p);
	}
	assert_int_equal(failed, 0);
}

/* Every bad file right behind every other: no state is carried over. */
static void
test_bad_pairs(void **state)
{
	(void)state;
	for (size_t i = 0; i + 1 < COUNT(bads); i++) {
		for (size_t k = 0; k + 1 < COUNT(bads); k += 7) {
			struct errlist e;

			assert_null(load(bads[k].text, &e));
			errlist_fini(&e);
			assert_null(load(bads[i].text, &e));
			assert_true(errors_match(&bads[i], path, &e));
			errlist_fini(&e);
		}
	}
}

/* A file cut off anywhere, or with any line left out, is loaded, or refused with a word. */
static void
test_cut(void **state)
{
	size_t n = strlen(full), loaded = 0;

	(void)state;
	for (size_t i = 0; i <= n; i++) {
		char *text = strndup(full, i);
		struct errlist e;
		struct policy *p = load(text, &e);
		int depth = 0;

		assert_true(p != NULL ? e.total == 0 : e.total > 0);
		/* Not what ends within a section: its rest would be lost in silence. */
		for (size_t k = 0; k < i; k++)
			depth += (text[k] == '{') - (text[k] == '}');
		assert_true(p == NULL || depth == 0);
		loaded += p != NULL;
		policy_unref(&p);
		errlist_fini(&e);
		free(text);
	}
	assert_true(loaded > 10);
}

/* Any byte exchanged for one that means something: no crash, no leak, no silence. */
static void
test_mutations(void **state)
{
	static const char bytes[] = "{}\"'=\n\\/*#,$ 0\x01(";
	char *text = strdup(full);
	size_t n = strlen(full);

	(void)state;
	for (size_t i = 0; i < n; i += 5) {
		for (size_t k = 0; k < sizeof(bytes) - 1; k++) {
			struct errlist e;
			struct policy *p;

			text[i] = bytes[k];
			p = load(text, &e);
			assert_true(p != NULL ? e.total == 0 : e.total > 0);
			policy_unref(&p);
			errlist_fini(&e);
		}
		text[i] = full[i];
	}
	free(text);
}

static void
test_files(void **state)
{
	static const char zero[] = NODE "smb1 = all\0ow\n";
	struct errlist e = { .n = 0 };
	char name[PATH_MAX], *big;
	size_t n = (4u << 20) + 1;

	(void)state;
	file_path(name, dir, "gone.conf");
	assert_null(schema_load(name, &e));
	assert_int_equal(e.n, 1);
	assert_non_null(strstr(e.text[0], "gone.conf: No such file or directory"));
	errlist_fini(&e);
	assert_null(schema_load(dir, &e));
	assert_non_null(strstr(e.text[0], "not a regular file"));
	errlist_fini(&e);
	assert_null(schema_load("/dev/zero", &e));
	assert_non_null(strstr(e.text[0], "not a regular file"));
	errlist_fini(&e);
	file_path(name, dir, "fifo");
	assert_int_equal(mkfifo(name, 0600), 0);
	assert_null(schema_load(name, &e));
	assert_non_null(strstr(e.text[0], "not a regular file"));
	errlist_fini(&e);
	unlink(name);
	file_write(path, zero, sizeof(zero) - 1);
	assert_null(schema_load(path, &e));
	assert_int_equal(e.n, 1);
	assert_non_null(strstr(e.text[0], "zero byte"));
	errlist_fini(&e);
	file_write(path, "\xff\xfen\0o\0", 6);
	assert_null(schema_load(path, &e));
	assert_non_null(strstr(e.text[0], "the file is UTF-16: save it as UTF-8"));
	errlist_fini(&e);

	big = malloc(n);
	assert_non_null(big);
	memset(big, '\n', n);
	memcpy(big, NODE, strlen(NODE));
	file_write(path, big, n);
	assert_null(schema_load(path, &e));
	assert_non_null(strstr(e.text[0], "the file is too large"));
	errlist_fini(&e);
	/* As long as may be, with an error of syntax and one of a value behind nothing at all. */
	memcpy(big + n - 14, "smb1 x\nsmb1=x", 13);
	file_write(path, big, n - 1);
	assert_null(schema_load(path, &e));
	assert_int_equal(e.n, 2);
	assert_non_null(strstr(e.text[0], "missing equal sign"));
	assert_non_null(strstr(e.text[1], "smb1: \"x\""));
	assert_int_equal(e.line[1], e.line[0] + 1);
	errlist_fini(&e);
	free(big);
}

static void
test_too_many(void **state)
{
	struct errlist e;
	char *text = NULL, want[64];
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	(void)state;
	/* Errors of values: all are counted. */
	for (int i = 0; i < 3 * ERRLIST_MAX; i++)
		fprintf(f, "interfaces \"l%d\" { mode = x }\n", i);
	fclose(f);
	assert_null(load(text, &e));
	assert_int_equal(e.n, ERRLIST_MAX);
	assert_int_equal(e.total, 3 * ERRLIST_MAX + 1);
	errlist_fini(&e);
	free(text);

	/* Errors of syntax: no more are looked for than are kept. */
	f = open_memstream(&text, &len);
	for (int i = 0; i < 3 * ERRLIST_MAX; i++)
		fprintf(f, "o%d = 1\n", i);
	fclose(f);
	assert_null(load(text, &e));
	assert_int_equal(e.n, ERRLIST_MAX);
	for (int i = 0; i < ERRLIST_MAX; i++) {
		snprintf(want, sizeof(want), ":%d: no such option 'o%d'", i + 1, i);
		assert_non_null(strstr(e.text[i], want));
	}
	errlist_fini(&e);
	free(text);

	f = open_memstream(&text, &len);
	for (int i = 0; i <= POL_NODES_MAX; i++)
		fprintf(f, "node \"n%d\" {\n address = \"10.0.%d.%d\" }\n", i, i / 250, i % 250);
	fprintf(f, "interfaces \"lan\" {\n");
	for (int i = 0; i <= POL_IFACES_MAX; i++)
		fprintf(f, "address \"10.1.0.%d\" { }\n", i);
	fprintf(f, "}\naddresses {\n deny = {\n");
	for (int i = 0; i <= ACL_RULES_MAX; i++)
		fprintf(f, "\"10.2.%d.%d\",\n", i / 256, i % 256);
	fprintf(f, "} }\n");
	fclose(f);
	assert_null(load(text, &e));
	assert_int_equal(e.n, 3);
	snprintf(want, sizeof(want), ":%d: too many nodes: 257, at most 256 are allowed",
	    2 * POL_NODES_MAX + 1);
	assert_non_null(strstr(e.text[0], want));
	assert_non_null(strstr(e.text[1],
	    ":580: interfaces \"lan\": too many addresses: 65, at most 64 are allowed"));
	assert_non_null(strstr(e.text[2], ":4680: deny: too many address rules: at most 4096"));
	errlist_fini(&e);
	free(text);

	/* More values than anybody has. */
	f = open_memstream(&text, &len);
	fprintf(f, NODE "addresses { deny = {\n");
	for (int i = 0; i < 20000; i++)
		fprintf(f, "10.0.0.1,\n");
	fprintf(f, "} }\n");
	fclose(f);
	assert_null(load(text, &e));
	assert_int_equal(e.n, 2);
	errlist_fini(&e);
	free(text);
}

/* A long or hostile value does not fill the log. */
static void
test_long_value(void **state)
{
	size_t n = 100000, head = strlen(NODE "smb1 = \"");
	char *text = malloc(n + 3);
	struct errlist e;

	(void)state;
	assert_non_null(text);
	memcpy(text, NODE "smb1 = \"", head);
	memset(text + head, 'x', n - head);
	memcpy(text + n, "\"\n", 3);
	assert_null(load(text, &e));
	assert_int_equal(e.n, 1);
	assert_true(strlen(e.text[0]) < 1000);
	errlist_fini(&e);
	free(text);
}

/* Whichever allocation fails: no policy, and an error. */
static void
test_memory(void **state)
{
	static const char more[] = "\nnat = { \"10.0.0.0/24\" } source-pool = { \"10.0.0.1\" }\n"
	    "addresses { deny-file = { good } }\n";
	char text[sizeof(full) + sizeof(more)];
	struct errlist e = { .n = 0 };
	struct policy *p;
	int n = 0;

	(void)state;
	snprintf(text, sizeof(text), "%s%s", full, more);
	file_write(path, text, strlen(text));
	for (;; n++) {
		memory_fail(n);
		p = schema_load(path, &e);
		if (!memory_restore())
			break;
		assert_null(p);
		assert_true(e.total > 0);
		errlist_fini(&e);
	}
	assert_true(n > 15);
	assert_int_equal(e.total, 0);
	assert_non_null(p);
	policy_unref(&p);
}

/* CTDB's public_addresses. */

static void
deny_file(const char *name, const char *text)
{
	char file[PATH_MAX];

	file_path(file, dir, name);
	file_write(file, text, strlen(text));
}

static void
test_denyfile(void **state)
{
	static const char good[] = "# public\n"
	    "10.1.0.100/24 eth0\n"
	    "\n"
	    "  10.1.0.101/24\teth0,eth1  # the second\r\n"
	    "\t\n"
	    "#10.1.0.102/24 eth0\n"
	    "fd00:1::64/64 eth0\n"
	    "10.1.0.103/32 eth1";
	static const char *const denied[] = { "10.1.0.100", "10.1.0.101", "fd00:1::64",
		"10.1.0.103" };
	static const char *const allowed[] = { "10.1.0.99", "10.1.0.102", "fd00:1::65",
		"10.1.0.1" };
	struct policy *p;
	struct addr a;

	(void)state;
	/* As an editor of another system writes it. */
	deny_file("public", "\xef\xbb\xbf" "10.1.0.100/24 eth0\r\n");
	p = load_good(NODE "addresses { deny-file = { \"public\" } }\n");
	assert_int_equal(p->addresses->n, 1);
	policy_unref(&p);
	deny_file("public", good);
	deny_file("empty", "");
	p = load_good(
	    NODE "addresses { deny-file = { \"public\", \"empty\" } deny = { \"10.9.9.9\" } }\n");
	assert_int_equal(p->addresses->n, 5);
	for (size_t i = 0; i < COUNT(denied); i++) {
		assert_int_equal(addr_parse(&a, denied[i]), 0);
		assert_false(policy_allows(p, &a));
		assert_int_equal(addr_parse(&a, allowed[i]), 0);
		assert_true(policy_allows(p, &a));
	}
	policy_unref(&p);
}

/* People are told which line it was that took an address away. */
static void
test_lines(void **state)
{
	static const struct {
		const char *addr;
		unsigned file;
		int line;	/* 0: no rule decides */
	} places[] = {
		{ "10.1.0.9", 0, 5 },
		{ "10.1.0.8", 0, 4 },
		{ "10.1.0.1", 0, 3 },
		{ "10.1.0.100", 1, 2 },
		{ "10.1.0.103", 2, 1 },
		{ "10.2.0.1", 0, 0 },
	};
	struct policy *p;

	(void)state;
	deny_file("public", "# ours\n10.1.0.100/24 eth0\n");
	deny_file("second", "10.1.0.103/24 eth0\n");
	p = load_good(NODE "addresses {\n allow = { \"10.1.0.0/24\" }\n deny = { \"10.1.0.8\",\n"
	    "\"10.1.0.9\" }\n deny-file = { public, second }\n}\n"
	    "interfaces lan {\n}\ninterfaces wan {\n address \"10.1.0.5\" { }\n mode = filter\n"
	    " address \"10.1.0.6\" { }\n}\n");
	for (size_t i = 0; i < COUNT(places); i++) {
		const struct acl_rule *r;
		struct addr a;

		assert_int_equal(addr_parse(&a, places[i].addr), 0);
		r = acl_decides(p->addresses, &a);
		assert_int_equal(r == NULL ? 0 : r->line, places[i].line);
		assert_int_equal(r == NULL ? 0 : r->file, places[i].file);
	}
	assert_int_equal(p->interfaces[0].mode_line, 8);
	assert_int_equal(p->interfaces[1].mode_line, 12);
	assert_int_equal(p->interfaces[1].list[0].line, 11);
	assert_int_equal(p->interfaces[1].list[1].line, 13);
	policy_unref(&p);
}

static void
test_denyfile_bad(void **state)
{
	static const char bad[] = "10.1.0.100/24 eth0\n"
	    "10.1.0.300/24 eth0\n"
	    "10.1.0.100 eth0\n"
	    "eth0 10.1.0.100/24\n"
	    "10.1.0.100/33 eth0\n"
	    "fd00::1/129 eth0\n"
	    "10.1.0.1/ eth0\n"
	    "10.1.0.1/24x eth0\n"
	    "10.1.0.1/-1 eth0\n"
	    "/24 eth0\n"
	    "10.1.0.1/99999999999999999999999 eth0\n"
	    "fd00::1/128 eth0\n"
	    "10.1.0.1/255.255.255.0 eth0";
	static const int lines[] = { 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13 };
	char file[PATH_MAX], start[PATH_MAX + 16];
	struct errlist e;

	(void)state;
	deny_file("bad", bad);
	deny_file("good", "10.1.0.1/24 eth0\n");
	file_path(file, dir, "bad");
	assert_null(load("smb1 = x\naddresses {\n deny-file = { bad, good,\n gone } }\n", &e));
	/* First its own, in their order, then those of the file that it names. */
	assert_int_equal(e.n, COUNT(lines) + 3);
	assert_non_null(strstr(e.text[0], ":1: smb1"));
	assert_non_null(strstr(e.text[1], "policy.conf:4: deny-file"));
	assert_non_null(strstr(e.text[2], "no node: there must be at least one node"));
	for (size_t i = 0; i < COUNT(lines); i++) {
		snprintf(start, sizeof(start), "%s:%d: \"", file, lines[i]);
		assert_memory_equal(e.text[i + 3], start, strlen(start));
	}
	errlist_fini(&e);
}

/* Nodes from a file of their own. */

#define NODE_FILE "node-file = \"nodes\"\n"

static void
check_file_nodes(const char *text)
{
	struct policy *p;
	char printed[ADDR_STRLEN];

	deny_file("nodes", text);
	p = load_good(NODE_FILE "node n1 { address = \"10.2.0.11\" }\n");
	assert_int_equal(p->nnodes, 4);
	assert_string_equal(p->node_text, text);
	assert_string_equal(p->nodes[1].name, "n2");
	assert_string_equal(addrport_str(&p->nodes[1].address, printed), "10.2.0.12:445");
	assert_int_equal(p->nodes[1].weight, 1);
	assert_int_equal(p->nodes[1].state, POL_NODE_ACTIVE);
	assert_int_equal(p->nodes[1].agent.port, 0);
	assert_string_equal(addrport_str(&p->nodes[2].address, printed), "[fd00::3]:4450");
	assert_int_equal(p->nodes[2].weight, 5);
	assert_int_equal(p->nodes[2].state, POL_NODE_DRAIN);
	assert_string_equal(addrport_str(&p->nodes[2].agent, printed), "10.2.0.13:9446");
	assert_int_equal(p->nodes[3].weight, 7);
	assert_string_equal(p->nodes[3].cluster, "");
	policy_unref(&p);
}

static void
test_nodefile(void **state)
{
	struct errlist e = { .n = 0 };
	struct policy *p, *again;

	(void)state;
	check_file_nodes("# nodes\n\nn2 10.2.0.12 # the second\r\n"
	    "n3\t[fd00::3]:4450 5 drain agent=10.2.0.13\n   \n n4 10.2.0.14 7\n");
	check_file_nodes("[ {\"name\": \"n2\", \"address\": \"10.2.0.12\"},\n"
	    "{\"name\": \"n3\", \"address\": \"[fd00::3]:4450\", \"weight\": 5,\n"
	    "\"state\": \"drain\", \"agent\": \"10.2.0.13\"} ,\n"
	    "{\"name\": \"n4\", \"address\": \"10.2.0.14\", \"weight\": \"7\"} ]\n");
	/* It stands alone, too; and a policy.conf that is being written is not read for it. */
	deny_file("nodes", "n1 10.2.0.11 1 active cluster=nas\n");
	p = load_good(NODE_FILE);
	assert_string_equal(p->nodes[0].cluster, "nas");
	file_write(path, "nonsense", 8);
	deny_file("nodes", "n1 10.2.0.11 2 maint cluster=nas\n");
	again = schema_again(p, path, &e);
	assert_non_null(again);
	assert_int_equal(again->nodes[0].weight, 2);
	assert_int_equal(again->nodes[0].state, POL_NODE_MAINT);
	assert_null(schema_load(path, &e));
	errlist_fini(&e);
	policy_unref(&p);
	policy_unref(&again);
}

/* What a node-file may have wrong: its text, and the lines that errors name, with some words. */
static const struct {
	const char *text;
	int line;
	const char *words;
} bad_nodes[] = {
	{ "", 1, "no node, neither here nor in policy.conf" },
	{ "# nothing\n", 1, "no node" },
	{ "n1 10.2.0.11\nn2 10.2.0.1", 2, "in the middle of a line" },
	{ "n1\n", 1, "no address" },
	{ "\nagent=10.2.0.1\n", 2, "no address" },
	{ "n1 10.2.0.11 1 active up\n", 1, "\"up\" is too much" },
	{ "n1 10.2.0.11 port=1\n", 1, "\"port=1\" is neither" },
	{ "n1 10.2.0.11 agent=\n", 1, "has no value" },
	{ "n1 10.2.0.11 agent=10.2.0.1 agent=10.2.0.1\n", 1, "is there twice" },
	{ "n1 10.2.0.11 agent=here\n", 1, "agent: \"here\"" },
	{ "n1 nas.example\n", 1, "address: \"nas.example\"" },
	{ "n1 10.2.0.11 0\n", 1, "weight: 0 is out of range" },
	{ "n1 10.2.0.11 1001\n", 1, "weight: 1001 is out of range" },
	{ "n1 10.2.0.11 1 on\n", 1, "state: \"on\" is not active, drain or maint" },
	{ "n/1 10.2.0.11\n", 1, "node \"n/1\": a name has" },
	{ "n1 10.2.0.11\nn1 10.2.0.12\n", 2, "node \"n1\" is there twice" },
	{ "n1 10.2.0.11\nn2 10.2.0.11:445\n", 2, "the same address as node \"n1\"" },
	{ "n1 0.0.0.0\n", 1, "unspecified" },
	{ "n1 224.0.0.1\n", 1, "multicast" },
	{ "n1 10.2.0.11 cluster=a/b\n", 1, "cluster: \"a/b\"" },
	{ "[", 1, "not JSON" },
	{ "[\n{\"name\": \"n1\"}]", 2, "needs a name and an address" },
	{ "[\n\n7]", 3, "a node is an object" },
	{ "[{\"name\": \"n1\", \"address\": \"10.2.0.11\"}\n,{\"name\": \"n1\",\n"
	  "\"address\": \"10.2.0.12\"}]", 2, "is there twice" },
	{ "[{\"name\": \"n1\", \"address\": \"10.2.0.11\"}\n", 2, "neither ',' nor ']'" },
	{ "[{\"name\": \"n1\", \"address\": \"10.2.0.11\"}]\n]", 2, "behind the array" },
	{ "[{\"name\": \"n1\",\n\"address\": }]", 2, "not JSON" },
	{ "[{\"name\": \"n1\", \"adress\": \"10.2.0.11\"}]", 1, "\"adress\" is no key" },
	{ "[{\"name\": \"n1\", \"address\": 10}]", 1, "is not a text" },
	{ "{\"name\": \"n1\", \"address\": \"10.2.0.11\"}", 1, "not an array" },
};

static void
test_nodefile_bad(void **state)
{
	char file[PATH_MAX], start[PATH_MAX + 16], long_word[200];
	struct errlist e;

	(void)state;
	file_path(file, dir, "nodes");
	for (size_t i = 0; i < COUNT(bad_nodes); i++) {
		deny_file("nodes", bad_nodes[i].text);
		assert_null(load(NODE_FILE, &e));
		snprintf(start, sizeof(start), "%s:%d: ", file, bad_nodes[i].line);
		if (e.n != 1 || strncmp(e.text[0], start, strlen(start)) != 0 ||
		    strstr(e.text[0], bad_nodes[i].words) == NULL)
			fail_msg("%s: %zu errors, %s", bad_nodes[i].text, e.n,
			    e.n > 0 ? e.text[0] : "");
		errlist_fini(&e);
	}
	memset(long_word, 'n', sizeof(long_word));
	memcpy(long_word + 150, " 10.2.0.11\n", 12);
	deny_file("nodes", long_word);
	assert_null(load(NODE_FILE, &e));
	assert_non_null(strstr(e.text[0], "is too long"));
	errlist_fini(&e);
	unlink(file);
	assert_null(load("\n" NODE_FILE, &e));
	assert_non_null(strstr(e.text[0], "policy.conf:2: node-file "));
	errlist_fini(&e);
}

static void
test_nodefile_many(void **state)
{
	char *text = malloc(POL_NODES_MAX * 40);
	struct errlist e;
	struct policy *p;
	size_t used = 0;

	(void)state;
	for (unsigned i = 1; i < POL_NODES_MAX; i++)
		used += (size_t)sprintf(text + used, "m%u 10.3.%u.%u\n", i, i / 250, 1 + i % 250);
	deny_file("nodes", text);
	p = load_good(NODE NODE_FILE);
	assert_int_equal(p->nnodes, POL_NODES_MAX);
	policy_unref(&p);
	strcpy(text + used, "more 10.4.0.1\n");
	deny_file("nodes", text);
	assert_null(load(NODE NODE_FILE, &e));
	assert_non_null(strstr(e.text[0], ":256: too many nodes"));
	errlist_fini(&e);
	free(text);
}

/* Printing. */

static bool
same(const struct policy *a, const struct policy *b)
{
	if (a->nnodes != b->nnodes || a->addresses->n != b->addresses->n ||
	    a->ninterfaces != b->ninterfaces || a->nlisteners != b->nlisteners ||
	    !same_rules(&a->common, &b->common) || a->unkeyed != b->unkeyed ||
	    a->gmac != b->gmac || a->compression != b->compression ||
	    a->vcnumber != b->vcnumber || a->pin_linger != b->pin_linger ||
	    a->rebalance != b->rebalance || a->npool != b->npool ||
	    (a->npool > 0 && memcmp(a->pool, b->pool, a->npool * sizeof(struct addr)) != 0) ||
	    memcmp(&a->health, &b->health, sizeof(a->health)) != 0 ||
	    memcmp(&a->limits, &b->limits, sizeof(a->limits)) != 0 ||
	    memcmp(&a->tcp, &b->tcp, sizeof(a->tcp)) != 0)
		return false;
	for (size_t i = 0; i < a->nnodes; i++)
		if (strcmp(a->nodes[i].name, b->nodes[i].name) != 0 ||
		    !addr_equal(&a->nodes[i].address.addr, &b->nodes[i].address.addr) ||
		    a->nodes[i].address.port != b->nodes[i].address.port ||
		    a->nodes[i].weight != b->nodes[i].weight ||
		    a->nodes[i].state != b->nodes[i].state ||
		    a->nodes[i].nothers != b->nodes[i].nothers ||
		    memcmp(a->nodes[i].others, b->nodes[i].others, sizeof(a->nodes[i].others)) != 0)
			return false;
	for (size_t i = 0; i < a->addresses->n; i++)
		if (a->addresses->rules[i].deny != b->addresses->rules[i].deny ||
		    !prefix_equal(&a->addresses->rules[i].prefix, &b->addresses->rules[i].prefix))
			return false;
	for (size_t i = 0; i < a->nlisteners; i++)
		if (!same_rules(&a->listeners[i], &b->listeners[i]))
			return false;
	for (size_t i = 0; i < a->ninterfaces; i++) {
		const struct pol_interfaces *x = &a->interfaces[i], *y = &b->interfaces[i];

		if (strcmp(x->listener, y->listener) != 0 || x->mode != y->mode || x->n != y->n)
			return false;
		for (size_t k = 0; k < x->n; k++)
			if (!addr_equal(&x->list[k].addr, &y->list[k].addr) ||
			    x->list[k].speed != y->list[k].speed ||
			    x->list[k].rss != y->list[k].rss ||
			    x->list[k].ifindex != y->list[k].ifindex)
				return false;
	}
	return true;
}

static char *
print(const struct policy *p)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	policy_print(p, f);
	fclose(f);
	return text;
}

static void
never(void *arg, const char *line)
{
	(void)arg;
	fail_msg("a difference: %s", line);
}

static void
round_trip(const char *source)
{
	struct policy *a = load_good(source), *b;
	char *text = print(a), *again;

	b = load_good(text);
	again = print(b);
	assert_true(same(a, b));
	assert_int_equal(policy_diff(a, b, never, NULL), 0);
	assert_string_equal(text, again);
	free(text);
	free(again);
	policy_unref(&a);
	policy_unref(&b);
}

static void
test_round_trip(void **state)
{
	(void)state;
	deny_file("public", "10.1.0.100/24 eth0\nfd00:1::64/64 eth0\n");
	round_trip(full);
	round_trip(SOURCED);
	round_trip(LISTENED);
	round_trip(NODE "source = transparent\n");
	for (size_t i = 0; i < COUNT(odd); i++)
		round_trip(odd[i]);
	round_trip(
	    NODE "addresses { deny-file = { \"public\" } deny = { \"::/0\", \"0.0.0.0/0\" } }\n");
	round_trip("node n1 { address = \"10.2.0.11\" agent = \"[fd00::1]:99\" }\n");
	round_trip(NODE "health { interval = \"1234ms\" slow-start = 0 } pin-linger = \"24h\"\n");
}

/* Differences. */

struct lines {
	char text[4096];
};

static void
collect(void *arg, const char *line)
{
	struct lines *l = arg;

	assert_null(strchr(line, '\n'));
	strncat(l->text, line, sizeof(l->text) - strlen(l->text) - 1);
	strncat(l->text, "\n", sizeof(l->text) - strlen(l->text) - 1);
}

static const struct {
	const char *before, *after, *said;
} diffs[] = {
	{ NODE, NODE, "" },
	{ NODE, "smb1 = refuse pin-linger = \"900s\"\naddresses { }" NODE, "" },
	{ NODE, NODE "node n3 { address = \"127.0.0.13:1445\" }",
	    "node n3 added (127.0.0.13:1445, weight 1)\n" },
	{ NODE "node n2 { address = \"10.0.0.2\" }", NODE, "node n2 removed: it drains\n" },
	{ NODE, "node n1 { address = \"127.0.0.11:1445\" weight = 2 state = drain }",
	    "node n1: weight 1 -> 2\nnode n1: state active -> drain\n" },
	{ NODE, "node n1 { address = \"[fd00::1]:445\" }",
	    "node n1: address 127.0.0.11:1445 -> [fd00::1]:445\n" },
	{ NODE, NODE "addresses { deny = { \"10.1.0.7\" } }",
	    "addresses: deny 10.1.0.7/32 added\n" },
	{ NODE "addresses { deny = { \"10.1.0.7\" } }",
	    NODE "addresses { allow = { \"10.1.0.7\" } }",
	    "addresses: deny 10.1.0.7/32 removed\naddresses: allow 10.1.0.7/32 added\n" },
	{ NODE "addresses { deny = { \"10.0.0.1\", \"10.0.0.2\" } }",
	    NODE "addresses { deny = { \"10.0.0.2\", \"10.0.0.1\" } }", "" },
	{ NODE "pin-linger = \"15m\"", NODE "pin-linger = \"1h\"", "pin-linger: 15m -> 1h\n" },
	{ NODE, NODE "source = transparent rebalance = true",
	    "source: own -> transparent\nrebalance: false -> true\n" },
	{ NODE "source-pool = { \"10.0.0.1\", \"10.0.0.2\" }",
	    NODE "source-pool = { \"10.0.0.2\", \"fd00::3\" }",
	    "source-pool: 10.0.0.1 removed\nsource-pool: fd00::3 added\n" },
	{ NODE "node n2 { address = \"10.0.0.2\" other-addresses = { \"10.0.0.3\" } }",
	    NODE "node n2 { address = \"10.0.0.2\" other-addresses = { \"fd00::3\" } }",
	    "node n2: other address 10.0.0.3 removed\nnode n2: other address fd00::3 added\n" },
	{ NODE, NODE "smb1 = allow gmac = resign unkeyed = refuse",
	    "smb1: refuse -> allow\nunkeyed: pass -> refuse\ngmac: pass -> resign\n" },
	{ NODE, NODE "health { rise = 1 } limits { accept-rate = 0 } tcp { client-timeout = 0 }",
	    "health rise: 2 -> 1\nlimits accept-rate: 1000 -> 0\ntcp client-timeout: 15m -> 0\n" },
	{ NODE, NODE "listener lan { }", "" },
	{ NODE "listener lan { smb1 = allow }", NODE, "listener lan: smb1 allow -> refuse\n" },
	{ NODE "listener lan { source = own }",
	    NODE "source = transparent listener lan { source = own ntlm = refuse } listener x { }",
	    "listener lan: ntlm allow -> refuse\nlistener x: source own -> transparent\n"
	    "source: own -> transparent\n" },
	{ NODE, NODE "interfaces lan { mode = filter }", "interfaces lan added (filter)\n" },
	{ NODE "interfaces lan { mode = filter }", NODE, "interfaces lan removed\n" },
	{ NODE "interfaces lan { mode = filter }", NODE "interfaces lan { mode = pass }",
	    "interfaces lan: mode filter -> pass\n" },
	{ NODE "interfaces lan { address \"10.0.0.1\" { } address \"10.0.0.2\" { } }",
	    NODE "interfaces lan { address \"10.0.0.1\" { speed = 2.5G rss = true ifindex = 9 }"
	    " address \"10.0.0.3\" { speed = 25G rss = on } }",
	    "interfaces lan: address 10.0.0.2 removed\n"
	    "interfaces lan: address 10.0.0.1: speed 1G -> 2500M\n"
	    "interfaces lan: address 10.0.0.1: rss false -> true\n"
	    "interfaces lan: address 10.0.0.1: ifindex 1 -> 9\n"
	    "interfaces lan: address 10.0.0.3 added (25G, rss, ifindex 1)\n" },
	{ NODE "interfaces lan { address \"10.0.0.1\" { ifindex = 1 } "
	    "address fd00::1 { ifindex = 2 } }",
	    NODE "interfaces lan { address fd00::1 { ifindex = 2 } "
	    "address \"10.0.0.1\" { ifindex = 1 } }",
	    "interfaces lan: the order of addresses changed\n" },
};

static void
test_diff(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(diffs); i++) {
		struct policy *a = load_good(diffs[i].before), *b = load_good(diffs[i].after);
		struct lines l = { .text = "" };
		unsigned n = policy_diff(a, b, collect, &l), newlines = 0;

		assert_string_equal(l.text, diffs[i].said);
		for (const char *s = l.text; *s != '\0'; s++)
			newlines += *s == '\n';
		assert_int_equal(n, newlines);
		/* One way there is a difference exactly when there is one back. */
		assert_int_equal(policy_diff(b, a, collect, &l) == 0, n == 0);
		policy_unref(&a);
		policy_unref(&b);
	}
}

/* The table. */

/* Every value of note of a setting, as the file would have it: how many, and the i-th. */
static unsigned
table_values(const struct setting *s)
{
	unsigned n = 0;

	if (s->words[0] == NULL)
		return 2;
	while (s->words[n] != NULL)
		n++;
	return n;
}

static uint64_t
table_value(const struct setting *s, unsigned i, char text[64])
{
	char number[SETTING_STRLEN];
	uint64_t v = s->kind == SETTING_BOOL ? i : i == 0 ? s->min : s->max;

	if (s->words[0] != NULL)
		assert_int_equal(setting_parse(s, &v, s->words[i]), 0);
	snprintf(text, 64, "%s", setting_str(s, v, number));
	return v;
}

/* Loaded, printed and compared, it is the same value, and nothing else is another one. */
static void
check_setting(const struct setting *s, const char *text, uint64_t v)
{
	bool root = strcmp(s->section, "root") == 0;
	struct policy *d = policy_new(), *p, *again;
	struct lines l = { .text = "" };
	char file[512], line[128], *printed;

	snprintf(file, sizeof(file), NODE "%s%s %s = \"%s\" %s source-pool = \"10.0.0.1\"\n",
	    root ? "" : s->section, root ? "" : " {", s->name, text, root ? "" : "}");
	p = load_good(file);
	assert_true(setting_get(s, p) == v);
	printed = print(p);
	snprintf(line, sizeof(line), setting_is_quoted(s) ? "%s = \"%s\"\n" : "%s = %s\n", s->name,
	    text);
	assert_non_null(strstr(printed, line));
	again = load_good(printed);
	assert_true(setting_get(s, again) == v);
	assert_int_equal(policy_diff(p, again, never, NULL), 0);
	policy_diff(d, p, collect, &l);
	snprintf(line, sizeof(line), "%s%s%s: ", root ? "" : s->section, root ? "" : " ", s->name);
	assert_int_equal(strstr(l.text, line) != NULL, v != setting_get(s, d));
	for (const struct setting *o = policy_settings; o->section != NULL; o++)
		for (size_t i = 0; o != s && o->size > 0 && policy_sections[i] != NULL; i++)
			if (strcmp(policy_sections[i], o->section) == 0)
				assert_true(setting_get(o, p) == setting_get(o, d));
	free(printed);
	policy_unref(&d);
	policy_unref(&p);
	policy_unref(&again);
}

static void
test_table(void **state)
{
	struct policy *p =
	    load_good(NODE "vcnumber = pass vc-reset = identity source = transparent");
	char text[64];

	(void)state;
	/* Words are in the order of their enums; those of the other ones are in `full`. */
	assert_int_equal(p->vcnumber, POL_VCNUMBER_PASS);
	assert_int_equal(p->common.vc_reset, POL_VC_RESET_IDENTITY);
	policy_unref(&p);
	for (const struct setting *s = policy_settings; s->section != NULL; s++) {
		if (s->dflt != NULL)
			assert_false(setting_complaint(s, s->dflt, text, sizeof(text)));
		/* Any text may be a path. */
		if (!s->list && s->kind != SETTING_PATH)
			assert_true(setting_complaint(s, "\n", text, sizeof(text)));
	}
	for (const char *const *section = policy_sections; *section != NULL; section++)
		for (const struct setting *s = policy_settings;
		     (s = setting_next(s, *section)) != NULL; s++)
			for (unsigned i = 0; i < table_values(s); i++) {
				uint64_t v = table_value(s, i, text);

				check_setting(s, text, v);
			}
}

/* References. */

static void *
refer(void *arg)
{
	struct policy *p = arg;

	for (int i = 0; i < 20000; i++) {
		struct policy *q = policy_ref(p);

		policy_unref(&q);
	}
	policy_unref(&p);
	return NULL;
}

static void
test_refs(void **state)
{
	struct policy *p = load_good(full);
	pthread_t t[4];

	(void)state;
	assert_int_equal(p->generation, 0);
	for (size_t i = 0; i < COUNT(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, refer, policy_ref(p)), 0);
	for (size_t i = 0; i < COUNT(t); i++)
		pthread_join(t[i], NULL);
	assert_int_equal(p->refs, 1);
	policy_unref(&p);
	assert_null(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_acl),
		cmocka_unit_test(test_acl_full),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_duration_str),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_source),
		cmocka_unit_test(test_listeners),
		cmocka_unit_test(test_odd),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_brackets),
		cmocka_unit_test(test_addrwords),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_bad_pairs),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_mutations),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_long_value),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_denyfile),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_denyfile_bad),
		cmocka_unit_test(test_nodefile),
		cmocka_unit_test(test_nodefile_bad),
		cmocka_unit_test(test_nodefile_many),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_diff),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_refs),
	};
	int failed;

	setenv("SMBGATE_T_LOW", "low", 1);
	setenv("SMBGATE_T_BAD", "a\"b}", 1);
	dir_begin(dir);
	file_path(path, dir, "policy.conf");
	deny_file("good", "10.1.0.1/24 eth0\n");
	cmocka_set_message_output(CM_OUTPUT_TAP);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	dir_end(dir);
	return failed;
}
