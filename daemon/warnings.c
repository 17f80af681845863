/* warnings.c: what both files may say, and hardly mean */
#include "config.h"

#include "daemon/warnings.h"

#include "base/ownaddr.h"
#include "daemon/clusters.h"
#include "policy/conf.h"
#include "policy/errlist.h"
#include "policy/policy.h"

#include <stdbool.h>
#include <string.h>

#define LACKS_BRACKETS                                                                             \
	"an IPv6 address with a port needs brackets, as in [fd00::1]:445; this is one without a "  \
	"port"

static void
warn_address(const struct conf *conf, const struct policy *p, const struct pol_interfaces *ifs,
    const struct pol_iface *i, const struct ownaddr *own, struct errlist *w)
{
	const struct addr *a = &i->addr;
	char text[ADDR_STRLEN];

	addr_str(a, text);
	if (addr_is_linklocal(a) || addr_is_unspecified(a))
		errlist_add(w, conf->policy, i->line,
		    "interfaces \"%s\": %s is never announced: it is %s", ifs->listener, text,
		    addr_is_linklocal(a) ? "link-local" : "unspecified");
	else if (!policy_allows(p, a))
		errlist_add(w, conf->policy, i->line,
		    "interfaces \"%s\": %s is never announced: the section addresses forbids it",
		    ifs->listener, text);
	else if (!i->elsewhere && !ownaddr_has(own, a))
		errlist_add(w, conf->policy, i->line,
		    "interfaces \"%s\": %s is on no interface of this machine. If another proxy "
		    "has it, say elsewhere = true",
		    ifs->listener, text);
}

static void
warn_interfaces(const struct conf *conf, const struct policy *p, const struct pol_interfaces *ifs,
    const struct ownaddr *own, struct errlist *w)
{
	if (ifs->n > 0 && ifs->mode != POL_IF_ANNOUNCE) {
		errlist_add(w, conf->policy, ifs->line,
		    "interfaces \"%s\": the addresses have no effect with mode = %s",
		    ifs->listener, pol_ifmode_str(ifs->mode));
		return;
	}
	for (size_t i = 0; i < ifs->n; i++)
		warn_address(conf, p, ifs, &ifs->list[i], own, w);
}

/* section: of policy.conf, about that listener. */
static void
warn_unknown(const struct conf *conf, const char *section, const char *listener, int line,
    struct errlist *w)
{
	bool known = false;

	for (size_t k = 0; k < conf->nlisten; k++)
		known |= strcmp(conf->listen[k].name, listener) == 0;
	if (!known)
		errlist_add(w, conf->policy, line, "%s \"%s\": there is no listener of that name",
		    section, listener);
}

static void
warn_pool(const struct conf *conf, const struct policy *p, const struct ownaddr *own,
    struct errlist *w)
{
	char text[ADDR_STRLEN];

	for (size_t i = 0; i < p->npool; i++)
		if (!ownaddr_has(own, &p->pool[i]))
			errlist_add(w, conf->policy, p->pool_lines[i],
			    "source-pool: %s is on no interface of this machine: no connection "
			    "can come from it",
			    addr_str(&p->pool[i], text));
}

static void
warn_nodes(const struct conf *conf, const struct policy *p, struct errlist *w)
{
	for (size_t i = 0; i < p->nnodes; i++) {
		const struct pol_node *n = &p->nodes[i];
		const char *file = policy_file_of(p, n, conf->policy);

		if (n->public)
			errlist_add(w, file, n->line,
			    "node \"%s\": its address is in a deny-file. CTDB moves public "
			    "addresses from node to node: give it one that stays",
			    n->name);
		if (n->lacks_brackets)
			errlist_add(w, file, n->line, "node \"%s\": " LACKS_BRACKETS, n->name);
	}
}

void
warnings_find(const struct conf *conf, const struct policy *p, struct errlist *w)
{
	struct ownaddr own;

	ownaddr_get(&own);
	for (size_t i = 0; i < p->ninterfaces; i++) {
		warn_unknown(conf, "interfaces", p->interfaces[i].listener, p->interfaces[i].line,
		    w);
		warn_interfaces(conf, p, &p->interfaces[i], &own, w);
	}
	for (size_t i = 0; i < p->nlisteners; i++)
		warn_unknown(conf, "listener", p->listeners[i].name, p->listeners[i].line, w);
	warn_nodes(conf, p, w);
	for (size_t i = 0; i < conf->nlisten; i++)
		if (conf->listen[i].lacks_brackets)
			errlist_add(w, conf->path, conf->listen[i].line,
			    "listen \"%s\": " LACKS_BRACKETS, conf->listen[i].name);
	warn_pool(conf, p, &own, w);
	clusters_warn(conf, p, w);
}
