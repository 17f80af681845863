/* load.c: clients for measurements: logons, then operations in a closed loop or at a fixed rate */
#include "config.h"

#include "base/addr.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/rd.h"
#include "base/wr.h"
#include "smb/const.h"
#include "smb/hdr2.h"
#include "smb/nbss.h"
#include "smb/neg2.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEPTH_MAX 64
#define HEAD (NBSS_HDR_LEN + SMB2_HDR_LEN)
#define EVENTS 256
#define PAUSE_US 20000
/* Histogram: 16 steps for each power of two of microseconds/8. */
#define STEPS 16

enum mode { ECHO, READ, WRITE, CONN, IDLE };

struct client {
	int fd;
	uint32_t events;
	enum { NEGOTIATE, SETUP1, SETUP2, READY, LOGOFF } state;
	uint64_t mid, session;
	uint8_t head[HEAD];	/* of the answer that comes */
	size_t got;
	uint32_t skip;		/* bytes of it behind the head */
	struct buf out;
	uint64_t since[DEPTH_MAX];	/* by MessageId: answers may come in any order */
	uint64_t born;
};

struct load {
	enum mode mode;
	bool user;		/* not anonymous: no guest's limits */
	struct addrport to;
	unsigned nclients, depth;
	uint32_t size;
	uint64_t ops_limit;	/* 0: for a time */
	double rate;		/* of operations a second, of all clients; 0: a closed loop */
	uint64_t warm_us, run_us;
	int epoll;
	struct client *all;
	uint8_t *frame;		/* of a WRITE, as long as one */
	bool counting, over;
	unsigned ready;
	uint64_t sent, answered, ops, errors, sum_ns, max_ns;
	uint64_t hist[64 * STEPS];
	uint8_t scratch[256 * 1024];
};

static uint64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static unsigned
step_of(uint64_t ns)
{
	unsigned e;

	if (ns < STEPS)
		return (unsigned)ns;
	e = 63 - (unsigned)__builtin_clzll(ns);
	return (e - 3) * STEPS + (unsigned)(ns >> (e - 4) & (STEPS - 1));
}

static double
percentile(const struct load *l, double part)
{
	uint64_t seen = 0;

	for (unsigned i = 0; i < 64 * STEPS; i++) {
		seen += l->hist[i];
		if (l->ops > 0 && (double)seen >= part * (double)l->ops)
			return i < STEPS
			    ? i / 1e3
			    : (double)((uint64_t)(STEPS + i % STEPS) << (i / STEPS - 1)) / 1e3;
	}
	return 0;
}

static void
done(struct load *l, uint64_t since)
{
	uint64_t ns = now_ns() - since;

	if (!l->counting)
		return;
	l->ops++;
	l->sum_ns += ns;
	l->max_ns = ns > l->max_ns ? ns : l->max_ns;
	l->hist[step_of(ns)]++;
}

static void
watch(struct load *l, struct client *c)
{
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };

	if (buf_len(&c->out) > 0)
		e.events |= EPOLLOUT;
	if (e.events != c->events)
		epoll_ctl(l->epoll, c->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, c->fd, &e);
	c->events = e.events;
}

static int
put(struct client *c, const uint8_t *p, size_t n)
{
	ssize_t sent = 0;

	if (buf_len(&c->out) == 0) {
		sent = send(c->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent == -1 && errno != EAGAIN)
			return -1;
		if (sent == -1)
			sent = 0;
	}
	return buf_add(&c->out, p + sent, n - (size_t)sent);
}

/* The message behind the transport header in w goes out, and n bytes of payload behind it. */
static int
finish(struct client *c, struct wr *w, const uint8_t *payload, uint32_t n)
{
	nbss_put(w->base, (uint32_t)(wr_len(w) - NBSS_HDR_LEN + n));
	if (put(c, w->base, wr_len(w)) == -1)
		return -1;
	return n == 0 ? 0 : put(c, payload, n);
}

static void
head(struct client *c, struct wr *w, uint16_t command, uint32_t payload)
{
	struct hdr2 h = { .command = command, .credits = 64, .session_id = c->session };

	h.credit_charge = (uint16_t)(payload == 0 ? 1 : (payload - 1) / 65536 + 1);
	h.message_id = c->mid;
	c->since[c->mid % DEPTH_MAX] = now_ns();
	c->mid++;
	wr_zero(w, NBSS_HDR_LEN);
	hdr2_put(w, &h);
}

