/* explain.tbl.h: every reason why a client has one channel or several, the weightiest first */
/*
 * REASON(code, blocks, "what to do")
 *	judged by explain.c's function of that name. blocks: it keeps the client from a further
 *	channel. The codes are a public interface: a table of doc/smbgatectl.1.md has the same.
 */
REASON(on, false, NULL)
REASON(smb1, true, "use a client that speaks SMB 3: SMB1 has nothing of the kind")
REASON(dialect_below_3, true,
    "have the client, and its node, speak SMB 3.0 or newer")
REASON(guest, true, "log on as a user")
REASON(client_no_multichannel, true,
    "switch multichannel on at the client: mount option multichannel in Linux, "
    "Set-SmbClientConfiguration -EnableMultiChannel in Windows")
REASON(node_no_multichannel, true,
    "switch it on at the node: server multi channel support = yes in smb.conf")
REASON(bind_denied_address, true,
    "have clients told other addresses, or allow this one in policy.conf")
REASON(bind_other_node, true,
    "have every connection of a client come through smbgate, with one ClientGuid; clients that "
    "dial nodes themselves must be told addresses of that node alone")
REASON(unkeyed_refused, true,
    "give smbgate the key (keytab in smbgate.conf), or say unkeyed = pass in policy.conf")
REASON(opaque, true, NULL)
REASON(gmac_refused, true,
    "use gmac = pass or resign in policy.conf, or have the client sign with AES-CMAC")
REASON(gmac_passed, true,
    "use mode = announce in policy.conf, or have the client sign with AES-CMAC or encrypt")
REASON(asked_via_denied, true,
    "have the client dial an address that policy.conf allows, or allow this one")
REASON(told_none, true, "have policy.conf leave one address at the least")
REASON(list_too_small, true,
    "announce fewer addresses: the client has not made room for all of them")
REASON(node_error, true, "see the log of the node")
REASON(told_one, true,
    "announce further addresses in policy.conf, or say rss = true of this one")
REASON(told_slower, true, "announce addresses of the same speed, or say rss = true of the fastest")
REASON(told_no_rss, true,
    "say rss = true in policy.conf (at the node: capability=RSS), or give the client a second "
    "interface")
REASON(unseen, true, "look at the client: smbgate cannot see what it asks")
REASON(not_asked, true,
    "clients ask shortly after the logon: wait, or use a share of the server once")
REASON(zero_guid, false,
    "have its library send a GUID of its own: nodes take all such clients for one")
REASON(nothing_in_the_way, false, "to open further channels is the client's choice")
