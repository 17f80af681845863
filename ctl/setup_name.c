/* setup_name.c: is the set-up right? Where a name leads that clients call the server by */
#include "config.h"

#include "base/addr.h"
#include "base/ownaddr.h"
#include "ctl/found.h"
#include "ctl/setup.h"
#include "ctl/setup_priv.h"
#include "policy/conf.h"
#include "policy/policy.h"

#include <netdb.h>
#include <sys/socket.h>

#define ID "name-leads"
#define SMB_PORT 445

/* Addresses that are not here, but of smbgate's: a load balancer's, or those of other proxies. */
static bool
is_announced(const struct policy *p, const struct addr *a)
{
	for (size_t i = 0; i < p->ninterfaces; i++)
		for (size_t k = 0; k < p->interfaces[i].n; k++)
			if (addr_equal(&p->interfaces[i].list[k].addr, a))
				return true;
	return false;
}

/* Whether it is smbgate's; if not, it is said. */
static bool
check_address(const struct setup *s, const struct ownaddr *own, const char *name,
    const struct addr *a)
{
	const struct addrport at = { .addr = *a, .port = SMB_PORT };
	const struct pol_node *n = policy_node_at(s->policy, &at);
	char text[ADDR_STRLEN];

	if (conf_listener_at(s->conf, &at, own) != -1 || is_announced(s->policy, a))
		return true;
	addr_str(a, text);
	if (n != NULL)
		check_found(s->c, ID, CHECK_WARN, name,
		    "let it lead to smbgate, once that is tried",
		    "it leads to %s, node %s: its clients pass by smbgate", text, n->name);
	else
		check_found(s->c, ID, CHECK_WARN, name,
		    "let it lead to a listener of smbgate's",
		    "it leads to %s, where smbgate neither listens nor is announced", text);
	return false;
}

static void
check_leads(const struct setup *s, const struct ownaddr *own, const char *name)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	unsigned all = 0, good = 0;
	int err = getaddrinfo(name, NULL, &hints, &found);

	if (err != 0)
		check_found(s->c, ID, CHECK_WARN, name,
		    "enter the name in DNS, with smbgate's address",
		    "this machine finds no address of it: %s", gai_strerror(err));
	for (const struct addrinfo *i = found; i != NULL; i = i->ai_next) {
		struct addrport a;

		if (addrport_from_sa(&a, i->ai_addr) == -1)
			continue;
		all++;
		good += check_address(s, own, name, &a.addr);
	}
	if (all > 0 && good == all)
		check_found(s->c, ID, CHECK_OK, name, NULL, "it leads to smbgate");
	if (found != NULL)
		freeaddrinfo(found);
}

void
setup_name(const struct setup *s, const struct ownaddr *own)
{
	for (size_t i = 0; i < s->ask->nnames; i++)
		check_leads(s, own, s->ask->names[i]);
}
