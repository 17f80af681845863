/* gate.c: the whole of a running smbgate: start, reload, stop */
#include "config.h"

#include "daemon/gate.h"

#include "auth/cluster.h"
#include "auth/keyhash.h"
#include "auth/secret.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/ctl.h"
#include "daemon/guard.h"
#include "inspect/session.h"
#include "nodes/health.h"
#include "nodes/home.h"
#include "nodes/node.h"
#include "policy/conf.h"
#include "policy/diff.h"
#include "policy/errlist.h"
#include "policy/policy.h"
#include "policy/schema.h"
#include "proxy/limits.h"
#include "proxy/listen.h"
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

/* About 200 bytes each: the map cannot eat the machine, whatever GUIDs come. */
#define CLAIMS_MAX 1000000

struct gate_thread {
	pthread_t thread;
	struct worker *w;
};

/* "::" means IPv4 too, as everywhere on Linux, unless another listener has that port on IPv4. */
static bool
takes_both(const struct conf *conf, const struct conf_listen *l)
{
	if (addr_is_v4(&l->address.addr) || !addr_is_unspecified(&l->address.addr))
		return false;
	for (size_t i = 0; i < conf->nlisten; i++)
		if (addr_is_v4(&conf->listen[i].address.addr) &&
		    conf->listen[i].address.port == l->address.port)
			return false;
	return true;
}

int
gate_bind(struct gate_sockets *s, const struct conf *conf)
{
	char text[ADDR_STRLEN];
	int column[CONF_WORKERS_MAX];

	s->nworkers = conf_workers(conf);
	s->fds = calloc(s->nworkers * conf->nlisten, sizeof(int));
	if (s->fds == NULL) {
		log_error("out of memory");
		return -1;
	}
	for (size_t i = 0; i < conf->nlisten; i++) {
		const struct conf_listen *l = &conf->listen[i];

		if (listen_bind(l, takes_both(conf, l), column, s->nworkers) == -1) {
			log_error("listen \"%s\": cannot bind %s: %s%s", l->name,
			    addrport_str(&l->address, text), strerror(errno),
			    l->intercept && errno == EPERM ? ": intercept needs CAP_NET_RAW" : "");
			return -1;
		}
		for (unsigned w = 0; w < s->nworkers; w++)
			s->fds[w * conf->nlisten + i] = column[w];
	}
	s->control = ctl_bind(conf->control);
	return s->control == -1 ? -1 : 0;
}

static void
warn_interfaces(const struct pol_interfaces *ifs)
{
	char text[ADDR_STRLEN];

	if (ifs->n > 0 && ifs->mode != POL_IF_ANNOUNCE)
		log_warn("interfaces \"%s\": the addresses have no effect with mode = %s", ifs->listener,
		    pol_ifmode_str(ifs->mode));
	for (size_t i = 0; i < ifs->n; i++) {
		const struct addr *a = &ifs->list[i].addr;

		if (addr_is_linklocal(a) || addr_is_unspecified(a))
			log_warn("interfaces \"%s\": nobody is told %s: it is %s", ifs->listener,
			    addr_str(a, text), addr_is_linklocal(a) ? "link-local" : "nobody's address");
	}
}

void
gate_warn(const struct conf *conf, const struct policy *p)
{
	for (size_t i = 0; i < p->ninterfaces; i++) {
		bool known = false;

		for (size_t k = 0; k < conf->nlisten; k++)
			known |= strcmp(conf->listen[k].name, p->interfaces[i].listener) == 0;
		if (!known)
			log_warn("interfaces \"%s\": there is no listener of that name",
			    p->interfaces[i].listener);
		warn_interfaces(&p->interfaces[i]);
	}
}

static void
node_down(void *arg, struct node *n)
{
	struct gate *g = arg;

	for (size_t i = 0; i < g->nworkers; i++)
		worker_node_down(g->workers[i], n);
}

/* The shared map. */

static void
claim_lost(void *arg, const struct state_key *key)
{
	struct gate *g = arg;

	for (size_t i = 0; i < g->nworkers; i++)
		worker_claim_lost(g->workers[i], key);
}

struct homes {
	struct node *all[POL_NODES_MAX];
	size_t n;
	struct keyhash *hash;
};

static const char *
home_cb(void *arg, const struct state_key *key)
{
	struct homes *h = arg;
	const struct node *n = home_of(h->all, h->n, h->hash, key);

	return n == NULL ? NULL : n->id;
}

