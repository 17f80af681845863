/* gate.c: the whole of a running smbgate: start, reload, stop */
#include "config.h"

#include "daemon/gate.h"

#include "auth/cluster.h"
#include "auth/keyhash.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/connlist.h"
#include "daemon/ctl.h"
#include "daemon/gate_priv.h"
#include "daemon/guard.h"
#include "daemon/minute.h"
#include "inspect/session.h"
#include "nodes/health.h"
#include "nodes/node.h"
#include "policy/conf.h"
#include "policy/errlist.h"
#include "policy/policy.h"
#include "proxy/limits.h"
#include "proxy/mailbox.h"
#include "state/keeper.h"
#include "state/local.h"
#include "state/shared.h"
#include "state/state.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#define GATE_THREAD_MAGIC 0x47415448u

struct gate_thread {
	MAGIC_MEMBER
	pthread_t thread;
	struct worker *w;
};

static void
node_doubt_cb(void *arg, struct node *n)
{
	struct gate *g = arg;

	MAGIC_CHECK(g, GATE_MAGIC);
	for (size_t i = 0; i < g->nworkers; i++)
		worker_node_doubt(g->workers[i], n);
}

static void *
thread_main(void *arg)
{
	struct gate_thread *t = arg;

	MAGIC_CHECK(t, GATE_THREAD_MAGIC);
	worker_run(t->w);
	return NULL;
}

/* Signals are the main thread's business. */
static int
start_threads(struct gate *g)
{
	sigset_t all, old;
	int err = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (; g->nrunning < g->nworkers; g->nrunning++) {
		struct gate_thread *t = &g->threads[g->nrunning];

		MAGIC_SET(t, GATE_THREAD_MAGIC);
		t->w = g->workers[g->nrunning];
		err = pthread_create(&t->thread, NULL, thread_main, t);
		if (err != 0)
			break;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err != 0)
		log_error("cannot start a worker: %s", strerror(err));
	return err == 0 ? 0 : -1;
}

static void
keyd_cb(void *arg, unsigned worker, int fd)
{
	struct gate *g = arg;

	MAGIC_CHECK(g, GATE_MAGIC);
	if (worker < g->nworkers)
		worker_keyd(g->workers[worker], fd);
	else
		close(fd);
}

static void
guard_cb(evutil_socket_t fd, short what, void *arg)
{
	struct gate *g = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(g, GATE_MAGIC);
	if (guard_read(g->guard) == 0)
		return;
	log_error("the guard of the keytab died: no new session gets keys before smbgate is "
	          "restarted");
	event_free(g->guard_ev);
	g->guard_ev = NULL;
}

static int
listen_to_guard(struct gate *g)
{
	if (g->guard == NULL)
		return 0;
	g->guard_ev = event_new(g->base, guard_fd(g->guard), EV_READ | EV_PERSIST, guard_cb, g);
	if (g->guard_ev == NULL || event_add(g->guard_ev, NULL) == -1)
		return -1;
	guard_listen(g->guard, keyd_cb, g);
	return 0;
}

static int
reload_verb(void *arg, struct errlist *e)
{
	struct gate *g = arg;

	MAGIC_CHECK(g, GATE_MAGIC);
	return gate_reload(g, e);
}

static void
drain_verb(void *arg, struct node *n, bool drain)
{
	struct gate *g = arg;

	MAGIC_CHECK(g, GATE_MAGIC);
	gate_drain(g, n, drain, GATE_OPERATOR_HERE);
}

/* Takes over the control socket. -1: out of memory. */
static int
gate_control(struct gate *g, int fd)
{
	g->ctl_env = (struct ctl_env){
		.base = g->base,
		.workers = g->workers,
		.nworkers = g->parts.nworkers,
		.connlist = g->connlist,
		.nodes = g->parts.nodes,
		.sessions = g->parts.sessions,
		.limits = g->parts.limits,
		.claims = g->state,
		.shared = g->parts.shared,
		.keeper = g->keeper,
		.stats = &g->stats,
		.status = &g->status,
		.policy_path = g->conf->policy,
		.started_ms = clock_ms(),
		.arg = g,
		.reload = reload_verb,
		.drain = drain_verb,
	};
	g->ctl = ctl_new(&g->ctl_env, fd);
	return g->ctl == NULL ? -1 : 0;
}

/* What the workers share. -1: out of memory. */
static int
gate_make_parts(struct gate *g, const struct secret *secret, const struct gate_sockets *s)
{
	g->base = event_base_new();
	g->workers = calloc(s->nworkers, sizeof(struct worker *));
	g->threads = calloc(s->nworkers, sizeof(*g->threads));
	g->parts = (struct worker_parts){
		.nodes = nodes_new(),
		.sessions = sesstab_new(),
		.claims = local_map_new(GATE_CLAIMS_MAX, clock_ms),
		.limits = limits_new(s->places),
		.secret = secret,
		.workers = g->workers,
		.nworkers = s->nworkers,
		.keyed = s->guard != NULL,
	};
	if (g->base == NULL || g->workers == NULL || g->threads == NULL || g->parts.nodes == NULL ||
	    g->parts.sessions == NULL || g->parts.claims == NULL || g->parts.limits == NULL)
		return -1;
	return gate_share_map(g, secret);
}

