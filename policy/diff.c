/* diff.c: what a reload changed, a line for each difference */
#include "config.h"

#include "policy/diff.h"

#include "policy/acl.h"
#include "policy/policy.h"
#include "policy/units.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MAX 256

struct diff {
	void (*emit)(void *arg, const char *line);
	void *arg;
	unsigned n;
};

static void __attribute__((format(printf, 2, 3)))
diff_line(struct diff *d, const char *fmt, ...)
{
	char line[TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	d->n++;
	d->emit(d->arg, line);
}

/* Each field of a section that differs. head: "node n1: "; colon: what follows its name. */
static void
diff_fields(struct diff *d, const char *head, const char *colon, const char *section,
    const void *a, const void *b)
{
	char x[SETTING_STRLEN], y[SETTING_STRLEN];

	for (const struct setting *s = policy_settings; (s = setting_next(s, section)) != NULL;
	     s++) {
		uint64_t old = setting_get(s, a), new = setting_get(s, b);

		if (old != new)
			diff_line(d, "%s%s%s %s -> %s", head, s->name, colon,
			    setting_str(s, old, x), setting_str(s, new, y));
	}
}

static bool
has_rule(const struct acl *a, const struct acl_rule *r)
{
	for (size_t i = 0; i < a->n; i++)
		if (a->rules[i].deny == r->deny && prefix_equal(&a->rules[i].prefix, &r->prefix))
			return true;
	return false;
}

static void
diff_rules(struct diff *d, const char *allow, const char *deny, const struct acl *a,
    const struct acl *b, const char *what)
{
	char text[ADDR_STRLEN];

	for (size_t i = 0; i < a->n; i++)
		if (!has_rule(b, &a->rules[i]))
			diff_line(d, "%s %s %s", a->rules[i].deny ? deny : allow,
			    prefix_str(&a->rules[i].prefix, text), what);
}

static void
diff_acl(struct diff *d, const char *allow, const char *deny, const struct acl *a,
    const struct acl *b)
{
	diff_rules(d, allow, deny, a, b, "removed");
	diff_rules(d, allow, deny, b, a, "added");
}

static bool
has_addr(const struct addr *list, size_t n, const struct addr *a)
{
	for (size_t i = 0; i < n; i++)
		if (addr_equal(&list[i], a))
			return true;
	return false;
}

static void
diff_addrs(struct diff *d, const char *head, const struct addr *a, size_t na, const struct addr *b,
    size_t nb)
{
	char text[ADDR_STRLEN];

	for (size_t i = 0; i < na; i++)
		if (!has_addr(b, nb, &a[i]))
			diff_line(d, "%s %s removed", head, addr_str(&a[i], text));
	for (size_t i = 0; i < nb; i++)
		if (!has_addr(a, na, &b[i]))
			diff_line(d, "%s %s added", head, addr_str(&b[i], text));
}

static void
diff_node(struct diff *d, const struct pol_node *o, const struct pol_node *n)
{
	char x[ADDR_STRLEN], y[ADDR_STRLEN], head[POL_NAME_MAX + 32];

	addrport_str(&n->address, y);
	if (o == NULL) {
		diff_line(d, "node %s added (%s, weight %u)", n->name, y, n->weight);
		return;
	}
	addrport_str(&o->address, x);
	if (strcmp(x, y) != 0)
		diff_line(d, "node %s: address %s -> %s", n->name, x, y);
	snprintf(head, sizeof(head), "node %s: ", n->name);
	diff_fields(d, head, "", "node", o, n);
	if (strcmp(o->cluster, n->cluster) != 0)
		diff_line(d, "node %s: cluster \"%s\" -> \"%s\"", n->name, o->cluster, n->cluster);
	snprintf(x, sizeof(x), "none");
	snprintf(y, sizeof(y), "none");
	if (o->agent.port != 0)
		addrport_str(&o->agent, x);
	if (n->agent.port != 0)
		addrport_str(&n->agent, y);
	if (strcmp(x, y) != 0)
		diff_line(d, "node %s: agent %s -> %s", n->name, x, y);
	snprintf(head, sizeof(head), "node %s: other address", n->name);
	diff_addrs(d, head, o->others, o->nothers, n->others, n->nothers);
}

static void
diff_nodes(struct diff *d, const struct policy *a, const struct policy *b)
{
	for (size_t i = 0; i < a->nnodes; i++)
		if (policy_node(b, a->nodes[i].name) == NULL)
			diff_line(d, "node %s removed: it drains", a->nodes[i].name);
	for (size_t i = 0; i < b->nnodes; i++)
		diff_node(d, policy_node(a, b->nodes[i].name), &b->nodes[i]);
}

static const struct pol_iface *
find_iface(const struct pol_interfaces *ifs, const struct addr *a)
{
	for (size_t i = 0; i < ifs->n; i++)
		if (addr_equal(&ifs->list[i].addr, a))
			return &ifs->list[i];
	return NULL;
}

static void
diff_iface(struct diff *d, const char *listener, const struct pol_iface *o,
    const struct pol_iface *n)
{
	char text[ADDR_STRLEN], speed[UNITS_STRLEN], head[POL_NAME_MAX + ADDR_STRLEN + 32];

	addr_str(&n->addr, text);
	if (o == NULL) {
		diff_line(d, "interfaces %s: address %s added (%s%s, ifindex %" PRIu32 ")",
		    listener, text, units_speed_str(n->speed, speed), n->rss ? ", rss" : "",
		    n->ifindex);
		return;
	}
	snprintf(head, sizeof(head), "interfaces %s: address %s: ", listener, text);
	diff_fields(d, head, "", "address", o, n);
}

static void
diff_iface_lists(struct diff *d, const struct pol_interfaces *a, const struct pol_interfaces *b)
{
	char text[ADDR_STRLEN], head[POL_NAME_MAX + 32];
	unsigned before = d->n;

	snprintf(head, sizeof(head), "interfaces %s: ", b->listener);
	diff_fields(d, head, "", "interfaces", a, b);
	for (size_t i = 0; i < a->n; i++)
		if (find_iface(b, &a->list[i].addr) == NULL)
			diff_line(d, "interfaces %s: address %s removed", b->listener,
			    addr_str(&a->list[i].addr, text));
	for (size_t i = 0; i < b->n; i++)
		diff_iface(d, b->listener, find_iface(a, &b->list[i].addr), &b->list[i]);
	/* Clients prefer what they are told first. */
	for (size_t i = 0; d->n == before && i < b->n; i++)
		if (!addr_equal(&a->list[i].addr, &b->list[i].addr))
			diff_line(d, "interfaces %s: the order of addresses changed", b->listener);
}

static void
diff_interfaces(struct diff *d, const struct policy *a, const struct policy *b)
{
	for (size_t i = 0; i < a->ninterfaces; i++)
		if (policy_interfaces(b, a->interfaces[i].listener) == NULL)
			diff_line(d, "interfaces %s removed", a->interfaces[i].listener);
	for (size_t i = 0; i < b->ninterfaces; i++) {
		const struct pol_interfaces *old = policy_interfaces(a, b->interfaces[i].listener);

		if (old == NULL)
			diff_line(d, "interfaces %s added (%s)", b->interfaces[i].listener,
			    pol_ifmode_str(b->interfaces[i].mode));
		else
			diff_iface_lists(d, old, &b->interfaces[i]);
	}
}

/* Each listener that one of them has a section for, as it was and as it is. */
static void
diff_listeners(struct diff *d, const struct policy *a, const struct policy *b)
{
	char head[POL_NAME_MAX + 32];

	for (size_t i = 0; i < a->nlisteners + b->nlisteners; i++) {
		const char *name = i < b->nlisteners ? b->listeners[i].name
		                                     : a->listeners[i - b->nlisteners].name;

		/* Told already, with those of b. */
		if (i >= b->nlisteners && policy_listener(b, name) != &b->common)
			continue;
		snprintf(head, sizeof(head), "listener %s: ", name);
		diff_fields(d, head, "", "listener", policy_listener(a, name),
		    policy_listener(b, name));
	}
}

unsigned
policy_diff(const struct policy *old, const struct policy *new,
    void (*emit)(void *arg, const char *line), void *arg)
{
	struct diff d = { .emit = emit, .arg = arg };

	diff_nodes(&d, old, new);
	diff_acl(&d, "addresses: allow", "addresses: deny", old->addresses, new->addresses);
	diff_acl(&d, "nat:", "", old->nat, new->nat);
	diff_addrs(&d, "source-pool:", old->pool, old->npool, new->pool, new->npool);
	diff_interfaces(&d, old, new);
	diff_listeners(&d, old, new);
	for (const char *const *section = policy_sections; *section != NULL; section++) {
		char head[32] = "";

		if (strcmp(*section, "root") != 0)
			snprintf(head, sizeof(head), "%s ", *section);
		diff_fields(&d, head, ":", *section, old, new);
	}
	return d.n;
}
