/* authvec.h: messages and keys for the tests of auth/, besides what t/unit/lib/vectors.h has */
#ifndef T_UNIT_LIB_AUTHVEC_H
#define T_UNIT_LIB_AUTHVEC_H

#include "auth/crypt.h"
#include "auth/keys.h"
#include "auth/preauth.h"
#include "smb/const.h"
#include "t/unit/lib/vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/*
 * ms-*: as in t/unit/lib/vectors.h. 311-*: a throw-away session with Samba 4.17. All others were
 * computed for these tests with two other implementations: nothing is published for GMAC and
 * AES-256. gmac-* have their SMB2_FLAGS_SIGNED and a Signature of zeros.
 */
static const struct {
	const char *name, *hex;
} authvec[] = {
	{ "ms-311-bind-negotiate-req",
		"fe534d4240000100000000000000800000000000000000000100000000000000fffe00000000"
		"000000000000000000000000000000000000000000000000000024000500010000003f000000"
		"ecd86f326276024f9f7752b89bb33f3a70000000020000000202100200030203110300000100"
		"2600000000000100200001003e38b8b81a9afb172278056f4898fd09a1b9976a49b2d771161f"
		"cd4d40df7d7d00000200060000000000020002000100" },
	{ "ms-311-bind-negotiate-resp",
		"fe534d4240000100000000000000010001000000000000000100000000000000fffe00000000"
		"0000000000000000000000000000000000000000000000000000410001001103020039cbcaf3"
		"29714942bdce5d60f09ab3fb2f000000000080000000800000008000a76533aecbaed0010909"
		"4ab095aed00180004001c00100006082013c06062b0601050502a08201303082012ca01a3018"
		"060a2b06010401823702021e060a2b06010401823702020aa282010c048201084e45474f4558"
		"5453010000000000000060000000700000007e7cc0fd06d6362d02dde1cf343bfe29172ba848"
		"2f8b7be4dba9f69a8debba8336e453f3ee58983492f66354ed01a5be00000000000000006000"
		"00000100000000000000000000005c33530deaf90d4db2ec4ae3786ec3084e45474f45585453"
		"030000000100000040000000980000007e7cc0fd06d6362d02dde1cf343bfe295c33530deaf9"
		"0d4db2ec4ae3786ec30840000000580000003056a05430523027802530233121301f06035504"
		"031318546f6b656e205369676e696e67205075626c6963204b65793027802530233121301f06"
		"035504031318546f6b656e205369676e696e67205075626c6963204b65790100260000000000"
		"0100200001002521fe7288989f816ee6d3d6c55921fbef2cc239789e83b8a0ec29e8d84ebab8"
		"0000020004000000000001000200" },
	{ "ms-311-write-req",
		"fe534d4240000100000000000900010008000000000000000500000000000000fffe00000100"
		"0000250000000010000000000000000000000000000000000000310070001700000000000000"
		"000000000600000004000000010000000400000000000000000000007000000000000000536d"
		"623320656e6372797074696f6e2074657374696e67" },
	{ "ms-311-write-resp",
		"fe534d4240000100000000000900010001000000000000000500000000000000fffe00000100"
		"0000250000000010000000000000000000000000000000000000110000001700000000000000"
		"00000000" },
	{ "gmac-resp",
		"fe534d4240000100000000000100800009000000000000000300000000000000fffe00000000"
		"00001900000000100000000000000000000000000000000000000900000048001d00a11b3019"
		"a0030a0100a3120410010000003b453cdc3524164200000000" },
	{ "gmac-req",
		"fe534d4240000100000000000100800008000000000000000200000000000000fffe00000000"
		"0000190000000010000000000000000000000000000000000000190001010100000000000000"
		"58004a000000000000000000604806062b0601050502a03e303ca00e300c060a2b0601040182"
		"3702020aa22a04284e544c4d5353500001000000978208e20000000000000000000000000000"
		"0000060380250000000f" },
	{ "gmac-cancel",
		"fe534d4240000000000000000c00000008000000000000000700000000000000000000000000"
		"000019000000001000000000000000000000000000000000000004000000" },
	{ "311-setup-resp-gmac",
		"fe534d4240000100000000000100400009000000000000000200000000000000000000000000"
		"000072af314e00000000fe45b915d5c173a26a64fa8e0f3545420900000048001d00a11b3019"
		"a0030a0100a3120410010000001433d021cdec183100000000" },
	{ "write-resp-gcm256",
		"fd534d4219d50ba00b408806f60528e4701c0c5e0102030405060708090a0b0c000000005000"
		"00000000010019000000001000006df1e7edc2e03808874daac1013b14382cd8685c565c6b7e"
		"32181d09444ee22843fbb6cc483fe022a46c5acc9907cc15fb4bde0bf177c57c91c4c77cdd8f"
		"4946d47119fb5472efcda910dacae3225166" },
	{ "write-resp-ccm256",
		"fd534d42fbd5a30e52da35a082e93efb8c2e39ea0102030405060708090a0b00000000005000"
		"00000000010019000000001000003250a56600020811ec00948249297b77701f8bb6746e0816"
		"87d89520eb0dea2f4ea078fa6b7efcf009161c2b71e400c1ee54f8f4e9d4f654bf7609c2ea60"
		"fd7efb8d440d4500f77a1a969fbba914b121" },
};

