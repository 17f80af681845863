/* send.h: the bytes of a connection, judged: to the other leg, or kept until it takes them */
#ifndef PROXY_SEND_H
#define PROXY_SEND_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "proxy/conn_priv.h"
#include "proxy/splice.h"

/* Bytes of this direction that were judged, and not yet taken by the other leg's kernel. */
static inline size_t
send_owed(const struct side *s)
{
	return buf_len(&s->out) + (s->pipe == NULL ? 0 : splice_len(s->pipe));
}

/*
 * All of these return 0, or -1 with c->send_failed set; then the caller ends the connection. What
 * the kernel does not take now is kept.
 */

/* As pump_ops.send: n bytes of this direction. */
int send_bytes(void *side, const uint8_t *p, size_t n);
/* n bytes of this direction that have just been spliced into its pipe. */
int send_spliced(struct side *s, size_t n) __attribute__((warn_unused_result));
/* The other leg takes bytes again: those that it did not take before. */
int send_pending(struct side *s) __attribute__((warn_unused_result));

/* The node is told, once it has all that the client sent, that no more comes. */
void send_half_close(struct conn *c);

#endif
