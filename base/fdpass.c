/* fdpass.c: a packet, and with it a descriptor, over a unix socket */
#include "config.h"

#include "base/fdpass.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Room for one descriptor, aligned as the kernel wants it. */
union fdpass_control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int))];
};

int
fdpass_send(int to, const void *p, size_t n, int fd, int flags)
{
	union fdpass_control control = { .bytes = { 0 } };
	union { const void *in; void *out; } u = { .in = p };
	struct iovec iov = { .iov_base = u.out, .iov_len = n };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t r;

	if (fd != -1) {
		struct cmsghdr *c;

		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	do
		r = sendmsg(to, &msg, flags | MSG_NOSIGNAL);
	while (r == -1 && errno == EINTR);
	return r == -1 ? -1 : 0;
}

/*
 * The padding behind one descriptor is room for a second one, and the kernel uses it. What does not
 * fit it closes itself; what does fit is ours, and must not stay open unseen.
 */
static int
take_descriptor(struct msghdr *msg)
{
	int found = -1;
	size_t n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; CMSG_LEN(at + sizeof(int)) <= c->cmsg_len; at += sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + at, sizeof(int));
			if (++n == 1)
				found = fd;
			else
				close(fd);
		}
	}
	if (n > 1 || (msg->msg_flags & MSG_CTRUNC) != 0) {
		if (found != -1)
			close(found);
		found = -1;
	}
	return found;
}

ssize_t
fdpass_recv(int from, void *p, size_t cap, int *fd, int flags)
{
	union fdpass_control control;
	struct iovec iov = { .iov_base = p, .iov_len = cap };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	*fd = -1;
	/* A peer that dies with packets unread is reported first; what it sent still follows. */
	do {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		n = recvmsg(from, &msg, flags | MSG_CMSG_CLOEXEC);
	} while (n == -1 && (errno == EINTR || errno == ECONNRESET));
	if (n >= 0)
		*fd = take_descriptor(&msg);
	return n;
}
