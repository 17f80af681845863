/* channel.c: a worker's socket in smbgate-keyd: requests in, answers out, in order */
#include "config.h"

#include "keyd/channel.h"

#include "base/clock.h"
#include "base/log.h"
#include "keyd/exchange.h"
#include "keyd/rules.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/crypto.h>

struct answer {
	STAILQ_ENTRY(answer) entry;
	size_t len;
	uint8_t bytes[KEYMSG_ANSWER_MAX];
};

#define QUESTION 1000u

void
channel_init(struct channel *ch, unsigned index, unsigned rate, uint64_t now_ms)
{
	*ch = (struct channel){ .index = index, .fd = -1, .rate = rate, .filled_ms = now_ms };
	ch->credit = (uint64_t)rate * QUESTION * CHANNEL_BURST_S;
	STAILQ_INIT(&ch->answers);
}

int
channel_wait(struct channel *ch, uint64_t now_ms)
{
	const uint64_t most = (uint64_t)ch->rate * QUESTION * CHANNEL_BURST_S;
	uint64_t more = (now_ms - ch->filled_ms) * ch->rate * QUESTION / 1000;

	if (more > 0) {
		ch->credit = more > most - ch->credit ? most : ch->credit + more;
		ch->filled_ms = now_ms;
	}
	if (ch->credit >= QUESTION)
		return 0;
	return (int)((QUESTION - ch->credit) / ch->rate + 1);
}

/* A new socket of the same worker changes nothing of what it may ask. */
static void
channel_charge(struct channel *ch, const struct keymsg *m, struct rules *rules)
{
	char text[80];

	if (m->type != KEYMSG_AP_REQ && m->type != KEYMSG_NTLM_AUTH)
		return;
	ch->credit -= ch->credit < QUESTION ? ch->credit : QUESTION;
	if (ch->credit >= QUESTION)
		return;
	snprintf(text, sizeof(text), "worker %u asks more than %u times a second: it has to wait",
	    ch->index, ch->rate);
	rules_count(rules, KEYD_SLOWED, text);
}

void
channel_close(struct channel *ch, const char *why)
{
	struct answer *a;

	if (ch->fd == -1)
		return;
	if (why != NULL)
		log_error("smbgate-keyd: worker %u is not listened to any more: %s", ch->index,
		    why);
	close(ch->fd);
	ch->fd = -1;
	ch->told = false;
	exchanges_free(&ch->exchanges);
	while ((a = STAILQ_FIRST(&ch->answers)) != NULL) {
		STAILQ_REMOVE_HEAD(&ch->answers, entry);
		OPENSSL_cleanse(a, sizeof(*a));
		free(a);
	}
}

/* What does not go now stays, in order. */
static void
channel_flush(struct channel *ch)
{
	struct answer *a;

	while ((a = STAILQ_FIRST(&ch->answers)) != NULL) {
		ssize_t r = send(ch->fd, a->bytes, a->len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (r == -1 && errno == EINTR)
			continue;
		/* A worker that is gone is noticed when it is read from. */
		if (r == -1 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS))
			return;
		STAILQ_REMOVE_HEAD(&ch->answers, entry);
		OPENSSL_cleanse(a, sizeof(*a));
		free(a);
	}
}

static void
channel_answer_cb(void *arg, const struct keymsg *m)
{
	struct channel *ch = arg;
	struct answer *a = malloc(sizeof(*a));

	if (a == NULL || (a->len = keymsg_put(a->bytes, sizeof(a->bytes), m)) == 0) {
		free(a);
		/* The worker counts them: it must begin anew. */
		ch->broken = true;
		return;
	}
	STAILQ_INSERT_TAIL(&ch->answers, a, entry);
	channel_flush(ch);
}

int
channel_open(struct channel *ch, const struct exchange_env *env, int fd)
{
	channel_close(ch, NULL);
	ch->exchanges = exchanges_new(env, channel_answer_cb, ch);
	if (ch->exchanges == NULL) {
		close(fd);
		/* Else the guard would believe that it has one. */
		ch->told = false;
		return -1;
	}
	ch->fd = fd;
	ch->env = env;
	ch->broken = false;
	channel_answer_cb(ch, &(struct keymsg){ .type = KEYMSG_HELLO, .id = KEYMSG_VERSION });
	return 0;
}

/* buf has room for the longest request, and one byte more, so that what is too long shows. */
static void
channel_read(struct channel *ch, struct keyd_keys *keys, uint8_t buf[KEYMSG_MAX + 1])
{
	struct keymsg m;
	ssize_t n = recv(ch->fd, buf, KEYMSG_MAX + 1, MSG_DONTWAIT);

	if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return;
	if (n <= 0) {
		channel_close(ch, NULL);
	} else if (keymsg_get(&m, buf, (size_t)n) == -1 || !keymsg_is_request(m.type)) {
		channel_close(ch, "what it sent is no request");
	} else {
		channel_charge(ch, &m, ch->env->rules);
		exchanges_take(ch->exchanges, keys, &m, clock_ms());
	}
}

void
channel_serve(struct channel *ch, struct keyd_keys *keys, short got,
    uint8_t buf[KEYMSG_MAX + 1])
{
	if (ch->fd == -1)
		return;
	if (!STAILQ_EMPTY(&ch->answers))
		channel_flush(ch);
	if ((got & (POLLERR | POLLNVAL)) != 0 ||
	    ((got & POLLHUP) != 0 && (got & POLLIN) == 0))
		channel_close(ch, NULL);
	else if ((got & POLLIN) != 0)
		channel_read(ch, keys, buf);
	if (ch->fd != -1 && ch->broken)
		channel_close(ch, "an answer to it is lost");
}
