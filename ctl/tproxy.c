/* tproxy.c: pure: what nftables' rules, as "nft -j" lists them, hand over by TPROXY */
#include "config.h"

#include "ctl/tproxy.h"

#include <stdio.h>
#include <string.h>

/* libnftables-json(5) has the schema. */

/* What a value is to be, or to contain: one of these. */
struct wanted {
	const struct addr *addr;
	const char *word;
	long long number;
};

static bool has(const json_t *ruleset, const json_t *value, const struct wanted *w);

/* In the elements of a named set. */
static bool
has_in_set(const json_t *ruleset, const char *name, const struct wanted *w)
{
	const json_t *o;
	size_t i;

	json_array_foreach(json_object_get(ruleset, "nftables"), i, o) {
		const json_t *set = json_object_get(o, "set");
		const char *s = json_string_value(json_object_get(set, "name"));

		if (s != NULL && strcmp(s, name) == 0 &&
		    has(ruleset, json_object_get(set, "elem"), w))
			return true;
	}
	return false;
}

static bool
has_text(const json_t *ruleset, const char *text, const struct wanted *w)
{
	struct addr a;

	if (text[0] == '@')
		return has_in_set(ruleset, text + 1, w);
	if (w->addr != NULL)
		return addr_parse(&a, text) == 0 && addr_equal(&a, w->addr);
	return w->word != NULL && strcmp(text, w->word) == 0;
}

static bool
has_prefix(const json_t *value, const struct wanted *w)
{
	const char *text = json_string_value(json_object_get(value, "addr"));
	char whole[ADDR_STRLEN];
	struct prefix p;

	if (w->addr == NULL || text == NULL)
		return false;
	snprintf(whole, sizeof(whole), "%s/%lld", text,
	    json_integer_value(json_object_get(value, "len")));
	return prefix_parse(&p, whole) == 0 && prefix_match(&p, w->addr);
}

static bool
range_has(const json_t *range, const struct wanted *w)
{
	const json_t *low = json_array_get(range, 0), *high = json_array_get(range, 1);
	struct addr a, b;

	if (w->addr == NULL)
		return w->word == NULL && json_is_integer(low) && json_is_integer(high) &&
		    w->number >= json_integer_value(low) && w->number <= json_integer_value(high);
	return json_is_string(low) && json_is_string(high) &&
	    addr_parse(&a, json_string_value(low)) == 0 &&
	    addr_parse(&b, json_string_value(high)) == 0 &&
	    memcmp(w->addr->b, a.b, sizeof(a.b)) >= 0 && memcmp(w->addr->b, b.b, sizeof(b.b)) <= 0;
}

/* nft nests nothing deeper than a set of elements; jansson itself limits what it reads. */
static bool
has(const json_t *ruleset, const json_t *value, const struct wanted *w)
{
	const json_t *v, *inner;
	size_t i;

	if (json_is_string(value))
		return has_text(ruleset, json_string_value(value), w);
	if (json_is_integer(value))
		return w->addr == NULL && w->word == NULL && w->number == json_integer_value(value);
	json_array_foreach(value, i, v)
		if (has(ruleset, v, w))
			return true;
	if ((inner = json_object_get(value, "set")) != NULL ||
	    (inner = json_object_get(json_object_get(value, "elem"), "val")) != NULL)
		return has(ruleset, inner, w);
	if ((inner = json_object_get(value, "prefix")) != NULL)
		return has_prefix(inner, w);
	return range_has(json_object_get(value, "range"), w);
}

/* The n-th match of a rule on what `left` says: {"meta": {"key": "iifname"}} and so on. */
static const json_t *
match_on(const json_t *expr, size_t *n, const char *kind, const char *key, const char *name)
{
	for (; *n < json_array_size(expr); (*n)++) {
		const json_t *m = json_object_get(json_array_get(expr, *n), "match");
		const json_t *left = json_object_get(json_object_get(m, "left"), kind);
		const char *s = json_string_value(json_object_get(left, key));

		if (s != NULL && strcmp(s, name) == 0) {
			(*n)++;
			return m;
		}
	}
	return NULL;
}

