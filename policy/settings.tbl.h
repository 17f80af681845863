/* settings.tbl.h: every setting of policy.conf, once */
/*
 * SETTING(section, option, structure, field, kind, default, least, most, words...)
 *	one value, in a field of struct policy or of the part of it that a section describes. A new
 *	one needs this row, its field, and its row in doc/smbgate-policy.5.md; that it is read,
 *	printed, compared and reported follows.
 * LIST(section, option, kind)
 *	values that the code of the section takes one by one.
 * OTHER(section, option, kind)
 *	one value that the code of the section takes itself.
 *
 * kind is an enum setting_kind without SETTING_, the default stands as the file would have it,
 * times have their bounds in ms. The words of a WORD are in the order of its enum in policy.h.
 */

#define DAY 86400000
#define WEEK 604800000
/* The kernel takes no more seconds for TCP_KEEPIDLE and TCP_KEEPINTVL. */
#define KEEPALIVE_MAX 32767000
/* LinkSpeed has 64 bits, but nobody has an exabit. */
#define SPEED_MAX 1000000000000000

SETTING("root", "smb1", policy, common.smb1, WORD, "refuse", 0, 0, "refuse", "allow")
SETTING("root", "unkeyed", policy, unkeyed, WORD, "pass", 0, 0, "pass", "refuse")
SETTING("root", "gmac", policy, gmac, WORD, "pass", 0, 0, "pass", "refuse", "resign")
SETTING("root", "compression", policy, compression, WORD, "refuse", 0, 0, "refuse", "pass")
SETTING("root", "vcnumber", policy, vcnumber, WORD, "renumber", 0, 0, "renumber", "pass")
SETTING("root", "vc-reset", policy, common.vc_reset, WORD, "off", 0, 0,
    "off", "address", "identity", "user")
SETTING("root", "source", policy, common.source, WORD, "own", 0, 0, "own", "transparent", "pool")
SETTING("root", "rebalance", policy, rebalance, BOOL, "false", 0, 0)
SETTING("root", "no-node", policy, no_node, WORD, "hold", 0, 0, "hold", "reset")
SETTING("root", "pin-linger", policy, pin_linger, DURATION, "15m", 0, DAY)
SETTING("root", "handover-drain", policy, handover_drain, DURATION, "1h", 0, WEEK)
SETTING("root", "no-guid", policy, no_guid, WORD, "connection", 0, 0, "connection", "address")
OTHER("root", "node-file", PATH)
LIST("root", "nat", PREFIX)
LIST("root", "source-pool", ADDR)

OTHER("node", "address", ADDRPORT)
LIST("node", "other-addresses", ADDR)
OTHER("node", "cluster", NAME)
OTHER("node", "agent", ADDRPORT)
SETTING("node", "weight", pol_node, weight, NUMBER, "1", 1, POL_WEIGHT_MAX)
SETTING("node", "state", pol_node, state, WORD, "active", 0, 0, "active", "drain", "maint")

LIST("addresses", "allow", PREFIX)
LIST("addresses", "deny", PREFIX)
LIST("addresses", "deny-file", PATH)

SETTING("interfaces", "mode", pol_interfaces, mode, WORD, "announce", 0, 0,
    "announce", "filter", "pass")

/* The section address within interfaces; an ifindex of 0 is replaced by one that nobody has. */
SETTING("address", "speed", pol_iface, speed, SPEED, "1G", 1, SPEED_MAX)
SETTING("address", "rss", pol_iface, rss, BOOL, "false", 0, 0)
SETTING("address", "ifindex", pol_iface, ifindex, NUMBER, NULL, 1, UINT32_MAX)
SETTING("address", "elsewhere", pol_iface, elsewhere, BOOL, "false", 0, 0)

SETTING("auth", "ntlm", policy, common.auth.ntlm, WORD, "allow", 0, 0, "allow", "refuse")
SETTING("auth", "guest", policy, common.auth.guest, WORD, "allow", 0, 0, "allow", "refuse")
SETTING("auth", "min-dialect", policy, common.auth.min_dialect, DIALECT, "2.0.2", 0, 0,
    "2.0.2", "2.1", "3.0", "3.0.2", "3.1.1")

