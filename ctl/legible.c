/* legible.c: an answer as a terminal may have it */
#include "config.h"

#include "ctl/legible.h"

#include "base/plain.h"

#include <stdlib.h>
#include <string.h>

void
legible(json_t *answer)
{
	const char *key;
	json_t *v;
	char *text;
	size_t i;

	if (json_is_object(answer)) {
		json_object_foreach(answer, key, v)
			legible(v);
	} else if (json_is_array(answer)) {
		json_array_foreach(answer, i, v)
			legible(v);
	} else if (json_is_string(answer)) {
		text = strdup(json_string_value(answer));
		if (text != NULL)
			plain_text(text);
		/* Without memory it is not shown. */
		json_string_set(answer, text == NULL ? "" : text);
		free(text);
	}
}
