/* nodes-place.c: placement: weights, bounded load; only a lost node's clients move; answers */
#include "config.h"

#include "auth/keyhash.h"
#include "auth/secret.h"
#include "nodes/node.h"
#include "nodes/place.h"
#include "policy/policy.h"
#include "smb/const.h"
#include "smb/neg2.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CLIENTS 10000
#define NODES 5

static struct keyhash *hash;

static uint64_t
draw(unsigned client, unsigned node)
{
	char name[8];
	int n = snprintf(name, sizeof(name), "n%u", node);

	return keyhash(hash, &client, sizeof(client), name, (size_t)n);
}

/* Places client among the nodes that are not `without`; load counts if asked for. */
static unsigned
place(unsigned client, unsigned without, const double *weight, unsigned *load)
{
	struct place p[NODES];
	unsigned who[NODES];
	size_t n = 0, k;

	for (unsigned i = 0; i < NODES; i++) {
		if (i == without)
			continue;
		who[n] = i;
		p[n++] = (struct place){
			.hash = draw(client, i),
			.weight = weight == NULL ? 1.0 : weight[i],
			.load = load == NULL ? 0 : load[i],
		};
	}
	k = place_choose(p, n);
	assert_true(k < n);
	if (load != NULL)
		load[who[k]]++;
	return who[k];
}

static void
test_even(void **state)
{
	unsigned load[NODES] = { 0 };

	(void)state;
	for (unsigned c = 0; c < CLIENTS; c++)
		place(c, NODES, NULL, load);
	for (unsigned i = 0; i < NODES; i++) {
		assert_in_range(load[i], CLIENTS / NODES * 9 / 10, CLIENTS / NODES * 11 / 10);
	}
}

static void
test_only_its_clients_move(void **state)
{
	(void)state;
	for (unsigned c = 0; c < CLIENTS; c++) {
		unsigned before = place(c, NODES, NULL, NULL), after = place(c, 2, NULL, NULL);

		if (before != 2)
			assert_int_equal(before, after);
		else
			assert_int_not_equal(after, 2);
	}
}

static void
test_weights(void **state)
{
	const double weight[NODES] = { 1, 2, 3, 4, 10 };
	unsigned load[NODES] = { 0 };

	(void)state;
	for (unsigned c = 0; c < CLIENTS; c++)
		place(c, NODES, weight, load);
	for (unsigned i = 0; i < NODES; i++) {
		unsigned share = (unsigned)(CLIENTS * weight[i] / 20);

		assert_in_range(load[i], share * 9 / 10, share * 11 / 10);
	}
}

static void
test_bounded(void **state)
{
	unsigned load[NODES] = { 0 }, picked = 0;

	(void)state;
	/* Somebody who knows the hash sends only clients that all belong to node 0. */
	for (unsigned c = 0; picked < 1000; c++) {
		if (place(c, NODES, NULL, NULL) != 0)
			continue;
		picked++;
		place(c, NODES, NULL, load);
	}
	assert_in_range(load[0], 200, 250);
}

static void
test_few(void **state)
{
	unsigned load[NODES] = { 0 };

	(void)state;
	/* A few clients stay where the hash has them, however they come and go. */
	for (unsigned c = 0; c < 30; c++)
		assert_int_equal(place(c, NODES, NULL, load), place(c, NODES, NULL, NULL));
}

static void
test_keyed(void **state)
{
	struct secret s = { .len = SECRET_MIN, .bytes = "0123456789abcdef" };
	struct secret none = { .len = 0 };
	struct keyhash *a = keyhash_new(&s), *b = keyhash_new(&s), *c = keyhash_new(&none),
		       *d = keyhash_new(&none);

	(void)state;
	/* The same secret gives the same answer in another process; another one does not. */
	assert_int_equal(keyhash(a, "x", 1, "y", 1), keyhash(b, "x", 1, "y", 1));
	assert_int_equal(keyhash(c, "x", 1, "y", 1), keyhash(d, "x", 1, "y", 1));
	assert_int_not_equal(keyhash(a, "x", 1, "y", 1), keyhash(c, "x", 1, "y", 1));
	assert_int_not_equal(keyhash(a, "x", 1, "y", 1), keyhash(a, "x", 1, "z", 1));
	keyhash_free(&a);
	keyhash_free(&b);
	keyhash_free(&c);
	keyhash_free(&d);
}

/* A node's NEGOTIATE answer is kept, but for times and what depends on the dialect. */
static void
test_answer(void **state)
{
	static const uint8_t token[] = "a token";
	struct neg2_resp in = { .security_mode = SMB2_NEGOTIATE_SIGNING_REQUIRED,
		.dialect = SMB2_DIALECT_311, .server_guid = { { 7 } }, .capabilities = 0x2f,
		.max_transact = 1, .max_read = 2, .max_write = 3, .system_time = 4, .start_time = 5,
		.blob = token, .blob_len = sizeof(token), .cipher = 2, .signing = 2,
		.compression = true }, out;
	struct policy *p = policy_new();
	struct nodes *n = nodes_new();
	uint8_t blob[NODE_BLOB_MAX];
	struct node *one;

	(void)state;
	assert_non_null(p);
	p->nnodes = 1;
	p->nodes = calloc(1, sizeof(*p->nodes));
	assert_non_null(p->nodes);
	snprintf(p->nodes[0].name, sizeof(p->nodes[0].name), "n1");
	p->nodes[0].weight = 1;
	nodes_apply(n, p, 0);
	/* Plain defaults until one has answered. */
	nodes_answer(n, 0, &out, blob);
	assert_int_equal(out.max_read, 65536);
	assert_int_equal(out.blob_len, 0);
	one = nodes_find_name(n, "n1");
	assert_non_null(one);
	assert_int_equal(node_capabilities(one), 0);
	node_learn(one, &in);
	assert_int_equal(node_capabilities(one), 0x2f);
	nodes_answer(n, 0, &out, blob);
	assert_int_equal(out.security_mode, SMB2_NEGOTIATE_SIGNING_REQUIRED);
	assert_true(guid_equal(&out.server_guid, &in.server_guid));
	assert_int_equal(out.capabilities, 0x2f);
	assert_true(out.max_transact == 1 && out.max_read == 2 && out.max_write == 3);
	assert_true(out.system_time == 0 && out.start_time == 0);
	assert_true(out.dialect == 0 && out.cipher == 0 && out.signing == 0 && !out.compression);
	assert_ptr_equal(out.blob, blob);
	assert_int_equal(out.blob_len, sizeof(token));
	assert_memory_equal(blob, token, sizeof(token));
	/* A token that is too long is left out. */
	in.blob_len = NODE_BLOB_MAX + 1;
	node_learn(one, &in);
	nodes_answer(n, 0, &out, blob);
	assert_int_equal(out.blob_len, 0);
	node_unref(&one);
	nodes_free(&n);
	policy_unref(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_even),
		cmocka_unit_test(test_only_its_clients_move),
		cmocka_unit_test(test_weights),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_few),
		cmocka_unit_test(test_keyed),
		cmocka_unit_test(test_answer),
	};
	struct secret s = { .len = SECRET_MIN, .bytes = "placement in tests" };
	int failed;

	cmocka_set_message_output(CM_OUTPUT_TAP);
	hash = keyhash_new(&s);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	keyhash_free(&hash);
	return failed;
}
