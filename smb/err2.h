/* err2.h: SMB2 ERROR responses, and requests that stand in for others: what smbgate makes itself */
#ifndef SMB_ERR2_H
#define SMB_ERR2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wr;
struct hdr2;

/* Lengths of the whole messages. */
#define ERR2_LEN 73
#define ECHO2_LEN 68
#define FLUSH2_LEN 88
#define NOBODY2_LEN 89

/* Appends a whole ERROR response, [MS-SMB2] 2.2.2: header h as given and the empty error body. */
void err2_put(struct wr *w, const struct hdr2 *h);

/* Is this answer an ERROR response, which says no more than its status? msg: one whole message. */
bool err2_is(const uint8_t *msg, size_t len);

/*
 * Appends a whole unsigned ECHO request, [MS-SMB2] 2.2.28, that takes the place of the request
 * req: same MessageId, CreditCharge, CreditRequest and NextCommand (the caller patches it),
 * SessionId and TreeId 0. The node answers it without a session, so its MessageId window and
 * credits go on as if it had answered req. command: SMB2_ECHO, or SMB2_TREE_DISCONNECT, which has
 * the same form, 2.2.11, and is answered with an error.
 */
void echo2_put(struct wr *w, uint16_t command, const struct hdr2 *req);

/*
 * The same of that session and tree: a FLUSH of no file, [MS-SMB2] 2.2.17. It does nothing, and
 * unlike an ECHO it is answered by what the node thinks of the session, 3.3.5.2.9, before it looks
 * for the file.
 */
void flush2_put(struct wr *w, const struct hdr2 *req, uint64_t session_id, uint32_t tree_id);

/*
 * The same for a SESSION_SETUP: an unsigned one, without a token, of a session that no server has.
 * The node answers it with an error and does nothing, [MS-SMB2] 3.3.5.5; an ECHO before the first
 * logon may end the connection, 3.3.5.17.
 */
void nobody2_put(struct wr *w, const struct hdr2 *req);

#endif
