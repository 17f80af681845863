/* field.h: the fields of an answer, whether they are there or not */
#ifndef CTL_FIELD_H
#define CTL_FIELD_H

#include <stdbool.h>
#include <stdio.h>

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

/* "45s", "12m03s", "3h05m", "2d04h" */
static inline const char *
duration(long long s, char dst[32])
{
	if (s < 60)
		snprintf(dst, 32, "%llds", s);
	else if (s < 3600)
		snprintf(dst, 32, "%lldm%02llds", s / 60, s % 60);
	else if (s < 86400)
		snprintf(dst, 32, "%lldh%02lldm", s / 3600, s / 60 % 60);
	else
		snprintf(dst, 32, "%lldd%02lldh", s / 86400, s / 3600 % 24);
	return dst;
}

#endif
