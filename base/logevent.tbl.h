/* logevent.tbl.h: every event that a log line can be of: EVENT(name, "name in the log", budget) */
/*
 * The budget: so many lines a second are written. What a peer can cause has one: enough to see what
 * happens, too few to fill a disk. 0: what an operator does, or the cluster, and all is written.
 */
EVENT(START, "start", 0)
EVENT(STOP, "stop", 0)
EVENT(TAKEOVER, "takeover", 0)
EVENT(RELOAD, "reload", 0)
EVENT(NODE, "node", 0)
EVENT(DRAIN, "drain", 0)
EVENT(KILL, "kill", 0)
EVENT(MOVE, "move", 0)
EVENT(CAPTURE, "capture", 0)
EVENT(DENIED, "denied", 100)
EVENT(LOGON, "logon", 300)
EVENT(LOGON_FAILED, "logon_failed", 300)
EVENT(LOGOFF, "logoff", 300)
EVENT(BIND, "bind", 300)
EVENT(BIND_REFUSED, "bind_refused", 100)
EVENT(INTERFACES, "interfaces", 100)
EVENT(REFUSED, "refused", 100)
EVENT(CLOSED, "closed", 100)
EVENT(KEYD, "keyd", 100)
EVENT(KEYTAB, "keytab", 0)
EVENT(REDIS, "redis", 0)
EVENT(SUPPRESSED, "suppressed", 0)
