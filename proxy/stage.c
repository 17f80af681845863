/* stage.c: the stages of a connection's life */
#include "config.h"

#include "proxy/stage.h"

const struct stage stages[] = {
#define STAGE(name, text, deadline, client, node) \
	{ text, STAGE_DEADLINE_##deadline, client, node },
#include "proxy/stage.tbl.h"
#undef STAGE
};

const char *
conn_stage_str(enum conn_stage s)
{
	return stages[s].text;
}
