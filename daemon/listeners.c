/* listeners.c: is a node's address one of smbgate's own listeners? */
#include "config.h"

#include "daemon/listeners.h"

#include "base/addr.h"
#include "base/log.h"
#include "base/ownaddr.h"
#include "nodes/node.h"
#include "policy/conf.h"
#include "policy/errlist.h"
#include "policy/policy.h"

/* Calls found() for each node that is a listener. */
static void
each_loop(const struct conf *conf, const struct policy *p,
    void (*found)(void *arg, const struct pol_node *n, const char *listener), void *arg)
{
	struct ownaddr own;

	ownaddr_get(&own);
	for (size_t i = 0; i < p->nnodes; i++) {
		int k = conf_listener_at(conf, &p->nodes[i].address, &own);

		if (k != -1)
			found(arg, &p->nodes[i], conf->listen[k].name);
	}
}

struct check {
	const char *path;		/* of policy.conf */
	const struct policy *p;
	struct errlist *e;
};

static void
add_error(void *arg, const struct pol_node *n, const char *listener)
{
	struct check *c = arg;
	char text[ADDR_STRLEN];

	errlist_add(c->e, policy_file_of(c->p, n, c->path), n->line,
	    "node \"%s\": %s is smbgate's own listener \"%s\"", n->name,
	    addrport_str(&n->address, text), listener);
}

void
listeners_check(const struct conf *conf, const struct policy *p, struct errlist *e)
{
	struct check c = { .path = conf->policy, .p = p, .e = e };

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
