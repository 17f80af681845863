/* source.c: whose address a node sees: smbgate's own, the client's, or one of a pool */
#include "config.h"

#include "nodes/source.h"

#include "auth/keyhash.h"
#include "base/addr.h"

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Can packets with that source come back from there? */
static bool
fits(const struct addr *from, const struct addr *node)
{
	if (addr_is_v4(from) != addr_is_v4(node))
		return false;
	/* Such an address means something on one link, or on this machine, alone. */
	if (addr_is_linklocal(from))
		return false;
	return !addr_is_loopback(from) || addr_is_loopback(node);
}

/*
 * Rendezvous hashing: the highest draw of those that fit; of those below that of *after, if it is
 * not NULL. The node counts: an address that is busy toward one, with many clients behind one NAT,
 * is not toward the others.
 */
static bool
source_draw(const struct policy *p, struct keyhash *hash, const struct addr *client,
    const struct addr *node, const struct addr *after, struct addr *from)
{
	uint8_t pair[sizeof(client->b) + sizeof(node->b)];
	const struct addr *found = NULL;
	uint64_t best = 0, below = UINT64_MAX;

	memcpy(pair, client->b, sizeof(client->b));
	memcpy(pair + sizeof(client->b), node->b, sizeof(node->b));
	if (after != NULL)
		below = keyhash(hash, pair, sizeof(pair), after->b, sizeof(after->b));
	for (size_t i = 0; i < p->npool; i++) {
		const struct addr *a = &p->pool[i];
		uint64_t h;

		if (!fits(a, node))
			continue;
		h = keyhash(hash, pair, sizeof(pair), a->b, sizeof(a->b));
		if ((found == NULL || h > best) && (after == NULL || h < below)) {
			best = h;
			found = a;
		}
	}
	if (found != NULL)
		*from = *found;
	return found != NULL;
}

bool
source_next(const struct policy *p, struct keyhash *hash, const struct addr *client,
    const struct addr *node, struct addr *from)
{
	const struct addr after = *from;

	return source_draw(p, hash, client, node, &after, from);
}

enum source
source_choose(const struct policy *p, enum pol_source how, struct keyhash *hash,
    const struct addr *client, const struct addr *node, struct addr *from)
{
	switch (how) {
	case POL_SOURCE_TRANSPARENT:
		if (!fits(client, node))
			return SOURCE_MISFIT;
		*from = *client;
		return SOURCE_CLIENT;
	case POL_SOURCE_POOL:
		return source_draw(p, hash, client, node, NULL, from) ? SOURCE_POOL : SOURCE_MISFIT;
	default:
		return SOURCE_OWN;
	}
}

size_t
source_addresses(const struct policy *p, const struct addr *node)
{
	size_t n = policy_source(p, POL_SOURCE_OWN) != NULL;

	if (policy_source(p, POL_SOURCE_TRANSPARENT) != NULL)
		return 0;
	for (size_t i = 0; policy_source(p, POL_SOURCE_POOL) != NULL && i < p->npool; i++)
		if (fits(&p->pool[i], node))
			n++;
	return n > 0 ? n : 1;
}

int
source_transparent(int fd, int family)
{
	int on = 1;

	if (family == AF_INET6)
		return setsockopt(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, &on, sizeof(on));
	return setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof(on));
}

int
source_bind(int fd, enum source s, const struct addr *from)
{
	const struct addrport a = { .addr = *from };
	struct sockaddr_storage ss;
	socklen_t len = addrport_to_sa(&a, &ss);
	int on = 1;

	if (s == SOURCE_CLIENT && source_transparent(fd, ss.ss_family) == -1)
		return -1;
	/*
	 * The port is chosen by connect(), which knows the peer: bind() would give each local port
	 * of an address to one connection only. IPv6 has no option of its own for it.
	 */
	if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) == -1)
		return -1;
	return bind(fd, (struct sockaddr *)&ss, len);
}
