/* auth-keys.c: unit tests of keys and signatures, against published values */
#include "config.h"

#include "auth/crypt.h"
#include "auth/kdf.h"
#include "auth/keys.h"
#include "auth/preauth.h"
#include "auth/sign.h"
#include "base/wr.h"
#include "smb/const.h"
#include "smb/hdr2.h"
#include "t/unit/lib/authvec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

#define FLAGS_OFF 16
#define MESSAGE_ID_OFF 24
#define SIGNATURE_OFF 48

static const uint16_t algs[] = { SMB2_SIGNING_HMAC_SHA256, SMB2_SIGNING_AES_CMAC,
	SMB2_SIGNING_AES_GMAC };

/* 3.0 and 3.0.2 */

static void
keys_300(void **state)
{
	static const uint16_t dialects[] = { SMB2_DIALECT_300, SMB2_DIALECT_302 };
	static const char key[] = "7cd451825d0450d235424e44ba6e78cc";
	uint8_t ki[16], app[16];
	struct logon l;
	struct signkey s;

	(void)state;
	for (size_t i = 0; i < COUNT(dialects); i++) {
		struct smbkeys *k = keys(dialects[i], SMB2_CIPHER_AES128_CCM, SMB2_SIGNING_AES_CMAC,
		    key, NULL);

		assert_int_equal(k->dialect, dialects[i]);
		assert_int_equal(k->cipher, SMB2_CIPHER_AES128_CCM);
		assert_int_equal(k->signing.alg, SMB2_SIGNING_AES_CMAC);
		same(k->signing.key, "0b7e9c5cac36c0f6ea9ab275298cedce");
		assert_int_equal(smbkeys_cipher_len(k), 16);
		same(smbkeys_c2s(k), "fad27796665b313ebb578f388632b4f7");
		same(smbkeys_s2c(k), "b0f0427f7ceb416d1d9dcc0cd4f99447");
		smbkeys_unref(&k);
		assert_null(k);

		/* A second channel has a signing key of its own. */
		assert_int_equal(signkey_derive(&s, logon(&l, dialects[i], SMB2_CIPHER_AES128_CCM,
		    SMB2_SIGNING_AES_CMAC, "4e01a2b313bcf660cc250bef021aede6", NULL),
		    KEYS_STANDARD), 0);
		same(s.key, "ba1a17dbbfec349bca105563d598952f");

		k = keys(dialects[i], SMB2_CIPHER_AES128_CCM, SMB2_SIGNING_AES_CMAC, KEY_CCM, NULL);
		same(smbkeys_c2s(k), "261b72350558f2e9dcf613070383edbf");
		same(smbkeys_s2c(k), "8fe2b57ec34d2db5b1a9727f526bbdb5");
		smbkeys_unref(&k);
	}
	put(ki, sizeof(ki), key);
	assert_int_equal(kdf(app, 16, 128, ki, 16, "SMB2APP", 8, "SmbRpc", 7), 0);
	same(app, "bb23a4575aa26c721af525af15a87b4f");
}

/* Below 3.0 the session key signs and nothing encrypts. */
static void
keys_2x(void **state)
{
	static const uint16_t dialects[] = { SMB2_DIALECT_202, SMB2_DIALECT_210 };

	(void)state;
	for (size_t i = 0; i < COUNT(dialects); i++) {
		struct smbkeys *k = keys(dialects[i], SMB2_CIPHER_AES128_CCM, SMB2_SIGNING_AES_CMAC,
		    KEY_32, NULL);

		assert_int_equal(k->signing.alg, SMB2_SIGNING_HMAC_SHA256);
		same(k->signing.key, "202122232425262728292a2b2c2d2e2f");
		assert_int_equal(k->cipher, 0);
		assert_int_equal(smbkeys_cipher_len(k), 0);
		assert_false(smbkeys_try_short(k));
		smbkeys_unref(&k);
		/* A DES key has 8 bytes. */
		k = keys(dialects[i], 0, 0, "0102030405060708", NULL);
		same(k->signing.key, "01020304050607080000000000000000");
		smbkeys_unref(&k);
	}
}

