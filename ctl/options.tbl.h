/* options.tbl.h: every option of smbgatectl, once */
/*
 * OPTION(id, letter, name, kind, key, value, help)
 *	id is an enum option_id without OPT_, letter 0: it has none, kind an enum option_kind
 *	without OPTION_. key: of the request to smbgate, NULL: it is smbgatectl's own affair.
 *	value: what usage calls the value that follows, NULL: none does. An option that not every
 *	command has is named in the rows of commands.tbl.h that have it.
 */
OPTION(SOCKET, 's', "socket", TEXT, NULL, "PATH", "the control socket (default " DEFAULT_SOCKET ")")
OPTION(CONFIG, 'c', "config", TEXT, NULL, "FILE",
    "take the path of the socket from this smbgate.conf; check it")
OPTION(JSON, 'j', "json", FLAG, NULL, NULL, "print the answer as JSON")
OPTION(ALL, 'a', "all", FLAG, NULL, NULL,
    "with show stats and map: what is zero, too; with show clients: what lingers, too")
OPTION(DESCRIBE, 'd', "describe", FLAG, "describe", NULL,
    "with show stats: what each counter means")
OPTION(OLD, 'o', "old", FLAG, "old", NULL, "with show clients: those that speak old protocols")
OPTION(LIVE, 'l', "live", FLAG, "live", NULL,
    "with ready: whether or not a node takes clients; with show: what has connections")
OPTION(LINGERING, 0, "lingering", FLAG, "lingering", NULL,
    "with show clients: only those without a connection")
OPTION(NODE, 'n', "node", TEXT, "node", "NODE", "with show: only what is on that node")
OPTION(CLIENT, 0, "client", TEXT, "client", "ADDR",
    "only that client: its address, a prefix, its GUID")
OPTION(USER, 'u', "user", TEXT, "user", "USER",
    "only that user's, with or without the realm or domain")
OPTION(LISTENER, 0, "listener", TEXT, "listener", "NAME",
    "only what came to that listener; with explain --address, --guid: as that one has it")
OPTION(PROTECTION, 0, "protection", TEXT, "protection", "WORD",
    "only keyed, unsigned or opaque sessions")
OPTION(SORT, 0, "sort", TEXT, "sort", "KEY",
    "by a key of the rows, bytes or active; the highest number first")
OPTION(LIMIT, 0, "limit", TEXT, "limit", "N", "no more rows than that")
OPTION(COLUMNS, 0, "columns", TEXT, NULL, "A,B", "the table's columns: keys of the rows")
OPTION(ADDRESS, 0, "address", TEXT, "address", "ADDRESS",
    "with explain: in the place of WHO")
OPTION(GUID, 0, "guid", TEXT, "guid", "GUID", "with explain: in the place of WHO")
OPTION(FORCE, 'f', "force", FLAG, "force", NULL,
    "drain the last node, end several clients, replace a file")
OPTION(WAIT, 'w', "wait", FLAG, "wait", NULL,
    "with drain and stop: show how far it is, until nobody is left")
OPTION(DEADLINE, 't', "deadline", TIME, "deadline_ms", "TIME",
    "with drain: end all the others then (10m, 30s)")
OPTION(QUIET, 'q', "quiet", TIME, "quiet_ms", "TIME",
    "with drain: how long a client says nothing before (30s)")
OPTION(DRAIN, 'D', "drain", TIME, "drain_ms", "TIME",
    "with stop: let clients go first, for that long at most")
OPTION(FOR, 'F', "for", TIME, "for_ms", "TIME",
    "with capture and trace: how long (60s); with log-level")
OPTION(WRITE, 0, "write", TEXT, NULL, "FILE", "with capture: the file; -: standard output")
OPTION(SIZE, 0, "size", TEXT, NULL, "BYTES", "with capture: how long the file may become (100M)")
OPTION(HEADS, 0, "heads", FLAG, "heads", NULL, "with capture: headers of messages, no payload")
OPTION(NAME, 0, "name", TEXT, NULL, "FQDN",
    "with check: a name of the server that the keytab must have")
OPTION(KDC, 0, "kdc", TEXT, NULL, "HOST", "with check: the KDC to ask for its key numbers")
OPTION(VERSION, 'V', "version", FLAG, NULL, NULL, "print the version, and exit")
OPTION(HELP, 'h', "help", FLAG, NULL, NULL, "print this, and exit")