/* What is not given is that of the whole file: policy/schema_listener.c. */
SETTING("listener", "smb1", pol_listener, smb1, WORD, NULL, 0, 0, "refuse", "allow")
SETTING("listener", "source", pol_listener, source, WORD, NULL, 0, 0, "own", "transparent", "pool")
SETTING("listener", "vc-reset", pol_listener, vc_reset, WORD, NULL, 0, 0,
    "off", "address", "identity", "user")
SETTING("listener", "ntlm", pol_listener, auth.ntlm, WORD, NULL, 0, 0, "allow", "refuse")
SETTING("listener", "guest", pol_listener, auth.guest, WORD, NULL, 0, 0, "allow", "refuse")
SETTING("listener", "min-dialect", pol_listener, auth.min_dialect, DIALECT, NULL, 0, 0,
    "2.0.2", "2.1", "3.0", "3.0.2", "3.1.1")

SETTING("health", "interval", policy, health.interval, DURATION, "2s", 50, DAY)
SETTING("health", "timeout", policy, health.timeout, DURATION, "2s", 50, DAY)
SETTING("health", "rise", policy, health.rise, NUMBER, "2", 1, 100)
SETTING("health", "fall", policy, health.fall, NUMBER, "3", 1, 100)
SETTING("health", "slow-start", policy, health.slow_start, DURATION, "30s", 0, DAY)
SETTING("health", "flap-changes", policy, health.flap_changes, NUMBER, "3", 0, 16)
SETTING("health", "flap-window", policy, health.flap_window, DURATION, "60s", 0, DAY)
SETTING("health", "flap-hold", policy, health.flap_hold, DURATION, "60s", 0, DAY)
SETTING("health", "logon-fall", policy, health.logon_fall, NUMBER, "3", 0, 1000)
SETTING("health", "logon-hold", policy, health.logon_hold, DURATION, "60s", 0, DAY)
SETTING("health", "hang", policy, health.hang, DURATION, "30s", 1000, DAY)

SETTING("limits", "first-frame", policy, limits.first_frame, DURATION, "1m", 100, DAY)
SETTING("limits", "negotiate", policy, limits.negotiate, DURATION, "1m", 100, DAY)
SETTING("limits", "logon", policy, limits.logon, DURATION, "5m", 100, DAY)
SETTING("limits", "unauthenticated", policy, limits.unauthenticated, NUMBER, "16384", 1, 10000000)
SETTING("limits", "unauthenticated-per-source", policy, limits.unauthenticated_per_source, NUMBER,
    "12288", 1, 10000000)
SETTING("limits", "unauthenticated-memory", policy, limits.unauthenticated_memory, SIZE, "32M",
    1000000, 1000000000000)
SETTING("limits", "connections-per-source", policy, limits.connections_per_source, NUMBER, "32768",
    1, 10000000)
SETTING("limits", "accept-rate", policy, limits.accept_rate, NUMBER, "1000", 0, 1000000)
SETTING("limits", "accept-burst", policy, limits.accept_burst, NUMBER, "10000", 1, 1000000)

SETTING("tcp", "keepalive-idle", policy, tcp.keepalive_idle, SECONDS, "30s", 0, KEEPALIVE_MAX)
SETTING("tcp", "keepalive-interval", policy, tcp.keepalive_interval, SECONDS, "10s", 1000,
    KEEPALIVE_MAX)
SETTING("tcp", "keepalive-count", policy, tcp.keepalive_count, NUMBER, "3", 1, 127)
SETTING("tcp", "client-timeout", policy, tcp.client_timeout, DURATION, "15m", 0, DAY)
SETTING("tcp", "node-timeout", policy, tcp.node_timeout, DURATION, "1m", 0, DAY)
SETTING("tcp", "connect-timeout", policy, tcp.connect_timeout, DURATION, "3s", 10, DAY)

#undef DAY
#undef WEEK
#undef KEEPALIVE_MAX
#undef SPEED_MAX
