/* der.h: values in DER, [X.690], read out of a struct rd */
#ifndef AUTH_DER_H
#define AUTH_DER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rd.h"

/* Tags, [X.690] 8.1.2 and 8.14: universal ones, and how the others are made. All have one octet. */
#define DER_INTEGER 0x02
#define DER_BIT_STRING 0x03
#define DER_OCTETS 0x04
#define DER_OID 0x06
#define DER_GENERALIZED_TIME 0x18
#define DER_GENERAL_STRING 0x1b
#define DER_SEQUENCE 0x30
#define DER_APPLICATION(n) (0x60 | (n))
#define DER_CONTEXT(n) (0xa0 | (n))

/*
 * Tag and length of the next value, [X.690] 8.1.3. Returns the length of the contents, which need
 * not be there. The reader goes bad where there is no definite length of at most four octets. A
 * length in more octets than it needs is taken, as SMB servers take it.
 */
size_t der_head(struct rd *r, uint8_t *tag);

/* The next value: its tag, and its contents as a reader of their own. Both go bad if it is cut. */
struct rd der_next(struct rd *r, uint8_t *tag);

/* The contents of the next value, which must have this tag; with another one both go bad. */
struct rd der_of(struct rd *r, uint8_t tag);

/* Does the next value have this tag? */
bool der_is(const struct rd *r, uint8_t tag);

/*
 * An INTEGER inside an explicit tag, as an unsigned number: its sign is not looked at. The reader
 * goes bad with more than five octets, the first of which is then the zero before a high bit.
 */
uint32_t der_u32(struct rd *r, uint8_t tag);

#endif
