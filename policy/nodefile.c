/* nodefile.c: the text of a node-file, as lines or as JSON, taken apart into nodes */
#include "config.h"

#include "policy/nodefile.h"

#include "policy/errlist.h"
#include "policy/nodefile_json.h"
#include "policy/readfile.h"

#include <stdbool.h>
#include <string.h>

static const char *const names[NODEROW_FIELDS] = NODEROW_NAMES;

/* What is wrong with it, or NULL. */
static const char *
put_word(struct noderow *r, unsigned *place, const char *word)
{
	const char *equal = strchr(word, '=');
	unsigned f = *place;

	if (equal != NULL) {
		for (f = NODEROW_STATE + 1; f < NODEROW_FIELDS; f++)
			if (strlen(names[f]) == (size_t)(equal - word) &&
			    strncmp(names[f], word, (size_t)(equal - word)) == 0)
				break;
		if (f == NODEROW_FIELDS)
			return "is neither cluster=NAME nor agent=ADDRESS";
		word = equal + 1;
	} else if (f > NODEROW_STATE) {
		return "is too much: a line has NAME ADDRESS WEIGHT STATE";
	} else {
		++*place;
	}
	if (r->value[f][0] != '\0')
		return "is there twice";
	if (*word == '\0' || strlen(word) >= NODEROW_LEN)
		return *word == '\0' ? "has no value" : "is too long";
	strcpy(r->value[f], word);
	return NULL;
}

/* False: it is blank, or wrong, which *e knows. */
static bool
read_line(struct noderow *r, char *s, const char *path, int line, struct errlist *e)
{
	unsigned place = NODEROW_NAME;
	const char *why;
	char *word;

	*r = (struct noderow){ .line = line };
	s[strcspn(s, "#\r")] = '\0';
	while ((word = strsep(&s, " \t")) != NULL) {
		if (*word == '\0')
			continue;
		why = put_word(r, &place, word);
		if (why != NULL) {
			errlist_add(e, path, line, "\"%s\" %s", word, why);
			return false;
		}
	}
	if (place > NODEROW_ADDRESS)
		return true;
	if (place == NODEROW_ADDRESS || r->value[NODEROW_CLUSTER][0] != '\0' ||
	    r->value[NODEROW_AGENT][0] != '\0')
		errlist_add(e, path, line, "no address: a line is NAME ADDRESS WEIGHT STATE");
	return false;
}

static void
read_lines(char *text, const char *path, struct errlist *e, noderow_f row, void *arg)
{
	int line = 0, lone = readfile_lone_cr(text);
	struct noderow r;
	char *s;

	if (lone != 0) {
		errlist_add(e, path, lone, READFILE_LONE_CR);
		return;
	}
	while ((s = strsep(&text, "\n")) != NULL) {
		line++;
		/* Behind the last newline there is nothing, in a file that is whole. */
		if (text == NULL && *s != '\0')
			errlist_add(e, path, line,
			    "the file ends in the middle of a line: it may be cut short");
		else if (read_line(&r, s, path, line, e))
			row(arg, &r);
	}
}

void
nodefile_read(char *text, const char *path, struct errlist *e, noderow_f row, void *arg)
{
	const char first = text[strspn(text, " \t\r\n")];

	if (first == '[' || first == '{')
		nodefile_json(text, path, e, row, arg);
	else
		read_lines(text, path, e, row, arg);
}
