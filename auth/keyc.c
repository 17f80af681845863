/* keyc.c: a worker's side of smbgate-keyd: asks for the key of a logon, asynchronously */
#include "config.h"

#include "auth/keyc.h"

#include "auth/keymsg.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/magic.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>
#include <openssl/crypto.h>
#include <uthash.h>

/*
 *	ask ──► socket, or the queue while that is full ──► smbgate-keyd
 *	ready() ◄── done list, from the loop ◄── answers, timeouts, a death
 *
 * Each beginning (AP_REQ, CHALLENGE) gets an id of its own, so that an answer to what was given up
 * finds nobody.
 */

/* A ticket is opened in milliseconds, and clients wait longer than this. */
#define TIMEOUT_MS 2000

/* What may wait for a smbgate-keyd that does not read: more is a sign that it never will. */
#define QUEUE_MESSAGES 1024
#define QUEUE_BYTES (4 * 1024 * 1024)

_Static_assert(KEYC_KEY_MAX >= KEYMSG_KEY_MAX, "a key must fit");
_Static_assert(KEYC_PRINCIPAL_MAX > KEYMSG_TEXT_MAX, "a principal must fit");

struct waiting {
	STAILQ_ENTRY(waiting) entry;
	size_t len;
	uint8_t bytes[];
};

struct keyx {
	struct keyc *c;
	void (*ready)(void *arg);
	void *arg;
	struct keyx_result r;
	uint64_t id;			/* 0: smbgate-keyd has not been asked anything */
	uint64_t epoch;			/* of the smbgate-keyd that was asked, 0: there was none */
	enum keymsg_type last;		/* what it was asked last */
	unsigned owed;			/* answers on their way */
	bool held;			/* smbgate-keyd may still keep something of it */
	struct buf challenge;		/* sent with the AUTHENTICATE: many a logon is anonymous */
	uint64_t deadline;
	enum { ON_NONE, ON_ASKING, ON_DONE } on;
	enum keyx_state outcome;	/* ON_DONE: what r.state is about to be */
	TAILQ_ENTRY(keyx) entry;	/* of one of the two lists */
	UT_hash_handle hh;		/* by id, while it has one */
};

TAILQ_HEAD(keyx_list, keyx);

#define KEYC_MAGIC 0x6b657963u

struct keyc {
	MAGIC_MEMBER
	struct event_base *base;
	int fd;				/* -1: no smbgate-keyd */
	bool greeted;			/* it has said HELLO */
	uint64_t epoch;			/* counts those that were attached */
	uint64_t next_id;
	struct event *rd, *wr;
	struct event *timeout;		/* of the first that asks */
	struct event *done;		/* made active by whoever puts one on that list */
	struct keyx *by_id;
	struct keyx_list asking;	/* in the order of their deadlines */
	struct keyx_list finished;
	STAILQ_HEAD(, waiting) queue;
	size_t queue_len, queue_bytes;
	size_t nkeyx;
};

static void
leave_list(struct keyx *x)
{
	if (x->on == ON_ASKING)
		TAILQ_REMOVE(&x->c->asking, x, entry);
	else if (x->on == ON_DONE)
		TAILQ_REMOVE(&x->c->finished, x, entry);
	x->on = ON_NONE;
}

static void
arm_timeout(struct keyc *c)
{
	const struct keyx *x = TAILQ_FIRST(&c->asking);
	uint64_t now = clock_ms(), ms;
	struct timeval tv;

	if (x == NULL) {
		event_del(c->timeout);
		return;
	}
	ms = x->deadline > now ? x->deadline - now : 0;
	tv.tv_sec = (time_t)(ms / 1000);
	tv.tv_usec = (suseconds_t)(ms % 1000) * 1000;
	event_add(c->timeout, &tv);
}