void
gate_rehome(struct gate *g)
{
	struct homes h = { .hash = g->hash };

	if (g->keeper == NULL)
		return;
	h.n = nodes_all(g->parts.nodes, h.all, POL_NODES_MAX);
	shared_rehome(g->parts.shared, home_cb, &h);
	keeper_hurry(g->keeper);
	for (size_t i = 0; i < h.n; i++)
		node_unref(&h.all[i]);
}

static void
stand(void *arg, const char *id, bool drain)
{
	struct gate *g = arg;
	struct node *n = nodes_find(g->parts.nodes, id);

	if (n != NULL && n->drain != drain) {
		log_info("node %s: %s, as another proxy's operator said", n->name,
		    drain ? "drained" : "no longer drained");
		n->drain = drain;
		gate_rehome(g);
	}
	node_unref(&n);
}

static const struct keeper_ops keeper_ops = { .lost = claim_lost, .stand = stand };

/* The map's view of what smbgate.conf says; the texts stay the configuration's. */
static void
redis_conf(struct link_conf *dst, const struct conf_redis *src)
{
	_Static_assert(LINK_SERVERS_MAX >= CONF_SERVERS_MAX && LINK_PATH_MAX >= CONF_SOCKET_MAX,
	    "a configuration fits into the link");

	*dst = (struct link_conf){ .nservers = src->nservers, .sentinel = src->sentinel,
		.user = src->user, .password = src->password, .timeout_ms = src->timeout_ms };
	for (size_t i = 0; i < src->nservers; i++) {
		dst->servers[i].address = src->servers[i].address;
		memcpy(dst->servers[i].path, src->servers[i].path, sizeof(src->servers[i].path));
	}
}

/* -1 when memory is out. */
static int
share(struct gate *g, const struct secret *secret)
{
	if (g->conf->redis.nservers == 0)
		return 0;
	g->cluster = cluster_new(secret);
	if (g->cluster == NULL)
		return -1;
	g->seal = (struct record_seal){ .arg = g->cluster, .mac = cluster_mac };
	if (secret->len == 0)
		log_warn("no cluster-secret: what Redis says is believed, and keys are not shared");
	redis_conf(&g->redis, &g->conf->redis);
	g->parts.shared = shared_new(&g->redis, &g->seal, CLAIMS_MAX);
	return g->parts.shared == NULL ? -1 : 0;
}

static void
log_change(void *arg, const char *line)
{
	(void)arg;
	log_info("policy: %s", line);
}

/* Takes over the reference. */
static void
enforce(struct gate *g, struct policy *p)
{
	struct policy *old = g->policy;

	p->generation = old == NULL ? 1 : old->generation + 1;
	g->policy = p;
	g->policy_since_ms = clock_ms();
	nodes_apply(g->parts.nodes, p, clock_ms());
	/* What operators said of nodes that are new here. */
	if (g->keeper != NULL)
		keeper_repeat(g->keeper);
	gate_rehome(g);
	health_policy(g->health, p);
	for (size_t i = 0; i < g->nworkers; i++)
		worker_policy(g->workers[i], p);
	policy_unref(&old);
}

/* What policy wants that this process cannot do. */
static void
check_privileges(const struct gate *g, const struct policy *p, struct errlist *e)
{
	if (p->source == POL_SOURCE_TRANSPARENT && !g->transparent)
		errlist_add(e, g->conf->policy, p->source_line,
		    "source = transparent needs CAP_NET_RAW. smbgate keeps it only where it was started "
		    "with it, and with source = transparent or intercept = true");
}

int
gate_reload(struct gate *g, struct errlist *e)
{
	struct policy *p = schema_load(g->conf->policy, e);
	unsigned changes;

	if (g->guard_ev != NULL)
		guard_reload(g->guard);
	if (p != NULL)
		check_privileges(g, p, e);
	if (e->total > 0)
		policy_unref(&p);
	if (p == NULL) {
		g->reloads_bad++;
		for (size_t i = 0; i < e->n; i++)
			log_error("%s", e->text[i]);
		log_error("policy not reloaded: %zu error%s; generation %u stays in force", e->total,
		    e->total == 1 ? "" : "s", g->policy->generation);
		return -1;
	}
	changes = policy_diff(g->policy, p, log_change, NULL);
	enforce(g, p);
	g->reloads_good++;
	gate_warn(g->conf, p);
	log_info("policy reloaded: generation %u, %u change%s", p->generation, changes,
	    changes == 1 ? "" : "s");
	return 0;
}

