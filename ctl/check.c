/* check.c: is this machine what smbgate needs around it? rules, routes, and who answers */
#include "config.h"

#include "ctl/check.h"

#include "ctl/check_route.h"
#include "ctl/field.h"
#include "ctl/found.h"
#include "ctl/program.h"
#include "ctl/syn.h"
#include "ctl/tproxy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The i-th address of a node, its own first. False: it has no more. */
static bool
node_addr(const json_t *node, size_t i, struct addrport *a)
{
	const json_t *other;

	if (addrport_parse(a, text_of(node, "address"), 445) == -1)
		return false;
	if (i == 0)
		return true;
	other = json_array_get(json_object_get(node, "other_addresses"), i - 1);
	return json_is_string(other) && addr_parse(&a->addr, json_string_value(other)) == 0;
}

/* The rule that hands connections to `dialled` over to a listener. */
static bool
find_rule(const struct check *c, const struct addr *dialled, const struct addrport *listener,
    struct tproxy_rule *r)
{
	for (size_t i = 0; tproxy_next(c->ruleset, &i, r);)
		if (tproxy_gives(c->ruleset, r, dialled, listener))
			return true;
	return false;
}

/* What the rule has marked belongs to smbgate from then on, ICMP's words about it included. */
static void
check_mark(struct check *c, const char *name, const struct tproxy_rule *r)
{
	const char *icmp = r->v4 ? "icmp" : "ipv6-icmp";

	if (r->mark == -1)
		check_note(c, false, name,
		    "the rule with tproxy sets no mark, or none that can be read");
	else if (!tproxy_keeps(c->ruleset, "tcp", r->mark))
		check_note(c, false, name,
		    "no rule marks what belongs to smbgate's connections (socket transparent 1)");
	else if (!tproxy_keeps(c->ruleset, icmp, r->mark))
		check_note(c, false, name,
		    "ICMP errors do not reach smbgate: no rule marks %s with socket transparent 1. "
		    "Transfers hang on links with a small MTU",
		    icmp);
}

static void
note_missing(struct check *c, const json_t *listener, const json_t *node, const char *address)
{
	check_note(c, false, text_of(listener, "name"),
	    "%s of node %s is in no nftables rule with tproxy to %s: its clients pass smbgate by, "
	    "or are refused",
	    address, text_of(node, "name"), text_of(listener, "address"));
}

/* The addresses of nodes that a listener gets, and those that it does not. */
static void
check_listener(struct check *c, const json_t *l)
{
	const char *name = text_of(l, "name");
	struct addrport at, a;
	struct tproxy_rule r, found;
	struct addr node;
	bool any = false;
	const json_t *n;
	size_t i;

	if (addrport_parse(&at, text_of(l, "address"), 445) == -1)
		return;
	json_array_foreach(c->nodes, i, n) {
		for (size_t k = 0; node_addr(n, k, &a); k++) {
			char text[ADDR_STRLEN];

			if (addr_is_v4(&a.addr) != addr_is_v4(&at.addr))
				continue;
			addr_str(&a.addr, text);
			if (!find_rule(c, &a.addr, &at, &r)) {
				note_missing(c, l, n, text);
				continue;
			}
			check_note(c, true, name, "what is sent to %s of node %s comes here", text,
			    text_of(n, "name"));
			any = true;
			found = r;
			node = a.addr;
		}
	}
	if (!any)
		return;
	check_mark(c, name, &found);
	if (found.mark != -1)
		check_routes(c, &found, &node);
}

static void
check_ruleset(struct check *c)
{
	static const char *const argv[] = { "nft", "-j", "list", "ruleset", NULL };
	char why[PROGRAM_WHY];

	c->ruleset = program_json(argv, why);
	if (c->ruleset == NULL)
		check_note(c, false, "nftables", "nft -j list ruleset: %s", why);
}

/* Which listeners intercept, and whether nodes see clients' addresses. */
static void
check_listeners(struct check *c, const json_t *listeners)
{
	const json_t *l;
	struct addrport a;
	bool any = false;
	size_t i;

	json_array_foreach(listeners, i, l) {
		int family;

		if (!bool_of(l, "intercept") ||
		    addrport_parse(&a, text_of(l, "address"), 445) == -1)
			continue;
		family = addr_is_v4(&a.addr) ? CHECK_V4 : CHECK_V6;
		any = c->intercepts[family] = true;
		c->as_client[family] |= strcmp(text_of(l, "source"), "transparent") == 0;
	}
	if (!any)
		return;
	check_ruleset(c);
	json_array_foreach(listeners, i, l)
		if (c->ruleset != NULL && bool_of(l, "intercept"))
			check_listener(c, l);
}

/* Who answers? */

static void
note_answer(struct check *c, const char *node, const struct syn *s)
{
	char to[ADDR_STRLEN], from[ADDR_STRLEN] = "this machine", what[128];
	const char *cure = "";

	addrport_str(&s->to, to);
	if (s->as_client)
		addr_str(&s->from, from);
	snprintf(what, sizeof(what), "node %s", node);
	if (s->err == 0) {
		check_note(c, true, what, "%s answers %s", to, from);
		return;
	}
	if (s->err == EPERM)
		cure = ": this needs root, or CAP_NET_RAW";
	else if (s->err == ETIMEDOUT && s->as_client)
		cure = ": does the node's way to its clients lead through this machine?";
	check_note(c, false, what, "%s does not answer %s: %s%s", to, from, strerror(s->err), cure);
}

/* From a client's address, where nodes see it; other addresses only where clients dial them. */
static void
check_answers(struct check *c)
{
	size_t n = 0, max = 0, i;
	const char **names;
	const json_t *node;
	struct addrport a;
	struct syn *s;

	json_array_foreach(c->nodes, i, node)
		max += 1 + json_array_size(json_object_get(node, "other_addresses"));
	s = calloc(max + 1, sizeof(*s));
	names = calloc(max + 1, sizeof(*names));
	json_array_foreach(c->nodes, i, node) {
		for (size_t k = 0; s != NULL && names != NULL && node_addr(node, k, &a); k++) {
			int family = addr_is_v4(&a.addr) ? CHECK_V4 : CHECK_V6;

			if (k > 0 && !c->intercepts[family])
				continue;
			s[n] = (struct syn){ .to = a, .from = c->client[family],
				.as_client = c->as_client[family] && c->has_client[family] };
			names[n++] = text_of(node, "name");
		}
	}
	if (n > 0)
		syn_all(s, n);
	for (i = 0; i < n; i++)
		note_answer(c, names[i], &s[i]);
	free(s);
	free(names);
}

void
check_machine(struct check *c, const json_t *answer, const char *client)
{
	const json_t *policy = json_object_get(answer, "policy");
	struct addr a;
	int family;

	c->nodes = json_object_get(policy, "nodes");
	if (client != NULL && addr_parse(&a, client) == 0) {
		family = addr_is_v4(&a) ? CHECK_V4 : CHECK_V6;
		c->client[family] = a;
		c->has_client[family] = true;
	}
	check_listeners(c, json_object_get(policy, "listeners"));
	check_answers(c);
	json_decref(c->ruleset);
	c->ruleset = NULL;
}
