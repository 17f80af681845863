/* worker.c: one thread with one event loop and every connection that it accepted */
#include "config.h"

#include "proxy/worker.h"

#include "auth/crypt.h"
#include "auth/keyc.h"
#include "auth/keyhash.h"
#include "base/clock.h"
#include "nodes/node.h"
#include "policy/conf.h"
#include "policy/policy.h"
#include "proxy/conn.h"
#include "proxy/recv.h"
#include "proxy/listen.h"
#include "proxy/mailbox.h"
#include "proxy/splice.h"
#include "state/local.h"
#include "state/redis.h"
#include "state/state.h"

#include <stdlib.h>
#include <unistd.h>

#include <event2/event.h>

static void
tick_cb(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	uint64_t now = clock_ms();
	struct conn *c, *next;

	(void)fd;
	(void)what;
	for (c = TAILQ_FIRST(&w->conns); c != NULL; c = next) {
		next = conn_next(c);
		conn_tick(c, now);
	}
}

static void
reap_cb(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	struct conn *c, *next;

	(void)fd;
	(void)what;
	for (c = TAILQ_FIRST(&w->dead); c != NULL; c = next) {
		next = conn_next(c);
		conn_free(c);
	}
	TAILQ_INIT(&w->dead);
}

static void
turn_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	flow_turns(arg);
}

static void
use_policy(struct worker *w, struct policy *p)
{
	struct policy *old = w->policy;

	w->policy = w->route.policy = w->mediate.policy = policy_ref(p);
	policy_unref(&old);
	for (size_t i = 0; i < w->nlisteners; i++)
		listener_policy(w->listeners[i]);
}

struct state *
worker_state(const struct worker_parts *parts, struct event_base *base)
{
	return parts->shared != NULL ? redis_state_new(base, parts->shared)
	                             : local_state_new(parts->claims);
}

struct worker *
worker_new(unsigned index, const struct worker_parts *parts, struct policy *policy,
    const int *fds, const struct conf_listen *listen, size_t n)
{
	const struct timeval second = { 1, 0 };
	struct event_config *cfg = event_config_new();
	struct worker *w = calloc(1, sizeof(*w));

	if (w == NULL || cfg == NULL)
		goto fail;
	w->index = index;
	w->parts = parts;
	w->next_id = index + 1;
	TAILQ_INIT(&w->conns);
	TAILQ_INIT(&w->dead);
	TAILQ_INIT(&w->turns);
	/*
	 * Nothing but mailbox.c reaches a loop from outside. No changelist: its epoll_ctl() comes when
	 * a closed descriptor may be another worker's already.
	 */
	event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
	w->base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	cfg = NULL;
	if (w->base == NULL)
		goto fail;
	w->mailbox = mailbox_new(w->base);
	w->tick = event_new(w->base, -1, EV_PERSIST, tick_cb, w);
	w->reap = event_new(w->base, -1, 0, reap_cb, w);
	w->turn = evtimer_new(w->base, turn_cb, w);
	w->pipes = splice_pool_new();
	w->route.nodes = parts->nodes;
	w->route.state = worker_state(parts, w->base);
	w->route.hash = keyhash_new(parts->secret);
	w->route.stats = &w->stats;
	w->mediate.sessions = parts->sessions;
	w->mediate.stats = &w->stats;
	w->mediate.crypt = crypt_new();
	w->mediate.state = w->route.state;
	w->mediate.secret = parts->secret;
	w->mediate.hash = w->route.hash;
	use_policy(w, policy);
	if (parts->keyed && (w->keyc = keyc_new(w->base)) == NULL)
		goto fail;
	w->mediate.keyc = w->keyc;
	w->listeners = calloc(n, sizeof(struct listener *));
	if (w->mailbox == NULL || w->tick == NULL || w->reap == NULL || w->turn == NULL ||
	    w->pipes == NULL || w->route.state == NULL || w->route.hash == NULL ||
	    w->mediate.crypt == NULL || w->listeners == NULL || event_add(w->tick, &second) == -1)
		goto fail;
	for (; w->nlisteners < n; w->nlisteners++) {
		size_t i = w->nlisteners;

		w->listeners[i] = listener_new(w, fds[i], &listen[i]);
		if (w->listeners[i] == NULL)
			goto fail;
	}
	return w;
fail:
	log_error("cannot set up a worker: out of memory or descriptors");
	if (cfg != NULL)
		event_config_free(cfg);
	worker_free(&w);
	return NULL;
}

void
worker_run(struct worker *w)
{
	event_base_dispatch(w->base);
}

