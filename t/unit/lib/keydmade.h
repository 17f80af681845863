/* keydmade.h: keytabs, NTLM logons and AP-REQs as others make them, for tests of smbgate-keyd */
#ifndef T_UNIT_LIB_KEYDMADE_H
#define T_UNIT_LIB_KEYDMADE_H

#include <stddef.h>
#include <stdint.h>

#include "keyd/ntlm.h"

/* A key that is nobody's, and the NT hash of the vectors' Administrator. */
extern const uint8_t some_key[32], admin_hash[16];

/* The server's challenge of make_auth(). */
extern const uint8_t chal[NTLM_CHALLENGE_LEN];

/* A keytab in the making. */
struct tab {
	uint8_t b[4096];
	size_t n;
	size_t ends[16], nends;		/* where entries end: there the file may be cut */
};

/* So many of v's low bytes, the highest first. */
void tab_be(struct tab *t, uint32_t v, int bytes);
void tab_begin(struct tab *t);
/* name: components with "/"; tail: bytes of a 32-bit kvno, or fewer. */
void tab_entry(struct tab *t, const char *name, const char *realm, uint32_t kvno8, uint32_t kvno32,
    int tail, uint16_t enctype, const uint8_t *key, size_t key_len);

/* An AUTHENTICATE of NTLMv2 without key exchange; the key is in *key. upper: as it is hashed. */
size_t make_auth_in(uint8_t dst[512], const uint16_t *user, const uint16_t *upper,
    const uint16_t *hashed_domain, const uint8_t hash[16], uint8_t key[16]);
/* The domain is hashed as it is sent. */
size_t make_auth(uint8_t dst[512], const uint16_t *user, const uint16_t *upper,
    const uint8_t hash[16], uint8_t key[16]);

/* One value in DER, and an integer within a value of that tag; dst may be p. Returns the length. */
size_t der(uint8_t *dst, uint8_t tag, const uint8_t *p, size_t n);
size_t der_int(uint8_t *dst, uint8_t tag, uint32_t v);

/* An AP-REQ whose encrypted parts are noise. */
size_t make_ap_req(uint8_t dst[512]);

#endif
