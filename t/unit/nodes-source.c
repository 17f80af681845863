/* nodes-source.c: where a node's connections come from, and what intercepted clients are told */
#include "config.h"

#include "auth/keyhash.h"
#include "auth/secret.h"
#include "inspect/announce.h"
#include "nodes/ports.h"
#include "nodes/source.h"
#include "policy/acl.h"
#include "policy/policy.h"
#include "smb/ifinfo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CLIENTS 4000
#define POOL 4

static struct keyhash *hash;

static struct addr
address(const char *text)
{
	struct addr a;

	if (addr_parse(&a, text) == -1)
		fail_msg("%s", text);
	return a;
}

static struct policy *
policy(enum pol_source source, const char *const *pool, size_t n)
{
	struct policy *p = policy_new();

	assert_non_null(p);
	p->common.source = source;
	p->npool = n;
	p->pool = calloc(n + 1, sizeof(struct addr));
	assert_non_null(p->pool);
	for (size_t i = 0; i < n; i++)
		p->pool[i] = address(pool[i]);
	return p;
}

static void
check(struct policy *p, const char *client, const char *node, enum source want,
    const char *want_from)
{
	struct addr c = address(client), n = address(node), from = address("::");
	char text[ADDR_STRLEN];

	assert_int_equal(source_choose(p, p->common.source, hash, &c, &n, &from), want);
	assert_string_equal(addr_str(&from, text), want_from);
}

static void
test_families(void **state)
{
	static const char *const both[] = { "10.2.0.101", "fd00:2::101", "127.0.0.9" };
	static const char *const v6[] = { "fd00:2::101", "fe80::1" };
	struct policy *p = policy(POL_SOURCE_OWN, both, 3);

	(void)state;
	check(p, "10.8.0.2", "10.2.0.11", SOURCE_OWN, "::");
	p->common.source = POL_SOURCE_TRANSPARENT;
	check(p, "10.8.0.2", "10.2.0.11", SOURCE_CLIENT, "10.8.0.2");
	check(p, "fd00:8::2", "fd00:2::11", SOURCE_CLIENT, "fd00:8::2");
	check(p, "::ffff:10.8.0.2", "10.2.0.11", SOURCE_CLIENT, "10.8.0.2");
	check(p, "fd00:8::2", "10.2.0.11", SOURCE_MISFIT, "::");
	check(p, "10.8.0.2", "fd00:2::11", SOURCE_MISFIT, "::");
	check(p, "fe80::2", "fd00:2::11", SOURCE_MISFIT, "::");
	check(p, "127.0.0.1", "10.2.0.11", SOURCE_MISFIT, "::");
	check(p, "::1", "fd00:2::11", SOURCE_MISFIT, "::");
	check(p, "127.0.0.1", "127.0.0.11", SOURCE_CLIENT, "127.0.0.1");
	p->common.source = POL_SOURCE_POOL;
	check(p, "10.8.0.2", "10.2.0.11", SOURCE_POOL, "10.2.0.101");
	check(p, "fd00:8::2", "10.2.0.11", SOURCE_POOL, "10.2.0.101");
	check(p, "10.8.0.2", "fd00:2::11", SOURCE_POOL, "fd00:2::101");
	policy_unref(&p);
	p = policy(POL_SOURCE_POOL, v6, 2);
	check(p, "10.8.0.2", "10.2.0.11", SOURCE_MISFIT, "::");
	check(p, "10.8.0.2", "fd00:2::11", SOURCE_POOL, "fd00:2::101");
	policy_unref(&p);
}

/* Which of the addresses that client has. */
static unsigned
drawn(const struct policy *p, unsigned client)
{
	const uint8_t v4[4] = { 10, 8, (uint8_t)(client >> 8), (uint8_t)client };
	struct addr c = addr_from_v4(v4), n = address("10.2.0.11"), from;

	assert_int_equal(source_choose(p, p->common.source, hash, &c, &n, &from), SOURCE_POOL);
	return from.b[15];
}

