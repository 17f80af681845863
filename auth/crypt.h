/* crypt.h: one thread's cipher, MAC and digest contexts, set up once and keyed for each use */
#ifndef AUTH_CRYPT_H
#define AUTH_CRYPT_H

struct evp_cipher_ctx_st;
struct evp_mac_ctx_st;

/*
 * To look an algorithm up costs more than to use it on a small message; so each worker does it
 * once. The fields are for sign.c and seal.c alone. [0]: 128-bit keys, [1]: 256-bit.
 */
struct crypt {
	struct evp_cipher_ctx_st *ctr[2], *gcm[2], *ccm[2];
	struct evp_mac_ctx_st *cmac, *hmac;
	struct evp_md_ctx_st *sha512;
};

/* NULL when memory or an algorithm is missing. */
struct crypt *crypt_new(void);
/* Wipes the keys that were used last. Clears the caller's pointer. */
void crypt_free(struct crypt **c);

#endif
