/* fault.c: what can be wrong with Redis, counted by kind, and said */
#include "config.h"

#include "state/fault.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The same is not said again so soon, but where all was well for that long in between. */
#define SAID_MS 60000
#define WELL_MS 5000

static const struct {
	const char *counter, *prefix;
	enum fault_kind kind;
	const char *cure;
} kinds[FAULT_COUNT] = {
#define FAULT(name, counter, prefix, kind, cure) { counter, prefix, FAULT_##kind, cure },
#include "state/fault.tbl.h"
#undef FAULT
};

const char *
fault_name(enum fault which)
{
	return kinds[which].counter;
}

enum fault_kind
fault_kind(enum fault which)
{
	return kinds[which].kind;
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
	/* What an ACL says to a script has no word of its own. */
	if (strstr(error, "The user executing the script can't") != NULL ||
	    strstr(error, "ACL failure in script") != NULL)
		return FAULT_NOPERM;
	return FAULT_ERROR;
}

/* It goes into the log and to operators: plain characters, and not too many. */
static void
copy_words(char dst[FAULT_WORDS], const char *words)
{
	snprintf(dst, FAULT_WORDS, "%s", words);
	for (char *p = dst; *p != '\0'; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
}

void
fault_met(struct faults *t, enum fault which, const char *server, const char *words)
{
	char own[FAULT_WORDS], more[64] = "";
	const char *cure = kinds[which].cure;
	uint64_t now = clock_ms(), n, said;
	bool news;

	fault_add(t, which);
	copy_words(own, words != NULL ? words : kinds[which].counter);
	pthread_mutex_lock(&t->lock);
	memcpy(t->last, own, sizeof(own));
	n = atomic_load(&t->count[which]);
	said = t->said_ms[which];
	news = said == 0 || now - said >= SAID_MS ||
	    (t->well_ms > said && now - t->well_ms >= WELL_MS);
	if (news) {
		if (n - t->said_count[which] > 1)
			snprintf(more, sizeof(more), "; %" PRIu64 " times since this was said last",
			    n - t->said_count[which]);
		t->said_ms[which] = now;
		t->said_count[which] = n;
	}
	pthread_mutex_unlock(&t->lock);
	if (news)
		log_about(LOG_LEVEL_WARN, log_of(LOG_EVENT_REDIS),
		    "redis %s: %s%s%s%s", server, own, cure == NULL ? "" : "; ",
		    cure == NULL ? "" : cure, more);
}

void
fault_over(struct faults *t)
{
	pthread_mutex_lock(&t->lock);
	t->well_ms = clock_ms();
	pthread_mutex_unlock(&t->lock);
}

void
fault_last(struct faults *t, char dst[FAULT_WORDS])
{
	pthread_mutex_lock(&t->lock);
	memcpy(dst, t->last, FAULT_WORDS);
	pthread_mutex_unlock(&t->lock);
}
