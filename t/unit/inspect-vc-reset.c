/* inspect-vc-reset.c: which connections a VcNumber 0 ends, by policy, address, age and identity */
#include "config.h"

#include "inspect/vc_reset.h"
#include "policy/acl.h"
#include "policy/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct addr
address(const char *text)
{
	struct addr a;

	if (addr_parse(&a, text) == -1)
		fail_msg("%s", text);
	return a;
}

static struct vc_conn
conn(uint64_t id, uint64_t accepted_ms, const char *client, uint64_t machine, uint64_t principal)
{
	return (struct vc_conn){ .id = id, .accepted_ms = accepted_ms, .client = address(client),
		.identity = { .machine = machine, .principal = principal } };
}

static void
test_policy(void **state)
{
	static const struct {
		enum pol_vc_reset policy;
		const char *client;
		enum vc_choice want;
	} rows[] = {
		{ POL_VC_RESET_OFF, "10.0.0.1", VC_CHOICE_OFF },
		{ POL_VC_RESET_OFF, "192.0.2.1", VC_CHOICE_OFF },
		{ POL_VC_RESET_ADDRESS, "10.0.0.1", VC_CHOICE_OLDER },
		{ POL_VC_RESET_ADDRESS, "192.0.2.1", VC_CHOICE_NAT },
		{ POL_VC_RESET_IDENTITY, "10.0.0.1", VC_CHOICE_OLDER },
		{ POL_VC_RESET_IDENTITY, "192.0.2.1", VC_CHOICE_OLDER },
	};
	struct policy *p = policy_new();
	struct prefix nat;

	(void)state;
	assert_non_null(p);
	assert_int_equal(prefix_parse(&nat, "192.0.2.0/24"), 0);
	assert_int_equal(acl_add(p->nat, &nat, false), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct vc_conn by = conn(1, 100, rows[i].client, 0, 0);
		struct vc_reset r;

		p->vc_reset = rows[i].policy;
		assert_int_equal(vc_reset_choose(p, &by, &r), rows[i].want);
		assert_int_equal(r.by_identity, rows[i].policy == POL_VC_RESET_IDENTITY);
		assert_int_equal(r.by.id, 1);
	}
	policy_unref(&p);
}

static void
test_ends(void **state)
{
	static const struct {
		uint64_t id, accepted_ms;
		const char *client;
		uint64_t machine, principal;
		bool by_address, by_identity;
	} rows[] = {
		{ 7, 50, "10.0.0.1", 5, 9, true, true },
		/* Itself, and those that came with it or after it. */
		{ 9, 50, "10.0.0.1", 5, 9, false, false },
		{ 7, 100, "10.0.0.1", 5, 9, false, false },
		{ 7, 101, "10.0.0.1", 5, 9, false, false },
		{ 7, 50, "10.0.0.2", 5, 9, false, false },
		/* Another machine behind the same address; one that has no name yet. */
		{ 7, 50, "10.0.0.1", 6, 9, true, false },
		{ 7, 50, "10.0.0.1", 0, 9, true, false },
		/* Another user of the same machine. */
		{ 7, 50, "10.0.0.1", 5, 8, true, true },
	};
	struct vc_reset r = { .by = conn(9, 100, "10.0.0.1", 5, 9) };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct vc_conn c = conn(rows[i].id, rows[i].accepted_ms, rows[i].client,
		    rows[i].machine, rows[i].principal);

		r.by_identity = false;
		assert_int_equal(vc_reset_ends(&r, &c), rows[i].by_address);
		r.by_identity = true;
		assert_int_equal(vc_reset_ends(&r, &c), rows[i].by_identity);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_policy),
		cmocka_unit_test(test_ends),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
