/* view.c: pure: which rows of an answer somebody wants, in which order, and how many */
#include "config.h"

#include "daemon/view.h"

#include "base/addr.h"
#include "daemon/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Keys of the rows of clients, connections and sessions; both ways together; and who has said
 * something last, of these who has moved most.
 */
static const char *const sorts[] = { "active", "address", "age_s", "bytes", "bytes_to_client",
	"bytes_to_node", "channels", "client", "client_address", "connections", "dialect",
	"dialled", "id", "idle_s", "linger_s", "listener", "node", "open_files", "outstanding",
	"principal", "protection", "session_id", "sessions", "stage", "user" };

static int
sort_parse(struct view *v, const json_t *sort, const char **why)
{
	const char *text = json_string_value(sort);

	if (sort == NULL)
		return 0;
	for (size_t i = 0; text != NULL && i < sizeof(sorts) / sizeof(sorts[0]); i++) {
		if (strcmp(text, sorts[i]) != 0)
			continue;
		snprintf(v->sort, sizeof(v->sort), "%s", text);
		return 0;
	}
	*why = "sort is active, address, age_s, bytes, channels, client, connections, dialect, "
	       "dialled, id, idle_s, linger_s, listener, node, open_files, outstanding, "
	       "protection, session_id, sessions, stage or user";
	return -1;
}

static int
limit_parse(struct view *v, const json_t *limit, const char **why)
{
	const char *text = json_string_value(limit);
	long long n = text == NULL ? json_integer_value(limit) : atoll(text);

	if (limit == NULL)
		return 0;
	if (n < 1 || (text != NULL && text[strspn(text, "0123456789")] != '\0')) {
		*why = "limit is a number of rows";
		return -1;
	}
	v->limit = (size_t)n;
	return 0;
}

int
view_parse(struct view *v, const json_t *request, const char **why)
{
	const struct filter_words words = {
		.node = json_string_value(json_object_get(request, "node")),
		.client = json_string_value(json_object_get(request, "client")),
		.user = json_string_value(json_object_get(request, "user")),
		.listener = json_string_value(json_object_get(request, "listener")),
		.protection = json_string_value(json_object_get(request, "protection")),
		.live = json_is_true(json_object_get(request, "live")),
		.lingering = json_is_true(json_object_get(request, "lingering")),
	};

	*v = (struct view){ .limit = 0 };
	if (filter_parse(&v->filter, &words, why) == -1 ||
	    sort_parse(v, json_object_get(request, "sort"), why) == -1)
		return -1;
	return limit_parse(v, json_object_get(request, "limit"), why);
}

/* What a row is sorted by. rank: what there is none of is last. */
struct view_key {
	int rank;
	double number;
	struct addrport end;
	const char *text;
	size_t at;		/* equal ones stay in their order */
	json_t *row;
};

/* More than anybody moves. */
#define MANY_BYTES 1e18

static double
both_ways(const json_t *row)
{
	return (double)json_integer_value(json_object_get(row, "bytes_to_node")) +
	    (double)json_integer_value(json_object_get(row, "bytes_to_client"));
}

static struct view_key
sort_key(const char *sort, json_t *row, size_t at)
{
	const json_t *v = json_object_get(row, sort);
	struct view_key k = { .row = row, .at = at };

	if (strcmp(sort, "bytes") == 0)
		k.number = both_ways(row);
	else if (strcmp(sort, "active") == 0)
		k.number = both_ways(row) -
		    MANY_BYTES * (double)json_integer_value(json_object_get(row, "idle_s"));
	else if (json_is_array(v))
		k.number = (double)json_array_size(v);
	else if (json_is_integer(v))
		k.number = (double)json_integer_value(v);
	else if (!json_is_string(v))
		k.rank = 2;
	else if (addrport_parse(&k.end, json_string_value(v), 0) != 0)
		k.text = json_string_value(v);
	if (k.text != NULL)
		k.rank = 1;
	return k;
}

static int
key_compare(const void *a, const void *b)
{
	const struct view_key *x = a, *y = b;
	int d = x->rank - y->rank;

	if (d == 0 && x->text != NULL)
		d = strcmp(x->text, y->text);
	if (d == 0)
		d = (x->number < y->number) - (x->number > y->number);
	if (d == 0)
		d = memcmp(x->end.addr.b, y->end.addr.b, sizeof(x->end.addr.b));
	if (d == 0)
		d = (x->end.port > y->end.port) - (x->end.port < y->end.port);
	return d != 0 ? d : (x->at > y->at) - (x->at < y->at);
}

void
view_apply(const struct view *v, json_t *answer, const char *key)
{
	const json_t *rows = json_object_get(answer, key);
	size_t n = json_array_size(rows);
	size_t shown = v->limit == 0 || v->limit > n ? n : v->limit;
	struct view_key *keys;
	json_t *sorted;

	jset_int(answer, "matched", n);
	if (v->sort[0] == '\0' && shown == n)
		return;
	keys = calloc(n + 1, sizeof(*keys));
	sorted = json_array();
	for (size_t i = 0; keys != NULL && i < n; i++)
		keys[i] = sort_key(v->sort, json_array_get(rows, i), i);
	if (keys != NULL && v->sort[0] != '\0')
		qsort(keys, n, sizeof(*keys), key_compare);
	for (size_t i = 0; keys != NULL && i < shown; i++)
		json_array_append(sorted, keys[i].row);
	if (keys != NULL)
		json_object_set(answer, key, sorted);
	json_decref(sorted);
	free(keys);
}
