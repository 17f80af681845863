/* herd.c: one proxy's share in a map of claims, without clients: the real code, a real Redis */
#include "config.h"

#include "auth/cluster.h"
#include "auth/secret.h"
#include "base/addr.h"
#include "base/clock.h"
#include "state/keeper.h"
#include "state/link_conf.h"
#include "state/record.h"
#include "state/redis.h"
#include "state/shared.h"
#include "state/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

/*
 * herd ADDRESS:PORT PROXY CLAIMS FACTS: makes CLAIMS claims of its own, as a worker would, WINDOW
 * of them at a time, each with a logon and, of the first FACTS, a session that can be bound; then
 * keeps them. Prints "ready", "made SECONDS" and ten times a second "SAID STALL": what has been
 * said in all, or 0 while not all of it is said, and for how many us a worker had to wait for the
 * table since the last line. Ends with its standard output.
 */
#define WINDOW 32
#define NODE "n1=10.0.0.1:445"
#define FACT_LEN 181

struct client {
	struct herd *herd;
	unsigned n;
	struct state_hold *hold;
};

struct herd {
	struct event_base *base;
	struct shared *m;
	struct state *state;
	struct keeper *keeper;
	struct event *tick, *pause;
	struct client *clients;
	unsigned proxy, claims, facts, begun, made;
	bool begins;			/* answers may come before state_claim() returns */
	uint64_t began_us, stall_us;
};

static void
lost_cb(void *arg, const struct state_key *key)
{
	(void)arg;
	(void)key;
	fprintf(stderr, "a claim is lost\n");
}

static void
home_cb(void *arg, const struct state_key *key, const char *home[2])
{
	(void)arg;
	(void)key;
	home[0] = home[1] = NODE;
}

static void
agreed_cb(void *arg, uint64_t nodes)
{
	(void)arg;
	(void)nodes;
}

static const struct keeper_ops keeper_ops = {
	.lost = lost_cb, .agreed = agreed_cb, .home = home_cb
};

static void more(struct herd *h);

static void
claimed_cb(void *arg, const struct state_claim *claim)
{
	static const uint8_t bytes[FACT_LEN] = { 1 };
	struct state_fact f = { .node = NODE, .bytes = bytes, .len = sizeof(bytes) };
	struct client *c = arg;
	struct herd *h = c->herd;

	if (claim == NULL || claim->busy) {
		fprintf(stderr, "client %u was refused\n", c->n);
		exit(1);
	}
	state_settle(h->state, c->hold);
	state_firm(h->state, c->hold, 900000);
	if (c->n < h->facts)
		state_fact_put(h->state, c->hold, ((uint64_t)h->proxy << 32) + c->n, &f);
	h->made++;
	if (h->made == h->claims)
		printf("made %.3f\n", (double)(clock_us() - h->began_us) / 1e6);
	more(h);
}

/* As many as are to be under way. */
static void
more(struct herd *h)
{
	if (h->begins)
		return;
	h->begins = true;
	while (h->begun < h->claims && h->begun - h->made < WINDOW) {
		struct client *c = &h->clients[h->begun];
		struct state_key key = { .b = { STATE_KEY_GUID } };

		memcpy(key.b + 1, &h->proxy, sizeof(h->proxy));
		memcpy(key.b + 5, &h->begun, sizeof(h->begun));
		*c = (struct client){ .herd = h, .n = h->begun++ };
		state_claim(h->state, &key, NODE, NODE, claimed_cb, c, &c->hold);
	}
	h->begins = false;
}

static void
tick_cb(evutil_socket_t fd, short what, void *arg)
{
	struct herd *h = arg;
	uint64_t said = shared_stats(h->m)->said;

	(void)fd;
	(void)what;
	if (h->begun == 0 && shared_stats(h->m)->online) {
		printf("ready\n");
		h->began_us = clock_us();
		more(h);
	}
	printf("%" PRIu64 " %" PRIu64 "\n", shared_all_said(h->m) && shared_stats(h->m)->online
	    ? said : 0, h->stall_us);
	h->stall_us = 0;
	if (fflush(stdout) == EOF)
		event_base_loopbreak(h->base);
}

/* A worker's question of the table, again and again: how long does it take? */
static void
pause_cb(evutil_socket_t fd, short what, void *arg)
{
	struct herd *h = arg;
	uint64_t began = clock_us(), us;

	(void)fd;
	(void)what;
	(void)state_clients(h->state, NODE);
	us = clock_us() - began;
	if (us > h->stall_us)
		h->stall_us = us;
}

int
main(int argc, char **argv)
{
	static struct secret secret = { .len = 16, .bytes = "0123456789abcdef" };
	static struct link_conf conf = { .nservers = 1, .timeout_ms = 50 };
	const struct timeval tenth = { 0, 100000 }, thousandth = { 0, 1000 };
	struct record_seal seal = { .arg = cluster_new(&secret), .mac = cluster_mac };
	struct herd h = { .base = event_base_new() };

	if (argc != 5 || addrport_parse(&conf.servers[0].address, argv[1], 6379) == -1)
		return 2;
	h.proxy = (unsigned)strtoul(argv[2], NULL, 10);
	h.claims = (unsigned)strtoul(argv[3], NULL, 10);
	h.facts = (unsigned)strtoul(argv[4], NULL, 10);
	h.clients = calloc(h.claims, sizeof(*h.clients));
	h.m = shared_new(&conf, &seal, 4000000);
	if (h.clients == NULL || h.m == NULL || (h.state = redis_state_new(h.base, h.m)) == NULL ||
	    (h.keeper = keeper_new(h.m, &keeper_ops, &h)) == NULL)
		return 1;
	h.tick = event_new(h.base, -1, EV_PERSIST, tick_cb, &h);
	h.pause = event_new(h.base, -1, EV_PERSIST, pause_cb, &h);
	event_add(h.tick, &tenth);
	event_add(h.pause, &thousandth);
	event_base_dispatch(h.base);
	/* What it has dies with it. */
	return 0;
}
