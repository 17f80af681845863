/* names.h: every key in Redis, what its value is, and how long it lives */
#ifndef STATE_NAMES_H
#define STATE_NAMES_H

#include <stdint.h>

/*
 * All names begin with "smbgate:{map}:TAG:", but for one. TAG, 8 hex digits, is derived from the
 * cluster secret, so that clusters may share one Redis and an ACL user may be limited to ~smbgate:*
 * and &smbgate:*; in a Redis Cluster the braces put all names into one slot.
 * No name and no value tells who a client is: ID and SID are keyed hashes (HMAC-SHA256, cut to 16
 * bytes, as 32 hex digits). Times are milliseconds of Redis' own clock.
 *
 *	c:ID	hash, a claim. ID is made of the client's ClientGuid or address and, where that has
 *		a name, or is one node by itself, of the cluster that the client has to do with.
 *		n		RECORD: which node, and since when
 *		oTOKEN		an owner: a process on which the client is live (16 hex), and the
 *				GEN under which that was said. It counts as long as the lease of
 *				the process does, and is renewed by nobody.
 *		s		a logon was made: so long the claim lingers after its owners
 *		l		until when it lingers, as one that has ended said
 *		f		there is f:ID
 *		lives NAMES_CLAIM_MS and the linger time, and is said again within a third of that.
 *	p	hash, the leases: TOKEN -> "UNTIL GEN FLOOR SINCE SAID". Renewed every second for
 *		NAMES_LEASE_MS. GEN counts the process' connections to Redis: what comes late from
 *		an earlier one does nothing. What was said under less than FLOOR does not count,
 *		SINCE then. SAID: the epoch of the data that has all that this process holds.
 *	x	hash, the exceptions: ID -> RECORD of the claims whose node is not the one that
 *		every proxy would choose by itself. All proxies keep them in memory, for the time
 *		without Redis. Lives NAMES_DAY_MS after the last change; entries without a claim
 *		are swept.
 *	f:ID	hash, the sessions of the client that has claim c:ID: SID -> the node's identity, a
 *		zero, and SEALED, the session's facts and keys. SID is made of the SessionId. Lives
 *		as the claim, and no longer than somebody is on that. At most NAMES_FACTS_MAX: then
 *		all go, with those that nobody has dropped.
 *	d	hash, the drain orders of operators: node identity -> ORDER. Lives NAMES_DAY_MS,
 *		renewed.
 *	w	hash, who is left on drained nodes: TOKEN -> "AGE ORDER:CONNECTIONS:CLIENTS:CUT
 *		...", of each order in d that this proxy has carried out. ORDER is a keyed hash, 16
 *		hex digits, of the node's identity and of when the order was given; AGE is that of
 *		the numbers, in ms. Written with the lease, and of no worth without one. A proxy
 *		without a line is of an older version. Lives NAMES_DAY_MS, renewed.
 *	e	string, the epoch: when this data began, with a space behind it once all proxies
 *		have said what they hold: until then the data is young. When it is gone, or nobody
 *		had a lease, it begins anew, and the proxies say all again. Lives NAMES_DAY_MS,
 *		renewed.
 *	t	is written and removed, and a channel of that name published to, to see whether
 *		that works
 *	news	channel: "x" ID RECORD (an exception; no RECORD: it has ended), "d" (d has changed),
 *		"v" TOKEN KEY RESET (the client whose connections have that key has lost all),
 *		"o" TOKEN SEALED (a session is over, which is in what is sealed; bound to "over")
 *
 *	smbgate:{map}:peers	hash, whoever is there, of any cluster: TOKEN -> "UNTIL VERSION TAG
 *		NODES NAME". NODES is a hash over the nodes and their weights, not keyed: who has
 *		other nodes, or another secret for the same nodes, is seen by all.
 *
 *	RECORD	VERSION, 15 digits (when the claim was made: in young data the older one wins a
 *		conflict), the node's identity, 16 bytes of HMAC over all that and the ID
 *	ORDER	VERSION, 15 digits (when it was given), "active", or "drain" or "maint" with their
 *		terms (daemon/stand.h), 16 bytes of HMAC over all that and the node's identity
 *	KEY	16 hex digits: a keyed hash of the client's address, its cluster and, if that
 *		counts, its name
 *	RESET	as RECORD: when the connection began that says so, "lost", HMAC with TOKEN KEY
 *	SEALED	24 bytes of salt, ciphertext and 16 bytes of tag: AES-256-GCM under a key of that
 *		salt's, with the node's identity and the SessionId as associated data
 */
#define NAMES_PEERS "smbgate:{map}:peers"
#define NAMES_TAG_LEN 8
#define NAMES_ID_LEN 16		/* bytes; twice as many digits */
#define NAMES_ID_HEX 32
#define NAMES_TOKEN_LEN 16
#define NAMES_PREFIX_MAX 24	/* "smbgate:{map}:TAG:", with its NUL */
#define NAMES_KEY_MAX 64
/* What is longer is nobody's record. */
#define NAMES_RECORD_MAX 160
/* So much of what a proxy still has on drained nodes is told: a hundred and more of them. */
#define NAMES_RESTS_MAX 8192

/* A process is believed for so long after it has renewed its lease, which it does every second. */
#define NAMES_LEASE_MS 5000
#define NAMES_CLAIM_MS 1800000
#define NAMES_FACTS_MAX 1024
#define NAMES_DAY_MS 86400000

/*
 * After the data was lost, or nobody was there, the others need so long to come back. A client that
 * is not known before all of them have said what they hold is placed as if Redis were not there; no
 * proxy is waited for for longer than NAMES_RIPE_MS.
 */
#define NAMES_GRACE_MS 3000
#define NAMES_RIPE_MS 60000

#endif
