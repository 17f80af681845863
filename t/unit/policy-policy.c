/* policy-policy.c: unit tests of loading policy.conf: what good files say, and memory that ends */
#include "config.h"

#include "policy/acl.h"
#include "policy/policy.h"
#include "policy/schema.h"
#include "t/unit/lib/memory.h"
#include "t/unit/lib/policy.h"
#include "t/unit/lib/policyfile.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

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
	struct policy *p = load_good(full_policy);
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
		    (&(struct pol_tcp){ 30000, 10000, 3, 900000, 60000, 3000 }), sizeof(x->tcp));
		/* One keepalive that is lost ends nobody. */
		assert_in_range(x->tcp.node_timeout,
		    x->tcp.keepalive_idle + 2 * x->tcp.keepalive_interval, UINT_MAX);
	}
	policy_unref(&p);
	policy_unref(&d);
}

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

static void
test_odd(void **state)
{
	(void)state;
	for (size_t i = 0; odd_policies[i] != NULL; i++) {
		struct policy *p = load_good(odd_policies[i]);

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

/* Whichever allocation fails: no policy, and an error. */
static void
test_memory(void **state)
{
	static const char more[] = "\nnat = { \"10.0.0.0/24\" } source-pool = { \"10.0.0.1\" }\n"
	    "addresses { deny-file = { good } }\n";
	char *text;
	struct errlist e = { .n = 0 };
	struct policy *p;
	int n = 0;

	(void)state;
	assert_true(asprintf(&text, "%s%s", full_policy, more) > 0);
	file_write(policyfile_path, text, strlen(text));
	free(text);
	for (;; n++) {
		memory_fail(n);
		p = schema_load(policyfile_path, &e);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_source),
		cmocka_unit_test(test_listeners),
		cmocka_unit_test(test_odd),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_memory),
	};
	int failed;

	policyfile_begin();
	cmocka_set_message_output(CM_OUTPUT_TAP);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	policyfile_end();
	return failed;
}
