/* stand.c: pure: what an operator has a node be, and on which terms */
#include "config.h"

#include "daemon/stand.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const words[] = { "active", "drain", "maint" };

const char *
stand_text(const struct stand *s, char dst[STAND_TEXT])
{
	/* Without terms of its own it is in the words that every version knows. */
	if (s->kind == STAND_ACTIVE || (s->quiet_ms == STAND_QUIET_MS && s->deadline_ms == 0))
		snprintf(dst, STAND_TEXT, "%s", words[s->kind]);
	else
		snprintf(dst, STAND_TEXT, "%s %" PRIu64 " %" PRIu64, words[s->kind], s->quiet_ms,
		    s->deadline_ms);
	return dst;
}

struct stand
stand_read(const char *text)
{
	struct stand s = { .quiet_ms = STAND_QUIET_MS };
	uint64_t quiet_ms, deadline_ms;
	char word[8];
	int n = sscanf(text, "%7s %15" SCNu64 " %15" SCNu64, word, &quiet_ms, &deadline_ms);

	if (n >= 1 && strcmp(word, words[STAND_DRAIN]) == 0)
		s.kind = STAND_DRAIN;
	else if (n >= 1 && strcmp(word, words[STAND_MAINT]) == 0)
		s.kind = STAND_MAINT;
	if (n == 3 && quiet_ms <= STAND_TIME_MAX_MS && deadline_ms <= STAND_TIME_MAX_MS) {
		s.quiet_ms = quiet_ms;
		s.deadline_ms = deadline_ms;
	}
	return s;
}
