/* relay.c: the least that a relay which sees every SMB2 header has to do: smbgate's yardstick */
#include "config.h"

#include "base/addr.h"
#include "smb/const.h"
#include "smb/hdr2.h"
#include "smb/nbss.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define HEAD (NBSS_HDR_LEN + SMB2_HDR_LEN)
#define SPLICE_MIN (32 * 1024) /* so much of a message must be left */
#define NEXT_HEAD 4096	       /* what is received behind such a message */
#define PIPE_BYTES (1024 * 1024)
#define FDS (1 << 20)
#define EVENTS 256

struct link {
	int fd[2];	/* the client's and the server's */
	struct way {	/* from there to the other */
		int pipe[2];	/* one's own only while bytes are in it */
		size_t piped;
		uint8_t head[HEAD];	/* of the message that comes */
		uint8_t got;
		bool large;	/* much of it is left: to be spliced */
		bool spliced;	/* the last one was */
		bool ending;	/* its sender has closed: no event says so again */
		uint32_t left;	/* bytes to come: of the transport header, then of the message */
	} way[2];
};

/* No page of it is there that nobody has written to. */
struct relay {
	int epoll, npipes, pipe[FDS / 2][2];
	struct sockaddr_storage to;
	uint64_t seen[SMB2_OPLOCK_BREAK + 1];
	uint8_t scratch[64 * 1024];
	struct link *link[FDS];	/* by descriptor: an event may be of one that is gone */
};

static void
passed(struct way *w, size_t n)
{
	struct nbss nb;

	w->left -= (uint32_t)n;
	if (w->left == 0 && w->got == NBSS_HDR_LEN && nbss_get(&nb, w->head, w->got) == 0)
		w->left = nb.len;
	w->large = w->got == HEAD && w->left > SPLICE_MIN;
	if (w->left > 0)
		return;
	w->got = 0;
	w->left = NBSS_HDR_LEN;
}

static void
look(struct relay *r, struct way *w, const uint8_t *p, size_t n)
{
	struct hdr2 h;

	for (size_t step; n > 0; p += step, n -= step) {
		step = n < w->left ? n : w->left;
		if (w->got < HEAD) {
			step = step < HEAD - (size_t)w->got ? step : HEAD - (size_t)w->got;
			memcpy(w->head + w->got, p, step);
			w->got += (uint8_t)step;
			if (w->got == HEAD && hdr2_get(&h, w->head + 4, SMB2_HDR_LEN) == 0 &&
			    h.command <= SMB2_OPLOCK_BREAK)
				r->seen[h.command]++;
		}
		passed(w, step);
	}
}

static int
borrow_pipe(struct relay *r, struct way *w)
{
	if (r->npipes > 0) {
		memcpy(w->pipe, r->pipe[--r->npipes], sizeof(w->pipe));
		return 0;
	}
	if (pipe2(w->pipe, O_NONBLOCK | O_CLOEXEC) == -1)
		return -1;
	(void)fcntl(w->pipe[1], F_SETPIPE_SZ, PIPE_BYTES);
	return 0;
}

static void
return_pipe(struct relay *r, struct way *w)
{
	memcpy(r->pipe[r->npipes++], w->pipe, sizeof(w->pipe));
}

/* Each of these three: 1 when there may be more to do, 0 when not now, -1 when all is over. */
static int
flush(struct relay *r, struct way *w, int fd)
{
	while (w->piped > 0) {
		ssize_t n = splice(w->pipe[0], NULL, fd, NULL, w->piped,
		    SPLICE_F_NONBLOCK | (w->large ? SPLICE_F_MORE : 0));

		if (n == -1)
			return errno == EAGAIN ? 0 : -1;
		w->piped -= (size_t)n;
		if (w->piped == 0)
			return_pipe(r, w);
	}
	return 1;
}

static int
to_pipe(struct relay *r, struct way *w, int fd)
{
	ssize_t n;

	if (borrow_pipe(r, w) == -1)
		return -1;
	n = splice(fd, NULL, w->pipe[1], NULL, w->left, SPLICE_F_NONBLOCK);
	if (n <= 0) {
		return_pipe(r, w);
		return n == -1 && errno == EAGAIN ? 0 : -1;
	}
	w->piped = (size_t)n;
	passed(w, (size_t)n);
	return 1;
}

