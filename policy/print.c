/* print.c: the effective policy as text in the syntax of policy.conf, and what a reload changed */
#include "config.h"

#include "policy/print.h"

#include "policy/acl.h"
#include "policy/conffile.h"
#include "policy/policy.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 256

/* The scalars in one table, so that what is printed and what is compared is the same. */
struct scalar {
	const char *section, *name;
	unsigned value;
	bool is_time;
	const char *word;
};

#define SCALARS_MAX 40

static size_t
scalars(const struct policy *p, struct scalar *s)
{
	static const char *const auth[] = { "allow", "refuse" };
	static const char *const gmac[] = { "pass", "refuse", "resign" };
	const struct scalar all[] = {
		{ NULL, "smb1", p->smb1, false, p->smb1 == POL_SMB1_ALLOW ? "allow" : "refuse" },
		{ NULL, "unkeyed", p->unkeyed, false,
		    p->unkeyed == POL_UNKEYED_REFUSE ? "refuse" : "pass" },
		{ NULL, "gmac", p->gmac, false, gmac[p->gmac] },
		{ NULL, "compression", p->compression, false,
		    p->compression == POL_COMPRESSION_PASS ? "pass" : "refuse" },
		{ NULL, "vcnumber", p->vcnumber, false,
		    p->vcnumber == POL_VCNUMBER_PASS ? "pass" : "renumber" },
		{ NULL, "vc-reset", p->vc_reset, false, pol_vc_reset_str(p->vc_reset) },
		{ NULL, "source", p->source, false, pol_source_str(p->source) },
		{ NULL, "rebalance", p->rebalance, false, p->rebalance ? "true" : "false" },
		{ NULL, "pin-linger", p->pin_linger, true, NULL },
		{ "auth", "ntlm", p->auth.ntlm, false, auth[p->auth.ntlm] },
		{ "auth", "guest", p->auth.guest, false, auth[p->auth.guest] },
		{ "auth", "min-dialect", p->auth.min_dialect, false,
		    pol_dialect_str(p->auth.min_dialect) },
		{ "health", "interval", p->health.interval, true, NULL },
		{ "health", "timeout", p->health.timeout, true, NULL },
		{ "health", "rise", p->health.rise, false, NULL },
		{ "health", "fall", p->health.fall, false, NULL },
		{ "health", "slow-start", p->health.slow_start, true, NULL },
		{ "health", "flap-changes", p->health.flap_changes, false, NULL },
		{ "health", "flap-window", p->health.flap_window, true, NULL },
		{ "health", "flap-hold", p->health.flap_hold, true, NULL },
		{ "health", "hang", p->health.hang, true, NULL },
		{ "limits", "first-frame", p->limits.first_frame, true, NULL },
		{ "limits", "negotiate", p->limits.negotiate, true, NULL },
		{ "limits", "logon", p->limits.logon, true, NULL },
		{ "limits", "unauthenticated", p->limits.unauthenticated, false, NULL },
		{ "limits", "unauthenticated-per-source", p->limits.unauthenticated_per_source, false,
		    NULL },
		{ "limits", "accept-rate", p->limits.accept_rate, false, NULL },
		{ "limits", "accept-burst", p->limits.accept_burst, false, NULL },
		{ "tcp", "keepalive-idle", p->tcp.keepalive_idle, true, NULL },
		{ "tcp", "keepalive-interval", p->tcp.keepalive_interval, true, NULL },
		{ "tcp", "keepalive-count", p->tcp.keepalive_count, false, NULL },
		{ "tcp", "client-timeout", p->tcp.client_timeout, true, NULL },
		{ "tcp", "node-timeout", p->tcp.node_timeout, true, NULL },
		{ "tcp", "connect-timeout", p->tcp.connect_timeout, true, NULL },
	};

	_Static_assert(sizeof(all) / sizeof(all[0]) <= SCALARS_MAX, "room for all scalars");
	memcpy(s, all, sizeof(all));
	return sizeof(all) / sizeof(all[0]);
}

static const char *
scalar_str(const struct scalar *s, char dst[CONFFILE_STRLEN])
{
	if (s->word != NULL)
		return s->word;
	if (s->is_time)
		return conffile_duration_str(s->value, dst);
	snprintf(dst, CONFFILE_STRLEN, "%u", s->value);
	return dst;
}

/* head: "\tallow". */
static void
print_rules(const char *head, const struct acl *a, bool deny, FILE *out)
{
	char text[ADDR_STRLEN];
	bool any = false;

	for (size_t i = 0; i < a->n; i++) {
		if (a->rules[i].deny != deny)
			continue;
		fprintf(out, "%s%s\"%s\"", any ? ", " : head, any ? "" : " = { ",
		    prefix_str(&a->rules[i].prefix, text));
		any = true;
	}
	if (any)
		fputs(" }\n", out);
}

