/* fuzz-record.c: libFuzzer target: a connection as another smbgate hands it over */
/* for: inspect/record.c */
/* drives: proxy/moving.c */
#include "config.h"

#include "inspect/record.h"
#include "t/unit/lib/house.h"

#include "base/log.h"
#include "base/tlv.h"
#include "proxy/conn.h"
#include "proxy/env.h"
#include "proxy/limits.h"
#include "proxy/moving.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/*
 * Whatever comes, it is refused, or a connection that can go on. What was taken is given again, in
 * the same words each time; then it begins, both ends say something, and it ends. Nothing is left
 * of any of them.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As the records of t/fuzz/corpus have it. */
#define NODE "n1=10.0.0.1:445"

static struct house *
the_house(void)
{
	static struct house *h;
	struct node *n;

	if (h != NULL)
		return h;
	log_set_level(LOG_LEVEL_ERROR);
	h = house_new("");
	h->w->env.listen = &h->listener;
	h->w->env.nlisten = 1;
	n = nodes_find_name(h->parts.nodes, "n1");
	if (n == NULL)
		abort();
	memcpy(n->id, NODE, sizeof(NODE));
	node_unref(&n);
	return h;
}

static void
nothing_is_left(const struct house *h)
{
	struct node *n = nodes_find_name(h->parts.nodes, "n1");

	if (h->w->env.nconns != 0 || limits_taken(h->parts.limits) != 0 || n->connections != 0)
		abort();
	node_unref(&n);
}

/* What is kept in a direction is the beginning of one frame; nothing passes before that. */
static bool
fits(const struct side *s)
{
	const size_t n = buf_len(&s->pump.in);

	return n == 0 || (s->pump.pass == 0 && n < s->pump.need && s->pump.need <= HOLD_MAX);
}

/* The connection; NULL: it is refused, and nothing is left. ends: ours. */
static struct conn *
take(struct house *h, const uint8_t *p, size_t n, int ends[2])
{
	const char *why = NULL;
	int client[2], node[2];
	struct conn *c;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, client) == -1 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, node) == -1)
		abort();
	ends[0] = client[0];
	ends[1] = node[0];
	c = moving_get(&h->w->env, tlv_in(p, n), client[1], node[1], &why);
	if (c != NULL) {
		if (!fits(&c->side[C2S]) || !fits(&c->side[S2C]))
			abort();
		return c;
	}
	if (why == NULL)
		abort();
	close(client[1]);
	close(node[1]);
	close(ends[0]);
	close(ends[1]);
	nothing_is_left(h);
	return NULL;
}

/* Is it taken? o: as it is given then. */
static bool
take_and_give(struct house *h, const uint8_t *p, size_t n, struct tlv_out *o)
{
	int ends[2], client, node;
	struct conn *c = take(h, p, n, ends);

	if (c == NULL)
		return false;
	moving_put(c, o, &client, &node);
	moving_drop(c);
	close(ends[0]);
	close(ends[1]);
	nothing_is_left(h);
	return true;
}

static void
go_on(struct house *h, const uint8_t *p, size_t n)
{
	static const uint8_t keepalive[] = { 0x85, 0, 0, 0 };
	struct conn *c;
	int ends[2];

	c = take(h, p, n, ends);
	if (c == NULL)
		abort();
	moving_begin(c);
	(void)moving_stays(c);
	(void)mediate_stays(&c->mediate);
	for (int i = 0; i < 2; i++)
		(void)!send(ends[i], keepalive, sizeof(keepalive), MSG_NOSIGNAL);
	house_turn(h);
	for (int i = 0; i < 2; i++)
		close(ends[i]);
	house_turn(h);
	while ((c = TAILQ_FIRST(&h->w->env.conns)) != NULL)
		conn_kill(c, CLOSE_SHUTDOWN);
	house_turn(h);
	nothing_is_left(h);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tlv_out once = { .len = 0 }, twice = { .len = 0 };
	struct house *h = the_house();

	if (!take_and_give(h, data, size, &once))
		return 0;
	if (!take_and_give(h, once.data, once.len, &twice) || once.len != twice.len ||
	    memcmp(once.data, twice.data, once.len) != 0)
		abort();
	go_on(h, data, size);
	tlv_out_fini(&once);
	tlv_out_fini(&twice);
	return 0;
}