static int
copy(struct relay *r, struct way *w, int from, int to)
{
	size_t want = w->spliced ? NEXT_HEAD : sizeof(r->scratch);
	ssize_t n = recv(from, r->scratch, want, 0), sent;

	if (n <= 0)
		return n == -1 && errno == EAGAIN ? 0 : -1;
	look(r, w, r->scratch, (size_t)n);
	w->spliced = w->large;
	sent = send(to, r->scratch, (size_t)n, w->large ? MSG_MORE : 0);
	if (sent == -1 && errno != EAGAIN)
		return -1;
	sent = sent == -1 ? 0 : sent;
	/* Less than was asked for: the socket is empty, and more will be an event. */
	if (sent == n)
		return (size_t)n == want || w->large || w->ending;
	if (borrow_pipe(r, w) == -1)
		return -1;
	w->piped = (size_t)(n - sent);
	return write(w->pipe[1], r->scratch + sent, w->piped) == n - sent ? 1 : -1;
}

static int
move(struct relay *r, struct link *l, int from)
{
	struct way *w = &l->way[from];
	int in = l->fd[from], out = l->fd[!from], more = 1;

	while (more == 1 && (more = flush(r, w, out)) == 1)
		more = w->large ? to_pipe(r, w, in) : copy(r, w, in, out);
	return more;
}

static void
serve(struct relay *r, struct link *l, int side, uint32_t events)
{
	int result = 0;

	l->way[side].ending |= (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
	if ((events & EPOLLIN) != 0 || l->way[side].ending)
		result = move(r, l, side);
	if (result == 0 && (events & EPOLLOUT) != 0 && l->way[!side].piped > 0)
		result = move(r, l, !side);
	/* Who closes means both directions: SMB clients and servers do not close one alone. */
	for (int i = 0; i < 2 && result == -1; i++) {
		r->link[l->fd[i]] = NULL;
		close(l->fd[i]);
		if (l->way[i].piped > 0) {
			close(l->way[i].pipe[0]);
			close(l->way[i].pipe[1]);
		}
	}
	if (result == -1)
		free(l);
}

static void
greet(struct relay *r, int listener)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET };
	int fd, on = 1;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) != -1) {
		struct link *l = calloc(1, sizeof(*l));
		int node = socket(r->to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

		if (l == NULL || node == -1)
			abort();
		/* When it fails there will be an event. */
		(void)connect(node, (struct sockaddr *)&r->to, sizeof(r->to));
		for (int i = 0; i < 2; i++) {
			e.data.fd = l->fd[i] = i == 0 ? fd : node;
			l->way[i].left = NBSS_HDR_LEN;
			r->link[l->fd[i]] = l;
			setsockopt(l->fd[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
			epoll_ctl(r->epoll, EPOLL_CTL_ADD, l->fd[i], &e);
		}
	}
}

int
main(int argc, char **argv)
{
	struct relay *r = calloc(1, sizeof(*r));
	struct epoll_event ev[EVENTS], e = { .events = EPOLLIN };
	struct sockaddr_storage ss;
	struct addrport at, to;
	int fd, on = 1;

	if (argc != 3 || r == NULL || addrport_parse(&at, argv[1], 445) == -1 ||
	    addrport_parse(&to, argv[2], 445) == -1) {
		fprintf(stderr, "usage: relay LISTENER SERVER, both as ADDRESS:PORT\n");
		exit(2);
	}
	signal(SIGPIPE, SIG_IGN);
	r->epoll = epoll_create1(EPOLL_CLOEXEC);
	addrport_to_sa(&to, &r->to);
	addrport_to_sa(&at, &ss);
	e.data.fd = fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&ss, addrport_to_sa(&at, &ss)) == -1 ||
	    listen(fd, 4096) == -1 || epoll_ctl(r->epoll, EPOLL_CTL_ADD, fd, &e) == -1) {
		perror(argv[1]);
		exit(EXIT_FAILURE);
	}
	for (;;) {
		int n = epoll_wait(r->epoll, ev, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			struct link *l = r->link[ev[i].data.fd];

			if (ev[i].data.fd == fd)
				greet(r, fd);
			else if (l != NULL)
				serve(r, l, ev[i].data.fd == l->fd[1], ev[i].events);
		}
	}
}
