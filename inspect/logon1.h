/* logon1.h: the SMB1 logons under way on one connection, told apart by PID and MID */
#ifndef INSPECT_LOGON1_H
#define INSPECT_LOGON1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/magic.h"
#include "inspect/caller.h"
#include "inspect/identity.h"

struct hdr1;
struct keyx;
struct smb1;

/*
 * Clients have a few under way. Beyond that the oldest is forgotten: it ends nobody's connections,
 * and its client is nobody.
 */
#define LOGON1_MAX 128

/*
 *	ASKED   the node owes an answer
 *	MORE    it wants another leg, which the client sends with the UID that it was given
 *	WHO     it has let the client in; smbgate-keyd owes who that is
 */
enum logon1_state { LOGON1_ASKED, LOGON1_MORE, LOGON1_WHO };

#define LOGON1_MAGIC 0x6c6f6731u

struct logon1 {
	MAGIC_MEMBER
	TAILQ_ENTRY(logon1) entry;
	struct smb1 *of;
	uint32_t pid;			/* high and low */
	uint16_t mid;
	uint16_t uid;			/* MORE */
	uint8_t state;			/* enum logon1_state */
	bool chained;			/* its message has a logon before it */
	bool zero;			/* it said VcNumber 0 */
	bool anonymous;			/* it names nobody */
	bool guest;			/* WHO: that is what it became */
	bool unicode;			/* of ntlm_names() */
	bool understood;		/* it was read, and let in by the policy */
	struct identity seen;
	struct caller by;
	struct keyx *keyx;		/* NULL: no Kerberos logon, or no keytab */
};

/* The one that was asked longest ago first. */
struct logon1s {
	TAILQ_HEAD(, logon1) list;
	unsigned n;
};

void logon1s_init(struct logon1s *l);
void logon1s_fini(struct logon1s *l);
/* The memory that they have. */
size_t logon1s_size(const struct logon1s *l);

/*
 * A SESSION_SETUP of that message: the next leg of a logon, or a new one. chained: not the first
 * one of the message. NULL when memory is out.
 */
struct logon1 *logon1_asked(struct logon1s *l, struct smb1 *of, const struct hdr1 *h, bool chained);
/* The one that this message answers, or the first of them; NULL: none is known. */
struct logon1 *logon1_answered(const struct logon1s *l, const struct hdr1 *h);
/* The node wants another leg. */
void logon1_more(struct logon1 *x, const struct hdr1 *h);
/* The rest of a message whose answer has ended before. */
void logon1s_cut(struct logon1s *l, const struct hdr1 *h);
/* It is over. */
void logon1_drop(struct logon1s *l, struct logon1 *x);

#endif
