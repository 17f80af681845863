/* orders.c: what operators have said last of draining each node, on any proxy */
#include "config.h"

#include "state/orders.h"

#include "base/tlv.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Nodes that operators have drained at some time. */
#define ORDERS_MAX 1024

/* Types are never used again for something else. */
enum { ORDERS_ORDER = 1, ORDER_NODE = 1, ORDER_STAND = 2, ORDER_WHEN_MS = 3 };

struct order {
	char node[STATE_NODE_LEN];
	uint64_t when_ms;		/* the latest order counts */
	char stand[ORDERS_TEXT];	/* what it is to be */
	bool there;			/* Redis has this one, or a later one */
	bool given;			/* here, and is not sent yet */
};

struct orders {
	pthread_mutex_t lock;
	const struct record_seal *seal;
	struct order *all;
	size_t n;
};

struct orders *
orders_new(const struct record_seal *seal)
{
	struct orders *o = calloc(1, sizeof(*o));

	if (o == NULL)
		return NULL;
	pthread_mutex_init(&o->lock, NULL);
	o->seal = seal;
	return o;
}

void
orders_free(struct orders **op)
{
	struct orders *o = *op;

	if (o == NULL)
		return;
	pthread_mutex_destroy(&o->lock);
	free(o->all);
	free(o);
	*op = NULL;
}

static struct order *
order_of(struct orders *o, const char *node)
{
	struct order *all;

	for (size_t i = 0; i < o->n; i++)
		if (strcmp(o->all[i].node, node) == 0)
			return &o->all[i];
	all = o->n == ORDERS_MAX ? NULL : realloc(o->all, (o->n + 1) * sizeof(*all));
	if (all == NULL)
		return NULL;
	o->all = all;
	all[o->n] = (struct order){ .when_ms = 0 };
	snprintf(all[o->n].node, sizeof(all[o->n].node), "%s", node);
	return &all[o->n++];
}

void
orders_give(struct orders *o, const char *node, const char *stand, uint64_t now_ms)
{
	struct order *x;

	pthread_mutex_lock(&o->lock);
	x = order_of(o, node);
	if (x != NULL) {
		x->when_ms = now_ms > x->when_ms ? now_ms : x->when_ms + 1;
		snprintf(x->stand, sizeof(x->stand), "%s", stand);
		x->given = true;
		x->there = false;
	}
	pthread_mutex_unlock(&o->lock);
}

static void
said_of(const struct order *x, uint64_t now_ms, struct order_said *said)
{
	*said = (struct order_said){ .when_ms = x->when_ms,
		.age_ms = now_ms > x->when_ms ? now_ms - x->when_ms : 0 };
	memcpy(said->node, x->node, sizeof(said->node));
	memcpy(said->stand, x->stand, sizeof(said->stand));
}

/* > 0: that is later than x; < 0: x is. Of two at the same time, all proxies take the same one. */
static int
compare(const struct order *x, uint64_t when_ms, const char *stand)
{
	if (when_ms != x->when_ms)
		return when_ms > x->when_ms ? 1 : -1;
	return strcmp(stand, x->stand);
}

int
orders_take(struct orders *o, const char *node, size_t node_len, const char *record, size_t len,
    uint64_t now_ms, struct order_said *said)
{
	char text[STATE_NODE_LEN], stand[ORDERS_TEXT];
	struct order *x;
	uint64_t when;
	int later, news = 0;

	if (node_len == 0 || node_len >= STATE_NODE_LEN || memchr(node, 0, node_len) != NULL ||
	    record_get(record, len, o->seal, "stand", node, node_len, &when, text) == -1)
		return -1;
	memcpy(said->node, node, node_len);
	said->node[node_len] = '\0';
	pthread_mutex_lock(&o->lock);
	x = order_of(o, said->node);
	if (x != NULL) {
		snprintf(stand, sizeof(stand), "%.*s", ORDERS_TEXT - 1, text);
		later = compare(x, when, stand);
		x->there = later >= 0;
		if (later > 0) {
			x->when_ms = when;
			memcpy(x->stand, stand, sizeof(stand));
			x->given = false;
			news = 1;
		}
		said_of(x, now_ms, said);
	}
	pthread_mutex_unlock(&o->lock);
	return news;
}