static void
print_addrs(const char *head, const struct addr *a, size_t n, const char *tail, FILE *out)
{
	char text[ADDR_STRLEN];

	for (size_t i = 0; i < n; i++)
		fprintf(out, "%s\"%s\"", i > 0 ? ", " : head, addr_str(&a[i], text));
	if (n > 0)
		fputs(tail, out);
}

static void
print_node(const struct pol_node *n, FILE *out)
{
	char text[ADDR_STRLEN];

	fprintf(out, "node \"%s\" { address = \"%s\" ", n->name, addrport_str(&n->address, text));
	print_addrs("other-addresses = { ", n->others, n->nothers, " } ", out);
	fprintf(out, "weight = %u state = %s }\n", n->weight, pol_nodestate_str(n->state));
}

static void
print_iface(const struct pol_iface *f, FILE *out)
{
	char text[ADDR_STRLEN];

	fprintf(out, "\taddress \"%s\" { speed = \"%" PRIu64 "\" rss = %s ifindex = %" PRIu32 " }\n",
	    addr_str(&f->addr, text), f->speed, f->rss ? "true" : "false", f->ifindex);
}

void
policy_print(const struct policy *p, FILE *out)
{
	struct scalar s[SCALARS_MAX];
	size_t n = scalars(p, s);
	const char *section = NULL;
	char value[CONFFILE_STRLEN];

	for (size_t i = 0; i < p->nnodes; i++)
		print_node(&p->nodes[i], out);
	fputs("addresses {\n", out);
	print_rules("\tallow", p->addresses, false, out);
	print_rules("\tdeny", p->addresses, true, out);
	fputs("}\n", out);
	print_rules("nat", p->nat, false, out);
	print_addrs("source-pool = { ", p->pool, p->npool, " }\n", out);
	for (size_t i = 0; i < p->ninterfaces; i++) {
		const struct pol_interfaces *ifs = &p->interfaces[i];

		fprintf(out, "interfaces \"%s\" {\n\tmode = %s\n", ifs->listener,
		    pol_ifmode_str(ifs->mode));
		for (size_t k = 0; k < ifs->n; k++)
			print_iface(&ifs->list[k], out);
		fputs("}\n", out);
	}
	for (size_t i = 0; i < n; i++) {
		if (s[i].section != NULL && (section == NULL || strcmp(s[i].section, section) != 0)) {
			if (section != NULL)
				fputs("}\n", out);
			fprintf(out, "%s {\n", s[i].section);
			section = s[i].section;
		}
		/* A "#" or a unit needs quotes; words and plain numbers do without. */
		fprintf(out, s[i].is_time ? "%s%s = \"%s\"\n" : "%s%s = %s\n", section != NULL ? "\t" : "",
		    s[i].name, scalar_str(&s[i], value));
	}
	fputs("}\n", out);
}

/* Differences. */

struct diff {
	void (*emit)(void *arg, const char *line);
	void *arg;
	unsigned n;
};

