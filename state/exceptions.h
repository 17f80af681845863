/* exceptions.h: the exceptions of all proxies, kept in memory for the time without Redis */
#ifndef STATE_EXCEPTIONS_H
#define STATE_EXCEPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state/names.h"
#include "state/record.h"

/* Has no lock of its own: the owner's guards it. No more than EXCEPTIONS_MAX are kept. */
#define EXCEPTIONS_MAX 200000

struct exceptions;
struct tlv_out;

struct exceptions *exceptions_new(void);
void exceptions_free(struct exceptions **m);

/* -1 when there is no room. */
int exceptions_put(struct exceptions *m, const uint8_t id[NAMES_ID_LEN], const char *record,
    size_t len) __attribute__((warn_unused_result));
void exceptions_drop(struct exceptions *m, const uint8_t id[NAMES_ID_LEN]);
/* False: there is none. */
bool exceptions_get(const struct exceptions *m, const uint8_t id[NAMES_ID_LEN], struct record *r);
/* All that there are have been put: what was not, twice in a row, is forgotten. */
void exceptions_swept(struct exceptions *m);
size_t exceptions_count(const struct exceptions *m);

/* All of them, as one process hands them to the next, which may know some that are newer. */
void exceptions_write(const struct exceptions *m, struct tlv_out *o);
int exceptions_read(struct exceptions *m, const void *record, size_t n)
    __attribute__((warn_unused_result));

#endif