void
orders_begin(struct orders *o)
{
	pthread_mutex_lock(&o->lock);
	for (size_t i = 0; i < o->n; i++)
		o->all[i].there = false;
	pthread_mutex_unlock(&o->lock);
}

/* The n-th as it is now; false: there are no more. send: it is sent now. */
static bool
order_at(struct orders *o, size_t i, bool send, struct order *x)
{
	bool is;

	pthread_mutex_lock(&o->lock);
	is = i < o->n;
	if (is) {
		*x = o->all[i];
		if (send)
			o->all[i].given = false;
	}
	pthread_mutex_unlock(&o->lock);
	return is;
}

static void
orders_send(struct orders *o, bool given, orders_send_f send, void *arg)
{
	struct order x;
	struct record r;

	for (size_t i = 0; order_at(o, i, true, &x); i++) {
		if (given ? !x.given : x.there)
			continue;
		record_make(&r, o->seal, "stand", x.node, strlen(x.node), x.when_ms,
		    x.stand);
		if (r.len > 0)
			send(arg, x.node, &r);
	}
}

void
orders_given(struct orders *o, orders_send_f send, void *arg)
{
	orders_send(o, true, send, arg);
}

void
orders_missing(struct orders *o, orders_send_f send, void *arg)
{
	orders_send(o, false, send, arg);
}

bool
orders_find(struct orders *o, const char *node, uint64_t now_ms, struct order_said *said)
{
	bool found = false;

	pthread_mutex_lock(&o->lock);
	for (size_t i = 0; i < o->n && !found; i++) {
		found = strcmp(o->all[i].node, node) == 0;
		if (found)
			said_of(&o->all[i], now_ms, said);
	}
	pthread_mutex_unlock(&o->lock);
	return found;
}

void
orders_each(struct orders *o, uint64_t now_ms, void (*f)(void *arg, const struct order_said *said),
    void *arg)
{
	struct order_said said;
	struct order x;

	for (size_t i = 0; order_at(o, i, false, &x); i++) {
		said_of(&x, now_ms, &said);
		f(arg, &said);
	}
}

void
orders_write(struct orders *o, struct tlv_out *out)
{
	struct order x;

	for (size_t i = 0; order_at(o, i, false, &x); i++) {
		size_t at = tlv_begin(out, ORDERS_ORDER);

		tlv_put_text(out, ORDER_NODE, x.node);
		tlv_put_text(out, ORDER_STAND, x.stand);
		tlv_put_uint(out, ORDER_WHEN_MS, x.when_ms);
		tlv_end(out, at);
	}
}

/* What is known may be later by now. */
static void
order_again(struct orders *o, const char *node, const char *stand, uint64_t when_ms)
{
	struct order *x;

	pthread_mutex_lock(&o->lock);
	x = order_of(o, node);
	if (x != NULL && compare(x, when_ms, stand) > 0) {
		x->when_ms = when_ms;
		snprintf(x->stand, sizeof(x->stand), "%s", stand);
		x->given = true;
		x->there = false;
	}
	pthread_mutex_unlock(&o->lock);
}

static void
read_order(struct tlv_in *in, struct orders *o)
{
	char node[STATE_NODE_LEN] = "", stand[ORDERS_TEXT] = "";
	struct tlv_in x = tlv_sub(in);
	uint64_t when_ms = 0;

	while (tlv_next(&x)) {
		if (x.type == ORDER_NODE)
			tlv_text(&x, node, sizeof(node));
		else if (x.type == ORDER_STAND)
			tlv_text(&x, stand, sizeof(stand));
		else if (x.type == ORDER_WHEN_MS)
			when_ms = tlv_uint(&x, RECORD_WHEN_MAX);
		else
			tlv_unknown(&x);
	}
	in->bad |= x.bad || node[0] == '\0' || stand[0] == '\0';
	if (!in->bad)
		order_again(o, node, stand, when_ms);
}

int
orders_read(struct orders *o, const void *record, size_t len)
{
	struct tlv_in in = tlv_in(record, len);

	while (tlv_next(&in)) {
		if (in.type == ORDERS_ORDER)
			read_order(&in, o);
		else
			tlv_unknown(&in);
	}
	return in.bad ? -1 : 0;
}
