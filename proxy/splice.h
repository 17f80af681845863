/* splice.h: payload past user space: pipes that are lent while bytes are in flight */
#ifndef PROXY_SPLICE_H
#define PROXY_SPLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct splice_pool;
struct splice_pipe;

/* More are not lent by one worker: whoever gets none copies. Each has two descriptors. */
#define SPLICE_PIPES_MAX 32

/*
 * Splice pays from here on: two more system calls against the copying of so many bytes. Measured,
 * see doc/PERFORMANCE.md.
 */
#define SPLICE_MIN (32 * 1024)

/* One a worker; not for several threads. NULL when memory is out. */
struct splice_pool *splice_pool_new(void);
/* Every pipe must have been given back. */
void splice_pool_free(struct splice_pool **p);

/* An empty pipe, or NULL: all are lent, or the system gives no more. */
struct splice_pipe *splice_lend(struct splice_pool *p);
/* One that still has bytes is closed, so that they reach nobody. Clears the caller's pointer. */
void splice_return(struct splice_pool *p, struct splice_pipe **pipe);

/*
 * At most n bytes from a socket into the pipe. As recv(2) with MSG_DONTWAIT, without EINTR; EAGAIN
 * from an empty pipe means that the socket has nothing.
 */
ssize_t splice_fill(struct splice_pipe *pipe, int fd, size_t n);
/*
 * From the pipe to a socket until either is through: 0, or -1 with errno; EAGAIN: the socket takes
 * no more, and bytes are left. more: the rest of a message follows.
 */
int splice_drain(struct splice_pipe *pipe, int fd, bool more) __attribute__((warn_unused_result));
/* Bytes in the pipe; 0 for NULL. */
size_t splice_len(const struct splice_pipe *pipe);

#endif
