/* nodefile_json.c: a node-file in JSON, taken apart into nodes */
#include "config.h"

#include "policy/nodefile_json.h"

#include "policy/errlist.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/*
 * The array is taken apart here, and each object read for itself: jansson does not say where in the
 * text a value stands, and an error is to name its line.
 */
struct walk {
	const char *at;
	int line;
	const char *path;
	struct errlist *e;
};

static const char *const names[NODEROW_FIELDS] = NODEROW_NAMES;

static void
step(struct walk *w, size_t n)
{
	for (; n > 0; n--)
		w->line += *w->at++ == '\n';
}

/* Passes over blanks; is there this byte? It is passed over, too. */
static bool
meets(struct walk *w, char c)
{
	step(w, strspn(w->at, " \t\r\n"));
	if (*w->at != c)
		return false;
	w->at++;
	return true;
}

/* What is wrong with it, or NULL. */
static const char *
put_json(struct noderow *r, const char *key, const json_t *value)
{
	const char *text = json_string_value(value);
	unsigned f = 0;

	while (f < NODEROW_FIELDS && strcmp(names[f], key) != 0)
		f++;
	if (f == NODEROW_FIELDS)
		return "is no key of a node: it has name, address, weight, state, cluster, agent";
	if (f == NODEROW_WEIGHT && json_is_integer(value)) {
		snprintf(r->value[f], NODEROW_LEN, "%" JSON_INTEGER_FORMAT,
		    json_integer_value(value));
		return NULL;
	}
	if (text == NULL)
		return "is not a text";
	if (*text == '\0' || strlen(text) >= NODEROW_LEN)
		return *text == '\0' ? "has no value" : "is too long";
	strcpy(r->value[f], text);
	return NULL;
}

/* False: *e knows why. */
static bool
read_object(struct walk *w, json_t *o, struct noderow *r)
{
	const char *key, *why;
	json_t *value;

	*r = (struct noderow){ .line = w->line };
	if (!json_is_object(o)) {
		errlist_add(w->e, w->path, w->line, "a node is an object");
		return false;
	}
	json_object_foreach(o, key, value) {
		why = put_json(r, key, value);
		if (why != NULL) {
			errlist_add(w->e, w->path, w->line, "\"%s\" %s", key, why);
			return false;
		}
	}
	if (r->value[NODEROW_NAME][0] != '\0' && r->value[NODEROW_ADDRESS][0] != '\0')
		return true;
	errlist_add(w->e, w->path, w->line, "a node needs a name and an address");
	return false;
}

/* One element of the array. False: nothing can be read behind it. */
static bool
read_element(struct walk *w, noderow_f row, void *arg)
{
	json_error_t why;
	struct noderow r;
	json_t *o;

	step(w, strspn(w->at, " \t\r\n"));
	o = json_loads(w->at, JSON_REJECT_DUPLICATES | JSON_DISABLE_EOF_CHECK | JSON_DECODE_ANY,
	    &why);
	if (o == NULL) {
		errlist_add(w->e, w->path, w->line + why.line - 1, "not JSON: %s", why.text);
		return false;
	}
	if (read_object(w, o, &r))
		row(arg, &r);
	json_decref(o);
	step(w, (size_t)why.position);
	return true;
}

void
nodefile_json(const char *text, const char *path, struct errlist *e, noderow_f row, void *arg)
{
	struct walk w = { .at = text, .line = 1, .path = path, .e = e };

	if (!meets(&w, '[')) {
		errlist_add(e, path, w.line, "not an array of nodes: [ { \"name\": ... }, ... ]");
		return;
	}
	if (!meets(&w, ']')) {
		do {
			if (!read_element(&w, row, arg))
				return;
		} while (meets(&w, ','));
		if (!meets(&w, ']')) {
			errlist_add(e, path, w.line, "the array goes on with neither ',' nor ']'");
			return;
		}
	}
	step(&w, strspn(w.at, " \t\r\n"));
	if (*w.at != '\0')
		errlist_add(e, path, w.line, "there is something behind the array");
}
