/* json.c: setters on top of jansson */
#include "config.h"

#include "daemon/json.h"

#include "base/addr.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

json_t *
jtext(const char *text)
{
	json_t *s = json_string(text);
	char *copy;

	if (s != NULL)
		return s;
	copy = strdup(text);
	if (copy == NULL)
		return NULL;
	for (char *c = copy; *c != '\0'; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	s = json_string(copy);
	free(copy);
	return s;
}

void
jset_text(json_t *o, const char *key, const char *text)
{
	json_object_set_new(o, key, text == NULL ? json_null() : jtext(text));
}

void
jset_name(json_t *o, const char *key, const char *text)
{
	jset_text(o, key, text != NULL && text[0] == '\0' ? NULL : text);
}

void
jset_int(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

void
jset_bool(json_t *o, const char *key, bool v)
{
	json_object_set_new(o, key, json_boolean(v));
}

void
jset_hex(json_t *o, const char *key, uint64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%016" PRIx64, v);
	jset_text(o, key, text);
}

void
jset_age(json_t *o, const char *key, uint64_t since_ms, uint64_t now_ms)
{
	jset_int(o, key, now_ms > since_ms ? (now_ms - since_ms) / 1000 : 0);
}

void
jset_time(json_t *o, const char *key, uint64_t at_ms, uint64_t now_ms)
{
	const time_t at = time(NULL) - (time_t)(now_ms > at_ms ? (now_ms - at_ms) / 1000 : 0);
	char text[32] = "";
	struct tm tm;

	if (gmtime_r(&at, &tm) != NULL)
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	jset_text(o, key, text);
}

void
jset_seen(json_t *o, const char *key, int64_t v)
{
	json_object_set_new(o, key, v < 0 ? json_null() : json_integer(v));
}

void
jset_addr(json_t *o, const char *key, const struct addr *a)
{
	char text[ADDR_STRLEN];

	jset_text(o, key, addr_str(a, text));
}

void
jset_addrport(json_t *o, const char *key, const struct addrport *a)
{
	char text[ADDR_STRLEN];

	jset_text(o, key, addrport_str(a, text));
}

json_t *
jset_array(json_t *o, const char *key)
{
	json_t *a = json_array();

	return json_object_set_new(o, key, a) == 0 ? a : NULL;
}

json_t *
jset_object(json_t *o, const char *key)
{
	json_t *child = json_object();

	return json_object_set_new(o, key, child) == 0 ? child : NULL;
}

json_t *
jadd_object(json_t *array)
{
	json_t *o = json_object();

	return json_array_append_new(array, o) == 0 ? o : NULL;
}

void
jadd_text(json_t *array, const char *text)
{
	json_array_append_new(array, jtext(text));
}

void
jadd_addr(json_t *array, const struct addr *a)
{
	char text[ADDR_STRLEN];

	jadd_text(array, addr_str(a, text));
}
