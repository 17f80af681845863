/* failure.c: why smbgatectl cannot do what it was asked for: to people, or as JSON */
#include "config.h"

#include "ctl/failure.h"

#include "ctl/field.h"
#include "ctl/legible.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

json_t *
failure(const char *fmt, ...)
{
	json_t *o = NULL, *text;
	char *line = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&line, fmt, ap);
	va_end(ap);
	if (n == -1)
		return NULL;
	text = json_string(line);
	/* JSON has no other characters; a path may. */
	for (char *c = line; text == NULL && *c != '\0'; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	if (text == NULL)
		text = json_string(line);
	if (text != NULL)
		o = json_pack("{s:o}", "error", text);
	free(line);
	return o;
}

void
failure_print(json_t *answer, bool json)
{
	const json_t *line;
	size_t i;

	if (answer != NULL && json) {
		json_dumpf(answer, stdout, 0);
		putchar('\n');
	} else {
		legible(answer);
		json_array_foreach(json_object_get(answer, "errors"), i, line)
			fprintf(stderr, "%s\n", json_string_value(line));
		fprintf(stderr, "smbgatectl: %s\n",
		    answer == NULL ? "out of memory" : text_of(answer, "error"));
	}
	json_decref(answer);
}
