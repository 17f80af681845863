/* patience.c: pure: how long a connection may take to log on, by how many others are about it */
#include "config.h"

#include "proxy/patience.h"

/* In percent of max: from here on it shrinks, to be at its least where early drop begins. */
#define SHRINKS_FROM 25
#define LEAST_FROM 75

unsigned
patience_share(unsigned used, unsigned max)
{
	uint64_t full = max == 0 ? LEAST_FROM : (uint64_t)used * 100 / max;

	if (full <= SHRINKS_FROM)
		return PATIENCE_ALL;
	if (full >= LEAST_FROM)
		return PATIENCE_LEAST;
	return (unsigned)(PATIENCE_ALL -
	    (full - SHRINKS_FROM) * (PATIENCE_ALL - PATIENCE_LEAST) / (LEAST_FROM - SHRINKS_FROM));
}

uint64_t
patience_of(uint64_t ms, unsigned share)
{
	return ms * share / PATIENCE_ALL;
}