/* ready() will run soon. */
static void
keyx_finish(struct keyx *x, enum keyx_state outcome)
{
	leave_list(x);
	x->outcome = outcome;
	x->on = ON_DONE;
	TAILQ_INSERT_TAIL(&x->c->finished, x, entry);
	event_active(x->c->done, 0, 0);
}

static void
forget_id(struct keyx *x)
{
	if (x->id != 0)
		HASH_DEL(x->c->by_id, x);
	x->id = 0;
	x->owed = 0;
	x->held = false;
}

static void
wipe_key(struct keyx *x)
{
	OPENSSL_cleanse(x->r.key, sizeof(x->r.key));
	x->r.key_len = 0;
	x->r.mutual = false;
}

static void __attribute__((format(printf, 2, 3)))
keyx_fail(struct keyx *x, const char *fmt, ...)
{
	va_list ap;

	forget_id(x);
	wipe_key(x);
	va_start(ap, fmt);
	vsnprintf(x->r.why, sizeof(x->r.why), fmt, ap);
	va_end(ap);
	x->r.state = KEYX_ASKING;
	keyx_finish(x, KEYX_FAILED);
}

static void
drop_queue(struct keyc *c)
{
	struct waiting *w;

	while ((w = STAILQ_FIRST(&c->queue)) != NULL) {
		STAILQ_REMOVE_HEAD(&c->queue, entry);
		free(w);
	}
	c->queue_len = c->queue_bytes = 0;
}

/* What was answered stays answered. */
static void
keyc_detach(struct keyc *c, const char *why)
{
	struct keyx *x, *next;

	if (c->fd == -1)
		return;
	event_free(c->rd);
	if (c->wr != NULL)
		event_free(c->wr);
	c->rd = c->wr = NULL;
	close(c->fd);
	c->fd = -1;
	drop_queue(c);
	for (x = TAILQ_FIRST(&c->asking); x != NULL; x = next) {
		next = TAILQ_NEXT(x, entry);
		keyx_fail(x, "%s", why);
	}
	arm_timeout(c);
}

