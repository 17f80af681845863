/* house.h: one worker with a test in the place of clients, nodes, the map and smbgate-keyd */
#ifndef T_UNIT_LIB_HOUSE_H
#define T_UNIT_LIB_HOUSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/keywatch.h"
#include "base/buf.h"
#include "policy/conf.h"
#include "proxy/conn_priv.h"
#include "proxy/worker.h"
#include "smb/hdr2.h"

/*
 * All runs in one thread, a turn at a time: what the test holds back stays held back, and nothing
 * depends on who is faster.
 */

/* The test's end of one leg of a connection. */
struct house_end {
	int fd;			/* -1: there is none yet */
	bool deaf;		/* it reads nothing */
	bool fin;		/* no more comes behind what is to be sent */
	bool shut;
	bool eof;		/* the other side has said so, or reset the connection */
	struct buf out;		/* to be sent as the kernel takes it */
	struct buf said;	/* all that was ever to be sent */
	struct buf got;
};

struct house;

struct house_link {
	struct house *house;
	struct conn *conn;	/* while house_lives() */
	struct house_end client, node;
};

#define HOUSE_LINKS_MAX 256

struct house {
	struct worker *w;
	struct worker *workers[1];
	struct worker_parts parts;
	struct policy *policy;
	struct conf_listen listener;
	int door;		/* where the node listens */
	struct keywatch keywatch;
	int keyd;
	struct buf keys_owed;	/* ids that smbgate-keyd was asked for */
	struct house_map *map;
	/* Held back, until it is false. */
	bool keyd_slow, claims_slow, facts_slow;
	unsigned others;	/* live connections of every client, as the map has it */
	struct house_link *links[HOUSE_LINKS_MAX];
	size_t nlinks;
};

/* policy: what stands in policy.conf besides the node "n1". Never NULL. */
struct house *house_new(const char *policy);
void house_free(struct house *h);

/* A client dials; late: through a proxy, and its turn by the accept rate comes later. */
struct house_link *house_dial(struct house *h, bool late);
/* Both ends go, and with them the connection. */
void house_hang_up(struct house_link *l);
bool house_lives(const struct house_link *l);

/* One turn of everything. */
void house_turn(struct house *h);
/* Turns until cond(arg), for some seconds at most; whether it came. */
bool house_until(struct house *h, bool (*cond)(void *arg), void *arg);

/* To be sent from that end. */
void house_say(struct house_end *e, const void *p, size_t n);

/* A frame of one message, with that body. */
void house_frame(struct buf *b, const struct hdr2 *h, const void *body, size_t n);
/* A SESSION_SETUP with NTLM's message of that type; 0: without a token, 4: an anonymous type 3. */
void house_setup(struct buf *b, uint64_t mid, uint64_t session, uint8_t flags, unsigned ntlm);
void house_setup_answer(struct buf *b, uint64_t mid, uint64_t session, uint32_t status,
    unsigned ntlm);
void house_negotiate(struct buf *b, uint64_t mid, uint64_t guid);
/* multi: that to an SMB1 NEGOTIATE. */
void house_negotiate_answer(struct buf *b, uint64_t mid, bool multi);
/* A WRITE of n bytes, or its answer: what nobody looks at. */
void house_bulk(struct buf *b, uint64_t mid, bool answer, size_t n);

#endif
