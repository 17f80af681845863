/* names.h: every key in Redis, what its value is, and how long it lives */
#ifndef STATE_NAMES_H
#define STATE_NAMES_H

#include <stdint.h>

/*
 * All names begin with "smbgate:TAG:". TAG, 8 hex digits, is derived from the cluster secret, so
 * that clusters may share one Redis and an ACL user may be limited to ~smbgate:* and &smbgate:*.
 * No name and no value tells who a client is: ID and SID are keyed hashes (HMAC-SHA256, cut to 16
 * bytes, as 32 hex digits). Times are milliseconds of Redis' own clock.
 *
 *	c:ID	hash, a claim. ID is made of the client's ClientGuid or address.
 *		n		RECORD: which node, and since when
 *		oTOKENgGEN	an owner: a proxy on which the client is live; until when that is
 *				believed. TOKEN (16 hex) is the process, GEN counts its claims
 *		l		until when the claim lingers after its owners; absent before a logon
 *		lives as long as an owner or its linger time.
 *	x	hash, the exceptions: ID -> RECORD of the claims whose node is not the one that
 *		every proxy would choose by itself. All proxies keep them in memory, for the time
 *		without Redis. Lives NAMES_DAY_MS after the last change; entries without a claim
 *		are swept.
 *	s:SID	hash, the sessions of one number: node identity -> SEALED, the session's facts and
 *		keys. SID is made of the SessionId. Lives NAMES_FACT_MS, renewed while one lives.
 *	d	hash, the drain orders of operators: node identity -> ORDER. Lives NAMES_DAY_MS,
 *		renewed.
 *	e	string, the epoch: when this data began. When it is gone, everything else is gone
 *		too, and the proxies assert it again. Lives NAMES_DAY_MS, renewed.
 *	news	channel: "x" ID RECORD (an exception; no RECORD: it has ended), "d" (d has changed)
 *
 *	RECORD	"1", 15 digits (when the claim was made: the older one wins a conflict), the node's
 *		identity, 16 bytes of HMAC over all that and the ID
 *	ORDER	"1", 15 digits (when it was given), "drain" or "active", 16 bytes of HMAC over all
 *		that and the node's identity
 *	SEALED	12 bytes of nonce, ciphertext and 16 bytes of tag: AES-256-GCM, with the node's
 *		identity and the SessionId as associated data
 */
#define NAMES_TAG_LEN 8
#define NAMES_ID_LEN 16		/* bytes; twice as many digits */
#define NAMES_ID_HEX 32
#define NAMES_PREFIX_MAX 24	/* "smbgate:TAG:" with its NUL */
#define NAMES_KEY_MAX 64

/* An owner is believed for so long, and asserts its claim again three times as often. */
#define NAMES_LEASE_MS 30000
#define NAMES_REFRESH_MS (NAMES_LEASE_MS / 3)
#define NAMES_FACT_MS 60000
#define NAMES_DAY_MS 86400000

/*
 * After the data was lost, or a proxy was away, others need so long to assert again what they hold.
 * A client that is not known in that time is placed as if Redis were not there.
 */
#define NAMES_GRACE_MS 3000

#endif
