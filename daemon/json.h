/* json.h: setters on top of jansson */
#ifndef DAEMON_JSON_H
#define DAEMON_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

struct addr;
struct addrport;

/*
 * All take a NULL object, as jansson does: a report that runs out of memory lacks something, and
 * nothing has to be checked in between. The prefix is not json_: that is jansson's.
 */

/* A JSON string of any text: bytes that are not UTF-8 become '?'. NULL when memory is out. */
json_t *jtext(const char *text);

/* NULL becomes null. */
void jset_text(json_t *o, const char *key, const char *text);
/* The same, and so does "". */
void jset_name(json_t *o, const char *key, const char *text);
void jset_int(json_t *o, const char *key, uint64_t v);
void jset_bool(json_t *o, const char *key, bool v);
/* "0x" and 16 digits, as text: a number of JSON holds 53 bits. */
void jset_hex(json_t *o, const char *key, uint64_t v);
/* Seconds from since_ms to now_ms, 0 if that is in the future. */
void jset_age(json_t *o, const char *key, uint64_t since_ms, uint64_t now_ms);
/* The time of day then, in UTC: "2026-11-29T00:30:00Z". */
void jset_time(json_t *o, const char *key, uint64_t at_ms, uint64_t now_ms);
/* null: below 0, which cannot be seen */
void jset_seen(json_t *o, const char *key, int64_t v);
void jset_addr(json_t *o, const char *key, const struct addr *a);
void jset_addrport(json_t *o, const char *key, const struct addrport *a);

/* Each sets or appends something new and empty, and returns it, borrowed; NULL: memory is out. */
json_t *jset_array(json_t *o, const char *key);
json_t *jset_object(json_t *o, const char *key);
json_t *jadd_object(json_t *array);

void jadd_text(json_t *array, const char *text);
void jadd_addr(json_t *array, const struct addr *a);

#endif
