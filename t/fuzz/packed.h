/* packed.h: compressed messages of made-up conversations; no code of inspect/ or smb/ */
#ifndef T_FUZZ_PACKED_H
#define T_FUZZ_PACKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most that a message grows by. */
#define PACKED_MORE 512

/*
 * Compresses the message at p in place, [MS-SMB2] 3.1.4.4: what is before its last `tail` bytes
 * stays as it is. The new length.
 */
size_t packed_put(uint8_t *p, size_t len, size_t tail, bool chained);

/*
 * What its receiver makes of it, [MS-SMB2] 3.1.5.3: so many bytes of out, or -1: it ends the
 * connection. It knows LZ77 and patterns.
 */
long packed_get(bool chained, const uint8_t *p, size_t n, uint8_t *out, size_t cap);

#endif
