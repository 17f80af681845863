/* show.c: the answers of smbgate as text for people */
#include "config.h"

#include "ctl/show.h"

#include "ctl/field.h"
#include "ctl/table.h"

#include <stdlib.h>
#include <string.h>

#define COLUMNS(heads) (sizeof(heads) / sizeof((heads)[0]))

/* How many of the local ports toward a node its connections have. */
static void
ports_cell(struct table *t, long long used, long long fit)
{
	if (fit > 0)
		table_add(t, "%lld%%", used * 100 / fit);
	else
		table_add(t, "-");
}

/* Why those are not up that are not: what their last probes met. */
static void
show_probes(const json_t *answer, FILE *out)
{
	const json_t *o;
	size_t i;

	json_array_foreach(json_object_get(answer, "nodes"), i, o) {
		const char *why = json_string_value(json_object_get(o, "probe_why"));

		if (why != NULL && strcmp(text_of(o, "state"), "up") != 0)
			fprintf(out, "%s: its last probe failed: %s\n", text_of(o, "name"), why);
	}
}

/* Those that say anything but that all is well. */
static void
show_agents(const json_t *answer, FILE *out)
{
	const json_t *o, *a;
	size_t i;

	json_array_foreach(json_object_get(answer, "nodes"), i, o) {
		const char *why;

		a = json_object_get(o, "agent");
		if (!json_is_object(a) ||
		    (strcmp(text_of(a, "says"), "up") == 0 && int_of(a, "weight_percent") == 100))
			continue;
		why = json_string_value(json_object_get(a, "why"));
		fprintf(out, "%s: its agent says %s, weight %lld%%%s%s", text_of(o, "name"),
		    text_of(a, "says"), int_of(a, "weight_percent"), why != NULL ? ": " : "",
		    why != NULL ? why : "");
		fprintf(out, " (%lld of %lld times no answer)\n", int_of(a, "failures"),
		    int_of(a, "asked"));
	}
}

void
show_nodes(const json_t *answer, bool all, FILE *out)
{
	static const char *const heads[] = { "NODE", "STATE", "SINCE", "ADDRESS", ">WEIGHT",
		">CONNS", ">PORTS", ">CLIENTS", ">LOST", ">PROBES", ">FAILED", ">ANSWERS IN" };
	struct table t = { .heads = heads, .ncols = COLUMNS(heads) };
	const json_t *o;
	size_t i;

	(void)all;
	json_array_foreach(json_object_get(answer, "nodes"), i, o) {
		const char *state = text_of(o, "state");
		bool also = bool_of(o, "draining") && strcmp(state, "drain") != 0;
		long long us = int_of(o, "probe_us");
		char since[32];

		table_add(&t, "%s", text_of(o, "name"));
		table_add(&t, "%s%s%s%s", state, also ? ",drain" : "",
		    bool_of(o, "held_down") || bool_of(o, "logons_held") ? ",held" : "",
		    bool_of(o, "unreached") ? ",unreached" : "");
		table_add(&t, "%s", duration(int_of(o, "state_since_s"), since));
		table_add(&t, "%s", text_of(o, "address"));
		table_add(&t, "%lld", int_of(o, "weight"));
		table_add(&t, "%lld", int_of(o, "connections"));
		ports_cell(&t, int_of(o, "connections"), int_of(o, "ports"));
		table_add(&t, "%lld", int_of(o, "clients"));
		table_add(&t, "%lld", int_of(o, "logon_timeouts"));
		table_add(&t, "%lld", int_of(o, "probes"));
		table_add(&t, "%lld", int_of(o, "probe_failures"));
		if (us > 0)
			table_add(&t, "%lld.%lldms", us / 1000, us / 100 % 10);
		else
			table_add(&t, "-");
	}
	table_print(&t, out);
	show_probes(answer, out);
	show_agents(answer, out);
	if (json_is_false(json_object_get(answer, "takes_clients")))
		fputs("No node takes new clients (see no-node in policy.conf)\n", out);
}

