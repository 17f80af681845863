/* wait.tbl.h: all that a held frame may have to wait for: WAIT(name, direction) */
/* Its turn by the accept rate. The timer ends it. */
WAIT(ACCEPT, C2S)
/* The client's node: the map's word, a node that comes back, a connection, and the answer to what
 * was replayed there. Opening ends it. */
WAIT(NODE, C2S)
/* The node's answer to SMB1's NEGOTIATE, of which this frame has not heard. Progress ends it. */
WAIT(ANSWER, C2S)
/* The moment in which the node may hand the connection over. The timer ends it. */
WAIT(PAUSE, C2S)
/* What other proxies know of the session that it binds to. Inspection ends it. */
WAIT(FACTS, C2S)
/* The key of the logon that it answers. Inspection ends it. */
WAIT(KEY, S2C)