/* The bytes of the named message, of here or there; the caller frees them. */
static inline uint8_t *
authvec_get(const char *name, size_t *n_r)
{
	for (size_t i = 0; i < sizeof(authvec) / sizeof(authvec[0]); i++) {
		if (strcmp(authvec[i].name, name) == 0)
			return unhex(authvec[i].hex, n_r);
	}
	return vector(name, n_r);
}

/* Session 1 of the 3.1.1 sample: its hash after the last request, and its binding's. */
#define KEY_311 "270e1ba896585eeb7af3472d3b4c75a7"
#define HASH_311 \
	"0dd13628cc3ed218ef9df9772d436d0887ab9814bfae63a80aa845f36909db79" \
	"28622dddad522d9751640a459762c5a9d6bb084cbb3ce6bdadef5d5bce3c6c01"
#define KEY_BIND "84b9dbb730116a8fa6e9889555c265f9"
#define HASH_BIND \
	"ea3bf912b11cbfec5b1889e8209614218687f82fa5294521ad3063425e49e88a" \
	"10bd022124ce25123bc9111f52d9566ba88bf46344e6063dc5e3ff0389026f6c"
#define SIGNING_311 "73fe7a9a77bef0bde49c650d8ccb5f76"
/* The encrypted 3.1.1 sample. */
#define KEY_GCM "419fddf34c1e001909d362ae7fb6af79"
#define HASH_GCM \
	"b23f3cbfd69487d9832b79b1594a367cdd950909b774c3a4c412b4fcea9edddb" \
	"a7db256ba2ea30e977f11f9b113247578e0e915c6d2a513b8f2fca5707dc8770"
/* The encrypted 3.0 sample. */
#define KEY_CCM "b4546771b515f766a86735532dd6c4f0"
#define KEY_32 "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"

/* The bytes of hex into out, which has room for max. */
static inline size_t
put(uint8_t *out, size_t max, const char *hex)
{
	size_t n;
	uint8_t *p = unhex(hex, &n);

	assert_true(n <= max);
	memcpy(out, p, n);
	free(p);
	return n;
}

static inline void
same(const uint8_t *got, const char *hex)
{
	size_t n;
	uint8_t *want = unhex(hex, &n);

	assert_memory_equal(got, want, n);
	free(want);
}

struct logon {
	struct logon_facts facts;
	struct preauth preauth;
	uint8_t key[64];
};

static inline const struct logon_facts *
logon(struct logon *l, uint16_t dialect, uint16_t cipher, uint16_t signing, const char *key,
    const char *hash)
{
	*l = (struct logon){ .facts = { dialect, cipher, signing, l->key, 0, NULL } };
	l->facts.key_len = put(l->key, sizeof(l->key), key);
	if (hash != NULL) {
		assert_int_equal(put(l->preauth.hash, PREAUTH_LEN, hash), PREAUTH_LEN);
		l->facts.preauth = &l->preauth;
	}
	return &l->facts;
}

static inline struct smbkeys *
keys(uint16_t dialect, uint16_t cipher, uint16_t signing, const char *key, const char *hash)
{
	struct logon l;
	struct smbkeys *k = smbkeys_derive(logon(&l, dialect, cipher, signing, key, hash),
	    KEYS_STANDARD);

	assert_non_null(k);
	return k;
}

/* A thread's struct crypt as the state of a group of tests. */
static inline int
crypt_setup(void **state)
{
	*state = crypt_new();
	return *state == NULL ? -1 : 0;
}

static inline int
crypt_teardown(void **state)
{
	struct crypt *c = *state;

	crypt_free(&c);
	if (c != NULL)
		return -1;
	crypt_free(&c);
	return 0;
}

#endif
