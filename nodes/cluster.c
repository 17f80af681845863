/* cluster.c: pure: clusters as numbers, which are the same in every proxy */
#include "config.h"

#include "nodes/cluster.h"

#define FNV_OFFSET 2166136261u
#define FNV_PRIME 16777619u

/* FNV-1a. Nobody but the operator chooses names, so it need not be keyed. */
static uint32_t
number_of(char kind, const char *name)
{
	uint32_t h = (FNV_OFFSET ^ (uint8_t)kind) * FNV_PRIME;

	for (; *name != '\0'; name++)
		h = (h ^ (uint8_t)*name) * FNV_PRIME;
	return h == 0 ? 1 : h;
}

uint32_t
cluster_number(const char *name)
{
	return *name == '\0' ? 0 : number_of('c', name);
}

uint32_t
cluster_alone(const char *id)
{
	return number_of('n', id);
}
