/* err2.h: SMB2 ERROR responses and ECHO requests, the two messages that smbgate makes itself */
#ifndef SMB_ERR2_H
#define SMB_ERR2_H

struct wr;
struct hdr2;

/* Lengths of the whole messages. */
#define ERR2_LEN 73
#define ECHO2_LEN 68

/* Appends a whole ERROR response, [MS-SMB2] 2.2.2: header h as given and the empty error body. */
void err2_put(struct wr *w, const struct hdr2 *h);

/*
 * Appends a whole unsigned ECHO request, [MS-SMB2] 2.2.28, that takes the place of the request
 * req: same MessageId, CreditCharge, CreditRequest and NextCommand (the caller patches it),
 * SessionId and TreeId 0. The node answers it without a session, so its MessageId window and
 * credits go on as if it had answered req.
 */
void echo2_put(struct wr *w, const struct hdr2 *req);

#endif
