/* setup.c: is the set-up right? addresses and limits of this machine */
#include "config.h"

#include "ctl/setup.h"

#include "base/ownaddr.h"
#include "ctl/ask.h"
#include "ctl/found.h"
#include "ctl/setup_priv.h"
#include "policy/conf.h"
#include "policy/errlist.h"
#include "policy/policy.h"
#include "policy/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define NONE_HERE UINT64_MAX

static void
check_loops(const struct setup *s, const struct ownaddr *own)
{
	char text[ADDR_STRLEN];
	bool any = false;

	for (size_t i = 0; i < s->policy->nnodes; i++) {
		const struct pol_node *n = &s->policy->nodes[i];
		int l = conf_listener_at(s->conf, &n->address, own);

		if (l == -1)
			continue;
		any = true;
		check_found(s->c, "self-loop", CHECK_FAIL, n->name,
		    "give the node's own address, or the listener another one",
		    "%s is smbgate's own listener \"%s\"", addrport_str(&n->address, text),
		    s->conf->listen[l].name);
	}
	if (!any)
		check_found(s->c, "self-loop", CHECK_OK, "nodes", NULL,
		    "none of them is a listener of smbgate's");
}

/* The announced addresses: are they here, and may they be told? */
static void
check_announced(const struct setup *s, const struct ownaddr *own)
{
	char text[ADDR_STRLEN];
	unsigned away = 0, denied = 0, all = 0;

	for (size_t i = 0; i < s->policy->ninterfaces; i++) {
		const struct pol_interfaces *f = &s->policy->interfaces[i];

		for (size_t k = 0; k < f->n && f->mode == POL_IF_ANNOUNCE; k++) {
			const struct pol_iface *a = &f->list[k];

			all++;
			addr_str(&a->addr, text);
			if (!a->elsewhere && !ownaddr_has(own, &a->addr)) {
				away++;
				check_found(s->c, "announce-here", CHECK_FAIL, f->listener,
				    "give this machine the address, or say elsewhere = true",
				    "%s is announced, and on no interface here", text);
			}
			if (!policy_allows(s->policy, &a->addr)) {
				denied++;
				check_found(s->c, "announce-allowed", CHECK_FAIL, f->listener,
				    "allow it in the section addresses, or announce it no more",
				    "%s is announced, and the section addresses forbids it", text);
			}
		}
	}
	if (away == 0)
		check_found(s->c, "announce-here", CHECK_OK, "interfaces", NULL,
		    "%u addresses are announced: all are here, or meant to be elsewhere", all);
	if (denied == 0)
		check_found(s->c, "announce-allowed", CHECK_OK, "interfaces", NULL,
		    "%u addresses are announced: all are allowed", all);
}

/* A limit of smbgate that runs, or of one that would be started by us. */
static uint64_t
limit_of(const struct setup *s, const char *name, int resource)
{
	pid_t pid = s->ask->socket == NULL ? -1 : ask_pid(s->ask->socket);
	char path[64], line[256];
	uint64_t v = NONE_HERE;
	struct rlimit r;
	FILE *f;

	if (pid <= 0)
		return getrlimit((__rlimit_resource_t)resource, &r) == -1 ? NONE_HERE : r.rlim_max;
	snprintf(path, sizeof(path), "/proc/%ld/limits", (long)pid);
	f = fopen(path, "re");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, name, strlen(name)) == 0 &&
		    line[strlen(name) + strspn(line + strlen(name), " ")] != 'u')
			v = strtoull(line + strlen(name), NULL, 10);
	if (f != NULL)
		fclose(f);
	return v;
}

static void
check_descriptors(const struct setup *s)
{
	/* Two sockets for each client, and some for smbgate itself. */
	const uint64_t most = s->policy->limits.unauthenticated;
	uint64_t v = limit_of(s, "Max open files", RLIMIT_NOFILE), clients = v < 256 ? 0 : v - 256;
	const char *fix = "raise LimitNOFILE in smbgate's unit, or ulimit -n";

	clients /= 2;
	if (clients < 500)
		check_found(s->c, "fd-limit", CHECK_FAIL, "smbgate", fix,
		    "%llu descriptors are enough for %llu clients", (unsigned long long)v,
		    (unsigned long long)clients);
	else
		check_found(s->c, "fd-limit", clients < most ? CHECK_WARN : CHECK_OK, "smbgate",
		    fix, "descriptors for %llu clients; limits { unauthenticated } is %llu",
		    (unsigned long long)clients, (unsigned long long)most);
}

static void
check_ports(const struct setup *s)
{
	const size_t pool = s->policy->npool > 0 ? s->policy->npool : 1;
	FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
	unsigned low = 0, high = 0;
	enum check_result r;
	size_t ports;

	if (f == NULL || fscanf(f, "%u %u", &low, &high) != 2 || high < low) {
		check_found(s->c, "port-range", CHECK_SKIP, "this machine", NULL,
		    "ip_local_port_range cannot be read");
	} else {
		ports = (high - low + 1) * pool;
		r = ports < 4096 ? CHECK_FAIL : ports < 16384 ? CHECK_WARN : CHECK_OK;
		check_found(s->c, "port-range", r, "this machine",
		    "widen sysctl net.ipv4.ip_local_port_range, or give a source-pool",
		    "%zu local ports: so many connections to each node", ports);
	}
	if (f != NULL)
		fclose(f);
}

static void
check_memlock(const struct setup *s)
{
	/* The keys of one keytab, and at a reload those of the next. */
	const uint64_t least = 4u << 20, good = 8u << 20;
	uint64_t v;

	if (s->conf->keytab == NULL) {
		check_found(s->c, "memlock", CHECK_SKIP, "smbgate-keyd", NULL,
		    "without a keytab there are no keys to be kept out of swap");
		return;
	}
	v = limit_of(s, "Max locked memory", RLIMIT_MEMLOCK);
	check_found(s->c, "memlock",
	    v < least      ? CHECK_FAIL
	        : v < good ? CHECK_WARN
	                   : CHECK_OK,
	    "smbgate-keyd", "raise LimitMEMLOCK in smbgate's unit to 8M, or ulimit -l",
	    "%s%llu KiB may be locked; keys take up to 4096", v == NONE_HERE ? "at least " : "",
	    (unsigned long long)(v / 1024));
}

static void
check_all(const struct setup *s)
{
	struct ownaddr own;

	ownaddr_get(&own);
	setup_keytab(s);
	setup_kdc(s);
	setup_name(s, &own);
	setup_nodes(s);
	check_loops(s, &own);
	check_announced(s, &own);
	setup_redis(s);
	check_descriptors(s);
	check_ports(s);
	check_memlock(s);
}

int
setup_check(struct check *c, const struct setup_ask *a)
{
	struct errlist e = { .n = 0 };
	struct conf *conf = conf_load(a->conf, &e);
	struct policy *p = conf == NULL ? NULL : schema_load(conf->policy, &e);
	const struct setup s = { .c = c, .ask = a, .conf = conf, .policy = p };
	const bool good = e.total == 0 && conf != NULL && p != NULL;

	for (size_t i = 0; i < e.n; i++)
		fprintf(stderr, "%s\n", e.text[i]);
	if (good)
		check_all(&s);
	errlist_fini(&e);
	policy_unref(&p);
	conf_free(&conf);
	return good ? 0 : -1;
}