/* "announced list: 10.1.0.5, 10.1.0.6"; the addresses are texts, or objects that have one. */
static void
show_interfaces(const json_t *session, FILE *out)
{
	const char *sep = ": ";
	const json_t *a;
	size_t i;

	fputs(text_of(session, "told"), out);
	json_array_foreach(json_object_get(session, "addresses"), i, a) {
		fprintf(out, "%s%s", sep, json_is_string(a) ? json_string_value(a)
		                                              : text_of(a, "address"));
		sep = ", ";
	}
}

static bool
same_interfaces(const json_t *a, const json_t *b)
{
	return json_equal(json_object_get(a, "told"), json_object_get(b, "told")) &&
	    json_equal(json_object_get(a, "addresses"), json_object_get(b, "addresses"));
}

/* The last cell of a row: the interfaces that each session was told, equal ones once. */
static void
add_interfaces(struct table *t, const json_t *sessions)
{
	char *text = NULL;
	size_t len, i;
	FILE *f = open_memstream(&text, &len);
	const json_t *o, *last = NULL;

	if (f != NULL) {
		json_array_foreach(sessions, i, o) {
			if (last != NULL && same_interfaces(o, last))
				continue;
			if (last != NULL)
				fputs("; ", f);
			show_interfaces(o, f);
			last = o;
		}
		fclose(f);
	}
	table_add(t, "%s", text != NULL && text[0] != '\0' ? text : "-");
	free(text);
}

/* What libraries send that make up no ClientGuid. */
static const char no_guid[] = "00000000-0000-0000-0000-000000000000";

void
show_clients(const json_t *answer, bool all, FILE *out)
{
	static const char *const heads[] = { "CLIENT", "ADDRESS", "DIALLED", "NODE", ">CONNS",
		">SESSIONS", "CLAIM", "TOLD" };
	struct table t = { .heads = heads, .ncols = COLUMNS(heads) };
	bool zeros = false;
	const json_t *o;
	size_t i;

	(void)all;
	json_array_foreach(json_object_get(answer, "clients"), i, o) {
		const json_t *sessions = json_object_get(o, "sessions");
		long long linger = int_of(o, "linger_s");
		char left[32];

		table_add(&t, "%s", text_of(o, "client"));
		table_add(&t, "%s", text_of(o, "address"));
		table_add(&t, "%s", text_of(o, "dialled"));
		table_add(&t, "%s", text_of(o, "node"));
		table_add(&t, "%lld", int_of(o, "connections"));
		table_add(&t, "%zu", json_array_size(sessions));
		if (linger > 0)
			table_add(&t, "%s, ends in %s", bool_of(o, "firm") ? "firm" : "provisional",
			    duration(linger, left));
		else
			table_add(&t, "%s", bool_of(o, "firm") ? "firm" : "provisional");
		add_interfaces(&t, sessions);
		zeros |= strcmp(text_of(o, "client"), no_guid) == 0;
	}
	table_print(&t, out);
	if (zeros)
		fprintf(out, "%s: all clients that send this GUID share a node, as nodes take them "
		    "for one.\n", no_guid);
}

