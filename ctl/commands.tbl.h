/* commands.tbl.h: every command of smbgatectl, once */
/*
 * COMMAND(word, what, sent, arg, arg2, needs, show, options, help)
 *	what: the object of show, as it is typed; sent: as the request has it. arg, arg2: the keys
 *	of the arguments that follow; needs: how people call them, with those that may be left out
 *	in []. show: prints the answer; NULL: it goes on for a while. options: the names of those
 *	that go with it beside those that all have, each behind a space. help: the lines of usage;
 *	NULL: it has none.
 */
#define NODE "the name of a node"
#define ROWS " node client user listener protection live sort limit columns"
#define WHO "an address, a prefix, a GUID, a session, a user or conn:NUMBER"

COMMAND("show", "nodes", "nodes", NULL, NULL, NULL, show_nodes, "", "nodes, their state and load")
COMMAND("show", "clients", "clients", NULL, NULL, NULL, show_clients, " old lingering" ROWS,
    "clients, their node, and what they were told; --old: those\nwith SMB1, SMB 2.0.2 or NTLM")
COMMAND("show", "sessions", "sessions", NULL, NULL, NULL, show_sessions, ROWS,
    "sessions, their protection, and what they were told")
COMMAND("show", "connections", "connections", NULL, NULL, NULL, show_connections, ROWS,
    "connections, what they move, and what they wait for")
COMMAND("show", "policy", "policy", NULL, NULL, NULL, show_policy, "", "the policy in force")
COMMAND("show", "map", "state", NULL, NULL, NULL, show_map, "",
    "the map of claims, Redis if it is there; or show state")
/* "state" is what an older smbgate calls it, and what scripts still do. */
COMMAND("show", "state", "state", NULL, NULL, NULL, show_map, "", NULL)
COMMAND("show", "stats", "stats", NULL, NULL, NULL, show_stats, " describe",
    "counters; --all: with zeros, --describe: what each means")
COMMAND("show", "refusals", "refusals", NULL, NULL, NULL, show_refusals, "",
    "what was refused in the last 15 minutes, and to whom")
COMMAND("watch", NULL, NULL, "what", NULL, "[nodes, clients or refusals]", show_watch, "",
    "nodes, clients (top talkers first) or refusals, each second")
COMMAND("explain", NULL, NULL, "who", NULL, "[" WHO "]", show_explain, " address guid listener",
    "why a client has one channel or several; --address: what\n"
    "policy does to one; --guid: where such a client would go")
COMMAND("capture", NULL, NULL, "who", NULL, WHO, NULL, " write for size heads force",
    "the packets of its connections, on both legs (pcapng), into\n--write")
COMMAND("trace", NULL, NULL, "who", NULL, WHO, NULL, " for",
    "what is decided about its connections, as it is decided")
COMMAND("ready", NULL, NULL, NULL, NULL, NULL, show_ready, " live",
    "does a node take new clients? --live: does smbgate work?")
COMMAND("drain", NULL, NULL, "node", NULL, NODE, show_drain, " deadline quiet wait force",
    "no new clients for a node; its quiet ones go elsewhere")
COMMAND("undrain", NULL, NULL, "node", NULL, NODE, show_drain, "", "new clients again")
COMMAND("maint", NULL, NULL, "node", NULL, NODE, show_drain, " deadline quiet wait force",
    "the same as drain, and no probes")
COMMAND("unmaint", NULL, NULL, "node", NULL, NODE, show_drain, "", "the end of that")
COMMAND("kill", NULL, NULL, "who", NULL, WHO, show_killed, " force",
    "end a client's connections, on all proxies")
COMMAND("move", NULL, NULL, "who", "node", WHO ", and the name of a node", show_moved, " force",
    "the same, and it comes back to that node")
COMMAND("stop", NULL, NULL, NULL, NULL, NULL, show_stop, " drain quiet wait",
    "end smbgate, at once or behind --drain")
COMMAND("upgrade", NULL, NULL, NULL, NULL, NULL, NULL, "",
    "start another smbgate, which goes on with all clients (-c:\nits smbgate.conf)")
COMMAND("log-level", NULL, NULL, "level", NULL, "[error, warning, info or debug]", show_log_level,
    " for", "how much smbgate logs, until its next start or --for a while")
COMMAND("reload", NULL, NULL, NULL, NULL, NULL, show_reload, "",
    "reload policy.conf; one with errors changes nothing")
COMMAND("check", NULL, "policy", "client", NULL, "[a client's address]", show_check,
    " name kdc",
    "is smbgate.conf's set-up right: keytab, nodes, Redis, limits;\n"
    "and where listeners intercept, are the rules and routes of\n"
    "this machine? CLIENT is an address")

#undef NODE
#undef ROWS
#undef WHO
