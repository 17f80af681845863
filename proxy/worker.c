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
#include "proxy/conn.h"
#include "proxy/held.h"
#include "proxy/limits.h"
#include "proxy/listen.h"
#include "proxy/mailbox.h"
#include "proxy/patience.h"
#include "proxy/progress.h"
#include "proxy/recv.h"
#include "proxy/splice.h"
#include "proxy/watch.h"
#include "state/local.h"
#include "state/redis.h"
#include "state/state.h"

#include <stdlib.h>
#include <unistd.h>

#include <event2/event.h>

static void
worker_tick_cb(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	uint64_t now = clock_ms();
	struct conn *c, *next;

	(void)fd;
	(void)what;
	MAGIC_CHECK(w, WORKER_MAGIC);
	w->env.patience = limits_patience(w->env.limits, &w->env.policy->limits);
	for (c = TAILQ_FIRST(&w->env.conns); c != NULL; c = next) {
		next = conn_next(c);
		recv_tick(c);
		conn_tick(c, now);
		watch_tick(c, now);
	}
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

static const struct conn_ops ops = {
	.leg = recv_leg_cb,
	.timer = progress_timer_cb,
	.wake = progress_wake,
	.vc_reset = tell_vc_reset,
};

static void
env_init(struct worker *w)
{
	struct conn_env *e = &w->env;
	const struct worker_parts *parts = w->parts;

	TAILQ_INIT(&e->conns);
	TAILQ_INIT(&e->dead);
	TAILQ_INIT(&e->turns);
	e->base = w->base;
	e->stats = &w->stats;
	e->limits = parts->limits;
	e->patience = PATIENCE_ALL;
	e->pipes = splice_pool_new();
	e->held = held_new(e);
	e->turn = evtimer_new(w->base, worker_turn_cb, w);
	e->reap = event_new(w->base, -1, 0, worker_reap_cb, w);
	e->next_id = w->index + 1;
	e->id_step = parts->nworkers;
	e->ops = &ops;
	e->worker = w;
	e->own.stats = &w->stats;
	e->route.nodes = parts->nodes;
	e->route.state = worker_state(parts, w->base);
	e->route.hash = keyhash_new(parts->secret);
	e->route.stats = &w->stats;
	e->mediate.sessions = parts->sessions;
	e->mediate.stats = &w->stats;
	e->mediate.crypt = crypt_new();
	e->mediate.state = e->route.state;
	e->mediate.secret = parts->secret;
	e->mediate.hash = e->route.hash;
	e->mediate.keyc = w->keyc;
}

/* Nothing is missing. */
static bool
env_whole(const struct conn_env *e)
{
	return e->pipes != NULL && e->held != NULL && e->turn != NULL && e->reap != NULL &&
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
    const int *fds, const struct conf_listen *listen, size_t n)
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
	if (parts->keyed && (w->keyc = keyc_new(w->base)) == NULL)
		goto fail;
	env_init(w);
	worker_use_policy(w, policy);
	w->mailbox = mailbox_new(w->base);
	w->tick = event_new(w->base, -1, EV_PERSIST, worker_tick_cb, w);
	w->listeners = calloc(n, sizeof(struct listener *));
	if (!env_whole(&w->env) || w->mailbox == NULL || w->tick == NULL || w->listeners == NULL ||
	    event_add(w->tick, &second) == -1)
		goto fail;
	for (; w->nlisteners < n; w->nlisteners++) {
		size_t i = w->nlisteners;

		w->listeners[i] = listener_new(&w->env, fds[i], &listen[i]);
		if (w->listeners[i] == NULL)
			goto fail;
	}
	return w;
fail:
	log_error("cannot set up a worker: out of memory or descriptors");
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
	while ((c = TAILQ_FIRST(&w->env.conns)) != NULL)
		conn_kill(c, CLOSE_SHUTDOWN);
	worker_reap_cb(-1, 0, w);
	for (size_t i = 0; i < w->nlisteners; i++)
		listener_free(&w->listeners[i]);
	free(w->listeners);
	keyc_free(&w->keyc);
	mailbox_free(&w->mailbox);
	if (w->tick != NULL)
		event_free(w->tick);
	held_free(&w->env.held);
	if (w->env.reap != NULL)
		event_free(w->env.reap);
	if (w->env.turn != NULL)
		event_free(w->env.turn);
	splice_pool_free(&w->env.pipes);
	state_free(&w->env.route.state);
	keyhash_free(&w->env.route.hash);
	crypt_free(&w->env.mediate.crypt);
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