static void *
thread_main(void *arg)
{
	struct gate_thread *t = arg;

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
	if (guard_read(g->guard) == 0)
		return;
	log_error("the guard of the keytab died: no new session is keyed before the next start");
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

struct gate *
gate_new(const struct conf *conf, struct policy *policy, const struct secret *secret,
    struct gate_sockets *s)
{
	struct gate *g = calloc(1, sizeof(*g));
	struct errlist e = { .n = 0 };

	if (g == NULL) {
		policy_unref(&policy);
		return NULL;
	}
	g->conf = conf;
	g->guard = s->guard;
	g->transparent = s->transparent;
	g->started_ms = clock_ms();
	check_privileges(g, policy, &e);
	if (e.total > 0) {
		log_error("%s", e.text[0]);
		errlist_fini(&e);
		goto fail;
	}
	g->base = event_base_new();
	g->parts = (struct worker_parts){
		.nodes = nodes_new(),
		.sessions = sesstab_new(),
		.claims = local_map_new(CLAIMS_MAX, clock_ms),
		.limits = limits_new(),
		.secret = secret,
		.nworkers = s->nworkers,
		.keyed = s->guard != NULL,
	};
	g->workers = calloc(s->nworkers, sizeof(struct worker *));
	g->parts.workers = g->workers;
	g->threads = calloc(s->nworkers, sizeof(*g->threads));
	if (g->base == NULL || g->parts.nodes == NULL || g->parts.sessions == NULL ||
	    g->parts.claims == NULL || g->parts.limits == NULL || g->workers == NULL ||
	    g->threads == NULL)
		goto nomem;
	if (share(g, secret) == -1)
		goto nomem;
	g->mailbox = mailbox_new(g->base);
	g->state = worker_state(&g->parts, NULL);
	g->health = health_new(g->base, g->parts.nodes, node_down, g);
	g->ctl = ctl_new(g, s->control);
	if (g->mailbox == NULL || g->state == NULL || g->health == NULL || g->ctl == NULL)
		goto nomem;
	if (g->parts.shared != NULL) {
		g->hash = keyhash_new(secret);
		g->keeper = keeper_new(g->base, g->parts.shared, &keeper_ops, g);
		if (g->hash == NULL || g->keeper == NULL)
			goto nomem;
	}
	for (; g->nworkers < s->nworkers; g->nworkers++) {
		g->workers[g->nworkers] = worker_new((unsigned)g->nworkers, &g->parts, policy,
		    &s->fds[g->nworkers * conf->nlisten], conf->listen, conf->nlisten);
		if (g->workers[g->nworkers] == NULL)
			goto fail;
	}
	enforce(g, policy);
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
	log_info("stopping: %s", sig == SIGINT ? "SIGINT" : "SIGTERM");
	event_base_loopbreak(g->base);
}

static void
reload_cb(evutil_socket_t sig, short what, void *arg)
{
	struct errlist e = { .n = 0 };

	(void)sig;
	(void)what;
	gate_reload(arg, &e);
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
	sigset_t heard;

	for (int i = 0; i < 3; i++)
		if (ev[i] == NULL || event_add(ev[i], NULL) == -1)
			log_error("out of memory: a signal will not be heard");
	sigemptyset(&heard);
	sigaddset(&heard, SIGTERM);
	sigaddset(&heard, SIGINT);
	sigaddset(&heard, SIGHUP);
	sigprocmask(SIG_UNBLOCK, &heard, NULL);
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
	/* Orders that the loops did not get to own references; reports go on to the control socket. */
	for (size_t i = 0; i < g->nworkers; i++)
		mailbox_drain(g->workers[i]->mailbox);
	if (g->mailbox != NULL)
		mailbox_drain(g->mailbox);
	if (g->guard_ev != NULL)
		event_free(g->guard_ev);
	ctl_free(&g->ctl);
	health_free(&g->health);
	keeper_free(&g->keeper);
	for (size_t i = 0; i < g->nworkers; i++)
		worker_free(&g->workers[i]);
	state_free(&g->state);
	mailbox_free(&g->mailbox);
	policy_unref(&g->policy);
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
	free(g);
	*gp = NULL;
}
