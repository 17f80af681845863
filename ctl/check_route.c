/* check_route.c: where packets of intercepted clients go, asked of the kernel itself */
#include "config.h"

#include "ctl/check_route.h"

#include "base/addr.h"
#include "ctl/field.h"
#include "ctl/found.h"
#include "ctl/program.h"
#include "ctl/tproxy.h"

#include <stdio.h>
#include <string.h>

static const char *const families[] = { "-4", "-6" }, *const names[] = { "IPv4", "IPv6" };

/*
 * An address of the network that dev is in, and not the one that this machine has there: what
 * begins there belongs to a client, whichever it is.
 */
static bool
choose_client(const char *dev, int family, struct addr *dst)
{
	const char *const argv[] = { "ip", "-j", families[family], "addr", "show", "dev", dev,
		NULL };
	char why[PROGRAM_WHY];
	json_t *answer = program_json(argv, why);
	const json_t *o;
	bool found = false;
	size_t i;

	json_array_foreach(json_object_get(json_array_get(answer, 0), "addr_info"), i, o) {
		unsigned width = family == CHECK_V4 ? 32 : 128;

		if (found || addr_parse(dst, text_of(o, "local")) == -1 || addr_is_linklocal(dst) ||
		    int_of(o, "prefixlen") + 2 > width)
			continue;
		/* It ends in 01 or 10: neither all bits of the host's part are set, nor none. */
		dst->b[15] ^= (dst->b[15] & 3) == 1 || (dst->b[15] & 3) == 2 ? 3 : 1;
		found = true;
	}
	json_decref(answer);
	return found;
}

/* A packet's route, as the kernel has it: from, dev and mark for one that comes in. */
static json_t *
route_get(int family, const struct addr *to, const struct addr *from, const char *dev,
    long long mark, char why[PROGRAM_WHY])
{
	char dst[ADDR_STRLEN], src[ADDR_STRLEN], number[24];
	const char *argv[14] = { "ip", "-j", families[family], "route", "get", addr_str(to, dst) };
	json_t *answer, *first;
	int n = 6;

	if (from != NULL) {
		snprintf(number, sizeof(number), "%lld", mark);
		argv[n++] = "from";
		argv[n++] = addr_str(from, src);
		argv[n++] = "iif";
		argv[n++] = dev;
		argv[n++] = "mark";
		argv[n] = number;
	}
	answer = program_json(argv, why);
	first = json_incref(json_array_get(answer, 0));
	json_decref(answer);
	return first;
}

/* What comes in by dev with the mark is for this machine, whatever its address. */
static void
check_way(struct check *c, int family, const struct addr *from, const struct addr *to,
    const char *dev, long long mark)
{
	char why[PROGRAM_WHY] = "", a[ADDR_STRLEN], b[ADDR_STRLEN], what[32];
	json_t *route = route_get(family, to, from, dev, mark, why);

	snprintf(what, sizeof(what), "routes, %s", names[family]);
	addr_str(from, a);
	addr_str(to, b);
	if (route == NULL)
		check_note(c, false, what,
		    "from %s to %s, by %s with mark 0x%llx: %s (rp_filter with src_valid_mark = 1, "
		    "and no rule for iif lo?)", a, b, dev, mark, why);
	else if (strcmp(text_of(route, "type"), "local") != 0)
		check_note(c, false, what,
		    "from %s to %s, by %s with mark 0x%llx: goes out by %s, not to smbgate. Is the "
		    "rule for the mark there, and the local route of its table?", a, b, dev, mark,
		    text_of(route, "dev"));
	else
		check_note(c, true, what, "from %s to %s, by %s with mark 0x%llx: to smbgate", a, b,
		    dev, mark);
	json_decref(route);
}

/* The interface by which packets leave for an address; "": there is none. */
static void
dev_to(int family, const struct addr *to, char dev[16])
{
	char why[PROGRAM_WHY];
	json_t *route = route_get(family, to, NULL, NULL, 0, why);

	snprintf(dev, 16, "%s", route == NULL ? "" : text_of(route, "dev"));
	json_decref(route);
}

void
check_routes(struct check *c, const struct tproxy_rule *r, const struct addr *node)
{
	int family = addr_is_v4(node) ? CHECK_V4 : CHECK_V6;
	struct addr *client = &c->client[family];
	char back[16], dev[16], text[ADDR_STRLEN], what[32];

	if (c->routed[family])
		return;
	c->routed[family] = true;
	snprintf(what, sizeof(what), "routes, %s", names[family]);
	if (!c->has_client[family])
		c->has_client[family] = r->dev[0] != '\0' && choose_client(r->dev, family, client);
	if (!c->has_client[family]) {
		check_note(c, false, what,
		    "not looked at: give a client's address, smbgatectl check ADDRESS");
		return;
	}
	dev_to(family, client, back);
	if (back[0] == '\0' || (r->dev[0] != '\0' && strcmp(back, r->dev) != 0)) {
		check_note(c, false, what,
		    "the way to the client %s leads by %s, and the rule is for %s",
		    addr_str(client, text), back[0] == '\0' ? "nowhere" : back, r->dev);
		return;
	}
	check_way(c, family, client, node, back, r->mark);
	if (!c->as_client[family])
		return;
	dev_to(family, node, dev);
	if (dev[0] == '\0')
		check_note(c, false, what, "there is no way to %s", addr_str(node, text));
	else
		check_way(c, family, node, client, dev, r->mark);
}
