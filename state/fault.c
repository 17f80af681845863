/* fault.c: what can be wrong with Redis, counted by kind */
#include "config.h"

#include "state/fault.h"

#include <string.h>

static const struct {
	const char *counter, *prefix;
	bool fatal;
} kinds[FAULT_COUNT] = {
#define FAULT(name, counter, prefix, fatal) { counter, prefix, fatal },
#include "state/fault.tbl.h"
#undef FAULT
};

const char *
fault_name(enum fault which)
{
	return kinds[which].counter;
}

bool
fault_fatal(enum fault which)
{
	return kinds[which].fatal;
}

enum fault
fault_of(const char *error)
{
	/* What failed inside of a script stands in the middle of its error with older servers. */
	for (int i = 0; i < FAULT_COUNT; i++)
		if (kinds[i].prefix != NULL &&
		    strncmp(error, kinds[i].prefix, strlen(kinds[i].prefix)) == 0)
			return (enum fault)i;
	for (int i = 0; i < FAULT_COUNT; i++)
		if (kinds[i].prefix != NULL && strstr(error, kinds[i].prefix) != NULL)
			return (enum fault)i;
	return FAULT_ERROR;
}
