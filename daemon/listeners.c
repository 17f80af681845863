/* listeners.c: is a node's address one of smbgate's own listeners? */
#include "config.h"

#include "daemon/listeners.h"

#include "base/addr.h"
#include "base/log.h"
#include "nodes/node.h"
#include "policy/conf.h"
#include "policy/errlist.h"
#include "policy/policy.h"

#include <ifaddrs.h>
#include <sys/socket.h>

/* More than any machine that smbgate was seen on. */
#define ADDRESSES_MAX 4096

static bool
is_own(const struct addr *a, const struct addr *own, size_t n)
{
	/* All of 127.0.0.0/8 is this machine. */
	if (addr_is_loopback(a))
		return true;
	for (size_t i = 0; i < n; i++)
		if (addr_equal(a, &own[i]))
			return true;
	return false;
}

int
listeners_find(const struct conf *conf, const struct addrport *a, const struct addr *own, size_t n)
{
	for (size_t i = 0; i < conf->nlisten; i++) {
		const struct addrport *l = &conf->listen[i].address;

		if (l->port != a->port)
			continue;
		if (addr_equal(&l->addr, &a->addr))
			return (int)i;
		/* "::" takes IPv4 as well, "0.0.0.0" has no IPv6. */
		if (addr_is_unspecified(&l->addr) && is_own(&a->addr, own, n) &&
		    (addr_is_v4(&a->addr) || !addr_is_v4(&l->addr)))
			return (int)i;
	}
	return -1;
}

static size_t
own_addresses(struct addr *dst, size_t max)
{
	struct ifaddrs *all, *i;
	struct addrport a;
	size_t n = 0;

	if (getifaddrs(&all) == -1)
		return 0;
	for (i = all; i != NULL && n < max; i = i->ifa_next)
		if (i->ifa_addr != NULL && (i->ifa_addr->sa_family == AF_INET ||
		    i->ifa_addr->sa_family == AF_INET6) && addrport_from_sa(&a, i->ifa_addr) == 0)
			dst[n++] = a.addr;
	freeifaddrs(all);
	return n;
}

/* Calls found() for each node that is a listener. */
static void
each_loop(const struct conf *conf, const struct policy *p,
    void (*found)(void *arg, const struct pol_node *n, const char *listener), void *arg)
{
	struct addr own[ADDRESSES_MAX];
	size_t n = own_addresses(own, ADDRESSES_MAX);

	for (size_t i = 0; i < p->nnodes; i++) {
		int k = listeners_find(conf, &p->nodes[i].address, own, n);

		if (k != -1)
			found(arg, &p->nodes[i], conf->listen[k].name);
	}
}

struct check {
	const char *path;
	struct errlist *e;
};

static void
add_error(void *arg, const struct pol_node *n, const char *listener)
{
	struct check *c = arg;
	char text[ADDR_STRLEN];

	errlist_add(c->e, c->path, n->line, "node \"%s\": %s is smbgate's own listener \"%s\"",
	    n->name, addrport_str(&n->address, text), listener);
}

void
listeners_check(const struct conf *conf, const struct policy *p, struct errlist *e)
{
	struct check c = { .path = conf->policy, .e = e };

	each_loop(conf, p, add_error, &c);
}

static void
mark_node(void *arg, const struct pol_node *pn, const char *listener)
{
	struct node *n = nodes_find_policy(arg, pn);

	if (n == NULL)
		return;
	if (n->health != NODE_LOOP)
		log_error("node %s is not used: its address is smbgate's own listener \"%s\"",
		    n->name, listener);
	n->health = NODE_LOOP;
	node_unref(&n);
}

void
listeners_mark(const struct conf *conf, const struct policy *p, struct nodes *nodes)
{
	each_loop(conf, p, mark_node, nodes);
}