static void __attribute__((format(printf, 2, 3)))
say(struct diff *d, const char *fmt, ...)
{
	char line[TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	d->n++;
	d->emit(d->arg, line);
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
			say(d, "%s %s %s", a->rules[i].deny ? deny : allow,
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
			say(d, "%s %s removed", head, addr_str(&a[i], text));
	for (size_t i = 0; i < nb; i++)
		if (!has_addr(a, na, &b[i]))
			say(d, "%s %s added", head, addr_str(&b[i], text));
}

static void
diff_nodes(struct diff *d, const struct policy *a, const struct policy *b)
{
	char x[ADDR_STRLEN], y[ADDR_STRLEN], head[POL_NAME_MAX + 32];

	for (size_t i = 0; i < a->nnodes; i++)
		if (policy_node(b, a->nodes[i].name) == NULL)
			say(d, "node %s removed: it drains", a->nodes[i].name);
	for (size_t i = 0; i < b->nnodes; i++) {
		const struct pol_node *n = &b->nodes[i], *o = policy_node(a, n->name);

		addrport_str(&n->address, y);
		if (o == NULL) {
			say(d, "node %s added (%s, weight %u)", n->name, y, n->weight);
			continue;
		}
		addrport_str(&o->address, x);
		if (strcmp(x, y) != 0)
			say(d, "node %s: address %s -> %s", n->name, x, y);
		if (o->weight != n->weight)
			say(d, "node %s: weight %u -> %u", n->name, o->weight, n->weight);
		if (o->state != n->state)
			say(d, "node %s: state %s -> %s", n->name, pol_nodestate_str(o->state),
			    pol_nodestate_str(n->state));
		snprintf(head, sizeof(head), "node %s: other address", n->name);
		diff_addrs(d, head, o->others, o->nothers, n->others, n->nothers);
	}
}

static const struct pol_iface *
find_iface(const struct pol_interfaces *ifs, const struct addr *a)
{
	for (size_t i = 0; i < ifs->n; i++)
		if (addr_equal(&ifs->list[i].addr, a))
			return &ifs->list[i];
	return NULL;
}

/* "25G": the largest unit that leaves a whole number. */
static const char *
speed_str(uint64_t speed, char dst[CONFFILE_STRLEN])
{
	static const char units[] = "KMGT";
	char unit[2] = "";

	for (int i = 0; units[i] != '\0' && speed != 0 && speed % 1000 == 0; i++) {
		speed /= 1000;
		unit[0] = units[i];
	}
	snprintf(dst, CONFFILE_STRLEN, "%" PRIu64 "%s", speed, unit);
	return dst;
}

static void
diff_iface(struct diff *d, const char *listener, const struct pol_iface *o,
    const struct pol_iface *n)
{
	char text[ADDR_STRLEN], x[CONFFILE_STRLEN], y[CONFFILE_STRLEN];

	addr_str(&n->addr, text);
	if (o == NULL) {
		say(d, "interfaces %s: address %s added (%s%s, ifindex %" PRIu32 ")", listener, text,
		    speed_str(n->speed, x), n->rss ? ", rss" : "", n->ifindex);
		return;
	}
	if (o->speed != n->speed)
		say(d, "interfaces %s: address %s: speed %s -> %s", listener, text,
		    speed_str(o->speed, x), speed_str(n->speed, y));
	if (o->rss != n->rss)
		say(d, "interfaces %s: address %s: rss %s", listener, text, n->rss ? "on" : "off");
	if (o->ifindex != n->ifindex)
		say(d, "interfaces %s: address %s: ifindex %" PRIu32 " -> %" PRIu32, listener, text,
		    o->ifindex, n->ifindex);
}

static void
diff_iface_lists(struct diff *d, const struct pol_interfaces *a, const struct pol_interfaces *b)
{
	char text[ADDR_STRLEN];
	unsigned before = d->n;

	if (a->mode != b->mode)
		say(d, "interfaces %s: mode %s -> %s", b->listener, pol_ifmode_str(a->mode),
		    pol_ifmode_str(b->mode));
	for (size_t i = 0; i < a->n; i++)
		if (find_iface(b, &a->list[i].addr) == NULL)
			say(d, "interfaces %s: address %s removed", b->listener,
			    addr_str(&a->list[i].addr, text));
	for (size_t i = 0; i < b->n; i++)
		diff_iface(d, b->listener, find_iface(a, &b->list[i].addr), &b->list[i]);
	/* Clients prefer what they are told first. */
	for (size_t i = 0; d->n == before && i < b->n; i++)
		if (!addr_equal(&a->list[i].addr, &b->list[i].addr))
			say(d, "interfaces %s: the order of addresses changed", b->listener);
}

static void
diff_interfaces(struct diff *d, const struct policy *a, const struct policy *b)
{
	for (size_t i = 0; i < a->ninterfaces; i++)
		if (policy_interfaces(b, a->interfaces[i].listener) == NULL)
			say(d, "interfaces %s removed", a->interfaces[i].listener);
	for (size_t i = 0; i < b->ninterfaces; i++) {
		const struct pol_interfaces *old = policy_interfaces(a, b->interfaces[i].listener);

		if (old == NULL)
			say(d, "interfaces %s added (%s)", b->interfaces[i].listener,
			    pol_ifmode_str(b->interfaces[i].mode));
		else
			diff_iface_lists(d, old, &b->interfaces[i]);
	}
}

unsigned
policy_diff(const struct policy *old, const struct policy *new,
    void (*emit)(void *arg, const char *line), void *arg)
{
	struct diff d = { .emit = emit, .arg = arg };
	struct scalar a[SCALARS_MAX], b[SCALARS_MAX];
	size_t n = scalars(old, a);
	char x[CONFFILE_STRLEN], y[CONFFILE_STRLEN];

	scalars(new, b);
	diff_nodes(&d, old, new);
	diff_acl(&d, "addresses: allow", "addresses: deny", old->addresses, new->addresses);
	diff_acl(&d, "nat:", "", old->nat, new->nat);
	diff_addrs(&d, "source-pool:", old->pool, old->npool, new->pool, new->npool);
	diff_interfaces(&d, old, new);
	for (size_t i = 0; i < n; i++)
		if (a[i].value != b[i].value)
			say(&d, "%s%s%s: %s -> %s", a[i].section != NULL ? a[i].section : "",
			    a[i].section != NULL ? " " : "", a[i].name, scalar_str(&a[i], x),
			    scalar_str(&b[i], y));
	return d.n;
}
