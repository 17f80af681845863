/* logon.h: the logons under way on one connection, watched for what their keys are made of */
#ifndef INSPECT_LOGON_H
#define INSPECT_LOGON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/queue.h>

#include "auth/keys.h"
#include "auth/preauth.h"
#include "auth/spnego.h"
#include "inspect/identity.h"
#include "inspect/session.h"
#include "stats/close.h"

struct crypt;
struct keyc;
struct logon;
struct track;

/* More than any client has under way at once. */
#define LOGONS_MAX 16

/* Of one connection; for logon.c alone. */
struct logons {
	struct keyc *keyc;
	struct crypt *crypt;
	void (*ready)(void *arg);
	void *arg;
	struct preauth hash;
	bool broken;			/* memory was out: the hash is worth nothing */
	unsigned n;
	LIST_HEAD(, logon) list;
};

/*
 * The preauthentication hash of the connection and of every logon, and the tokens: what
 * smbgate-keyd needs is sent to it as it passes, so that its answer comes while the node still
 * works on the logon. crypt is borrowed; keyc NULL: nothing is asked. ready(arg) runs, never out of
 * a call into here, when a logon that waits for its key need not wait any more.
 */
void logons_init(struct logons *l, struct keyc *keyc, struct crypt *crypt,
    void (*ready)(void *arg), void *arg);
void logons_fini(struct logons *l);

/* A NEGOTIATE or the answer that chose a dialect, from its header to the end of its frame. */
void logons_negotiate(struct logons *l, const uint8_t *msg, size_t len);

/* A SESSION_SETUP as it was sent. */
struct setup_msg {
	const uint8_t *msg;
	size_t len;
	const uint8_t *blob;
	size_t blob_len;
	uint64_t message_id;
	uint64_t session_id;	/* 0: the node has not said it yet */
	bool binding;
	bool alone;		/* not in a compound */
};

/*
 * A request that goes on a logon, or begins one. *t: the mechanism's token in it (valid as long as
 * the message; TOKEN_NONE while one comes in pieces). 0, or -1 with the reason.
 */
int logons_request(struct logons *l, const struct setup_msg *s, struct token *t,
    enum close_reason *why) __attribute__((warn_unused_result));

/* Who the client is, by its tokens: for the caller to fill, and part of the end. NULL: no logon. */
struct identity *logons_seen(struct logons *l, uint64_t message_id);

/* The answer that wants more. */
void logons_more(struct logons *l, const struct setup_msg *s);

/* The end without success, or the request never reached the node. */
void logons_drop(struct logons *l, uint64_t message_id);

struct logon_end {
	enum { LOGON_WAIT, LOGON_KEYED, LOGON_OPAQUE } state;
	bool anonymous;
	struct identity seen;
	uint64_t waited_us;		/* how long the answer waited for its key; not of WAIT */
	struct smbkeys *keys;		/* KEYED: the session's, a reference of the caller's */
	struct signkey signing;		/* KEYED: the channel's */
	char because[SESSION_TEXT_MAX];	/* OPAQUE */
	char principal[SESSION_TEXT_MAX];
};

/*
 * The answer with success. WAIT: smbgate-keyd has not answered yet; it is to be shown again after
 * ready(). Otherwise the logon is over. session: the keys of the session that is bound to, NULL if
 * there are none or it is no bind. Keys are believed when the answer's signature is theirs.
 */
void logons_success(struct logons *l, const struct setup_msg *s, const struct track *t,
    struct smbkeys *session, struct logon_end *e);

#endif