void
worker_free(struct worker **wp)
{
	struct worker *w = *wp;
	struct conn *c;

	if (w == NULL)
		return;
	while ((c = TAILQ_FIRST(&w->conns)) != NULL)
		conn_kill(c, CLOSE_SHUTDOWN);
	reap_cb(-1, 0, w);
	for (size_t i = 0; i < w->nlisteners; i++)
		listener_free(&w->listeners[i]);
	free(w->listeners);
	keyc_free(&w->keyc);
	mailbox_free(&w->mailbox);
	if (w->tick != NULL)
		event_free(w->tick);
	if (w->reap != NULL)
		event_free(w->reap);
	if (w->turn != NULL)
		event_free(w->turn);
	splice_pool_free(&w->pipes);
	state_free(&w->route.state);
	keyhash_free(&w->route.hash);
	crypt_free(&w->mediate.crypt);
	policy_unref(&w->policy);
	if (w->base != NULL)
		event_base_free(w->base);
	free(w);
	*wp = NULL;
}

static void
stop_call(void *arg)
{
	struct worker *w = arg;

	event_base_loopbreak(w->base);
}

void
worker_stop(struct worker *w)
{
	if (mailbox_post(w->mailbox, stop_call, w) == -1)
		log_error("out of memory: worker %u cannot be told to stop", w->index);
}

/* Calls that carry more than a pointer. */
struct order {
	struct worker *w;
	struct policy *policy;
	struct node *node;
	struct state_key key;
	struct vc_reset reset;
	int fd;
	void (*done)(void *arg, struct conn_info *list, size_t n);
	void *arg;
};

static void
post(struct order order, void (*call)(void *arg))
{
	struct order *o = malloc(sizeof(*o));

	if (o != NULL) {
		*o = order;
		if (mailbox_post(order.w->mailbox, call, o) == 0)
			return;
	}
	free(o);
	log_error("out of memory: worker %u misses an order", order.w->index);
	policy_unref(&order.policy);
	node_unref(&order.node);
	if (order.fd > 0)
		close(order.fd);
	if (order.done != NULL)
		order.done(order.arg, NULL, 0);
}

static void
policy_call(void *arg)
{
	struct order *o = arg;

	use_policy(o->w, o->policy);
	policy_unref(&o->policy);
	free(o);
}

void
worker_policy(struct worker *w, struct policy *p)
{
	post((struct order){ .w = w, .policy = policy_ref(p) }, policy_call);
}

static void
keyd_call(void *arg)
{
	struct order *o = arg;

	if (o->w->keyc != NULL)
		keyc_attach(o->w->keyc, o->fd);
	else
		close(o->fd);
	free(o);
}

void
worker_keyd(struct worker *w, int fd)
{
	post((struct order){ .w = w, .fd = fd }, keyd_call);
}

static void
node_down_call(void *arg)
{
	struct order *o = arg;
	struct conn *c, *next;

	/* It may have come back in between: then what lives on it lives. */
	if (o->node->health == NODE_DOWN) {
		for (c = TAILQ_FIRST(&o->w->conns); c != NULL; c = next) {
			next = conn_next(c);
			if (conn_node(c) == o->node)
				conn_end(c, CLOSE_NODE_DOWN);
		}
	}
	node_unref(&o->node);
	free(o);
}

void
worker_node_down(struct worker *w, struct node *n)
{
	post((struct order){ .w = w, .node = node_ref(n) }, node_down_call);
}

static void
claim_lost_call(void *arg)
{
	struct order *o = arg;
	struct conn *c, *next;

	for (c = TAILQ_FIRST(&o->w->conns); c != NULL; c = next) {
		next = conn_next(c);
		if (conn_is_of(c, &o->key))
			conn_end(c, CLOSE_CLAIM_LOST);
	}
	free(o);
}

void
worker_claim_lost(struct worker *w, const struct state_key *key)
{
	post((struct order){ .w = w, .key = *key }, claim_lost_call);
}

static void
vc_reset_call(void *arg)
{
	struct order *o = arg;
	struct conn *c, *next;

	for (c = TAILQ_FIRST(&o->w->conns); c != NULL; c = next) {
		const struct vc_conn vc = conn_vc(c);

		next = conn_next(c);
		if (vc_reset_ends(&o->reset, &vc))
			conn_end(c, CLOSE_VC_RESET);
	}
	free(o);
}

void
worker_vc_reset(struct worker *w, const struct vc_reset *r)
{
	post((struct order){ .w = w, .reset = *r }, vc_reset_call);
}

static void
describe_call(void *arg)
{
	struct order *o = arg;
	struct conn_info *list = calloc(o->w->nconns + 1, sizeof(*list));
	struct conn *c;
	size_t n = 0;

	for (c = TAILQ_FIRST(&o->w->conns); list != NULL && c != NULL; c = conn_next(c))
		conn_describe(c, &list[n++]);
	o->done(o->arg, list, n);
	free(o);
}

void
worker_describe(struct worker *w, void (*done)(void *arg, struct conn_info *list, size_t n),
    void *arg)
{
	post((struct order){ .w = w, .done = done, .arg = arg }, describe_call);
}
