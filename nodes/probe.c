/* probe.c: one SMB NEGOTIATE on a connection of its own: connect, ask, read the answer, reset */
#include "config.h"

#include "nodes/probe.h"

#include "base/clock.h"
#include "base/wr.h"
#include "nodes/node.h"
#include "nodes/own.h"
#include "smb/const.h"
#include "smb/hdr2.h"
#include "smb/nbss.h"
#include "smb/neg1.h"
#include "smb/neg2.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#define PROBE_MAGIC 0x70726f62u

/* RST: nothing of it is left in TIME_WAIT here, nor for a node to find whose queue was full. */
static void
probe_hang_up(struct probe *p)
{
	const struct linger now = { .l_onoff = 1, .l_linger = 0 };

	if (p->io != NULL)
		event_free(p->io);
	p->io = NULL;
	if (p->fd != -1) {
		setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		close(p->fd);
	}
	p->fd = -1;
	node_probe_over(p->node);
}

static void
probe_over(struct probe *p, enum probe_end end, const char *why)
{
	event_del(p->timer);
	probe_hang_up(p);
	p->done(p->arg, end, why);
}

/* socket() or connect() failed, or this machine lacks something else. */
static void
probe_failed(struct probe *p, int err, bool at_once)
{
	enum dial_fault f = dial_fault(err, at_once);

	if (f != DIAL_NODE)
		own_trouble(p->own, f, err, p->node, NULL);
	probe_over(p, f != DIAL_NODE ? PROBE_OWN : err == ETIMEDOUT ? PROBE_UNHEARD : PROBE_NO_WAY,
	    strerror(err));
}

/* A whole message is there. */
static void
probe_message(struct probe *p, size_t len)
{
	const uint8_t *msg = p->answer + NBSS_HDR_LEN;
	struct neg2_resp r;

	p->in_smb1 = p->smb1 && neg1_resp_good(msg, len);
	if (p->in_smb1) {
		node_learn(p->node, NULL);
	} else if (neg2_resp_get(&r, msg, len) == 0) {
		node_learn(p->node, &r);
	} else {
		probe_over(p, PROBE_IMPROPER, "its answer is not a NEGOTIATE response");
		return;
	}
	p->node->probe_us = clock_us() - p->started_us;
	probe_over(p, PROBE_ANSWERED, p->in_smb1 ? "it answers in SMB1" : "it answers");
}

static void
probe_read(struct probe *p)
{
	ssize_t n = recv(p->fd, p->answer + p->have, sizeof(p->answer) - p->have, 0);
	struct nbss nb;

	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		probe_over(p, PROBE_CLOSED, "it closed before it answered");
		return;
	}
	p->have += (size_t)n;
	if (nbss_get(&nb, p->answer, p->have) == -1)
		return;
	if (nb.type == NBSS_NEGATIVE) {
		probe_over(p, PROBE_DENIED,
		    "it refuses this machine's address (see its hosts allow)");
		return;
	}
	if (nb.type != NBSS_MESSAGE || nb.len > sizeof(p->answer) - NBSS_HDR_LEN) {
		probe_over(p, PROBE_IMPROPER, "its answer is not SMB");
		return;
	}
	if (p->have >= NBSS_HDR_LEN + nb.len)
		probe_message(p, nb.len);
}

/* -1: no random numbers. */
static int
probe_write(struct probe *p, struct wr *w)
{
	uint8_t salt[32];
	struct guid guid;

	nbss_begin(w);
	if (p->smb1) {
		neg1_probe_put(w);
	} else {
		/* A GUID of its own each time: the probe is nobody's client and displaces none. */
		if (getrandom(&guid, sizeof(guid), 0) != sizeof(guid) ||
		    getrandom(salt, sizeof(salt), 0) != sizeof(salt))
			return -1;
		node_probe_out(p->node, &guid);
		neg2_probe_put(w, &guid, salt);
	}
	nbss_end(w);
	return wr_ok(w) ? 0 : -1;
}

/* The connection is there, or has failed. */
static void
probe_send(struct probe *p)
{
	uint8_t out[NBSS_HDR_LEN + 512];
	struct wr w = wr_init(out, sizeof(out));
	int err = 0;
	socklen_t len = sizeof(err);

	if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &err, &len) == -1)
		err = errno;
	if (err != 0) {
		probe_failed(p, err, false);
		return;
	}
	if (probe_write(p, &w) == -1) {
		probe_over(p, PROBE_OWN, "no random numbers");
		return;
	}
	p->sent = true;
	/*
	 * A few hundred bytes always fit into a new connection's buffer. Who closes at once may
	 * have said why: that is read.
	 */
	if (send(p->fd, out, wr_len(&w), MSG_NOSIGNAL) != (ssize_t)wr_len(&w))
		probe_read(p);
}

static void
probe_io_cb(evutil_socket_t fd, short what, void *arg)
{
	struct probe *p = arg;

	(void)what;
	MAGIC_CHECK(p, PROBE_MAGIC);
	if (p->sent) {
		probe_read(p);
		return;
	}
	probe_send(p);
	/* It may be over, and the next one be out: on a socket of the same number. */
	if (p->fd == -1 || !p->sent)
		return;
	event_free(p->io);
	p->io = event_new(p->base, fd, EV_READ | EV_PERSIST, probe_io_cb, p);
	if (p->io == NULL || event_add(p->io, NULL) == -1)
		probe_failed(p, ENOMEM, true);
}

static void
probe_timer_cb(evutil_socket_t fd, short what, void *arg)
{
	struct probe *p = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(p, PROBE_MAGIC);
	if (p->sent)
		probe_over(p, PROBE_SILENT, "no answer in time");
	else
		probe_over(p, PROBE_UNHEARD, "no connection in time");
}

void
probe_start(struct probe *p, bool smb1, unsigned timeout_ms)
{
	const struct timeval tv = { (time_t)(timeout_ms / 1000),
		(suseconds_t)(timeout_ms % 1000 * 1000) };
	struct sockaddr_storage ss;
	socklen_t len = addrport_to_sa(&p->node->address, &ss);

	p->started_us = clock_us();
	p->have = 0;
	p->smb1 = smb1;
	p->sent = false;
	p->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (p->fd == -1 ||
	    (connect(p->fd, (struct sockaddr *)&ss, len) == -1 && errno != EINPROGRESS)) {
		probe_failed(p, errno, true);
		return;
	}
	p->io = event_new(p->base, p->fd, EV_WRITE, probe_io_cb, p);
	if (p->io == NULL || event_add(p->io, NULL) == -1 || event_add(p->timer, &tv) == -1)
		probe_failed(p, ENOMEM, true);
}

bool
probe_is_out(const struct probe *p)
{
	return p->fd != -1;
}

int
probe_init(struct probe *p, struct event_base *base, struct node *n, struct own *own,
    void (*done)(void *arg, enum probe_end end, const char *why), void *arg)
{
	MAGIC_SET(p, PROBE_MAGIC);
	p->base = base;
	p->node = n;
	p->own = own;
	p->fd = -1;
	p->done = done;
	p->arg = arg;
	p->timer = evtimer_new(base, probe_timer_cb, p);
	return p->timer == NULL ? -1 : 0;
}

void
probe_fini(struct probe *p)
{
	probe_hang_up(p);
	if (p->timer != NULL)
		event_free(p->timer);
	p->timer = NULL;
	MAGIC_CLEAR(p);
}
