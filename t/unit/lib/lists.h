/* lists.h: an interface list in memory of its own, for tests */
#ifndef T_UNIT_LIB_LISTS_H
#define T_UNIT_LIB_LISTS_H

#include "base/wr.h"
#include "smb/ifinfo.h"

#include <stddef.h>
#include <stdint.h>

/* The bytes used, or 0 where cap is too small. */
static inline size_t
list_put(uint8_t *dst, size_t cap, const struct ifinfo *e, size_t n)
{
	struct wr w = wr_init(dst, cap);

	ifinfo_put(&w, e, n);
	return wr_ok(&w) ? wr_len(&w) : 0;
}

#endif