static void
test_pool(void **state)
{
	static const char *const all[POOL] = { "10.2.0.1", "10.2.0.2", "10.2.0.3", "10.2.0.4" };
	static const char *const other_way[POOL] = { "10.2.0.4", "10.2.0.3", "10.2.0.2",
		"10.2.0.1" };
	struct policy *a = policy(POL_SOURCE_POOL, all, POOL);
	struct policy *b = policy(POL_SOURCE_POOL, other_way, POOL);
	struct policy *less = policy(POL_SOURCE_POOL, all, POOL - 1);
	unsigned load[POOL + 1] = { 0 };

	(void)state;
	for (unsigned c = 0; c < CLIENTS; c++) {
		unsigned x = drawn(a, c);

		assert_in_range(x, 1, POOL);
		load[x]++;
		assert_int_equal(drawn(a, c), x);
		assert_int_equal(drawn(b, c), x);
		/* An address that is gone, or comes: nobody else moves. */
		if (x != POOL)
			assert_int_equal(drawn(less, c), x);
	}
	for (unsigned i = 1; i <= POOL; i++)
		assert_in_range(load[i], CLIENTS / POOL * 9 / 10, CLIENTS / POOL * 11 / 10);
	policy_unref(&a);
	policy_unref(&b);
	policy_unref(&less);
}

/* Many clients behind one NAT: they have another address toward each node, of four about. */
static void
test_spread(void **state)
{
	static const char *const all[POOL] = { "10.2.0.1", "10.2.0.2", "10.2.0.3", "10.2.0.4" };
	struct policy *p = policy(POL_SOURCE_POOL, all, POOL);
	struct addr c = address("10.8.0.2"), from;
	unsigned load[POOL + 1] = { 0 };

	(void)state;
	for (unsigned n = 0; n < CLIENTS; n++) {
		const uint8_t v4[4] = { 10, 3, (uint8_t)(n >> 8), (uint8_t)n };
		struct addr node = addr_from_v4(v4);

		assert_int_equal(source_choose(p, p->common.source, hash, &c, &node, &from),
		    SOURCE_POOL);
		load[from.b[15]]++;
	}
	for (unsigned i = 1; i <= POOL; i++)
		assert_in_range(load[i], CLIENTS / POOL * 9 / 10, CLIENTS / POOL * 11 / 10);
	policy_unref(&p);
}

/*
 * Where one has no port left the others follow, each once, and the first as if it were not there.
 */
static void
test_next(void **state)
{
	static const char *const all[POOL] = { "10.2.0.1", "10.2.0.2", "10.2.0.3", "10.2.0.4" };
	struct policy *p = policy(POL_SOURCE_POOL, all, POOL);
	struct addr node = address("10.2.0.11");

	(void)state;
	for (unsigned n = 0; n < 100; n++) {
		const uint8_t v4[4] = { 10, 8, 0, (uint8_t)n };
		struct addr c = addr_from_v4(v4), from;
		unsigned seen = 0;

		assert_int_equal(source_choose(p, p->common.source, hash, &c, &node, &from),
		    SOURCE_POOL);
		for (unsigned i = 0; i < POOL; i++) {
			assert_false((seen & 1u << from.b[15]) != 0);
			seen |= 1u << from.b[15];
			assert_int_equal(source_next(p, hash, &c, &node, &from), i < POOL - 1);
		}
		assert_int_equal(seen, 0x1e);
	}
	policy_unref(&p);
}

static void
test_addresses(void **state)
{
	static const char *const pool[] = { "10.2.0.1", "fd00:2::1", "10.2.0.2", "127.0.0.9" };
	struct policy *p = policy(POL_SOURCE_POOL, pool, 4);
	struct addr v4 = address("10.2.0.11"), v6 = address("fd00:2::11"), lo = address("::1");

	(void)state;
	assert_int_equal(source_addresses(p, &v4), 2);
	assert_int_equal(source_addresses(p, &v6), 1);
	/* None fits: the kernel's choice. */
	p->npool = 1;
	assert_int_equal(source_addresses(p, &lo), 1);
	p->common.source = POL_SOURCE_OWN;
	assert_int_equal(source_addresses(p, &v4), 1);
	p->common.source = POL_SOURCE_TRANSPARENT;
	assert_int_equal(source_addresses(p, &v4), 0);
	/* One listener's clients come from the pool, all others' from this machine. */
	p->common.source = POL_SOURCE_OWN;
	p->npool = 4;
	p->listeners = calloc(1, sizeof(*p->listeners));
	assert_non_null(p->listeners);
	p->nlisteners = 1;
	p->listeners[0].source = POL_SOURCE_POOL;
	assert_int_equal(source_addresses(p, &v4), 3);
	p->listeners[0].source = POL_SOURCE_TRANSPARENT;
	assert_int_equal(source_addresses(p, &v4), 0);
	policy_unref(&p);
	assert_false(ports_scarce(1000000, 0));
	assert_false(ports_scarce(80, 100));
	assert_true(ports_scarce(81, 100));
	assert_false(ports_scarce(2, 3));
	assert_true(ports_scarce(3, 3));
}

