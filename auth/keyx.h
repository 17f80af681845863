/* keyx.h: one logon's exchange with smbgate-keyd: what was seen of it, and its key */
#ifndef AUTH_KEYX_H
#define AUTH_KEYX_H

#include <stddef.h>
#include <stdint.h>

#include "auth/keyresult.h"

struct addr;
struct keyc;
struct keyx;

/* The source of a client's logons: its IPv4 address, or the /64 of its IPv6 address. */
uint64_t keyx_source(const struct addr *client);

/*
 * One logon of a source, see keyx_source(): while many wait, each source has its share.
 * ready(arg) runs, from the loop and never out of a call of these functions, each time that the
 * state has left ASKING: on an answer, when smbgate-keyd has died, and on a timeout. NULL when
 * memory is out.
 */
struct keyx *keyx_new(struct keyc *c, uint64_t source, void (*ready)(void *arg), void *arg);
/* The memory that it has here. */
size_t keyx_size(const struct keyx *x);
/* Forgets it here and in smbgate-keyd, wipes the key. */
void keyx_free(struct keyx **x);

/*
 * What was seen, in this order: an AP-REQ and, if it asks for one, its AP-REP, both without the GSS
 * wrapper; or an NTLM CHALLENGE and an NTLM AUTHENTICATE message, from "NTLMSSP" on. A new AP-REQ
 * or CHALLENGE begins anew. What is out of order, or too long to be real, fails. It is kept here.
 */
void keyx_ap_req(struct keyx *x, const uint8_t *p, size_t n);
void keyx_ap_rep(struct keyx *x, const uint8_t *p, size_t n);
void keyx_ntlm_challenge(struct keyx *x, const uint8_t *p, size_t n);
void keyx_ntlm_auth(struct keyx *x, const uint8_t *p, size_t n);

/*
 * Asks about what was seen, if anything was: for logons that the node has accepted, so that no
 * stranger's tokens reach smbgate-keyd. While it is silent, or not there, this fails at once.
 */
void keyx_ask(struct keyx *x);

/*
 * As it stands now, `mutual` being false again once the AP-REP was answered; valid until the next
 * call about x, or the next turn of the loop.
 */
const struct keyx_result *keyx_result(const struct keyx *x);

#endif
