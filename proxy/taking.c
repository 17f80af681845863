/* taking.c: connections come from the smbgate that ran before, and are a worker's from then on */
#include "config.h"

#include "proxy/taking.h"

#include "base/fdpass.h"
#include "base/log.h"
#include "base/magic.h"
#include "base/tlv.h"
#include "proxy/env.h"
#include "proxy/moving.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#define TAKING_MAGIC 0x7a419e00u

/* Taken in one go, before other connections have their turn. */
#define ROUNDS 16

enum { W_SERIAL = 1, W_WHY };

struct taking {
	MAGIC_MEMBER
	struct taking *next;
	struct conn_env *env;
	int fd;
	struct event *ev;
	uint8_t msg[TAKING_OFFER_MAX];
};

void
taking_offer_begin(struct tlv_out *o, uint64_t serial)
{
	tlv_put_uint(o, W_SERIAL, serial);
}

bool
taking_answer_get(struct taking_answer *a, const void *msg, size_t n)
{
	struct tlv_in in = tlv_in(msg, n);

	*a = (struct taking_answer){ .serial = 0 };
	while (tlv_next(&in)) {
		if (in.type == W_SERIAL)
			a->serial = tlv_uint(&in, UINT64_MAX);
		else if (in.type == W_WHY)
			tlv_text(&in, a->why, sizeof(a->why));
		else
			tlv_unknown(&in);
	}
	return !in.bad;
}

/* Only who has heard it gives the connection up. */
static bool
taking_say(struct taking *t, uint64_t serial, const char *why)
{
	struct tlv_out o = { .len = 0 };
	bool heard;

	tlv_put_uint(&o, W_SERIAL, serial);
	tlv_put_text(&o, W_WHY, why);
	heard = !o.bad &&
	    send(t->fd, o.data, o.len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)o.len;
	tlv_out_fini(&o);
	return heard;
}

/* False: this is the end. */
static bool
take_one(struct taking *t, const uint8_t *msg, size_t n, const int fds[2])
{
	struct tlv_in in = tlv_in(msg, n);
	const char *why = "no descriptor is left";
	struct conn *c = NULL;
	uint64_t serial;
	bool heard;

	serial = tlv_next(&in) && in.type == W_SERIAL ? tlv_uint(&in, UINT64_MAX) : 0;
	if (in.bad || serial == 0)
		return false;
	if (fds[0] != -1)
		c = moving_get(t->env, in, fds[0], fds[1], &why);
	heard = taking_say(t, serial, c != NULL ? NULL : why);
	if (c == NULL) {
		for (int i = 0; i < 2; i++)
			if (fds[i] != -1)
				close(fds[i]);
	} else if (heard) {
		moving_begin(c);
	} else {
		moving_drop(c);
	}
	return heard;
}

static void
taking_end(struct taking *t)
{
	event_free(t->ev);
	t->ev = NULL;
	close(t->fd);
	t->fd = -1;
}

static void
taking_cb(evutil_socket_t fd, short what, void *arg)
{
	struct taking *t = arg;

	(void)what;
	MAGIC_CHECK(t, TAKING_MAGIC);
	for (int i = 0; i < ROUNDS; i++) {
		int fds[2];
		ssize_t n = fdpass_recv2(fd, t->msg, sizeof(t->msg), fds, MSG_DONTWAIT);
		bool good;

		if (n == -1 && errno == EAGAIN)
			return;
		if (n <= 0) {
			taking_end(t);
			return;
		}
		good = take_one(t, t->msg, (size_t)n, fds);
		explicit_bzero(t->msg, (size_t)n);
		if (!good) {
			taking_end(t);
			return;
		}
	}
}

int
taking_add(struct taking **list, struct conn_env *env, int fd)
{
	struct taking *t = calloc(1, sizeof(*t));

	if (t == NULL) {
		close(fd);
		return -1;
	}
	MAGIC_SET(t, TAKING_MAGIC);
	t->env = env;
	t->fd = fd;
	t->next = *list;
	*list = t;
	t->ev = event_new(env->base, fd, EV_READ | EV_PERSIST, taking_cb, t);
	return t->ev == NULL || event_add(t->ev, NULL) == -1 ? -1 : 0;
}

void
taking_free(struct taking **list)
{
	struct taking *t;

	while ((t = *list) != NULL) {
		*list = t->next;
		if (t->ev != NULL)
			event_free(t->ev);
		if (t->fd != -1)
			close(t->fd);
		MAGIC_CLEAR(t);
		free(t);
	}
}
