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
#include "inspect/caller.h"
#include "inspect/identity.h"
#include "inspect/mech.h"
#include "inspect/session.h"

struct crypt;
struct keyc;
struct logon;
struct track;

/*
 * Under way on one connection; what is beyond that, or silent for so long, is forgotten, the one
 * first that nothing was heard of for longest: its session, if it becomes one, is opaque.
 */
#define LOGONS_MAX 512
#define LOGON_AGE_MS (2 * 60 * 1000)

/* Of one connection; for logon.c alone. */
/* The same of all connections of a worker. */
struct logon_env {
	struct keyc *keyc;		/* NULL: nothing is asked */
	struct crypt *crypt;
	void (*ready)(void *arg);
};

struct logons {
	bool broken;			/* memory was out: the hash is worth nothing */
	bool forgot;			/* more than these, which cannot be told from others */
	uint16_t n;
	uint32_t bytes;			/* of messages and tokens that all of them keep */
	LIST_HEAD(, logon) list;	/* the one last heard of first */
	struct logons_forgotten *forgotten;	/* NULL: none */
	const struct logon_env *env;
	void *arg;			/* of env->ready() */
	struct preauth hash;
};

/*
 * The preauthentication hash of the connection and of every logon, and the tokens, which are kept
 * until the node has accepted the logon: only then smbgate-keyd is asked. env is borrowed;
 * env->ready(arg) runs, never out of a call into here, when a logon that waits for its key need not
 * wait any more.
 */
void logons_init(struct logons *l, const struct logon_env *env, void *arg);
void logons_fini(struct logons *l);
/* The memory that they have. */
size_t logons_size(const struct logons *l);

/*
 * A NEGOTIATE, and the answer that chose a dialect, from the header to the end of the frame. The
 * hash begins with each NEGOTIATE: those that the node has refused are not in it.
 */
void logons_negotiate(struct logons *l, const uint8_t *msg, size_t len);
void logons_negotiated(struct logons *l, const uint8_t *msg, size_t len);

/* A SESSION_SETUP as it was sent. */
struct setup_msg {
	const uint8_t *msg;
	size_t len;
	const uint8_t *blob;
	size_t blob_len;
	uint64_t message_id;
	uint64_t session_id;	/* 0: the node has not said it yet */
	bool binding;
	bool again;		/* reauthentication: the session's keys stay what they are */
	bool alone;		/* not in a compound */
	bool keyless;		/* of an answer: a guest's or nobody's session, which has no keys */
	uint64_t source;	/* of a request: the client's, as of keyx_source() */
};

/* What a request says of its logon. */
struct logon_heard {
	struct token token;	/* lives as long as the message; NONE while one comes in pieces */
	enum mech mech;		/* with this token */
	/* Who the client is: for the caller to fill, and part of the end. NULL: nobody. */
	struct identity *seen;
};

/*
 * A request that goes on a logon, or begins one. Where a part of it was not seen, a token can be
 * the end of another one to the node: it is UNREAD. -1 when memory is out.
 */
int logons_request(struct logons *l, const struct setup_msg *s, struct logon_heard *h)
    __attribute__((warn_unused_result));

/* The answer that wants more. */
void logons_more(struct logons *l, const struct setup_msg *s);

/* Who asks, as the logon of that request has said; NULL: nothing is known of it. */
const struct caller *logons_caller(const struct logons *l, uint64_t message_id);

/* The end without success. */
void logons_drop(struct logons *l, uint64_t message_id);

/*
 * The request does not go to the node. What the node has of the logon it keeps, and may make one
 * token of that and of what comes next: nothing of that can be read any more.
 */
void logons_refused(struct logons *l, uint64_t message_id);

/* Whom the logon that was last heard of is of, as the client says; "": not known. */
const char *logons_user(const struct logons *l);

/* Has a bind of that session begun, and not ended? Maybe, of what was given up. */
bool logons_binding(const struct logons *l, uint64_t session_id);

/* Forgets those that were given up; to be called now and then. */
void logons_expire(struct logons *l, uint64_t now_ms);

struct logon_end {
	enum { LOGON_WAIT, LOGON_KEYED, LOGON_OPAQUE } state;
	bool anonymous;
	struct identity seen;
	struct caller by;
	uint64_t waited_us;		/* how long the answer waited for its key; not of WAIT */
	struct smbkeys *keys;		/* KEYED: the session's, a reference of the caller's */
	struct signkey signing;		/* KEYED: the channel's */
	enum nokey_cause cause;		/* OPAQUE */
	char because[SESSION_TEXT_MAX];	/* the same */
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
