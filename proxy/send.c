/* send.c: the bytes of a connection, judged: to the other leg, or kept until it takes them */
#include "config.h"

#include "proxy/send.h"

#include "proxy/env.h"
#include "proxy/tapped.h"
#include "stats/stats.h"

#include <errno.h>
#include <sys/socket.h>

static enum close_reason
write_failed(const struct side *s)
{
	return s->dir == C2S ? CLOSE_NODE_RESET : CLOSE_CLIENT_RESET;
}

static void
send_count(struct side *s, size_t n)
{
	struct conn_env *env = s->conn->env;

	s->bytes += n;
	s->heard_s = env->now_s;
	stats_add(env->stats, s->dir == C2S ? STAT_bytes_to_node : STAT_bytes_to_client, n);
	traffic_add(&env->traffic, s->conn->route.traffic, s->dir, n);
}

/* Of a connection that is not plain. False: it is over. */
static __attribute__((cold, noinline)) bool
send_watched(const struct side *s, const uint8_t *p, size_t n)
{
	if (s->conn->stage == CONN_DEAD)
		return false;
	if (s->conn->tapped)
		tapped_sent(s, p, n);
	return true;
}

int
send_bytes(void *arg, const uint8_t *p, size_t n)
{
	struct side *s = arg;
	struct conn *c = s->conn;
	struct leg *to = &side_other(s)->leg;
	ssize_t sent = 0;

	MAGIC_CHECK(s, SIDE_MAGIC);
	if ((!c->plain && !send_watched(s, p, n)) || to->edge.fd == -1) {
		c->send_failed = write_failed(s);
		return -1;
	}
	/* Write first: writability is waited for when the kernel has said no. */
	if (send_owed(s) == 0) {
		sent = leg_send(to, p, n, pump_owed(&s->pump) >= SPLICE_MIN);
		if (sent == -1) {
			if (!to->blocked) {
				c->send_failed = write_failed(s);
				return -1;
			}
			sent = 0;
		}
	}
	send_count(s, n);
	if ((size_t)sent < n && buf_add(&s->out, p + sent, n - (size_t)sent) == -1) {
		c->send_failed = CLOSE_NO_MEMORY;
		return -1;
	}
	return 0;
}

/* The pipe to the other leg; given back when it is empty. */
static int
send_drain(struct side *s)
{
	struct leg *to = &side_other(s)->leg;

	if (splice_drain(s->pipe, to->edge.fd,
	        s->leg.edge.fd != -1 && pump_owed(&s->pump) > 0) == -1) {
		if (errno != EAGAIN && errno != EWOULDBLOCK) {
			s->conn->send_failed = write_failed(s);
			return -1;
		}
		to->blocked = true;
		return 0;
	}
	splice_return(s->conn->env->pipes, &s->pipe);
	return 0;
}

int
send_spliced(struct side *s, size_t n)
{
	send_count(s, n);
	stats_add(s->conn->env->stats, STAT_bytes_spliced, (uint64_t)n);
	return send_drain(s);
}

int
send_pending(struct side *s)
{
	struct leg *to = &side_other(s)->leg;

	if (s->pipe != NULL && send_drain(s) == -1)
		return -1;
	if (s->pipe == NULL && buf_len(&s->out) > 0) {
		ssize_t n = leg_send(to, buf_head(&s->out), buf_len(&s->out), false);

		if (n == -1 && !to->blocked) {
			s->conn->send_failed = write_failed(s);
			return -1;
		}
		if (n > 0)
			buf_drain(&s->out, (size_t)n);
	}
	return 0;
}

void
send_half_close(struct conn *c)
{
	if (c->half_closed || send_owed(&c->side[C2S]) > 0 || c->side[S2C].leg.edge.fd == -1)
		return;
	c->half_closed = true;
	shutdown(c->side[S2C].leg.edge.fd, SHUT_WR);
}