static int
negotiate(struct client *c)
{
	static const uint8_t salt[32];
	uint8_t out[512];
	struct wr w = wr_init(out, sizeof(out));
	struct guid guid;

	for (unsigned i = 0; i < sizeof(guid.b); i++)
		guid.b[i] = (uint8_t)rand();
	wr_zero(&w, NBSS_HDR_LEN);
	neg2_probe_put(&w, &guid, salt);
	c->mid = 1;
	return finish(c, &w, NULL, 0);
}

/* The last token of NTLM: of nobody, [MS-NLMP] 3.2.5.1.2, or of a user "u", whoever that is. */
static void
authenticate(struct wr *w, bool user)
{
	for (unsigned i = 0; i < 6; i++) {
		const uint16_t n = user ? (i == 1 ? 24 : i == 3 ? 2 : 0) : i == 0;

		wr_u16(w, n);
		wr_u16(w, n);
		wr_u32(w, user && i == 3 ? 64 + 24 : 64);
	}
	wr_u32(w, user ? 0x00000201 : 0x00000a01);
	wr_zero(w, user ? 24 : 1);
	if (user)
		wr_u16(w, 'u');
}

static int
setup(struct client *c, uint32_t type, bool user)
{
	uint8_t out[512];
	struct wr w = wr_init(out, sizeof(out));
	size_t blob = type == 1 ? 32 : user ? 64 + 24 + 2 : 65;

	head(c, &w, SMB2_SESSION_SETUP, 0);
	wr_u16(&w, 25);
	wr_u8(&w, 0);
	wr_u8(&w, SMB2_NEGOTIATE_SIGNING_ENABLED);
	wr_zero(&w, 8);
	wr_u16(&w, SMB2_HDR_LEN + 24);
	wr_u16(&w, (uint16_t)blob);
	wr_zero(&w, 8);
	wr_bytes(&w, "NTLMSSP", 8);
	wr_u32(&w, type);
	if (type == 1) {
		wr_u32(&w, 0x00000201);
		wr_zero(&w, 16);
	} else {
		authenticate(&w, user);
	}
	return finish(c, &w, NULL, 0);
}

static int
small(struct client *c, uint16_t command)
{
	uint8_t out[HEAD + 4];
	struct wr w = wr_init(out, sizeof(out));

	head(c, &w, command, 0);
	wr_u16(&w, 4);
	wr_u16(&w, 0);
	return finish(c, &w, NULL, 0);
}

static int
transfer(struct load *l, struct client *c)
{
	uint8_t out[HEAD + 64];
	struct wr w = wr_init(out, sizeof(out));
	bool reading = l->mode == READ;

	head(c, &w, reading ? SMB2_READ : SMB2_WRITE, l->size);
	wr_u16(&w, 49);
	wr_u16(&w, reading ? 80 : SMB2_HDR_LEN + 48);
	wr_u32(&w, l->size);
	wr_zero(&w, 8);
	wr_zero(&w, 16);
	wr_zero(&w, reading ? 17 : 16);
	return finish(c, &w, l->frame, reading ? 0 : l->size);
}

static int
ask(struct load *l, struct client *c)
{
	if (l->ops_limit > 0 && l->sent == l->ops_limit)
		return 0;
	l->sent++;
	return l->mode == ECHO ? small(c, SMB2_ECHO) : transfer(l, c);
}

static int
dial(struct load *l, struct client *c)
{
	struct sockaddr_storage ss;
	int on = 1;

	*c = (struct client){ .born = now_ns() };
	c->fd = socket(addrport_to_sa(&l->to, &ss) > 0 ? ss.ss_family : AF_INET,
	    SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd == -1 ||
	    connect(c->fd, (struct sockaddr *)&ss, addrport_to_sa(&l->to, &ss)) == -1)
		return -1;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return negotiate(c);
}

static int
hang_up(struct load *l, struct client *c)
{
	close(c->fd);
	buf_fini(&c->out);
	done(l, c->born);
	return l->over ? 0 : dial(l, c);
}

/* One whole answer. */
static int
answered(struct load *l, struct client *c)
{
	struct hdr2 h;

	if (hdr2_get(&h, c->head + NBSS_HDR_LEN, SMB2_HDR_LEN) == -1)
		return -1;
	switch (c->state) {
	case NEGOTIATE:
		c->state = SETUP1;
		return setup(c, 1, l->user);
	case SETUP1:
		c->session = h.session_id;
		c->state = SETUP2;
		return h.status == STATUS_MORE_PROCESSING_REQUIRED ? setup(c, 3, l->user) : -1;
	case SETUP2:
		if (h.status != STATUS_SUCCESS)
			return -1;
		l->ready++;
		c->state = READY;
		if (l->mode == CONN) {
			c->state = LOGOFF;
			return small(c, SMB2_LOGOFF);
		}
		for (unsigned i = 0; l->mode != IDLE && l->rate == 0 && i < l->depth; i++)
			if (ask(l, c) == -1)
				return -1;
		return 0;
	case READY:
		if (h.status != STATUS_SUCCESS)
			return -1;
		l->answered++;
		done(l, c->since[h.message_id % DEPTH_MAX]);
		return l->over || l->rate > 0 ? 0 : ask(l, c);
	case LOGOFF:
		return hang_up(l, c);
	}
	return -1;
}

