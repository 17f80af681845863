/* world.h: client and node of a made-up conversation, what each knows, and the frames they make */
#ifndef T_FUZZ_WORLD_H
#define T_FUZZ_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/sign.h"
#include "base/buf.h"
#include "base/wr.h"
#include "inspect/verdict.h"
#include "t/fuzz/reader.h"
#include "t/unit/lib/talk.h"

/* Where all choices come from: an input that has run out chooses 0. */
struct dice {
	const uint8_t *p;
	size_t n;
};
uint8_t dice_byte(struct dice *d);
/* One in n, n a power of two up to 256. */
bool dice_one_in(struct dice *d, unsigned n);

/* Who has logged on. The gate has the keys of the first two alone. */
enum { ALICE, BOB, OPAQUE, GUEST, LATER, USERS = LATER + 3 };
#define FIRST_SID 0x1122334455660000ull

struct user {
	uint64_t sid;
	struct smbkeys *keys;	/* the session's; NULL: a guest, who has none */
	struct signkey signing;	/* the channel's */
	bool known;		/* to the gate, too */
	bool there;		/* the node knows the session */
	bool joining, asked;	/* its logon is under way; the last word to it is on its way */
	bool leaving;		/* LOGOFF is on its way, and */
	bool unseen;		/* sealed with what the gate cannot open: it cannot know of it */
	bool signs, seals;	/* so are its requests; seals: so are all answers that it gets */
	bool expired;		/* the node waits for another logon on it */
	bool told_expired;	/* and has told the client */
	bool doubted;		/* something has been said that may have ended it */
	bool must_sign;		/* the node refuses what does not, and signs that */
};

/* Everything that was asked on the connection, by MessageId: those before are of the logons. */
#define ASKED_MAX 96
#define FIRST_MID 16

#define SESSION_EXPIRED 0xc000035cu

struct asked {
	uint16_t command;
	uint16_t user;		/* USERS: none yet */
	uint8_t reached;	/* how often the node was asked it */
	bool twice;		/* dirty: two of that number were, or it was another */
	uint8_t answered;	/* how often the client was told */
	bool taken;		/* the client has its answer, and looks at no other */
	uint16_t bound;		/* whose session a bind is to; USERS: one that is not there */
	bool is_signed, sealed, query, bind, logoff;
	bool renews;		/* a logon on the user's session */
	bool after_expiry;	/* the client had been told of that */
	bool replaced;		/* the node was asked something else */
	bool forged, spoilt;	/* it, and its answer, are not what was signed or sealed */
	uint8_t sent;		/* so many answers are on their way, or were */
	uint32_t at;		/* where it stood in its frame; 0: not for all to see */
	bool has_answer;	/* the node's, which is: */
	uint32_t len, hash;
	uint32_t answer_len, answer_hash, answer_status;
};

/* A request that the node has yet to answer. */
struct todo {
	struct read_msg m;	/* without its bytes */
	uint64_t sid;		/* that it belongs to */
	uint32_t more;		/* length that is read; MaxOutputResponse */
	uint16_t user;
	uint16_t group;		/* requests of one frame are answered in one, mostly */
	uint32_t error;
	bool interim, query, bind;
	uint16_t sealer;	/* USERS: none */
};

/* One connection, and its client and its node. */
struct world {
	struct world *other;	/* whose sessions it may have channels of, and that of its; NULL */
	struct dice *dice;
	struct talk t;
	const struct terms *set;
	bool forbidden;		/* dialled through an address that policy forbids */
	bool dirty;		/* frames are broken on the way: only what is forbidden counts */
	bool tells;		/* on stderr */
	uint16_t alg;		/* that it is signed with */
	bool compress, chained;	/* agreed on */
	bool gone;		/* the node has ended the connection */
	struct user user[USERS];
	struct asked asked[ASKED_MAX];
	unsigned nasked, nreached;
	struct todo todo[ASKED_MAX];
	unsigned ntodo;
	/* What has no number of its own: CANCEL, and what the node says unasked. */
	unsigned cancels, cancels_reached, breaks, breaks_told;
	uint16_t group;
	struct buf in[2];	/* on its way to the gate */
};

/* What a connection has agreed on, and the policy that it is under. */
struct terms {
	uint16_t dialect, signing, cipher;
	const char *policy;
	struct mediate_env *env;
	struct smbkeys *keys[3];
	struct signkey channel[3];	/* of a second connection */
};

/* One connection, or two: how many. */
unsigned world_begin(struct world w[2], struct dice *dice);
void world_end(struct world *w);

/* Nothing is on its way: what the gate knows of the sessions is what the node does. */
void world_facts(struct world *w);
/* Does the node know the session, on whichever connection? */
bool world_alive(const struct world *w, uint64_t sid);

/* As reader_frame(), of what may have come compressed, too. */
int world_read(struct world *w, enum dir dir, uint8_t *frame, size_t len, struct read_msg *m,
    int max);
/* Now and then what is there from `from` on is compressed. */
bool world_compress(struct world *w, struct wr *o, size_t from);
/* The session's own key, as this connection signs with it. */
struct signkey world_session_key(const struct world *w, const struct user *u);

struct crypt *world_crypt(void);
uint32_t world_hash(const uint8_t *p, size_t n);
struct user *world_user(struct world *w, uint64_t sid);
struct asked *world_asked(struct world *w, uint64_t mid);
int world_open(void *world_dir, uint64_t sid, uint8_t *frame, size_t len);

/* One frame more of the client's, or of the node's, on its way. */
void client_asks(struct world *w);
void node_answers(struct world *w);
/*
 * Beside questions and answers: the client gives up a request, the node says something unasked, a
 * session expires. False: there is no such thing now.
 */
bool client_cancels(struct world *w);
bool node_breaks(struct world *w);
void node_expires(struct world *w);
/* They are no question, or no answer. */
bool node_takes_cancel(struct world *w, const struct read_msg *m);
bool client_takes_break(struct world *w, const struct read_msg *m);
/* A logon on a session: may it be now? What the node makes of it, and what the client hears. */
bool client_may_renew(const struct world *w, uint16_t user);
void world_set_leaving(struct world *w, uint16_t user, bool leaving);
uint32_t node_renews(struct world *w, uint16_t user);
void client_renewed(struct world *w, uint16_t user, uint32_t status);

/* What has arrived. */
void node_reads(struct world *w, uint8_t *frame, size_t len);
void client_reads(struct world *w, uint8_t *frame, size_t len);

/* A difference: what is wrong is said, and the program ends. */
_Noreturn void world_wrong(const struct world *w, const char *what, uint64_t mid);

/* For world_open(). */
struct world_dir {
	struct world *w;
	enum dir dir;
};

#endif