static void
kdf_bounds(void **state)
{
	uint8_t key[65] = { 0 }, text[65] = { 0 }, out[33], first[32];

	(void)state;
	memset(out, 0xee, sizeof(out));
	assert_int_equal(kdf(out, 33, 264, key, 16, "A", 2, "B", 2), -1);
	assert_int_equal(kdf(out, 17, 128, key, 16, "A", 2, "B", 2), -1);
	assert_int_equal(kdf(out, 16, 128, key, 65, "A", 2, "B", 2), -1);
	assert_int_equal(kdf(out, 16, 128, key, 16, text, 65, "B", 2), -1);
	assert_int_equal(kdf(out, 16, 128, key, 16, "A", 2, text, 65), -1);
	for (size_t i = 0; i < sizeof(out); i++)
		assert_int_equal(out[i], 0xee);
	assert_int_equal(kdf(out, 32, 256, key, 64, text, 64, text, 64), 0);
	assert_int_equal(out[32], 0xee);
	/* The length is part of the input; how much of the output is taken is not. */
	assert_int_equal(kdf(first, 16, 256, key, 64, text, 64, text, 64), 0);
	assert_memory_equal(first, out, 16);
	assert_int_equal(kdf(first, 16, 128, key, 64, text, 64, text, 64), 0);
	assert_memory_not_equal(first, out, 16);
}

/* 3.1.1 */

struct step {
	const char *message, *hash;
};

static void
preauth_steps(struct crypt *c, const struct step *steps, size_t n, struct preauth *h)
{
	memset(h, 0, sizeof(*h));
	for (size_t i = 0; i < n; i++) {
		size_t len;
		uint8_t *p = authvec_get(steps[i].message, &len);

		assert_int_equal(preauth_add(c, h, p, len), 0);
		same(h->hash, steps[i].hash);
		free(p);
	}
}

static void
preauth_first_channel(void **state)
{
	static const struct step steps[] = {
		{ "ms-311-negotiate-req",
			"dd94efc5321bb618a2e208ba8920d2f422992526947a409b5037de1e0fe8c736"
			"2b8c47122594cde0ce26aa9dfc8bcdbde0621957672623351a7540f1e54a0426" },
		{ "ms-311-negotiate-resp",
			"324bfa92a4f3a190e466ebea08d9c110dc88bfed758d9846ecc6f541cc1d02ae"
			"3c94a79f36011e997e13f841b91b50957ad07b19c8e2539c0b23fdae09d2c513" },
		{ "ms-311-setup-req-1",
			"ac0b0f2b9986257700365e416d142a6edc96df03594a19e52a15f6bd0d041cd5"
			"d432f8ed42c55e33197a50c9ec00f1462b50c592211b1471a04b56088fdfd5f9" },
		{ "ms-311-setup-resp-1",
			"2729e3440dfddd839e37193f6e8f20c20cefb3469e453a70cd980eec06b88357"
			"40a73760085633364c8989895ece81bf102deeb14d4b7d48afa76901a7a38387" },
		{ "ms-311-setup-req-2", HASH_311 },
	};
	struct preauth h;

	preauth_steps(*state, steps, COUNT(steps), &h);
}