/* Goes through what was received; -1: that client has failed. */
static int
take(struct load *l, struct client *c, const uint8_t *p, size_t n)
{
	while (n > 0) {
		size_t step;
		struct nbss nb;
		int fd = c->fd;

		if (c->got < HEAD) {
			step = n < HEAD - c->got ? n : HEAD - c->got;
			memcpy(c->head + c->got, p, step);
			c->got += step;
			p += step;
			n -= step;
			if (c->got < HEAD || nbss_get(&nb, c->head, HEAD) == -1)
				continue;
			if (nb.len < SMB2_HDR_LEN)
				return -1;
			c->skip = nb.len - SMB2_HDR_LEN;
		}
		step = n < c->skip ? n : c->skip;
		c->skip -= (uint32_t)step;
		p += step;
		n -= step;
		if (c->skip > 0)
			continue;
		c->got = 0;
		if (answered(l, c) == -1)
			return -1;
		/* It has hung up and dialled anew: nothing of this is its. */
		if (c->fd != fd || c->state == NEGOTIATE)
			return 0;
	}
	return 0;
}

static int
event(struct load *l, struct client *c, uint32_t events)
{
	ssize_t n;

	if ((events & EPOLLOUT) != 0 && buf_len(&c->out) > 0) {
		n = send(c->fd, buf_head(&c->out), buf_len(&c->out), MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n == -1 && errno != EAGAIN)
			return -1;
		if (n > 0)
			buf_drain(&c->out, (size_t)n);
	}
	if ((events & ~(uint32_t)EPOLLOUT) == 0)
		return 0;
	n = recv(c->fd, l->scratch, sizeof(l->scratch), MSG_DONTWAIT);
	if (n == -1)
		return errno == EAGAIN ? 0 : -1;
	return n == 0 ? -1 : take(l, c, l->scratch, (size_t)n);
}

static void
turn(struct load *l, int timeout_ms)
{
	struct epoll_event ev[EVENTS];
	int n = epoll_wait(l->epoll, ev, EVENTS, timeout_ms);

	for (int i = 0; i < n; i++) {
		struct client *c = ev[i].data.ptr;

		if (event(l, c, ev[i].events) == -1) {
			close(c->fd);
			c->fd = -1;
			l->errors++;
		} else if (c->fd != -1) {
			watch(l, c);
		}
	}
}

static void
word(const char *text)
{
	puts(text);
	fflush(stdout);
}

static void
dial_all(struct load *l)
{
	for (unsigned i = 0; i < l->nclients; i++) {
		if (dial(l, &l->all[i]) == -1) {
			l->errors++;
			continue;
		}
		watch(l, &l->all[i]);
		/* A backlog is finite. */
		while (l->ready + l->errors + 512 < i)
			turn(l, 1000);
	}
	while ((l->mode == IDLE || l->rate > 0) && l->ready + l->errors < l->nclients)
		turn(l, 1000);
}

static void
hang_up_all(struct load *l)
{
	for (unsigned i = 0; i < l->nclients; i++)
		buf_fini(&l->all[i].out);
}

/* One operation, which counts from when it was due: who is late does not make others later. */
static void
ask_due(struct load *l, struct client *c, uint64_t due)
{
	unsigned slot = c->mid % DEPTH_MAX;

	if (c->fd == -1)
		return;
	if (ask(l, c) == -1)
		l->errors++;
	c->since[slot] = due;
	watch(l, c);
}

/* For so long an operation every so often, of each client in its turn, and all their answers. */
static void
pace(struct load *l, uint64_t us)
{
	struct pollfd p = { .fd = l->epoll, .events = POLLIN };
	double gap = 1e9 / l->rate;
	uint64_t begin = now_ns(), now, n = 0, late;

	for (uint64_t due = begin; due < begin + us * 1000;) {
		for (now = now_ns(); due <= now && due < begin + us * 1000; n++) {
			ask_due(l, &l->all[n % l->nclients], due);
			due = begin + (uint64_t)(gap * (double)(n + 1));
		}
		if (due > now)
			(void)ppoll(&p, 1, &(struct timespec){ .tv_nsec = (long)(due - now) % 1000000000 },
			    NULL);
		turn(l, 0);
	}
	for (late = now_ns() + 2000000000; l->answered < l->sent && now_ns() < late;)
		turn(l, 100);
	l->errors += l->sent - l->answered;
}

