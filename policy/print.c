/* print.c: the effective policy as text in the syntax of policy.conf */
#include "config.h"

#include "policy/print.h"

#include "policy/acl.h"
#include "policy/units.h"
#include "policy/policy.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Each field of a section as "NAME = VALUE", between two texts. */
static void
print_fields(const char *before, const char *section, const void *base, const char *behind,
    FILE *out)
{
	char value[SETTING_STRLEN];

	for (const struct setting *s = policy_settings; (s = setting_next(s, section)) != NULL;
	     s++) {
		const char *quote = setting_is_quoted(s) ? "\"" : "";

		fprintf(out, "%s%s = %s%s%s%s", before, s->name, quote,
		    setting_str(s, setting_get(s, base), value), quote, behind);
	}
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
	if (n->cluster[0] != '\0')
		fprintf(out, "cluster = \"%s\" ", n->cluster);
	if (n->agent.port != 0)
		fprintf(out, "agent = \"%s\" ", addrport_str(&n->agent, text));
	print_fields("", "node", n, " ", out);
	fputs("}\n", out);
}

static void
print_interfaces(const struct pol_interfaces *ifs, FILE *out)
{
	char text[ADDR_STRLEN];

	fprintf(out, "interfaces \"%s\" {\n", ifs->listener);
	print_fields("\t", "interfaces", ifs, "\n", out);
	for (size_t i = 0; i < ifs->n; i++) {
		fprintf(out, "\taddress \"%s\" { ", addr_str(&ifs->list[i].addr, text));
		print_fields("", "address", &ifs->list[i], " ", out);
		fputs("}\n", out);
	}
	fputs("}\n", out);
}

void
policy_print_listeners(const struct policy *p, FILE *out)
{
	for (size_t i = 0; i < p->nlisteners; i++) {
		fprintf(out, "listener \"%s\" {\n", p->listeners[i].name);
		print_fields("\t", "listener", &p->listeners[i], "\n", out);
		fputs("}\n", out);
	}
}

void
policy_print(const struct policy *p, FILE *out)
{
	for (size_t i = 0; i < p->nnodes; i++)
		print_node(&p->nodes[i], out);
	fputs("addresses {\n", out);
	print_rules("\tallow", p->addresses, false, out);
	print_rules("\tdeny", p->addresses, true, out);
	fputs("}\n", out);
	print_rules("nat", p->nat, false, out);
	print_addrs("source-pool = { ", p->pool, p->npool, " }\n", out);
	for (size_t i = 0; i < p->ninterfaces; i++)
		print_interfaces(&p->interfaces[i], out);
	policy_print_listeners(p, out);
	for (const char *const *section = policy_sections; *section != NULL; section++) {
		bool root = strcmp(*section, "root") == 0;

		if (!root)
			fprintf(out, "%s {\n", *section);
		print_fields(root ? "" : "\t", *section, p, "\n", out);
		if (!root)
			fputs("}\n", out);
	}
}