static void
preauth_binding(void **state)
{
	static const struct step steps[] = {
		{ "ms-311-bind-negotiate-req",
			"f035c2b2bab116e0dcf6a74e26670604d1bf6dda065913af7c30e93c1f025ac3"
			"ce2dd44d4de26524a785e5d8e06af0be1c74296fef05b045c3793a12b32c49df" },
		{ "ms-311-bind-negotiate-resp",
			"e267ab1aa0403082aa2a9feb0224af3ea92e53caa50a893a9635f0659f93591f"
			"81391737e68db0c9ad878c56449c36a6895ebcf435a7d97072c7b596b8af3817" },
		{ "ms-311-bind-req-1",
			"8346469934a59e951a3f2da7fa4c2c29f0f6b13a6b0951d4cd5279f8d40fd84f"
			"f98157937613c6be9514582e44344b1710dd5bfce3bb023d28c6ea512e0adebd" },
		{ "ms-311-bind-resp-1",
			"6dad1ba61caf5fdfbb46d995463ff5780f7248d692e70ce87d8b58b2fbefd438"
			"937e1bcbec3676f26f7ee374e169f8afb17671fb9a47ab88ee2c079db2b2c7d3" },
		{ "ms-311-bind-req-2", HASH_BIND },
	};
	struct logon l;
	struct preauth h;
	struct signkey s;

	preauth_steps(*state, steps, COUNT(steps), &h);
	(void)logon(&l, SMB2_DIALECT_311, SMB2_CIPHER_AES128_CCM, SMB2_SIGNING_AES_CMAC, KEY_BIND,
	    NULL);
	l.facts.preauth = &h;
	assert_int_equal(signkey_derive(&s, &l.facts, KEYS_STANDARD), 0);
	assert_int_equal(s.alg, SMB2_SIGNING_AES_CMAC);
	same(s.key, "c962bca1a9dd1697b030644199705431");
}

static void
keys_311(void **state)
{
	struct smbkeys *k = keys(SMB2_DIALECT_311, SMB2_CIPHER_AES128_CCM, SMB2_SIGNING_AES_CMAC,
	    KEY_311, HASH_311);
	uint8_t ki[16], app[16], context[64];
	struct logon l;
	struct signkey s;

	(void)state;
	same(k->signing.key, SIGNING_311);
	same(smbkeys_c2s(k), "629bcbc54422a0f572b97f45989b6073");
	same(smbkeys_s2c(k), "e2af0dcefac68da71a0dfbd0d1350d74");
	smbkeys_unref(&k);
	put(ki, sizeof(ki), KEY_311);
	put(context, sizeof(context), HASH_311);
	assert_int_equal(kdf(app, 16, 128, ki, 16, "SMBAppKey", 10, context, 64), 0);
	same(app, "6d7ad7954e9ec61e907b4d473dc178ff");

	k = keys(SMB2_DIALECT_311, SMB2_CIPHER_AES128_GCM, SMB2_SIGNING_AES_GMAC, KEY_GCM,
	    HASH_GCM);
	assert_int_equal(k->signing.alg, SMB2_SIGNING_AES_GMAC);
	assert_int_equal(smbkeys_cipher_len(k), 16);
	same(k->signing.key, "8765949dfeaee105ce9118b45be988f0");
	same(smbkeys_c2s(k), "a2f5e80e5d59103034f32e52f698e5ec");
	same(smbkeys_s2c(k), "748c50868c90f302962a5c35f5f9a8bf");
	smbkeys_unref(&k);

	/* Without a hash there are no keys; without a cipher only that which signs. */
	assert_int_equal(signkey_derive(&s, logon(&l, SMB2_DIALECT_311, 0, SMB2_SIGNING_AES_CMAC,
	    KEY_311, NULL), KEYS_STANDARD), -1);
	assert_null(smbkeys_derive(&l.facts, KEYS_STANDARD));
	k = keys(SMB2_DIALECT_311, 0, SMB2_SIGNING_AES_CMAC, KEY_311, HASH_311);
	same(k->signing.key, SIGNING_311);
	assert_int_equal(smbkeys_cipher_len(k), 0);
	assert_false(smbkeys_try_short(k));
	smbkeys_unref(&k);
}

