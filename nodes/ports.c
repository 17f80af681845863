/* ports.c: how many connections to a node fit into this machine's local ports */
#include "config.h"

#include "nodes/ports.h"

#include "nodes/node.h"
#include "nodes/source.h"

#include <stdio.h>

#define RANGE "/proc/sys/net/ipv4/ip_local_port_range"

/* It is for IPv6, too. */
static uint64_t
local_ports(void)
{
	FILE *f = fopen(RANGE, "re");
	unsigned low, high;
	int n;

	if (f == NULL)
		return 0;
	n = fscanf(f, "%u %u", &low, &high);
	fclose(f);
	return n == 2 && low <= high ? high - low + 1 : 0;
}

uint64_t
ports_fit(const struct policy *p, const struct node *n)
{
	return source_addresses(p, &n->address.addr) * local_ports();
}

bool
ports_scarce(uint64_t used, uint64_t fit)
{
	return fit > 0 && used > fit / 5 * 4 + fit % 5 * 4 / 5;
}
