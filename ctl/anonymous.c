/* anonymous.c: what a server tells of its interfaces to somebody without a name */
#include "config.h"

#include "ctl/anonymous.h"

#include "base/clock.h"
#include "base/rd.h"
#include "base/wr.h"
#include "ctl/negotiate.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define PATIENCE_S 3
/* All in all: one that trickles is given up. */
#define PATIENCE_ALL_MS 10000
#define HEADER 64
#define MORE_PROCESSING 0xc0000016u
enum { SESSION_SETUP = 1, TREE_CONNECT = 3, IOCTL = 11 };
#define QUERY_INTERFACES 0x001401fcu

/* One connection, its session and tree; a request and its answer at a time. */
struct anon {
	int fd;
	uint64_t session;
	uint32_t tree, message;
	uint8_t out[512], in[65536];
	size_t have;			/* of the answer, from its SMB2 header on */
	uint64_t end_ms;
	char *why;
};

static int __attribute__((format(printf, 2, 3)))
failed(struct anon *a, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(a->why, ANONYMOUS_WHY, fmt, ap);
	va_end(ap);
	return -1;
}

static int
receive(struct anon *a, size_t from, size_t n)
{
	for (size_t got = 0; got < n;) {
		ssize_t r = recv(a->fd, a->in + from + got, n - got, 0);

		if (r > 0 && clock_ms() > a->end_ms)
			return failed(a, "no answer in time");
		if (r <= 0)
			return failed(a, "%s",
			    r == 0                ? "it closed"
			        : errno == EAGAIN ? "no answer in time"
			                          : strerror(errno));
		got += (size_t)r;
	}
	return 0;
}

/* out: n bytes with the transport header. */
static int
anon_exchange(struct anon *a, size_t n)
{
	if (send(a->fd, a->out, n, MSG_NOSIGNAL) != (ssize_t)n)
		return failed(a, "cannot send: %s", strerror(errno));
	if (receive(a, 0, 4) == -1)
		return -1;
	a->have = (size_t)a->in[1] << 16 | (size_t)a->in[2] << 8 | a->in[3];
	if (a->in[0] != 0 || a->have < HEADER || a->have > sizeof(a->in))
		return failed(a, "its answer is not SMB");
	return receive(a, 0, a->have);
}

/* The header, [MS-SMB2] 2.2.1.2. */
static struct wr
anon_begin(struct anon *a, uint16_t command)
{
	struct wr w = wr_init(a->out, sizeof(a->out));

	wr_u32(&w, 0);
	wr_bytes(&w, "\xfeSMB", 4);
	wr_u16(&w, HEADER);
	wr_u16(&w, 1);
	wr_u32(&w, 0);
	wr_u16(&w, command);
	wr_u16(&w, 1);
	wr_zero(&w, 8);
	wr_u64(&w, ++a->message);
	wr_u32(&w, 0);
	wr_u32(&w, a->tree);
	wr_u64(&w, a->session);
	wr_zero(&w, 16);
	return w;
}

/* *status of the answer. */
static int
anon_ask(struct anon *a, struct wr *w, uint32_t *status)
{
	size_t n = wr_len(w) - 4;
	struct rd r;

	if (!wr_ok(w))
		return failed(a, "the request is too long");
	a->out[2] = (uint8_t)(n >> 8);
	a->out[3] = (uint8_t)n;
	if (anon_exchange(a, n + 4) == -1)
		return -1;
	r = rd_init(a->in, a->have);
	rd_skip(&r, 8);
	*status = rd_u32(&r);
	rd_skip(&r, 24);
	a->tree = rd_u32(&r);
	a->session = rd_u64(&r);
	return 0;
}

/* [MS-SMB2] 2.2.5 with an NTLM message, [MS-NLMP] 2.2.1, without SPNEGO. */
static int
session_setup(struct anon *a, const uint8_t *token, size_t n, uint32_t *status)
{
	struct wr w = anon_begin(a, SESSION_SETUP);

	wr_u16(&w, 25);
	wr_u8(&w, 0);
	wr_u8(&w, 1);
	wr_u32(&w, 0);
	wr_u32(&w, 0);
	wr_u16(&w, HEADER + 24);
	wr_u16(&w, (uint16_t)n);
	wr_u64(&w, 0);
	wr_bytes(&w, token, n);
	return anon_ask(a, &w, status);
}

/* Unicode, NTLM, the session security of NTLMv2; no name, and one byte for the LM response. */
static int
log_on(struct anon *a)
{
	static const uint8_t hello[32] = "NTLMSSP\0\1\0\0\0\x05\x02\x08\xa0";
	uint8_t token[128];
	struct wr w = wr_init(token, sizeof(token));
	uint32_t status = 0;

	if (session_setup(a, hello, sizeof(hello), &status) == -1)
		return -1;
	if (status != MORE_PROCESSING)
		return failed(a, "no NTLM: status 0x%08x", status);
	wr_bytes(&w, hello, 8);
	wr_u32(&w, 3);
	/* LM, NT, domain, user, workstation, key: length, room, offset. */
	for (int i = 0; i < 6; i++) {
		wr_u16(&w, i == 0);
		wr_u16(&w, i == 0);
		wr_u32(&w, 64 + (i > 0));
	}
	wr_u32(&w, 0xa0080a05);
	wr_u8(&w, 0);
	if (session_setup(a, token, wr_len(&w), &status) == -1)
		return -1;
	return status == 0 ? 0 : failed(a, "no anonymous logon: status 0x%08x", status);
}

