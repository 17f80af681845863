/* null.c: an SMB2 server that has no files and costs next to nothing, to stand behind a proxy */
#include "config.h"

#include "base/addr.h"
#include "base/buf.h"
#include "base/rd.h"
#include "base/wr.h"
#include "smb/const.h"
#include "smb/hdr2.h"
#include "smb/nbss.h"
#include "smb/neg2.h"
#include "smb/sess2.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAYLOAD_MAX (8u * 1024 * 1024)
/* The most of a frame that is looked at: a WRITE's payload is thrown away as it comes. */
#define HEAD_MAX (NBSS_HDR_LEN + SMB2_HDR_LEN + 1024)
#define EVENTS 256

struct peer {
	int fd;
	uint32_t events;
	struct buf in;		/* the beginning of a frame */
	uint32_t skip;		/* bytes of it that are not looked at */
	struct buf out;
	uint64_t sessions;
};

struct server {
	int epoll;
	uint64_t next_id;
	uint8_t *payload;
	uint8_t scratch[256 * 1024];
};

static int
send_some(struct peer *p, const uint8_t *data, size_t n)
{
	ssize_t sent = 0;

	if (buf_len(&p->out) == 0) {
		sent = send(p->fd, data, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent == -1 && errno != EAGAIN)
			return -1;
		if (sent == -1)
			sent = 0;
	}
	return buf_add(&p->out, data + sent, n - (size_t)sent);
}

/* A SESSION_SETUP answer: the challenge to an NTLM NEGOTIATE, success to all else. */
static uint32_t
session_setup(struct wr *w, const uint8_t *msg, size_t n)
{
	struct sess2_req r;
	bool first = sess2_req_get(&r, msg, n) == 0 && r.blob_len > 8 && r.blob[8] == 1;
	/* the length of a user's name, [MS-NLMP] 2.2.1.3: whoever that is */
	bool user = !first && r.blob_len > 36 && r.blob[36] != 0;

	wr_u16(w, 9);
	wr_u16(w, first || user ? 0 : 2);	/* a null session, [MS-SMB2] 2.2.6 */
	wr_u16(w, SMB2_HDR_LEN + 8);
	wr_u16(w, first ? 56 : 0);
	if (first) {
		wr_bytes(w, "NTLMSSP", 8);
		wr_u32(w, 2);
		wr_zero(w, 8);
		wr_u32(w, 0x20000201);
		wr_bytes(w, "01234567", 8);
		wr_zero(w, 24);
	}
	return first ? STATUS_MORE_PROCESSING_REQUIRED : STATUS_SUCCESS;
}

static int
negotiate(struct peer *p)
{
	uint8_t out[256];
	struct wr w = wr_init(out, sizeof(out));

	wr_zero(&w, NBSS_HDR_LEN);
	neg2_resp_put(&w, &(struct neg2_resp){ .dialect = SMB2_DIALECT_302,
		.security_mode = SMB2_NEGOTIATE_SIGNING_ENABLED,
		.capabilities = SMB2_GLOBAL_CAP_LARGE_MTU, .max_transact = PAYLOAD_MAX,
		.max_read = PAYLOAD_MAX, .max_write = PAYLOAD_MAX });
	nbss_put(out, (uint32_t)(wr_len(&w) - NBSS_HDR_LEN));
	return send_some(p, out, wr_len(&w));
}

/* Answers one message, of which n bytes are there. -1: the connection ends. */
static int
answer(struct server *s, struct peer *p, const uint8_t *msg, size_t n)
{
	uint8_t out[1024];
	struct wr w = wr_init(out, sizeof(out)), body;
	uint32_t payload = 0, status = STATUS_SUCCESS;
	struct rd r = rd_init(msg, n);
	struct hdr2 req, h;
	uint16_t credits;

	if (hdr2_get(&req, msg, n) == -1)
		return -1;
	credits = req.credits < 1 ? 1 : req.credits;
	rd_skip(&r, SMB2_HDR_LEN);
	wr_zero(&w, NBSS_HDR_LEN);
	if (req.command == SMB2_NEGOTIATE)
		return negotiate(p);
	wr_zero(&w, SMB2_HDR_LEN);
	switch (req.command) {
	case SMB2_SESSION_SETUP:
		status = session_setup(&w, msg, n);
		if (req.session_id == 0)
			req.session_id = s->next_id++;
		break;
	case SMB2_READ:
		rd_skip(&r, 4);
		payload = rd_u32(&r);
		if (!rd_ok(&r) || payload > PAYLOAD_MAX)
			return -1;
		wr_u16(&w, 17);
		wr_u16(&w, SMB2_HDR_LEN + 16);
		wr_u32(&w, payload);
		wr_zero(&w, 8);
		break;
	case SMB2_WRITE:
		rd_skip(&r, 4);
		wr_u16(&w, 17);
		wr_u16(&w, 0);
		wr_u32(&w, rd_u32(&r));
		wr_zero(&w, 8);
		break;
	case SMB2_ECHO:
	case SMB2_LOGOFF:
		wr_u16(&w, 4);
		wr_u16(&w, 0);
		break;
	default:
		status = STATUS_NOT_SUPPORTED;
		wr_u16(&w, 9);
		wr_zero(&w, 7);
		break;
	}
	h = hdr2_reply(&req, status, credits);
	body = wr_init(out + NBSS_HDR_LEN, SMB2_HDR_LEN);
	hdr2_put(&body, &h);
	nbss_put(out, (uint32_t)(wr_len(&w) - NBSS_HDR_LEN + payload));
	if (send_some(p, out, wr_len(&w)) == -1)
		return -1;
	return payload == 0 ? 0 : send_some(p, s->payload, payload);
}

