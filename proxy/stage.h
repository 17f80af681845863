/* stage.h: the stages of a connection's life */
#ifndef PROXY_STAGE_H
#define PROXY_STAGE_H

#include <stdbool.h>
#include <stdint.h>

/*
 *	HEADER ─► DELAY ─► FIRST ─► SESSION ─► SECOND ─► ROUTE ─► HELD ─► CONNECT ─► REPLAY
 *	─► NEGOTIATE ─► HANDOVER ─► LOGON ─► RELAY ─► FLUSH ─► DEAD
 *
 * Always in this order. HEADER, DELAY, SESSION, SECOND, REPLAY and HANDOVER are skipped by
 * connections that do not need them, as is HELD, which goes back to ROUTE. So does CONNECT when the
 * node cannot be reached.
 * Any stage may go to FLUSH (something for the client is left) or DEAD.
 */
enum conn_stage {
#define STAGE(name, text, deadline, client, node) CONN_##name,
#include "proxy/stage.tbl.h"
#undef STAGE
};

/* What a stage, and those before it, must be over by; each is counted from the accept. */
enum stage_deadline {
	STAGE_DEADLINE_NONE,
	STAGE_DEADLINE_FIRST_FRAME,
	STAGE_DEADLINE_NEGOTIATE,
	STAGE_DEADLINE_LOGON,
};

struct stage {
	const char *text;
	uint8_t deadline;	/* enum stage_deadline */
	bool client;		/* is read */
	bool node;
};

/* By enum conn_stage. */
extern const struct stage stages[];

/* Messages pass between client and node. */
static inline bool
stage_relays(enum conn_stage s)
{
	return s >= CONN_NEGOTIATE && s <= CONN_RELAY;
}

/* For people. */
const char *conn_stage_str(enum conn_stage s);

#endif
