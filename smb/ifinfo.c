/* ifinfo.c: the NETWORK_INTERFACE_INFO list of an interface query */
#include "config.h"

#include "smb/ifinfo.h"

#include "base/rd.h"
#include "base/wr.h"

/* SockAddr_Storage, [MS-SMB2] 2.2.32.5.1: the families are Windows' numbers, not this host's. */
#define FAMILY_V4 0x0002
#define FAMILY_V6 0x0017
#define SOCKADDR_LEN 128

int
ifinfo_get(struct ifinfo *dst, size_t max, size_t *n_r, const uint8_t *p, size_t len)
{
	struct rd r = rd_init(p, len);
	size_t n = 0, start = 0;

	*n_r = 0;
	if (len == 0)
		return 0;
	for (;;) {
		struct ifinfo e;
		uint8_t b[16];
		uint16_t family;
		uint32_t next;

		if (len - start < IFINFO_ENTRY_LEN)
			return -1;
		rd_seek(&r, start);
		next = rd_u32(&r);
		e.ifindex = rd_u32(&r);
		e.capability = rd_u32(&r);
		rd_skip(&r, 4);
		e.link_speed = rd_u64(&r);
		family = rd_u16(&r);
		rd_skip(&r, 2);
		if (family == FAMILY_V4) {
			rd_copy(&r, b, 4);
			e.addr = addr_from_v4(b);
		} else if (family == FAMILY_V6) {
			rd_skip(&r, 4);
			rd_copy(&r, b, 16);
			e.addr = addr_from_v6(b);
		}
		if (family == FAMILY_V4 || family == FAMILY_V6) {
			if (n == max)
				return -1;
			dst[n++] = e;
		}
		if (next == 0)
			break;
		/* Strictly forward by a whole entry at least, so the walk ends with the buffer. */
		if (next < IFINFO_ENTRY_LEN || next % 8 != 0 || next > len - start)
			return -1;
		start += next;
	}
	*n_r = n;
	return 0;
}

void
ifinfo_put(struct wr *w, const struct ifinfo *e, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t sockaddr;

		wr_u32(w, i + 1 < n ? IFINFO_ENTRY_LEN : 0);
		wr_u32(w, e[i].ifindex);
		wr_u32(w, e[i].capability);
		wr_u32(w, 0);
		wr_u64(w, e[i].link_speed);
		sockaddr = wr_len(w);
		if (addr_is_v4(&e[i].addr)) {
			wr_u16(w, FAMILY_V4);
			wr_u16(w, 0);
			wr_bytes(w, e[i].addr.b + 12, 4);
		} else {
			wr_u16(w, FAMILY_V6);
			wr_zero(w, 2 + 4);
			wr_bytes(w, e[i].addr.b, 16);
		}
		wr_pad(w, sockaddr, SOCKADDR_LEN);
	}
}
