/* conn.h: one client connection: two legs, two pumps, from accept to the last byte */
#ifndef PROXY_CONN_H
#define PROXY_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/guid.h"
#include "inspect/caller.h"
#include "inspect/session_info.h"
#include "proxy/limits.h"
#include "proxy/stage.h"
#include "stats/close.h"

struct conf_listen;
struct conn;
struct conn_env;
struct filter;
struct node;
struct side;
struct state_hold;
struct state_key;

/* For people. */
struct conn_info {
	uint64_t id;
	enum conn_stage stage;
	struct addrport client, local;
	char listener[64];
	char netbios_name[16];	/* as the client calls itself; empty: unknown */
	char node[64];		/* empty: none yet */
	const void *node_is;	/* which of that name: to be compared alone, it may be gone */
	char dialled[64];	/* the node that it dialled; empty: not intercepted */
	uint32_t cluster;	/* that it has to do with: nodes/cluster.h */
	uint8_t placed;		/* enum route_by */
	uint16_t dialect;	/* 0: not negotiated */
	bool smb1;
	bool logged_on;
	bool has_guid;
	struct guid client_guid;
	struct caller by;	/* SMB1: of the last logon */
	char user[SESSION_TEXT_MAX];	/* of one of its sessions; "": not known */
	int8_t protection;	/* the same: enum session_protection; -1: there is none */
	bool ends_wanted, session_wanted;	/* by the filter, if there was one */
	uint64_t since_ms;
	unsigned sessions;
	uint64_t bytes_to_node, bytes_to_client;
	uint32_t heard_s;	/* the client has said something then */
	bool captured;
	int64_t open_files, outstanding;	/* -1: cannot be seen */
	bool quiet;		/* but for the time: see conn_quiet() */
};

/*
 * Takes over the accepted socket, and its place, which limits_take() gave. delay_ms: do not read
 * before. The connection then lives on this worker by itself; listener is borrowed for good.
 */
void conn_new(struct conn_env *env, int fd, const struct conf_listen *listener,
    const struct addrport *client, unsigned delay_ms);

/* Ends it; what the client is still owed is flushed first, if it can be. Safe in any stage. */
void conn_end(struct conn *c, enum close_reason why);
/* Ends it at once. */
void conn_kill(struct conn *c, enum close_reason why);

/* Of a struct conn, for env->mediate.hold(). */
struct state_hold *conn_hold(void *c);
/* The node, or NULL. */
const struct node *conn_node(const struct conn *c);
/* Is it of that client, by the key of its claim? */
bool conn_is_of(const struct conn *c, const struct state_key *key);
struct conn *conn_next(const struct conn *c);

/*
 * What a client would not notice if it ended now: nothing is open, nothing is asked, and the client
 * has said nothing for so long. What cannot be seen is not quiet.
 */
bool conn_quiet(const struct conn *c, uint32_t quiet_s);

/* Once a second: is its end overdue? */
void conn_tick(struct conn *c, uint64_t now_ms);

/* f NULL: everything is wanted. */
void conn_describe(const struct conn *c, const struct filter *f, struct conn_info *info);

/* For its parts: opening, prelude, progress, recv and moving. */

/* It is none of the worker's connections any more. */
void conn_unlist(struct conn *c);
/* Gives up its node. */
void conn_leave_node(struct conn *c);

/* When the stage has taken too long, and the reason to end the connection then. 0: never. */
uint64_t conn_deadline(const struct conn *c, enum close_reason *why);
/* Sets the timer to what comes first: that deadline, or the time when the stage is over. */
void conn_arm(struct conn *c);
/* To CONN_DELAY for so long; all deadlines move by it. */
void conn_delay(struct conn *c, unsigned delay_ms);
/* What it is to the limits from now on. False: there is no room for it as that. */
bool conn_stands(struct conn *c, enum standing now);
/* The peer of this side has sent its last byte. */
void conn_end_of_file(struct side *s);
/* In CONN_FLUSH: the client has all that it was owed. */
void conn_flushed(struct conn *c);

/* Frees a dead one; for the worker's end of turn. */
void conn_free(struct conn *c);

#endif
