/* nodes-node.c: logons that a node leaves without an answer, probes that meet themselves, words */
#include "config.h"

#include "nodes/cluster.h"
#include "nodes/logons.h"
#include "nodes/node.h"
#include "policy/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct policy *
policy(void)
{
	struct policy *p = policy_new();

	assert_non_null(p);
	p->nodes = calloc(2, sizeof(struct pol_node));
	assert_non_null(p->nodes);
	for (size_t i = 0; i < 2; i++) {
		struct pol_node *n = &p->nodes[p->nnodes++];

		snprintf(n->name, sizeof(n->name), "n%zu", i + 1);
		assert_int_equal(addrport_parse(&n->address, i == 0 ? "127.0.0.11" : "127.0.0.12",
		    445), 0);
		n->weight = 100;
	}
	return p;
}

/* Who stands in for whom, and the numbers of that: other proxies have the same. */
static void
clusters(void **state)
{
	struct policy *p = policy();
	struct nodes *nodes = nodes_new();
	struct node *a, *b, *found[2];

	(void)state;
	nodes_apply(nodes, p, 1);
	a = nodes_find_name(nodes, "n1");
	b = nodes_find_name(nodes, "n2");
	/* Nothing is said. */
	assert_true(node_same_cluster(a, b, false) && !node_same_cluster(a, b, true));
	assert_true(nodes_take_without(nodes, a, false) && !nodes_take_without(nodes, a, true));
	assert_int_equal(node_cluster(a, false), 0);
	assert_int_equal(node_cluster(a, true), 0x629289e6);
	assert_true(node_in_cluster(a, 0) && node_in_cluster(a, node_cluster(a, true)));
	assert_false(node_in_cluster(b, node_cluster(a, true)));
	assert_int_equal(nodes_of_cluster(nodes, node_cluster(b, true), found, 2), 1);
	assert_ptr_equal(found[0], b);
	node_unref(&found[0]);
	/* One of them has a cluster. */
	snprintf(p->nodes[0].cluster, sizeof(p->nodes[0].cluster), "nas");
	nodes_apply(nodes, p, 2);
	assert_false(node_same_cluster(a, b, false) || node_same_cluster(a, b, true));
	assert_false(nodes_take_without(nodes, b, false) || nodes_take_without(nodes, b, true));
	assert_int_equal(node_cluster(a, true), 0x807c2834);
	assert_int_equal(node_cluster(a, false), cluster_number("nas"));
	assert_false(node_in_cluster(a, cluster_alone(a->id)));
	assert_true(nodes_take_new(nodes, 0) && nodes_take_new(nodes, cluster_number("nas")));
	a->drain = true;
	assert_false(nodes_take_new(nodes, cluster_number("nas")));
	/* Both. */
	snprintf(p->nodes[1].cluster, sizeof(p->nodes[1].cluster), "nas");
	nodes_apply(nodes, p, 3);
	assert_true(node_same_cluster(a, b, false) && node_same_cluster(a, b, true));
	assert_true(nodes_take_without(nodes, a, true) && !nodes_take_without(nodes, b, true));
	assert_int_equal(nodes_of_cluster(nodes, cluster_number("nas"), found, 2), 2);
	node_unref(&found[0]);
	node_unref(&found[1]);
	assert_false(nodes_take_new(nodes, 0));
	node_unref(&a);
	node_unref(&b);
	nodes_free(&nodes);
	policy_unref(&p);
}

