/* ppheader.h: pure: the PROXY protocol header, version 1 and 2, of a proxy in front of smbgate */
#ifndef PROXY_PPHEADER_H
#define PROXY_PPHEADER_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

/*
 * The longest header that is taken. Version 1 has at most 107 bytes; version 2 could say 64 KiB, of
 * which addresses are 36, and what proxies add (names, certificates' subjects) is some hundred.
 */
#define PPHEADER_MAX 4096

enum ppheader_kind {
	PPHEADER_MORE,		/* n bytes are needed to say more: more than there were */
	PPHEADER_BAD,
	PPHEADER_LOCAL,		/* good, n bytes long; of the connection's own addresses */
	PPHEADER_PROXIED,	/* good, n bytes long, and names a client */
};

struct ppheader {
	enum ppheader_kind kind;
	size_t n;
	struct addrport client;		/* who dialled, and what, as the proxy saw it */
	struct addrport local;
};

/*
 * The header at the begin of p, of which avail bytes are there; more may follow it. Bad is all that
 * the specification does not know, and that a TCP connection between two addresses cannot be: Unix
 * sockets, UDP, TLVs that do not fit, and a checksum that is wrong (PP2_TYPE_CRC32C).
 */
struct ppheader ppheader_get(const uint8_t *p, size_t avail);

#endif
