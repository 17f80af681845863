/* blob.h: security buffers: made by a test, published ones, and every change of one */
#ifndef T_UNIT_LIB_BLOB_H
#define T_UNIT_LIB_BLOB_H

#include <stddef.h>
#include <stdint.h>

struct blob {
	size_t n;
	uint8_t b[1024];
};

struct blob bytes(const void *p, size_t n);
/* NTLM's message of that type: n bytes, those behind the type zero. */
struct blob ntlm(uint32_t type, size_t n);

/* The security buffer of a SESSION_SETUP or NEGOTIATE, in a block of its own. */
uint8_t *buffer_of(const char *name, size_t *n_r);

/* Every byte with every value: walk_token() says what must hold. */
void mutate_all(const uint8_t *p, size_t n);

#endif
