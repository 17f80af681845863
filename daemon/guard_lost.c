/* guard_lost.c: pure: workers that smbgate-keyd has lost, and when each gets a new socket */
#include "config.h"

#include "daemon/guard_lost.h"

#include <limits.h>

#define WAIT_MIN_MS 100
#define WAIT_MAX_MS 30000
/* A socket that lasted that long was well. */
#define LASTED_MS 60000

void
guard_lost_note(struct guard_lost *l, unsigned worker, uint64_t now)
{
	if (worker >= CONF_WORKERS_MAX || l->worker[worker].due != 0)
		return;
	if (l->worker[worker].wait == 0 || now - l->worker[worker].since >= LASTED_MS)
		l->worker[worker].wait = WAIT_MIN_MS;
	else if ((l->worker[worker].wait *= 2) > WAIT_MAX_MS)
		l->worker[worker].wait = WAIT_MAX_MS;
	l->worker[worker].due = now + l->worker[worker].wait;
	l->n++;
}

void
guard_lost_clear(struct guard_lost *l)
{
	for (unsigned i = 0; i < CONF_WORKERS_MAX; i++)
		l->worker[i].due = 0;
	l->n = 0;
}

int
guard_lost_wait(const struct guard_lost *l, uint64_t now)
{
	int least = l->n == 0 ? -1 : INT_MAX;

	for (unsigned i = 0; i < CONF_WORKERS_MAX && l->n > 0; i++) {
		uint64_t due = l->worker[i].due, ms = due > now ? due - now : 0;

		if (due != 0 && ms < (uint64_t)least)
			least = (int)ms;
	}
	return least;
}

int
guard_lost_due(struct guard_lost *l, uint64_t now)
{
	for (unsigned i = 0; i < CONF_WORKERS_MAX && l->n > 0; i++) {
		if (l->worker[i].due == 0 || l->worker[i].due > now)
			continue;
		l->worker[i].due = 0;
		l->worker[i].since = now;
		l->n--;
		return (int)i;
	}
	return -1;
}
