/* schema_priv.c: policy.conf while it is loaded, and what its sections have in common */
#include "config.h"

#include "policy/schema_priv.h"

#include "base/addr.h"

#include <string.h>

void
schema_no_memory(struct schema *l, int line)
{
	errlist_add(&l->e, l->path, line, "out of memory");
}

void
schema_fields(struct schema *l, cfg_t *sec, void *base)
{
	if (conffile_fill(&l->f, sec, l->path, base) == -1)
		schema_no_memory(l, sec->line);
}

bool
schema_is_multicast(const struct addr *a)
{
	return addr_is_v4(a) ? (a->b[12] & 0xf0) == 0xe0 : a->b[0] == 0xff;
}

void
schema_unicast(const struct schema_at *at, const struct addr *a, const char *what,
    const char *text)
{
	if (addr_is_unspecified(a))
		errlist_add(at->e, at->path, at->line, "%s: %s is the unspecified address", what,
		    text);
	if (schema_is_multicast(a))
		errlist_add(at->e, at->path, at->line, "%s: %s is a multicast address", what, text);
	if (addr_is_v4(a) && memcmp(a->b + 12, "\xff\xff\xff\xff", 4) == 0)
		errlist_add(at->e, at->path, at->line, "%s: %s is the broadcast address", what,
		    text);
	/* Those of IPv4 need no interface beside them. */
	if (!addr_is_v4(a) && addr_is_linklocal(a))
		errlist_add(at->e, at->path, at->line,
		    "%s: %s is link-local, and of no use without an interface: give another "
		    "address of the same machine",
		    what, text);
}
