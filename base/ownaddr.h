/* ownaddr.h: the addresses of this machine */
#ifndef BASE_OWNADDR_H
#define BASE_OWNADDR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"

/* More than any machine that smbgate was seen on. */
#define OWNADDR_MAX 4096

struct ownaddr {
	struct addr list[OWNADDR_MAX];
	size_t n;
};

/* As they are now. */
void ownaddr_get(struct ownaddr *o);
/* Is it one of them? All of 127.0.0.0/8 is. */
bool ownaddr_has(const struct ownaddr *o, const struct addr *a);

#endif