/* What runs on the main thread. -1: out of memory. */
static int
gate_make_main(struct gate *g, int control)
{
	g->mailbox = mailbox_new(g->base);
	g->state = worker_state(&g->parts, NULL);
	g->health = health_new(g->base, g->parts.nodes, &g->stats, node_doubt_cb, g);
	g->connlist = connlist_new(g->mailbox, g->workers, g->parts.nworkers);
	if (g->mailbox == NULL || g->state == NULL || g->health == NULL || g->connlist == NULL)
		return -1;
	if (gate_control(g, control) == -1)
		return -1;
	g->minute = minute_new(&g->ctl_env);
	return g->minute == NULL ? -1 : 0;
}

/* -1: the reason is logged. */
static int
gate_make_workers(struct gate *g, struct policy *policy, const int *fds)
{
	const struct conf *conf = g->conf;

	for (; g->nworkers < g->parts.nworkers; g->nworkers++) {
		g->workers[g->nworkers] = worker_new((unsigned)g->nworkers, &g->parts, policy,
		    &fds[g->nworkers * conf->nlisten], conf->listen, conf->nlisten);
		if (g->workers[g->nworkers] == NULL)
			return -1;
	}
	return 0;
}

struct gate *
gate_new(const struct conf *conf, struct policy *policy, const struct secret *secret,
    struct gate_sockets *s)
{
	struct gate *g = calloc(1, sizeof(*g));
	struct errlist e = { .n = 0 };

	if (g == NULL)
		goto nomem;
	MAGIC_SET(g, GATE_MAGIC);
	g->conf = conf;
	g->guard = s->guard;
	g->transparent = s->transparent;
	gate_check(g, policy, &e);
	if (e.total > 0) {
		log_error("%s", e.text[0]);
		errlist_fini(&e);
		goto fail;
	}
	if (gate_make_parts(g, secret, s) == -1 || gate_make_main(g, s->control) == -1)
		goto nomem;
	if (gate_make_workers(g, policy, s->fds) == -1)
		goto fail;
	gate_enforce(g, policy);
	policy = NULL;
	if (listen_to_guard(g) == -1)
		goto nomem;
	if (start_threads(g) == -1)
		goto fail;
	return g;
nomem:
	log_error("out of memory");
fail:
	policy_unref(&policy);
	gate_free(&g);
	return NULL;
}

static void
stop_cb(evutil_socket_t sig, short what, void *arg)
{
	struct gate *g = arg;

	(void)what;
	MAGIC_CHECK(g, GATE_MAGIC);
	log_info("stopping: %s", sig == SIGINT ? "SIGINT" : "SIGTERM");
	event_base_loopbreak(g->base);
}

static void
reload_cb(evutil_socket_t sig, short what, void *arg)
{
	struct errlist e = { .n = 0 };
	struct gate *g = arg;

	(void)sig;
	(void)what;
	MAGIC_CHECK(g, GATE_MAGIC);
	gate_reload(g, &e);
	errlist_fini(&e);
}

void
gate_run(struct gate *g, void (*ready)(void *arg), void *arg)
{
	struct event *ev[3] = {
		evsignal_new(g->base, SIGTERM, stop_cb, g),
		evsignal_new(g->base, SIGINT, stop_cb, g),
		evsignal_new(g->base, SIGHUP, reload_cb, g),
	};
	sigset_t handled;

	for (int i = 0; i < 3; i++)
		if (ev[i] == NULL || event_add(ev[i], NULL) == -1)
			log_error("out of memory: a signal will be ignored");
	sigemptyset(&handled);
	sigaddset(&handled, SIGTERM);
	sigaddset(&handled, SIGINT);
	sigaddset(&handled, SIGHUP);
	sigprocmask(SIG_UNBLOCK, &handled, NULL);
	ready(arg);
	event_base_dispatch(g->base);
	for (int i = 0; i < 3; i++)
		if (ev[i] != NULL)
			event_free(ev[i]);
}

void
gate_free(struct gate **gp)
{
	struct gate *g = *gp;

	if (g == NULL)
		return;
	for (size_t i = 0; i < g->nrunning; i++)
		worker_stop(g->workers[i]);
	for (size_t i = 0; i < g->nrunning; i++)
		pthread_join(g->threads[i].thread, NULL);
	/* Orders that no loop has carried out hold references; lists of connections wait, too. */
	for (size_t i = 0; i < g->nworkers; i++)
		mailbox_drain(g->workers[i]->mailbox);
	if (g->mailbox != NULL)
		mailbox_drain(g->mailbox);
	if (g->guard_ev != NULL)
		event_free(g->guard_ev);
	minute_free(&g->minute);
	ctl_free(&g->ctl);
	connlist_free(&g->connlist);
	health_free(&g->health);
	keeper_free(&g->keeper);
	for (size_t i = 0; i < g->nworkers; i++)
		worker_free(&g->workers[i]);
	state_free(&g->state);
	mailbox_free(&g->mailbox);
	policy_unref(&g->status.policy);
	limits_free(&g->parts.limits);
	keyhash_free(&g->hash);
	shared_free(&g->parts.shared);
	cluster_free(&g->cluster);
	local_map_free(&g->parts.claims);
	sesstab_free(&g->parts.sessions);
	nodes_free(&g->parts.nodes);
	if (g->base != NULL)
		event_base_free(g->base);
	free(g->threads);
	free(g->workers);
	MAGIC_CLEAR(g);
	free(g);
	*gp = NULL;
}