static void
keys_256(void **state)
{
	static const uint16_t wide[] = { SMB2_CIPHER_AES256_CCM, SMB2_CIPHER_AES256_GCM };

	(void)state;
	for (size_t i = 0; i < COUNT(wide); i++) {
		struct smbkeys *k = keys(SMB2_DIALECT_311, wide[i], SMB2_SIGNING_AES_GMAC, KEY_311,
		    HASH_311);

		assert_int_equal(smbkeys_cipher_len(k), 32);
		same(k->signing.key, SIGNING_311);
		same(smbkeys_c2s(k),
		    "049c27fd8a340262e32c643dea2ba507af7a4c085fd2505aeffcbdeae6d6d8ab");
		same(smbkeys_s2c(k),
		    "35952fed051bf2471af5f7acc63674b887a54b47af46959f7caff1ce537d7419");
		smbkeys_unref(&k);
		k = keys(SMB2_DIALECT_311, wide[i], SMB2_SIGNING_AES_GMAC, KEY_32, HASH_311);
		assert_int_equal(smbkeys_cipher_len(k), 32);
		same(k->signing.key, "d23d497e7c70d42575d453017208c436");
		same(smbkeys_c2s(k),
		    "81f58d11b8a0a1a1b632f5dab11a0c8fe716592c18644ef50ebe2995eed48ee8");
		same(smbkeys_s2c(k),
		    "f9966992c8f66ae39552c75524324b5a48d4288d1bafb99378622f14ba492b35");
		smbkeys_unref(&k);
	}
}

static void
keys_variants(void **state)
{
	struct smbkeys *k, *other;
	struct logon l;
	struct signkey s;

	(void)state;
	/* These were computed for the test: no one has published them. */
	(void)logon(&l, SMB2_DIALECT_311, SMB2_CIPHER_AES256_GCM, SMB2_SIGNING_AES_CMAC, KEY_311,
	    HASH_311);
	assert_int_equal(signkey_derive(&s, &l.facts, KEYS_LONG_SIGNING), 0);
	same(s.key, "65ee62005af2dd064b5a4b7a7feef725");
	(void)logon(&l, SMB2_DIALECT_311, SMB2_CIPHER_AES256_GCM, SMB2_SIGNING_AES_CMAC, KEY_32,
	    HASH_311);
	assert_int_equal(signkey_derive(&s, &l.facts, KEYS_LONG_SIGNING), 0);
	same(s.key, "277dfd9505690e7d6f301d2737eb5fc7");
	k = smbkeys_derive(&l.facts, KEYS_LONG_SIGNING);
	assert_non_null(k);
	same(k->signing.key, "277dfd9505690e7d6f301d2737eb5fc7");
	/* The variants are independent of each other. */
	same(smbkeys_c2s(k), "81f58d11b8a0a1a1b632f5dab11a0c8fe716592c18644ef50ebe2995eed48ee8");
	assert_true(smbkeys_try_short(k));
	same(smbkeys_c2s(k), "3b16662c3d8d358606392e46d7d80f51945294289865e9fb5233245a10778a79");
	same(smbkeys_s2c(k), "4c7c76026c6da9f6285199a8797ca8d2ddf2b96a2e686817d7f0bb300c5ad9bb");
	same(k->signing.key, "277dfd9505690e7d6f301d2737eb5fc7");
	assert_int_equal(smbkeys_cipher_len(k), 32);
	/* They are tried once, and everybody's. */
	assert_false(smbkeys_try_short(k));
	other = smbkeys_ref(k);
	assert_ptr_equal(other, k);
	smbkeys_unref(&k);
	assert_null(k);
	assert_false(smbkeys_try_short(other));
	same(smbkeys_c2s(other),
	    "3b16662c3d8d358606392e46d7d80f51945294289865e9fb5233245a10778a79");
	smbkeys_unref(&other);
	assert_null(other);
	smbkeys_unref(&other);
	assert_null(smbkeys_ref(NULL));

	/* There are no others for a key of 16 bytes, nor for a cipher that takes no more. */
	k = keys(SMB2_DIALECT_311, SMB2_CIPHER_AES256_CCM, SMB2_SIGNING_AES_CMAC, KEY_311,
	    HASH_311);
	assert_false(smbkeys_try_short(k));
	same(smbkeys_c2s(k), "049c27fd8a340262e32c643dea2ba507af7a4c085fd2505aeffcbdeae6d6d8ab");
	smbkeys_unref(&k);
	k = keys(SMB2_DIALECT_311, SMB2_CIPHER_AES128_GCM, SMB2_SIGNING_AES_CMAC, KEY_32, HASH_311);
	assert_false(smbkeys_try_short(k));
	smbkeys_unref(&k);
}

