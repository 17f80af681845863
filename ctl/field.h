/* field.h: the fields of an answer, whether they are there or not */
#ifndef CTL_FIELD_H
#define CTL_FIELD_H

#include <stdbool.h>

#include <jansson.h>

/* "-" for a field that is missing or null. */
static inline const char *
text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s == NULL ? "-" : s;
}

static inline long long
int_of(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static inline bool
bool_of(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

#endif
