/* fdpass.c: a packet, and with it descriptors, over a unix socket */
#include "config.h"

#include "base/fdpass.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FDPASS_MAX 2

/* Room for the descriptors, aligned as the kernel wants it. */
union fdpass_control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(FDPASS_MAX * sizeof(int))];
};

static int
send_with(int to, const void *p, size_t n, const int *fds, size_t nfds, int flags)
{
	union fdpass_control control = { .bytes = { 0 } };
	union { const void *in; void *out; } u = { .in = p };
	struct iovec iov = { .iov_base = u.out, .iov_len = n };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t r;

	if (nfds > 0) {
		struct cmsghdr *c;

		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
	}
	do
		r = sendmsg(to, &msg, flags | MSG_NOSIGNAL);
	while (r == -1 && errno == EINTR);
	return r == -1 ? -1 : 0;
}

int
fdpass_send(int to, const void *p, size_t n, int fd, int flags)
{
	return send_with(to, p, n, &fd, fd == -1 ? 0 : 1, flags);
}

int
fdpass_send2(int to, const void *p, size_t n, const int fds[2], int flags)
{
	return send_with(to, p, n, fds, 2, flags);
}

/*
 * Exactly `want` of them, or none. The padding behind those that are wanted may be room for more,
 * and the kernel uses it. What does not fit it closes itself; what does fit is ours, and must not
 * stay open unseen.
 */
static void
take_descriptors(struct msghdr *msg, int *fds, size_t want)
{
	size_t n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; CMSG_LEN(at + sizeof(int)) <= c->cmsg_len; at += sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + at, sizeof(int));
			if (n < want)
				fds[n] = fd;
			else
				close(fd);
			n++;
		}
	}
	if (n == want && (msg->msg_flags & MSG_CTRUNC) == 0)
		return;
	for (size_t i = 0; i < want; i++) {
		if (i < n)
			close(fds[i]);
		fds[i] = -1;
	}
}

static ssize_t
recv_with(int from, void *p, size_t cap, int *fds, size_t want, int flags)
{
	union fdpass_control control;
	struct iovec iov = { .iov_base = p, .iov_len = cap };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	for (size_t i = 0; i < want; i++)
		fds[i] = -1;
	/* A peer that dies with packets unread is reported first; what it sent still follows. */
	do {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(want * sizeof(int));
		n = recvmsg(from, &msg, flags | MSG_CMSG_CLOEXEC);
	} while (n == -1 && (errno == EINTR || errno == ECONNRESET));
	if (n < 0)
		return n;
	take_descriptors(&msg, fds, want);
	if ((msg.msg_flags & MSG_TRUNC) == 0)
		return n;
	/* What is left of a packet is none. */
	for (size_t i = 0; i < want; i++) {
		if (fds[i] != -1)
			close(fds[i]);
		fds[i] = -1;
	}
	errno = EMSGSIZE;
	return -1;
}

ssize_t
fdpass_recv(int from, void *p, size_t cap, int *fd, int flags)
{
	return recv_with(from, p, cap, fd, 1, flags);
}

ssize_t
fdpass_recv2(int from, void *p, size_t cap, int fds[2], int flags)
{
	return recv_with(from, p, cap, fds, 2, flags);
}
