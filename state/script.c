/* script.c: the Lua scripts of state/lua/, which change claims in Redis, each of them atomic */
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
