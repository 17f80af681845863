/* samba.h: what Samba reads in a security buffer, by its own rules; no code of auth/ */
#ifndef T_FUZZ_SAMBA_H
#define T_FUZZ_SAMBA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Facts of Samba 4.17, told in other words: how its readers of ASN.1, SPNEGO and NTLM read.
 * t/e2e/admission-tokens.t compares them with Samba's own library. Where they had to be simpler
 * they take more than Samba does, never less.
 */
struct samba_read {
	enum { SAMBA_REFUSES, SAMBA_INIT, SAMBA_RESP, SAMBA_RAW } as;
	/* What the mechanism is given; NULL: nothing. Points into the buffer. */
	const uint8_t *token;
	size_t len;
};

struct samba_read samba_reads(const uint8_t *p, size_t n);

/* Would its NTLM take this token for a message of its own? */
bool samba_ntlm(const struct samba_read *r);

/*
 * The user of an NTLM AUTHENTICATE: is there one? unicode: what it agreed on in its CHALLENGE. A
 * message that it refuses has one too.
 */
bool samba_names_user(const uint8_t *p, size_t n, bool unicode);

#endif
