/* base-fdpass.c: packets with descriptors: none is lost, none is left open */
#include "config.h"

#include "base/fdpass.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* More than the receiver has room for. */
#define MANY 5

static int
open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static void
make_pair(int pair[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
}

static void
close_pair(const int pair[2])
{
	close(pair[0]);
	close(pair[1]);
}

/* What a peer that does not keep to one descriptor sends. */
static void
send_several(int to, int fd, size_t n)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(MANY * sizeof(int))];
	} control = { .bytes = { 0 } };
	char byte = 'x';
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
		.msg_controllen = CMSG_SPACE(n * sizeof(int)) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	for (size_t i = 0; i < n; i++)
		memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof(int));
	assert_int_equal(sendmsg(to, &msg, 0), 1);
}

static void
test_one(void **state)
{
	int pair[2], pipe_fds[2], fd, before = open_descriptors();
	char text[8] = "";

	(void)state;
	make_pair(pair);
	assert_int_equal(pipe(pipe_fds), 0);
	assert_int_equal(fdpass_send(pair[0], "abc", 3, pipe_fds[1], 0), 0);
	close(pipe_fds[1]);
	assert_int_equal(fdpass_recv(pair[1], text, sizeof(text), &fd, 0), 3);
	assert_string_equal(text, "abc");
	assert_int_not_equal(fd, -1);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(write(fd, "!", 1), 1);
	assert_int_equal(read(pipe_fds[0], text, 1), 1);
	assert_int_equal(text[0], '!');
	close(fd);
	close(pipe_fds[0]);
	close_pair(pair);
	assert_int_equal(open_descriptors(), before);
}

static void
test_none(void **state)
{
	int pair[2], fd = 7;
	char text[8];

	(void)state;
	make_pair(pair);
	assert_int_equal(fdpass_recv(pair[1], text, sizeof(text), &fd, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(fd, -1);
	assert_int_equal(fdpass_send(pair[0], "abcd", 4, -1, 0), 0);
	assert_int_equal(fdpass_recv(pair[1], text, sizeof(text), &fd, 0), 4);
	assert_int_equal(fd, -1);
	close_pair(pair);
}

/* Longer than there is room for: none of it comes, nor does its descriptor; the next one does. */
static void
test_long(void **state)
{
	int pair[2], fds[2], before = open_descriptors();
	char text[8];

	(void)state;
	make_pair(pair);
	for (int with = 0; with <= 2; with++) {
		const int both[] = { pair[0], pair[1] };

		if (with == 2)
			assert_int_equal(fdpass_send2(pair[0], "123456789", 9, both, 0), 0);
		else
			assert_int_equal(fdpass_send(pair[0], "123456789", 9,
			    with == 1 ? pair[0] : -1, 0), 0);
		assert_int_equal(fdpass_send(pair[0], "12345678", 8, -1, 0), 0);
		if (with == 2)
			assert_int_equal(fdpass_recv2(pair[1], text, sizeof(text), fds, 0), -1);
		else
			assert_int_equal(fdpass_recv(pair[1], text, sizeof(text), fds, 0), -1);
		assert_int_equal(errno, EMSGSIZE);
		assert_int_equal(fds[0], -1);
		assert_int_equal(fdpass_recv(pair[1], text, sizeof(text), fds, 0), 8);
	}
	close_pair(pair);
	assert_int_equal(open_descriptors(), before);
}

static void
test_several(void **state)
{
	int pair[2], fd, before = open_descriptors();
	char text[8];

	(void)state;
	make_pair(pair);
	for (size_t n = 2; n <= MANY; n++) {
		send_several(pair[0], STDERR_FILENO, n);
		assert_int_equal(fdpass_recv(pair[1], text, sizeof(text), &fd, 0), 1);
		assert_int_equal(fd, -1);
		assert_int_equal(open_descriptors(), before + 2);
	}
	/* The next one is taken as ever. */
	send_several(pair[0], STDERR_FILENO, 1);
	assert_int_equal(fdpass_recv(pair[1], text, sizeof(text), &fd, 0), 1);
	assert_int_not_equal(fd, -1);
	close(fd);
	close_pair(pair);
	assert_int_equal(open_descriptors(), before);
}

/* The peer dies: what it sent before comes, and then the end. */
static void
test_end(void **state)
{
	int pair[2], fd;
	char text[8];

	(void)state;
	make_pair(pair);
	assert_int_equal(fdpass_send(pair[1], "unread", 6, -1, 0), 0);
	assert_int_equal(fdpass_send(pair[0], "last", 4, STDERR_FILENO, 0), 0);
	close(pair[0]);
	assert_int_equal(fdpass_recv(pair[1], text, sizeof(text), &fd, 0), 4);
	assert_int_not_equal(fd, -1);
	close(fd);
	assert_int_equal(fdpass_recv(pair[1], text, sizeof(text), &fd, 0), 0);
	assert_int_equal(fd, -1);
	assert_int_equal(fdpass_send(pair[1], "x", 1, -1, 0), -1);
	assert_int_equal(errno, EPIPE);
	close(pair[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_several),
		cmocka_unit_test(test_end),
	};

	signal(SIGPIPE, SIG_DFL);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
