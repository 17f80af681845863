/* close.tbl.h: every reason why a connection ends: CLOSE(name, "counter", "text for the log") */
CLOSE(CLIENT_EOF, "client_eof", "the client closed the connection")
CLOSE(NODE_EOF, "node_eof", "the node closed the connection")
CLOSE(CLIENT_RESET, "client_reset", "the client reset the connection, or stopped answering")
CLOSE(NODE_RESET, "node_reset", "the node reset the connection, or stopped answering")
CLOSE(FLUSH_TIMEOUT, "flush_timeout", "timeout: the client did not take the node's last answers")
CLOSE(FIRST_FRAME_TIMEOUT, "first_frame_timeout",
    "timeout: no complete first message from the client (limits { first-frame })")
CLOSE(NEGOTIATE_TIMEOUT, "negotiate_timeout",
    "timeout: no answer to NEGOTIATE (limits { negotiate })")
CLOSE(LOGON_TIMEOUT, "logon_timeout", "timeout: no successful logon (limits { logon })")
CLOSE(BAD_FRAME, "bad_frame", "invalid transport header: this is not SMB")
CLOSE(BAD_SESSION_REQUEST, "bad_session_request", "malformed NetBIOS session request")
CLOSE(BAD_PROXY_HEADER, "bad_proxy_header",
    "missing or malformed PROXY protocol header from a listed proxy")
CLOSE(SHORT_FRAME, "short_frame", "message too short for its header")
CLOSE(LONG_FRAME, "long_frame", "message too long for this stage, or too long to be inspected")
CLOSE(BAD_PROTOCOL, "bad_protocol",
    "unknown protocol, or one that was not negotiated (SMB1, encryption, compression)")
CLOSE(BAD_MESSAGE, "bad_message", "malformed message")
CLOSE(BAD_CHAIN, "bad_chain", "malformed compound: wrong NextCommand or AndX offset")
CLOSE(UNSEEN_COMPOUND, "unseen_compound",
    "compound too long to be inspected, with a message that must be")
CLOSE(BAD_FIRST, "bad_first", "the first message is not NEGOTIATE")
CLOSE(BAD_SEQUENCE, "bad_sequence", "message not allowed at this stage")
CLOSE(UNEXPECTED_ANSWER, "unexpected_answer", "the node sent an answer that no request asked for")
CLOSE(PENDING_FULL, "pending_full",
    "too many unanswered logons and interface queries on one connection")
CLOSE(SESSIONS_FULL, "sessions_full", "too many sessions on one connection")
CLOSE(SMB1_REFUSED, "smb1_refused",
    "the client's SMB1 NEGOTIATE offers no dialect that policy accepts")
CLOSE(UNKEYED, "unkeyed",
    "smbgate has no key to the session, which policy demands (unkeyed = refuse)")
CLOSE(BAD_SIGNATURE, "bad_signature", "wrong signature on the node's answer to an interface query")
CLOSE(BAD_SEAL, "bad_seal", "an encrypted message could not be decrypted")
CLOSE(GMAC, "gmac", "AES-GMAC leaves no way to answer an interface query (gmac = refuse)")
CLOSE(COMPRESSION, "compression",
    "compression on a session that must be inspected (compression = refuse)")
CLOSE(GUEST_REFUSED, "guest_refused",
    "the node made the user a guest or anonymous (auth { guest = refuse })")
CLOSE(DIALECT_REFUSED, "dialect_refused",
    "all dialects offered are too old, or the one chosen is (auth { min-dialect })")
CLOSE(VC_RESET, "vc_reset", "the client started anew: it logged on with SMB1's VcNumber 0")
CLOSE(NO_NODE, "no_node", "no node takes the client")
CLOSE(NODE_CONNECT, "node_connect", "could not connect to a node")
CLOSE(SOURCE_ADDRESS, "source_address", "the policy's source address cannot be used")
CLOSE(NODE_DOWN, "node_down", "the node is down")
CLOSE(NODE_HUNG, "node_hung",
    "the node is hung, and a request has waited too long (health { hang })")
CLOSE(CLAIM_ELSEWHERE, "claim_elsewhere",
    "the client is live on a node that takes no more connections, or is being moved")
CLOSE(CLAIM_LOST, "claim_lost",
    "another proxy's claim is older: the client is live on another node")
CLOSE(ACCEPT_RATE, "accept_rate",
    "too many connections per second from one source (limits { accept-rate })")
CLOSE(UNAUTH_LIMIT, "unauthenticated_limit",
    "too many connections without a logon (limits { unauthenticated })")
CLOSE(UNAUTH_SOURCE, "unauthenticated_source",
    "too many connections without a logon from one source (limits { unauthenticated-per-source })")
CLOSE(NO_FILES, "no_files", "out of file descriptors")
CLOSE(NO_MEMORY, "no_memory", "out of memory")
CLOSE(SHUTDOWN, "shutdown", "smbgate is shutting down")