/* Signatures */

/* dialect 0: key is the signing key. */
struct signed_message {
	const char *name;
	uint16_t dialect, alg;
	const char *key, *hash, *signature;
};

static const struct signed_message signed_messages[] = {
	{ "202-ioctl-error", SMB2_DIALECT_202, 0, "d38354cc374339f0524f789146789921", NULL,
		"fbd284340324c62fbebb65dd1051f3ae" },
	{ "210-ioctl-error", SMB2_DIALECT_210, 0, "04e707571f8e0353b77a94c3653b87b5", NULL,
		"a164ffe53d6811981f386772e387e06f" },
	{ "300-setup-resp", SMB2_DIALECT_300, SMB2_SIGNING_AES_CMAC,
		"354024cbca4f94aa51d4033e6e9b2f98", NULL, "73f2cc56093ed2b5d710666ce4282dd1" },
	{ "ms-311-setup-resp-2", SMB2_DIALECT_311, SMB2_SIGNING_AES_CMAC, KEY_311, HASH_311,
		"ebe146da120ba25fc3376a49dfe31bc1" },
	/* A binding is signed with the session's key until it has succeeded. */
	{ "ms-311-bind-req-1", SMB2_DIALECT_311, SMB2_SIGNING_AES_CMAC, KEY_311, HASH_311,
		"68bd0c58f613ce1334b1eb51c68d39ea" },
	{ "ms-311-bind-resp-1", SMB2_DIALECT_311, SMB2_SIGNING_AES_CMAC, KEY_311, HASH_311,
		"014a71cae724995e612430e2be87578c" },
	{ "ms-311-bind-req-2", SMB2_DIALECT_311, SMB2_SIGNING_AES_CMAC, KEY_311, HASH_311,
		"3ca64529acae57b26dcec17b14e477d7" },
	{ "ms-311-bind-resp-2", SMB2_DIALECT_311, SMB2_SIGNING_AES_CMAC, KEY_BIND, HASH_BIND,
		"8d604217ffbacf40635bf9d872992150" },
	{ "gmac-resp", SMB2_DIALECT_311, SMB2_SIGNING_AES_GMAC, KEY_311, HASH_311,
		"75d05bac99ff7fcc52a44c354381d559" },
	{ "gmac-req", SMB2_DIALECT_311, SMB2_SIGNING_AES_GMAC, KEY_311, HASH_311,
		"1350959eb13dc1c023332d69e9249205" },
	{ "gmac-cancel", 0, SMB2_SIGNING_AES_GMAC, SIGNING_311, NULL,
		"237324d6ec6c28e73909a0c01edabe41" },
	{ "311-setup-resp-gmac", 0, SMB2_SIGNING_AES_GMAC, "bbefa9313d39ef39d68a896a44ba4311", NULL,
		"fe45b915d5c173a26a64fa8e0f354542" },
	{ "311-tree-connect-resp", 0, SMB2_SIGNING_AES_GMAC, "bbefa9313d39ef39d68a896a44ba4311",
		NULL, "1e7167221a64e92a0c57092298e34575" },
};

