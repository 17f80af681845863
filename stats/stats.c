/* stats.c: counters, one set a worker, summed when read */
#include "config.h"

#include "stats/stats.h"

static const struct {
	const char *name, *help;
} stat_table[STAT_COUNT] = {
#define STAT(name, help) { #name, help },
#include "stats/stat.tbl.h"
#undef STAT
};

static const struct {
	const char *counter, *text;
} close_table[CLOSE_COUNT] = {
#define CLOSE(name, counter, text) { counter, text },
#include "stats/close.tbl.h"
#undef CLOSE
};

void
stats_sum(struct stats *sum, struct stats *s)
{
	for (int i = 0; i < STAT_COUNT; i++)
		sum->count[i] += atomic_load_explicit(&s->count[i], memory_order_relaxed);
	for (int i = 0; i < CLOSE_COUNT; i++)
		sum->closed[i] += atomic_load_explicit(&s->closed[i], memory_order_relaxed);
}

const char *
stats_name(enum counter which)
{
	return stat_table[which].name;
}

const char *
stats_help(enum counter which)
{
	return stat_table[which].help;
}

const char *
close_counter(enum close_reason r)
{
	return close_table[r].counter;
}

const char *
close_text(enum close_reason r)
{
	return close_table[r].text;
}
