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
	if (json_is_string(json_object_get(o, "keyd")))
		fprintf(out, "smbgate-keyd is %s\n", text_of(o, "keyd"));
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
	{ "refused", "clients refused" },
	{ "said_again", "claims asked and said" },
	{ "lost", "claims lost" },
};

static void
show_peers(const json_t *peers, FILE *out)
{
	static const char *const heads[] = { "PEER", "VERSION", "SECRET", "NODES", "HEARD OF" };
	struct table t = { .heads = heads, .ncols = 5 };
	json_t *p;
	size_t i;

	if (json_array_size(peers) == 0)
		return;
	json_array_foreach(peers, i, p) {
		table_add(&t, "%s", text_of(p, "name"));
		table_add(&t, "%s", text_of(p, "version"));
		table_add(&t, "%s", bool_of(p, "same_secret") ? "same" : "other");
		table_add(&t, "%s", bool_of(p, "same_nodes") ? "same" : "other");
		table_add(&t, "%lld ms ago", int_of(p, "age_ms"));
	}
	table_print(&t, out);
}

/* The smbgate that was there before, while it still has clients. */
static void
show_before(const json_t *before, FILE *out)
{
	if (json_is_object(before))
		fprintf(out, "Process %lld, from which this one took over, still has %lld "
		    "connections (%s); it ends within %lld s.\n", int_of(before, "pid"),
		    int_of(before, "connections"), text_of(before, "why"),
		    int_of(before, "remaining_s"));
}

void
show_map(const json_t *answer, bool all, FILE *out)
{
	static const char *const heads[] = { "WHAT", "VALUE" };
	struct table t = { .heads = heads, .ncols = 2 };
	json_t *o = json_object_get(answer, "state"), *servers = json_object_get(o, "servers"), *s;
	bool sentinel = json_is_string(json_object_get(o, "sentinel"));
	size_t i;

	show_before(json_object_get(o, "before"), out);
	if (strcmp(text_of(o, "backend"), "redis") != 0) {
		fputs("The map of claims is in memory.\n", out);
		return;
	}
	fprintf(out, "The map of claims is in Redis, %s since %lld s: %s, role %s.\n",
	    bool_of(o, "connected") ? "connected" : "out of reach", int_of(o, "since_s"),
	    text_of(o, "server"), text_of(o, "role"));
	if (bool_of(o, "refusing"))
		fputs("REFUSING: a proxy of another version is there; new clients are sent "
		      "away.\n", out);
	else if (bool_of(o, "degraded"))
		fputs("DEGRADED: clients are placed by the hash.\n", out);
	if (json_is_string(json_object_get(o, "trouble")))
		fprintf(out, "What was met last: %s\n", text_of(o, "trouble"));
	if (json_is_string(json_object_get(o, "eviction")) &&
	    strcmp(text_of(o, "eviction"), "noeviction") != 0)
		fprintf(out, "Its maxmemory-policy is %s: it forgets clients when it is full. "
		    "Right is noeviction.\n", text_of(o, "eviction"));
	json_array_foreach(servers, i, s) {
		table_add(&t, "%s", sentinel ? "sentinel" : i == 0 ? "servers" : "");
		table_add(&t, "%s", json_string_value(s));
	}
	for (i = 0; i < sizeof(map_rows) / sizeof(map_rows[0]); i++) {
		table_add(&t, "%s", map_rows[i].text);
		table_add(&t, "%lld", int_of(o, map_rows[i].key));
	}
	table_print(&t, out);
	show_peers(json_object_get(o, "peers"), out);
	fputs("errors, by kind:\n", out);
	print_counters(json_object_get(o, "errors"), NULL, "  ", all, out);
}