/* The message with its signature, and the key. */
static uint8_t *
signed_get(const struct signed_message *m, struct signkey *k, size_t *n)
{
	uint8_t *p = authvec_get(m->name, n);
	struct logon l;

	put(p + SIGNATURE_OFF, 16, m->signature);
	if (m->dialect != 0) {
		assert_int_equal(signkey_derive(k, logon(&l, m->dialect, 0, m->alg, m->key,
		    m->hash), KEYS_STANDARD), 0);
	} else {
		k->alg = m->alg;
		assert_int_equal(put(k->key, sizeof(k->key), m->key), SIGN_KEY_LEN);
	}
	return p;
}

/* The same by other means: the library's one-shot MACs over a copy with no signature. */
static void
mac_of(const struct signkey *k, const uint8_t *msg, size_t n, unsigned role, uint8_t out[16])
{
	static const char *const names[] = { "HMAC", "CMAC", "GMAC" };
	static const char *const subs[] = { "SHA256", "AES-128-CBC", "AES-128-GCM" };
	uint8_t *copy = exact(msg, n), nonce[12] = { 0 }, full[EVP_MAX_MD_SIZE];
	OSSL_PARAM p[2] = { OSSL_PARAM_construct_end(), OSSL_PARAM_construct_end() };
	size_t len = 0;

	memset(copy + SIGNATURE_OFF, 0, 16);
	memcpy(nonce, msg + MESSAGE_ID_OFF, 8);
	nonce[8] = (uint8_t)role;
	if (k->alg == SMB2_SIGNING_AES_GMAC)
		p[0] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_IV, nonce, sizeof(nonce));
	assert_non_null(EVP_Q_mac(NULL, names[k->alg], NULL, subs[k->alg], p, k->key,
	    sizeof(k->key), copy, n, full, sizeof(full), &len));
	assert_true(len >= 16);
	memcpy(out, full, 16);
	free(copy);
}

static void
sign_published(void **state)
{
	struct crypt *c = *state;

	for (size_t i = 0; i < COUNT(signed_messages); i++) {
		struct signkey k;
		size_t n;
		uint8_t *p = signed_get(&signed_messages[i], &k, &n), *q = exact(p, n);

		assert_true(sign_good(c, &k, p, n));
		assert_memory_equal(p, q, n);
		/* What stood there before is no matter. */
		memset(q + SIGNATURE_OFF, 0x5a, 16);
		q[FLAGS_OFF] &= (uint8_t)~SMB2_FLAGS_SIGNED;
		assert_int_equal(sign_make(c, &k, q, n), 0);
		assert_memory_equal(q, p, n);
		/* Without the flag there is no signature, be it the right one. */
		q[FLAGS_OFF] &= (uint8_t)~SMB2_FLAGS_SIGNED;
		assert_false(sign_good(c, &k, q, n));
		mac_of(&k, q, n, (q[FLAGS_OFF] & 1u) | (q[12] == SMB2_CANCEL ? 2 : 0),
		    q + SIGNATURE_OFF);
		assert_false(sign_good(c, &k, q, n));
		free(q);
		free(p);
	}
}

