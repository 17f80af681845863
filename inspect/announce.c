/* announce.c: which interface list a client is told */
#include "config.h"

#include "inspect/announce.h"

#include "base/addr.h"
#include "inspect/query_seen.h"
#include "policy/policy.h"
#include "smb/ifinfo.h"

/* What is said of an address of which nobody gave us the speed: the least that is common. */
#define DEFAULT_SPEED 1000000000ull

static struct ifinfo
from_policy(const struct pol_iface *i)
{
	/* RDMA is never announced for our own addresses: we speak TCP. */
	return (struct ifinfo){
		.ifindex = i->ifindex,
		.capability = i->rss ? IFINFO_RSS_CAPABLE : 0,
		.link_speed = i->speed,
		.addr = i->addr,
	};
}

static struct ifinfo
from_address(const struct addr *a)
{
	return (struct ifinfo){ .ifindex = 1, .link_speed = DEFAULT_SPEED, .addr = *a };
}

enum pol_ifmode
announce_mode(const struct policy *p, const char *listener, bool intercept)
{
	const struct pol_interfaces *sec = policy_interfaces(p, listener);

	if (sec != NULL)
		return sec->mode;
	return intercept ? POL_IF_FILTER : POL_IF_ANNOUNCE;
}

/* The dialled address with what is known of it. */
static struct ifinfo
dialled_alone(const struct pol_interfaces *sec, enum pol_ifmode mode, const struct addr *dialled,
    const struct ifinfo *list, size_t n)
{
	for (size_t i = 0; sec != NULL && i < sec->n; i++)
		if (addr_equal(&sec->list[i].addr, dialled))
			return from_policy(&sec->list[i]);
	for (size_t i = 0; mode == POL_IF_FILTER && i < n; i++)
		if (addr_equal(&list[i].addr, dialled))
			return list[i];
	return from_address(dialled);
}

static bool
may_announce(const struct policy *p, const struct addr *a)
{
	return policy_allows(p, a) && !addr_is_linklocal(a) && !addr_is_unspecified(a);
}

size_t
announce(const struct policy *p, const char *listener, enum pol_ifmode mode,
    const struct addr *dialled, const struct ifinfo *list, size_t n, struct ifinfo *out, size_t max)
{
	const struct pol_interfaces *sec = policy_interfaces(p, listener);
	bool own = mode == POL_IF_ANNOUNCE;
	struct ifinfo e;
	size_t k = 0, total;

	if (max == 0)
		return 0;
	if (!policy_allows(p, dialled)) {
		if (addr_is_linklocal(dialled) || addr_is_unspecified(dialled))
			return 0;
		out[0] = dialled_alone(sec, mode, dialled, list, n);
		return 1;
	}
	if (own && (sec == NULL || sec->n == 0)) {
		if (!may_announce(p, dialled))
			return 0;
		out[0] = from_address(dialled);
		return 1;
	}
	total = own ? sec->n : n;
	for (size_t i = 0; i < total && k < max; i++) {
		e = own ? from_policy(&sec->list[i]) : list[i];
		if (may_announce(p, &e.addr))
			out[k++] = e;
	}
	return k;
}

static bool
is_in(const struct ifinfo *list, size_t n, const struct addr *a)
{
	for (size_t i = 0; i < n; i++)
		if (addr_equal(&list[i].addr, a))
			return true;
	return false;
}

size_t
announce_removed(const struct policy *p, const char *listener, bool intercept,
    const struct query_lists *l, struct ifinfo *out, size_t max)
{
	const struct pol_interfaces *sec = policy_interfaces(p, listener);
	const size_t own = sec != NULL && announce_mode(p, listener, intercept) == POL_IF_ANNOUNCE
	    ? sec->n : 0;
	size_t k = 0;

	for (size_t i = 0; i < own + l->nnode && k < max; i++) {
		const struct ifinfo e = i < own ? from_policy(&sec->list[i]) : l->node[i - own];

		if (!is_in(l->told, l->ntold, &e.addr) && !is_in(out, k, &e.addr))
			out[k++] = e;
	}
	return k;
}
