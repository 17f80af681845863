/* identity.h: who the client machine behind a connection is, told by the names in its logons */
#ifndef INSPECT_IDENTITY_H
#define INSPECT_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct keyhash;
struct sess1_req;
struct token;

/*
 * Names are only ever compared, so a keyed hash stands for each: it costs no memory to keep one
 * for every connection. 0: not known. Case does not count.
 */
struct identity {
	/* the workstation of an NTLM logon, a NetBIOS caller, or a computer's own Kerberos logon */
	uint64_t machine;
	uint64_t principal;	/* the user */
};

/* Each adds what it finds; what is not there changes nothing. */
void identity_token(struct identity *id, struct keyhash *h, const struct token *t);
void identity_sess1(struct identity *id, struct keyhash *h, const struct sess1_req *s);
void identity_machine(struct identity *id, struct keyhash *h, const char *name);
void identity_principal(struct identity *id, struct keyhash *h, const char *principal);
/* What `from` knows replaces what is there. */
void identity_take(struct identity *id, const struct identity *from);

#endif