/* 1: sent. 0: it would block. -1: it cannot be sent. */
static int
try_send(const struct keyc *c, const uint8_t *p, size_t n)
{
	ssize_t r;

	do
		r = send(c->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (r == -1 && errno == EINTR);
	if (r == -1)
		return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS ? 0 : -1;
	return 1;
}

static int
keyc_enqueue(struct keyc *c, const uint8_t *p, size_t n)
{
	struct waiting *w;

	if (c->queue_len >= QUEUE_MESSAGES || c->queue_bytes + n > QUEUE_BYTES)
		return -1;
	w = malloc(sizeof(*w) + n);
	if (w == NULL || event_add(c->wr, NULL) == -1) {
		free(w);
		return -1;
	}
	w->len = n;
	memcpy(w->bytes, p, n);
	STAILQ_INSERT_TAIL(&c->queue, w, entry);
	c->queue_len++;
	c->queue_bytes += n;
	return 0;
}

static int
keyc_transmit(struct keyc *c, const struct keymsg *m)
{
	uint8_t small[64], *big = NULL, *p = small;
	size_t cap = sizeof(small), n;
	int r = -1;

	if (m->len > 0) {
		cap = m->len + sizeof(small);
		p = big = malloc(cap);
		if (big == NULL)
			return -1;
	}
	n = keymsg_put(p, cap, m);
	if (n > 0) {
		r = STAILQ_EMPTY(&c->queue) ? try_send(c, p, n) : 0;
		if (r == 0)
			r = keyc_enqueue(c, p, n);
	}
	free(big);
	return r == -1 ? -1 : 0;
}

/* If it gets lost, smbgate-keyd forgets by itself after a while. */
static void
let_go(struct keyx *x)
{
	struct keyc *c = x->c;

	if (x->held && c->fd != -1 && x->epoch == c->epoch &&
	    keyc_transmit(c, &(struct keymsg){ .type = KEYMSG_FORGET, .id = x->id }) == -1)
		log_debug("keyc: a FORGET was lost");
	forget_id(x);
}

static void
keyx_begin(struct keyx *x)
{
	struct keyc *c = x->c;

	let_go(x);
	wipe_key(x);
	leave_list(x);
	buf_fini(&x->challenge);
	x->r.state = KEYX_NOTHING;
	x->r.principal[0] = x->r.why[0] = '\0';
	x->epoch = 0;
	if (c->fd == -1)
		return;
	x->id = c->next_id++;
	x->epoch = c->epoch;
	HASH_ADD(hh, c->by_id, id, sizeof(x->id), x);
}

/* Of an exchange with an id. What is owed more than once has one deadline, that of the last. */
static void
keyx_send(struct keyx *x, enum keymsg_type type, const uint8_t *p, size_t n)
{
	const struct keymsg m = { .type = type, .id = x->id, .data = p, .len = n };
	struct keyc *c = x->c;

	if (keyc_transmit(c, &m) == -1) {
		let_go(x);
		keyx_fail(x, "smbgate-keyd takes no more requests");
		return;
	}
	x->last = type;
	x->held = true;
	if (type == KEYMSG_NTLM_CHALLENGE)
		return;
	leave_list(x);
	x->owed++;
	x->r.state = KEYX_ASKING;
	x->deadline = clock_ms() + TIMEOUT_MS;
	x->on = ON_ASKING;
	TAILQ_INSERT_TAIL(&c->asking, x, entry);
	arm_timeout(c);
}

static bool
sane(struct keyx *x, size_t n)
{
	if (n > 0 && n <= KEYMSG_TOKEN_MAX)
		return true;
	let_go(x);
	keyx_fail(x, "a token of %zu bytes", n);
	return false;
}

void
keyx_ap_req(struct keyx *x, const uint8_t *p, size_t n)
{
	keyx_begin(x);
	if (!sane(x, n))
		return;
	if (x->id == 0)
		keyx_fail(x, "smbgate-keyd is not running");
	else
		keyx_send(x, KEYMSG_AP_REQ, p, n);
}

void
keyx_ntlm_challenge(struct keyx *x, const uint8_t *p, size_t n)
{
	keyx_begin(x);
	if (!sane(x, n))
		return;
	/* Nothing is answered to it: without a smbgate-keyd the AUTHENTICATE will say so. */
	x->last = KEYMSG_NTLM_CHALLENGE;
	if (x->id != 0 && buf_add(&x->challenge, p, n) == -1)
		keyx_fail(x, "out of memory");
}

/* The second message of an exchange, after a first one that was `first`. */
static void
keyx_continue(struct keyx *x, enum keymsg_type first, enum keymsg_type type, const uint8_t *p,
    size_t n)
{
	struct keyc *c = x->c;

	if (x->r.state == KEYX_FAILED || (x->on == ON_DONE && x->outcome == KEYX_FAILED)) {
		/* The first reason is the better one. */
		x->r.state = KEYX_ASKING;
		keyx_finish(x, KEYX_FAILED);
	} else if (c->fd == -1) {
		keyx_fail(x, "smbgate-keyd is not running");
	} else if (x->last == first && x->epoch != c->epoch) {
		keyx_fail(x, "smbgate-keyd was started during the logon");
	} else if (x->id == 0 || x->last != first || (!x->held && buf_len(&x->challenge) == 0)) {
		let_go(x);
		keyx_fail(x, "%s out of order", keymsg_name(type));
	} else if (sane(x, n)) {
		if (buf_len(&x->challenge) > 0)
			keyx_send(x, first, buf_head(&x->challenge), buf_len(&x->challenge));
		buf_fini(&x->challenge);
		/* It may have failed by now. */
		if (x->id != 0)
			keyx_send(x, type, p, n);
	}
}

void
keyx_ap_rep(struct keyx *x, const uint8_t *p, size_t n)
{
	keyx_continue(x, KEYMSG_AP_REQ, KEYMSG_AP_REP, p, n);
}

void
keyx_ntlm_auth(struct keyx *x, const uint8_t *p, size_t n)
{
	keyx_continue(x, KEYMSG_NTLM_CHALLENGE, KEYMSG_NTLM_AUTH, p, n);
}

static void
copy_text(char *dst, size_t cap, const struct keymsg *m)
{
	size_t n = m->text_len < cap ? m->text_len : cap - 1;

	memcpy(dst, m->text, n);
	dst[n] = '\0';
}

static void
take_key(struct keyx *x, const struct keymsg *m)
{
	/* An AP-REP was sent ahead of the answer to its AP-REQ: that one is not the last word. */
	if (--x->owed > 0) {
		x->r.mutual = m->mutual;
		return;
	}
	memcpy(x->r.key, m->data, m->len);
	x->r.key_len = m->len;
	x->r.mutual = m->mutual;
	copy_text(x->r.principal, sizeof(x->r.principal), m);
	x->held = m->mutual;
	if (!x->held)
		forget_id(x);
	keyx_finish(x, KEYX_READY);
}

/* 0, or -1 when smbgate-keyd does not behave like one. */
static int
take_answer(struct keyc *c, const uint8_t *p, size_t n)
{
	struct keymsg m;
	struct keyx *x;

	if (keymsg_get(&m, p, n) == -1 || keymsg_is_request(m.type))
		return -1;
	if (m.type == KEYMSG_HELLO || !c->greeted) {
		if (m.type != KEYMSG_HELLO || c->greeted || m.id != KEYMSG_VERSION)
			return -1;
		c->greeted = true;
		return 0;
	}
	HASH_FIND(hh, c->by_id, &m.id, sizeof(m.id), x);
	if (x == NULL)
		return 0;
	if (x->owed == 0 || x->on != ON_ASKING)
		return -1;
	if (m.type == KEYMSG_KEY) {
		take_key(x, &m);
	} else {
		char why[KEYMSG_TEXT_MAX + 1];

		/* The answer to an AP-REP that is on its way will find nobody. */
		copy_text(why, sizeof(why), &m);
		keyx_fail(x, "%s", why);
	}
	return 0;
}

static void
keyc_read_cb(evutil_socket_t fd, short what, void *arg)
{
	/* One more than an answer has, so that a longer one shows. */
	uint8_t bytes[KEYMSG_ANSWER_MAX + 1];
	struct keyc *c = arg;

	(void)what;
	MAGIC_CHECK(c, KEYC_MAGIC);
	/* So many at a turn: other events want to run, too. */
	for (int i = 0; i < 64; i++) {
		ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

		if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
			break;
		if (n <= 0) {
			keyc_detach(c, "smbgate-keyd died");
			break;
		}
		if ((size_t)n > KEYMSG_ANSWER_MAX || take_answer(c, bytes, (size_t)n) == -1) {
			log_error("smbgate-keyd does not speak version %d of its protocol",
			    KEYMSG_VERSION);
			keyc_detach(c, "smbgate-keyd does not speak its protocol");
			break;
		}
	}
	OPENSSL_cleanse(bytes, sizeof(bytes));
	arm_timeout(c);
}

static void
keyc_write_cb(evutil_socket_t fd, short what, void *arg)
{
	struct keyc *c = arg;
	struct waiting *w;

	(void)fd;
	(void)what;
	MAGIC_CHECK(c, KEYC_MAGIC);
	while ((w = STAILQ_FIRST(&c->queue)) != NULL) {
		int r = try_send(c, w->bytes, w->len);

		if (r == 0) {
			if (event_add(c->wr, NULL) == -1)
				keyc_detach(c, "out of memory");
			return;
		}
		if (r == -1) {
			keyc_detach(c, "smbgate-keyd died");
			return;
		}
		STAILQ_REMOVE_HEAD(&c->queue, entry);
		c->queue_len--;
		c->queue_bytes -= w->len;
		free(w);
	}
}

static void
keyc_timeout_cb(evutil_socket_t fd, short what, void *arg)
{
	struct keyc *c = arg;
	uint64_t now = clock_ms();
	struct keyx *x;

	(void)fd;
	(void)what;
	MAGIC_CHECK(c, KEYC_MAGIC);
	while ((x = TAILQ_FIRST(&c->asking)) != NULL && x->deadline <= now) {
		let_go(x);
		keyx_fail(x, "smbgate-keyd did not answer");
	}
	arm_timeout(c);
}

static void
keyc_done_cb(evutil_socket_t fd, short what, void *arg)
{
	struct keyc *c = arg;
	size_t n = 0;
	struct keyx *x;

	(void)fd;
	(void)what;
	MAGIC_CHECK(c, KEYC_MAGIC);
	/* ready() may free x, or any other; what it asks for in turn is another turn's. */
	TAILQ_FOREACH(x, &c->finished, entry)
		n++;
	while (n-- > 0 && (x = TAILQ_FIRST(&c->finished)) != NULL) {
		leave_list(x);
		x->r.state = x->outcome;
		x->ready(x->arg);
	}
	if (!TAILQ_EMPTY(&c->finished))
		event_active(c->done, 0, 0);
}

struct keyc *
keyc_new(struct event_base *base)
{
	struct keyc *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	MAGIC_SET(c, KEYC_MAGIC);
	c->base = base;
	c->fd = -1;
	c->next_id = 1;
	TAILQ_INIT(&c->asking);
	TAILQ_INIT(&c->finished);
	STAILQ_INIT(&c->queue);
	c->timeout = event_new(base, -1, 0, keyc_timeout_cb, c);
	c->done = event_new(base, -1, 0, keyc_done_cb, c);
	if (c->timeout == NULL || c->done == NULL)
		keyc_free(&c);
	return c;
}

void
keyc_free(struct keyc **cp)
{
	struct keyc *c = *cp;

	if (c == NULL)
		return;
	assert(c->nkeyx == 0);
	keyc_detach(c, "smbgate ends");
	if (c->timeout != NULL)
		event_free(c->timeout);
	if (c->done != NULL)
		event_free(c->done);
	MAGIC_CLEAR(c);
	free(c);
	*cp = NULL;
}

void
keyc_attach(struct keyc *c, int fd)
{
	keyc_detach(c, "smbgate-keyd died");
	c->greeted = false;
	c->epoch++;
	c->rd = event_new(c->base, fd, EV_READ | EV_PERSIST, keyc_read_cb, c);
	c->wr = event_new(c->base, fd, EV_WRITE, keyc_write_cb, c);
	if (c->rd != NULL && c->wr != NULL && event_add(c->rd, NULL) == 0) {
		c->fd = fd;
		return;
	}
	log_error("out of memory: a worker is without smbgate-keyd");
	if (c->rd != NULL)
		event_free(c->rd);
	if (c->wr != NULL)
		event_free(c->wr);
	c->rd = c->wr = NULL;
	close(fd);
}

struct keyx *
keyx_new(struct keyc *c, void (*ready)(void *arg), void *arg)
{
	struct keyx *x = calloc(1, sizeof(*x));

	if (x == NULL)
		return NULL;
	x->c = c;
	x->ready = ready;
	x->arg = arg;
	c->nkeyx++;
	return x;
}

void
keyx_free(struct keyx **xp)
{
	struct keyx *x = *xp;

	if (x == NULL)
		return;
	let_go(x);
	leave_list(x);
	buf_fini(&x->challenge);
	x->c->nkeyx--;
	OPENSSL_cleanse(x, sizeof(*x));
	free(x);
	*xp = NULL;
}

const struct keyx_result *
keyx_result(const struct keyx *x)
{
	return &x->r;
}
