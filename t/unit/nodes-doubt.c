/* nodes-doubt.c: when a node is in doubt, and when the doubt has a way out */
#include "config.h"

#include "nodes/doubt.h"

#include "nodes/node.h"
#include "policy/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

struct lab {
	struct policy *policy;
	struct pol_node rows[2];
	struct nodes *nodes;
	struct node *a, *b;
};

static void
lab_new(struct lab *l)
{
	l->policy = policy_new();
	assert_non_null(l->policy);
	for (int i = 0; i < 2; i++) {
		l->rows[i] = (struct pol_node){ .weight = 1 };
		snprintf(l->rows[i].name, sizeof(l->rows[i].name), "%c", 'a' + i);
	}
	l->policy->nnodes = 2;
	l->policy->nodes = l->rows;
	l->nodes = nodes_new();
	assert_non_null(l->nodes);
	nodes_apply(l->nodes, l->policy, 1);
	l->a = nodes_find_name(l->nodes, "a");
	l->b = nodes_find_name(l->nodes, "b");
	assert_non_null(l->a);
	assert_non_null(l->b);
	doubt_over(l->a, 1000);
	doubt_over(l->b, 1000);
}

static void
lab_free(struct lab *l)
{
	node_unref(&l->a);
	node_unref(&l->b);
	nodes_free(&l->nodes);
	l->policy->nnodes = 0;
	l->policy->nodes = NULL;
	policy_unref(&l->policy);
}

static void
one_node(void **state)
{
	struct lab l;

	(void)state;
	lab_new(&l);
	assert_int_equal(l.a->doubt_ms, 0);
	doubt_over(l.b, 3000);
	/* The other one answered while this one did not: once is enough to be told. */
	assert_true(doubt_grows(l.nodes, l.a, 2500, 4000));
	assert_int_equal(l.a->doubt_ms, 4000);
	assert_int_equal(l.a->way_out_ms, 4000);
	assert_false(doubt_grows(l.nodes, l.a, 4500, 6000));
	assert_int_equal(l.a->way_out_ms, 4000);
	assert_int_equal(l.b->doubt_ms, 0);
	/* It answers. */
	l.a->gone = true;
	assert_false(node_takes_new(l.a));
	assert_false(node_takes_more(l.a));
	doubt_over(l.a, 7000);
	assert_int_equal(l.a->doubt_ms, 0);
	assert_int_equal(l.a->way_out_ms, 0);
	assert_int_equal(l.a->trusted_ms, 7000);
	assert_true(node_takes_new(l.a));
	lab_free(&l);
}

/* The other one answers, and serves nobody of this one's. */
static void
two_clusters(void **state)
{
	struct lab l;

	(void)state;
	lab_new(&l);
	snprintf(l.rows[0].cluster, sizeof(l.rows[0].cluster), "old");
	nodes_apply(l.nodes, l.policy, 2);
	doubt_over(l.b, 3000);
	assert_true(doubt_grows(l.nodes, l.a, 2500, 4000));
	assert_int_equal(l.a->doubt_ms, 4000);
	assert_int_equal(l.a->way_out_ms, 0);
	snprintf(l.rows[1].cluster, sizeof(l.rows[1].cluster), "old");
	nodes_apply(l.nodes, l.policy, 3);
	assert_true(doubt_grows(l.nodes, l.a, 2500, 4100));
	lab_free(&l);
}

static void
both_nodes(void **state)
{
	struct lab l;

	(void)state;
	lab_new(&l);
	/*
	 * The other one has not answered since: it may be away as well, and soon is in doubt. That
	 * a doubt begins is to be told: until it is over connections are not idle.
	 */
	assert_true(doubt_grows(l.nodes, l.a, 2500, 4000));
	assert_int_equal(l.a->doubt_ms, 4000);
	assert_int_equal(l.a->way_out_ms, 0);
	assert_true(doubt_grows(l.nodes, l.b, 2500, 4000));
	assert_false(doubt_grows(l.nodes, l.a, 4500, 6000));
	/* One comes back; the other one gets another probe's time. */
	doubt_over(l.b, 7000);
	doubt_review(l.nodes, l.a, 7100);
	assert_int_equal(l.a->way_out_ms, 0);
	assert_true(doubt_grows(l.nodes, l.a, 6500, 8000));
	/* And goes away again. */
	assert_true(doubt_grows(l.nodes, l.b, 7500, 9000));
	doubt_review(l.nodes, l.a, 9100);
	assert_int_equal(l.a->way_out_ms, 0);
	assert_int_equal(l.a->doubt_ms, 4000);
	lab_free(&l);
}

/* A way out is a node that takes new clients. */
static void
no_other(void **state)
{
	struct lab l;

	(void)state;
	lab_new(&l);
	doubt_over(l.b, 3000);
	l.b->drain = true;
	assert_true(doubt_grows(l.nodes, l.a, 2500, 4000));
	l.b->drain = false;
	l.b->health = NODE_HUNG;
	assert_false(doubt_grows(l.nodes, l.a, 2500, 4000));
	l.b->health = NODE_UP;
	assert_true(doubt_grows(l.nodes, l.a, 2500, 4000));
	l.b->drain_policy = true;
	doubt_review(l.nodes, l.a, 4100);
	assert_int_equal(l.a->way_out_ms, 0);
	/* One in maintenance is not probed: nothing would end the doubt. */
	l.a->maint = true;
	doubt_review(l.nodes, l.a, 4200);
	assert_int_equal(l.a->doubt_ms, 0);
	lab_free(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_node),
		cmocka_unit_test(two_clusters),
		cmocka_unit_test(both_nodes),
		cmocka_unit_test(no_other),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
