/* inside.h: the inside of a connection, for conn.c, opening.c and prelude.c alone */
#ifndef PROXY_INSIDE_H
#define PROXY_INSIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <event2/event_struct.h>
#include <event2/util.h>

#include "base/buf.h"
#include "proxy/conn.h"
#include "proxy/first.h"
#include "proxy/leg.h"
#include "proxy/mediate.h"
#include "proxy/pump.h"
#include "proxy/route.h"
#include "smb/netbios.h"

/* One direction: read from its leg, judged by its pump, written to the other side's leg. */
struct side {
	struct conn *conn;
	enum dir dir;
	bool eof;
	struct leg leg;
	struct pump pump;
	struct buf out;		/* judged, and not yet taken by the other leg's kernel */
};

struct conn {
	TAILQ_ENTRY(conn) entry;
	struct worker *w;
	const struct conf_listen *listener;
	enum conn_stage stage;
	enum first_kind kind;
	enum close_reason why;	/* of the end, once it is decided */
	bool counted;		/* among those without a logon, see proxy/limits.h */
	bool resume[2];		/* that direction waits for nothing any more */
	bool header_due;	/* a listed proxy's header has to come first */
	bool session_asked;	/* and granted: NetBIOS */
	bool raw;		/* the frame that waits is SMB1 and goes to the node unjudged */
	bool started;		/* its turn by the accept rate has come */
	bool logged_on;
	bool negotiated;
	bool half_closed;	/* the node has been told that the client is through */
	enum close_reason send_failed;
	uint64_t accepted_ms;
	uint64_t connect_by_ms;	/* while CONN_CONNECT */
	uint64_t end_by_ms;	/* while something is flushed or half closed; 0 = no */
	uint64_t calm_until_ms;	/* 0 = no */
	uint64_t owed_since_ms;	/* the client asked then and the node has not sent a byte since */
	char calling_name[NETBIOS_NAME_MAX];	/* empty: no NetBIOS session request */
	uint8_t *replay;	/* the SMB1 NEGOTIATE of a multi-protocol opening */
	size_t replay_len;
	struct node *node;	/* a reference, and counted in its connections */
	struct route route;
	struct mediate mediate;
	struct event timer;
	struct side side[2];
};

/* Nothing more is read, judged or asked. */
static inline bool
conn_over(const struct conn *c)
{
	return c->stage >= CONN_FLUSH;
}

/*
 * As pump_ops.send: n bytes of this direction to the other leg; what the kernel does not take is
 * kept. -1: c->send_failed is set, and the caller ends the connection.
 */
int conn_send(void *side, const uint8_t *p, size_t n);
/* Sets the timer to whatever comes first in this stage. */
void conn_arm(struct conn *c);
/* Nothing more of the client is read or looked at for so long; all deadlines move by it. */
void conn_delay(struct conn *c, unsigned delay_ms);
/* Reads those legs that may be read now. */
void conn_update_reading(struct conn *c);
/* The frame of that direction that waits is shown again. */
void conn_resume(struct conn *c, enum dir dir);
/* Of a leg whose side is arg. */
void conn_read_cb(evutil_socket_t fd, short what, void *arg);
void conn_write_cb(evutil_socket_t fd, short what, void *arg);

#endif