static int
take(struct server *s, struct peer *p, const uint8_t *data, size_t n)
{
	while (n > 0) {
		size_t have = buf_len(&p->in), want = NBSS_HDR_LEN, step;
		struct nbss nb;

		if (p->skip > 0) {
			step = n < p->skip ? n : p->skip;
			p->skip -= (uint32_t)step;
			data += step;
			n -= step;
			continue;
		}
		if (nbss_get(&nb, buf_head(&p->in), have) == 0)
			want = NBSS_HDR_LEN + nb.len < HEAD_MAX ? NBSS_HDR_LEN + nb.len : HEAD_MAX;
		if (have < want) {
			step = n < want - have ? n : want - have;
			if (buf_add(&p->in, data, step) == -1)
				return -1;
			data += step;
			n -= step;
			if (have + step < want || want == NBSS_HDR_LEN)
				continue;
		}
		if (answer(s, p, buf_head(&p->in) + NBSS_HDR_LEN, want - NBSS_HDR_LEN) == -1)
			return -1;
		p->skip = NBSS_HDR_LEN + nb.len - (uint32_t)want;
		buf_fini(&p->in);
	}
	return 0;
}

static int
serve(struct server *s, struct peer *p, uint32_t events)
{
	ssize_t n;

	if ((events & EPOLLOUT) != 0 && buf_len(&p->out) > 0) {
		n = send(p->fd, buf_head(&p->out), buf_len(&p->out), MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n == -1 && errno != EAGAIN)
			return -1;
		if (n > 0)
			buf_drain(&p->out, (size_t)n);
	}
	if ((events & ~(uint32_t)EPOLLOUT) == 0)
		return 0;
	n = recv(p->fd, s->scratch, sizeof(s->scratch), MSG_DONTWAIT);
	if (n == -1)
		return errno == EAGAIN ? 0 : -1;
	return n == 0 ? -1 : take(s, p, s->scratch, (size_t)n);
}

static void
greet(struct server *s, int listener)
{
	int fd, on = 1;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) != -1) {
		struct peer *p = calloc(1, sizeof(*p));
		struct epoll_event e = { .events = EPOLLIN, .data.ptr = p };

		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		if (p == NULL || epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &e) == -1) {
			close(fd);
			free(p);
			continue;
		}
		p->fd = fd;
		p->events = EPOLLIN;
	}
}

static void
update(struct server *s, struct peer *p, int result)
{
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = p };

	if (result == -1) {
		close(p->fd);
		buf_fini(&p->in);
		buf_fini(&p->out);
		free(p);
		return;
	}
	if (buf_len(&p->out) > 0)
		e.events |= EPOLLOUT;
	if (e.events == p->events)
		return;
	p->events = e.events;
	epoll_ctl(s->epoll, EPOLL_CTL_MOD, p->fd, &e);
}

int
main(int argc, char **argv)
{
	struct server *s = calloc(1, sizeof(*s));
	struct epoll_event ev[EVENTS], e = { .events = EPOLLIN };
	struct sockaddr_storage ss;
	struct addrport a;
	struct rlimit rl;
	int fd, on = 1;

	if (argc != 2 || s == NULL || addrport_parse(&a, argv[1], 445) == -1) {
		fprintf(stderr, "usage: null ADDRESS:PORT\n");
		exit(2);
	}
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
	signal(SIGPIPE, SIG_IGN);
	s->next_id = 1;
	s->payload = calloc(1, PAYLOAD_MAX);
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	addrport_to_sa(&a, &ss);
	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (s->payload == NULL || bind(fd, (struct sockaddr *)&ss, addrport_to_sa(&a, &ss)) == -1 ||
	    listen(fd, 4096) == -1 || epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &e) == -1) {
		perror(argv[1]);
		exit(EXIT_FAILURE);
	}
	/* Real pages: those of a fresh calloc() are all one. */
	memset(s->payload, 'x', PAYLOAD_MAX);
	for (;;) {
		int n = epoll_wait(s->epoll, ev, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			struct peer *p = ev[i].data.ptr;

			if (p == NULL)
				greet(s, fd);
			else
				update(s, p, serve(s, p, ev[i].events));
		}
	}
}
