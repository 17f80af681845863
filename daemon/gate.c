/* gate.c: the whole of a running smbgate: start, reload, stop */
#include "config.h"

#include "daemon/gate.h"

#include "auth/cluster.h"
#include "auth/keyhash.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/connlist.h"
#include "daemon/ctl.h"
#include "daemon/drainer.h"
#include "daemon/errands.h"
#include "daemon/gate_priv.h"
#include "daemon/guard.h"
#include "daemon/handing.h"
#include "daemon/http.h"
#include "daemon/letgo.h"
#include "daemon/listening.h"
#include "daemon/loglevel.h"
#include "daemon/minute.h"
#include "daemon/mover.h"
#include "daemon/nodewatch.h"
#include "daemon/scribe.h"
#include "daemon/service.h"
#include "daemon/takeover.h"
#include "inspect/session.h"
#include "nodes/health.h"
#include "nodes/last.h"
#include "nodes/node.h"
#include "policy/conf.h"
#include "policy/errlist.h"
#include "policy/policy.h"
#include "proxy/limits.h"
#include "proxy/mailbox.h"
#include "state/local.h"
#include "state/shared.h"
#include "state/state.h"
#include "stats/refused.h"

#include <errno.h>
#include <inttypes.h>
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

static void
node_file_cb(void *arg)
{
	struct gate *g = arg;

	MAGIC_CHECK(g, GATE_MAGIC);
	gate_reload_nodes(g);
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
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = scribe_start(g->scribe);
	if (err == 0)
		err = scribe_start(g->clerk);
	for (; err == 0 && g->nrunning < g->nworkers; g->nrunning++) {
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

/*
 * Workers ask about logons that a node has accepted, once: smbgate-keyd cannot have counted more,
 * unless somebody else asks it in their name.
 */
static void
match_answers(struct gate *g)
{
	uint64_t asked = guard_state(g->guard)->count[KEYD_ASKED],
	         accepted = atomic_load(&g->keywatch.accepted),
	         known = atomic_load(&g->keywatch.unmatched);

	if (asked <= accepted + known)
		return;
	atomic_store(&g->keywatch.unmatched, asked - accepted);
	log_about(LOG_LEVEL_ERROR, log_of(LOG_EVENT_KEYD),
	    "smbgate-keyd was asked about %" PRIu64 " logons that no node has accepted: "
	          "somebody asks in the name of a worker", asked - accepted);
}

static void
guard_cb(evutil_socket_t fd, short what, void *arg)
{
	struct gate *g = arg;
	int r;

	(void)fd;
	(void)what;
	MAGIC_CHECK(g, GATE_MAGIC);
	r = guard_read(g->guard);
	match_answers(g);
	/* No logon is to wait for it; a worker that hears of it again knows it first. */
	atomic_store(&g->keywatch.silent, guard_state(g->guard)->keyd == GUARD_KEYD_SILENT);
	if (r == 0)
		return;
	log_about(LOG_LEVEL_ERROR, log_of(LOG_EVENT_KEYD),
	    "the guard of the keytab and its stand-in died: no new session gets keys before "
	          "smbgate is restarted");
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
drain_verb(void *arg, struct node *n, const struct stand *s)
{
	struct gate *g = arg;

	MAGIC_CHECK(g, GATE_MAGIC);
	gate_drain(g, n, s, GATE_OPERATOR_HERE, 0);
}

/* Nobody new comes from now on; the loop ends when nobody is left. */
static bool
leave_verb(void *arg, const struct stand *s)
{
	/* Who asked is to have the answer. */
	const struct timeval answered = { 0, 100000 };
	struct gate *g = arg;
	const bool handed = g->handed;

	MAGIC_CHECK(g, GATE_MAGIC);
	handing_stop(g->handing);
	if (g->handed && !handed)
		return false;
	if (s->deadline_ms == 0) {
		log_about(LOG_LEVEL_INFO, log_of(LOG_EVENT_STOP),
		    "stopping: by the operator");
		event_base_loopexit(g->base, &answered);
		return true;
	}
	log_about(LOG_LEVEL_INFO, log_of(LOG_EVENT_STOP),
	    "stopping: by the operator, once the clients have gone");
	for (size_t i = 0; i < g->nworkers; i++)
		worker_unlisten(g->workers[i]);
	drainer_leave(g->drainer, s);
	return true;
}

static bool
giving_cb(void *arg)
{
	struct gate *g = arg;

	MAGIC_CHECK(g, GATE_MAGIC);
	return handing_gives(g->handing);
}

static bool
all_told_cb(void *arg)
{
	struct gate *g = arg;

	MAGIC_CHECK(g, GATE_MAGIC);
	return handing_told(g->handing);
}

static void
nobody_left_cb(void *arg)
{
	/* Who waits for it is to have been told. */
	const struct timeval told = { 0, 100000 };
	struct takeover_rest before;
	struct gate *g = arg;

	MAGIC_CHECK(g, GATE_MAGIC);
	/* It lets its clients go as well, and is asked about again; but it may stand still. */
	if (takeover_rest(g->takeover, &before) && !drainer_overdue(g->drainer, clock_ms()))
		return;
	log_about(LOG_LEVEL_INFO, log_of(LOG_EVENT_STOP),
	    "stopping: no client is left");
	if (g->ctl != NULL)
		ctl_over(g->ctl, drainer_end(g->drainer));
	event_base_loopexit(g->base, &told);
}

/* Those who end connections for operators. -1: out of memory. */
static int
gate_make_operator(struct gate *g)
{
	const struct letgo_env letgo = {
		.base = g->base,
		.mailbox = g->mailbox,
		.workers = g->workers,
		.nworkers = g->parts.nworkers,
		.state = g->state,
		.secret = g->parts.secret,
		.shared = g->parts.shared,
		.keeper = &g->keeper,
	};
	struct drainer_env drainer = {
		.base = g->base,
		.connlist = g->connlist,
		.scribe = g->clerk,
		.sessions = g->parts.sessions,
		.keeper = &g->keeper,
		.hash = g->hash,
		.left = nobody_left_cb,
		.arg = g,
	};
	struct mover_env mover = {
		.base = g->base,
		.state = g->state,
		.nodes = g->parts.nodes,
		.hash = g->hash,
	};

	g->letgo = drainer.letgo = letgo_new(&letgo);
	if (g->letgo == NULL)
		return -1;
	g->drainer = drainer_new(&drainer);
	mover.letgo = g->letgo;
	g->mover = mover_new(&mover);
	g->loglevel = loglevel_new(g->base, g->guard, log_get_level());
	return g->drainer == NULL || g->mover == NULL || g->loglevel == NULL ? -1 : 0;
}

static void
gate_ctl_env(struct gate *g)
{
	g->ctl_env = (struct ctl_env){
		.base = g->base,
		.mailbox = g->mailbox,
		.workers = g->workers,
		.nworkers = g->parts.nworkers,
		.connlist = g->connlist,
		.nodes = g->parts.nodes,
		.sessions = g->parts.sessions,
		.limits = g->parts.limits,
		.refused = g->parts.refused,
		.claims = g->state,
		.shared = g->parts.shared,
		.secret = g->parts.secret,
		.stats = &g->stats,
		.status = &g->status,
		.guard = g->guard,
		.keywatch = &g->keywatch,
		.conf = g->conf,
		.started_ms = clock_ms(),
		.accepted_before = g->accepted_before,
		.arg = g,
		.reload = reload_verb,
		.drain = drain_verb,
		.leave = leave_verb,
		.giving = giving_cb,
		.told = all_told_cb,
		.write_homes = gate_write_homes,
		.read_homes = gate_read_homes,
		.drainer = g->drainer,
		.letgo = g->letgo,
		.mover = g->mover,
		.loglevel = g->loglevel,
		.lasts = g->parts.lasts,
		.scribe = g->scribe,
		.clerk = g->clerk,
		.takeover = g->takeover,
	};
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
		.refused = refused_new(),
		.lasts = lasts_new(),
		.secret = secret,
		.workers = g->workers,
		.nworkers = s->nworkers,
		.keywatch = s->guard == NULL ? NULL : &g->keywatch,
	};
	if (g->base == NULL || g->workers == NULL || g->threads == NULL || g->parts.nodes == NULL ||
	    g->parts.sessions == NULL || g->parts.claims == NULL || g->parts.limits == NULL ||
	    g->parts.refused == NULL || g->parts.lasts == NULL)
		return -1;
	return gate_share_map(g, secret, s->tls);
}

/* What runs on the main thread. -1: out of memory. */
static int
gate_make_main(struct gate *g)
{
	g->mailbox = mailbox_new(g->base);
	g->scribe = g->mailbox == NULL ? NULL : scribe_new(g->mailbox);
	g->clerk = g->mailbox == NULL ? NULL : scribe_new(g->mailbox);
	g->state = worker_state(&g->parts, g->base);
	g->health = health_new(g->base, g->parts.nodes, conf_intercepts(g->conf), &g->stats,
	    node_doubt_cb, g);
	g->nodewatch = nodewatch_new(g->base, node_file_cb, g);
	g->connlist = connlist_new(g->mailbox, g->workers, g->parts.nworkers);
	g->errands = errands_new(&g->ctl_env);
	if (g->mailbox == NULL || g->scribe == NULL || g->clerk == NULL || g->state == NULL ||
	    g->health == NULL || g->nodewatch == NULL || g->connlist == NULL || g->errands == NULL)
		return -1;
	if (gate_make_operator(g) == -1)
		return -1;
	gate_ctl_env(g);
	g->minute = minute_new(&g->ctl_env);
	g->service = service_new(&g->ctl_env);
	return g->minute == NULL || g->service == NULL ? -1 : 0;
}

/* -1: the reason is logged. */
static int
gate_make_workers(struct gate *g, struct policy *policy, const struct gate_sockets *s)
{
	const struct conf *conf = g->conf;

	for (; g->nworkers < g->parts.nworkers; g->nworkers++) {
		g->workers[g->nworkers] = worker_new((unsigned)g->nworkers, &g->parts, policy,
		    conf->listen, conf->nlisten);
		if (g->workers[g->nworkers] == NULL)
			return -1;
	}
	for (size_t i = 0; i < s->nlistening; i++) {
		const struct listening *l = &s->listening[i];

		if (worker_add_listener(g->workers[l->worker], l->fd, &conf->listen[l->listener]) ==
		    -1) {
			log_error("cannot set up a listener: out of memory or descriptors");
			return -1;
		}
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
	g->sockets = s;
	g->takeover = s->takeover;
	g->transparent = s->transparent;
	gate_check(g, policy, &e);
	if (e.total > 0) {
		log_error("%s", e.text[0]);
		errlist_fini(&e);
		goto fail;
	}
	if (gate_make_parts(g, secret, s) == -1 || gate_make_main(g) == -1)
		goto nomem;
	if (gate_make_workers(g, policy, s) == -1)
		goto fail;
	gate_enforce(g, policy);
	g->status.last_reload = time(NULL);
	g->status.last_reload_ok = true;
	policy = NULL;
	if (listen_to_guard(g) == -1 || gate_keep_map(g) == -1)
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
	log_about(LOG_LEVEL_INFO, log_of(LOG_EVENT_STOP),
	    "stopping: %s", sig == SIGINT ? "SIGINT" : "SIGTERM");
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

int
gate_run(struct gate *g, void (*begin)(void *arg), void (*ready)(void *arg), void *arg)
{
	static const char stop[] = "{\"cmd\":\"stop\"}";
	struct event *ev[3] = {
		evsignal_new(g->base, SIGTERM, stop_cb, g),
		evsignal_new(g->base, SIGINT, stop_cb, g),
		evsignal_new(g->base, SIGHUP, reload_cb, g),
	};
	sigset_t handled;
	int r;

	g->ready = ready;
	g->ready_arg = arg;
	for (int i = 0; i < 3; i++)
		if (ev[i] == NULL || event_add(ev[i], NULL) == -1)
			log_error("out of memory: a signal will be ignored");
	sigemptyset(&handled);
	sigaddset(&handled, SIGTERM);
	sigaddset(&handled, SIGINT);
	sigaddset(&handled, SIGHUP);
	sigprocmask(SIG_UNBLOCK, &handled, NULL);
	begin(arg);
	r = g->takeover != NULL ? gate_take_over(g) : gate_serve(g);
	if (r == 0)
		event_base_dispatch(g->base);
	/* It ends by itself: only who is at its terminal may cut that short. */
	sigdelset(&handled, SIGINT);
	sigprocmask(SIG_BLOCK, &handled, NULL);
	handing_stop(g->handing);
	/* Who has handed over is not who stops. */
	if (g->serving && !g->handed) {
		(void)takeover_order(g->takeover, stop, sizeof(stop) - 1);
		service_stopping();
	}
	for (int i = 0; i < 3; i++)
		if (ev[i] != NULL)
			event_free(ev[i]);
	return r == -1 || g->failed || !g->serving ? -1 : 0;
}

bool
gate_owns(const struct gate *g)
{
	return (g->takeover == NULL || g->serving) && !g->handed;
}

/* The workers do nothing more; the scribes may be at something yet, with what is locked alone. */
static void
stop_threads(struct gate *g)
{
	if (g->letgo != NULL)
		letgo_close(g->letgo);
	for (size_t i = 0; i < g->nrunning; i++)
		worker_stop(g->workers[i]);
	for (size_t i = 0; i < g->nrunning; i++)
		pthread_join(g->threads[i].thread, NULL);
}

void
gate_free(struct gate **gp)
{
	struct gate *g = *gp;

	if (g == NULL)
		return;
	stop_threads(g);
	/* With it end captures, of which the workers are told. */
	ctl_free(&g->ctl);
	if (!g->serving && g->sockets->control != -1)
		close(g->sockets->control);
	if (!g->serving && g->sockets->http != -1)
		close(g->sockets->http);
	/* Orders that no loop has carried out hold references; lists of connections wait, too. */
	for (size_t i = 0; i < g->nworkers; i++)
		mailbox_drain(g->workers[i]->mailbox);
	if (g->mailbox != NULL)
		mailbox_drain(g->mailbox);
	if (g->guard_ev != NULL)
		event_free(g->guard_ev);
	handing_free(&g->handing);
	takeover_free(&g->takeover);
	service_free(&g->service);
	minute_free(&g->minute);
	http_free(&g->http);
	drainer_free(&g->drainer);
	errands_free(&g->errands);
	mover_free(&g->mover);
	loglevel_free(&g->loglevel);
	connlist_free(&g->connlist);
	nodewatch_free(&g->nodewatch);
	health_free(&g->health);
	gate_leave_map(g);
	letgo_free(&g->letgo);
	for (size_t i = 0; i < g->nworkers; i++)
		worker_free(&g->workers[i]);
	/* They finish what they are at, which may take long: no client is to wait for that. */
	scribe_free(&g->scribe);
	scribe_free(&g->clerk);
	state_free(&g->state);
	mailbox_free(&g->mailbox);
	policy_unref(&g->status.policy);
	limits_free(&g->parts.limits);
	refused_free(&g->parts.refused);
	lasts_free(&g->parts.lasts);
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
