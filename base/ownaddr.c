/* ownaddr.c: the addresses of this machine */
#include "config.h"

#include "base/ownaddr.h"

#include <ifaddrs.h>
#include <sys/socket.h>

void
ownaddr_get(struct ownaddr *o)
{
	struct ifaddrs *all, *i;
	struct addrport a;

	o->n = 0;
	if (getifaddrs(&all) == -1)
		return;
	for (i = all; i != NULL && o->n < OWNADDR_MAX; i = i->ifa_next)
		if (i->ifa_addr != NULL && (i->ifa_addr->sa_family == AF_INET ||
		    i->ifa_addr->sa_family == AF_INET6) && addrport_from_sa(&a, i->ifa_addr) == 0)
			o->list[o->n++] = a.addr;
	freeifaddrs(all);
}

bool
ownaddr_has(const struct ownaddr *o, const struct addr *a)
{
	if (addr_is_loopback(a))
		return true;
	for (size_t i = 0; i < o->n; i++)
		if (addr_equal(a, &o->list[i]))
			return true;
	return false;
}
