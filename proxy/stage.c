/* stage.c: the stages of a connection's life */
#include "config.h"

#include "proxy/stage.h"

static const char *const texts[] = {
#define STAGE(name, text) text,
#include "proxy/stage.tbl.h"
#undef STAGE
};

const char *
conn_stage_str(enum conn_stage s)
{
	return texts[s];
}