/* Another secret is another draw. */
static void
test_secret(void **state)
{
	static const char *const all[POOL] = { "10.2.0.1", "10.2.0.2", "10.2.0.3", "10.2.0.4" };
	struct secret s = { .len = 16 };
	struct policy *p = policy(POL_SOURCE_POOL, all, POOL);
	struct keyhash *before = hash;
	unsigned same = 0, x[CLIENTS];

	(void)state;
	memset(s.bytes, 7, s.len);
	for (unsigned c = 0; c < CLIENTS; c++)
		x[c] = drawn(p, c);
	hash = keyhash_new(&s);
	assert_non_null(hash);
	for (unsigned c = 0; c < CLIENTS; c++)
		same += drawn(p, c) == x[c];
	assert_in_range(same, CLIENTS / POOL * 8 / 10, CLIENTS / POOL * 12 / 10);
	keyhash_free(&hash);
	hash = before;
	policy_unref(&p);
}

static void
test_mode(void **state)
{
	struct policy *p = policy(POL_SOURCE_OWN, NULL, 0);
	struct pol_interfaces *sec = calloc(1, sizeof(*sec));
	const struct ifinfo nodes[2] = {
		{ .ifindex = 1, .link_speed = 1000, .addr = address("10.2.0.11") },
		{ .ifindex = 2, .link_speed = 2000, .addr = address("10.3.0.11") },
	};
	const struct prefix deny = prefix_host(&nodes[0].addr);
	struct ifinfo out[4];

	(void)state;
	assert_non_null(sec);
	snprintf(sec->listener, sizeof(sec->listener), "vpn");
	assert_int_equal(announce_mode(p, "vpn", false), POL_IF_ANNOUNCE);
	assert_int_equal(announce_mode(p, "vpn", true), POL_IF_FILTER);
	assert_int_equal(announce(p, "vpn", POL_IF_FILTER, &nodes[0].addr, nodes, 2, out, 4), 2);
	assert_int_equal(acl_add(p->addresses, &deny, true), 0);
	/* He who dialled what is forbidden is told that, as the node tells of it. */
	assert_int_equal(announce(p, "vpn", POL_IF_FILTER, &nodes[0].addr, nodes, 2, out, 4), 1);
	assert_memory_equal(&out[0], &nodes[0], sizeof(out[0]));
	assert_int_equal(announce(p, "vpn", POL_IF_FILTER, &nodes[1].addr, nodes, 2, out, 4), 1);
	assert_memory_equal(&out[0], &nodes[1], sizeof(out[0]));

	p->interfaces = sec;
	p->ninterfaces = 1;
	for (int m = POL_IF_ANNOUNCE; m <= POL_IF_PASS; m++) {
		sec->mode = (enum pol_ifmode)m;
		assert_int_equal(announce_mode(p, "vpn", true), m);
		assert_int_equal(announce_mode(p, "vpn", false), m);
	}
	assert_int_equal(announce_mode(p, "lan", true), POL_IF_FILTER);
	policy_unref(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_families),
		cmocka_unit_test(test_pool),
		cmocka_unit_test(test_spread),
		cmocka_unit_test(test_next),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_secret),
		cmocka_unit_test(test_mode),
	};
	const struct secret none = { .len = 0 };
	int failed;

	hash = keyhash_new(&none);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	keyhash_free(&hash);
	return failed;
}