/* Any other bit, length, key or algorithm is another signature. */
static void
sign_forged(void **state)
{
	struct crypt *c = *state;

	for (size_t i = 0; i < COUNT(signed_messages); i++) {
		struct signkey k, other;
		size_t n;
		uint8_t *p = signed_get(&signed_messages[i], &k, &n), *longer;

		for (size_t bit = 0; bit < 8 * n; bit++) {
			p[bit / 8] ^= (uint8_t)(1u << bit % 8);
			assert_false(sign_good(c, &k, p, n));
			p[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		for (size_t cut = 0; cut < n; cut++) {
			uint8_t *q = exact(p, cut);

			assert_false(sign_good(c, &k, q, cut));
			free(q);
		}
		longer = calloc(1, n + 1);
		assert_non_null(longer);
		memcpy(longer, p, n);
		assert_false(sign_good(c, &k, longer, n + 1));
		free(longer);
		for (size_t bit = 0; bit < 8 * sizeof(k.key); bit++) {
			other = k;
			other.key[bit / 8] ^= (uint8_t)(1u << bit % 8);
			assert_false(sign_good(c, &other, p, n));
		}
		other = k;
		for (other.alg = 0; other.alg < 5; other.alg++)
			assert_int_equal(sign_good(c, &other, p, n), other.alg == k.alg);
		assert_true(sign_good(c, &k, p, n));
		free(p);
	}
}

static void
header(uint8_t *p, uint16_t command, uint32_t flags, uint64_t message_id)
{
	struct hdr2 h = { .command = command, .flags = flags, .message_id = message_id,
		.session_id = 0x1122334455667788 };
	struct wr w = wr_init(p, SMB2_HDR_LEN);

	hdr2_put(&w, &h);
	assert_true(wr_ok(&w));
}

static void
sign_lengths(void **state)
{
	static const size_t big[] = { 1000, 4095, 4096, 4097, 65535, 65537, 1048577 };
	struct crypt *c = *state;
	struct signkey k;

	put(k.key, sizeof(k.key), SIGNING_311);
	for (size_t i = 0; i < COUNT(algs); i++) {
		k.alg = algs[i];
		for (size_t j = 0; j < 200 + COUNT(big); j++) {
			size_t n = j < 200 ? SMB2_HDR_LEN + j : big[j - 200];
			unsigned role = j % 4;
			uint8_t *p = malloc(n), want[16];

			assert_non_null(p);
			memset(p, (int)j, n);
			header(p, (role & 2) != 0 ? SMB2_CANCEL : SMB2_WRITE,
			    (role & 1) != 0 ? SMB2_FLAGS_SERVER_TO_REDIR : 0,
			    0xfedcba9876543210 + j);
			assert_int_equal(sign_make(c, &k, p, n), 0);
			assert_int_equal(p[FLAGS_OFF], SMB2_FLAGS_SIGNED | (role & 1));
			mac_of(&k, p, n, role, want);
			assert_memory_equal(p + SIGNATURE_OFF, want, 16);
			assert_true(sign_good(c, &k, p, n));
			p[n - 1] ^= 1;
			assert_false(sign_good(c, &k, p, n));
			free(p);
		}
	}
}

static void
sign_refused(void **state)
{
	static const uint64_t ids[] = { 0, UINT64_MAX };
	struct crypt *c = *state;
	struct signkey k = { .alg = SMB2_SIGNING_AES_GMAC };
	uint8_t msg[80] = { 0 }, before[80];

	put(k.key, sizeof(k.key), SIGNING_311);
	/* GMAC with a MessageId that is used again would give its key away. */
	for (size_t i = 0; i < COUNT(ids); i++) {
		for (unsigned server = 0; server < 2; server++) {
			header(msg, SMB2_OPLOCK_BREAK, server, ids[i]);
			memcpy(before, msg, sizeof(msg));
			k.alg = SMB2_SIGNING_AES_GMAC;
			assert_int_equal(sign_make(c, &k, msg, sizeof(msg)), -1);
			/* It could still be sent, unsigned as it came. */
			assert_memory_equal(msg, before, sizeof(msg));
			msg[FLAGS_OFF] |= SMB2_FLAGS_SIGNED;
			mac_of(&k, msg, sizeof(msg), server, msg + SIGNATURE_OFF);
			assert_false(sign_good(c, &k, msg, sizeof(msg)));
			k.alg = SMB2_SIGNING_AES_CMAC;
			assert_int_equal(sign_make(c, &k, msg, sizeof(msg)), 0);
			assert_true(sign_good(c, &k, msg, sizeof(msg)));
		}
	}
	header(msg, SMB2_WRITE, 0, 1);
	memcpy(before, msg, sizeof(msg));
	for (unsigned alg = 3; alg < 0x10000; alg = alg * 2 + 1) {
		k.alg = (uint16_t)alg;
		assert_int_equal(sign_make(c, &k, msg, sizeof(msg)), -1);
		assert_memory_equal(msg, before, sizeof(msg));
		assert_false(sign_good(c, &k, msg, sizeof(msg)));
	}
	for (size_t i = 0; i < COUNT(algs); i++) {
		k.alg = algs[i];
		for (size_t cut = 0; cut < SMB2_HDR_LEN; cut++) {
			uint8_t *q = exact(msg, cut);

			assert_int_equal(sign_make(c, &k, q, cut), -1);
			assert_false(sign_good(c, &k, q, cut));
			free(q);
		}
		msg[0] = 0xfd;
		assert_int_equal(sign_make(c, &k, msg, sizeof(msg)), -1);
		assert_false(sign_good(c, &k, msg, sizeof(msg)));
		msg[0] = 0xfe;
	}
}

/* The longest message that a frame can hold, and one byte more. */
static void
sign_longest(void **state)
{
	struct crypt *c = *state;
	struct signkey k = { .alg = SMB2_SIGNING_AES_GMAC };
	uint8_t *big;

	put(k.key, sizeof(k.key), SIGNING_311);
	big = calloc(1, NBSS_LEN_MAX + 1);
	assert_non_null(big);
	header(big, SMB2_WRITE, 0, 1);
	for (size_t i = 0; i < COUNT(algs); i++) {
		k.alg = algs[i];
		assert_int_equal(sign_make(c, &k, big, NBSS_LEN_MAX + 1), -1);
		assert_int_equal(sign_make(c, &k, big, NBSS_LEN_MAX), 0);
		assert_true(sign_good(c, &k, big, NBSS_LEN_MAX));
		mac_of(&k, big, NBSS_LEN_MAX + 1, 0, big + SIGNATURE_OFF);
		assert_false(sign_good(c, &k, big, NBSS_LEN_MAX + 1));
	}
	free(big);
}

/* [RFC 4493] 4, through the context that signs. */
static void
cmac_rfc4493(void **state)
{
	static const struct {
		size_t len;
		const char *mac;
	} samples[] = {
		{ 0, "bb1d6929e95937287fa37d129b756746" },
		{ 16, "070a16b46b4d4144f79bdd9dd04a287c" },
		{ 40, "dfa66747de9ae63030ca32611497c827" },
		{ 64, "51f0bebf7e3b9d92fc49741779363cfe" },
	};
	struct crypt *c = *state;
	uint8_t key[16], msg[64], out[16];

	put(key, sizeof(key), "2b7e151628aed2a6abf7158809cf4f3c");
	put(msg, sizeof(msg), "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
	    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710");
	for (size_t i = 0; i < COUNT(samples); i++) {
		size_t n = 0;

		assert_int_equal(EVP_MAC_init(c->cmac, key, sizeof(key), NULL), 1);
		assert_int_equal(EVP_MAC_update(c->cmac, msg, samples[i].len), 1);
		assert_int_equal(EVP_MAC_final(c->cmac, out, &n, sizeof(out)), 1);
		assert_int_equal(n, 16);
		same(out, samples[i].mac);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_300),
		cmocka_unit_test(keys_2x),
		cmocka_unit_test(kdf_bounds),
		cmocka_unit_test(preauth_first_channel),
		cmocka_unit_test(preauth_binding),
		cmocka_unit_test(keys_311),
		cmocka_unit_test(keys_256),
		cmocka_unit_test(keys_variants),
		cmocka_unit_test(sign_published),
		cmocka_unit_test(sign_forged),
		cmocka_unit_test(sign_lengths),
		cmocka_unit_test(sign_refused),
		cmocka_unit_test(sign_longest),
		cmocka_unit_test(cmac_rfc4493),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, crypt_setup, crypt_teardown);
}
