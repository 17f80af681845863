/* takemsg.h: what two smbgates say to each other while one takes over from the other */
#ifndef DAEMON_TAKEMSG_H
#define DAEMON_TAKEMSG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"

/*
 *	old                                 new
 *	                                    HELLO  the versions that it knows
 *	REFUSE, or HELLO, and a SOCKET
 *	for each that listens, END          it starts: its smbgate-keyd, nodes, workers
 *	                                    PATH   with a socket, a few times
 *	                                    READY
 *	nobody is accepted any more;
 *	each worker gives: giving.h         each worker takes: taking.h
 *	STATE, a few times: all that is known, and was counted, beside connections
 *	COMMIT
 *	                                    COMMITTED, and it accepts
 *	STATE: what was counted since;
 *	STAYS, now and then                 shown to operators
 *	                                    ORDER: what one of them has asked for
 *
 * Until COMMITTED the old one is who serves: where the new one dies, or says nothing for too long,
 * it goes on with all that is not acknowledged by then, and accepts again; what it says last is
 * ABORT, and the new one ends. Where the old one dies without that word, the new one serves.
 * Packets of a SEQPACKET socket that nobody else may connect to are TLVs: see tlv.h.
 */
/* 1 had the claims of what stays in messages of their own. */
#define TAKE_PROTOCOL 2
#define TAKE_MSG_MAX 512
#define TAKE_TEXT 96
/*
 * Within this all must have been heard that is said in one go, for whoever says it does nothing
 * else meanwhile; and a millisecond more for so many bytes, as a million claims take seconds.
 */
#define TAKE_TELL_MS 4000
#define TAKE_TELL_BYTES 8192
/* Of a room's record: estate.h. */
#define TAKE_PIECE 384

enum take_kind {
	TAKE_HELLO = 1, TAKE_REFUSE, TAKE_SOCKET, TAKE_END, TAKE_PATH, TAKE_READY,
	TAKE_COMMIT = 8, TAKE_COMMITTED, TAKE_ABORT, TAKE_STAYS, TAKE_STATE, TAKE_ORDER,
};

/* What listens. */
enum take_what { TAKE_LISTENER = 1, TAKE_CONTROL, TAKE_HTTP, TAKE_SUCCESSORS };

struct takemsg {
	uint8_t kind;		/* enum take_kind */
	uint16_t protocol;	/* HELLO */
	uint16_t workers;	/* HELLO of the old one */
	uint32_t pid;		/* HELLO */
	uint8_t what;		/* SOCKET: enum take_what; STATE: whose */
	char name[64];		/* SOCKET: of the listener */
	struct addrport address;
	/* HELLO of the old one, STAYS: connections; COMMIT: of the newest; STATE, ORDER: bytes */
	uint64_t number;
	uint32_t seconds;	/* STAYS: for so long at most */
	uint8_t piece[TAKE_PIECE];	/* STATE; ORDER: a line, as the control socket is told it */
	char notify[108];	/* HELLO of the old one: the service manager's socket */
	bool watched;		/* the same: and its watchdog waits */
	bool reloaded;		/* COMMIT: it has, since HELLO; STAYS: since COMMIT */
	char text[TAKE_TEXT];	/* HELLO: its version; REFUSE, ABORT, STAYS: why */
};

/* With fd, or -1. False: nobody hears it. */
bool takemsg_send(int to, const struct takemsg *m, int fd);
/*
 * One packet, and the descriptor that came with it, or -1. 1; 0: nobody will say any more; -1 with
 * errno, EPROTO for what is none.
 */
int takemsg_recv(int from, struct takemsg *m, int *fd, int flags)
    __attribute__((warn_unused_result));
/* Is the process at the other end of the kind that may have our clients' keys: ours, or root's? */
bool takemsg_trusts(int fd);

#endif
