/* worker.c: one thread with one event loop and every connection that it accepted */
#include "config.h"

#include "proxy/worker.h"

#include "auth/crypt.h"
#include "auth/keyc.h"
#include "auth/keyhash.h"
#include "base/clock.h"
#include "base/log.h"
#include "policy/conf.h"
#include "policy/policy.h"
#include "proxy/awake.h"
#include "proxy/conn.h"
#include "proxy/edges.h"
#include "proxy/held.h"
#include "proxy/limits.h"
#include "proxy/listen.h"
#include "proxy/lost.h"
#include "proxy/mailbox.h"
#include "proxy/parting.h"
#include "proxy/patience.h"
#include "proxy/progress.h"
#include "proxy/recv.h"
#include "proxy/splice.h"
#include "proxy/strangers.h"
#include "proxy/taking.h"
#include "proxy/tapped.h"
#include "proxy/vc_index.h"
#include "proxy/watch.h"
#include "state/local.h"
#include "state/redis.h"
#include "state/state.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

/* So many that come and go are worth a walk through all free memory, of some milliseconds. */
#define BURST 1000

static void
look_at(struct conn *c, uint64_t now_ms)
{
	recv_tick(c);
	conn_tick(c, now_ms);
	parting_tick(c);
	watch_tick(c, now_ms);
}

/* The next few, and the others a bit later. */
static void
worker_look_cb(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	const struct timeval pause = { 0, (suseconds_t)w->env.pause_ms * 1000 };

	(void)fd;
	(void)what;
	MAGIC_CHECK(w, WORKER_MAGIC);
	/* Whoever cannot be looked at now will be at the next tick. */
	if (awake_step(&w->env, look_at, clock_ms()))
		(void)event_add(w->look, &pause);
}

/*
 * What a burst of connections needs for a moment, to begin and to end, leaves whole pages between
 * what stays. They go back once it is over: in a second in which nobody comes or goes.
 */
static void
give_back(struct worker *w)
{
	uint64_t moved = 0;

	for (size_t i = 0; i < w->env.nlisten; i++)
		moved += w->env.listens[i].accepted + w->env.listens[i].closed;
	if (moved == w->moved && moved - w->trimmed >= BURST) {
		w->trimmed = moved;
		malloc_trim(0);
	}
	w->moved = moved;
}

static void
worker_tick_cb(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	uint64_t now = clock_ms();

	(void)fd;
	(void)what;
	MAGIC_CHECK(w, WORKER_MAGIC);
	w->env.now_s = (uint32_t)(now / 1000);
	atomic_store_explicit(&w->turned_ms, now, memory_order_relaxed);
	w->env.patience = limits_patience(w->env.limits, &w->env.policy->limits);
	awake_tick(&w->env);
	worker_look_cb(-1, 0, w);
	give_back(w);
}

static void
worker_reap_cb(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	struct conn *c, *next;

	(void)fd;
	(void)what;
	MAGIC_CHECK(w, WORKER_MAGIC);
	for (c = TAILQ_FIRST(&w->env.dead); c != NULL; c = next) {
		next = conn_next(c);
		conn_free(c);
	}
	TAILQ_INIT(&w->env.dead);
}

static void
worker_turn_cb(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(w, WORKER_MAGIC);
	recv_turns(&w->env);
}

void
worker_use_policy(struct worker *w, struct policy *p)
{
	struct policy *old = w->env.policy;

	w->env.policy = w->env.route.policy = w->env.mediate.policy = policy_ref(p);
	policy_unref(&old);
	vc_index_policy(&w->env);
	for (size_t i = 0; i < w->nlisteners; i++)
		listener_policy(w->listeners[i]);
}

struct state *
worker_state(const struct worker_parts *parts, struct event_base *base)
{
	return parts->shared != NULL ? redis_state_new(base, parts->shared)
	                             : local_state_new(parts->claims);
}

/* A client has lost its connections: they end, on whichever worker they are. */
static void
tell_vc_reset(struct worker *self, const struct vc_reset *r)
{
	for (unsigned i = 0; i < self->parts->nworkers; i++)
		worker_vc_reset(self->parts->workers[i], r);
}

static void
tell_hung(struct worker *self, const struct state_key *client)
{
	for (unsigned i = 0; i < self->parts->nworkers; i++)
		worker_claim_lost(self->parts->workers[i], client, CLOSE_NODE_HUNG);
}

static const struct conn_ops ops = {
	.timer = progress_timer_cb,
	.kill = conn_kill,
	.vc_reset = tell_vc_reset,
	.hung = tell_hung,
};

static void
env_init(struct worker *w)
{
	struct conn_env *e = &w->env;
	const struct worker_parts *parts = w->parts;

	TAILQ_INIT(&e->conns);
	LIST_INIT(&e->cursors);
	TAILQ_INIT(&e->dead);
	TAILQ_INIT(&e->awake);
	TAILQ_INIT(&e->turns);
	e->base = w->base;
	e->stats = &w->stats;
	e->limits = parts->limits;
	e->patience = PATIENCE_ALL;
	e->now_s = (uint32_t)(clock_ms() / 1000);
	e->edges = edges_new(w->base, recv_edge_cb);
	e->pipes = splice_pool_new();
	e->held = held_new(e);
	e->strangers = strangers_new(e);
	e->vc = vc_index_new();
	e->lost = lost_new(e);
	e->turn = evtimer_new(w->base, worker_turn_cb, w);
	e->reap = event_new(w->base, -1, 0, worker_reap_cb, w);
	e->next_id = w->index + 1;
	e->id_step = parts->nworkers;
	e->lasts = parts->lasts;
	e->ops = &ops;
	e->worker = w;
	e->own.stats = &w->stats;
	e->route.nodes = parts->nodes;
	e->route.state = worker_state(parts, w->base);
	e->route.hash = keyhash_new(parts->secret);
	e->route.stats = &w->stats;
	e->mediate.sessions = parts->sessions;
	e->mediate.stats = &w->stats;
	e->mediate.refused = parts->refused;
	e->mediate.crypt = crypt_new();
	e->mediate.state = e->route.state;
	e->mediate.secret = parts->secret;
	e->mediate.hash = e->route.hash;
	e->mediate.keyc = w->keyc;
	e->mediate.wake = progress_wake;
	e->mediate.hold = conn_hold;
	e->mediate.trace = tapped_trace;
}

