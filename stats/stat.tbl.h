/* stat.tbl.h: every counter: STAT(name, "help") */
STAT(accepted, "client connections accepted; those that a limit refused at once are not among them")
STAT(proxy_headers, "connections that began with a PROXY protocol header from a listed proxy")
STAT(netbios_sessions, "NetBIOS session requests granted (clients on port 139)")
STAT(logged_on, "connections with at least one successful logon")
STAT(bytes_to_node, "bytes sent to nodes")
STAT(bytes_to_client, "bytes sent to clients")
STAT(bytes_spliced,
    "bytes, both ways, that the kernel moved by itself (splice); the rest was copied")
STAT(held, "frames collected whole to be inspected: logons, interface queries, compounds")
STAT(placed_hash, "new clients placed on the node that the hash chose")
STAT(placed_dialled, "intercepted clients placed on the node whose address they dialled")
STAT(placed_claim, "connections sent to the node where their client already belongs")
STAT(placed_blind, "connections placed without Redis, which was out of reach or too slow")
STAT(claims_moved, "clients moved: their node took no connection, or they dialled another one")
STAT(claims_refused, "clients placed by the hash alone because the map had no room for them")
STAT(multi_protocol, "clients that began with SMB1 and offered SMB2; smbgate answered them itself")
STAT(smb1_refused,
    "clients refused because their SMB1 NEGOTIATE offered no dialect that policy accepts")
STAT(node_connect_failed, "failed attempts to connect to a node")
STAT(source_misfit,
    "connections made from smbgate's own address: the policy's source cannot reach the node")
STAT(sessions, "sessions opened by a logon")
STAT(channels_bound, "further channels bound to sessions (multichannel)")
STAT(channels_keyed, "logons and binds whose keys smbgate knows: it can change their messages")
STAT(channels_opaque,
    "logons and binds whose keys smbgate does not know, guests and anonymous included")
STAT(logons_waited, "logons delayed because smbgate-keyd answered later than the node")
STAT(logons_waited_us, "total delay of those logons, in microseconds")
STAT(bad_signatures, "requests from clients, among those inspected, whose signature was wrong")
STAT(bad_seals, "encrypted messages that had to be inspected and could not be decrypted")
STAT(ntlm_refused, "logons refused because they used NTLM (auth { ntlm })")
STAT(guests_refused, "guest and anonymous logons refused (auth { guest })")
STAT(dialects_refused,
    "clients refused because all their dialects are too old (auth { min-dialect })")
STAT(binds_refused_address,
    "channel binds refused because policy forbids the address that was dialled")
STAT(binds_refused_node, "channel binds refused because their session lives on another node")
STAT(keys_fetched, "channel binds whose keys came from another proxy through Redis")
STAT(logon_failures, "SESSION_SETUP requests that the node rejected: a wrong password, for example")
STAT(ifinfo_announced, "interface queries answered with smbgate's list")
STAT(ifinfo_filtered, "interface queries answered with the node's list, less what policy forbids")
STAT(ifinfo_passed, "interface lists of nodes passed unchanged, as policy says (mode = pass)")
STAT(ifinfo_opaque, "interface lists of nodes passed unchanged: signed, and smbgate has no key")
STAT(ifinfo_gmac_passed,
    "interface lists of nodes passed unchanged because of AES-GMAC (gmac = pass)")
STAT(ifinfo_gmac_refused, "interface queries refused because of AES-GMAC (gmac = refuse)")
STAT(ifinfo_too_small,
    "interface queries answered with an error: the client's buffer was too small")
STAT(ifinfo_errors, "interface queries that the node answered with an error")
STAT(sealed_frames_seen, "not counted: always 0")
STAT(vc_zero, "SMB1 logons with VcNumber 0: the client wants its other connections closed")
STAT(vc_renumbered,
    "SMB1 logons whose VcNumber 0 was replaced, so that the node closes nobody's connections")
STAT(vc_signed,
    "SMB1 logons whose VcNumber 0 reached the node: it signs, so it could not be replaced")
STAT(vc_resets,
    "SMB1 logons with VcNumber 0 for which smbgate closed the client's older connections")
STAT(vc_nat,
    "SMB1 logons with VcNumber 0 that closed nothing: policy's nat has the client's address")
STAT(accept_paused, "times that accepting paused because file descriptors or memory ran out")
STAT(accept_delayed, "connections delayed because their source exceeded accept-rate")