static int
connect_ipc(struct anon *a)
{
	static const char path[] = "\\\0\\\0*\0\\\0I\0P\0C\0$";
	struct wr w = anon_begin(a, TREE_CONNECT);
	uint32_t status = 0;

	wr_u16(&w, 9);
	wr_u16(&w, 0);
	wr_u16(&w, HEADER + 8);
	wr_u16(&w, sizeof(path));
	wr_bytes(&w, path, sizeof(path));
	if (anon_ask(a, &w, &status) == -1)
		return -1;
	return status == 0 ? 0 : failed(a, "no IPC$: status 0x%08x", status);
}

/* [MS-SMB2] 2.2.32.5: entries of 152 bytes, chained; an address of each. */
static void
read_list(struct anonymous_list *l, const uint8_t *p, size_t n)
{
	size_t at = 0;

	while (l->n < ANONYMOUS_ADDRS_MAX && at <= n && n - at >= 152) {
		struct rd r = rd_init(p + at, n - at);
		uint32_t next = rd_u32(&r);
		uint16_t family;
		const uint8_t *b;

		rd_skip(&r, 20);
		family = rd_u16(&r);
		rd_skip(&r, family == 2 ? 2 : 6);
		b = rd_bytes(&r, family == 2 ? 4 : 16);
		if (b != NULL && family == 2)
			l->addr[l->n++] = addr_from_v4(b);
		else if (b != NULL && family == 0x17)
			l->addr[l->n++] = addr_from_v6(b);
		if (next == 0)
			break;
		at += next;
	}
}

static int
query(struct anon *a, struct anonymous_list *l)
{
	struct wr w = anon_begin(a, IOCTL);
	uint32_t status = 0, off, n;
	struct rd r;

	wr_u16(&w, 57);
	wr_u16(&w, 0);
	wr_u32(&w, QUERY_INTERFACES);
	wr_u64(&w, UINT64_MAX);
	wr_u64(&w, UINT64_MAX);
	wr_zero(&w, 12);
	wr_u32(&w, 0);
	wr_u32(&w, 0);
	wr_u32(&w, 32768);
	wr_u32(&w, 1);
	wr_u32(&w, 0);
	if (anon_ask(a, &w, &status) == -1)
		return -1;
	if (status != 0)
		return failed(a, "no list of interfaces: status 0x%08x", status);
	r = rd_init(a->in, a->have);
	rd_skip(&r, HEADER + 32);
	off = rd_u32(&r);
	n = rd_u32(&r);
	if (!rd_ok(&r) || off > a->have || n > a->have - off)
		return failed(a, "its answer is not well formed");
	read_list(l, a->in + off, n);
	return 0;
}

static int
anon_connect(struct anon *a, const struct addrport *server)
{
	const struct timeval wait = { PATIENCE_S, 0 };
	const struct negotiate_offer offer = { .dialect = 0x0302 };
	struct sockaddr_storage ss;
	socklen_t len = addrport_to_sa(server, &ss);
	uint8_t noise[48] = { 1 };
	struct negotiate_answer answer;

	a->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (a->fd == -1)
		return failed(a, "%s", strerror(errno));
	setsockopt(a->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	setsockopt(a->fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	if (connect(a->fd, (struct sockaddr *)&ss, len) == -1)
		return failed(a, "%s", strerror(errno == EINPROGRESS ? ETIMEDOUT : errno));
	if (getrandom(noise, sizeof(noise), 0) != sizeof(noise))
		return failed(a, "no random numbers");
	if (anon_exchange(a, negotiate_put(a->out, &offer, noise)) == -1)
		return -1;
	if (negotiate_get(&answer, a->in, a->have) == -1 || answer.status != 0)
		return failed(a, "it does not speak SMB 3.0.2");
	return 0;
}

int
anonymous_interfaces(struct anonymous_list *l, const struct addrport *server,
    char why[ANONYMOUS_WHY])
{
	struct anon *a = calloc(1, sizeof(*a));
	int r = -1;

	l->n = 0;
	if (a == NULL) {
		snprintf(why, ANONYMOUS_WHY, "out of memory");
		return -1;
	}
	a->fd = -1;
	a->why = why;
	a->end_ms = clock_ms() + PATIENCE_ALL_MS;
	if (anon_connect(a, server) == 0 && log_on(a) == 0 && connect_ipc(a) == 0)
		r = query(a, l);
	if (a->fd != -1)
		close(a->fd);
	free(a);
	return r;
}
