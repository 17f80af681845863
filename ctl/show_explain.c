/* show_explain.c: why a client has one channel or several, and what was refused, as text */
#include "config.h"

#include "ctl/show.h"

#include "ctl/field.h"
#include "ctl/table.h"

#include <string.h>

#define COLUMNS(heads) (sizeof(heads) / sizeof((heads)[0]))

size_t
show_explained(const json_t *answer)
{
	return json_array_size(json_object_get(answer, "clients")) +
	    json_array_size(json_object_get(answer, "refusals")) +
	    (json_object_get(answer, "address") != NULL) +
	    (json_object_get(answer, "guid") != NULL);
}

/* "a, b", or what there is in its place. */
static void
print_texts(const json_t *list, const char *none, FILE *out)
{
	const json_t *text;
	size_t i;

	if (json_array_size(list) == 0)
		fputs(none, out);
	json_array_foreach(list, i, text)
		fprintf(out, "%s%s", i > 0 ? ", " : "", json_string_value(text));
}

/* " (policy.conf:12, 3s ago)" */
static void
print_aside(const json_t *o, FILE *out)
{
	const char *where = json_string_value(json_object_get(o, "where"));
	const json_t *age = json_object_get(o, "age_s");
	char text[32];

	if (where == NULL && !json_is_integer(age))
		return;
	fprintf(out, " (%s%s", where != NULL ? where : "",
	    where != NULL && json_is_integer(age) ? ", " : "");
	if (json_is_integer(age))
		fprintf(out, "%s ago", duration(json_integer_value(age), text));
	fputc(')', out);
}

static void
print_reasons(const json_t *client, FILE *out)
{
	const json_t *o;
	size_t i;

	json_array_foreach(json_object_get(client, "reasons"), i, o) {
		const char *fix = json_string_value(json_object_get(o, "fix"));
		const char *cause = json_string_value(json_object_get(o, "cause"));

		fprintf(out, "  - %s%s%s: %s", text_of(o, "code"), cause != NULL ? ", " : "",
		    cause != NULL ? cause : "", text_of(o, "text"));
		print_aside(o, out);
		fputc('\n', out);
		if (fix != NULL)
			fprintf(out, "    what to do: %s\n", fix);
	}
}

static void
print_query(const json_t *q, FILE *out)
{
	const long long count = int_of(q, "count");
	const json_t *o;
	char age[32];
	size_t i;

	if (count == 0)
		return;
	fprintf(out, "  asked for the server's interfaces %lld time%s, %s ago; node: ", count,
	    count == 1 ? "" : "s", duration(int_of(q, "age_s"), age));
	print_texts(json_object_get(q, "node_list"), "not seen", out);
	fputs("; told: ", out);
	print_texts(json_object_get(q, "told"), "nothing", out);
	fputc('\n', out);
	json_array_foreach(json_object_get(q, "removed"), i, o) {
		fprintf(out, "    left out: %s", text_of(o, "address"));
		print_aside(o, out);
		fputc('\n', out);
	}
}

static void
explain_client(const json_t *o, FILE *out)
{
	const json_t *placed = json_object_get(o, "placed");
	const char *last = json_string_value(json_object_get(o, "last_address"));

	fprintf(out, "%s\n", text_of(json_object_get(o, "verdict"), "text"));
	fprintf(out, "  client %s at ", text_of(o, "client"));
	print_texts(json_object_get(o, "addresses"), "no address", out);
	if (last != NULL)
		fprintf(out, " (last: %s)", last);
	fprintf(out, ", on node %s, by %s; hash: %s, claim: %s", text_of(o, "node"),
	    text_of(placed, "by"), text_of(placed, "hash_node"), text_of(placed, "claim_node"));
	if (int_of(placed, "linger_s") > 0)
		fprintf(out, ", kept for %lld s", int_of(placed, "linger_s"));
	fputc('\n', out);
	print_reasons(o, out);
	print_query(json_object_get(o, "query"), out);
}

