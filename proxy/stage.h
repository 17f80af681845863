/* stage.h: the stages of a connection's life */
#ifndef PROXY_STAGE_H
#define PROXY_STAGE_H

/*
 *	FIRST ──┬────────────► ROUTE ─► CONNECT ─┬───────────► RELAY ─► FLUSH ─► DEAD
 *	        └─► SECOND ──►                   └─► REPLAY ─►
 *
 * Any stage may go to FLUSH (something for the client is left) or DEAD.
 */
enum conn_stage {
#define STAGE(name, text) CONN_##name,
#include "proxy/stage.tbl.h"
#undef STAGE
};

/* For people. */
const char *conn_stage_str(enum conn_stage s);

#endif
