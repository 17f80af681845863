/* policy.c: the immutable, refcounted snapshot of policy.conf and its questions */
#include "config.h"

#include "policy/policy.h"

#include "policy/acl.h"

#include <stdlib.h>
#include <string.h>

struct policy *
policy_new(void)
{
	struct policy *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->refs = 1;
	p->smb1 = POL_SMB1_REFUSE;
	p->unkeyed = POL_UNKEYED_PASS;
	p->gmac = POL_GMAC_PASS;
	p->compression = POL_COMPRESSION_REFUSE;
	p->auth.min_dialect = 0x0202;
	p->pin_linger = 15 * 60000;
	p->health = (struct pol_health){
		.interval = 2000,
		.timeout = 2000,
		.rise = 2,
		.fall = 3,
		.slow_start = 30000,
		.flap_changes = 3,
		.flap_window = 60000,
		.flap_hold = 60000,
		.hang = 30000,
	};
	p->limits = (struct pol_limits){
		.first_frame = 5000,
		.negotiate = 10000,
		.logon = 30000,
		.unauthenticated = 16384,
		.unauthenticated_per_source = 12288,
		.accept_rate = 1000,
		.accept_burst = 10000,
	};
	p->tcp = (struct pol_tcp){
		.keepalive_idle = 30000,
		.keepalive_interval = 10000,
		.keepalive_count = 3,
		.client_timeout = 60000,
		.node_timeout = 10000,
		.connect_timeout = 3000,
	};
	p->addresses = calloc(1, sizeof(*p->addresses));
	p->nat = calloc(1, sizeof(*p->nat));
	if (p->addresses == NULL || p->nat == NULL)
		policy_unref(&p);
	return p;
}

struct policy *
policy_ref(struct policy *p)
{
	__atomic_add_fetch(&p->refs, 1, __ATOMIC_RELAXED);
	return p;
}

void
policy_unref(struct policy **pp)
{
	struct policy *p = *pp;

	*pp = NULL;
	if (p == NULL || __atomic_sub_fetch(&p->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	for (size_t i = 0; i < p->ninterfaces; i++)
		free(p->interfaces[i].list);
	free(p->interfaces);
	free(p->nodes);
	if (p->addresses != NULL)
		acl_fini(p->addresses);
	free(p->addresses);
	if (p->nat != NULL)
		acl_fini(p->nat);
	free(p->nat);
	free(p->pool);
	free(p);
}

bool
policy_allows(const struct policy *p, const struct addr *a)
{
	return acl_allows(p->addresses, a);
}

bool
policy_is_nat(const struct policy *p, const struct addr *client)
{
	/* An acl without a rule allows everything. */
	return p->nat->n > 0 && acl_allows(p->nat, client);
}

const struct pol_interfaces *
policy_interfaces(const struct policy *p, const char *listener)
{
	for (size_t i = 0; i < p->ninterfaces; i++)
		if (strcmp(p->interfaces[i].listener, listener) == 0)
			return &p->interfaces[i];
	return NULL;
}

const struct pol_node *
policy_node(const struct policy *p, const char *name)
{
	for (size_t i = 0; i < p->nnodes; i++)
		if (strcmp(p->nodes[i].name, name) == 0)
			return &p->nodes[i];
	return NULL;
}

bool
pol_node_has(const struct pol_node *n, const struct addr *a)
{
	if (addr_equal(&n->address.addr, a))
		return true;
	for (size_t i = 0; i < n->nothers; i++)
		if (addr_equal(&n->others[i], a))
			return true;
	return false;
}

const struct pol_node *
policy_node_at(const struct policy *p, const struct addrport *a)
{
	const struct pol_node *first = NULL;

	for (size_t i = 0; i < p->nnodes; i++) {
		const struct pol_node *n = &p->nodes[i];

		if (!pol_node_has(n, &a->addr))
			continue;
		if (n->address.port == a->port)
			return n;
		if (first == NULL)
			first = n;
	}
	return first;
}

const char *
pol_ifmode_str(enum pol_ifmode m)
{
	static const char *const text[] = { "announce", "filter", "pass" };

	return text[m];
}

const char *
pol_vc_reset_str(enum pol_vc_reset r)
{
	static const char *const text[] = { "off", "address", "identity" };

	return text[r];
}

const char *
pol_source_str(enum pol_source s)
{
	static const char *const text[] = { "own", "transparent", "pool" };

	return text[s];
}

const char *
pol_nodestate_str(enum pol_nodestate s)
{
	static const char *const text[] = { "active", "drain", "maint" };

	return text[s];
}

const char *
pol_dialect_str(uint16_t dialect)
{
	switch (dialect) {
	case 0x0311:
		return "3.1.1";
	case 0x0302:
		return "3.0.2";
	case 0x0300:
		return "3.0";
	case 0x0210:
		return "2.1";
	default:
		return "2.0.2";
	}
}