/* findings: the client's reasons are not all that there is to say. */
static void
print_sessions(const json_t *sessions, bool findings, FILE *out)
{
	const json_t *o, *text;
	size_t i, k;

	json_array_foreach(sessions, i, o) {
		const json_t *first = json_array_get(json_object_get(o, "channels"), 0);

		fprintf(out, "session %s of %s, %s, on node %s, %s, %s\n", text_of(o, "session_id"),
		    text_of(o, "principal"), text_of(first, "client_address"), text_of(o, "node"),
		    text_of(o, "dialect"), text_of(o, "protection"));
		json_array_foreach(json_object_get(o, "findings"), k, text)
			if (findings)
				fprintf(out, "  - %s\n", json_string_value(text));
	}
}

static void
print_address(const json_t *a, FILE *out)
{
	const json_t *o;
	size_t i;

	fprintf(out, "%s is %s", text_of(a, "address"),
	    bool_of(a, "allowed") ? "allowed" : "forbidden");
	print_aside(a, out);
	if (json_is_string(json_object_get(a, "node")))
		fprintf(out, "; it is node %s's", text_of(a, "node"));
	if (bool_of(a, "nat"))
		fputs("; as a client's, several share it (nat)", out);
	fputc('\n', out);
	json_array_foreach(json_object_get(a, "listeners"), i, o) {
		fprintf(out, "  listener %s, mode %s: %s", text_of(o, "listener"),
		    text_of(o, "mode"), bool_of(o, "announced") ? "announced" : "not announced");
		print_aside(o, out);
		fputs("; who dials it is told ", out);
		if (json_is_array(json_object_get(o, "told")))
			print_texts(json_object_get(o, "told"), "nothing", out);
		else
			fputs("what the node says", out);
		fputc('\n', out);
	}
}

static void
print_guid(const json_t *g, FILE *out)
{
	const json_t *o;
	size_t i;

	fprintf(out, "client %s\n", text_of(g, "client"));
	json_array_foreach(json_object_get(g, "listeners"), i, o) {
		const bool dials = strcmp(text_of(o, "by"), "dialled") == 0;

		fprintf(out, "  listener %s: goes to %s, by %s; hash: %s, claim: %s\n",
		    text_of(o, "listener"), dials ? "the node that it dials" : text_of(o, "node"),
		    text_of(o, "by"), text_of(o, "hash_node"), text_of(o, "claim_node"));
	}
}

void
show_refusals(const json_t *answer, bool all, FILE *out)
{
	static const char *const heads[] = { ">AGO", "CLIENT", "LOCAL", "GUID", "NODE", "CODE",
		">TIMES", "WHY" };
	struct table t = { .heads = heads, .ncols = COLUMNS(heads) };
	long long left = int_of(answer, "left_out");
	const json_t *o;
	size_t i;

	(void)all;
	json_array_foreach(json_object_get(answer, "refusals"), i, o) {
		char age[32];

		table_add(&t, "%s", duration(int_of(o, "age_s"), age));
		table_add(&t, "%s", text_of(o, "client"));
		table_add(&t, "%s", text_of(o, "local_address"));
		table_add(&t, "%s", text_of(o, "client_guid"));
		table_add(&t, "%s", text_of(o, "node"));
		table_add(&t, "%s", text_of(o, "code"));
		table_add(&t, "%lld", int_of(o, "count"));
		table_add(&t, "%s", text_of(o, "text"));
	}
	table_print(&t, out);
	if (left > 0)
		fprintf(out, "%lld older ones had to make room.\n", left);
}

void
show_explain(const json_t *answer, bool all, FILE *out)
{
	const json_t *clients = json_object_get(answer, "clients"), *o;
	const json_t *sessions = json_object_get(answer, "sessions");
	const json_t *refusals = json_object_get(answer, "refusals");
	size_t i;

	(void)all;
	if (show_explained(answer) == 0)
		fputs("Nobody: nothing live, lingering or refused has that address, GUID, id or "
		      "user.\n", out);
	if (json_object_get(answer, "address") != NULL)
		print_address(json_object_get(answer, "address"), out);
	if (json_object_get(answer, "guid") != NULL)
		print_guid(json_object_get(answer, "guid"), out);
	json_array_foreach(clients, i, o) {
		if (i > 0 || json_object_get(answer, "address") != NULL)
			fputc('\n', out);
		explain_client(o, out);
	}
	print_sessions(sessions, json_array_size(sessions) > json_array_size(clients), out);
	if (json_array_size(refusals) > 0)
		show_refusals(answer, false, out);
}
