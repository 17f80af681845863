/* keys.c: the keys of one SMB session, derived from what its logon agreed on */
#include "config.h"

#include "auth/keys.h"

#include "auth/kdf.h"
#include "auth/preauth.h"
#include "base/rd.h"
#include "base/wr.h"
#include "smb/const.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

/* Labels and contexts of 3.0 end in a zero that is hashed: [MS-SMB2] 3.1.4.2. */
struct label {
	const char *label30, *context30, *label311;
};

static const struct label for_signing = { "SMB2AESCMAC", "SmbSign", "SMBSigningKey" };
/* The blank is the specification's. */
static const struct label for_c2s = { "SMB2AESCCM", "ServerIn ", "SMBC2SCipherKey" };
static const struct label for_s2c = { "SMB2AESCCM", "ServerOut", "SMBS2CCipherKey" };

static int
derive_key(const struct logon_facts *f, const struct label *l, const uint8_t *ki, size_t ki_len,
    unsigned bits, uint8_t *out, size_t out_len)
{
	if (f->dialect < SMB2_DIALECT_311)
		return kdf(out, out_len, bits, ki, ki_len, l->label30, strlen(l->label30) + 1,
		    l->context30, strlen(l->context30) + 1);
	if (f->preauth == NULL)
		return -1;
	return kdf(out, out_len, bits, ki, ki_len, l->label311, strlen(l->label311) + 1,
	    f->preauth->hash, sizeof(f->preauth->hash));
}

static bool
is_256(uint16_t cipher)
{
	return cipher == SMB2_CIPHER_AES256_CCM || cipher == SMB2_CIPHER_AES256_GCM;
}

/* Session.SessionKey: the first 16 bytes, zeros behind a shorter one. */
static void
session_key(const struct logon_facts *f, uint8_t key[16])
{
	memset(key, 0, 16);
	memcpy(key, f->key, f->key_len < 16 ? f->key_len : 16);
}

int
signkey_derive(struct signkey *k, const struct logon_facts *f, enum keys_variant v)
{
	uint8_t key[16];
	int r = 0;

	session_key(f, key);
	k->alg = f->dialect < SMB2_DIALECT_300 ? SMB2_SIGNING_HMAC_SHA256 : f->signing;
	if (f->dialect < SMB2_DIALECT_300)
		memcpy(k->key, key, sizeof(k->key));
	else
		r = derive_key(f, &for_signing, key, sizeof(key),
		    v == KEYS_LONG_SIGNING ? 256 : 128, k->key, sizeof(k->key));
	OPENSSL_cleanse(key, sizeof(key));
	return r;
}

static int
cipher_keys(struct smbkeys *k, const struct logon_facts *f)
{
	unsigned bits = is_256(f->cipher) ? 256 : 128;
	const uint8_t *ki[2];
	size_t ki_len[2] = { 16, 16 };
	uint8_t key[16];
	int r = 0;

	session_key(f, key);
	ki[0] = ki[1] = key;
	/* FullSessionKey, which only AES-256 uses. */
	if (bits == 256 && f->key_len > 16) {
		ki[0] = f->key;
		ki_len[0] = f->key_len;
	}
	for (int i = 0; i < 2 && r == 0; i++) {
		r = derive_key(f, &for_c2s, ki[i], ki_len[i], bits, k->cipher_key[i].c2s, bits / 8);
		if (r == 0)
			r = derive_key(f, &for_s2c, ki[i], ki_len[i], bits, k->cipher_key[i].s2c,
			    bits / 8);
	}
	OPENSSL_cleanse(key, sizeof(key));
	return r;
}

struct smbkeys *
smbkeys_derive(const struct logon_facts *f, enum keys_variant v)
{
	struct smbkeys *k = calloc(1, sizeof(*k));

	if (k == NULL)
		return NULL;
	k->refs = 1;
	k->dialect = f->dialect;
	k->cipher = f->dialect < SMB2_DIALECT_300 ? 0 : f->cipher;
	if (signkey_derive(&k->signing, f, v) == -1 || (k->cipher != 0 && cipher_keys(k, f) == -1))
		smbkeys_unref(&k);
	return k;
}