void
show_sessions(const json_t *answer, bool all, FILE *out)
{
	static const char *const heads[] = { "SESSION", "DIALLED", "NODE", "CLIENT", "USER",
		"DIALECT", "SIGNING", "CIPHER", ">CHANNELS", "AGE", "PROTECTION", "TOLD" };
	struct table t = { .heads = heads, .ncols = COLUMNS(heads) };
	const json_t *o;
	size_t i;

	(void)all;
	json_array_foreach(json_object_get(answer, "sessions"), i, o) {
		const json_t *channels = json_object_get(o, "channels");
		const char *why = json_string_value(json_object_get(o, "why"));
		const char *user = json_string_value(json_object_get(o, "user"));
		char age[32];
		json_t *one;

		table_add(&t, "%s", text_of(o, "session_id"));
		table_add(&t, "%s", text_of(o, "dialled"));
		table_add(&t, "%s", text_of(o, "node"));
		table_add(&t, "%s", text_of(json_array_get(channels, 0), "client_address"));
		table_add(&t, "%s", bool_of(o, "anonymous") ? "anonymous"
		        : bool_of(o, "guest")               ? "guest"
		        : user != NULL                      ? user
		                                            : "logged on");
		table_add(&t, "%s", text_of(o, "dialect"));
		table_add(&t, "%s%s", text_of(o, "signing_algorithm"),
		    bool_of(o, "signing_required") ? ", required" : "");
		table_add(&t, "%s%s", text_of(o, "cipher"),
		    bool_of(o, "encrypted") ? ", required" : "");
		table_add(&t, "%zu", json_array_size(channels));
		table_add(&t, "%s", duration(int_of(o, "age_s"), age));
		if (why != NULL)
			table_add(&t, "%s (%s)", text_of(o, "protection"), why);
		else
			table_add(&t, "%s", text_of(o, "protection"));
		one = json_pack("[O]", o);
		add_interfaces(&t, one);
		json_decref(one);
	}
	table_print(&t, out);
}

void
show_policy(const json_t *answer, bool all, FILE *out)
{
	const json_t *o = json_object_get(answer, "policy");
	char since[32];

	(void)all;
	fprintf(out, "# generation %lld, in force for %s, from %s\n", int_of(o, "generation"),
	    duration(int_of(o, "since_s"), since), text_of(o, "path"));
	fputs(text_of(o, "text"), out);
}

void
show_drain(const json_t *answer, bool all, FILE *out)
{
	const char *state = text_of(answer, "state");
	long long n = int_of(answer, "connections");

	(void)all;
	if (bool_of(answer, "draining"))
		fprintf(out, "%s drains: it gets no new clients; its %lld connection%s stay%s.\n",
		    text_of(answer, "node"), n, n == 1 ? "" : "s", n == 1 ? "s" : "");
	else if (strcmp(state, "drain") == 0)
		fprintf(out, "%s is no longer drained by hand, but policy.conf drains it.\n",
		    text_of(answer, "node"));
	else if (strcmp(state, "up") == 0)
		fprintf(out, "%s takes new clients.\n", text_of(answer, "node"));
	else
		fprintf(out, "%s is no longer drained; its state is %s.\n",
		    text_of(answer, "node"), state);
}

void
show_ready(const json_t *answer, bool all, FILE *out)
{
	bool live = json_object_get(answer, "live") != NULL;

	(void)all;
	if (bool_of(answer, "good"))
		fprintf(out, live ? "smbgate works.\n" : "smbgate takes new clients.\n");
	else
		fprintf(out, "%s: %s\n", live ? "not alive" : "not ready",
		    text_of(answer, "why"));
}

void
show_reload(const json_t *answer, bool all, FILE *out)
{
	(void)all;
	fprintf(out, "Policy reloaded: generation %lld is in force.\n",
	    int_of(answer, "generation"));
}

void
show_check(const json_t *answer, bool all, FILE *out)
{
	static const char *const heads[] = { "", "CHECK", "WHAT", "FOUND" };
	struct table t = { .heads = heads, .ncols = COLUMNS(heads) };
	const json_t *o;
	size_t i;

	(void)all;
	json_array_foreach(json_object_get(answer, "checks"), i, o) {
		const char *fix = json_string_value(json_object_get(o, "fix"));

		table_add(&t, "%s", text_of(o, "result"));
		table_add(&t, "%s", text_of(o, "id"));
		table_add(&t, "%s", text_of(o, "what"));
		table_add(&t, "%s%s%s", text_of(o, "text"), fix == NULL ? "" : ". To mend it: ",
		    fix == NULL ? "" : fix);
	}
	table_print(&t, out);
}
