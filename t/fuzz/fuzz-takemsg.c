/* fuzz-takemsg.c: libFuzzer target: a packet of another smbgate: taken, it is sent the same */
/* for: daemon/takemsg.c */
#include "config.h"

#include "daemon/takemsg.h"
#include "t/unit/lib/holds.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Longer than any that could be said. */
#define PACKET 4096

static int
takes(int from, struct takemsg *m)
{
	int fd = -1, rc = takemsg_recv(from, m, &fd, MSG_DONTWAIT);

	HOLDS(fd == -1);
	return rc;
}

/* The packet that says m: its length. */
static size_t
said(const int s[2], const struct takemsg *m, uint8_t packet[PACKET])
{
	ssize_t n;

	HOLDS(takemsg_send(s[0], m, -1));
	n = recv(s[1], packet, PACKET, MSG_DONTWAIT);
	HOLDS(n > 0 && n < PACKET);
	return (size_t)n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int s[2] = { -1, -1 };
	uint8_t first[PACKET], second[PACKET];
	struct takemsg m, again;
	size_t n;

	if (s[0] == -1)
		HOLDS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s) == 0);
	/* One of no bytes would be the end. */
	if (size == 0 || send(s[0], data, size, MSG_NOSIGNAL | MSG_DONTWAIT) == -1)
		return 0;
	HOLDS(takemsg_trusts(s[0]) && !takemsg_trusts(-1));
	if (takes(s[1], &m) != 1) {
		HOLDS(errno == EPROTO || errno == EMSGSIZE);
		return 0;
	}
	HOLDS(m.kind != 0 && size <= TAKE_MSG_MAX);
	HOLDS(memchr(m.name, 0, sizeof(m.name)) != NULL);
	HOLDS(memchr(m.text, 0, sizeof(m.text)) != NULL);
	HOLDS(memchr(m.notify, 0, sizeof(m.notify)) != NULL);
	/* All that there may be is more than a packet: nobody sends that. */
	n = said(s, &m, first);
	if (n > TAKE_MSG_MAX)
		return 0;
	HOLDS(send(s[0], first, n, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)n);
	HOLDS(takes(s[1], &again) == 1);
	HOLDS(said(s, &again, second) == n && memcmp(first, second, n) == 0);
	return 0;
}
