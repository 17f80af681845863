/* rows.c: answers of which there may be many rows: which, in which order, and which columns */
#include "config.h"

#include "ctl/rows.h"

#include "ctl/field.h"
#include "ctl/options.h"
#include "ctl/show.h"
#include "ctl/table.h"

#include <ctype.h>
#include <string.h>

#define COLUMNS_MAX 32
#define NAME_MAX_LEN 32

bool
rows_are(const char *what)
{
	return what != NULL && (strcmp(what, "clients") == 0 || strcmp(what, "sessions") == 0 ||
	    strcmp(what, "connections") == 0);
}

void
rows_request(const struct options *o, const char *what, json_t *request)
{
	const bool clients = strcmp(what, "clients") == 0;

	if (option_given(o, OPT_LIVE) && option_given(o, OPT_LINGERING))
		usage_error(o, "--live and --lingering exclude each other");
	if (option_given(o, OPT_OLD) || option_given(o, OPT_JSON))
		return;
	if (clients && !option_given(o, OPT_LINGERING) && !option_given(o, OPT_ALL))
		json_object_set_new(request, "live", json_true());
	if (!option_given(o, OPT_SORT))
		json_object_set_new(request, "sort", json_string(
		    strcmp(what, "connections") == 0 ? "client_address" : "address"));
}

const char *
rows_bytes(double n, char dst[32])
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB" };
	size_t i = 0;

	for (; n >= 999.5 && i + 1 < sizeof(units) / sizeof(units[0]); i++)
		n /= 1000;
	snprintf(dst, 32, i > 0 && n < 9.95 ? "%.1f %s" : "%.0f %s", n, units[i]);
	return dst;
}

static bool
is_prefix_of(const char *prefix, const char *text)
{
	return strncmp(prefix, text, strlen(prefix)) == 0;
}

static bool
is_age(const char *name)
{
	size_t n = strlen(name);

	return n > 2 && strcmp(name + n - 2, "_s") == 0;
}

static void
add_cell(struct table *t, const json_t *row, const char *name)
{
	const json_t *v = json_object_get(row, name);
	char text[32];

	if (json_is_string(v))
		table_add(t, "%s", json_string_value(v));
	else if (json_is_boolean(v))
		table_add(t, "%s", json_is_true(v) ? "yes" : "no");
	else if (json_is_array(v))
		table_add(t, "%zu", json_array_size(v));
	else if (!json_is_integer(v))
		table_add(t, "-");
	else if (is_prefix_of("bytes", name))
		table_add(t, "%s", rows_bytes((double)json_integer_value(v), text));
	else if (is_age(name))
		table_add(t, "%s", duration(json_integer_value(v), text));
	else
		table_add(t, "%lld", json_integer_value(v));
}

/* "BYTES TO NODE" of bytes_to_node; numbers are on the right. */
static void
head_of(char dst[NAME_MAX_LEN + 2], const char *name, const json_t *rows)
{
	bool right = false;
	const json_t *o;
	size_t i, n = 0;

	json_array_foreach(rows, i, o) {
		const json_t *v = json_object_get(o, name);

		right |= json_is_array(v) || (json_is_integer(v) && !is_age(name));
	}
	if (right)
		dst[n++] = '>';
	for (i = 0; name[i] != '\0' && !(is_age(name) && strcmp(name + i, "_s") == 0); i++)
		dst[n++] = (char)(name[i] == '_' ? ' ' : toupper((unsigned char)name[i]));
	dst[n] = '\0';
}

struct columns {
	size_t n;
	char names[COLUMNS_MAX][NAME_MAX_LEN];
};

/* Ends the program where rows have no such key, but others. */
static void
check_column(const struct options *o, const json_t *rows, const char *name)
{
	json_t *first = json_array_get(rows, 0);
	char list[512] = "";
	const char *key;
	json_t *v;
	size_t len = 0;

	if (first == NULL || json_object_get(first, name) != NULL)
		return;
	json_object_foreach(first, key, v)
		if (!json_is_object(v) && len < sizeof(list))
			len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s",
			    len > 0 ? ", " : "", key);
	usage_error(o, "no row has \"%s\"; there is %s", name, list);
}

/* Ends the program where the list is none. o NULL: it is one of ours. */
static void
columns_parse(struct columns *c, const struct options *o, const json_t *rows, const char *list)
{
	c->n = 0;
	while (*list != '\0') {
		size_t n = strcspn(list, ",");

		if (n == 0 || n >= NAME_MAX_LEN || c->n == COLUMNS_MAX)
			usage_error(o, "columns are at most %d keys of the rows, with commas "
			    "between", COLUMNS_MAX);
		snprintf(c->names[c->n], NAME_MAX_LEN, "%.*s", (int)n, list);
		if (o != NULL)
			check_column(o, rows, c->names[c->n]);
		c->n++;
		list += n + (list[n] == ',');
	}
	if (c->n == 0)
		usage_error(o, "there are no columns");
}

void
rows_print(const struct options *o, const json_t *answer, const char *what, const char *list,
    FILE *out)
{
	const json_t *rows = json_object_get(answer, what), *row;
	char texts[COLUMNS_MAX][NAME_MAX_LEN + 2];
	const char *heads[COLUMNS_MAX];
	struct table t = { .heads = heads };
	struct columns c;
	size_t i;

	columns_parse(&c, o, rows, list);
	for (; t.ncols < c.n; t.ncols++) {
		head_of(texts[t.ncols], c.names[t.ncols], rows);
		heads[t.ncols] = texts[t.ncols];
	}
	json_array_foreach(rows, i, row)
		for (size_t k = 0; k < c.n; k++)
			add_cell(&t, row, c.names[k]);
	table_print(&t, out);
}

void
rows_keep(const struct options *o, const json_t *answer, const char *what)
{
	const json_t *rows = json_object_get(answer, what);
	struct columns c;
	json_t *row;
	size_t i;

	columns_parse(&c, o, rows, o->value[OPT_COLUMNS]);
	json_array_foreach(rows, i, row) {
		json_t *kept = json_object();

		for (size_t k = 0; k < c.n; k++)
			json_object_set(kept, c.names[k], json_object_get(row, c.names[k]));
		json_object_clear(row);
		json_object_update(row, kept);
		json_decref(kept);
	}
}

bool
rows_nobody(const struct options *o, const json_t *answer)
{
	static const enum option_id naming[] = { OPT_NODE, OPT_CLIENT, OPT_USER, OPT_LISTENER,
		OPT_PROTECTION };
	bool named = false;

	for (size_t i = 0; i < sizeof(naming) / sizeof(naming[0]); i++)
		named |= option_given(o, naming[i]);
	return named && int_of(answer, "matched") == 0 &&
	    int_of(answer, "lingering_left_out") == 0;
}

void
rows_left_out(const json_t *answer, const char *what, FILE *out)
{
	size_t shown = json_array_size(json_object_get(answer, what));
	long long matched = int_of(answer, "matched");
	long long lingering = int_of(answer, "lingering_left_out");

	if (matched > (long long)shown)
		fprintf(out, "%lld more not shown\n", matched - (long long)shown);
	if (lingering > 0)
		fprintf(out, "%lld lingering not shown\n", lingering);
}

void
show_connections(const json_t *answer, bool all, FILE *out)
{
	(void)all;
	rows_print(NULL, answer, "connections",
	    "id,client_address,local_address,node,user,dialect,protection,stage,open_files,"
	    "outstanding,bytes_to_node,bytes_to_client,idle_s,age_s,captured",
	    out);
}