/* Between its two words whoever reads them looks at the proxy's clock: nothing goes on then. */
static void
run_paced(struct load *l)
{
	uint64_t begin;

	prctl(PR_SET_TIMERSLACK, 1);
	pace(l, l->warm_us);
	word("begin");
	usleep(PAUSE_US);
	begin = clock_us();
	l->counting = true;
	pace(l, l->run_us);
	l->run_us = clock_us() - begin;
	word("end");
	usleep(PAUSE_US);
}

static void
run_for(struct load *l)
{
	uint64_t begin, end;

	for (begin = clock_us(); clock_us() - begin < l->warm_us;)
		turn(l, 100);
	word("begin");
	l->counting = true;
	for (begin = clock_us(); (end = clock_us()) - begin < l->run_us;)
		turn(l, 100);
	l->counting = false;
	l->run_us = end - begin;
	word("end");
}

static void
run(struct load *l)
{
	l->counting = l->ops_limit > 0;
	dial_all(l);
	if (l->mode == IDLE) {
		word("ready");
		(void)getchar();
		return;
	}
	if (l->rate > 0) {
		run_paced(l);
	} else if (l->ops_limit > 0) {
		while (l->ops + l->errors < l->ops_limit)
			turn(l, 1000);
		l->run_us = 0;
	} else {
		run_for(l);
	}
	l->over = true;
	printf("{\"ops\": %" PRIu64 ", \"bytes\": %" PRIu64
	       ", \"seconds\": %.6f, \"errors\": %" PRIu64
	       ", \"mean_us\": %.2f, \"p50_us\": %.2f, \"p99_us\": %.2f, \"max_us\": %.2f}\n",
	    l->ops, l->mode == READ || l->mode == WRITE ? l->ops * l->size : 0,
	    (double)l->run_us / 1e6, l->errors,
	    l->ops > 0 ? (double)l->sum_ns / (double)l->ops / 1e3 : 0, percentile(l, 0.5),
	    percentile(l, 0.99), (double)l->max_ns / 1e3);
}

static int
usage(void)
{
	fprintf(stderr,
	    "usage: load [-c clients] [-d depth] [-n operations | -t seconds] [-r rate] [-s bytes] "
	    "[-u] ADDRESS:PORT echo|read|write|conn|idle\n");
	return 2;
}

int
main(int argc, char **argv)
{
	static const char *const modes[] = { "echo", "read", "write", "conn", "idle" };
	struct load *l = calloc(1, sizeof(*l));
	struct rlimit rl;
	int o, status;

	if (l == NULL)
		return 1;
	l->nclients = l->depth = 1;
	l->size = 4096;
	l->warm_us = 200000;
	l->run_us = 1000000;
	while ((o = getopt(argc, argv, "c:d:n:r:s:t:u")) != -1) {
		double v = strtod(optarg != NULL ? optarg : "", NULL);

		if (o == 'u')
			l->user = true;
		else if (o == 'c')
			l->nclients = (unsigned)v;
		else if (o == 'd')
			l->depth = (unsigned)v;
		else if (o == 'n')
			l->ops_limit = (uint64_t)v;
		else if (o == 'r')
			l->rate = v;
		else if (o == 's')
			l->size = (uint32_t)v;
		else if (o == 't')
			l->run_us = (uint64_t)(v * 1e6);
		else
			return usage();
	}
	if (argc - optind != 2 || addrport_parse(&l->to, argv[optind], 445) == -1 ||
	    l->depth == 0 || l->depth > DEPTH_MAX || l->nclients == 0 || l->rate < 0)
		return usage();
	for (l->mode = ECHO; l->mode <= IDLE; l->mode++)
		if (strcmp(argv[optind + 1], modes[l->mode]) == 0)
			break;
	if (l->mode > IDLE || (l->rate > 0 && (l->mode >= CONN || l->ops_limit > 0)))
		return usage();
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
	signal(SIGPIPE, SIG_IGN);
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	l->all = calloc(l->nclients, sizeof(*l->all));
	l->frame = calloc(1, l->size + 1);
	if (l->epoll == -1 || l->all == NULL || l->frame == NULL)
		return 1;
	run(l);
	hang_up_all(l);
	status = l->errors > 0;
	free(l->frame);
	free(l->all);
	free(l);
	return status;
}
