/* setup_bypass.c: is the set-up right? Do nodes tell clients a way past smbgate? */
#include "config.h"

#include "base/addr.h"
#include "ctl/anonymous.h"
#include "ctl/found.h"
#include "ctl/negotiate.h"
#include "ctl/setup_priv.h"
#include "ctl/talk.h"
#include "policy/policy.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define ID "bypass"
#define STACK (256 * 1024)

static const struct negotiate_offer offer = { .dialect = 0x0302 };

/* What one node tells of itself. */
struct told {
	const struct pol_node *node;
	pthread_t thread;
	bool started, good;
	struct anonymous_list l;
	char why[ANONYMOUS_WHY];
	size_t open;			/* of them, where somebody answers */
};

static void *
told_main(void *arg)
{
	struct told *t = arg;

	t->good = anonymous_interfaces(&t->l, &t->node->address, t->why) == 0;
	return NULL;
}

/* All at once: one that hangs keeps nobody waiting. */
static void
ask_each(struct told *t, size_t n)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	for (size_t i = 0; i < n; i++) {
		t[i].started = pthread_create(&t[i].thread, &attr, told_main, &t[i]) == 0;
		if (!t[i].started)
			told_main(&t[i]);
	}
	for (size_t i = 0; i < n; i++)
		if (t[i].started)
			pthread_join(t[i].thread, NULL);
	pthread_attr_destroy(&attr);
}

static bool
is_any_nodes(const struct policy *p, const struct addr *a)
{
	for (size_t i = 0; i < p->nnodes; i++)
		if (pol_node_has(&p->nodes[i], a))
			return true;
	return false;
}

/* Its addresses beside those that smbgate dials. How many. */
static size_t
put_ways(const struct setup *s, struct told *t, struct talk *ways, struct told **of)
{
	size_t n = 0;

	for (size_t i = 0; t->good && i < t->l.n; i++) {
		if (is_any_nodes(s->policy, &t->l.addr[i]) || addr_is_linklocal(&t->l.addr[i]))
			continue;
		ways[n].to = (struct addrport){ .addr = t->l.addr[i],
			.port = t->node->address.port };
		ways[n].nout = negotiate_put(ways[n].out, &offer, (const uint8_t[48]){ 1 });
		of[n++] = t;
	}
	return n;
}

static void
say_told(const struct setup *s, const struct told *t)
{
	if (!t->good)
		check_found(s->c, ID, CHECK_SKIP, t->node->name,
		    "look at the addresses that the node announces, and at who can reach them",
		    "its list of addresses is not for the anonymous: %s", t->why);
	else if (t->open == 0)
		check_found(s->c, ID, CHECK_OK, t->node->name, NULL,
		    "it tells %zu addresses: at none that smbgate does not dial somebody answers",
		    t->l.n);
}

/* Does somebody answer there? */
static void
try_ways(const struct setup *s, struct told *all, size_t n)
{
	struct talk *ways;
	struct told **of;
	size_t room = 1, k = 0;
	char text[ADDR_STRLEN];

	for (size_t i = 0; i < n; i++)
		room += all[i].l.n;
	ways = calloc(room, sizeof(*ways));
	of = calloc(room, sizeof(struct told *));
	for (size_t i = 0; ways != NULL && of != NULL && i < n; i++)
		k += put_ways(s, &all[i], ways + k, of + k);
	if (k > 0)
		talk_all(ways, k);
	for (size_t i = 0; i < k; i++) {
		if (ways[i].err != 0)
			continue;
		of[i]->open++;
		check_found(s->c, ID, CHECK_FAIL, of[i]->node->name,
		    "let the node announce it no more (interfaces in smb.conf), or keep clients "
		    "from it by a firewall",
		    "it tells clients %s, where somebody answers past smbgate",
		    addr_str(&ways[i].to.addr, text));
	}
	free(ways);
	free(of);
}

void
setup_bypass(const struct setup *s, const struct pol_node *const *nodes, size_t n)
{
	struct told *all = calloc(n + 1, sizeof(*all));

	if (all == NULL)
		return;
	for (size_t i = 0; i < n; i++)
		all[i].node = nodes[i];
	ask_each(all, n);
	try_ways(s, all, n);
	for (size_t i = 0; i < n; i++)
		say_told(s, &all[i]);
	free(all);
}
