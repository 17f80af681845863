/* show_stats.c: counters as text for people: of smbgate, and of the map of claims */
#include "config.h"

#include "ctl/show.h"

#include "ctl/field.h"
#include "ctl/table.h"

#include <string.h>

/* A line for each number: its name, its value, and what it means where descriptions has that. */
static void
print_counters(json_t *o, const json_t *descriptions, const char *indent, bool all, FILE *out)
{
	const char *key;
	int width = 0;
	json_t *v;

	json_object_foreach(o, key, v)
		if (json_is_integer(v) && (all || json_integer_value(v) != 0) &&
		    (int)strlen(key) > width)
			width = (int)strlen(key);
	json_object_foreach(o, key, v) {
		const char *help = json_string_value(json_object_get(descriptions, key));

		if (!json_is_integer(v) || (!all && json_integer_value(v) == 0))
			continue;
		fprintf(out, "%s%-*s  %*lld%s%s\n", indent, width, key, 12,
		    (long long)json_integer_value(v), help != NULL ? "  " : "",
		    help != NULL ? help : "");
	}
}

void
show_stats(const json_t *answer, bool all, FILE *out)
{
	json_t *o = json_object_get(answer, "stats");
	json_t *descriptions = json_object_get(answer, "descriptions");

	print_counters(o, descriptions, "", all, out);
	fputs("closed connections, by reason:\n", out);
	print_counters(json_object_get(o, "closed"), json_object_get(descriptions, "closed"), "  ",
	    all, out);
}

static const struct {
	const char *key, *text;
} map_rows[] = {
	{ "epoch", "epoch" },
	{ "latency_us", "latency, us" },
	{ "timeout_ms", "timeout, ms" },
	{ "claims", "claims held here" },
	{ "exceptions", "exceptions known" },
	{ "facts", "sessions shared" },
	{ "asked", "claims asked of Redis" },
	{ "known", "answered from memory" },
	{ "blind", "answered without Redis" },
	{ "wait_us_mean", "wait, mean us" },
	{ "wait_us_max", "wait, longest us" },
	{ "commands", "commands sent" },
	{ "said_again", "claims sent again" },
	{ "lost", "claims lost" },
};

void
show_map(const json_t *answer, bool all, FILE *out)
{
	static const char *const heads[] = { "WHAT", "VALUE" };
	struct table t = { .heads = heads, .ncols = 2 };
	json_t *o = json_object_get(answer, "state"), *servers = json_object_get(o, "servers"), *s;
	bool sentinel = json_is_string(json_object_get(o, "sentinel"));
	size_t i;

	if (strcmp(text_of(o, "backend"), "redis") != 0) {
		fputs("The map of claims is in memory.\n", out);
		return;
	}
	fprintf(out, "The map of claims is in Redis, %s since %lld s: %s, role %s.\n",
	    bool_of(o, "connected") ? "connected" : "out of reach", int_of(o, "since_s"),
	    text_of(o, "server"), text_of(o, "role"));
	if (bool_of(o, "degraded"))
		fprintf(out, "DEGRADED: %lld of %lld workers reach it; others place clients by the "
		    "hash.\n", int_of(o, "workers_ready"), int_of(o, "workers"));
	json_array_foreach(servers, i, s) {
		table_add(&t, "%s", sentinel ? "sentinel" : i == 0 ? "servers" : "");
		table_add(&t, "%s", json_string_value(s));
	}
	for (i = 0; i < sizeof(map_rows) / sizeof(map_rows[0]); i++) {
		table_add(&t, "%s", map_rows[i].text);
		table_add(&t, "%lld", int_of(o, map_rows[i].key));
	}
	table_print(&t, out);
	fputs("errors, by kind:\n", out);
	print_counters(json_object_get(o, "errors"), NULL, "  ", all, out);
}
