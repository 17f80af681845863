/* daemon-clusters.c: two clusters whose numbers are the same are refused when they are loaded */
#include "config.h"

#include "base/addr.h"
#include "daemon/clusters.h"
#include "nodes/cluster.h"
#include "policy/conf.h"
#include "policy/errlist.h"
#include "policy/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* They have been looked for. */
#define ONE "dev3-home"
#define SAME_AS_ONE "ops-hr9"
#define TWO "hr-home15"
#define SAME_AS_TWO "n1=10.2.159.192:445"

static void
node_put(struct policy *p, const char *name, const char *address, const char *cluster)
{
	struct pol_node *n = &p->nodes[p->nnodes++];

	snprintf(n->name, sizeof(n->name), "%s", name);
	assert_int_equal(addrport_parse(&n->address, address, 445), 0);
	snprintf(n->cluster, sizeof(n->cluster), "%s", cluster);
	n->line = (int)p->nnodes * 10;
}

/* What is said of them: the first error, NULL: none. */
static void
judged(const struct conf *c, const struct policy *p, const char *want)
{
	struct errlist e = { .n = 0 };

	clusters_check(c, p, &e);
	assert_int_equal(e.n, want == NULL ? 0 : 1);
	if (want != NULL)
		assert_string_equal(e.text[0], want);
	errlist_fini(&e);
}

static void
numbers(void **state)
{
	char path[] = "smbgate.conf", policy[] = "policy.conf", file[] = "nodes";
	struct conf c = { .path = path, .policy = policy,
		.nlisten = 1, .listen[0] = { .name = "vpn", .line = 3, .intercept = true } };
	struct pol_node nodes[5] = { 0 };
	struct policy p = { .nodes = nodes };

	(void)state;
	assert_int_equal(cluster_number(ONE), cluster_number(SAME_AS_ONE));
	assert_int_equal(cluster_number(TWO), cluster_alone(SAME_AS_TWO));

	node_put(&p, "n1", "10.2.0.11", ONE);
	node_put(&p, "n2", "10.2.0.12", ONE);
	node_put(&p, "n3", "10.2.0.13", "");
	node_put(&p, "n4", "10.2.0.14", "");
	judged(&c, &p, NULL);
	node_put(&p, "n5", "10.2.0.15", SAME_AS_ONE);
	judged(&c, &p, "policy.conf:50: cluster \"" SAME_AS_ONE "\" and cluster \"" ONE
	               "\" have the same number, by chance: give one of them another name");
	p.nnodes--;

	/* No node of that cluster: its clients would get those of the other one. */
	snprintf(c.listen[0].cluster, sizeof(c.listen[0].cluster), SAME_AS_ONE);
	judged(&c, &p, "smbgate.conf:3: cluster \"" SAME_AS_ONE "\" and cluster \"" ONE
	               "\" have the same number, by chance: give one of them another name");
	snprintf(c.listen[0].cluster, sizeof(c.listen[0].cluster), ONE);
	judged(&c, &p, NULL);

	/* A node on its own has a number too. */
	p.nnodes = 0;
	node_put(&p, "n1", "10.2.159.192", "");
	node_put(&p, "n2", "10.2.0.12", "");
	c.listen[0].cluster[0] = '\0';
	judged(&c, &p, NULL);
	node_put(&p, "n3", "10.2.0.13", TWO);
	judged(&c, &p, "policy.conf:30: cluster \"" TWO "\" and node \"" SAME_AS_TWO
	               "\" have the same number, by chance: give one of them another name");
	/* It is said where it stands. */
	p.node_file = file;
	nodes[2].in_file = true;
	judged(&c, &p, "nodes:30: cluster \"" TWO "\" and node \"" SAME_AS_TWO
	               "\" have the same number, by chance: give one of them another name");
	/* As one of a cluster it is not met by that number. */
	snprintf(p.nodes[0].cluster, sizeof(p.nodes[0].cluster), TWO);
	judged(&c, &p, NULL);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