/* Nothing is missing. */
static bool
env_whole(const struct conn_env *e)
{
	return e->edges != NULL && e->pipes != NULL && e->held != NULL && e->strangers != NULL &&
	    e->vc != NULL && e->lost != NULL && e->turn != NULL && e->reap != NULL &&
	    e->route.state != NULL && e->route.hash != NULL && e->mediate.crypt != NULL;
}

/*
 * Nothing but mailbox.c reaches a loop from outside. No changelist: its epoll_ctl() comes when a
 * closed descriptor may be another worker's already.
 */
static struct event_base *
loop_new(void)
{
	struct event_config *cfg = event_config_new();
	struct event_base *base;

	if (cfg == NULL)
		return NULL;
	event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
	base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	return base;
}

struct worker *
worker_new(unsigned index, const struct worker_parts *parts, struct policy *policy,
    const struct conf_listen *listen, size_t n)
{
	const struct timeval second = { 1, 0 };
	struct worker *w = calloc(1, sizeof(*w));

	if (w == NULL)
		goto fail;
	MAGIC_SET(w, WORKER_MAGIC);
	w->index = index;
	w->parts = parts;
	w->base = loop_new();
	if (w->base == NULL)
		goto fail;
	if (parts->keywatch != NULL && (w->keyc = keyc_new(w->base, parts->keywatch)) == NULL)
		goto fail;
	env_init(w);
	w->env.listen = listen;
	w->env.nlisten = n;
	worker_use_policy(w, policy);
	w->mailbox = mailbox_new(w->base);
	w->tick = event_new(w->base, -1, EV_PERSIST, worker_tick_cb, w);
	w->look = evtimer_new(w->base, worker_look_cb, w);
	if (!env_whole(&w->env) || w->mailbox == NULL || w->tick == NULL || w->look == NULL ||
	    event_add(w->tick, &second) == -1)
		goto fail;
	return w;
fail:
	log_error("cannot set up a worker: out of memory or descriptors");
	worker_free(&w);
	return NULL;
}

int
worker_add_listener(struct worker *w, int fd, const struct conf_listen *listen)
{
	struct listener **more = reallocarray(w->listeners, w->nlisteners + 1,
	    sizeof(struct listener *));

	if (more != NULL)
		w->listeners = more;
	if (more == NULL || (more[w->nlisteners] = listener_new(&w->env, fd, listen)) == NULL)
		return -1;
	listener_pause(more[w->nlisteners++]);
	return 0;
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
	lost_free(&w->env.lost);
	giving_free(&w->giving);
	describe_drop(&w->env);
	taking_free(&w->taking);
	while ((c = TAILQ_FIRST(&w->env.conns)) != NULL)
		conn_kill(c, CLOSE_SHUTDOWN);
	worker_reap_cb(-1, 0, w);
	while (w->env.ntaps > 0)
		tapped_remove(&w->env, w->env.taps[0]);
	for (size_t i = 0; i < w->nlisteners; i++)
		listener_free(&w->listeners[i]);
	free(w->listeners);
	keyc_free(&w->keyc);
	mailbox_free(&w->mailbox);
	if (w->tick != NULL)
		event_free(w->tick);
	if (w->look != NULL)
		event_free(w->look);
	held_free(&w->env.held);
	strangers_free(&w->env.strangers);
	if (w->env.reap != NULL)
		event_free(w->env.reap);
	if (w->env.turn != NULL)
		event_free(w->env.turn);
	edges_free(&w->env.edges);
	splice_pool_free(&w->env.pipes);
	vc_index_free(&w->env.vc);
	state_free(&w->env.route.state);
	keyhash_free(&w->env.route.hash);
	crypt_free(&w->env.mediate.crypt);
	free(w->env.mediate.messages);
	policy_unref(&w->env.policy);
	if (w->base != NULL)
		event_base_free(w->base);
	MAGIC_CLEAR(w);
	free(w);
	*wp = NULL;
}

static void
stop_call(void *arg)
{
	struct worker *w = arg;

	MAGIC_CHECK(w, WORKER_MAGIC);
	event_base_loopbreak(w->base);
}

void
worker_stop(struct worker *w)
{
	if (mailbox_post(w->mailbox, stop_call, w) == -1)
		log_error("out of memory: worker %u cannot be told to stop", w->index);
}

void
workers_moved(struct worker *const *workers, size_t n, unsigned number,
    uint64_t bytes[TRAFFIC_WAYS])
{
	memset(bytes, 0, TRAFFIC_WAYS * sizeof(bytes[0]));
	for (size_t i = 0; i < n; i++)
		for (unsigned way = 0; way < TRAFFIC_WAYS; way++)
			bytes[way] += workers[i]->env.traffic.bytes[number][way];
}

uint64_t
workers_connections(struct worker *const *workers, size_t n)
{
	uint64_t open = 0;

	for (size_t i = 0; i < n; i++)
		for (size_t l = 0; l < CONF_LISTEN_MAX; l++) {
			struct listen_count *c = &workers[i]->env.listens[l];
			/* What has ended first: so there are never fewer accepted. */
			const uint64_t closed = c->closed;

			open += c->accepted - closed;
		}
	return open;
}
