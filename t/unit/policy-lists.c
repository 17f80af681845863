/* policy-lists.c: unit tests of the files that policy.conf names, and of the lines of its lists */
#include "config.h"

#include "policy/acl.h"
#include "policy/policy.h"
#include "policy/schema.h"
#include "t/unit/lib/policy.h"
#include "t/unit/lib/policyfile.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* CTDB's public_addresses. */

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
	file_path(file, policyfile_dir, "bad");
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
	/* What is behind such an end would be lost without a word. */
	deny_file("bad", "# ours\n10.1.0.100/24 eth0\r10.1.0.101/24 eth0\r\n");
	assert_null(load(NODE "addresses { deny-file = bad }\n", &e));
	snprintf(start, sizeof(start), "%s:2: ", file);
	assert_memory_equal(e.text[0], start, strlen(start));
	assert_non_null(strstr(e.text[0], "a line ends in CR alone"));
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
	assert_string_equal(p->node_text, text + (text[0] == '\xef' ? 3 : 0));
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
	/* As an editor of another system writes it. */
	check_file_nodes("\xef\xbb\xbf" "n2 10.2.0.12\r\nn3 [fd00::3]:4450 5 drain "
	    "agent=10.2.0.13\r\nn4 10.2.0.14 7\r\n");
	check_file_nodes("\xef\xbb\xbf" "[{\"name\":\"n2\",\"address\":\"10.2.0.12\"},\r\n"
	    "{\"name\":\"n3\",\"address\":\"[fd00::3]:4450\",\"weight\":5,\r"
	    "\"state\":\"drain\",\"agent\":\"10.2.0.13\"},\r"
	    "{\"name\":\"n4\",\"address\":\"10.2.0.14\",\"weight\":7}]\r\n");
	/* It stands alone, too; and a policy.conf that is being written is not read for it. */
	deny_file("nodes", "n1 10.2.0.11 1 active cluster=nas\n");
	p = load_good(NODE_FILE);
	assert_string_equal(p->nodes[0].cluster, "nas");
	file_write(policyfile_path, "nonsense", 8);
	deny_file("nodes", "n1 10.2.0.11 2 maint cluster=nas\n");
	again = schema_again(p, policyfile_path, &e);
	assert_non_null(again);
	assert_int_equal(again->nodes[0].weight, 2);
	assert_int_equal(again->nodes[0].state, POL_NODE_MAINT);
	assert_null(schema_load(policyfile_path, &e));
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
	{ "n1 10.2.0.11\nn2 10.2.0.12\rn3 10.2.0.13\n", 2, "a line ends in CR alone" },
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
	file_path(file, policyfile_dir, "nodes");
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_denyfile),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_denyfile_bad),
		cmocka_unit_test(test_nodefile),
		cmocka_unit_test(test_nodefile_bad),
		cmocka_unit_test(test_nodefile_many),
	};
	int failed;

	policyfile_begin();
	cmocka_set_message_output(CM_OUTPUT_TAP);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	policyfile_end();
	return failed;
}
