/* inspect-vc-reset.c: which connections a VcNumber 0 is for, by policy, address and identity */
#include "config.h"

#include "auth/keyhash.h"
#include "auth/secret.h"
#include "inspect/identity.h"
#include "inspect/vc_reset.h"
#include "policy/acl.h"
#include "policy/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct secret none = { .len = 0 };

static uint64_t
key_in(enum pol_vc_reset by, const char *client, const struct identity *id, uint32_t cluster)
{
	struct keyhash *h = keyhash_new(&none);
	struct policy *p = policy_new();
	struct prefix nat;
	struct addr a;
	uint64_t key;

	assert_true(h != NULL && p != NULL);
	assert_int_equal(prefix_parse(&nat, "192.0.2.0/24"), 0);
	assert_int_equal(acl_add(p->nat, &nat, false), 0);
	assert_int_equal(addr_parse(&a, client), 0);
	key = vc_reset_key(p, by, h, &a, id, cluster);
	policy_unref(&p);
	keyhash_free(&h);
	return key;
}

static uint64_t
key_of(enum pol_vc_reset by, const char *client, const struct identity *id)
{
	return key_in(by, client, id, 0);
}

/* Each mode alone: what makes two connections the same client's. */
static void
test_same(void **state)
{
	static const struct {
		const char *client;
		struct identity id;
		bool address, identity, user;
	} rows[] = {
		/* Against machine 5, user 9, at 10.0.0.1. */
		{ "10.0.0.1", { 5, 9 }, true, true, true },
		{ "10.0.0.1", { 5, 8 }, true, true, true },
		{ "10.0.0.1", { 5, 0 }, true, true, true },
		{ "10.0.0.1", { 6, 9 }, true, false, false },
		{ "10.0.0.1", { 0, 9 }, true, false, false },
		{ "10.0.0.1", { 0, 0 }, true, false, false },
		{ "10.0.0.1", { 0, 5 }, true, false, false },
		{ "10.0.0.2", { 5, 9 }, false, false, false },
		{ "::ffff:10.0.0.1", { 5, 9 }, true, true, true },
	};
	const struct identity me = { 5, 9 };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct {
			enum pol_vc_reset by;
			bool want;
		} modes[] = { { POL_VC_RESET_ADDRESS, rows[i].address },
			{ POL_VC_RESET_IDENTITY, rows[i].identity },
			{ POL_VC_RESET_USER, rows[i].user } };

		for (size_t k = 0; k < 3; k++) {
			uint64_t mine = key_of(modes[k].by, "10.0.0.1", &me);
			uint64_t its = key_of(modes[k].by, rows[i].client, &rows[i].id);

			assert_true(mine != 0);
			assert_int_equal(mine == its, modes[k].want);
		}
	}
}

/* Who is nobody's: by policy, behind a NAT, without a name. */
static void
test_nobody(void **state)
{
	const struct identity full = { 5, 9 }, user = { 0, 9 }, nothing = { 0, 0 };
	uint64_t key;

	(void)state;
	assert_int_equal(key_of(POL_VC_RESET_OFF, "10.0.0.1", &full), 0);
	assert_int_equal(key_of(POL_VC_RESET_ADDRESS, "192.0.2.1", &full), 0);
	assert_true(key_of(POL_VC_RESET_ADDRESS, "10.0.0.1", &nothing) != 0);
	/* Two PCs of one user that name no machine are one client only where policy says so. */
	assert_int_equal(key_of(POL_VC_RESET_IDENTITY, "10.0.0.1", &user), 0);
	assert_int_equal(key_of(POL_VC_RESET_IDENTITY, "10.0.0.1", &nothing), 0);
	assert_int_equal(key_of(POL_VC_RESET_USER, "10.0.0.1", &nothing), 0);
	key = key_of(POL_VC_RESET_USER, "192.0.2.1", &user);
	assert_true(key != 0 && key == key_of(POL_VC_RESET_USER, "192.0.2.1", &user));
	assert_true(key_of(POL_VC_RESET_IDENTITY, "192.0.2.1", &full) != 0);
}

/* A client of two clusters is a client of each. */
static void
test_cluster(void **state)
{
	const struct identity id = { 5, 9 }, user = { 0, 9 };

	(void)state;
	for (enum pol_vc_reset by = POL_VC_RESET_ADDRESS; by <= POL_VC_RESET_USER; by++) {
		assert_true(key_in(by, "10.0.0.1", &id, 1) != key_in(by, "10.0.0.1", &id, 2));
		assert_true(key_in(by, "10.0.0.1", &id, 2) == key_in(by, "10.0.0.1", &id, 2));
	}
	assert_true(key_in(POL_VC_RESET_USER, "10.0.0.1", &user, 1) !=
	    key_in(POL_VC_RESET_USER, "10.0.0.1", &user, 0));
}

/* What Kerberos tells: a user, or a computer by its own account. */
static void
test_principal(void **state)
{
	struct keyhash *h = keyhash_new(&none);
	struct identity a = { 0 }, b = { 0 }, c = { 0 };

	(void)state;
	assert_non_null(h);
	identity_principal(&a, h, "alice@LAB");
	assert_true(a.principal != 0 && a.machine == 0);
	identity_principal(&b, h, "pc1$@LAB");
	identity_machine(&c, h, "PC1");
	assert_true(b.machine != 0 && b.machine == c.machine && b.principal != a.principal);
	memset(&b, 0, sizeof(b));
	identity_principal(&b, h, "$@LAB");
	assert_int_equal(b.machine, 0);
	keyhash_free(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same),
		cmocka_unit_test(test_nobody),
		cmocka_unit_test(test_cluster),
		cmocka_unit_test(test_principal),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
