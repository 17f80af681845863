/* ifinfo.h: the NETWORK_INTERFACE_INFO list of an interface query */
#ifndef SMB_IFINFO_H
#define SMB_IFINFO_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

struct wr;

/* NETWORK_INTERFACE_INFO Response, [MS-SMB2] 2.2.32.5: 152 bytes an entry. */
#define IFINFO_ENTRY_LEN 152
/* As many as fit into the longest message that is held, which has little more than 64 KiB. */
#define IFINFO_MAX 437

#define IFINFO_RSS_CAPABLE 0x00000001u
#define IFINFO_RDMA_CAPABLE 0x00000002u

struct ifinfo {
	uint32_t ifindex;
	uint32_t capability;
	uint64_t link_speed;	/* bits per second */
	struct addr addr;
};

/*
 * Reads a list (possibly empty: len 0) of at most max entries into dst and stores their number.
 * Entries of an address family other than IPv4 and IPv6 are left out; trailing bytes behind the
 * last entry are allowed. -1 when Next leaves the buffer, overlaps, is unaligned or does not end.
 */
int ifinfo_get(struct ifinfo *dst, size_t max, size_t *n_r, const uint8_t *p, size_t len)
    __attribute__((warn_unused_result));

/* Appends n entries of IFINFO_ENTRY_LEN bytes. */
void ifinfo_put(struct wr *w, const struct ifinfo *e, size_t n);

#endif
