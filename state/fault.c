/* fault.c: what can be wrong with Redis, counted by kind */
#include "config.h"

#include "state/fault.h"

#include <string.h>

static const struct {
	const char *counter, *prefix;
	bool fatal;
} kinds[TROUBLE_COUNT] = {
#define TROUBLE(name, counter, prefix, fatal) { counter, prefix, fatal },
#include "state/fault.tbl.h"
#undef TROUBLE
};

const char *
trouble_name(enum trouble which)
{
	return kinds[which].counter;
}

bool
trouble_fatal(enum trouble which)
{
	return kinds[which].fatal;
}

enum trouble
trouble_of(const char *error)
{
	/* What failed inside of a script stands in the middle of its error with older servers. */
	for (int i = 0; i < TROUBLE_COUNT; i++)
		if (kinds[i].prefix != NULL &&
		    strncmp(error, kinds[i].prefix, strlen(kinds[i].prefix)) == 0)
			return (enum trouble)i;
	for (int i = 0; i < TROUBLE_COUNT; i++)
		if (kinds[i].prefix != NULL && strstr(error, kinds[i].prefix) != NULL)
			return (enum trouble)i;
	return TROUBLE_ERROR;
}
