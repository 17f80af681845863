/* prelude.h: what comes around SMB from a client: PROXY header, NetBIOS requests, keepalives */
#ifndef PROXY_PRELUDE_H
#define PROXY_PRELUDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inspect/verdict.h"

struct conn;

/* True: the bytes of the client at p are no SMB frame's, and *v is the verdict on them. */
bool prelude_head(struct conn *c, const uint8_t *p, size_t avail, struct verdict *v);

/* True: this, which prelude_head() wanted held, was none, and *o is what became of it. */
bool prelude_held(struct conn *c, const uint8_t *p, size_t len, struct outcome *o);

#endif