static void
held_logons(void **state)
{
	struct policy *p = policy();
	struct nodes *nodes = nodes_new();
	struct node *n;
	uint64_t now = 1000000;

	(void)state;
	nodes_apply(nodes, p, now);
	n = nodes_find_name(nodes, "n1");
	/* Not long enough to be called lost. */
	for (unsigned i = 0; i < 10; i++)
		logons_lost(n, p, 9999, now);
	assert_int_equal(n->logon_timeouts, 0);
	/* A success between: no run. */
	for (unsigned i = 0; i < 10; i++) {
		logons_lost(n, p, 10000, now);
		logons_lost(n, p, 10000, now);
		logons_answered(n);
	}
	assert_int_equal(n->logon_timeouts, 20);
	assert_false(logons_held(n, now));
	for (unsigned i = 0; i < p->health.logon_fall; i++) {
		assert_false(logons_held(n, now));
		logons_lost(n, p, 30000, now);
	}
	assert_true(logons_held(n, now) && logons_held(n, now + p->health.logon_hold - 1));
	/* It is over, and begins with a tenth of its weight; the next that is lost is enough. */
	now += p->health.logon_hold;
	assert_false(logons_held(n, now));
	assert_true(node_weight(n, p->health.slow_start, now) < 11);
	assert_true(node_weight(n, p->health.slow_start, now + p->health.slow_start) > 99);
	logons_lost(n, p, 30000, now);
	assert_true(logons_held(n, now));
	logons_answered(n);
	assert_false(logons_held(n, now));
	assert_true(node_weight(n, p->health.slow_start, now) > 99);
	assert_true(n->served);
	/* Shorter limits have their half; and it can be turned off. */
	p->limits.logon = 3000;
	p->health.logon_fall = 0;
	for (unsigned i = 0; i < 10; i++)
		logons_lost(n, p, i % 2 == 0 ? 1500 : 1499, now);
	assert_int_equal(n->logon_timeouts, 20 + p->health.logon_fall + 4 + 5);
	assert_false(logons_held(n, now));
	node_unref(&n);
	policy_unref(&p);
	nodes_free(&nodes);
}

static void
own_probes(void **state)
{
	struct policy *p = policy();
	struct nodes *nodes = nodes_new();
	const struct guid a = { { 1 } }, b = { { 2 } };
	struct node *n1, *n2;

	(void)state;
	nodes_apply(nodes, p, 0);
	n1 = nodes_find_name(nodes, "n1");
	n2 = nodes_find_name(nodes, "n2");
	assert_false(nodes_meet_probe(nodes, &a));
	node_probe_out(n1, &a);
	node_probe_out(n2, &b);
	assert_true(nodes_meet_probe(nodes, &b));
	assert_true(n2->met && !n1->met);
	node_probe_over(n2);
	assert_false(nodes_meet_probe(nodes, &b));
	assert_true(nodes_meet_probe(nodes, &a));
	node_unref(&n1);
	node_unref(&n2);
	policy_unref(&p);
	nodes_free(&nodes);
}

static void
states(void **state)
{
	static const struct {
		enum node_health health;
		const char *word, *drained;
		bool takes_new, takes_more;
	} rows[] = {
		{ NODE_UNKNOWN, "unknown", "drain", true, true },
		{ NODE_UP, "up", "drain", true, true },
		{ NODE_DOWN, "down", "down", false, false },
		{ NODE_HUNG, "hung", "hung", false, true },
		{ NODE_LOOP, "loop", "loop", false, false },
	};
	struct policy *p = policy();
	struct nodes *nodes = nodes_new();
	struct node *n;

	(void)state;
	nodes_apply(nodes, p, 0);
	n = nodes_find_name(nodes, "n1");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		n->health = rows[i].health;
		assert_string_equal(node_state(n), rows[i].word);
		assert_int_equal(node_takes_new(n), rows[i].takes_new);
		assert_int_equal(node_takes_more(n), rows[i].takes_more);
		n->drain = true;
		assert_string_equal(node_state(n), rows[i].drained);
		assert_false(node_takes_new(n));
		n->drain = false;
	}
	node_unref(&n);
	policy_unref(&p);
	nodes_free(&nodes);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(clusters),
		cmocka_unit_test(held_logons),
		cmocka_unit_test(own_probes),
		cmocka_unit_test(states),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
