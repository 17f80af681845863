/* stage.tbl.h: every stage of a connection: STAGE(name, "text") */
STAGE(FIRST, "first")		/* no whole frame yet */
STAGE(SECOND, "second")		/* multi-protocol: answered 0x02ff, the SMB2 NEGOTIATE is to come */
STAGE(ROUTE, "route")		/* the map of claims is asked */
STAGE(CONNECT, "connect")	/* the node is dialled */
STAGE(REPLAY, "replay")		/* the SMB1 NEGOTIATE went to the node, its answer is to be swallowed */
STAGE(RELAY, "relay")
STAGE(FLUSH, "flush")		/* over, but for bytes that the client is still owed */
STAGE(DEAD, "dead")		/* freed at the end of this turn of the loop */
