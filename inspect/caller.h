/* caller.h: who has logged on, from which machine, and how, in words: for people */
#ifndef INSPECT_CALLER_H
#define INSPECT_CALLER_H

#include <stdint.h>

struct ntlm_auth;
struct sess1_req;
struct token;

/*
 * As the client has said it, and the node has believed it: of Kerberos only that it was. Nothing
 * goes by it. CALLER_PLAIN: with a password that was not even hashed.
 */
enum caller_how { CALLER_UNKNOWN, CALLER_KERBEROS, CALLER_NTLMV2, CALLER_NTLMV1, CALLER_LM,
	CALLER_PLAIN, CALLER_NOBODY };

/* UTF-8; what is longer is cut. "": not known. */
struct caller {
	uint8_t how;			/* enum caller_how */
	char user[96];			/* DOMAIN\user */
	char machine[32];
};

/* Each takes what it finds; what is not there changes nothing. */
/* a: of mech_ntlm(). */
void caller_token(struct caller *c, const struct token *t, const struct ntlm_auth *a);
void caller_sess1(struct caller *c, const struct sess1_req *r);

/* The value of the key "authentication"; NULL: not known. */
const char *caller_how_str(enum caller_how how);

#endif
