/* schema_iface.c: the sections interfaces "LISTENER" of policy.conf */
#include "config.h"

#include "policy/schema_iface.h"

#include "policy/addrwords.h"
#include "policy/policy.h"
#include "policy/schema_priv.h"

#include <stdio.h>
#include <stdlib.h>

static void
load_iface(struct schema *l, struct pol_interfaces *ifs, cfg_t *sec)
{
	struct pol_iface *f = &ifs->list[ifs->n];
	const char *text = cfg_title(sec);
	int line = conffile_begin(sec);
	char why[256];

	f->line = line;
	if (addr_parse(&f->addr, text) == -1) {
		const char *words = addrwords(ADDRWORDS_ADDR, text, why, sizeof(why));

		errlist_add(&l->e, l->path, line,
		    "address \"%s\" is not an IPv4 or IPv6 address%s%s", text,
		    words == NULL ? "" : ": ", words == NULL ? "" : words);
		return;
	}
	if (schema_is_multicast(&f->addr))
		errlist_add(&l->e, l->path, line, "address \"%s\" is a multicast address", text);
	/* The same text twice is told by the parser; this is for two spellings of one address. */
	for (size_t i = 0; i < ifs->n; i++)
		if (addr_equal(&ifs->list[i].addr, &f->addr))
			errlist_add(&l->e, l->path, line, "address \"%s\" is listed twice", text);
	schema_fields(l, sec, f);
	f->line = line;
	ifs->n++;
}

/* Numbers for those that have none, that nobody else has: clients tell adapters apart by them. */
static void
number_ifaces(struct pol_interfaces *ifs)
{
	uint32_t next = 1;

	for (size_t i = 0; i < ifs->n; i++) {
		if (ifs->list[i].ifindex != 0)
			continue;
		for (size_t k = 0; k < ifs->n; k++) {
			if (ifs->list[k].ifindex == next) {
				next++;
				k = (size_t)-1;
			}
		}
		ifs->list[i].ifindex = next++;
	}
}

static void
load_listener(struct schema *l, cfg_t *sec)
{
	struct pol_interfaces *ifs = &l->p->interfaces[l->p->ninterfaces++];
	const char *name = cfg_title(sec);
	unsigned n = cfg_size(sec, "address");

	if (!setting_name(name))
		errlist_add(&l->e, l->path, conffile_begin(sec),
		    "interfaces \"%s\": " SETTING_NAME_RULE, name);
	snprintf(ifs->listener, sizeof(ifs->listener), "%s", name);
	ifs->line = conffile_begin(sec);
	schema_fields(l, sec, ifs);
	ifs->mode_line = conffile_line(&l->f, sec, "mode", 0);
	if (n > POL_IFACES_MAX) {
		errlist_add(&l->e, l->path,
		    conffile_begin(cfg_getnsec(sec, "address", POL_IFACES_MAX)),
		    "interfaces \"%s\": too many addresses: %u, at most %u are allowed", name, n,
		    POL_IFACES_MAX);
		return;
	}
	ifs->list = calloc(n + 1, sizeof(struct pol_iface));
	if (ifs->list == NULL) {
		schema_no_memory(l, conffile_begin(sec));
		return;
	}
	for (unsigned i = 0; i < n; i++)
		load_iface(l, ifs, cfg_getnsec(sec, "address", i));
	number_ifaces(ifs);
}

void
schema_interfaces(struct schema *l)
{
	unsigned n = cfg_size(l->f.cfg, "interfaces");

	l->p->interfaces = calloc(n + 1, sizeof(struct pol_interfaces));
	if (l->p->interfaces == NULL) {
		schema_no_memory(l, 0);
		return;
	}
	for (unsigned i = 0; i < n; i++)
		load_listener(l, cfg_getnsec(l->f.cfg, "interfaces", i));
}
