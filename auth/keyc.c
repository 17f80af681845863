/* keyc.c: a worker's connection to smbgate-keyd: attached, written to, read from, lost */
#include "config.h"

#include "auth/keyc.h"

#include "auth/keyc_priv.h"
#include "base/clock.h"
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>
#include <openssl/crypto.h>

static void
fail_all(struct keyc *c, const char *why)
{
	struct keyx *x;

	while ((x = TAILQ_FIRST(&c->asking)) != NULL)
		keyx_fail(x, NOKEY_keyd_died, "%s", why);
}

/* What was answered stays answered. */
static void
keyc_detach(struct keyc *c, const char *why)
{
	if (c->fd == -1)
		return;
	event_free(c->rd);
	event_free(c->wr);
	c->rd = c->wr = NULL;
	close(c->fd);
	c->fd = -1;
	fail_all(c, why);
}

/* 0, or -1 when smbgate-keyd does not behave like one. */
static int
take_answer(struct keyc *c, const uint8_t *p, size_t n)
{
	struct keymsg m;
	struct keyx *x;

	if (keymsg_get(&m, p, n) == -1 || keymsg_is_request(m.type))
		return -1;
	c->heard_ms = clock_ms();
	atomic_store(&c->watch->silent, false);
	if (m.type == KEYMSG_HELLO || !c->greeted) {
		if (m.type != KEYMSG_HELLO || c->greeted || m.id != KEYMSG_VERSION)
			return -1;
		c->greeted = true;
		return 0;
	}
	if (c->unanswered > 0)
		c->unanswered--;
	/* What was given up meanwhile is not among them. */
	TAILQ_FOREACH(x, &c->sent, sent)
		if (x->id == m.id)
			break;
	if (x != NULL)
		keyx_answer(x, &m);
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
	keysend_pump(c);
}

static void
keyc_write_cb(evutil_socket_t fd, short what, void *arg)
{
	struct keyc *c = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(c, KEYC_MAGIC);
	keysend_pump(c);
}

/*
 * One that was not answered fails alone while smbgate-keyd answers others. If it has said nothing
 * to anybody for as long, nobody else is to wait for it: not those that ask now, nor others later.
 */
static void
keyc_timeout_cb(evutil_socket_t fd, short what, void *arg)
{
	struct keyc *c = arg;
	uint64_t now = clock_ms();
	struct keyx *x;

	(void)fd;
	(void)what;
	MAGIC_CHECK(c, KEYC_MAGIC);
	if (keywait_excuse(c, now))
		return;
	while ((x = keywait_late(c, now)) != NULL) {
		atomic_fetch_add(&c->watch->timeouts, 1);
		if (now - c->heard_ms >= KEYWAIT_MS) {
			atomic_store(&c->watch->silent, true);
			fail_all(c, "smbgate-keyd did not answer");
		} else if (x->queue != NULL) {
			keyx_fail(x, NOKEY_keyd_died, "smbgate-keyd has too much to do");
		} else {
			keyx_fail(x, NOKEY_keyd_died, "smbgate-keyd did not answer");
		}
	}
}

static void
keyc_done_cb(evutil_socket_t fd, short what, void *arg)
{
	struct keyc *c = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(c, KEYC_MAGIC);
	keywait_tell(c);
}

struct keyc *
keyc_new(struct event_base *base, struct keywatch *watch)
{
	struct keyc *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	MAGIC_SET(c, KEYC_MAGIC);
	c->base = base;
	c->watch = watch;
	c->fd = -1;
	c->next_id = 1;
	TAILQ_INIT(&c->sent);
	TAILQ_INIT(&c->asking);
	TAILQ_INIT(&c->finished);
	TAILQ_INIT(&c->sources);
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
	c->unanswered = 0;
	c->heard_ms = clock_ms();
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
