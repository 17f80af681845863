/* stage.tbl.h: every stage of a connection: STAGE(name, "text", deadline, client and node read) */
/* A listed proxy's PROXY header is to come. */
STAGE(HEADER, "header", FIRST_FRAME, true, false)
/* Its turn by the accept rate has not come. */
STAGE(DELAY, "delay", FIRST_FRAME, false, false)
/* No whole frame yet. */
STAGE(FIRST, "first", FIRST_FRAME, true, false)
/* A NetBIOS session was granted; the first message is to come. */
STAGE(SESSION, "session", FIRST_FRAME, true, false)
/* A multi-protocol NEGOTIATE was answered with 0x02ff; the SMB2 NEGOTIATE is to come. */
STAGE(SECOND, "second", NEGOTIATE, true, false)
/* The map of claims is asked. */
STAGE(ROUTE, "route", NEGOTIATE, true, false)
/* No node takes it now; one may come back within a moment. */
STAGE(HELD, "held", NEGOTIATE, true, false)
/* The node is dialled. */
STAGE(CONNECT, "connect", NEGOTIATE, true, false)
/* The SMB1 NEGOTIATE went to the node; its answer is to be swallowed. */
STAGE(REPLAY, "replay", NEGOTIATE, true, true)
/* The node is to choose a dialect. From here on messages pass. */
STAGE(NEGOTIATE, "negotiate", NEGOTIATE, true, true)
/* The node may be moving the connection between processes of its own; the client's logon waits. */
STAGE(HANDOVER, "handover", LOGON, true, true)
/* The client is to log on. */
STAGE(LOGON, "logon", LOGON, true, true)
/* It has logged on. */
STAGE(RELAY, "relay", NONE, true, true)
/* It is over, but for bytes that the client is still owed. */
STAGE(FLUSH, "flush", NONE, false, false)
/* It is freed at the end of this turn of the loop. */
STAGE(DEAD, "dead", NONE, false, false)
