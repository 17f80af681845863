/* auth-cluster.c: what the cluster secret is used for: MACs, wrapped keys, keys as bytes */
#include "config.h"

#include "auth/cluster.h"
#include "auth/keys.h"
#include "auth/secret.h"
#include "smb/const.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct secret one = { .len = 16, .bytes = "0123456789abcdef" };
static const struct secret two = { .len = 16, .bytes = "0123456789abcdeg" };
static const struct secret none = { .len = 0 };

static void
test_mac(void **state)
{
	static const struct {
		const struct secret *s;
		const char *label, *a, *b;
	} all[] = {
		{ &one, "claim", "ab", "c" },
		{ &two, "claim", "ab", "c" },
		{ &none, "claim", "ab", "c" },
		{ &one, "client", "ab", "c" },
		/* The same bytes, cut elsewhere. */
		{ &one, "claim", "a", "bc" },
		{ &one, "claim", "abc", "" },
		{ &one, "claim", "", "abc" },
	};
	/* By another implementation of HMAC. */
	static const uint8_t known[32] = {
		0xca, 0x89, 0x4b, 0xa6, 0x2b, 0x5d, 0x77, 0x07, 0xd6, 0xf0, 0x96, 0x1a, 0x2f, 0xd7,
		0x33, 0x83, 0x36, 0xbb, 0xbe, 0x1d, 0x79, 0x95, 0xcc, 0x93, 0x3f, 0x63, 0xe3, 0x56,
		0x1a, 0x08, 0xbe, 0xf8
	};
	const size_t n = sizeof(all) / sizeof(all[0]);
	uint8_t out[sizeof(all) / sizeof(all[0])][32], again[32], big[CLUSTER_MAC_MAX + 1] = { 0 };
	struct cluster *c;

	(void)state;
	for (size_t i = 0; i < n; i++) {
		c = cluster_new(all[i].s);
		assert_int_equal(cluster_mac(c, all[i].label, all[i].a, strlen(all[i].a), all[i].b,
		    strlen(all[i].b), out[i]), 0);
		for (size_t k = 0; k < i; k++)
			assert_memory_not_equal(out[i], out[k], 32);
		cluster_free(&c);
	}
	/* Whatever was done before, and however often. */
	c = cluster_new(&one);
	for (size_t i = 0; i < 2 * n; i++) {
		const size_t k = i % n;

		if (all[k].s != &one)
			continue;
		assert_int_equal(cluster_mac(c, all[k].label, all[k].a, strlen(all[k].a), all[k].b,
		    strlen(all[k].b), again), 0);
		assert_memory_equal(again, out[k], 32);
	}
	/* What another version has written is understood. */
	assert_memory_equal(out[0], known, 32);
	assert_int_equal(cluster_mac(c, "claim", "ab", 2, "c", 1, again), 0);
	assert_memory_equal(again, out[0], 32);
	assert_int_equal(cluster_mac(c, "claim", big, CLUSTER_MAC_MAX, NULL, 0, again), 0);
	assert_int_equal(cluster_mac(c, "claim", big, CLUSTER_MAC_MAX, "x", 1, again), -1);
	assert_int_equal(cluster_mac(c, "claim", big, sizeof(big), NULL, 0, again), -1);
	assert_int_equal(cluster_mac(c, "claim", "x", 1, big, SIZE_MAX, again), -1);
	cluster_free(&c);
}

static void
test_wrap(void **state)
{
	static const uint8_t text[] = "a key that nobody sees";
	uint8_t wrapped[sizeof(text) + CLUSTER_WRAP_EXTRA], again[sizeof(wrapped)],
	    out[sizeof(text)];
	const uint8_t zero[sizeof(text)] = { 0 };

	(void)state;
	assert_int_equal(cluster_wrap(&one, "n1", 2, text, sizeof(text), wrapped), 0);
	assert_int_equal(cluster_wrap(&one, "n1", 2, text, sizeof(text), again), 0);
	/* Another salt each time, and so another key. */
	assert_memory_not_equal(wrapped, again, 24);
	assert_memory_not_equal(wrapped + 24, again + 24, sizeof(text));
	assert_int_equal(cluster_unwrap(&one, "n1", 2, wrapped, sizeof(wrapped), out), 0);
	assert_memory_equal(out, text, sizeof(text));
	assert_int_equal(cluster_unwrap(&two, "n1", 2, wrapped, sizeof(wrapped), out), -1);
	assert_memory_equal(out, zero, sizeof(text));
	assert_int_equal(cluster_unwrap(&one, "n2", 2, wrapped, sizeof(wrapped), out), -1);
	assert_int_equal(cluster_unwrap(&one, "n1", 1, wrapped, sizeof(wrapped), out), -1);
	for (size_t i = 0; i < sizeof(wrapped); i++) {
		memcpy(again, wrapped, sizeof(wrapped));
		again[i] ^= 1;
		assert_int_equal(cluster_unwrap(&one, "n1", 2, again, sizeof(again), out), -1);
	}
	for (size_t n = 0; n < sizeof(wrapped); n++)
		assert_int_equal(cluster_unwrap(&one, "n1", 2, wrapped, n, out), -1);
	/* Without a secret nothing travels. */
	assert_int_equal(cluster_wrap(&none, "n1", 2, text, sizeof(text), again), -1);
	assert_int_equal(cluster_unwrap(&none, "n1", 2, wrapped, sizeof(wrapped), out), -1);
}

static void
test_keys(void **state)
{
	const struct logon_facts f = {
		.dialect = SMB2_DIALECT_302,
		.cipher = SMB2_CIPHER_AES128_CCM,
		.signing = SMB2_SIGNING_AES_CMAC,
		.key = one.bytes,
		.key_len = 16,
	};
	struct smbkeys *k = smbkeys_derive(&f, KEYS_STANDARD), *back;
	uint8_t bytes[SMBKEYS_LEN], bad[SMBKEYS_LEN];

	(void)state;
	assert_non_null(k);
	smbkeys_prove(k, SMBKEYS_SIGN);
	smbkeys_put(k, bytes);
	back = smbkeys_get(bytes);
	assert_non_null(back);
	assert_int_equal(back->refs, 1);
	assert_int_equal(back->dialect, k->dialect);
	assert_int_equal(back->cipher, k->cipher);
	assert_int_equal(back->signing.alg, k->signing.alg);
	assert_memory_equal(back->signing.key, k->signing.key, sizeof(k->signing.key));
	assert_memory_equal(smbkeys_c2s(back), smbkeys_c2s(k), 16);
	assert_memory_equal(smbkeys_s2c(back), smbkeys_s2c(k), 16);
	assert_memory_equal(back->cipher_key, k->cipher_key, sizeof(k->cipher_key));
	assert_true(smbkeys_proven(back, SMBKEYS_SIGN));
	assert_false(smbkeys_proven(back, SMBKEYS_SEAL));
	smbkeys_unref(&back);
	/* An index that is none, a cipher that is none. */
	memcpy(bad, bytes, sizeof(bad));
	bad[7] = 2;
	assert_null(smbkeys_get(bad));
	memcpy(bad, bytes, sizeof(bad));
	bad[2] = 5;
	assert_null(smbkeys_get(bad));
	smbkeys_unref(&k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mac),
		cmocka_unit_test(test_wrap),
		cmocka_unit_test(test_keys),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
