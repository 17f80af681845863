/* script.c: the Lua scripts that change claims in Redis, each of them atomic: those of state/lua/ */
#include "config.h"

#include "state/script.h"

static const char *const text[SCRIPT_COUNT] = {
#include "state/scripts.inc"
};

const char *
script_text(enum script s)
{
	return text[s];
}