struct smbkeys *
smbkeys_ref(struct smbkeys *k)
{
	if (k != NULL)
		__atomic_fetch_add(&k->refs, 1, __ATOMIC_RELAXED);
	return k;
}

void
smbkeys_unref(struct smbkeys **kp)
{
	struct smbkeys *k = *kp;

	*kp = NULL;
	if (k == NULL || __atomic_sub_fetch(&k->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	OPENSSL_cleanse(k, sizeof(*k));
	free(k);
}

size_t
smbkeys_cipher_len(const struct smbkeys *k)
{
	return k->cipher == 0 ? 0 : is_256(k->cipher) ? 32 : 16;
}

const uint8_t *
smbkeys_c2s(const struct smbkeys *k)
{
	return k->cipher_key[__atomic_load_n(&k->short_cipher_keys, __ATOMIC_RELAXED)].c2s;
}

const uint8_t *
smbkeys_s2c(const struct smbkeys *k)
{
	return k->cipher_key[__atomic_load_n(&k->short_cipher_keys, __ATOMIC_RELAXED)].s2c;
}

void
smbkeys_prove(struct smbkeys *k, unsigned what)
{
	__atomic_fetch_or(&k->proven, what, __ATOMIC_RELAXED);
}

bool
smbkeys_proven(const struct smbkeys *k, unsigned what)
{
	return (__atomic_load_n(&k->proven, __ATOMIC_RELAXED) & what) != 0;
}

bool
smbkeys_try_short(struct smbkeys *k)
{
	if (memcmp(&k->cipher_key[0], &k->cipher_key[1], sizeof(k->cipher_key[0])) == 0)
		return false;
	return __atomic_exchange_n(&k->short_cipher_keys, 1, __ATOMIC_RELAXED) == 0;
}

void
smbkeys_put(const struct smbkeys *k, uint8_t out[SMBKEYS_LEN])
{
	struct wr w = wr_init(out, SMBKEYS_LEN);

	wr_u16(&w, k->dialect);
	wr_u16(&w, k->cipher);
	wr_u16(&w, k->signing.alg);
	wr_u8(&w, (uint8_t)__atomic_load_n(&k->proven, __ATOMIC_RELAXED));
	wr_u8(&w, (uint8_t)__atomic_load_n(&k->short_cipher_keys, __ATOMIC_RELAXED));
	wr_bytes(&w, k->signing.key, sizeof(k->signing.key));
	for (int i = 0; i < 2; i++) {
		wr_bytes(&w, k->cipher_key[i].c2s, sizeof(k->cipher_key[i].c2s));
		wr_bytes(&w, k->cipher_key[i].s2c, sizeof(k->cipher_key[i].s2c));
	}
}

struct smbkeys *
smbkeys_get(const uint8_t in[SMBKEYS_LEN])
{
	struct rd r = rd_init(in, SMBKEYS_LEN);
	struct smbkeys *k = calloc(1, sizeof(*k));

	if (k == NULL)
		return NULL;
	k->refs = 1;
	k->dialect = rd_u16(&r);
	k->cipher = rd_u16(&r);
	k->signing.alg = rd_u16(&r);
	k->proven = rd_u8(&r);
	k->short_cipher_keys = rd_u8(&r);
	rd_copy(&r, k->signing.key, sizeof(k->signing.key));
	for (int i = 0; i < 2; i++) {
		rd_copy(&r, k->cipher_key[i].c2s, sizeof(k->cipher_key[i].c2s));
		rd_copy(&r, k->cipher_key[i].s2c, sizeof(k->cipher_key[i].s2c));
	}
	/* Whoever wrapped it is one of us; but an index must be one. */
	if (k->short_cipher_keys > 1 || k->cipher > SMB2_CIPHER_AES256_GCM)
		smbkeys_unref(&k);
	return k;
}
