/* fdpass.h: a packet, and with it descriptors, over a unix socket */
#ifndef BASE_FDPASS_H
#define BASE_FDPASS_H

#include <stddef.h>
#include <sys/types.h>

/*
 * Sends n bytes as one packet, with a copy of the descriptor fd; -1: without one. flags as of
 * sendmsg(); SIGPIPE is never raised. 0, or -1 with errno.
 */
int fdpass_send(int to, const void *p, size_t n, int fd, int flags);

/*
 * Receives one packet. *fd is the descriptor that came with it, close-on-exec and the caller's to
 * close, or -1. Who sends several gets none of them through: all are closed. flags as of recvmsg().
 * The length, 0 at the end, -1 with errno: EMSGSIZE where it is longer than cap and so lost.
 */
ssize_t fdpass_recv(int from, void *p, size_t cap, int *fd, int flags)
    __attribute__((warn_unused_result));

/* The same with two descriptors: both, or none, and then both are -1. */
int fdpass_send2(int to, const void *p, size_t n, const int fds[2], int flags);
ssize_t fdpass_recv2(int from, void *p, size_t cap, int fds[2], int flags)
    __attribute__((warn_unused_result));

#endif
