/* exceptions.h: the exceptions of all proxies, known by heart for the time without Redis */
#ifndef STATE_EXCEPTIONS_H
#define STATE_EXCEPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state/names.h"
#include "state/record.h"

/* No locks: the owner's. More than EXCEPTIONS_MAX are not kept. */
#define EXCEPTIONS_MAX 200000

struct exceptions;

struct exceptions *exceptions_new(void);
void exceptions_free(struct exceptions **m);

/* -1 when there is no room. */
int exceptions_put(struct exceptions *m, const uint8_t id[NAMES_ID_LEN], const char *record, size_t len)
    __attribute__((warn_unused_result));
void exceptions_drop(struct exceptions *m, const uint8_t id[NAMES_ID_LEN]);
/* False: there is none. */
bool exceptions_get(const struct exceptions *m, const uint8_t id[NAMES_ID_LEN], struct record *r);
/* All there is has been put: what was not, for the second time in a row, is forgotten. */
void exceptions_swept(struct exceptions *m);
size_t exceptions_count(const struct exceptions *m);

#endif
