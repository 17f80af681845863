/* fuzz-nodefile.c: libFuzzer target: a node-file's lines, and the same nodes in JSON */
/* for: policy/nodefile.c policy/nodefile_json.c */
#include "config.h"

#include "policy/errlist.h"
#include "policy/nodefile.h"
#include "t/unit/lib/holds.h"

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROWS 64

struct rows {
	size_t n;
	struct noderow row[ROWS];
};

static void
keep(void *arg, const struct noderow *r)
{
	struct rows *rows = arg;

	HOLDS(r->value[NODEROW_NAME][0] != '\0' && r->value[NODEROW_ADDRESS][0] != '\0');
	HOLDS(r->line > 0 && (rows->n == 0 || rows->n > ROWS ||
	    r->line >= rows->row[rows->n - 1].line));
	for (size_t i = 0; i < NODEROW_FIELDS; i++)
		HOLDS(memchr(r->value[i], 0, NODEROW_LEN) != NULL);
	if (rows->n < ROWS)
		rows->row[rows->n++] = *r;
}

/* How many errors. */
static size_t
read_text(struct rows *rows, const char *text, size_t n)
{
	struct errlist e = { .n = 0 };
	char *copy = malloc(n + 1);
	size_t errors;

	HOLDS(copy != NULL);
	if (n > 0)
		memcpy(copy, text, n);
	copy[n] = '\0';
	rows->n = 0;
	nodefile_read(copy, "f", &e, keep, rows);
	for (size_t i = 0; i < e.n; i++)
		HOLDS(strchr(e.text[i], '\n') == NULL);
	errors = e.total;
	errlist_fini(&e);
	free(copy);
	return errors;
}

/* NULL: a value is not text that JSON can have. */
static char *
as_json(const struct rows *rows)
{
	static const char *const names[NODEROW_FIELDS] = NODEROW_NAMES;
	json_t *all = json_array();
	char *text = NULL;

	for (size_t i = 0; i < rows->n && all != NULL; i++) {
		json_t *o = json_object();

		for (size_t f = 0; f < NODEROW_FIELDS; f++) {
			const char *v = rows->row[i].value[f];

			if (v[0] != '\0' &&
			    json_object_set_new(o, names[f], json_string(v)) == -1) {
				json_decref(o);
				goto out;
			}
		}
		json_array_append_new(all, o);
	}
	text = json_dumps(all, JSON_INDENT(1));
out:
	json_decref(all);
	return text;
}

/* The words that a node has without a name in front of them begin its line. */
static void
begins_its_line(const struct noderow *r, const char *text, size_t n)
{
	char line[512] = "", name[NODEROW_LEN] = "", address[NODEROW_LEN] = "";
	const char *end;

	for (int i = 1; i < r->line; i++, n -= (size_t)(end - text) + 1, text = end + 1) {
		end = memchr(text, '\n', n);
		HOLDS(end != NULL);
	}
	end = memchr(text, '\n', n);
	HOLDS(end != NULL);
	if ((size_t)(end - text) >= sizeof(line) || memchr(text, '=', (size_t)(end - text)) != NULL)
		return;
	memcpy(line, text, (size_t)(end - text));
	line[strcspn(line, "#\r")] = '\0';
	if (strpbrk(line, "\v\f") != NULL)
		return;
	HOLDS(sscanf(line, "%79s %79s", name, address) == 2);
	HOLDS(strcmp(name, r->value[NODEROW_NAME]) == 0);
	HOLDS(strcmp(address, r->value[NODEROW_ADDRESS]) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct rows rows, again;
	size_t errors = read_text(&rows, (const char *)data, size);
	char *json;

	if (size > 0 && memchr(data, 0, size) == NULL && memchr(data, '[', size) == NULL &&
	    memchr(data, '{', size) == NULL)
		for (size_t i = 0; i < rows.n; i++)
			begins_its_line(&rows.row[i], (const char *)data, size);
	/* A file that is cut short gives no node that the whole one does not have. */
	if (size > 0 && errors == 0) {
		(void)read_text(&again, (const char *)data, size - 1);
		HOLDS(again.n <= rows.n);
		for (size_t i = 0; i < again.n; i++)
			HOLDS(memcmp(again.row[i].value, rows.row[i].value,
			    sizeof(rows.row[i].value)) == 0);
	}
	if (rows.n == ROWS || (json = as_json(&rows)) == NULL)
		return 0;
	HOLDS(read_text(&again, json, strlen(json)) == 0 && again.n == rows.n);
	for (size_t i = 0; i < rows.n; i++)
		for (size_t f = 0; f < NODEROW_FIELDS; f++)
			HOLDS(strcmp(rows.row[i].value[f], again.row[i].value[f]) == 0);
	free(json);
	return 0;
}