/* Does every match of that kind let it through? */
static bool
lets_through(const json_t *ruleset, const json_t *expr, const char *kind, const char *key,
    const char *name, const struct wanted *w)
{
	const json_t *m;
	size_t n = 0;

	while ((m = match_on(expr, &n, kind, key, name)) != NULL) {
		const char *op = json_string_value(json_object_get(m, "op"));
		bool not = op != NULL && strcmp(op, "!=") == 0;

		if (has(ruleset, json_object_get(m, "right"), w) == not)
			return false;
	}
	return true;
}

/* -1: it sets none, or one that is not a number. */
static long long
mark_of(const json_t *expr)
{
	const json_t *e;
	size_t i;

	json_array_foreach(expr, i, e) {
		const json_t *m = json_object_get(e, "mangle"), *v = json_object_get(m, "value");
		const json_t *key = json_object_get(json_object_get(m, "key"), "meta");
		const char *s = json_string_value(json_object_get(key, "key"));

		if (s != NULL && strcmp(s, "mark") == 0 && json_is_integer(v))
			return json_integer_value(v);
	}
	return -1;
}

static void
dev_of(const json_t *expr, char dst[16])
{
	static const char *const keys[] = { "iifname", "iif" };
	const char *s = NULL;

	for (size_t i = 0; i < 2 && s == NULL; i++) {
		size_t n = 0;

		s = json_string_value(
		    json_object_get(match_on(expr, &n, "meta", "key", keys[i]), "right"));
	}
	/* "wg*" and "@names" are no interface. */
	snprintf(dst, 16, "%s", s == NULL || strpbrk(s, "*@") != NULL ? "" : s);
}

static bool
rule_read(struct tproxy_rule *r, const json_t *expr, const json_t *tproxy)
{
	const char *family = json_string_value(json_object_get(tproxy, "family"));
	const char *to = json_string_value(json_object_get(tproxy, "addr"));

	*r = (struct tproxy_rule){ .expr = expr, .v4 = true, .v6 = true, .mark = mark_of(expr) };
	if (to != NULL && addr_parse(&r->to.addr, to) == -1)
		return false;
	if (family != NULL) {
		r->v4 = strcmp(family, "ip") == 0;
		r->v6 = !r->v4;
	}
	r->to.port = (uint16_t)json_integer_value(json_object_get(tproxy, "port"));
	dev_of(expr, r->dev);
	return true;
}

bool
tproxy_next(const json_t *ruleset, size_t *i, struct tproxy_rule *r)
{
	const json_t *list = json_object_get(ruleset, "nftables"), *e;
	size_t k;

	while (*i < json_array_size(list)) {
		const json_t *rule = json_object_get(json_array_get(list, (*i)++), "rule");
		const json_t *expr = json_object_get(rule, "expr");

		json_array_foreach(expr, k, e) {
			const json_t *tproxy = json_object_get(e, "tproxy");

			if (tproxy != NULL && rule_read(r, expr, tproxy))
				return true;
		}
	}
	return false;
}

bool
tproxy_gives(const json_t *ruleset, const struct tproxy_rule *r, const struct addr *dialled,
    const struct addrport *listener)
{
	const struct wanted to = { .addr = dialled }, port = { .number = listener->port };
	bool v4 = addr_is_v4(dialled);
	size_t n = 0;

	if (v4 ? !r->v4 : !r->v6)
		return false;
	/* Without an address it is the one that the packet came in by. */
	if (!addr_is_unspecified(&r->to.addr) && !addr_is_unspecified(&listener->addr) &&
	    !addr_equal(&r->to.addr, &listener->addr))
		return false;
	if (match_on(r->expr, &n, "payload", "protocol", v4 ? "ip6" : "ip") != NULL)
		return false;
	if (!lets_through(ruleset, r->expr, "payload", "field", "daddr", &to))
		return false;
	if (r->to.port != 0)
		return r->to.port == listener->port;
	return lets_through(ruleset, r->expr, "payload", "field", "dport", &port);
}

bool
tproxy_keeps(const json_t *ruleset, const char *l4proto, long long mark)
{
	const struct wanted proto = { .word = l4proto };
	const json_t *list = json_object_get(ruleset, "nftables"), *o;
	size_t i;

	json_array_foreach(list, i, o) {
		const json_t *expr = json_object_get(json_object_get(o, "rule"), "expr");
		size_t n = 0;

		if (mark_of(expr) == mark &&
		    match_on(expr, &n, "socket", "key", "transparent") != NULL &&
		    lets_through(ruleset, expr, "meta", "key", "l4proto", &proto))
			return true;
	}
	return false;
}
